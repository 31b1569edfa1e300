//! Files that were altered: what the tests of parsers are fed with.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Strategy, any};
use proptest::sample::Index;

/// What somebody did to a file.
#[derive(Debug, Clone)]
pub(crate) struct Alteration {
    bytes: Vec<(Index, u8)>,
    doubled: Option<(Index, Index)>,
    cut: Option<Index>,
}

/// A few bytes replaced, perhaps a part said twice, perhaps the end cut off.
pub(crate) fn alterations() -> impl Strategy<Value = Alteration> {
    let index = any::<Index>;
    (vec((index(), any::<u8>()), 0..6), of((index(), index())), of(index()))
        .prop_map(|(bytes, doubled, cut)| Alteration { bytes, doubled, cut })
}

impl Alteration {
    /// The altered file.
    pub fn of(&self, file: &[u8]) -> Vec<u8> {
        let mut altered = file.to_vec();
        for (place, byte) in &self.bytes {
            let place = place.index(altered.len());
            altered[place] = *byte;
        }
        if let Some((a, b)) = self.doubled {
            let (a, b) = (a.index(altered.len()), b.index(altered.len()));
            let part = altered[a.min(b)..a.max(b)].to_vec();
            altered.splice(a.max(b)..a.max(b), part);
        }
        if let Some(cut) = self.cut {
            altered.truncate(cut.index(altered.len()));
        }
        altered
    }
}

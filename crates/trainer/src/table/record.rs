//! One record as a format's reader gives it.

use crate::error::Result;

/// How many columns can be wanted.
pub(super) const N_FIELDS: usize = 5;

/// The wanted fields of one record.
#[derive(Default)]
pub(super) struct Record {
    /// The bytes of text, label, identifier, person and source. Those that are not wanted or not there are empty.
    pub fields: [Vec<u8>; N_FIELDS],
    /// Whether a field was longer than is kept.
    pub cut: bool,
    /// Whether a field was not UTF-8.
    pub not_utf8: bool,
    /// Whether a wanted field holds an array or object.
    pub nested: bool,
    /// Whether its line is no JSON object.
    pub not_object: bool,
}

impl Record {
    pub fn clear(&mut self) {
        let Self { fields, cut, not_utf8, nested, not_object } = self;
        fields.iter_mut().for_each(Vec::clear);
        [cut, not_utf8, nested, not_object].into_iter().for_each(|flaw| *flaw = false);
    }
}

/// A format's reader.
pub(super) trait Rows {
    /// Reads the next record into `record`, which is clear; `false` at the end.
    fn read(&mut self, record: &mut Record) -> Result<bool>;
}

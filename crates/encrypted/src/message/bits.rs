//! Residues packed at the width of their prime.
//!
//! Residue `i` of a polynomial modulo a prime of `b` bits takes bits `b i .. b (i + 1)` of the run, bit 0
//! being the lowest bit of the first byte. A run of `N` residues is `N b / 8` bytes, a whole number since 8
//! divides `N`.

use crate::params::bit_width;

/// Bytes of `count` residues modulo `q`.
pub(crate) fn packed_bytes(count: usize, q: u64) -> usize {
    count * bit_width(q) as usize / 8
}

/// Appends residues modulo `q`.
pub(crate) fn pack<T: Into<u64> + Copy>(residues: &[T], q: u64, to: &mut Vec<u8>) {
    let width = bit_width(q);
    let (mut buffer, mut filled) = (0u128, 0);
    for residue in residues {
        buffer |= u128::from((*residue).into()) << filled;
        filled += width;
        while filled >= 8 {
            to.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
}

/// Reads as many residues as `bytes` holds; `None` if one is not below `q`.
pub(crate) fn unpack(bytes: &[u8], q: u64) -> Option<impl Iterator<Item = u64> + '_> {
    let all_below = residues(bytes, q).all(|residue| residue < q);
    all_below.then(|| residues(bytes, q))
}

fn residues(bytes: &[u8], q: u64) -> impl Iterator<Item = u64> + '_ {
    let width = bit_width(q);
    let mask = (1u64 << width) - 1;
    let count = bytes.len() * 8 / width as usize;
    let (mut buffer, mut filled) = (0u128, 0);
    let mut bytes = bytes.iter();
    (0..count).map(move |_| {
        while filled < width {
            buffer |= u128::from(bytes.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        let residue = buffer as u64 & mask;
        buffer >>= width;
        filled -= width;
        residue
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn residues_come_back(residues in prop::collection::vec(0u64..0x3fff_4001, 8..=8)) {
            for q in [0x3fff_4001, 0x3f_fffa_c001] {
                let mut bytes = Vec::new();
                pack(&residues, q, &mut bytes);
                prop_assert_eq!(bytes.len(), packed_bytes(8, q));
                prop_assert_eq!(unpack(&bytes, q).unwrap().collect::<Vec<_>>(), residues.clone());
            }
        }
    }

    #[test]
    fn the_layout_is_little_endian_and_residues_are_checked() {
        let mut bytes = Vec::new();
        pack(&[1u32, 0x3fff_4000, 0, 0], 0x3fff_4001, &mut bytes);
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0xd0, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0]);
        bytes[3] += 0x40;
        assert!(unpack(&bytes, 0x3fff_4001).is_none(), "the modulus itself is not a residue");
    }
}

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

/// Appends residues modulo `q`, each below it, of at most 63 bits. Their number is a multiple of 8.
pub(crate) fn pack<T: Into<u64> + Copy>(residues: &[T], q: u64, to: &mut Vec<u8>) {
    let width = bit_width(q);
    to.reserve(packed_bytes(residues.len(), q));
    let (mut buffer, mut filled) = (0u64, 0);
    for residue in residues {
        let residue = (*residue).into();
        buffer |= residue << filled;
        filled += width;
        if filled >= u64::BITS {
            to.extend(buffer.to_le_bytes());
            filled -= u64::BITS;
            buffer = residue >> (width - filled);
        }
    }
    to.extend(&buffer.to_le_bytes()[..filled as usize / 8]);
}

/// Appends as many residues as `bytes` holds, through `convert`; `false` if one is not below `q`, which has at most
/// 57 bits.
pub(crate) fn unpack<T>(bytes: &[u8], q: u64, to: &mut Vec<T>, convert: impl Fn(u64) -> T) -> bool {
    let width = bit_width(q) as usize;
    let mask = (1u64 << width) - 1;
    let count = bytes.len() * 8 / width;
    let mut largest = 0;
    // Each residue lies within the 8 bytes from its first bit's byte on; the last ones are read from a padded copy.
    let whole = (bytes.len().saturating_sub(7) * 8 / width).min(count);
    let tail = whole * width / 8;
    let mut padded = bytes[tail..].to_vec();
    padded.extend([0; 8]);
    let mut window = |from: &[u8], bit: usize| {
        let word = from[bit / 8..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        let residue = word >> (bit % 8) & mask;
        largest = residue.max(largest);
        convert(residue)
    };
    to.reserve(count);
    to.extend((0..whole).map(|i| window(bytes, i * width)));
    to.extend((whole..count).map(|i| window(&padded, i * width - tail * 8)));
    largest < q
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn residues_come_back(seeds in prop::collection::vec(any::<u64>(), 1..6)) {
            for q in [0x1ff_c001, 0xfff_0001, 0x3fff_4001, 0x7ffe_0001, 0x3_fffe_4001, 0x3f_fffa_c001] {
                let residues: Vec<u64> =
                    seeds.iter().flat_map(|seed| (0..8).map(|i| seed.rotate_left(7 * i) % q)).collect();
                let (mut bytes, mut back) = (vec![7], Vec::new());
                pack(&residues, q, &mut bytes);
                prop_assert_eq!(bytes.len(), 1 + packed_bytes(residues.len(), q));
                prop_assert!(unpack(&bytes[1..], q, &mut back, |x| x));
                prop_assert_eq!(back, residues);
            }
        }
    }

    #[test]
    fn the_layout_is_little_endian_and_residues_are_checked() {
        let mut bytes = Vec::new();
        pack(&[1u32, 0x3fff_4000, 0, 0], 0x3fff_4001, &mut bytes);
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0xd0, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0]);
        bytes[3] += 0x40;
        let unpacked = unpack(&bytes, 0x3fff_4001, &mut Vec::new(), |x| x);
        assert!(!unpacked, "the modulus itself is not a residue");
    }
}

//! Where the numbers of one record stand in the slots, and which weight meets which.
//!
//! Two layers, `rows x columns` each, on `S` slots that are cut into `r = S / B` blocks of `B`. `B` is a
//! power of two with room for all hidden units.
//!
//! * **Input.** Slot `B k + j` holds `x[(j + d k) mod (d r)]`, or 0 where there is no such input: `r` copies,
//!   each rotated by `d` more than the last, `d r >= inputs`.
//! * **First layer.** `d` diagonals; diagonal `e` multiplies slot `s` of the input rotated by `e`. Slot
//!   `B k + i` collects a part of row `i`: the columns that the slots `s .. s + d` hold. Over the blocks
//!   `k` these are all columns, each once, if either no such run leaves its block (`rows + d - 1 <= B`) or
//!   `d` divides `B`, for then a run that enters the next block goes on with columns of the same residues
//!   modulo `d` as those it misses. Adding up the blocks, by rotations of `B`, `2 B`, `4 B`, ..., leaves
//!   the whole row `i` in slot `i` of *each* block: the copies that the second layer needs.
//! * **Second layer.** Slot `s` of its input holds unit `s mod B`. With `c` diagonals, a power of two, a slot
//!   sees `c` consecutive units, so a row needs `B / c` slots: part `k` of row `c a + b` (`b < c`) stands
//!   at slot `B (a + k) + b + c k`. They are `B + c` apart, so rotations of `B + c`, `2 (B + c)`, ... add
//!   them up, and the row ends at slot `B a + b`. The other slots end with sums of parts of two rows.
//!
//! # Example
//!
//! Eight slots, four inputs, four units, four features: `B = 4`, `r = 2`, `d = c = 2`.
//!
//! ```text
//! slot           0    1    2    3  |  4    5    6    7
//! input          x0   x1   x2   x3 |  x2   x3   x0   x1
//! diagonal 0     w00  w11  w22  w33|  w02  w13  w20  w31
//! rotated by 1   x1   x2   x3   x2 |  x3   x0   x1   x0
//! diagonal 1     w01  w12  w23  w32|  w03  w10  w21  w30
//! ```
//!
//! Slot 3 collects `w33 x3 + w32 x2`, slot 7 `w31 x1 + w30 x0`: rotated by 4 and added, both hold
//! `u3`. Now the second layer, with weights `v`:
//!
//! ```text
//! units          u0   u1   u2   u3 |  u0   u1   u2   u3
//! part of row    0,0  1,0  2,1  3,1|  2,0  3,0  0,1  1,1
//! diagonal 0     v00  v11  v22  v33|  v20  v31  v02  v13
//! rotated by 1   u1   u2   u3   u0 |  u1   u2   u3   u0
//! diagonal 1     v01  v12  v23  v30|  v21  v32  v03  v10
//! ```
//!
//! Rotated by 6 and added: slot 0 gets the parts from slots 0 and 6 and holds feature 0; feature 1 is at slot
//! 1, features 2 and 3 at slots 4 and 5.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::error::{EncryptedError, Result};
use crate::params::ParameterSet;
use crate::record_major::steps::Steps;

/// One of the two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linear {
    First,
    Second,
}

/// The places of all numbers. It tells the data owner the widths, the hidden one up to a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    pub(crate) slots: usize,
    pub(crate) input_width: usize,
    pub(crate) output_width: usize,
    /// `B`.
    pub(crate) block: usize,
    /// `d` and `c`.
    pub(crate) diagonals: [usize; 2],
    /// Baby steps of both layers, so that their rotations share keys.
    pub(crate) baby: usize,
}

/// More keys than this are only used where there is no way without them.
const KEY_BYTES: usize = 40_000_000;
/// What is tried: powers of two and the numbers half-way between them.
const BABY_STEPS: [usize; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
/// More than any layout on the largest ring has.
const MAX_ROTATIONS: usize = 512;

impl Layout {
    /// The layout that takes the least time by the model of [`Steps::work`], for `[inputs, units, features]`
    /// and layers that run on `levels` data primes, among those whose keys take at most 40 MB; if
    /// there is none, the one with the fewest keys.
    ///
    /// # Errors
    /// [`EncryptedError::Unsupported`] when a width is over the number of slots.
    pub(crate) fn choose(widths: [usize; 3], set: ParameterSet, levels: [usize; 2]) -> Result<Self> {
        let slots = set.slots();
        if let Some(width) = widths.into_iter().find(|width| *width > slots) {
            return Err(EncryptedError::unsupported(
                format!("a layer of width {width} does not fit the {slots} slots of {set}"),
                "use feature-major packing, or a parameter set of a larger ring",
            ));
        }
        let key_limit = KEY_BYTES / set.switching_key_bytes();
        let candidates = Self::candidates(widths, slots);
        let rank = |layout: &Self| {
            // One more than the rotations: the relinearization key.
            let keys = layout.rotations().len() + 1;
            let work: f64 = [Linear::First, Linear::Second]
                .iter()
                .zip(levels)
                .map(|(layer, level)| layout.steps(*layer).work(level))
                .sum();
            (keys.saturating_sub(key_limit), work)
        };
        let best = candidates.min_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        best.ok_or_else(|| EncryptedError::unsupported("a layer has no width", "give layers with outputs"))
    }

    fn candidates([inputs, units, features]: [usize; 3], slots: usize) -> impl Iterator<Item = Self> {
        let blocks = (0..=slots.ilog2()).map(|log| 1usize << log).filter(move |block| *block >= units);
        let shapes = blocks.flat_map(move |block| {
            let copies = slots / block;
            let inside = inputs.div_ceil(copies);
            let around = inside.next_power_of_two();
            let first = [(inside, units + inside - 1 <= block), (around, around <= block)];
            let second = features.div_ceil(copies).next_power_of_two();
            first.into_iter().filter(|(_, fits)| *fits).map(move |(first, _)| (block, [first, second]))
        });
        shapes.flat_map(move |(block, diagonals)| {
            BABY_STEPS.into_iter().map(move |baby| Self {
                slots,
                input_width: inputs,
                output_width: features,
                block,
                diagonals,
                baby,
            })
        })
    }

    /// Whether it is a layout that a plan could have made: no index that it gives is out of range, and it asks for no
    /// more keys than a plan can need.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { slots, input_width, output_width, block, diagonals: [first, second], baby } = *self;
        block.is_power_of_two()
            && second.is_power_of_two()
            && (1..=slots).contains(&block)
            && (1..=block).contains(&first)
            && second <= block
            && (1..=BABY_STEPS[BABY_STEPS.len() - 1]).contains(&baby)
            && input_width <= first * self.copies()
            && output_width <= second * self.copies()
            && self.rotations().len() <= MAX_ROTATIONS
    }

    /// All numbers that make it, in a fixed order.
    pub(crate) fn numbers(&self) -> [usize; 7] {
        let [first, second] = self.diagonals;
        [self.slots, self.input_width, self.output_width, self.block, first, second, self.baby]
    }

    /// How many copies of the input there are.
    fn copies(&self) -> usize {
        self.slots / self.block
    }

    /// What slot `slot` of a query holds.
    pub(crate) fn input_at(&self, slot: usize) -> Option<usize> {
        let [diagonals, _] = self.diagonals;
        let (copy, place) = (slot / self.block, slot % self.block);
        let index = (place + diagonals * copy) % (diagonals * self.copies());
        (index < self.input_width).then_some(index)
    }

    /// The slots that a record fills.
    pub(crate) fn place(&self, record: &[f64]) -> Vec<f64> {
        (0..self.slots).map(|slot| self.input_at(slot).map_or(0.0, |index| record[index])).collect()
    }

    /// The slot of a response that holds feature `row`.
    pub(crate) fn feature_slot(&self, row: usize) -> usize {
        let [_, diagonals] = self.diagonals;
        self.block * (row / diagonals) + row % diagonals
    }

    /// The row and the column of the weight that diagonal `diagonal` has at slot `slot`, where there are
    /// such a row and column.
    fn cell(&self, layer: Linear, slot: usize, diagonal: usize) -> Option<(usize, usize)> {
        let source = (slot + diagonal) % self.slots;
        match layer {
            Linear::First => Some((slot % self.block, self.input_at(source)?)),
            Linear::Second => {
                let [_, diagonals] = self.diagonals;
                let place = slot % self.block;
                let (part, within) = (place / diagonals, place % diagonals);
                let a = (slot / self.block + self.copies() - part % self.copies()) % self.copies();
                Some((diagonals * a + within, source % self.block))
            }
        }
    }

    /// The slots of a diagonal that have a weight, with its row and column.
    pub(crate) fn cells(
        &self,
        layer: Linear,
        diagonal: usize,
    ) -> impl Iterator<Item = (usize, (usize, usize))> {
        (0..self.slots).filter_map(move |slot| Some((slot, self.cell(layer, slot, diagonal)?)))
    }

    /// The numbers of a diagonal, rotated back by the giant step that will rotate its product.
    pub(crate) fn diagonal(&self, layer: Linear, weight: ArrayView2<f64>, diagonal: usize) -> Vec<f64> {
        let giant = diagonal / self.baby * self.baby;
        let mut values = vec![0.0; self.slots];
        for (slot, cell) in self.cells(layer, diagonal) {
            if let Some(weight) = weight.get(cell) {
                values[(slot + giant) % self.slots] = *weight;
            }
        }
        values
    }

    /// What is added after a layer: in each copy of the units, or at each feature's slot.
    pub(crate) fn bias(&self, layer: Linear, bias: &[f64]) -> Vec<f64> {
        let mut values = vec![0.0; self.slots];
        match layer {
            Linear::First => {
                values.chunks_mut(self.block).for_each(|block| block[..bias.len()].copy_from_slice(bias));
            }
            Linear::Second => {
                bias.iter().enumerate().for_each(|(row, bias)| values[self.feature_slot(row)] = *bias);
            }
        }
        values
    }

    /// How a layer is computed.
    pub(crate) fn steps(&self, layer: Linear) -> Steps {
        let [first, second] = self.diagonals;
        let (diagonals, stride, parts) = match layer {
            Linear::First => (first, self.block, self.copies()),
            Linear::Second => (second, self.block + second, self.block / second),
        };
        let folds = (0..parts.ilog2()).map(|log| (stride << log) % self.slots).collect();
        Steps { diagonals, baby: self.baby.min(diagonals), folds }
    }

    /// All rotations of both layers, ascending: one Galois key each.
    pub(crate) fn rotations(&self) -> Vec<usize> {
        let mut all: Vec<usize> =
            [Linear::First, Linear::Second].iter().flat_map(|layer| self.steps(*layer).rotations()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The Galois elements of all rotations, ascending: `3^steps` modulo `2N`. This is the order of the keys.
    pub(crate) fn galois_elements(&self) -> Vec<u32> {
        let mut elements: Vec<u32> =
            self.rotations().iter().map(|steps| galois_element(self.slots, *steps)).collect();
        elements.sort_unstable();
        elements
    }
}

/// The automorphism `X -> X^element` that rotates `slots = N / 2` slots left by `steps`.
pub(crate) fn galois_element(slots: usize, steps: usize) -> u32 {
    (0..steps).fold(1, |element, _| element * 3 % (4 * slots)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_network_takes_the_layout_of_the_design() {
        let layout = Layout::choose([768, 768, 766], ParameterSet::N8192Q30x5P38, [5, 2]).unwrap();
        assert_eq!((layout.block, layout.diagonals), (1024, [192, 256]));
        let keys = layout.rotations().len() + 1;
        assert!(keys * ParameterSet::N8192Q30x5P38.switching_key_bytes() <= KEY_BYTES, "{layout:?}");
    }

    #[test]
    fn the_example_of_the_module() {
        let layout =
            Layout { slots: 8, input_width: 4, output_width: 4, block: 4, diagonals: [2, 2], baby: 2 };
        assert_eq!(layout.place(&[0.0, 1.0, 2.0, 3.0]), [0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 0.0, 1.0]);
        // A weight is told by its row and column.
        let weight = ndarray::Array2::from_shape_fn((4, 4), |(i, j)| (10 * i + j) as f64);
        let diagonal = |layer, e| layout.diagonal(layer, weight.view(), e);
        assert_eq!(diagonal(Linear::First, 0), [0.0, 11.0, 22.0, 33.0, 2.0, 13.0, 20.0, 31.0]);
        assert_eq!(diagonal(Linear::First, 1), [1.0, 12.0, 23.0, 32.0, 3.0, 10.0, 21.0, 30.0]);
        assert_eq!(diagonal(Linear::Second, 0), [0.0, 11.0, 22.0, 33.0, 20.0, 31.0, 2.0, 13.0]);
        assert_eq!(diagonal(Linear::Second, 1), [1.0, 12.0, 23.0, 30.0, 21.0, 32.0, 3.0, 10.0]);
        assert_eq!(layout.steps(Linear::Second).folds, [6]);
        assert_eq!([0, 1, 2, 3].map(|row| layout.feature_slot(row)), [0, 1, 4, 5]);
    }

    #[test]
    fn widths_over_the_slots_are_refused() {
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let error = Layout::choose([8, 513, 8], set, [5, 2]).unwrap_err().to_string();
        assert!(error.contains("513") && error.contains("512"), "{error}");
    }
}

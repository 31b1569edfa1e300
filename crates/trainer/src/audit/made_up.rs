//! Made-up tables on which a canary can do the most.
//!
//! Under clipping to norm C, the most that one record can do to a sum is to move it by C. A canary does that at every
//! step, in one direction, whatever the weights have become:
//!
//! * its row is `2 C (sin t e_0 + cos t e_j)` with axis 0 shared by all canaries, axis j its own, and sin t = 0.03;
//! * the training starts at weights that are huge on axis 0, so that every canary has a huge positive score and the
//!   residual of its label 0 is 1 at every step: DP noise cannot undo that;
//! * so its gradient is its row, of norm 2 C, and clipped it has norm C: the direction is e_j, up to cos t = 0.9995. A
//!   mechanism that forgets to clip shows it as twice the signal.
//!
//! Under add-remove adjacency a canary is in or out. Under replacement, another record stands in its place, with row
//! `2 C (sin t e_0 - cos t e_j)`, which moves the sum by C in (nearly) the opposite direction: 2 C apart, which is why there is
//! a shared axis.
//!
//! With more than two labels there is a vector of weights for each. The start scores label 1 high, canaries have label 0, and their
//! gradient is `z` for label 1 and `-z` for label 0; the difference of the two is what an adversary looks at.
//!
//! Canaries on different axes do not disturb each other: gradients stay what they are, and the public statistics are made up to
//! be diagonal. So each axis shows one canary with nothing but DP noise around it.

use cryptotl_model::{HeadInputs, LinearScore, Projection};
use cryptotl_privacy::{Adjacency, PrivacyUnit};
use ndarray::{Array1, Array2};

use crate::head::{Space, scores_of};

/// The share of the common axis in a canary's row, and what it leaves for its own axis.
const SIN: f64 = 0.03;
/// Rows that a canary has where the unit is a person; their mean counts.
const ROWS_OF_A_PERSON: u32 = 2;

/// A made-up table.
pub struct Table {
    /// `[rows, columns]`.
    pub rows: Array2<f64>,
    /// Each row's label.
    pub labels: Vec<u32>,
    /// Each row's person.
    pub persons: Vec<Option<u32>>,
}

/// Makes tables for one mechanism.
#[derive(Clone, Copy, Debug)]
pub struct MadeUp {
    /// The numbers of a row.
    columns: usize,
    labels: usize,
    clipping_norm: f64,
    adjacency: Adjacency,
    rows_of_a_unit: u32,
}

impl MadeUp {
    /// Tables of at least 3 columns for this mechanism.
    pub fn new(
        columns: usize,
        labels: usize,
        clipping_norm: f64,
        unit: PrivacyUnit,
        adjacency: Adjacency,
    ) -> Self {
        let rows_of_a_unit = match unit {
            PrivacyUnit::Person { contributions } => contributions.get().min(ROWS_OF_A_PERSON),
            _ => 1,
        };
        Self { columns, labels, clipping_norm, adjacency, rows_of_a_unit }
    }

    /// How many canaries there are room for: one on every axis but the shared one.
    pub fn canaries(&self) -> usize {
        self.columns - 1
    }

    /// The share of a canary's row on its own axis.
    pub fn share_of_own_axis(&self) -> f64 {
        (1.0 - SIN * SIN).sqrt()
    }

    /// The public side of the training: statistics and start.
    pub fn space(&self) -> Space {
        let scores = scores_of(self.labels);
        let mut start = Array1::zeros(scores * self.columns);
        // Scores of canaries begin at 6e4; what training does to them is of the order of 1.
        start[(scores - 1).min(1) * self.columns] = 1e6 / self.clipping_norm;
        let rank = self.columns - 1;
        // The tables are made in this space, so nothing is projected.
        let projection = Projection {
            inputs: HeadInputs::Embedding,
            mean: Array1::zeros(rank),
            components: Array2::eye(rank),
            bias_share: 0.0,
            score_share: 0.0,
            score_scale: 1.0,
            scores: vec![LinearScore { weight: Array1::zeros(rank), bias: 0.0 }],
        };
        Space {
            projection,
            gram: Array2::eye(self.columns) / self.columns as f64,
            start,
            labels: self.labels,
        }
    }

    /// What weights, or sums of gradients, have on each canary's axis.
    pub fn axes(&self, numbers: &[f64]) -> Vec<f64> {
        let first = &numbers[..self.columns];
        match numbers.get(self.columns..2 * self.columns) {
            Some(second) => second.iter().zip(first).skip(1).map(|(one, zero)| one - zero).collect(),
            None => first[1..].to_vec(),
        }
    }

    /// The table with the canaries whose coin says so; the others are out, or replaced.
    pub fn crowd(&self, coins: &[bool]) -> Table {
        self.table(coins.iter().enumerate().filter_map(|(canary, &is_in)| self.row(canary, is_in)).collect())
    }

    /// The table with or without the first canary, and one other record: the second canary.
    pub fn single(&self, is_in: bool) -> Table {
        self.table(self.row(1, true).into_iter().chain(self.row(0, is_in)).collect())
    }

    /// What the canary of this number puts into the table: its own axis, and the number there.
    fn row(&self, canary: usize, is_in: bool) -> Option<(usize, f64)> {
        let along = self.share_of_own_axis();
        match (is_in, self.adjacency) {
            (true, _) => Some((canary + 1, along)),
            (false, Adjacency::Replace) => Some((canary + 1, -along)),
            (false, _) => None,
        }
    }

    fn table(&self, units: Vec<(usize, f64)>) -> Table {
        let per_unit = self.rows_of_a_unit as usize;
        let n_rows = units.len() * per_unit;
        let mut rows = Array2::zeros((n_rows, self.columns));
        for (unit, (axis, along)) in units.into_iter().enumerate() {
            for row in unit * per_unit..(unit + 1) * per_unit {
                rows[[row, 0]] = 2.0 * self.clipping_norm * SIN;
                rows[[row, axis]] = 2.0 * self.clipping_norm * along;
            }
        }
        let persons = (0..n_rows).map(|row| Some((row / per_unit) as u32)).collect();
        Table { rows, labels: vec![0; n_rows], persons }
    }
}

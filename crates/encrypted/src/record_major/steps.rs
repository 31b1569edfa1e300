//! Baby steps, giant steps and folds: a layer with `d` diagonals by about `2 sqrt(d)` rotations.
//!
//! ```text
//! sum_e D_e * rot_e(x) = sum_g rot_(g n)( sum_b rot_(-g n)(D_(g n + b)) * rot_b(x) )
//! ```
//!
//! with `n` baby steps `b < n`; the rotated diagonals are part of the encoded model. The folds then add up the
//! parts that the layout spread over the slots, doubling each time: `y <- y + rot_f(y)`.

use crate::error::Result;

/// How a linear layer is computed on rotated slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) diagonals: usize,
    /// `n`, at most `diagonals`.
    pub(crate) baby: usize,
    /// The rotations of the folds, in order.
    pub(crate) folds: Vec<usize>,
}

/// What a transform of one polynomial modulo one prime costs, in multiply-accumulates of as many residues.
const TRANSFORM: f64 = 5.0;

impl Steps {
    pub(crate) fn giants(&self) -> usize {
        self.diagonals.div_ceil(self.baby)
    }

    /// The diagonals of a giant step.
    pub(crate) fn diagonals_of(&self, giant: usize) -> std::ops::Range<usize> {
        giant * self.baby..self.diagonals.min((giant + 1) * self.baby)
    }

    /// Each rotation once per use.
    pub(crate) fn rotations(&self) -> Vec<usize> {
        let babies = 1..self.baby;
        let giants = (1..self.giants()).map(|giant| giant * self.baby);
        babies.chain(giants).chain(self.folds.iter().copied()).collect()
    }

    /// The time on `level` data primes, in multiply-accumulates of a polynomial modulo one prime, when the
    /// baby steps share one decomposition and leave the division by the special prime to the giant steps.
    pub(crate) fn work(&self, level: usize) -> f64 {
        let level = level as f64;
        let inner = 2.0 * level * (level + 1.0);
        let decompose = TRANSFORM * level * (level + 1.0);
        let divide = TRANSFORM * (level + 1.0);
        let products = 2.0 * (level + 1.0) * self.diagonals as f64;
        let babies = decompose + (self.baby - 1) as f64 * inner;
        let giants = (self.giants() - 1) as f64 * (divide + decompose + inner);
        let folds = self.folds.len() as f64 * (2.0 * divide + decompose + inner);
        babies + products + giants + folds
    }
}

/// Vectors that rotate, and the diagonals of one encoded layer.
pub(crate) trait Rotate {
    type Vector;

    /// Slot `s` of the result is slot `s + steps` of `vector`.
    fn rotate(&self, vector: &Self::Vector, steps: usize) -> Result<Self::Vector>;

    /// The sum of the products of diagonals `range` with as many rotated inputs, slot by slot.
    fn products(&self, inputs: &[Self::Vector], range: std::ops::Range<usize>) -> Result<Self::Vector>;

    fn add(&self, to: &mut Self::Vector, other: &Self::Vector) -> Result<()>;
}

/// The layer by one rotation at a time: the reference for faster ways, and the way through SEAL.
pub(crate) fn stepwise<R: Rotate>(layer: &R, steps: &Steps, input: R::Vector) -> Result<R::Vector> {
    let mut babies = vec![input];
    for step in 1..steps.baby {
        babies.push(layer.rotate(&babies[0], step)?);
    }
    let mut sum = layer.products(&babies, steps.diagonals_of(0))?;
    for giant in 1..steps.giants() {
        let part = layer.products(&babies, steps.diagonals_of(giant))?;
        layer.add(&mut sum, &layer.rotate(&part, giant * steps.baby)?)?;
    }
    for fold in &steps.folds {
        let rotated = layer.rotate(&sum, *fold)?;
        layer.add(&mut sum, &rotated)?;
    }
    Ok(sum)
}

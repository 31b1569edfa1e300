//! The public projection: the fixed, row-wise map from a record to the row that a private head sees.
//!
//! A record's inputs `x` (embedding, server features or both) become
//!
//! ```text
//! y = components (x - mean)                          principal axes of the public source
//! z = [ sqrt(1 - b^2 - c^2) y / |y| ;  c t ;  b ]    t = clamp(score(x) / score_scale, -1, 1)
//! ```
//!
//! so that every row has norm at most 1: a clipping norm then has one meaning for all records. `mean`,
//! `components` and `score` are fitted to the public source alone.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};

use crate::error::{ModelError, Result};
use crate::records::HeadInputs;

/// A linear score: `weight . x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearScore {
    /// One weight an input.
    pub weight: Array1<f64>,
    /// The intercept.
    pub bias: f64,
}

impl LinearScore {
    /// The score of one row.
    pub fn of(&self, row: ArrayView1<f64>) -> f64 {
        self.weight.dot(&row) + self.bias
    }

    /// The score of each row of `[rows, width]`.
    pub fn of_rows(&self, rows: ArrayView2<f64>) -> Array1<f64> {
        rows.dot(&self.weight) + self.bias
    }

    /// How many inputs.
    pub fn width(&self) -> usize {
        self.weight.len()
    }

    /// Weights and then the intercept.
    pub fn to_vector(&self) -> Array1<f64> {
        self.weight.iter().copied().chain([self.bias]).collect()
    }

    /// The inverse of [`LinearScore::to_vector`].
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when the vector is empty or not finite.
    pub fn from_vector(vector: &Array1<f64>) -> Result<Self> {
        match vector.iter().all(|x| x.is_finite()).then(|| vector.as_slice()).flatten() {
            Some([weight @ .., bias]) => Ok(Self { weight: Array1::from_vec(weight.to_vec()), bias: *bias }),
            _ => Err(ModelError::invalid("score", "it is empty or not finite", "export the model again")),
        }
    }
}

/// The map from a record's inputs to the row that a head sees. See the module docs for the formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Which parts of a record are read.
    pub inputs: HeadInputs,
    /// `[input width]`, the source's mean.
    pub mean: Array1<f64>,
    /// `[rank, input width]`, leading axis first.
    pub components: Array2<f64>,
    /// `b`: the constant coordinate.
    pub bias_share: f64,
    /// `c`: the largest magnitude of the score coordinate; 0 leaves it out.
    pub score_share: f64,
    /// The score that counts as 1.
    pub score_scale: f64,
    /// The source's own score of the inputs.
    pub score: LinearScore,
}

impl Projection {
    /// How many principal axes.
    pub fn rank(&self) -> usize {
        self.components.nrows()
    }

    /// How many numbers a projected row has.
    pub fn dimension(&self) -> usize {
        self.dimension_at(self.rank())
    }

    /// How many numbers a row would have with only the leading `rank` axes.
    pub fn dimension_at(&self, rank: usize) -> usize {
        rank + 1 + usize::from(self.score_share > 0.0)
    }

    /// The projection onto the leading `rank` axes.
    pub fn truncated(&self, rank: usize) -> Self {
        let rank = rank.min(self.rank());
        Self { components: self.components.slice(s![..rank, ..]).to_owned(), ..self.clone() }
    }

    /// Fails unless all parts fit inputs of `width` numbers, are finite and keep rows within norm 1.
    pub fn check(&self, width: usize) -> Result<()> {
        let share = self.bias_share.powi(2) + self.score_share.powi(2);
        let fine = self.mean.len() == width
            && self.components.ncols() == width
            && self.rank() > 0
            && self.score.width() == width
            && self.mean.iter().chain(self.components.iter()).all(|x| x.is_finite())
            && (0.0..1.0).contains(&share)
            && self.bias_share >= 0.0
            && self.score_share >= 0.0
            && self.score_scale.is_finite()
            && self.score_scale > 0.0;
        if fine {
            Ok(())
        } else {
            Err(ModelError::invalid("projection", "its parts do not fit", "export the model again"))
        }
    }

    /// Projects `[rows, input width]` to `[rows, dimension]`; each row has norm at most 1 (up to rounding,
    /// which clipping takes care of). A row that is not finite becomes zero but for the constant.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the rows have another width.
    pub fn apply(&self, rows: ArrayView2<f64>) -> Result<Array2<f64>> {
        if rows.ncols() != self.mean.len() {
            return Err(ModelError::mismatch(
                format!("the records have {} inputs, the head takes {}", rows.ncols(), self.mean.len()),
                "use records of the same encoder and model",
            ));
        }
        let rank = self.rank();
        let mut projected = Array2::zeros((rows.nrows(), self.dimension()));
        let axes = (&rows - &self.mean).dot(&self.components.t());
        let rest = (1.0 - self.bias_share.powi(2) - self.score_share.powi(2)).sqrt();
        for ((y, x), mut z) in axes.rows().into_iter().zip(rows.rows()).zip(projected.rows_mut()) {
            let norm = y.dot(&y).sqrt();
            if norm.is_finite() && norm > 0.0 {
                z.slice_mut(s![..rank]).assign(&(&y * (rest / norm)));
            }
            if self.score_share > 0.0 {
                let score = self.score.of(x) / self.score_scale;
                z[rank] = if score.is_finite() { self.score_share * score.clamp(-1.0, 1.0) } else { 0.0 };
            }
            z[self.dimension() - 1] = self.bias_share;
        }
        Ok(projected)
    }
}

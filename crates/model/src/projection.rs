//! The public projection: the fixed, row-wise map from a record to the row that a private head sees.
//!
//! A record's inputs `x` (embedding, server features or both) become
//!
//! ```text
//! y = components (x - mean)                          principal axes of the public source
//! z = [ sqrt(1 - b^2 - c^2) y / |y| ;  c t ;  b ]    t = s / max(|s|, score_scale),  s = scores(x)
//! ```
//!
//! so that every row has norm at most 1: a clipping norm then has one meaning for all records. Scores of more than two labels
//! are cut together, which keeps their order. `mean`, `components` and `scores` are fitted to the public source alone.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};

use crate::error::{ModelError, Result};
use crate::records::HeadInputs;
use crate::rows::{dot, times_transposed};

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
        dot(self.weight.view(), row) + self.bias
    }

    /// The score of each row of `[rows, width]`, as [`LinearScore::of`] gives it.
    pub fn of_rows(&self, rows: ArrayView2<f64>) -> Array1<f64> {
        rows.rows().into_iter().map(|row| self.of(row)).collect()
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

    /// The vectors of some scores, one after the other.
    pub fn concatenate(scores: &[Self]) -> Array1<f64> {
        scores.iter().flat_map(Self::to_vector).collect()
    }

    /// The inverse of [`LinearScore::concatenate`], for scores of `width` inputs.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when the vector is not that of one or more such scores, or not finite.
    pub fn split(vector: &Array1<f64>, width: usize) -> Result<Vec<Self>> {
        let each = width.saturating_add(1);
        if vector.is_empty() || !vector.len().is_multiple_of(each) {
            let fact = format!("{} numbers are not those of scores of {width} inputs", vector.len());
            return Err(ModelError::invalid("score", fact, "export the model again"));
        }
        vector.exact_chunks(each).into_iter().map(|score| Self::from_vector(&score.to_owned())).collect()
    }
}

/// Where squares of smaller numbers would underflow. No record or source comes near it.
const MIN_NORM: f64 = 1e-140;

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
    /// `c`: the largest norm of the scores' coordinates; 0 leaves them out.
    pub score_share: f64,
    /// The norm of the scores that counts as 1.
    pub score_scale: f64,
    /// The source's own scores of the inputs: one for two labels, for more one for each.
    pub scores: Vec<LinearScore>,
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
        let scores = if self.score_share > 0.0 { self.scores.len() } else { 0 };
        rank + scores + 1
    }

    /// The projection onto the leading `rank` axes.
    pub fn truncated(&self, rank: usize) -> Self {
        let rank = rank.min(self.rank());
        Self { components: self.components.slice(s![..rank, ..]).to_owned(), ..self.clone() }
    }

    /// Fails unless all parts fit inputs of `width` numbers and a head with this many scores, are finite and keep rows within
    /// norm 1. Files of earlier builds have one score that is left out, whatever the head has.
    pub fn check(&self, width: usize, scores: usize) -> Result<()> {
        let share = self.bias_share.powi(2) + self.score_share.powi(2);
        let fine = self.mean.len() == width
            && self.components.ncols() == width
            && self.rank() > 0
            && (self.scores.len() == scores || self.scores.len() == 1 && self.score_share == 0.0)
            && self.scores.iter().all(|score| score.width() == width)
            && self.mean.iter().chain(self.components.iter()).all(|x| x.is_finite())
            && (0.0..1.0).contains(&share)
            && self.bias_share >= 0.0
            && self.score_share >= 0.0
            && self.score_scale.is_finite()
            && self.score_scale > MIN_NORM;
        if fine {
            Ok(())
        } else {
            Err(ModelError::invalid("projection", "its parts do not fit", "export the model again"))
        }
    }

    /// Projects `[rows, input width]` to `[rows, dimension]`; each row has norm at most 1 (up to rounding,
    /// which clipping takes care of). A row that is not finite, or so short on the axes that its squares would underflow, becomes
    /// zero there.
    ///
    /// A projected row is a function of that row alone, to the last bit: private heads rest on it.
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
        let axes = times_transposed((&rows - &self.mean).view(), self.components.view());
        let rest = (1.0 - self.bias_share.powi(2) - self.score_share.powi(2)).sqrt();
        for ((y, x), mut z) in axes.rows().into_iter().zip(rows.rows()).zip(projected.rows_mut()) {
            let norm = dot(y, y).sqrt();
            if norm.is_finite() && norm > MIN_NORM {
                z.slice_mut(s![..rank]).assign(&(&y * (rest / norm)));
            }
            if self.score_share > 0.0 {
                let scores: Array1<f64> = self.scores.iter().map(|score| score.of(x)).collect();
                let norm = dot(scores.view(), scores.view()).sqrt();
                if norm.is_finite() {
                    let unit = norm.max(self.score_scale);
                    let cut = scores.mapv(|score| self.score_share * (score / unit));
                    z.slice_mut(s![rank..rank + cut.len()]).assign(&cut);
                }
            }
            z[self.dimension() - 1] = self.bias_share;
        }
        Ok(projected)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn projection(scores: Vec<LinearScore>) -> Projection {
        Projection {
            inputs: HeadInputs::Embedding,
            mean: array![0.1, -0.2, 0.0],
            components: array![[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]],
            bias_share: 0.3,
            score_share: 0.4,
            score_scale: 2.0,
            scores,
        }
    }

    proptest! {
        #[test]
        fn rows_stay_within_norm_1_and_scores_keep_their_order(
            weights in prop::collection::vec(prop::array::uniform4(-9.0..9.0f64), 1..6),
            row in prop::array::uniform3(prop_oneof![9 => -9.0..9.0f64, 1 => Just(f64::NAN), 1 => Just(1e300)]),
        ) {
            let flat: Array1<f64> = weights.iter().flatten().copied().collect();
            let scores = LinearScore::split(&flat, 3).unwrap();
            prop_assert_eq!(LinearScore::concatenate(&scores), flat);
            let projection = projection(scores.clone());
            projection.check(3, scores.len()).unwrap();
            prop_assert!(projection.check(3, scores.len() + 1).is_err());
            let row = Array1::from(row.to_vec());
            let z = projection.apply(row.view().insert_axis(ndarray::Axis(0))).unwrap();
            let z = z.row(0);
            prop_assert_eq!((z.len(), z[z.len() - 1]), (2 + scores.len() + 1, 0.3));
            prop_assert!(z.dot(&z) <= 1.0 + 1e-12);
            let coordinates = z.slice(s![2..2 + scores.len()]);
            let raw: Vec<f64> = scores.iter().map(|score| score.of(row.view())).collect();
            if raw.iter().all(|score| score.abs() < 1e100) {
                for (a, x) in raw.iter().zip(coordinates) {
                    for (b, y) in raw.iter().zip(coordinates) {
                        prop_assert!(a >= b || x <= y);
                    }
                }
            } else {
                prop_assert!(coordinates.iter().all(|x| *x == 0.0));
            }
            if let ([raw], [found]) = (raw.as_slice(), coordinates.as_slice().unwrap())
                && raw.abs() < 1e100
            {
                // One score is clamped.
                prop_assert_eq!(*found, 0.4 * (raw / 2.0).clamp(-1.0, 1.0));
            }
        }
    }

    #[test]
    fn vectors_that_are_not_of_whole_scores_are_refused() {
        for (numbers, width) in [(0, 3), (5, 3), (1, 3), (7, usize::MAX)] {
            let error = LinearScore::split(&Array1::zeros(numbers), width).unwrap_err().to_string();
            assert!(error.contains(&format!("{numbers} numbers are not those of scores")), "{error}");
        }
        assert!(LinearScore::split(&array![1.0, f64::NAN], 1).is_err());
        assert!(projection(vec![]).check(3, 1).is_err());
        let narrow = LinearScore { weight: array![1.0], bias: 0.0 };
        assert!(projection(vec![narrow]).check(3, 1).is_err());
        let whole = LinearScore { weight: array![1.0, 0.0, 0.0], bias: 0.0 };
        let left_out = Projection { score_share: 0.0, ..projection(vec![whole.clone()]) };
        assert!(left_out.check(3, 4).is_ok() && projection(vec![whole]).check(3, 4).is_err());
    }
}

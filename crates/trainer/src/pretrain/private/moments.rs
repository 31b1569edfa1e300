//! Count, mean and covariance of a private source from one noisy sum, and records made up from them.
//!
//! Each record contributes u u^T with u = (x / B, 1/2): x is its embedding, cut to the public norm B. The sum of these holds the second
//! moments, the sums and a quarter of the count at once, and the norm of a contribution is |u|^2, at most 1.25.
//!
//! From there on everything is post-processing. The DP noise in the matrix of second moments drowns its small eigenvalues: noise
//! of standard deviation tau in the entries of a symmetric matrix of width d has eigenvalues up to 2 tau sqrt(d). So the covariance is that of
//! probabilistic principal components (Tipping and Bishop 1999): the axes above that edge are kept, with their eigenvalues
//! corrected for what noise adds on average, and all others share what is left of the trace.

use cryptotl_privacy::{Factoring, Factors};
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView1};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Result, TrainerError};

/// The constant beside a row.
const BESIDE: f64 = 0.5;
/// C: the largest norm of a contribution.
pub(super) const CLIPPING_NORM: f64 = 1.0 + BESIDE * BESIDE;
/// The least share of the mean square of a record that a direction is given.
const LEAST_VARIANCE: f64 = 1e-6;

/// What a source's embeddings are like, with DP noise in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    /// How many labeled units, at least 1.
    pub count: f64,
    /// The mean embedding.
    pub mean: Array1<f64>,
    /// The covariance, positive definite.
    pub covariance: Array2<f64>,
    /// A square root R of the covariance: R R^T.
    root: Array2<f64>,
    /// How many axes stand out of the noise.
    pub axes: usize,
}

/// The factors of a contribution from embeddings of `width` numbers.
pub(super) fn factoring(width: usize) -> Factoring {
    Factoring { outer: vec![(width + 1, width + 1)], plain: 0 }
}

/// A row cut to norm `row_norm`; of one that is not finite, no number is.
pub(super) fn cut(row: ArrayView1<f32>, row_norm: f64) -> Vec<f64> {
    let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let scale = if norm.is_finite() { 1.0 / norm.max(row_norm) } else { f64::NAN };
    row.iter().map(|x| f64::from(*x) * (row_norm * scale)).collect()
}

/// Writes a record's contribution.
pub(super) fn contribution(row: ArrayView1<f32>, row_norm: f64, out: &mut Factors) {
    let row = cut(row, row_norm);
    let (left, right) = out.outer(0);
    for factor in [left, right] {
        factor.iter_mut().zip(&row).for_each(|(u, x)| *u = x / row_norm);
        factor[row.len()] = BESIDE;
    }
}

impl Moments {
    /// From the noisy sum, `[width + 1, width + 1]`, with DP noise of standard deviation `noise` in each of its numbers.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the eigenvalues cannot be computed.
    pub(super) fn of_sum(sum: &Array2<f64>, row_norm: f64, noise: f64) -> Result<Self> {
        let width = sum.nrows() - 1;
        let entry = |i: usize, j: usize| (sum[[i, j]] + sum[[j, i]]) / 2.0;
        let count = (entry(width, width) / (BESIDE * BESIDE)).max(1.0);
        let mean = Array1::from_shape_fn(width, |i| entry(i, width) / (BESIDE * count) * row_norm);
        let unit = row_norm * row_norm;
        let noisy = Mat::from_fn(width, width, |i, j| entry(i, j) / count * unit - mean[i] * mean[j]);
        let edge = 2.0 * (noise / 2f64.sqrt()) * (width as f64).sqrt() / count * unit;
        let eigen = noisy.self_adjoint_eigen(Side::Lower).map_err(|_| {
            TrainerError::training(
                "the noisy covariance has no eigenvalues",
                "use fewer steps or a larger epsilon",
            )
        })?;
        // faer sorts eigenvalues in ascending order.
        let values: Vec<f64> = (0..width).map(|i| eigen.S().column_vector()[i]).collect();
        let axes = values.iter().filter(|&&value| value > edge).count();
        // An eigenvalue l behind noise with this edge shows at l + edge^2 / (4 l) (Benaych-Georges and Nadakuditi 2011).
        let behind = |value: f64| (value + (value * value - edge * edge).sqrt()) / 2.0;
        let kept: Vec<f64> = values[width - axes..].iter().map(|&value| behind(value)).collect();
        let rest = (values.iter().sum::<f64>() - kept.iter().sum::<f64>()) / (width - axes).max(1) as f64;
        let rest = rest.max(LEAST_VARIANCE * unit / width as f64);
        let variance = |i: usize| if i < width - axes { rest } else { kept[i - (width - axes)].max(rest) };
        let vector = |i: usize, j: usize| eigen.U()[(i, j)];
        let root = Array2::from_shape_fn((width, width), |(i, j)| vector(i, j) * variance(j).sqrt());
        Ok(Self { count, mean, covariance: root.dot(&root.t()), root, axes })
    }

    /// Records that nobody is in: Gaussian, with this mean and covariance.
    pub(super) fn made_up(&self, n: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
        let normal = Array2::from_shape_simple_fn((n, self.mean.len()), || StandardNormal.sample(rng));
        let rows: Array2<f64> = normal.dot(&self.root.t()) + &self.mean;
        rows.mapv(|x| x as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretrain::training::stream;

    /// Rows with two strong directions, and the exact sum of their contributions.
    fn source(n: usize, width: usize) -> (Array2<f32>, Array2<f64>) {
        let mut rng = stream(3, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let rows = Array2::from_shape_fn((n, width), |(_, j)| {
            let deviation = [0.3, 0.2].get(j).copied().unwrap_or(0.02);
            (normal() * deviation + if j == 2 { 0.4 } else { 0.0 }) as f32
        });
        let mut sum = Array2::zeros((width + 1, width + 1));
        let mut factors = Factors::new(&factoring(width));
        for row in rows.rows() {
            contribution(row, 2.0, &mut factors);
            assert!(factors.norm() <= CLIPPING_NORM * (1.0 + 1e-12));
            let u = factors.outer(0).0.to_vec();
            sum.iter_mut()
                .zip(u.iter().flat_map(|a| u.iter().map(move |b| a * b)))
                .for_each(|(s, p)| *s += p);
        }
        (rows, sum)
    }

    #[test]
    fn without_noise_they_are_those_of_the_rows() {
        let (rows, sum) = source(500, 5);
        let moments = Moments::of_sum(&sum, 2.0, 0.0).unwrap();
        assert!((moments.count - 500.0).abs() < 1e-9);
        assert_eq!(moments.axes, 5);
        let rows = rows.mapv(f64::from);
        let mean = rows.mean_axis(ndarray::Axis(0)).unwrap();
        let centered = &rows - &mean;
        let covariance = centered.t().dot(&centered) / 500.0;
        assert!(moments.mean.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!(moments.covariance.iter().zip(&covariance).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn noise_leaves_the_strong_axes_and_the_trace() {
        let (width, noise) = (60, 2.0);
        let (_, exact) = source(4000, width);
        let mut rng = stream(4, 0);
        let normal = |rng: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(rng) };
        let sum = exact.mapv(|x| x + noise * normal(&mut rng));
        let moments = Moments::of_sum(&sum, 2.0, noise).unwrap();
        assert_eq!(moments.axes, 2, "the edge is 0.022, the others have a variance of 0.0004");
        assert!((moments.count / 4000.0 - 1.0).abs() < 0.02, "{}", moments.count);
        assert!((moments.covariance[[0, 0]] / 0.09 - 1.0).abs() < 0.1, "{}", moments.covariance[[0, 0]]);
        let made_up = moments.made_up(4000, &mut rng).mapv(f64::from);
        let mean = made_up.mean_axis(ndarray::Axis(0)).unwrap();
        assert!((mean[2] - 0.4).abs() < 0.05, "{mean}");
        let deviation = (&made_up - &mean).column(0).mapv(|x| x * x).mean().unwrap().sqrt();
        assert!((deviation / 0.3 - 1.0).abs() < 0.1, "{deviation}");
    }

    #[test]
    fn nothing_but_noise_still_gives_a_covariance() {
        let mut rng = stream(5, 0);
        let sum = Array2::from_shape_simple_fn((9, 9), || -> f64 { StandardNormal.sample(&mut rng) });
        let moments = Moments::of_sum(&(&sum * -30.0), 1.0, 30.0).unwrap();
        assert!(moments.count >= 1.0);
        assert!(crate::linear::Factored::new(&moments.covariance).is_ok());
    }

    #[test]
    fn a_long_row_is_cut_and_a_broken_one_contributes_nothing() {
        assert_eq!(cut(ndarray::array![3.0, 4.0].view(), 1.0), [0.6000000000000001, 0.8]);
        assert_eq!(cut(ndarray::array![0.3, 0.4].view(), 1.0), [f64::from(0.3f32), f64::from(0.4f32)]);
        for broken in [f32::NAN, f32::INFINITY] {
            let mut factors = Factors::new(&factoring(2));
            contribution(ndarray::array![broken, 1.0].view(), 1.0, &mut factors);
            assert!(!factors.norm().is_finite());
        }
    }
}

//! Linear heads without privacy: logistic regression for two labels and for more, and principal axes.
//!
//! These run on public data only: the source's own head, the zero-shot floor and, in benchmarks, the
//! ceiling.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

use crate::error::{Result, TrainerError};

/// The logistic function, without overflow.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// Minimizes `sum_i log(1 + exp(-s_i w.x_i)) + ridge/2 |w|^2` over `w`, `s_i = +-1` for `targets` 1 and 0,
/// by iteratively reweighted least squares (Hastie, Tibshirani and Friedman 2009, section 4.4.1).
///
/// `rows` is `[n, dimension]`; the coordinate `free` is not penalized.
///
/// # Errors
/// [`TrainerError::Training`] when there is no row or the normal equations have no solution.
pub fn logistic_regression(
    rows: ArrayView2<f64>,
    targets: ArrayView1<f64>,
    ridge: f64,
    free: Option<usize>,
) -> Result<Array1<f64>> {
    weighted_logistic_regression(rows, targets, Array1::ones(rows.nrows()).view(), ridge, free)
}

/// The same with a weight for each record's term of the sum.
///
/// # Errors
/// As for [`logistic_regression`].
pub fn weighted_logistic_regression(
    rows: ArrayView2<f64>,
    targets: ArrayView1<f64>,
    weights: ArrayView1<f64>,
    ridge: f64,
    free: Option<usize>,
) -> Result<Array1<f64>> {
    const MAX_ITERATIONS: usize = 50;
    const TOLERANCE: f64 = 1e-9;
    let dimension = rows.ncols();
    if rows.nrows() == 0 {
        return Err(TrainerError::training("there are no labeled records", "give labeled records"));
    }
    let penalty = |i: usize| if Some(i) == free { 1e-9 } else { ridge };
    let mut solution = Array1::<f64>::zeros(dimension);
    for _ in 0..MAX_ITERATIONS {
        let probabilities = rows.dot(&solution).mapv(sigmoid);
        let mut gradient = rows.t().dot(&((&probabilities - &targets) * weights));
        let curvature = probabilities.mapv(|p| (p * (1.0 - p)).max(1e-9)) * weights;
        let mut hessian = weighted_gram(rows, curvature.view());
        for i in 0..dimension {
            gradient[i] += penalty(i) * solution[i];
            hessian[[i, i]] += penalty(i);
        }
        let step = solve_positive(&hessian, &gradient)?;
        solution -= &step;
        if step.iter().all(|s| s.abs() < TOLERANCE) {
            break;
        }
    }
    Ok(solution)
}

/// Minimizes `sum_i weights_i (log sum_k exp(w_k.x_i) - sum_k targets_ik w_k.x_i) + ridge/2 sum_k |w_k|^2`: multinomial
/// logistic regression with a vector of weights for each of the columns of `targets`, `[n, labels]`, whose rows
/// are probabilities. Returns `[labels, dimension]`.
///
/// The Hessian is at most `I (x) (G/2 + ridge)` with `G = sum_i weights_i x_i x_i^T` (Böhning 1992), factored once; steps by
/// that bound are accelerated (Nesterov 1983), and begin anew where the momentum points uphill (O'Donoghue and Candès 2015).
///
/// # Errors
/// As for [`logistic_regression`].
pub fn softmax_regression(
    rows: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    weights: ArrayView1<f64>,
    ridge: f64,
    free: Option<usize>,
) -> Result<Array2<f64>> {
    const MAX_ITERATIONS: usize = 2000;
    const TOLERANCE: f64 = 1e-9;
    let dimension = rows.ncols();
    if rows.nrows() == 0 {
        return Err(TrainerError::training("there are no labeled records", "give labeled records"));
    }
    let penalty = Array1::from_shape_fn(dimension, |i| if Some(i) == free { 1e-9 } else { ridge });
    let bound = Factored::new(&(weighted_gram(rows, weights) * 0.5 + Array2::from_diag(&penalty)))?;
    let mut solution = Array2::<f64>::zeros((targets.ncols(), dimension));
    let (mut ahead, mut momentum) = (solution.clone(), 1.0_f64);
    for _ in 0..MAX_ITERATIONS {
        let mut residuals = rows.dot(&ahead.t());
        residuals.rows_mut().into_iter().for_each(softmax);
        residuals -= &targets;
        residuals *= &weights.insert_axis(Axis(1));
        let gradient = residuals.t().dot(&rows) + &ahead * &penalty;
        let mut next = ahead.clone();
        for (mut own, gradient) in next.rows_mut().into_iter().zip(gradient.rows()) {
            own -= &bound.solve(&gradient.to_owned());
        }
        let is_over = next.iter().zip(&ahead).all(|(a, b)| (a - b).abs() < TOLERANCE);
        let moved = &next - &solution;
        if (&gradient * &moved).sum() > 0.0 {
            momentum = 1.0;
        }
        let following = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
        ahead = &next + moved * ((momentum - 1.0) / following);
        (solution, momentum) = (next, following);
        if is_over {
            break;
        }
    }
    Ok(solution)
}

/// Scores become probabilities.
pub fn softmax(mut scores: ArrayViewMut1<f64>) {
    let largest = scores.iter().fold(f64::NEG_INFINITY, |largest, z| largest.max(*z));
    scores.mapv_inplace(|z| (z - largest).exp());
    let total = scores.sum();
    scores.mapv_inplace(|p| p / total);
}

/// One score, of the second label against the first, becomes its probability; more become those of the labels.
pub(crate) fn probabilities(scores: &mut [f64]) {
    match scores {
        [score] => *score = sigmoid(*score),
        _ => softmax(scores.into()),
    }
}

/// Logistic regression for `targets` of one column, multinomial for more: a vector of weights a column,
/// `[columns, dimension]`.
///
/// # Errors
/// As for [`logistic_regression`].
pub(crate) fn regression(
    rows: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    weights: ArrayView1<f64>,
    ridge: f64,
    free: Option<usize>,
) -> Result<Array2<f64>> {
    if targets.ncols() == 1 {
        let solution = weighted_logistic_regression(rows, targets.column(0), weights, ridge, free)?;
        return Ok(solution.insert_axis(Axis(0)));
    }
    softmax_regression(rows, targets, weights, ridge, free)
}

/// `sum_i weights_i x_i x_i^T`, block by block so that no weighted copy of all rows is made. The sum has one
/// order, whatever the number of threads.
pub(crate) fn weighted_gram(rows: ArrayView2<f64>, weights: ArrayView1<f64>) -> Array2<f64> {
    /// Rows in a block, and blocks at a time: what is held in memory besides the rows.
    const BLOCK: usize = 2048;
    const AT_A_TIME: usize = 8;
    let dimension = rows.ncols();
    let starts: Vec<usize> = (0..rows.nrows()).step_by(BLOCK).collect();
    let mut gram = Array2::zeros((dimension, dimension));
    for group in starts.chunks(AT_A_TIME) {
        let parts: Vec<Array2<f64>> = group
            .par_iter()
            .map(|&start| {
                let range = s![start..(start + BLOCK).min(rows.nrows()), ..];
                let block = rows.slice(range);
                let weights = weights.slice(s![start..start + block.nrows()]).insert_axis(Axis(1));
                block.t().dot(&(&block * &weights))
            })
            .collect();
        parts.iter().for_each(|part| gram += part);
    }
    gram
}

/// Solves `matrix x = right` for a symmetric positive definite matrix.
pub fn solve_positive(matrix: &Array2<f64>, right: &Array1<f64>) -> Result<Array1<f64>> {
    Ok(Factored::new(matrix)?.solve(right))
}

/// A Cholesky factorization that is used many times.
pub struct Factored {
    factors: faer::linalg::solvers::Llt<f64>,
}

impl Factored {
    /// Factors a symmetric positive definite matrix.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when it is not positive definite.
    pub fn new(matrix: &Array2<f64>) -> Result<Self> {
        let matrix = Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]]);
        let factors = matrix.llt(Side::Lower).map_err(|_| {
            TrainerError::training(
                "a covariance matrix is not positive definite",
                "use a source with more records or a larger ridge",
            )
        })?;
        Ok(Self { factors })
    }

    /// The solution for one right side.
    pub fn solve(&self, right: &Array1<f64>) -> Array1<f64> {
        let right = Mat::from_fn(right.len(), 1, |i, _| right[i]);
        let solution = self.factors.solve(&right);
        (0..solution.nrows()).map(|i| solution[(i, 0)]).collect()
    }
}

/// The leading principal axes of centered rows, `[rank, width]`, largest variance first; fewer when the
/// rows span fewer.
///
/// # Errors
/// [`TrainerError::Training`] when the eigenvalues cannot be computed.
pub fn principal_axes(centered: ArrayView2<f64>, rank: usize) -> Result<Array2<f64>> {
    let width = centered.ncols();
    let share = 1.0 / centered.nrows().max(1) as f64;
    let covariance = weighted_gram(centered, Array1::from_elem(centered.nrows(), share).view());
    let matrix = Mat::from_fn(width, width, |i, j| covariance[[i, j]]);
    let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| {
        TrainerError::training(
            "the source's covariance has no eigenvalues",
            "check that its embeddings are finite",
        )
    })?;
    // faer sorts eigenvalues in ascending order.
    let values = eigen.S().column_vector();
    let largest = values[width - 1].max(0.0);
    let kept = (0..width).rev().take(rank).take_while(|&i| values[i] > 1e-12 * largest).collect::<Vec<_>>();
    // An eigenvector's sign is arbitrary; fixing it makes the same source give the same file.
    let mut axes = Array2::zeros((kept.len(), width));
    for (row, &i) in kept.iter().enumerate() {
        let vector = eigen.U().col(i);
        let pivot = (0..width).max_by(|&a, &b| vector[a].abs().total_cmp(&vector[b].abs())).unwrap_or(0);
        let sign = vector[pivot].signum();
        for j in 0..width {
            axes[[row, j]] = sign * vector[j];
        }
    }
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn newton_finds_the_point_where_the_gradient_vanishes() {
        let rows = array![[1.0, 0.5], [1.0, -1.5], [1.0, 2.0], [1.0, -0.3], [1.0, 0.1]];
        let targets = array![1.0, 0.0, 1.0, 1.0, 0.0];
        let ridge = 0.7;
        let w = logistic_regression(rows.view(), targets.view(), ridge, None).unwrap();
        let residual = rows.dot(&w).mapv(sigmoid) - &targets;
        let gradient = rows.t().dot(&residual) + ridge * &w;
        assert!(gradient.iter().all(|g| g.abs() < 1e-8), "{gradient}");
    }

    #[test]
    fn a_weight_counts_like_that_many_records() {
        let rows = array![[1.0, 0.5], [1.0, -1.5], [1.0, 2.0], [1.0, -0.3]];
        let targets = array![1.0, 0.0, 0.0, 1.0];
        let order = [0, 0, 0, 1, 2, 2, 3];
        let repeated = (rows.select(Axis(0), &order), targets.select(Axis(0), &order));
        let expected = logistic_regression(repeated.0.view(), repeated.1.view(), 0.3, Some(0)).unwrap();
        let weights = array![3.0, 1.0, 2.0, 1.0];
        let got =
            weighted_logistic_regression(rows.view(), targets.view(), weights.view(), 0.3, Some(0)).unwrap();
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{got} and {expected}");
    }

    #[test]
    fn softmax_regression_finds_the_point_where_the_gradient_vanishes() {
        let rows = Array2::from_shape_fn(
            (60, 4),
            |(i, j)| {
                if j == 3 { 1.0 } else { ((7 * i + 5 * j) as f64).sin() }
            },
        );
        let targets = Array2::from_shape_fn((60, 3), |(i, k)| f64::from((i * i + i / 4) % 3 == k));
        let weights = Array1::from_shape_fn(60, |i| 1.0 + (i % 4) as f64);
        let w = softmax_regression(rows.view(), targets.view(), weights.view(), 0.7, Some(3)).unwrap();
        let mut residuals = rows.dot(&w.t());
        residuals.rows_mut().into_iter().for_each(softmax);
        residuals = (residuals - &targets) * weights.view().insert_axis(Axis(1));
        let gradient = residuals.t().dot(&rows);
        for ((k, i), g) in gradient.indexed_iter() {
            let penalty = if i == 3 { 0.0 } else { 0.7 };
            assert!((g + penalty * w[[k, i]]).abs() < 1e-6, "{g}");
        }
        assert!(w.iter().any(|x| x.abs() > 0.1));
    }

    /// Two scores with opposite weights are one score with their difference, at half the ridge.
    #[test]
    fn softmax_regression_on_two_labels_is_logistic_regression() {
        let rows = Array2::from_shape_fn((40, 3), |(i, j)| ((3 * i + 11 * j) as f64).cos());
        let ones: Array1<f64> = (0..40).map(|i| f64::from((i / 3) % 2 == 0)).collect();
        let targets = ndarray::stack![Axis(1), 1.0 - &ones, ones];
        let weights = Array1::ones(40);
        let both = softmax_regression(rows.view(), targets.view(), weights.view(), 0.8, None).unwrap();
        let one = logistic_regression(rows.view(), ones.view(), 0.4, None).unwrap();
        let difference = &both.row(1) - &both.row(0);
        assert!(difference.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-7), "{difference} {one}");
    }

    #[test]
    fn a_gram_of_many_blocks_is_the_product() {
        let rows = Array2::from_shape_fn((20_001, 3), |(i, j)| ((i * 7 + j * 3) as f64).sin());
        let weights = Array1::from_shape_fn(20_001, |i| (i % 5) as f64);
        let expected = rows.t().dot(&(&rows * &weights.view().insert_axis(Axis(1))));
        let got = weighted_gram(rows.view(), weights.view());
        assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-8 * b.abs().max(1.0)));
        assert_eq!(
            weighted_gram(rows.slice(s![..0, ..]), weights.slice(s![..0])),
            Array2::<f64>::zeros((3, 3))
        );
    }

    #[test]
    fn principal_axes_are_orthonormal_and_ordered() {
        let rows = array![[3.0, 0.1, 0.0], [-3.0, 0.2, 0.0], [1.0, -1.0, 0.0], [-1.0, 0.7, 0.0]];
        let axes = principal_axes(rows.view(), 3).unwrap();
        assert_eq!(axes.nrows(), 2, "the third coordinate is constant");
        let product = axes.dot(&axes.t());
        for i in 0..2 {
            for j in 0..2 {
                assert!((product[[i, j]] - f64::from(i == j)).abs() < 1e-12);
            }
        }
        assert!(axes[[0, 0]] > 0.9);
    }
}

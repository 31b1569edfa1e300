//! Linear heads without privacy: logistic regression by Newton's method, and principal axes.
//!
//! These run on public data only: the source's own head, the zero-shot floor and, in benchmarks, the
//! ceiling.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::error::{Result, TrainerError};

/// The logistic function, without overflow.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// Minimizes `sum_i log(1 + exp(-s_i w.x_i)) + ridge/2 |w|^2` over `w`, `s_i = +-1` for `targets` 1 and 0,
/// by iteratively reweighted least squares (Hastie, Tibshirani and Friedman 2009, section 4.4.1).
///
/// `rows` is `[n, dimension]`; the coordinates flagged in `free` are not penalized.
///
/// # Errors
/// [`TrainerError::Training`] when there is no row or the normal equations have no solution.
pub fn logistic_regression(
    rows: ArrayView2<f64>,
    targets: ArrayView1<f64>,
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
    let mut weights = Array1::<f64>::zeros(dimension);
    for _ in 0..MAX_ITERATIONS {
        let probabilities = rows.dot(&weights).mapv(sigmoid);
        let mut gradient = rows.t().dot(&(&probabilities - &targets));
        let curvature = probabilities.mapv(|p| (p * (1.0 - p)).max(1e-9));
        let weighted = &rows * &curvature.insert_axis(ndarray::Axis(1));
        let mut hessian = rows.t().dot(&weighted);
        for i in 0..dimension {
            gradient[i] += penalty(i) * weights[i];
            hessian[[i, i]] += penalty(i);
        }
        let step = solve_positive(&hessian, &gradient)?;
        weights -= &step;
        if step.iter().all(|s| s.abs() < TOLERANCE) {
            break;
        }
    }
    Ok(weights)
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
    let covariance = centered.t().dot(&centered) / centered.nrows().max(1) as f64;
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

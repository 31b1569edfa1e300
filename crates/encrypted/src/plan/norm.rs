//! Sound bounds on matrix norms: what a layer can do to the length of a vector.

use ndarray::{Array2, Axis};

/// Up to here the Gram matrix is worth its time.
const MAX_GRAM: usize = 1024;
/// Squarings of the Gram matrix.
const SQUARINGS: i32 = 3;

/// An upper bound on the spectral norm `||A||`, the largest `|A x| / |x|`.
///
/// For `G = A^T A`, `||A||^2 = ||G|| = ||G^8||^(1/8)`, at most the Frobenius norm of `G^8` to the power 1/8.
/// That is over by a factor of at most `n^(1/32)`, 1.24 for `n = 1024`. Larger matrices are bounded by the smaller of their
/// Frobenius norm and the geometric mean of the largest absolute row and column sums.
pub(crate) fn spectral_bound(matrix: &Array2<f64>) -> f64 {
    let frobenius = frobenius(matrix);
    let sums = |axis| matrix.map(|w| w.abs()).sum_axis(Axis(axis)).fold(0.0, |max: f64, sum| max.max(*sum));
    let cheap = frobenius.min((sums(0) * sums(1)).sqrt());
    let size = matrix.nrows().min(matrix.ncols());
    if size > MAX_GRAM || !(cheap > 0.0 && cheap.is_finite()) {
        return round_up(cheap);
    }
    // Scaled to norm at most 1, so that no power overflows.
    let scaled = matrix / cheap;
    let mut power =
        if matrix.nrows() < matrix.ncols() { scaled.dot(&scaled.t()) } else { scaled.t().dot(&scaled) };
    for _ in 0..SQUARINGS {
        power = power.dot(&power);
    }
    let root = self::frobenius(&power).powf(0.5f64.powi(SQUARINGS + 1));
    // A part in a million for the rounding of the products.
    round_up(cheap.min(cheap * root * (1.0 + 1e-6)))
}

/// The next of 64 steps an octave, so that machines that sum in another order still agree on a plan.
fn round_up(bound: f64) -> f64 {
    if bound > 0.0 { ((bound.log2() * 64.0).ceil() / 64.0).exp2() } else { bound }
}

fn frobenius(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|w| w * w).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Normal;

    /// The norm by power iteration, from below.
    fn by_iteration(matrix: &Array2<f64>) -> f64 {
        let mut x = ndarray::Array1::from_elem(matrix.ncols(), 1.0);
        let mut norm = 0.0f64;
        for _ in 0..2000 {
            x /= f64::sqrt(x.dot(&x));
            let image = matrix.dot(&x);
            norm = f64::sqrt(image.dot(&image));
            x = matrix.t().dot(&image);
        }
        norm
    }

    #[test]
    fn bounds_the_norm_closely() {
        for (rows, columns, seed) in [(1, 1, 1), (5, 40, 2), (40, 5, 3), (60, 60, 4)] {
            let mut normal = Normal::new(seed);
            let matrix = Array2::from_shape_simple_fn((rows, columns), || normal.next());
            let (norm, bound) = (by_iteration(&matrix), spectral_bound(&matrix));
            assert!(norm <= bound * (1.0 + 1e-9) && bound < 1.25 * norm, "{norm} {bound}");
        }
        assert_eq!(spectral_bound(&Array2::zeros((3, 3))), 0.0);
        let large = Array2::from_elem((1025, 1025), 1.0);
        let bound = spectral_bound(&large);
        assert!((1025.0..1025.0 * 1.011).contains(&bound), "{bound}");
    }
}

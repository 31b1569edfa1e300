//! Clipping to the integer grid: the proof of sensitivity lives here.
//!
//! Floats cannot prove a bound on a sum: the computed norm is off by rounding, and a float sum depends
//! on the order of its terms (Casacuberta, Shoemate, Vadhan and Wagaman 2022). So each contribution
//! becomes a vector of integers whose norm is checked *exactly*, and only integers are added.
//!
//! With the clipping norm C and R = 2^30, one grid step is C/R. The norm |.| is Euclidean for Gaussian DP
//! noise and the 1-norm for Laplace. A contribution x becomes
//!
//! 1. y = x * min(1, C/|x|) * R/C in floats,
//! 2. each coordinate of y rounded toward zero and bounded by R,
//! 3. while the exact norm is above R: each nonzero coordinate one step closer to zero.
//!
//! Whatever the floats did, the result is an integer vector with norm at most R. Adding or removing one
//! unit therefore changes the integer sum by at most R, and replacing one by at most 2R. Step 3 runs
//! only when rounding put a vector of norm C just outside, and then once: the excess of the squared
//! Euclidean norm is at most about dimension * 2^-53 * R^2, and one pass removes at least the 1-norm,
//! which is at least R. In any case it ends, because every pass shrinks the largest coordinate.
//!
//! Example with C = 2 and R = 8 (a grid step of 1/4): x = (3, 0.6) has norm 3.06, so y = (7.84, 1.57)
//! and the result is (7, 1), with 49 + 1 <= 64. Rounding costs at most one grid step a coordinate,
//! 1e-9 of C at R = 2^30.

use super::sampler::Noise;

/// R, the clipping norm in grid steps. A power of two, so that scaling by it is exact.
pub const GRID_RADIUS: i64 = 1 << 30;

/// Rows that can be squared and added in a `u64`: each square is at most 2^60.
const SQUARES_IN_A_WORD: usize = 8;

/// Clips contributions of one dimension to one norm. Not `Debug`: it holds the last contribution.
pub(super) struct GridClipper {
    noise: Noise,
    clipping_norm: f64,
    /// The last clipped contribution, in grid steps.
    row: Vec<i32>,
}

impl GridClipper {
    pub(super) fn new(noise: Noise, dimension: usize, clipping_norm: f64) -> GridClipper {
        GridClipper { noise, clipping_norm, row: vec![0; dimension] }
    }

    /// The clipped contribution in grid steps, with norm at most [`GRID_RADIUS`].
    ///
    /// `None` stands for the zero vector: a contribution with a NaN, an infinity or the wrong number
    /// of coordinates. This is decided before any data is seen, so that no record can cause an error.
    pub(super) fn clip(&mut self, contribution: &[f64]) -> Option<&[i32]> {
        if contribution.len() != self.row.len() {
            return None;
        }
        let norm = self.norm(contribution, 1.0);
        if norm.is_finite() {
            // A norm that underflowed to zero is far below C and needs no clipping.
            self.round(contribution, 1.0, GRID_RADIUS as f64 / norm.max(self.clipping_norm));
        } else {
            // A non-finite coordinate, or finite ones whose norm overflows; those are brought into
            // range by their largest magnitude first. Such a norm is above every clipping norm.
            let largest = contribution.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            if contribution.iter().any(|x| !x.is_finite()) {
                return None;
            }
            let shrink = 1.0 / largest.max(f64::MIN_POSITIVE);
            let norm = self.norm(contribution, shrink);
            self.round(contribution, shrink, GRID_RADIUS as f64 / norm);
        }
        while self.is_outside() {
            for value in &mut self.row {
                *value -= value.signum();
            }
        }
        Some(&self.row)
    }

    /// The norm of `shrink * x`, in floats.
    fn norm(&self, x: &[f64], shrink: f64) -> f64 {
        match self.noise {
            Noise::Gaussian => sum_in_lanes(x, |x| (x * shrink) * (x * shrink)).sqrt(),
            Noise::Laplace => sum_in_lanes(x, |x| (x * shrink).abs()),
        }
    }

    /// Whether the exact norm of the row is above the radius.
    fn is_outside(&self) -> bool {
        match self.noise {
            Noise::Gaussian => squared_norm(&self.row) > (GRID_RADIUS as u128).pow(2),
            Noise::Laplace => one_norm(&self.row) > GRID_RADIUS as u64,
        }
    }

    /// Steps 1 and 2: scales by `first * second`, rounds toward zero, bounds by the radius.
    fn round(&mut self, contribution: &[f64], first: f64, second: f64) {
        let bound = GRID_RADIUS as f64;
        for (steps, &x) in self.row.iter_mut().zip(contribution) {
            // `as` truncates toward zero; the bound keeps it far inside an i32.
            *steps = (x * first * second).clamp(-bound, bound) as i32;
        }
    }
}

/// The sum of `term` over `x`, in eight independent lanes.
fn sum_in_lanes(x: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let chunks = x.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += term(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += term(x);
    }
    lanes.iter().sum()
}

/// The exact 1-norm. At most 2^26 coordinates of at most 2^30: it fits a `u64`.
fn one_norm(row: &[i32]) -> u64 {
    row.iter().map(|value| u64::from(value.unsigned_abs())).sum()
}

/// The exact squared norm. Coordinates are at most 2^30 in magnitude, so eight squares fit a `u64`.
fn squared_norm(row: &[i32]) -> u128 {
    row.chunks(SQUARES_IN_A_WORD)
        .map(|chunk| {
            let squares = chunk.iter().fold(0_u64, |sum, &value| {
                let magnitude = u64::from(value.unsigned_abs());
                // At most 8 * 2^60: neither operation can wrap.
                sum.wrapping_add(magnitude.wrapping_mul(magnitude))
            });
            u128::from(squares)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clipped_for(noise: Noise, contribution: &[f64], clipping_norm: f64) -> Option<Vec<i32>> {
        GridClipper::new(noise, contribution.len(), clipping_norm).clip(contribution).map(<[i32]>::to_vec)
    }

    fn clipped(contribution: &[f64], clipping_norm: f64) -> Option<Vec<i32>> {
        clipped_for(Noise::Gaussian, contribution, clipping_norm)
    }

    const R: i32 = GRID_RADIUS as i32;

    #[test]
    fn the_fixed_outcomes() {
        assert_eq!(clipped(&[f64::NAN, 1.0], 1.0), None);
        assert_eq!(clipped(&[f64::INFINITY, 1.0], 1.0), None);
        assert_eq!(clipped(&[1.0, f64::NEG_INFINITY], 1.0), None);
        assert_eq!(GridClipper::new(Noise::Gaussian, 3, 1.0).clip(&[1.0]), None);
        assert_eq!(clipped(&[0.0, -0.0], 1.0), Some(vec![0, 0]));
        assert_eq!(clipped(&[5e-324, -5e-324], 1.0), Some(vec![0, 0]));
        assert_eq!(clipped(&[1.0, 0.0], 1.0), Some(vec![R, 0]));
        assert_eq!(clipped(&[0.0, -3.0], 3.0), Some(vec![0, -R]));
        assert_eq!(clipped(&[0.25, -0.5], 1.0), Some(vec![R / 4, -R / 2]));
    }

    #[test]
    fn a_huge_contribution_keeps_its_direction() {
        let diagonal = (f64::from(R) / 2.0_f64.sqrt()) as i32;
        for size in [1e9, 1e160, 1e308, f64::MAX] {
            let row = clipped(&[size, -size], 0.5).unwrap();
            assert!((row[0] - diagonal).abs() <= 2 && row[0] == -row[1], "{size}: {row:?}");
        }
    }

    #[test]
    fn a_row_outside_the_ball_is_brought_inside() {
        // (0.6, 0.8) has norm 1 exactly, but neither float is exact.
        let row = clipped(&[0.6, 0.8], 1.0).unwrap();
        assert!(squared_norm(&row) <= (GRID_RADIUS as u128).pow(2));
        assert!(row[0] >= (0.6 * f64::from(R)) as i32 - 2, "{row:?}");
    }

    #[test]
    fn the_one_norm_is_clipped_for_laplace_noise() {
        let clipped = |x: &[f64]| clipped_for(Noise::Laplace, x, 1.0);
        assert_eq!(clipped(&[0.25, -0.5]), Some(vec![R / 4, -R / 2]));
        assert_eq!(clipped(&[3.0, -1.0]), Some(vec![R / 4 * 3, -R / 4]));
        assert_eq!(clipped(&[f64::MAX, -f64::MAX]), Some(vec![R / 2, -R / 2]));
        assert_eq!(clipped(&[f64::NAN, 1.0]), None);
    }

    proptest! {
        #[test]
        fn the_norm_never_exceeds_the_radius(
            mut contribution in prop::collection::vec(proptest::num::f64::ANY, 1..40),
            unit in prop::collection::vec(-1.0..1.0_f64, 40),
            is_wild: bool,
            exponent in -300..300_i32,
            is_laplace: bool,
        ) {
            let noise = if is_laplace { Noise::Laplace } else { Noise::Gaussian };
            let clipping_norm = 2.0_f64.powi(exponent) * 1.234;
            if !is_wild {
                // Vectors with a norm of C up to rounding, where a float proof would fail.
                let n = contribution.len();
                let norm = GridClipper::new(noise, n, 1.0).norm(&unit[..n], 1.0);
                contribution = unit[..n].iter().map(|x| x / norm * clipping_norm).collect();
            }
            if let Some(row) = clipped_for(noise, &contribution, clipping_norm) {
                match noise {
                    Noise::Gaussian => prop_assert!(squared_norm(&row) <= (GRID_RADIUS as u128).pow(2)),
                    Noise::Laplace => prop_assert!(one_norm(&row) <= GRID_RADIUS as u64),
                }
            }
        }

        #[test]
        fn a_short_contribution_moves_less_than_a_grid_step(x in prop::collection::vec(-0.1..0.1_f64, 1..40)) {
            let row = clipped(&x, 1.0).unwrap();
            for (steps, x) in row.iter().zip(&x) {
                let exact = x * f64::from(R);
                prop_assert!(f64::from(*steps).abs() <= exact.abs() && (f64::from(*steps) - exact).abs() < 1.0);
            }
        }
    }
}

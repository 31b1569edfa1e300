//! The encryption error a plan is expected to have, used to balance its scales and told to the user.
//!
//! It is a model, not a bound. Its one assumption is that records are standardized: independent inputs
//! of mean 0 and deviation 1 (or the input bound, if that is smaller), so that `u` is near normal.
//! Measured errors agree with it within a factor of 1.5 on random networks. The error of a feature
//! `sum_j w_j t(u_j)` has these sources, independent of each other:
//!
//! * the rescaling after the first layer and the rounding of its weights: an error of `u_j`, carried by the
//!   slope `t'(u_j)`;
//! * the rescaling after `u^2`, carried by `u_j`, and the one after the product;
//! * the rounding of the second layer's weights, carried by the deviation of `t(u_j)` (its mean is
//!   corrected in the bias).
//!
//! The error of a slot `k` is proportional to the magnitude of the secret polynomial there, `|s(zeta_k)|`,
//! whose square is near exponentially distributed over the slots: under one key a few of 4096 slots have
//! three times the rms error. A maximum over many records is therefore 8 to 10 times the rms, not the 5
//! of a normal distribution.
//!
//! A fresh ciphertext's error and that of key switching are far smaller: the former is divided by a prime
//! with the first rescaling, the latter happens before a rescaling.

use ndarray::{Array1, Array2, Axis};

use crate::params::ParameterSet;
use crate::plan::fold::{Core, FoldedNetwork};
use crate::plan::levels::Scales;

/// The deviation of one real slot after a rescaling, times the scale: rounding two polynomials to integers
/// adds uniform errors of variance 1/12 to `c0` and `c1`, and the latter meets a ternary secret of variance
/// 2/3: `sqrt(N/24 (1 + 2N/3))`, 1365 for `N = 8192`.
pub(crate) fn slot_error(set: ParameterSet) -> f64 {
    let n = set.degree() as f64;
    (n / 24.0 * (1.0 + 2.0 * n / 3.0)).sqrt()
}

/// The deviation of one real slot of an encoded plaintext, times the scale: rounding the coefficients to integers adds
/// uniform errors of variance 1/12 to each, `sqrt(N/12)`. All of it is in the real parts, because the coefficients of real
/// slots come in pairs `m_j = -m_(N-j)`, rounded alike.
pub(crate) fn encoding_error(set: ParameterSet) -> f64 {
    (set.degree() as f64 / 12.0).sqrt()
}

/// What typical records do to each unit of the activation layer.
pub(crate) struct Moments {
    /// The mean of `t(u_j)`.
    pub(crate) mean: Array1<f64>,
    /// The variance of `t(u_j)`.
    variance: Array1<f64>,
    /// The mean of `t'(u_j)^2`.
    slope_squared: Array1<f64>,
    /// The mean of `u_j^2`.
    square: Array1<f64>,
    /// The variance of the error of `u_j` that is there before its rescale, from rounded weights above all.
    rounding: Array1<f64>,
    /// The mean square of the weights that carry unit `j` to the features.
    carried: Array1<f64>,
}

impl Moments {
    /// The moments for normal inputs of deviation `min(1, max_abs)`; `rounding` is the variance of the error of each
    /// unit before its rescale.
    pub(crate) fn of_units(network: &FoldedNetwork, rounding: Array1<f64>, max_abs: f64) -> Self {
        let input_variance = max_abs.min(1.0).powi(2);
        let n = network.first.bias.len();
        let mut moments = Self {
            mean: Array1::zeros(n),
            variance: Array1::zeros(n),
            slope_squared: Array1::zeros(n),
            square: Array1::zeros(n),
            rounding,
            carried: mean_squares(&network.second.weight),
        };
        for (j, (row, m)) in network.first.weight.rows().into_iter().zip(&network.first.bias).enumerate() {
            let variance = input_variance * row.dot(&row);
            // Raw moments of a normal variable of mean m and this variance.
            let m2 = m * m;
            let second = m2 + variance;
            let third = m * (m2 + 3.0 * variance);
            let fourth = m2 * m2 + 6.0 * m2 * variance + 3.0 * variance * variance;
            let sixth = m2.powi(3)
                + 15.0 * m2 * m2 * variance
                + 45.0 * m2 * variance * variance
                + 15.0 * variance.powi(3);
            moments.square[j] = second;
            let (mean, mean_square, slope_squared) = match network.core {
                Core::Square => (second, fourth, 4.0 * second),
                Core::Cube { linear: k } => (
                    third + k * m,
                    sixth + 2.0 * k * fourth + k * k * second,
                    9.0 * fourth + 6.0 * k * second + k * k,
                ),
            };
            moments.mean[j] = mean;
            moments.variance[j] = (mean_square - mean * mean).max(0.0);
            moments.slope_squared[j] = slope_squared.max(0.0);
        }
        moments
    }

    /// The predicted rms error over all features. `weight_rounding` is the variance of one rounded weight of the
    /// second layer, `rescales` how many errors of a rescale an activated unit has.
    pub(crate) fn error(
        &self,
        network: &FoldedNetwork,
        scales: &Scales,
        set: ParameterSet,
        weight_rounding: f64,
        rescales: f64,
    ) -> f64 {
        let slot = slot_error(set);
        let mut per_unit = Array1::zeros(self.mean.len());
        for (j, error) in per_unit.iter_mut().enumerate() {
            let of_u = (slot / scales.u).powi(2) + self.rounding[j];
            let of_square = match network.core {
                Core::Square => 0.0,
                Core::Cube { .. } => self.square[j] * (slot / scales.square).powi(2),
            };
            *error = self.slope_squared[j] * of_u + of_square + rescales * (slot / scales.activated).powi(2);
        }
        (self.carried.dot(&per_unit) + weight_rounding * self.variance.sum()).sqrt()
    }

    /// The deviation of a feature over typical records, as rms over features, with units taken as
    /// independent.
    pub(crate) fn feature_deviation(&self) -> f64 {
        self.carried.dot(&self.variance).sqrt()
    }
}

/// The mean square of each column.
fn mean_squares(weight: &Array2<f64>) -> Array1<f64> {
    weight.mapv(|w| w * w).mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(weight.ncols()))
}

//! Integer weights, scales and bounds: from real numbers to what ciphertexts can carry.
//!
//! A ciphertext holds `scale * value`. For a cubic and five data primes the scales and the levels (numbers
//! of data primes) are
//!
//! | step | scale | level |
//! | --- | --- | --- |
//! | query | `Sx` | 5 |
//! | first layer, integer weights of scale `S1`; rescale | `Su = Sx S1 / q4` | 4 |
//! | `u^2`; rescale; `+- 1` | `Sv = Su^2 / q3` | 3 |
//! | times `u`; rescale | `St = Sv Su / q2` | 2 |
//! | second layer, integer weights of scale `S2`, no rescale | `Sy = St S2` | 2 |
//!
//! Each further data prime raises all levels by one and leaves more room. A quadratic leaves out the third
//! step and starts one level lower. Nothing wraps modulo `Q_L = q0 ... q(L-1)`
//! as long as `scale * |value| < Q_L / 2` in each slot at each level: a coefficient of the plaintext
//! polynomial is at most the mean of the slots' magnitudes. The bounds on the values are *sound*: intervals
//! computed from the integer weights and the input bound, with no assumption on the data.
//!
//! `S1` is as large as the exact product allows ([`crate::gemm`]). `Su` and `S2` share what the last
//! modulus leaves, `Su^3 S2 = const`: [`choose`] tries values of `S2` and keeps the one with the smallest
//! predicted error.

use cryptotl_model::AffineMap;
use ndarray::Array1;

use crate::error::{EncryptedError, Result};
use crate::gemm::IntegerMatrix;
use crate::params::ParameterSet;
use crate::plan::error_model::Moments;
use crate::plan::fold::{Core, FoldedNetwork};
use crate::plan::quantize::{
    intervals, largest_magnitude, largest_scale, quantize, rounding_variance, weighted_bound,
};

/// How many data primes a response keeps: those that the three rescalings of a cubic leave. They carry the
/// unrescaled product of the second layer.
pub(crate) fn output_level(set: ParameterSet) -> usize {
    set.data_primes().len() - 3
}

/// The part of a modulus that values may fill; the rest is room for the encryption error.
const FILL: f64 = 0.98;
/// SEAL encodes through 64-bit integers up to here; larger input scales gain nothing.
const MAX_INPUT_SCALE: f64 = (1u64 << 60) as f64;
/// A plan whose predicted error is over this part of the features' deviation is refused.
const MAX_RELATIVE_ERROR: f64 = 0.01;

/// The scales of one compiled circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scales {
    pub(crate) input: f64,
    pub(crate) first_product: f64,
    pub(crate) u: f64,
    /// The scale of `u^2`; that of `u` for a quadratic, which has no such step.
    pub(crate) square: f64,
    pub(crate) activated: f64,
    pub(crate) output: f64,
}

/// The scales of a compiled circuit, and what was proved about it.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub(crate) input_level: usize,
    pub(crate) scales: Scales,
    /// The largest `|u|` and `|feature|` that an input within the bound can give.
    pub(crate) max_u: f64,
    pub(crate) max_feature: f64,
    pub(crate) predicted_error: f64,
}

/// The integers that the server computes with in feature-major packing.
#[derive(Debug, Clone)]
pub(crate) struct FeatureMajor {
    pub(crate) first: IntegerMatrix,
    pub(crate) first_bias: Vec<i128>,
    pub(crate) second: IntegerMatrix,
    pub(crate) second_bias: Vec<i128>,
}

/// Bounds on the coefficients of the plaintext polynomials, at scale 1, at each step of the circuit.
pub(crate) struct Bounds {
    pub(crate) u: f64,
    /// Of `u^2`.
    pub(crate) square: f64,
    /// Of the activation.
    pub(crate) activated: f64,
    pub(crate) feature: f64,
}

/// Chooses integers and scales for a folded network whose inputs satisfy `|x| <= max_abs`.
pub(crate) fn choose(
    network: &FoldedNetwork,
    set: ParameterSet,
    max_abs: f64,
) -> Result<(FeatureMajor, Levels)> {
    let primes = set.data_primes();
    let largest_prime = primes.iter().copied().max().unwrap_or(0);
    let input_level = output_level(set) + 1 + network.core.depth();

    let AffineMap { weight, bias } = &network.first;
    let first = quantize(weight, largest_scale(weight, largest_prime, "first")?, largest_prime, "first")?;
    let u = intervals(&first, bias, &vec![(-max_abs, max_abs); weight.ncols()]);
    let max_u = largest_magnitude(&u);
    let activated: Vec<(f64, f64)> = u.iter().map(|(low, high)| network.core.range(*low, *high)).collect();
    let moments = Moments::of_units(network, rounding_variance(weight, &first, max_abs), max_abs);
    let circuit = |second_scale: f64, max_feature: f64| {
        let activated = largest_magnitude(&activated);
        let bounds = Bounds { u: max_u, square: max_u * max_u, activated, feature: max_feature };
        let dropped = primes[input_level - 1] as f64;
        let u = largest_u(network.core, set, second_scale, &bounds);
        let input = (u * dropped / first.scale).min(MAX_INPUT_SCALE);
        let scales = Scales::chain(network.core, set, input, first.scale, second_scale);
        let weight_rounding = 1.0 / (12.0 * second_scale * second_scale);
        (scales, moments.error(network, &scales, set, weight_rounding, 1.0))
    };

    // Coarse choice of S2 with the rounding of the second matrix taken as random, then one exact pass.
    let start = largest_scale(&network.second.weight, largest_prime, "second")?;
    let unrounded = weighted_bound(&network.second, &activated);
    let estimate = |second_scale: f64| circuit(second_scale, unrounded).1;
    let second_scale = (0..64)
        .map(|step| start * 2f64.powf(-f64::from(step) / 4.0))
        .min_by(|a, b| estimate(*a).total_cmp(&estimate(*b)))
        .unwrap_or(start);

    let second = quantize(&network.second.weight, second_scale, largest_prime, "second")?;
    // Rounded weights shift the mean of a feature; the mean over typical records goes to the bias.
    let rounded = ndarray::Array2::from_shape_fn(network.second.weight.dim(), |(i, j)| {
        second.integers.row(i)[j] / second_scale
    });
    let second_bias = &network.second.bias + &(&network.second.weight - &rounded).dot(&moments.mean);
    let max_feature = largest_magnitude(&intervals(&second, &second_bias, &activated));
    let (scales, predicted_error) = circuit(second_scale, max_feature);
    let levels = Levels { input_level, scales, max_u, max_feature, predicted_error };
    check_precision(&levels, moments.feature_deviation(), max_abs)?;
    let scaled = |bias: &Array1<f64>, scale: f64| bias.iter().map(|b| (b * scale).round() as i128).collect();
    let integers = FeatureMajor {
        first_bias: scaled(bias, scales.first_product),
        second_bias: scaled(&second_bias, scales.output),
        first: first.integers,
        second: second.integers,
    };
    Ok((integers, levels))
}

/// Refuses a plan whose predicted error is too large for features of this deviation.
pub(crate) fn check_precision(levels: &Levels, deviation: f64, max_abs: f64) -> Result<()> {
    let Levels { scales, predicted_error, max_u, max_feature, .. } = levels;
    if scales.u > 1.0 && *predicted_error <= MAX_RELATIVE_ERROR * deviation {
        return Ok(());
    }
    Err(EncryptedError::unsupported(
        format!(
            "the encryption error would be {predicted_error:.1e} for features of deviation \
             {deviation:.1e}: inputs up to {max_abs} can give |u| up to {max_u:.1e} and \
             features up to {max_feature:.1e}"
        ),
        "clamp inputs more tightly, use smaller weights or a parameter set with larger primes",
    ))
}

/// The largest scale of `u` at which nothing wraps at any level, and no scale itself reaches half of its modulus:
/// SEAL takes no such scale, however small the values are.
pub(crate) fn largest_u(core: Core, set: ParameterSet, second_scale: f64, bounds: &Bounds) -> f64 {
    let primes: Vec<f64> = set.data_primes().iter().map(|q| *q as f64).collect();
    let half_modulus = |level: usize| FILL * primes[..level].iter().product::<f64>() / 2.0;
    let at_least_1 = |bound: f64| bound.max(1.0);
    let (square, activated) = (at_least_1(bounds.square), at_least_1(bounds.activated));
    let last = output_level(set);
    // At the output level: activations before and features after the second layer.
    let at_output = (half_modulus(last) / activated)
        .min(half_modulus(last) / (second_scale * at_least_1(bounds.feature)));
    let first = half_modulus(last + 1 + core.depth()) / primes[last + core.depth()] / at_least_1(bounds.u);
    match core {
        Core::Square => {
            // u^2, before its rescale.
            let inside = (half_modulus(last + 1) / square).sqrt();
            (at_output * primes[last]).sqrt().min(inside).min(first)
        }
        Core::Cube { .. } => {
            // u^2 and u^3 + k u, before their rescales.
            let square = (half_modulus(last + 2) / square).sqrt();
            let cube = (half_modulus(last + 1) * primes[last + 1] / activated).cbrt();
            (at_output * primes[last] * primes[last + 1]).cbrt().min(square).min(cube).min(first)
        }
    }
}

impl Scales {
    /// The scales that follow from those of the query and of the two layers' weights.
    pub(crate) fn chain(
        core: Core,
        set: ParameterSet,
        input: f64,
        first_scale: f64,
        second_scale: f64,
    ) -> Self {
        let prime = |i: usize| set.data_primes()[i] as f64;
        let last = output_level(set);
        let first_product = input * first_scale;
        let u = first_product / prime(last + core.depth());
        let (square, activated) = match core {
            Core::Square => (u, u * u / prime(last)),
            Core::Cube { .. } => {
                let square = u * u / prime(last + 1);
                (square, square * u / prime(last))
            }
        };
        Self { input, first_product, u, square, activated, output: activated * second_scale }
    }
}

#[cfg(test)]
mod tests {
    use cryptotl_model::Network;

    use super::*;
    use crate::testkit;

    fn levels(width: usize, set: ParameterSet, bound: f64) -> Levels {
        let network = Network::new(width, testkit::paper_layers(width, 5)).unwrap();
        choose(&FoldedNetwork::fold(&network).unwrap(), set, bound).unwrap().1
    }

    #[test]
    fn values_within_the_bounds_fit_every_level() {
        for set in ParameterSet::ALL {
            let (levels, n) = (levels(96, set, 4.0), output_level(set));
            let modulus = |n: usize| set.data_primes()[..n].iter().map(|q| *q as f64).product::<f64>();
            let s = levels.scales;
            let max_t = levels.max_u.powi(3) + levels.max_u;
            assert!(s.first_product * levels.max_u < modulus(n + 3) / 2.0);
            assert!((s.u * levels.max_u).powi(2) < modulus(n + 2) / 2.0);
            assert!(s.square * s.u * max_t < modulus(n + 1) / 2.0);
            assert!(s.output * levels.max_feature < modulus(n) / 2.0);
            assert!(s.output * levels.max_feature > modulus(n) / 2.1, "the last modulus is used up");
        }
    }

    #[test]
    fn the_bounds_hold_for_the_worst_input_of_a_row() {
        let network = Network::new(32, testkit::paper_layers(32, 5)).unwrap();
        let folded = FoldedNetwork::fold(&network).unwrap();
        let (_, levels) = choose(&folded, ParameterSet::default(), 2.0).unwrap();
        let mut largest = 0.0f64;
        for row in folded.first.weight.rows() {
            for sign in [2.0, -2.0] {
                let worst = row.mapv(|w| sign * w.signum()).insert_axis(ndarray::Axis(0));
                let u = folded.first.apply(worst.view());
                largest = u.iter().fold(largest, |m, u| m.max(u.abs()));
                let features = network.forward(worst.view()).unwrap();
                assert!(features.iter().all(|f| f.abs() <= levels.max_feature));
            }
        }
        assert!((largest / levels.max_u - 1.0).abs() < 1e-3, "the bound on u is tight");
    }

    #[test]
    fn bounds_that_leave_no_precision_are_refused() {
        let network = Network::new(32, testkit::paper_layers(32, 5)).unwrap();
        let folded = FoldedNetwork::fold(&network).unwrap();
        let error = choose(&folded, ParameterSet::default(), 1e6).unwrap_err().to_string();
        assert!(error.contains("clamp inputs"), "{error}");
    }

    #[test]
    fn a_unit_without_weights_is_refused() {
        let mut map =
            cryptotl_model::AffineMap { weight: ndarray::Array2::ones((3, 3)), bias: Array1::zeros(3) };
        map.weight.row_mut(1).fill(0.0);
        let folded = FoldedNetwork { first: map.clone(), core: Core::Square, second: map };
        let error = choose(&folded, ParameterSet::default(), 1.0).unwrap_err().to_string();
        assert!(error.contains("output 1 of the first layer"), "{error}");
    }
}

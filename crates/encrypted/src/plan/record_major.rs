//! Scales and bounds for record-major packing.
//!
//! Levels and scales are those of [`crate::plan::levels`]; the second layer's plaintexts have the scale
//! `S2`, the first layer's `S1`, with one coefficient rounding each. What differs is the bound that keeps values
//! from wrapping. A coefficient of the plaintext polynomial is at most the *mean* of the slots' magnitudes, and here
//! the slots hold the units or features of one record, which cannot all be at their extremes: with `|x|` the
//! Euclidean norm, `||W||` the spectral norm of a matrix and `M` the largest single `|u_j|`,
//!
//! ```text
//! |x| <= sqrt(inputs) max_abs,   |u| <= |b1'| + ||W1'|| |x|,   |u^3 + k u| <= max(|k|, M^2 + k) |u|,
//! mean over S slots of |y| <= ||G|| |u^3 + k u| / sqrt(S)
//! ```
//!
//! where `G` maps the units to *all* slots of the response, those with sums of parts included. For the paper's
//! network at width 768 this leaves about 6 bits more for precision than the largest feature alone would.

use cryptotl_model::AffineMap;
use ndarray::{Array1, Array2};

use crate::error::Result;
use crate::params::ParameterSet;
use crate::plan::error_model::{Moments, encoding_error, slot_error};
use crate::plan::fold::{Core, FoldedNetwork};
use crate::plan::levels::{Bounds, Levels, Scales, check_precision, largest_u, output_level};
use crate::plan::norm::spectral_bound;
use crate::plan::quantize::{largest_magnitude, weighted_bound, weighted_intervals};
use crate::record_major::{Cached, Layout, Linear, NativeModel, SealModel};

/// The largest scale that is tried for the second layer's plaintexts.
const MAX_SECOND_SCALE: f64 = (1u64 << 40) as f64;

/// What the server computes with.
#[derive(Debug)]
pub(crate) struct RecordMajor {
    pub(crate) layout: Layout,
    maps: [AffineMap; 2],
    scales: [f64; 2],
    /// What typical records do to the activated units, on average. Rounded diagonals shift the features by their rounding
    /// errors times this, and the encoded bias takes it back.
    pub(crate) mean: Array1<f64>,
    /// The encoded layers, made when they are first used.
    pub(crate) seal_model: Cached<SealModel>,
    pub(crate) native_model: Cached<NativeModel>,
}

impl RecordMajor {
    /// The real matrix and bias of a layer.
    pub(crate) fn map(&self, layer: Linear) -> &AffineMap {
        &self.maps[layer as usize]
    }

    /// The scale of a layer's diagonals.
    pub(crate) fn plaintext_scale(&self, layer: Linear) -> f64 {
        self.scales[layer as usize]
    }

    /// Chooses the layout and the scales for a folded network whose inputs satisfy `|x| <= max_abs`.
    pub(crate) fn choose(network: FoldedNetwork, set: ParameterSet, max_abs: f64) -> Result<(Self, Levels)> {
        let (first, second) = (&network.first, &network.second);
        let (inputs, units) = (first.weight.ncols(), first.weight.nrows());
        let (input_level, last) = (output_level(set) + 1 + network.core.depth(), output_level(set));
        let layout = Layout::choose([inputs, units, second.weight.nrows()], set, [input_level, last])?;

        let u = weighted_intervals(first, &vec![(-max_abs, max_abs); inputs]);
        let activated: Vec<(f64, f64)> =
            u.iter().map(|(low, high)| network.core.range(*low, *high)).collect();
        let bounds = bounds(&network, &layout, max_abs, largest_magnitude(&u));
        let dropped = set.data_primes()[input_level - 1] as f64;

        // Errors of u that come from before its rescale: fresh encryption and rotations at the input scale, rounded
        // diagonals at that of the plaintexts. They are balanced when the two scales have the ratio of the factors.
        let deviation = max_abs.min(1.0);
        let row_squares = first.weight.map_axis(ndarray::Axis(1), |row| row.dot(&row));
        let of_input = slot_error(set) * row_squares.mean().unwrap_or(0.0).sqrt();
        let of_weights = encoding_error(set) * deviation * (inputs as f64).sqrt();
        let ratio = if of_input > 0.0 { of_weights / of_input } else { 1.0 };
        let attempt = |second_scale: f64| {
            let product = largest_u(network.core, set, second_scale, &bounds) * dropped;
            let first_scale = (product * ratio).sqrt();
            let scales = Scales::chain(network.core, set, product / first_scale, first_scale, second_scale);
            let rounding = row_squares.mapv(|square| {
                square * (slot_error(set) / scales.input).powi(2) + (of_weights / first_scale).powi(2)
            });
            let moments = Moments::of_units(&network, rounding, max_abs);
            let weight_rounding = (encoding_error(set) / second_scale).powi(2);
            // SEAL's rotations divide by the special prime each and add the error of a rescale once more.
            let error = moments.error(&network, &scales, set, weight_rounding, 2.0);
            (error, first_scale, scales, moments)
        };
        let second_scale = (0..72)
            .map(|step| MAX_SECOND_SCALE * 2f64.powf(-f64::from(step) / 2.0))
            .min_by(|a, b| attempt(*a).0.total_cmp(&attempt(*b).0))
            .unwrap_or(MAX_SECOND_SCALE);
        let (predicted_error, first_scale, scales, moments) = attempt(second_scale);
        let levels = Levels {
            input_level,
            scales,
            max_u: largest_magnitude(&u),
            max_feature: weighted_bound(second, &activated),
            predicted_error,
        };
        check_precision(&levels, moments.feature_deviation(), max_abs)?;
        let mean = moments.mean;
        let maps = [network.first, network.second];
        Ok((
            Self {
                layout,
                maps,
                scales: [first_scale, second_scale],
                mean,
                seal_model: Cached::default(),
                native_model: Cached::default(),
            },
            levels,
        ))
    }
}

/// Bounds on the mean magnitude of the slots at each step of the circuit.
fn bounds(network: &FoldedNetwork, layout: &Layout, max_abs: f64, max_u: f64) -> Bounds {
    let FoldedNetwork { first, core, second } = network;
    let (inputs, units) = (first.weight.ncols() as f64, first.weight.nrows() as f64);
    let norm = |vector: &Array1<f64>| vector.dot(vector).sqrt();
    let block = layout.block as f64;
    let u = norm(&first.bias) + spectral_bound(&first.weight) * inputs.sqrt() * max_abs;
    let (activated, sum) = match core {
        Core::Square => (max_u * u, u * u),
        Core::Cube { linear } => (
            u * linear.abs().max(max_u * max_u + linear),
            // |u|^3 summed is at most max |u| times the sum of squares.
            max_u * u * u + linear.abs() * units.sqrt() * u,
        ),
    };
    let slots = layout.slots as f64;
    let spread = spectral_bound(&response_map(layout, second)) * activated / slots.sqrt();
    Bounds {
        u: units.sqrt() * u / block,
        square: u * u / block,
        activated: sum.min(units.sqrt() * activated) / block,
        feature: spread + second.bias.iter().map(|b| b.abs()).sum::<f64>() / slots,
    }
}

/// `G`: the weights with which each slot of a response sees each unit, `[slots, units]`.
fn response_map(layout: &Layout, second: &AffineMap) -> Array2<f64> {
    let mut map = Array2::zeros((layout.slots, second.weight.ncols()));
    let steps = layout.steps(Linear::Second);
    for diagonal in 0..steps.diagonals {
        for (slot, (row, unit)) in layout.cells(Linear::Second, diagonal) {
            if let Some(weight) = second.weight.get((row, unit)) {
                map[[slot, unit]] += weight;
            }
        }
    }
    for fold in steps.folds {
        let rotated = ndarray::concatenate![
            ndarray::Axis(0),
            map.slice(ndarray::s![fold.., ..]),
            map.slice(ndarray::s![..fold, ..])
        ];
        map += &rotated;
    }
    map
}

//! Real matrices as integers, and the intervals of what they compute.

use cryptotl_model::AffineMap;
use ndarray::{Array1, Array2};

use crate::error::{EncryptedError, Result};
use crate::gemm::{IntegerMatrix, row_l1_limit};

/// A real matrix as integers at one scale.
pub(super) struct Quantized {
    pub(super) scale: f64,
    pub(super) integers: IntegerMatrix,
}

/// Rounds `scale * weight`. A row that rounds to zeros is refused: its ciphertext would show its value.
pub(super) fn quantize(
    weight: &Array2<f64>,
    scale: f64,
    largest_prime: u64,
    layer: &str,
) -> Result<Quantized> {
    let values: Vec<f64> = weight.iter().map(|w| (w * scale).round()).collect();
    if let Some(row) = values.chunks(weight.ncols()).position(|row| row.iter().all(|w| *w == 0.0)) {
        return Err(EncryptedError::unsupported(
            format!(
                "output {row} of the {layer} layer depends on its input not at all, or far less than others"
            ),
            "remove the unit, or scale its weights",
        ));
    }
    let integers = IntegerMatrix::new(weight.nrows(), weight.ncols(), values, largest_prime);
    let integers = integers.ok_or_else(|| {
        EncryptedError::unsupported(
            format!("the weights of the {layer} layer are out of range"),
            "scale them down",
        )
    })?;
    Ok(Quantized { scale, integers })
}

/// The largest scale at which each row of `weight` keeps within the exact product's limit.
pub(super) fn largest_scale(weight: &Array2<f64>, largest_prime: u64, layer: &str) -> Result<f64> {
    let largest_row = weight.rows().into_iter().map(|row| row.mapv(f64::abs).sum()).fold(0.0, f64::max);
    let rounding = weight.ncols() as f64 / 2.0 + 1.0;
    let scale = (row_l1_limit(largest_prime) - rounding) / largest_row;
    if scale.is_finite() && scale > 0.0 {
        Ok(scale)
    } else {
        Err(EncryptedError::unsupported(
            format!("the largest row of the {layer} layer has L1 norm {largest_row:e}"),
            "use finite weights that are not all zero",
        ))
    }
}

/// The interval of each output of `matrix x / scale + bias` for `x` in the given intervals.
pub(super) fn intervals(matrix: &Quantized, bias: &Array1<f64>, inputs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    (0..matrix.integers.rows())
        .map(|row| {
            let mut range = (bias[row], bias[row]);
            for (w, (low, high)) in matrix.integers.row(row).iter().zip(inputs) {
                let ends = (w / matrix.scale * low, w / matrix.scale * high);
                range = (range.0 + ends.0.min(ends.1), range.1 + ends.0.max(ends.1));
            }
            range
        })
        .collect()
}

/// For each row the variance of the error that rounding its weights gives to an output, for inputs of deviation
/// `min(1, max_abs)`.
pub(super) fn rounding_variance(weight: &Array2<f64>, rounded: &Quantized, max_abs: f64) -> Array1<f64> {
    let rows = weight.rows().into_iter().enumerate();
    rows.map(|(j, row)| {
        let integers = rounded.integers.row(j).iter();
        let error: f64 =
            row.iter().zip(integers).map(|(w, integer)| (w - integer / rounded.scale).powi(2)).sum();
        max_abs.min(1.0).powi(2) * error
    })
    .collect()
}

pub(super) fn largest_magnitude(intervals: &[(f64, f64)]) -> f64 {
    intervals.iter().fold(0.0, |largest, (low, high)| largest.max(low.abs()).max(high.abs()))
}

/// The interval of each output of a map for inputs in the given intervals.
pub(super) fn weighted_intervals(map: &AffineMap, inputs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let rows = map.weight.rows().into_iter().zip(&map.bias);
    rows.map(|(row, bias)| {
        let ends = row.iter().zip(inputs).map(|(w, (low, high))| (w * low, w * high));
        ends.fold((*bias, *bias), |sum, (a, b)| (sum.0 + a.min(b), sum.1 + a.max(b)))
    })
    .collect()
}

/// A bound on `|weight t + bias|` for `t` in the intervals, before the weights are rounded.
pub(super) fn weighted_bound(map: &AffineMap, inputs: &[(f64, f64)]) -> f64 {
    largest_magnitude(&weighted_intervals(map, inputs))
}

//! The zero-shot head of a private source: logistic regression by noisy gradients over all units, preconditioned with the noisy
//! covariance, as `dp-fc` trains heads.

use cryptotl_model::LinearScore;
use cryptotl_privacy::{NoisySum, SequencePart, Units};
use ndarray::{Array1, Array2, s};

use super::moments::Moments;
use crate::error::Result;
use crate::linear::{Factored, sigmoid};

/// T.
pub(super) const STEPS: u32 = 20;
/// C. A record's gradient is its residual times a row of norm 1 or so.
pub(super) const CLIPPING_NORM: f64 = 0.5;
/// The constant coordinate of a row.
const BESIDE: f64 = 0.3;

/// Trains the head. `row(i, out)` writes the embedding of record `i`, cut to norm `row_norm`, and gives its target, if it has one.
/// The score is of raw embeddings.
pub(super) fn train(
    part: &mut SequencePart,
    units: &Units,
    moments: &Moments,
    row_norm: f64,
    row: impl Fn(usize, &mut [f64]) -> Option<f64>,
) -> Result<LinearScore> {
    let width = moments.mean.len();
    // Rows are (x - mean, a constant), in units of the norm.
    let mut second = Array2::eye(width + 1) * (BESIDE * BESIDE);
    second.slice_mut(s![..width, ..width]).assign(&(&moments.covariance / (row_norm * row_norm)));
    // Of the curvature at most a quarter; the ridge is that of `dp-fc`, which falls with the signal mu n.
    let signal = moments.count / (part.scale() / part.clipping_norm()) * f64::from(STEPS).sqrt();
    let ridge = (10.0 / signal).max(0.0075);
    let preconditioner = Factored::new(&(second * 0.25 + Array2::<f64>::eye(width + 1) * ridge))?;
    let mut weights = Array1::<f64>::zeros(width + 1);
    let mut averaged = Array1::<f64>::zeros(width + 1);
    let n_averaged = STEPS.div_ceil(2);
    for step in 0..STEPS {
        let noisy = part.step(units, |i, out| {
            let Some(target) = row(i, &mut out[..width]) else { return false };
            for (x, mean) in out.iter_mut().zip(&moments.mean) {
                *x = (*x - mean) / row_norm;
            }
            out[width] = BESIDE;
            let score: f64 = out.iter().zip(&weights).map(|(z, w)| z * w).sum();
            let residual = sigmoid(score) - target;
            out.iter_mut().for_each(|z| *z *= residual);
            true
        })?;
        let direction = preconditioner.solve(&(Array1::from_vec(noisy) / moments.count));
        weights -= &direction;
        if step >= STEPS - n_averaged {
            averaged.scaled_add(1.0 / f64::from(n_averaged), &weights);
        }
    }
    let weight = averaged.slice(s![..width]).mapv(|w| w / row_norm);
    let bias = averaged[width] * BESIDE - weight.dot(&moments.mean);
    Ok(LinearScore { weight, bias })
}

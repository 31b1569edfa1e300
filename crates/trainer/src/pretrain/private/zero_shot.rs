//! The zero-shot head of a private source: logistic or softmax regression by noisy gradients over all units, preconditioned with the
//! noisy covariance, as `dp-fc` trains heads.

use cryptotl_model::LinearScore;
use cryptotl_privacy::{NoisySum, SequencePart, Units};
use ndarray::{Array1, Array2, ArrayView1, s};

use super::gradient::residuals;
use super::moments::Moments;
use crate::error::Result;
use crate::linear::Factored;

/// T.
pub(super) const STEPS: u32 = 20;
/// C. A record's gradient is its residuals times a row of norm 1 or so.
pub(super) const CLIPPING_NORM: f64 = 0.5;
/// The constant coordinate of a row.
const BESIDE: f64 = 0.3;

/// Trains the head. `row(i, out)` writes the embedding of record `i`, cut to norm `row_norm`, and gives its target, a probability for
/// each score, if it has one. The scores are of raw embeddings.
pub(super) fn train<'t>(
    part: &mut SequencePart,
    units: &Units,
    moments: &Moments,
    row_norm: f64,
    row: impl Fn(usize, &mut [f64]) -> Option<&'t [f64]>,
) -> Result<Vec<LinearScore>> {
    let width = moments.mean.len();
    let scores = part.dimension() / (width + 1);
    // Rows are (x - mean, a constant), in units of the norm.
    let mut second = Array2::eye(width + 1) * (BESIDE * BESIDE);
    second.slice_mut(s![..width, ..width]).assign(&(&moments.covariance / (row_norm * row_norm)));
    // The curvature is at most a quarter, and of softmax a half (Böhning 1992); the ridge is that of `dp-fc`, which falls with the signal mu n.
    let signal = moments.count / (part.scale() / part.clipping_norm()) * f64::from(STEPS).sqrt();
    let ridge = (10.0 / signal).max(0.0075);
    let bound = if scores == 1 { 0.25 } else { 0.5 };
    let preconditioner = Factored::new(&(second * bound + Array2::<f64>::eye(width + 1) * ridge))?;
    let mut weights = Array2::<f64>::zeros((scores, width + 1));
    let mut averaged = weights.clone();
    let (mut z, mut r) = (vec![0.0; width + 1], vec![0.0; scores]);
    let n_averaged = STEPS.div_ceil(2);
    for step in 0..STEPS {
        let noisy = part.step(units, |i, out| {
            let Some(target) = row(i, &mut z[..width]) else { return false };
            for (x, mean) in z.iter_mut().zip(&moments.mean) {
                *x = (*x - mean) / row_norm;
            }
            z[width] = BESIDE;
            for (score, weights) in r.iter_mut().zip(weights.rows()) {
                *score = z.iter().zip(weights).map(|(z, w)| z * w).sum();
            }
            residuals(&mut r, target);
            for (r, out) in r.iter().zip(out.chunks_exact_mut(width + 1)) {
                out.iter_mut().zip(&z).for_each(|(g, z)| *g = z * r);
            }
            true
        })?;
        for (mut weights, noisy) in weights.rows_mut().into_iter().zip(noisy.chunks_exact(width + 1)) {
            weights -= &preconditioner.solve(&(Array1::from(noisy.to_vec()) / moments.count));
        }
        if step >= STEPS - n_averaged {
            averaged.scaled_add(1.0 / f64::from(n_averaged), &weights);
        }
    }
    let score = |averaged: ArrayView1<f64>| {
        let weight = averaged.slice(s![..width]).mapv(|w| w / row_norm);
        let bias = averaged[width] * BESIDE - weight.dot(&moments.mean);
        LinearScore { weight, bias }
    };
    Ok(averaged.rows().into_iter().map(score).collect())
}

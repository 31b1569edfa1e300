//! `dp-gd`: full-batch gradient descent with momentum and DP noise, without public covariance.
//!
//! ```text
//! v <- beta v + (sum_i clip_C(g_i) + DP noise) / n,   w <- w - eta v
//! ```
//!
//! (Polyak 1964), from the source's head; the mean of the last half of the iterates is released. Sums are over all units, so
//! the accounting makes no assumption about sampling.

use cryptotl_privacy::NoisySum;
use ndarray::Array1;

use super::Task;
use crate::error::Result;

/// The numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpGd {
    /// T, the number of noisy sums.
    pub steps: u32,
    /// C, the norm to which a unit's gradient is clipped.
    pub clipping_norm: f64,
    /// eta.
    pub learning_rate: f64,
    /// beta.
    pub momentum: f64,
}

impl DpGd {
    /// Rank and numbers for a signal: the step is in proportion to it.
    pub(super) fn auto(s: f64) -> (usize, Self) {
        let learning_rate = (s / 330.0).clamp(0.01, 10.0);
        (super::dp_gd::rank(s), Self { steps: 50, clipping_norm: 0.5, learning_rate, momentum: 0.9 })
    }

    pub(super) fn fit(&self, task: &Task, public_size: u64, sums: &mut impl NoisySum) -> Result<Array1<f64>> {
        descend(task, sums, self.steps, (self.learning_rate, self.momentum), public_size as f64)
    }
}

/// How many axes descent without covariance can use.
pub(super) fn rank(s: f64) -> usize {
    if s < 300.0 {
        32
    } else if s < 800.0 {
        128
    } else {
        256
    }
}

/// Descent with momentum over `steps` noisy sums, each divided by `size`; the mean of the last half of the iterates.
pub(super) fn descend(
    task: &Task,
    sums: &mut impl NoisySum,
    steps: u32,
    (learning_rate, momentum): (f64, f64),
    size: f64,
) -> Result<Array1<f64>> {
    let mut weights = task.space.start.clone();
    let mut velocity = Array1::<f64>::zeros(weights.len());
    let mut averaged = Array1::<f64>::zeros(weights.len());
    let n_averaged = steps.div_ceil(2);
    for step in 0..steps {
        velocity *= momentum;
        velocity.scaled_add(1.0 / size, &task.noisy_gradient(&weights, sums)?);
        weights.scaled_add(-learning_rate, &velocity);
        if step >= steps - n_averaged {
            averaged.scaled_add(1.0 / f64::from(n_averaged), &weights);
        }
    }
    Ok(averaged)
}

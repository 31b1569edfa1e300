//! `dp-sgd`: gradient descent on Poisson samples with DP noise (Abadi et al. 2016), with momentum.
//!
//! ```text
//! v <- beta v + (sum over the sample of clip_C(g_i) + DP noise) / (q n),   w <- w - eta v
//! ```
//!
//! The mechanism draws each sample itself: every unit by itself with probability q, anew in each step, from the generator of
//! the DP noise. That is what the accountant assumes, and a shuffled loader would not be. The sum is divided by the *public*
//! size times q, never by the number of units drawn.

use cryptotl_privacy::NoisySum;
use ndarray::Array1;

use super::Task;
use super::dp_gd::{descend, rank};
use crate::error::Result;

/// The numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpSgd {
    /// T, the number of noisy sums.
    pub steps: u32,
    /// q, the probability with which a unit takes part in a step.
    pub sampling_rate: f64,
    /// C, the norm to which a unit's gradient is clipped.
    pub clipping_norm: f64,
    /// eta.
    pub learning_rate: f64,
    /// beta.
    pub momentum: f64,
}

impl DpSgd {
    /// Rank and numbers for a signal. At these sizes smaller samples gain nothing but computing time: a quarter of
    /// the units take part in a step.
    pub(super) fn auto(s: f64) -> (usize, Self) {
        let learning_rate = (s / 660.0).clamp(0.005, 5.0);
        (rank(s), Self { steps: 100, sampling_rate: 0.25, clipping_norm: 0.5, learning_rate, momentum: 0.9 })
    }

    pub(super) fn fit(&self, task: &Task, public_size: u64, sums: &mut impl NoisySum) -> Result<Array1<f64>> {
        let size = public_size as f64 * self.sampling_rate;
        descend(task, sums, self.steps, (self.learning_rate, self.momentum), size)
    }
}

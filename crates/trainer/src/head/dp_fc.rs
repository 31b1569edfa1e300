//! `dp-fc`: full-batch gradient descent with DP noise, preconditioned with public covariance.
//!
//! Every step sums clipped gradients of all units, adds DP noise (the mechanism does both) and moves against the
//! preconditioned sum,
//!
//! ```text
//! w <- w - eta (h G + lambda I)^-1 (sum_i clip_C(g_i) + DP noise) / n,   g_i = (p_i - y_i) z_i^T
//! ```
//!
//! with one term a unit: `g_i` is a record's gradient, or the mean over a person's. `G` is the second moment of the *source's*
//! rows. Of two labels, `h = 1/4` and `h G` bounds the Hessian of the logistic loss, so the step is close to
//! Newton's; of more, `h = 1/2` bounds that of the softmax loss (Böhning 1992), score by score. It starts at the source's head and
//! gives the mean of the last iterates. All but the sum is public; `n` is the declared public size.

use cryptotl_privacy::NoisySum;
use ndarray::{Array1, Array2, s};

use super::{Space, Task};
use crate::error::Result;
use crate::linear::Factored;

/// The numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpFc {
    /// The preconditioner's ridge.
    pub lambda: f64,
    /// T, the number of noisy sums.
    pub steps: u32,
    /// C, the norm to which a unit's gradient is clipped: a record's own, or the mean over a person's records.
    pub clipping_norm: f64,
    /// eta.
    pub learning_rate: f64,
}

impl DpFc {
    /// Rank and numbers for a signal, a number of units and a number of public sources.
    ///
    /// A weak signal gets few axes and a ridge that grows as 1/s^2 when the signal vanishes. T steps at such a ridge move a
    /// weight by DP noise of about C T / (s lambda): with 1/s alone that would be a constant, and the head would be
    /// worse than its start. With several sources the start is better, and the ridge takes over at a stronger signal.
    ///
    /// The part of the ridge in 1/n is against the chance of the draw, which is there however large the budget is: few records
    /// on many axes, fitted in full, are worse than their start.
    pub(super) fn auto(s: f64, n: f64, sources: usize) -> (usize, Self) {
        let with = |lambda, clipping_norm| Self { lambda, steps: 20, clipping_norm, learning_rate: 1.0 };
        let weak = if sources > 1 { 100.0 } else { 20.0 };
        if s < 400.0 {
            (32, with(20.0 / s * (1.0 + weak / s) + 20.0 / n, 0.5))
        } else if s < 800.0 {
            (128, with(5.0 / s + 10.0 / n, 0.25))
        } else {
            (256, with((10.0 / s).max(0.0075) + 10.0 / n, 0.5))
        }
    }

    /// h G + ridge I, factored.
    fn preconditioner(&self, space: &Space, ridge: f64) -> Result<Factored> {
        let bound = if space.labels == 2 { 0.25 } else { 0.5 };
        Factored::new(&(&space.gram * bound + Array2::<f64>::eye(space.dimension()) * ridge))
    }

    /// Fails, before anything is paid, where the space's statistics are so far from second moments that steps would be without
    /// bound: at half the ridge the preconditioner is positive definite still, so at the ridge its inverse is at most 2/lambda.
    pub(super) fn check(&self, space: &Space) -> Result<()> {
        self.preconditioner(space, 0.5 * self.lambda).map(|_| ())
    }

    pub(super) fn fit(&self, task: &Task, public_size: u64, sums: &mut impl NoisySum) -> Result<Array1<f64>> {
        let space = task.space;
        let dimension = space.dimension();
        let preconditioner = self.preconditioner(space, self.lambda)?;
        let mut weights = space.start.clone();
        let mut averaged = Array1::<f64>::zeros(weights.len());
        let n_averaged = self.steps.div_ceil(2);
        for step in 0..self.steps {
            let noisy = task.noisy_gradient(&weights, sums)? / public_size as f64;
            for score in 0..space.scores() {
                let own = s![score * dimension..(score + 1) * dimension];
                let direction = preconditioner.solve(&noisy.slice(own).to_owned());
                weights.slice_mut(own).scaled_add(-self.learning_rate, &direction);
            }
            if step >= self.steps - n_averaged {
                averaged.scaled_add(1.0 / f64::from(n_averaged), &weights);
            }
        }
        Ok(averaged)
    }
}

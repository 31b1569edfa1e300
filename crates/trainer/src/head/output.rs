//! `output-perturbation`: the minimum of the ridge loss, with DP noise on the answer.
//!
//! ```text
//! argmin over w of  sum_i loss(w; z_i, y_i) + Lambda/2 |w - w0|^2,   plus DP noise
//! ```
//!
//! centered on the source's head w0. Rows have norm at most 1. The mechanism in `cryptotl-privacy` clips, optimizes, draws and
//! accounts; here is only which ridge.

/// The numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// Lambda, in the units of a sum over units.
    pub ridge: f64,
}

impl Output {
    /// The ridge for a budget: the noise on the answer is in proportion to 1 / (mu Lambda). Twice as much for softmax, whose
    /// gradients are longer.
    pub(super) fn auto(mu: f64, labels: usize) -> Self {
        let softmax = if labels == 2 { 1.0 } else { 2.0 };
        // The limits are those of the mechanism.
        Self { ridge: (4.0 * softmax / mu).clamp(1e-6, 1e12) }
    }
}

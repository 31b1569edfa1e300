//! `objective-perturbation`: the minimum of the ridge loss, with DP noise on the objective.
//!
//! ```text
//! argmin over w of  sum_i loss(w; z_i, y_i) + Lambda/2 |w - w0|^2 + b w,   b = DP noise
//! ```
//!
//! centered on the source's head w0. Rows have norm at most 1. The mechanism in `cryptotl-privacy` clips, optimizes, draws and
//! accounts; here is only which ridge.

/// The numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Lambda, in the units of a sum over units.
    pub ridge: f64,
}

impl Objective {
    /// The ridge for a budget: in proportion to the noise on the objective. Twice as much for softmax, whose curvature is
    /// twice as large.
    pub(super) fn auto(mu: f64, labels: usize) -> Self {
        let softmax = if labels == 2 { 1.0 } else { 2.0 };
        // The limits are those of the mechanism.
        Self { ridge: (2.0 * softmax / mu).clamp(1e-6, 1e12) }
    }
}

//! Mechanisms: the only code that touches private numbers and the only way to DP noise.

mod clip;
mod factored;
mod minimum;
mod queries;
mod sampler;
mod sequence;
mod sums;
mod units;

pub use clip::GRID_RADIUS;
pub use factored::{Factoring, Factors};
pub use minimum::{AuditMinimum, BenchmarkMinimum, ChargedMinimum, NoisyMinimum};
pub use queries::{ChargedCounts, ChargedNoisyMax};
pub(crate) use sampler::{
    MIN_NOISE_MULTIPLIER, Noise, rho_of_gaussian, rho_of_noisy_max, rho_of_one_step, rho_of_one_sum,
};
pub use sampler::{RNG_NAME, SAMPLER_NAME};
pub use sequence::{BenchmarkSequence, ChargedSequence, SequencePart};
pub use sums::{AuditSums, BenchmarkSums, ChargedSums, Defect, NoisySum, PublicData, Receipt};
pub use units::Units;

use crate::guarantee::PrivacyUnit;

/// The largest slack, in clipping norms: it keeps sensitivities far inside the integers that are exact
/// in an `f64`.
pub const MAX_SLACK: f64 = 100.0;

/// The largest norm of a center: of public weights where a private training starts, or to which a ridge pulls.
///
/// Honest ones are some hundreds. Far beyond, what floats can do begins to depend on the rows beside them, and with it
/// whether a training ends.
pub const MAX_CENTER_NORM: f64 = 1e6;

/// Whether public weights can be where a private training starts.
///
/// # Errors
/// [`MechanismError::Center`] where their norm is above [`MAX_CENTER_NORM`], or no number.
pub fn check_center(center: &[f64]) -> Result<(), MechanismError> {
    // Scaled, so that no square overflows.
    let norm = center.iter().map(|x| (x / MAX_CENTER_NORM).powi(2)).sum::<f64>().sqrt() * MAX_CENTER_NORM;
    if norm <= MAX_CENTER_NORM { Ok(()) } else { Err(MechanismError::Center { norm }) }
}

/// The bound on one unit's gradient in steps of the grid of the DP noise on an objective. Its noise multiplier is at most
/// 512, so the noise stays inside an `i64`.
pub(crate) const OBJECTIVE_SENSITIVITY: f64 = (1_u64 << 48) as f64;

/// A mechanism could not be built or could not go on.
///
/// Every variant but [`MechanismError::Optimizer`] follows from public numbers and from the machine alone. That one would be a
/// fact about the rows; `docs/privacy.md` says why it does not occur, and what that rests on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MechanismError {
    /// The noise multiplier is not usable.
    #[error(
        "noise multiplier {value:?} is not usable; give a finite number between {min:e} and {max:e}",
        min = sampler::MIN_NOISE_MULTIPLIER,
        max = sampler::MAX_NOISE_MULTIPLIER
    )]
    NoiseMultiplier {
        /// The multiplier given.
        value: f64,
    },
    /// Every step that was paid for has been begun.
    #[error("all {steps} steps of this plan are used; charge a new plan to continue")]
    StepsExhausted {
        /// The steps in the plan.
        steps: u32,
    },
    /// OpenDP refused or failed, for instance because the system gave no entropy.
    #[error(
        "OpenDP could not draw the DP noise: {message}; nothing was released, and the charge stays spent"
    )]
    Sampler {
        /// OpenDP's own words.
        message: String,
    },
    /// This process was forked from one that drew DP noise, and would draw the same again.
    #[error(
        "this process is a fork of one that has drawn DP noise, and would draw the same noise again; nothing was released: run \
         releases in a process that was started afresh (in Python's multiprocessing, the start method `spawn`)"
    )]
    Forked,
    /// The plan protects persons, and whose rows are whose is not known.
    #[error(
        "the plan protects a {unit}, and the records do not say whose they are; embed the texts with --unit-column"
    )]
    Units {
        /// The plan's unit.
        unit: PrivacyUnit,
    },
    /// Public weights from which no private training starts.
    #[error(
        "the center of the head, its public start, has the norm {norm:e}, above {max:e}: nothing trains from there; use a \
         public half that `cryptotl pretrain` wrote, and check where this one comes from",
        max = MAX_CENTER_NORM
    )]
    Center {
        /// The norm; infinite or no number if a weight is.
        norm: f64,
    },
    /// The optimizer did not reach the tolerance that the plan accounts for.
    #[error(
        "the optimizer did not converge in {steps} steps; nothing was released, and the charge stays spent: report this as a bug"
    )]
    Optimizer {
        /// The steps taken.
        steps: usize,
    },
    /// The plan's stated loss does not cover the mechanism.
    #[error("the plan does not describe the mechanism: {fact}; make a new plan with this version")]
    Inconsistent {
        /// What does not fit.
        fact: String,
    },
}

//! Whether a policy allows any release at all, found out by planning one before a ledger exists.

use crate::accountant::Accountant;
use crate::accountant::gdp::GridSlack;
use crate::calibrate::largest_rho_by;
use crate::config::{Policy, PolicyError};
use crate::guarantee::{Delta, Epsilon};
use crate::plan::{Description, PlanError, ReleasePlan, SumRequest};

/// The release that is tried: as many steps as a head takes, and as many numbers as a large one has.
const STEPS: u32 = 20;
const DIMENSION: usize = 1024;
/// Halvings of an interval of caps: to three digits and more.
const BISECTIONS: u32 = 40;

/// Fails if no release is possible under a policy, or if its cap could not be spent because the grid of the DP noise would
/// take more than its share of delta first.
///
/// # Errors
/// [`PolicyError::NothingAllowed`] and [`PolicyError::CapTooLarge`], with what to write instead.
pub(super) fn check(policy: &Policy, delta: Delta) -> Result<(), PolicyError> {
    let limit = policy.epsilon_per_release_max();
    let nothing = |why: String| PolicyError::NothingAllowed { limit, why };
    let plan = trial(policy, limit, delta).map_err(|why| nothing(why.to_string()))?;
    if plan.guarantee().epsilon == Epsilon::ZERO {
        return Err(nothing(
            "its epsilon would be 0, which promises nothing that a ledger could count".to_owned(),
        ));
    }
    if policy.accountant() != Accountant::Gdp {
        return Ok(());
    }
    // tau is steps * dimension / (8 scale^2), and rho is steps / (2 sigma^2): one is proportional to the other.
    let (rho, slack) = (plan.guarantee().rho, plan.event().grid_slack().unwrap_or(GridSlack::NONE));
    let tau_per_rho = slack.get() / rho.to_f64_rounding_up();
    let can_be_spent = |cap: Epsilon| {
        largest_rho_by(Accountant::Gdp, cap, delta)
            .is_ok_and(|rho| tau_per_rho * rho.to_f64_rounding_up() <= GridSlack::allowance(cap, delta).get())
    };
    let cap = policy.epsilon_cap();
    if can_be_spent(cap) {
        return Ok(());
    }
    let (mut low, mut high) = (0.0, cap.get());
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if Epsilon::new(middle).is_ok_and(can_be_spent) { low = middle } else { high = middle }
    }
    Err(PolicyError::CapTooLarge { cap, most: (low * 10.0).floor() / 10.0, delta })
}

/// A release of at most epsilon 1, which is possible under a larger limit if any is.
fn trial(policy: &Policy, limit: Epsilon, delta: Delta) -> Result<ReleasePlan, PlanError> {
    let one = Epsilon::new(1.0).unwrap_or(limit);
    ReleasePlan::gaussian_sums(SumRequest {
        epsilon: if limit < one { limit } else { one },
        delta,
        accountant: policy.accountant(),
        dimension: DIMENSION,
        clipping_norm: 1.0,
        slack: 0.0,
        steps: STEPS,
        unit: policy.unit(),
        adjacency: policy.adjacency(),
        description: Description::new(),
    })
}

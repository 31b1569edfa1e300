//! Planning a minimum with DP noise: how the loss is divided, and the least noise that fits.

use super::{Description, PlanError, ReleasePlan, asked};
use crate::accountant::Accountant;
use crate::accountant::objective::grid_is_paid_for;
use crate::calibrate::{GaussianCalibration, largest_rho};
use crate::event::{CONVEXITY, Event, GRID_PRICE, MAX_WEIGHTS, MinimumEvent, OBJECTIVE_NOISE};
use crate::guarantee::{Adjacency, Delta, Epsilon, Guarantee, PrivacyUnit};
use crate::mechanism::{self, MechanismError};
use crate::rho::Rho;

/// Where the DP noise goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerturbedBy {
    /// A random linear term in the objective; the answer gets what covers the optimizer's tolerance.
    Objective,
    /// The answer alone.
    Output,
}

/// A request for the minimizer of a regularized softmax loss. There is no slack: each unit's loss has to be a
/// function of its own rows.
#[derive(Clone, Debug, PartialEq)]
pub struct MinimumRequest {
    /// The epsilon this release alone may cost at `delta`.
    pub epsilon: Epsilon,
    /// The delta of the ledger that will be charged.
    pub delta: Delta,
    /// K, the number of classes; public.
    pub classes: u32,
    /// The numbers in a row.
    pub columns: usize,
    /// Lambda, the ridge, in the units of a sum over units; chosen without looking at private data.
    pub convexity: f64,
    /// Where the DP noise goes.
    pub perturbed_by: PerturbedBy,
    /// What one unit of protection is.
    pub unit: PrivacyUnit,
    /// Which datasets count as neighbors.
    pub adjacency: Adjacency,
    /// What the release is for; public.
    pub description: Description,
}

/// The part of the loss that covers the optimizer's tolerance in objective perturbation: one in this many.
const TOLERANCE_PART: u32 = 100;

impl ReleasePlan {
    /// Plans the minimizer of a regularized loss, with the least DP noise that the request allows.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met; [`PlanError::Convexity`] where the regularizer is so
    /// small that no noise on the objective is enough.
    pub fn perturbed_minimum(request: MinimumRequest) -> Result<ReleasePlan, PlanError> {
        asked(request.epsilon, request.delta, |epsilon| {
            ReleasePlan::minimum_of(MinimumRequest { epsilon, ..request.clone() })
        })
    }

    fn minimum_of(request: MinimumRequest) -> Result<ReleasePlan, PlanError> {
        let MinimumRequest {
            epsilon,
            delta,
            classes,
            columns,
            convexity,
            perturbed_by,
            unit,
            adjacency,
            description,
        } = request;
        let rows_per_unit = match unit {
            PrivacyUnit::Record => 1,
            PrivacyUnit::Person { contributions } => contributions.get(),
        };
        let most = largest_rho(epsilon, delta)?;
        let mut event = MinimumEvent {
            classes,
            columns,
            rows_per_unit,
            convexity,
            objective_noise: None,
            output_noise: 1.0,
            rho: Rho::ZERO,
        };
        if classes < 2 || columns == 0 || event.weights() > MAX_WEIGHTS {
            return Err(PlanError::Dimension { dimension: event.weights() });
        }
        if !CONVEXITY.contains(&convexity) {
            return Err(PlanError::Convexity { convexity });
        }
        match perturbed_by {
            PerturbedBy::Output => event.output_noise = output_noise(&event, most)?,
            PerturbedBy::Objective => {
                if most <= GRID_PRICE || !grid_is_paid_for(most, None, (epsilon, delta)) {
                    return Err(PlanError::ObjectiveTerms { delta, rho: most });
                }
                let part = most.divided_rounding_down(TOLERANCE_PART).unwrap_or(Rho::ZERO);
                event.output_noise = output_noise(&event, part)?;
                event.objective_noise = Some(objective_noise(&event, adjacency, most)?);
            }
        }
        event.rho = event.cost(adjacency)?;
        let event = Event::PerturbedMinimum(event);
        let guarantee = Guarantee::of(&event, Accountant::Zcdp, delta, unit, adjacency)?;
        ReleasePlan::new(event, guarantee, description)
    }
}

/// The least noise on the answer that costs at most `rho`.
fn output_noise(event: &MinimumEvent, rho: Rho) -> Result<f64, PlanError> {
    let cost = |noise| mechanism::rho_of_gaussian(noise, event.grid_sensitivity() as f64);
    let mut noise = GaussianCalibration::from_rho(rho, 1)?.noise_multiplier;
    // The formula is right up to how OpenDP rounds.
    while cost(noise)? > rho {
        noise = noise.next_up();
    }
    Ok(noise)
}

/// The least noise on the objective, to one part in 10^9, with which the whole costs at most `rho`.
fn objective_noise(event: &MinimumEvent, adjacency: Adjacency, rho: Rho) -> Result<f64, PlanError> {
    let fits = |noise: f64| -> Result<bool, MechanismError> {
        let event = MinimumEvent { objective_noise: Some(noise), ..event.clone() };
        Ok(event.cost(adjacency)? <= rho)
    };
    let (mut low, mut high) = (*OBJECTIVE_NOISE.start(), *OBJECTIVE_NOISE.end());
    if !fits(high)? {
        // Next to no noise is left to lower: the curvature alone is too much.
        return Err(PlanError::Convexity { convexity: event.convexity });
    }
    while high / low > 1.0 + 1e-9 {
        let middle = (low * high).sqrt();
        if fits(middle)? { high = middle } else { low = middle }
    }
    Ok(high)
}

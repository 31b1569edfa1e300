//! Plans of several runs of noisy sums under one charge: what private pretraining wants.

use super::{Description, PlanError, ReleasePlan, asked, check_contributions};
use crate::accountant::pld::{NOISE_RANGE, Releases};
use crate::accountant::tcdp::Order;
use crate::accountant::{Accountant, AccountantError};
use crate::calibrate::sampled_noise;
use crate::event::{Event, MAX_PARTS, SampledSumEvent, SequenceEvent};
use crate::guarantee::{Adjacency, Delta, Epsilon, Guarantee, PrivacyUnit};

/// One run of noisy sums in a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartRequest {
    /// Coordinates of one contribution, at least 1 and at most [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub dimension: usize,
    /// C, the Euclidean norm to which one unit's contribution is clipped, in input units; from
    /// [`MIN_CLIPPING_NORM`](super::MIN_CLIPPING_NORM) to [`MAX_CLIPPING_NORM`](super::MAX_CLIPPING_NORM). Chosen without looking at private data.
    pub clipping_norm: f64,
    /// q, the probability with which a unit takes part in a step, from 1e-9 to 1; 1 is a sum over all units.
    pub sampling_rate: f64,
    /// T, the number of sums, at least 1.
    pub steps: u32,
    /// This part's noise multiplier relative to the other parts': how the budget is divided. Positive.
    pub relative_noise: f64,
}

/// A request for several runs of noisy sums over the same units, one after the other. The adjacency is add-remove, and
/// there is no slack.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceRequest {
    /// The epsilon that all parts together may cost at `delta`, by their privacy loss distribution.
    pub epsilon: Epsilon,
    /// The delta of the ledger that will be charged.
    pub delta: Delta,
    /// The parts in their order, at most 16.
    pub parts: Vec<PartRequest>,
    /// The order up to which the ledger counts: its [`crate::Status::sampling_order`].
    pub order: Order,
    /// What one unit of protection is.
    pub unit: PrivacyUnit,
    /// What the release is for; public.
    pub description: Description,
}

impl ReleasePlan {
    /// Plans several runs of noisy sums under one charge, with the least Gaussian DP noise that the request allows, to one
    /// part in 10^6; the parts' noise multipliers keep the ratios asked for.
    ///
    /// The plan's own epsilon is that of the privacy loss distribution of all steps together. What the ledger is charged
    /// is a rho that holds up to `order`.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn sequence(request: SequenceRequest) -> Result<ReleasePlan, PlanError> {
        asked(request.epsilon, request.delta, |epsilon| {
            ReleasePlan::sequence_of(SequenceRequest { epsilon, ..request.clone() })
        })
    }

    fn sequence_of(request: SequenceRequest) -> Result<ReleasePlan, PlanError> {
        let SequenceRequest { epsilon, delta, parts, order, unit, description } = request;
        check(&parts)?;
        // A little of delta is for the grid, so that the first noise fits.
        let most = Delta::new(delta.get() * (1.0 - 1e-6)).unwrap_or(delta);
        let mut noise = sampled_noise(epsilon, most, |noise| {
            parts.iter().map(|p| Releases::gaussian(p.noise(noise), p.sampling_rate, p.steps)).collect()
        })?;
        let mut raise = 1e-6;
        loop {
            let events = parts.iter().map(|p| {
                let sum = (p.dimension, p.clipping_norm);
                SampledSumEvent::new(sum, p.noise(noise), p.sampling_rate, p.steps, order)
            });
            let event = SequenceEvent::new(events.collect::<Result<_, AccountantError>>()?, order)
                .map_err(|error| PlanError::Parts { fact: error.to_string() })?;
            let event = Event::Sequence(event);
            let guarantee = Guarantee::of(&event, Accountant::Zcdp, delta, unit, Adjacency::AddRemove)?;
            if guarantee.epsilon <= epsilon {
                return ReleasePlan::new(event, guarantee, description);
            }
            if parts.iter().all(|p| p.noise(noise) >= *NOISE_RANGE.end()) {
                return Err(PlanError::Parts { fact: "no DP noise is enough for them".to_owned() });
            }
            noise *= 1.0 + raise;
            raise *= 4.0;
        }
    }
}

impl PartRequest {
    /// The noise multiplier where the sequence's is `noise`.
    fn noise(&self, noise: f64) -> f64 {
        (noise * self.relative_noise).clamp(*NOISE_RANGE.start(), *NOISE_RANGE.end())
    }
}

fn check(parts: &[PartRequest]) -> Result<(), PlanError> {
    if !(1..=MAX_PARTS).contains(&parts.len()) {
        return Err(PlanError::Parts { fact: format!("{} of them, and not 1 to {MAX_PARTS}", parts.len()) });
    }
    for &PartRequest { dimension, clipping_norm, relative_noise, .. } in parts {
        check_contributions(dimension, clipping_norm)?;
        if !(relative_noise.is_finite() && relative_noise > 0.0) {
            return Err(PlanError::Parts { fact: format!("a relative noise of {relative_noise}") });
        }
    }
    Ok(())
}

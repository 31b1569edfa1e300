//! Plans of sums over Poisson samples: what stochastic gradient descent wants.

use super::{Description, PlanError, ReleasePlan, asked, check_contributions};
use crate::accountant::Accountant;
use crate::accountant::pld::Releases;
use crate::accountant::tcdp::Order;
use crate::calibrate::sampled_noise;
use crate::event::{Event, SampledSumEvent};
use crate::guarantee::{Adjacency, Delta, Epsilon, Guarantee, PrivacyUnit};

/// A request for noisy sums, each over a Poisson sample of the units. The adjacency is add-remove.
///
/// There is no slack: contributions must be functions of their own unit's rows alone.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledSumRequest {
    /// The epsilon this release alone may cost at `delta`, by its privacy loss distribution.
    pub epsilon: Epsilon,
    /// The delta of the ledger that will be charged.
    pub delta: Delta,
    /// Coordinates of one contribution, at least 1 and at most [`MAX_DIMENSION`](super::MAX_DIMENSION).
    pub dimension: usize,
    /// C, the Euclidean norm to which one unit's contribution is clipped, in input units; from
    /// [`MIN_CLIPPING_NORM`](super::MIN_CLIPPING_NORM) to [`MAX_CLIPPING_NORM`](super::MAX_CLIPPING_NORM). Chosen without looking at private data.
    pub clipping_norm: f64,
    /// q, the probability with which a unit takes part in a step, from 1e-9 to 1. A sum's expected number of
    /// units is q times the private number of units; divide by q times the *public* size.
    pub sampling_rate: f64,
    /// T, the number of sums, at least 1.
    pub steps: u32,
    /// The order up to which the ledger counts: its [`crate::Status::sampling_order`].
    pub order: Order,
    /// What one unit of protection is. Of persons, persons are sampled, with all of their used rows.
    pub unit: PrivacyUnit,
    /// What the release is for; public.
    pub description: Description,
}

impl ReleasePlan {
    /// Plans `steps` sums over Poisson samples with the least Gaussian DP noise that the request allows, to one
    /// part in 10^6.
    ///
    /// The plan's own epsilon is that of its privacy loss distribution, at most the requested one. What the ledger is charged is a rho
    /// that holds up to `order` ([`crate::accountant::tcdp`]). Takes about a second.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn sampled_gaussian_sums(request: SampledSumRequest) -> Result<ReleasePlan, PlanError> {
        asked(request.epsilon, request.delta, |epsilon| {
            ReleasePlan::sampled_of(SampledSumRequest { epsilon, ..request.clone() })
        })
    }

    fn sampled_of(request: SampledSumRequest) -> Result<ReleasePlan, PlanError> {
        let SampledSumRequest {
            epsilon,
            delta,
            dimension,
            clipping_norm,
            sampling_rate,
            steps,
            order,
            unit,
            description,
        } = request;
        check_contributions(dimension, clipping_norm)?;
        // A little of delta is for the grid, so that the first noise fits.
        let most = Delta::new(delta.get() * (1.0 - 1e-6)).unwrap_or(delta);
        let mut noise =
            sampled_noise(epsilon, most, |noise| Ok(vec![Releases::gaussian(noise, sampling_rate, steps)?]))?;
        let mut raise = 1e-6;
        loop {
            let event = SampledSumEvent::new((dimension, clipping_norm), noise, sampling_rate, steps, order)?;
            let event = Event::SampledGaussianSum(event);
            let guarantee = Guarantee::of(&event, Accountant::Zcdp, delta, unit, Adjacency::AddRemove)?;
            if guarantee.epsilon <= epsilon {
                return ReleasePlan::new(event, guarantee, description);
            }
            // Ends: beyond the largest noise the event is refused.
            noise *= 1.0 + raise;
            raise *= 4.0;
        }
    }
}

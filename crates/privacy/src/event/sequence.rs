//! Several runs of noisy sums, one after the other, that are paid for together.

use serde::{Deserialize, Serialize};

use super::{EventError, SampledSumEvent, require};
use crate::accountant::AccountantError;
use crate::accountant::gdp::GridSlack;
use crate::accountant::pld::{self, Releases};
use crate::accountant::tcdp::Order;
use crate::guarantee::{Adjacency, Delta, Epsilon};
use crate::mechanism::GRID_RADIUS;
use crate::rho::Rho;

/// The most parts of a sequence.
pub(crate) const MAX_PARTS: usize = 16;

/// Runs of noisy sums over the same units, one after the other. Noise, clipping and number of steps of all of them are
/// fixed before the first; what is summed may depend on everything that was released before. A run with the sampling rate 1 is over
/// all units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceEvent {
    /// The runs in their order.
    pub parts: Vec<SampledSumEvent>,
    /// omega, up to which `rho` and that of each part hold.
    pub order: Order,
    /// The zCDP loss of all parts up to `order`, the sum of theirs.
    pub rho: Rho,
}

impl SequenceEvent {
    /// The event with its cost.
    ///
    /// # Errors
    /// [`EventError`] if there is no part, there are too many, or they lose more than can be written down.
    pub(crate) fn new(parts: Vec<SampledSumEvent>, order: Order) -> Result<SequenceEvent, EventError> {
        require((1..=MAX_PARTS).contains(&parts.len()), "parts", || {
            format!("{} of them, and not 1 to {MAX_PARTS}", parts.len())
        })?;
        require(parts.iter().all(|part| part.order == order), "order", || {
            format!("{order} is not that of every part")
        })?;
        let rho = parts.iter().try_fold(Rho::ZERO, |sum, part| sum.checked_add(part.rho));
        let rho = rho.ok_or(EventError { field: "rho", fact: "more than can be written down".to_owned() })?;
        Ok(SequenceEvent { parts, order, rho })
    }

    /// The epsilon at `delta` of this event alone: the privacy loss distribution of all steps of all parts, and the
    /// distance of their DP noise from continuous noise.
    pub(crate) fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountantError> {
        let releases = self
            .parts
            .iter()
            .map(|part| Releases::gaussian(part.noise_multiplier, part.sampling_rate, part.steps));
        let slack = self.parts.iter().fold(GridSlack::NONE, |sum, part| {
            let scale = part.noise_multiplier * GRID_RADIUS as f64;
            sum.plus(GridSlack::of_sums(scale, part.dimension, part.steps))
        });
        pld::epsilon_on_grid(&releases.collect::<Result<Vec<_>, _>>()?, slack, delta)
    }

    pub(super) fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        self.parts.iter().try_for_each(|part| part.validate(adjacency))?;
        let again = SequenceEvent::new(self.parts.clone(), self.order)?;
        require(self.rho == again.rho, "rho", || format!("{} is not {}, the sum", self.rho, again.rho))
    }
}

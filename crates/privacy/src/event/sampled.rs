//! Sums over Poisson samples.

use serde::{Deserialize, Serialize};

use super::{EventError, require, require_range, require_same};
use crate::accountant::AccountantError;
use crate::accountant::gdp::GridSlack;
use crate::accountant::pld::{self, Releases};
use crate::accountant::tcdp::{self, Order};
use crate::guarantee::{Adjacency, Delta, Epsilon};
use crate::mechanism::GRID_RADIUS;
use crate::rho::Rho;

/// `steps` sums, each over a Poisson sample of the units that is drawn anew from secret randomness: every unit takes part
/// with probability `sampling_rate`, by itself. Each contribution is clipped to `clipping_norm`, rounded to an integer
/// grid, summed exactly and released with Gaussian DP noise.
///
/// There is no slack: a unit that moves the contributions of others does so whether or not it is in the sample, and
/// sampling would hide nothing. There is no replacement: neighbors differ by a unit that is there or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampledSumEvent {
    /// Coordinates of one contribution.
    pub dimension: usize,
    /// C, the bound on the Euclidean norm of one contribution, in input units.
    pub clipping_norm: f64,
    /// The standard deviation of the DP noise divided by the clipping norm.
    pub noise_multiplier: f64,
    /// The standard deviation of the DP noise in input units.
    pub scale: f64,
    /// The width of the integer grid in input units.
    pub grid: f64,
    /// q, the probability with which a unit takes part in a step.
    pub sampling_rate: f64,
    /// T, the number of sums.
    pub steps: u32,
    /// omega, up to which `rho` holds.
    pub order: Order,
    /// The zCDP loss of all sums up to `order`.
    pub rho: Rho,
}

impl SampledSumEvent {
    /// The event with its cost.
    pub(crate) fn new(
        (dimension, clipping_norm): (usize, f64),
        noise_multiplier: f64,
        sampling_rate: f64,
        steps: u32,
        order: Order,
    ) -> Result<SampledSumEvent, AccountantError> {
        let rho = tcdp::rho_of_sampled_sums(noise_multiplier, sampling_rate, steps, order)?;
        // Dividing by a power of two is exact.
        let (grid, scale) = (clipping_norm / GRID_RADIUS as f64, noise_multiplier * clipping_norm);
        Ok(SampledSumEvent {
            dimension,
            clipping_norm,
            noise_multiplier,
            scale,
            grid,
            sampling_rate,
            steps,
            order,
            rho,
        })
    }

    /// The epsilon at `delta` of this event alone: the privacy loss distribution of its steps, and the distance of
    /// its DP noise from continuous noise.
    pub(crate) fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountantError> {
        let releases = Releases::gaussian(self.noise_multiplier, self.sampling_rate, self.steps)?;
        let slack =
            GridSlack::of_sums(self.noise_multiplier * GRID_RADIUS as f64, self.dimension, self.steps);
        pld::epsilon_on_grid(&[releases], slack, delta)
    }

    pub(super) fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        let Self { dimension, clipping_norm, noise_multiplier, sampling_rate, steps, order, rho, .. } = *self;
        require(adjacency == Adjacency::AddRemove, "adjacency", || {
            format!("{adjacency}, and sampling hides units that are added or removed only")
        })?;
        require_range(dimension, clipping_norm)?;
        let again =
            SampledSumEvent::new((dimension, clipping_norm), noise_multiplier, sampling_rate, steps, order)
                .map_err(|error| EventError { field: "noise_multiplier", fact: error.to_string() })?;
        require_same("grid", self.grid, again.grid)?;
        require_same("scale", self.scale, again.scale)?;
        require(rho >= again.rho, "rho", || {
            format!("{rho} is below {}, the cost of noise multiplier {noise_multiplier}", again.rho)
        })
    }
}

//! What was done to the data, in a closed vocabulary that accounting and the ledger share.
//!
//! An event is a description and not a permission: it can be written and read, but noise is reachable
//! only through a charged plan. The vocabulary grows by new variants; a ledger that holds a variant
//! this version does not know is refused, never skipped.

mod minimum;
mod sampled;
mod sequence;

use serde::{Deserialize, Serialize};

use crate::accountant::gdp::GridSlack;
use crate::accountant::tcdp::Order;
use crate::guarantee::Adjacency;
use crate::mechanism::{self, GRID_RADIUS, MechanismError, Noise};
use crate::plan::{MAX_CLIPPING_NORM, MAX_DIMENSION, MIN_CLIPPING_NORM};
use crate::rho::Rho;

pub use minimum::MinimumEvent;
pub(crate) use minimum::{CONVEXITY, GRID_PRICE, MAX_WEIGHTS, OBJECTIVE_NOISE};
pub use sampled::SampledSumEvent;
pub(crate) use sequence::MAX_PARTS;
pub use sequence::SequenceEvent;

/// One accounted use of the private data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Sums with discrete Gaussian DP noise of contributions with a bounded Euclidean norm. No sampling
    /// of records.
    GaussianSum(SumEvent),
    /// Sums with discrete Laplace DP noise of contributions with a bounded 1-norm. No sampling of records.
    LaplaceSum(SumEvent),
    /// Counts with discrete Gaussian DP noise, each unit in at most one bin.
    Counts(CountsEvent),
    /// The candidate with the largest sum of scores, chosen by the exponential mechanism.
    NoisyMax(NoisyMaxEvent),
    /// The minimizer of a regularized loss, with DP noise on the objective, on the answer, or both.
    PerturbedMinimum(MinimumEvent),
    /// Sums with discrete Gaussian DP noise of contributions with a bounded Euclidean norm, each over a Poisson
    /// sample of the units.
    SampledGaussianSum(SampledSumEvent),
    /// Several runs of such sums, paid for together.
    Sequence(SequenceEvent),
}

/// One vector of counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountsEvent {
    /// How many bins.
    pub bins: usize,
    /// The standard deviation of the DP noise in one bin, divided by the sensitivity.
    pub noise_multiplier: f64,
    /// The Euclidean distance of the counts of neighbors, rounded up.
    pub sensitivity: f64,
    /// The zCDP loss, from the measurement's own map.
    pub rho: Rho,
}

/// One choice among candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyMaxEvent {
    /// How many candidates.
    pub candidates: usize,
    /// The scale of the exponential mechanism, divided by the largest score of one unit.
    pub noise_multiplier: f64,
    /// The zCDP loss, from the measurement's own map.
    pub rho: Rho,
}

/// `steps` sums over all units, each contribution clipped to `clipping_norm`, rounded to an integer
/// grid, summed exactly and released with DP noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumEvent {
    /// Coordinates of one contribution.
    pub dimension: usize,
    /// C, the bound on the norm of one contribution, in input units.
    pub clipping_norm: f64,
    /// The scale of the DP noise divided by the sensitivity.
    pub noise_multiplier: f64,
    /// The scale of the DP noise in input units: the standard deviation of a Gaussian, the mean
    /// magnitude of a Laplace variable.
    pub scale: f64,
    /// The width of the integer grid in input units.
    pub grid: f64,
    /// T, the number of sums.
    pub steps: u32,
    /// The zCDP loss of one sum, from the measurement's own map.
    pub rho_per_step: Rho,
    /// The zCDP loss of all of them, T * `rho_per_step`.
    pub rho: Rho,
    /// How far the contributions of all other units together may move between neighbors, in input units.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slack: f64,
    /// How far the integer sums of neighbors are apart at most, in grid steps.
    #[serde(default = "grid_radius", skip_serializing_if = "is_grid_radius")]
    pub sensitivity: u64,
}

// The values that the first ledgers imply by leaving these fields out.
fn is_zero(slack: &f64) -> bool {
    *slack == 0.0
}

fn grid_radius() -> u64 {
    GRID_RADIUS as u64
}

fn is_grid_radius(sensitivity: &u64) -> bool {
    *sensitivity == grid_radius()
}

/// An event that contradicts itself.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the event has an impossible {field}: {fact}")]
pub struct EventError {
    /// The field that is wrong.
    pub field: &'static str,
    /// What is wrong with it.
    pub fact: String,
}

impl Event {
    /// How far the contributions of all other units together may move between neighbors, in input units; 0 for what takes no
    /// slack.
    pub fn slack(&self) -> f64 {
        match self {
            Event::GaussianSum(sum) | Event::LaplaceSum(sum) => sum.slack,
            _ => 0.0,
        }
    }

    /// The zCDP loss of the whole event, up to [`Event::order`].
    pub fn rho(&self) -> Rho {
        match self {
            Event::GaussianSum(sum) | Event::LaplaceSum(sum) => sum.rho,
            Event::Counts(counts) => counts.rho,
            Event::NoisyMax(choice) => choice.rho,
            Event::PerturbedMinimum(minimum) => minimum.rho,
            Event::SampledGaussianSum(sum) => sum.rho,
            Event::Sequence(sequence) => sequence.rho,
        }
    }

    /// The largest order up to which the loss holds; `None` if it holds at all orders.
    pub fn order(&self) -> Option<Order> {
        match self {
            Event::SampledGaussianSum(sum) => Some(sum.order),
            Event::Sequence(sequence) => Some(sequence.order),
            Event::GaussianSum(_)
            | Event::LaplaceSum(_)
            | Event::Counts(_)
            | Event::NoisyMax(_)
            | Event::PerturbedMinimum(_) => None,
        }
    }

    /// How far the event's outputs are from those of continuous Gaussian noise on sums over all units; `None` if
    /// it is something else, which Gaussian DP does not cover. Counts are something else: their grid is
    /// too coarse.
    pub fn grid_slack(&self) -> Option<GridSlack> {
        match self {
            Event::GaussianSum(sum) => {
                let scale = sum.noise_multiplier * sum.sensitivity as f64;
                Some(GridSlack::of_sums(scale, sum.dimension, sum.steps))
            }
            Event::LaplaceSum(_)
            | Event::Counts(_)
            | Event::NoisyMax(_)
            | Event::SampledGaussianSum(_)
            | Event::Sequence(_)
            | Event::PerturbedMinimum(_) => None,
        }
    }

    /// Checks that the stated loss is not below what the stated noise costs under `adjacency`.
    ///
    /// # Errors
    /// [`EventError`] naming the first field that does not fit the others.
    pub fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        match self {
            Event::GaussianSum(sum) => sum.validate(Noise::Gaussian, adjacency),
            Event::LaplaceSum(sum) => sum.validate(Noise::Laplace, adjacency),
            Event::Counts(counts) => counts.validate(adjacency),
            Event::NoisyMax(choice) => choice.validate(adjacency),
            Event::PerturbedMinimum(minimum) => minimum.validate(adjacency),
            Event::SampledGaussianSum(sum) => sum.validate(adjacency),
            Event::Sequence(sequence) => sequence.validate(adjacency),
        }
    }
}

impl SumEvent {
    /// How far the integer sums of neighbors are apart at most, in grid steps: the clipped contributions
    /// in which neighbors differ, and the slack rounded up.
    pub(crate) fn sensitivity_of(adjacency: Adjacency, slack: f64, grid: f64) -> u64 {
        let own = adjacency.contributions_changed() * grid_radius();
        // The quotient is within half a unit in the last place, so the next float is not below the real one.
        let others = if slack == 0.0 { 0 } else { (slack / grid).next_up().ceil() as u64 };
        own.saturating_add(others)
    }

    fn validate(&self, noise: Noise, adjacency: Adjacency) -> Result<(), EventError> {
        let is_dimension = (1..=MAX_DIMENSION).contains(&self.dimension);
        require(is_dimension, "dimension", || {
            format!("{} is not from 1 to {MAX_DIMENSION}", self.dimension)
        })?;
        require(self.steps > 0, "steps", || "zero".to_owned())?;
        for (field, value) in [
            ("clipping_norm", self.clipping_norm),
            ("noise_multiplier", self.noise_multiplier),
            ("scale", self.scale),
            ("grid", self.grid),
        ] {
            let is_positive = value.is_finite() && value > 0.0;
            require(is_positive, field, || format!("{value:?} is not a finite positive number"))?;
        }
        let Self { clipping_norm, grid, scale, slack, sensitivity, noise_multiplier, .. } = *self;
        require(grid * GRID_RADIUS as f64 == clipping_norm, "grid", || {
            format!("{grid} is not the clipping norm divided by {GRID_RADIUS}")
        })?;
        let is_slack = (0.0..=mechanism::MAX_SLACK * clipping_norm).contains(&slack);
        require(is_slack, "slack", || {
            format!("{slack} is not between 0 and {} clipping norms", mechanism::MAX_SLACK)
        })?;
        let least = SumEvent::sensitivity_of(adjacency, slack, grid);
        require(sensitivity == least, "sensitivity", || {
            format!("{sensitivity} is not {least}, that of {adjacency} adjacency with this slack")
        })?;
        require(scale == noise_multiplier * (sensitivity as f64 * grid), "scale", || {
            format!("{scale} is not noise_multiplier times the sensitivity")
        })?;
        let cost = mechanism::rho_of_one_sum(noise, noise_multiplier, sensitivity)
            .map_err(|error| EventError { field: "noise_multiplier", fact: error.to_string() })?;
        require(self.rho_per_step >= cost, "rho_per_step", || {
            format!("{} is below {cost}, the cost of noise multiplier {noise_multiplier}", self.rho_per_step)
        })?;
        require(self.rho_per_step.times(self.steps) == Some(self.rho), "rho", || {
            format!("{} is not {} times {}", self.rho, self.steps, self.rho_per_step)
        })
    }
}

impl CountsEvent {
    /// The Euclidean distance of the counts of neighbors, rounded up: one count changes by one, or, when a
    /// unit moves from bin to bin, two do.
    pub(crate) fn sensitivity_of(adjacency: Adjacency, bins: usize) -> f64 {
        match adjacency {
            Adjacency::Replace if bins > 1 => std::f64::consts::SQRT_2.next_up(),
            Adjacency::AddRemove | Adjacency::Replace => 1.0,
        }
    }

    fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        let Self { bins, noise_multiplier, sensitivity, rho } = *self;
        require_size(bins, "bins")?;
        let least = CountsEvent::sensitivity_of(adjacency, bins);
        require(sensitivity == least, "sensitivity", || format!("{sensitivity} is not {least}"))?;
        require_cost(rho, noise_multiplier, mechanism::rho_of_gaussian(noise_multiplier, sensitivity))
    }
}

impl NoisyMaxEvent {
    fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        let Self { candidates, noise_multiplier, rho } = *self;
        require_size(candidates, "candidates")?;
        require_cost(rho, noise_multiplier, mechanism::rho_of_noisy_max(noise_multiplier, adjacency))
    }
}

fn require_size(size: usize, field: &'static str) -> Result<(), EventError> {
    require((1..=MAX_DIMENSION).contains(&size), field, || format!("{size} is not from 1 to {MAX_DIMENSION}"))
}

fn require_cost(
    rho: Rho,
    noise_multiplier: f64,
    cost: Result<Rho, MechanismError>,
) -> Result<(), EventError> {
    let cost = cost.map_err(|error| EventError { field: "noise_multiplier", fact: error.to_string() })?;
    require(rho >= cost, "rho", || {
        format!("{rho} is below {cost}, the cost of noise multiplier {noise_multiplier}")
    })
}

/// A sum's dimension and clipping norm are among those that can be planned.
fn require_range(dimension: usize, clipping_norm: f64) -> Result<(), EventError> {
    require_size(dimension, "dimension")?;
    let is_norm = (MIN_CLIPPING_NORM..=MAX_CLIPPING_NORM).contains(&clipping_norm);
    require(is_norm, "clipping_norm", || {
        format!("{clipping_norm} is not from {MIN_CLIPPING_NORM:e} to {MAX_CLIPPING_NORM:e}")
    })
}

fn require_same(field: &'static str, found: f64, expected: f64) -> Result<(), EventError> {
    require(found == expected, field, || format!("{found} is not {expected}"))
}

fn require(holds: bool, field: &'static str, fact: impl FnOnce() -> String) -> Result<(), EventError> {
    if holds { Ok(()) } else { Err(EventError { field, fact: fact() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A float as an exact integer in units of 2^-80.
    fn exact(value: f64) -> u128 {
        let bits = value.to_bits();
        let exponent = (bits >> 52) as i32 - 1075;
        u128::from((bits & ((1 << 52) - 1)) | (1 << 52)) << (exponent + 80)
    }

    proptest! {
        /// The steps added for slack cover it in exact arithmetic, and are at most one more than needed.
        #[test]
        fn slack_is_covered_exactly(
            clipping_norm in (1.0..2.0_f64, -20..=0_i32).prop_map(|(m, e)| m * 2_f64.powi(e)),
            share in prop_oneof![1e-7..1.0_f64, Just(1.0), Just(0.5), Just(2_f64.powi(-30))],
            is_replaced: bool,
        ) {
            let adjacency = if is_replaced { Adjacency::Replace } else { Adjacency::AddRemove };
            let slack = share * clipping_norm;
            let sensitivity = SumEvent::sensitivity_of(adjacency, slack, clipping_norm / GRID_RADIUS as f64);
            let extra = u128::from(sensitivity - adjacency.contributions_changed() * grid_radius());
            // extra * C / 2^30 >= slack; the right side is exact after a shift of 30 bits.
            let (norm, slack) = (exact(clipping_norm), exact(slack * GRID_RADIUS as f64));
            let (need, have) = (slack.div_ceil(norm), extra);
            prop_assert!(have >= need && have <= need + 1, "{have} {need}");
        }
    }
}

//! What was done to the data, in a closed vocabulary that accounting and the ledger share.
//!
//! An event is a description and not a permission: it can be written and read, but noise is reachable
//! only through a charged plan. The vocabulary grows by new variants; a ledger that holds a variant
//! this version does not know is refused, never skipped.

use serde::{Deserialize, Serialize};

use crate::mechanism::{self, GRID_RADIUS};
use crate::rho::Rho;

/// One accounted use of the private data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// `steps` sums over all records, each contribution clipped to `clipping_norm`, rounded to an
    /// integer grid, and released with discrete Gaussian DP noise. No sampling of records.
    GaussianSum {
        /// Coordinates of one contribution.
        dimension: usize,
        /// C, the bound on the Euclidean norm of one contribution, in input units.
        clipping_norm: f64,
        /// sigma, the standard deviation of the DP noise divided by C.
        noise_multiplier: f64,
        /// sigma * C, the standard deviation of the DP noise in input units.
        scale: f64,
        /// The width of the integer grid in input units.
        grid: f64,
        /// T, the number of sums.
        steps: u32,
        /// The zCDP loss of one sum, from the measurement's own map.
        rho_per_step: Rho,
        /// The zCDP loss of all of them, T * `rho_per_step`.
        rho: Rho,
    },
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
    /// The zCDP loss of the whole event.
    pub fn rho(&self) -> Rho {
        match self {
            Event::GaussianSum { rho, .. } => *rho,
        }
    }

    /// Checks that the stated loss is not below what the stated noise costs.
    ///
    /// # Errors
    /// [`EventError`] naming the first field that does not fit the others.
    pub fn validate(&self) -> Result<(), EventError> {
        let Event::GaussianSum {
            dimension,
            clipping_norm,
            noise_multiplier,
            scale,
            grid,
            steps,
            rho_per_step,
            rho,
        } = self;
        let require = |holds: bool, field: &'static str, fact: String| {
            if holds { Ok(()) } else { Err(EventError { field, fact }) }
        };
        require(*dimension > 0, "dimension", "zero".to_owned())?;
        require(*steps > 0, "steps", "zero".to_owned())?;
        for (field, value) in [
            ("clipping_norm", *clipping_norm),
            ("noise_multiplier", *noise_multiplier),
            ("scale", *scale),
            ("grid", *grid),
        ] {
            let is_positive = value.is_finite() && value > 0.0;
            require(is_positive, field, format!("{value} is not a finite positive number"))?;
        }
        require(
            *grid * GRID_RADIUS as f64 == *clipping_norm,
            "grid",
            format!("{grid} is not the clipping norm divided by {GRID_RADIUS}"),
        )?;
        require(
            *scale == *noise_multiplier * *clipping_norm,
            "scale",
            format!("{scale} is not noise_multiplier * clipping_norm"),
        )?;
        let cost = mechanism::rho_of_one_step(*noise_multiplier)
            .map_err(|error| EventError { field: "noise_multiplier", fact: error.to_string() })?;
        require(
            *rho_per_step >= cost,
            "rho_per_step",
            format!("{rho_per_step} is below {cost}, the cost of noise multiplier {noise_multiplier}"),
        )?;
        require(
            rho_per_step.times(*steps) == Some(*rho),
            "rho",
            format!("{rho} is not {steps} times {rho_per_step}"),
        )
    }
}

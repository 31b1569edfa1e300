//! From a rho to the epsilon that people ask for.
//!
//! [`zcdp`] is the accountant that charges: its numbers are proven by OpenDP for the mechanism that
//! runs. [`gdp`] is exact for full-batch Gaussian sums, with a proved bound for the integer grid they are
//! drawn on. [`pld`] is for releases on Poisson samples, for Laplace DP noise, and for mixtures.

pub mod gdp;
pub(crate) mod normal;
pub mod pld;
pub mod zcdp;

use crate::guarantee::ParameterError;

/// An accountant could not give a figure.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountantError {
    /// OpenDP refused or failed.
    #[error("the zCDP accountant of OpenDP failed: {message}; use a rho and a delta of ordinary size")]
    OpenDp {
        /// OpenDP's own words.
        message: String,
    },
    /// A figure came out that is no privacy parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Releases that the accountant does not cover.
    #[error("the {what} is {value}; give a number {range}")]
    Releases {
        /// What is out of range.
        what: &'static str,
        /// The number given.
        value: f64,
        /// What is accepted.
        range: &'static str,
    },
    /// The discreteness of the DP noise alone is more than delta.
    #[error(
        "the grid of the DP noise alone costs {slack:e}, too much beside delta {delta}; use more DP noise, fewer steps or a larger delta"
    )]
    GridTooCoarse {
        /// The total variation distance from continuous noise.
        slack: f64,
        /// The delta asked for.
        delta: crate::Delta,
    },
    /// A delta below what floats resolve.
    #[error(
        "delta {delta} is too small for this accountant; give at least 1e-100, or use the zCDP accountant"
    )]
    SmallDelta {
        /// The delta asked for.
        delta: crate::Delta,
    },
    /// No positive rho keeps the promise.
    #[error(
        "epsilon {epsilon} at delta {delta} leaves no loss to spend (below 1e-12 in rho); ask for a larger epsilon or delta"
    )]
    NothingToSpend {
        /// The epsilon asked for.
        epsilon: crate::Epsilon,
        /// The delta asked for.
        delta: crate::Delta,
    },
}

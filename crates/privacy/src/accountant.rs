//! From a rho to the epsilon that people ask for.
//!
//! [`zcdp`] is the accountant that charges: its numbers are proven by OpenDP for the mechanism that
//! runs. [`gdp`] is a second opinion that is only printed beside it.

pub mod gdp;
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

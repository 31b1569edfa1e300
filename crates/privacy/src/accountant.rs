//! From a rho to the epsilon that people ask for.
//!
//! Losses add up in rho. [`zcdp`] is the theory of it: its numbers are proven by OpenDP for the mechanism that
//! runs. [`tcdp`] extends it to releases on Poisson samples, whose rho holds up to an order only. [`gdp`] is exact for
//! full-batch Gaussian sums, with a proved bound for the integer grid they are drawn on. [`pld`] is for a single release
//! on Poisson samples, for Laplace DP noise, and for mixtures; it adds up nothing.
//! [`objective`] counts the DP noise of a random linear term in an objective, in zCDP.

pub mod gdp;
pub(crate) mod normal;
pub mod objective;
pub mod pld;
pub mod tcdp;
pub mod zcdp;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::guarantee::ParameterError;

/// By which theory a ledger's losses become epsilons. A policy fixes it.
///
/// Only theories with a *filter* are here: a cap that holds although each release is chosen, with its loss, after
/// seeing the ones before. Privacy loss distributions have none in general.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accountant {
    /// Zero-concentrated DP, for every mechanism; truncated where there are sampled releases.
    #[default]
    Zcdp,
    /// Gaussian DP, for sums with Gaussian DP noise over all units and nothing else: 7 to 9 percent less epsilon.
    Gdp,
}

impl Accountant {
    /// Whether this is the one that goes without saying, as in the first policies.
    pub(crate) fn is_default(&self) -> bool {
        *self == Accountant::default()
    }
}

impl fmt::Display for Accountant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Accountant::Zcdp => "zcdp",
            Accountant::Gdp => "gdp",
        })
    }
}

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
    #[error("the {what} is {value:?}; give a number {range}")]
    Releases {
        /// What is out of range.
        what: &'static str,
        /// The number given.
        value: f64,
        /// What is accepted.
        range: &'static str,
    },
    /// Gaussian DP was asked about something else.
    #[error(
        "Gaussian DP counts sums with Gaussian DP noise over all units only; use the zCDP accountant for everything else"
    )]
    NotGaussian,
    /// A group's figure was asked of a release that has none.
    #[error("a release on Poisson samples has no figure for groups; protect persons as the unit instead")]
    SampledGroup,
    /// The surcharge for the grid of the DP noise on an objective is not proved to be enough.
    #[error(
        "epsilon {epsilon} at delta {delta} is outside of what is proved for objective perturbation, whose noise is drawn on a \
         grid; use a smaller epsilon or a larger delta"
    )]
    ObjectiveGrid {
        /// The epsilon without the grid.
        epsilon: crate::Epsilon,
        /// The delta asked for.
        delta: crate::Delta,
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
        "epsilon {epsilon} at delta {delta} leaves no loss to spend (below 1e-12 in rho); ask for a larger epsilon or delta",
        epsilon = epsilon.get()
    )]
    NothingToSpend {
        /// The epsilon asked for.
        epsilon: crate::Epsilon,
        /// The delta asked for.
        delta: crate::Delta,
    },
    /// A part of an epsilon is less than the least that a release costs.
    #[error(
        "epsilon {epsilon} at delta {delta} is too little to divide among {parts} releases: each costs at least rho {least}, which delta alone covers; ask for at least epsilon {enough:e}",
        epsilon = epsilon.get(), enough = enough.get()
    )]
    SmallParts {
        /// The epsilon asked for.
        epsilon: crate::Epsilon,
        /// The delta asked for.
        delta: crate::Delta,
        /// Among how many.
        parts: usize,
        /// What the smallest release costs.
        least: crate::Rho,
        /// An epsilon that is enough.
        enough: crate::Epsilon,
    },
    /// No loss that holds up to an order has so small an epsilon.
    #[error(
        "epsilon {epsilon} at delta {delta} is below what any loss costs that holds up to order {order} only, as those of releases on Poisson samples do: epsilon {least}; give a cap above that, or a larger delta"
    )]
    LowOrder {
        /// The epsilon asked for.
        epsilon: crate::Epsilon,
        /// The delta asked for.
        delta: crate::Delta,
        /// The order.
        order: tcdp::Order,
        /// The epsilon of the smallest loss.
        least: crate::Epsilon,
    },
}

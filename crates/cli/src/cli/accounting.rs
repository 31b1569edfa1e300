//! The arguments of the verbs that count privacy loss without spending any.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::number;

/// Arguments of `account`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("asked").required(true).args(["noise_multiplier", "epsilon"]))]
pub struct AccountArgs {
    /// The DP noise
    #[arg(long, value_enum, default_value_t = Mechanism::Gaussian)]
    pub mechanism: Mechanism,
    /// The noise for which epsilon is asked: standard deviation (Gaussian) or scale (Laplace) over sensitivity
    #[arg(long, value_name = "S", value_parser = number::positive)]
    pub noise_multiplier: Option<f64>,
    /// The epsilon for which the least noise is asked
    #[arg(long, value_name = "E", value_parser = number::epsilon)]
    pub epsilon: Option<f64>,
    /// The probability with which each record takes part in a step, by itself; 1 is every record
    #[arg(long, value_name = "Q", default_value_t = 1.0, value_parser = number::rate)]
    pub sampling_rate: f64,
    /// The number of releases
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// The delta at which epsilon is stated
    #[arg(long, value_name = "D", value_parser = number::delta)]
    pub delta: f64,
    /// The theory that counts [default: gdp for full-batch Gaussian noise, pld for everything else]
    #[arg(long, value_enum)]
    pub accountant: Option<Accountant>,
}

/// DP noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// On sums, Euclidean sensitivity
    Gaussian,
    /// On a number
    Laplace,
}

/// A theory of privacy loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accountant {
    /// Zero-concentrated DP, what ledgers add up; truncated with sampling, Gaussian noise only
    Zcdp,
    /// Gaussian DP, exact; full-batch Gaussian noise
    Gdp,
    /// Privacy loss distributions; everything
    Pld,
}

/// The arguments of `plan` that ask what a release would cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Privacy")]
pub struct PrivacyPlanArgs {
    /// What a release may cost: tells its guarantee, and whether a ledger would accept it
    #[arg(long, value_name = "E", value_parser = number::epsilon)]
    pub epsilon: Option<f64>,
    /// The population's ledger, which is not charged
    #[arg(long, value_name = "FILE", requires = "epsilon")]
    pub ledger: Option<PathBuf>,
    /// Without a ledger, the privacy configuration it would have; with one, another is refused
    #[arg(long, value_name = "FILE", requires = "epsilon")]
    pub policy: Option<PathBuf>,
    /// Without a ledger, a public upper bound on the number of units
    #[arg(long, value_name = "N", requires = "policy", conflicts_with = "ledger", value_parser = number::public_size)]
    pub public_size: Option<u64>,
    /// The number of noisy sums
    #[arg(long, value_name = "T", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// The most coordinates of a sum: what the grid of the DP noise is charged for
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub dimension: u32,
}

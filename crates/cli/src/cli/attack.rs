//! The arguments of `audit` that decide how much it attacks.

use clap::Args;

use crate::paths::OutputPath;

/// How much `audit` attacks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Attack")]
pub struct AttackArgs {
    /// Run no attack: the report says `not assessed`
    #[arg(long, conflicts_with_all = ["quick", "runs", "time_budget", "state"])]
    pub no_attack: bool,
    /// Fewer trainings: seconds instead of a minute or two, for lower bounds (0.7 of the accounted epsilon) and wider intervals
    #[arg(long, conflicts_with = "runs")]
    pub quick: bool,
    /// Trainings of the main attack; the other parts follow it [default: as many as show 0.85 of the accounted epsilon]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    pub runs: Option<u32>,
    /// Stop the attack after so long; what it found until then holds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub time_budget: Option<u32>,
    /// The seed of everything but the DP noise
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Keep the attack's results in this file, and go on from it if it exists
    #[arg(long, value_name = "FILE")]
    pub state: Option<OutputPath>,
}

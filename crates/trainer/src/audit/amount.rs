//! How much an audit runs: decided from the claim alone, before any training.
//!
//! A preset has a goal, the share of the accounted epsilon that the bound at 95 % should show, and the power calculation of
//! [`cryptotl_privacy::audit::power`] says how many trainings that takes: thousands at epsilon 1, where a canary is hard to see, and
//! far fewer at 8. It also has a limit on the numbers with DP noise that are drawn, which is what takes the time.

use cryptotl_privacy::Epsilon;
use cryptotl_privacy::audit::power::pairs_to_show;
use cryptotl_privacy::audit::{AuditSettings, HEADLINE_CONFIDENCE, Preset, planning_alpha};

use super::target::Target;

/// The fewest trainings of a control: the bets on 300 pairs tell a mean error from another that is 0.03 off.
const CONTROL_RUNS: usize = 600;
/// A bound is not asked to come closer to what can be seen than this share of its mu.
const CLOSEST: f64 = 0.96;

/// What a preset aims at.
struct Goal {
    /// The share of the accounted epsilon that should be shown.
    share: f64,
    /// The fewest trainings of the main attack, so that curves have detail.
    fewest: usize,
    /// Trainings with one canary.
    single: usize,
    /// The most numbers with DP noise. A core draws one and trains on it in about 5 microseconds.
    most_draws: usize,
}

const DEFAULT: Goal = Goal { share: 0.85, fewest: 2000, single: 1000, most_draws: 40_000_000 };
const QUICK: Goal = Goal { share: 0.7, fewest: 500, single: 300, most_draws: 8_000_000 };

/// The amount of work of a preset for this target.
pub fn preset(preset: Preset, target: &Target, seed: u64) -> AuditSettings {
    let goal = if preset == Preset::Quick { QUICK } else { DEFAULT };
    let (claim, canaries) = (target.claim(), target.made_up().canaries());
    let losses = claim.losses;
    let wanted = Epsilon::new(goal.share * claim.guarantee.epsilon.get())
        .map_or(f64::INFINITY, |epsilon| losses.mu_of_epsilon(epsilon, claim.guarantee.delta));
    let visible = |noise| target.signal().mean_error(noise);
    let shown = wanted.min(CLOSEST * losses.mu_of_mean_error(visible(1.0)));
    let pairs = |mu: f64, noise: f64, alpha| {
        pairs_to_show(losses.mean_error(mu), visible(noise), canaries, alpha).unwrap_or(usize::MAX / 4)
    };
    let main = (2 * pairs(shown, 1.0, 1.0 - HEADLINE_CONFIDENCE)).max(goal.fewest);
    let half_noise = (2 * pairs(claim.mu, 0.5, planning_alpha())).max(CONTROL_RUNS).min(main);
    // If all of it would take too long, the control keeps up to half of the time, as without it there is no verdict, and the other
    // parts shrink alike.
    let most = goal.most_draws / target.draws().max(1);
    let half_noise = half_noise.min(most / 2);
    let total = main.saturating_add(goal.single) as f64;
    let share = ((most - half_noise) as f64 / total).min(1.0);
    let part = |runs: usize| even((runs as f64 * share) as usize);
    AuditSettings {
        preset,
        runs: part(main),
        single_runs: part(goal.single),
        half_noise_runs: even(half_noise),
        no_noise_runs: CONTROL_RUNS,
        seed,
        time_budget_seconds: None,
    }
}

/// The amount of work for a number of trainings of the main attack, rounded up to whole pairs.
pub fn runs(runs: usize, seed: u64) -> AuditSettings {
    AuditSettings {
        preset: Preset::Custom,
        runs: even(runs),
        single_runs: even(runs / 4),
        half_noise_runs: even((runs / 8).max(CONTROL_RUNS)),
        no_noise_runs: CONTROL_RUNS,
        seed,
        time_budget_seconds: None,
    }
}

fn even(runs: usize) -> usize {
    runs.div_ceil(2).max(8) * 2
}

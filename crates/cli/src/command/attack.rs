//! The attack of `audit`: its arguments, its progress and its words.

use std::fmt;

use cryptotl_model::Destination;
use cryptotl_privacy::Defect;
use cryptotl_privacy::audit::{Audit, AuditEvidence, AuditSettings, Preset, Theory};
use cryptotl_trainer::Head;
use cryptotl_trainer::audit::attack::{SINGLE_SCORES, n_thresholds};
use cryptotl_trainer::audit::{self, Sitting, State, Target};

use crate::cli::AttackArgs;
use crate::exit::Result;
use crate::progress::Bar;
use crate::report::NOT_ASKED;

/// Attacks the head's mechanism, on made-up records.
/// `state` is where its results are kept.
pub fn attack(head: &Head, args: &AttackArgs, state_to: Option<&Destination>) -> Result<Audit> {
    let target = match Target::of_head(head) {
        Ok(target) => target,
        Err(not_covered) => {
            return Ok(Audit::NotAssessed { method: not_covered.method, reason: not_covered.reason });
        }
    };
    if args.no_attack {
        let method = target.claim().method.clone();
        return Ok(Audit::NotAssessed { method, reason: NOT_ASKED.to_owned() });
    }
    let settings = match (args.runs, args.quick) {
        (Some(runs), _) => audit::runs(runs as usize, args.seed),
        (None, true) => audit::preset(Preset::Quick, &target, args.seed),
        (None, false) => audit::preset(Preset::Default, &target, args.seed),
    };
    let settings = AuditSettings { time_budget_seconds: args.time_budget.map(f64::from), ..settings };
    if state_to.is_some() {
        State::check_size(&settings, (SINGLE_SCORES.len(), n_thresholds()))?;
    }
    let mut state = resumed(&target, &settings, state_to)?;
    let bar = Bar::new("attack");
    let sitting = Sitting {
        target: &target,
        mechanism: Defect::None,
        settings: &settings,
        on_progress: &|progress| bar.show(progress.done, progress.total),
        save: &|state| match state_to {
            Some(to) => state.write(to, target.claim(), &settings),
            None => Ok(()),
        },
    };
    Ok(Audit::Assessed(audit::run(&sitting, &mut state)?))
}

/// The results of earlier sittings, if there are any.
fn resumed(target: &Target, settings: &AuditSettings, to: Option<&Destination>) -> Result<State> {
    let Some(path) = to.map(Destination::path) else { return Ok(State::default()) };
    if !path.exists() {
        return Ok(State::default());
    }
    Ok(State::read(path, target.claim(), settings, (SINGLE_SCORES.len(), n_thresholds()))?)
}

/// What an attack found, in lines for people.
pub struct Bounds<'a>(pub &'a AuditEvidence);

impl fmt::Display for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = self.0;
        let own = evidence.claim.losses.theory();
        writeln!(
            f,
            "lower bounds on epsilon at 95 / 99 % confidence, by the theory of {} and by the definition alone:",
            own.words()
        )?;
        let mut line = |name: &str, epsilon: &dyn Fn(Theory, f64) -> f64| {
            let [own, definition] = [own, Theory::EpsilonDelta]
                .map(|theory| format!("{:.3} / {:.3}", epsilon(theory, 0.95), epsilon(theory, 0.99)));
            writeln!(f, "  {name:64} {own:>15} {definition:>15}")
        };
        for view in &evidence.views {
            line(view.view.adversary(), &|theory, confidence| {
                view.bound(theory, confidence).map_or(0.0, |bound| bound.epsilon)
            })?;
        }
        line("one canary, next to nobody beside it", &|theory, confidence| {
            evidence.single.bound(theory, confidence).map_or(0.0, |bound| bound.epsilon)
        })?;
        let one_run = &evidence.one_run;
        writeln!(
            f,
            "  one training, {} of {} guesses right: {:.3} / {:.3}",
            one_run.correct, one_run.guesses, one_run.epsilon_95, one_run.epsilon_99
        )?;
        for control in &evidence.controls {
            let found = if control.found_out { "found out" } else { "not found out" };
            writeln!(
                f,
                "control, {}: {found} (epsilon at least {:.3})",
                control.control.words(),
                control.bound.epsilon
            )?;
        }
        let seconds = evidence.seconds;
        if evidence.completed {
            writeln!(f, "all trainings done in {seconds:.0} s")
        } else {
            writeln!(f, "stopped by the time budget after {seconds:.0} s")
        }
    }
}

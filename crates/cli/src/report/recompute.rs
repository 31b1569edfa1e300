//! What a report says, computed again from what it recorded: a figure that was altered does not fit the others.

use cryptotl_privacy::accountant::zcdp;
use cryptotl_privacy::{AccountantError, Delta, Guarantee, Rho};

use super::guarantee::Promise;
use super::{FORMAT, Report, VERSION, Verdict, words};

/// One thing that was computed again.
#[derive(Debug, Clone, PartialEq)]
pub struct Recomputed {
    /// What.
    pub check: &'static str,
    /// What holds, or what does not fit.
    pub outcome: Result<String, String>,
}

/// Computes the figures of a report again.
pub fn recompute(report: &Report) -> Vec<Recomputed> {
    let checks: [(&'static str, fn(&Report) -> Result<String, String>); 4] =
        [("version", version), ("claim", claim), ("budget", budget), ("attack", attack)];
    checks.into_iter().map(|(check, run)| Recomputed { check, outcome: run(report) }).collect()
}

fn version(report: &Report) -> Result<String, String> {
    if report.format == FORMAT && report.version == VERSION {
        Ok(format!("{FORMAT} {VERSION}"))
    } else {
        Err(format!("it is {} {}, this program reads {FORMAT} {VERSION}", report.format, report.version))
    }
}

/// The promise and all of its figures, from the recorded event.
fn claim(report: &Report) -> Result<String, String> {
    let words = |e: &dyn std::fmt::Display| e.to_string();
    let event = report.mechanism.recorded().ok_or("the recorded event is none that this program knows")?;
    let promise = &report.guarantee;
    let delta = Delta::new(promise.delta).map_err(|e| words(&e))?;
    let unit = promise.unit.parse().map_err(|e| words(&e))?;
    let adjacency = serde_json::from_value(promise.adjacency.clone().into()).map_err(|e| words(&e))?;
    event.validate(adjacency).map_err(|e| words(&e))?;
    let spent = parse_rho(&report.budget.rho_spent)?;
    let compute = || -> Result<_, AccountantError> {
        let guarantee = Guarantee::from_rho(event.rho(), delta, unit, adjacency)?;
        let promise = Promise::new(&guarantee, &event, spent)?;
        Ok((guarantee, promise))
    };
    let (guarantee, computed) = compute().map_err(|e| words(&e))?;
    let epsilon = guarantee.epsilon.get();
    if computed != *promise || guarantee.formal_sentence() != report.sentence {
        return Err(format!(
            "the promise is not the one of the recorded event, which is epsilon {}",
            words::loss(epsilon)
        ));
    }
    if report.target_epsilon != epsilon || report.accounted_epsilon != epsilon {
        return Err(format!(
            "the recorded event costs epsilon {}, the report says otherwise",
            words::loss(epsilon)
        ));
    }
    Ok(format!(
        "epsilon {} at delta {} follows from the recorded event",
        words::loss(epsilon),
        words::small(promise.delta)
    ))
}

/// The sum of all runs, and that this release is one of them.
fn budget(report: &Report) -> Result<String, String> {
    let budget = &report.budget;
    let delta = Delta::new(budget.delta).map_err(|e| e.to_string())?;
    let epsilon = |rho: Rho| zcdp::epsilon(rho, delta).map(|e| e.get()).map_err(|e| e.to_string());
    let mut spent = Rho::ZERO;
    for run in &budget.runs {
        let rho = parse_rho(&run.rho)?;
        spent = spent.checked_add(rho).ok_or("the runs cost more than can be written down")?;
        if run.epsilon_after != epsilon(spent)? || run.epsilon != epsilon(rho)? {
            return Err(format!("the epsilons of entry {} do not follow from its rho", run.seq));
        }
    }
    if spent != parse_rho(&budget.rho_spent)? || budget.epsilon_spent != epsilon(spent)? {
        return Err(format!("the runs cost rho {spent}, the report says otherwise"));
    }
    let own: Vec<_> = budget.runs.iter().filter(|run| run.is_this_release).collect();
    let [own] = own[..] else { return Err(format!("{} runs are said to be this release", own.len())) };
    let identity = &report.identity;
    let is_own = own.seq == identity.witness_seq
        && own.hash == identity.witness_hash
        && own.released.as_deref() == Some(identity.head_digest.as_str())
        && own.rho == report.guarantee.rho;
    if !is_own {
        return Err(format!("entry {} is not the run of the head that the report names", own.seq));
    }
    Ok(format!(
        "{} cost epsilon {} together",
        words::count(budget.runs.len(), "run"),
        words::loss(budget.epsilon_spent)
    ))
}

/// That verdict and headline are those of the attack's evidence.
fn attack(report: &Report) -> Result<String, String> {
    let stated = (report.verdict, report.audited_epsilon_lower_bound, report.confidence);
    match report.attack.evidence() {
        Err(_) if stated == (Verdict::NotAssessed, None, None) => Ok("no attack was run".to_owned()),
        Ok(evidence) => {
            let bound = evidence.headline();
            let found = (evidence.verdict.into(), bound.map(|b| b.epsilon), bound.map(|b| b.confidence));
            let is_own = evidence.claim.guarantee.rho.to_string() == report.guarantee.rho;
            if stated == found && is_own && report.controls == super::attack::controls(evidence) {
                Ok(format!("the verdict is `{}`", report.verdict.words()))
            } else {
                Err("verdict, bound or controls are not those of the attack's evidence".to_owned())
            }
        }
        Err(_) => Err("a verdict without an attack".to_owned()),
    }
}

fn parse_rho(text: &str) -> Result<Rho, String> {
    text.parse().map_err(|_| format!("`{}` is no rho", text.chars().take(40).collect::<String>()))
}

//! What a report says, computed again from what it recorded: a figure that was altered does not fit the others.

use cryptotl_privacy::loss::Losses;
use cryptotl_privacy::{Accountant, Adjacency, Delta, Guarantee, ParameterError, PrivacyUnit};

use super::budget::Run;
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
    let recomputed = |check, outcome| Recomputed { check, outcome };
    vec![
        recomputed("version", version(report)),
        recomputed("claim", claim(report)),
        recomputed("budget", budget(report)),
        recomputed("attack", attack(report)),
    ]
}

fn version(report: &Report) -> Result<String, String> {
    if report.format == FORMAT && report.version == VERSION {
        Ok(format!("{FORMAT} {VERSION}"))
    } else {
        Err(format!("it is {} {}, this program reads {FORMAT} {VERSION}", report.format, report.version))
    }
}

/// The terms on which everything is counted.
struct Terms {
    accountant: Accountant,
    delta: Delta,
    unit: PrivacyUnit,
    adjacency: Adjacency,
}

fn terms(report: &Report) -> Result<Terms, String> {
    let (promise, budget) = (&report.guarantee, &report.budget);
    Ok(Terms {
        accountant: accountant(&budget.accountant)?,
        delta: delta(budget.delta)?,
        unit: promise.unit.parse().map_err(|e: ParameterError| e.to_string())?,
        adjacency: named(&promise.adjacency)?,
    })
}

fn accountant(name: &str) -> Result<Accountant, String> {
    named(name)
}

fn delta(value: f64) -> Result<Delta, String> {
    Delta::new(value).map_err(|e| e.to_string())
}

/// The variant of this name.
fn named<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|e| e.to_string())
}

impl Terms {
    /// What the ledger guarantees for a recorded run alone.
    fn guarantee(&self, run: &Run) -> Result<(Guarantee, Losses), String> {
        let unknown = || format!("the event of entry {} is none that this program knows", run.seq);
        let event = run.recorded().ok_or_else(unknown)?;
        event.validate(self.adjacency).map_err(|e| e.to_string())?;
        let (accountant, delta) = (accountant(&run.accountant)?, delta(run.delta)?);
        let of = Guarantee::of(&event, accountant, delta, self.unit, self.adjacency);
        Ok((of.map_err(|e| e.to_string())?, Losses::of(&event)))
    }

    fn epsilon(&self, losses: Losses) -> Result<f64, String> {
        losses.epsilon(self.accountant, self.delta).map(|e| e.get()).map_err(|e| e.to_string())
    }
}

/// The promise and all of its figures, from the recorded event.
fn claim(report: &Report) -> Result<String, String> {
    let terms = terms(report)?;
    let own = own_run(report)?;
    if report.mechanism.event != own.event {
        return Err(format!("the mechanism is not the one of entry {}", own.seq));
    }
    let (guarantee, _) = terms.guarantee(own)?;
    let event = own.recorded().ok_or("the recorded event is none that this program knows")?;
    let mut spent = Losses::NONE;
    for run in &report.budget.runs {
        spent = spent.plus(terms.guarantee(run)?.1);
    }
    let computed = Promise::new(&guarantee, &event, spent).map_err(|e| e.to_string())?;
    let epsilon = guarantee.epsilon.get();
    if computed != report.guarantee || guarantee.formal_sentence() != report.sentence {
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
        words::small(report.guarantee.delta)
    ))
}

/// The run of the head, if the report is consistent about it.
fn own_run(report: &Report) -> Result<&Run, String> {
    let own: Vec<_> = report.budget.runs.iter().filter(|run| run.is_this_release).collect();
    let [own] = own[..] else { return Err(format!("{} runs are said to be this release", own.len())) };
    let identity = &report.identity;
    let is_own = own.seq == identity.witness_seq
        && own.hash == identity.witness_hash
        && own.released.as_deref() == Some(identity.head_digest.as_str());
    if is_own {
        Ok(own)
    } else {
        Err(format!("entry {} is not the run of the head that the report names", own.seq))
    }
}

/// The sum of all runs.
fn budget(report: &Report) -> Result<String, String> {
    let (budget, terms) = (&report.budget, terms(report)?);
    let mut spent = Losses::NONE;
    for run in &budget.runs {
        let (guarantee, losses) = terms.guarantee(run)?;
        spent = spent.plus(losses);
        let is_own = run.rho == guarantee.rho.to_string()
            && run.epsilon == guarantee.epsilon.get()
            && run.epsilon_after == terms.epsilon(spent)?;
        if !is_own {
            return Err(format!("the figures of entry {} do not follow from its event", run.seq));
        }
    }
    if spent.rho().to_string() != budget.rho_spent || budget.epsilon_spent != terms.epsilon(spent)? {
        return Err(format!("the runs cost rho {}, the report says otherwise", spent.rho()));
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

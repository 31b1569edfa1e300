//! The checks of reports and model cards: their figures, and what the present ledger says of them.

use std::path::Path;

use cryptotl_privacy::{Digest, LedgerError};

use super::checks::passed;
use super::read::{Given, OpenLedger};
use super::{Check, Outcome};
use crate::card::{Card, DpBlock};
use crate::report::{self, Recomputed, Report, Verdict};

/// The checks of `report.json`.
pub fn report(report: &Report, given: &Given) -> Vec<Check> {
    let recomputed = report::recompute(report).into_iter();
    let mut checks: Vec<Check> =
        recomputed.map(|Recomputed { check, outcome }| Check::of(check, outcome)).collect();
    if report.verdict == Verdict::Falsified {
        checks.push(Check::new("verdict", Outcome::Falsified, "the attack contradicted the claim"));
    }
    let identity = &report.identity;
    checks.push(match given.head(&identity.head_digest) {
        None => Check::missing("head", format!("the head {} was not given", &short(&identity.head_digest))),
        Some((head, _)) => {
            let witness = &head.header.witness;
            let is_same = witness.seq == identity.witness_seq
                && witness.hash.to_string() == identity.witness_hash
                && head.header.guarantee.epsilon.get() == report.target_epsilon;
            if is_same {
                Check::new("head", Outcome::Pass, "it is about the head that was given")
            } else {
                Check::new("head", Outcome::Fail, "it says something else of the head than the head does")
            }
        }
    });
    checks.push(against_ledger(report, given));
    checks
}

/// The checks of `report.html`: those of the report that it carries, and that it shows that report.
pub fn page(report: &Report, page: &str, given: &Given) -> Vec<Check> {
    let mut checks = self::report(report, given);
    let own = env!("CARGO_PKG_VERSION");
    let rendered = report::html(report);
    checks.push(match rendered {
        Ok(rendered) if rendered == page => {
            Check::new("rendering", Outcome::Pass, "the page shows the report that it carries")
        }
        _ if report.identity.tool_version != own => Check::missing(
            "rendering",
            format!(
                "cryptotl {} wrote it, and this is {own}, which may draw differently",
                short(&report.identity.tool_version)
            ),
        ),
        _ => Check::new("rendering", Outcome::Fail, "the page does not show the report that it carries"),
    });
    checks
}

/// What the present ledger says of a report: whether it still holds all that the report saw, and what came since.
fn against_ledger(report: &Report, given: &Given) -> Check {
    let population = &report.dataset.population;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing("witness", format!("the ledger of {population} was not given; see --ledger"));
    };
    match compare(report, open) {
        Ok(detail) => Check::new("witness", Outcome::Pass, detail),
        Err(fact) => Check::new("witness", Outcome::Ledger, fact),
    }
}

fn compare(report: &Report, open: &OpenLedger) -> std::result::Result<String, String> {
    let (budget, status) = (&report.budget, &open.status);
    if status.population != report.dataset.population {
        return Err(format!(
            "it is about the population {}, {} is the ledger of {}",
            report.dataset.population,
            open.path.display(),
            status.population
        ));
    }
    holds(open, budget.head_seq, &budget.head_hash)?;
    for run in &budget.runs {
        holds(open, run.seq, &run.hash)?;
        let entry = status.entries.iter().find(|entry| entry.seq == run.seq);
        let is_same = entry.is_some_and(|entry| {
            entry.rho.is_some_and(|rho| rho.to_string() == run.rho) && entry.recorded_at == run.recorded_at
        });
        if !is_same {
            return Err(format!("entry {} of the ledger is another run than the report says", run.seq));
        }
    }
    let charges =
        |up_to: u64| status.entries.iter().filter(|entry| entry.rho.is_some() && entry.seq <= up_to).count();
    if charges(budget.head_seq) != budget.runs.len() {
        return Err("the report leaves out a run that the ledger had charged".to_owned());
    }
    let since = status.head.seq.saturating_sub(budget.head_seq);
    Ok(format!(
        "the ledger holds all that the report saw; {since} entries since, epsilon {} of {} spent now",
        status.epsilon_spent, status.epsilon_cap
    ))
}

/// Whether the ledger holds an entry.
fn holds(open: &OpenLedger, seq: u64, hash: &str) -> std::result::Result<(), String> {
    let hash: Digest = hash.parse().map_err(|_| format!("the hash of entry {seq} is no SHA-256"))?;
    open.ledger.verify_witness(seq, &hash).map_err(|e: LedgerError| e.to_string())
}

/// The checks of a model card.
pub fn card(card: &Card, path: &Path, given: &Given) -> Vec<Check> {
    let dp = &card.dp;
    let words = if card.is_as_written {
        Check::new("words", Outcome::Pass, "nobody edited it since it was written")
    } else {
        Check::missing(
            "words",
            "it was edited: its words are the editor's, and only the `dp` block is checked",
        )
    };
    let head = match given.head(&dp.head) {
        None => Check::missing("head", format!("the head {} was not given", short(&dp.head))),
        Some((head, digest)) => match dp.difference(&DpBlock::of(head, digest)) {
            None => Check::new("head", Outcome::Pass, "its `dp` block is the head's"),
            Some(fact) => Check::new("head", Outcome::Fail, format!("its {fact} is not the head's")),
        },
    };
    vec![passed(format!("the model card of {}", short(&dp.head))), words, head, card_witness(dp, path, given)]
}

fn card_witness(dp: &DpBlock, path: &Path, given: &Given) -> Check {
    let Some(open) = given.ledger_of(&dp.population) else {
        return Check::missing(
            "witness",
            format!("the ledger of {} was not given; see --ledger", dp.population),
        );
    };
    let outcome = holds(open, dp.witness_seq, &dp.witness_hash).and_then(|()| {
        let entry = open.status.entries.iter().find(|entry| entry.seq == dp.witness_seq);
        let is_same = entry.is_some_and(|entry| {
            entry.released.as_deref() == Some(dp.head.as_str())
                && entry.rho.is_some_and(|rho| rho.to_string() == dp.rho)
                && entry.epsilon.is_some_and(|epsilon| epsilon.get() == dp.epsilon)
        });
        if is_same && open.status.population == dp.population {
            Ok(())
        } else {
            Err(format!("entry {} is not the release that {} describes", dp.witness_seq, path.display()))
        }
    });
    match outcome {
        Ok(()) => {
            Check::new("witness", Outcome::Pass, format!("entry {} paid for this release", dp.witness_seq))
        }
        Err(fact) => Check::new("witness", Outcome::Ledger, fact),
    }
}

fn short(text: &str) -> String {
    text.chars().take(12).collect()
}

//! The checks of a validation file: figures, head, and the charge that paid for them.

use cryptotl_model::Digest;
use cryptotl_privacy::{EntryKind, Guarantee};
use cryptotl_trainer::validation::Estimate;

use super::checks::passed;
use super::read::{Given, OpenLedger};
use super::{Check, Outcome};
use crate::command::validate::Validation;

/// How far a figure may be from what the cells give: it was written in decimals.
const TOLERANCE: f64 = 1e-9;

/// Everything that can be checked of a validation, whose file has this digest.
pub fn checks(validation: &Validation, digest: Digest, given: &Given) -> Vec<Check> {
    let head = validation.head;
    vec![
        passed(format!("the validation of head {}", head.short())),
        Check::of("figures", figures(validation)),
        match given.head(&head.to_string()) {
            Some(_) => Check::new("head", Outcome::Pass, "it is about the head that was given"),
            None => Check::missing("head", format!("its head {} was not given", head.short())),
        },
        witness(validation, digest, given),
    ]
}

/// Accuracies, computed from the noisy cells again.
fn figures(validation: &Validation) -> Result<String, String> {
    let Validation { labels, confusion, accuracy, recalls, .. } = validation;
    let n = labels.len();
    let fits = confusion.cells.len() == n
        && recalls.len() == n
        && confusion.cells.iter().all(|row| row.len() == n && row.iter().all(|cell| cell.is_finite()));
    if n < 2 || !fits || !(confusion.noise.is_finite() && confusion.noise > 0.0) {
        return Err(format!("its cells are not {n} by {n} numbers with DP noise"));
    }
    let again = (0..n).map(|label| confusion.recall(label));
    if !same(*accuracy, confusion.accuracy()) || again.zip(recalls).any(|(own, stated)| !same(*stated, own)) {
        return Err("an accuracy is not what the cells give".to_owned());
    }
    Ok("every accuracy follows from the noisy cells".to_owned())
}

fn same(a: Option<Estimate>, b: Option<Estimate>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => [(a.value, b.value), (a.low, b.low), (a.high, b.high)]
            .into_iter()
            .all(|(a, b)| (a - b).abs() <= TOLERANCE),
        _ => false,
    }
}

fn witness(validation: &Validation, digest: Digest, given: &Given) -> Check {
    let population = &validation.population;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing("witness", format!("the ledger of {population} was not given; see --ledger"));
    };
    match paid(validation, digest, open) {
        Ok(detail) => Check::new("witness", Outcome::Pass, detail),
        Err((outcome, detail)) => Check::new("witness", outcome, detail),
    }
}

/// Whether the ledger holds the charge, for a guarantee like the stated one, and recorded this very file.
fn paid(validation: &Validation, digest: Digest, open: &OpenLedger) -> Result<String, (Outcome, String)> {
    let Validation { guarantee, witness, population, .. } = validation;
    let fail = |fact: String| (Outcome::Fail, fact);
    if open.status.population != *population {
        return Err(fail(format!("the ledger is that of {}, not of {population}", open.status.population)));
    }
    open.ledger.verify_witness(witness.seq, &witness.hash).map_err(|e| (Outcome::Ledger, e.to_string()))?;
    let entries = &open.status.entries;
    let charge = entries.iter().find(|entry| entry.seq == witness.seq && entry.kind == EntryKind::Charge);
    let Some((entry, event)) = charge.and_then(|entry| Some((entry, entry.event.as_ref()?))) else {
        return Err(fail(format!("entry {} of the ledger did not pay for this", witness.seq)));
    };
    let Guarantee { epsilon, delta, .. } = guarantee;
    if !guarantee.follows_from(event).map_err(|e| fail(e.to_string()))? {
        return Err(fail(format!(
            "epsilon {epsilon} does not follow from the event of entry {}",
            witness.seq
        )));
    }
    match entry.released.as_deref() {
        Some(released) if released == digest.to_string() => Ok(format!(
            "entry {} of {} entries paid for this very file: epsilon {epsilon} at delta {delta}",
            witness.seq,
            entries.len()
        )),
        Some(released) => Err(fail(format!("the ledger recorded another release, {released}"))),
        None => Err(fail(format!("no release of entry {} was recorded", witness.seq))),
    }
}

//! The checks of a model whose source is private.

use cryptotl_model::PublicModel;
use cryptotl_privacy::{EntryKind, Guarantee};
use cryptotl_trainer::pretrain::private::SourcePrivacy;

use super::read::{Given, OpenLedger};
use super::{Check, Outcome};

/// What a public half says of its private source; nothing if its sources are public.
pub fn checks(public: &PublicModel, given: &Given) -> Vec<Check> {
    match SourcePrivacy::of(public) {
        Ok(None) => Vec::new(),
        Ok(Some(privacy)) => vec![Check::of("source claim", claim(&privacy)), witness(&privacy, given)],
        Err(error) => vec![Check::new("source claim", Outcome::Fail, error.to_string())],
    }
}

/// The stated guarantee, from the recorded event.
fn claim(privacy: &SourcePrivacy) -> Result<String, String> {
    let Guarantee { epsilon, delta, adjacency, unit, .. } = privacy.guarantee;
    privacy.event.validate(adjacency).map_err(|e| e.to_string())?;
    if !privacy.guarantee.follows_from(&privacy.event).map_err(|e| e.to_string())? {
        return Err(format!(
            "epsilon {epsilon} of the private source does not follow from the recorded event"
        ));
    }
    Ok(format!("a private source: epsilon {epsilon} at delta {delta} for one {}", unit.noun()))
}

fn witness(privacy: &SourcePrivacy, given: &Given) -> Check {
    let population = &privacy.population;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing(
            "source witness",
            format!("the ledger of {population} was not given; see --ledger"),
        );
    };
    if open.status.population != *population {
        return Check::missing(
            "source witness",
            format!("the ledger is that of {}, and {population} paid for the source", open.status.population),
        );
    }
    match paid(privacy, open) {
        Ok(detail) => Check::new("source witness", Outcome::Pass, detail),
        Err((outcome, detail)) => Check::new("source witness", outcome, detail),
    }
}

/// Whether the ledger holds the charge, for this very event, and recorded its release.
fn paid(privacy: &SourcePrivacy, open: &OpenLedger) -> Result<String, (Outcome, String)> {
    let witness = privacy.witness;
    open.ledger.verify_witness(witness.seq, &witness.hash).map_err(|e| (Outcome::Ledger, e.to_string()))?;
    let entries = &open.status.entries;
    let charge = entries.iter().find(|entry| entry.seq == witness.seq);
    let is_charge = charge
        .is_some_and(|entry| entry.kind == EntryKind::Charge && entry.event.as_ref() == Some(&privacy.event));
    if !is_charge {
        return Err((Outcome::Fail, format!("entry {} of the ledger did not pay for this", witness.seq)));
    }
    match charge.and_then(|entry| entry.released.as_deref()) {
        Some(digest) if digest == privacy.release.to_string() => {
            Ok(format!("entry {} of {} entries paid for the source", witness.seq, entries.len()))
        }
        Some(digest) => Err((Outcome::Fail, format!("the ledger recorded another release, {digest}"))),
        None => Err((Outcome::Fail, format!("no release of entry {} was recorded", witness.seq))),
    }
}

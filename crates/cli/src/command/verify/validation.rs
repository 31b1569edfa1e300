//! The checks of a validation file: figures, head, and the charge that paid for them.

use cryptotl_model::Digest;
use cryptotl_privacy::Guarantee;

use super::checks::passed;
use super::read::Given;
use super::{Check, Outcome};
use crate::command::validate::{Unpaid, Validation};

/// Everything that can be checked of a validation, whose file has this digest.
pub fn checks(validation: &Validation, digest: Digest, given: &Given) -> Vec<Check> {
    let head = validation.head;
    let figures =
        validation.check_figures().map(|()| "every accuracy follows from the noisy cells".to_owned());
    vec![
        passed(format!("the validation of head {}", head.short())),
        Check::of("figures", figures),
        match given.head(&head.to_string()) {
            Some((given, _)) if given.header.label_names != validation.labels => {
                Check::new("head", Outcome::Fail, "its labels are not those of the head that was given")
            }
            Some(_) => Check::new("head", Outcome::Pass, "it is about the head that was given"),
            None => Check::missing("head", format!("its head {} was not given", head.short())),
        },
        witness(validation, digest, given),
    ]
}

fn witness(validation: &Validation, digest: Digest, given: &Given) -> Check {
    let Validation { guarantee: Guarantee { epsilon, delta, .. }, witness, population, .. } = validation;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing("witness", format!("the ledger of {population} was not given; see --ledger"));
    };
    match validation.paid(digest, &open.ledger, &open.status) {
        Ok(()) => Check::new(
            "witness",
            Outcome::Pass,
            format!(
                "entry {} of {} entries paid for this very file: epsilon {epsilon} at delta {delta}",
                witness.seq,
                open.status.entries.len()
            ),
        ),
        Err(Unpaid::Ledger(fact)) => Check::new("witness", Outcome::Ledger, fact),
        Err(Unpaid::Other(fact)) => Check::new("witness", Outcome::Fail, fact),
    }
}

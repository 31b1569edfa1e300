//! The top of the pyramid: is the promise worth something, and about whom?

use cryptotl_privacy::{LARGE_DELTA_MASS, PrivacyUnit};

use super::{Hazard, Status, hazard};
use crate::report::evidence::Evidence;
use crate::report::guarantee::Promise;
use crate::report::words;

/// Up to this epsilon of everything together, a promise passes.
const EPSILON_PASS: f64 = 5.0;
/// Above this epsilon, a promise says next to nothing about an attacker with side knowledge.
const EPSILON_FAIL: f64 = 20.0;

/// The hazards of the guarantee itself.
pub(super) fn all(evidence: &Evidence, promise: &Promise) -> Vec<Hazard> {
    let budget = &evidence.budget;
    let layer = |name: &str, status: Status, words: String| hazard("guarantee", name, status, words);
    let spent = budget.epsilon_spent;
    let epsilon_status = if spent > EPSILON_FAIL {
        Status::Fail
    } else if spent > EPSILON_PASS {
        Status::Warn
    } else {
        Status::Pass
    };
    let size = evidence.dataset.public_size;
    let mass = promise.delta * size as f64;
    let unit = evidence.guarantee.unit;
    let (unit_status, unit_words) = match unit {
        PrivacyUnit::Record => (
            Status::Warn,
            "one record is protected; somebody with several records is protected less, as the table of groups says".to_owned(),
        ),
        other => (Status::Pass, format!("one {} is protected with all of its records", other.noun())),
    };
    let amendments = budget.amendments.len();
    let is_amended = amendments > 0;
    vec![
        layer(
            "Is the privacy loss small enough to mean something?",
            epsilon_status,
            format!(
                "epsilon {} for everything so far; this report passes up to {EPSILON_PASS} and fails above {EPSILON_FAIL}",
                words::loss(spent)
            ),
        ),
        layer(
            "Is delta small enough that it publishes nobody in the clear?",
            match mass {
                mass if mass >= 1.0 => Status::Fail,
                mass if mass > LARGE_DELTA_MASS => Status::Warn,
                _ => Status::Pass,
            },
            format!(
                "delta {} times the public size {} is {}; this report passes up to {LARGE_DELTA_MASS} and fails from 1",
                words::small(promise.delta),
                words::grouped(size),
                words::small(mass)
            ),
        ),
        layer("Is a person protected, and not only one of several records?", unit_status, unit_words),
        layer(
            "Are all guarantees that are added up of one unit, adjacency and delta?",
            Status::Pass,
            format!(
                "every charge has unit {unit}, {} adjacency and delta {}",
                promise.adjacency,
                words::small(promise.delta)
            ),
        ),
        layer(
            "Are all uses of the data counted together?",
            Status::Pass,
            format!(
                "{} in a chain of {} entries, added up in rho and recomputed for this report",
                words::count(budget.runs.len(), "charge"),
                budget.head_seq + 1
            ),
        ),
        layer(
            "Was the limit fixed before anything was released?",
            if is_amended { Status::Warn } else { Status::Pass },
            if is_amended {
                format!("the terms were changed {}: see the budget", words::count(amendments, "time"))
            } else {
                format!("the cap of epsilon {} was fixed when the ledger was created", budget.epsilon_cap)
            },
        ),
        layer(
            "Are there other releases from the same people?",
            Status::NotAssessed,
            "a ledger cannot see releases that were made without it".to_owned(),
        ),
    ]
}

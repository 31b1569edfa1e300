//! The top of the pyramid: is the promise worth something, and about whom?

use cryptotl_privacy::PrivacyUnit;

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
    let is_delta_small = promise.delta < 1.0 / size as f64;
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
            "The privacy loss is too large to mean much",
            epsilon_status,
            format!(
                "epsilon {} for everything so far; this report passes up to {EPSILON_PASS} and fails above {EPSILON_FAIL}",
                words::loss(spent)
            ),
        ),
        layer(
            "Delta is large enough to publish someone in the clear",
            if is_delta_small { Status::Pass } else { Status::Fail },
            format!(
                "delta {} beside 1/{} for the public size",
                words::small(promise.delta),
                words::grouped(size)
            ),
        ),
        layer("The unit of protection is smaller than a person", unit_status, unit_words),
        layer(
            "Guarantees of different unit, adjacency or delta are added or compared",
            Status::Pass,
            format!(
                "every charge has unit {unit}, {} adjacency and delta {}",
                promise.adjacency,
                words::small(promise.delta)
            ),
        ),
        layer(
            "Uses of the data are not counted together",
            Status::Pass,
            format!(
                "{} in a chain of {} entries, added up in rho and recomputed for this report",
                words::count(budget.runs.len(), "charge"),
                budget.head_seq + 1
            ),
        ),
        layer(
            "The limit moves with what was released",
            if is_amended { Status::Warn } else { Status::Pass },
            if is_amended {
                format!("the terms were changed {}: see the budget", words::count(amendments, "time"))
            } else {
                format!("the cap of epsilon {} was fixed when the ledger was created", budget.epsilon_cap)
            },
        ),
        layer(
            "Other releases from the same people add to the loss",
            Status::NotAssessed,
            "a ledger cannot see releases that were made without it".to_owned(),
        ),
    ]
}

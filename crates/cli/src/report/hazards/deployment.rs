//! The ground that everything stands on: who is trusted, and with what.

use cryptotl_model::Extraction;

use super::{Hazard, Status, hazard};
use crate::report::evidence::Evidence;

/// The hazards of where it all runs.
pub(super) fn all(evidence: &Evidence) -> Vec<Hazard> {
    let layer = |name: &str, status: Status, words: String| hazard("deployment", name, status, words);
    let (separation, separation_words) = match &evidence.encryption {
        None => (Status::Pass, "nothing was sent to the model owner".to_owned()),
        Some(e) if e.evaluator == Extraction::IN_PROCESS => (
            Status::Warn,
            "both parties ran in one process, so one operator held records and lower network".to_owned(),
        ),
        Some(e) => (
            Status::Warn,
            format!(
                "records left the data owner encrypted ({}); evaluated by {}, and the promise rests on that party having followed \
                 the protocol",
                e.parameter_set, e.evaluator
            ),
        ),
    };
    let (policy, policy_words) = if evidence.budget.policy_compared {
        (Status::Pass, "the policy in force is the one that was given".to_owned())
    } else {
        (Status::NotAssessed, "no policy was given to compare the ledger's with; see --policy".to_owned())
    };
    vec![
        layer("Is it clear who is trusted with the records?", separation, separation_words),
        layer(
            "Would a reset of the budget be noticed?",
            Status::Pass,
            format!(
                "entry {} is in the head and was found unchanged in the chain",
                evidence.identity.witness_seq
            ),
        ),
        layer("Is the policy in force the one that was approved?", policy, policy_words),
        layer(
            "Is it limited how often answers can be asked for?",
            Status::Pass,
            "the head is released once as a file; who uses it asks nothing of the data".to_owned(),
        ),
        layer(
            "Do time, memory and sizes keep what DP noise hides?",
            Status::Warn,
            "neither clipping nor the sampler runs in constant time".to_owned(),
        ),
        layer(
            "Are records, keys and ledger locked away?",
            Status::NotAssessed,
            "access to the data owner's machine is outside of this program".to_owned(),
        ),
        layer(
            "Did people agree to the collection?",
            Status::NotAssessed,
            "how the records were collected is outside of this program".to_owned(),
        ),
    ]
}

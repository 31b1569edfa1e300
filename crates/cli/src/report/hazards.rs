//! The hazards of NIST SP 800-226 (*Guidelines for Evaluating Differential Privacy Guarantees*, 2025), by its themes:
//! the guarantee and its unit, the algorithms, and the deployment that they stand on. The wording, the order and
//! the thresholds are this program's.

use cryptotl_privacy::audit::{AuditEvidence, Verdict};
use cryptotl_privacy::{EntryKind, PrivacyUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::guarantee::Promise;
use super::setting::IN_PROCESS;
use super::view::{Block, Cell, Section, Table};
use super::words;

/// Up to this epsilon of everything together, a promise passes.
const EPSILON_PASS: f64 = 5.0;
/// Above this epsilon, a promise says next to nothing about an attacker with side knowledge.
const EPSILON_FAIL: f64 = 20.0;

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// The hazard is real here.
    #[serde(rename = "fail")]
    Fail,
    /// Somebody has to decide.
    #[serde(rename = "warn")]
    Warn,
    /// There is no evidence.
    #[serde(rename = "not assessed")]
    NotAssessed,
    /// The evidence speaks against the hazard.
    #[serde(rename = "pass")]
    Pass,
}

impl Status {
    /// The word of `report.json`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::NotAssessed => "not assessed",
            Self::Pass => "pass",
        }
    }
}

/// One hazard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hazard {
    /// The layer of the guidelines: `guarantee`, `algorithm` or `deployment`.
    pub layer: String,
    /// What could be wrong.
    pub hazard: String,
    /// The judgement.
    pub status: Status,
    /// One line of evidence.
    pub evidence: String,
}

/// All hazards, in the order of the layers.
pub(super) fn all(evidence: &Evidence, promise: &Promise, attack: Option<&AuditEvidence>) -> Vec<Hazard> {
    let mut hazards = guarantee(evidence, promise);
    hazards.extend(algorithm(evidence, attack));
    hazards.extend(deployment(evidence));
    hazards
}

fn hazard(layer: &str, hazard: &str, status: Status, evidence: impl Into<String>) -> Hazard {
    Hazard { layer: layer.to_owned(), hazard: hazard.to_owned(), status, evidence: evidence.into() }
}

fn guarantee(evidence: &Evidence, promise: &Promise) -> Vec<Hazard> {
    let ledger = &evidence.ledger;
    let layer = |name: &str, status: Status, words: String| hazard("guarantee", name, status, words);
    let spent = ledger.epsilon_spent.get();
    let epsilon_status = if spent > EPSILON_FAIL {
        Status::Fail
    } else if spent > EPSILON_PASS {
        Status::Warn
    } else {
        Status::Pass
    };
    let size = ledger.public_size;
    let is_delta_small = promise.delta < 1.0 / size as f64;
    let unit = ledger.policy.unit();
    let (unit_status, unit_words) = match unit {
        PrivacyUnit::Record => (
            Status::Warn,
            "one record is protected; somebody with several records is protected less, as the table of groups says".to_owned(),
        ),
        other => (Status::Pass, format!("one {} is protected with all of its records", other.noun())),
    };
    let amendments = ledger.entries.iter().filter(|e| e.kind == EntryKind::Amendment).count();
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
                words::count(ledger.entries.iter().filter(|e| e.kind == EntryKind::Charge).count(), "charge"),
                ledger.entries.len()
            ),
        ),
        layer(
            "The limit moves with what was released",
            if is_amended { Status::Warn } else { Status::Pass },
            if is_amended {
                format!("the terms were changed {}: see the budget", words::count(amendments, "time"))
            } else {
                format!("the cap of epsilon {} was fixed when the ledger was created", ledger.epsilon_cap)
            },
        ),
        layer(
            "Other releases from the same people add to the loss",
            Status::NotAssessed,
            "a ledger cannot see releases that were made without it".to_owned(),
        ),
    ]
}

fn algorithm(evidence: &Evidence, attack: Option<&AuditEvidence>) -> Vec<Hazard> {
    let header = &evidence.head.header;
    let layer = |name: &str, status: Status, words: String| hazard("algorithm", name, status, words);
    let slack =
        serde_json::to_value(&header.event).ok().and_then(|e| e.get("slack")?.as_f64()).unwrap_or(0.0);
    let moved = evidence
        .plan
        .as_ref()
        .and_then(|plan| plan.coupling)
        .map(|c| c.of_records(evidence.ledger.public_size));
    let (coupling, coupling_words) = match (&header.encryption, slack) {
        (Some(_), _) if moved == Some(0.0) => (
            Status::Pass,
            "the plan gives each record its own ciphertexts, so that no record moves another's features"
                .to_owned(),
        ),
        (None, _) => {
            (Status::Pass, "embeddings are computed text by text, and nothing was encrypted".to_owned())
        }
        (Some(_), slack) if slack > 0.0 => (
            Status::Pass,
            format!("slack {} for the other units is part of the sensitivity", words::number(slack)),
        ),
        (Some(_), _) => (
            Status::Warn,
            format!(
                "records of one block share ciphertexts, and slack is 0{}",
                moved.map_or_else(String::new, |m| format!(
                    ": one record moves the features of all others by at most {} together",
                    words::small(m)
                ))
            ),
        ),
    };
    let (public_status, public_words) = match &evidence.public {
        Some(public) => {
            let sources: Vec<&str> = public.sources.iter().map(|s| s.name.as_str()).collect();
            (
                Status::Pass,
                format!(
                    "scaler, projection and start come from {}, which were declared public",
                    sources.join(", ")
                ),
            )
        }
        None => (Status::NotAssessed, "the public half of the model was not given".to_owned()),
    };
    let unreleased = evidence
        .ledger
        .entries
        .iter()
        .filter(|e| e.kind == EntryKind::Charge && e.released.is_none())
        .count();
    let (tested, tested_words) = match attack {
        None => (Status::NotAssessed, "no attack was run against this head".to_owned()),
        Some(a) if a.verdict == Verdict::Falsified => {
            (Status::Fail, "the attack found more than was promised".to_owned())
        }
        Some(a) if a.verdict == Verdict::NotFalsified => {
            let found = a.headline().map_or(0.0, |bound| bound.epsilon);
            (Status::Pass, format!("the attack found epsilon {} and its controls", words::at_least(found)))
        }
        Some(_) => (Status::Warn, "the attack did not find out its controls, so it says nothing".to_owned()),
    };
    vec![
        layer(
            "The sensitivity is underestimated, or rounding breaks it",
            Status::Pass,
            "contributions are rounded to integers before they are bounded and summed; the bound is checked exactly".to_owned(),
        ),
        layer("Units are not independent before they are clipped", coupling, coupling_words),
        layer("Clipping bounds, scaling or labels are chosen from private data", public_status, public_words),
        layer(
            "DP noise in floating point leaks through its low bits",
            Status::Pass,
            "discrete noise on an integer grid, drawn exactly by OpenDP".to_owned(),
        ),
        layer(
            "The random numbers can be guessed",
            Status::Warn,
            format!("{}: cryptographic, but not the build that OpenDP itself vouches for", evidence.ledger.rng),
        ),
        layer(
            "Sampling is accounted that did not happen",
            Status::Pass,
            "one constructor makes sampler, clipping, noise and the recorded event together".to_owned(),
        ),
        layer(
            "Tuning and validation on private data are not counted",
            Status::Pass,
            format!(
                "each run on private data is charged, {} without a release among them; no accuracy on private data was printed",
                words::count(unreleased, "run")
            ),
        ),
        layer(
            "The backbone remembers its own training data",
            Status::NotAssessed,
            "encoder and lower network are taken as public; what they tell of their own sources is not part of this promise"
                .to_owned(),
        ),
        layer("The program does not do what it is accounted for", tested, tested_words),
        layer(
            "The head is too wrong, or wrong for some people more than for others",
            Status::NotAssessed,
            match &evidence.table {
                Some(_) => "mean accuracy was measured on public data; accuracy by group was not",
                None => "no benchmark on public data was given",
            }
            .to_owned(),
        ),
    ]
}

fn deployment(evidence: &Evidence) -> Vec<Hazard> {
    let header = &evidence.head.header;
    let layer = |name: &str, status: Status, words: String| hazard("deployment", name, status, words);
    let (separation, separation_words) = match &header.encryption {
        None => (Status::Pass, "nothing was sent to the model owner".to_owned()),
        Some(e) if e.evaluator == IN_PROCESS => (
            Status::Warn,
            "both parties ran in one process, so one operator held records and lower network".to_owned(),
        ),
        Some(e) => (
            Status::Pass,
            format!(
                "records left the data owner encrypted ({}); evaluated by {}",
                e.parameter_set, e.evaluator
            ),
        ),
    };
    let (policy, policy_words) = if evidence.policy_checked {
        (Status::Pass, "the policy in force is the one that was given".to_owned())
    } else {
        (Status::NotAssessed, "no policy was given to compare the ledger's with; see --policy".to_owned())
    };
    vec![
        layer("Who is trusted with the records is not who people think", separation, separation_words),
        layer(
            "The budget can be reset without anybody noticing",
            Status::Pass,
            format!("entry {} is in the head and was found unchanged in the chain", header.witness.seq),
        ),
        layer("Another policy is in force than was approved", policy, policy_words),
        layer(
            "Answers can be asked for again and again",
            Status::Pass,
            "the head is released once as a file; who uses it asks nothing of the data".to_owned(),
        ),
        layer(
            "Time, memory or sizes tell what DP noise hides",
            Status::Warn,
            "neither clipping nor the sampler runs in constant time".to_owned(),
        ),
        layer(
            "Records, keys and ledger lie open",
            Status::NotAssessed,
            "access to the data owner's machine is outside of this program".to_owned(),
        ),
        layer(
            "People did not agree to the collection",
            Status::NotAssessed,
            "how the records were collected is outside of this program".to_owned(),
        ),
    ]
}

pub(super) fn section(hazards: &[Hazard]) -> Section {
    let rows = hazards.iter().map(|h| {
        vec![
            Cell::Status(h.status),
            h.hazard.clone().into(),
            h.evidence.clone().into(),
            h.layer.clone().into(),
        ]
    });
    Section {
        id: "hazards",
        title: "Hazards",
        blocks: vec![
            Block::Table(Table {
                caption: "The hazards of NIST SP 800-226, by its themes",
                head: vec!["status", "hazard", "evidence", "layer"],
                rows: rows.collect(),
            }),
            Block::Note(
                "NIST SP 800-226 names what can undo a guarantee of differential privacy. Wording, order and thresholds are \
                 this program's. A pass says what the evidence shows, and not that nothing is wrong."
                    .to_owned(),
            ),
        ],
    }
}

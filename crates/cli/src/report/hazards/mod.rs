//! The hazards of NIST SP 800-226 (*Guidelines for Evaluating Differential Privacy Guarantees*, 2025), by its themes:
//! the guarantee and its unit, the algorithms, and the deployment that they stand on. The wording, the order and
//! the thresholds are this program's. Each hazard is asked as a question to which *yes* is good, so that its title is
//! no finding; the finding is its status and its evidence.

mod algorithm;
mod deployment;
mod guarantee;

use cryptotl_privacy::audit::AuditEvidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::guarantee::Promise;
use super::view::{Block, Cell, Section, Table};

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
    /// What was asked, as a question to which *yes* is good.
    pub hazard: String,
    /// The judgement.
    pub status: Status,
    /// One line of evidence.
    pub evidence: String,
}

/// All hazards, in the order of the layers; `attack` is its evidence, or why there is none.
pub(super) fn all(
    evidence: &Evidence,
    promise: &Promise,
    attack: Result<&AuditEvidence, &str>,
) -> Vec<Hazard> {
    let mut hazards = guarantee::all(evidence, promise);
    hazards.extend(algorithm::all(evidence, attack));
    hazards.extend(deployment::all(evidence));
    hazards
}

fn hazard(layer: &str, hazard: &str, status: Status, evidence: impl Into<String>) -> Hazard {
    Hazard { layer: layer.to_owned(), hazard: hazard.to_owned(), status, evidence: evidence.into() }
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
                head: vec!["status", "question", "evidence", "layer"],
                rows: rows.collect(),
            }),
            Block::Note(
                "NIST SP 800-226 names what can undo a guarantee of differential privacy; each is asked here so that a pass means \
                 yes. Wording, order and thresholds are this program's. A pass says what the evidence shows, and not that \
                 nothing is wrong."
                    .to_owned(),
            ),
        ],
    }
}

//! What the report is about: identity, dataset, and the scope of the promise.

use cryptotl_model::Digest;
use cryptotl_privacy::Status;
use cryptotl_trainer::Head;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::view::{Block, Cell, Section};
use super::{Assessed, words};

/// Names and digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The program that wrote the report.
    pub tool_version: String,
    /// The program that created the ledger.
    pub ledger_tool_version: String,
    /// SHA-256 of the head file, which the ledger recorded as released.
    pub head_digest: String,
    /// The ledger entry that paid for the head.
    pub witness_seq: u64,
    /// The hash of that entry.
    pub witness_hash: String,
    /// What identifies the run: the population and the charged plan.
    pub run: Option<String>,
    /// The public half of the model.
    pub public_model: String,
}

/// Whose data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The population's chosen name.
    pub population: String,
    /// The public upper bound on the number of units; the number itself is private.
    pub public_size: u64,
    /// Where the label list comes from.
    pub label_source: String,
    /// Releases from the same people that this ledger does not know.
    pub other_releases: Assessed<String>,
}

/// What the promise covers and what not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What the promise covers.
    pub released: Vec<String>,
    /// What is published without DP noise.
    pub unprotected: Vec<String>,
}

impl Identity {
    /// What a head says; the ledger says the rest.
    pub(super) fn of_head(head: &Head, digest: Digest) -> Self {
        let header = &head.header;
        Self {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            ledger_tool_version: String::new(),
            head_digest: digest.to_string(),
            witness_seq: header.witness.seq,
            witness_hash: header.witness.hash.to_string(),
            run: None,
            public_model: header.public_model.to_string(),
        }
    }

    /// What the ledger says.
    pub(super) fn read_ledger(&mut self, ledger: &Status) {
        let entry = ledger.entries.iter().find(|entry| entry.seq == self.witness_seq);
        self.run = entry.and_then(|entry| entry.run).map(|run| run.to_string());
        self.ledger_tool_version.clone_from(&ledger.tool_version);
    }

    pub(super) fn section(&self) -> Section {
        let mut facts: Vec<(&str, Cell)> = vec![
            ("Head file, SHA-256", Cell::Code(self.head_digest.clone())),
            ("Paid by entry", Cell::figure("/identity/witness_seq", self.witness_seq.to_string())),
            ("Hash of that entry", Cell::Code(self.witness_hash.clone())),
            ("Public model, SHA-256", Cell::Code(self.public_model.clone())),
            ("Written by", format!("cryptotl {}", self.tool_version).into()),
            ("Ledger created by", format!("cryptotl {}", self.ledger_tool_version).into()),
        ];
        facts.extend(self.run.clone().map(|run| ("Run", Cell::Code(run))));
        Section { id: "identity", title: "Identity", blocks: vec![Block::Facts(facts)] }
    }
}

impl Dataset {
    pub(super) fn of(population: &str, public_size: u64) -> Self {
        Self {
            population: population.to_owned(),
            public_size,
            label_source: "declared with the public model, before private data was read".to_owned(),
            other_releases: Assessed::missing("the ledger cannot see releases that were made without it"),
        }
    }

    pub(super) fn section(&self) -> Section {
        let mut blocks = vec![Block::Facts(vec![
            ("Population", self.population.clone().into()),
            ("At most so many units", Cell::figure("/dataset/public_size", words::grouped(self.public_size))),
            ("Label list", self.label_source.clone().into()),
        ])];
        match self.other_releases.evidence() {
            Ok(words) => blocks.push(Block::Text(words.clone())),
            Err(reason) => {
                blocks.push(Block::NotAssessed(format!("Other releases from the same people: {reason}")))
            }
        }
        Section { id: "dataset", title: "The data", blocks }
    }
}

impl Scope {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut unprotected = vec![
            "the population's name and its declared public size".to_owned(),
            "the label list, the encoder and the public half of the model".to_owned(),
            "when runs were made, and what they were named".to_owned(),
        ];
        if evidence.encryption.is_some() {
            unprotected.push("the encryption parameters".to_owned());
        }
        if evidence.certificate.is_some() {
            unprotected.push(
                "the plan of the encrypted evaluation, whose packing must not have been chosen by the private number of \
                 records"
                    .to_owned(),
            );
        }
        Self {
            released: vec![
                "the weights of the head, and whatever is computed from them".to_owned(),
                "everything else that was released under the same ledger, together with it".to_owned(),
            ],
            unprotected,
        }
    }

    pub(super) fn section(&self) -> Section {
        Section {
            id: "scope",
            title: "What the promise covers, and what it does not",
            blocks: vec![
                Block::Text("Covered by the promise:".to_owned()),
                Block::List(self.released.clone()),
                Block::Text("Published without DP noise, because it does not follow from a record:".to_owned()),
                Block::List(self.unprotected.clone()),
                Block::Note(
                    "No loss, accuracy or gradient of private records was printed or is in this report, but what charged runs \
                     released with DP noise. The promise \
                     is about what the head tells of single units; what it tells of everyone, such as that a word is \
                     unfriendly, is what it is for."
                        .to_owned(),
                ),
            ],
        }
    }
}

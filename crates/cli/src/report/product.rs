//! What was released: the head, what it was made with, and what was done to records before the mechanism.

use std::collections::BTreeMap;

use cryptotl_model::PublicModel;
use cryptotl_privacy::PrivacyUnit;
use cryptotl_trainer::pretrain::private::SourcePrivacy;
use cryptotl_trainer::{Head, TrainerError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::view::{Block, Cell, Section};
use super::{Assessed, words};

/// What was released.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// What it is.
    pub kind: String,
    /// The declared label list.
    pub labels: Vec<String>,
    /// How it was trained.
    pub method: String,
    /// Which parts of a record it reads.
    pub inputs: String,
    /// How many numbers with DP noise it has.
    pub weights: u64,
    /// The encoder's name.
    pub encoder: String,
    /// The encoder's digest.
    pub encoder_digest: String,
    /// The settings of the run, as the ledger has them.
    pub settings: BTreeMap<String, String>,
    /// What the public model was trained on.
    pub backbone: Assessed<Backbone>,
}

/// The public half of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// The configuration's name.
    pub name: String,
    /// The sources, and how many labeled records of each were used.
    pub sources: Vec<BackboneSource>,
    /// Accuracy of the source's own head on held-out public records; absent where the source is private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// What protects the people in a private source; absent where the sources are public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_privacy: Option<BackbonePrivacy>,
    /// The digest of the lower network, which its owner keeps.
    pub lower: String,
}

/// The promise to the people in a private source, under a ledger of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackbonePrivacy {
    /// The population whose ledger paid.
    pub population: String,
    /// The epsilon of both halves of the model.
    pub epsilon: f64,
    /// The delta at which it holds.
    pub delta: f64,
    /// The promise in one sentence.
    pub sentence: String,
    /// The ledger entry that paid.
    pub witness_seq: u64,
    /// The hash of that entry.
    pub witness_hash: String,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackboneSource {
    /// Its name.
    pub name: String,
    /// Labeled records; of a private source, their count with DP noise.
    pub records: u64,
}

/// What was done to records before the mechanism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Step by step.
    pub steps: Vec<String>,
    /// What tuning cost.
    pub tuning: String,
}

impl From<SourcePrivacy> for BackbonePrivacy {
    fn from(privacy: SourcePrivacy) -> Self {
        let SourcePrivacy { population, guarantee, witness, .. } = privacy;
        Self {
            population,
            epsilon: guarantee.epsilon.get(),
            delta: guarantee.delta.get(),
            sentence: guarantee.formal_sentence(),
            witness_seq: witness.seq,
            witness_hash: witness.hash.to_string(),
        }
    }
}

impl Backbone {
    /// What the public half of a model says.
    ///
    /// # Errors
    /// When what it says of a private source is not readable.
    pub fn of(model: &PublicModel) -> Result<Self, TrainerError> {
        let source =
            |s: &cryptotl_model::SourceId| BackboneSource { name: s.name.clone(), records: s.records as u64 };
        Ok(Self {
            name: model.name.clone(),
            sources: model.sources.iter().map(source).collect(),
            validation_accuracy: model.validation_accuracy,
            source_privacy: SourcePrivacy::of(model)?.map(BackbonePrivacy::from),
            lower: model.lower.to_string(),
        })
    }
}

impl Product {
    /// What a head says of itself.
    pub(super) fn of(head: &Head) -> Self {
        let header = &head.header;
        Self {
            kind: String::new(),
            labels: header.label_names.clone(),
            method: header.method.name().to_owned(),
            inputs: head.inputs().name().to_owned(),
            weights: head.weights.len() as u64,
            encoder: header.encoder.name.clone(),
            encoder_digest: header.encoder.digest.to_string(),
            settings: header.description.clone(),
            backbone: Assessed::missing(""),
        }
        .in_own_words()
    }

    /// The same with the words that are this program's.
    pub(super) fn in_own_words(mut self) -> Self {
        self.kind = "a text classifier's head, released once as a file".to_owned();
        if let Assessed::NotAssessed { not_assessed } = &mut self.backbone {
            *not_assessed = "the public half of the model was not given; see --model".to_owned();
        }
        self
    }

    pub(super) fn section(&self) -> Section {
        let mut facts: Vec<(&str, Cell)> = vec![
            ("What was released", self.kind.clone().into()),
            ("Labels", self.labels.join(", ").into()),
            ("Method", self.method.clone().into()),
            ("Reads", self.inputs.clone().into()),
            ("Weights with DP noise", Cell::figure("/product/weights", words::grouped(self.weights))),
            ("Encoder", self.encoder.clone().into()),
            ("Encoder, digest", Cell::Code(self.encoder_digest.clone())),
        ];
        let mut blocks = Vec::new();
        match self.backbone.evidence() {
            Ok(backbone) => {
                let sources: Vec<String> = backbone
                    .sources
                    .iter()
                    .map(|s| format!("{} ({} records)", s.name, words::grouped(s.records)))
                    .collect();
                facts.push(("Public model", backbone.name.clone().into()));
                let kind = match backbone.source_privacy {
                    None => "Trained on, all public",
                    Some(_) => "Trained on, private",
                };
                facts.push((kind, sources.join(", ").into()));
                facts.extend(backbone.validation_accuracy.map(|accuracy| {
                    let cell = Cell::figure("/product/backbone/validation_accuracy", words::number(accuracy));
                    ("Its accuracy on public records", cell)
                }));
                blocks.push(Block::Facts(facts));
                if let Some(privacy) = &backbone.source_privacy {
                    blocks.push(Block::Text(format!(
                        "The people in that source have a promise of their own, paid by entry {} of the ledger of {}. {}",
                        privacy.witness_seq, privacy.population, privacy.sentence
                    )));
                }
            }
            Err(reason) => {
                blocks.push(Block::Facts(facts));
                blocks.push(Block::NotAssessed(format!("What the public model was trained on: {reason}")));
            }
        }
        blocks.push(Block::Text("The run's settings, fixed before a record was read:".to_owned()));
        blocks
            .push(Block::List(self.settings.iter().map(|(key, value)| format!("{key}: {value}")).collect()));
        Section { id: "product", title: "The product and its backbone", blocks }
    }
}

impl Preprocessing {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut steps = vec![
            "Texts become embeddings one by one; an embedding depends on its own text alone.".to_owned(),
            "An unknown label, a missing text, a NaN or a number out of range has a fixed outcome that was decided before \
             data was read; no record can make a stage fail."
                .to_owned(),
            "Scaling, principal axes and the start of the training come from the model's public half.".to_owned(),
        ];
        if evidence.encryption.is_some() {
            steps.push("Server features are computed under encryption, record by record, and clipped after decryption.".into());
        }
        if evidence.guarantee.unit != PrivacyUnit::Record {
            steps.push("A person's contribution is the mean over their first rows, clipped once.".to_owned());
        }
        Self {
            steps,
            tuning: "Hyper-parameters follow from public numbers by a fixed rule. Whoever tries several runs on private \
                     data pays for each of them: all are in the budget."
                .to_owned(),
        }
    }

    pub(super) fn section(&self) -> Section {
        Section {
            id: "preprocessing",
            title: "Preprocessing and tuning",
            blocks: vec![Block::List(self.steps.clone()), Block::Text(self.tuning.clone())],
        }
    }
}

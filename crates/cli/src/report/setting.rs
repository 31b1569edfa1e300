//! The actors: who holds what, who sees what, and what has to be trusted. The drawing follows the actual run.

use cryptotl_model::Extraction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::view::{Block, Cell, Section, Table};

/// The actors and what moves between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Who takes part.
    pub actors: Vec<Actor>,
    /// What moved, in order.
    pub flows: Vec<Flow>,
    /// Whether the server features were computed by both parties in one process, as in a rehearsal.
    pub both_parties_in_one_process: bool,
    /// What has to be trusted.
    pub assumptions: Vec<String>,
    /// What an observer of machines, and not of the head, could see.
    pub side_channels: Vec<String>,
}

/// One actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Who.
    pub name: String,
    /// What never leaves this actor.
    pub keeps: String,
    /// What this actor gets to see.
    pub sees: String,
    /// What this actor does not learn.
    pub does_not_learn: String,
}

/// One thing that moved from one actor to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// From whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// What.
    pub what: String,
    /// In which form.
    pub form: String,
}

/// A place in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// Has the private records.
    DataOwner,
    /// Has the lower network.
    ModelOwner,
    /// Everybody else.
    Everyone,
}

impl Party {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataOwner => "data owner",
            Self::ModelOwner => "model owner",
            Self::Everyone => "everyone",
        }
    }
}

impl Setting {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let encryption = evidence.encryption.as_ref();
        let in_process = encryption.is_some_and(|e| e.evaluator == Extraction::IN_PROCESS);
        let mut flows = vec![flow(
            Party::ModelOwner,
            Party::DataOwner,
            "public half of the model",
            "in the clear, from public sources",
        )];
        if let Some(encryption) = encryption {
            let (numbers, features) = match &evidence.certificate {
                Some(certified) => (
                    format!("{} numbers a record", certified.input_width),
                    format!("{} features a record", certified.feature_width),
                ),
                None => ("embeddings".to_owned(), "features".to_owned()),
            };
            let set = &encryption.parameter_set;
            flows.push(flow(Party::DataOwner, Party::ModelOwner, "evaluation keys", "they decrypt nothing"));
            flows.push(flow(Party::DataOwner, Party::ModelOwner, &numbers, &format!("encrypted, {set}")));
            flows.push(flow(Party::ModelOwner, Party::DataOwner, &features, &format!("encrypted, {set}")));
        }
        flows.push(flow(
            Party::DataOwner,
            Party::Everyone,
            "head, model card and this report",
            "with DP noise in the head",
        ));
        let mut assumptions = vec![
            "The data owner's machine is trusted with the records: this is the central model of differential privacy."
                .to_owned(),
            "The random numbers of the DP noise are secret and of full strength.".to_owned(),
            "The declared public size, label list and sources were chosen without looking at private records.".to_owned(),
        ];
        if encryption.is_some() {
            assumptions.push(
                "The model owner looks at all it gets; nothing that was decrypted goes back to it but the head, which is public."
                    .to_owned(),
            );
        }
        let on = evidence.assumptions();
        assumptions
            .extend(on.into_iter().map(|on| format!("For the promise ({}): {}.", on.name(), on.words())));
        if in_process {
            assumptions.push(
                "Both parties ran in one process, so whoever ran it held the records and the lower network at once. The \
                 separation shown here is that of the messages, and takes effect when two machines exchange them."
                    .to_owned(),
            );
        }
        let mut side_channels = vec![
            "Time: neither clipping nor the sampler runs in constant time. Nobody who must not learn of records may time \
             the training."
                .to_owned(),
            "Storage: the private records, the secret key and decrypted features lie on the data owner's machine as files \
             that only its owner may read."
                .to_owned(),
        ];
        if encryption.is_some() {
            side_channels.push("Sizes: the model owner sees how many records a query claims.".to_owned());
        }
        Self {
            actors: actors(encryption.is_some()),
            flows,
            both_parties_in_one_process: in_process,
            assumptions,
            side_channels,
        }
    }

    pub(super) fn section(&self) -> Section {
        let rows = self.actors.iter().map(|actor| {
            vec![
                Cell::from(actor.name.clone()),
                actor.keeps.clone().into(),
                actor.sees.clone().into(),
                actor.does_not_learn.clone().into(),
            ]
        });
        let moved = self.flows.iter().map(|flow| {
            let cells = [flow.from.name(), flow.to.name(), flow.what.as_str(), flow.form.as_str()];
            cells.map(Cell::from).to_vec()
        });
        Section {
            id: "setting",
            title: "Who sees what",
            blocks: vec![
                Block::Table(Table {
                    caption: "What moved, in order",
                    head: vec!["from", "to", "what", "in which form"],
                    rows: moved.collect(),
                }),
                Block::Table(Table {
                    caption: "What each actor keeps, sees and does not learn",
                    head: vec!["actor", "keeps", "sees", "does not learn"],
                    rows: rows.collect(),
                }),
                Block::Text("What has to be trusted:".to_owned()),
                Block::List(self.assumptions.clone()),
                Block::Text("Side channels, which neither encryption nor DP noise closes:".to_owned()),
                Block::List(self.side_channels.clone()),
            ],
        }
    }
}

fn flow(from: Party, to: Party, what: &str, form: &str) -> Flow {
    Flow { from, to, what: what.to_owned(), form: form.to_owned() }
}

fn actors(is_encrypted: bool) -> Vec<Actor> {
    let actor = |name: &str, keeps: &str, sees: &str, does_not_learn: &str| Actor {
        name: name.to_owned(),
        keeps: keeps.to_owned(),
        sees: sees.to_owned(),
        does_not_learn: does_not_learn.to_owned(),
    };
    let mut actors = Vec::new();
    if is_encrypted {
        actors.push(actor(
            "data owner",
            "texts, labels, embeddings, features, the secret key",
            "the public half of the model, features of its own records",
            "the lower network, unless it asks very many questions",
        ));
        actors.push(actor(
            "model owner",
            "the lower network",
            "encrypted records, evaluation keys, how many records there are",
            "records, labels, features",
        ));
    } else {
        actors.push(actor(
            "data owner",
            "texts, labels, embeddings",
            "the public half of the model",
            "the lower network",
        ));
        actors.push(actor(
            "model owner",
            "the lower network",
            "nothing: nothing was sent",
            "records, labels",
        ));
    }
    actors.push(actor(
        "everyone",
        "nothing",
        "the head, its card and this report",
        "whether any one unit was in the data, up to the promise",
    ));
    actors
}

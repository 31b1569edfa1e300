//! What a report is assembled from: facts, each of which comes from one file and is in the report.
//!
//! `audit` reads the facts off the files. `verify` starts from the facts that a report states, puts those of the given
//! files in their place, and assembles the report again: one assembly for both.

use std::str::FromStr;

use cryptotl_model::{Digest, HeadInputs};
use cryptotl_privacy::audit::Audit;
use cryptotl_privacy::{AccountantError, Event, Guarantee, Status};
use cryptotl_trainer::{Assumption, Encryption, Head};
use serde::{Deserialize, Serialize};

use super::Report;
use super::budget::Budget;
use super::encryption::Certified;
use super::product::Product;
use super::provenance::{Dataset, Identity};
use super::reproduction::Files;
use super::utility::{Measured, Validated};

/// The evidence. What is `None` or empty was not given, and its block is not assessed.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Names and digests.
    pub identity: Identity,
    /// The head, and with the public half of its model what that was trained on.
    pub product: Product,
    /// Whose data.
    pub dataset: Dataset,
    /// How the head's inputs were encrypted; `None` when nothing was sent.
    pub encryption: Option<Encryption>,
    /// What the plan of the encrypted evaluation promises.
    pub certificate: Option<Certified>,
    /// The head's guarantee.
    pub guarantee: Guarantee,
    /// The mechanism that ran.
    pub event: Event,
    /// The source of randomness of the DP noise.
    pub entropy: String,
    /// The verified ledger.
    pub budget: Budget,
    /// Rows of `bench privacy` for this population.
    pub rows: Vec<Measured>,
    /// What `validate` released of this head.
    pub validation: Option<Validated>,
    /// What is known from attacks on the mechanism.
    pub audit: Option<Audit>,
    /// How the files are called.
    pub files: Files,
}

impl Evidence {
    /// The facts of a head and of the ledger that paid for it.
    ///
    /// # Errors
    /// [`AccountantError`] when a recorded loss has no epsilon.
    pub fn new(
        (head, digest): (&Head, Digest),
        ledger: &Status,
        files: Files,
    ) -> Result<Self, AccountantError> {
        let header = &head.header;
        let mut identity = Identity::of_head(head, digest);
        identity.read_ledger(ledger);
        Ok(Self {
            identity,
            product: Product::of(head),
            dataset: Dataset::of(&ledger.population, ledger.public_size),
            encryption: header.encryption.clone(),
            certificate: None,
            guarantee: header.guarantee.clone(),
            event: header.event.clone(),
            entropy: ledger.rng.clone(),
            budget: Budget::new(ledger, header.witness.seq)?,
            rows: Vec::new(),
            validation: None,
            audit: None,
            files,
        })
    }

    /// The facts that a report states, with those of them that follow from others computed again.
    ///
    /// # Errors
    /// What does not fit together so badly that nothing can be computed.
    pub fn stated(report: &Report) -> Result<Self, String> {
        let promise = &report.guarantee;
        let terms = (parsed(&promise.unit)?, named(&promise.adjacency)?);
        let identity = &report.identity;
        let mut budget = report.budget.recomputed(terms, identity.witness_seq)?;
        budget.delta_mass = budget.delta_mass.map(|_| budget.delta * report.dataset.public_size as f64);
        let own = budget.run(identity.witness_seq).ok_or_else(|| {
            format!(
                "entry {}, which is said to have paid for the head, is not among the runs",
                identity.witness_seq
            )
        })?;
        let (event, guarantee) = own.guarantee(terms)?;
        let input = report.input_privacy.evidence().ok();
        let utility = report.utility.evidence().ok();
        let validation = utility.and_then(|utility| utility.validation.clone());
        Ok(Self {
            identity: Identity {
                head_digest: own.released.clone().unwrap_or_default(),
                witness_hash: own.hash.clone(),
                ..identity.clone()
            },
            product: Product { settings: own.description.clone(), ..report.product.clone() }.in_own_words(),
            dataset: Dataset::of(&report.dataset.population, report.dataset.public_size),
            encryption: input.and_then(|input| input.encryption()),
            certificate: input.and_then(|input| input.certificate.evidence().ok().cloned()),
            guarantee,
            event,
            entropy: report.mechanism.entropy.clone(),
            rows: utility.map_or_else(Vec::new, |utility| utility.rows.clone()),
            validation: validation.map(|validation| validation.paid_by(&budget)),
            audit: None,
            files: report.reproduction.files.clone().unwrap_or_default(),
            budget,
        })
    }

    /// What the promise rests on beyond its proof. Inputs that this program does not know are taken for features.
    pub fn assumptions(&self) -> Vec<Assumption> {
        let inputs = named(&self.product.inputs).unwrap_or(HeadInputs::Features);
        Assumption::of(inputs, self.encryption.as_ref(), self.event.slack())
    }

    /// The guarantee in words, with what it rests on.
    pub fn sentence(&self) -> String {
        format!("{} {}", self.guarantee.formal_sentence(), Assumption::sentence(&self.assumptions()))
    }

    /// Puts what a head says in the place of what was stated, in the budget's run too.
    pub fn read_head(&mut self, head: &Head, digest: Digest) {
        let header = &head.header;
        let Identity { tool_version, ledger_tool_version, run, .. } = self.identity.clone();
        let of_head = Identity::of_head(head, digest);
        self.identity = Identity { tool_version, ledger_tool_version, run, ..of_head };
        let backbone = self.product.backbone.clone();
        self.product = Product { backbone, ..Product::of(head) };
        self.dataset.population.clone_from(&header.population);
        self.encryption.clone_from(&header.encryption);
        self.guarantee.clone_from(&header.guarantee);
        self.event.clone_from(&header.event);
        self.budget.pays_for(head, digest);
    }

    /// Puts what the ledger says in the place of what was stated.
    ///
    /// # Errors
    /// When the ledger did not pay for the head, or a loss has no epsilon.
    pub fn read_ledger(&mut self, ledger: &Status) -> Result<(), String> {
        let policy = &ledger.policy;
        let seq = self.identity.witness_seq;
        let policy_compared = self.budget.policy_compared;
        self.budget = Budget::new(ledger, seq).map_err(|e| e.to_string())?;
        self.budget.policy_compared = policy_compared;
        self.dataset = Dataset::of(&ledger.population, ledger.public_size);
        self.entropy.clone_from(&ledger.rng);
        let own = self.budget.run(seq).ok_or_else(|| format!("entry {seq} of the ledger is no charge"))?;
        (self.event, self.guarantee) = own.guarantee((policy.unit(), policy.adjacency()))?;
        self.identity.head_digest = own.released.clone().unwrap_or_default();
        self.identity.witness_hash.clone_from(&own.hash);
        self.product.settings.clone_from(&own.description);
        self.identity.read_ledger(ledger);
        self.validation = self.validation.take().map(|validation| validation.paid_by(&self.budget));
        Ok(())
    }
}

/// The value of this text.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}

/// The variant of this name.
pub(super) fn named<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|e| e.to_string())
}

/// A row of the table that `bench privacy` writes, as far as a report needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BenchmarkRow {
    /// The population.
    pub target: String,
    /// Which parts of a record the head reads.
    pub inputs: String,
    /// The head's method, or that of a baseline.
    pub method: String,
    /// Training records.
    pub n: u64,
    /// The epsilon; null where there is no privacy.
    pub epsilon: Option<f64>,
    /// Mean test accuracy over the seeds.
    pub mean_accuracy: f64,
    /// Standard deviation over the seeds.
    pub std: f64,
    /// How many draws of the DP noise.
    pub seeds: u64,
}

impl BenchmarkRow {
    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Vec<Self>, String> {
        let rows: Vec<Self> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if rows.iter().any(|row| !row.mean_accuracy.is_finite() || !row.std.is_finite()) {
            return Err("an accuracy is no number".to_owned());
        }
        Ok(rows)
    }
}

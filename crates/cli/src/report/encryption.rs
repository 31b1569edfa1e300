//! How the inputs were encrypted, and what was measured of it.

use cryptotl_encrypted::PlanFile;
use cryptotl_trainer::Encryption;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Assessed;
use super::evidence::Evidence;
use super::view::{Block, Cell, Section};
use super::words;

/// The encryption of the records on their way to the model owner and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputPrivacy {
    /// The scheme and its implementation.
    pub scheme: String,
    /// The parameters' name; null when nothing was sent.
    pub parameter_set: Option<String>,
    /// What the parameters' security rests on.
    pub security_basis: Option<String>,
    /// Who holds the secret key.
    pub key_holder: String,
    /// Which party evaluated.
    pub evaluator: Option<String>,
    /// Whether records may have shared ciphertexts; null when nothing was sent, and in early reports.
    #[serde(default)]
    pub coupled: Option<bool>,
    /// What a party that sees decryptions could do.
    pub decryptions: String,
    /// What the plan promises and was measured to do; not assessed when no plan was given.
    pub certificate: Assessed<Certified>,
}

/// What the error certificate of a plan says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certified {
    /// Numbers of a record that are encrypted.
    pub input_width: u64,
    /// Features that come back.
    pub feature_width: u64,
    /// The magnitude that inputs do not exceed.
    pub input_bound: f64,
    /// Public records that were measured.
    pub records: u64,
    /// The largest encryption error among their features.
    pub max_error: f64,
    /// The root mean square of the errors.
    pub rms_error: f64,
    /// Correct bits of a typical feature.
    pub precision_bits: f64,
    /// The largest feature that any record within the bound can have: proved.
    pub feature_bound: f64,
    /// How far one record moves the features of all others together, for as many units as the public size: bounded; null
    /// when the plan does not tell.
    pub coupling: Option<f64>,
}

impl Certified {
    /// What a plan promises for a population of at most `public_size` units.
    pub fn of(plan: &PlanFile, public_size: u64) -> Self {
        let (contract, certificate) = (&plan.contract, &plan.certificate);
        Self {
            input_width: contract.input_width() as u64,
            feature_width: contract.output_width() as u64,
            input_bound: contract.input_bound().max_abs(),
            records: certificate.records as u64,
            max_error: certificate.max_error,
            rms_error: certificate.rms_error,
            precision_bits: certificate.precision_bits(),
            feature_bound: certificate.feature_bound,
            coupling: plan.coupling.map(|c| c.of_records(public_size)),
        }
    }
}

impl InputPrivacy {
    /// What the head says of the encryption; `None` when nothing was sent.
    pub(super) fn encryption(&self) -> Option<Encryption> {
        Some(Encryption {
            parameter_set: self.parameter_set.clone()?,
            security_basis: self.security_basis.clone()?,
            evaluator: self.evaluator.clone()?,
            coupled: self.coupled.unwrap_or(true),
        })
    }

    pub(super) fn new(evidence: &Evidence) -> Assessed<Self> {
        let Some(encryption) = &evidence.encryption else {
            return Assessed::Assessed(Self {
                scheme: "none: the head reads the data owner's own embeddings, and nothing was sent"
                    .to_owned(),
                parameter_set: None,
                security_basis: None,
                key_holder: "nobody".to_owned(),
                evaluator: None,
                coupled: None,
                decryptions: "there are none".to_owned(),
                certificate: Assessed::missing("nothing was encrypted"),
            });
        };
        let certificate = match &evidence.certificate {
            None => Assessed::missing("no plan file was given; see --plan"),
            Some(certified) => Assessed::Assessed(certified.clone()),
        };
        Assessed::Assessed(Self {
            scheme: format!("CKKS, {}", cryptotl_encrypted::LIBRARY),
            parameter_set: Some(encryption.parameter_set.clone()),
            security_basis: Some(encryption.security_basis.clone()),
            key_holder: "the data owner, one key a job".to_owned(),
            evaluator: Some(encryption.evaluator.clone()),
            coupled: Some(encryption.coupled),
            decryptions: "CKKS is not secure against a party that sees decryptions beside ciphertexts (IND-CPA-D; Li and \
                          Micciancio 2021). Nothing computed from features goes back to the model owner but the head, \
                          whose DP noise is far larger than the encryption error: an argument and no proof."
                .to_owned(),
            certificate,
        })
    }
}

pub(super) fn section(input_privacy: &Assessed<InputPrivacy>) -> Section {
    let mut blocks = Vec::new();
    match input_privacy.evidence() {
        Err(reason) => blocks.push(Block::NotAssessed(reason.to_owned())),
        Ok(input) => {
            let mut facts: Vec<(&str, Cell)> = vec![("Scheme", input.scheme.clone().into())];
            let optional = [
                ("Parameters", &input.parameter_set),
                ("Security", &input.security_basis),
                ("Evaluated by", &input.evaluator),
            ];
            for (name, value) in optional {
                facts.extend(value.clone().map(|value| (name, Cell::Text(value))));
            }
            facts.push(("Secret key", input.key_holder.clone().into()));
            facts.push(("Decryptions", input.decryptions.clone().into()));
            blocks.push(Block::Facts(facts));
            match input.certificate.evidence() {
                Err(reason) => blocks.push(Block::NotAssessed(format!("Encryption error: {reason}"))),
                Ok(c) => blocks.push(Block::Facts(certificate(c))),
            }
        }
    }
    Section { id: "encryption", title: "Encryption of the inputs", blocks }
}

fn certificate(c: &Certified) -> Vec<(&'static str, Cell)> {
    let at = |field: &str| format!("/input_privacy/certificate/{field}");
    let whole = |field: &str, value: u64| Cell::figure(at(field), words::grouped(value));
    let real = |field: &str, value: f64| Cell::figure(at(field), words::number(value));
    let mut facts = vec![
        ("Numbers sent a record", whole("input_width", c.input_width)),
        ("Features returned", whole("feature_width", c.feature_width)),
        ("Bound on inputs", real("input_bound", c.input_bound)),
        ("Measured on public records", whole("records", c.records)),
        ("Largest encryption error", Cell::figure(at("max_error"), words::small(c.max_error))),
        ("Root mean square error", Cell::figure(at("rms_error"), words::small(c.rms_error))),
        ("Correct bits", real("precision_bits", c.precision_bits)),
        ("Proved bound on features", real("feature_bound", c.feature_bound)),
    ];
    facts.extend(
        c.coupling.map(|moved| {
            ("One record moves all others by", Cell::figure(at("coupling"), words::small(moved)))
        }),
    );
    facts
}

//! The privacy audit report: one typed value, assembled from evidence that the program reads itself, and its
//! four renderings.
//!
//! [`Report`] is what `report.json` holds, and `docs/report.schema.json` is derived from it. Each block of the
//! report is a file of this module: its fields, how they are assembled from the [`Evidence`], and its
//! [`Section`] for readers. [`mod@html`] and [`mod@markdown`] write the same sections, so neither can leave one out.
//! A block whose evidence was not given is [`Assessed::NotAssessed`] with the reason, and is shown as that.

mod attack;
mod attack_schema;
mod budget;
mod curve;
mod encryption;
mod evidence;
mod figure;
mod front;
mod guarantee;
mod hazards;
mod html;
mod markdown;
mod mechanism;
mod product;
mod provenance;
mod recompute;
mod registry;
mod reproduction;
mod setting;
mod sources;
#[cfg(test)]
mod tests;
mod utility;
mod view;
pub mod words;

use cryptotl_privacy::AccountantError;
use cryptotl_privacy::audit::AuditEvidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use attack::{NOT_ASKED, Verdict};
pub use budget::run_words;
pub use encryption::Certified;
pub use evidence::{BenchmarkRow, Evidence};
pub use guarantee::{GROUP_SIZES, STRICT_DELTA};
pub use html::{embedded_json, render as html};
pub use markdown::{START as MARKDOWN_START, escape as escape_markdown, render as markdown};
pub use product::Backbone;
pub use recompute::{Given, Recomputed, Stated};
pub use registry::{START as REGISTRY_START, render as registry};
pub use reproduction::{Files, quoted};
pub use sources::Source;
pub use utility::{Validated, rows as benchmark_rows};

use attack::Control;
use budget::Budget;
use encryption::InputPrivacy;
use guarantee::Promise;
use hazards::{Hazard, Status};
use mechanism::Mechanism;
use product::{Preprocessing, Product};
use provenance::{Dataset, Identity, Scope};
use reproduction::Reproduction;
use setting::Setting;
use utility::Utility;
use view::{Block, Section};

/// What `format` says in every report.
pub const FORMAT: &str = "cryptotl-report";
/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;

/// A block with its evidence, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Assessed<T> {
    /// The evidence was given.
    Assessed(T),
    /// It was not.
    NotAssessed {
        /// Why, and what would have to be given.
        not_assessed: String,
    },
}

impl<T> Assessed<T> {
    /// The block without evidence.
    pub fn missing(reason: impl Into<String>) -> Self {
        Self::NotAssessed { not_assessed: reason.into() }
    }

    /// The evidence, or the reason why there is none.
    pub fn evidence(&self) -> Result<&T, &str> {
        match self {
            Self::Assessed(evidence) => Ok(evidence),
            Self::NotAssessed { not_assessed } => Err(not_assessed),
        }
    }
}

/// What a privacy officer is asked to sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// `cryptotl-report`.
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// The epsilon that the head claims for itself, at `guarantee.delta`.
    pub target_epsilon: f64,
    /// The epsilon of the head's recorded mechanism, recomputed by the accountant for this report.
    pub accounted_epsilon: f64,
    /// The attack's lower bound on the same epsilon; null when no attack was run.
    pub audited_epsilon_lower_bound: Option<f64>,
    /// With which probability the lower bound holds; null when no attack was run.
    pub confidence: Option<f64>,
    /// Whether the attack contradicted the claim.
    pub verdict: Verdict,
    /// The command to run next where the attack left something open, as an inconclusive one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// The attack's controls: what it found when it was given something to find.
    pub controls: Vec<Control>,
    /// The promise of this release, in one sentence.
    pub sentence: String,
    /// What the report is about.
    pub identity: Identity,
    /// What was released.
    pub product: Product,
    /// Whose data it was made from.
    pub dataset: Dataset,
    /// The actors, who sees what, and what has to be trusted.
    pub setting: Setting,
    /// How the inputs were encrypted.
    pub input_privacy: Assessed<InputPrivacy>,
    /// The promise with its unit and adjacency.
    pub guarantee: Promise,
    /// What the promise covers and what not.
    pub scope: Scope,
    /// What ran.
    pub mechanism: Mechanism,
    /// What all runs cost together, run by run.
    pub budget: Budget,
    /// What was done to the data before the mechanism.
    pub preprocessing: Preprocessing,
    /// The attack's evidence; it has a version of its own.
    #[schemars(with = "attack_schema::Attack")]
    pub attack: Assessed<AuditEvidence>,
    /// What the head is good for.
    pub utility: Assessed<Utility>,
    /// The hazards, each with a status and a line of evidence.
    pub hazards: Vec<Hazard>,
    /// The commands that check and repeat this report.
    pub reproduction: Reproduction,
}

impl Report {
    /// Assembles the report: for `audit`, whose caller has verified the head against the ledger, and again for `verify`.
    ///
    /// # Errors
    /// [`AccountantError`] when the recorded loss has no epsilon.
    pub fn assemble(evidence: &Evidence) -> Result<Self, AccountantError> {
        let Evidence { guarantee: claimed, event, .. } = evidence;
        let guarantee = Promise::new(claimed, event, budget::spent(&evidence.budget))?;
        let attack = attack::assess(evidence.audit.as_ref());
        let found = attack.evidence().ok();
        let bound = found.and_then(AuditEvidence::headline);
        Ok(Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            target_epsilon: claimed.epsilon.get(),
            accounted_epsilon: claimed.epsilon_at(event, claimed.delta)?.get(),
            audited_epsilon_lower_bound: bound.map(|bound| bound.epsilon),
            confidence: bound.map(|bound| bound.confidence),
            verdict: found.map_or(Verdict::NotAssessed, |audit| audit.verdict.into()),
            next_step: attack::next_step(found, claimed.epsilon.get(), &evidence.files.audit()),
            controls: found.map_or_else(Vec::new, attack::controls),
            sentence: evidence.sentence(),
            identity: evidence.identity.clone(),
            product: evidence.product.clone(),
            dataset: evidence.dataset.clone(),
            setting: Setting::new(evidence),
            input_privacy: InputPrivacy::new(evidence),
            scope: Scope::new(evidence),
            mechanism: Mechanism::new(event, &evidence.entropy),
            budget: evidence.budget.clone(),
            preprocessing: Preprocessing::new(evidence),
            utility: Utility::new(evidence),
            hazards: hazards::all(evidence, &guarantee, attack.evidence()),
            reproduction: Reproduction::new(evidence),
            guarantee,
            attack,
        })
    }

    /// The blocks for readers, in order.
    fn sections(&self) -> Vec<Section> {
        vec![
            self.setting.section(),
            self.guarantee.section(self),
            attack::section(self),
            self.budget.section(),
            self.mechanism.section(),
            encryption::section(&self.input_privacy),
            self.dataset.section(),
            self.product.section(),
            self.preprocessing.section(),
            self.scope.section(),
            utility::section(&self.utility),
            hazards::section(&self.hazards),
            self.identity.section(),
            self.reproduction.section(),
        ]
    }

    /// What was not assessed: hazards without evidence, and blocks that the sections say are missing.
    fn not_assessed(&self) -> Vec<String> {
        let hazards = self.with_status(Status::NotAssessed);
        let blocks = self.sections().into_iter().flat_map(|section| {
            let missing = section.blocks.into_iter().filter_map(|block| match block {
                Block::NotAssessed(reason) => Some(reason),
                _ => None,
            });
            missing.map(move |reason| format!("{}: {reason}.", section.title)).collect::<Vec<_>>()
        });
        hazards.into_iter().chain(blocks).collect()
    }

    /// What somebody has to decide: hazards that fail or warn.
    fn to_be_decided(&self) -> Vec<String> {
        [Status::Fail, Status::Warn].into_iter().flat_map(|status| self.with_status(status)).collect()
    }

    fn with_status(&self, status: Status) -> Vec<String> {
        let hazards = self.hazards.iter().filter(|hazard| hazard.status == status);
        hazards.map(|hazard| format!("{} {}.", hazard.hazard, hazard.evidence)).collect()
    }

    /// The JSON Schema of `report.json`, derived from these types; the checked-in one equals it.
    #[cfg(test)]
    fn schema() -> String {
        let schema = schemars::schema_for!(Report);
        serde_json::to_string_pretty(&schema).expect("a schema serializes") + "\n"
    }
}

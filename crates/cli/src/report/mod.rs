//! The privacy audit report: one value, read from the head and the ledger, and its renderings.

mod html;

use cryptotl_model::EncoderId;
use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::audit::{Audit, ControlAudit};
use cryptotl_privacy::{AccountantError, Delta, Epsilon, Event, Guarantee, Rho, Status, Witness};
use cryptotl_trainer::{Encryption, Head};
use serde::Serialize;

pub use html::render as html;

/// The version of `report.json`.
pub const VERSION: u32 = 1;

/// One point of a privacy profile: the release is (epsilon, delta)-private for each of them at once.
#[derive(Debug, Clone, Serialize)]
pub struct ProfilePoint {
    /// delta.
    pub delta: Delta,
    /// epsilon of this release alone.
    pub release_epsilon: Epsilon,
    /// epsilon of all that was spent on the population so far.
    pub spent_epsilon: Epsilon,
}

/// What a privacy officer is asked to sign. What was not looked at says so.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub tool_version: String,
    /// The digest of the head file.
    pub head_digest: String,
    /// The population.
    pub population: String,
    /// What was asked for and what this release alone cost.
    pub target_epsilon: Epsilon,
    /// The epsilon of all releases together, recomputed from the ledger's entries.
    pub accounted_epsilon: Epsilon,
    /// The attack's lower bound on the epsilon of this release; absent if no attack was run.
    pub audited_epsilon_lower_bound: Option<f64>,
    /// The confidence of that bound.
    pub confidence: Option<f64>,
    /// `falsified`, `not falsified`, `inconclusive` or `not assessed`.
    pub verdict: &'static str,
    /// What the attack made of mechanisms with too little DP noise.
    pub controls: Vec<ControlAudit>,
    /// All that the attack found, or why there was none.
    pub attack: Audit,
    /// The promise, in one sentence.
    pub sentence: String,
    /// The promise of this release alone.
    pub guarantee: Guarantee,
    /// The mechanism that ran.
    pub event: Event,
    /// mu of this release and its epsilon under exact Gaussian DP, with the margin of the grid; null if the release is not
    /// of Gaussian sums over all units. Claimed where the guarantee's proof is `gdp`.
    pub gaussian_dp: Option<(f64, Epsilon)>,
    /// The entry that paid, found unchanged in the ledger.
    pub witness: Witness,
    /// The encoder.
    pub encoder: EncoderId,
    /// How the server features were encrypted; absent when the head reads none.
    pub encryption: Option<Encryption>,
    /// epsilon against delta.
    pub profile: Vec<ProfilePoint>,
    /// Loss that is left, and the largest epsilon it buys.
    pub left: (Rho, Option<Epsilon>),
    /// The ledger with every entry.
    pub ledger: Status,
}

impl Report {
    /// Assembles the report. The caller has verified the head's witness against the ledger.
    pub fn new(
        head: &Head,
        head_digest: String,
        ledger: Status,
        attack: Audit,
    ) -> Result<Self, AccountantError> {
        let (headline, verdict, controls) = match &attack {
            Audit::Assessed(evidence) => {
                (evidence.headline().cloned(), evidence.verdict.words(), evidence.controls.clone())
            }
            Audit::NotAssessed { .. } => (None, "not assessed", Vec::new()),
        };
        let header = &head.header;
        let guarantee = header.guarantee.clone();
        let gaussian_dp = header.event.grid_slack().and_then(|slack| {
            let mu = gdp::Mu::from_rho(guarantee.rho);
            Some((mu.get(), gdp::epsilon_on_grid(mu, slack, guarantee.delta).ok()?))
        });
        let mut profile = Vec::new();
        for power in (4..=48).map(|quarter| f64::from(quarter) / 4.0) {
            let Ok(delta) = Delta::new(10f64.powf(-power)) else { continue };
            // By the accountant of the ledger, which may have no figure at the smallest deltas.
            let (Ok(release_epsilon), Ok(spent_epsilon)) =
                (guarantee.epsilon_at(&header.event, delta), ledger.epsilon_spent_at(delta))
            else {
                continue;
            };
            profile.push(ProfilePoint { delta, release_epsilon, spent_epsilon });
        }
        Ok(Self {
            version: VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            head_digest,
            population: header.population.clone(),
            target_epsilon: guarantee.epsilon,
            accounted_epsilon: ledger.epsilon_spent,
            audited_epsilon_lower_bound: headline.as_ref().map(|bound| bound.epsilon),
            confidence: headline.as_ref().map(|bound| bound.confidence),
            verdict,
            controls,
            attack,
            sentence: guarantee.formal_sentence(),
            gaussian_dp,
            guarantee,
            event: header.event.clone(),
            witness: header.witness,
            encoder: header.encoder.clone(),
            encryption: header.encryption.clone(),
            profile,
            left: (ledger.rho_remaining, ledger.epsilon_affordable),
            ledger,
        })
    }
}

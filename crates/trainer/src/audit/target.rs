//! What is attacked: a released head's mechanism and training, without the head's records.

use cryptotl_model::public::RankStatistics;
use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::audit::AuditedClaim;
use cryptotl_privacy::{AuditSums, Defect, Description, Event, Guarantee, NoisySum, PublicData};

use super::made_up::{MadeUp, Table};
use crate::error::{Result, TrainerError};
use crate::head::HeadSettings;
use crate::release::HeadHeader;

/// The largest head that is attacked; thousands of larger ones would take hours.
const MAX_DIMENSION: usize = 4096;

/// A mechanism under attack.
#[derive(Debug)]
pub struct Target {
    claim: AuditedClaim,
    event: Event,
    settings: HeadSettings,
    made_up: MadeUp,
    statistics: RankStatistics,
}

/// What one training released.
pub struct Released {
    /// The sum over all steps of the noisy sums, `[dimension]`: what the adversary of the accounting makes of them.
    pub transcript: Vec<f64>,
    /// The logarithm of the sum of squares of all released numbers.
    pub log_energy: f64,
    /// The head's weights, `[dimension]`.
    pub head: Vec<f64>,
}

/// Why a head cannot be attacked.
#[derive(Debug, Clone, PartialEq)]
pub struct NotCovered {
    /// The head's method.
    pub method: String,
    /// The reason.
    pub reason: String,
}

impl Target {
    /// The mechanism of a released head.
    ///
    /// # Errors
    /// [`NotCovered`] for a method that the attack does not know.
    pub fn of_head(header: &HeadHeader) -> std::result::Result<Self, NotCovered> {
        Self::new(&header.event, &header.guarantee, &header.description)
    }

    /// The same from the release's parts.
    pub fn new(
        event: &Event,
        guarantee: &Guarantee,
        description: &Description,
    ) -> std::result::Result<Self, NotCovered> {
        let method = description.get("method").map_or("unnamed", String::as_str).to_owned();
        let not_covered = |reason: &str| NotCovered { method: method.clone(), reason: reason.to_owned() };
        let Event::GaussianSum(sum) = event else {
            return Err(not_covered(
                "the attack covers sums with Gaussian DP noise, and this is something else",
            ));
        };
        let settings = HeadSettings::of_release(description, sum)
            .ok_or_else(|| not_covered("the attack does not know how this method trains"))?;
        if !(3..=MAX_DIMENSION).contains(&sum.dimension) {
            return Err(not_covered("the attack takes heads of 3 to 4096 numbers"));
        }
        let exact = gdp::Mu::of_sums(sum.noise_multiplier, sum.steps)
            .and_then(|mu| Ok((mu, gdp::epsilon(mu, guarantee.delta)?)));
        let Ok((mu, exact_epsilon)) = exact else {
            return Err(not_covered("Gaussian DP has no figure for its DP noise"));
        };
        let claim = AuditedClaim {
            method: method.clone(),
            dimension: sum.dimension,
            clipping_norm: sum.clipping_norm,
            steps: sum.steps,
            noise_multiplier: sum.noise_multiplier,
            guarantee: guarantee.clone(),
            mu: mu.get(),
            exact_epsilon,
        };
        let made_up = MadeUp::new(sum, guarantee.unit, guarantee.adjacency);
        Ok(Self { claim, event: event.clone(), settings, made_up, statistics: made_up.statistics() })
    }

    /// What is claimed.
    pub fn claim(&self) -> &AuditedClaim {
        &self.claim
    }

    /// The maker of tables for this mechanism.
    pub fn made_up(&self) -> &MadeUp {
        &self.made_up
    }

    /// Trains once, as the head was trained, on a made-up table.
    ///
    /// # Errors
    /// Those of the mechanism and of the training.
    pub fn train(&self, defect: Defect, table: &Table) -> Result<Released> {
        let declared = PublicData::declare("made up by the audit");
        let mut mechanism = AuditSums::of_release(&self.event, &self.claim.guarantee, defect, declared)?;
        let units = mechanism.units(table.labels.len(), Some(&table.persons))?;
        let weights = self.settings.fit_statistics(
            &self.statistics,
            &table.rows,
            &table.labels,
            &units,
            &mut mechanism,
        )?;
        let mut transcript = vec![0.0; self.claim.dimension];
        let mut energy = 0.0;
        for sum in mechanism.transcript() {
            for (total, value) in transcript.iter_mut().zip(sum) {
                *total += value;
                energy += value * value;
            }
        }
        if weights.len() != self.claim.dimension {
            return Err(TrainerError::training(
                format!("the training gave {} numbers, not {}", weights.len(), self.claim.dimension),
                "report this as a bug",
            ));
        }
        Ok(Released { transcript, log_energy: energy.ln(), head: weights.to_vec() })
    }
}

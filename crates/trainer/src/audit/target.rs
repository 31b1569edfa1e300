//! What is attacked: a released head's mechanism and training, without the head's records.

use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::audit::AuditedClaim;
use cryptotl_privacy::{
    AuditSums, BenchmarkMinimum, Defect, Description, Event, Guarantee, NoisySum, PublicData,
};

use super::made_up::{MadeUp, Table};
use crate::error::Result;
use crate::head::{HeadSettings, Mechanism, Space, Task, scores_of};
use crate::release::Head;

/// The largest head that is attacked; thousands of larger ones would take hours.
const MAX_DIMENSION: usize = 4096;

/// A mechanism under attack.
#[derive(Debug)]
pub struct Target {
    claim: AuditedClaim,
    event: Event,
    settings: HeadSettings,
    made_up: MadeUp,
    space: Space,
}

/// What one training released.
pub struct Released {
    /// The sum over all steps of the noisy sums, on each canary's axis: what the adversary of the accounting makes of
    /// them.
    pub transcript: Vec<f64>,
    /// The logarithm of the sum of squares of all released numbers.
    pub log_energy: f64,
    /// The head's weights, on each canary's axis.
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
    pub fn of_head(head: &Head) -> std::result::Result<Self, NotCovered> {
        let header = &head.header;
        Self::new(&header.event, &header.guarantee, &header.description, header.label_names.len())
    }

    /// The same from the release's parts.
    pub fn new(
        event: &Event,
        guarantee: &Guarantee,
        description: &Description,
        labels: usize,
    ) -> std::result::Result<Self, NotCovered> {
        let method = description.get("method").map_or("unnamed", String::as_str).to_owned();
        let not_covered = |reason: &str| NotCovered { method: method.clone(), reason: reason.to_owned() };
        let Event::GaussianSum(sum) = event else {
            return Err(not_covered(
                "the attack covers sums with Gaussian DP noise, and this is something else",
            ));
        };
        let settings = HeadSettings::of_sums(description, sum)
            .ok_or_else(|| not_covered("the attack does not know how this method trains"))?;
        let columns = sum.dimension / scores_of(labels).max(1);
        if columns < 3 || sum.dimension > MAX_DIMENSION {
            return Err(not_covered(
                "the attack takes heads of up to 4096 numbers, 3 at least for each label",
            ));
        }
        if columns * scores_of(labels) != sum.dimension {
            return Err(not_covered("its sums do not fit its labels"));
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
        let made_up = MadeUp::new(columns, labels, sum, guarantee.unit, guarantee.adjacency);
        Ok(Self { claim, event: event.clone(), settings, made_up, space: made_up.space() })
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
    pub fn train(&self, defect: Defect, table: Table) -> Result<Released> {
        let declared = PublicData::declare("made up by the audit");
        let sums = AuditSums::of_release(&self.event, &self.claim.guarantee, defect, declared)?;
        let units = sums.units(table.labels.len(), Some(&table.persons))?;
        let task = Task { space: &self.space, rows: table.rows, labels: table.labels, units };
        let mut mechanism = Mechanism::<_, BenchmarkMinimum>::Sums(sums);
        let weights = self.settings.fit(&task, &mut mechanism)?;
        let (mut total, mut energy) = (vec![0.0; self.claim.dimension], 0.0);
        if let Mechanism::Sums(sums) = &mechanism {
            for sum in sums.transcript() {
                total.iter_mut().zip(sum).for_each(|(total, value)| *total += value);
                energy += sum.iter().map(|value| value * value).sum::<f64>();
            }
        }
        Ok(Released {
            transcript: self.made_up.axes(&total),
            log_energy: energy.ln(),
            head: self.made_up.axes(&weights.to_vec()),
        })
    }
}

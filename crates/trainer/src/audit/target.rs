//! What is attacked: a released head's mechanism and training, without the head's records.

use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::audit::AuditedClaim;
use cryptotl_privacy::{
    AuditMinimum, AuditSums, Defect, Description, Event, Guarantee, MinimumEvent, PublicData, SumEvent,
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
    visible: f64,
}

/// What one training released.
pub struct Released {
    /// The sum over all steps of the noisy sums, or the noisy minimum, on each canary's axis: what the adversary of the
    /// accounting makes of them.
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
        let settings = HeadSettings::of_release(description, event).ok_or_else(|| {
            not_covered(match event {
                Event::GaussianSum(_) => "the attack does not know how this method trains",
                _ => "the attack's bounds are by Gaussian DP, and no theorem puts this method's loss below that of Gaussian DP",
            })
        })?;
        let traits = match event {
            Event::GaussianSum(sum) => Traits::of_sums(sum, guarantee),
            Event::PerturbedMinimum(minimum) => Traits::of_minimum(minimum, guarantee),
            _ => None,
        };
        let Some(traits) = traits else {
            return Err(not_covered("Gaussian DP has no figure for its DP noise"));
        };
        let Ok(exact_epsilon) = gdp::epsilon(traits.mu, guarantee.delta) else {
            return Err(not_covered("Gaussian DP has no figure for its DP noise"));
        };
        let Traits { dimension, clipping_norm, steps, noise_multiplier, mu, visible } = traits;
        let columns = dimension / scores_of(labels).max(1);
        if columns < 3 || dimension > MAX_DIMENSION {
            return Err(not_covered(
                "the attack takes heads of up to 4096 numbers, 3 at least for each label",
            ));
        }
        if columns * scores_of(labels) != dimension {
            return Err(not_covered("its numbers do not fit its labels"));
        }
        let claim = AuditedClaim {
            method: method.clone(),
            dimension,
            clipping_norm,
            steps,
            noise_multiplier,
            guarantee: guarantee.clone(),
            mu: mu.get(),
            exact_epsilon,
        };
        let made_up = MadeUp::new(columns, labels, clipping_norm, guarantee.unit, guarantee.adjacency);
        Ok(Self { claim, event: event.clone(), settings, made_up, space: made_up.space(), visible })
    }

    /// How many numbers with DP noise one training draws.
    pub fn draws(&self) -> usize {
        self.claim.dimension * self.claim.steps as usize
    }

    /// The mu that a canary can show: that of the claim, less the axis that canaries share and less what else the DP noise
    /// covers.
    pub fn visible_mu(&self) -> f64 {
        self.claim.mu * self.visible * self.made_up.share_of_own_axis()
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
        let (event, guarantee) = (&self.event, &self.claim.guarantee);
        let mut mechanism = match event {
            Event::PerturbedMinimum(_) => {
                Mechanism::Minimum(AuditMinimum::of_release(event, guarantee, defect, declared)?)
            }
            _ => Mechanism::Sums(AuditSums::of_release(event, guarantee, defect, declared)?),
        };
        let units = mechanism.units(table.labels.len(), Some(&table.persons))?;
        let task = Task { space: &self.space, rows: table.rows, labels: table.labels, units };
        let weights = self.settings.fit(&task, &mut mechanism)?.to_vec();
        let answer;
        let released = match &mechanism {
            Mechanism::Sums(sums) => sums.transcript(),
            // The answer is all that a minimum releases; the center is public.
            Mechanism::Minimum(_) => {
                answer = [weights.iter().zip(&self.space.start).map(|(w, start)| w - start).collect()];
                &answer[..]
            }
        };
        let (mut total, mut energy) = (vec![0.0; self.claim.dimension], 0.0);
        for numbers in released {
            total.iter_mut().zip(numbers).for_each(|(total, value)| *total += value);
            energy += numbers.iter().map(|value| value * value).sum::<f64>();
        }
        Ok(Released {
            transcript: self.made_up.axes(&total),
            log_energy: energy.ln(),
            head: self.made_up.axes(&weights),
        })
    }
}

/// What the attack takes from an event whose loss is that of Gaussian DP.
struct Traits {
    dimension: usize,
    clipping_norm: f64,
    steps: u32,
    noise_multiplier: f64,
    mu: gdp::Mu,
    /// The share of the sensitivity that one unit's own contribution makes up.
    visible: f64,
}

impl Traits {
    fn of_sums(sum: &SumEvent, guarantee: &Guarantee) -> Option<Self> {
        let SumEvent { dimension, clipping_norm, steps, noise_multiplier, slack, .. } = *sum;
        let mu = gdp::Mu::of_sums(noise_multiplier, steps).ok()?;
        let own = guarantee.adjacency.contributions_changed() as f64 * clipping_norm;
        Some(Self { dimension, clipping_norm, steps, noise_multiplier, mu, visible: own / (own + slack) })
    }

    /// With noise on the answer alone, one minimum is one Gaussian release: rows have norm 1, and the sensitivity
    /// is that of the minimizer and of what the optimizer leaves.
    fn of_minimum(minimum: &MinimumEvent, guarantee: &Guarantee) -> Option<Self> {
        let sensitivity = minimum.sensitivity(guarantee.adjacency);
        let own = guarantee.adjacency.contributions_changed() as f64 * minimum.gradient_bound();
        Some(Self {
            dimension: minimum.weights(),
            clipping_norm: 1.0,
            steps: 1,
            noise_multiplier: minimum.output_noise,
            mu: gdp::Mu::of_sums(minimum.output_noise, 1).ok()?,
            visible: own / minimum.convexity / sensitivity,
        })
    }
}

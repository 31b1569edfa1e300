//! What is attacked: a released head's mechanism and training, without the head's records.

use cryptotl_privacy::accountant::gdp::Mu;
use cryptotl_privacy::audit::{AuditedClaim, Losses};
use cryptotl_privacy::{
    AuditMinimum, AuditSums, Defect, Description, Epsilon, Event, Guarantee, MinimumEvent, PublicData,
    SampledSumEvent, SumEvent,
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
    signal: Signal,
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
        let settings = HeadSettings::of_release(description, event)
            .ok_or_else(|| not_covered("the attack does not know how this method trains"))?;
        let traits = match event {
            Event::GaussianSum(sum) => Traits::of_sums(sum, guarantee),
            Event::SampledGaussianSum(sum) => Traits::of_sampled_sums(sum),
            Event::PerturbedMinimum(minimum) => Traits::of_minimum(minimum, guarantee),
            _ => None,
        };
        let exact = traits.as_ref().map(|traits| traits.losses.epsilon(traits.mu, guarantee.delta));
        let (Some(traits), Some(Ok(exact_epsilon))) = (traits, exact.map(Epsilon::new)) else {
            return Err(not_covered("there is no figure for so much, or so little, DP noise"));
        };
        let Traits { dimension, clipping_norm, steps, noise_multiplier, losses, mu, signal } = traits;
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
            losses,
            mu,
            exact_epsilon,
        };
        let made_up = MadeUp::new(columns, labels, clipping_norm, guarantee.unit, guarantee.adjacency);
        let along = made_up.share_of_own_axis();
        let signal = Signal { distance: along * signal.distance, sampling: along * signal.sampling };
        Ok(Self { claim, event: event.clone(), settings, made_up, space: made_up.space(), signal })
    }

    /// How many numbers with DP noise one training draws.
    pub fn draws(&self) -> usize {
        self.claim.dimension * self.claim.steps as usize
    }

    /// What the transcript shows of a canary.
    pub fn signal(&self) -> Signal {
        self.signal
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

/// What the transcript shows of a canary on its own axis, in standard deviations of the DP noise there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// How far the means with the canary and without it are apart: the mu of Gaussian DP that can be seen, where nothing is
    /// sampled.
    pub distance: f64,
    /// The standard deviation that sampling adds when the canary is in.
    pub sampling: f64,
}

impl Signal {
    /// The mean of both errors of a guess at the middle, with the DP noise times `noise`.
    pub fn mean_error(&self, noise: f64) -> f64 {
        let half = self.distance / 2.0;
        let error = |deviation: f64| Losses::GaussianDp.mean_error(2.0 * half / deviation);
        (error(noise) + error(noise.hypot(self.sampling))) / 2.0
    }
}

/// What the attack takes from an event.
struct Traits {
    dimension: usize,
    clipping_norm: f64,
    steps: u32,
    noise_multiplier: f64,
    losses: Losses,
    mu: f64,
    /// For a canary that is wholly on its own axis.
    signal: Signal,
}

impl Traits {
    fn of_sums(sum: &SumEvent, guarantee: &Guarantee) -> Option<Self> {
        let SumEvent { dimension, clipping_norm, steps, noise_multiplier, slack, .. } = *sum;
        let mu = Mu::of_sums(noise_multiplier, steps).ok()?.get();
        // The share of the sensitivity that one unit's own contribution makes up.
        let own = guarantee.adjacency.contributions_changed() as f64 * clipping_norm;
        let signal = Signal { distance: mu * own / (own + slack), sampling: 0.0 };
        let losses = Losses::GaussianDp;
        Some(Self { dimension, clipping_norm, steps, noise_multiplier, losses, mu, signal })
    }

    /// A canary adds C in a number of steps that is binomial.
    fn of_sampled_sums(sum: &SampledSumEvent) -> Option<Self> {
        let SampledSumEvent { dimension, clipping_norm, steps, noise_multiplier, sampling_rate, .. } = *sum;
        let mu = Mu::of_sums(noise_multiplier, steps).ok()?.get();
        let spread = (sampling_rate * (1.0 - sampling_rate)).sqrt();
        let signal = Signal { distance: sampling_rate * mu, sampling: spread / noise_multiplier };
        let losses = Losses::SampledGaussian { sampling_rate, steps };
        Some(Self { dimension, clipping_norm, steps, noise_multiplier, losses, mu, signal })
    }

    /// Rows have norm 1. With noise on the answer alone, one minimum is one Gaussian release, and the sensitivity
    /// is that of the minimizer and of what the optimizer leaves. With noise on the objective, the theorem is one of zCDP; where a
    /// canary's gradient does not change, as here, its minimizer moves against that noise as in a Gaussian release.
    fn of_minimum(minimum: &MinimumEvent, guarantee: &Guarantee) -> Option<Self> {
        let own = guarantee.adjacency.contributions_changed() as f64 * minimum.gradient_bound();
        let on_answer = minimum.output_noise * minimum.sensitivity(guarantee.adjacency) * minimum.convexity;
        let (losses, mu) = match minimum.objective_noise {
            None => (Losses::GaussianDp, Mu::of_sums(minimum.output_noise, 1).ok()?),
            Some(_) => (Losses::Zcdp, Mu::from_rho(minimum.rho)),
        };
        let on_objective = minimum.objective_noise.unwrap_or(0.0) * minimum.gradient_bound();
        Some(Self {
            dimension: minimum.weights(),
            clipping_norm: 1.0,
            steps: 1,
            noise_multiplier: minimum.objective_noise.unwrap_or(minimum.output_noise),
            losses,
            mu: mu.get(),
            signal: Signal { distance: own / on_answer.hypot(on_objective), sampling: 0.0 },
        })
    }
}

//! Release plans: what will be done with the private data, before anything is spent.

mod minimum;
mod sampled;
mod sequence;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::accountant::gdp::GridSlack;
use crate::accountant::{Accountant, AccountantError};
use crate::calibrate::{CalibrationError, GaussianCalibration, largest_rho, largest_rho_by};
use crate::digest::Digest;
use crate::event::{CountsEvent, Event, MinimumEvent, NoisyMaxEvent, SampledSumEvent, SumEvent};
use crate::guarantee::{Adjacency, Delta, Epsilon, Guarantee, PrivacyUnit};
use crate::ledger::Witness;
use crate::mechanism::{
    self, ChargedCounts, ChargedMinimum, ChargedNoisyMax, ChargedSequence, ChargedSums, GRID_RADIUS,
    MAX_SLACK, MechanismError, Noise,
};
use crate::rho::Rho;

pub use minimum::{MinimumRequest, PerturbedBy};
pub use sampled::SampledSumRequest;
pub use sequence::{PartRequest, SequenceRequest};

/// What a release is for, in the caller's words: method, label set, feature inputs and so on.
///
/// It is written into the ledger and into reports, so it must hold nothing private.
pub type Description = BTreeMap<String, String>;

/// A request for noisy sums over all units.
#[derive(Clone, Debug, PartialEq)]
pub struct SumRequest {
    /// The epsilon this release alone may cost at `delta`.
    pub epsilon: Epsilon,
    /// The delta of the ledger that will be charged.
    pub delta: Delta,
    /// The theory that counts `epsilon`: that of the ledger's policy.
    pub accountant: Accountant,
    /// Coordinates of one contribution, at least 1 and at most [`MAX_DIMENSION`].
    pub dimension: usize,
    /// C, the norm to which one unit's contribution is clipped, in input units; from
    /// [`MIN_CLIPPING_NORM`] to [`MAX_CLIPPING_NORM`]. Chosen without looking at private data.
    pub clipping_norm: f64,
    /// How far the clipped contributions of all *other* units together may move when one unit changes, as a
    /// sum of norms in input units; 0 if each contribution is a function of its own unit's rows alone.
    /// It is added to the sensitivity. At most [`MAX_SLACK`] clipping norms; a public number.
    pub slack: f64,
    /// T, the number of sums, at least 1.
    pub steps: u32,
    /// What one unit of protection is.
    pub unit: PrivacyUnit,
    /// Which datasets count as neighbors.
    pub adjacency: Adjacency,
    /// What the release is for; public.
    pub description: Description,
}

/// A request for a query that is answered at once: counts, or a choice among candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    /// The epsilon this release alone may cost at `delta`.
    pub epsilon: Epsilon,
    /// The delta of the ledger that will be charged.
    pub delta: Delta,
    /// How many bins or candidates, at least 1 and at most [`MAX_DIMENSION`]; public, like their meaning.
    pub size: usize,
    /// What one unit of protection is.
    pub unit: PrivacyUnit,
    /// Which datasets count as neighbors.
    pub adjacency: Adjacency,
    /// What the release is for; public.
    pub description: Description,
}

/// The largest dimension of a sum.
pub const MAX_DIMENSION: usize = 1 << 26;
/// The smallest clipping norm.
pub const MIN_CLIPPING_NORM: f64 = 1e-100;
/// The largest clipping norm.
pub const MAX_CLIPPING_NORM: f64 = 1e100;

/// A validated and calibrated plan: which mechanism, with how much DP noise, at what cost.
///
/// Making one is free and touches no data. It cannot draw noise: [`crate::Ledger::charge`] turns it
/// into a [`ChargedPlan`], which can.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReleasePlan {
    event: Event,
    guarantee: Guarantee,
    description: Description,
    /// No part of what is charged, and so of no digest.
    #[serde(skip)]
    artifact_bytes: Option<usize>,
}

/// Whether sums of contributions of this size and norm can be planned.
fn check_contributions(dimension: usize, clipping_norm: f64) -> Result<(), PlanError> {
    if !(1..=MAX_DIMENSION).contains(&dimension) {
        return Err(PlanError::Dimension { dimension });
    }
    if !(MIN_CLIPPING_NORM..=MAX_CLIPPING_NORM).contains(&clipping_norm) {
        return Err(PlanError::ClippingNorm { clipping_norm });
    }
    Ok(())
}

/// Plans for what was asked, and if that is too little, finds a power of ten that is enough.
fn asked(
    epsilon: Epsilon,
    delta: Delta,
    plan: impl Fn(Epsilon) -> Result<ReleasePlan, PlanError>,
) -> Result<ReleasePlan, PlanError> {
    match plan(epsilon) {
        Err(PlanError::NoEpsilon { .. }) => {
            let larger = (-11..=0).filter_map(|exponent| Epsilon::new(libm::exp10(f64::from(exponent))).ok());
            let enough = larger.filter(|larger| *larger > epsilon).find(|&larger| plan(larger).is_ok());
            Err(PlanError::NoEpsilon { asked: epsilon, delta, enough })
        }
        other => other,
    }
}

impl ReleasePlan {
    /// Plans `steps` sums with the least Gaussian DP noise that the request allows; norms are Euclidean.
    ///
    /// The plan's own epsilon is at most the requested one, and below it by rounding only.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn gaussian_sums(request: SumRequest) -> Result<ReleasePlan, PlanError> {
        ReleasePlan::sums(Noise::Gaussian, request)
    }

    /// Plans `steps` sums with the least Laplace DP noise that the request allows; norms are 1-norms.
    ///
    /// One sum alone is epsilon-DP with epsilon = 1 / noise multiplier. It is charged as what that implies
    /// in zCDP, like everything in the ledger.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn laplace_sums(request: SumRequest) -> Result<ReleasePlan, PlanError> {
        ReleasePlan::sums(Noise::Laplace, request)
    }

    /// Plans counts of units in bins, with the least Gaussian DP noise that the request allows. Each unit is
    /// in one bin or in none.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn counts(request: QueryRequest) -> Result<ReleasePlan, PlanError> {
        let sensitivity = CountsEvent::sensitivity_of(request.adjacency, request.size);
        let cost = |noise_multiplier| mechanism::rho_of_gaussian(noise_multiplier, sensitivity);
        ReleasePlan::query(request, 1.0, cost, |bins, noise_multiplier, rho| {
            Event::Counts(CountsEvent { bins, noise_multiplier, sensitivity, rho })
        })
    }

    /// Plans the choice of the candidate with the largest sum of scores, each unit scoring every candidate
    /// from 0 to 1: the exponential mechanism, with the least DP noise that the request allows.
    ///
    /// # Errors
    /// [`PlanError`] naming the field of the request that cannot be met.
    pub fn noisy_max(request: QueryRequest) -> Result<ReleasePlan, PlanError> {
        let adjacency = request.adjacency;
        let cost = |noise_multiplier| mechanism::rho_of_noisy_max(noise_multiplier, adjacency);
        // A choice costs (range / scale)^2 / 8 where a Gaussian costs (sensitivity / scale)^2 / 2; the range
        // is 1 when a unit is added, and 2 when one is replaced.
        let ratio = adjacency.contributions_changed() as f64 / 2.0;
        ReleasePlan::query(request, ratio, cost, |candidates, noise_multiplier, rho| {
            Event::NoisyMax(NoisyMaxEvent { candidates, noise_multiplier, rho })
        })
    }

    /// Calibrates a query, as [`ReleasePlan::query_of`].
    fn query(
        request: QueryRequest,
        ratio: f64,
        cost: impl Fn(f64) -> Result<Rho, MechanismError>,
        event: impl Fn(usize, f64, Rho) -> Event,
    ) -> Result<ReleasePlan, PlanError> {
        asked(request.epsilon, request.delta, |epsilon| {
            ReleasePlan::query_of(QueryRequest { epsilon, ..request.clone() }, ratio, &cost, &event)
        })
    }

    /// Calibrates a query whose multiplier is about `ratio` times that of a Gaussian release of the same cost.
    fn query_of(
        request: QueryRequest,
        ratio: f64,
        cost: impl Fn(f64) -> Result<Rho, MechanismError>,
        event: impl Fn(usize, f64, Rho) -> Event,
    ) -> Result<ReleasePlan, PlanError> {
        let QueryRequest { epsilon, delta, size, unit, adjacency, description } = request;
        if !(1..=MAX_DIMENSION).contains(&size) {
            return Err(PlanError::Dimension { dimension: size });
        }
        let most = largest_rho(epsilon, delta)?;
        let mut noise_multiplier = GaussianCalibration::from_rho(most, 1)?.noise_multiplier * ratio;
        // The formula is right up to how OpenDP rounds.
        while cost(noise_multiplier)? > most {
            noise_multiplier = noise_multiplier.next_up();
        }
        let rho = cost(noise_multiplier)?;
        let event = event(size, noise_multiplier, rho);
        let guarantee = Guarantee::of(&event, Accountant::Zcdp, delta, unit, adjacency)?;
        ReleasePlan::new(event, guarantee, description)
    }

    fn sums(noise: Noise, request: SumRequest) -> Result<ReleasePlan, PlanError> {
        let (epsilon, delta) = (request.epsilon, request.delta);
        asked(epsilon, delta, |epsilon| {
            ReleasePlan::sums_of(noise, SumRequest { epsilon, ..request.clone() })
        })
    }

    /// The same without a word of how much would be enough.
    pub(crate) fn sums_of(noise: Noise, request: SumRequest) -> Result<ReleasePlan, PlanError> {
        let SumRequest {
            epsilon,
            delta,
            accountant,
            dimension,
            clipping_norm,
            slack,
            steps,
            unit,
            adjacency,
            description,
        } = request;
        check_contributions(dimension, clipping_norm)?;
        if !(0.0..=MAX_SLACK * clipping_norm).contains(&slack) {
            return Err(PlanError::Slack { slack, clipping_norm });
        }
        // Dividing by a power of two is exact in the range of norms allowed above.
        let grid = clipping_norm / GRID_RADIUS as f64;
        let sensitivity = SumEvent::sensitivity_of(adjacency, slack, grid);
        let most = largest_rho_by(accountant, epsilon, delta)?;
        let calibration = GaussianCalibration::from_rho(most, steps)?;
        let GaussianCalibration { mut noise_multiplier, rho_per_step, rho, .. } = calibration;
        // The same multiplier costs the same in all cases, except for how OpenDP rounds.
        while mechanism::rho_of_one_sum(noise, noise_multiplier, sensitivity)? > rho_per_step {
            noise_multiplier = noise_multiplier.next_up();
        }
        let sum = SumEvent {
            dimension,
            clipping_norm,
            noise_multiplier,
            scale: noise_multiplier * (sensitivity as f64 * grid),
            grid,
            steps,
            rho_per_step,
            rho,
            slack,
            sensitivity,
        };
        let event = match noise {
            Noise::Gaussian => Event::GaussianSum(sum),
            Noise::Laplace => Event::LaplaceSum(sum),
        };
        let guarantee = Guarantee::of(&event, accountant, delta, unit, adjacency)?;
        if guarantee.epsilon > epsilon {
            // More sums, or wider ones, than the share of delta for the grid is enough for.
            let slack = event.grid_slack().map_or(0.0, GridSlack::get);
            return Err(AccountantError::GridTooCoarse { slack, delta }.into());
        }
        ReleasePlan::new(event, guarantee, description)
    }

    /// A plan, if it promises something: at a large delta, a small loss needs no epsilon at all, and a guarantee without one
    /// is none that a ledger could record.
    fn new(event: Event, guarantee: Guarantee, description: Description) -> Result<ReleasePlan, PlanError> {
        if guarantee.epsilon == Epsilon::ZERO {
            let (asked, delta) = (guarantee.epsilon, guarantee.delta);
            return Err(PlanError::NoEpsilon { asked, delta, enough: None });
        }
        Ok(ReleasePlan { event, guarantee, description, artifact_bytes: None })
    }

    /// The same plan, with a bound on the bytes of what will be released: the ledger reserves room for so many with the
    /// charge. It changes nothing of what is charged.
    pub fn with_artifact_bytes(self, bytes: usize) -> ReleasePlan {
        ReleasePlan { artifact_bytes: Some(bytes), ..self }
    }

    /// How long the released artifact is at most, if nobody said: some text, and each number twice.
    pub(crate) fn artifact_bytes(&self) -> usize {
        const TEXT: usize = 16 << 10;
        let numbers = match &self.event {
            Event::GaussianSum(sum) | Event::LaplaceSum(sum) => sum.dimension,
            Event::SampledGaussianSum(sum) => sum.dimension,
            Event::Sequence(sequence) => sequence.parts.iter().map(|part| part.dimension).sum(),
            Event::Counts(counts) => counts.bins,
            Event::NoisyMax(choice) => choice.candidates,
            Event::PerturbedMinimum(minimum) => minimum.weights(),
        };
        self.artifact_bytes.unwrap_or_else(|| TEXT.saturating_add(numbers.saturating_mul(16)))
    }

    /// What will be done.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What this release alone will cost; the ledger adds it to what was spent before.
    pub fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// What the release is for.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// SHA-256 over the plan; two plans with the same digest are the same plan.
    pub fn digest(&self) -> Digest {
        // Field order is fixed, maps are sorted and floats print shortest: the text is canonical.
        let json = serde_json::to_vec(self).expect("plain structs with string keys always serialize");
        Digest::of_fields("cryptotl release plan 1", &[&json])
    }
}

impl fmt::Display for ReleasePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.event {
            Event::GaussianSum(sum) => write_sum(f, "Gaussian", sum)?,
            Event::LaplaceSum(sum) => write_sum(f, "Laplace", sum)?,
            Event::SampledGaussianSum(sum) => write_sampled_sum(f, sum)?,
            Event::Sequence(sequence) => {
                sequence.parts.iter().try_for_each(|part| write_sampled_sum(f, part))?;
            }
            Event::Counts(CountsEvent { bins, noise_multiplier, sensitivity, .. }) => {
                let scale = noise_multiplier * sensitivity;
                writeln!(f, "{bins} counts with Gaussian DP noise of standard deviation {scale:.6}")?;
            }
            Event::NoisyMax(NoisyMaxEvent { candidates, noise_multiplier, .. }) => {
                writeln!(
                    f,
                    "a choice among {candidates} candidates, noise multiplier {noise_multiplier:.6}"
                )?;
            }
            Event::PerturbedMinimum(minimum) => {
                let MinimumEvent { convexity, objective_noise, output_noise, .. } = minimum;
                write!(f, "a minimizer of {} weights, ridge {convexity}, ", minimum.weights())?;
                if let Some(noise) = objective_noise {
                    write!(f, "noise multiplier {noise:.6} on the objective, ")?;
                }
                writeln!(f, "noise multiplier {output_noise:.6} on the answer")?;
            }
        }
        let Guarantee { epsilon, delta, rho, unit, adjacency, .. } = &self.guarantee;
        write!(
            f,
            "costs epsilon {epsilon} at delta {delta} (rho {rho}); unit {unit}, adjacency {adjacency}"
        )?;
        for (key, value) in &self.description {
            write!(f, "\n{key}: {value}")?;
        }
        Ok(())
    }
}

fn write_sum(f: &mut fmt::Formatter<'_>, noise: &str, sum: &SumEvent) -> fmt::Result {
    let SumEvent { dimension, clipping_norm, noise_multiplier, steps, slack, .. } = sum;
    write!(
        f,
        "{steps} sums of {dimension} coordinates with {noise} DP noise, clipping norm {clipping_norm}, "
    )?;
    if *slack > 0.0 {
        write!(f, "slack {slack}, ")?;
    }
    writeln!(f, "noise multiplier {noise_multiplier:.6}")
}

fn write_sampled_sum(f: &mut fmt::Formatter<'_>, sum: &SampledSumEvent) -> fmt::Result {
    let SampledSumEvent { dimension, clipping_norm, noise_multiplier, sampling_rate, steps, .. } = sum;
    writeln!(
        f,
        "{steps} sums of {dimension} coordinates, each over a Poisson sample of rate {sampling_rate}, with Gaussian \
         DP noise, clipping norm {clipping_norm}, noise multiplier {noise_multiplier:.6}"
    )
}

/// A plan that has been paid for. The only way to DP noise for private data.
///
/// It is neither `Clone` nor constructible outside the ledger, and [`ChargedPlan::into_mechanism`]
/// consumes it: one charge, one run.
#[derive(Debug)]
pub struct ChargedPlan {
    plan: ReleasePlan,
    witness: Witness,
}

impl ChargedPlan {
    /// Only `Ledger::charge` calls this, after the charge is on disk.
    pub(crate) fn new(plan: ReleasePlan, witness: Witness) -> ChargedPlan {
        ChargedPlan { plan, witness }
    }

    pub(crate) fn into_parts(self) -> (ReleasePlan, Witness) {
        (self.plan, self.witness)
    }

    /// The plan that was charged.
    pub fn plan(&self) -> &ReleasePlan {
        &self.plan
    }

    /// The ledger entry that paid, to be embedded in whatever is released.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The noisy sums that were paid for.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan's stated loss does not cover its noise, or the plan is
    /// for something else. The charge stays spent.
    pub fn into_mechanism(self) -> Result<ChargedSums, MechanismError> {
        ChargedSums::new(self)
    }

    /// The runs of noisy sums that were paid for.
    ///
    /// # Errors
    /// As those of [`ChargedPlan::into_mechanism`], also if the plan is for something else.
    pub fn into_sequence(self) -> Result<ChargedSequence, MechanismError> {
        ChargedSequence::new(self)
    }

    /// The counts that were paid for.
    ///
    /// # Errors
    /// As those of [`ChargedPlan::into_mechanism`], also if the plan is for something else.
    pub fn into_counts(self) -> Result<ChargedCounts, MechanismError> {
        ChargedCounts::new(self)
    }

    /// The choice that was paid for.
    ///
    /// # Errors
    /// As those of [`ChargedPlan::into_mechanism`], also if the plan is for something else.
    pub fn into_noisy_max(self) -> Result<ChargedNoisyMax, MechanismError> {
        ChargedNoisyMax::new(self)
    }

    /// The noisy minimizer that was paid for.
    ///
    /// # Errors
    /// As those of [`ChargedPlan::into_mechanism`], also if the plan is for something else.
    pub fn into_minimum(self) -> Result<ChargedMinimum, MechanismError> {
        ChargedMinimum::new(self)
    }
}

/// What can be asked for instead.
fn enough_words(enough: Option<Epsilon>) -> String {
    match enough {
        Some(enough) => format!("ask for at least epsilon {:e}", enough.get()),
        None => "ask for a larger epsilon or a smaller delta".to_owned(),
    }
}

/// A request that cannot be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The dimension is out of range.
    #[error("dimension is {dimension}; give a number from 1 to {MAX_DIMENSION}")]
    Dimension {
        /// The dimension given.
        dimension: usize,
    },
    /// The clipping norm is out of range.
    #[error(
        "clipping norm is {clipping_norm}; give a finite number from {MIN_CLIPPING_NORM:e} to {MAX_CLIPPING_NORM:e}, such as 1.0"
    )]
    ClippingNorm {
        /// The norm given.
        clipping_norm: f64,
    },
    /// The ridge is out of range, or too small for this epsilon.
    #[error(
        "no DP noise on the objective keeps the promise with the ridge {convexity:e}; raise the ridge or epsilon, or use another method"
    )]
    Convexity {
        /// The ridge given.
        convexity: f64,
    },
    /// The proof for the discrete noise on an objective does not reach as far.
    #[error(
        "objective perturbation is not proved for rho {rho} at delta {delta}: rho must be above 1e-6, and so small that this surcharge covers the grid of the noise; use a smaller epsilon, a larger delta or another method"
    )]
    ObjectiveTerms {
        /// The delta of the plan.
        delta: Delta,
        /// The loss that could be spent.
        rho: Rho,
    },
    /// So small a loss that delta alone covers it.
    #[error(
        "epsilon {asked} at delta {delta} is too little for a release: delta alone covers its loss, and there is no epsilon to record; {remedy}",
        asked = asked.get(), remedy = enough_words(*enough)
    )]
    NoEpsilon {
        /// The epsilon asked for.
        asked: Epsilon,
        /// The delta asked for.
        delta: Delta,
        /// An epsilon that is enough.
        enough: Option<Epsilon>,
    },
    /// The slack is out of range.
    #[error(
        "slack is {slack}; give a finite number from 0 to {MAX_SLACK:e} times the clipping norm {clipping_norm}, in the same units"
    )]
    Slack {
        /// The slack given.
        slack: f64,
        /// The clipping norm given.
        clipping_norm: f64,
    },
    /// The parts of a sequence do not make one.
    #[error("the parts of the plan make no sequence: {fact}; give other parts")]
    Parts {
        /// What is wrong.
        fact: String,
    },
    /// No DP noise fits.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The mechanism refuses the DP noise.
    #[error(transparent)]
    Mechanism(#[from] MechanismError),
    /// The accountant has no figure.
    #[error(transparent)]
    Accountant(#[from] AccountantError),
}

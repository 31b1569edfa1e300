//! Noisy sums: clipping, integer grid, exact sum and DP noise behind one constructor.
//!
//! The caller hands in contributions and gets back noisy sums. It cannot clip to one norm and account
//! for another, skip the noise, or take more steps than were paid for: one [`Event`] fixes all of it,
//! and the same event is what the ledger charged.

mod defective;

use std::fmt;

pub use defective::{AuditSums, Defect};

use super::MechanismError;
use super::clip::{GRID_RADIUS, GridClipper};
use super::sampler::{self, Generator, Noise};
use super::units::{Units, mean_of_rows};
use crate::event::{Event, SampledSumEvent, SumEvent};
use crate::guarantee::{Guarantee, PrivacyUnit};
use crate::ledger::Witness;
use crate::plan::{ChargedPlan, ReleasePlan};

pub(super) mod sealed {
    pub trait Sealed {
        fn core(&self) -> &super::Sums;
        fn core_mut(&mut self) -> &mut super::Sums;
    }
}

/// A mechanism that releases noisy sums, one a step. Implemented by [`ChargedSums`] for private
/// data, and by [`BenchmarkSums`] for public data and [`AuditSums`] for made-up data, with the same code; no
/// other type can implement it.
pub trait NoisySum: sealed::Sealed {
    /// The number of coordinates of a contribution and of a sum.
    fn dimension(&self) -> usize {
        self.core().dimension
    }

    /// C, the norm to which each contribution is clipped, in input units: Euclidean for Gaussian DP
    /// noise, the 1-norm for Laplace.
    fn clipping_norm(&self) -> f64 {
        self.core().clipping_norm
    }

    /// The scale of the DP noise in one coordinate, in input units: the standard deviation of a Gaussian,
    /// the mean magnitude of a Laplace variable.
    fn scale(&self) -> f64 {
        self.core().scale
    }

    /// The units of a private table of `n_rows` rows. `persons` is each row's person, if it
    /// is known; it is read only if the plan protects persons.
    ///
    /// # Errors
    /// [`MechanismError::Units`] if the plan protects persons and the column is missing or of another length.
    fn units(&self, n_rows: usize, persons: Option<&[Option<u32>]>) -> Result<Units, MechanismError> {
        Units::new(self.core().unit, n_rows, persons)
    }

    /// q, the probability with which a unit takes part in a step, by itself; 1 if all do in every step. The
    /// expected number of units in a sum is this share of all.
    fn sampling_rate(&self) -> f64 {
        self.core().sampling_rate
    }

    /// T, the number of steps in the plan.
    fn steps(&self) -> u32 {
        self.core().steps
    }

    /// The steps that are left.
    fn steps_remaining(&self) -> u32 {
        self.core().steps - self.core().steps_begun
    }

    /// Releases the next sum: the contributions of all units, each clipped to norm C, with DP noise of scale
    /// [`NoisySum::scale`]; one number a coordinate, in input units. Where the plan samples, the units are those
    /// of a Poisson sample that is drawn here, from the generator of the DP noise, and that nobody gets to see.
    ///
    /// `contribution(row, out)` writes the contribution of a row, [`NoisySum::dimension`] numbers in input
    /// units, and says whether the row has one. A record contributes its own row, a person the mean over
    /// their used rows. What is not finite counts as the zero vector: there is no error, because an error
    /// would reveal that such a record exists. One call is one step and takes each unit once; it counts as
    /// used from its beginning, whatever comes of it.
    ///
    /// # Errors
    /// [`MechanismError::StepsExhausted`] once the plan's steps are used, [`MechanismError::Inconsistent`] if
    /// `units` are of a plan with another unit, [`MechanismError::Sampler`] if OpenDP fails. Nothing is
    /// released then.
    fn step(
        &mut self,
        units: &Units,
        contribution: impl FnMut(usize, &mut [f64]) -> bool,
    ) -> Result<Vec<f64>, MechanismError> {
        self.core_mut().step(units, contribution)
    }
}

/// The mechanism itself, without the question of who may use it.
#[doc(hidden)]
pub struct Sums {
    noise: Noise,
    unit: PrivacyUnit,
    dimension: usize,
    clipping_norm: f64,
    noise_multiplier: f64,
    /// In grid steps.
    sensitivity: u64,
    scale: f64,
    grid: f64,
    sampling_rate: f64,
    steps: u32,
    steps_begun: u32,
    clipper: GridClipper,
}

impl Sums {
    fn of(event: &Event, guarantee: &Guarantee) -> Result<Sums, MechanismError> {
        // Recomputes the cost of the noise that will run and compares it with the cost stated.
        let inconsistent = |fact: String| MechanismError::Inconsistent { fact };
        event.validate(guarantee.adjacency).map_err(|error| inconsistent(error.to_string()))?;
        let unit = guarantee.unit;
        match event {
            Event::GaussianSum(event) => Ok(Sums::over_all(Noise::Gaussian, unit, event)),
            Event::LaplaceSum(event) => Ok(Sums::over_all(Noise::Laplace, unit, event)),
            Event::SampledGaussianSum(event) => Ok(Sums::over_samples(unit, event)),
            _ => Err(inconsistent("it plans no sums".to_owned())),
        }
    }

    fn over_all(noise: Noise, unit: PrivacyUnit, event: &SumEvent) -> Sums {
        let SumEvent { dimension, clipping_norm, noise_multiplier, sensitivity, scale, grid, steps, .. } =
            *event;
        Sums {
            noise,
            unit,
            dimension,
            clipping_norm,
            noise_multiplier,
            sensitivity,
            scale,
            grid,
            sampling_rate: 1.0,
            steps,
            steps_begun: 0,
            clipper: GridClipper::new(noise, dimension, clipping_norm),
        }
    }

    pub(super) fn over_samples(unit: PrivacyUnit, event: &SampledSumEvent) -> Sums {
        let SampledSumEvent {
            dimension,
            clipping_norm,
            noise_multiplier,
            scale,
            grid,
            sampling_rate,
            steps,
            ..
        } = *event;
        Sums {
            noise: Noise::Gaussian,
            unit,
            dimension,
            clipping_norm,
            noise_multiplier,
            sensitivity: GRID_RADIUS as u64,
            scale,
            grid,
            sampling_rate,
            steps,
            steps_begun: 0,
            clipper: GridClipper::new(Noise::Gaussian, dimension, clipping_norm),
        }
    }

    fn step(
        &mut self,
        units: &Units,
        contribution: impl FnMut(usize, &mut [f64]) -> bool,
    ) -> Result<Vec<f64>, MechanismError> {
        let sum = self.exact_sum(units, contribution)?;
        self.release(&sum)
    }

    /// The exact sum with DP noise, in input units.
    pub(super) fn release(&self, sum: &Vec<i64>) -> Result<Vec<f64>, MechanismError> {
        let noisy = sampler::with_dp_noise(self.noise, sum, self.noise_multiplier, self.sensitivity)?;
        Ok(self.in_input_units(&noisy))
    }

    /// Whether the next unit takes part in this step.
    pub(super) fn takes_part(&self, generator: Generator) -> Result<bool, MechanismError> {
        sampler::takes_part(generator, self.sampling_rate)
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn clipping_norm(&self) -> f64 {
        self.clipping_norm
    }

    pub(super) fn steps_begun(&self) -> u32 {
        self.steps_begun
    }

    /// Counts a step over these units as begun, and gives what draws its sample.
    pub(super) fn begin(&mut self, units: &Units) -> Result<Generator, MechanismError> {
        let generator = Generator::of_this_process()?;
        if self.steps_begun >= self.steps {
            return Err(MechanismError::StepsExhausted { steps: self.steps });
        }
        self.steps_begun += 1;
        if units.unit() != self.unit {
            let fact =
                format!("the rows are grouped by {} and the plan protects a {}", units.unit(), self.unit);
            return Err(MechanismError::Inconsistent { fact });
        }
        Ok(generator)
    }

    /// Post-processing: conversions cannot cost privacy.
    fn in_input_units(&self, noisy: &[i64]) -> Vec<f64> {
        noisy.iter().map(|&steps| steps as f64 * self.grid).collect()
    }

    /// The exact sum of the clipped contributions, in grid steps: private, and never released as it is.
    fn exact_sum(
        &mut self,
        units: &Units,
        mut contribution: impl FnMut(usize, &mut [f64]) -> bool,
    ) -> Result<Vec<i64>, MechanismError> {
        let generator = self.begin(units)?;
        let mut sum = vec![0_i64; self.dimension];
        let (mut scratch, mut mean) = (vec![0.0; self.dimension], vec![0.0; self.dimension]);
        for rows in units.iter() {
            if !self.takes_part(generator)? {
                continue;
            }
            if !mean_of_rows(rows, &mut contribution, &mut scratch, &mut mean) {
                continue;
            }
            let Some(row) = self.clipper.clip(&mean) else { continue };
            for (total, &steps) in sum.iter_mut().zip(row) {
                // A coordinate moves by at most 2^30, so the end of an i64 is 2^33 units away. Beyond
                // it the sum saturates, which keeps the sensitivity: t -> clamp(t + v) moves two totals no
                // further apart, so one unit more or less still changes a coordinate by at most its
                // own value.
                *total = total.saturating_add(i64::from(steps));
            }
        }
        Ok(sum)
    }
}

impl fmt::Debug for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the clipper, whose last contribution must not end up in a log.
        f.debug_struct("Sums")
            .field("noise", &self.noise)
            .field("unit", &self.unit)
            .field("dimension", &self.dimension)
            .field("clipping_norm", &self.clipping_norm)
            .field("noise_multiplier", &self.noise_multiplier)
            .field("sampling_rate", &self.sampling_rate)
            .field("steps", &self.steps)
            .field("steps_begun", &self.steps_begun)
            .finish_non_exhaustive()
    }
}

/// Noisy sums over private data, paid for in a ledger.
///
/// Made by [`ChargedPlan::into_mechanism`] and by nothing else.
#[derive(Debug)]
pub struct ChargedSums {
    sums: Sums,
    plan: ReleasePlan,
    witness: Witness,
}

impl ChargedSums {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedSums, MechanismError> {
        let (plan, witness) = charged.into_parts();
        Ok(ChargedSums { sums: Sums::of(plan.event(), plan.guarantee())?, plan, witness })
    }

    /// The ledger entry that paid for this mechanism.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The plan that was charged.
    pub fn plan(&self) -> &ReleasePlan {
        &self.plan
    }

    /// Ends the use of the private data. Steps that were not begun are not refunded.
    pub fn finish(self) -> Receipt {
        Receipt::new(self.plan, self.witness, self.sums.steps_begun)
    }
}

impl sealed::Sealed for ChargedSums {
    fn core(&self) -> &Sums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut Sums {
        &mut self.sums
    }
}

impl NoisySum for ChargedSums {}

/// Proof that a charged mechanism was run to its end; what the ledger wants in order to record a
/// release. Neither `Clone` nor constructible elsewhere: one charge, one release.
#[derive(Debug)]
pub struct Receipt {
    plan: ReleasePlan,
    witness: Witness,
    steps_used: u32,
}

impl Receipt {
    /// The receipt of a mechanism that is over.
    pub(super) fn new(plan: ReleasePlan, witness: Witness, steps_used: u32) -> Receipt {
        Receipt { plan, witness, steps_used }
    }

    /// The ledger entry that paid.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The plan that was charged.
    pub fn plan(&self) -> &ReleasePlan {
        &self.plan
    }

    /// The steps that were begun, at most the plan's.
    pub fn steps_used(&self) -> u32 {
        self.steps_used
    }
}

/// The caller's declaration that the data at hand is public.
///
/// A word on record and not a proof: nothing can check it. It exists so that running a mechanism
/// without a charge is never an accident, and can be found by searching for its name.
#[derive(Clone, Debug)]
pub struct PublicData {
    reason: String,
}

impl PublicData {
    /// Declares data public, with the reason why it is.
    pub fn declare(reason: &str) -> PublicData {
        PublicData { reason: reason.to_owned() }
    }

    /// The reason given.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The same noisy sums over **public** data, for benchmarks.
///
/// It costs nothing and proves nothing: there is no receipt, so no release can be recorded from it.
#[derive(Debug)]
pub struct BenchmarkSums {
    sums: Sums,
    public_data: PublicData,
}

impl BenchmarkSums {
    /// A mechanism as `plan` describes it, for data declared public.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe a mechanism.
    pub fn for_public_data(
        plan: &ReleasePlan,
        public_data: PublicData,
    ) -> Result<BenchmarkSums, MechanismError> {
        Ok(BenchmarkSums { sums: Sums::of(plan.event(), plan.guarantee())?, public_data })
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }
}

impl sealed::Sealed for BenchmarkSums {
    fn core(&self) -> &Sums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut Sums {
        &mut self.sums
    }
}

impl NoisySum for BenchmarkSums {}

const _: () = {
    // Mechanisms may move between threads, although OpenDP's measurements may not.
    const fn is_send<T: Send>() {}
    is_send::<ChargedSums>();
    is_send::<BenchmarkSums>();
    is_send::<AuditSums>();
    is_send::<Receipt>();
    // The clipper's coordinates are 32 bits wide.
    assert!(GRID_RADIUS <= i32::MAX as i64);
};

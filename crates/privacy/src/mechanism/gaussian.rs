//! Gaussian sums: clipping, integer grid, exact sum and DP noise behind one constructor.
//!
//! The caller hands in contributions and gets back noisy sums. It cannot clip to one norm and account
//! for another, skip the noise, or take more steps than were paid for: one [`Event`] fixes all of it,
//! and the same event is what the ledger charged.

use std::fmt;

use super::MechanismError;
use super::clip::{GRID_RADIUS, GridClipper};
use super::sampler;
use crate::event::Event;
use crate::ledger::Witness;
use crate::plan::{ChargedPlan, ReleasePlan};

mod sealed {
    pub trait Sealed {
        fn core(&self) -> &super::GaussianSums;
        fn core_mut(&mut self) -> &mut super::GaussianSums;
    }
}

/// A mechanism that releases noisy sums, one a step. Implemented by [`ChargedGaussian`] for private
/// data and [`BenchmarkGaussian`] for public data, with the same code; no other type can implement it.
pub trait NoisySum: sealed::Sealed {
    /// The number of coordinates of a contribution and of a sum.
    fn dimension(&self) -> usize {
        self.core().dimension
    }

    /// C, the Euclidean norm to which each contribution is clipped, in input units.
    fn clipping_norm(&self) -> f64 {
        self.core().clipping_norm
    }

    /// sigma, the standard deviation of the DP noise in one coordinate, divided by C.
    fn noise_multiplier(&self) -> f64 {
        self.core().noise_multiplier
    }

    /// T, the number of steps in the plan.
    fn steps(&self) -> u32 {
        self.core().steps
    }

    /// The steps that can still be begun.
    fn steps_remaining(&self) -> u32 {
        self.core().steps - self.core().steps_begun
    }

    /// Begins the next sum. A step counts as used from here on, released or not.
    ///
    /// # Errors
    /// [`MechanismError::StepsExhausted`] once the plan's steps are used.
    fn begin_step(&mut self) -> Result<StepSum<'_>, MechanismError> {
        self.core_mut().begin_step()
    }
}

/// The mechanism itself, without the question of who may use it.
#[doc(hidden)]
pub struct GaussianSums {
    dimension: usize,
    clipping_norm: f64,
    noise_multiplier: f64,
    grid: f64,
    steps: u32,
    steps_begun: u32,
    clipper: GridClipper,
}

impl GaussianSums {
    fn from_event(event: &Event) -> Result<GaussianSums, MechanismError> {
        // Recomputes the cost of the noise that will run and compares it with the cost stated.
        event.validate().map_err(|error| MechanismError::Inconsistent { fact: error.to_string() })?;
        let Event::GaussianSum { dimension, clipping_norm, noise_multiplier, grid, steps, .. } = *event;
        Ok(GaussianSums {
            dimension,
            clipping_norm,
            noise_multiplier,
            grid,
            steps,
            steps_begun: 0,
            clipper: GridClipper::new(dimension, clipping_norm),
        })
    }

    fn begin_step(&mut self) -> Result<StepSum<'_>, MechanismError> {
        if self.steps_begun >= self.steps {
            return Err(MechanismError::StepsExhausted { steps: self.steps });
        }
        self.steps_begun += 1;
        Ok(StepSum { sum: vec![0; self.dimension], mechanism: self })
    }
}

impl fmt::Debug for GaussianSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the clipper, whose last contribution must not end up in a log.
        f.debug_struct("GaussianSums")
            .field("dimension", &self.dimension)
            .field("clipping_norm", &self.clipping_norm)
            .field("noise_multiplier", &self.noise_multiplier)
            .field("steps", &self.steps)
            .field("steps_begun", &self.steps_begun)
            .finish_non_exhaustive()
    }
}

/// One sum under construction. Holds private data until it is released; dropping it releases nothing.
pub struct StepSum<'a> {
    mechanism: &'a mut GaussianSums,
    /// The exact sum of the clipped contributions, in grid steps.
    sum: Vec<i64>,
}

impl StepSum<'_> {
    /// Adds one unit's contribution, clipped to Euclidean norm C.
    ///
    /// `contribution` has [`NoisySum::dimension`] coordinates in input units. A contribution with a
    /// NaN, an infinity or another number of coordinates counts as the zero vector: there is no
    /// error, because an error would reveal that such a record exists.
    pub fn add(&mut self, contribution: &[f64]) {
        let Some(row) = self.mechanism.clipper.clip(contribution) else {
            return;
        };
        for (total, &steps) in self.sum.iter_mut().zip(row) {
            // A coordinate moves by at most 2^30, so the end of an i64 is 2^33 records away. Beyond
            // it the sum saturates, which keeps the sensitivity: t -> clamp(t + v) moves two totals no
            // further apart, so one record more or less still changes a coordinate by at most its
            // own value.
            *total = total.saturating_add(i64::from(steps));
        }
    }

    /// The sum with DP noise, in input units; one number a coordinate, with noise of standard deviation
    /// sigma * C.
    ///
    /// # Errors
    /// [`MechanismError::Sampler`] if OpenDP fails, in which case nothing is released.
    pub fn release(self) -> Result<Vec<f64>, MechanismError> {
        let noisy = sampler::with_dp_noise(&self.sum, self.mechanism.noise_multiplier)?;
        // From here on it is post-processing: conversions cannot cost privacy.
        Ok(noisy.iter().map(|&steps| steps as f64 * self.mechanism.grid).collect())
    }
}

impl fmt::Debug for StepSum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sum is private: it must not end up in a log.
        f.debug_struct("StepSum").field("dimension", &self.mechanism.dimension).finish_non_exhaustive()
    }
}

/// Noisy sums over private data, paid for in a ledger.
///
/// Made by [`ChargedPlan::into_mechanism`] and by nothing else.
#[derive(Debug)]
pub struct ChargedGaussian {
    sums: GaussianSums,
    plan: ReleasePlan,
    witness: Witness,
}

impl ChargedGaussian {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedGaussian, MechanismError> {
        let (plan, witness) = charged.into_parts();
        Ok(ChargedGaussian { sums: GaussianSums::from_event(plan.event())?, plan, witness })
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
        Receipt { steps_used: self.sums.steps_begun, plan: self.plan, witness: self.witness }
    }
}

impl sealed::Sealed for ChargedGaussian {
    fn core(&self) -> &GaussianSums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut GaussianSums {
        &mut self.sums
    }
}

impl NoisySum for ChargedGaussian {}

/// Proof that a charged mechanism was run to its end; what the ledger wants in order to record a
/// release. Neither `Clone` nor constructible elsewhere: one charge, one release.
#[derive(Debug)]
pub struct Receipt {
    plan: ReleasePlan,
    witness: Witness,
    steps_used: u32,
}

impl Receipt {
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

/// The same noisy sums over **public** data, for benchmarks and audits.
///
/// It costs nothing and proves nothing: there is no receipt, so no release can be recorded from it.
#[derive(Debug)]
pub struct BenchmarkGaussian {
    sums: GaussianSums,
    public_data: PublicData,
}

impl BenchmarkGaussian {
    /// A mechanism as `plan` describes it, for data declared public.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe a mechanism.
    pub fn for_public_data(
        plan: &ReleasePlan,
        public_data: PublicData,
    ) -> Result<BenchmarkGaussian, MechanismError> {
        Ok(BenchmarkGaussian { sums: GaussianSums::from_event(plan.event())?, public_data })
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }
}

impl sealed::Sealed for BenchmarkGaussian {
    fn core(&self) -> &GaussianSums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut GaussianSums {
        &mut self.sums
    }
}

impl NoisySum for BenchmarkGaussian {}

const _: () = {
    // Mechanisms may move between threads, although OpenDP's measurements may not.
    const fn is_send<T: Send>() {}
    is_send::<ChargedGaussian>();
    is_send::<BenchmarkGaussian>();
    is_send::<Receipt>();
    // The clipper's coordinates are 32 bits wide.
    assert!(GRID_RADIUS <= i32::MAX as i64);
};

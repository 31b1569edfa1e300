//! The minimum of a regularized loss with DP noise: objective and output perturbation behind one constructor.
//!
//! The caller hands in rows and classes and gets noisy weights. The loss, the clipping of rows, the optimizer and
//! both kinds of DP noise are in here, because the proof is about all of them together: a bound on each unit's gradient
//! and Hessian, and a point that is as close to the minimum as the event says. Two mechanisms run one after the other:
//!
//! 1. **On the objective** (objective perturbation alone): b is drawn first. The exact minimizer w* of J is private by the
//!    theorem in [`crate::accountant::objective`].
//! 2. **On the answer**: the point w that was computed satisfies |J'(w)| <= tolerance, and J is Lambda-strongly convex, so
//!    |w - w*| <= tolerance / Lambda. Given w* and the data, w - w* is a fixed vector; two of them, on neighbors, are at most
//!    2 tolerance / Lambda apart, which the noise on the answer covers. This is approximate minima perturbation (Iyengar, Near, Song,
//!    Thakkar, Thakurta and Wang 2019). Without noise on the objective, w* may move as well, by at most L / Lambda
//!    (Chaudhuri, Monteleoni and Sarwate 2011), and the noise on the answer covers both.
//!
//! Losses of the two add up, as one is run after the other on the same data.

mod audited;
mod loss;
#[cfg(test)]
mod tests;

use std::fmt;

use super::sampler;
use super::sums::{PublicData, Receipt};
use super::units::Units;
use super::{self as mechanism, MechanismError, OBJECTIVE_SENSITIVITY};
use crate::event::{Event, MinimumEvent};
use crate::guarantee::{Adjacency, Guarantee, PrivacyUnit};
use crate::ledger::Witness;
use crate::plan::{ChargedPlan, ReleasePlan};
use loss::Objective;

pub use audited::AuditMinimum;

mod sealed {
    pub trait Sealed {
        fn core(&self) -> &super::Minimum;
        fn core_mut(&mut self) -> &mut super::Minimum;
    }
}

/// A mechanism that releases one noisy minimizer. Implemented by [`ChargedMinimum`] for private data, and by
/// [`BenchmarkMinimum`] for public data and [`AuditMinimum`] for made-up data, with the same code; no other type can implement it.
pub trait NoisyMinimum: sealed::Sealed {
    /// What runs.
    fn event(&self) -> &MinimumEvent {
        &self.core().event
    }

    /// The units of a private table; see [`crate::NoisySum::units`].
    ///
    /// # Errors
    /// [`MechanismError::Units`] if the plan protects persons and the column is missing or of another length.
    fn units(&self, n_rows: usize, persons: Option<&[Option<u32>]>) -> Result<Units, MechanismError> {
        Units::new(self.core().unit, n_rows, persons)
    }

    /// The noisy minimizer: [`MinimumEvent::weights`] numbers, one vector of weights after the other.
    ///
    /// `row(row, out)` writes a row's [`MinimumEvent::columns`] numbers and gives its class, from 0. A row that is not finite,
    /// or of a class that does not exist, counts as none. Rows are clipped to norm 1. `center` is public: where the
    /// ridge pulls to. The release can be made once; it counts as made from its beginning.
    ///
    /// # Errors
    /// [`MechanismError::StepsExhausted`] the second time, [`MechanismError::Inconsistent`] if `units` are of a plan
    /// with another unit, or `center` is of another length, [`MechanismError::Center`] if it is too far from 0,
    /// [`MechanismError::Sampler`] if OpenDP fails.
    fn minimize(
        &mut self,
        units: &Units,
        row: impl FnMut(usize, &mut [f64]) -> Option<u32>,
        center: &[f64],
    ) -> Result<Vec<f64>, MechanismError> {
        self.core_mut().minimize(units, row, center)
    }
}

/// The mechanism itself, without the question of who may use it.
#[doc(hidden)]
pub struct Minimum {
    event: MinimumEvent,
    unit: PrivacyUnit,
    adjacency: Adjacency,
    is_used: bool,
}

impl Minimum {
    fn of(event: &Event, guarantee: &Guarantee) -> Result<Minimum, MechanismError> {
        let inconsistent = |fact: String| MechanismError::Inconsistent { fact };
        let (unit, adjacency) = (guarantee.unit, guarantee.adjacency);
        // Recomputes the cost of the noise that will run and compares it with the cost stated.
        event.validate(adjacency).map_err(|error| inconsistent(error.to_string()))?;
        match event {
            Event::PerturbedMinimum(event) if event.covers(unit) => {
                Ok(Minimum { event: event.clone(), unit, adjacency, is_used: false })
            }
            Event::PerturbedMinimum(event) => {
                let rows = event.rows_per_unit;
                Err(inconsistent(format!("it plans a loss of {rows} rows a unit, and the unit is {unit}")))
            }
            _ => Err(inconsistent("it plans no minimum".to_owned())),
        }
    }

    fn minimize(
        &mut self,
        units: &Units,
        row: impl FnMut(usize, &mut [f64]) -> Option<u32>,
        center: &[f64],
    ) -> Result<Vec<f64>, MechanismError> {
        let steps = self.exact_answer(units, row, center)?;
        let sensitivity = self.event.grid_sensitivity() as f64;
        let noisy = sampler::with_gaussian_noise(&steps, self.event.output_noise, sensitivity)?;
        Ok(self.in_weights(&noisy, center))
    }

    /// Post-processing: from steps of the grid, counted from the center, to weights.
    fn in_weights(&self, steps: &[i64], center: &[f64]) -> Vec<f64> {
        let grid = self.event.grid(self.adjacency);
        steps.iter().zip(center).map(|(&steps, c)| c + steps as f64 * grid).collect()
    }

    /// The minimizer before the DP noise on the answer, in steps of the grid: private, and never released as it is.
    fn exact_answer(
        &mut self,
        units: &Units,
        row: impl FnMut(usize, &mut [f64]) -> Option<u32>,
        center: &[f64],
    ) -> Result<Vec<i64>, MechanismError> {
        let inconsistent = |fact: String| MechanismError::Inconsistent { fact };
        if std::mem::replace(&mut self.is_used, true) {
            return Err(MechanismError::StepsExhausted { steps: 1 });
        }
        if units.unit() != self.unit {
            return Err(inconsistent(format!(
                "the rows are grouped by {} and the plan protects a {}",
                units.unit(),
                self.unit
            )));
        }
        let weights = self.event.weights();
        if center.len() != weights {
            return Err(inconsistent(format!("the center is not {weights} numbers")));
        }
        mechanism::check_center(center)?;
        let linear = match self.event.objective_noise {
            None => vec![0.0; weights],
            Some(noise) => {
                let step = self.event.gradient_bound() / OBJECTIVE_SENSITIVITY;
                let steps = sampler::with_gaussian_noise(&vec![0; weights], noise, OBJECTIVE_SENSITIVITY)?;
                steps.into_iter().map(|steps| steps as f64 * step).collect()
            }
        };
        let objective = Objective::new(&self.event, units, row, center, linear);
        let displacement = objective.minimizer(0.5 * self.event.gradient_tolerance())?;
        // On the grid; `as` saturates, which moves no two numbers apart.
        let grid = self.event.grid(self.adjacency);
        Ok(displacement.iter().map(|v| (v / grid).round() as i64).collect())
    }
}

impl fmt::Debug for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minimum")
            .field("event", &self.event)
            .field("is_used", &self.is_used)
            .finish_non_exhaustive()
    }
}

/// A noisy minimizer over private data, paid for in a ledger. Made by [`ChargedPlan::into_minimum`].
#[derive(Debug)]
pub struct ChargedMinimum {
    minimum: Minimum,
    plan: ReleasePlan,
    witness: Witness,
}

impl ChargedMinimum {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedMinimum, MechanismError> {
        let (plan, witness) = charged.into_parts();
        Ok(ChargedMinimum { minimum: Minimum::of(plan.event(), plan.guarantee())?, plan, witness })
    }

    /// Ends the use of the private data.
    pub fn finish(self) -> Receipt {
        Receipt::new(self.plan, self.witness, u32::from(self.minimum.is_used))
    }
}

impl sealed::Sealed for ChargedMinimum {
    fn core(&self) -> &Minimum {
        &self.minimum
    }

    fn core_mut(&mut self) -> &mut Minimum {
        &mut self.minimum
    }
}

impl NoisyMinimum for ChargedMinimum {}

/// The same noisy minimizer over **public** data, for benchmarks: it costs nothing, and no
/// release can be recorded from it.
#[derive(Debug)]
pub struct BenchmarkMinimum {
    minimum: Minimum,
    public_data: PublicData,
}

impl BenchmarkMinimum {
    /// A mechanism as `plan` describes it, for data declared public.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe a minimum.
    pub fn for_public_data(
        plan: &ReleasePlan,
        public_data: PublicData,
    ) -> Result<BenchmarkMinimum, MechanismError> {
        Ok(BenchmarkMinimum { minimum: Minimum::of(plan.event(), plan.guarantee())?, public_data })
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }
}

impl sealed::Sealed for BenchmarkMinimum {
    fn core(&self) -> &Minimum {
        &self.minimum
    }

    fn core_mut(&mut self) -> &mut Minimum {
        &mut self.minimum
    }
}

impl NoisyMinimum for BenchmarkMinimum {}

//! Several runs of noisy sums under one charge.

use super::MechanismError;
use super::factored::{FactorClipper, FactoredSum, Factoring, Factors};
use super::sums::{NoisySum, PublicData, Receipt, Sums, sealed};
use super::units::Units;
use crate::event::Event;
use crate::ledger::Witness;
use crate::plan::{ChargedPlan, ReleasePlan};

/// Runs of noisy sums over private data, paid for in a ledger. Made by [`ChargedPlan::into_sequence`] and by nothing
/// else.
#[derive(Debug)]
pub struct ChargedSequence {
    parts: Vec<SequencePart>,
    plan: ReleasePlan,
    witness: Witness,
}

/// One run of a sequence. Besides [`NoisySum::step`] it sums contributions that are given in factors.
#[derive(Debug)]
pub struct SequencePart {
    sums: Sums,
}

impl ChargedSequence {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedSequence, MechanismError> {
        let (plan, witness) = charged.into_parts();
        Ok(ChargedSequence { parts: parts_of(&plan)?, plan, witness })
    }

    /// The runs that were paid for, in the plan's order.
    pub fn parts(&mut self) -> &mut [SequencePart] {
        &mut self.parts
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
        let steps = self.parts.iter().fold(0_u32, |sum, part| sum.saturating_add(part.sums.steps_begun()));
        Receipt::new(self.plan, self.witness, steps)
    }
}

/// The same runs of noisy sums over **public** data, for benchmarks. As with [`super::BenchmarkSums`] there is no receipt.
#[derive(Debug)]
pub struct BenchmarkSequence {
    parts: Vec<SequencePart>,
    public_data: PublicData,
}

impl BenchmarkSequence {
    /// The runs that `plan` describes, for data declared public.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe a sequence.
    pub fn for_public_data(
        plan: &ReleasePlan,
        public_data: PublicData,
    ) -> Result<BenchmarkSequence, MechanismError> {
        Ok(BenchmarkSequence { parts: parts_of(plan)?, public_data })
    }

    /// The runs, in the plan's order.
    pub fn parts(&mut self) -> &mut [SequencePart] {
        &mut self.parts
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }
}

/// The runs of a plan, once its stated loss was found to cover them.
fn parts_of(plan: &ReleasePlan) -> Result<Vec<SequencePart>, MechanismError> {
    let inconsistent = |fact: String| MechanismError::Inconsistent { fact };
    let guarantee = plan.guarantee();
    plan.event().validate(guarantee.adjacency).map_err(|error| inconsistent(error.to_string()))?;
    match plan.event() {
        Event::Sequence(event) => {
            let sums = event.parts.iter().map(|part| Sums::over_samples(guarantee.unit, part));
            Ok(sums.map(|sums| SequencePart { sums }).collect())
        }
        _ => Err(inconsistent("it plans no sequence".to_owned())),
    }
}

impl sealed::Sealed for SequencePart {
    fn core(&self) -> &Sums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut Sums {
        &mut self.sums
    }
}

impl NoisySum for SequencePart {}

impl SequencePart {
    /// Releases the next sum as [`NoisySum::step`] does, of contributions that are given in factors; see
    /// [`Factoring`] for the order of the numbers.
    ///
    /// `factors(row, out)` writes the factors of a row's contribution, all of them, and says whether the row has one. It must be
    /// a function of that row and of public numbers alone, to the last bit. A record contributes its own row, clipped to
    /// norm C; a person the mean of their used rows that have a contribution, each clipped to norm C first.
    ///
    /// # Errors
    /// As for [`NoisySum::step`], and [`MechanismError::Inconsistent`] if the factoring has another dimension than
    /// the plan.
    pub fn step_factored(
        &mut self,
        units: &Units,
        factoring: &Factoring,
        mut factors: impl FnMut(usize, &mut Factors) -> bool,
    ) -> Result<Vec<f64>, MechanismError> {
        let generator = self.sums.begin(units)?;
        if factoring.dimension() != Some(self.sums.dimension()) {
            let fact = format!("the factors are not of {} numbers", self.sums.dimension());
            return Err(MechanismError::Inconsistent { fact });
        }
        let mut clipper = FactorClipper::new(factoring, self.sums.clipping_norm());
        let mut sum = FactoredSum::new(factoring);
        let mut buffers = vec![Factors::new(factoring)];
        for rows in units.iter() {
            if !self.sums.takes_part(generator)? {
                continue;
            }
            let mut n_used = 0;
            for &row in rows {
                if buffers.len() == n_used {
                    buffers.push(Factors::new(factoring));
                }
                n_used += usize::from(factors(row, &mut buffers[n_used]) && buffers[n_used].is_finite());
            }
            for buffer in &buffers[..n_used] {
                clipper.clip(buffer, n_used);
                sum.add(&clipper);
            }
        }
        self.sums.release(&sum.into_total())
    }
}

//! The mechanisms that heads run on: sums or a minimum, charged or on public data.

use cryptotl_privacy::{
    BenchmarkMinimum, BenchmarkSums, ChargedMinimum, ChargedPlan, ChargedSums, Event, MechanismError,
    NoisyMinimum, NoisySum, PublicData, Receipt, ReleasePlan, Units,
};

/// Either mechanism of the privacy crate.
#[derive(Debug)]
pub enum Mechanism<S, M> {
    /// Noisy sums, over all units or over samples.
    Sums(S),
    /// One noisy minimum.
    Minimum(M),
}

/// A mechanism for private data, paid for in a ledger.
pub type ChargedMechanism = Mechanism<ChargedSums, ChargedMinimum>;
/// The same mechanism for data declared public.
pub type BenchmarkMechanism = Mechanism<BenchmarkSums, BenchmarkMinimum>;

impl<S: NoisySum, M: NoisyMinimum> Mechanism<S, M> {
    /// The units of a private table; see [`NoisySum::units`].
    ///
    /// # Errors
    /// [`MechanismError::Units`] if the plan protects persons and the column is missing or of another length.
    pub fn units(&self, n_rows: usize, persons: Option<&[Option<u32>]>) -> Result<Units, MechanismError> {
        match self {
            Self::Sums(sums) => sums.units(n_rows, persons),
            Self::Minimum(minimum) => minimum.units(n_rows, persons),
        }
    }
}

impl ChargedMechanism {
    /// The mechanism that was paid for.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe one. The charge stays spent.
    pub fn open(charged: ChargedPlan) -> Result<Self, MechanismError> {
        match charged.plan().event() {
            Event::PerturbedMinimum(_) => Ok(Self::Minimum(charged.into_minimum()?)),
            _ => Ok(Self::Sums(charged.into_mechanism()?)),
        }
    }

    /// Ends the use of the private data.
    pub fn finish(self) -> Receipt {
        match self {
            Self::Sums(sums) => sums.finish(),
            Self::Minimum(minimum) => minimum.finish(),
        }
    }
}

impl BenchmarkMechanism {
    /// The mechanism that `plan` describes, for data declared public.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the plan does not describe one.
    pub fn for_public_data(plan: &ReleasePlan, declared: PublicData) -> Result<Self, MechanismError> {
        match plan.event() {
            Event::PerturbedMinimum(_) => {
                Ok(Self::Minimum(BenchmarkMinimum::for_public_data(plan, declared)?))
            }
            _ => Ok(Self::Sums(BenchmarkSums::for_public_data(plan, declared)?)),
        }
    }
}

//! Queries that are answered at once: noisy counts, and the noisy maximum of scores.
//!
//! Both consume the paid plan and give the answer with the receipt, so there is no second answer.

use std::fmt;

use super::clip::GRID_RADIUS;
use super::sums::Receipt;
use super::units::{Units, mean_of_rows};
use super::{MechanismError, sampler};
use crate::event::{CountsEvent, Event, NoisyMaxEvent};
use crate::guarantee::Adjacency;
use crate::ledger::Witness;
use crate::plan::{ChargedPlan, ReleasePlan};

/// What both queries carry.
struct Paid {
    plan: ReleasePlan,
    witness: Witness,
}

impl Paid {
    /// Checks that the plan's stated loss covers the DP noise that will run.
    fn new(charged: ChargedPlan) -> Result<Paid, MechanismError> {
        let (plan, witness) = charged.into_parts();
        plan.event()
            .validate(plan.guarantee().adjacency)
            .map_err(|error| MechanismError::Inconsistent { fact: error.to_string() })?;
        Ok(Paid { plan, witness })
    }

    fn units(&self, n_rows: usize, persons: Option<&[Option<u32>]>) -> Result<Units, MechanismError> {
        Units::new(self.plan.guarantee().unit, n_rows, persons)
    }

    fn adjacency(&self) -> Adjacency {
        self.plan.guarantee().adjacency
    }

    fn receipt(self) -> Receipt {
        Receipt::new(self.plan, self.witness, 1)
    }
}

/// Counts over private data, paid for in a ledger. Made by [`ChargedPlan::into_counts`].
pub struct ChargedCounts {
    paid: Paid,
    event: CountsEvent,
}

impl ChargedCounts {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedCounts, MechanismError> {
        let paid = Paid::new(charged)?;
        match paid.plan.event() {
            Event::Counts(event) => Ok(ChargedCounts { event: event.clone(), paid }),
            _ => Err(MechanismError::Inconsistent { fact: "it plans no counts".to_owned() }),
        }
    }

    /// Counts the units of a private table of `n_rows` rows in bins and adds the DP noise.
    ///
    /// `bin_of(row)` is the bin of a row, if it has one; a bin out of range is none. A person counts once, in
    /// the bin of the first of their used rows that has one. `persons` is as in [`super::NoisySum::units`].
    ///
    /// # Errors
    /// [`MechanismError::Units`] if the plan protects persons and the column is missing or of another
    /// length, [`MechanismError::Sampler`] if OpenDP fails. Nothing is released then.
    pub fn release(
        self,
        n_rows: usize,
        persons: Option<&[Option<u32>]>,
        mut bin_of: impl FnMut(usize) -> Option<usize>,
    ) -> Result<(Vec<i64>, Receipt), MechanismError> {
        let CountsEvent { bins, noise_multiplier, sensitivity, .. } = self.event;
        let mut counts = vec![0_i64; bins];
        for rows in self.paid.units(n_rows, persons)?.iter() {
            if let Some(bin) = rows.iter().find_map(|&row| bin_of(row).filter(|&bin| bin < bins)) {
                counts[bin] += 1;
            }
        }
        Ok((sampler::with_gaussian_noise(&counts, noise_multiplier, sensitivity)?, self.paid.receipt()))
    }
}

/// A choice among candidates by their scores on private data, paid for in a ledger. Made by
/// [`ChargedPlan::into_noisy_max`].
pub struct ChargedNoisyMax {
    paid: Paid,
    event: NoisyMaxEvent,
}

impl ChargedNoisyMax {
    pub(crate) fn new(charged: ChargedPlan) -> Result<ChargedNoisyMax, MechanismError> {
        let paid = Paid::new(charged)?;
        match paid.plan.event() {
            Event::NoisyMax(event) => Ok(ChargedNoisyMax { event: event.clone(), paid }),
            _ => Err(MechanismError::Inconsistent { fact: "it plans no choice".to_owned() }),
        }
    }

    /// The candidate with the largest noisy sum of scores over the units of a private table of `n_rows` rows.
    ///
    /// `scores(row, out)` writes a row's score of each candidate and says whether it has any; a person gives
    /// the mean over their used rows. Each score of a unit is clamped to [0, 1] and rounded down to a grid of
    /// 2^-30; a NaN counts as 0. `persons` is as in [`super::NoisySum::units`].
    ///
    /// # Errors
    /// As those of [`ChargedCounts::release`].
    pub fn release(
        self,
        n_rows: usize,
        persons: Option<&[Option<u32>]>,
        mut scores: impl FnMut(usize, &mut [f64]) -> bool,
    ) -> Result<(usize, Receipt), MechanismError> {
        let NoisyMaxEvent { candidates, noise_multiplier, .. } = self.event;
        let mut sums = vec![0_i64; candidates];
        let (mut scratch, mut mean) = (vec![0.0; candidates], vec![0.0; candidates]);
        for rows in self.paid.units(n_rows, persons)?.iter() {
            if mean_of_rows(rows, &mut scores, &mut scratch, &mut mean) {
                for (sum, &score) in sums.iter_mut().zip(&mean) {
                    // `as` turns a NaN into 0, and 2^33 units fit into an i64.
                    let steps = (score.clamp(0.0, 1.0) * GRID_RADIUS as f64) as i64;
                    *sum = sum.saturating_add(steps);
                }
            }
        }
        Ok((sampler::noisy_max(&sums, noise_multiplier, self.paid.adjacency())?, self.paid.receipt()))
    }
}

impl fmt::Debug for ChargedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargedCounts").field("event", &self.event).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChargedNoisyMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargedNoisyMax").field("event", &self.event).finish_non_exhaustive()
    }
}

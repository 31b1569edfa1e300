//! How much is left, in the unit in which losses add.

use serde::Serialize;

use super::chain::History;
use super::status::{ChargeSummary, Refusal, RefusalReason, Status};
use super::{EntryKind, EntrySummary};
use crate::accountant::{Accountant, AccountantError};
use crate::calibrate::largest_rho_by;
use crate::guarantee::{Delta, Epsilon, Guarantee};
use crate::rho::Rho;

/// How many more releases the rest of a budget is enough for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReleasesLeft {
    /// The epsilon of the last charge alone, if such a release could still be asked for: at the delta and within the
    /// limit of the terms in force.
    pub last_epsilon: Option<Epsilon>,
    /// How many more releases of the same loss as the last charge.
    pub like_last: Option<u64>,
    /// How many more releases at the policy's limit for one.
    pub at_limit: u64,
}

/// A release of the past, as far as it can be repeated: what it cost, and in which terms that was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastRelease {
    /// Its epsilon alone.
    pub epsilon: Epsilon,
    /// The delta at which that epsilon is stated.
    pub delta: Delta,
    /// Its loss.
    pub rho: Rho,
}

impl ReleasesLeft {
    /// What `remaining` is enough for, where one release may cost `limit` at `delta` by `accountant`, and the last cost `last`.
    ///
    /// # Errors
    /// [`AccountantError`] if the limit has no loss.
    pub fn new(
        accountant: Accountant,
        (limit, delta): (Epsilon, Delta),
        remaining: Rho,
        last: Option<PastRelease>,
    ) -> Result<ReleasesLeft, AccountantError> {
        let times = |rho: Rho| remaining.units().checked_div(rho.units()).unwrap_or(0);
        let last = last.filter(|last| last.delta == delta && last.epsilon <= limit);
        Ok(ReleasesLeft {
            last_epsilon: last.map(|last| last.epsilon),
            like_last: last.map(|last| times(last.rho)),
            at_limit: times(largest_rho_by(accountant, limit, delta)?),
        })
    }

    pub(super) fn of(history: &History) -> Result<ReleasesLeft, AccountantError> {
        let (policy, delta) = (&history.terms.policy, history.terms.delta);
        let last = history.charges().last().map(|(_, charge)| {
            let Guarantee { epsilon, delta, rho, .. } = charge.guarantee;
            PastRelease { epsilon, delta, rho }
        });
        let limit = policy.epsilon_per_release_max();
        ReleasesLeft::new(policy.accountant(), (limit, delta), history.remaining(), last)
    }
}

impl Status {
    /// The share of the budget that was spent, from 0: rho over the cap in rho, because rho is what adds up. By Gaussian DP
    /// it is the share of mu squared, which is the same.
    pub fn share_spent(&self) -> f64 {
        self.rho_spent.to_f64_rounding_up() / self.rho_cap.to_f64_rounding_up()
    }

    /// What the policy's own limits say of a request, whether or not DP noise could be found for it.
    ///
    /// [`super::LedgerView::refusal`] decides about plans. This is for requests that cannot even be planned: the limit is then the
    /// true reason, if the request exceeds one.
    ///
    /// # Errors
    /// The refusal, with what would be accepted.
    pub fn check_limits(&self, requested: Epsilon) -> Result<(), Box<Refusal>> {
        let maximum = self.policy.epsilon_per_release_max();
        let reason = if requested > maximum {
            RefusalReason::AboveReleaseMaximum { maximum }
        } else if self.epsilon_affordable.is_none_or(|most| requested > most) {
            RefusalReason::AboveCap
        } else {
            return Ok(());
        };
        let charge = |entry: &EntrySummary| {
            Some(ChargeSummary {
                seq: entry.seq,
                recorded_at: entry.recorded_at.clone(),
                epsilon: entry.epsilon?,
                rho: entry.rho?,
                description: entry.description.clone()?,
            })
        };
        let charges = self.entries.iter().filter(|entry| entry.kind == EntryKind::Charge);
        Err(Box::new(Refusal {
            reason,
            requested,
            rho_requested: None,
            rho_spent: self.rho_spent,
            rho_cap: self.rho_cap,
            rho_remaining: self.rho_remaining,
            epsilon_spent: self.epsilon_spent,
            epsilon_cap: self.epsilon_cap,
            epsilon_affordable: self.epsilon_affordable,
            delta: self.delta,
            charges: charges.filter_map(charge).collect(),
        }))
    }
}

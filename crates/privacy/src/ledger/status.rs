//! What a ledger says about itself, and why it refuses.

use std::fmt;

use serde::Serialize;

use super::chain::{Entry, History};
use super::entries::{Body, Charge, EntryKind};
use super::{LedgerError, ReleasesLeft};
use crate::accountant::gdp::GridSlack;
use crate::accountant::tcdp::Order;
use crate::accountant::{Accountant, AccountantError};
use crate::config::{Policy, delta_mass};
use crate::digest::Digest;
use crate::event::Event;
use crate::guarantee::{Adjacency, Delta, Epsilon, PrivacyUnit, Proof};
use crate::loss::Losses;
use crate::mechanism::Noise;
use crate::plan::{Description, ReleasePlan, SumRequest};
use crate::rho::Rho;

/// A place in a ledger, to be embedded in everything released after it.
///
/// Whoever holds a witness can tell whether a ledger was rolled back or replaced since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The number of the entry; the first is 0.
    pub seq: u64,
    /// Its hash, which covers all entries before it.
    pub hash: Digest,
}

/// The state of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The population's chosen name.
    pub population: String,
    /// The public upper bound on the number of units.
    pub public_size: u64,
    /// The policy in force.
    pub policy: Policy,
    /// The delta at which every epsilon here is stated.
    pub delta: Delta,
    /// The most that may be spent.
    pub rho_cap: Rho,
    /// What all charges cost together.
    pub rho_spent: Rho,
    /// What is left.
    pub rho_remaining: Rho,
    /// The policy's cap.
    pub epsilon_cap: Epsilon,
    /// The epsilon of all charges together by the policy's accountant; zero at first.
    pub epsilon_spent: Epsilon,
    /// The same by exact Gaussian DP, whatever the policy's accountant; `None` if a charge is not of Gaussian sums over
    /// all units.
    pub epsilon_spent_gdp: Option<Epsilon>,
    /// The largest order up to which what was spent holds; `None` if at all orders, because nothing was sampled.
    pub order: Option<Order>,
    /// The order up to which the loss of a release on Poisson samples must hold; `None` if there can be none.
    pub sampling_order: Option<Order>,
    /// The largest epsilon that one release can still ask for, if it is of up to 1000 Gaussian sums over all units; `None` if
    /// nothing is left.
    pub epsilon_affordable: Option<Epsilon>,
    /// How many more releases what is left is enough for.
    pub releases_left: ReleasesLeft,
    /// Delta times the public size: how many units the promise would let be published in the clear, on average. Above
    /// [`crate::config::LARGE_DELTA_MASS`] it is too much.
    pub delta_mass: f64,
    /// The source of randomness of the DP noise.
    pub rng: String,
    /// The version of this crate that created the ledger.
    pub tool_version: String,
    /// Entries that were recorded at an earlier time than the one before them. Order does not depend on time;
    /// this says that a clock was wrong.
    pub clock_went_back: Vec<u64>,
    /// The last entry.
    pub head: Witness,
    /// All entries, the oldest first.
    pub entries: Vec<EntrySummary>,
    /// What was spent.
    #[serde(skip)]
    losses: Losses,
}

/// One entry in a [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EntrySummary {
    /// The number of the entry.
    pub seq: u64,
    /// What it records.
    pub kind: EntryKind,
    /// When, in RFC 3339 and UTC, to the minute.
    pub recorded_at: String,
    /// Its hash.
    pub hash: Digest,
    /// The loss of a charge.
    pub rho: Option<Rho>,
    /// The epsilon of a charge alone; these do not add up, rho does.
    pub epsilon: Option<Epsilon>,
    /// The delta at which that epsilon is stated.
    pub delta: Option<Delta>,
    /// What proves that epsilon.
    pub proof: Option<Proof>,
    /// The mechanism of a charge, from which its loss follows.
    pub event: Option<Event>,
    /// What a charge was for.
    pub description: Option<Description>,
    /// The charge that a release belongs to.
    pub charge_seq: Option<u64>,
    /// The digest of what was released: of a release, or of a charge that was released.
    pub released: Option<String>,
    /// What identifies a run: the population and the charge's plan. Repeating a finished run is free.
    pub run: Option<Digest>,
    /// The cap from here on, of an amendment.
    pub epsilon_cap: Option<Epsilon>,
    /// Why, of an amendment or a rollback.
    pub reason: Option<String>,
    /// What is counted as spent by entries that are lost, of a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Losses>,
}

impl Status {
    /// The epsilon of all charges together at another delta, by the policy's accountant.
    ///
    /// # Errors
    /// [`AccountantError`] where the accountant has no figure.
    pub fn epsilon_spent_at(&self, delta: Delta) -> Result<Epsilon, AccountantError> {
        self.losses.epsilon(self.policy.accountant(), delta)
    }

    /// What was spent, by all charges and with all entries that are known to be lost.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    pub(super) fn of(history: &History) -> Result<Status, LedgerError> {
        let History { genesis, terms, .. } = history;
        let spent = history.spent();
        Ok(Status {
            population: genesis.population.clone(),
            public_size: terms.public_size,
            policy: terms.policy.clone(),
            delta: terms.delta,
            rho_cap: terms.rho_cap,
            rho_spent: spent.rho(),
            rho_remaining: history.remaining(),
            epsilon_cap: terms.policy.epsilon_cap(),
            epsilon_spent: spent.epsilon(terms.policy.accountant(), terms.delta)?,
            epsilon_spent_gdp: spent.epsilon(Accountant::Gdp, terms.delta).ok(),
            order: spent.order(),
            sampling_order: terms.sampling_order(),
            epsilon_affordable: epsilon_affordable(history)?,
            releases_left: ReleasesLeft::of(history)?,
            delta_mass: delta_mass(terms.delta, terms.public_size),
            rng: genesis.rng.clone(),
            tool_version: genesis.tool_version.clone(),
            clock_went_back: history.clock_went_back(),
            head: history.head,
            entries: history.entries.iter().map(|entry| EntrySummary::of(entry, history)).collect(),
            losses: spent,
        })
    }
}

impl EntrySummary {
    fn of(entry: &Entry, history: &History) -> EntrySummary {
        let summary = EntrySummary {
            seq: entry.seq,
            kind: entry.body.kind(),
            recorded_at: entry.recorded_at.clone(),
            hash: entry.hash,
            rho: None,
            epsilon: None,
            delta: None,
            proof: None,
            event: None,
            description: None,
            charge_seq: None,
            released: None,
            run: None,
            epsilon_cap: None,
            reason: None,
            lost: None,
        };
        match &entry.body {
            Body::Genesis(_) => summary,
            Body::Amendment(amendment) => EntrySummary {
                epsilon_cap: Some(amendment.policy.epsilon_cap()),
                reason: Some(amendment.reason.clone()),
                ..summary
            },
            Body::Rollback(rollback) => {
                EntrySummary { lost: Some(rollback.losses), reason: Some(rollback.reason.clone()), ..summary }
            }
            Body::Charge(charge) => EntrySummary {
                rho: Some(charge.event.rho()),
                epsilon: Some(charge.guarantee.epsilon),
                delta: Some(charge.guarantee.delta),
                proof: Some(charge.guarantee.proof),
                event: Some(charge.event.clone()),
                description: Some(charge.description.clone()),
                released: history.release_of(entry.seq).map(|release| release.head_digest.clone()),
                run: Some(run_id(&history.genesis.population, &charge.plan)),
                ..summary
            },
            Body::Release(release) => EntrySummary {
                charge_seq: Some(release.charge_seq),
                released: Some(release.head_digest.clone()),
                ..summary
            },
        }
    }
}

fn run_id(population: &str, plan: &Digest) -> Digest {
    Digest::of_fields("cryptotl run 1", &[population.as_bytes(), plan.to_string().as_bytes()])
}

/// The largest epsilon a request can name without being refused, in whole millionths so that it can
/// be copied from a message; of Gaussian sums over all units, up to [`MANY_STEPS`] of them.
fn epsilon_affordable(history: &History) -> Result<Option<Epsilon>, LedgerError> {
    let remaining = history.remaining();
    let terms = &history.terms;
    if remaining == Rho::ZERO {
        return Ok(None);
    }
    let per_release = terms.policy.epsilon_per_release_max();
    if is_affordable(history, per_release) {
        return Ok(Some(per_release));
    }
    // Rounding down leaves room for the rounding of the conversions; the further steps are for the case
    // that the figure was a whole number of millionths.
    let largest = Losses::of_rho(remaining).epsilon(terms.policy.accountant(), terms.delta)?;
    let millionths = (largest.get().min(per_release.get()) * 1e6).floor();
    let candidates = (0..TRIED).filter_map(|less| Epsilon::new((millionths - f64::from(less)) / 1e6).ok());
    Ok(candidates.into_iter().find(|&epsilon| is_affordable(history, epsilon)))
}

/// The most sums of a release for which the affordable epsilon is promised.
const MANY_STEPS: u32 = 1000;
/// The most coordinates of them.
const MANY_COORDINATES: usize = 1 << 12;
/// How many millionths below the converted remainder are tried.
const TRIED: u32 = 8;

/// Whether a charge would be accepted, by planning it: rounding takes least off one sum, and most off many.
fn is_affordable(history: &History, epsilon: Epsilon) -> bool {
    let policy = &history.terms.policy;
    [1, MANY_STEPS].into_iter().all(|steps| {
        let request = SumRequest {
            epsilon,
            delta: history.terms.delta,
            accountant: policy.accountant(),
            dimension: MANY_COORDINATES,
            clipping_norm: 1.0,
            slack: 0.0,
            steps,
            unit: policy.unit(),
            adjacency: policy.adjacency(),
            description: Description::new(),
        };
        ReleasePlan::sums_of(Noise::Gaussian, request)
            .is_ok_and(|plan| refusal_reason(history, &plan).is_none())
    })
}

/// Why a charge was refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// Spent and requested together exceed the cap.
    AboveCap,
    /// The release alone exceeds the policy's limit for one release.
    AboveReleaseMaximum {
        /// `epsilon_per_release_max`.
        maximum: Epsilon,
    },
    /// The plan protects another unit than the ledger.
    UnitMismatch {
        /// The ledger's unit.
        ledger: PrivacyUnit,
        /// The plan's unit.
        plan: PrivacyUnit,
    },
    /// The plan's neighboring datasets are not the ledger's.
    AdjacencyMismatch {
        /// The ledger's adjacency.
        ledger: Adjacency,
        /// The plan's adjacency.
        plan: Adjacency,
    },
    /// The plan's epsilon is counted by another theory than the ledger's.
    AccountantMismatch {
        /// The ledger's accountant.
        ledger: Accountant,
        /// The plan's accountant.
        plan: Accountant,
    },
    /// The grid of the DP noise of this and earlier charges is too coarse for Gaussian DP.
    GridTooCoarse,
    /// The loss of a release on Poisson samples does not hold up to the order at which the cap is counted.
    OrderTooLow {
        /// The ledger's order; `None` if it takes no such releases.
        ledger: Option<Order>,
        /// The plan's order.
        plan: Order,
    },
    /// The ledger's cap is outside of what is proved for objective perturbation, of this plan or of earlier charges.
    CapTooLarge,
    /// The plan states its epsilon at another delta than the ledger.
    DeltaMismatch {
        /// The ledger's delta.
        ledger: Delta,
        /// The plan's delta.
        plan: Delta,
    },
}

/// A charge that the policy does not allow, with all that is needed to choose another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// The epsilon of the plan, at the plan's delta.
    pub requested: Epsilon,
    /// The loss of the plan; `None` if there is no plan, because the request is above a limit for any.
    pub rho_requested: Option<Rho>,
    /// What was spent before.
    pub rho_spent: Rho,
    /// The most that may be spent.
    pub rho_cap: Rho,
    /// What is left.
    pub rho_remaining: Rho,
    /// The epsilon of what was spent, at the ledger's delta.
    pub epsilon_spent: Epsilon,
    /// The policy's cap.
    pub epsilon_cap: Epsilon,
    /// The largest epsilon that would be accepted now; `None` if nothing is left.
    pub epsilon_affordable: Option<Epsilon>,
    /// The ledger's delta.
    pub delta: Delta,
    /// What spent the budget, the oldest first.
    pub charges: Vec<ChargeSummary>,
}

/// A charge in a [`Refusal`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChargeSummary {
    /// The number of the entry.
    pub seq: u64,
    /// When, in RFC 3339 and UTC, to the minute.
    pub recorded_at: String,
    /// The epsilon of this charge alone.
    pub epsilon: Epsilon,
    /// Its loss.
    pub rho: Rho,
    /// What it was for.
    pub description: Description,
}

/// Whether the ledger's terms and what is left allow `plan`.
pub(super) fn refusal(history: &History, plan: &ReleasePlan) -> Result<Option<Refusal>, LedgerError> {
    let Some(reason) = refusal_reason(history, plan) else {
        return Ok(None);
    };
    let (spent, terms) = (history.spent(), &history.terms);
    Ok(Some(Refusal {
        reason,
        requested: plan.guarantee().epsilon,
        rho_requested: Some(plan.guarantee().rho),
        rho_spent: spent.rho(),
        rho_cap: terms.rho_cap,
        rho_remaining: history.remaining(),
        epsilon_spent: spent.epsilon(terms.policy.accountant(), terms.delta)?,
        epsilon_cap: terms.policy.epsilon_cap(),
        epsilon_affordable: epsilon_affordable(history)?,
        delta: terms.delta,
        charges: history.charges().map(|(entry, charge)| ChargeSummary::of(entry, charge)).collect(),
    }))
}

fn refusal_reason(history: &History, plan: &ReleasePlan) -> Option<RefusalReason> {
    let (event, plan) = (plan.event(), plan.guarantee());
    let policy = &history.terms.policy;
    if plan.unit != policy.unit() {
        return Some(RefusalReason::UnitMismatch { ledger: policy.unit(), plan: plan.unit });
    }
    if plan.adjacency != policy.adjacency() {
        let (ledger, plan) = (policy.adjacency(), plan.adjacency);
        return Some(RefusalReason::AdjacencyMismatch { ledger, plan });
    }
    // Epsilons at different deltas are not comparable.
    if plan.delta != history.terms.delta {
        let (ledger, plan) = (history.terms.delta, plan.delta);
        return Some(RefusalReason::DeltaMismatch { ledger, plan });
    }
    if plan.proof.accountant() != policy.accountant() {
        let (ledger, plan) = (policy.accountant(), plan.proof.accountant());
        return Some(RefusalReason::AccountantMismatch { ledger, plan });
    }
    if policy.accountant() == Accountant::Gdp {
        let together = history.spent().plus(Losses::of(event));
        if together.slack().is_none_or(|slack: GridSlack| slack > history.terms.allowance()) {
            return Some(RefusalReason::GridTooCoarse);
        }
    }
    let needed = history.terms.sampling_order();
    if let Some(plan) = plan.order.filter(|&order| needed.is_none_or(|needed| order < needed)) {
        return Some(RefusalReason::OrderTooLow { ledger: needed, plan });
    }
    let cap = (policy.epsilon_cap(), history.terms.delta);
    if !history.spent().plus(Losses::of(event)).fit_under(history.terms.rho_cap, cap) {
        return Some(RefusalReason::CapTooLarge);
    }
    if plan.epsilon > policy.epsilon_per_release_max() {
        let maximum = policy.epsilon_per_release_max();
        return Some(RefusalReason::AboveReleaseMaximum { maximum });
    }
    (plan.rho > history.remaining()).then_some(RefusalReason::AboveCap)
}

impl ChargeSummary {
    fn of(entry: &Entry, charge: &Charge) -> ChargeSummary {
        ChargeSummary {
            seq: entry.seq,
            recorded_at: entry.recorded_at.clone(),
            epsilon: charge.guarantee.epsilon,
            rho: charge.event.rho(),
            description: charge.description.clone(),
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ledger refuses epsilon {}", self.requested)?;
        if let Some(rho) = self.rho_requested {
            write!(f, " (rho {rho})")?;
        }
        f.write_str(": ")?;
        match &self.reason {
            RefusalReason::AboveCap => f.write_str("the cap would be exceeded")?,
            RefusalReason::AboveReleaseMaximum { maximum } => {
                write!(f, "the policy allows at most epsilon {maximum} for one release")?;
            }
            RefusalReason::UnitMismatch { ledger, plan } => {
                write!(f, "the ledger protects a {ledger}, the plan a {plan}")?;
            }
            RefusalReason::AdjacencyMismatch { ledger, plan } => {
                write!(f, "the ledger counts by {ledger} adjacency, the plan by {plan}")?;
            }
            RefusalReason::AccountantMismatch { ledger, plan } => {
                write!(f, "the ledger counts by {ledger}, the plan by {plan}")?;
                if *ledger == Accountant::Gdp {
                    f.write_str(", and gdp counts Gaussian sums over all units only")?;
                }
            }
            RefusalReason::GridTooCoarse => {
                f.write_str(
                    "the grid of the DP noise, with that of earlier charges, is too coarse for gdp under this cap; amend \
                     the ledger to a smaller epsilon_cap, or to the accountant zcdp",
                )?;
            }
            RefusalReason::OrderTooLow { ledger: Some(ledger), plan } => {
                write!(
                    f,
                    "the plan's loss holds up to order {plan}, and the cap is counted at order {ledger}"
                )?;
            }
            RefusalReason::CapTooLarge => {
                write!(
                    f,
                    "objective perturbation is proved up to a smaller cap than epsilon {}; use another method, or a ledger with a \
                     smaller cap",
                    self.epsilon_cap
                )?;
            }
            RefusalReason::OrderTooLow { ledger: None, .. } => {
                f.write_str(
                    "no release on Poisson samples can be counted under this accountant, adjacency and cap",
                )?;
            }
            RefusalReason::DeltaMismatch { ledger, plan } => {
                write!(f, "the ledger counts at delta {ledger}, the plan at {plan}")?;
            }
        }
        writeln!(
            f,
            "\nspent so far: epsilon {} of {} at delta {} (rho {} of {}, {} left)",
            self.epsilon_spent,
            self.epsilon_cap,
            self.delta,
            self.rho_spent,
            self.rho_cap,
            self.rho_remaining
        )?;
        for charge in &self.charges {
            writeln!(f, "  entry {} at {}: epsilon {}", charge.seq, charge.recorded_at, charge.epsilon)?;
        }
        match self.epsilon_affordable {
            Some(epsilon) => write!(f, "still affordable in one release: epsilon {epsilon}"),
            None => f.write_str("nothing is left; no further release from this population is possible"),
        }
    }
}

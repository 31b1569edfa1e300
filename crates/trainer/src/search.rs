//! A search over settings on private records, every look at them charged.
//!
//! Each candidate is a head that is trained and released like any other, and then one noisy sum over private validation
//! records tells which is right most often. All charges are fixed before the first record is read: candidates
//! get equal parts of the loss, the choice a part of its own. As zero-concentrated and Gaussian DP add up under adaptive
//! composition, the whole costs what was asked for, and every head may be published.

use cryptotl_model::{HeadInputs, PublicModel, Records, UNLABELED};
use cryptotl_privacy::accountant::gdp::Mu;
use cryptotl_privacy::loss::Losses;
use cryptotl_privacy::{
    ChargedSums, Description, Epsilon, NoisySum, PlanError, Receipt, ReleasePlan, SumRequest,
    epsilons_of_parts, largest_rho_by,
};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainerError};
use crate::head::{HeadSettings, Method, Signal, Terms};
use crate::release::Head;

/// The most candidates of one search.
pub const MAX_CANDIDATES: usize = 32;

/// What a head may read and how it may be trained; `None` leaves the method to [`Signal::method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Which parts of a record.
    pub inputs: HeadInputs,
    /// The method.
    pub method: Option<Method>,
}

/// A planned search.
#[derive(Debug, Clone)]
pub struct Search {
    /// Each candidate's settings, and the plan of its release.
    pub candidates: Vec<(HeadSettings, ReleasePlan)>,
    /// The plan of the choice.
    pub choice: ReleasePlan,
    /// What all of it costs together by the ledger's accountant, at its delta; at most what was asked for.
    pub epsilon: Epsilon,
}

impl Search {
    /// Plans the search: free, and without a look at any record.
    ///
    /// `percent` is the choice's part of the loss. `about` is added to each description, and tells this search from
    /// others.
    ///
    /// # Errors
    /// [`TrainerError::Training`] for fewer than two candidates, too many or equal ones, a part that leaves
    /// nothing, and candidates that cost more together than alone; [`TrainerError::Plan`] when the terms do not allow a
    /// candidate.
    pub fn plan(
        public: &PublicModel,
        candidates: &[Candidate],
        terms: &Terms,
        public_size: u64,
        percent: u32,
        about: &Description,
    ) -> Result<Self> {
        let n = candidates.len();
        let distinct: std::collections::HashSet<_> = candidates.iter().collect();
        if !(2..=MAX_CANDIDATES).contains(&n) || distinct.len() != n {
            return Err(TrainerError::training(
                format!("a search among {n} candidates, {} of them different", distinct.len()),
                format!("give 2 to {MAX_CANDIDATES} different ones"),
            ));
        }
        if !(1..=99).contains(&percent) {
            return Err(TrainerError::training(
                format!("{percent} percent of the loss are for the choice"),
                "give 1 to 99",
            ));
        }
        let Terms { epsilon, delta, accountant, unit, adjacency, .. } = *terms;
        let mut parts = vec![100 - percent; n];
        parts.push(percent * n as u32);
        let epsilons = epsilons_of_parts(accountant, epsilon, delta, &parts).map_err(PlanError::from)?;
        let planned = candidates.iter().zip(&epsilons).map(|(candidate, &epsilon)| {
            let rho = largest_rho_by(accountant, epsilon, delta).map_err(PlanError::from)?;
            let signal = Signal::new(Mu::from_rho(rho).get(), public_size)?;
            let settings = HeadSettings::auto(public, candidate.inputs, candidate.method, signal)?;
            let mut about = about.clone();
            about.insert("purpose".to_owned(), "candidate".to_owned());
            let plan = settings.plan(public, &Terms { epsilon, ..terms.clone() }, about)?;
            Ok((settings, plan))
        });
        let candidates: Vec<(HeadSettings, ReleasePlan)> = planned.collect::<Result<_>>()?;
        let mut description = about.clone();
        description.insert("purpose".to_owned(), "choice".to_owned());
        // The choice is among these releases and no others: repeating it is repeating all of them.
        for (index, (_, plan)) in candidates.iter().enumerate() {
            description.insert(format!("candidate-{}", index + 1), plan.digest().to_string());
        }
        let choice = ReleasePlan::gaussian_sums(SumRequest {
            epsilon: epsilons[n],
            delta,
            accountant,
            dimension: n,
            clipping_norm: largest_norm(n),
            slack: 0.0,
            steps: 1,
            unit,
            adjacency,
            description,
        })?;
        let losses = candidates.iter().map(|(_, plan)| plan).chain([&choice]);
        let losses = losses.fold(Losses::NONE, |sum, plan| sum.plus(Losses::of(plan.event())));
        // A sampled release states its own epsilon by another theory than the one that adds, which says more.
        let whole = losses.epsilon(accountant, delta).map_err(PlanError::from)?;
        if whole > epsilon {
            return Err(TrainerError::training(
                format!("the search costs epsilon {whole} together, and {epsilon} was asked for"),
                "leave dp-sgd out, whose epsilon alone is counted more closely than its part of a sum",
            ));
        }
        Ok(Self { candidates, choice, epsilon: whole })
    }
}

/// A unit gives each candidate 1/2 if it is right and -1/2 if not: together a norm of sqrt(n) / 2, rounded up.
fn largest_norm(candidates: usize) -> f64 {
    (0.5 * (candidates as f64).sqrt()).next_up()
}

/// The outcome of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// For each candidate, half of how many more units it is right about than wrong, with DP noise.
    pub leads: Vec<f64>,
    /// The standard deviation of the DP noise in each.
    pub noise: f64,
    /// The candidate with the largest lead, from 0.
    pub chosen: usize,
}

/// Chooses among trained candidates by records that none of them was trained on. A record without a declared label counts
/// nowhere; no record can make it fail.
///
/// # Errors
/// [`TrainerError::Model`] when the records do not fit a head ([`Head::check`] tells before the charge),
/// [`TrainerError::Training`] when the plan is for another number of heads.
pub fn choose(heads: &[Head], records: &Records, mut sums: ChargedSums) -> Result<(Choice, Receipt)> {
    if sums.dimension() != heads.len() {
        return Err(TrainerError::training(
            format!("the plan chooses among {}, there are {} heads", sums.dimension(), heads.len()),
            "plan the search again",
        ));
    }
    let predicted = heads.iter().map(|head| head.predict(records)).collect::<Result<Vec<_>>>()?;
    let declared = records.require_labels()?;
    let units = sums.units(records.len(), records.persons.as_deref())?;
    let leads = sums.step(&units, |row, leads| {
        if declared[row] == UNLABELED {
            return false;
        }
        for (lead, predicted) in leads.iter_mut().zip(&predicted) {
            *lead = if predicted[row].0 == declared[row] as usize { 0.5 } else { -0.5 };
        }
        true
    })?;
    let best = leads.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let chosen = best.map_or(0, |(index, _)| index);
    Ok((Choice { chosen, noise: sums.scale(), leads }, sums.finish()))
}

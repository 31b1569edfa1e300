//! The privacy half of `plan`. It reads policies and ledgers and no record, and charges nothing.

use std::fmt;

use cryptotl_privacy::accountant::gdp::{self, GridSlack, Mu};
use cryptotl_privacy::accountant::zcdp;
use cryptotl_privacy::{ChargeError, Delta, Description, Epsilon, Event, Guarantee, Ledger, LedgerView};
use cryptotl_privacy::{Proof, Refusal, ReleasePlan, Rho, Status, SumRequest};
use serde::Serialize;

use super::super::account::DELTAS;
use super::super::finetune::check_policy;
use super::super::ledger::read_policy;
use super::band::Band;
use crate::cli::PrivacyPlanArgs;
use crate::exit::{Code, Failure, Result};

#[derive(Serialize)]
pub(super) struct Planned {
    guarantee: Guarantee,
    mu: f64,
    noise_multiplier: f64,
    steps: u32,
    profile: Vec<ProfilePoint>,
    /// Whether the terms allow it now.
    accepted: bool,
    /// The words of the refusal.
    refusal: Option<String>,
    rho_cap: Rho,
    rho_remaining: Rho,
    /// Null when nothing is left.
    epsilon_affordable: Option<Epsilon>,
    /// What heads reached on public data; null below the smallest terms that were measured.
    accuracy_on_public_data: Option<Band>,
}

#[derive(Serialize)]
struct ProfilePoint {
    delta: Delta,
    /// By zCDP.
    epsilon: Epsilon,
    /// By exact Gaussian DP, with the margin of the integer grid; null where that is above delta.
    epsilon_gdp: Option<Epsilon>,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guarantee { epsilon, delta, rho, unit, adjacency, .. } = &self.guarantee;
        writeln!(f, "release       epsilon {epsilon} at delta {delta}: rho {rho}, mu {:.6}", self.mu)?;
        if self.guarantee.proof == Proof::Gdp {
            writeln!(
                f,
                "counted by    exact Gaussian DP; the first column is what zCDP says of the same noise"
            )?;
        }
        writeln!(f, "protects      a {unit} by {adjacency} adjacency")?;
        writeln!(f, "noise         multiplier {:.6} in each of {} sums", self.noise_multiplier, self.steps)?;
        writeln!(f, "{:>13} {:>12} {:>12}", "delta", "epsilon", "exact (GDP)")?;
        for point in &self.profile {
            let exact = point.epsilon_gdp.map_or("-".to_owned(), |epsilon| epsilon.to_string());
            writeln!(f, "{:>13} {:>12} {exact:>12}", point.delta, point.epsilon)?;
        }
        match &self.accuracy_on_public_data {
            Some(Band { n, epsilon, mean, low, high, zero_shot }) => writeln!(
                f,
                "accuracy      {mean} ({low} to {high}) on three public tasks, {n} records at epsilon {epsilon}; {zero_shot} without any"
            )?,
            None => writeln!(
                f,
                "accuracy      not measured on public data for so few records or so small an epsilon"
            )?,
        }
        writeln!(f, "left          rho {} of {}", self.rho_remaining, self.rho_cap)?;
        match (&self.refusal, self.epsilon_affordable) {
            (None, _) => write!(f, "verdict       accepted; nothing was charged"),
            (Some(refusal), _) => write!(f, "verdict       refused: {refusal}"),
        }
    }
}

/// Plans a release of Gaussian sums under a ledger's terms, or under those that a policy would give.
pub(super) fn plan(args: &PrivacyPlanArgs, epsilon: f64) -> Result<Planned> {
    let epsilon = Epsilon::new(epsilon)?;
    if let Some(path) = &args.ledger {
        let ledger = LedgerView::open(path)?;
        let status = ledger.status()?;
        check_policy(args.policy.as_deref(), path, &status)?;
        let plan = release(args, epsilon, &status)?;
        let refusal = ledger.refusal(&plan)?;
        return planned(epsilon, &plan, &status, refusal);
    }
    let (Some(policy), Some(public_size)) = (&args.policy, args.public_size) else {
        let remedy = "give --ledger, or --policy and --public-size";
        return Err(Failure::new(
            Code::Usage,
            format!("--epsilon has no terms to be planned under; {remedy}"),
        ));
    };
    // The terms of a ledger that does not exist yet are those of a fresh one.
    let policy = read_policy(policy)?;
    let folder =
        tempfile::tempdir().map_err(|e| Failure::failed(e, "free some space for temporary files"))?;
    let ledger = Ledger::create(folder.path().join("plan.ledger"), &policy, "plan", public_size)?;
    let status = ledger.status()?;
    let plan = release(args, epsilon, &status)?;
    let refusal = ledger.refusal(&plan)?;
    planned(epsilon, &plan, &status, refusal)
}

fn release(args: &PrivacyPlanArgs, epsilon: Epsilon, status: &Status) -> Result<ReleasePlan> {
    let policy = &status.policy;
    let plan = ReleasePlan::gaussian_sums(SumRequest {
        epsilon,
        delta: status.delta,
        accountant: policy.accountant(),
        dimension: args.dimension as usize,
        clipping_norm: 1.0,
        slack: 0.0,
        steps: args.steps,
        unit: policy.unit(),
        adjacency: policy.adjacency(),
        description: Description::new(),
    });
    // What is above a limit is refused for that, whether or not there would be DP noise for it.
    plan.map_err(|unplanned| match status.check_limits(epsilon) {
        Err(refusal) => ChargeError::Refused(refusal).into(),
        Ok(()) => unplanned.into(),
    })
}

fn planned(asked: Epsilon, plan: &ReleasePlan, status: &Status, refusal: Option<Refusal>) -> Result<Planned> {
    let Event::GaussianSum(sum) = plan.event() else {
        return Err(Failure::new(Code::Bug, "a plan of Gaussian sums is another event"));
    };
    let guarantee = plan.guarantee().clone();
    let mu = Mu::from_rho(guarantee.rho);
    let slack = GridSlack::of_sums(sum.scale / sum.grid, sum.dimension, sum.steps);
    let mut profile = Vec::new();
    let mut deltas = DELTAS.map(Delta::new).into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    deltas.push(guarantee.delta);
    deltas.sort_by(|a, b| b.get().total_cmp(&a.get()));
    deltas.dedup();
    for delta in deltas {
        profile.push(ProfilePoint {
            delta,
            epsilon: zcdp::epsilon(guarantee.rho, delta)?,
            epsilon_gdp: gdp::epsilon_on_grid(mu, slack, delta).ok(),
        });
    }
    Ok(Planned {
        mu: mu.get(),
        noise_multiplier: sum.noise_multiplier,
        steps: sum.steps,
        profile,
        accepted: refusal.is_none(),
        refusal: refusal.map(|refusal| refusal.to_string()),
        rho_cap: status.rho_cap,
        rho_remaining: status.rho_remaining,
        epsilon_affordable: status.epsilon_affordable,
        accuracy_on_public_data: Band::find(status.public_size, asked),
        guarantee,
    })
}

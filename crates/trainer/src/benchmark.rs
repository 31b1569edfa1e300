//! The benchmark of private heads on **public** data: what a budget buys, against floor and ceiling.
//!
//! It draws every seed's DP noise through OpenDP as a release would, but it is a benchmark and not a
//! release: the data is declared public, no ledger is charged and no head leaves it.

use cryptotl_model::{HeadInputs, PublicModel, Records};
use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::{
    Accountant, Adjacency, BenchmarkSums, Delta, Description, Epsilon, NoisySum, PrivacyUnit, PublicData,
};
use ndarray::Array1;
use serde::Serialize;

use crate::error::{Result, TrainerError};
use crate::head::HeadSettings;
use crate::pretrain::accuracy;
use crate::progress::{OnProgress, Progress};
use crate::source::{labeled, linear_score};

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchmarkRow {
    /// The private target.
    pub target: String,
    /// The public sources, joined by commas.
    pub sources: String,
    /// Which parts of a record the head reads.
    pub inputs: String,
    /// `majority`, `zero-shot`, `dp-fc` or `logistic-regression`.
    pub method: String,
    /// Training records.
    pub n: usize,
    /// The epsilon that OpenDP proves (zCDP cast); `None` where there is no privacy.
    pub epsilon: Option<f64>,
    /// The same noise under exact Gaussian DP: reported, not claimed.
    pub epsilon_gdp: Option<f64>,
    /// Delta; `None` where there is no privacy.
    pub delta: Option<f64>,
    /// Mean test accuracy over the seeds.
    pub mean_accuracy: f64,
    /// Standard deviation over the seeds.
    pub std: f64,
    /// How many seeds.
    pub seeds: usize,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Benchmark<'a> {
    /// The target's name.
    pub target: &'a str,
    /// Labeled training records, declared public.
    pub train: &'a Records,
    /// Labeled test records.
    pub test: &'a Records,
    /// The public model.
    pub public: &'a PublicModel,
    /// The budgets.
    pub epsilons: &'a [Epsilon],
    /// Delta is the number of training records to minus this.
    pub delta_exponent: f64,
    /// DP-noise draws a cell.
    pub seeds: usize,
}

/// Runs the table.
///
/// # Errors
/// [`TrainerError::Training`] when labels are missing or a head cannot be planned.
pub fn run(benchmark: &Benchmark, on_progress: OnProgress) -> Result<Vec<BenchmarkRow>> {
    let Benchmark { target, train, test, public, epsilons, delta_exponent, seeds } = *benchmark;
    let (train_rows, train_targets) = labeled(train)?;
    let (test_rows, test_targets) = labeled(test)?;
    let (train, test) = (train.select(&train_rows), test.select(&test_rows));
    let n = train.len();
    let delta = Delta::new((n as f64).powf(-delta_exponent)).map_err(|e| {
        TrainerError::training(e.to_string(), "use a larger target or another delta exponent")
    })?;
    let sources = public.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(",");
    let row = |inputs: &str, method: &str, accuracies: &[f64]| {
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        let spread = accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>();
        BenchmarkRow {
            target: target.to_owned(),
            sources: sources.clone(),
            inputs: inputs.to_owned(),
            method: method.to_owned(),
            n,
            epsilon: None,
            epsilon_gdp: None,
            delta: None,
            mean_accuracy: mean,
            std: (spread / (accuracies.len().max(2) - 1) as f64).sqrt(),
            seeds: accuracies.len(),
        }
    };
    let mut rows = Vec::new();
    let majority = if train_targets.mean().unwrap_or(0.0) > 0.5 { 1.0 } else { -1.0 };
    let constant = Array1::from_elem(test_targets.len(), majority);
    rows.push(row("none", "majority", &[accuracy(&constant, &test_targets)]));
    let zero_shot = public.zero_shot.of_rows(test.inputs(HeadInputs::Embedding)?.view());
    rows.push(row("embedding", "zero-shot", &[accuracy(&zero_shot, &test_targets)]));

    let total = HeadInputs::ALL.len() * epsilons.len() * seeds;
    let mut done = 0;
    for inputs in HeadInputs::ALL {
        let Some(view) = public.views.get(&inputs) else { continue };
        let (train_inputs, test_inputs) = (train.inputs(inputs)?, test.inputs(inputs)?);
        for &epsilon in epsilons {
            let (unit, adjacency) = (PrivacyUnit::Record, Adjacency::AddRemove);
            // The loss depends on epsilon and delta alone, so any settings tell its mu.
            let probe = HeadSettings::auto(public, inputs, 1.0, n as u64)?;
            let plan_of = |settings: &HeadSettings| {
                settings.plan(public, epsilon, delta, Accountant::Zcdp, unit, adjacency, Description::new())
            };
            let loss = plan_of(&probe)?.guarantee().rho;
            let mu = gdp::Mu::from_rho(loss);
            let settings = HeadSettings::auto(public, inputs, mu.get(), n as u64)?;
            let plan = plan_of(&settings)?;
            let projection = view.projection.truncated(settings.rank);
            let projected = projection.apply(train_inputs.view())?;
            let projected_test = projection.apply(test_inputs.view())?;
            let labels = train.require_labels()?;
            let mut accuracies = Vec::with_capacity(seeds);
            for _ in 0..seeds {
                let declared = PublicData::declare("the caller of the benchmark says so");
                let mut mechanism = BenchmarkSums::for_public_data(&plan, declared)?;
                let units = mechanism.units(n, None)?;
                let weights = settings.fit_rows(view, &projected, labels, &units, &mut mechanism)?;
                accuracies.push(accuracy(&projected_test.dot(&weights), &test_targets));
                done += 1;
                on_progress(Progress { done, total });
            }
            rows.push(BenchmarkRow {
                epsilon: Some(epsilon.get()),
                epsilon_gdp: gdp::epsilon(mu, delta).ok().map(|e| e.get()),
                delta: Some(delta.get()),
                ..row(inputs.name(), "dp-fc", &accuracies)
            });
        }
        let ceiling = linear_score(&train_inputs, &train_targets, 1.0)?.of_rows(test_inputs.view());
        rows.push(row(inputs.name(), "logistic-regression", &[accuracy(&ceiling, &test_targets)]));
    }
    Ok(rows)
}

//! The benchmark of private heads on **public** data: what a budget buys, against floor and ceiling.
//!
//! It draws every seed's DP noise through OpenDP as a release would, but it is a benchmark and not a
//! release: the data is declared public, no ledger is charged and no head leaves it.

use std::collections::BTreeMap;
use std::time::Instant;

use cryptotl_model::{HeadInputs, LinearScore, PublicModel, Records};
use cryptotl_privacy::accountant::gdp::{self, Mu};
use cryptotl_privacy::{
    Accountant, Adjacency, Delta, Description, Epsilon, Event, Order, PrivacyUnit, PublicData, largest_rho,
};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Result, TrainerError};
use crate::head::{BenchmarkMechanism, HeadSettings, Method, Signal, Space, Task, Terms, predict};
use crate::metrics::likeliest;
use crate::progress::{OnProgress, Progress};
use crate::source::{labeled, linear_score, of_rows, targets};

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchmarkRow {
    /// The private target.
    pub target: String,
    /// The public sources, joined by commas.
    pub sources: String,
    /// Which parts of a record the head reads.
    pub inputs: String,
    /// `majority`, `zero-shot`, `auto`, a method's name or `logistic-regression`.
    pub method: String,
    /// What `auto` chose.
    pub ran: Option<Method>,
    /// Training records.
    pub n: usize,
    /// The epsilon that is proved for one release by zCDP, or of samples by its privacy loss distribution; `None` where there
    /// is no privacy.
    pub epsilon: Option<f64>,
    /// The same noise under exact Gaussian DP, for full-batch Gaussian sums.
    pub epsilon_gdp: Option<f64>,
    /// Delta; `None` where there is no privacy.
    pub delta: Option<f64>,
    /// Mean test accuracy over the seeds.
    pub mean_accuracy: f64,
    /// Standard deviation over the seeds.
    pub std: f64,
    /// How many seeds: each draws its own training records and its own DP noise.
    pub seeds: usize,
    /// The shortest time that a fit took, with its DP noise, in milliseconds.
    pub fit_milliseconds: Option<f64>,
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
    /// What the heads read.
    pub inputs: &'a [HeadInputs],
    /// The methods beside `auto`.
    pub methods: &'a [Method],
    /// How many training records; `None` is all of them. Larger sizes than there are records are left out.
    pub sizes: &'a [Option<usize>],
    /// The budgets.
    pub epsilons: &'a [Epsilon],
    /// Delta is the number of training records to minus this.
    pub delta_exponent: f64,
    /// Draws of training records and DP noise a cell.
    pub seeds: usize,
}

/// Runs the table.
///
/// # Errors
/// [`TrainerError::Training`] when labels are missing or a head cannot be planned.
pub fn run(benchmark: &Benchmark, on_progress: OnProgress) -> Result<Vec<BenchmarkRow>> {
    let Benchmark { target, public, inputs, sizes, epsilons, .. } = *benchmark;
    for records in [benchmark.train, benchmark.test] {
        if records.header.label_names != public.label_names {
            return Err(TrainerError::training(
                "the records and the model declare different labels",
                "embed the records with the model's --labels",
            ));
        }
    }
    let (train_rows, targets) = labeled(benchmark.train)?;
    let (test_rows, test_targets) = labeled(benchmark.test)?;
    let (train, test) = (benchmark.train.select(&train_rows), benchmark.test.select(&test_rows));
    let blank = BenchmarkRow {
        target: target.to_owned(),
        sources: public.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(","),
        inputs: "none".to_owned(),
        method: "majority".to_owned(),
        ran: None,
        n: train.len(),
        epsilon: None,
        epsilon_gdp: None,
        delta: None,
        mean_accuracy: 0.0,
        std: 0.0,
        seeds: 1,
        fit_milliseconds: None,
    };
    let count = |label: u32, among: &[u32]| among.iter().filter(|found| **found == label).count();
    // Of labels that are equally frequent the first.
    let majority = (0..public.label_names.len() as u32).rev().max_by_key(|&label| count(label, &targets));
    let share = count(majority.unwrap_or(0), &test_targets) as f64 / test_targets.len() as f64;
    let mut rows = vec![BenchmarkRow { mean_accuracy: share, ..blank.clone() }];
    let embeddings = test.inputs(HeadInputs::Embedding)?;
    rows.push(BenchmarkRow {
        inputs: HeadInputs::Embedding.name().to_owned(),
        method: "zero-shot".to_owned(),
        mean_accuracy: accuracy_of_scores(&public.zero_shot, embeddings.view(), &test_targets),
        ..blank.clone()
    });
    let sizes: Vec<usize> =
        sizes.iter().map(|n| n.unwrap_or(train.len())).filter(|n| *n <= train.len()).collect();
    let total = inputs.len() * sizes.len() * (epsilons.len() + 1);
    let mut done = 0;
    for &kind in inputs {
        let table = Table::new(benchmark, kind, (&train, &targets), (&test, &test_targets))?;
        let blank = BenchmarkRow { inputs: kind.name().to_owned(), ..blank.clone() };
        for &n in &sizes {
            let blank = BenchmarkRow { n, ..blank.clone() };
            for &epsilon in epsilons {
                rows.extend(table.cell(n, epsilon, &blank)?);
                done += 1;
                on_progress(Progress { done, total });
            }
            rows.push(table.ceiling(n, &blank)?);
            done += 1;
            on_progress(Progress { done, total });
        }
    }
    Ok(rows)
}

/// One target's records as heads with certain inputs read them.
struct Table<'a> {
    benchmark: &'a Benchmark<'a>,
    kind: HeadInputs,
    train: Array2<f64>,
    targets: &'a [u32],
    test: Array2<f64>,
    test_targets: &'a [u32],
    /// For each seed, the order in which training records are taken.
    orders: Vec<Vec<usize>>,
}

impl<'a> Table<'a> {
    fn new(
        benchmark: &'a Benchmark<'a>,
        kind: HeadInputs,
        (train, targets): (&Records, &'a [u32]),
        (test, test_targets): (&Records, &'a [u32]),
    ) -> Result<Self> {
        let order = |seed: usize| {
            let mut order: Vec<usize> = (0..train.len()).collect();
            order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed as u64));
            order
        };
        Ok(Self {
            benchmark,
            kind,
            train: train.inputs(kind)?,
            targets,
            test: test.inputs(kind)?,
            test_targets,
            orders: (0..benchmark.seeds).map(order).collect(),
        })
    }

    /// All methods at one size and budget, `auto` first.
    fn cell(&self, n: usize, epsilon: Epsilon, blank: &BenchmarkRow) -> Result<Vec<BenchmarkRow>> {
        let Benchmark { public, methods, delta_exponent, .. } = *self.benchmark;
        let delta = Delta::new((n as f64).powf(-delta_exponent)).map_err(|e| {
            TrainerError::training(e.to_string(), "use a larger size or another delta exponent")
        })?;
        let rho = largest_rho(epsilon, delta).map_err(cryptotl_privacy::PlanError::from)?;
        let terms = Terms {
            epsilon,
            delta,
            accountant: Accountant::Zcdp,
            order: Some(Order::sufficient_for(rho, delta).unwrap_or(Order::MIN)),
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
        };
        let signal = Signal::new(Mu::from_rho(rho).get(), n as u64)?;
        let mut found: BTreeMap<&str, BenchmarkRow> = BTreeMap::new();
        let mut rows = Vec::new();
        for method in std::iter::once(None).chain(methods.iter().copied().map(Some)) {
            let settings = HeadSettings::auto(public, self.kind, method, signal)?;
            let chosen = settings.method();
            let row = match found.get(chosen.name()) {
                Some(row) => row.clone(),
                None => self.measure(&settings, &terms, n, blank)?,
            };
            found.insert(chosen.name(), row.clone());
            rows.push(match method {
                Some(_) => BenchmarkRow { method: chosen.name().to_owned(), ran: None, ..row },
                None => BenchmarkRow { method: "auto".to_owned(), ran: Some(chosen), ..row },
            });
        }
        Ok(rows)
    }

    fn measure(
        &self,
        settings: &HeadSettings,
        terms: &Terms,
        n: usize,
        blank: &BenchmarkRow,
    ) -> Result<BenchmarkRow> {
        let public = self.benchmark.public;
        let plan = settings.plan(public, terms, Description::new())?;
        let space = Space::new(public, settings)?;
        let projected = space.projection.apply(self.train.view())?;
        let projected_test = space.projection.apply(self.test.view())?;
        let fits = self.orders.par_iter().map(|order| {
            let used = &order[..n];
            let declared = PublicData::declare("the caller of the benchmark says so");
            let mut mechanism = BenchmarkMechanism::for_public_data(&plan, declared)?;
            let task = Task {
                space: &space,
                rows: projected.select(Axis(0), used),
                labels: used.iter().map(|&row| self.targets[row]).collect(),
                units: mechanism.units(n, None)?,
            };
            let begun = Instant::now();
            let weights = settings.fit(&task, &mut mechanism)?;
            Ok((accuracy(&projected_test, &weights, self.test_targets), begun.elapsed().as_secs_f64() * 1e3))
        });
        let fits = fits.collect::<Result<Vec<(f64, f64)>>>()?;
        let (accuracies, times): (Vec<f64>, Vec<f64>) = fits.into_iter().unzip();
        let of_sums = matches!(plan.event(), Event::GaussianSum(_));
        let epsilon_gdp = gdp::epsilon(Mu::from_rho(plan.guarantee().rho), terms.delta).ok();
        Ok(BenchmarkRow {
            epsilon: Some(terms.epsilon.get()),
            epsilon_gdp: epsilon_gdp.filter(|_| of_sums).map(|e| e.get()),
            delta: Some(terms.delta.get()),
            fit_milliseconds: times.into_iter().min_by(f64::total_cmp),
            ..summary(blank, &accuracies)
        })
    }

    /// Logistic regression without privacy on the same draws of records.
    fn ceiling(&self, n: usize, blank: &BenchmarkRow) -> Result<BenchmarkRow> {
        // All draws of all records are the same records.
        let draws = if n == self.targets.len() { 1 } else { self.orders.len().min(5) };
        let accuracies = self.orders[..draws].par_iter().map(|order| {
            let used = &order[..n];
            let labels: Vec<u32> = used.iter().map(|&row| self.targets[row]).collect();
            let targets = targets(&labels, self.benchmark.public.label_names.len());
            let scores = linear_score(&self.train.select(Axis(0), used), &targets, 1.0)?;
            Ok(accuracy_of_scores(&scores, self.test.view(), self.test_targets))
        });
        let accuracies = accuracies.collect::<Result<Vec<f64>>>()?;
        Ok(BenchmarkRow { method: "logistic-regression".to_owned(), ..summary(blank, &accuracies) })
    }
}

fn summary(blank: &BenchmarkRow, accuracies: &[f64]) -> BenchmarkRow {
    let mean = accuracies.iter().sum::<f64>() / accuracies.len().max(1) as f64;
    let spread = accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>();
    BenchmarkRow {
        mean_accuracy: mean,
        std: (spread / (accuracies.len().max(2) - 1) as f64).sqrt(),
        seeds: accuracies.len(),
        ..blank.clone()
    }
}

/// The share of rows whose likeliest label is the declared one.
fn accuracy(rows: &Array2<f64>, weights: &Array1<f64>, targets: &[u32]) -> f64 {
    let predicted = predict(rows.view(), weights.view());
    let right =
        predicted.iter().zip(targets).filter(|((label, _), target)| *label as u32 == **target).count();
    right as f64 / targets.len().max(1) as f64
}

/// The share of rows whose likeliest label by these scores is the declared one.
fn accuracy_of_scores(scores: &[LinearScore], rows: ArrayView2<f64>, targets: &[u32]) -> f64 {
    let scores = of_rows(scores, rows);
    let labels = scores.rows().into_iter().map(|scores| likeliest(scores).0 as u32);
    let right = labels.zip(targets).filter(|(label, target)| label == *target).count();
    right as f64 / targets.len().max(1) as f64
}

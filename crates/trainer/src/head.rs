//! The private head: full-batch logistic regression with DP noise, preconditioned with public covariance.
//!
//! Every step sums clipped per-record gradients, adds DP noise (the mechanism does both) and moves
//! against the preconditioned sum,
//!
//! ```text
//! w <- w - eta (G/4 + lambda I)^-1 (sum_i clip_C(g_i) + DP noise) / n,   g_i = (sigmoid(w.z_i) - y_i) z_i
//! ```
//!
//! with one term a unit: `g_i` is a record's gradient, or the mean over a person's. `G` is the second moment of the *source's* rows: `G/4` bounds the Hessian of the logistic loss,
//! so the step is close to Newton's. It starts at the source's head and gives the mean of the last
//! iterates. All but the sum is public; `n` is the population's declared public size, never the number
//! of private records.

use cryptotl_model::public::RankStatistics;
use cryptotl_model::{HeadInputs, PublicModel, Records, SourceView, UNLABELED};
use cryptotl_privacy::{
    Adjacency, Delta, Description, Epsilon, NoisySum, PrivacyUnit, ReleasePlan, SumEvent, SumRequest, Units,
};
use ndarray::{Array1, Array2};

use crate::error::{Result, TrainerError};
use crate::linear::{Factored, sigmoid};

/// What the head's training fixes before data is touched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSettings {
    /// Which parts of a record are read.
    pub inputs: HeadInputs,
    /// How many principal axes of the source.
    pub rank: usize,
    /// The preconditioner's ridge.
    pub lambda: f64,
    /// T, the number of noisy sums.
    pub steps: u32,
    /// C, the norm to which a unit's gradient is clipped: a record's own, or the mean over a person's records.
    pub clipping_norm: f64,
    /// How far the clipped gradients of all other units may move together when one unit changes.
    pub slack: f64,
    /// eta.
    pub learning_rate: f64,
    /// The public size that the sum is divided by.
    pub public_size: u64,
}

impl HeadSettings {
    /// The settings that follow from public numbers alone: the signal `s = mu n` grows with the budget
    /// and with the population, and decides how many axes can be told from DP noise.
    ///
    /// `mu` is the Gaussian-DP parameter of the planned loss.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the model has no view for these inputs or the size is zero.
    pub fn auto(public: &PublicModel, inputs: HeadInputs, mu: f64, public_size: u64) -> Result<Self> {
        if public_size == 0 {
            return Err(TrainerError::training("the public size is 0", "declare a size of at least 1"));
        }
        let view = view(public, inputs)?;
        let signal = mu * public_size as f64;
        let wanted = if signal < 500.0 {
            32
        } else if signal < 2000.0 {
            128
        } else {
            256
        };
        // The largest rank on offer that is not above the wanted one, or else the smallest.
        let rank = view.ranks.range(..=wanted).next_back().or_else(|| view.ranks.iter().next());
        let (&rank, _) = rank.expect("a public model's views have statistics");
        Ok(Self {
            inputs,
            rank,
            lambda: (20.0 / signal).clamp(0.01, 0.3),
            steps: 20,
            clipping_norm: 0.5,
            slack: 0.0,
            learning_rate: 1.0,
            public_size,
        })
    }

    /// Plans the release: free, and without a look at any record.
    ///
    /// `about` is added to the description. Two plans with the same description and numbers are the same
    /// run, so it names whatever else tells this run from others, such as the model's digest.
    pub fn plan(
        &self,
        public: &PublicModel,
        epsilon: Epsilon,
        delta: Delta,
        unit: PrivacyUnit,
        adjacency: Adjacency,
        about: Description,
    ) -> Result<ReleasePlan> {
        let mut description = Description::from([
            ("method".to_owned(), "dp-fc".to_owned()),
            ("inputs".to_owned(), self.inputs.name().to_owned()),
            ("rank".to_owned(), self.rank.to_string()),
            ("lambda".to_owned(), self.lambda.to_string()),
            ("learning-rate".to_owned(), self.learning_rate.to_string()),
            ("public-size".to_owned(), self.public_size.to_string()),
            ("labels".to_owned(), public.label_names.join(",")),
            ("encoder".to_owned(), public.encoder.name.clone()),
        ]);
        description.extend(about);
        Ok(ReleasePlan::gaussian_sums(SumRequest {
            epsilon,
            delta,
            dimension: view(public, self.inputs)?.projection.dimension_at(self.rank),
            clipping_norm: self.clipping_norm,
            slack: self.slack,
            steps: self.steps,
            unit,
            adjacency,
            description,
        })?)
    }

    /// The settings of a release, from what was recorded of it; `None` if it was made by another method.
    pub fn of_release(description: &Description, sum: &SumEvent) -> Option<Self> {
        if description.get("method")? != "dp-fc" {
            return None;
        }
        let inputs = description.get("inputs")?;
        Some(Self {
            inputs: HeadInputs::ALL.into_iter().find(|known| known.name() == inputs)?,
            rank: description.get("rank")?.parse().ok()?,
            lambda: description.get("lambda")?.parse().ok()?,
            steps: sum.steps,
            clipping_norm: sum.clipping_norm,
            slack: sum.slack,
            learning_rate: description.get("learning-rate")?.parse().ok()?,
            public_size: description.get("public-size")?.parse().ok().filter(|&size| size > 0)?,
        })
    }

    /// Trains the head: `[dimension]` weights for rows of the view's projection at this rank.
    ///
    /// A record without a declared label contributes nothing; no record can make it fail. Where the plan
    /// protects persons, each gives the mean gradient of their first records.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the mechanism was planned for another dimension, and the
    /// mechanism's own errors, one of which is that persons are protected and not known.
    pub fn fit(
        &self,
        public: &PublicModel,
        records: &Records,
        mechanism: &mut impl NoisySum,
    ) -> Result<Array1<f64>> {
        let view = view(public, self.inputs)?;
        let rows = view.projection.truncated(self.rank).apply(records.inputs(self.inputs)?.view())?;
        let units = mechanism.units(records.len(), records.persons.as_deref())?;
        self.fit_rows(view, &rows, records.require_labels()?, &units, mechanism)
    }

    /// The same for rows that are projected already, as benchmarks with many seeds want.
    pub fn fit_rows(
        &self,
        view: &SourceView,
        rows: &Array2<f64>,
        labels: &[u32],
        units: &Units,
        mechanism: &mut impl NoisySum,
    ) -> Result<Array1<f64>> {
        let statistics = view.ranks.get(&self.rank).ok_or_else(|| {
            TrainerError::training(
                format!("the model has no statistics at rank {}", self.rank),
                format!("choose among {:?}", view.ranks.keys().collect::<Vec<_>>()),
            )
        })?;
        self.fit_statistics(statistics, rows, labels, units, mechanism)
    }

    /// The same with the source's statistics at hand, which are all that training needs of the source.
    pub fn fit_statistics(
        &self,
        statistics: &RankStatistics,
        rows: &Array2<f64>,
        labels: &[u32],
        units: &Units,
        mechanism: &mut impl NoisySum,
    ) -> Result<Array1<f64>> {
        let dimension = statistics.start.len();
        if mechanism.dimension() != dimension || rows.ncols() != dimension {
            return Err(TrainerError::training(
                format!("the plan is for {} numbers, the head has {dimension}", mechanism.dimension()),
                "plan again with this model",
            ));
        }
        let preconditioner =
            Factored::new(&(&statistics.gram * 0.25 + Array2::<f64>::eye(dimension) * self.lambda))?;
        let mut weights = statistics.start.clone();
        let mut averaged = Array1::<f64>::zeros(dimension);
        let n_averaged = self.steps.div_ceil(2);
        for step in 0..self.steps {
            let scores = rows.dot(&weights);
            let sum = mechanism.step(units, |row, gradient| {
                if labels[row] == UNLABELED {
                    return false;
                }
                let residual = sigmoid(scores[row]) - f64::from(labels[row]);
                gradient.iter_mut().zip(rows.row(row)).for_each(|(g, z)| *g = residual * z);
                true
            })?;
            let noisy = Array1::from_vec(sum) / self.public_size as f64;
            weights -= &(preconditioner.solve(&noisy) * self.learning_rate);
            if step >= self.steps - n_averaged {
                averaged += &(&weights / f64::from(n_averaged));
            }
        }
        Ok(averaged)
    }
}

fn view(public: &PublicModel, inputs: HeadInputs) -> Result<&SourceView> {
    public.views.get(&inputs).ok_or_else(|| {
        TrainerError::training(
            format!("the public model has no view for {}", inputs.name()),
            "use a model that was pretrained with these inputs",
        )
    })
}

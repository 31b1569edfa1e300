//! Hyper-parameters from public numbers alone.
//!
//! What DP noise does to a head depends on the *signal* s = mu n: mu is the Gaussian-DP parameter of the planned loss,
//! n the public size. A mean over n records with that noise has a standard deviation of about C/s. The rules below were read
//! off a grid of ranks, ridges, clipping norms and step sizes on three public targets at sizes from 100 to 4000 and
//! epsilons from 0.1 to 8, the source being a fourth domain (`docs/benchmarks-privacy.md`): they are simple in s, and one rule
//! serves all targets. The part in 1/n of the ridge of `dp-fc` was chosen with a second encoder beside the first.

use cryptotl_model::{HeadInputs, PublicModel};

use super::{DpFc, DpGd, DpSgd, HeadSettings, Method, Objective, Output, Parameters};
use crate::error::{Result, TrainerError};

/// From this signal on plain descent with momentum is ahead of preconditioned descent.
const DESCENT_FROM: f64 = 2500.0;

/// How much a budget can tell about a population.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    mu: f64,
    public_size: u64,
}

impl Signal {
    /// `mu` is the Gaussian-DP parameter of the planned loss, `public_size` the public bound on the units.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the size is zero or mu is not a positive number.
    pub fn new(mu: f64, public_size: u64) -> Result<Self> {
        if public_size == 0 || !(mu.is_finite() && mu > 0.0) {
            return Err(TrainerError::training(
                format!("a public size of {public_size} at mu {mu}"),
                "declare a size of at least 1 and a positive budget",
            ));
        }
        Ok(Self { mu, public_size })
    }

    /// s.
    pub fn strength(self) -> f64 {
        self.mu * self.public_size as f64
    }

    /// The method that `auto` takes for so many labels.
    pub fn method(self, labels: usize) -> Method {
        // Measured for two labels only; for more, the method whose steps adapt to the classes' covariance.
        if labels == 2 && self.strength() >= DESCENT_FROM { Method::DpGd } else { Method::DpFc }
    }
}

impl HeadSettings {
    /// The settings of `method`, or of the method that suits the signal best.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the model has no view for these inputs.
    pub fn auto(
        public: &PublicModel,
        inputs: HeadInputs,
        method: Option<Method>,
        signal: Signal,
    ) -> Result<Self> {
        let view = public.views.get(&inputs).ok_or_else(|| {
            TrainerError::training(
                format!("the public model has no view for {}", inputs.name()),
                "use a model that was pretrained with these inputs",
            )
        })?;
        let labels = public.label_names.len();
        let s = signal.strength();
        let (wanted, parameters) = match method.unwrap_or_else(|| signal.method(labels)) {
            Method::DpFc => {
                let (rank, parameters) = DpFc::auto(s, signal.public_size as f64, public.sources.len());
                (rank, Parameters::DpFc(parameters))
            }
            Method::DpGd => {
                let (rank, parameters) = DpGd::auto(s);
                (rank, Parameters::DpGd(parameters))
            }
            Method::DpSgd => {
                let (rank, parameters) = DpSgd::auto(s);
                (rank, Parameters::DpSgd(parameters))
            }
            Method::ObjectivePerturbation => {
                (rank_of_minimum(s), Parameters::Objective(Objective::auto(signal.mu, labels)))
            }
            Method::OutputPerturbation => {
                (rank_of_minimum(s), Parameters::Output(Output::auto(signal.mu, labels)))
            }
        };
        // The largest rank on offer that is not above the wanted one, or else the smallest.
        let rank = view.ranks.range(..=wanted).next_back().or_else(|| view.ranks.iter().next());
        let (&rank, _) = rank.expect("a public model's views have statistics");
        Ok(Self { inputs, rank, slack: 0.0, public_size: signal.public_size, parameters })
    }
}

fn rank_of_minimum(s: f64) -> usize {
    if s < 800.0 { 32 } else { 128 }
}

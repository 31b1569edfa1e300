//! Private heads: one interface, one file a method.
//!
//! * [`dp_fc`]: full-batch gradient descent, preconditioned with public covariance; the default.
//! * [`dp_gd`]: full-batch gradient descent with momentum.
//! * [`dp_sgd`]: gradient descent on Poisson samples.
//! * [`objective`] and [`output`]: the regularized minimum, with DP noise on the objective or on the answer.
//!
//! [`HeadSettings`] fixes everything before data is touched, [`HeadSettings::plan`] makes the release plan of it, and
//! [`HeadSettings::fit`] runs the mechanism that was built from that plan: clipping, DP noise and sampling are the
//! mechanism's alone, and no method draws any by itself.

pub mod auto;
pub mod dp_fc;
pub mod dp_gd;
pub mod dp_sgd;
mod mechanism;
pub mod objective;
pub mod output;
mod plan;
mod softmax;
mod space;

use cryptotl_model::HeadInputs;
use cryptotl_privacy::{NoisyMinimum, NoisySum};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

pub use auto::Signal;
pub use dp_fc::DpFc;
pub use dp_gd::DpGd;
pub use dp_sgd::DpSgd;
pub use mechanism::{BenchmarkMechanism, ChargedMechanism, Mechanism};
pub use objective::Objective;
pub use output::Output;
pub use plan::Terms;
pub use softmax::{predict, scores_of};
pub use space::{Space, Task};

use crate::error::{Result, TrainerError};

/// A way to train a private head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Full-batch gradient descent, preconditioned with public covariance. Heads that do not name a method are these.
    #[default]
    DpFc,
    /// Full-batch gradient descent with momentum.
    DpGd,
    /// The regularized minimum, with DP noise on the objective.
    ObjectivePerturbation,
    /// The regularized minimum, with DP noise on the answer.
    OutputPerturbation,
    /// Gradient descent on Poisson samples.
    DpSgd,
}

impl Method {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 5] =
        [Self::DpFc, Self::DpGd, Self::ObjectivePerturbation, Self::OutputPerturbation, Self::DpSgd];

    /// The name in files, flags and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::DpFc => "dp-fc",
            Self::DpGd => "dp-gd",
            Self::ObjectivePerturbation => "objective-perturbation",
            Self::OutputPerturbation => "output-perturbation",
            Self::DpSgd => "dp-sgd",
        }
    }
}

/// A method with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)] // the variants are the methods
pub enum Parameters {
    DpFc(DpFc),
    DpGd(DpGd),
    Objective(Objective),
    Output(Output),
    DpSgd(DpSgd),
}

impl Parameters {
    /// Whose numbers these are.
    pub fn method(&self) -> Method {
        match self {
            Self::DpFc(_) => Method::DpFc,
            Self::DpGd(_) => Method::DpGd,
            Self::Objective(_) => Method::ObjectivePerturbation,
            Self::Output(_) => Method::OutputPerturbation,
            Self::DpSgd(_) => Method::DpSgd,
        }
    }
}

/// What the head's training fixes before data is touched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSettings {
    /// Which parts of a record are read.
    pub inputs: HeadInputs,
    /// How many principal axes of the source.
    pub rank: usize,
    /// How far the clipped gradients of all other units may move together when one unit changes.
    pub slack: f64,
    /// The public size that sums are divided by.
    pub public_size: u64,
    /// The method and its numbers.
    pub parameters: Parameters,
}

impl HeadSettings {
    /// The method.
    pub fn method(&self) -> Method {
        self.parameters.method()
    }

    /// Trains the head: a vector of weights for each score ([`Space::scores`]), one after the other.
    ///
    /// A record without a declared label contributes nothing; no record can make it fail. Where the plan
    /// protects persons, each gives the mean of their first records.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the mechanism was planned for another method or dimension, and the
    /// mechanism's own errors.
    pub fn fit<S: NoisySum, M: NoisyMinimum>(
        &self,
        task: &Task,
        mechanism: &mut Mechanism<S, M>,
    ) -> Result<Array1<f64>> {
        match (&self.parameters, mechanism) {
            (Parameters::DpFc(p), Mechanism::Sums(sums)) => p.fit(task, self.public_size, sums),
            (Parameters::DpGd(p), Mechanism::Sums(sums)) => p.fit(task, self.public_size, sums),
            (Parameters::DpSgd(p), Mechanism::Sums(sums)) => p.fit(task, self.public_size, sums),
            (Parameters::Objective(_) | Parameters::Output(_), Mechanism::Minimum(minimum)) => {
                task.minimize(minimum)
            }
            _ => Err(TrainerError::training(
                format!("the plan is for another method than {}", self.method().name()),
                "plan again with these settings",
            )),
        }
    }
}

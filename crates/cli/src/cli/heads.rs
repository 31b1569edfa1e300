//! The arguments that are about private heads.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cryptotl_model::HeadInputs;
use cryptotl_trainer::Method;

use super::number;
use crate::paths::OutputPath;

/// A method by name, or by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodChoice {
    /// By epsilon and public size
    Auto,
    /// Full-batch gradient descent, preconditioned with public covariance
    DpFc,
    /// Full-batch gradient descent with momentum
    DpGd,
    /// The regularized minimum, with DP noise on the objective
    ObjectivePerturbation,
    /// The regularized minimum, with DP noise on the answer
    OutputPerturbation,
    /// Gradient descent on Poisson samples
    DpSgd,
}

impl MethodChoice {
    /// The method that was named; `None` leaves it to the rule.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::Auto => None,
            Self::DpFc => Some(Method::DpFc),
            Self::DpGd => Some(Method::DpGd),
            Self::ObjectivePerturbation => Some(Method::ObjectivePerturbation),
            Self::OutputPerturbation => Some(Method::OutputPerturbation),
            Self::DpSgd => Some(Method::DpSgd),
        }
    }
}

/// Which ledger pays, and how much.
#[derive(Debug, Args)]
pub struct PaymentArgs {
    /// The population's ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// What this may cost, all of it together, at the ledger's delta
    #[arg(long, value_name = "E", value_parser = number::epsilon)]
    pub epsilon: f64,
    /// The delta that the ledger must have; another is refused [default: the ledger's]
    #[arg(long, value_name = "D", value_parser = number::delta)]
    pub delta: Option<f64>,
    /// The privacy configuration that must be in force in the ledger; another is refused
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// A name that makes this a new run. Without one, repeating a finished run gives its results again at no
    /// charge
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
}

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// The private labeled records to train on
    #[arg(long, value_name = "FILE")]
    pub features: PathBuf,
    /// Other private labeled records of the same population, to choose by
    #[arg(long, value_name = "FILE")]
    pub validation: PathBuf,
    /// The public half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub payment: PaymentArgs,
    /// What the candidates read; with --methods, every pair is one
    #[arg(long, value_name = "PARTS,PARTS", value_delimiter = ',', value_parser = super::head_inputs,
          default_values = [HeadInputs::Embedding.name(), HeadInputs::EmbeddingAndFeatures.name()])]
    pub inputs: Vec<HeadInputs>,
    /// How the candidates are trained
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [MethodChoice::Auto])]
    pub methods: Vec<MethodChoice>,
    /// How much of the loss pays for the choice, in percent; the candidates divide the rest evenly
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub choice_share: u32,
    /// Take encryption errors of records that share ciphertexts as independent of each other's contents: a usual heuristic,
    /// and recorded in what is released
    #[arg(long)]
    pub assume_independent_encryption_errors: bool,
    /// Where to write the chosen head
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The released head
    #[arg(long, value_name = "FILE")]
    pub head: PathBuf,
    /// Private labeled records that the head was not trained on
    #[arg(long, value_name = "FILE")]
    pub features: PathBuf,
    #[command(flatten)]
    pub payment: PaymentArgs,
    /// Take encryption errors of records that share ciphertexts as independent of each other's contents: a usual heuristic,
    /// and recorded in what is released
    #[arg(long)]
    pub assume_independent_encryption_errors: bool,
    /// Where to write the confusion matrix as JSON
    #[arg(long, value_name = "FILE")]
    pub output: Option<OutputPath>,
}

/// Arguments of `bench privacy`.
#[derive(Debug, Args)]
pub struct BenchPrivacyArgs {
    /// The public half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Your word that all records given are public: accuracies on them are printed and charged to no ledger
    #[arg(long, required = true)]
    pub data_is_public: bool,
    /// Labeled training records
    #[arg(long, value_name = "FILE")]
    pub train: PathBuf,
    /// Labeled test records
    #[arg(long, value_name = "FILE")]
    pub test: PathBuf,
    /// The target's name in the table
    #[arg(long, value_name = "NAME")]
    pub target: String,
    /// What the heads read [default: everything that the records have]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = super::head_inputs)]
    pub inputs: Vec<HeadInputs>,
    /// The methods to compare; auto is always measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [MethodChoice::Auto])]
    pub methods: Vec<MethodChoice>,
    /// How many training records are used; 0 is all of them
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [0])]
    pub sizes: Vec<usize>,
    /// The budgets
    #[arg(long, value_name = "E,E", value_delimiter = ',', default_values_t = [0.5, 1.0, 2.0, 4.0, 8.0],
          value_parser = number::epsilon)]
    pub epsilons: Vec<f64>,
    /// Draws of training records and DP noise a cell
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = number::count())]
    pub seeds: usize,
    /// Where to write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub output: Option<OutputPath>,
}

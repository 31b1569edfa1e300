//! The arguments of the verbs that cross between two parties, one file a step.

use std::path::PathBuf;

use clap::Args;
use cryptotl_encrypted::Kernels;

use super::{PackingChoice, ParameterArgs, PrivacyPlanArgs, number};
use crate::paths::OutputPath;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The model owner's secret half of the model: tells what encryption costs
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// The public half of the model [default: the model's path, ending in .public.safetensors]
    #[arg(long, value_name = "FILE", requires = "model")]
    pub public: Option<PathBuf>,
    #[command(flatten)]
    pub parameters: ParameterArgs,
    /// How records are laid out in ciphertexts
    #[arg(long, value_enum, default_value_t = PackingChoice::Auto)]
    pub packing: PackingChoice,
    /// How many records a job has: what the estimate is for
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: u32,
    /// The speed of the link between the parties in megabits a second; without it, bytes take no time
    #[arg(long, value_name = "MBPS", value_parser = number::positive)]
    pub link_mbps: Option<f64>,
    /// Public records to measure the encryption error on, for the certificate of the plan file
    #[arg(long, value_name = "[NAME=]FILE", requires_all = ["output", "model"], value_parser = number::source_file)]
    pub source: Option<PathBuf>,
    /// Where to write the plan file, which the data owner needs
    #[arg(long, value_name = "FILE", requires = "source")]
    pub output: Option<OutputPath>,
    #[command(flatten)]
    pub privacy: PrivacyPlanArgs,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The model owner's plan file
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// Where to write the secret key, which never leaves the data owner; nothing may be there yet
    #[arg(long, value_name = "FILE")]
    pub secret_key: OutputPath,
    /// Where to write the evaluation keys for the model owner
    #[arg(long, value_name = "FILE")]
    pub keys: OutputPath,
}

/// Arguments of `encrypt`.
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// The model owner's plan file
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The public half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// The secret key; it encrypts once
    #[arg(long, value_name = "FILE")]
    pub secret_key: PathBuf,
    /// The embeddings
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write the encrypted records for the model owner
    #[arg(long, value_name = "FILE")]
    pub query: OutputPath,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The plan file that the data owner got
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The secret half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// The data owner's evaluation keys
    #[arg(long, value_name = "FILE")]
    pub keys: PathBuf,
    /// The data owner's encrypted records
    #[arg(long, value_name = "FILE")]
    pub query: PathBuf,
    /// Where to write the encrypted features for the data owner
    #[arg(long, value_name = "FILE")]
    pub response: OutputPath,
    /// Who evaluates the ciphertexts: native, or seal for comparison
    #[arg(long, value_name = "NAME", default_value_t)]
    pub kernels: Kernels,
}

/// Arguments of `decrypt`.
#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// The model owner's plan file
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The secret key that encrypted the records
    #[arg(long, value_name = "FILE")]
    pub secret_key: PathBuf,
    /// The embeddings that were encrypted
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The model owner's encrypted features
    #[arg(long, value_name = "FILE")]
    pub response: PathBuf,
    /// Where to write the embeddings with their features
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
}

//! The arguments of `pretrain` and `import`.

use std::path::PathBuf;

use clap::Args;

use super::number;
use crate::paths::OutputPath;

/// Arguments of `pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArgs {
    /// The network configuration, such as models/default.toml
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Public labeled records, with a name for reports [default name: the file's, up to its first dot]; may be
    /// given more than once, or once with --epsilon, where they are private
    #[arg(long, value_name = "[NAME=]FILE", required = true, value_parser = number::source)]
    pub source: Vec<String>,
    /// The source is private: train with differential privacy, and pay this in its ledger
    #[arg(long, value_name = "E", requires = "ledger", value_parser = number::epsilon)]
    pub epsilon: Option<f64>,
    /// The ledger of the people in the private source
    #[arg(long, value_name = "FILE", requires = "epsilon")]
    pub ledger: Option<PathBuf>,
    /// The privacy configuration that must be in force in the ledger; another is refused
    #[arg(long, value_name = "FILE", requires = "epsilon")]
    pub policy: Option<PathBuf>,
    /// A name that makes this a new run. Without one, repeating a finished private run gives the same model again
    /// at no charge
    #[arg(long, value_name = "NAME", requires = "epsilon")]
    pub run: Option<String>,
    /// Seed the training with this number instead of the configuration's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep the training's state here after every pass, and go on from it if it is there; removed at the end.
    /// Not for a private source, of which no state may be left behind
    #[arg(long, value_name = "FILE", conflicts_with = "epsilon")]
    pub checkpoint: Option<OutputPath>,
    /// Write one JSON object a pass here, while the training runs. Not for a private source, whose losses are private
    #[arg(long, value_name = "FILE", conflicts_with = "epsilon")]
    pub log: Option<OutputPath>,
    /// Where to write the secret half; the public half goes beside it, ending in .public.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The weights: safetensors with --mapping, or else the text file of the paper's program
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Which tensor is which layer's, in TOML
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Public labeled records for the public half's statistics, with a name for reports [default name: the
    /// file's, up to its first dot]; may be given more than once
    #[arg(long, value_name = "[NAME=]FILE", required = true, value_parser = number::source)]
    pub source: Vec<String>,
    /// Where to write the secret half; the public half goes beside it, ending in .public.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
}

//! The arguments of `pretrain` and `import`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArgs {
    /// The network configuration, such as models/default.toml
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Public labeled records, with a name for reports [default name: the file's, up to its first dot]; may be
    /// given more than once
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    pub source: Vec<String>,
    /// Seed the training with this number instead of the configuration's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep the training's state here after every pass, and go on from it if it is there; removed at the end
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Write one JSON object a pass here, while the training runs
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Where to write the secret half; the public half goes beside it, ending in .public.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
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
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    pub source: Vec<String>,
    /// Where to write the secret half; the public half goes beside it, ending in .public.safetensors
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

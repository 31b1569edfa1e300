//! `pretrain`: trains the public model and writes its two halves.

use std::fmt;
use std::path::Path;

use cryptotl_model::Records;
use cryptotl_model::format::check_writable;
use cryptotl_trainer::config::PretrainConfig;
use cryptotl_trainer::{Source, pretrain};
use serde::Serialize;

use crate::cli::PretrainArgs;
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
struct Trained {
    name: String,
    records: usize,
    best_epoch: usize,
    network_validation_accuracy: f64,
    zero_shot_validation_accuracy: f64,
    feature_width: usize,
    lower: String,
    public: String,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "trained `{}` on {} public records, best pass {}",
            self.name, self.records, self.best_epoch
        )?;
        writeln!(
            f,
            "validation accuracy {:.3} (network), {:.3} (zero-shot head on the embedding)",
            self.network_validation_accuracy, self.zero_shot_validation_accuracy
        )?;
        writeln!(f, "secret half {}", self.lower)?;
        write!(f, "public half {}", self.public)
    }
}

/// Runs the verb.
pub fn run(args: PretrainArgs, output: &Output) -> Result<()> {
    let public_path = args.output.with_extension("public.safetensors");
    check_writable(&args.output)?;
    check_writable(&public_path)?;
    let config = PretrainConfig::read(&args.config)?;
    let sources = args
        .source
        .iter()
        .map(|path| Ok(Source { name: name_of(path)?, records: Records::read(path)? }))
        .collect::<Result<Vec<_>>>()?;
    let bar = Bar::new("pretraining");
    let trained = pretrain(&config, &sources, &|p| bar.show(p.done, p.total))?;
    drop(bar);
    // The secret half goes first: a public half without it would be of no use to anyone.
    trained.lower.write(&args.output)?;
    trained.public.write(&public_path)?;
    output.result(&Trained {
        name: config.name,
        records: trained.public.sources.iter().map(|s| s.records).sum(),
        best_epoch: trained.best_epoch,
        network_validation_accuracy: trained.network_validation_accuracy,
        zero_shot_validation_accuracy: trained.public.validation_accuracy,
        feature_width: trained.public.feature_width,
        lower: args.output.display().to_string(),
        public: public_path.display().to_string(),
    })
}

/// A source's name: its file's name up to the first dot.
fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match name.split('.').next() {
        Some(stem) if !stem.is_empty() => Ok(stem.to_owned()),
        _ => Err(Failure::failed(
            format!("the source {} has no name", path.display()),
            "give a records file with --source",
        )),
    }
}

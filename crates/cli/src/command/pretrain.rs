//! `pretrain`: trains the public model and writes its two halves.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cryptotl_model::format::beside;
use cryptotl_model::{Destination, HeadInputs, LowerModel, OutputFile, PublicModel};
use cryptotl_trainer::config::PretrainConfig;
use cryptotl_trainer::metrics::Quality;
use cryptotl_trainer::pretrain::CHECKPOINT;
use cryptotl_trainer::{Epoch, Source, SourceQuality, SourceRecords, pretrain};
use serde::Serialize;

use super::pretrain_private;
use crate::cli::PretrainArgs;
use crate::exit::{Code, Failure, Result};
use crate::kinds;
use crate::output::Output;
use crate::progress::Bar;
use crate::report::words::wrapped;

#[derive(Serialize)]
struct Trained {
    name: String,
    records: usize,
    epochs: usize,
    best_epoch: usize,
    seconds: f64,
    network_validation_accuracy: f64,
    zero_shot_validation_accuracy: f64,
    sources: Vec<TrainedOn>,
    feature_width: usize,
    lower: String,
    public: String,
    public_half_gives_away: String,
}

/// What everyone who gets a public half learns of its secret half without asking it anything, in one sentence.
///
/// The zero-shot head is a classifier of the same labels. The view of embedding and features beside each other holds the principal
/// axes and moments of both together, that is their joint second moments C, and with them
/// Cov(feature, embedding) Cov(embedding)^-1, the best linear map from embeddings to the network's features.
pub(super) fn gives_away(public: &PublicModel) -> String {
    let copy = match public.views.contains_key(&HeadInputs::EmbeddingAndFeatures) {
        true => {
            ", and the joint second moments of embeddings and server features, from which follows the best linear copy of the \
             secret network"
        }
        false => "",
    };
    format!(
        "whoever gets the public half has, without a query, a classifier of its own for {}, often about as good as the secret \
         network{copy}: encryption hides the data owner's records, and not what the network has learned",
        public.label_names.join(", ")
    )
}

/// How both classifiers do on the records of one source that were held out.
#[derive(Serialize)]
struct TrainedOn {
    source: String,
    records: usize,
    network: Quality,
    zero_shot: Quality,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "trained `{}` on {} public records, best pass {} of {}",
            self.name, self.records, self.best_epoch, self.epochs
        )?;
        writeln!(
            f,
            "validation accuracy {:.3} (network), {:.3} (zero-shot head on the embedding)",
            self.network_validation_accuracy, self.zero_shot_validation_accuracy
        )?;
        writeln!(
            f,
            "{:24} {:>8} {:>9} {:>6} {:>6} {:>12}",
            "held out", "records", "accuracy", "F1", "kappa", "calibration"
        )?;
        for source in &self.sources {
            for (what, q) in [("network", &source.network), ("zero-shot", &source.zero_shot)] {
                let name = format!("{}, {what}", source.source);
                write!(f, "{name:24} {:>8} {:>9.3} {:>6.3}", q.records, q.accuracy, q.f1)?;
                writeln!(f, " {:>6.3} {:>12.3}", q.kappa, q.calibration_error)?;
            }
        }
        writeln!(f, "secret half {}", self.lower)?;
        writeln!(f, "public half {}", self.public)?;
        write!(f, "{}", wrapped(&self.public_half_gives_away))
    }
}

/// Runs the verb.
pub fn run(args: PretrainArgs, output: &Output) -> Result<()> {
    if args.epsilon.is_some() {
        return pretrain_private::run(args, output);
    }
    let (lower, public) = halves(&args.output, output)?;
    let checkpoint = args.checkpoint.as_ref().map(|path| output.file(path, CHECKPOINT)).transpose()?;
    let log = args.log.as_ref().map(|path| output.file(path, kinds::LOG)).transpose()?;
    let mut config = PretrainConfig::read(&args.config)?;
    config.training.seed = args.seed.unwrap_or(config.training.seed);
    let sources = read_sources(&args.source)?;
    let log = log.as_ref().map(Log::create).transpose()?;

    let started = Instant::now();
    let bar = Bar::new("pretraining");
    let total = config.training.max_epochs;
    let trained = pretrain(&config, &sources, checkpoint.as_ref().map(Destination::path), &|epoch| {
        bar.show_words(words(epoch), epoch.epoch, total);
        log.iter().for_each(|log| log.write(epoch));
    })?;
    drop(bar);
    // The secret half goes first: a public half without it would be of no use to anyone.
    trained.lower.write(&lower)?;
    trained.public.write(&public)?;
    if let Some(to) = checkpoint {
        // The model is written: a state that stays behind is no harm but to the disk.
        let _ = std::fs::remove_file(to.path());
    }
    log.map(Log::finish).transpose()?;

    let on = trained.public.sources.iter().zip(&trained.network).zip(&trained.zero_shot);
    output.result(&Trained {
        name: config.name,
        records: trained.public.sources.iter().map(|s| s.records).sum(),
        epochs: trained.history.len(),
        best_epoch: trained.best_epoch,
        seconds: started.elapsed().as_secs_f64(),
        network_validation_accuracy: overall_accuracy(&trained.network),
        zero_shot_validation_accuracy: overall_accuracy(&trained.zero_shot),
        sources: on
            .map(|((id, network), zero_shot)| TrainedOn {
                source: id.name.clone(),
                records: id.records,
                network: network.quality,
                zero_shot: zero_shot.quality,
            })
            .collect(),
        feature_width: trained.public.feature_width,
        lower: args.output.display().to_string(),
        public: public.path().display().to_string(),
        public_half_gives_away: gives_away(&trained.public),
    })
}

fn words(epoch: &Epoch) -> String {
    format!("pass {}: loss {:.4}, held out {:.4}", epoch.epoch, epoch.train_loss, epoch.validation_loss)
}

pub(super) fn overall_accuracy(qualities: &[SourceQuality]) -> f64 {
    let records: usize = qualities.iter().map(|q| q.quality.records).sum();
    let right: f64 = qualities.iter().map(|q| q.quality.accuracy * q.quality.records as f64).sum();
    right / records as f64
}

/// Where both halves go: the secret one at `lower`, the public one beside it.
pub(super) fn halves(lower: &Path, output: &Output) -> Result<(Destination, Destination)> {
    let public = beside(lower, ".public.safetensors");
    Ok((output.file(lower, LowerModel::FILE)?, output.file(public, PublicModel::FILE)?))
}

/// Reads sources given as `FILE` or `NAME=FILE`.
pub(super) fn read_sources(arguments: &[String]) -> Result<Vec<Source>> {
    arguments
        .iter()
        .map(|argument| {
            let (name, path) = named(argument)?;
            Ok(Source { name, records: SourceRecords::read(path)? })
        })
        .collect()
}

/// A source's name and path.
pub(super) fn named(argument: &str) -> Result<(String, &Path)> {
    crate::cli::named(argument).map_err(|e| Failure::new(Code::Usage, format!("--source {argument}: {e}")))
}

/// The passes as JSON lines, each written when it is over. Unlike other outputs it is there while it grows.
struct Log {
    path: PathBuf,
    state: RefCell<std::io::Result<File>>,
}

impl Log {
    fn create(to: &Destination) -> Result<Self> {
        let file = OutputFile::create(to)?.commit_open()?;
        Ok(Self { path: to.path().to_owned(), state: RefCell::new(Ok(file)) })
    }

    /// Writes a pass, unless an earlier one failed: a full disk must not end the training.
    fn write(&self, epoch: &Epoch) {
        let mut state = self.state.borrow_mut();
        let written = state.as_mut().ok().map(|file| {
            let line = serde_json::to_string(epoch).map_err(std::io::Error::other)?;
            writeln!(file, "{line}")
        });
        if let Some(Err(e)) = written {
            *state = Err(e);
        }
    }

    fn finish(self) -> Result<()> {
        let written = self.state.into_inner().and_then(|file| file.sync_all());
        written.map_err(|e| {
            let fact = format!("the model is written, but its log {} is not whole: {e}", self.path.display());
            Failure::new(Code::Failed, format!("{fact}; check the path and the disk"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_the_argument_or_by_its_file() {
        for (argument, name, path) in [
            ("a/movie.train.safetensors", "movie", "a/movie.train.safetensors"),
            ("films=a/movie.safetensors", "films", "a/movie.safetensors"),
            ("a/x=1.safetensors", "x=1", "a/x=1.safetensors"),
            ("./x=1.safetensors", "x=1", "./x=1.safetensors"),
        ] {
            assert_eq!(named(argument).unwrap(), (name.to_owned(), Path::new(path)));
        }
        assert!(named("a/.hidden").is_err());
    }
}

//! Public pretraining: burn trains the lower network on the sources, and their statistics are fitted.

mod checkpoint;
pub mod private;
pub(crate) mod publish;
mod source;
pub(crate) mod sources;
pub(crate) mod training;

use std::path::Path;

use cryptotl_model::{LowerModel, PublicModel, Scaler};

pub use self::checkpoint::CHECKPOINT;
use self::publish::{Parts, Published, check_size, publish};
pub use self::source::{Source, SourceRecords};
use self::sources::Sources;
pub use self::training::{Epoch, SourceQuality};
use self::training::{State, Training, stream};
use crate::config::PretrainConfig;
use crate::error::Result;
use crate::head::scores_of;
use crate::network::Blueprint;

/// A trained model in its two halves.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// The model owner's secret.
    pub lower: LowerModel,
    /// What everyone may have.
    pub public: PublicModel,
    /// All passes over the sources.
    pub history: Vec<Epoch>,
    /// The pass with the lowest validation loss, whose network this is.
    pub best_epoch: usize,
    /// The whole network's quality on each source's records held out.
    pub network: Vec<SourceQuality>,
    /// The quality there of the zero-shot head, which reads the embedding alone.
    pub zero_shot: Vec<SourceQuality>,
}

/// Trains the lower network on the sources and fits the public half. The same sources, configuration and
/// machine give the same files.
///
/// With a `checkpoint`, the training's state is kept there after every pass, and a training whose state is there
/// goes on from it, to the same files as if it had never stopped. `on_epoch` is called for every pass in order,
/// those before the checkpoint included.
///
/// # Errors
/// [`crate::TrainerError::Training`] when the sources disagree on encoder or labels, lack labels or are too few,
/// a layer does not fit, or the checkpoint is of another job; [`crate::TrainerError::Model`] when the checkpoint
/// is damaged or cannot be written.
pub fn pretrain(
    config: &PretrainConfig,
    sources: &[Source],
    checkpoint: Option<&Path>,
    on_epoch: &dyn Fn(&Epoch),
) -> Result<Pretrained> {
    let sources = Sources::gather(sources)?;
    let mut rng = stream(config.training.seed, 0);
    let split = sources.split(config.training.validation_share, &mut rng)?;
    let weights = sources.weights(config.training.balance, &split.train);
    let train = sources.select(&Sources::for_statistics(&split.train))?.mapv(f64::from);
    let scaler = Scaler::fit(train.view(), config.training.input_bound)?;
    drop(train);
    let blueprint = Blueprint::new(config, sources.width(), scores_of(sources.n_labels()))?;
    check_size(sources.width(), blueprint.feature_width(), scores_of(sources.n_labels()), &config.head)?;
    if checkpoint.is_some() {
        let names: Vec<&str> = sources.ids.iter().map(|id| id.name.as_str()).collect();
        checkpoint::check_history(config.training.max_epochs, &names)?;
    }
    let training = Training {
        config: &config.training,
        blueprint: &blueprint,
        sources: &sources,
        scaler: &scaler,
        weights: &weights,
        split: &split,
    };

    let job = checkpoint::job(config, sources.digest()?);
    let start = match checkpoint.filter(|path| path.exists()) {
        Some(path) => checkpoint::read(path, job, &blueprint, config.training.max_epochs)?,
        None => State::new(&blueprint, &mut rng),
    };
    start.history.iter().for_each(on_epoch);
    let state = training.run(start, |state| {
        if let Some(path) = checkpoint {
            checkpoint::write(path, job, state)?;
        }
        state.history.last().into_iter().for_each(on_epoch);
        Ok(())
    })?;

    let network = training.qualities(&training.scores(&state.best, &split.validation)?);
    let (best_epoch, _) = state.best_epoch().expect("the first pass is the best so far");
    let (trained, top) = blueprint.export(&state.best)?;
    let parts = Parts {
        name: &config.name,
        sources: &sources,
        split: &split,
        weights: &weights,
        scaler,
        network: trained,
        top: Some(top),
        head: &config.head,
    };
    let Published { lower, public, zero_shot } = publish(parts)?;
    Ok(Pretrained { lower, public, history: state.history, best_epoch, network, zero_shot })
}

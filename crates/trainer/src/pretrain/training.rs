//! The training loop: passes over the sources, a step size that follows its schedule, and the best parameters
//! on the records held out.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::{log_sigmoid, log_softmax};
use cryptotl_model::Scaler;
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sources::{Sources, Split};
use crate::config::TrainingConfig;
use crate::error::{Result, TrainerError};
use crate::head::scores_of;
use crate::metrics::{Quality, cross_entropy};
use crate::network::{Blueprint, elements, tensor};
use crate::optimizer::AdamW;

/// Rows that are evaluated at a time.
const EVALUATION_BATCH: usize = 1024;

/// What one pass over the sources did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The pass, from 1.
    pub epoch: usize,
    /// The step size of its last step.
    pub learning_rate: f64,
    /// The mean weighted loss of its steps, with dropout, in nats.
    pub train_loss: f64,
    /// The weighted mean loss of the records held out; what decides when to stop.
    pub validation_loss: f64,
    /// Whether no pass before had a validation loss as low.
    pub best: bool,
    /// The quality on each source's records held out, in the order of the sources.
    pub sources: Vec<SourceQuality>,
}

/// The quality on one source's records held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceQuality {
    /// The source's name.
    pub source: String,
    /// How well scores and labels agree.
    #[serde(flatten)]
    pub quality: Quality,
}

/// Everything that the rest of a training depends on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// The parameters after the last pass.
    pub parameters: Vec<Array2<f32>>,
    /// The optimizer's running means.
    pub optimizer: AdamW,
    /// The parameters with the lowest validation loss so far.
    pub best: Vec<Array2<f32>>,
    /// All passes so far.
    pub history: Vec<Epoch>,
}

/// The training of one network on one set of sources.
pub(crate) struct Training<'a> {
    /// How.
    pub config: &'a TrainingConfig,
    /// The network's shape.
    pub blueprint: &'a Blueprint,
    /// On what.
    pub sources: &'a Sources<'a>,
    /// What is done to an embedding first.
    pub scaler: &'a Scaler,
    /// How much each record counts.
    pub weights: &'a Array1<f64>,
    /// Which records train.
    pub split: &'a Split,
}

impl State {
    /// Before the first pass.
    pub fn new(blueprint: &Blueprint, rng: &mut ChaCha8Rng) -> Self {
        let parameters = blueprint.draw(rng);
        let optimizer = AdamW::new(blueprint.slots().iter().map(|slot| slot.shape));
        Self { best: parameters.clone(), parameters, optimizer, history: Vec::new() }
    }

    /// The pass with the lowest validation loss, and that loss.
    pub fn best_epoch(&self) -> Option<(usize, f64)> {
        self.history.iter().rev().find(|e| e.best).map(|e| (e.epoch, e.validation_loss))
    }
}

impl Training<'_> {
    /// Trains from `state` on to the end, and calls `after` with the state after every pass.
    ///
    /// Every pass draws its shuffle and its dropout from a stream of its own, so that the rest of a training
    /// depends on `state` alone.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the validation loss is not finite, and what `after` gives.
    pub fn run(&self, mut state: State, mut after: impl FnMut(&State) -> Result<()>) -> Result<State> {
        while !self.is_over(&state) {
            self.pass(&mut state)?;
            after(&state)?;
        }
        Ok(state)
    }

    fn is_over(&self, state: &State) -> bool {
        let done = state.history.len();
        let stale = state.best_epoch().map_or(0, |(epoch, _)| done - epoch);
        done >= self.config.max_epochs || stale >= self.config.patience
    }

    fn pass(&self, state: &mut State) -> Result<()> {
        let (config, epoch) = (self.config, state.history.len() + 1);
        let mut rng = stream(config.seed, epoch as u64);
        let mut order = self.split.train.clone();
        order.shuffle(&mut rng);
        let batches = order.len().div_ceil(config.batch);
        let (total, warmup) = (batches * config.max_epochs, batches * config.warmup_epochs);
        let (mut rate, mut losses) = (0.0, 0.0);
        for (i, batch) in order.chunks(config.batch).enumerate() {
            rate = config.rate((epoch - 1) * batches + i, total, warmup);
            losses += self.step(state, batch, rate, &mut rng)? * batch.len() as f64;
        }
        let scores = self.scores(&state.parameters, &self.split.validation)?;
        let validation_loss = self.validation_loss(&scores);
        if !validation_loss.is_finite() {
            return Err(TrainerError::training(
                format!("the validation loss is not finite after pass {epoch}"),
                "lower training.learning_rate or training.input_bound",
            ));
        }
        let best = state.best_epoch().is_none_or(|(_, lowest)| validation_loss < lowest);
        if best {
            state.best.clone_from(&state.parameters);
        }
        state.history.push(Epoch {
            epoch,
            learning_rate: rate,
            train_loss: losses / order.len() as f64,
            validation_loss,
            best,
            sources: self.qualities(&scores),
        });
        Ok(())
    }

    /// One step of AdamW on the mean of `weight * -log p` over a batch, p being the probability of a record's label; returns
    /// that mean.
    fn step(&self, state: &mut State, batch: &[usize], rate: f64, rng: &mut ChaCha8Rng) -> Result<f64> {
        let device = Device::flex();
        let parameters: Vec<Tensor<2>> =
            state.parameters.iter().map(|p| tensor(p, &device).autodiff().require_grad()).collect();
        let rows = self.rows(batch, &device)?.autodiff();
        let logits = self.blueprint.logits(&parameters, rows, Some(rng));
        let scores = logits.dims()[1];
        let matrix = |columns: usize, f: &dyn Fn(usize, u32) -> f64| {
            let of = |&i: &usize| (0..columns as u32).map(move |label| f(i, label) as f32);
            let values: Vec<f32> = batch.iter().flat_map(of).collect();
            Tensor::<2>::from_data(TensorData::new(values, [batch.len(), columns]), &device).autodiff()
        };
        let labels = &self.sources.labels;
        let loss = if scores == 1 {
            let signs = matrix(1, &|i, _| 2.0 * f64::from(labels[i]) - 1.0);
            (log_sigmoid(logits * signs) * matrix(1, &|i, _| -self.weights[i])).mean()
        } else {
            let own = matrix(scores, &|i, label| if labels[i] == label { -self.weights[i] } else { 0.0 });
            (log_softmax(logits, 1) * own).sum() / batch.len() as f64
        };
        let gradients = loss.backward();
        let mut step = state.optimizer.begin(rate);
        for (i, (slot, tensor)) in self.blueprint.slots().iter().zip(&parameters).enumerate() {
            // A parameter that the loss does not depend on has no gradient.
            let Some(gradient) = tensor.grad(&gradients) else { continue };
            let decay = if slot.is_bias { 0.0 } else { self.config.weight_decay };
            step.update(i, &mut state.parameters[i], &elements(gradient), decay);
        }
        Ok(f64::from(loss.into_scalar::<f32>()))
    }

    fn rows(&self, rows: &[usize], device: &Device) -> Result<Tensor<2>> {
        let scaled = self.scaler.apply(self.sources.select(rows)?.view())?;
        let x: Vec<f32> = scaled.iter().map(|x| *x as f32).collect();
        Ok(Tensor::from_data(TensorData::new(x, [rows.len(), scaled.ncols()]), device))
    }

    /// The network's scores of records, `[rows, scores]`, without dropout.
    ///
    /// # Errors
    /// [`cryptotl_model::ModelError::Io`] when the records are in a file that cannot be read.
    pub fn scores(&self, parameters: &[Array2<f32>], rows: &[usize]) -> Result<Array2<f64>> {
        let device = Device::flex();
        let parameters: Vec<Tensor<2>> = parameters.iter().map(|p| tensor(p, &device)).collect();
        let mut logits = Vec::new();
        for batch in rows.chunks(EVALUATION_BATCH) {
            let of_batch = self.blueprint.logits(&parameters, self.rows(batch, &device)?, None);
            logits.extend(elements(of_batch).into_iter().map(f64::from));
        }
        let scores = scores_of(self.sources.n_labels());
        Ok(Array2::from_shape_vec((rows.len(), scores), logits).expect("each row has its scores"))
    }

    fn validation_loss(&self, scores: &Array2<f64>) -> f64 {
        let held_out = scores.rows().into_iter().zip(&self.split.validation);
        let (losses, weights) = held_out.fold((0.0, 0.0), |(losses, weights), (scores, &i)| {
            let weight = self.weights[i];
            (losses + weight * cross_entropy(scores, self.sources.labels[i]), weights + weight)
        });
        losses / weights
    }

    /// The quality of scores of the records held out, for each source.
    pub fn qualities(&self, scores: &Array2<f64>) -> Vec<SourceQuality> {
        qualities(scores, self.sources, self.split)
    }
}

/// The quality of scores of the records held out, `[records held out, scores]`, for each source.
pub(crate) fn qualities(scores: &Array2<f64>, sources: &Sources, split: &Split) -> Vec<SourceQuality> {
    let of = |source: usize| {
        let places: Vec<usize> = (0..split.validation.len())
            .filter(|&place| sources.source_of[split.validation[place]] == source)
            .collect();
        let labels: Vec<u32> = places.iter().map(|&place| sources.labels[split.validation[place]]).collect();
        Quality::of(scores.select(Axis(0), &places).view(), &labels)
    };
    let names = sources.ids.iter().enumerate();
    names.map(|(s, id)| SourceQuality { source: id.name.clone(), quality: of(s) }).collect()
}

/// The generator of one pass; stream 0 draws the split and the initial parameters.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

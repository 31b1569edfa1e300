//! Both halves of a model from what was released of its private source: post-processing, and repeatable.

use std::collections::BTreeMap;

use cryptotl_model::{Digest, HeadInputs, LinearScore, LowerModel, PublicModel, Scaler, SourceId};
use ndarray::{Array1, Array2, Axis, concatenate};

use super::moments::Moments;
use super::transcript::{Released, SourcePrivacy, Transcript};
use crate::config::PretrainConfig;
use crate::error::Result;
use crate::linear::probabilities;
use crate::network::Blueprint;
use crate::pretrain::publish::{beside, standardized};
use crate::pretrain::training::stream;
use crate::source::{ViewSource, fit_view, of_rows};

/// The stream of the generator that makes up records; others are those of the training.
const MADE_UP: u64 = u64::MAX;

/// What stands for the source wherever records are needed.
pub(super) struct Stand {
    /// Records that nobody is in, `[records, width]`.
    pub rows: Array2<f32>,
    /// The scaler that was fitted to them.
    pub scaler: Scaler,
    /// They themselves, scaled.
    pub scaled: Array2<f64>,
}

impl Stand {
    pub(super) fn new(config: &PretrainConfig, moments: &Moments) -> Result<Self> {
        let mut rng = stream(config.training.seed, MADE_UP);
        let rows = moments.made_up(config.private.made_up, &mut rng);
        let scaler = Scaler::fit(rows.mapv(f64::from).view(), config.training.input_bound)?;
        let scaled = scaler.apply(rows.view())?;
        Ok(Self { rows, scaler, scaled })
    }

    /// The zero-shot head's probabilities, `[records, scores]`: of one score, that of the second label.
    pub(super) fn targets(&self, zero_shot: &[LinearScore]) -> Array2<f64> {
        let mut targets = of_rows(zero_shot, self.rows.mapv(f64::from).view());
        targets.rows_mut().into_iter().for_each(|mut row| {
            probabilities(row.as_slice_mut().expect("rows are contiguous"));
        });
        targets
    }
}

impl Transcript {
    /// Makes the two halves of the model. The same transcript gives the same halves.
    ///
    /// Mean, axes, second moments and starts of the public half are those of made-up records, and their labels those of the
    /// zero-shot head.
    ///
    /// # Errors
    /// [`crate::TrainerError::Training`] when a statistic has no solution.
    pub fn publish(&self) -> Result<(LowerModel, PublicModel)> {
        let header = &self.header;
        let Released { moments, zero_shot, parameters } = &self.released;
        let config = &header.config;
        let moments =
            Moments::of_sum(&moments.mapv(f64::from), config.private.row_norm, self.moments_noise())?;
        let stand = Stand::new(config, &moments)?;
        let width = stand.rows.ncols();
        let (network, top) = Blueprint::new(config, width, zero_shot.len())?.export(parameters)?;
        let (network, top) = standardized(network, Some(top), &stand.scaled)?;
        let features = network.forward(stand.scaled.view())?.mapv(|x| f64::from(x as f32));
        let lower = LowerModel {
            name: config.name.clone(),
            encoder: header.encoder.clone(),
            input_bound: stand.scaler.bound(),
            feature_bound: features.iter().fold(f64::MIN_POSITIVE, |bound, x| bound.max(x.abs())),
            network,
        };
        let embeddings = stand.rows.mapv(f64::from);
        let both = concatenate(Axis(1), &[embeddings.view(), features.view()]).expect("one row a record");
        let beside = top.as_ref().map(|top| beside(width, top));
        let targets = stand.targets(zero_shot);
        let weights = Array1::ones(stand.rows.nrows());
        let mut views = BTreeMap::new();
        for (kind, inputs, embedding_width, scores) in [
            (HeadInputs::Embedding, &embeddings, width, Some(zero_shot.clone())),
            (HeadInputs::EmbeddingAndFeatures, &both, width, beside),
            (HeadInputs::Features, &features, 0, top),
        ] {
            let source = ViewSource { inputs, embedding_width, targets: &targets, weights: &weights };
            views.insert(kind, fit_view(kind, &source, scores, &config.head)?);
        }
        let public = PublicModel {
            name: config.name.clone(),
            encoder: header.encoder.clone(),
            lower: lower.digest()?,
            feature_width: lower.network.output_width(),
            label_names: header.label_names.clone(),
            sources: vec![SourceId { name: header.source.clone(), records: moments.count.round() as usize }],
            validation_accuracy: None,
            source_privacy: Some(self.source_privacy()?),
            scaler: stand.scaler,
            zero_shot: zero_shot.clone(),
            views,
        };
        Ok((lower, public))
    }

    fn source_privacy(&self) -> Result<serde_json::Value> {
        let header = &self.header;
        let privacy = SourcePrivacy {
            population: header.population.clone(),
            guarantee: header.guarantee.clone(),
            event: header.event.clone(),
            witness: header.witness,
            release: Digest::of(&self.to_bytes()?),
        };
        Ok(serde_json::to_value(privacy).expect("plain structs with string keys always serialize"))
    }
}

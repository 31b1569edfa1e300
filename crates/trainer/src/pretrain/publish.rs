//! From a trained network to the two halves of a model.

use std::collections::BTreeMap;

use cryptotl_model::format;
use cryptotl_model::public::PublicHeader;
use cryptotl_model::{HeadInputs, Layer, LinearScore, LowerModel, Network, PublicModel, Scaler};
use ndarray::{Array1, Array2, Axis, concatenate};

use super::sources::{Sources, Split};
use super::training::{SourceQuality, qualities};
use crate::config::HeadConfig;
use crate::error::Result;
use crate::source::{ViewSource, fit_view, of_rows, weighted_linear_score};

/// Records whose features are computed at a time.
const BLOCK: usize = 4096;

/// What a model is made of, apart from the statistics of its sources.
pub(crate) struct Parts<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The sources.
    pub sources: &'a Sources<'a>,
    /// Which records the statistics may be fitted to, and which tell their quality.
    pub split: &'a Split,
    /// How much each record counts.
    pub weights: &'a Array1<f64>,
    /// What is done to an embedding first.
    pub scaler: Scaler,
    /// The lower network.
    pub network: Network,
    /// The scores of its features that it was trained with, where they are known.
    pub top: Option<Vec<LinearScore>>,
    /// What travels with the model for the data owner's head.
    pub head: &'a HeadConfig,
}

/// The two halves, and the zero-shot head's quality on each source's records held out.
pub(crate) struct Published {
    /// The model owner's secret.
    pub lower: LowerModel,
    /// What everyone may have.
    pub public: PublicModel,
    /// The quality of the zero-shot head.
    pub zero_shot: Vec<SourceQuality>,
}

/// Fails, before the training, when the public half would be larger than its readers take.
///
/// # Errors
/// [`cryptotl_model::ModelError::Invalid`].
pub(crate) fn check_size(width: usize, feature_width: usize, scores: usize, head: &HeadConfig) -> Result<()> {
    let of_view = |inputs: HeadInputs| {
        let n = width * usize::from(inputs != HeadInputs::Features)
            + feature_width * usize::from(inputs.needs_features());
        let ranks = head.ranks.iter().map(|&rank| {
            let dimension = rank.min(n) + 1 + scores;
            dimension * (dimension + scores)
        });
        let components = head.ranks.iter().map(|&rank| rank.min(n)).max().unwrap_or(0) * n;
        ranks.sum::<usize>() + components
    };
    let numbers: usize = HeadInputs::ALL.into_iter().map(of_view).sum();
    Ok(format::check_size::<PublicHeader>((numbers as u64).saturating_mul(8) + format::MAX_HEADER_BYTES)?)
}

/// Fits the public half to the sources.
///
/// # Errors
/// [`crate::TrainerError::Training`] when a statistic has no solution.
pub(crate) fn publish(parts: Parts) -> Result<Published> {
    let Parts { name, sources, split, weights, scaler, network, top, head } = parts;
    let all: Vec<usize> = (0..sources.len()).collect();
    let train = Sources::for_statistics(&split.train);
    let scaled =
        |records: &[usize]| -> Result<Array2<f64>> { Ok(scaler.apply(sources.select(records)?.view())?) };
    let (network, top) = standardized(network, top, &scaled(&train)?)?;
    // Records files hold features in f32; the statistics are fitted to what the data owner will see.
    let features_of = |records: &[usize]| -> Result<Array2<f64>> {
        Ok(network.forward(scaled(records)?.view())?.mapv(|x| f64::from(x as f32)))
    };
    let mut feature_bound = f64::MIN_POSITIVE;
    for block in all.chunks(BLOCK) {
        feature_bound = features_of(block)?.iter().fold(feature_bound, |bound, x| bound.max(x.abs()));
    }
    let records = Sources::for_statistics(&all);
    let features = features_of(&records)?;
    let lower = LowerModel {
        name: name.to_owned(),
        encoder: sources.encoder.clone(),
        input_bound: scaler.bound(),
        feature_bound,
        network: network.clone(),
    };

    let embeddings_of =
        |records: &[usize]| -> Result<Array2<f64>> { Ok(sources.select(records)?.mapv(f64::from)) };
    let zero_shot = weighted_linear_score(
        &embeddings_of(&train)?,
        &sources.targets(&train),
        &weights.select(Axis(0), &train),
        head.source_ridge,
    )?;
    let mut held_out = Array2::zeros((0, zero_shot.len()));
    for block in split.validation.chunks(BLOCK) {
        let scores = of_rows(&zero_shot, embeddings_of(block)?.view());
        held_out.append(Axis(0), scores.view()).expect("rows of one width");
    }
    let qualities = qualities(&held_out, sources, split);
    let embeddings = embeddings_of(&records)?;
    let (targets, weights) = (sources.targets(&records), weights.select(Axis(0), &records));
    let right: f64 = qualities.iter().map(|q| q.quality.accuracy * q.quality.records as f64).sum();
    let validation_accuracy = right / split.validation.len() as f64;

    let width = embeddings.ncols();
    let mut views = BTreeMap::new();
    let mut fit =
        |kind, inputs: &Array2<f64>, embedding_width, scores: Option<Vec<LinearScore>>| -> Result<()> {
            let source = ViewSource { inputs, embedding_width, targets: &targets, weights: &weights };
            views.insert(kind, fit_view(kind, &source, scores, head)?);
            Ok(())
        };
    fit(HeadInputs::Embedding, &embeddings, width, None)?;
    let both = concatenate(Axis(1), &[embeddings.view(), features.view()]).expect("one row a record");
    drop(embeddings);
    let beside = top.as_ref().map(|top| beside(width, top));
    fit(HeadInputs::EmbeddingAndFeatures, &both, width, beside)?;
    drop(both);
    fit(HeadInputs::Features, &features, 0, top)?;
    let public = PublicModel {
        name: name.to_owned(),
        encoder: sources.encoder.clone(),
        lower: lower.digest()?,
        feature_width: lower.network.output_width(),
        label_names: sources.label_names.clone(),
        sources: sources.ids.clone(),
        validation_accuracy: Some(validation_accuracy),
        source_privacy: None,
        scaler,
        zero_shot,
        views,
    };
    Ok(Published { lower, public, zero_shot: qualities })
}

/// Scores of the features as those of an embedding of this width and the features beside it.
pub(super) fn beside(width: usize, scores: &[LinearScore]) -> Vec<LinearScore> {
    let beside = |score: &LinearScore| {
        let weight = std::iter::repeat_n(0.0, width).chain(score.weight.iter().copied()).collect();
        LinearScore { weight, bias: score.bias }
    };
    scores.iter().map(beside).collect()
}

/// Folds a shift and a common scale into the last layer, so that the source's features have mean 0 and a
/// root mean square of 1: the encrypted circuit's headroom and the head's units then do not depend on
/// how the training happened to end. The scores of the features stay the same numbers. A network that does not
/// end in a dense layer is left as it is.
pub(super) fn standardized(
    network: Network,
    top: Option<Vec<LinearScore>>,
    scaled: &Array2<f64>,
) -> Result<(Network, Option<Vec<LinearScore>>)> {
    let features = network.forward(scaled.view())?;
    let mean = features.mean_axis(Axis(0)).expect("the split is not empty");
    let rms = (&features - &mean).mapv(|x| x * x).mean().unwrap_or(0.0).sqrt().max(Scaler::MIN_SCALE);
    let input_width = network.input_width();
    let mut layers = network.layers().to_vec();
    let Some(Layer::Dense { weight, bias }) = layers.last_mut() else { return Ok((network, top)) };
    *weight /= rms;
    *bias = (&*bias - &mean) / rms;
    let moved =
        |top: LinearScore| LinearScore { bias: top.bias + top.weight.dot(&mean), weight: top.weight * rms };
    let top = top.map(|top| top.into_iter().map(moved).collect());
    Ok((Network::new(input_width, layers)?, top))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn standardizing_moves_the_features_and_keeps_their_score() {
        let layers = vec![Layer::Dense { weight: array![[2.0, -1.0], [0.5, 3.0]], bias: array![4.0, -7.0] }];
        let network = Network::new(2, layers).unwrap();
        let top = LinearScore { weight: array![0.3, -0.8], bias: 0.1 };
        let rows = Array2::from_shape_fn((50, 2), |(i, j)| ((3 * i + 5 * j) as f64).sin() + j as f64);
        let before = top.of_rows(network.forward(rows.view()).unwrap().view());
        let (network, top) = standardized(network, Some(vec![top]), &rows).unwrap();
        let features = network.forward(rows.view()).unwrap();
        assert!(features.mean_axis(Axis(0)).unwrap().iter().all(|m| m.abs() < 1e-12));
        assert!((features.mapv(|x| x * x).mean().unwrap() - 1.0).abs() < 1e-12);
        let after = top.unwrap()[0].of_rows(features.view());
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}

//! Public pretraining: burn trains the lower network on the source, and its statistics are fitted.

use burn::module::Module;
use burn::nn::loss::BinaryCrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::TensorData;
use cryptotl_model::{HeadInputs, Layer, LowerModel, Network, PublicModel, Records, Scaler, SourceId};
use ndarray::{Array1, Array2, Axis, concatenate};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::config::PretrainConfig;
use crate::error::{Result, TrainerError};
use crate::network::{Blueprint, Weights};
use crate::progress::{OnProgress, Progress};
use crate::source::{fit_view, labeled, linear_score};

/// One public source.
#[derive(Debug, Clone)]
pub struct Source {
    /// A name for reports.
    pub name: String,
    /// Its records, with labels.
    pub records: Records,
}

/// A trained model in its two halves.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// The model owner's secret.
    pub lower: LowerModel,
    /// What everyone may have.
    pub public: PublicModel,
    /// Passes over the source until the best validation loss.
    pub best_epoch: usize,
    /// Accuracy of the whole network on the validation split.
    pub network_validation_accuracy: f64,
}

/// Trains the lower network on the sources and fits the public half. The same sources, configuration and
/// machine give the same files.
///
/// # Errors
/// [`TrainerError::Training`] when the sources disagree on encoder or labels, lack labels or are too few,
/// or a layer does not fit.
pub fn pretrain(config: &PretrainConfig, sources: &[Source], on_progress: OnProgress) -> Result<Pretrained> {
    let (embeddings, targets, ids) = gather(sources)?;
    let header = &sources[0].records.header;
    let mut rng = ChaCha8Rng::seed_from_u64(config.training.seed);
    let (train, validation) = split(&targets, config.training.validation_share, &mut rng)?;
    let scaler = Scaler::fit(embeddings.select(Axis(0), &train).view(), config.training.input_bound)?;
    let scaled = scaler.apply(embeddings.mapv(|x| x as f32).view())?;

    let trained = train_network(config, &scaled, &targets, (&train, &validation), rng, on_progress)?;
    let network = standardized(trained.network, &scaled.select(Axis(0), &train))?;
    let features = network.forward(scaled.view())?;
    // Records files hold features in f32; the statistics are fitted to what the data owner will see.
    let features = features.mapv(|x| f64::from(x as f32));
    let feature_bound = features.iter().fold(f64::MIN_POSITIVE, |bound, x| bound.max(x.abs()));

    let lower = LowerModel {
        name: config.name.clone(),
        encoder: header.encoder.clone(),
        input_bound: config.training.input_bound,
        feature_bound,
        network,
    };
    let zero_shot = linear_score(&embeddings.select(Axis(0), &train), &targets.select(Axis(0), &train), 1.0)?;
    let scores = zero_shot.of_rows(embeddings.select(Axis(0), &validation).view());
    let validation_accuracy = accuracy(&scores, &targets.select(Axis(0), &validation));
    let both =
        concatenate(Axis(1), &[embeddings.view(), features.view()]).expect("both have one row a record");
    let width = embeddings.ncols();
    let mut views = std::collections::BTreeMap::new();
    for (kind, inputs, embedding_width) in [
        (HeadInputs::Embedding, &embeddings, width),
        (HeadInputs::EmbeddingAndFeatures, &both, width),
        (HeadInputs::Features, &features, 0),
    ] {
        views.insert(kind, fit_view(kind, inputs, embedding_width, &targets, &config.head)?);
    }
    let public = PublicModel {
        name: config.name.clone(),
        encoder: header.encoder.clone(),
        lower: lower.digest()?,
        feature_width: lower.network.output_width(),
        label_names: header.label_names.clone(),
        sources: ids,
        validation_accuracy,
        scaler,
        zero_shot,
        views,
    };
    Ok(Pretrained {
        lower,
        public,
        best_epoch: trained.best_epoch,
        network_validation_accuracy: trained.validation_accuracy,
    })
}

/// All labeled records of all sources: embeddings, targets, and which source had how many.
fn gather(sources: &[Source]) -> Result<(Array2<f64>, Array1<f64>, Vec<SourceId>)> {
    let Some(first) = sources.first() else {
        return Err(TrainerError::training("there is no source", "give at least one --source"));
    };
    let header = &first.records.header;
    if header.label_names.len() != 2 {
        return Err(TrainerError::training(
            format!("the source declares {} labels", header.label_names.len()),
            "embed it with --label-column and two --labels",
        ));
    }
    let (mut blocks, mut targets, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        let other = &source.records.header;
        if other.encoder.digest != header.encoder.digest || other.label_names != header.label_names {
            return Err(TrainerError::training(
                format!("the sources {} and {} differ in encoder or labels", first.name, source.name),
                "embed them with one encoder and one --labels list",
            ));
        }
        source.records.check_finite(&format!("the source {}", source.name))?;
        let (rows, codes) = labeled(&source.records)?;
        blocks.push(source.records.embeddings.select(Axis(0), &rows).mapv(f64::from));
        targets.extend(codes);
        ids.push(SourceId { name: source.name.clone(), records: rows.len() });
    }
    let views: Vec<_> = blocks.iter().map(|b| b.view()).collect();
    let embeddings = concatenate(Axis(0), &views)
        .map_err(|_| TrainerError::training("the sources differ in width", "embed them with one encoder"))?;
    Ok((embeddings, Array1::from_vec(targets), ids))
}

/// A stratified split: the same share of each label is held out.
fn split(targets: &Array1<f64>, share: f64, rng: &mut ChaCha8Rng) -> Result<(Vec<usize>, Vec<usize>)> {
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for label in [0.0, 1.0] {
        let mut rows: Vec<usize> = (0..targets.len()).filter(|&i| targets[i] == label).collect();
        rows.shuffle(rng);
        let held_out = ((rows.len() as f64 * share).round() as usize).max(1);
        if held_out >= rows.len() {
            return Err(TrainerError::training(
                "the source has too few records of a label for a validation split",
                "give a source with at least a few dozen records of each label",
            ));
        }
        validation.extend(rows.drain(..held_out));
        train.extend(rows);
    }
    train.sort_unstable();
    validation.sort_unstable();
    Ok((train, validation))
}

struct Trained {
    network: Network,
    best_epoch: usize,
    validation_accuracy: f64,
}

fn train_network(
    config: &PretrainConfig,
    scaled: &Array2<f64>,
    targets: &Array1<f64>,
    (train, validation): (&[usize], &[usize]),
    mut rng: ChaCha8Rng,
    on_progress: OnProgress,
) -> Result<Trained> {
    let training = &config.training;
    let device = Device::flex().autodiff();
    let (blueprint, mut weights) = Blueprint::draw(config, scaled.ncols(), &mut rng, &device)?;
    let mut optimizer: ModuleOptimizer =
        AdamWConfig::new().with_epsilon(1e-7).with_weight_decay(training.weight_decay as f32).init();
    let mut order = train.to_vec();
    let mut best = (f64::INFINITY, 0usize, weights.valid());
    for epoch in 1..=training.max_epochs {
        order.shuffle(&mut rng);
        for batch in order.chunks(training.batch) {
            let (x, y) = tensors(scaled, targets, batch, &device);
            let logits = blueprint.logits(&weights, x, Some(&mut rng));
            let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device).forward(logits, y);
            let gradients = GradientsParams::from_grads(loss.backward(), &weights);
            weights = optimizer.step(training.learning_rate, weights, gradients);
        }
        let candidate = weights.valid();
        let loss = cross_entropy(&predict(&blueprint, &candidate, scaled, validation), targets, validation);
        if loss < best.0 {
            best = (loss, epoch, candidate);
        }
        on_progress(Progress { done: epoch, total: training.max_epochs });
        if epoch - best.1 >= training.patience {
            break;
        }
    }
    let (loss, best_epoch, weights) = best;
    if !loss.is_finite() {
        return Err(TrainerError::training(
            "the validation loss is not finite",
            "lower training.learning_rate or training.input_bound",
        ));
    }
    on_progress(Progress { done: training.max_epochs, total: training.max_epochs });
    let scores = predict(&blueprint, &weights, scaled, validation);
    let validation_accuracy = accuracy(&scores, &targets.select(Axis(0), validation));
    Ok(Trained { network: blueprint.export(&weights)?, best_epoch, validation_accuracy })
}

fn tensors(
    scaled: &Array2<f64>,
    targets: &Array1<f64>,
    batch: &[usize],
    device: &Device,
) -> (Tensor<2>, Tensor<1, Int>) {
    let x: Vec<f32> = batch.iter().flat_map(|&i| scaled.row(i).to_vec()).map(|x| x as f32).collect();
    let y: Vec<i64> = batch.iter().map(|&i| targets[i] as i64).collect();
    (
        Tensor::from_data(TensorData::new(x, [batch.len(), scaled.ncols()]), device),
        Tensor::from_data(TensorData::new(y, [batch.len()]), device),
    )
}

fn predict(blueprint: &Blueprint, weights: &Weights, scaled: &Array2<f64>, rows: &[usize]) -> Array1<f64> {
    let device = Device::flex();
    let mut scores = Vec::with_capacity(rows.len());
    for batch in rows.chunks(1024) {
        let x: Vec<f32> = batch.iter().flat_map(|&i| scaled.row(i).to_vec()).map(|x| x as f32).collect();
        let x = Tensor::from_data(TensorData::new(x, [batch.len(), scaled.ncols()]), &device);
        let logits = blueprint.logits(weights, x, None).into_data_as::<f32>();
        scores.extend(logits.as_slice::<f32>().expect("asked for f32").iter().map(|x| f64::from(*x)));
    }
    Array1::from_vec(scores)
}

fn cross_entropy(scores: &Array1<f64>, targets: &Array1<f64>, rows: &[usize]) -> f64 {
    // log(1 + exp(z)) - y z, without overflow.
    let losses =
        scores.iter().zip(rows).map(|(&z, &i)| z.max(0.0) + (-z.abs()).exp().ln_1p() - targets[i] * z);
    losses.sum::<f64>() / rows.len() as f64
}

/// The share of scores on the right side of zero.
pub(crate) fn accuracy(scores: &Array1<f64>, targets: &Array1<f64>) -> f64 {
    let right = scores.iter().zip(targets).filter(|(s, t)| (**s > 0.0) == (**t == 1.0)).count();
    right as f64 / targets.len().max(1) as f64
}

/// Folds a shift and a common scale into the last layer, so that the source's features have mean 0 and a
/// root mean square of 1: the encrypted circuit's headroom and the head's units then do not depend on
/// how the training happened to end. A network that does not end in a dense layer is left as it is.
fn standardized(network: Network, scaled: &Array2<f64>) -> Result<Network> {
    let features = network.forward(scaled.view())?;
    let mean = features.mean_axis(Axis(0)).expect("the split is not empty");
    let rms = (&features - &mean).mapv(|x| x * x).mean().unwrap_or(0.0).sqrt().max(Scaler::MIN_SCALE);
    let input_width = network.input_width();
    let mut layers = network.layers().to_vec();
    if let Some(Layer::Dense { weight, bias }) = layers.last_mut() {
        *weight /= rms;
        *bias = (&*bias - &mean) / rms;
    }
    Ok(Network::new(input_width, layers)?)
}

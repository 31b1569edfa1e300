//! The network of a private source: first on made-up records, then by DP-SGD (Abadi et al. 2016).

use cryptotl_privacy::{Factoring, Factors, NoisySum, SequencePart, Units};
use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::gradient::{Recordwise, by_parameter, factoring};
use crate::config::{PretrainConfig, TrainingConfig};
use crate::error::Result;
use crate::network::Blueprint;
use crate::optimizer::AdamW;

/// Trains on rows that nobody is in, with the zero-shot head's probabilities, `[rows, scores]`, as their targets: where DP-SGD begins.
pub(super) fn on_made_up(
    blueprint: &Blueprint,
    training: &TrainingConfig,
    rows: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    rng: &mut ChaCha8Rng,
) -> Vec<Array2<f32>> {
    let mut parameters = blueprint.draw(rng);
    let mut optimizer = AdamW::new(blueprint.slots().iter().map(|slot| slot.shape));
    let factoring = factoring(blueprint);
    let mut factors = Factors::new(&factoring);
    let steps = rows.nrows().div_ceil(training.batch);
    let (total, warmup) = (training.max_epochs * steps, training.warmup_epochs * steps);
    let mut order: Vec<usize> = (0..rows.nrows()).collect();
    let mut done = 0;
    for _ in 0..training.max_epochs {
        order.shuffle(rng);
        for batch in order.chunks(training.batch) {
            let network = Recordwise::new(blueprint, &parameters);
            let mut sum = vec![0.0; factoring.dimension().unwrap_or(0)];
            for &i in batch {
                network.gradient(&rows.row(i).to_vec(), &targets.row(i).to_vec(), &mut factors);
                add(&factoring, &mut factors, 1.0 / batch.len() as f64, &mut sum);
            }
            let rate = training.rate(done, total, warmup);
            update(blueprint, training, &mut optimizer, &mut parameters, &sum, rate);
            done += 1;
        }
    }
    parameters
}

/// DP-SGD from `parameters`: each step moves against a noisy sum of clipped gradients, divided by the expected size of the Poisson
/// sample, which follows from the noisy `count`. The mean of the last half of the iterates is the result.
///
/// `row(i)` is a scaled record and its target, a probability for each score, if it has one.
pub(super) fn on_private<'r>(
    part: &mut SequencePart,
    units: &Units,
    (blueprint, config): (&Blueprint, &PretrainConfig),
    count: f64,
    mut parameters: Vec<Array2<f32>>,
    row: impl Fn(usize) -> Option<(&'r [f64], &'r [f64])>,
) -> Result<Vec<Array2<f32>>> {
    let factoring = factoring(blueprint);
    let mut optimizer = AdamW::new(blueprint.slots().iter().map(|slot| slot.shape));
    let mut averaged: Vec<Array2<f32>> = parameters.iter().map(|p| Array2::zeros(p.dim())).collect();
    let (steps, n_averaged) = (part.steps(), part.steps().div_ceil(2));
    let size = count * part.sampling_rate();
    for step in 0..steps {
        let network = Recordwise::new(blueprint, &parameters);
        let mut sum = part.step_factored(units, &factoring, |i, out| {
            let Some((record, target)) = row(i) else { return false };
            network.gradient(record, target, out);
            true
        })?;
        sum.iter_mut().for_each(|x| *x /= size);
        let rate = config.private.learning_rate;
        update(blueprint, &config.training, &mut optimizer, &mut parameters, &sum, rate);
        if step >= steps - n_averaged {
            for (mean, parameter) in averaged.iter_mut().zip(&parameters) {
                mean.scaled_add(1.0 / n_averaged as f32, parameter);
            }
        }
    }
    Ok(averaged)
}

fn update(
    blueprint: &Blueprint,
    training: &TrainingConfig,
    optimizer: &mut AdamW,
    parameters: &mut [Array2<f32>],
    gradient: &[f64],
    rate: f64,
) {
    let mut step = optimizer.begin(rate);
    for (i, (slot, gradient)) in blueprint.slots().iter().zip(by_parameter(blueprint, gradient)).enumerate() {
        let decay = if slot.is_bias { 0.0 } else { training.weight_decay };
        step.update(i, &mut parameters[i], &gradient, decay);
    }
}

/// Adds `share` of a contribution in factors to a sum, without clipping: for made-up records.
pub(super) fn add(factoring: &Factoring, factors: &mut Factors, share: f64, sum: &mut [f64]) {
    let mut start = 0;
    for (i, (rows, columns)) in factoring.outer.iter().enumerate() {
        let (left, right) = factors.outer(i);
        let own = &mut sum[start..start + rows * columns];
        for (row, a) in own.chunks_exact_mut(*columns).zip(left) {
            let a = share * *a;
            row.iter_mut().zip(&*right).for_each(|(sum, d)| *sum += a * d);
        }
        start += rows * columns;
    }
    sum[start..].iter_mut().zip(factors.plain()).for_each(|(sum, p)| *sum += share * *p);
}

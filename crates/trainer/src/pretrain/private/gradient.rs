//! Gradients of single records, in factors.
//!
//! A dense layer's gradient is an outer product of its input, with a 1 for the bias, and the gradient behind it: two factors, whose
//! norms give the product's (the ghost norm). A convolution has one small kernel that is used at every position, so that its gradient is
//! summed over positions and given as it is. Bu, Mao and Xu (2022) give the rule for which of the two is cheaper: factors where
//! twice the square of the number of positions is below the number of weights, which is so for dense layers, with
//! one position, and never here for a convolution, whose positions are as many as its input is wide.
//!
//! Every record is computed by itself, by the same operations in the same order, from the record and the parameters alone. A matrix
//! product over a batch would be faster, and may round a record's numbers in a way that depends on who else is in the batch; then
//! one record could move the contributions of others, and the sensitivity of the sum would be larger than what is paid for.

use cryptotl_privacy::{Factoring, Factors};
use ndarray::Array2;

use crate::linear::probabilities;
use crate::network::{Blueprint, Step};

/// Where a layer's parameters are.
#[derive(Clone, Copy)]
struct Place {
    /// Its first parameter.
    slot: usize,
    /// Its outer product.
    outer: usize,
    /// Where its plain numbers begin.
    plain: usize,
}

/// The network as a function of one record.
pub(super) struct Recordwise<'a> {
    steps: &'a [Step],
    /// One for each step, and one for the classification layer.
    places: Vec<Place>,
    /// Row-major, as in the blueprint.
    parameters: Vec<Vec<f64>>,
    shapes: Vec<[usize; 2]>,
    /// The first step with parameters: nothing before it needs a gradient.
    first: usize,
}

/// Which numbers of a sum are whose.
pub(super) fn factoring(blueprint: &Blueprint) -> Factoring {
    let shapes: Vec<[usize; 2]> = blueprint.slots().iter().map(|slot| slot.shape).collect();
    let (mut factoring, mut slot) = (Factoring::default(), 0);
    for step in blueprint.steps() {
        match step {
            Step::Conv1d { .. } => {
                factoring.plain += shapes[slot][0] * shapes[slot][1];
                slot += 1;
            }
            Step::Dense => {
                factoring.outer.push((shapes[slot][0] + 1, shapes[slot][1]));
                slot += 2;
            }
            Step::Activation(_) | Step::AvgPool1d { .. } | Step::Dropout { .. } => {}
        }
    }
    factoring.outer.push((shapes[slot][0] + 1, shapes[slot][1]));
    factoring
}

/// A sum of gradients, in the order of [`factoring`], as one matrix a parameter, row-major.
pub(super) fn by_parameter(blueprint: &Blueprint, sum: &[f64]) -> Vec<Vec<f32>> {
    let products: usize = factoring(blueprint).outer.iter().map(|(left, right)| left * right).sum();
    let (mut outer, mut plain) = sum.split_at(products);
    let slots = blueprint.slots();
    let is_bias_of = |slot: usize| slots.get(slot + 1).is_some_and(|next| next.is_bias);
    let take = |slot: usize| {
        let [rows, columns] = slots[slot].shape;
        // A weight with a bias after it, and that bias, are the rows of an outer product.
        let from = if slots[slot].is_bias || is_bias_of(slot) { &mut outer } else { &mut plain };
        let (own, rest) = from.split_at(rows * columns);
        *from = rest;
        own.iter().map(|x| *x as f32).collect()
    };
    (0..slots.len()).map(take).collect()
}

impl<'a> Recordwise<'a> {
    pub(super) fn new(blueprint: &'a Blueprint, parameters: &[Array2<f32>]) -> Self {
        let (mut places, mut next) = (Vec::new(), Place { slot: 0, outer: 0, plain: 0 });
        for step in blueprint.steps() {
            places.push(next);
            match step {
                Step::Conv1d { .. } => {
                    next.plain += parameters[next.slot].len();
                    next.slot += 1;
                }
                Step::Dense => {
                    next.outer += 1;
                    next.slot += 2;
                }
                Step::Activation(_) | Step::AvgPool1d { .. } | Step::Dropout { .. } => {}
            }
        }
        places.push(next);
        let has_parameters = |step: &Step| matches!(step, Step::Conv1d { .. } | Step::Dense);
        let first = blueprint.steps().iter().position(has_parameters);
        Self {
            steps: blueprint.steps(),
            places,
            parameters: parameters.iter().map(|p| p.iter().map(|x| f64::from(*x)).collect()).collect(),
            shapes: blueprint.slots().iter().map(|slot| slot.shape).collect(),
            first: first.unwrap_or(blueprint.steps().len()),
        }
    }

    /// Writes the factors of the gradient of the cross entropy at a record, whose `target` is a probability for each score (of one
    /// score, that of the second label). Dropout is left out.
    pub(super) fn gradient(&self, record: &[f64], target: &[f64], out: &mut Factors) {
        let top = self.steps.len();
        let mut inputs = vec![record.to_vec()];
        for (step, place) in self.steps.iter().zip(&self.places) {
            let input = &inputs[inputs.len() - 1];
            let output = self.forward(step, *place, input);
            inputs.push(output);
        }
        let mut delta = self.dense(self.places[top], &inputs[top]);
        residuals(&mut delta, target);
        write_outer(&inputs[top], &delta, out.outer(self.places[top].outer));
        delta = self.dense_back(self.places[top], &delta);
        for at in (self.first..top).rev() {
            let (place, input) = (self.places[at], &inputs[at]);
            match &self.steps[at] {
                Step::Conv1d { taps } => {
                    let filters = self.shapes[place.slot][0];
                    let own = &mut out.plain()[place.plain..place.plain + filters * taps];
                    kernel_gradient(*taps, input, &delta, own);
                }
                Step::Dense => write_outer(input, &delta, out.outer(place.outer)),
                Step::Activation(_) | Step::AvgPool1d { .. } | Step::Dropout { .. } => {}
            }
            if at > self.first {
                delta = self.back(&self.steps[at], place, input, delta);
            }
        }
    }

    fn forward(&self, step: &Step, place: Place, x: &[f64]) -> Vec<f64> {
        match step {
            Step::Conv1d { taps } => {
                let kernels = self.parameters[place.slot].chunks_exact(*taps);
                kernels.flat_map(|kernel| (0..x.len()).map(|t| at_position(kernel, x, t))).collect()
            }
            Step::Dense => self.dense(place, x),
            Step::Activation(polynomial) => x.iter().map(|z| polynomial.evaluate(*z)).collect(),
            Step::AvgPool1d { size } => {
                x.windows(*size).map(|window| window.iter().sum::<f64>() / *size as f64).collect()
            }
            Step::Dropout { .. } => x.to_vec(),
        }
    }

    fn dense(&self, place: Place, x: &[f64]) -> Vec<f64> {
        let mut z = self.parameters[place.slot + 1].clone();
        for (row, x) in self.parameters[place.slot].chunks_exact(z.len()).zip(x) {
            z.iter_mut().zip(row).for_each(|(z, w)| *z += x * w);
        }
        z
    }

    fn dense_back(&self, place: Place, delta: &[f64]) -> Vec<f64> {
        let rows = self.parameters[place.slot].chunks_exact(delta.len());
        rows.map(|row| row.iter().zip(delta).map(|(w, d)| w * d).sum()).collect()
    }

    /// The gradient before a step from the gradient behind it.
    fn back(&self, step: &Step, place: Place, input: &[f64], delta: Vec<f64>) -> Vec<f64> {
        match step {
            Step::Conv1d { taps } => {
                let mut before = vec![0.0; input.len()];
                let kernels = self.parameters[place.slot].chunks_exact(*taps);
                for (kernel, delta) in kernels.zip(delta.chunks_exact(input.len())) {
                    for (t, d) in delta.iter().enumerate() {
                        for (j, w) in kernel.iter().enumerate() {
                            if let Some(x) = position(t, j, *taps).and_then(|at| before.get_mut(at)) {
                                *x += w * d;
                            }
                        }
                    }
                }
                before
            }
            Step::Dense => self.dense_back(place, &delta),
            Step::Activation(polynomial) => {
                let slope = |z: f64| {
                    let terms = polynomial.coefficients().iter().enumerate().skip(1).rev();
                    terms.fold(0.0, |sum, (power, c)| sum * z + power as f64 * c)
                };
                input.iter().zip(delta).map(|(z, d)| d * slope(*z)).collect()
            }
            Step::AvgPool1d { size } => {
                let mut before = vec![0.0; input.len()];
                for (t, d) in delta.iter().enumerate() {
                    before[t..t + size].iter_mut().for_each(|x| *x += d / *size as f64);
                }
                before
            }
            Step::Dropout { .. } => delta,
        }
    }
}

/// Scores become what probabilities there are too much: the gradient of the cross entropy.
pub(super) fn residuals(scores: &mut [f64], target: &[f64]) {
    probabilities(scores);
    scores.iter_mut().zip(target).for_each(|(p, target)| *p -= target);
}

fn write_outer(input: &[f64], delta: &[f64], (left, right): (&mut [f64], &mut [f64])) {
    left[..input.len()].copy_from_slice(input);
    left[input.len()] = 1.0;
    right.copy_from_slice(delta);
}

/// The place in the input that tap `j` reads for output `t`, if it is not in the padding on the left.
fn position(t: usize, j: usize, taps: usize) -> Option<usize> {
    (t + j).checked_sub((taps - 1) / 2)
}

fn at_position(kernel: &[f64], x: &[f64], t: usize) -> f64 {
    let taps = kernel.iter().enumerate();
    taps.map(|(j, w)| w * position(t, j, kernel.len()).and_then(|at| x.get(at)).unwrap_or(&0.0)).sum()
}

/// The gradient of kernels, `[filters, taps]`: for each tap, the sum over positions.
fn kernel_gradient(taps: usize, input: &[f64], delta: &[f64], out: &mut [f64]) {
    for (kernel, delta) in out.chunks_exact_mut(taps).zip(delta.chunks_exact(input.len())) {
        for (j, sum) in kernel.iter_mut().enumerate() {
            let terms = delta.iter().enumerate();
            *sum = terms
                .map(|(t, d)| d * position(t, j, taps).and_then(|at| input.get(at)).unwrap_or(&0.0))
                .sum();
        }
    }
}

//! AdamW on plain numbers: a state that can be written down, and one pass over memory a step.

use ndarray::Array2;
use rayon::prelude::*;

/// Decay of the gradient's running mean.
const BETA_1: f32 = 0.9;
/// Decay of the squared gradient's running mean.
const BETA_2: f32 = 0.999;
/// What keeps a step finite where no gradient has been.
const EPSILON: f32 = 1e-7;
/// Numbers that one task updates.
const CHUNK: usize = 1 << 14;

/// AdamW (Loshchilov and Hutter 2019, algorithm 2) with the running means of each parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdamW {
    /// Steps taken.
    pub time: u64,
    /// The running mean of each parameter's gradient.
    pub first: Vec<Array2<f32>>,
    /// The running mean of its square.
    pub second: Vec<Array2<f32>>,
}

impl AdamW {
    /// Nothing seen yet, for parameters of these shapes.
    pub fn new(shapes: impl Iterator<Item = [usize; 2]> + Clone) -> Self {
        let zeros = || shapes.clone().map(Array2::zeros).collect();
        Self { time: 0, first: zeros(), second: zeros() }
    }

    /// Counts one step and returns what its updates need to know.
    pub fn begin(&mut self, rate: f64) -> AdamWStep<'_> {
        self.time += 1;
        // Past a few thousand steps the corrections are 1 to the last bit; the cap keeps the power's exponent in range.
        let time = self.time.min(1 << 20) as i32;
        let corrections = [BETA_1, BETA_2].map(|b| (1.0 - f64::from(b).powi(time)) as f32);
        AdamWStep { rate: rate as f32, corrections, state: self }
    }
}

/// One step of [`AdamW`], to be applied to every parameter once.
pub(crate) struct AdamWStep<'a> {
    rate: f32,
    corrections: [f32; 2],
    state: &'a mut AdamW,
}

impl AdamWStep<'_> {
    /// Moves parameter number `i` against its gradient, row-major, and toward zero by `decay` times the step size.
    pub fn update(&mut self, i: usize, parameter: &mut Array2<f32>, gradient: &[f32], decay: f64) {
        let Self { rate, corrections: [correct_1, correct_2], .. } = *self;
        let shrink = 1.0 - rate * decay as f32;
        let parameter = parameter.as_slice_mut().expect("parameters are contiguous");
        let first = self.state.first[i].as_slice_mut().expect("as drawn");
        let second = self.state.second[i].as_slice_mut().expect("as drawn");
        assert_eq!(parameter.len(), gradient.len(), "a gradient has its parameter's shape");
        let chunks = parameter
            .par_chunks_mut(CHUNK)
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|(((parameter, first), second), gradient)| {
            for (((p, m), v), g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
                *m = BETA_1 * *m + (1.0 - BETA_1) * g;
                *v = BETA_2 * *v + (1.0 - BETA_2) * g * g;
                *p = *p * shrink - rate * (*m / correct_1) / ((*v / correct_2).sqrt() + EPSILON);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::{AdamWConfig, Optimizer};
    use burn::prelude::*;

    use crate::network::{elements, tensor};

    #[test]
    fn it_steps_as_burns_does() {
        let device = Device::flex();
        let (rate, decay) = (0.02, 0.1);
        let burns = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(decay as f32).build();
        let shape = [130, 200]; // more than one chunk
        let mut ours = Array2::from_shape_fn(shape, |(i, j)| ((i * 31 + j * 17) as f32).sin());
        let mut state = AdamW::new([shape].into_iter());
        let (mut theirs, mut their_state) = (tensor(&ours, &device), None);
        for round in 0..30 {
            let gradient = Array2::from_shape_fn(shape, |(i, j)| ((i + 5 * j + 11 * round) as f32).cos());
            (theirs, their_state) = burns.step(rate, theirs, tensor(&gradient, &device), their_state);
            state.begin(rate).update(0, &mut ours, gradient.as_slice().unwrap(), decay);
        }
        let furthest = ours.iter().zip(elements(theirs)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-5, "{furthest}");
    }
}

//! The lower network in burn's tensors, and its way into [`cryptotl_model::Network`].

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::{avg_pool1d, conv1d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use cryptotl_model::network::MAX_WIDTH;
use cryptotl_model::{Layer, LinearScore, Network, Polynomial};
use ndarray::Array2;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Bernoulli, Distribution, Uniform};

use crate::config::{LayerConfig, PretrainConfig};
use crate::error::{Result, TrainerError};

/// What one layer does; its parameters lie in one list, in the order of the layers.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the variants are the layers of the configuration
pub(crate) enum Step {
    Conv1d { taps: usize },
    Dense,
    Activation(Polynomial),
    AvgPool1d { size: usize },
    Dropout { rate: f64 },
}

/// One parameter's shape and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Rows and columns: `[filters, taps]`, `[inputs, outputs]` or, for a bias, `[1, outputs]`.
    pub shape: [usize; 2],
    /// Biases are drawn as zeros and do not decay.
    pub is_bias: bool,
    /// Glorot's fan in plus fan out.
    fans: usize,
}

/// The shape of a lower network and of the classification layer on top of it, which is trained with it and
/// then left behind: everything but the parameters, a list of matrices.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    input_width: usize,
    steps: Vec<Step>,
    slots: Vec<Slot>,
}

impl Blueprint {
    /// Checks that the layers fit each other. The classification layer gives so many scores.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when a layer does not fit the width it gets.
    pub fn new(config: &PretrainConfig, input_width: usize, scores: usize) -> Result<Self> {
        let (mut steps, mut slots) = (Vec::new(), Vec::new());
        let mut width = input_width;
        let dense = |slots: &mut Vec<Slot>, inputs: usize, outputs: usize| {
            slots.push(Slot { shape: [inputs, outputs], is_bias: false, fans: inputs + outputs });
            slots.push(Slot { shape: [1, outputs], is_bias: true, fans: 0 });
        };
        for layer in &config.layers {
            let step = match layer {
                LayerConfig::Conv1d { filters, taps } => {
                    if *filters == 0 || taps % 2 == 0 {
                        return Err(TrainerError::training(
                            format!("a convolution of {filters} filters and {taps} taps"),
                            "use at least one filter and an odd number of taps",
                        ));
                    }
                    slots.push(Slot {
                        shape: [*filters, *taps],
                        is_bias: false,
                        fans: taps.saturating_add(filters.saturating_mul(*taps)),
                    });
                    width = width.saturating_mul(*filters);
                    Step::Conv1d { taps: *taps }
                }
                LayerConfig::Dense { outputs } => {
                    let outputs = outputs.unwrap_or(width);
                    if outputs <= MAX_WIDTH {
                        dense(&mut slots, width, outputs);
                    }
                    width = outputs;
                    Step::Dense
                }
                LayerConfig::Activation { polynomial } => Step::Activation(polynomial.polynomial()),
                LayerConfig::AvgPool1d { size } => {
                    if *size == 0 || *size > width {
                        return Err(TrainerError::training(
                            format!("average pooling over {size} of {width} numbers"),
                            "pool over at least 1 and at most all of them",
                        ));
                    }
                    width = width - size + 1;
                    Step::AvgPool1d { size: *size }
                }
                LayerConfig::Dropout { rate } => Step::Dropout { rate: *rate },
            };
            if width == 0 || width > MAX_WIDTH {
                return Err(TrainerError::training(
                    format!("a layer of width {width}"),
                    format!("use widths from 1 to {MAX_WIDTH}"),
                ));
            }
            steps.push(step);
        }
        dense(&mut slots, width, scores);
        Ok(Self { input_width, steps, slots })
    }

    /// How many features the network has: what its classification layer, the last, takes.
    pub fn feature_width(&self) -> usize {
        let weights = self.slots.iter().rev().find(|slot| !slot.is_bias);
        weights.map_or(0, |slot| slot.shape[0])
    }

    /// What the layers do, in order; the classification layer comes after them.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Each parameter's shape, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Draws initial parameters: Glorot and Bengio (2010), equation 16, uniform in
    /// `+-sqrt(6 / (fan_in + fan_out))`; biases are zero.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<Array2<f32>> {
        self.slots
            .iter()
            .map(|slot| {
                if slot.is_bias {
                    return Array2::zeros(slot.shape);
                }
                let limit = (6.0 / slot.fans as f32).sqrt();
                let uniform =
                    Uniform::new_inclusive(-limit, limit).expect("the limit is positive and finite");
                Array2::from_shape_simple_fn(slot.shape, || uniform.sample(rng))
            })
            .collect()
    }

    /// The features, `[rows, output width]`. With `dropout` the network behaves as in training.
    fn features(
        &self,
        parameters: &[Tensor<2>],
        x: Tensor<2>,
        mut dropout: Option<&mut ChaCha8Rng>,
    ) -> Tensor<2> {
        let mut parameters = parameters.iter().cloned();
        let mut next = || parameters.next().expect("the blueprint counts its parameters");
        self.steps.iter().fold(x, |x, step| match step {
            Step::Conv1d { taps } => {
                let kernels = next().unsqueeze_dim::<3>(1);
                let options = ConvOptions::new([1], [(taps - 1) / 2], [1], 1);
                conv1d(x.unsqueeze_dim::<3>(1), kernels, None, options).flatten::<2>(1, 2)
            }
            Step::Dense => {
                let weight = next();
                x.matmul(weight) + next()
            }
            Step::Activation(polynomial) => evaluate(polynomial, x),
            Step::AvgPool1d { size } => {
                let options = AvgPoolOptions::new([*size]).with_stride([1]);
                avg_pool1d(x.unsqueeze_dim::<3>(1), options).flatten::<2>(1, 2)
            }
            Step::Dropout { rate } => match &mut dropout {
                Some(rng) => x.clone() * mask(x.dims(), *rate, rng, &x.device()),
                None => x,
            },
        })
    }

    /// The scores of the labels, `[rows, scores]`: a single one is the logit of the second label against the first.
    pub fn logits(
        &self,
        parameters: &[Tensor<2>],
        x: Tensor<2>,
        dropout: Option<&mut ChaCha8Rng>,
    ) -> Tensor<2> {
        let features = self.features(parameters, x, dropout);
        let [.., weight, bias] = parameters else { unreachable!("the top layer has two parameters") };
        features.matmul(weight.clone()) + bias.clone()
    }

    /// The trained network in f64, without dropout, and the classification layer as scores of its features.
    pub fn export(&self, parameters: &[Array2<f32>]) -> Result<(Network, Vec<LinearScore>)> {
        let mut parameters = parameters.iter().map(|p| p.mapv(f64::from));
        let mut next = || parameters.next().expect("the blueprint counts its parameters");
        let mut layers = Vec::new();
        for step in &self.steps {
            layers.push(match step {
                Step::Conv1d { .. } => Layer::Conv1d { kernels: next(), bias: None },
                Step::Dense => {
                    let weight = next().reversed_axes().as_standard_layout().into_owned();
                    Layer::Dense { weight, bias: next().row(0).to_owned() }
                }
                Step::Activation(polynomial) => Layer::Activation(polynomial.clone()),
                Step::AvgPool1d { size } => Layer::AvgPool1d { size: *size },
                Step::Dropout { .. } => continue,
            });
        }
        let (weight, bias) = (next(), next());
        let scores = weight.columns().into_iter().zip(&bias);
        let top = scores.map(|(weight, &bias)| LinearScore { weight: weight.to_owned(), bias }).collect();
        Ok((Network::new(self.input_width, layers)?, top))
    }
}

fn evaluate(polynomial: &Polynomial, z: Tensor<2>) -> Tensor<2> {
    let mut coefficients = polynomial.coefficients().iter().rev();
    let first = *coefficients.next().expect("a polynomial has coefficients");
    let second = *coefficients.next().expect("its degree is at least 1");
    coefficients.fold(z.clone() * first + second, |acc, c| acc * z.clone() + *c)
}

fn mask(shape: [usize; 2], rate: f64, rng: &mut impl Rng, device: &Device) -> Tensor<2> {
    let keep = Bernoulli::new(1.0 - rate).expect("the configuration's rates are in [0, 1)");
    let kept = (1.0 / (1.0 - rate)) as f32;
    let values: Vec<f32> =
        (0..shape[0] * shape[1]).map(|_| if keep.sample(rng) { kept } else { 0.0 }).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A matrix as a tensor.
pub(crate) fn tensor(matrix: &Array2<f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = matrix.dim();
    Tensor::from_data(TensorData::new(matrix.iter().copied().collect::<Vec<f32>>(), [rows, columns]), device)
}

/// A tensor's elements, row-major.
pub(crate) fn elements<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a CPU's tensors can be read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn burn_and_the_reference_network_agree() {
        let config = PretrainConfig::from_toml(
            r#"
            version = 1
            name = "x"
            layers = [
                { kind = "conv1d", filters = 2, taps = 5 },
                { kind = "dense", outputs = 7 },
                { kind = "activation", polynomial = [0.1, 0.5, -0.2, 0.3] },
                { kind = "avg-pool1d", size = 3 },
                { kind = "dropout", rate = 0.5 },
                { kind = "dense", outputs = 4 },
            ]
            [training]
            seed = 1
            max_epochs = 1
            patience = 1
            batch = 8
            learning_rate = 0.01
            weight_decay = 0.0
            validation_share = 0.2
            input_bound = 6.0
            "#,
        )
        .unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let blueprint = Blueprint::new(&config, 6, 3).unwrap();
        let mut parameters = blueprint.draw(&mut rng);
        for (slot, parameter) in blueprint.slots().iter().zip(&mut parameters) {
            if slot.is_bias {
                parameter.fill(0.25);
            }
        }
        let x = Array2::from_shape_fn((5, 6), |(i, j)| ((3 * i + 7 * j) as f32).sin());
        let device = Device::flex();
        let tensors: Vec<_> = parameters.iter().map(|p| tensor(p, &device)).collect();
        let logits = elements(blueprint.logits(&tensors, tensor(&x, &device), None));
        let (network, top) = blueprint.export(&parameters).unwrap();
        let features = network.forward(x.mapv(f64::from).view()).unwrap();
        let expected = crate::source::of_rows(&top, features.view());
        assert_eq!((expected.dim(), logits.len()), ((5, 3), 15));
        for (got, expected) in logits.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} and {expected}");
        }
    }
}

//! The lower network as burn modules, and its way into [`cryptotl_model::Network`].

use burn::module::{Module, Param};
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Linear, PaddingConfig1d};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::avg_pool1d;
use burn::tensor::ops::AvgPoolOptions;
use cryptotl_model::{Layer, Network, Polynomial};
use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Bernoulli, Distribution, Uniform};

use crate::config::{LayerConfig, PretrainConfig};
use crate::error::{Result, TrainerError};

/// What one layer does; weights live in [`Weights`], in the order of the layers that have some.
#[derive(Debug, Clone)]
enum Step {
    Conv1d { filters: usize },
    Dense,
    Activation(Polynomial),
    AvgPool1d { size: usize },
    Dropout { rate: f64 },
}

/// The shape of a lower network: everything but its weights.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    input_width: usize,
    steps: Vec<Step>,
}

/// The weights of a lower network and of the classification layer on top of it, which is trained with it
/// and then left behind.
#[derive(Module, Debug)]
pub(crate) struct Weights {
    convolutions: Vec<Conv1d>,
    denses: Vec<Linear>,
    top: Linear,
}

impl Blueprint {
    /// Draws initial weights: Glorot and Bengio (2010), equation 16, uniform in
    /// `+-sqrt(6 / (fan_in + fan_out))`; biases are zero.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when a layer does not fit the width it gets.
    pub fn draw(
        config: &PretrainConfig,
        input_width: usize,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<(Self, Weights)> {
        let mut steps = Vec::new();
        let (mut convolutions, mut denses) = (Vec::new(), Vec::new());
        let mut width = input_width;
        for layer in &config.layers {
            let step = match layer {
                LayerConfig::Conv1d { filters, taps } => {
                    if *filters == 0 || taps % 2 == 0 {
                        return Err(TrainerError::training(
                            format!("a convolution of {filters} filters and {taps} taps"),
                            "use at least one filter and an odd number of taps",
                        ));
                    }
                    let mut convolution = Conv1dConfig::new(1, *filters, *taps)
                        .with_padding(PaddingConfig1d::Same)
                        .with_bias(false)
                        .init(device);
                    let kernel = glorot(*taps, filters * taps, filters * taps, rng);
                    convolution.weight =
                        Param::from_data(TensorData::new(kernel, [*filters, 1, *taps]), device);
                    convolutions.push(convolution);
                    width *= filters;
                    Step::Conv1d { filters: *filters }
                }
                LayerConfig::Dense { outputs } => {
                    let outputs = outputs.unwrap_or(width);
                    denses.push(dense(width, outputs, rng, device));
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
            if width == 0 || width > cryptotl_model::network::MAX_WIDTH {
                return Err(TrainerError::training(
                    format!("a layer of width {width}"),
                    format!("use widths from 1 to {}", cryptotl_model::network::MAX_WIDTH),
                ));
            }
            steps.push(step);
        }
        let top = dense(width, 1, rng, device);
        Ok((Self { input_width, steps }, Weights { convolutions, denses, top }))
    }

    /// The features, `[rows, output width]`. With `dropout` the network behaves as in training.
    pub fn features(
        &self,
        weights: &Weights,
        x: Tensor<2>,
        mut dropout: Option<&mut ChaCha8Rng>,
    ) -> Tensor<2> {
        let (mut convolutions, mut denses) = (weights.convolutions.iter(), weights.denses.iter());
        self.steps.iter().fold(x, |x, step| match step {
            Step::Conv1d { .. } => {
                let layer = convolutions.next().expect("one convolution a step");
                layer.forward(x.unsqueeze_dim::<3>(1)).flatten::<2>(1, 2)
            }
            Step::Dense => denses.next().expect("one dense layer a step").forward(x),
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

    /// The logit of the second label against the first, `[rows]`.
    pub fn logits(&self, weights: &Weights, x: Tensor<2>, dropout: Option<&mut ChaCha8Rng>) -> Tensor<1> {
        weights.top.forward(self.features(weights, x, dropout)).flatten::<1>(0, 1)
    }

    /// The trained lower network. Dropout has no place in it.
    pub fn export(&self, weights: &Weights) -> Result<Network> {
        let (mut convolutions, mut denses) = (weights.convolutions.iter(), weights.denses.iter());
        let mut layers = Vec::new();
        for step in &self.steps {
            layers.push(match step {
                Step::Conv1d { filters } => {
                    let layer = convolutions.next().expect("one convolution a step");
                    let taps = layer.kernel_size;
                    let kernels = numbers(layer.weight.val().reshape([*filters, taps]));
                    Layer::Conv1d { kernels, bias: None }
                }
                Step::Dense => {
                    let layer = denses.next().expect("one dense layer a step");
                    let bias = layer.bias.as_ref().expect("dense layers are drawn with a bias").val();
                    let [outputs] = bias.dims();
                    let bias = numbers(bias.reshape([1, outputs])).into_iter().collect::<Array1<f64>>();
                    Layer::Dense { weight: numbers(layer.weight.val().transpose()), bias }
                }
                Step::Activation(polynomial) => Layer::Activation(polynomial.clone()),
                Step::AvgPool1d { size } => Layer::AvgPool1d { size: *size },
                Step::Dropout { .. } => continue,
            });
        }
        Ok(Network::new(self.input_width, layers)?)
    }
}

fn evaluate(polynomial: &Polynomial, z: Tensor<2>) -> Tensor<2> {
    let mut coefficients = polynomial.coefficients().iter().rev();
    let first = *coefficients.next().expect("a polynomial has coefficients");
    let second = *coefficients.next().expect("its degree is at least 1");
    coefficients.fold(z.clone() * first + second, |acc, c| acc * z.clone() + *c)
}

fn mask(shape: [usize; 2], rate: f64, rng: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
    let keep = Bernoulli::new(1.0 - rate).expect("the configuration's rates are in [0, 1)");
    let kept = (1.0 / (1.0 - rate)) as f32;
    let values: Vec<f32> =
        (0..shape[0] * shape[1]).map(|_| if keep.sample(rng) { kept } else { 0.0 }).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn dense(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Linear {
    let weight = glorot(inputs, outputs, inputs * outputs, rng);
    Linear {
        weight: Param::from_data(TensorData::new(weight, [inputs, outputs]), device),
        bias: Some(Param::from_data(TensorData::new(vec![0.0f32; outputs], [outputs]), device)),
    }
}

fn glorot(fan_in: usize, fan_out: usize, n: usize, rng: &mut impl Rng) -> Vec<f32> {
    let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
    let uniform = Uniform::new_inclusive(-limit, limit).expect("the limit is positive and finite");
    (0..n).map(|_| uniform.sample(rng)).collect()
}

/// A tensor's elements in f64.
pub(crate) fn numbers(tensor: Tensor<2>) -> Array2<f64> {
    let [rows, columns] = tensor.dims();
    let data = tensor.into_data_as::<f32>();
    let values = data.as_slice::<f32>().expect("asked for f32").iter().map(|x| f64::from(*x)).collect();
    Array2::from_shape_vec((rows, columns), values).expect("a tensor fills its shape")
}

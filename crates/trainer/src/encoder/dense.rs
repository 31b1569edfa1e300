//! The linear layer that an encoder may have behind its pooling: the module `Dense` of the
//! sentence-transformers library.

use std::path::PathBuf;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use serde::Deserialize;

use super::config::Refusal;
use super::weights::{self, Names};

/// The largest width on either side.
const MAX_WIDTH: usize = 1 << 16;

/// The layer's `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default = "tanh")]
    activation_function: String,
    #[serde(default)]
    use_residual: bool,
    #[serde(default = "sentence")]
    module_input_name: String,
    module_output_name: Option<String>,
}

fn yes() -> bool {
    true
}

fn tanh() -> String {
    "torch.nn.modules.activation.Tanh".to_owned()
}

fn sentence() -> String {
    "sentence_embedding".to_owned()
}

/// What a layer does to each of its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Identity,
    Tanh,
}

impl Activation {
    fn named(name: &str) -> Option<Self> {
        match name.strip_prefix("torch.nn.")?.rsplit('.').next()? {
            "Identity" => Some(Self::Identity),
            "Tanh" => Some(Self::Tanh),
            _ => None,
        }
    }
}

/// `activation(W x + b)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense {
    /// `[in, out]`, row-major.
    weights: Vec<f32>,
    /// Of `out` numbers.
    bias: Vec<f32>,
    activation: Activation,
}

/// The layer as its file has it.
#[derive(Module, Debug)]
struct Layer {
    linear: Linear,
}

impl DenseConfig {
    /// Refuses what is not computed; `width` is that of what the layer is given. Returns its own.
    pub fn check(&self, name: &str, width: usize) -> Result<usize, Refusal> {
        let refuse =
            |fact: String, remedy: &str| Err((format!("its module {name} {fact}"), remedy.to_owned()));
        if Activation::named(&self.activation_function).is_none() {
            let activation: String = self.activation_function.chars().take(80).collect();
            return refuse(
                format!("has the activation `{activation}`"),
                "use an encoder with Tanh or Identity",
            );
        }
        let output = self.module_output_name.as_deref().unwrap_or(&self.module_input_name);
        if self.use_residual || self.module_input_name != sentence() || output != sentence() {
            let remedy = "use an encoder whose Dense maps sentence embeddings, without a residual";
            return refuse("is no plain layer on a sentence embedding".to_owned(), remedy);
        }
        if self.in_features != width || !(1..=MAX_WIDTH).contains(&self.out_features) {
            let fact =
                format!("maps {} numbers to {}, and is given {width}", self.in_features, self.out_features);
            return refuse(fact, "fetch the encoder again");
        }
        Ok(self.out_features)
    }

    /// The layer with the weights of a file, once [`DenseConfig::check`] has accepted it.
    ///
    /// # Errors
    /// As for [`weights::load`].
    pub fn load(&self, file: PathBuf) -> Result<Dense, String> {
        let device = Device::flex();
        let linear = LinearConfig::new(self.in_features, self.out_features).with_bias(self.bias);
        let mut layer = Layer { linear: linear.init(&device) };
        weights::load(&mut layer, Names::DENSE, &[file])?;
        let numbers = |data: burn::tensor::TensorData| {
            data.as_slice::<f32>().map(<[f32]>::to_vec).map_err(|e| format!("{e:?}"))
        };
        let Linear { weight, bias, .. } = layer.linear;
        Ok(Dense {
            weights: numbers(weight.val().into_data())?,
            bias: match bias {
                Some(bias) => numbers(bias.val().into_data())?,
                None => vec![0.0; self.out_features],
            },
            activation: Activation::named(&self.activation_function).unwrap_or(Activation::Identity),
        })
    }
}

impl Dense {
    /// How many numbers it gives.
    pub fn width(&self) -> usize {
        self.bias.len()
    }

    /// The layer's output for one text, summed in an order that does not depend on any other.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut sums = self.bias.clone();
        for (x, row) in x.iter().zip(self.weights.chunks_exact(self.width())) {
            sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += x * weight);
        }
        if self.activation == Activation::Tanh {
            sums.iter_mut().for_each(|sum| *sum = f64::from(*sum).tanh() as f32);
        }
        sums
    }
}

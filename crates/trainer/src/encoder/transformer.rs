//! The post-norm transformer of BERT (Devlin et al. 2019, section 3), which DistilBERT and RoBERTa have as well,
//! and of MPNet (Song et al. 2020, whose encoder adds relative position biases to the attention, as T5 does), as
//! burn modules.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

use super::config::TransformerConfig;
use super::gelu::gelu;

/// The distance from which all of MPNet's relative positions share a bucket.
const MPNET_MAX_DISTANCE: f32 = 128.0;

/// Token ids to hidden states.
#[derive(Module, Debug)]
pub(super) struct Transformer {
    word: Embedding,
    position: Embedding,
    token_type: Option<Embedding>,
    relative: Option<Embedding>,
    norm: LayerNorm,
    layers: Vec<Block>,
}

#[derive(Module, Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    n_heads: usize,
}

impl Transformer {
    /// A network of this shape, whose weights are still to be loaded.
    pub fn new(config: &TransformerConfig, device: &Device) -> Self {
        let d = config.hidden_size;
        let table = |n: usize, width: usize| EmbeddingConfig::new(n, width).init(device);
        let linear = |a: usize, b: usize| LinearConfig::new(a, b).init(device);
        let norm = || LayerNormConfig::new(d).with_epsilon(config.layer_norm_eps).init(device);
        let layers = (0..config.num_hidden_layers)
            .map(|_| Block {
                query: linear(d, d),
                key: linear(d, d),
                value: linear(d, d),
                attention_output: linear(d, d),
                attention_norm: norm(),
                intermediate: linear(d, config.intermediate_size),
                output: linear(config.intermediate_size, d),
                output_norm: norm(),
                n_heads: config.num_attention_heads,
            })
            .collect();
        let optional = |rows: usize, columns: usize| (rows > 0).then(|| table(rows, columns));
        Self {
            word: table(config.vocab_size, d),
            position: table(config.max_position_embeddings, d),
            token_type: optional(config.type_vocab_size, d),
            relative: optional(config.relative_attention_num_buckets, config.num_attention_heads),
            norm: norm(),
            layers,
        }
    }

    /// The last hidden states, `[texts, length, hidden]`, of texts of one length; `ids` has one text after
    /// the other.
    pub fn forward(&self, config: &TransformerConfig, ids: &[&[u32]], device: &Device) -> Tensor<3> {
        let length = ids.first().map_or(0, |text| text.len());
        let tensor = |numbers: Vec<i64>| {
            Tensor::<2, Int>::from_data(TensorData::new(numbers, [ids.len(), length]), device)
        };
        let tokens = tensor(ids.iter().flat_map(|text| text.iter().map(|&id| i64::from(id))).collect());
        let positions = tensor(ids.iter().flat_map(|text| config.positions(text)).collect());
        let mut embedded = self.word.forward(tokens) + self.position.forward(positions);
        if let Some(types) = &self.token_type {
            embedded = embedded + types.forward(Tensor::zeros([1, 1], device));
        }
        let bias = self.relative.as_ref().map(|table| position_bias(&table.weight, length, device));
        self.layers
            .iter()
            .fold(self.norm.forward(embedded), |states, layer| layer.forward(states, bias.clone()))
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>, bias: Option<Tensor<4>>) -> Tensor<3> {
        let [batch, length, hidden] = x.dims();
        let split =
            |t: Tensor<3>| t.reshape([batch, length, self.n_heads, hidden / self.n_heads]).swap_dims(1, 2);
        let attended = attention(
            split(self.query.forward(x.clone())),
            split(self.key.forward(x.clone())),
            split(self.value.forward(x.clone())),
            None,
            bias,
            AttentionModuleOptions::default(),
        );
        let attended = attended.swap_dims(1, 2).reshape([batch, length, hidden]);
        let x = self.attention_norm.forward(self.attention_output.forward(attended) + x);
        let expanded = gelu(self.intermediate.forward(x.clone()));
        self.output_norm.forward(self.output.forward(expanded) + x)
    }
}

/// What MPNet adds to the attention of every pair of positions: `[1, heads, length, length]`, read from
/// `table`, `[buckets, heads]`, by [`bucket`].
fn position_bias(table: &Param<Tensor<2>>, length: usize, device: &Device) -> Tensor<4> {
    let table = table.val();
    let [n_buckets, n_heads] = table.dims();
    let distances = (0..length as i64).flat_map(|i| (0..length as i64).map(move |j| j - i));
    let buckets: Vec<i64> = distances.map(|distance| bucket(distance, n_buckets) as i64).collect();
    let buckets = Tensor::<1, Int>::from_data(TensorData::new(buckets, [length * length]), device);
    table.select(0, buckets).swap_dims(0, 1).reshape([1, n_heads, length, length])
}

/// The bucket of a relative position, key minus query (Raffel et al. 2020, "T5", section 2.1, as MPNet's
/// published code computes it): a half for each direction; in each half one bucket a distance up to a quarter
/// of all buckets, then buckets that grow by the logarithm.
fn bucket(distance: i64, n_buckets: usize) -> usize {
    let half = n_buckets / 2;
    let exact = half / 2;
    let direction = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    if distance < exact {
        return direction + distance;
    }
    let logarithm = (distance as f32 / exact as f32).ln() / (MPNET_MAX_DISTANCE / exact as f32).ln();
    direction + (exact + (logarithm * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `MPNetEncoder.relative_position_bucket` in the transformers library.
    #[test]
    fn buckets_are_those_of_the_published_code() {
        let of = |distances: &[i64]| distances.iter().map(|&d| bucket(d, 32)).collect::<Vec<_>>();
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -15, -16]), [0, 1, 7, 8, 8, 9, 9, 10]);
        assert_eq!(of(&[-22, -23, -31, -32, -63, -64, -90, -91, -400]), [10, 11, 11, 12, 13, 14, 14, 15, 15]);
        assert_eq!(of(&[1, 7, 8, 15, 16, 127, 128, 400]), [17, 23, 24, 25, 26, 31, 31, 31]);
    }
}

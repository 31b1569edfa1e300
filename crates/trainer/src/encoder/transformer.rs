//! The post-norm transformer of BERT (Devlin et al. 2019, section 3) and MPNet (Song et al. 2020, whose
//! encoder adds relative position biases to the attention, as T5 does), as burn modules.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use serde::Deserialize;

use super::gelu::gelu;

/// What an encoder of another size than any that exists is refused at.
const MAX_SIZE: usize = 1 << 20;

/// The fields of `config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TransformerConfig {
    pub model_type: String,
    pub hidden_act: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layer_norm_eps: f64,
    pub max_position_embeddings: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub vocab_size: usize,
    /// BERT's.
    #[serde(default)]
    pub type_vocab_size: usize,
    /// BERT's.
    #[serde(default)]
    pub position_embedding_type: Option<String>,
    /// MPNet's.
    #[serde(default = "default_buckets")]
    pub relative_attention_num_buckets: usize,
}

fn default_buckets() -> usize {
    32
}

/// The published families that differ in how they see positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    Mpnet,
}

/// MPNet's id of the padding token. Positions are counted from the number after it, and a token that is
/// padding, which a text can spell out, stands at it.
const MPNET_PADDING: u32 = 1;
/// The distance from which all of MPNet's relative positions share a bucket.
const MPNET_MAX_DISTANCE: f32 = 128.0;

impl TransformerConfig {
    /// The family, once [`TransformerConfig::check`] has accepted it.
    pub fn family(&self) -> Family {
        match self.model_type.as_str() {
            "mpnet" => Family::Mpnet,
            _ => Family::Bert,
        }
    }

    /// How many tokens there are positions for.
    pub fn max_tokens(&self) -> usize {
        match self.family() {
            Family::Bert => self.max_position_embeddings,
            Family::Mpnet => self.max_position_embeddings.saturating_sub(MPNET_PADDING as usize + 1),
        }
    }

    /// Refuses, with fact and remedy, what this build does not compute.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let known = ["bert", "mpnet"];
        if !known.contains(&self.model_type.as_str()) {
            return Err((
                format!("its network is `{}`", self.model_type),
                "use an encoder of the BERT or MPNet family",
            ));
        }
        if self.hidden_act != "gelu" {
            return Err((format!("its activation is `{}`", self.hidden_act), "use an encoder with `gelu`"));
        }
        let positions = self.position_embedding_type.as_deref().unwrap_or("absolute");
        if positions != "absolute" {
            return Err((
                format!("its positions are `{positions}`"),
                "use an encoder with absolute positions",
            ));
        }
        let sizes = [
            self.hidden_size,
            self.intermediate_size,
            self.max_position_embeddings,
            self.num_attention_heads,
            self.num_hidden_layers,
            self.vocab_size,
        ];
        let buckets =
            self.family() != Family::Mpnet || (4..=MAX_SIZE).contains(&self.relative_attention_num_buckets);
        let types = self.family() != Family::Bert || (1..=MAX_SIZE).contains(&self.type_vocab_size);
        if !buckets || !types || sizes.iter().any(|size| !(1..=MAX_SIZE).contains(size)) {
            return Err(("its config.json has a size that no encoder has".to_owned(), "fetch it again"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(("its attention heads do not divide its width".to_owned(), "fetch it again"));
        }
        Ok(())
    }

    /// Each token's place in the table of positions.
    fn positions(&self, ids: &[u32]) -> Vec<i64> {
        match self.family() {
            Family::Bert => (0..ids.len() as i64).collect(),
            Family::Mpnet => {
                let mut last = i64::from(MPNET_PADDING);
                let place = |&id: &u32| match id == MPNET_PADDING {
                    true => i64::from(MPNET_PADDING),
                    false => {
                        last += 1;
                        last
                    }
                };
                ids.iter().map(place).collect()
            }
        }
    }
}

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
        let (token_type, relative) = match config.family() {
            Family::Bert => (Some(table(config.type_vocab_size, d)), None),
            Family::Mpnet => {
                (None, Some(table(config.relative_attention_num_buckets, config.num_attention_heads)))
            }
        };
        Self {
            word: table(config.vocab_size, d),
            position: table(config.max_position_embeddings, d),
            token_type,
            relative,
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

    fn config(model_type: &str) -> TransformerConfig {
        TransformerConfig {
            model_type: model_type.to_owned(),
            hidden_act: "gelu".to_owned(),
            hidden_size: 8,
            intermediate_size: 16,
            layer_norm_eps: 1e-12,
            max_position_embeddings: 40,
            num_attention_heads: 2,
            num_hidden_layers: 1,
            vocab_size: 30,
            type_vocab_size: 2,
            position_embedding_type: None,
            relative_attention_num_buckets: 32,
        }
    }

    #[test]
    fn positions_follow_the_family() {
        let ids = [0, 7, MPNET_PADDING, 9, 2];
        assert_eq!(config("bert").positions(&ids), [0, 1, 2, 3, 4]);
        assert_eq!(config("mpnet").positions(&ids), [2, 3, 1, 4, 5]);
        assert_eq!((config("bert").max_tokens(), config("mpnet").max_tokens()), (40, 38));
    }

    /// The values of `MPNetEncoder.relative_position_bucket` in the transformers library.
    #[test]
    fn buckets_are_those_of_the_published_code() {
        let of = |distances: &[i64]| distances.iter().map(|&d| bucket(d, 32)).collect::<Vec<_>>();
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -15, -16]), [0, 1, 7, 8, 8, 9, 9, 10]);
        assert_eq!(of(&[-22, -23, -31, -32, -63, -64, -90, -91, -400]), [10, 11, 11, 12, 13, 14, 14, 15, 15]);
        assert_eq!(of(&[1, 7, 8, 15, 16, 127, 128, 400]), [17, 23, 24, 25, 26, 31, 31, 31]);
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        type Alter<'a> = &'a dyn Fn(&mut TransformerConfig);
        let cases: [(Alter, &str); 7] = [
            (&|c| c.model_type = "roberta".into(), "`roberta`"),
            (&|c| c.hidden_act = "relu".into(), "`relu`"),
            (&|c| c.position_embedding_type = Some("relative_key".into()), "`relative_key`"),
            (&|c| c.num_attention_heads = 3, "do not divide"),
            (&|c| c.num_attention_heads = 0, "no encoder has"),
            (&|c| c.hidden_size = usize::MAX, "no encoder has"),
            (&|c| c.type_vocab_size = 0, "no encoder has"),
        ];
        for (change, fact) in cases {
            let mut config = config("bert");
            change(&mut config);
            assert!(config.check().unwrap_err().0.contains(fact), "{fact}");
        }
        let mut mpnet = config("mpnet");
        mpnet.relative_attention_num_buckets = 0;
        assert!(mpnet.check().unwrap_err().0.contains("no encoder has"));
        assert_eq!(config("bert").check(), Ok(()));
    }
}

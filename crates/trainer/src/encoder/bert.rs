//! The BERT encoder as burn modules (Devlin et al. 2019, section 3; the post-norm transformer).

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::store::{KeyRemapper, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::activation::gelu;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use serde::Deserialize;

/// The fields of `config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BertConfig {
    pub model_type: String,
    pub hidden_act: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layer_norm_eps: f64,
    pub max_position_embeddings: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub type_vocab_size: usize,
    pub vocab_size: usize,
    #[serde(default)]
    pub position_embedding_type: Option<String>,
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

/// Token ids to hidden states.
#[derive(Module, Debug)]
pub(super) struct Bert {
    word: Embedding,
    position: Embedding,
    token_type: Embedding,
    norm: LayerNorm,
    layers: Vec<Block>,
}

impl Bert {
    pub fn new(config: &BertConfig, device: &Device) -> Self {
        let d = config.hidden_size;
        let table = |n: usize| EmbeddingConfig::new(n, d).init(device);
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
        Self {
            word: table(config.vocab_size),
            position: table(config.max_position_embeddings),
            token_type: table(config.type_vocab_size),
            norm: norm(),
            layers,
        }
    }

    /// Loads the weights of a Hugging Face `BertModel` from its safetensors file.
    pub fn load(&mut self, path: &std::path::Path) -> Result<(), String> {
        const NAMES: [(&str, &str); 9] = [
            (r"^(?:bert\.)?embeddings\.(word|position|token_type)_embeddings\.", "$1."),
            (r"^(?:bert\.)?embeddings\.LayerNorm\.", "norm."),
            (r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.", "layers.$1.$2."),
            (r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.dense\.", "layers.$1.attention_output."),
            (
                r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.",
                "layers.$1.attention_norm.",
            ),
            (r"^(?:bert\.)?encoder\.layer\.(\d+)\.intermediate\.dense\.", "layers.$1.intermediate."),
            (r"^(?:bert\.)?encoder\.layer\.(\d+)\.output\.dense\.", "layers.$1.output."),
            (r"^(?:bert\.)?encoder\.layer\.(\d+)\.output\.LayerNorm\.", "layers.$1.output_norm."),
            (r"^bert\.pooler\.", "pooler."),
        ];
        let mut names = KeyRemapper::new();
        for (theirs, ours) in NAMES {
            names = names.add_pattern(theirs, ours).map_err(|e| e.to_string())?;
        }
        let mut store =
            SafetensorsStore::from_file(path).with_from_adapter(PyTorchToBurnAdapter).remap(names);
        let applied = self.load_from(&mut store).map_err(|e| e.to_string())?;
        if applied.is_success() { Ok(()) } else { Err(applied.to_string()) }
    }

    /// `ids` is `[batch, length]`, without padding. Gives the last hidden states, `[batch, length, hidden]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [_, length] = ids.dims();
        let device = ids.device();
        let positions = Tensor::<1, Int>::arange(0..length as i64, &device).unsqueeze_dim::<2>(0);
        let types = Tensor::<2, Int>::zeros([1, 1], &device);
        let embedded =
            self.word.forward(ids) + self.position.forward(positions) + self.token_type.forward(types);
        self.layers.iter().fold(self.norm.forward(embedded), |x, layer| layer.forward(x))
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, hidden] = x.dims();
        let split =
            |t: Tensor<3>| t.reshape([batch, length, self.n_heads, hidden / self.n_heads]).swap_dims(1, 2);
        let attended = attention(
            split(self.query.forward(x.clone())),
            split(self.key.forward(x.clone())),
            split(self.value.forward(x.clone())),
            None,
            None,
            AttentionModuleOptions::default(),
        );
        let attended = attended.swap_dims(1, 2).reshape([batch, length, hidden]);
        let x = self.attention_norm.forward(self.attention_output.forward(attended) + x);
        let expanded = gelu(self.intermediate.forward(x.clone()));
        self.output_norm.forward(self.output.forward(expanded) + x)
    }
}

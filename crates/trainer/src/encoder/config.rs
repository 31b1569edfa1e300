//! `config.json`: which network an encoder is, and its sizes.

use serde_json::{Map, Value};

/// What an encoder of another size than any that exists is refused at.
const MAX_SIZE: usize = 1 << 20;
/// How RoBERTa and MPNet number the padding token, where the configuration of the former says nothing else.
const PADDING: u32 = 1;

/// Why an encoder is not used: the fact, and what to do.
pub(super) type Refusal = (String, String);

fn refusal<T>(fact: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err((fact.into(), remedy.into()))
}

/// The published families that are computed. They differ in how they see positions, and in the names of sizes
/// and weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    DistilBert,
    /// RoBERTa, and XLM-R and CamemBERT, which differ from it in their tokenizers alone.
    Roberta,
    Mpnet,
}

impl Family {
    /// Each family under the names that `model_type` has for it.
    const NAMED: [(&'static str, Self); 6] = [
        ("bert", Self::Bert),
        ("distilbert", Self::DistilBert),
        ("roberta", Self::Roberta),
        ("xlm-roberta", Self::Roberta),
        ("camembert", Self::Roberta),
        ("mpnet", Self::Mpnet),
    ];

    /// The family of a configuration. Nothing else of it is looked at: a network that is not known has
    /// fields of its own.
    ///
    /// # Errors
    /// The network's name, and those that are computed.
    pub fn of(config: &Map<String, Value>) -> Result<Self, Refusal> {
        let known = Self::NAMED.map(|(name, _)| format!("`{name}`")).join(", ");
        let remedy = format!("use an encoder whose config.json says one of {known}");
        let Some(name) = config.get("model_type").and_then(Value::as_str) else {
            return refusal("its config.json does not say what its network is (`model_type`)", remedy);
        };
        match Self::NAMED.into_iter().find(|(known, _)| *known == name) {
            Some((_, family)) => Ok(family),
            None => {
                let name: String = name.chars().take(80).collect();
                refusal(format!("its network is `{name}`, which this build does not compute"), remedy)
            }
        }
    }

    /// What `config.json` calls width, width between, heads and layers.
    fn size_names(self) -> [&'static str; 4] {
        match self {
            Self::DistilBert => ["dim", "hidden_dim", "n_heads", "n_layers"],
            _ => ["hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"],
        }
    }
}

/// What shapes the network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TransformerConfig {
    pub family: Family,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    pub layer_norm_eps: f64,
    /// Rows of the table of token types, of which the first is used; none in families without one.
    pub type_vocab_size: usize,
    /// Rows of MPNet's table of relative positions; none in other families.
    pub relative_attention_num_buckets: usize,
    /// The padding token, in families whose positions count from the number after it. A token that is
    /// padding, which a text can spell out, stands at it.
    padding: Option<u32>,
}

impl TransformerConfig {
    /// Reads `config.json`. What it leaves out is what the transformers library takes then.
    ///
    /// # Errors
    /// In words: what this build does not compute, or a size that is missing or that no encoder has.
    pub fn of(config: &Map<String, Value>) -> Result<Self, Refusal> {
        let family = Family::of(config)?;
        check_kind(config, family)?;
        let size = |name: &str| size(config, name, None);
        let [width, between, heads, layers] = family.size_names();
        let (type_vocab_size, buckets) = match family {
            Family::Bert | Family::Roberta => (self::size(config, "type_vocab_size", Some(2))?, 0),
            Family::DistilBert => (0, 0),
            Family::Mpnet => (0, self::size(config, "relative_attention_num_buckets", Some(32))?),
        };
        let config = Self {
            family,
            hidden_size: size(width)?,
            intermediate_size: size(between)?,
            num_attention_heads: size(heads)?,
            num_hidden_layers: size(layers)?,
            vocab_size: size("vocab_size")?,
            max_position_embeddings: size("max_position_embeddings")?,
            layer_norm_eps: match (family, config.get("layer_norm_eps").and_then(Value::as_f64)) {
                (Family::DistilBert, _) | (_, None) => 1e-12,
                (_, Some(epsilon)) => epsilon,
            },
            type_vocab_size,
            relative_attention_num_buckets: buckets,
            padding: match (family, config.get("pad_token_id").and_then(Value::as_u64)) {
                (Family::Bert | Family::DistilBert, _) => None,
                (Family::Roberta, Some(id)) => Some(u32::try_from(id).unwrap_or(u32::MAX)),
                _ => Some(PADDING),
            },
        };
        if family == Family::Mpnet && buckets < 4 {
            return refusal("its config.json has a size that no encoder has", "fetch the encoder again");
        }
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return refusal("its attention heads do not divide its width", "fetch the encoder again");
        }
        Ok(config)
    }

    /// How many tokens there are positions for.
    pub fn max_tokens(&self) -> usize {
        match self.padding {
            None => self.max_position_embeddings,
            Some(padding) => {
                self.max_position_embeddings.saturating_sub((padding as usize).saturating_add(1))
            }
        }
    }

    /// Each token's place in the table of positions.
    pub fn positions(&self, ids: &[u32]) -> Vec<i64> {
        let Some(padding) = self.padding else { return (0..ids.len() as i64).collect() };
        let mut last = i64::from(padding);
        let place = |&id: &u32| match id == padding {
            true => i64::from(padding),
            false => {
                last += 1;
                last
            }
        };
        ids.iter().map(place).collect()
    }
}

/// Refuses what a network of a known family can be and this build does not compute.
fn check_kind(config: &Map<String, Value>, family: Family) -> Result<(), Refusal> {
    let activation = if family == Family::DistilBert { "activation" } else { "hidden_act" };
    match config.get(activation) {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name == "gelu" => {}
        Some(other) => {
            let name = other.as_str().unwrap_or("?");
            return refusal(format!("its activation is `{name}`"), "use an encoder with `gelu`");
        }
    }
    if let Some(positions) = config.get("position_embedding_type").and_then(Value::as_str)
        && positions != "absolute"
    {
        return refusal(format!("its positions are `{positions}`"), "use an encoder with absolute positions");
    }
    match ["is_decoder", "add_cross_attention"].iter().find(|name| config.get(**name) == Some(&true.into())) {
        Some(name) => refusal(
            format!("its network is a decoder (`{name}`)"),
            "use an encoder, whose tokens see all others",
        ),
        None => Ok(()),
    }
}

/// A size of a configuration.
fn size(config: &Map<String, Value>, name: &str, default: Option<usize>) -> Result<usize, Refusal> {
    let remedy = "fetch the encoder again";
    let number = match (config.get(name), default) {
        (None, Some(default)) => return Ok(default),
        (None, None) => return refusal(format!("its config.json has no `{name}`"), remedy),
        (Some(value), _) => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    match number {
        Some(number) if (1..=MAX_SIZE).contains(&number) => Ok(number),
        _ => refusal(format!("its config.json has a size `{name}` that no encoder has"), remedy),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small configuration of a family.
    pub fn config(model_type: &str) -> Map<String, Value> {
        let value = match model_type {
            "distilbert" => serde_json::json!({
                "activation": "gelu", "dim": 8, "hidden_dim": 16, "n_heads": 2, "n_layers": 1,
                "max_position_embeddings": 40, "vocab_size": 30,
            }),
            _ => serde_json::json!({
                "hidden_act": "gelu", "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2,
                "num_hidden_layers": 1, "max_position_embeddings": 40, "vocab_size": 30,
            }),
        };
        let Value::Object(mut config) = value else { unreachable!() };
        config.insert("model_type".to_owned(), model_type.into());
        config
    }

    #[test]
    fn positions_follow_the_family() {
        let of = |model_type: &str| TransformerConfig::of(&config(model_type)).unwrap();
        let ids = [0, 7, PADDING, 9, 2];
        for (model_type, positions, max_tokens) in [
            ("bert", [0, 1, 2, 3, 4], 40),
            ("distilbert", [0, 1, 2, 3, 4], 40),
            ("mpnet", [2, 3, 1, 4, 5], 38),
            ("roberta", [2, 3, 1, 4, 5], 38),
            ("xlm-roberta", [2, 3, 1, 4, 5], 38),
        ] {
            assert_eq!(of(model_type).positions(&ids), positions, "{model_type}");
            assert_eq!(of(model_type).max_tokens(), max_tokens, "{model_type}");
        }
        let mut other = config("roberta");
        other.insert("pad_token_id".into(), 9.into());
        let other = TransformerConfig::of(&other).unwrap();
        assert_eq!((other.positions(&ids), other.max_tokens()), (vec![10, 11, 12, 9, 13], 30));
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        // Of a network that is not known, no other field is looked at.
        for name in ["modernbert", "nomic_bert", "xlm-roberta-xl", "electra", "t5", "Bert", ""] {
            let (fact, remedy) =
                TransformerConfig::of(&Map::from_iter([("model_type".to_owned(), name.into())])).unwrap_err();
            assert!(fact.contains(&format!("its network is `{name}`")), "{fact}");
            assert!(remedy.contains("`distilbert`, `roberta`"), "{remedy}");
        }
        assert!(TransformerConfig::of(&Map::new()).unwrap_err().0.contains("(`model_type`)"));
        let cases: [(&str, &str, Value, &str); 11] = [
            ("bert", "hidden_act", "relu".into(), "`relu`"),
            ("distilbert", "activation", "relu".into(), "`relu`"),
            ("roberta", "hidden_act", 7.into(), "`?`"),
            ("bert", "position_embedding_type", "relative_key".into(), "`relative_key`"),
            ("roberta", "is_decoder", true.into(), "`is_decoder`"),
            ("bert", "num_attention_heads", 3.into(), "do not divide"),
            ("bert", "num_attention_heads", 0.into(), "`num_attention_heads` that no encoder has"),
            ("distilbert", "dim", (1_u64 << 40).into(), "`dim` that no encoder has"),
            ("bert", "type_vocab_size", 0.into(), "`type_vocab_size` that no encoder has"),
            ("mpnet", "relative_attention_num_buckets", 3.into(), "no encoder has"),
            ("bert", "vocab_size", Value::Null, "`vocab_size` that no encoder has"),
        ];
        for (model_type, name, value, fact) in cases {
            let mut config = config(model_type);
            config.insert(name.to_owned(), value);
            let refused = TransformerConfig::of(&config).unwrap_err().0;
            assert!(refused.contains(fact), "{fact}: {refused}");
        }
        for (model_type, name) in
            [("distilbert", "n_layers"), ("bert", "hidden_size"), ("mpnet", "vocab_size")]
        {
            let mut config = config(model_type);
            config.remove(name);
            let refused = TransformerConfig::of(&config).unwrap_err().0;
            assert!(refused.contains(&format!("no `{name}`")), "{refused}");
        }
    }
}

//! The published weights of a network, from safetensors in one file or several, or from a PyTorch checkpoint.
//!
//! A PyTorch checkpoint is a pickle; nothing in it is ever run. The reader builds tensors from it and caps
//! what the file claims.

use std::path::PathBuf;

use burn::store::{
    ApplyError, FloatCastAdapter, KeyRemapper, ModuleAdapter, ModuleSnapshot, ModuleStore,
    PyTorchToBurnAdapter, PytorchStore, SafetensorsStore,
};
use burn::tensor::DType;

use super::config::Family;

/// Modules of ours and of a published file; `#` is the number of a layer.
type Pairs = &'static [(&'static str, &'static str)];

/// Layers of BERT and RoBERTa.
const BERT: Pairs = &[
    ("word", "embeddings.word_embeddings"),
    ("position", "embeddings.position_embeddings"),
    ("token_type", "embeddings.token_type_embeddings"),
    ("norm", "embeddings.LayerNorm"),
    ("layers.#.query", "encoder.layer.#.attention.self.query"),
    ("layers.#.key", "encoder.layer.#.attention.self.key"),
    ("layers.#.value", "encoder.layer.#.attention.self.value"),
    ("layers.#.attention_output", "encoder.layer.#.attention.output.dense"),
    ("layers.#.attention_norm", "encoder.layer.#.attention.output.LayerNorm"),
    ("layers.#.intermediate", "encoder.layer.#.intermediate.dense"),
    ("layers.#.output", "encoder.layer.#.output.dense"),
    ("layers.#.output_norm", "encoder.layer.#.output.LayerNorm"),
];
const DISTILBERT: Pairs = &[
    ("word", "embeddings.word_embeddings"),
    ("position", "embeddings.position_embeddings"),
    ("norm", "embeddings.LayerNorm"),
    ("layers.#.query", "transformer.layer.#.attention.q_lin"),
    ("layers.#.key", "transformer.layer.#.attention.k_lin"),
    ("layers.#.value", "transformer.layer.#.attention.v_lin"),
    ("layers.#.attention_output", "transformer.layer.#.attention.out_lin"),
    ("layers.#.attention_norm", "transformer.layer.#.sa_layer_norm"),
    ("layers.#.intermediate", "transformer.layer.#.ffn.lin1"),
    ("layers.#.output", "transformer.layer.#.ffn.lin2"),
    ("layers.#.output_norm", "transformer.layer.#.output_layer_norm"),
];
const MPNET: Pairs = &[
    ("word", "embeddings.word_embeddings"),
    ("position", "embeddings.position_embeddings"),
    ("relative", "encoder.relative_attention_bias"),
    ("norm", "embeddings.LayerNorm"),
    ("layers.#.query", "encoder.layer.#.attention.attn.q"),
    ("layers.#.key", "encoder.layer.#.attention.attn.k"),
    ("layers.#.value", "encoder.layer.#.attention.attn.v"),
    ("layers.#.attention_output", "encoder.layer.#.attention.attn.o"),
    ("layers.#.attention_norm", "encoder.layer.#.attention.LayerNorm"),
    ("layers.#.intermediate", "encoder.layer.#.intermediate.dense"),
    ("layers.#.output", "encoder.layer.#.output.dense"),
    ("layers.#.output_norm", "encoder.layer.#.output.LayerNorm"),
];

/// How a network's tensors are called in published files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// In front of every name in a file that was saved with a task's head.
    prefix: &'static str,
    pairs: Pairs,
}

impl Names {
    /// A linear layer by itself, as the sentence-transformers library writes its module `Dense`.
    pub const DENSE: Self = Self { prefix: "", pairs: &[("linear", "linear")] };

    /// A transformer's.
    pub fn of(family: Family) -> Self {
        let (prefix, pairs) = match family {
            Family::Bert => ("bert", BERT),
            Family::DistilBert => ("distilbert", DISTILBERT),
            Family::Roberta => ("roberta", BERT),
            Family::Mpnet => ("mpnet", MPNET),
        };
        Self { prefix, pairs }
    }

    /// From published names to ours.
    fn remapper(self) -> Result<KeyRemapper, String> {
        // The first published weights call a norm's scale and shift so.
        let mut names = KeyRemapper::new();
        for (old, new) in [(r"\.gamma$", ".weight"), (r"\.beta$", ".bias")] {
            names = names.add_pattern(old, new).map_err(|e| e.to_string())?;
        }
        for (ours, theirs) in self.pairs {
            let theirs = theirs.replace('.', r"\.").replace('#', r"(\d+)");
            let theirs = format!(r"^(?:{}\.)?{theirs}\.(weight|bias)$", self.prefix);
            let number_of_layer = ours.contains('#');
            let parameter = if number_of_layer { "$2" } else { "$1" };
            let ours = format!("{}.{parameter}", ours.replace('#', "$1"));
            names = names.add_pattern(theirs, ours).map_err(|e| e.to_string())?;
        }
        Ok(names)
    }

    /// The published name of a tensor of ours.
    fn published(self, ours: &str) -> String {
        let (module, parameter) = ours.rsplit_once('.').unwrap_or((ours, ""));
        let parameter = match parameter {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let layer = module.split('.').nth(1).unwrap_or_default();
        let of = |(ours, theirs): &(&str, &str)| {
            (ours.replace('#', layer) == module).then(|| theirs.replace('#', layer))
        };
        match self.pairs.iter().find_map(of) {
            Some(theirs) => format!("{theirs}.{parameter}"),
            None => ours.to_owned(),
        }
    }
}

/// Loads every weight of `network` from the files, as f32 whatever floating type it has there. Tensors that
/// the network does not have, such as a pooler's, are left alone.
///
/// # Errors
/// In words, with the file where it is known: a file is damaged, or a weight is missing or of another shape.
pub(super) fn load<M: ModuleSnapshot>(
    network: &mut M,
    names: Names,
    files: &[PathBuf],
) -> Result<(), String> {
    let mut found = Vec::new();
    for path in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let remapper = names.remapper()?;
        let tensors = match path.extension().is_some_and(|e| e == "safetensors") {
            true => tensors(SafetensorsStore::from_file(path).remap(remapper)),
            false => tensors(PytorchStore::from_file(path).remap(remapper)),
        };
        found.extend(tensors.map_err(|e| format!("{file}: {e}"))?);
    }
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32));
    let applied = network.apply(found, None, Some(Box::new(adapter)), false);
    let whose = match files {
        [one] => one.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        _ => "its weights".to_owned(),
    };
    if let Some(error) = applied.errors.first() {
        return Err(format!("{whose}: {}", words(names, error)));
    }
    match applied.missing.first() {
        None => Ok(()),
        Some((name, _)) => Err(format!("{whose}: there are no weights for `{}`", names.published(name))),
    }
}

/// An error in the file's own names.
fn words(names: Names, error: &ApplyError) -> String {
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            let name = names.published(path);
            // A linear layer's matrix lies the other way in the file.
            let is_table = path.split('.').count() == 2 && !path.starts_with("linear");
            let as_published = |shape: &[usize]| {
                let mut shape = shape.to_vec();
                if !is_table {
                    shape.reverse();
                }
                shape
            };
            let (found, expected) = (as_published(found), as_published(expected));
            format!("`{name}` has the shape {found:?}, where config.json asks for {expected:?}")
        }
        ApplyError::DTypeMismatch { path, .. } => format!("`{}` is not of numbers", names.published(path)),
        ApplyError::AdapterError { path, message } | ApplyError::LoadError { path, message } => {
            format!("`{}`: {message}", names.published(path))
        }
    }
}

fn tensors<S: ModuleStore>(mut store: S) -> Result<Vec<burn::store::burn_pack::Tensor>, String> {
    Ok(store.get_all_tensors().map_err(|e| e.to_string())?.values().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for family in [Family::Bert, Family::DistilBert, Family::Roberta, Family::Mpnet] {
            let names = Names::of(family);
            let remapper = names.remapper().unwrap();
            for (ours, theirs) in names.pairs {
                for prefix in ["".to_owned(), format!("{}.", names.prefix)] {
                    let theirs = format!("{}.weight", theirs.replace('#', "11"));
                    let mut name = format!("{prefix}{theirs}");
                    for (pattern, replacement) in &remapper.patterns {
                        name = pattern.replace_all(&name, replacement.as_str()).into_owned();
                    }
                    assert_eq!(name, format!("{}.weight", ours.replace('#', "11")));
                    assert_eq!(names.published(&name), theirs);
                }
            }
            assert_eq!(names.published("norm.gamma"), "embeddings.LayerNorm.weight");
        }
    }
}

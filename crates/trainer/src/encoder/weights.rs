//! The published weights of a transformer, from safetensors or from a PyTorch checkpoint.
//!
//! A PyTorch checkpoint is a pickle; nothing in it is ever run. The reader builds tensors from it and caps
//! what the file claims.

use std::path::Path;

use burn::store::{
    FloatCastAdapter, KeyRemapper, ModuleAdapter, ModuleSnapshot, ModuleStore, PyTorchToBurnAdapter,
    PytorchStore, SafetensorsStore,
};
use burn::tensor::DType;

use super::transformer::{Family, Transformer};

/// Names in files of the transformers library and ours; a model that was saved with a task's head has its
/// family's name in front.
const BERT: &[(&str, &str)] = &[
    (r"^(?:bert\.)?embeddings\.(word|position|token_type)_embeddings\.", "$1."),
    (r"^(?:bert\.)?embeddings\.LayerNorm\.", "norm."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.", "layers.$1.$2."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.dense\.", "layers.$1.attention_output."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", "layers.$1.attention_norm."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.intermediate\.dense\.", "layers.$1.intermediate."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.output\.dense\.", "layers.$1.output."),
    (r"^(?:bert\.)?encoder\.layer\.(\d+)\.output\.LayerNorm\.", "layers.$1.output_norm."),
];
const MPNET: &[(&str, &str)] = &[
    (r"^(?:mpnet\.)?embeddings\.(word|position)_embeddings\.", "$1."),
    (r"^(?:mpnet\.)?embeddings\.LayerNorm\.", "norm."),
    (r"^(?:mpnet\.)?encoder\.relative_attention_bias\.", "relative."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.attention\.attn\.q\.", "layers.$1.query."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.attention\.attn\.k\.", "layers.$1.key."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.attention\.attn\.v\.", "layers.$1.value."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.attention\.attn\.o\.", "layers.$1.attention_output."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.attention\.LayerNorm\.", "layers.$1.attention_norm."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.intermediate\.dense\.", "layers.$1.intermediate."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.output\.dense\.", "layers.$1.output."),
    (r"^(?:mpnet\.)?encoder\.layer\.(\d+)\.output\.LayerNorm\.", "layers.$1.output_norm."),
];

/// Loads every weight of `network` from the file, as f32 whatever floating type it has there. Tensors that
/// the network does not have, such as a pooler's, are left alone.
///
/// # Errors
/// In words: the file is damaged, or a weight is missing or of another shape.
pub(super) fn load(network: &mut Transformer, family: Family, path: &Path) -> Result<(), String> {
    let mut names = KeyRemapper::new();
    for (theirs, ours) in match family {
        Family::Bert => BERT,
        Family::Mpnet => MPNET,
    } {
        names = names.add_pattern(theirs, *ours).map_err(|e| e.to_string())?;
    }
    let found = match path.extension().is_some_and(|e| e == "safetensors") {
        true => tensors(SafetensorsStore::from_file(path).remap(names)),
        false => tensors(PytorchStore::from_file(path).remap(names)),
    }?;
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32));
    let applied = network.apply(found, None, Some(Box::new(adapter)), false);
    if let Some(error) = applied.errors.first() {
        return Err(error.to_string());
    }
    match applied.missing.first() {
        None => Ok(()),
        Some((name, _)) => Err(format!("it has no weights for `{name}`")),
    }
}

fn tensors<S: ModuleStore>(mut store: S) -> Result<Vec<burn::store::burn_pack::Tensor>, String> {
    Ok(store.get_all_tensors().map_err(|e| e.to_string())?.values().cloned().collect())
}

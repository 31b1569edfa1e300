//! What the fuzz targets share: the smallest real plan, and digests that fit.

use std::path::Path;
use std::sync::LazyLock;

use cryptotl_encrypted::{EvaluationPlan, InputBound, Packing, ParameterSet};
use cryptotl_model::{Digest, Layer, Network, Polynomial};
use ndarray::array;

/// One number in, one hidden unit, one feature out.
pub fn network() -> Network {
    let dense = || Layer::Dense { weight: array![[0.5]], bias: array![0.1] };
    Network::new(1, vec![dense(), Layer::Activation(Polynomial::cubic_relu()), dense()]).expect("it is valid")
}

/// Its plan.
pub static PLAN: LazyLock<EvaluationPlan> = LazyLock::new(|| {
    let bound = InputBound::new(4.0).expect("it is positive");
    EvaluationPlan::compile(&network(), ParameterSet::N8192Q25x5P31, Packing::FeatureMajor, bound)
        .expect("it compiles")
});

/// The bytes with the digest of `bytes[..end]` written at `end`: a sender who means harm gets it right,
/// and no fuzzer finds it.
pub fn sealed(bytes: &[u8], end: usize) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let digest = Digest::of(bytes.get(..end)?);
    sealed.get_mut(end..end + 32)?.copy_from_slice(digest.as_bytes());
    Some(sealed)
}

/// Gives `bytes` as a file of this name to `read`, in a folder of its own that is then removed.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the folder is this process's");
    read(&path);
}

/// A small random encoder, and its files.
pub const TINY_ENCODER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/trainer/tests/encoders/bert-cls");
/// The files of [`TINY_ENCODER`].
pub const ENCODER_FILES: [&str; 7] = [
    "modules.json",
    "config.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
    "model.safetensors",
];

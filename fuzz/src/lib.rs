//! What the fuzz targets share: the smallest real plan, and digests that fit.

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

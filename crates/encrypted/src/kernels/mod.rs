//! What the server does with single ciphertexts, in two implementations.
//!
//! The linear layers ([`crate::residues`]) are the same for both. What is left is the expansion of seeds and the
//! activation, which SEAL's evaluator does ([`seal`]), or this crate's ring layer, faster ([`native`]). The server
//! holds no secret, so neither protects one.

mod native;
mod seal;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{EncryptedError, Result};
use crate::message::EvaluationKeys;
use crate::plan::EvaluationPlan;
use crate::seal::wire::Seed;

/// Which implementation evaluates ciphertexts. Both take the same messages and give the same features within
/// the encryption error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernels {
    /// Microsoft SEAL's evaluator.
    Seal,
    /// This crate's ring layer, with vector instructions where the machine has them.
    #[default]
    Native,
}

impl Kernels {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Seal, Self::Native];

    /// The name, as used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kernels {
    type Err = EncryptedError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kernels| kernels.name() == name).ok_or_else(|| {
            EncryptedError::input(format!("there are no kernels {name:?}"), "use seal or native")
        })
    }
}

/// The operations on single ciphertexts. Residues are `[polynomial][prime][index]`, in whatever order of
/// indices the implementation likes, from [`Operations::expand`] until [`Operations::finish`].
pub(crate) trait Operations: Send + Sync {
    /// A fresh ciphertext from its first polynomial, in SEAL's order, and the seed of the second.
    fn expand(&self, c0: &[u32], seed: &Seed) -> Result<Vec<u32>>;

    /// `u^2` or `u^3 + k u`, from the unrescaled product of the first layer down to the output level.
    fn activate(&self, product: &[u32]) -> Result<Vec<u32>>;

    /// A finished ciphertext in SEAL's order.
    fn finish(&self, ciphertext: Vec<u32>) -> Vec<u32>;
}

impl Kernels {
    pub(crate) fn prepare(self, plan: &EvaluationPlan, keys: &EvaluationKeys) -> Result<Box<dyn Operations>> {
        Ok(match self {
            Self::Seal => Box::new(seal::Seal::new(plan, keys)?),
            Self::Native => Box::new(native::Native::new(plan, keys)),
        })
    }
}

//! Record-major packing: one record a ciphertext, answered in milliseconds.
//!
//! [`layout`] says where numbers stand and shows it on an example; [`steps`] turns a linear layer into rotations and
//! products. The layers run through SEAL ([`seal`], the reference) or through the own kernels ([`native`]); the
//! activation between them is that of [`crate::kernels`]. A clear-text twin (`twin`, in the tests) runs the same steps on
//! plain numbers, counts the rotations and refuses what SEAL would refuse.

mod encoded;
pub(crate) mod layout;
mod native;
mod seal;
pub(crate) mod steps;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use layout::{Layout, Linear};
pub(crate) use native::NativeModel;
pub(crate) use seal::SealModel;

use crate::error::Result;
use crate::kernels::Kernels;
use crate::message::EvaluationKeys;
use crate::plan::EvaluationPlan;
use crate::plan::record_major::RecordMajor;

/// The two linear layers on ciphertexts of one job. Residues are `[polynomial][prime][index]`, in the order of indices of the
/// kernels' [`crate::kernels::Operations`].
pub(crate) trait Layers: Send + Sync {
    /// A layer with its bias, not rescaled: the level stays.
    fn apply(&self, layer: Linear, ciphertext: &[u32]) -> Result<Vec<u32>>;
}

/// Takes the keys of a job; the plan's diagonals are encoded once for all jobs.
pub(crate) fn prepare(
    kernels: Kernels,
    plan: &EvaluationPlan,
    body: &RecordMajor,
    keys: &EvaluationKeys,
) -> Result<Box<dyn Layers>> {
    Ok(match kernels {
        Kernels::Seal => Box::new(seal::Seal::new(plan, body, keys)?),
        Kernels::Native => Box::new(native::Native::new(plan, body, keys)?),
    })
}

/// A value that is made when it is first used, and kept.
pub(crate) struct Cached<T>(Mutex<Option<Arc<T>>>);

impl<T> Cached<T> {
    /// The value; only one thread makes it.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        Ok(value.insert(Arc::new(make()?)).clone())
    }
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached")
    }
}

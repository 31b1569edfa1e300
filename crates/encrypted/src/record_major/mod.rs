//! Record-major packing.

mod encoded;
pub(crate) mod layout;
pub(crate) mod seal;
pub(crate) mod steps;
#[cfg(test)]
mod twin;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use layout::{Layout, Linear};
pub(crate) use seal::SealModel;

use crate::error::Result;

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

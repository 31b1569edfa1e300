//! Record-major packing.

pub(crate) mod layout;
pub(crate) mod steps;
#[cfg(test)]
mod twin;

pub(crate) use layout::{Layout, Linear};

//! What the data owner may know of a plan.

use crate::error::{EncryptedError, Result};
use crate::params::{Packing, ParameterSet};
use crate::record_major::Layout;

/// The largest magnitude that an input may have.
///
/// The plan's scales are chosen so that *no* record within the bound can overflow a ciphertext, so a
/// tighter bound gives more precision. Standardized records clamped to 4 or 5 are a good choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputBound(f64);

impl InputBound {
    /// Inputs with `|x| <= max_abs`.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] unless `max_abs` is positive and finite.
    pub fn new(max_abs: f64) -> Result<Self> {
        if max_abs.is_finite() && max_abs > 0.0 {
            Ok(Self(max_abs))
        } else {
            Err(EncryptedError::input(
                format!("the input bound {max_abs} is not a positive number"),
                "give the magnitude that the scaler clamps to",
            ))
        }
    }

    /// The bound.
    pub fn max_abs(self) -> f64 {
        self.0
    }
}

/// What the data owner has to know of a plan: no weight, no bias.
///
/// The scales and the digest depend on the weights, but tell little: two magnitudes, and whether two plans
/// are the same. Only a compiled plan makes one, so that its numbers fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub(super) parameter_set: ParameterSet,
    pub(super) packing: Packing,
    pub(super) input_width: usize,
    pub(super) output_width: usize,
    pub(super) input_bound: InputBound,
    pub(super) input_scale: f64,
    pub(super) input_level: usize,
    pub(super) output_scale: f64,
    pub(super) output_level: usize,
    pub(super) block_rows: usize,
    /// Record-major packing alone has one.
    pub(super) layout: Option<Layout>,
    pub(super) digest: [u8; 32],
}

impl Contract {
    /// The ring and its primes.
    pub fn parameter_set(&self) -> ParameterSet {
        self.parameter_set
    }

    /// The layout of records and features.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Numbers a record has.
    pub fn input_width(&self) -> usize {
        self.input_width
    }

    /// Features a record gets.
    pub fn output_width(&self) -> usize {
        self.output_width
    }

    /// The magnitude that inputs must not exceed.
    pub fn input_bound(&self) -> InputBound {
        self.input_bound
    }

    /// The scale of a query.
    pub fn input_scale(&self) -> f64 {
        self.input_scale
    }

    /// Data primes of a query.
    pub fn input_level(&self) -> usize {
        self.input_level
    }

    /// The scale of a response.
    pub fn output_scale(&self) -> f64 {
        self.output_scale
    }

    /// Data primes of a response.
    pub fn output_level(&self) -> usize {
        self.output_level
    }

    /// Records that one query carries at most: `N / 2` in feature-major packing, 64 in record-major.
    pub fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// Where numbers stand in the slots, in record-major packing.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The rotations that need a Galois key, ascending.
    pub fn rotations(&self) -> Vec<usize> {
        self.layout.map_or_else(Vec::new, |layout| layout.rotations())
    }

    /// The plan's digest, which each message repeats.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

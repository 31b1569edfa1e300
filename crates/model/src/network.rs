//! A lower network: a checked stack of layers with its f64 forward pass, the reference that every
//! encrypted evaluation is compared with.

use ndarray::{Array2, ArrayView2};

use crate::error::{ModelError, Result};
use crate::layer::Layer;

/// The widest layer a network may have. It bounds what a hostile file can make us allocate
/// (a folded matrix of this width takes 128 MiB in f64).
pub const MAX_WIDTH: usize = 4096;
/// The most layers a network may have.
pub const MAX_LAYERS: usize = 64;

/// A stack of layers whose widths fit, with finite weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    input_width: usize,
    output_width: usize,
    layers: Vec<Layer>,
}

impl Network {
    /// Checks and assembles a network for rows of `input_width` numbers.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when there is no layer, there are too many, a width is out of
    /// `1..=MAX_WIDTH`, widths do not fit or a weight is not finite.
    pub fn new(input_width: usize, layers: Vec<Layer>) -> Result<Self> {
        if layers.is_empty() || layers.len() > MAX_LAYERS {
            return Err(ModelError::invalid(
                "network",
                format!("{} layers", layers.len()),
                format!("use 1 to {MAX_LAYERS} layers"),
            ));
        }
        let mut width = checked_width(input_width)?;
        for layer in &layers {
            width = checked_width(layer.output_width(width)?)?;
        }
        Ok(Self { input_width, output_width: width, layers })
    }

    /// How many numbers a row of the input has.
    pub fn input_width(&self) -> usize {
        self.input_width
    }

    /// How many features the network gives for a row.
    pub fn output_width(&self) -> usize {
        self.output_width
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The f64 forward pass: `[rows, input_width]` to `[rows, output_width]`.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the rows do not have the network's input width.
    pub fn forward(&self, rows: ArrayView2<f64>) -> Result<Array2<f64>> {
        if rows.ncols() != self.input_width {
            return Err(ModelError::mismatch(
                format!("the rows have {} numbers, the network takes {}", rows.ncols(), self.input_width),
                "use embeddings from the encoder the model was trained on",
            ));
        }
        let mut current = rows.to_owned();
        for layer in &self.layers {
            current = layer.forward(current.view());
        }
        Ok(current)
    }
}

fn checked_width(width: usize) -> Result<usize> {
    if (1..=MAX_WIDTH).contains(&width) {
        Ok(width)
    } else {
        Err(ModelError::invalid(
            "network",
            format!("a layer of width {width}"),
            format!("use widths from 1 to {MAX_WIDTH}"),
        ))
    }
}

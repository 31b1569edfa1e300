//! The layers a lower network is made of. Affine layers know their matrix; activations are polynomials.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::error::{ModelError, Result};
use crate::polynomial::Polynomial;

/// One layer of a lower network, acting on a row of `width` numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// One-dimensional convolution with zero padding that keeps the width ("same"), stride 1.
    ///
    /// `kernels` is `[filters, taps]` with an odd number of taps; filter `f` at position `t` is
    /// `bias[f] + sum_j kernels[f, j] x[t + j - (taps - 1) / 2]` (a cross-correlation, as deep-learning
    /// libraries define it) and stands at output `f * width + t`.
    Conv1d {
        /// `[filters, taps]`.
        kernels: Array2<f64>,
        /// One number a filter; `None` is a convolution without bias.
        bias: Option<Array1<f64>>,
    },
    /// `weight x + bias`; `weight` is `[outputs, inputs]`.
    Dense {
        /// `[outputs, inputs]`.
        weight: Array2<f64>,
        /// `[outputs]`.
        bias: Array1<f64>,
    },
    /// A polynomial applied to each number.
    Activation(Polynomial),
    /// The mean of `size` neighbours with stride 1 and no padding: output `t` is the mean of
    /// inputs `t .. t + size`.
    AvgPool1d {
        /// How many neighbours.
        size: usize,
    },
}

/// `weight x + bias` with `weight` `[outputs, inputs]`: what every affine layer is, and what a stack of
/// them folds into.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineMap {
    /// `[outputs, inputs]`.
    pub weight: Array2<f64>,
    /// `[outputs]`.
    pub bias: Array1<f64>,
}

impl AffineMap {
    /// The map that applies `self` first and `next` second: `next.weight self.weight`,
    /// `next.weight self.bias + next.bias`.
    pub fn then(&self, next: &AffineMap) -> AffineMap {
        AffineMap { weight: next.weight.dot(&self.weight), bias: next.weight.dot(&self.bias) + &next.bias }
    }

    /// Applies the map to each row of `[rows, inputs]`.
    pub fn apply(&self, rows: ArrayView2<f64>) -> Array2<f64> {
        rows.dot(&self.weight.t()) + &self.bias
    }
}

impl Layer {
    /// The name used in model files and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv1d { .. } => "conv1d",
            Self::Dense { .. } => "dense",
            Self::Activation(_) => "activation",
            Self::AvgPool1d { .. } => "avg-pool1d",
        }
    }

    /// The output width for an input of `width` numbers.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when the layer does not accept this width or holds a number that is not
    /// finite.
    pub fn output_width(&self, width: usize) -> Result<usize> {
        let refuse = |fact: String, remedy: &str| Err(ModelError::invalid(self.kind(), fact, remedy));
        match self {
            Self::Conv1d { kernels, bias } => {
                let (filters, taps) = kernels.dim();
                if filters == 0 || taps % 2 == 0 {
                    return refuse(
                        format!("{filters} filters of {taps} taps"),
                        "use at least one filter and an odd number of taps",
                    );
                }
                if bias.as_ref().is_some_and(|b| b.len() != filters) {
                    return refuse("the bias does not have one number a filter".into(), "fix the bias");
                }
                if !all_finite(kernels.iter()) || !bias.iter().all(|b| all_finite(b.iter())) {
                    return refuse("a weight is not finite".into(), "train the model again");
                }
                Ok(filters * width)
            }
            Self::Dense { weight, bias } => {
                if weight.ncols() != width || weight.nrows() != bias.len() || bias.is_empty() {
                    return refuse(
                        format!(
                            "weight {:?} and bias [{}] do not fit an input of {width}",
                            weight.shape(),
                            bias.len()
                        ),
                        "make the weight [outputs, inputs]",
                    );
                }
                if !all_finite(weight.iter()) || !all_finite(bias.iter()) {
                    return refuse("a weight is not finite".into(), "train the model again");
                }
                Ok(bias.len())
            }
            Self::Activation(_) => Ok(width),
            Self::AvgPool1d { size } => {
                if *size == 0 || *size > width {
                    return refuse(
                        format!("pooling over {size} of {width} numbers"),
                        "pool over at least 1 and at most all inputs",
                    );
                }
                Ok(width - size + 1)
            }
        }
    }

    /// The layer as a matrix and a bias, or `None` for an activation. `width` must be one that
    /// [`Layer::output_width`] accepts.
    pub fn to_affine(&self, width: usize) -> Option<AffineMap> {
        match self {
            Self::Activation(_) => None,
            Self::Dense { weight, bias } => Some(AffineMap { weight: weight.clone(), bias: bias.clone() }),
            Self::Conv1d { kernels, bias } => {
                let (filters, taps) = kernels.dim();
                let left = (taps - 1) / 2;
                let mut matrix = Array2::zeros((filters * width, width));
                let mut offsets = Array1::zeros(filters * width);
                for f in 0..filters {
                    for t in 0..width {
                        for j in 0..taps {
                            if let Some(source) = (t + j).checked_sub(left).filter(|s| *s < width) {
                                matrix[[f * width + t, source]] = kernels[[f, j]];
                            }
                        }
                        offsets[f * width + t] = bias.as_ref().map_or(0.0, |b| b[f]);
                    }
                }
                Some(AffineMap { weight: matrix, bias: offsets })
            }
            Self::AvgPool1d { size } => {
                let outputs = width - size + 1;
                let mut matrix = Array2::zeros((outputs, width));
                for t in 0..outputs {
                    for j in 0..*size {
                        matrix[[t, t + j]] = 1.0 / *size as f64;
                    }
                }
                Some(AffineMap { weight: matrix, bias: Array1::zeros(outputs) })
            }
        }
    }

    /// Applies the layer to each row of `[rows, width]`. The loops are the definition, not the matrix
    /// of [`Layer::to_affine`], so that each checks the other.
    pub fn forward(&self, rows: ArrayView2<f64>) -> Array2<f64> {
        let width = rows.ncols();
        match self {
            Self::Dense { weight, bias } => rows.dot(&weight.t()) + bias,
            Self::Activation(polynomial) => rows.mapv(|z| polynomial.evaluate(z)),
            Self::Conv1d { kernels, bias } => {
                let (filters, taps) = kernels.dim();
                let left = (taps - 1) / 2;
                let mut out = Array2::zeros((rows.nrows(), filters * width));
                for (x, mut y) in rows.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
                    for f in 0..filters {
                        for t in 0..width {
                            let mut sum = bias.as_ref().map_or(0.0, |b| b[f]);
                            let first = left.saturating_sub(t);
                            let last = taps.min(width + left - t);
                            for j in first..last {
                                sum += kernels[[f, j]] * x[t + j - left];
                            }
                            y[f * width + t] = sum;
                        }
                    }
                }
                out
            }
            Self::AvgPool1d { size } => {
                let mut out = Array2::zeros((rows.nrows(), width - size + 1));
                for (x, mut y) in rows.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
                    for (t, y) in y.iter_mut().enumerate() {
                        *y = (t..t + size).map(|i| x[i]).sum::<f64>() / *size as f64;
                    }
                }
                out
            }
        }
    }
}

fn all_finite<'a>(mut numbers: impl Iterator<Item = &'a f64>) -> bool {
    numbers.all(|x| x.is_finite())
}

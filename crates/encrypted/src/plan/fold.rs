//! From a stack of layers to two matrices around one polynomial, exactly.
//!
//! Adjacent affine layers multiply into one map. The activation is then brought to a form that costs no
//! product with a plaintext, by completing the cube (or the square): with `p(z) = c3 z^3 + c2 z^2 + c1 z +
//! c0`, `h = -c2 / (3 c3)` and `a = c1 - c2^2 / (3 c3)` (the slope at `h`),
//!
//! ```text
//! p(z) = A (u^3 + k u) + B,   u = (z - h) / s,   s = sqrt(|a / c3|),   A = c3 s^3,   B = p(h),
//! ```
//!
//! with `k = sign(a / c3)`. For the paper's cubic `h = 5.0001`, `s = 13.077`, `k = -1`. A quadratic is
//! `A u^2 + B` with `u = z - h`, `h = -c1 / (2 c2)`, `A = c2`, `B = p(h)`. The constants `h`, `s`, `A` and
//! `B` are absorbed by the two matrices.

use cryptotl_model::{AffineMap, Layer, Network, Polynomial};
use ndarray::{Array1, Array2};

use crate::error::{EncryptedError, Result};

/// The polynomial that ciphertexts go through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Core {
    /// `u^2`.
    Square,
    /// `u^3 + linear u`, with `linear` one of -1, 0 and 1.
    Cube { linear: f64 },
}

impl Core {
    pub(crate) fn evaluate(self, u: f64) -> f64 {
        match self {
            Self::Square => u * u,
            Self::Cube { linear } => u * (u * u + linear),
        }
    }

    /// The smallest and the largest value over `low ..= high`.
    pub(crate) fn range(self, low: f64, high: f64) -> (f64, f64) {
        let turning = match self {
            Self::Square => vec![0.0],
            Self::Cube { linear } if linear < 0.0 => vec![-(1.0f64 / 3.0).sqrt(), (1.0f64 / 3.0).sqrt()],
            Self::Cube { .. } => vec![],
        };
        let inside = turning.into_iter().filter(|u| (low..=high).contains(u));
        let values = inside.chain([low, high]).map(|u| self.evaluate(u));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), t| (min.min(t), max.max(t)))
    }

    /// How many rescalings it takes.
    pub(crate) fn depth(self) -> usize {
        match self {
            Self::Square => 1,
            Self::Cube { .. } => 2,
        }
    }
}

/// `second(core(first(x)))`: the same function as the network.
#[derive(Debug, Clone)]
pub(crate) struct FoldedNetwork {
    pub(crate) first: AffineMap,
    pub(crate) core: Core,
    pub(crate) second: AffineMap,
}

impl FoldedNetwork {
    /// Folds the layers.
    ///
    /// # Errors
    /// [`EncryptedError::Unsupported`] unless the stack is affine layers, one activation of degree 2 or 3,
    /// affine layers.
    pub(crate) fn fold(network: &Network) -> Result<Self> {
        let shape = "give affine layers, one activation of degree 2 or 3, then affine layers";
        let mut width = network.input_width();
        let mut maps: [Option<AffineMap>; 2] = [None, None];
        let mut activation: Option<&Polynomial> = None;
        for layer in network.layers() {
            let next_width = layer.output_width(width)?;
            let map = &mut maps[usize::from(activation.is_some())];
            match layer {
                Layer::Activation(polynomial) if polynomial.degree() == 1 => {
                    let [offset, slope] = [polynomial.coefficients()[0], polynomial.coefficients()[1]];
                    let before = map.take().unwrap_or_else(|| identity(width));
                    *map =
                        Some(AffineMap { weight: before.weight * slope, bias: before.bias * slope + offset });
                }
                Layer::Activation(_) if activation.is_some() => {
                    return Err(EncryptedError::unsupported("there is more than one activation", shape));
                }
                Layer::Activation(_) if map.is_none() => {
                    return Err(EncryptedError::unsupported(
                        "no affine layer precedes the activation",
                        shape,
                    ));
                }
                Layer::Activation(polynomial) => activation = Some(polynomial),
                affine => {
                    let next = affine.to_affine(width).ok_or_else(|| {
                        EncryptedError::unsupported(
                            format!("the layer {} is not affine", affine.kind()),
                            shape,
                        )
                    })?;
                    *map = Some(match map.take() {
                        Some(before) => before.then(&next),
                        None => next,
                    });
                }
            }
            width = next_width;
        }
        match (maps, activation) {
            ([Some(first), Some(second)], Some(polynomial)) => Ok(complete(first, polynomial, second)),
            (_, None) => Err(EncryptedError::unsupported("the network has no activation", shape)),
            _ => Err(EncryptedError::unsupported("no affine layer follows the activation", shape)),
        }
    }

    /// The f64 forward pass of the folded network.
    #[cfg(test)]
    pub(crate) fn forward(&self, rows: ndarray::ArrayView2<f64>) -> Array2<f64> {
        let activated = self.first.apply(rows).mapv(|u| self.core.evaluate(u));
        self.second.apply(activated.view())
    }
}

fn identity(width: usize) -> AffineMap {
    AffineMap { weight: Array2::eye(width), bias: Array1::zeros(width) }
}

/// Completes the cube or the square and moves its constants into the two maps.
fn complete(first: AffineMap, polynomial: &Polynomial, second: AffineMap) -> FoldedNetwork {
    let c = polynomial.coefficients();
    let (core, center, scale) = match polynomial.degree() {
        2 => (Core::Square, -c[1] / (2.0 * c[2]), 1.0),
        _ => {
            let center = -c[2] / (3.0 * c[3]);
            let ratio = (c[1] + c[2] * center) / c[3];
            let scale = if ratio == 0.0 { 1.0 } else { ratio.abs().sqrt() };
            let linear = if ratio == 0.0 { 0.0 } else { ratio.signum() };
            (Core::Cube { linear }, center, scale)
        }
    };
    let amplitude = match core {
        Core::Square => c[2],
        Core::Cube { .. } => c[3] * scale.powi(3),
    };
    let constant = polynomial.evaluate(center);
    FoldedNetwork {
        first: AffineMap { weight: first.weight / scale, bias: (first.bias - center) / scale },
        core,
        second: AffineMap {
            bias: second.bias + second.weight.sum_axis(ndarray::Axis(1)) * constant,
            weight: second.weight * amplitude,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    fn assert_folds(layers: Vec<Layer>, width: usize) {
        let network = Network::new(width, layers).unwrap();
        let rows = testkit::records(20, width, 3.0, 7);
        let folded = FoldedNetwork::fold(&network).unwrap();
        let difference = folded.forward(rows.view()) - network.forward(rows.view()).unwrap();
        let worst = difference.iter().fold(0.0f64, |worst, d| worst.max(d.abs()));
        assert!(worst < 1e-9, "{worst:e}");
    }

    #[test]
    fn folding_changes_nothing() {
        assert_folds(testkit::paper_layers(48, 3), 48);
        for coefficients in [
            vec![0.3, 0.5, 0.1],        // a quadratic
            vec![0.3, -0.5, -0.1],      // one that opens downwards
            vec![0.1, 0.7, 0.2, 0.3],   // a cubic that grows everywhere: u^3 + u
            vec![0.1, 0.7, 0.2, -0.05], // u^3 - u
            vec![0.5, 0.0, 0.0, 0.2],   // a pure cube
        ] {
            let layers = vec![
                testkit::dense(20, 16, 1),
                Layer::Activation(Polynomial::new(vec![0.25, -1.5]).unwrap()),
                Layer::Activation(Polynomial::new(coefficients).unwrap()),
                Layer::AvgPool1d { size: 3 },
                testkit::dense(5, 18, 2),
                Layer::Activation(Polynomial::new(vec![-0.5, 2.0]).unwrap()),
            ];
            assert_folds(layers, 16);
        }
    }

    #[test]
    fn the_constants_of_the_papers_cubic() {
        let folded = complete(identity(1), &Polynomial::cubic_relu(), identity(1));
        assert_eq!(folded.core, Core::Cube { linear: -1.0 });
        assert!((1.0 / folded.first.weight[[0, 0]] - 13.0768).abs() < 1e-4);
        assert!((folded.second.weight[[0, 0]] + 13.8033).abs() < 1e-3);
        assert!((folded.second.bias[0] - 5.0001).abs() < 1e-3);
    }

    #[test]
    fn other_stacks_are_refused_with_the_reason() {
        let cubic = || Layer::Activation(Polynomial::cubic_relu());
        for (layers, reason) in [
            (vec![testkit::dense(4, 4, 1)], "no activation"),
            (vec![cubic(), testkit::dense(4, 4, 1)], "precedes"),
            (vec![testkit::dense(4, 4, 1), cubic()], "follows"),
            (
                vec![
                    testkit::dense(4, 4, 1),
                    cubic(),
                    testkit::dense(4, 4, 2),
                    cubic(),
                    testkit::dense(4, 4, 3),
                ],
                "more than one",
            ),
        ] {
            let error = FoldedNetwork::fold(&Network::new(4, layers).unwrap()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn ranges_include_turning_points() {
        let (low, high) = Core::Cube { linear: -1.0 }.range(-1.0, 1.0);
        assert!((high - 2.0 / 27f64.sqrt()).abs() < 1e-12 && (low + high).abs() < 1e-12);
        assert_eq!(Core::Square.range(-1.0, 2.0), (0.0, 4.0));
        assert_eq!(Core::Cube { linear: 1.0 }.range(-1.0, 2.0), (-2.0, 10.0));
    }
}

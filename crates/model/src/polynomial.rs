//! Polynomial activations: the only non-linearity that a CKKS circuit can evaluate.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// The highest degree an activation may have. Each doubling of the degree costs one more level of the
/// ciphertext, and the features of the lower network gain little beyond a cubic.
pub const MAX_DEGREE: usize = 3;

/// A polynomial with real coefficients in ascending order: `c0 + c1 z + c2 z^2 + ...`.
///
/// The degree is between 1 and [`MAX_DEGREE`] and the leading coefficient is not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Polynomial {
    coefficients: Vec<f64>,
}

impl Polynomial {
    /// The cubic that approximates ReLU in "CryptoTL: Private, efficient and secure transfer learning"
    /// (arXiv 2205.11935): `-0.0061728 z^3 + 0.092593 z^2 + 0.59259 z + 0.49383`.
    pub fn cubic_relu() -> Self {
        Self { coefficients: vec![0.49383, 0.59259, 0.092593, -0.0061728] }
    }

    /// Builds a polynomial from ascending coefficients.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when the degree is out of range, the leading coefficient is zero or a
    /// coefficient is not finite.
    pub fn new(coefficients: Vec<f64>) -> Result<Self> {
        let invalid = |fact: String| {
            Err(ModelError::invalid(
                "activation",
                fact,
                "give 2 to 4 finite coefficients in ascending order, the last one not zero",
            ))
        };
        if !(2..=MAX_DEGREE + 1).contains(&coefficients.len()) {
            return invalid(format!("{} coefficients", coefficients.len()));
        }
        if coefficients.iter().any(|c| !c.is_finite()) {
            return invalid("a coefficient is not finite".into());
        }
        if coefficients.last() == Some(&0.0) {
            return invalid("the leading coefficient is zero".into());
        }
        Ok(Self { coefficients })
    }

    /// The coefficients in ascending order.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The degree, between 1 and [`MAX_DEGREE`].
    pub fn degree(&self) -> usize {
        self.coefficients.len() - 1
    }

    /// The value at `z`, by Horner's rule.
    pub fn evaluate(&self, z: f64) -> f64 {
        self.coefficients.iter().rev().fold(0.0, |acc, c| acc * z + c)
    }
}

impl TryFrom<Vec<f64>> for Polynomial {
    type Error = ModelError;

    fn try_from(coefficients: Vec<f64>) -> Result<Self> {
        Self::new(coefficients)
    }
}

impl From<Polynomial> for Vec<f64> {
    fn from(polynomial: Polynomial) -> Self {
        polynomial.coefficients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horner_agrees_with_the_written_form() {
        let p = Polynomial::cubic_relu();
        let z = 1.7f64;
        let expected = -0.0061728 * z.powi(3) + 0.092593 * z.powi(2) + 0.59259 * z + 0.49383;
        assert!((p.evaluate(z) - expected).abs() < 1e-15);
    }

    #[test]
    fn degenerate_polynomials_are_refused() {
        for coefficients in [vec![], vec![1.0], vec![1.0, 0.0], vec![1.0, f64::NAN], vec![1.0; 5]] {
            assert!(Polynomial::new(coefficients).is_err());
        }
    }
}

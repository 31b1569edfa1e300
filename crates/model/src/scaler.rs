//! The scaler: what is done to an embedding before it is encrypted.

use ndarray::{Array1, Array2, ArrayView2};

use crate::error::{ModelError, Result};

/// Standardises each coordinate with statistics of the public source and clamps it:
/// `clamp((x - mean) / scale, -bound, bound)`.
///
/// The clamp is a promise to the encrypted circuit, whose headroom is computed for inputs within the
/// bound; the statistics are public, so the scaler reveals nothing of private data. A number that is not
/// finite becomes 0, the source's mean, so that no record can make the pipeline fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    mean: Array1<f64>,
    scale: Array1<f64>,
    bound: f64,
}

impl Scaler {
    /// The smallest scale: a coordinate that is constant in the source must not blow up elsewhere.
    pub const MIN_SCALE: f64 = 1e-6;

    /// Fits mean and scale to the source, `[rows, width]`. One scale, the root mean square deviation over
    /// all coordinates, serves every coordinate: embeddings come in one unit, and a common scale keeps the
    /// geometry that the encoder was trained for.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when there is no row, a number is not finite or the bound is not positive.
    pub fn fit(rows: ArrayView2<f64>, bound: f64) -> Result<Self> {
        let Some(mean) = rows.mean_axis(ndarray::Axis(0)) else {
            return Err(ModelError::invalid("source", "it has no rows", "give a source with records"));
        };
        let deviation = (&rows - &mean).mapv(|d| d * d).mean().unwrap_or(0.0).sqrt();
        let scale = Array1::from_elem(mean.len(), deviation.max(Self::MIN_SCALE));
        Self::new(mean, scale, bound)
    }

    /// Assembles a scaler from its parts.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when lengths differ, a number is not finite, a scale is below
    /// [`Scaler::MIN_SCALE`] or the bound is not positive.
    pub fn new(mean: Array1<f64>, scale: Array1<f64>, bound: f64) -> Result<Self> {
        let fine = mean.len() == scale.len()
            && mean.iter().all(|m| m.is_finite())
            && scale.iter().all(|s| s.is_finite() && *s >= Self::MIN_SCALE)
            && bound.is_finite()
            && bound > 0.0;
        if fine {
            Ok(Self { mean, scale, bound })
        } else {
            Err(ModelError::invalid(
                "scaler",
                "a mean, a scale or the bound is out of range",
                "fit it to a source of finite embeddings",
            ))
        }
    }

    /// How many coordinates.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The mean of each coordinate in the source.
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The unit of each coordinate.
    pub fn scale(&self) -> &Array1<f64> {
        &self.scale
    }

    /// No scaled number is larger than this in magnitude.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Scales `[rows, width]`.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the rows have another width.
    pub fn apply(&self, rows: ArrayView2<f32>) -> Result<Array2<f64>> {
        if rows.ncols() != self.width() {
            return Err(ModelError::mismatch(
                format!("the embeddings have {} numbers, the model takes {}", rows.ncols(), self.width()),
                "use the encoder that the model was trained on",
            ));
        }
        let mut scaled = rows.mapv(f64::from);
        for mut row in scaled.rows_mut() {
            for (i, x) in row.iter_mut().enumerate() {
                let z = (*x - self.mean[i]) / self.scale[i];
                *x = if z.is_finite() { z.clamp(-self.bound, self.bound) } else { 0.0 };
            }
        }
        Ok(scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn scales_clamps_and_never_fails_on_content() {
        let scaler = Scaler::new(array![1.0, 0.0], array![2.0, 1.0], 3.0).unwrap();
        let scaled =
            scaler.apply(array![[3.0f32, -1.0], [f32::NAN, f32::INFINITY], [1e30, -1e30]].view()).unwrap();
        assert_eq!(scaled, array![[1.0, -1.0], [0.0, 0.0], [3.0, -3.0]]);
    }

    #[test]
    fn fitting_centers_the_source_and_gives_it_unit_variance() {
        let rows = array![[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]];
        let scaler = Scaler::fit(rows.view(), 10.0).unwrap();
        let scaled = scaler.apply(rows.mapv(|x| x as f32).view()).unwrap();
        assert!(scaled.mean().unwrap().abs() < 1e-12);
        assert!((scaled.mapv(|x| x * x).mean().unwrap() - 1.0).abs() < 1e-12);
        assert!(Scaler::fit(Array2::zeros((0, 2)).view(), 1.0).is_err());
    }
}

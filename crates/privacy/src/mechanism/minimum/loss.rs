//! The objective of a perturbed minimum, and an optimizer that ends at a point whose gradient is small.
//!
//! Inexact Newton steps: conjugate gradients solve the Newton equation to a tenth, and a step is shortened until the norm of
//! the gradient falls (Dembo, Eisenstat and Steihaug 1982; Eisenstat and Walker 1994). The Hessian is at least Lambda I
//! everywhere, so every Newton direction lowers the norm, and in real numbers the iteration converges from any start. Only the
//! end is part of the proof: a point is accepted when its gradient, recomputed in compensated sums, is small enough.
//!
//! Whether floats get there must not depend on a record, because a failure can be seen. So the unknown is the *displacement*
//! v = w - center, from 0. Numbers near 0 are as fine as they have to be, while w itself moves in steps of an ulp of the center:
//! with a center of 1e13 no float w has a small gradient for some tables, and one has for their neighbors. A row's scores at the
//! center are computed once. They are a function of that row and of public numbers, so what floats make of them is simply
//! another loss of that row, with the same bounds on its gradient and Hessian.

use super::super::MechanismError;
use super::super::units::Units;
use crate::event::MinimumEvent;

/// No run has come near it: a few dozen steps are usual.
const MAX_STEPS: usize = 10_000;
/// What a Newton equation is solved to, relative to the gradient.
const FORCING: f64 = 0.1;

/// J of [`MinimumEvent`]. Not `Debug`: it holds private rows.
pub(super) struct Objective {
    scores: usize,
    columns: usize,
    convexity: f64,
    linear: Vec<f64>,
    /// Clipped rows, one after the other, with their scores at the center, their classes and their shares of their unit's loss.
    rows: Vec<f64>,
    offsets: Vec<f64>,
    classes: Vec<usize>,
    shares: Vec<f64>,
}

impl Objective {
    /// Reads each unit's rows once. A row that is not finite or has no class that exists is left out. `center` has a norm of
    /// at most [`MAX_CENTER_NORM`](crate::mechanism::MAX_CENTER_NORM).
    pub fn new(
        event: &MinimumEvent,
        units: &Units,
        mut row: impl FnMut(usize, &mut [f64]) -> Option<u32>,
        center: &[f64],
        linear: Vec<f64>,
    ) -> Self {
        let columns = event.columns;
        let (mut rows, mut classes, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        let mut offsets = Vec::new();
        let mut scratch = vec![0.0; columns];
        for unit in units.iter() {
            let before = classes.len();
            for &index in unit {
                let Some(class) = row(index, &mut scratch).filter(|&class| class < event.classes) else {
                    continue;
                };
                if scratch.iter().all(|x| x.is_finite()) {
                    clip(&mut scratch);
                    rows.extend_from_slice(&scratch);
                    offsets.extend(center.chunks_exact(columns).map(|center| dot(center, &scratch)));
                    classes.push(class as usize);
                }
            }
            let used = classes.len() - before;
            shares.extend(std::iter::repeat_n(1.0 / used.max(1) as f64, used));
        }
        let (scores, convexity) = (event.scores(), event.convexity);
        Self { scores, columns, convexity, linear, rows, offsets, classes, shares }
    }

    /// A displacement from the center at which the gradient has at most this norm.
    ///
    /// # Errors
    /// [`MechanismError::Optimizer`] after [`MAX_STEPS`]. In real numbers the iteration ends before; in floats as long as their
    /// rounding, which [`MinimumEvent::gradient_tolerance`] bounds, is below the tolerance.
    pub fn minimizer(&self, tolerance: f64) -> Result<Vec<f64>, MechanismError> {
        let mut weights = vec![0.0; self.linear.len()];
        let (mut gradient, mut probabilities) = self.gradient(&weights);
        for _ in 0..MAX_STEPS {
            let size = norm(&gradient);
            if size <= tolerance {
                return Ok(weights);
            }
            let direction = self.newton_direction(&gradient, &probabilities);
            let mut length = 1.0;
            loop {
                let moved: Vec<f64> = weights.iter().zip(&direction).map(|(w, d)| w - length * d).collect();
                let (next, next_probabilities) = self.gradient(&moved);
                // A vanishing step is taken in any case: at that length only rounding is left.
                if norm(&next) <= (1.0 - 1e-4 * length) * size || length < 1e-12 {
                    (weights, gradient, probabilities) = (moved, next, next_probabilities);
                    break;
                }
                length *= 0.5;
            }
        }
        Err(MechanismError::Optimizer { steps: MAX_STEPS })
    }

    /// J' at a displacement, and the probabilities of the scores of all rows.
    fn gradient(&self, weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut sum = CompensatedSum::new(weights.len());
        let mut probabilities = vec![0.0; self.classes.len() * self.scores];
        for (i, row) in self.rows.chunks_exact(self.columns).enumerate() {
            let own = &mut probabilities[i * self.scores..][..self.scores];
            self.probabilities(i, row, weights, own);
            for (score, p) in own.iter().enumerate() {
                let is_class = match self.scores {
                    1 => self.classes[i] == 1,
                    _ => self.classes[i] == score,
                };
                let residual = self.shares[i] * (p - f64::from(is_class));
                sum.add_scaled(score * self.columns, residual, row);
            }
        }
        let mut gradient = sum.total();
        for (j, g) in gradient.iter_mut().enumerate() {
            *g += self.convexity * weights[j] + self.linear[j];
        }
        (gradient, probabilities)
    }

    fn probabilities(&self, index: usize, row: &[f64], weights: &[f64], out: &mut [f64]) {
        let at_center = &self.offsets[index * self.scores..][..self.scores];
        for ((p, at_center), w) in out.iter_mut().zip(at_center).zip(weights.chunks_exact(self.columns)) {
            *p = at_center + dot(w, row);
        }
        if let [p] = out {
            *p = if *p >= 0.0 { 1.0 / (1.0 + (-*p).exp()) } else { p.exp() / (1.0 + p.exp()) };
            return;
        }
        let largest = out.iter().fold(f64::NEG_INFINITY, |largest, z| largest.max(*z));
        out.iter_mut().for_each(|z| *z = (*z - largest).exp());
        let total: f64 = out.iter().sum();
        out.iter_mut().for_each(|p| *p /= total);
    }

    /// H v, with H = J'' at these probabilities.
    fn hessian_times(&self, probabilities: &[f64], v: &[f64]) -> Vec<f64> {
        let mut product: Vec<f64> = v.iter().map(|v| self.convexity * v).collect();
        let mut moved = vec![0.0; self.scores];
        for (i, row) in self.rows.chunks_exact(self.columns).enumerate() {
            let p = &probabilities[i * self.scores..][..self.scores];
            for (m, v) in moved.iter_mut().zip(v.chunks_exact(self.columns)) {
                *m = dot(v, row);
            }
            let mean = if self.scores == 1 { p[0] * moved[0] } else { dot(p, &moved) };
            for (score, out) in product.chunks_exact_mut(self.columns).enumerate() {
                let factor = self.shares[i] * p[score] * (moved[score] - mean);
                out.iter_mut().zip(row).for_each(|(out, z)| *out += factor * z);
            }
        }
        product
    }

    /// The solution of H d = gradient up to [`FORCING`], by conjugate gradients.
    fn newton_direction(&self, gradient: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let mut solution = vec![0.0; gradient.len()];
        let (mut residual, mut direction) = (gradient.to_vec(), gradient.to_vec());
        let mut size = dot(&residual, &residual);
        let enough = FORCING * FORCING * size;
        for _ in 0..10 * gradient.len() {
            if size <= enough {
                break;
            }
            let product = self.hessian_times(probabilities, &direction);
            let length = size / dot(&direction, &product);
            for j in 0..solution.len() {
                solution[j] += length * direction[j];
                residual[j] -= length * product[j];
            }
            let next = dot(&residual, &residual);
            for (d, r) in direction.iter_mut().zip(&residual) {
                *d = r + next / size * *d;
            }
            size = next;
        }
        solution
    }
}

/// Scales a finite row to norm at most 1, up to rounding.
fn clip(row: &mut [f64]) {
    let largest = row.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    // A norm that overflows is brought into range by the largest magnitude first.
    if largest > 1.0 {
        row.iter_mut().for_each(|x| *x /= largest);
    }
    let shrunk = norm(row);
    let factor = if largest > 1.0 { shrunk.recip() } else { shrunk.max(1.0).recip() };
    row.iter_mut().for_each(|x| *x *= factor);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// Sums whose error does not grow with the number of terms, but for those of second order (Neumaier 1974).
struct CompensatedSum {
    sums: Vec<f64>,
    errors: Vec<f64>,
}

impl CompensatedSum {
    fn new(length: usize) -> Self {
        Self { sums: vec![0.0; length], errors: vec![0.0; length] }
    }

    /// Adds `factor * row` to the numbers from `start` on.
    fn add_scaled(&mut self, start: usize, factor: f64, row: &[f64]) {
        let range = start..start + row.len();
        let parts = self.sums[range.clone()].iter_mut().zip(&mut self.errors[range]);
        for ((sum, error), x) in parts.zip(row) {
            // Knuth's exact sum of two floats, without a branch.
            let term = factor * x;
            let total = *sum + term;
            let part = total - *sum;
            *error += (*sum - (total - part)) + (term - part);
            *sum = total;
        }
    }

    fn total(self) -> Vec<f64> {
        self.sums.iter().zip(&self.errors).map(|(sum, error)| sum + error).collect()
    }
}

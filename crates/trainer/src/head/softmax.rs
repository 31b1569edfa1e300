//! Logistic and softmax loss of a linear head, in one notation.
//!
//! With two labels there is one score, that of the second against the first. With K > 2 there are K. The
//! gradient of the loss of a row z with label y is r z^T, with one residual r = p - y a score.

use cryptotl_model::rows::times_transposed;
use ndarray::{ArrayView1, ArrayView2};

use crate::linear::{probabilities, sigmoid, softmax};

/// How many scores a head with this many labels has.
pub fn scores_of(labels: usize) -> usize {
    if labels == 2 { 1 } else { labels }
}

/// A row's scores become its residuals.
pub(super) fn residuals(scores: &mut [f64], label: u32) {
    probabilities(scores);
    if let [second] = scores {
        *second -= f64::from(label);
    } else if let Some(own) = scores.get_mut(label as usize) {
        *own -= 1.0;
    }
}

/// Writes r z^T, score by score.
pub(super) fn outer(residuals: &[f64], row: ArrayView1<f64>, gradient: &mut [f64]) {
    for (r, out) in residuals.iter().zip(gradient.chunks_exact_mut(row.len())) {
        out.iter_mut().zip(row).for_each(|(g, z)| *g = r * z);
    }
}

/// The scores of rows, `[rows, scores]`, each row's by itself; `weights` has a vector of the rows' width for each score.
pub(super) fn scores(rows: ArrayView2<f64>, weights: ArrayView1<f64>) -> ndarray::Array2<f64> {
    let width = rows.ncols();
    let n_scores = weights.len() / width.max(1);
    let vectors = weights.to_shape((n_scores, width)).expect("weights are whole vectors of the rows' width");
    times_transposed(rows, vectors.view())
}

/// The likeliest label of each row and its probability.
pub fn predict(rows: ArrayView2<f64>, weights: ArrayView1<f64>) -> Vec<(usize, f64)> {
    let mut scores = scores(rows, weights);
    let best = |mut row: ndarray::ArrayViewMut1<f64>| {
        if row.len() == 1 {
            return (usize::from(row[0] > 0.0), sigmoid(row[0].abs()));
        }
        softmax(row.view_mut());
        row.iter().enumerate().fold((0, 0.0), |best, (label, &p)| if p > best.1 { (label, p) } else { best })
    };
    scores.rows_mut().into_iter().map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    fn loss(scores: &[f64], label: usize) -> f64 {
        if let [z] = scores {
            return (1.0 + (if label == 1 { -z } else { *z }).exp()).ln();
        }
        scores.iter().map(|z| z.exp()).sum::<f64>().ln() - scores[label]
    }

    proptest! {
        /// The residuals are the derivatives of the loss, by finite differences.
        #[test]
        fn residuals_are_derivatives(scores in prop::collection::vec(-5.0..5.0_f64, 1..6), label in 0..6_usize) {
            prop_assume!(scores.len() != 2);
            let label = label % scores.len().max(2);
            let mut found = scores.clone();
            residuals(&mut found, label as u32);
            for k in 0..scores.len() {
                let at = |h: f64| {
                    let mut moved = scores.clone();
                    moved[k] += h;
                    loss(&moved, label)
                };
                prop_assert!(((at(1e-5) - at(-1e-5)) / 2e-5 - found[k]).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn huge_scores_have_finite_residuals() {
        for scores in [vec![1e308], vec![-1e308, 1e308, 0.0], vec![700.0, -700.0, 710.0]] {
            let mut found = scores.clone();
            residuals(&mut found, 0);
            assert!(found.iter().all(|r| r.abs() <= 1.0), "{scores:?}: {found:?}");
        }
    }

    #[test]
    fn the_likeliest_label_wins() {
        let rows = array![[1.0, 0.0], [0.0, 1.0]];
        let binary = predict(rows.view(), array![2.0, -1.0].view());
        assert_eq!(binary.iter().map(|b| b.0).collect::<Vec<_>>(), [1, 0]);
        assert!((binary[0].1 - sigmoid(2.0)).abs() < 1e-15);
        let three = predict(rows.view(), array![0.0, 3.0, 1.0, 0.0, 2.0, 1.0].view());
        assert_eq!(three.iter().map(|b| b.0).collect::<Vec<_>>(), [2, 0]);
        assert!(three.iter().all(|b| b.1 > 1.0 / 3.0 && b.1 < 1.0));
    }
}

//! How well scores agree with labels, on public data.

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::linear::sigmoid;

/// How many equal bins of confidence the calibration error averages over.
const BINS: usize = 15;

/// The quality of a classifier's scores on labeled records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// How many records.
    pub records: usize,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// The share of records with the right label.
    pub accuracy: f64,
    /// F1, the harmonic mean of precision and recall, 0 where there is neither: of two labels that of the second, of more
    /// the mean over the labels that occur.
    pub f1: f64,
    /// Cohen's kappa (1960): agreement beyond chance, 0 where chance explains everything.
    pub kappa: f64,
    /// Expected calibration error (Guo et al. 2017, section 2): the mean distance between confidence and
    /// accuracy over 15 equal bins of confidence.
    pub calibration_error: f64,
}

impl Quality {
    /// Compares scores, `[records, scores]`, with labels. One score is the log odds of label 1 against label 0; of more, each label
    /// has one.
    pub fn of(scores: ArrayView2<f64>, labels: &[u32]) -> Self {
        let n_labels = scores.ncols().max(2);
        let (mut n, mut loss) = (0usize, 0.0);
        // counts[predicted][true]
        let mut counts = vec![vec![0usize; n_labels]; n_labels];
        let mut bins = [(0usize, 0.0, 0usize); BINS];
        for (scores, &label) in scores.rows().into_iter().zip(labels) {
            let (predicted, confidence) = likeliest(scores);
            n += 1;
            loss += cross_entropy(scores, label);
            counts[predicted][label as usize] += 1;
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + usize::from(predicted == label as usize));
        }
        let total = n.max(1) as f64;
        let found = |label: usize| counts[label][label] as f64;
        let predicted = |label: usize| counts[label].iter().sum::<usize>() as f64;
        let declared = |label: usize| counts.iter().map(|row| row[label]).sum::<usize>() as f64;
        let agreement = (0..n_labels).map(found).sum::<f64>() / total;
        let chance =
            (0..n_labels).map(|label| predicted(label) * declared(label)).sum::<f64>() / (total * total);
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let f1 = |label: usize| ratio(2.0 * found(label), predicted(label) + declared(label));
        let f1 = if n_labels == 2 {
            f1(1)
        } else {
            let occurring = (0..n_labels).filter(|&label| predicted(label) + declared(label) > 0.0);
            ratio(occurring.clone().map(f1).sum(), occurring.count() as f64)
        };
        Self {
            records: n,
            loss: loss / total,
            accuracy: agreement,
            f1,
            kappa: ratio(agreement - chance, 1.0 - chance),
            calibration_error: bins.iter().map(|(_, c, right)| (c - *right as f64).abs()).sum::<f64>()
                / total,
        }
    }
}

/// The likeliest label by a record's scores, and its probability.
pub fn likeliest(scores: ArrayView1<f64>) -> (usize, f64) {
    if scores.len() == 1 {
        return (usize::from(scores[0] > 0.0), sigmoid(scores[0].abs()));
    }
    let (label, largest) = largest(scores);
    (label, scores.iter().map(|z| (z - largest).exp()).sum::<f64>().recip())
}

/// Minus the log of the probability that a record's scores give a label, without overflow.
pub fn cross_entropy(scores: ArrayView1<f64>, label: u32) -> f64 {
    if scores.len() == 1 {
        let z = scores[0];
        return z.max(0.0) + (-z.abs()).exp().ln_1p() - f64::from(label) * z;
    }
    let (_, largest) = largest(scores);
    largest + scores.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() - scores[label as usize]
}

/// The largest score, and the first label that has it.
fn largest(scores: ArrayView1<f64>) -> (usize, f64) {
    scores
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (label, &z)| if z > best.1 { (label, z) } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn column(scores: Vec<f64>) -> Array2<f64> {
        Array2::from_shape_vec((scores.len(), 1), scores).unwrap()
    }

    #[test]
    fn a_table_worked_by_hand() {
        // 4 found, 1 missed, 2 false alarms, 3 true negatives, all with confidence 0.75.
        let z = 3f64.ln();
        let scores = column(vec![z, z, z, z, -z, z, z, -z, -z, -z]);
        let labels = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
        let quality = Quality::of(scores.view(), &labels);
        assert_eq!(quality.records, 10);
        assert!((quality.accuracy - 0.7).abs() < 1e-12);
        assert!((quality.f1 - 8.0 / 11.0).abs() < 1e-12);
        assert!((quality.kappa - 0.4).abs() < 1e-12, "chance is 0.5: (0.7 - 0.5) / 0.5");
        assert!((quality.calibration_error - 0.05).abs() < 1e-12);
        let loss = (7.0 * (4.0f64 / 3.0).ln() + 3.0 * 4f64.ln()) / 10.0;
        assert!((quality.loss - loss).abs() < 1e-12);
        // Half the odds for one label and half against the other are the same classifier; only F1 means another thing.
        let two = Array2::from_shape_fn((10, 2), |(i, k)| (k as f64 - 0.5) * scores[[i, 0]]);
        let same = Quality::of(two.view(), &labels);
        assert!((same.loss - quality.loss).abs() < 1e-12 && (same.kappa - quality.kappa).abs() < 1e-12);
    }

    #[test]
    fn three_labels_worked_by_hand() {
        // Predicted 0 0 1 2 2 2 for 0 1 1 2 2 0: F1 is 1/2, 2/3 and 4/5; confidence e / (e + 2) each.
        let scores = array![
            [1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
            [5.0, 5.0, 6.0],
            [0.0, 0.0, 1.0]
        ];
        let quality = Quality::of(scores.view(), &[0, 1, 1, 2, 2, 0]);
        assert!((quality.accuracy - 4.0 / 6.0).abs() < 1e-12);
        assert!((quality.f1 - (0.5 + 2.0 / 3.0 + 0.8) / 3.0).abs() < 1e-12);
        // Chance is (2 2 + 1 2 + 3 2) / 36 = 1/3.
        assert!((quality.kappa - 0.5).abs() < 1e-12);
        let p = 1f64.exp() / (1f64.exp() + 2.0);
        assert!((quality.calibration_error - (4.0 / 6.0 - p).abs()).abs() < 1e-12);
        let q = 1.0 / (1f64.exp() + 2.0);
        assert!((quality.loss + (4.0 * p.ln() + 2.0 * q.ln()) / 6.0).abs() < 1e-12);
    }

    #[test]
    fn degenerate_inputs_give_numbers() {
        let nothing = Quality::of(Array2::zeros((0, 1)).view(), &[]);
        assert_eq!((nothing.records, nothing.accuracy, nothing.kappa), (0, 0.0, 0.0));
        let certain = Quality::of(column(vec![800.0, 800.0]).view(), &[1, 1]);
        assert_eq!((certain.accuracy, certain.f1, certain.kappa, certain.loss), (1.0, 1.0, 0.0, 0.0));
        assert!(Quality::of(column(vec![-800.0]).view(), &[1]).loss == 800.0);
        let wrong = Quality::of(array![[800.0, 0.0, -800.0]].view(), &[2]);
        assert_eq!((wrong.loss, wrong.accuracy, wrong.f1), (1600.0, 0.0, 0.0));
    }
}

//! How well scores agree with labels, on public data.

use serde::{Deserialize, Serialize};

use crate::linear::sigmoid;

/// How many equal bins of confidence the calibration error averages over.
const BINS: usize = 15;

/// The quality of a binary classifier's scores on labeled records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// How many records.
    pub records: usize,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// The share of records with the right label.
    pub accuracy: f64,
    /// F1 of the second label: the harmonic mean of its precision and recall; 0 where it has neither.
    pub f1: f64,
    /// Cohen's kappa (1960): agreement beyond chance, 0 where chance explains everything.
    pub kappa: f64,
    /// Expected calibration error (Guo et al. 2017, section 2): the mean distance between confidence and
    /// accuracy over 15 equal bins of confidence.
    pub calibration_error: f64,
}

impl Quality {
    /// Compares scores, the log odds of the second label, with targets, 1 for the second label and 0 for the first.
    pub fn of(scores: impl IntoIterator<Item = f64>, targets: impl IntoIterator<Item = f64>) -> Self {
        let (mut n, mut loss) = (0usize, 0.0);
        // counts[predicted][true]
        let mut counts = [[0usize; 2]; 2];
        let mut bins = [(0usize, 0.0, 0usize); BINS];
        for (z, target) in scores.into_iter().zip(targets) {
            n += 1;
            loss += cross_entropy(z, target);
            let right = (z > 0.0) == (target == 1.0);
            counts[usize::from(z > 0.0)][usize::from(target == 1.0)] += 1;
            let confidence = sigmoid(z.abs());
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + usize::from(right));
        }
        let total = n.max(1) as f64;
        let [[true_negative, missed], [false_alarm, found]] = counts.map(|row| row.map(|c| c as f64));
        let agreement = (true_negative + found) / total;
        let chance = ((true_negative + missed) * (true_negative + false_alarm)
            + (found + false_alarm) * (found + missed))
            / (total * total);
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        Self {
            records: n,
            loss: loss / total,
            accuracy: agreement,
            f1: ratio(2.0 * found, 2.0 * found + missed + false_alarm),
            kappa: ratio(agreement - chance, 1.0 - chance),
            calibration_error: bins.iter().map(|(_, c, right)| (c - *right as f64).abs()).sum::<f64>()
                / total,
        }
    }
}

/// `log(1 + exp(z)) - target z`, without overflow.
pub fn cross_entropy(z: f64, target: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_worked_by_hand() {
        // 4 found, 1 missed, 2 false alarms, 3 true negatives, all with confidence 0.75.
        let z = 3f64.ln();
        let scores = [z, z, z, z, -z, z, z, -z, -z, -z];
        let targets = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let quality = Quality::of(scores, targets);
        assert_eq!(quality.records, 10);
        assert!((quality.accuracy - 0.7).abs() < 1e-12);
        assert!((quality.f1 - 8.0 / 11.0).abs() < 1e-12);
        assert!((quality.kappa - 0.4).abs() < 1e-12, "chance is 0.5: (0.7 - 0.5) / 0.5");
        assert!((quality.calibration_error - 0.05).abs() < 1e-12);
        let loss = (7.0 * (4.0f64 / 3.0).ln() + 3.0 * 4f64.ln()) / 10.0;
        assert!((quality.loss - loss).abs() < 1e-12);
    }

    #[test]
    fn degenerate_inputs_give_numbers() {
        let nothing = Quality::of([], []);
        assert_eq!((nothing.records, nothing.accuracy, nothing.kappa), (0, 0.0, 0.0));
        let certain = Quality::of([800.0, 800.0], [1.0, 1.0]);
        assert_eq!((certain.accuracy, certain.f1, certain.kappa, certain.loss), (1.0, 1.0, 0.0, 0.0));
        assert!(Quality::of([-800.0], [1.0]).loss == 800.0);
    }
}

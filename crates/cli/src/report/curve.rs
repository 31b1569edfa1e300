//! What a privacy profile says about guessing: the trade-off between the two errors of an attacker.
//!
//! Whoever guesses from a release whether a unit was in the data has a false positive rate a and a false
//! negative rate b. A release that is (epsilon, delta)-DP forces a + exp(epsilon) b >= 1 - delta and
//! exp(epsilon) a + b >= 1 - delta (Wasserman and Zhou 2010; Kairouz, Oh and Viswanath 2015, on the privacy region).
//! A profile holds for all its pairs at once, so the largest of these bounds holds.

use super::guarantee::ProfilePoint;

/// The pairs of one profile.
#[derive(Debug, Clone)]
pub struct Curve {
    /// (epsilon, delta), of which each holds.
    pairs: Vec<(f64, f64)>,
}

impl Curve {
    /// The curve of a release alone.
    pub fn of_release(profile: &[ProfilePoint]) -> Self {
        Self { pairs: profile.iter().map(|p| (p.release_epsilon, p.delta)).collect() }
    }

    /// The least false negative rate at a false positive rate.
    pub fn false_negatives(&self, false_positives: f64) -> f64 {
        let a = false_positives;
        self.pairs.iter().fold(0.0, |least, &(epsilon, delta)| {
            let steep = 1.0 - delta - epsilon.exp() * a;
            let flat = (-epsilon).exp() * (1.0 - delta - a);
            f64::max(least, steep.max(flat))
        })
    }

    /// The largest true positive rate at a false positive rate.
    pub fn true_positives(&self, false_positives: f64) -> f64 {
        1.0 - self.false_negatives(false_positives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(pairs: &[(f64, f64)]) -> Curve {
        Curve { pairs: pairs.to_vec() }
    }

    #[test]
    fn known_answers() {
        let pure = curve(&[(2f64.ln(), 0.0)]);
        assert!((pure.false_negatives(0.25) - 0.5).abs() < 1e-12, "1 - 2/4");
        assert!((pure.false_negatives(0.5) - 0.25).abs() < 1e-12, "(1 - 1/2) / 2");
        assert!((pure.true_positives(0.01) - 0.02).abs() < 1e-12);
        let approximate = curve(&[(0.0, 0.1)]);
        assert!((approximate.true_positives(0.0) - 0.1).abs() < 1e-12, "delta alone");
        assert_eq!(curve(&[]).true_positives(0.3), 1.0, "no promise, no bound");
    }

    #[test]
    fn more_pairs_bound_more_tightly_and_the_curve_falls() {
        let one = curve(&[(1.0, 1e-5)]);
        let two = curve(&[(1.0, 1e-5), (0.5, 1e-2)]);
        let mut previous = 1.0;
        for i in 0..=100 {
            let a = f64::from(i) / 100.0;
            assert!(two.false_negatives(a) >= one.false_negatives(a));
            assert!(two.false_negatives(a) <= previous + 1e-12);
            previous = two.false_negatives(a);
        }
    }
}

//! The audit that trains once (Steinke, Nasr and Jagielski, *Privacy Auditing with One (1) Training Run*, NeurIPS 2023).
//!
//! m canaries are put in or left out by independent fair coins; from the released numbers the adversary guesses r of the
//! coins and abstains on the rest; v guesses are right.
//!
//! **Theorem** (their main theorem for approximate DP). If the training is (epsilon, delta)-DP under adding or removing
//! one canary, then for every v
//!
//! ```text
//! P(at least v right) <= beta + 2 m delta alpha,   alpha = max over i of P(v - i <= W < v) / i,   beta = P(W >= v)
//! ```
//!
//! with W binomial, r trials of success probability e^epsilon / (e^epsilon + 1). The largest epsilon whose right side
//! is at most 1 minus the confidence is a lower bound.
//!
//! How many guesses to make is decided before the training, for a Gaussian mechanism of the claimed mu: those on which its
//! scores would be the furthest from the middle.

use crate::accountant::normal::{survival, upper_quantile};
use crate::guarantee::Delta;

/// The lower bound on epsilon at `delta`, wrong with probability at most `alpha`.
///
/// `canaries`, `guesses` and `correct` are m, r and v, with v <= r <= m.
pub fn epsilon(canaries: usize, guesses: usize, correct: usize, delta: Delta, alpha: f64) -> f64 {
    let rejects = |epsilon: f64| p_value(canaries, guesses, correct, delta, epsilon) <= alpha;
    let (mut low, mut high) = (0.0, 50.0);
    if !rejects(low) {
        return 0.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if rejects(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The theorem's right side.
fn p_value(canaries: usize, guesses: usize, correct: usize, delta: Delta, epsilon: f64) -> f64 {
    let (log_right, log_wrong) = (-(-epsilon).exp().ln_1p(), -epsilon.exp().ln_1p());
    let log_factorial = |k: usize| libm::lgamma(k as f64 + 1.0);
    let mass = |k: usize| {
        let choose = log_factorial(guesses) - log_factorial(k) - log_factorial(guesses - k);
        (choose + k as f64 * log_right + (guesses - k) as f64 * log_wrong).exp()
    };
    let beta: f64 = (correct..=guesses).map(mass).sum();
    let (mut alpha, mut below) = (0.0_f64, 0.0);
    for i in 1..=correct {
        below += mass(correct - i);
        alpha = alpha.max(below / i as f64);
    }
    beta + 2.0 * canaries as f64 * delta.get() * alpha
}

/// r: how many guesses on `canaries` would show the most of a Gaussian mechanism with this mu.
pub fn guesses_for(canaries: usize, mu: f64, delta: Delta) -> usize {
    let expected = |guesses: usize| {
        // Scores are N(-mu/2, 1) or N(mu/2, 1); the guesses are those further than `reach` from 0.
        let share = guesses as f64 / canaries as f64;
        let beyond = |reach: f64| survival(reach - mu / 2.0) + survival(reach + mu / 2.0);
        let (mut low, mut high) = (0.0, upper_quantile(share / 4.0).abs() + mu + 1.0);
        for _ in 0..50 {
            let middle = (low + high) / 2.0;
            if beyond(middle) > share {
                low = middle;
            } else {
                high = middle;
            }
        }
        let correct = (guesses as f64 * survival(low - mu / 2.0) / share).floor() as usize;
        epsilon(canaries, guesses, correct.min(guesses), delta, 0.05)
    };
    let candidates = (1..=16).map(|sixteenth| (canaries * sixteenth).div_ceil(16)).filter(|&r| r > 0);
    // The most guesses among equals.
    candidates.max_by(|&a, &b| expected(a).total_cmp(&expected(b)).then(a.cmp(&b))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(value: f64) -> Delta {
        Delta::new(value).unwrap()
    }

    #[test]
    fn without_delta_it_is_the_binomial_bound() {
        // All of r right: (e^eps / (1 + e^eps))^r = alpha.
        for r in [10_usize, 100, 1000] {
            let right = 0.05_f64.powf(1.0 / r as f64);
            let closed = (right / (1.0 - right)).ln();
            assert!((epsilon(r, r, r, delta(1e-300), 0.05) - closed).abs() < 1e-6, "{r}");
        }
        assert_eq!(epsilon(100, 100, 50, delta(1e-9), 0.05), 0.0);
        assert_eq!(epsilon(0, 0, 0, delta(1e-9), 0.05), 0.0);
    }

    #[test]
    fn delta_costs_confidence_and_the_confidence_costs_epsilon() {
        let bound = |delta: Delta, alpha: f64| epsilon(1000, 1000, 700, delta, alpha);
        let (free, small, large) =
            (bound(delta(1e-300), 0.05), bound(delta(1e-5), 0.05), bound(delta(1e-2), 0.05));
        assert!(free > small && small > large, "{free} {small} {large}");
        assert!(bound(delta(1e-5), 0.01) < small);
        // The p-value at the bound is the level.
        assert!((p_value(1000, 1000, 700, delta(1e-5), small) - 0.05).abs() < 1e-9);
        // 700 of 1000 right is log(7/3) = 0.85 in expectation, and less with confidence.
        assert!(free > 0.7 && free < 0.84, "{free}");
    }

    #[test]
    fn strong_signals_call_for_abstention() {
        assert!(guesses_for(1000, 4.0, delta(1e-5)) < 1000);
        for mu in [1e-3, 0.3, 2.0, 50.0] {
            let guesses = guesses_for(128, mu, delta(1e-4));
            assert!((1..=128).contains(&guesses), "{mu}: {guesses}");
        }
    }
}

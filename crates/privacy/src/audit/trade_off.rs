//! From the two errors of a guess to the least loss that they imply.
//!
//! An adversary guesses whether a record was in. Its false positive rate alpha and false negative rate beta obey
//!
//! * under (epsilon, delta)-DP: alpha e^epsilon + beta >= 1 - delta and alpha + beta e^epsilon >= 1 - delta (Wasserman
//!   and Zhou 2010; Kairouz, Oh and Viswanath 2015), so that epsilon >= ln((1 - delta - beta) / alpha) and the same with
//!   the errors exchanged;
//! * under mu-GDP: beta >= Phi(Phi^-1(1 - alpha) - mu) (Dong, Roth and Su 2022), so that
//!   mu >= Phi^-1(1 - alpha) - Phi^-1(beta).
//!
//! Each right side falls in alpha and in beta, so upper bounds on the errors give a lower bound on the loss.
//!
//! **Many canaries.** The trade-off functions above are convex, so errors *averaged* over canaries, each of which
//! obeys them, obey them too (Jensen). Nothing is assumed about how guesses on different canaries depend on each other.
//!
//! **One mean instead of two.** The least alpha + beta under mu-GDP is 2 Phi(-mu/2), at the threshold in the middle. So
//! the mean error e = (alpha + beta)/2 of *any* guess gives mu >= -2 Phi^-1(e), with one confidence bound instead of two.
//!
//! **From mu to epsilon.** mu-GDP has exactly one epsilon at each delta. If the true loss is that of mu' >= mu, epsilon is
//! at least that.

use crate::accountant::gdp::{self, Mu};
use crate::accountant::normal::{survival, upper_quantile};
use crate::guarantee::Delta;

/// The least mu with errors of at most `fpr` and `fnr`; 0 for guesses no better than chance.
pub fn mu_of_errors(fpr: f64, fnr: f64) -> f64 {
    let mu = upper_quantile(fpr) + upper_quantile(fnr);
    if mu.is_nan() { 0.0 } else { mu.max(0.0) }
}

/// The least mu with a mean error of at most `error`.
pub fn mu_of_mean_error(error: f64) -> f64 {
    (2.0 * upper_quantile(error)).max(0.0)
}

/// The least epsilon, at `delta`, with errors of at most `fpr` and `fnr`; 0 if there is none.
pub fn epsilon_of_errors(fpr: f64, fnr: f64, delta: Delta) -> f64 {
    let side = |alpha: f64, beta: f64| {
        let mass = 1.0 - delta.get() - beta;
        if mass <= 0.0 { 0.0 } else { (mass / alpha).ln() }
    };
    side(fpr, fnr).max(side(fnr, fpr)).max(0.0)
}

/// The epsilon of mu-GDP at `delta`; infinite if it is beyond what can be written down.
pub fn epsilon_of_mu(mu: f64, delta: Delta) -> f64 {
    gdp::epsilon(Mu::measured(mu), delta).map_or(f64::INFINITY, |epsilon| epsilon.get())
}

/// The largest true positive rate of a mu-GDP mechanism at a false positive rate.
pub fn tpr_of_mu(mu: f64, fpr: f64) -> f64 {
    survival(upper_quantile(fpr) - mu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_a_gaussian_give_back_its_mu() {
        for mu in [0.05, 0.3, 1.0, 3.0, 8.0] {
            for threshold in [-1.0, 0.0, mu / 2.0, mu, 2.5] {
                let (fpr, fnr) = (survival(threshold), survival(mu - threshold));
                assert!((mu_of_errors(fpr, fnr) - mu).abs() < 1e-6, "{mu} {threshold}");
                // Another threshold than the middle shows less.
                let found = mu_of_mean_error((fpr + fnr) / 2.0);
                assert!(found < mu + 1e-9, "{mu} {threshold}");
                assert!(threshold != mu / 2.0 || found > mu - 1e-6);
                assert!((tpr_of_mu(mu, fpr) - (1.0 - fnr)).abs() < 1e-9);
            }
        }
        assert_eq!(mu_of_errors(0.6, 0.6), 0.0);
        assert_eq!(mu_of_errors(1.0, 0.0), 0.0);
        assert_eq!(mu_of_mean_error(0.5), 0.0);
    }

    #[test]
    fn no_threshold_shows_more_than_epsilon_and_the_best_one_shows_all() {
        let delta = Delta::new(1e-4).unwrap();
        for mu in [0.3, 1.0, 2.0] {
            let epsilon = epsilon_of_mu(mu, delta);
            let shown = (-400..900).map(|step| {
                let threshold = f64::from(step) / 100.0;
                epsilon_of_errors(survival(threshold), survival(mu - threshold), delta)
            });
            let best = shown.fold(0.0, f64::max);
            assert!(best <= epsilon + 1e-9 && best > epsilon - 1e-3, "{mu}: {best} {epsilon}");
        }
    }

    #[test]
    fn randomized_response_shows_its_epsilon() {
        let delta = Delta::new(1e-9).unwrap();
        let wrong = 1.0 / (1.0 + 2_f64.exp());
        assert!((epsilon_of_errors(wrong, wrong, delta) - 2.0).abs() < 1e-6);
        assert_eq!(epsilon_of_errors(0.5, 0.5, delta), 0.0);
        assert_eq!(epsilon_of_errors(1.0, 1.0, delta), 0.0);
        // delta alone explains a guess that is right with that probability.
        let tenth = Delta::new(0.1).unwrap();
        assert_eq!(epsilon_of_errors(0.45, 0.45, tenth), 0.0);
    }
}

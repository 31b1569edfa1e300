//! What a mechanism's loss can be, up to one number: the families in which an attack bounds that number from below.
//!
//! A family is a set of mechanisms ordered by *mu*, larger for more loss. From the errors of a guess follows the least mu
//! that allows them, and that is compared with the claim's. Three families cover the mechanisms of this crate:
//!
//! | family | mu | the least mean error e of a guess |
//! | --- | --- | --- |
//! | Gaussian DP | as defined by Dong, Roth and Su 2022 | Phi(-mu/2) |
//! | Gaussian sums over Poisson samples, at a known rate and number of steps T | sqrt(T)/sigma, which is that of the same sums without sampling | (1 - delta(0))/2, with the delta(epsilon) of [`crate::accountant::pld`] |
//! | zCDP | sqrt(2 rho), which is that of the Gaussian mechanism with the same rho | where D_a(e)/a, at the order a at which it is largest, is rho |
//!
//! **Samples.** delta(0) is the total variation distance of what is released with and without the record, and no guess has errors
//! with a sum below one minus that. The accountant's figure is an upper bound on it, so that the mu at which it comes to 1 - 2e is not
//! above the true one.
//!
//! **zCDP.** A guess maps what was released to one bit, and that loses no more than the release does: with errors alpha and beta, the Rényi
//! divergence of order a between coins of bias 1 - beta and alpha is at most a rho, for every a >= 1, and the same with the errors exchanged, as
//! neighbors are in both orders. Divergence is jointly quasi-convex (van Erven and Harremoës 2014, Theorem 13), so that the same holds for the
//! mean of both errors, and for errors that are averaged over canaries. D_a(e) above is the divergence of biases 1 - e and e.

use serde::{Deserialize, Serialize};

use super::evidence::Theory;
use super::trade_off;
use crate::accountant::gdp::Mu;
use crate::accountant::normal::survival;
use crate::accountant::pld::{self, NOISE_RANGE, Releases};
use crate::accountant::zcdp;
use crate::calibrate::largest_rho;
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// A family of mechanisms, from no loss (mu = 0) to any loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Losses {
    /// Gaussian sums over all units.
    #[default]
    GaussianDp,
    /// Gaussian sums over Poisson samples.
    SampledGaussian {
        /// q, the probability with which a unit takes part in a step.
        sampling_rate: f64,
        /// T, the number of steps.
        steps: u32,
    },
    /// Whatever has a rho.
    Zcdp,
}

/// Orders at which divergences are compared: any set of orders gives valid bounds, and 1 rules where errors are even.
const ORDERS: [f64; 24] = [
    1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 80.0,
    130.0, 250.0, 500.0, 1e3, 1e4,
];
/// No audit shows more: a record that is plainly visible.
const LARGEST_MU: f64 = 100.0;
/// How close an inverse comes, relative to the result.
const PRECISION: f64 = 1e-5;

impl Losses {
    /// What bounds by this family assume.
    pub fn theory(self) -> Theory {
        match self {
            Losses::GaussianDp => Theory::GaussianDp,
            Losses::SampledGaussian { .. } => Theory::SampledGaussian,
            Losses::Zcdp => Theory::Zcdp,
        }
    }

    /// The least mean of both errors that a guess can have against mu.
    pub fn mean_error(self, mu: f64) -> f64 {
        match self {
            Losses::GaussianDp => survival(mu / 2.0),
            Losses::SampledGaussian { .. } => {
                let distance =
                    self.releases(mu).map_or(0.0, |releases| pld::delta(&[releases], Epsilon::ZERO));
                (1.0 - distance) / 2.0
            }
            // Falls from 1/2, where nothing can be told.
            Losses::Zcdp => largest(0.5, |error| rho_of_errors(error, error) >= mu * mu / 2.0),
        }
    }

    /// The least mu with a mean error of at most `error`; 0 for guesses no better than chance.
    pub fn mu_of_mean_error(self, error: f64) -> f64 {
        match self {
            Losses::GaussianDp => trade_off::mu_of_mean_error(error),
            Losses::SampledGaussian { .. } => self.least_mu(
                |mu| trade_off::mu_of_mean_error(self.mean_error(mu)),
                trade_off::mu_of_mean_error(error),
            ),
            Losses::Zcdp => (2.0 * rho_of_errors(error, error)).sqrt(),
        }
    }

    /// The least mu with errors of at most `fpr` and `fnr`.
    pub fn mu_of_errors(self, fpr: f64, fnr: f64) -> f64 {
        match self {
            Losses::GaussianDp => trade_off::mu_of_errors(fpr, fnr),
            // Both errors by themselves would take a curve of deltas for each mu; their mean is valid, and weaker
            // where they are far from even.
            Losses::SampledGaussian { .. } => self.mu_of_mean_error((fpr + fnr) / 2.0),
            Losses::Zcdp => (2.0 * rho_of_errors(fpr, fnr)).sqrt(),
        }
    }

    /// The epsilon of mu at `delta`; infinite if it is beyond what can be written down.
    pub fn epsilon(self, mu: f64, delta: Delta) -> f64 {
        let epsilon = match self {
            Losses::GaussianDp => return trade_off::epsilon_of_mu(mu, delta),
            _ if mu <= 0.0 => return 0.0,
            Losses::SampledGaussian { .. } => {
                self.releases(mu).and_then(|releases| pld::epsilon(&[releases], delta).ok())
            }
            Losses::Zcdp => {
                let rho = Rho::from_f64_rounding_up(mu * mu / 2.0).ok();
                rho.and_then(|rho| zcdp::epsilon(rho, delta).ok())
            }
        };
        epsilon.map_or(f64::INFINITY, Epsilon::get)
    }

    /// The mu whose epsilon at `delta` is this, or a little less; infinite if there is none.
    pub fn mu_of_epsilon(self, epsilon: Epsilon, delta: Delta) -> f64 {
        let mu = match self {
            Losses::GaussianDp => Mu::largest(epsilon, delta).ok().map(Mu::get),
            Losses::SampledGaussian { .. } => {
                Some(self.least_mu(|mu| self.epsilon(mu, delta), epsilon.get()))
            }
            Losses::Zcdp => largest_rho(epsilon, delta).ok().map(|rho| Mu::from_rho(rho).get()),
        };
        mu.unwrap_or(f64::INFINITY)
    }

    /// The largest true positive rate that mu allows at a false positive rate.
    pub fn tpr(self, mu: f64, fpr: f64) -> f64 {
        match self {
            Losses::GaussianDp => trade_off::tpr_of_mu(mu, fpr),
            Losses::SampledGaussian { .. } => {
                let Some(releases) = self.releases(mu) else { return fpr };
                // Each epsilon allows e^epsilon fpr + delta(epsilon), and the same for the complements.
                let allowed = |epsilon: f64| {
                    let Ok(loss) = Epsilon::new(epsilon) else { return 1.0 };
                    let delta = pld::delta(&[releases], loss);
                    let complement = 1.0 - (-epsilon).exp() * (1.0 - delta - fpr);
                    (epsilon.exp() * fpr + delta).min(complement)
                };
                let at_zero = fpr + pld::delta(&[releases], Epsilon::ZERO);
                // delta is convex in e^epsilon, so there is one valley; from 1/fpr on nothing is ruled out.
                least(-fpr.ln(), allowed).min(at_zero).min(1.0)
            }
            // Rises from `fpr`, of which nothing can be told.
            Losses::Zcdp => {
                let rho = mu * mu / 2.0;
                1.0 - largest(1.0 - fpr, |fnr| rho_of_errors(fpr, fnr) >= rho)
            }
        }
    }

    /// The releases of this mu; `None` if it is none. Where the accountant's range ends, its last.
    fn releases(self, mu: f64) -> Option<Releases> {
        let Losses::SampledGaussian { sampling_rate, steps } = self else { return None };
        let noise = (f64::from(steps).sqrt() / mu).clamp(*NOISE_RANGE.start(), *NOISE_RANGE.end());
        if mu > 0.0 { Releases::gaussian(noise, sampling_rate, steps).ok() } else { None }
    }

    /// The least mu at which a rising `figure` reaches `goal`, or a little less than that.
    ///
    /// False position in the Illinois variant (Dowell and Jarratt 1971): figures are nearly straight lines in mu, and each costs a
    /// transform.
    fn least_mu(self, figure: impl Fn(f64) -> f64, goal: f64) -> f64 {
        if goal.is_nan() || goal <= 0.0 {
            return 0.0;
        }
        let (mut low, mut below) = (0.0, -goal);
        let (mut high, mut above) = (1.0, figure(1.0) - goal);
        while above < 0.0 {
            (low, below) = (high, above);
            high *= 2.0;
            if high > LARGEST_MU {
                return low;
            }
            above = figure(high) - goal;
        }
        let mut last = 0_i32;
        while high - low > PRECISION * high {
            // Where the figure has no end, only the middle makes sense.
            let next = if above.is_finite() {
                low - below * (high - low) / (above - below)
            } else {
                (low + high) / 2.0
            };
            // A step onto an end would never close the interval.
            let next = next.clamp(low + 0.3 * PRECISION * high, high - 0.3 * PRECISION * high);
            let found = figure(next) - goal;
            if found < 0.0 {
                (low, below) = (next, found);
                above = if last < 0 { above / 2.0 } else { above };
                last = -1;
            } else {
                (high, above) = (next, found);
                below = if last > 0 { below / 2.0 } else { below };
                last = 1;
            }
        }
        low
    }
}

/// The largest x from 0 to `end` for which a falling condition holds, or a little less.
fn largest(end: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, end);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The least value of a figure with one valley between 0 and `end`, by golden section: any point of it is valid, and the
/// valley is flat.
fn least(end: f64, figure: impl Fn(f64) -> f64) -> f64 {
    const SHARE: f64 = 0.618_033_988_749_895;
    let (mut low, mut high) = (0.0, end);
    let (mut left, mut right) = (high - SHARE * (high - low), low + SHARE * (high - low));
    let (mut at_left, mut at_right) = (figure(left), figure(right));
    for _ in 0..12 {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - SHARE * (high - low);
            at_left = figure(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + SHARE * (high - low);
            at_right = figure(right);
        }
    }
    at_left.min(at_right)
}

/// The least rho with errors of at most `alpha` and `beta`; 0 for guesses no better than chance.
fn rho_of_errors(alpha: f64, beta: f64) -> f64 {
    if alpha.is_nan() || beta.is_nan() || alpha + beta >= 1.0 {
        return 0.0;
    }
    let at =
        |order: f64| divergence(order, 1.0 - beta, alpha).max(divergence(order, 1.0 - alpha, beta)) / order;
    ORDERS.into_iter().map(at).fold(0.0, f64::max)
}

/// The Rényi divergence of this order of a coin of bias p from one of bias q.
fn divergence(order: f64, p: f64, q: f64) -> f64 {
    let sides = [(p, q), (1.0 - p, 1.0 - q)];
    if order == 1.0 {
        let term = |(p, q): (f64, f64)| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
        return sides.into_iter().map(term).sum();
    }
    // Powers in logarithms: q^(1 - order) leaves the range of floats.
    let log = |(p, q): (f64, f64)| {
        if p == 0.0 { f64::NEG_INFINITY } else { order * p.ln() + (1.0 - order) * q.ln() }
    };
    let [a, b] = sides.map(log);
    let most = a.max(b);
    if most == f64::INFINITY {
        return most;
    }
    (most + ((a - most).exp() + (b - most).exp()).ln()) / (order - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: Losses = Losses::SampledGaussian { sampling_rate: 0.25, steps: 100 };
    const ALL: [Losses; 3] = [Losses::GaussianDp, SAMPLED, Losses::Zcdp];

    fn delta() -> Delta {
        Delta::new(1e-4).unwrap()
    }

    #[test]
    fn each_inverse_is_one() {
        for losses in ALL {
            for mu in [0.2, 1.0, 4.0] {
                let error = losses.mean_error(mu);
                assert!(error > 0.0 && error < 0.5, "{losses:?} {mu}: {error}");
                let found = losses.mu_of_mean_error(error);
                assert!((found / mu - 1.0).abs() < 1e-3, "{losses:?} {mu}: {found}");
                let epsilon = losses.epsilon(mu, delta());
                let found = losses.mu_of_epsilon(Epsilon::new(epsilon).unwrap(), delta());
                assert!((found / mu - 1.0).abs() < 1e-3, "{losses:?} {mu}: {found}");
            }
            assert_eq!(losses.mu_of_mean_error(0.5), 0.0, "{losses:?}");
            assert_eq!(losses.mu_of_mean_error(f64::NAN), 0.0, "{losses:?}");
            assert_eq!(losses.mu_of_errors(0.7, 0.6), 0.0, "{losses:?}");
            assert_eq!(losses.epsilon(0.0, delta()), 0.0, "{losses:?}");
            assert!(losses.mu_of_mean_error(0.0) > 10.0, "{losses:?}");
        }
    }

    #[test]
    fn a_gaussian_mechanism_never_shows_more_than_its_rho() {
        for mu in [0.1, 1.0, 3.0] {
            for threshold in [-1.0, 0.0, mu / 2.0, mu, mu + 2.0] {
                let (fpr, fnr) = (survival(threshold), survival(mu - threshold));
                let found = Losses::Zcdp.mu_of_errors(fpr, fnr);
                assert!(found < mu, "{mu} {threshold}: {found}");
                assert!(
                    Losses::Zcdp.mu_of_mean_error((fpr + fnr) / 2.0) <= found + 1e-12,
                    "{mu} {threshold}"
                );
            }
            // One bit of it keeps 2/pi of a small rho (Pinsker's inequality is tight there).
            let middle = Losses::Zcdp.mu_of_errors(survival(mu / 2.0), survival(mu / 2.0));
            assert!(middle > 0.7 * mu && middle < 0.8 * mu, "{mu}: {middle}");
        }
    }

    #[test]
    fn a_coin_of_known_bias_shows_its_rho() {
        // Randomized response at e^epsilon : 1 has the Rényi divergence of its two coins, by definition.
        let wrong = 1.0 / (1.0 + 1_f64.exp());
        let kl = (1.0 - 2.0 * wrong) * 1.0;
        assert!((divergence(1.0, 1.0 - wrong, wrong) - kl).abs() < 1e-12);
        // Order 2: log(sum p^2 / q).
        let second = ((1.0 - wrong).powi(2) / wrong + wrong.powi(2) / (1.0 - wrong)).ln();
        assert!((divergence(2.0, 1.0 - wrong, wrong) - second).abs() < 1e-12);
        assert!((divergence(1e4, 1.0 - wrong, wrong) - 1.0).abs() < 1e-3);
        assert!(divergence(1e4, 0.5, 1e-300).is_finite());
        assert_eq!(divergence(2.0, 0.5, 0.0), f64::INFINITY);
    }

    #[test]
    fn sampling_hides_and_without_it_sums_are_gaussian() {
        let all = Losses::SampledGaussian { sampling_rate: 1.0, steps: 20 };
        for mu in [0.3, 1.0, 3.0] {
            assert!((all.mean_error(mu) - Losses::GaussianDp.mean_error(mu)).abs() < 1e-3, "{mu}");
            let epsilon = Losses::GaussianDp.epsilon(mu, delta());
            assert!((all.epsilon(mu, delta()) / epsilon - 1.0).abs() < 1e-3, "{mu}");
            for fpr in [0.001, 0.01, 0.3] {
                let (found, exact) = (all.tpr(mu, fpr), Losses::GaussianDp.tpr(mu, fpr));
                assert!(found >= exact - 1e-6 && found < exact * 1.05, "{mu} {fpr}: {found} {exact}");
            }
            assert!(SAMPLED.mean_error(mu) > Losses::GaussianDp.mean_error(mu), "{mu}");
            assert!(SAMPLED.epsilon(mu, delta()) < epsilon, "{mu}");
        }
    }

    #[test]
    fn what_a_claim_allows_is_between_chance_and_certainty() {
        for losses in ALL {
            for fpr in [0.001, 0.01] {
                let allowed = [0.0, 0.5, 1.0, 3.0].map(|mu| losses.tpr(mu, fpr));
                assert!((allowed[0] - fpr).abs() < 1e-9, "{losses:?} {fpr}: {allowed:?}");
                assert!(allowed.is_sorted() && allowed[3] <= 1.0, "{losses:?} {fpr}: {allowed:?}");
            }
        }
        // zCDP allows whatever the Gaussian mechanism of the same rho does, and more.
        assert!(Losses::Zcdp.tpr(1.0, 0.01) > Losses::GaussianDp.tpr(1.0, 0.01));
    }

    #[test]
    fn files_of_before_there_were_families_are_of_gaussian_sums() {
        assert_eq!(Losses::default(), Losses::GaussianDp);
        for losses in ALL {
            let text = serde_json::to_string(&losses).unwrap();
            assert_eq!(serde_json::from_str::<Losses>(&text).unwrap(), losses, "{text}");
        }
    }
}

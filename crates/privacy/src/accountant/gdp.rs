//! Gaussian differential privacy: the exact figure for full-batch Gaussian sums.
//!
//! Adding N(0, sigma^2) to a sum of sensitivity 1, T times, is mu-GDP with mu = sqrt(T)/sigma, also when each
//! sum is chosen after seeing the ones before it (Dong, Roth and Su 2022, sections on the Gaussian mechanism
//! and on composition), and mu-GDP holds exactly the pairs (epsilon, delta) with
//!
//! ```text
//! delta(epsilon) = Phi(-epsilon/mu + mu/2) - exp(epsilon) * Phi(-epsilon/mu - mu/2)
//! ```
//!
//! (Balle and Wang 2018; Dong, Roth and Su 2022).
//!
//! # The integer grid
//!
//! The mechanism of this crate adds a *discrete* Gaussian of scale s to integers, where s is of the order of
//! 2^30 sigma. How far that is from the theory above is [`GridSlack`]:
//!
//! **Lemma.** For every s > 0, the total variation distance between the discrete Gaussian of scale s and
//! N(0, s^2) rounded to the nearest integer is at most 1/(8 s^2).
//!
//! *Proof.* Let f(y) = exp(-y^2/(2 s^2)), a_k = f(k), b_k the integral of f from k - 1/2 to k + 1/2,
//! A = sum a_k, B = sum b_k = s sqrt(2 pi) and D = sum |a_k - b_k|. The two distributions are a_k/A and b_k/B,
//! and a_k/A - b_k/B = (a_k - b_k)/B + (a_k/A)(B - A)/B, so half the sum of the absolute values is at most
//! D/(2B) + |A - B|/(2B) <= D/B. By Taylor's formula with integral remainder, b_k - a_k is the integral over
//! |w| < 1/2 of (1/2)(1/2 - |w|)^2 f''(k + w), whose first factor is at most 1/8; so D is at most 1/8 of the
//! integral of |f''|. That integral is the total variation of f', which rises from 0 to
//! e^(-1/2)/s, falls to the opposite and rises to 0: 4 e^(-1/2)/s. Together, D/B <= e^(-1/2)/(2 sqrt(2 pi) s^2)
//! < 0.121/s^2. ∎
//!
//! **Theorem.** Let T sums of d coordinates be released in turn, each chosen after seeing those before it,
//! each of integer sensitivity at most D (Euclidean) and with independent discrete Gaussian noise of scale
//! s in each coordinate. With tau = T d / (8 s^2) and mu = sqrt(T) D / s, the releases are
//! (epsilon, delta)-DP with delta = delta_mu(epsilon) + (1 + e^epsilon) tau for every epsilon >= 0.
//!
//! *Proof.* Replace the noise by rounded Gaussians. An integer plus round(Y) is round(integer + Y), so these releases
//! are post-processed Gaussian sums and mu-GDP. Draw both kinds of noise from maximal couplings: on the same
//! data, and as long as all outputs agreed, the next sums agree, and their outputs differ with a probability
//! of at most d/(8 s^2). So the outputs P and P' of the true and the replaced releases are within tau in total
//! variation, on either of two neighboring datasets (P, P') and (Q, Q'), and
//! P(S) <= P'(S) + tau <= e^epsilon Q'(S) + delta_mu + tau <= e^epsilon Q(S) + delta_mu + (1 + e^epsilon) tau. ∎
//!
//! The same coupling serves releases on Poisson samples and other accountants of continuous noise. Assumed is that
//! the sampler draws the discrete Gaussian exactly, as OpenDP's does from uniform bits. With d = 1000, T = 1000
//! and sigma = 1 tau is 1.1e-13.
//!
//! [`epsilon`] and [`delta`] are the figures for continuous noise, [`epsilon_on_grid`] and
//! [`delta_on_grid`] the proven ones for this crate's sums. All round toward more loss.

use serde::{Deserialize, Serialize};

use super::AccountantError;
use super::normal::{MILLS_ROUNDING, UNIT_ROUNDOFF, density, mills_ratio, rounding, survival};
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// The parameter of Gaussian differential privacy: finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Mu(f64);

impl Mu {
    /// The mu of ideal Gaussian DP noise with zCDP loss `rho`: rho = mu^2 / 2.
    pub fn from_rho(rho: Rho) -> Mu {
        Mu(match rho {
            Rho::ZERO => 0.0,
            rho => (2.0 * rho.to_f64_rounding_up()).sqrt().next_up(),
        })
    }

    /// The mu of `steps` sums with ideal Gaussian DP noise: sqrt(steps) / `noise_multiplier`, rounded up.
    ///
    /// # Errors
    /// [`AccountantError::Releases`] unless the multiplier is in [`super::pld::NOISE_RANGE`] and there is a step.
    pub fn of_sums(noise_multiplier: f64, steps: u32) -> Result<Mu, AccountantError> {
        super::pld::Releases::gaussian(noise_multiplier, 1.0, steps)?;
        Ok(Mu((f64::from(steps).sqrt() / noise_multiplier).next_up().next_up()))
    }

    /// The largest mu whose epsilon at `delta` is not above `epsilon`.
    ///
    /// # Errors
    /// [`AccountantError::NothingToSpend`] if no mu from 1e-9 up is.
    pub fn largest(epsilon: Epsilon, delta: Delta) -> Result<Mu, AccountantError> {
        let fits = |mu: f64| delta_at(mu, epsilon.get()) <= delta.get();
        let (mut low, mut high) = (1e-9, 1e6);
        if !fits(low) {
            return Err(AccountantError::NothingToSpend { epsilon, delta });
        }
        while let middle = low + (high - low) / 2.0
            && low < middle
            && middle < high
        {
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        // The two directions round separately; the figure that counts is epsilon.
        let mut back = f64::EPSILON;
        while super::gdp::epsilon(Mu(low), delta)? > epsilon {
            low *= 1.0 - back;
            back *= 2.0;
        }
        Ok(Mu(low))
    }

    /// A mu that was measured and not promised.
    pub(crate) fn measured(value: f64) -> Mu {
        Mu(value.max(0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// tau: a bound on the total variation distance between sums with discrete Gaussian noise on the integer
/// grid and with rounded continuous noise. Adds up over releases.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct GridSlack(f64);

impl TryFrom<f64> for GridSlack {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<GridSlack, Self::Error> {
        let is_distance = value.is_finite() && value >= 0.0;
        is_distance.then_some(GridSlack(value)).ok_or("a slack is a finite number from 0 up")
    }
}

impl From<GridSlack> for f64 {
    fn from(slack: GridSlack) -> f64 {
        slack.0
    }
}

/// The share of delta that calibration and ledgers set aside for the grid: it changes epsilon by about one
/// part in 10^5, and is plenty.
const GRID_SHARE: f64 = 1.0 / 16384.0;

impl GridSlack {
    /// None: continuous noise, or nothing released.
    pub const NONE: GridSlack = GridSlack(0.0);

    /// The most that sums of `epsilon` at `delta` may have: the share of delta that is set aside for it, over
    /// 1 + e^epsilon, rounded down.
    pub fn allowance(epsilon: Epsilon, delta: Delta) -> GridSlack {
        let margin = 1.0 - 4.0 * UNIT_ROUNDOFF * (1.0 + epsilon.get());
        GridSlack((GRID_SHARE * delta.get() / (1.0 + epsilon.get().exp()) * margin).max(0.0))
    }

    /// tau of `steps` sums of `dimension` coordinates with noise of `scale` grid steps:
    /// steps * dimension / (8 scale^2), rounded up. The scale is positive.
    pub fn of_sums(scale: f64, dimension: usize, steps: u32) -> GridSlack {
        GridSlack(f64::from(steps) * dimension as f64 / (8.0 * scale * scale) * (1.0 + 8.0 * UNIT_ROUNDOFF))
    }

    /// The slack of both together.
    pub fn plus(self, other: GridSlack) -> GridSlack {
        // Rounding up nothing would make it something.
        if other == GridSlack::NONE { self } else { GridSlack((self.0 + other.0).next_up()) }
    }

    /// What the slack adds to delta at `epsilon`, (1 + e^epsilon) tau, rounded up.
    pub(super) fn costs_at(self, epsilon: f64) -> f64 {
        if self.0 == 0.0 {
            return 0.0;
        }
        (1.0 + epsilon.exp()) * self.0 * (1.0 + 4.0 * UNIT_ROUNDOFF * (1.0 + epsilon))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The epsilon of mu-GDP at `delta`; [`Epsilon::ZERO`] if delta alone covers the loss.
///
/// # Errors
/// [`AccountantError::Parameter`] if the result is above [`Epsilon::MAX`].
pub fn epsilon(mu: Mu, delta: Delta) -> Result<Epsilon, AccountantError> {
    epsilon_on_grid(mu, GridSlack(0.0), delta)
}

/// The epsilon at `delta` of sums on the integer grid: the theorem above.
///
/// Bisection to adjacent floats, of which the upper one is returned.
///
/// # Errors
/// [`AccountantError::GridTooCoarse`] if no epsilon keeps the promise, because the slack alone is
/// more than delta; [`AccountantError::Parameter`] if the result is above [`Epsilon::MAX`].
pub fn epsilon_on_grid(mu: Mu, slack: GridSlack, delta: Delta) -> Result<Epsilon, AccountantError> {
    let exceeds = |epsilon: f64| on_grid(mu.0, slack, epsilon) > delta.get();
    if !exceeds(0.0) {
        return Ok(Epsilon::ZERO);
    }
    // delta(epsilon) <= Phi(-x) <= exp(-x^2/2) with x = epsilon/mu - mu/2, so this is high enough for half
    // of delta; the other half is for the slack.
    let mut low = 0.0_f64;
    let enough = (mu.0 * mu.0 / 2.0 + mu.0 * (-2.0 * (delta.get() / 2.0).ln()).sqrt()) * 1.001;
    // The slack costs the more the larger epsilon is, so a large one may cost too much where a smaller one does not.
    let candidates = (0..64).map(|part| enough * (1.0 - f64::from(part) / 64.0));
    let Some(mut high) = candidates.into_iter().find(|&epsilon| !exceeds(epsilon)) else {
        return Err(AccountantError::GridTooCoarse { slack: slack.0, delta });
    };
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if exceeds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Epsilon::new(high)?)
}

/// The delta, from 0 to 1, of mu-GDP at `epsilon`.
pub fn delta(mu: Mu, epsilon: Epsilon) -> f64 {
    delta_at(mu.0, epsilon.get())
}

/// The delta, from 0 to 1, at `epsilon` of sums on the integer grid: the theorem above.
pub fn delta_on_grid(mu: Mu, slack: GridSlack, epsilon: Epsilon) -> f64 {
    on_grid(mu.0, slack, epsilon.get())
}

fn on_grid(mu: f64, slack: GridSlack, epsilon: f64) -> f64 {
    (delta_at(mu, epsilon) + slack.costs_at(epsilon)).min(1.0)
}

/// With a = epsilon/mu - mu/2 and b = a + mu, exp(epsilon) * phi(b) = phi(a), so that
///
/// ```text
/// delta = Phi(-a) - exp(epsilon) Phi(-b) = phi(a) * (m(a) - m(b))
/// ```
///
/// with Mills' ratio m(x) = Phi(-x)/phi(x). No exponential overflows, and far out in the tail no
/// product of a huge and a tiny number is formed. A bound on the rounding error is added.
fn delta_at(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 {
        return 0.0;
    }
    let a = epsilon / mu - mu / 2.0;
    let b = epsilon / mu + mu / 2.0;
    let (tail, scaled) = if a < 0.0 {
        (survival(a), density(a) * mills_ratio(b))
    } else {
        (density(a) * mills_ratio(a), density(a) * mills_ratio(b))
    };
    // a is the difference of two rounded numbers whose sum is b.
    let relative = rounding(a) + MILLS_ROUNDING + 4.0 * UNIT_ROUNDOFF * (1.0 + a.abs()) * (1.0 + b);
    let error = if tail > 0.0 { 2.0 * relative * tail } else { 0.0 };
    (tail - scaled + error).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::GRID_RADIUS;

    fn mu_of(sigma: f64, count: u32) -> Mu {
        Mu(f64::from(count).sqrt() / sigma)
    }

    #[test]
    fn exact_values_at_delta_1e_5() {
        let delta = Delta::new(1e-5).unwrap();
        // exact analytic Gaussian: sigma, k compositions, epsilon
        for (sigma, k, expected) in [
            (1.0, 1, 4.3771781),
            (1.0, 10, 17.8565868),
            (1.0, 100, 91.8172896),
            (4.0, 1, 0.926341504),
            (4.0, 10, 3.34140947),
            (4.0, 100, 13.2067122),
        ] {
            let found = epsilon(mu_of(sigma, k), delta).unwrap().get();
            assert!((found - expected).abs() < 1e-8 * expected.max(1.0) * 10.0, "{sigma} {k}: {found}");
        }
    }

    #[test]
    fn tails_neither_overflow_nor_go_negative() {
        for mu in [1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0, 6000.0] {
            let mut previous = 1.0;
            for step in 0..400 {
                let value = delta_at(mu, mu * mu / 2.0 + mu * f64::from(step) / 10.0);
                assert!((0.0..=1.0).contains(&value) && value <= previous, "{mu} {step} {value}");
                previous = value;
            }
        }
        let tiny = Delta::new(1e-300).unwrap();
        let found = epsilon(Mu(1.0), tiny).unwrap();
        let back = delta(Mu(1.0), found);
        assert!((back / 1e-300 - 1.0).abs() < 1e-9, "{back}");
    }

    #[test]
    fn the_exact_figure_is_below_the_proven_one() {
        let delta = Delta::new(1e-6).unwrap();
        for text in ["0.000001", "0.001", "0.1", "1", "30"] {
            let rho: Rho = text.parse().unwrap();
            let proven = super::super::zcdp::epsilon(rho, delta).unwrap();
            assert!(epsilon(Mu::from_rho(rho), delta).unwrap() < proven, "{text}");
        }
        assert_eq!(epsilon(Mu::from_rho(Rho::ZERO), delta).unwrap(), Epsilon::ZERO);
    }

    #[test]
    fn rounded_and_discrete_gaussians_are_as_close_as_the_lemma_says() {
        // Both distributions summed up directly, for scales at which floats resolve the distance.
        for scale in [0.2_f64, 0.5, 1.0, 3.0, 10.0, 100.0] {
            let reach = (40.0 * scale).ceil() as i64;
            let weight = |k: i64| (-(k as f64 / scale).powi(2) / 2.0).exp();
            let total: f64 = (-reach..=reach).map(weight).sum();
            let rounded = |k: i64| {
                let edge = (k.unsigned_abs() as f64 - 0.5) / scale;
                survival(edge) - survival(edge + 1.0 / scale)
            };
            let distance: f64 =
                (-reach..=reach).map(|k| (weight(k) / total - rounded(k)).abs()).sum::<f64>() / 2.0;
            let bound = 1.0 / (8.0 * scale * scale);
            assert!(distance <= bound, "{scale}: {distance} {bound}");
            // and not absurdly closer, or the constant would be wasteful
            assert!(scale < 1.0 || distance > bound / 10.0, "{scale}: {distance} {bound}");
        }
    }

    #[test]
    fn the_grid_costs_next_to_nothing_and_never_less_than_nothing() {
        let delta = Delta::new(1e-6).unwrap();
        let (mu, slack) =
            (Mu::of_sums(10.0, 20).unwrap(), GridSlack::of_sums(10.0 * GRID_RADIUS as f64, 769, 20));
        assert!(slack.get() > 1.6e-17 && slack.get() < 1.7e-17, "{slack:?}");
        let (ideal, grid) = (epsilon(mu, delta).unwrap(), epsilon_on_grid(mu, slack, delta).unwrap());
        assert!(grid >= ideal && grid.get() < ideal.get() * (1.0 + 1e-9), "{ideal} {grid}");
        assert!(delta_on_grid(mu, slack, grid) <= delta.get());
        assert!(slack.plus(slack).get() >= 2.0 * slack.get());
        // A slack above delta leaves nothing to promise.
        let coarse = GridSlack::of_sums(1e-3 * GRID_RADIUS as f64, 1 << 26, u32::MAX);
        let refused = epsilon_on_grid(mu, coarse, delta);
        assert!(matches!(refused, Err(AccountantError::GridTooCoarse { .. })), "{refused:?}");
    }

    #[test]
    fn the_largest_mu_is_never_above_the_promise() {
        for (target, log_delta) in [(0.01, -5), (0.5, -9), (1.0, -5), (8.0, -3), (100.0, -12)] {
            let (target, delta) =
                (Epsilon::new(target).unwrap(), Delta::new(10_f64.powi(log_delta)).unwrap());
            let mu = Mu::largest(target, delta).unwrap();
            assert!(epsilon(mu, delta).unwrap() <= target);
            assert!(epsilon(Mu(mu.0 * (1.0 + 1e-9)), delta).unwrap() > target);
        }
    }

    #[test]
    fn a_large_epsilon_at_a_large_delta_has_a_figure_as_long_as_the_slack_allows_one() {
        let (mu, delta) = (Mu(10.9), Delta::new(0.01).unwrap());
        let exact = epsilon(mu, delta).unwrap().get();
        let found = epsilon_on_grid(mu, GridSlack(1e-40), delta).unwrap();
        assert!(found.get() >= exact && found.get() < 1.01 * exact, "{found} {exact}");
        assert!(delta_on_grid(mu, GridSlack(1e-40), found) <= delta.get());
        assert!(epsilon_on_grid(mu, GridSlack(1e-30), delta).is_err());
    }
}

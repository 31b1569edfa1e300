//! Truncated concentrated differential privacy: how releases on Poisson samples are charged.
//!
//! A release is charged a rho that holds *up to an order* omega: for every real order alpha from 2 to omega, the
//! Rényi divergence of order alpha between its outputs on neighbors is at most rho * alpha. Up to the
//! first orders, which are left out here, that is the truncated concentrated DP of Bun, Dwork, Rothblum and Steinke 2018.
//! A rho of [`super::zcdp`] holds at every order, so both kinds are added up, and hold together up to the smallest
//! omega. At each fixed order it is Rényi DP, which composes by addition even when later releases *and
//! their losses* are chosen after seeing earlier ones, as long as the sum stays within a cap fixed before
//! (Feldman and Zrnic 2021).
//!
//! # The loss of one sampled sum
//!
//! Each unit takes part with probability q; the sum of integer vectors of those that do, each of Euclidean norm at most D, is
//! released with discrete Gaussian noise of scale s = sigma D. Neighbors differ by one unit, whose vector is v.
//! Whoever else takes part is the same on both sides, so by joint quasi-convexity of the Rényi divergence (van Erven
//! and Harremoës 2014) the worst case is one fixed set of others: the pair M = (1-q) P0 + q P1 and P0, where P0 is the noise around
//! an integer point, and P1 the same around that point plus v. With r = P1/P0 and y = q (r - 1), so that M/P0 = 1 + y,
//! let A(alpha) = E_P0[(1 + y)^alpha] and B(alpha) = E_M[(P0/M)^alpha]; ln A / (alpha - 1) is the divergence when the unit
//! is removed, ln B / (alpha - 1) when it is added.
//!
//! **Lemma 1** (integer orders; Mironov, Talwar and Zhang 2019 for continuous noise). For integers k >= 2,
//!
//! ```text
//! A(k) - 1 <= sum over j from 2 to k of binomial(k, j) (1-q)^(k-j) q^j (exp(j (j-1) / (2 sigma^2)) - 1)
//! ```
//!
//! *Proof.* By the binomial theorem A(k) is the same sum over j from 0 with E_P0[r^j] for the exponential, and the
//! coefficients add up to 1. E_P0[r^j] is exp((j-1) times the divergence of order j of P1 from P0), which is at most
//! j |v|^2 / (2 s^2) for the discrete Gaussian around integer points (Canonne, Kamath and Steinke 2020), and r has mean 1. ∎
//!
//! **Lemma 2** (adding is no worse). B(alpha) <= A(alpha) for every real alpha >= 1 and every pair with an involution that
//! exchanges P0 and P1, here z -> 2m + v - z. (Mironov, Talwar and Zhang 2019 prove it for densities.)
//!
//! *Proof.* B(alpha) = E_P0[(1 + y)^(1-alpha)]. With g(r) = (1-q+qr)^alpha - (1-q+qr)^(1-alpha), the claim is
//! E_P0[g(r)] >= 0, and by the involution E_P0[g(r)] = E_P1[g(1/r)] = E_P0[r g(1/r)]. So it is enough that g(r) + r g(1/r) >= 0,
//! and for r >= 1, because dividing by r exchanges r and 1/r. Let a = 1-q+qr, c = 1/(1-q+q/r). Then
//! a >= c >= 1, since (1-q+qr)(1-q+q/r) >= 1, and with f(x) = x^alpha - x^(1-alpha) the claim is f(a) >= (r/c) f(c). At
//! alpha = 1 both sides are a - 1, so r/c = (a-1)/(c-1), and the claim is that f(x)/(x-1) does not fall. With x = e^u it
//! is sinh((alpha - 1/2) u) / sinh(u/2), which rises for alpha >= 1. ∎
//!
//! **Lemma 3** (between integers). H(alpha) = (A(alpha) - 1) / (alpha (alpha-1)) is log-convex in alpha, and so is
//! A(alpha).
//!
//! *Proof.* By Taylor's formula and `E_P0[y]` = 0, H(alpha) is E_P0 of the integral over t from 0 to 1 of
//! (1-t) y^2 (1+ty)^(alpha-2): a positive mixture of exponentials in alpha, as A is. Such mixtures are log-convex
//! (Hölder). ∎
//!
//! **Theorem.** With rho_k = ln A(k) / (k (k-1)), for every real alpha in [k, k+1] the divergence of order alpha is at most
//! alpha times each of
//!
//! ```text
//! ln(1 + k (k-1) max(H(k), H(k+1))) / (k (k-1))            max(rho_k, rho_(k+1)) (1 + (k - sqrt(k^2 - 1))^2)
//! ```
//!
//! *Proof.* Divergence over alpha is ln A(alpha) / (alpha (alpha-1)). First: ln(1 + x h)/x falls in x = alpha (alpha-1), and
//! H(alpha) <= h = max(H(k), H(k+1)). Second: ln A lies under its chord, which is at most the maximum times the chord of
//! alpha (alpha-1), and that is above it by t (1-t), t = alpha - k. The largest t (1-t) / ((k+t) (k+t-1)) is where t^2 + (k-1) t =
//! (k-1)/2, and is (k - sqrt(k^2 - 1))^2. ∎
//!
//! [`rho_of_sampled_sums`] takes the smaller of both in each interval, and the largest interval; or 1/(2 sigma^2), the loss without
//! sampling, which by quasi-convexity is never less, if that is smaller.
//!
//! # From rho to epsilon
//!
//! [`epsilon`] is the conversion of Canonne, Kamath and Steinke 2020 that [`super::zcdp`] uses, at the best order from 2 to omega.
//! Its exponent's derivative has one sign change, so that is the best order of all, or the nearest to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AccountantError;
use super::normal::UNIT_ROUNDOFF;
use super::pld::Releases;
use crate::guarantee::{Delta, Epsilon, ParameterError};
use crate::rho::Rho;

/// omega, the largest order up to which a rho holds: a whole number from 2 to [`Order::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Order(u32);

impl Order {
    /// The smallest.
    pub const MIN: Order = Order(2);
    /// The largest. It serves caps down to an epsilon of a few hundredths.
    pub const MAX: Order = Order(512);

    /// Checks and wraps a number.
    ///
    /// # Errors
    /// [`ParameterError::Order`] outside of 2 to 512.
    pub fn new(value: u32) -> Result<Order, ParameterError> {
        let order = Order(value);
        if (Order::MIN..=Order::MAX).contains(&order) {
            Ok(order)
        } else {
            Err(ParameterError::Order { value })
        }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The smallest order up to which a loss must hold so that the conversion of `rho` at `delta` is what it is
    /// for a loss that holds at all orders. `None` if that is not from 2 to 512.
    pub fn sufficient_for(rho: Rho, delta: Delta) -> Option<Order> {
        let best = best_order(rho, delta);
        (f64::from(Order::MIN.0)..=f64::from(Order::MAX.0)).contains(&best).then(|| Order(best.ceil() as u32))
    }

    /// The same for a loss that holds up to this order.
    pub(crate) fn sufficient_within(self, rho: Rho, delta: Delta) -> Order {
        Order(best_order(rho, delta).clamp(f64::from(Order::MIN.0), f64::from(self.0)).ceil() as u32)
    }
}

impl TryFrom<u32> for Order {
    type Error = ParameterError;

    fn try_from(value: u32) -> Result<Order, ParameterError> {
        Order::new(value)
    }
}

impl From<Order> for u32 {
    fn from(order: Order) -> u32 {
        order.0
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rho that holds up to `order` of `steps` sums, each over a Poisson sample of rate `sampling_rate`, with
/// Gaussian DP noise of `noise_multiplier` times the sensitivity; rounded up. Neighbors by add-remove adjacency.
///
/// # Errors
/// [`AccountantError::Releases`] if a number is out of range, [`AccountantError::Parameter`] if the loss is too large to
/// write down.
pub fn rho_of_sampled_sums(
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u32,
    order: Order,
) -> Result<Rho, AccountantError> {
    Releases::gaussian(noise_multiplier, sampling_rate, steps)?;
    // 1/(2 sigma^2), toward more loss.
    let half_mu_squared = 0.5 / noise_multiplier / noise_multiplier * (1.0 + 4.0 * UNIT_ROUNDOFF);
    let excess = log_excess(half_mu_squared, sampling_rate, order);
    let moments: Vec<Moment> = (2..).zip(excess).map(|(k, excess)| Moment::new(k, excess)).collect();
    let of_one = moments
        .windows(2)
        .map(|pair| Moment::largest_between(&pair[0], &pair[1]))
        .fold(moments[0].rho, f64::max)
        .min(half_mu_squared);
    // The margin is a thousand times the rounding of the arithmetic here; that of the excess is in it.
    Ok(Rho::from_f64_rounding_up(f64::from(steps) * of_one * (1.0 + 1e-12))?)
}

/// What is known at an integer order k.
struct Moment {
    k: f64,
    /// k (k - 1)
    weight: f64,
    /// rho_k
    rho: f64,
    /// ln H(k)
    log_h: f64,
}

impl Moment {
    /// From ln(A(k) - 1).
    fn new(k: u32, excess: f64) -> Moment {
        let k = f64::from(k);
        let weight = k * (k - 1.0);
        Moment { k, weight, rho: ln_of_one_plus_exp(excess) / weight, log_h: excess - libm::log(weight) }
    }

    /// The theorem, for the orders between two that follow each other.
    fn largest_between(low: &Moment, high: &Moment) -> f64 {
        let by_mixture = ln_of_one_plus_exp(libm::log(low.weight) + low.log_h.max(high.log_h)) / low.weight;
        // k - sqrt(k^2 - 1) without a difference of neighbors
        let above = 1.0 / (low.k + (low.k * low.k - 1.0).sqrt());
        let by_chord = low.rho.max(high.rho) * (1.0 + above * above);
        by_mixture.min(by_chord)
    }
}

/// An upper bound on ln(A(k) - 1) for k = 2, 3, ... up to `order`: lemma 1.
fn log_excess(half_mu_squared: f64, q: f64, order: Order) -> Vec<f64> {
    let largest = order.get();
    let (ln_q, ln_rest) = (libm::log(q), libm::log1p(-q));
    // ln(exp(j (j-1) / (2 sigma^2)) - 1)
    let gains: Vec<f64> = (0..=largest)
        .map(|j| {
            let x = half_mu_squared * f64::from(j) * f64::from(j.saturating_sub(1));
            if x > 40.0 { x } else { libm::log(libm::expm1(x)) }
        })
        .collect();
    let term = |k: u32, j: u32, binomial: f64| {
        // 0 times ln 0 is 0 here: everybody takes part.
        let rest = if k == j { 0.0 } else { f64::from(k - j) * ln_rest };
        let (chosen, gain) = (f64::from(j) * ln_q, gains[j as usize]);
        let sum = libm::log(binomial) + rest + chosen + gain;
        // Each part is right to a few units in the last place, and the binomial to 1024 of them.
        let error = 1e-12 + 16.0 * UNIT_ROUNDOFF * (rest.abs() + chosen.abs() + gain.abs() + 400.0);
        if sum == f64::NEG_INFINITY { sum } else { sum + error }
    };
    let of_order = |k: u32| {
        let mut binomial = f64::from(k);
        let terms: Vec<f64> = (2..=k)
            .map(|j| {
                binomial *= f64::from(k - j + 1) / f64::from(j);
                term(k, j, binomial)
            })
            .collect();
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = terms.iter().map(|term| libm::exp(term - most)).sum();
        most + libm::log(total) + 1e-12
    };
    (2..=largest).map(of_order).collect()
}

/// ln(1 + e^z)
fn ln_of_one_plus_exp(z: f64) -> f64 {
    if z > 40.0 { z + libm::exp(-z) } else { libm::log1p(libm::exp(z)) }
}

/// The order at which the conversion of `rho` at `delta` is least: where (alpha-1)^2 rho = ln(1/delta) - ln(alpha).
/// [`f64::INFINITY`] if there is no loss.
pub(crate) fn best_order(rho: Rho, delta: Delta) -> f64 {
    if rho == Rho::ZERO {
        return f64::INFINITY;
    }
    let (rho, log_inverse) = (rho.to_f64_rounding_up(), -libm::log(delta.get()));
    let is_past = |alpha: f64| (alpha - 1.0) * (alpha - 1.0) * rho + libm::log(alpha) >= log_inverse;
    let (mut low, mut high) = (1.0, 2.0);
    while !is_past(high) {
        high *= 2.0;
    }
    while high - low > 1e-9 * high {
        let middle = low + (high - low) / 2.0;
        if is_past(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The order at which `steps` sampled sums have the least epsilon at `delta`, their rho up to it, and that epsilon: what
/// zCDP says of a release alone. In a ledger, the order is the ledger's.
///
/// # Errors
/// As [`rho_of_sampled_sums`] and [`epsilon`].
pub fn best_epsilon(
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u32,
    delta: Delta,
) -> Result<(Order, Rho, Epsilon), AccountantError> {
    let at = |order: u32| {
        let rho = rho_of_sampled_sums(noise_multiplier, sampling_rate, steps, Order(order))?;
        Ok((Order(order), rho, epsilon(rho, Order(order), delta)?))
    };
    let mut best = at(Order::MIN.0)?;
    // Every order is an upper bound, so a search that stops early is one too.
    let mut n_worse = 0;
    for order in Order::MIN.0 + 1..=Order::MAX.0 {
        let Ok(next): Result<_, AccountantError> = at(order) else { break };
        n_worse = if next.2 < best.2 { 0 } else { n_worse + 1 };
        if next.2 < best.2 {
            best = next;
        } else if n_worse == 3 {
            break;
        }
    }
    Ok(best)
}

/// The epsilon at `delta` of a `rho` that holds up to `order`, rounded up. [`Epsilon::ZERO`] if there is no loss.
///
/// # Errors
/// [`AccountantError::Parameter`] if the result is above [`Epsilon::MAX`].
pub fn epsilon(rho: Rho, order: Order, delta: Delta) -> Result<Epsilon, AccountantError> {
    if rho == Rho::ZERO {
        return Ok(Epsilon::ZERO);
    }
    let alpha = best_order(rho, delta).clamp(f64::from(Order::MIN.0), f64::from(order.0));
    let gap = alpha - 1.0;
    let loss = alpha * rho.to_f64_rounding_up();
    let log_inverse = -libm::log(delta.get());
    let (shrink, log_alpha) = (libm::log1p(-1.0 / alpha), libm::log(alpha));
    let value = loss + shrink + (log_inverse - log_alpha) / gap;
    let error = 16.0 * UNIT_ROUNDOFF * (loss - shrink + (log_inverse.abs() + log_alpha) / gap);
    // At a large delta a small loss needs no epsilon at all.
    if value + error <= 0.0 { Ok(Epsilon::ZERO) } else { Ok(Epsilon::new(value + error)?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::{pld, zcdp};
    use proptest::prelude::*;

    fn order(value: u32) -> Order {
        Order::new(value).unwrap()
    }

    /// ln A and ln B of order `alpha` over any pair of weights on points, by summing up.
    fn log_moments(p0: &[f64], p1: &[f64], q: f64, alpha: f64) -> (f64, f64) {
        let ratios = || p0.iter().zip(p1).map(|(&p0, &p1)| (p0, (1.0 - q) + q * p1 / p0));
        let a: f64 = ratios().map(|(p0, m)| p0 * m.powf(alpha)).sum();
        let b: f64 = ratios().map(|(p0, m)| p0 * m.powf(1.0 - alpha)).sum();
        (a.ln(), b.ln())
    }

    /// A fine grid of the continuous Gaussian of standard deviation `sigma` around 0 and around 1.
    fn continuous(sigma: f64) -> (Vec<f64>, Vec<f64>) {
        let (step, reach) = (sigma / 50.0, 30.0 * sigma + 30.0);
        let n = (reach / step) as i64;
        let density = |x: f64| {
            (-x * x / (2.0 * sigma * sigma)).exp() * step / (sigma * (2.0 * std::f64::consts::PI).sqrt())
        };
        let points = || {
            (-n..=n).map(|i| i as f64 * step).filter(|&x| density(x) > 1e-290 && density(x - 1.0) > 1e-290)
        };
        (points().map(density).collect(), points().map(|x| density(x - 1.0)).collect())
    }

    /// The discrete Gaussian of scale `s` around 0 and around `shift`.
    fn discrete(s: f64, shift: i64) -> (Vec<f64>, Vec<f64>) {
        let weight = |k: i64| (-(k as f64 / s).powi(2) / 2.0).exp();
        let reach = (33.0 * s) as i64 + shift;
        let total: f64 = (-reach..=reach).map(weight).sum();
        let points = || (-reach..=reach).filter(|&k| weight(k) > 1e-290 && weight(k - shift) > 1e-290);
        (points().map(|k| weight(k) / total).collect(), points().map(|k| weight(k - shift) / total).collect())
    }

    #[test]
    fn the_rho_of_a_sampled_sum_covers_every_order_by_numeric_integration() {
        for (sigma, q) in [(0.7, 0.01), (1.0, 0.016), (1.0, 0.3), (2.0, 0.1), (4.0, 0.5), (5.0, 1.0)] {
            let (p0, p1) = continuous(sigma);
            for largest in [2, 3, 7, 12] {
                let rho = rho_of_sampled_sums(sigma, q, 1_000_000, order(largest)).unwrap();
                let rho = rho.to_f64_rounding_up() / 1e6;
                let mut tightest = 0.0_f64;
                for step in 0..=(largest - 2) * 16 {
                    let alpha = 2.0 + f64::from(step) / 16.0;
                    let (a, b) = log_moments(&p0, &p1, q, alpha);
                    assert!(b <= a + 1e-12, "{sigma} {q} {alpha}: adding is worse, {b} {a}");
                    let needed = a / (alpha * (alpha - 1.0));
                    // The sum stands for an integral, to about 1e-10.
                    assert!(rho >= needed * (1.0 - 1e-9), "{sigma} {q} {alpha}: {rho} {needed}");
                    tightest = tightest.max(needed / rho);
                }
                assert!(tightest > 0.93, "{sigma} {q} {largest}: {tightest}");
            }
        }
    }

    #[test]
    fn the_rho_of_a_sampled_sum_covers_discrete_noise_however_coarse() {
        for (s, shift) in [(0.3, 1), (0.5, 1), (1.0, 1), (1.0, 2), (3.0, 4), (8.0, 5)] {
            let (p0, p1) = discrete(s, shift);
            let sigma = s / shift as f64;
            for q in [0.001, 0.05, 0.5, 1.0] {
                let largest = 6;
                let rho = rho_of_sampled_sums(sigma, q, 1000, order(largest)).unwrap().to_f64_rounding_up();
                for step in 0..=(largest - 2) * 8 {
                    let alpha = 2.0 + f64::from(step) / 8.0;
                    let (a, b) = log_moments(&p0, &p1, q, alpha);
                    let needed = a.max(b) / (alpha * (alpha - 1.0));
                    assert!(rho >= needed * 1000.0 * (1.0 - 1e-9), "{s} {shift} {q} {alpha}");
                }
            }
        }
    }

    #[test]
    fn without_sampling_it_is_the_loss_of_the_gaussian() {
        for (sigma, steps, largest) in [(1.0, 1, 2), (4.0, 10, 17), (0.5, 3, 512), (1000.0, 7, 40)] {
            let rho = rho_of_sampled_sums(sigma, 1.0, steps, order(largest)).unwrap().to_f64_rounding_up();
            let exact = f64::from(steps) / (2.0 * sigma * sigma);
            assert!(rho >= exact && rho <= exact * (1.0 + 1e-6) + 2e-12, "{sigma} {steps}: {rho} {exact}");
        }
    }

    #[test]
    fn epsilons_are_above_the_exact_ones_and_near_those_of_rdp() {
        let delta = Delta::new(1e-5).unwrap();
        // Reference values of dp-accounting for Poisson sampling: sigma, q, steps, epsilon of its PLD, of its RDP.
        for (sigma, q, steps, by_pld, by_rdp) in [
            (0.6, 0.01, 1000, 7.4336161, 8.680),
            (1.0, 0.01, 1000, 1.82824365, 2.102),
            (2.0, 0.01, 1000, 0.622048525, 0.6862),
            (1.0, 0.1, 100, 7.04660288, 7.904),
            (2.0, 0.1, 1000, 8.27929338, 8.947),
            (1.0, 0.016, 1250, 3.41464487, 3.788),
            (1.5, 0.016, 1250, 1.73060887, 1.899),
        ] {
            let of = |largest: u32| {
                let rho = rho_of_sampled_sums(sigma, q, steps, order(largest)).unwrap();
                epsilon(rho, order(largest), delta).unwrap().get()
            };
            let best = best_epsilon(sigma, q, steps, delta).unwrap().2.get();
            assert_eq!(best, (2..60).map(of).fold(f64::INFINITY, f64::min));
            assert!(
                best > by_pld && best > by_rdp * 0.995 && best < by_rdp * 1.06,
                "{sigma} {q}: {best} {by_rdp}"
            );
            // Every order is an upper bound.
            assert!((2..60).all(|largest| of(largest) > by_pld), "{sigma} {q}");
        }
    }

    #[test]
    fn the_conversion_agrees_with_opendp_where_the_order_suffices() {
        for (rho, delta) in [("0.0243", 1e-6), ("0.42", 4e-5), ("1.367", 4e-5), ("3", 1e-9)] {
            let (rho, delta): (Rho, _) = (rho.parse().unwrap(), Delta::new(delta).unwrap());
            let enough = Order::sufficient_for(rho, delta).unwrap();
            let proven = zcdp::epsilon(rho, delta).unwrap().get();
            let found = epsilon(rho, enough, delta).unwrap().get();
            assert!((found / proven - 1.0).abs() < 1e-9, "{rho}: {found} {proven}");
            assert_eq!(epsilon(rho, Order::MAX, delta).unwrap().get(), found);
            if let Ok(fewer) = Order::new(enough.get() - 1) {
                assert!(epsilon(rho, fewer, delta).unwrap().get() > found, "{rho}");
            }
        }
    }

    #[test]
    fn caps_that_no_order_serves_have_none() {
        let delta = Delta::new(1e-5).unwrap();
        assert_eq!(Order::sufficient_for(Rho::ZERO, delta), None);
        assert_eq!(Order::sufficient_for("0.00001".parse().unwrap(), delta), None);
        assert_eq!(Order::sufficient_for("40".parse().unwrap(), delta), None);
        assert_eq!(Order::sufficient_for("0.42".parse().unwrap(), delta), Some(order(6)));
        assert!(Order::new(1).is_err() && Order::new(513).is_err());
        assert!(serde_json::from_str::<Order>("0").is_err());
    }

    #[test]
    fn nothing_spent_is_nothing_lost_and_a_large_delta_covers_a_small_loss() {
        assert_eq!(epsilon(Rho::ZERO, Order::MIN, Delta::new(1e-5).unwrap()).unwrap(), Epsilon::ZERO);
        assert_eq!(epsilon(Rho::from_units(1), Order::MAX, Delta::new(0.9).unwrap()).unwrap(), Epsilon::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn extreme_sums_have_a_finite_loss_that_rises_with_everything(
            log_noise in -2.0..4.0_f64,
            log_rate in -6.0..0.0_f64,
            steps in 1..1_000_000_u32,
            largest in 2..60_u32,
        ) {
            let (noise, rate) = (10_f64.powf(log_noise), 10_f64.powf(log_rate));
            let rho = |noise: f64, rate: f64, steps: u32, largest: u32| {
                rho_of_sampled_sums(noise, rate, steps, order(largest)).unwrap_or(Rho::MAX)
            };
            let found = rho(noise, rate, steps, largest);
            prop_assert!(found > Rho::ZERO);
            prop_assert!(rho(noise * 0.9, rate, steps, largest) >= found);
            prop_assert!(rho(noise, (rate * 1.1).min(1.0), steps, largest) >= found);
            prop_assert!(rho(noise, rate, steps.saturating_add(1), largest) >= found);
            prop_assert!(rho(noise, rate, steps, largest + 1) >= found);
            // Sampling never costs more than not sampling.
            prop_assert!(found <= rho(noise, 1.0, steps, largest));
        }

        /// The whole promise against the other theory: what is charged covers what is lost.
        #[test]
        fn the_charge_covers_the_loss_by_the_other_accountant(
            noise in 0.6..6.0_f64,
            log_rate in -3.0..0.0_f64,
            steps in 1..200_u32,
            largest in 2..40_u32,
        ) {
            let (rate, delta) = (10_f64.powf(log_rate), Delta::new(1e-6).unwrap());
            let charged = rho_of_sampled_sums(noise, rate, steps, order(largest)).unwrap();
            let epsilon = epsilon(charged, order(largest), delta).unwrap();
            let lost = pld::epsilon(&[Releases::gaussian(noise, rate, steps).unwrap()], delta).unwrap();
            // The other accountant is above the exact loss by 1e-4 or so.
            prop_assert!(epsilon.get() >= lost.get() * (1.0 - 1e-3), "{epsilon} {lost}");
        }
    }
}

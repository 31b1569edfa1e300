//! Gaussian differential privacy: the exact figure for ideal Gaussian DP noise, for comparison only.
//!
//! Adding N(0, sigma^2) to a sum of sensitivity 1, T times, is mu-GDP with mu = sqrt(T)/sigma
//! (Dong, Roth and Su 2022, Theorem 2.7 and Corollary 3.3), and mu-GDP holds exactly the pairs
//! (epsilon, delta) with
//!
//! ```text
//! delta(epsilon) = Phi(-epsilon/mu + mu/2) - exp(epsilon) * Phi(-epsilon/mu - mu/2)
//! ```
//!
//! (Balle and Wang 2018, Theorem 8; Dong, Roth and Su 2022, Corollary 2.13).
//!
//! **Nothing is charged by this figure.** The mechanism of this crate samples a *discrete* Gaussian,
//! for which the formula is an extremely good approximation and not a theorem we can cite for
//! composition. The ledger counts what is proven ([`super::zcdp`]); reports print this number beside
//! it, to show how much the proof gives away (5 to 10 percent of epsilon).

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::AccountantError;
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// The parameter of Gaussian differential privacy: finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Mu(f64);

impl Mu {
    /// The mu of ideal Gaussian DP noise with zCDP loss `rho`: rho = mu^2 / 2.
    pub fn from_rho(rho: Rho) -> Mu {
        Mu((2.0 * rho.to_f64_rounding_up()).sqrt())
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The exact epsilon of mu-GDP at `delta`; [`Epsilon::ZERO`] if delta alone covers the loss.
///
/// Bisection to adjacent floats, of which the upper one is returned.
///
/// # Errors
/// [`AccountantError::Parameter`] if the result is above [`Epsilon::MAX`].
pub fn epsilon(mu: Mu, delta: Delta) -> Result<Epsilon, AccountantError> {
    let (mu, delta) = (mu.0, delta.get());
    if delta_at(mu, 0.0) <= delta {
        return Ok(Epsilon::ZERO);
    }
    // delta(epsilon) <= Phi(-x) <= exp(-x^2/2) with x = epsilon/mu - mu/2, so this is high enough;
    // the factor covers the rounding of the bound itself.
    let mut low = 0.0_f64;
    let mut high = (mu * mu / 2.0 + mu * (-2.0 * delta.ln()).sqrt()) * 1.001;
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if delta_at(mu, middle) > delta {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Epsilon::new(high)?)
}

/// The exact delta, from 0 to 1, of mu-GDP at `epsilon`.
pub fn delta(mu: Mu, epsilon: Epsilon) -> f64 {
    delta_at(mu.0, epsilon.get())
}

/// With a = epsilon/mu - mu/2 and b = a + mu, exp(epsilon) * phi(b) = phi(a), so that
///
/// ```text
/// delta = Phi(-a) - exp(epsilon) Phi(-b) = phi(a) * (m(a) - m(b))
/// ```
///
/// with Mills' ratio m(x) = Phi(-x)/phi(x). No exponential overflows, and far out in the tail no
/// product of a huge and a tiny number is formed.
fn delta_at(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 {
        return 0.0;
    }
    let a = epsilon / mu - mu / 2.0;
    let b = epsilon / mu + mu / 2.0;
    let density = (-a * a / 2.0).exp() / (2.0 * PI).sqrt();
    let delta = if a < 0.0 {
        0.5 * libm::erfc(a * FRAC_1_SQRT_2) - density * mills_ratio(b)
    } else {
        density * (mills_ratio(a) - mills_ratio(b))
    };
    delta.clamp(0.0, 1.0)
}

/// (1 - Phi(x)) / phi(x) for x >= 0.
fn mills_ratio(x: f64) -> f64 {
    if x < 6.0 {
        return 0.5 * libm::erfc(x * FRAC_1_SQRT_2) * (x * x / 2.0).exp() * (2.0 * PI).sqrt();
    }
    // Laplace's continued fraction 1/(x + 1/(x + 2/(x + 3/(x + ...)))), evaluated from the inside;
    // 50 levels are exact to the last digit for x >= 6.
    let tail = (1..=50).rev().fold(x, |tail, level| x + f64::from(level) / tail);
    1.0 / tail
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn mills_ratio_is_continuous_where_the_method_changes() {
        let (below, above) = (mills_ratio(6.0_f64.next_down()), mills_ratio(6.0));
        assert!((below / above - 1.0).abs() < 1e-13, "{below} {above}");
        // m(10) = 0.0990286... (tables of the normal distribution)
        assert!((mills_ratio(10.0) - 0.099_028_596_471_731_92).abs() < 1e-15);
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
}

//! Objective perturbation in zero-concentrated differential privacy.
//!
//! # Setting
//!
//! F is the sum of convex, twice differentiable losses of all units and a regularizer, with F'' >= Lambda I.
//! Released is the w at which F'(w) + b = 0, with b ~ N(0, sigma^2 I): the minimum of the loss with a random
//! linear term (Chaudhuri, Monteleoni and Sarwate 2011; Kifer, Smith and Thakurta 2012). The loss l of one unit has
//!
//! * a gradient of norm at most L, always in one subspace of dimension m that depends on the unit alone. The
//!   gradient of a generalized linear loss is a multiple of its row, so m = 1 for logistic regression;
//! * a Hessian, positive semidefinite, of largest eigenvalue at most beta and of trace at most tau.
//!
//! Write s = L/sigma, c = beta/Lambda, t = tau/Lambda.
//!
//! # Theorem
//!
//! For every u in (0, 1), adding or removing a unit is rho-zCDP with rho = s^2/2 + e and
//!
//! ```text
//! e = max( t c r(u),  log(C(s u/c)) / (a (a + 1)) ),    a = u/c
//! r(u) = (-log(1 - u) - u) / u^2,    C(x) = E exp(x |X|) exp(-x^2/2),  X ~ N(0, I_m)
//! ```
//!
//! *Proof.* Scale everything by sigma, so that b ~ N(0, I) and the gradient g of l has norm at most s. As b = -F'(w) and F'
//! is a bijection, w has the density p(w) = phi(F') det F'' without the unit, and q(w) = phi(F' + g) det(F'' + l'')
//! with it. Let a > 0, mu_i the eigenvalues of F''^(-1/2) l'' F''^(-1/2), which are in [0, c] and have a sum of at most t.
//!
//! *Divergence of p from q, of order 1 + a, where a c < 1.* Completing the square,
//! p^(1+a) q^(-a) = exp(a (a+1) |g|^2 / 2) phi(F' - a g) det(F'' - a l'') prod (1 + mu_i)^(-a) / (1 - a mu_i).
//! F' - a g is the gradient of F - a l, which is strongly convex as a c < 1, so phi(..) det(..) is a density and integrates
//! to 1. The logarithm of one factor of the product is psi(mu) = -a log(1 + mu) - log(1 - a mu), with psi(0) = 0 and
//! psi'(mu) = a (a+1) mu / ((1 + mu)(1 - a mu)), hence psi(mu) <= a (a+1) mu^2 r(a mu); r is increasing. The sum is at
//! most a (a+1) t c r(a c).
//!
//! *The same for every a.* log(p/q) = F' g + |g|^2 / 2 - log det(I + ..) <= |X| s + s^2 / 2, where X is the part of
//! -F' = b in the unit's subspace. So the integral is at most exp(a s^2 / 2) E exp(a s |X|) = exp(a (a+1) s^2 / 2) C(a s).
//! C is log-concave: the second derivative of log E exp(x |X|) is the variance of a density proportional to
//! r^(m-1) exp(-(r - x)^2 / 2), which is at most 1 (Brascamp and Lieb 1976). With C(0) = 1, log(C(a s)) / a falls in a.
//! Using the first bound for a up to u/c and this one above gives a (a+1) (s^2/2 + e) for all a, which is (alpha - 1)
//! alpha rho for alpha = 1 + a.
//!
//! *Divergence of q from p.* q^(1+a) p^(-a) = exp(a (a+1) |g|^2 / 2) phi(F' + (1+a) g) det(F'' + (1+a) l'')
//! prod (1 + mu_i)^(1+a) / (1 + (1+a) mu_i). F + (1+a) l is strongly convex, and the logarithm of a factor has the
//! derivative a (a+1) mu / ((1 + mu)(1 + (1+a) mu)) <= a (a+1) mu, so the sum is at most a (a+1) t c / 2, and r >= 1/2. ∎
//!
//! The first-order terms of the determinant and of F' g, which others add up as log(1 + c) and s E|X|, cancel here; what
//! is left is of second order, and vanishes for a large Lambda. Redberg, Koskela and Wang 2023 give other bounds for the same mechanism.
//!
//! Known answer: m = 1, t = c, small c and s u/c large: r(u) u^2 = log 2, so u = 0.7683 and e = 1.174 c^2.

use super::tcdp::{self, Order};
use crate::event::{GRID_PRICE, MAX_WEIGHTS};
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// How much one unit's loss can do, relative to the DP noise and to the convexity of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitLoss {
    /// c, the largest eigenvalue of a unit's Hessian divided by Lambda.
    pub curvature: f64,
    /// t, the largest trace of a unit's Hessian divided by Lambda.
    pub trace: f64,
    /// m, the dimension of the subspace of a unit's gradients.
    pub directions: u32,
}

impl UnitLoss {
    /// e, what the curvature adds to the rho of the DP noise, s^2/2; rounded up. `gradient` is s.
    ///
    /// Any u gives a bound; bisection finds the one where both parts are equal.
    pub fn rho(self, gradient: f64) -> f64 {
        let Self { curvature, trace, directions } = self;
        if curvature <= 0.0 {
            return 0.0;
        }
        let small = |u: f64| trace * curvature * ((-(-u).ln_1p() - u) / (u * u)).max(0.5);
        let large = |u: f64| {
            let a = u / curvature;
            log_moment(a * gradient, directions) / (a * (a + 1.0))
        };
        let (mut low, mut high) = (1e-3, 1.0 - 1e-12);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if small(middle) < large(middle) { low = middle } else { high = middle }
        }
        // Near u = 1e-3 the quotient r has lost half of its digits; the last factor covers it.
        small(high).max(large(high)) * (1.0 + 1e-6)
    }
}

/// log C(x), from the moments A_k = integral over r > 0 of r^k exp(-(r - x)^2 / 2), which satisfy
/// A_k = x A_(k-1) + (k-1) A_(k-2) for k >= 2. C = A_(m-1) 2^(1 - m/2) / Gamma(m/2).
fn log_moment(x: f64, directions: u32) -> f64 {
    let zeroth = (2.0 * std::f64::consts::PI).sqrt() * (1.0 - super::normal::survival(x));
    let first = (-0.5 * x * x).exp() + x * zeroth;
    let (mut previous, mut last, mut log_scale) = (zeroth, first, 0.0);
    if directions <= 1 {
        last = zeroth;
    }
    for k in 2..directions {
        let next = x * last + f64::from(k - 1) * previous;
        // Keeps the numbers in the range of floats.
        (previous, last) = (last / next, 1.0);
        log_scale += next.ln();
    }
    let half = f64::from(directions.max(1)) / 2.0;
    last.ln() + log_scale + (1.0 - half) * std::f64::consts::LN_2 - libm::lgamma(half)
}

/// Whether the surcharge [`GRID_PRICE`] in the rho of each release with DP noise on an objective makes up for the grid of that
/// noise, in a total of `rho` that is converted to `epsilon` at `delta`; `order` is that up to which the total holds.
///
/// Let alpha be the order of the conversion. Without k surcharges x, the same conversion gives a delta that is lower by the
/// factor exp(-(alpha - 1) alpha k x). Replacing the discrete noise by continuous noise that is rounded costs
/// (1 + exp(epsilon)) T_i in delta for each release, with T_i <= d / (8 (2^48 sigma_i)^2) <= d rho_i / 2^98, as rho_i is at least
/// 1 / (2 sigma_i^2). So the claim holds where, with d at most [`MAX_WEIGHTS`] and k at least 1,
///
/// ```text
/// (1 + exp(epsilon)) d rho / 2^98 <= delta (1 - exp(-(alpha - 1) alpha x))
/// ```
///
/// and half of the right side is left for how these few numbers are rounded. Nothing here asks that all losses hold at all
/// orders: those of releases on samples hold at alpha, which is at most their order. The proof is in `docs/privacy.md`.
pub(crate) fn grid_is_paid_for(rho: Rho, order: Option<Order>, (epsilon, delta): (Epsilon, Delta)) -> bool {
    let most = order.map_or(f64::INFINITY, |order| f64::from(order.get()));
    let alpha = tcdp::best_order(rho, delta).min(most);
    let price = GRID_PRICE.to_f64_rounding_up();
    let saved = -libm::expm1(-(alpha - 1.0) * alpha * price);
    let grid = MAX_WEIGHTS as f64 * rho.to_f64_rounding_up() / 2f64.powi(98);
    (1.0 + libm::exp(epsilon.get())) * grid <= 0.5 * delta.get() * saved
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Rényi divergences of both directions, times a, by the trapezoidal rule: one logistic loss of slope at
    /// most `gradient` in units of sigma = 1, with F(w) = `convexity` w^2 / 2, moved by `shift`.
    fn log_moments(a: f64, gradient: f64, convexity: f64, shift: f64) -> (f64, f64) {
        let log_density = |x: f64| -0.5 * x * x - 0.5 * (2.0 * std::f64::consts::PI).ln();
        let reach = (12.0 + 2.0 * (1.0 + a) * gradient) / convexity;
        let n = 40_000;
        let step = 2.0 * reach / f64::from(n);
        let (mut forward, mut backward) = (0.0, 0.0);
        for i in 0..=n {
            let w = -reach + step * f64::from(i);
            // The loss log(1 + exp(-gradient (w - shift))), so beta = gradient^2 / 4.
            let p = 1.0 / (1.0 + (-gradient * (w - shift)).exp());
            let (g, h) = (gradient * (p - 1.0), gradient * gradient * p * (1.0 - p));
            let f = convexity * w;
            let log_p = log_density(f) + convexity.ln();
            let log_q = log_density(f + g) + (convexity + h).ln();
            forward += step * ((1.0 + a) * log_p - a * log_q).exp();
            backward += step * ((1.0 + a) * log_q - a * log_p).exp();
        }
        (forward.ln(), backward.ln())
    }

    #[test]
    fn the_bound_holds_for_logistic_losses_at_every_order() {
        for (gradient, convexity) in [(0.1, 0.05), (0.2, 0.1), (0.2, 0.5), (0.5, 0.3), (1.0, 1.0), (1.0, 3.0)]
        {
            let curvature = gradient * gradient / 4.0 / convexity;
            let unit = UnitLoss { curvature, trace: curvature, directions: 1 };
            let rho = gradient * gradient / 2.0 + unit.rho(gradient);
            for a in [0.01, 0.3, 1.0, 3.0, 10.0, 30.0] {
                for shift in [0.0, 0.5 / gradient, -3.0 / gradient] {
                    let (forward, backward) = log_moments(a, gradient, convexity, shift);
                    let bound = a * (a + 1.0) * rho;
                    assert!(
                        forward <= bound + 1e-6,
                        "{gradient} {convexity} {a} {shift}: {forward} > {bound}"
                    );
                    assert!(
                        backward <= bound + 1e-6,
                        "{gradient} {convexity} {a} {shift}: {backward} > {bound}"
                    );
                }
            }
        }
    }

    /// A loss whose slope falls as fast as beta allows: the Hessian matters most. The noise alone does not cover it.
    #[test]
    fn the_curvature_has_a_price_and_the_bound_pays_it() {
        let (convexity, beta, a) = (1.0, 0.5, 1.0_f64);
        let gradient = 0.5;
        // Without a limit on the slope, p = N(0, 1) and q = N(0, (1 + c)^-2) in the middle.
        let (n, reach) = (400_000, 30.0);
        let step = 2.0 * reach / f64::from(n);
        let mut moment = 0.0;
        for i in 0..=n {
            let w = -reach + step * f64::from(i);
            let g = (beta * w).clamp(-gradient, gradient);
            let h = if (beta * w).abs() < gradient { beta } else { 0.0 };
            let log_p = -0.5 * w * w;
            let log_q = -0.5 * (w + g) * (w + g) + (convexity + h).ln();
            moment += step * ((1.0 + a) * log_q - a * log_p).exp() / (2.0 * std::f64::consts::PI).sqrt();
        }
        let c = beta / convexity;
        let extra = UnitLoss { curvature: c, trace: c, directions: 1 }.rho(gradient);
        let log_moment: f64 = moment.ln();
        assert!(log_moment <= a * (a + 1.0) * (gradient * gradient / 2.0 + extra));
        assert!(extra > c * c / 2.0 && log_moment > 0.02, "{extra} {log_moment}");
    }

    #[test]
    fn moments_are_those_of_the_chi_distribution() {
        // E exp(x |X|) for m = 1 is 2 exp(x^2/2) Phi(x); for m = 2 it is 1 + x sqrt(2 pi) exp(x^2/2) Phi(x).
        for x in [0.0, 0.1, 1.0, 5.0, 30.0_f64] {
            let phi = 1.0 - super::super::normal::survival(x);
            assert!((log_moment(x, 1) - (2.0 * phi).ln()).abs() < 1e-12);
            let two = (-0.5 * x * x).exp() + x * (2.0 * std::f64::consts::PI).sqrt() * phi;
            assert!((log_moment(x, 2) - two.ln()).abs() < 1e-12, "{x}");
        }
        // C(0) = 1 in every dimension, and the logarithm of E exp(x |X|) is at least x E|X|.
        for m in 1..200 {
            assert!(log_moment(0.0, m).abs() < 1e-9, "{m}: {}", log_moment(0.0, m));
            let mean = std::f64::consts::SQRT_2
                * (libm::lgamma(f64::from(m + 1) / 2.0) - libm::lgamma(f64::from(m) / 2.0)).exp();
            assert!(log_moment(1e-3, m) >= 1e-3 * mean - 1e-6);
            assert!(log_moment(2.0, m) <= 2.0 * f64::from(m).sqrt() + 1e-9);
        }
    }

    #[test]
    fn the_known_answer_and_the_limits() {
        let c = 1e-3;
        let extra = UnitLoss { curvature: c, trace: c, directions: 1 }.rho(1.0);
        assert!((extra / (c * c) - 1.174).abs() < 2e-3, "{}", extra / (c * c));
        assert_eq!(UnitLoss { curvature: 0.0, trace: 0.0, directions: 1 }.rho(1.0), 0.0);
        // More directions, more curvature and larger gradients never cost less.
        let mut last = 0.0;
        for c in [1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0, 1e3] {
            for directions in [1, 2, 9] {
                let unit = UnitLoss { curvature: c, trace: c, directions };
                assert!(unit.rho(0.5) >= last && unit.rho(0.5).is_finite(), "{c} {directions}");
                assert!(unit.rho(0.6) >= unit.rho(0.5));
                last = unit.rho(0.5);
            }
            last = UnitLoss { curvature: c, trace: c, directions: 1 }.rho(0.5);
        }
    }
}

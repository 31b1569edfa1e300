//! How far out the sum of many losses can lie, and the exponential tilt under which it is likely to lie
//! where one looks.
//!
//! For a sum S of independent losses, ln E[e^(theta S)] = K(theta) is the sum of the losses' own, and
//!
//! ```text
//! P(S > u) <= exp(K(theta) - theta u)      for every theta > 0     (Chernoff)
//! ```
//!
//! Multiplying each loss's masses by e^(theta loss) and normalizing them gives the *tilted*
//! distributions. Under them S has mean K'(theta), so that an event of probability 1e-12 becomes an
//! ordinary one, and round-off that is small beside 1 is small beside it.

use super::grid::Grid;

/// K(theta) of the sum of independent losses that lie on one grid; the mass at infinity is left out.
#[derive(Debug)]
pub(super) struct Cumulants {
    step: f64,
    terms: Vec<Term>,
}

/// One distribution and how often it occurs.
#[derive(Debug)]
struct Term {
    count: f64,
    /// Losses in steps, and the logarithms of their positive masses.
    points: Vec<(f64, f64)>,
}

/// Golden section.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Cumulants {
    pub fn new(grids: &[(Grid, u32)], step: f64) -> Cumulants {
        let terms = grids.iter().map(|(grid, count)| {
            let points = grid.masses.iter().zip(grid.first..);
            let points = points.filter(|(mass, _)| **mass > 0.0);
            Term {
                count: f64::from(*count),
                points: points.map(|(mass, at)| (at as f64, mass.ln())).collect(),
            }
        });
        Cumulants { step, terms: terms.collect() }
    }

    /// K(theta).
    pub fn at(&self, theta: f64) -> f64 {
        self.terms.iter().map(|term| term.count * log_sum(&term.points, theta * self.step)).sum()
    }

    /// The least u at which Chernoff's bound shows P(S > u) <= `tail`, as far as the search finds it.
    pub fn upper_end(&self, tail: f64) -> f64 {
        self.minimize(|theta| (self.at(theta) - tail.ln()) / theta).0
    }

    /// An epsilon near the one that belongs to `delta`, and above it: the conversion from Rényi divergences
    /// of Canonne, Kamath and Steinke 2020, alpha = theta + 1.
    pub fn rough_epsilon(&self, delta: f64) -> f64 {
        let epsilon =
            |theta: f64| (self.at(theta) - delta.ln() - theta.ln_1p()) / theta - (1.0 / theta).ln_1p();
        self.minimize(epsilon).0
    }

    /// The theta whose Chernoff bound at `loss` is least. The tilted mean is then `loss`, unless that is below
    /// the mean, in which case theta is next to nothing.
    pub fn tilt_for(&self, loss: f64) -> f64 {
        self.minimize(|theta| self.at(theta) - theta * loss).1
    }

    /// Two losses below and above which the distribution tilted by `theta` has masses of at most `tail`.
    pub fn tilted_ends(&self, theta: f64, tail: f64) -> (f64, f64) {
        // Tilting once more by a > 0 up or down is Chernoff's bound for the tilted distribution, whose K is
        // K(theta + a) - K(theta).
        let here = self.at(theta);
        let end = |sign: f64| self.minimize(|a| (self.at(theta + sign * a) - here - tail.ln()) / a).0;
        (-end(-1.0), end(1.0))
    }

    /// The least value of a function of theta > 0 that falls and then rises, and where it is attained.
    fn minimize(&self, function: impl Fn(f64) -> f64) -> (f64, f64) {
        // At the ends, e^(theta loss) hardly changes from the least loss to the largest, and changes so much
        // from one loss to the next that only the largest counts.
        let at = |log_theta: f64| function(log_theta.exp() / self.step);
        let scan = (-36..=1).map(f64::from).map(|x| (at(x), x));
        let (_, middle) = scan.min_by(|a, b| a.0.total_cmp(&b.0)).expect("the scan is not empty");
        let (mut low, mut high) = (middle - 1.0, middle + 1.0);
        let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        let (mut at_left, mut at_right) = (at(left), at(right));
        for _ in 0..24 {
            if at_left <= at_right {
                (high, right, at_right) = (right, left, at_left);
                left = high - GOLDEN * (high - low);
                at_left = at(left);
            } else {
                (low, left, at_left) = (left, right, at_right);
                right = low + GOLDEN * (high - low);
                at_right = at(right);
            }
        }
        if at_left <= at_right {
            (at_left, left.exp() / self.step)
        } else {
            (at_right, right.exp() / self.step)
        }
    }
}

/// ln of the sum of e^(log mass + slope * loss).
pub(super) fn log_sum(points: &[(f64, f64)], slope: f64) -> f64 {
    let exponents = || points.iter().map(|(loss, log_mass)| log_mass + slope * loss);
    let largest = exponents().fold(f64::NEG_INFINITY, f64::max);
    largest + exponents().map(|exponent| (exponent - largest).exp()).sum::<f64>().ln()
}

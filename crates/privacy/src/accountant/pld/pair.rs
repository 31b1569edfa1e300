//! The worst pair of output distributions of one release, and how its privacy loss is spread.
//!
//! Without sampling, the two outputs are a noise distribution P0 around 0 and P1 around 1, the
//! sensitivity being the unit of length. `lambda = ln(dP1/dP0)` grows with the output:
//!
//! * Gaussian, standard deviation sigma, mu = 1/sigma: lambda is N(-mu^2/2, mu^2) under P0 and
//!   N(+mu^2/2, mu^2) under P1.
//! * Laplace, scale b: lambda = (|x| - |x - 1|)/b, from -1/b to 1/b, both ends with an atom.
//!
//! Negating lambda exchanges P0 and P1 in both.
//!
//! When each record takes part with probability q, the pair is P0 and M = (1-q) P0 + q P1, whose log
//! ratio is `r = ln(dM/dP0) = ln(1 - q + q e^lambda)`. Removing the record replaces M by P0 and has the
//! loss r under M; adding it has the loss -r under P0.

use crate::accountant::normal::{
    MILLS_ROUNDING, UNIT_ROUNDOFF, density, mass_between, mills_ratio, rounding as normal_rounding, survival,
};

/// The noise of one release, in units of the sensitivity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Noise {
    /// mu = 1/sigma.
    Gaussian { mu: f64 },
    /// 1/b.
    Laplace { inverse_scale: f64 },
}

/// What lies between two values a < b of lambda, b included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    /// P0's mass.
    pub p0: f64,
    /// P1's mass.
    pub p1: f64,
    /// P1's mass minus e^a times P0's: 0 if all of it were at a.
    pub p1_above_a: f64,
    /// P0's mass minus e^-b times P1's: 0 if all of it were at b.
    pub p0_below_b: f64,
    /// A bound on the rounding error of each of these.
    pub rounding: f64,
}

/// P0 and P1 up to and above a value of lambda.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tails {
    pub p0_up_to: f64,
    pub p0_above: f64,
    pub p1_up_to: f64,
    pub p1_above: f64,
}

impl Noise {
    /// The largest |lambda| outside of which no float holds a mass.
    pub fn largest_ratio(self) -> f64 {
        match self {
            Noise::Gaussian { mu } => mu * mu / 2.0 + 40.0 * mu,
            Noise::Laplace { inverse_scale } => inverse_scale,
        }
    }

    /// The masses on both sides of `lambda`, which may be infinite.
    pub fn tails(self, lambda: f64) -> Tails {
        match self {
            Noise::Gaussian { mu } => {
                let (z1, z0) = standardized(mu, lambda);
                Tails {
                    p0_up_to: survival(-z0),
                    p0_above: survival(z0),
                    p1_up_to: survival(-z1),
                    p1_above: survival(z1),
                }
            }
            Noise::Laplace { .. } => {
                let below = self.between(f64::NEG_INFINITY, lambda);
                let above = self.between(lambda, f64::INFINITY);
                Tails { p0_up_to: below.p0, p0_above: above.p0, p1_up_to: below.p1, p1_above: above.p1 }
            }
        }
    }

    /// The masses for a < lambda <= b; both may be infinite.
    pub fn between(self, a: f64, b: f64) -> Between {
        match self {
            Noise::Gaussian { mu } => gaussian_between(mu, a, b),
            Noise::Laplace { inverse_scale } => laplace_between(inverse_scale, a, b),
        }
    }
}

/// lambda in standard deviations from its means: under P1, and under P0.
fn standardized(mu: f64, lambda: f64) -> (f64, f64) {
    let z1 = lambda / mu - mu / 2.0;
    // From z1 and not from lambda, so that both stand for the same output.
    (z1, z1 + mu)
}

fn gaussian_between(mu: f64, a: f64, b: f64) -> Between {
    let (a1, a0) = standardized(mu, a);
    let (b1, b0) = standardized(mu, b);
    let (p0, p0_rounding) = mass_between(a0, b0);
    let (p1, p1_rounding) = mass_between(a1, b1);
    let (p0_seen_from_a, a_rounding) = gaussian_scaled(a, b - a, (a1, a0), (b1, b0));
    // The mirror image, in which -b is the lower end and the roles are exchanged.
    let (p1_seen_from_b, b_rounding) = gaussian_scaled(-b, b - a, (-b0, -b1), (-a0, -a1));
    Between {
        p0,
        p1,
        p1_above_a: (p1 - p0_seen_from_a).clamp(0.0, p1),
        p0_below_b: (p0 - p1_seen_from_b).clamp(0.0, p0),
        rounding: p0_rounding + p1_rounding + a_rounding + b_rounding,
    }
}

/// e^lambda times P0's mass between lambda and lambda + width, and a bound on its rounding error.
///
/// `low` and `high` are the two ends, standardized under P1 and P0. With S(z) = phi(z) m(z), Mills' ratio
/// m, and e^lambda phi(z0) = phi(z1), the product of a huge and a tiny number becomes
///
/// ```text
/// e^lambda S(z0) = phi(z1) m(z0)
/// ```
fn gaussian_scaled(lambda: f64, width: f64, low: (f64, f64), high: (f64, f64)) -> (f64, f64) {
    if low.1 < 0.0 {
        // lambda is below -mu^2/2, so the factor is at most 1.
        let factor = lambda.exp();
        let (mass, error) = mass_between(low.1, high.1);
        let factor_error = if factor > 0.0 { factor * exp_rounding(lambda) } else { 0.0 };
        return (factor * mass, factor * error + factor_error * mass);
    }
    let term = |(z1, z0): (f64, f64)| {
        if z1.is_finite() { density(z1) * mills_ratio(z0) } else { 0.0 }
    };
    let error = |(z1, _): (f64, f64), value: f64| {
        if z1.is_finite() { value * (normal_rounding(z1) + MILLS_ROUNDING) } else { 0.0 }
    };
    let (near, far) = (term(low), (-width).exp() * term(high));
    // The width is the difference of two lambdas, each of which stands for a rounded output.
    let mu = low.1 - low.0;
    let width_error = if far > 0.0 { far * exp_rounding(2.0 * lambda.abs() + width + mu * mu) } else { 0.0 };
    ((near - far).max(0.0), error(low, near) + error(high, far) + width_error)
}

/// A bound on the relative error of e^x for an x that is off by a few units in the last place.
fn exp_rounding(x: f64) -> f64 {
    4.0 * UNIT_ROUNDOFF * (1.0 + x.abs())
}

fn laplace_between(s: f64, a: f64, b: f64) -> Between {
    let (low, high) = (a.max(-s), b.min(s));
    let mut between = Between::default();
    if low < high {
        // Outputs from 0 to 1: lambda = s(2x - 1), P1's density in lambda e^(-(s - lambda)/2)/4, P0's
        // e^(-(s + lambda)/2)/4.
        let share = -(-(high - low) / 2.0).exp_m1();
        between.p1 = 0.5 * (-(s - high) / 2.0).exp() * share;
        between.p0 = 0.5 * (-(s + low) / 2.0).exp() * share;
        between.p1_above_a = between.p1 * share;
        between.p0_below_b = between.p0 * share;
        // That is as seen from the ends of the piece, beyond which a and b may lie.
        if a < low {
            between.p1_above_a += low.exp() * -(a - low).exp_m1() * between.p0;
        }
        if high < b {
            between.p0_below_b += (-high).exp() * -(high - b).exp_m1() * between.p1;
        }
    }
    // Outputs above 1 and below 0 have the extreme ratios.
    let atoms = [(s, 0.5, 0.5 * (-s).exp()), (-s, 0.5 * (-s).exp(), 0.5)];
    for (lambda, p1, p0) in atoms {
        if a < lambda && lambda <= b {
            between.p1 += p1;
            between.p0 += p0;
            between.p1_above_a += p1 * -(a - lambda).exp_m1();
            between.p0_below_b += p0 * -(lambda - b).exp_m1();
        }
    }
    between.rounding = 16.0 * UNIT_ROUNDOFF * (1.0 + s) * (between.p0 + between.p1);
    between
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splitting an interval anywhere gives the same masses.
    fn check_additive(noise: Noise, cuts: &[f64]) {
        let whole = noise.between(cuts[0], cuts[cuts.len() - 1]);
        let (mut sum, mut excess) = (Between::default(), (0.0, 0.0));
        for cut in cuts.windows(2) {
            let piece = noise.between(cut[0], cut[1]);
            for value in [piece.p0, piece.p1, piece.p1_above_a, piece.p0_below_b] {
                assert!(value.is_finite() && value >= 0.0, "{noise:?} {cut:?} {piece:?}");
            }
            sum.p0 += piece.p0;
            sum.p1 += piece.p1;
            sum.rounding += piece.rounding;
            // p1 - e^A p0 = sum of (p1 - e^a p0) + (1 - e^(A - a)) e^a p0, and e^a p0 = p1 - p1_above_a
            excess.0 += piece.p1_above_a - (cuts[0] - cut[0]).exp_m1() * (piece.p1 - piece.p1_above_a);
            let end = cuts[cuts.len() - 1];
            excess.1 += piece.p0_below_b - (cut[1] - end).exp_m1() * (piece.p0 - piece.p0_below_b);
        }
        let slack = 4.0 * (sum.rounding + whole.rounding) + 1e-15;
        assert!((sum.p0 - whole.p0).abs() <= slack, "{noise:?} p0 {} {}", sum.p0, whole.p0);
        assert!((sum.p1 - whole.p1).abs() <= slack, "{noise:?} p1 {} {}", sum.p1, whole.p1);
        assert!((excess.0 - whole.p1_above_a).abs() <= slack, "{noise:?} {} {whole:?}", excess.0);
        assert!((excess.1 - whole.p0_below_b).abs() <= slack, "{noise:?} {} {whole:?}", excess.1);
        assert!(sum.rounding < 1e-8, "{noise:?} {}", sum.rounding);
    }

    #[test]
    fn masses_of_pieces_add_up_to_the_whole() {
        for size in [1e-6, 1e-4, 0.1, 1.0, 7.0, 100.0, 1000.0] {
            for noise in [Noise::Gaussian { mu: size }, Noise::Laplace { inverse_scale: size }] {
                let end = noise.largest_ratio() * 1.1;
                let cuts: Vec<f64> = (0..=300).map(|i| end * (f64::from(i) / 150.0 - 1.0)).collect();
                check_additive(noise, &cuts);
                let all = noise.between(f64::NEG_INFINITY, f64::INFINITY);
                assert!(
                    (all.p0 - 1.0).abs() + (all.p1 - 1.0).abs() <= 2.0 * all.rounding + 1e-15,
                    "{noise:?}"
                );
            }
        }
    }

    #[test]
    fn the_excess_is_the_exact_delta_of_one_release() {
        // P1 above a minus e^a P0 above a is the hockey-stick divergence: exact values for sigma = 1 and
        // b = 1.
        let gaussian = Noise::Gaussian { mu: 1.0 };
        for (epsilon, delta) in [(0.5, 0.238421708), (1.0, 0.126936738), (4.0, 4.7122412e-05)] {
            let found = gaussian.between(epsilon, f64::INFINITY).p1_above_a;
            assert!((found / delta - 1.0).abs() < 1e-8, "{epsilon}: {found}");
            let mirrored = gaussian.between(f64::NEG_INFINITY, -epsilon).p0_below_b;
            assert!((found / mirrored - 1.0).abs() < 1e-12, "{epsilon}: {mirrored}");
        }
        let laplace = Noise::Laplace { inverse_scale: 1.0 };
        for (epsilon, delta) in [(0.25, 0.312710721), (0.5, 0.221199217), (0.9, 0.0487705755)] {
            let found = laplace.between(epsilon, f64::INFINITY).p1_above_a;
            assert!((found / delta - 1.0).abs() < 1e-8, "{epsilon}: {found}");
        }
    }

    #[test]
    fn neither_side_of_the_loss_overflows() {
        for noise in [Noise::Gaussian { mu: 1000.0 }, Noise::Laplace { inverse_scale: 1000.0 }] {
            for lambda in [-6e5, -1e3, -999.9, 0.0, 999.9, 1e3, 4.9e5, 5e5, 6e5] {
                let piece = noise.between(lambda, lambda + 1.0);
                for value in [piece.p0, piece.p1, piece.p1_above_a, piece.p0_below_b, piece.rounding] {
                    assert!(value.is_finite() && value >= 0.0, "{noise:?} {lambda} {piece:?}");
                }
            }
        }
    }
}

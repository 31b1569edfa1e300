//! Tails of the normal distribution, accurate where they are astronomically small.
//!
//! `libm::erfc` is right to the last digit or so and underflows 38 standard deviations out. A tail that
//! is multiplied by a huge exponential goes through [`mills_ratio`] instead, which never leaves the
//! range of floats.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Half the distance between 1.0 and the next float: the relative error of one rounding.
pub(super) const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// phi(x), the density of the standard normal distribution.
pub(super) fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// P(Z > x) for a standard normal Z; 0 from about 38 on.
pub(crate) fn survival(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// The x with P(Z > x) = `probability`; infinite at 0 and 1.
pub(crate) fn upper_quantile(probability: f64) -> f64 {
    if probability <= 0.0 {
        return f64::INFINITY;
    }
    if probability >= 1.0 {
        return f64::NEG_INFINITY;
    }
    // Below 1/2 a tail is exact where 1 minus it is not.
    if probability > 0.5 {
        return -upper_quantile(1.0 - probability);
    }
    let (mut low, mut high) = (0.0, 40.0);
    while let middle = (low + high) / 2.0
        && low < middle
        && middle < high
    {
        if survival(middle) > probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// An upper bound on the relative rounding error of [`mills_ratio`], which hardly changes with x.
pub(super) const MILLS_ROUNDING: f64 = 200.0 * UNIT_ROUNDOFF;

/// An upper bound on the relative rounding error of [`survival`] and [`density`] at a finite x.
///
/// An argument that is off by a relative u changes the logarithm of these functions by at most about
/// (1 + x^2) u; three roundings on the way to the argument and a few units of the functions themselves
/// are covered.
pub(super) fn rounding(x: f64) -> f64 {
    (8.0 + 4.0 * x * x) * UNIT_ROUNDOFF
}

/// Mills' ratio P(Z > x) / phi(x) for x >= 0: falls from 1.25 like 1/x.
pub(super) fn mills_ratio(x: f64) -> f64 {
    if x < 6.0 {
        return 0.5 * libm::erfc(x * FRAC_1_SQRT_2) * (x * x / 2.0).exp() * (2.0 * PI).sqrt();
    }
    // Laplace's continued fraction 1/(x + 1/(x + 2/(x + 3/(x + ...)))), evaluated from the inside. It
    // converges faster the larger x is; this many levels are exact to the last digit.
    let levels = 6 + (1800.0 / (x * x)) as i32;
    let tail = (1..=levels).rev().fold(x, |tail, level| x + f64::from(level) / tail);
    1.0 / tail
}

/// The mass of the standard normal distribution between a <= b, and a bound on its rounding error.
pub(super) fn mass_between(a: f64, b: f64) -> (f64, f64) {
    let (inner, outer) = match (a >= 0.0, b <= 0.0) {
        (true, _) => (survival(a), survival(b)),
        (_, true) => (survival(-b), survival(-a)),
        // 1 - P(Z > b) - P(Z < a)
        _ => (1.0 - survival(b), survival(-a)),
    };
    let error = |x: f64| if x.is_finite() { rounding(x) * survival(x.abs()) } else { 0.0 };
    ((inner - outer).max(0.0), error(a) + error(b) + 2.0 * UNIT_ROUNDOFF * inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mills_ratio_is_continuous_where_the_method_changes() {
        let (below, above) = (mills_ratio(6.0_f64.next_down()), mills_ratio(6.0));
        assert!((below / above - 1.0).abs() < 1e-13, "{below} {above}");
        // m(10) = 0.0990286... (tables of the normal distribution)
        assert!((mills_ratio(10.0) - 0.099_028_596_471_731_92).abs() < 1e-15);
    }

    #[test]
    fn mills_ratio_has_enough_levels_and_meets_its_asymptotic_series() {
        for step in 0..4000 {
            let x = 6.0 + f64::from(step) * f64::from(step) / 1000.0;
            let deep = 1.0 / (1..=400).rev().fold(x, |tail, level| x + f64::from(level) / tail);
            assert!((mills_ratio(x) / deep - 1.0).abs() < 4.0 * f64::EPSILON, "{x}");
        }
        // m(x) = 1/x - 1/x^3 + 3/x^5 - 15/x^7 + ..., alternating
        let x = 1e4_f64;
        let series = (1.0 - 1.0 / (x * x) + 3.0 / x.powi(4)) / x;
        assert!((mills_ratio(x) / series - 1.0).abs() < 1e-15);
    }

    #[test]
    fn survival_has_known_values_down_to_the_smallest_floats() {
        // Tables of the normal distribution.
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (6.0, 9.865_876_450_376_946e-10),
            (20.0, 2.753_624_118_606_233_4e-89),
            (37.0, 5.725_571_222_524_576e-300),
        ] {
            assert!((survival(x) / expected - 1.0).abs() <= rounding(x), "{x}: {:e}", survival(x));
        }
        // and agrees with the other method where both work
        for step in 60..370 {
            let x = f64::from(step) / 10.0;
            let other = density(x) * mills_ratio(x);
            assert!((survival(x) / other - 1.0).abs() <= 2.0 * rounding(x), "{x}");
        }
        assert_eq!(survival(f64::INFINITY), 0.0);
    }

    #[test]
    fn quantiles_are_those_of_tables() {
        for (p, x) in [
            (0.5, 0.0),
            (0.025, 1.959_963_984_540_054),
            (0.001, 3.090_232_306_167_813),
            (1e-9, 5.997_807_015_008_182),
        ] {
            assert!((upper_quantile(p) - x).abs() < 1e-9, "{p}: {}", upper_quantile(p));
            assert!((upper_quantile(1.0 - p) + x).abs() < 1e-6, "{p}");
        }
        assert_eq!(upper_quantile(0.0), f64::INFINITY);
        assert_eq!(upper_quantile(1.0), f64::NEG_INFINITY);
    }

    #[test]
    fn masses_add_up() {
        let cuts = [f64::NEG_INFINITY, -39.0, -8.0, -1.0, -1e-9, 0.0, 2e-9, 3.0, 9.0, f64::INFINITY];
        let (total, error) = cuts.windows(2).fold((0.0, 0.0), |(total, error), cut| {
            let (mass, rounding) = mass_between(cut[0], cut[1]);
            (total + mass, error + rounding)
        });
        assert!((total - 1.0_f64).abs() <= error && error < 1e-14, "{total} {error}");
    }
}

//! Exact bounds on a probability from a number of successes.
//!
//! **Theorem** (Clopper and Pearson 1934). Let K be binomial with n trials and success probability p. With
//! probability at least 1 - alpha, p is at most the value u at which P(Bin(n, u) <= K) = alpha, and 1 if K = n.
//! Likewise p is at least the l with P(Bin(n, l) >= K) = alpha, and 0 if K = 0.
//!
//! The tails are regularized incomplete beta functions, P(Bin(n, p) >= k) = I_p(k, n - k + 1), by the continued
//! fraction of Lentz's method (Press et al., *Numerical Recipes*, section on incomplete beta functions). Both bounds
//! come from bisection and are the outer end of the last interval.

/// The upper bound on the probability behind `successes` of `trials`, wrong with probability at most `alpha`.
pub fn upper(successes: u64, trials: u64, alpha: f64) -> f64 {
    if successes >= trials {
        return 1.0;
    }
    // P(Bin <= k) = 1 - P(Bin >= k + 1) = I_{1-p}(n - k, k + 1)
    let (a, b) = ((trials - successes) as f64, successes as f64 + 1.0);
    bisect(|p| incomplete_beta(a, b, 1.0 - p) > alpha).1
}

/// The lower bound on the probability behind `successes` of `trials`, wrong with probability at most `alpha`.
pub fn lower(successes: u64, trials: u64, alpha: f64) -> f64 {
    if successes == 0 || trials == 0 {
        return 0.0;
    }
    let (a, b) = (successes as f64, (trials - successes.min(trials)) as f64 + 1.0);
    bisect(|p| incomplete_beta(a, b, p) < alpha).0
}

/// The neighboring p at which `below` turns from true to false.
fn bisect(below: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// I_x(a, b) for positive a and b.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let factor = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast on the side of the mean where x is.
    if x < (a + 1.0) / (a + b + 2.0) {
        factor.exp() * continued_fraction(a, b, x) / a
    } else {
        1.0 - factor.exp() * continued_fraction(b, a, 1.0 - x) / b
    }
}

fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // It takes some sqrt(max(a, b)) terms.
    for i in 1..20_000 {
        let m = f64::from(i);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change *= c * d;
        }
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_intervals() {
        // Two-sided 95 % intervals as tables and scipy's `binomtest(..).proportion_ci(method="exact")` have them.
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.3085),
            (1, 20, 0.0013, 0.2487),
            (5, 10, 0.1871, 0.8129),
            (10, 100, 0.0490, 0.1762),
            (10, 10, 0.6915, 1.0),
        ] {
            assert!((lower(k, n, 0.025) - low).abs() < 6e-5, "{k}/{n}: {}", lower(k, n, 0.025));
            assert!((upper(k, n, 0.025) - high).abs() < 6e-5, "{k}/{n}: {}", upper(k, n, 0.025));
        }
        // No success in n trials: the closed form, near the rule of three.
        for n in [1, 20, 1000, 1_000_000] {
            let closed = 1.0 - 0.05_f64.powf(1.0 / n as f64);
            assert!((upper(0, n, 0.05) / closed - 1.0).abs() < 1e-8, "{n}");
            assert!((1.0 - lower(n, n, 0.05)) / closed - 1.0 < 1e-6, "{n}");
        }
    }

    /// P(Bin(n, p) <= k), term by term.
    fn at_most(k: u64, n: u64, p: f64) -> f64 {
        let log_choose = |i: u64| {
            let (n, i) = (n as f64, i as f64);
            libm::lgamma(n + 1.0) - libm::lgamma(i + 1.0) - libm::lgamma(n - i + 1.0)
        };
        (0..=k).map(|i| (log_choose(i) + i as f64 * p.ln() + (n - i) as f64 * (-p).ln_1p()).exp()).sum()
    }

    #[test]
    fn the_bounds_are_where_the_binomial_tails_say() {
        for n in [1_u64, 7, 60, 750, 20_000] {
            for k in [0, 1, n / 3, n / 2, n.saturating_sub(1), n] {
                for alpha in [0.05, 1e-4] {
                    if k < n {
                        let p = upper(k, n, alpha);
                        assert!((at_most(k, n, p) / alpha - 1.0).abs() < 1e-6, "{k}/{n} {p}");
                    }
                    if k > 0 {
                        let p = lower(k, n, alpha);
                        let tail = 1.0 - at_most(k - 1, n, p);
                        assert!((tail - alpha).abs() < 1e-6 * alpha.max(1e-4) + 1e-9, "{k}/{n} {p} {tail}");
                    }
                }
            }
        }
        assert_eq!(lower(0, 0, 0.05), 0.0);
        assert_eq!(upper(0, 0, 0.05), 1.0);
    }
}

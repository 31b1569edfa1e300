//! Bounds on the mean of independent values in [0, 1], without a word about their distribution.
//!
//! The guesses of one training may depend on each other in a mechanism that is not what it claims, so their
//! *number* is not binomial. What is independent is the trainings. Each gives the share of wrong guesses, a
//! number in [0, 1], and the mean of that is what the claim bounds. If the guesses are in truth independent the shares
//! scatter little, and a bound that adapts to their variance is almost as sharp as the binomial one.
//!
//! **Theorem** (Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 2024,
//! on capital processes). Let X_1, X_2, .. be independent in [0, 1] with mean mu, and lambda_i a number in
//! [0, 1/m) that depends on X_1 .. X_{i-1} only. The capital K_t(m) = prod_{i<=t} (1 + lambda_i (X_i - m)) of a
//! gambler who bets that the mean is above m is, at m = mu, a nonnegative martingale that starts at 1. By Ville's
//! inequality it ever reaches 1/alpha with a probability of at most alpha. So with probability 1 - alpha, and
//! at all times at once, mu is not among the m with K_t(m) >= 1/alpha.
//!
//! Since K falls in m, the rejected m are those below a bound. The bet is the paper's predictable plug-in,
//! lambda_i = sqrt(2 ln(1/alpha) / (n v_{i-1})) with n the horizon and v the variance so far, at most 0.9/m. For n values
//! of variance v the bound is about sqrt(2 ln(1/alpha) v / n) off.

/// Bounds means of values in [0, 1].
#[derive(Clone, Copy, Debug)]
pub struct Bettor {
    /// n, how many values are planned; fixed before the first is seen. Fewer or more are as valid, and less sharp.
    pub horizon: usize,
    /// A guess at the variance, to begin with. A wrong one costs sharpness only.
    pub variance: f64,
}

impl Bettor {
    /// The lower bound on the mean of `values`, in their order, wrong with probability at most `alpha`.
    pub fn lower(&self, values: impl Iterator<Item = f64> + Clone, alpha: f64) -> f64 {
        let bets = self.bets(values, alpha);
        let goal = -alpha.ln();
        let exceeds = |m: f64| {
            let gain = |&(x, bet): &(f64, f64)| (bet.min(0.9 / m) * (x - m)).ln_1p();
            // The best moment so far counts: the martingale is watched at all times.
            let mut capital = 0.0;
            bets.iter().any(|bet| {
                capital += gain(bet);
                capital >= goal
            })
        };
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if exceeds(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The upper bound on the mean of `values`, in their order, wrong with probability at most `alpha`.
    pub fn upper(&self, values: impl Iterator<Item = f64> + Clone, alpha: f64) -> f64 {
        1.0 - self.lower(values.map(|x| 1.0 - x), alpha)
    }

    /// Each value with the bet that was made before it was seen.
    fn bets(&self, values: impl Iterator<Item = f64>, alpha: f64) -> Vec<(f64, f64)> {
        let numerator = -2.0 * alpha.ln() / self.horizon.max(1) as f64;
        let (mut count, mut mean, mut squares) = (0.0, 0.0, self.variance.max(1e-12));
        values
            .map(|x| {
                let bet = (numerator * (count + 1.0) / squares).sqrt();
                count += 1.0;
                // Welford's recurrence.
                let before = x - mean;
                mean += before / count;
                squares += before * (x - mean);
                (x, bet)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testkit::Uniform;

    /// Shares of `guesses` independent guesses that are each wrong with probability `p`.
    fn shares(random: &mut Uniform, count: usize, guesses: usize, p: f64) -> Vec<f64> {
        let share =
            |random: &mut Uniform| (0..guesses).filter(|_| random.next() < p).count() as f64 / guesses as f64;
        (0..count).map(|_| share(random)).collect()
    }

    #[test]
    fn the_bound_is_right_as_often_as_it_says() {
        let mut random = Uniform::new(1);
        for (guesses, p) in [(1, 0.5), (1, 0.02), (64, 0.4), (64, 0.001)] {
            let bettor = Bettor { horizon: 200, variance: p / guesses as f64 };
            let (mut above, mut below) = (0, 0);
            for _ in 0..400 {
                let values = shares(&mut random, 200, guesses, p);
                above += usize::from(bettor.lower(values.iter().copied(), 0.05) > p);
                below += usize::from(bettor.upper(values.iter().copied(), 0.05) < p);
            }
            // 20 of 400 are expected at most; 35 has a probability of 1e-3 if the bound is exact.
            assert!(above < 35 && below < 35, "{guesses} {p}: {above} {below}");
        }
    }

    #[test]
    fn it_adapts_to_the_variance() {
        let mut random = Uniform::new(2);
        let (n, guesses, p) = (1000, 128, 0.44);
        let values = shares(&mut random, n, guesses, p);
        let mean = values.iter().sum::<f64>() / n as f64;
        let bettor = Bettor { horizon: n, variance: 0.25 / guesses as f64 };
        let deviation = (2.0 * 20_f64.ln() * p * (1.0 - p) / (guesses * n) as f64).sqrt();
        let (low, high) =
            (bettor.lower(values.iter().copied(), 0.05), bettor.upper(values.iter().copied(), 0.05));
        assert!((mean - low) < 1.2 * deviation && (mean - low) > 0.5 * deviation, "{low} {mean} {deviation}");
        assert!(
            (high - mean) < 1.2 * deviation && (high - mean) > 0.5 * deviation,
            "{mean} {high} {deviation}"
        );
    }

    #[test]
    fn extreme_values_have_extreme_bounds() {
        let bettor = Bettor { horizon: 1000, variance: 0.001 };
        let all = |x: f64| std::iter::repeat_n(x, 1000);
        assert_eq!(bettor.lower(all(0.0), 0.05), 0.0);
        assert_eq!(bettor.upper(all(1.0), 0.05), 1.0);
        // Near the rule of three, ln(20)/1000, that independent guesses would have.
        let rare = bettor.upper(all(0.0), 0.05);
        assert!(rare > 0.002_9 && rare < 0.004, "{rare}");
        assert_eq!(bettor.lower(std::iter::empty(), 0.05), 0.0);
        assert_eq!(bettor.upper(std::iter::empty(), 0.05), 1.0);
    }
}

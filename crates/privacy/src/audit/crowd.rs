//! The attack with a canary on every axis: error counts of pairs of trainings, and what they prove.
//!
//! Each training flips a fair coin for every canary, and the second of a pair has all coins reversed, so that every canary
//! is in exactly one of the two. The coins of the *other* canaries are independent of a canary's own in each training. So
//! each canary's guess is one between neighboring datasets, whatever the others' coins are, and the errors that are averaged
//! over coins, canaries and pairs obey every trade-off that the mechanism promises ([`super::trade_off`]). A pair gives one
//! share of false positives and one of false negatives; pairs are independent, and [`super::betting`] bounds the mean.
//!
//! All thresholds are fixed before the first pair that counts, from trainings that do not count.

use super::allowed::Allowed;
use super::betting::Bettor;
use super::evidence::{
    CONFIDENCES, Interval, LowFprPoint, LowerBound, Rate, Theory, TradeOffPoint, View, ViewAudit,
};
use super::losses::Losses;
use super::trade_off::epsilon_of_errors;
use super::verdict::point_alpha;
use crate::accountant::normal::{survival, upper_quantile};
use crate::guarantee::Delta;

/// The false positive rates at which a curve is measured, and mirrored as false negative rates.
const RATES: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8];
/// The low false positive rates of [`ViewAudit::low_fpr`].
pub const LOW_RATES: [f64; 2] = [0.001, 0.01];

/// Thresholds on scores that are about N(0, 1) for a canary that is out and N(mu, 1) for one that is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    mu: f64,
    /// Falling, so that false positive rates rise.
    values: Vec<f64>,
    middle: usize,
}

impl Thresholds {
    /// The thresholds for scores whose means are `mu` standard deviations apart.
    pub fn new(mu: f64) -> Thresholds {
        let out = RATES.iter().map(|&rate| upper_quantile(rate));
        let mut values: Vec<f64> = out.clone().chain(out.map(|value| mu - value)).chain([mu / 2.0]).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let middle = values.iter().position(|&value| value == mu / 2.0).unwrap_or_default();
        Thresholds { mu, values, middle }
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The threshold made for a false positive rate.
    fn at_rate(&self, rate: f64) -> usize {
        let value = upper_quantile(rate);
        self.values.iter().position(|&other| other == value).unwrap_or_default()
    }

    /// The threshold that would show the largest epsilon if the scores were as described, in `pairs` pairs of
    /// `canaries` canaries.
    fn for_epsilon(&self, canaries: usize, pairs: usize, delta: Delta) -> usize {
        let pairs = pairs.max(1) as f64;
        // About what the bets lose: the deviation at 97.5 %, and a rule of three over pairs.
        let upper =
            |p: f64| p + (7.4 * p * (1.0 - p) / (pairs * canaries.max(1) as f64)).sqrt() + 4.0 / pairs;
        let shown = |&k: &usize| {
            let threshold = self.values[k];
            epsilon_of_errors(upper(survival(threshold)), upper(survival(self.mu - threshold)), delta)
        };
        (0..self.len()).max_by(|a, b| shown(a).total_cmp(&shown(b))).unwrap_or(self.middle)
    }
}

/// The errors of one pair of trainings, as shares of the canaries, at each threshold.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PairErrors {
    /// Canaries that were out and whose score is above the threshold.
    pub false_positives: Vec<f64>,
    /// Canaries that were in and whose score is not.
    pub false_negatives: Vec<f64>,
}

impl PairErrors {
    /// The errors for the scores of all canaries in the training with them, and in that without.
    pub fn count(thresholds: &Thresholds, with: &[f64], without: &[f64]) -> PairErrors {
        let share = |scores: &[f64], wrong: &dyn Fn(f64) -> bool| {
            scores.iter().filter(|&&score| wrong(score)).count() as f64 / scores.len().max(1) as f64
        };
        PairErrors {
            false_positives: thresholds.values.iter().map(|&t| share(without, &|score| score > t)).collect(),
            // A score that is no number counts against the attack in both directions.
            false_negatives: thresholds
                .values
                .iter()
                .map(|&t| 1.0 - share(with, &|score| score > t))
                .collect(),
        }
    }

    fn mean_error_at(&self, k: usize) -> f64 {
        (self.false_positives[k] + self.false_negatives[k]) / 2.0
    }

    /// The mean of both errors at the threshold in the middle.
    pub fn mean_error(&self, thresholds: &Thresholds) -> f64 {
        self.mean_error_at(thresholds.middle)
    }
}

/// The lower bound on mu from the mean errors of pairs, wrong with probability at most `alpha`.
///
/// `horizon` is how many pairs were planned.
pub fn mu_of_pairs(losses: Losses, mean_errors: &[f64], canaries: usize, horizon: usize, alpha: f64) -> f64 {
    let bettor = Bettor { horizon, variance: 0.125 / canaries.max(1) as f64 };
    losses.mu_of_mean_error(bettor.upper(mean_errors.iter().copied(), alpha))
}

/// All pairs of one view, ready to be evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Crowd<'a> {
    /// What the loss is taken to be, up to mu.
    pub losses: Losses,
    /// Where the scores were cut.
    pub thresholds: &'a Thresholds,
    /// The canaries of one training.
    pub canaries: usize,
    /// How many pairs were planned.
    pub horizon: usize,
    /// The errors, in the order of the trainings.
    pub pairs: &'a [PairErrors],
    /// The claim's delta.
    pub delta: Delta,
}

impl Crowd<'_> {
    /// The lower bound on mu, wrong with probability at most `alpha`.
    pub fn mu(&self, alpha: f64) -> f64 {
        let errors: Vec<f64> = self.pairs.iter().map(|pair| pair.mean_error(self.thresholds)).collect();
        mu_of_pairs(self.losses, &errors, self.canaries, self.horizon, alpha)
    }

    /// The lower bound on epsilon by definition alone, wrong with probability at most `alpha`.
    pub fn epsilon(&self, alpha: f64) -> f64 {
        let k = self.thresholds.for_epsilon(self.canaries, self.horizon, self.delta);
        epsilon_of_errors(self.fpr(k, alpha).high, self.fnr(k, alpha).high, self.delta)
    }

    /// Everything that the report says of this view. `tpr_of_claim` is the largest true positive rate that the claim allows
    /// at each of [`LOW_RATES`], and `allowed` what it allows at any rate. The intervals are those of the verdict: all points of all
    /// views hold together.
    pub fn evaluate(&self, view: View, tpr_of_claim: [f64; 2], allowed: &Allowed) -> ViewAudit {
        let alpha = point_alpha(self.thresholds.len() * View::ALL.len());
        let point = |k| TradeOffPoint { fpr: self.fpr(k, alpha), fnr: self.fnr(k, alpha) };
        let low_fpr = [0, 1].map(|i| {
            let (target, tpr_of_claim) = (LOW_RATES[i], tpr_of_claim[i]);
            let TradeOffPoint { fpr, fnr } = point(self.thresholds.at_rate(target));
            let tpr = Rate { estimate: 1.0 - fnr.estimate, low: 1.0 - fnr.high, high: 1.0 - fnr.low };
            LowFprPoint { target, fpr, tpr, tpr_of_claim, allowed: Some(allowed.at(fpr)) }
        });
        ViewAudit {
            view,
            canaries: self.canaries,
            pairs: self.pairs.len(),
            bounds: CONFIDENCES.iter().flat_map(|&confidence| self.bounds(confidence)).collect(),
            trade_off: (0..self.thresholds.len()).map(point).collect(),
            low_fpr: low_fpr.to_vec(),
        }
    }

    fn bounds(&self, confidence: f64) -> [LowerBound; 2] {
        let mu = self.mu(1.0 - confidence);
        let bound =
            |theory, mu, epsilon| LowerBound { theory, interval: Interval::Betting, confidence, mu, epsilon };
        [
            bound(self.losses.theory(), Some(mu), self.losses.epsilon(mu, self.delta)),
            bound(Theory::EpsilonDelta, None, self.epsilon(1.0 - confidence)),
        ]
    }

    /// The false positive rate at a threshold; the interval misses it with probability at most `alpha`.
    fn fpr(&self, k: usize, alpha: f64) -> Rate {
        self.rate(self.pairs.iter().map(|pair| pair.false_positives[k]), self.thresholds.values[k], alpha)
    }

    /// The false negative rate at a threshold; the interval misses it with probability at most `alpha`.
    fn fnr(&self, k: usize, alpha: f64) -> Rate {
        let distance = self.thresholds.mu - self.thresholds.values[k];
        self.rate(self.pairs.iter().map(|pair| pair.false_negatives[k]), distance, alpha)
    }

    /// `distance` tells the rate that is expected, and with it the variance that the bets begin with.
    fn rate(&self, shares: impl Iterator<Item = f64> + Clone, distance: f64, alpha: f64) -> Rate {
        let expected = survival(distance);
        let variance = expected * (1.0 - expected) / self.canaries.max(1) as f64;
        let bettor = Bettor { horizon: self.horizon, variance };
        Rate {
            estimate: shares.clone().sum::<f64>() / self.pairs.len().max(1) as f64,
            low: bettor.lower(shares.clone(), alpha / 2.0),
            high: bettor.upper(shares, alpha / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testkit::Uniform;
    use crate::audit::trade_off::{epsilon_of_mu, tpr_of_mu};

    fn delta() -> Delta {
        Delta::new(1e-4).unwrap()
    }

    /// Pairs of trainings whose scores are as the thresholds describe, for a true mu.
    fn pairs(
        random: &mut Uniform,
        thresholds: &Thresholds,
        n: usize,
        canaries: usize,
        mu: f64,
    ) -> Vec<PairErrors> {
        (0..n)
            .map(|_| {
                let without: Vec<f64> = (0..canaries).map(|_| random.normal()).collect();
                let with: Vec<f64> = (0..canaries).map(|_| mu + random.normal()).collect();
                PairErrors::count(thresholds, &with, &without)
            })
            .collect()
    }

    #[test]
    fn the_bounds_come_close_to_the_truth_and_stay_below_it() {
        let mut random = Uniform::new(3);
        for mu in [0.3, 2.0] {
            let thresholds = Thresholds::new(mu);
            let pairs = pairs(&mut random, &thresholds, 600, 100, mu);
            let crowd = Crowd {
                losses: Losses::GaussianDp,
                thresholds: &thresholds,
                canaries: 100,
                horizon: 600,
                pairs: &pairs,
                delta: delta(),
            };
            let allowed = Allowed::new(Losses::GaussianDp, mu);
            let at_low_rates = LOW_RATES.map(|rate| tpr_of_mu(mu, rate));
            let audit = crowd.evaluate(View::Transcript, at_low_rates, &allowed);
            let truth = epsilon_of_mu(mu, delta());
            for confidence in CONFIDENCES {
                let gaussian = audit.bound(Theory::GaussianDp, confidence).unwrap();
                assert!(gaussian.mu.unwrap() < mu && gaussian.mu.unwrap() > mu * 0.85, "{mu}: {gaussian:?}");
                assert!(gaussian.epsilon < truth && gaussian.epsilon > truth * 0.8, "{mu}: {gaussian:?}");
                let definition = audit.bound(Theory::EpsilonDelta, confidence).unwrap();
                assert!(
                    definition.epsilon < truth && definition.epsilon > truth * 0.3,
                    "{mu}: {definition:?}"
                );
            }
            assert_eq!(audit.trade_off.len(), thresholds.len());
            for point in &audit.trade_off {
                assert!(point.fpr.low <= point.fpr.estimate && point.fpr.estimate <= point.fpr.high);
                let best = 1.0 - tpr_of_mu(mu, point.fpr.high);
                assert!(point.fnr.high > best, "{mu}: {point:?} {best}");
            }
            assert!(audit.trade_off.is_sorted_by(|a, b| a.fpr.estimate <= b.fpr.estimate));
            let [low, high] = &audit.low_fpr[..] else { panic!() };
            assert!((low.target, high.target) == (0.001, 0.01));
            assert!(low.fpr.low < 0.001 && low.fpr.high > 0.001, "{low:?}");
            assert!(low.tpr.low < low.tpr_of_claim && low.tpr_of_claim < low.tpr.high, "{low:?}");
            assert_eq!(low.allowed, Some(allowed.at(low.fpr)));
            assert!(!allowed.is_exceeded_in(&audit));
            // The same attack against a claim of less.
            let less = Allowed::new(Losses::GaussianDp, 0.5 * mu);
            assert!(less.is_exceeded_in(&audit));
        }
    }

    #[test]
    fn a_training_that_decides_all_guesses_at_once_is_not_mistaken_for_many() {
        // All canaries of a training share one error: a mean over 100 canaries is worth one guess.
        let mut random = Uniform::new(4);
        let thresholds = Thresholds::new(0.3);
        let mut above = 0;
        for _ in 0..200 {
            let shared: Vec<PairErrors> = (0..100)
                .map(|_| {
                    let (with, without) = (0.3 + random.normal(), random.normal());
                    PairErrors::count(&thresholds, &[with; 100], &[without; 100])
                })
                .collect();
            let crowd = Crowd {
                losses: Losses::GaussianDp,
                thresholds: &thresholds,
                canaries: 100,
                horizon: 100,
                pairs: &shared,
                delta: delta(),
            };
            above += usize::from(crowd.mu(0.05) > 0.3);
        }
        // 10 of 200 at most are expected; a binomial bound over all guesses would be wrong in about half.
        assert!(above <= 20, "{above}");
    }

    #[test]
    fn nothing_run_and_nothing_found_are_bounds_of_zero() {
        let thresholds = Thresholds::new(1.0);
        let none = Crowd {
            losses: Losses::GaussianDp,
            thresholds: &thresholds,
            canaries: 10,
            horizon: 10,
            pairs: &[],
            delta: delta(),
        };
        assert_eq!((none.mu(0.05), none.epsilon(0.05)), (0.0, 0.0));
        let blind = PairErrors::count(&thresholds, &[f64::NAN; 10], &[f64::NAN; 10]);
        assert!(blind.false_negatives.iter().all(|&share| share == 1.0));
        let pairs = vec![blind; 10];
        let crowd = Crowd { pairs: &pairs, ..none };
        assert_eq!((crowd.mu(0.05), crowd.epsilon(0.05)), (0.0, 0.0));
    }
}

//! The attack with one canary a training: scores and threshold chosen on one part of the runs, errors of the rest.
//!
//! Whoever picks the best of many thresholds on the runs that count finds a loss where there is none. So the first
//! `selection` runs with the canary, and as many without, choose among all scores, both directions and a grid of
//! thresholds; the remaining runs are looked at once. They are independent, so their errors are binomial
//! ([`super::clopper_pearson`]), each bounded at half the error probability.

use super::clopper_pearson;
use super::evidence::{CONFIDENCES, Interval, LowerBound, Rate, SingleAudit, Theory, TradeOffPoint};
use super::losses::Losses;
use super::trade_off::{epsilon_of_errors, mu_of_errors};
use crate::guarantee::Delta;

/// The thresholds that are tried for a score, as quantiles of all its values.
const QUANTILES: usize = 40;

/// The scores of all trainings: for each training, one number for each kind of score.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// What the loss is taken to be, up to mu.
    pub losses: Losses,
    /// What each kind of score is, in words.
    pub names: &'a [&'a str],
    /// The trainings with the canary.
    pub with: &'a [Vec<f64>],
    /// The trainings without it.
    pub without: &'a [Vec<f64>],
    /// How many of each are for choosing.
    pub selection: usize,
    /// The claim's delta.
    pub delta: Delta,
}

/// "It was in" if `sign` times the score is above `sign` times the threshold.
#[derive(Clone, Copy, Debug)]
struct Rule {
    score: usize,
    sign: f64,
    threshold: f64,
}

impl Rule {
    fn says_in(&self, scores: &[f64]) -> bool {
        self.sign * scores[self.score] > self.sign * self.threshold
    }

    /// False positives and false negatives.
    fn errors(&self, with: &[Vec<f64>], without: &[Vec<f64>]) -> (u64, u64) {
        let said_in = |runs: &[Vec<f64>]| runs.iter().filter(|run| self.says_in(run)).count();
        (said_in(without) as u64, (with.len() - said_in(with)) as u64)
    }
}

impl Single<'_> {
    /// Chooses on the first part, and evaluates the rest.
    pub fn evaluate(&self) -> SingleAudit {
        let rule = self.choose();
        let (with, without) = self.rest();
        let (fp, fn_) = rule.errors(with, without);
        let rate = |wrong: u64, runs: &[Vec<f64>]| {
            let n = runs.len() as u64;
            Rate {
                estimate: if n == 0 { 0.0 } else { wrong as f64 / n as f64 },
                low: clopper_pearson::lower(wrong, n, 0.025),
                high: clopper_pearson::upper(wrong, n, 0.025),
            }
        };
        let direction = if rule.sign > 0.0 { "above" } else { "below" };
        SingleAudit {
            selection: self.selection,
            runs_with: with.len(),
            runs_without: without.len(),
            score: format!("{} {direction} a threshold", self.names[rule.score]),
            errors: TradeOffPoint { fpr: rate(fp, without), fnr: rate(fn_, with) },
            bounds: CONFIDENCES.iter().flat_map(|&confidence| self.bounds(rule, confidence)).collect(),
        }
    }

    /// The lower bounds on mu and on epsilon, each wrong with probability at most `alpha`.
    pub fn mu_and_epsilon(&self, alpha: f64) -> (f64, f64) {
        self.loss(self.choose(), alpha)
    }

    fn loss(&self, rule: Rule, alpha: f64) -> (f64, f64) {
        let (with, without) = self.rest();
        let (fp, fn_) = rule.errors(with, without);
        let upper = |wrong, runs: &[Vec<f64>]| clopper_pearson::upper(wrong, runs.len() as u64, alpha / 2.0);
        let (fpr, fnr) = (upper(fp, without), upper(fn_, with));
        (self.losses.mu_of_errors(fpr, fnr), epsilon_of_errors(fpr, fnr, self.delta))
    }

    fn bounds(&self, rule: Rule, confidence: f64) -> [LowerBound; 2] {
        let (mu, epsilon) = self.loss(rule, 1.0 - confidence);
        let bound = |theory, mu, epsilon| LowerBound {
            theory,
            interval: Interval::ClopperPearson,
            confidence,
            mu,
            epsilon,
        };
        [
            bound(self.losses.theory(), Some(mu), self.losses.epsilon(mu, self.delta)),
            bound(Theory::EpsilonDelta, None, epsilon),
        ]
    }

    /// The trainings that count.
    fn rest(&self) -> (&[Vec<f64>], &[Vec<f64>]) {
        let from = |runs: &'_ [Vec<f64>]| self.selection.min(runs.len());
        (&self.with[from(self.with)..], &self.without[from(self.without)..])
    }

    /// The rule that shows the largest mu of Gaussian DP on the first part, with its confidence. Any rule is valid, and what
    /// shows a lot by one family does by the others.
    fn choose(&self) -> Rule {
        let part = |runs: &[Vec<f64>]| self.selection.min(runs.len());
        let (with, without) = (&self.with[..part(self.with)], &self.without[..part(self.without)]);
        let mut best = (0.0, Rule { score: 0, sign: 1.0, threshold: 0.0 });
        for score in 0..self.names.len() {
            let mut values: Vec<f64> = with.iter().chain(without).map(|run| run[score]).collect();
            values.sort_by(f64::total_cmp);
            let count = values.len();
            let thresholds = (1..QUANTILES).filter_map(|quantile| values.get(count * quantile / QUANTILES));
            for &threshold in thresholds {
                for sign in [1.0, -1.0] {
                    let rule = Rule { score, sign, threshold };
                    let (fp, fn_) = rule.errors(with, without);
                    let upper =
                        |wrong, runs: &[Vec<f64>]| clopper_pearson::upper(wrong, runs.len() as u64, 0.025);
                    let shown = mu_of_errors(upper(fp, without), upper(fn_, with));
                    if shown > best.0 {
                        best = (shown, rule);
                    }
                }
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testkit::Uniform;

    fn runs(random: &mut Uniform, count: usize, mu: f64, width: f64) -> Vec<Vec<f64>> {
        (0..count).map(|_| vec![mu + random.normal(), (width * random.normal()).abs()]).collect()
    }

    const NAMES: [&str; 2] = ["a shift", "a width"];

    fn found(random: &mut Uniform, mu: f64, width: f64) -> SingleAudit {
        let (with, without) = (runs(random, 1000, mu, width), runs(random, 1000, 0.0, 1.0));
        let delta = Delta::new(1e-4).unwrap();
        Single {
            losses: Losses::GaussianDp,
            names: &NAMES,
            with: &with,
            without: &without,
            selection: 250,
            delta,
        }
        .evaluate()
    }

    #[test]
    fn a_shift_and_a_width_are_both_found() {
        let mut random = Uniform::new(5);
        let shifted = found(&mut random, 1.0, 1.0);
        assert!(shifted.score.starts_with("a shift above"), "{}", shifted.score);
        let mu = shifted.bound(Theory::GaussianDp, 0.95).unwrap().mu.unwrap();
        assert!(mu > 0.6 && mu < 1.0, "{mu}");
        let narrow = found(&mut random, 0.0, 0.3);
        assert!(narrow.score.starts_with("a width below"), "{}", narrow.score);
        assert!(narrow.bound(Theory::EpsilonDelta, 0.99).unwrap().epsilon > 0.5, "{narrow:?}");
    }

    #[test]
    fn the_choice_is_not_paid_for_with_confidence() {
        let mut random = Uniform::new(6);
        let mut wrong = 0;
        for _ in 0..150 {
            let audit = found(&mut random, 0.0, 1.0);
            wrong += usize::from(audit.bound(Theory::GaussianDp, 0.95).unwrap().mu.unwrap() > 0.0);
        }
        // At most 5 % are expected; 18 of 150 has a probability below 1e-3.
        assert!(wrong < 18, "{wrong}");
    }

    #[test]
    fn without_runs_there_is_no_loss() {
        let delta = Delta::new(1e-4).unwrap();
        let none = Single {
            losses: Losses::GaussianDp,
            names: &NAMES,
            with: &[],
            without: &[],
            selection: 5,
            delta,
        }
        .evaluate();
        assert_eq!(none.runs_with, 0);
        assert!(none.bounds.iter().all(|bound| bound.epsilon == 0.0));
    }
}

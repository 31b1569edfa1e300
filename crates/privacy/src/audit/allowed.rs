//! What a claim allows an attacker: the largest true positive rate at each false positive rate.
//!
//! Two bounds, of which the smaller holds. The claim's family of losses has its own trade-off ([`Losses::tpr`]); and each pair
//! (epsilon, delta) of its privacy profile allows e^epsilon a + delta at a false positive rate of a, and the same for the
//! complements ([`super::trade_off`]). A reader can compare what was measured with the profile alone, so the verdict does
//! as well: nothing that lies beyond the profile is called allowed.

use super::evidence::{AuditedClaim, Rate, TradeOffPoint, ViewAudit};
use super::losses::Losses;
use crate::guarantee::Delta;

/// What is allowed by a claim.
#[derive(Clone, Debug)]
pub struct Allowed {
    losses: Losses,
    mu: f64,
    /// (epsilon, delta), of which each holds.
    pairs: Vec<(f64, f64)>,
}

impl Allowed {
    /// What `claim` allows.
    pub fn by(claim: &AuditedClaim) -> Allowed {
        Allowed::new(claim.losses, claim.mu)
    }

    /// What a mechanism of this family and mu allows.
    pub fn new(losses: Losses, mu: f64) -> Allowed {
        // From 1e-1 to 1e-12 in quarters of a power of ten. A loss distribution takes a moment for each, and Gaussian DP
        // has its trade-off in closed form, below all of its pairs.
        let step = match losses {
            Losses::GaussianDp => return Allowed { losses, mu, pairs: Vec::new() },
            Losses::SampledGaussian { .. } => 4,
            Losses::Zcdp => 1,
        };
        let deltas = (4..=48).step_by(step).map(|quarter| 10_f64.powf(-f64::from(quarter) / 4.0));
        let pair = |delta: f64| Some((losses.epsilon(mu, Delta::new(delta).ok()?), delta));
        Allowed { losses, mu, pairs: deltas.filter_map(pair).collect() }
    }

    /// The largest true positive rate at a false positive rate, both from 0 to 1.
    pub fn true_positives(&self, fpr: f64) -> f64 {
        let of_family = match self.losses {
            // Its own is a search over loss distributions, for a percent or so.
            Losses::SampledGaussian { .. } => 1.0,
            losses => losses.tpr(self.mu, fpr),
        };
        self.pairs.iter().fold(of_family.min(1.0), |least, &(epsilon, delta)| {
            let steep = epsilon.exp() * fpr + delta;
            let flat = 1.0 - (-epsilon).exp() * (1.0 - delta - fpr);
            least.min(steep).min(flat)
        })
    }

    /// What is allowed at a measured false positive rate, and at both ends of its interval.
    pub fn at(&self, fpr: Rate) -> Rate {
        let [estimate, low, high] = [fpr.estimate, fpr.low, fpr.high].map(|a| self.true_positives(a));
        Rate { estimate, low, high }
    }

    /// Whether a measured point contradicts the claim: even with the most false positives and the fewest true positives of its
    /// intervals, more is recognized than is allowed.
    pub fn is_exceeded_by(&self, point: &TradeOffPoint) -> bool {
        1.0 - point.fnr.high > self.true_positives(point.fpr.high)
    }

    /// Whether any point of a view contradicts the claim.
    pub fn is_exceeded_in(&self, view: &ViewAudit) -> bool {
        view.trade_off.iter().any(|point| self.is_exceeded_by(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::normal::{survival, upper_quantile};

    const ALL: [Losses; 3] =
        [Losses::GaussianDp, Losses::SampledGaussian { sampling_rate: 0.25, steps: 100 }, Losses::Zcdp];

    #[test]
    fn what_is_allowed_rises_with_the_false_positives_and_is_no_less_than_a_guess() {
        for losses in ALL {
            for mu in [0.1, 1.0, 3.0] {
                let allowed = Allowed::new(losses, mu);
                let rates = [1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.0];
                let found = rates.map(|rate| allowed.true_positives(rate));
                assert!(found.is_sorted() && found[7] == 1.0, "{losses:?} {mu}: {found:?}");
                assert!(
                    found.iter().zip(rates).all(|(tpr, rate)| *tpr >= rate),
                    "{losses:?} {mu}: {found:?}"
                );
                let ends = allowed.at(Rate { estimate: 0.01, low: 1e-3, high: 0.1 });
                assert_eq!([ends.low, ends.estimate, ends.high], [found[2], found[3], found[4]]);
            }
        }
    }

    #[test]
    fn a_point_contradicts_only_what_it_exceeds_with_both_intervals() {
        let exact = |rate: f64| Rate { estimate: rate, low: rate, high: rate };
        let allowed = Allowed::new(Losses::GaussianDp, 1.0);
        for fpr in [1e-3_f64, 0.05, 0.5] {
            let fnr = survival(1.0 - upper_quantile(fpr));
            let point = |slack: f64| TradeOffPoint { fpr: exact(fpr), fnr: exact(fnr + slack) };
            assert!(!allowed.is_exceeded_by(&point(1e-6)), "{fpr}");
            assert!(allowed.is_exceeded_by(&point(-1e-6)), "{fpr}");
            // The same true positive rate at a false positive rate that may be higher is no contradiction.
            let mut unsure = point(-1e-6);
            unsure.fpr.high = fpr * 1.1;
            assert!(!allowed.is_exceeded_by(&unsure), "{fpr}");
        }
    }
}

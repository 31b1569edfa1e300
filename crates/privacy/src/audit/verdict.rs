//! The verdict: whether any bound contradicts the claim, at one confidence for all of them together.

use super::evidence::{AuditedClaim, Control, ControlAudit, Verdict};

/// The confidence of a verdict. A correct mechanism is called falsified in at most one of a thousand audits.
pub const VERDICT_CONFIDENCE: f64 = 0.999;
/// Lower bounds that take part: mu and epsilon for each of the two views and for the single canary.
const BOUNDS: f64 = 6.0;
/// The share of the error probability that is left to the measured points of the trade-off. Small, because the bounds are the
/// sharper test and the points are what a reader sees of it.
const SHARE_OF_POINTS: f64 = 0.1;

/// The error probability of each bound that takes part in a verdict (Bonferroni).
pub fn verdict_alpha() -> f64 {
    (1.0 - VERDICT_CONFIDENCE) * (1.0 - SHARE_OF_POINTS) / BOUNDS
}

/// The error probability that the number of trainings of a control is planned for: a little above [`verdict_alpha`], and the same
/// as before points took part, so that the amount of work follows from a claim as it always did.
pub fn planning_alpha() -> f64 {
    (1.0 - VERDICT_CONFIDENCE) / BOUNDS
}

/// The error probability of each of the two intervals of a measured point, where there are `points` in all views together.
///
/// With it all intervals and all bounds hold together at [`VERDICT_CONFIDENCE`] (Bonferroni), so that a point beyond what the
/// claim allows contradicts the claim like a bound does.
pub fn point_alpha(points: usize) -> f64 {
    (1.0 - VERDICT_CONFIDENCE) * SHARE_OF_POINTS / (2 * points.max(1)) as f64
}

/// Whether lower bounds, each wrong with probability at most [`verdict_alpha`], contradict a claim.
///
/// A mu is compared with that of the charge, and an epsilon with the charged epsilon.
pub fn contradicts(claim: &AuditedClaim, mu: f64, epsilon: f64) -> bool {
    mu > claim.mu || epsilon > claim.guarantee.epsilon.get()
}

/// The verdict. A contradiction stands by itself; the absence of one means something only after an attack that found out
/// the mechanism without DP noise and that with half of it.
pub fn verdict(contradicted: bool, controls: &[ControlAudit]) -> Verdict {
    let found_out = |control| controls.iter().any(|audit| audit.control == control && audit.found_out);
    if contradicted {
        Verdict::Falsified
    } else if found_out(Control::NoNoise) && found_out(Control::HalfNoise) {
        Verdict::NotFalsified
    } else {
        Verdict::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Interval, LowerBound, Theory};

    #[test]
    fn an_attack_that_misses_a_control_says_nothing() {
        let bound = LowerBound {
            theory: Theory::GaussianDp,
            interval: Interval::Betting,
            confidence: 0.95,
            mu: Some(1.0),
            epsilon: 4.0,
        };
        let control =
            |control, found_out| ControlAudit { control, runs: 10, bound: bound.clone(), found_out };
        let both = [control(Control::NoNoise, true), control(Control::HalfNoise, true)];
        assert_eq!(verdict(false, &both), Verdict::NotFalsified);
        assert_eq!(verdict(true, &both), Verdict::Falsified);
        assert_eq!(verdict(true, &[]), Verdict::Falsified);
        assert_eq!(verdict(false, &both[..1]), Verdict::Inconclusive);
        let weak = [control(Control::NoNoise, true), control(Control::HalfNoise, false)];
        assert_eq!(verdict(false, &weak), Verdict::Inconclusive);
    }
}

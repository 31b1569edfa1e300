//! What of an audit's evidence follows from the rest of it, computed again.
//!
//! The counts of the attack are what was measured, and nobody can compute them again without trainings. Bounds from counts,
//! epsilons from mu, low rates from the curve, theories, confidences and most of the verdict follow from them: evidence in
//! which one of these was altered differs from its own [`AuditEvidence::derived`].

use super::allowed::Allowed;
use super::clopper_pearson;
use super::crowd::LOW_RATES;
use super::evidence::{
    AUDIT_VERSION, AuditEvidence, CONFIDENCES, Control, ControlAudit, HEADLINE_CONFIDENCE, Interval,
    LowFprPoint, LowerBound, OneRunAudit, Rate, SingleAudit, Theory, TradeOffPoint, View, ViewAudit,
};
use super::losses::Losses;
use super::one_run;
use super::trade_off::epsilon_of_errors;
use super::verdict::{VERDICT_CONFIDENCE, contradicts, verdict, verdict_alpha};
use crate::guarantee::Delta;

/// More canaries than any attack has; more would take long to count.
const MAX_CANARIES: usize = 1 << 16;
/// The controls, in the order of the evidence.
const CONTROLS: [Control; 2] = [Control::NoNoise, Control::HalfNoise];

impl AuditEvidence {
    /// The same evidence with everything computed again that follows from the rest of it.
    ///
    /// Claim and settings are taken as they are; they follow from the head.
    pub fn derived(&self) -> AuditEvidence {
        let (losses, delta) = (self.claim.losses, self.claim.guarantee.delta);
        // Where no interval takes part in the verdict, nothing was said about what is allowed at measured rates.
        let allowed = self.interval_confidence.map(|_| Allowed::by(&self.claim));
        let pairs = |stated: usize| if self.completed { self.settings.runs / 2 } else { stated };
        // Whoever leaves one out gets it back, as something else than it was.
        let views = View::ALL.iter().enumerate().map(|(i, &which)| {
            let none = ViewAudit {
                view: which,
                canaries: 0,
                pairs: 0,
                bounds: vec![],
                trade_off: vec![],
                low_fpr: vec![],
            };
            let view = self.views.get(i).unwrap_or(&none);
            ViewAudit {
                view: which,
                pairs: pairs(view.pairs),
                bounds: bounds(&view.bounds, Interval::Betting, losses, delta),
                low_fpr: low_rates(view, losses, self.claim.mu, allowed.as_ref()),
                ..view.clone()
            }
        });
        let controls: Vec<ControlAudit> = CONTROLS
            .iter()
            .enumerate()
            .map(|(i, &which)| self.control(self.controls.get(i), which))
            .collect();
        let single = self.single.derived(losses, delta);
        let bound_of = |bound: &LowerBound| contradicts(&self.claim, bound.mu.unwrap_or(0.0), bound.epsilon);
        let views: Vec<ViewAudit> = views.collect();
        // A bound at the verdict's confidence is below that at 99 %, so none is above the claim where those are not.
        let can_contradict = views.iter().flat_map(|view| &view.bounds).any(bound_of);
        let (mu, epsilon) = single.loss(losses, delta, verdict_alpha());
        let is_stated = self.verdict == super::Verdict::Falsified && can_contradict;
        let is_exceeded =
            |view: &ViewAudit| allowed.as_ref().is_some_and(|allowed| allowed.is_exceeded_in(view));
        let contradicted =
            contradicts(&self.claim, mu, epsilon) || is_stated || views.iter().any(is_exceeded);
        AuditEvidence {
            version: AUDIT_VERSION,
            views,
            one_run: self.one_run.derived(delta),
            verdict: verdict(contradicted, &controls),
            controls,
            single,
            verdict_confidence: VERDICT_CONFIDENCE,
            interval_confidence: self.interval_confidence.map(|_| VERDICT_CONFIDENCE),
            ..self.clone()
        }
    }

    fn control(&self, stated: Option<&ControlAudit>, control: Control) -> ControlAudit {
        let (claim, settings) = (&self.claim, &self.settings);
        let planned = match control {
            Control::NoNoise => settings.no_noise_runs,
            Control::HalfNoise => settings.half_noise_runs,
        };
        let mu = stated.and_then(|stated| stated.bound.mu).unwrap_or(0.0);
        let runs = stated.map_or(0, |stated| stated.runs);
        ControlAudit {
            control,
            runs: if self.completed { planned } else { runs },
            bound: LowerBound {
                theory: claim.losses.theory(),
                interval: Interval::Betting,
                confidence: HEADLINE_CONFIDENCE,
                mu: Some(mu),
                epsilon: claim.losses.epsilon(mu, claim.guarantee.delta),
            },
            // The verdict's confidence is higher, and its bound lower: what it finds, this bound finds too.
            found_out: stated.is_some_and(|stated| stated.found_out) && mu > claim.mu,
        }
    }
}

/// Bounds in the order in which they are given: by the family and by the definition, at each confidence.
fn bounds(stated: &[LowerBound], interval: Interval, losses: Losses, delta: Delta) -> Vec<LowerBound> {
    let of = CONFIDENCES.iter().flat_map(|&confidence| [(confidence, true), (confidence, false)]);
    let bound = |(i, (confidence, is_family)): (usize, (f64, bool))| {
        let stated: Option<&LowerBound> = stated.get(i);
        let mu = stated.and_then(|stated| stated.mu).unwrap_or(0.0);
        let (theory, mu, epsilon) = match is_family {
            true => (losses.theory(), Some(mu), losses.epsilon(mu, delta)),
            false => (Theory::EpsilonDelta, None, stated.map_or(0.0, |stated| stated.epsilon)),
        };
        LowerBound { theory, interval, confidence, mu, epsilon }
    };
    of.enumerate().map(bound).collect()
}

/// The points of the curve at the low rates, which are among its points.
fn low_rates(view: &ViewAudit, losses: Losses, mu: f64, allowed: Option<&Allowed>) -> Vec<LowFprPoint> {
    let tpr = |fnr: Rate| Rate { estimate: 1.0 - fnr.estimate, low: 1.0 - fnr.high, high: 1.0 - fnr.low };
    let none = Rate { estimate: 0.0, low: 0.0, high: 0.0 };
    let low_rate = |(i, &target): (usize, &f64)| {
        let (fpr, found) = view.low_fpr.get(i).map_or((none, none), |stated| (stated.fpr, stated.tpr));
        let is_here = |p: &&TradeOffPoint| p.fpr == fpr && tpr(p.fnr) == found;
        let is_near = |p: &&TradeOffPoint| p.fpr == fpr || tpr(p.fnr) == found;
        let curve = &view.trade_off;
        let point = curve.iter().find(is_here).or_else(|| curve.iter().find(is_near)).or(curve.first());
        let (fpr, tpr) = point.map_or((none, none), |point| (point.fpr, tpr(point.fnr)));
        let tpr_of_claim = losses.tpr(mu, target);
        LowFprPoint { target, fpr, tpr, tpr_of_claim, allowed: allowed.map(|allowed| allowed.at(fpr)) }
    };
    LOW_RATES.iter().enumerate().map(low_rate).collect()
}

impl SingleAudit {
    /// False positives and false negatives.
    fn counts(&self) -> [(u64, u64); 2] {
        let count = |rate: f64, runs: usize| ((rate * runs as f64).round() as u64, runs as u64);
        [count(self.errors.fpr.estimate, self.runs_without), count(self.errors.fnr.estimate, self.runs_with)]
    }

    /// The lower bounds on mu and on epsilon, each wrong with probability at most `alpha`.
    fn loss(&self, losses: Losses, delta: Delta, alpha: f64) -> (f64, f64) {
        let [fpr, fnr] = self.counts().map(|(wrong, runs)| clopper_pearson::upper(wrong, runs, alpha / 2.0));
        (losses.mu_of_errors(fpr, fnr), epsilon_of_errors(fpr, fnr, delta))
    }

    fn derived(&self, losses: Losses, delta: Delta) -> SingleAudit {
        let [fpr, fnr] = self.counts().map(|(wrong, runs)| Rate {
            estimate: if runs == 0 { 0.0 } else { wrong as f64 / runs as f64 },
            low: clopper_pearson::lower(wrong, runs, 0.025),
            high: clopper_pearson::upper(wrong, runs, 0.025),
        });
        let bounds = CONFIDENCES.iter().flat_map(|&confidence| {
            let (mu, epsilon) = self.loss(losses, delta, 1.0 - confidence);
            let bound = |theory, mu, epsilon| LowerBound {
                theory,
                interval: Interval::ClopperPearson,
                confidence,
                mu,
                epsilon,
            };
            [
                bound(losses.theory(), Some(mu), losses.epsilon(mu, delta)),
                bound(Theory::EpsilonDelta, None, epsilon),
            ]
        });
        SingleAudit { errors: TradeOffPoint { fpr, fnr }, bounds: bounds.collect(), ..self.clone() }
    }
}

impl OneRunAudit {
    fn derived(&self, delta: Delta) -> OneRunAudit {
        let Self { canaries, guesses, correct, .. } = *self;
        let is_possible = correct <= guesses && guesses <= canaries && canaries <= MAX_CANARIES;
        let epsilon = |alpha| match guesses {
            0 => 0.0,
            _ if is_possible => one_run::epsilon(canaries, guesses, correct, delta, alpha),
            _ => f64::NAN,
        };
        OneRunAudit { epsilon_95: epsilon(0.05), epsilon_99: epsilon(0.01), ..self.clone() }
    }
}

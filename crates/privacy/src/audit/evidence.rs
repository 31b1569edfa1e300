//! What an audit found: plain values, which the report prints and draws and `report.json` holds.
//!
//! A lower bound is a statement about the mechanism that ran, at a confidence: "if the loss were below this, what
//! was seen would happen with a probability of at most 1 - confidence". An audit can contradict a claim. It cannot
//! confirm one, so there is no verdict that says `safe`.

use serde::{Deserialize, Serialize};

use super::losses::Losses;
use crate::guarantee::{Adjacency, Epsilon, Guarantee, PrivacyUnit};

/// The version of [`Audit`] in files.
pub const AUDIT_VERSION: u32 = 1;

/// What is known of a release from attacks on its mechanism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "audit", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant)] // there is one of them
pub enum Audit {
    /// The mechanism was attacked.
    Assessed(AuditEvidence),
    /// It was not.
    NotAssessed {
        /// The release's method, such as `output-perturbation`.
        method: String,
        /// Why not, in words for the report.
        reason: String,
    },
}

/// The result of one audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEvidence {
    /// [`AUDIT_VERSION`].
    pub version: u32,
    /// What was attacked, and what it claims.
    pub claim: AuditedClaim,
    /// How much was run.
    pub settings: AuditSettings,
    /// The attack with a canary on every axis, once for each adversary: first the one that the accounting is about.
    pub views: Vec<ViewAudit>,
    /// The attack with one canary and next to nobody beside it.
    pub single: SingleAudit,
    /// The attack that trains once.
    pub one_run: OneRunAudit,
    /// Mechanisms with too little DP noise, which the same attack must find out.
    pub controls: Vec<ControlAudit>,
    /// Whether all planned trainings were done. If not, the time budget ended them; every bound holds as it is.
    pub completed: bool,
    /// Wall-clock seconds, over all sittings of a resumed audit.
    pub seconds: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// The confidence of the verdict, over all bounds that take part in it. A correct mechanism is called
    /// falsified with a probability of at most 1 minus this.
    pub verdict_confidence: f64,
    /// The confidence of all intervals in `views` together, which take part in the verdict: none of them is beyond what the
    /// claim allows unless the verdict is `falsified`. In files without it each interval holds by itself at 95 %, and
    /// they take no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_confidence: Option<f64>,
}

/// The claim under attack, read off the released head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedClaim {
    /// The head's method, such as `dp-fc`.
    pub method: String,
    /// d, the numbers of a noisy sum.
    pub dimension: usize,
    /// C.
    pub clipping_norm: f64,
    /// T.
    pub steps: u32,
    /// sigma, the standard deviation of the DP noise over the sensitivity; of that on the objective, if there is noise on it.
    pub noise_multiplier: f64,
    /// The guarantee that was charged: unit, adjacency, rho, and the *claimed* epsilon at delta.
    pub guarantee: Guarantee,
    /// The family of losses that the mechanism's theorem is about. Files without it are of Gaussian sums.
    #[serde(default)]
    pub losses: Losses,
    /// The mu of that family that the charge stands for.
    pub mu: f64,
    /// The epsilon of that mu at the same delta. It is not above the charged epsilon, whose theory may be coarser:
    /// no attack can get above this against a correct mechanism.
    pub exact_epsilon: Epsilon,
}

impl AuditedClaim {
    /// The unit of protection.
    pub fn unit(&self) -> PrivacyUnit {
        self.guarantee.unit
    }

    /// Which datasets are neighbors: with and without the canary, or with one or another in its place.
    pub fn adjacency(&self) -> Adjacency {
        self.guarantee.adjacency
    }
}

/// How much was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// The named amount that was asked for.
    pub preset: Preset,
    /// Trainings of the attack with a canary on every axis; they come in complementary pairs.
    pub runs: usize,
    /// Trainings of the attack with one canary, half with it and half without.
    pub single_runs: usize,
    /// Trainings with half the DP noise, for the control.
    pub half_noise_runs: usize,
    /// Trainings without DP noise, for the control.
    pub no_noise_runs: usize,
    /// The seed of everything but the DP noise, which OpenDP draws and nobody can seed.
    pub seed: u64,
    /// The limit on wall-clock seconds, if there was one.
    pub time_budget_seconds: Option<f64>,
}

/// A named amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The default: as many trainings as it takes to show 0.85 of the accounted epsilon.
    Default,
    /// Fewer, to show 0.7 of it: bounds are lower and intervals wider.
    Quick,
    /// The number of runs was given.
    Custom,
}

/// What an adversary sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Every noisy sum of the training. This is the adversary of the accounting: the guarantee is for all
    /// sums together.
    Transcript,
    /// The released head alone, which is what the world sees. Averaging and overwriting hide a little.
    Head,
}

impl View {
    /// Both, in the order of the evidence.
    pub const ALL: [View; 2] = [View::Transcript, View::Head];

    /// What this adversary knows, in words for the report.
    pub fn adversary(self) -> &'static str {
        match self {
            View::Transcript => "sees all noisy numbers of the training and knows all other records",
            View::Head => "sees the released head and knows all other records",
        }
    }
}

/// The attack with a canary on every axis, for one adversary.
///
/// Each training flips a coin for each canary, and the adversary guesses each coin from the released numbers.
/// Trainings come in pairs with opposite coins, so that each canary is in exactly one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewAudit {
    /// Who attacks.
    pub view: View,
    /// Canaries of one training.
    pub canaries: usize,
    /// Pairs of trainings. Canaries times pairs is how often a canary was in, and how often it was not.
    pub pairs: usize,
    /// Lower bounds on the loss, several theories and confidences.
    pub bounds: Vec<LowerBound>,
    /// The measured trade-off between the two errors, rising in the false positive rate; the ROC curve is
    /// `fpr` against `1 - fnr`. The confidence of the intervals is [`AuditEvidence::interval_confidence`].
    pub trade_off: Vec<TradeOffPoint>,
    /// The true positive rate at low false positive rates.
    pub low_fpr: Vec<LowFprPoint>,
}

impl ViewAudit {
    /// The bound of this theory at this confidence.
    pub fn bound(&self, theory: Theory, confidence: f64) -> Option<&LowerBound> {
        find_bound(&self.bounds, theory, confidence)
    }
}

fn find_bound(bounds: &[LowerBound], theory: Theory, confidence: f64) -> Option<&LowerBound> {
    bounds.iter().find(|bound| bound.theory == theory && bound.confidence == confidence)
}

/// What a lower bound assumes about the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theory {
    /// That its loss is that of Gaussian DP for some mu: bounds mu, and states the epsilon of that mu. Right for
    /// Gaussian sums, and the sharper one.
    GaussianDp,
    /// That its loss is that of Gaussian sums over Poisson samples at the stated rate and number of steps, for some
    /// noise: bounds mu, as [`Losses`] defines it, and states the epsilon of that.
    SampledGaussian,
    /// That it is rho-zCDP for some rho, and that there is nothing better to say: bounds mu = sqrt(2 rho), and states the epsilon that the
    /// ledger would charge for that.
    Zcdp,
    /// Nothing: the definition of (epsilon, delta)-DP.
    EpsilonDelta,
}

impl Theory {
    /// Its name in reports.
    pub fn words(self) -> &'static str {
        match self {
            Theory::GaussianDp => "Gaussian DP",
            Theory::SampledGaussian => "sampled Gaussian sums",
            Theory::Zcdp => "zCDP",
            Theory::EpsilonDelta => "(epsilon, delta)",
        }
    }
}

/// How the error rates behind a bound are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Exact for independent guesses (Clopper and Pearson 1934).
    ClopperPearson,
    /// For means of guesses that may depend on each other within a training, by betting (Waudby-Smith and
    /// Ramdas 2024). Valid whenever the audit is stopped.
    Betting,
}

/// One lower bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowerBound {
    /// What it assumes.
    pub theory: Theory,
    /// How the error rates were bounded.
    pub interval: Interval,
    /// The confidence, such as 0.95.
    pub confidence: f64,
    /// The lower bound on mu; absent where the theory has none.
    pub mu: Option<f64>,
    /// The lower bound on epsilon at the claim's delta; 0 if nothing was found.
    pub epsilon: f64,
}

/// A rate with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The measured rate.
    pub estimate: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The two errors of the guess "it was in" at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TradeOffPoint {
    /// How often a canary that was not in is taken to be in.
    pub fpr: Rate,
    /// How often a canary that was in is taken not to be.
    pub fnr: Rate,
}

/// The true positive rate at a threshold that was fixed, before any training, for a low false positive rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowFprPoint {
    /// The false positive rate that the threshold was made for, such as 0.001.
    pub target: f64,
    /// The measured false positive rate.
    pub fpr: Rate,
    /// The measured true positive rate.
    pub tpr: Rate,
    /// The largest true positive rate that the claim's mu and family allow at `target`.
    pub tpr_of_claim: f64,
    /// The largest true positive rate that the claim allows at the *measured* false positive rate, and at both ends of
    /// its interval: what `tpr` is to be compared with. Absent in files of before it was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Rate>,
}

impl LowFprPoint {
    /// Both errors.
    pub fn errors(&self) -> TradeOffPoint {
        let Rate { estimate, low, high } = self.tpr;
        TradeOffPoint {
            fpr: self.fpr,
            fnr: Rate { estimate: 1.0 - estimate, low: 1.0 - high, high: 1.0 - low },
        }
    }
}

/// The attack with one canary a training: next to nobody beside it, so that a mistake in how the DP noise
/// depends on the number of records shows.
///
/// Score and threshold are chosen on the first part of the runs; the rates and bounds are of the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleAudit {
    /// Trainings with the canary and trainings without it on which score and threshold were chosen.
    pub selection: usize,
    /// Trainings with the canary, apart from those.
    pub runs_with: usize,
    /// Trainings without it, apart from those.
    pub runs_without: usize,
    /// What was chosen, in words.
    pub score: String,
    /// The error rates at the chosen threshold.
    pub errors: TradeOffPoint,
    /// Lower bounds by both theories, at 95 and 99 %.
    pub bounds: Vec<LowerBound>,
}

impl SingleAudit {
    /// The bound of this theory at this confidence.
    pub fn bound(&self, theory: Theory, confidence: f64) -> Option<&LowerBound> {
        find_bound(&self.bounds, theory, confidence)
    }
}

/// The attack that trains once, with many canaries (Steinke, Nasr and Jagielski 2023). Weak at this dimension;
/// for comparison with what others report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneRunAudit {
    /// m, the canaries, each in or out by a fair coin.
    pub canaries: usize,
    /// r, the guesses made; the adversary abstains on the others.
    pub guesses: usize,
    /// v, the correct guesses.
    pub correct: usize,
    /// The lower bound on epsilon at 95 %.
    pub epsilon_95: f64,
    /// The lower bound on epsilon at 99 %.
    pub epsilon_99: f64,
}

/// Less DP noise than was charged, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// None. An audit that does not notice is broken.
    NoNoise,
    /// Half of what was charged. Shows that the audit is strong enough for its verdict to mean something.
    HalfNoise,
}

impl Control {
    /// In words for reports.
    pub fn words(self) -> &'static str {
        match self {
            Control::NoNoise => "no DP noise",
            Control::HalfNoise => "half the DP noise",
        }
    }
}

/// How the audit did against one control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlAudit {
    /// What was done to the mechanism.
    pub control: Control,
    /// The trainings.
    pub runs: usize,
    /// The lower bound at 95 % by the transcript adversary.
    pub bound: LowerBound,
    /// Whether the verdict on it would be `falsified`, at the verdict's own confidence.
    pub found_out: bool,
}

/// What the audit says about the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The claim is contradicted: a lower bound is above it.
    Falsified,
    /// The attack, which found out its controls, did not contradict the claim. This is not a proof of it.
    NotFalsified,
    /// The attack did not find out its controls, so that it says nothing: give it more runs.
    Inconclusive,
}

impl Verdict {
    /// The words of reports and of JSON's `verdict`.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Falsified => "falsified",
            Verdict::NotFalsified => "not falsified",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

impl AuditEvidence {
    /// The figure that stands beside the target and the accounted epsilon: the transcript adversary's lower
    /// bound by the claim's family, at 95 %. Fixed in advance, so that it is not the best of several.
    pub fn headline(&self) -> Option<&LowerBound> {
        self.views
            .iter()
            .find(|view| view.view == View::Transcript)?
            .bound(self.claim.losses.theory(), HEADLINE_CONFIDENCE)
    }
}

/// The confidence of [`AuditEvidence::headline`].
pub const HEADLINE_CONFIDENCE: f64 = 0.95;
/// The confidences at which bounds are given.
pub const CONFIDENCES: [f64; 2] = [0.95, 0.99];

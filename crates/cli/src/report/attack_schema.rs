//! The shape of the attack's evidence in the schema of `report.json`.
//!
//! The evidence's own types are the privacy crate's, which knows of no JSON Schema. These say the same again, for the schema
//! alone, and no value of them exists; a test validates a real report with the schema that they give: each field
//! that is there is named here, and none of them may be missing.
#![allow(dead_code)]

use schemars::JsonSchema;

use super::Assessed;

/// What is in the block `attack`.
pub type Attack = Assessed<AttackEvidence>;

/// What the attack found; the meaning of each figure is documented in `crates/privacy/src/audit/evidence.rs`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AttackEvidence {
    /// The version of this block.
    version: u32,
    /// What was attacked, and what it claims.
    claim: AttackedClaim,
    /// How much was run.
    settings: AttackSettings,
    /// The attack with a canary on every axis, once for each adversary: the one of the accounting first.
    views: Vec<AttackView>,
    /// The attack with one canary and next to nobody beside it.
    single: SingleCanary,
    /// The attack that trains once.
    one_run: OneTraining,
    /// Mechanisms with too little DP noise, which the same attack must find out.
    controls: Vec<AttackedControl>,
    /// Whether all planned trainings were done.
    completed: bool,
    /// Wall-clock seconds.
    seconds: f64,
    /// What the attack says about the claim.
    verdict: AttackVerdict,
    /// The confidence of the verdict, over all bounds that take part in it.
    verdict_confidence: f64,
    /// The confidence of all intervals in `views` together. Where it is absent, each holds by itself at 95 %.
    interval_confidence: Option<f64>,
}

/// The claim under attack, read off the head.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AttackedClaim {
    /// The head's method.
    method: String,
    /// The numbers that are released in one step.
    dimension: usize,
    /// C.
    clipping_norm: f64,
    /// T.
    steps: u32,
    /// sigma, the standard deviation of the DP noise over the sensitivity.
    noise_multiplier: f64,
    /// What was charged.
    guarantee: ChargedGuarantee,
    /// The family of losses that the mechanism's theorem is about. Reports of before there were several are about Gaussian DP.
    losses: Option<LossFamily>,
    /// The mu of that family that the charge stands for.
    mu: f64,
    /// The epsilon of that mu at the same delta.
    exact_epsilon: f64,
}

/// What the loss can be, up to mu.
#[derive(JsonSchema)]
#[schemars(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
enum LossFamily {
    /// Gaussian sums over all units.
    GaussianDp,
    /// Gaussian sums over Poisson samples; mu is that of the same sums without sampling.
    SampledGaussian { sampling_rate: f64, steps: u32 },
    /// zCDP; mu is that of the Gaussian mechanism with the same rho.
    Zcdp,
}

/// What was charged.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ChargedGuarantee {
    epsilon: f64,
    delta: f64,
    /// An exact decimal.
    rho: String,
    /// `record`, or `person:K` for up to K records of a person.
    unit: String,
    /// `add-remove` or `replace`.
    adjacency: String,
}

/// How much was run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AttackSettings {
    preset: AttackPreset,
    /// Trainings with a canary on every axis.
    runs: usize,
    /// Trainings with one canary, half with it and half without.
    single_runs: usize,
    /// Trainings with half the DP noise.
    half_noise_runs: usize,
    /// Trainings without DP noise.
    no_noise_runs: usize,
    /// The seed of everything but the DP noise.
    seed: u64,
    /// The limit on wall-clock seconds; null if there was none.
    time_budget_seconds: Option<f64>,
}

/// The named amount of work.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum AttackPreset {
    Default,
    Quick,
    Custom,
}

/// The attack with a canary on every axis, for one adversary.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AttackView {
    /// What the adversary sees.
    view: AdversaryView,
    /// Canaries of one training.
    canaries: usize,
    /// Pairs of trainings with opposite coins.
    pairs: usize,
    bounds: Vec<EpsilonBound>,
    /// The measured trade-off of both errors, rising in the false positive rate.
    trade_off: Vec<ErrorRates>,
    /// The true positive rate at low false positive rates.
    low_fpr: Vec<LowRate>,
}

/// What an adversary sees: all noisy numbers of the training, or the released head.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum AdversaryView {
    Transcript,
    Head,
}

/// One lower bound.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct EpsilonBound {
    /// What it assumes about the mechanism.
    theory: BoundTheory,
    /// How the error rates were bounded.
    interval: BoundInterval,
    confidence: f64,
    /// The lower bound on mu; null where the theory has none.
    mu: Option<f64>,
    /// The lower bound on epsilon at the claim's delta.
    epsilon: f64,
}

/// The claim's family of losses for some mu, or the definition of (epsilon, delta)-DP alone.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum BoundTheory {
    GaussianDp,
    SampledGaussian,
    Zcdp,
    EpsilonDelta,
}

/// How error rates were bounded.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum BoundInterval {
    ClopperPearson,
    Betting,
}

/// A rate with its confidence interval.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct MeasuredRate {
    estimate: f64,
    low: f64,
    high: f64,
}

/// Both errors at one threshold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ErrorRates {
    /// False positives.
    fpr: MeasuredRate,
    /// False negatives.
    fnr: MeasuredRate,
}

/// The true positive rate at a low false positive rate.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LowRate {
    /// The false positive rate that the threshold was made for.
    target: f64,
    fpr: MeasuredRate,
    tpr: MeasuredRate,
    /// The largest that the claim allows at `target`.
    tpr_of_claim: f64,
    /// The largest that the claim allows at the measured rate, and at both ends of its interval. Reports of before it was
    /// stated have none.
    allowed: Option<MeasuredRate>,
}

/// The attack with one canary a training.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SingleCanary {
    /// Trainings of each kind on which score and threshold were chosen.
    selection: usize,
    runs_with: usize,
    runs_without: usize,
    /// What was chosen, in words.
    score: String,
    errors: ErrorRates,
    bounds: Vec<EpsilonBound>,
}

/// The attack that trains once.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OneTraining {
    canaries: usize,
    guesses: usize,
    correct: usize,
    /// The lower bound on epsilon at 95 %.
    epsilon_95: f64,
    /// The same at 99 %.
    epsilon_99: f64,
}

/// How the attack did against a mechanism with too little DP noise.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AttackedControl {
    control: ControlKind,
    /// The trainings.
    runs: usize,
    bound: EpsilonBound,
    /// Whether it was noticed, at the verdict's confidence.
    found_out: bool,
}

/// How much DP noise a control has.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum ControlKind {
    NoNoise,
    HalfNoise,
}

/// What the attack says about the claim.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum AttackVerdict {
    Falsified,
    NotFalsified,
    Inconclusive,
}

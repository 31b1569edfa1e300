//! The attack: what was tried against the head's mechanism, what it found, and whether it could have found anything.

use cryptotl_privacy::audit::{
    self, Allowed, Audit, AuditEvidence, Interval, LowerBound, Preset, Theory, TradeOffPoint,
};
use cryptotl_trainer::audit::{Target, derived};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::figure::Drawing;
use super::view::{Block, Cell, Section, Table};
use super::{Assessed, Report, words};

/// What the attack says about the claim. There is no verdict that says `safe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// A lower bound is above the claim.
    #[serde(rename = "falsified")]
    Falsified,
    /// An attack that found out its controls did not contradict the claim.
    #[serde(rename = "not falsified")]
    NotFalsified,
    /// The attack did not find out its controls, so it says nothing.
    #[serde(rename = "inconclusive")]
    Inconclusive,
    /// No attack was run.
    #[serde(rename = "not assessed")]
    NotAssessed,
}

impl Verdict {
    /// The word of `report.json`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Falsified => audit::Verdict::Falsified.words(),
            Self::NotFalsified => audit::Verdict::NotFalsified.words(),
            Self::Inconclusive => audit::Verdict::Inconclusive.words(),
            Self::NotAssessed => "not assessed",
        }
    }
}

impl From<audit::Verdict> for Verdict {
    fn from(verdict: audit::Verdict) -> Self {
        match verdict {
            audit::Verdict::Falsified => Self::Falsified,
            audit::Verdict::NotFalsified => Self::NotFalsified,
            audit::Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

/// What the attack found when it was given something to find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What was done to the mechanism on purpose.
    pub control: String,
    /// The trainings.
    pub runs: u64,
    /// The lower bound that the attack found, at `confidence`.
    pub epsilon_lower_bound: f64,
    /// The confidence of that bound.
    pub confidence: f64,
    /// Whether the attack calls the mutilated mechanism falsified.
    pub found_out: bool,
}

/// Why a mechanism that can be attacked was not.
pub const NOT_ASKED: &str = "no attack was asked for";

/// What a report states of attacks, with everything computed again that follows from the mechanism or from the counts.
pub(super) fn again(report: &Report, evidence: &Evidence) -> Audit {
    let Evidence { event, guarantee, product, .. } = evidence;
    let target = match Target::new(event, guarantee, &product.settings, product.labels.len()) {
        Ok(target) => target,
        Err(not_covered) => {
            return Audit::NotAssessed { method: not_covered.method, reason: not_covered.reason };
        }
    };
    match report.attack.evidence() {
        Ok(stated) => Audit::Assessed(derived(stated, &target)),
        Err(_) => Audit::NotAssessed { method: target.claim().method.clone(), reason: NOT_ASKED.to_owned() },
    }
}

/// The attack's evidence, or why there is none.
pub(super) fn assess(audit: Option<&Audit>) -> Assessed<AuditEvidence> {
    match audit {
        Some(Audit::Assessed(evidence)) => Assessed::Assessed(evidence.clone()),
        Some(Audit::NotAssessed { method, reason }) => {
            Assessed::missing(format!("no attack was run against the method {method}: {reason}"))
        }
        None => Assessed::missing("no attack was run against this head"),
    }
}

/// The controls, flat.
pub(super) fn controls(evidence: &AuditEvidence) -> Vec<Control> {
    let control = |c: &audit::ControlAudit| Control {
        control: c.control.words().to_owned(),
        runs: c.runs as u64,
        epsilon_lower_bound: c.bound.epsilon,
        confidence: c.bound.confidence,
        found_out: c.found_out,
    };
    evidence.controls.iter().map(control).collect()
}

/// Whether the headline's bound is above the promise although the verdict, which takes all bounds together at its own
/// confidence, does not contradict it: once in twenty correct mechanisms at most.
pub(super) fn is_above_by_itself(report: &Report) -> bool {
    report.verdict == Verdict::NotFalsified
        && report.audited_epsilon_lower_bound.is_some_and(|bound| bound > report.target_epsilon)
}

/// The command to run next where the attack left something open: where it was too short to find out its controls, or where the
/// headline alone is above the promise. `command` is the report's own, without the flags that say how much is run.
pub(super) fn next_step(found: Option<&AuditEvidence>, target: f64, command: &str) -> Option<String> {
    /// How much longer than the last one the next attack is.
    const LONGER: usize = 4;
    /// The most trainings that `--runs` takes.
    const MOST: usize = 10_000_000;
    let found = found?;
    let above = found.headline().is_some_and(|bound| bound.epsilon > target);
    match found.verdict {
        audit::Verdict::Falsified => return None,
        audit::Verdict::NotFalsified if !above => return None,
        _ => {}
    }
    // What the time budget cut short, or was asked to be quick, is run as it would have been by default.
    let by_default = found.settings.preset == Preset::Quick || !found.completed;
    let longer = found.settings.runs.saturating_mul(LONGER).clamp(16, MOST);
    Some(if by_default { command.to_owned() } else { format!("{command} --runs {longer}") })
}

/// How a measured point stands to what the claim allows there, in the terms of the verdict: nothing contradicts the promise
/// unless the verdict says so.
pub(super) fn standing(evidence: &AuditEvidence, point: &TradeOffPoint, allowed: f64) -> &'static str {
    if 1.0 - point.fnr.high <= allowed {
        "within"
    } else if evidence.verdict == audit::Verdict::Falsified {
        "contradicts the promise"
    } else {
        // In files whose intervals hold one by one and take no part in the verdict.
        "above by its own interval, which is not part of the verdict"
    }
}

/// The confidence of the intervals of measured rates, in words.
pub(super) fn interval_words(evidence: &AuditEvidence) -> String {
    match evidence.interval_confidence {
        Some(all) => format!("The intervals hold at {} for all points together", words::percent(all)),
        None => "Each interval holds by itself at 95 %: one in twenty may miss".to_owned(),
    }
}

pub(super) fn section(report: &Report) -> Section {
    let mut blocks = vec![comparison(report)];
    match report.attack.evidence() {
        Err(reason) => {
            blocks.push(Block::NotAssessed(format!("The attack: {reason}")));
            // What would be drawn is still bounded by the promise, and a reader sees what the attack would show.
            blocks.push(Block::Drawing(Drawing::TradeOff));
            blocks.push(Block::Drawing(Drawing::Roc));
        }
        Ok(evidence) => assessed(report, evidence, &mut blocks),
    }
    if let Some(command) = &report.next_step {
        blocks.push(Block::Text("What to run next, because this attack left something open:".to_owned()));
        blocks.push(Block::Commands(vec![command.clone()]));
    }
    blocks.push(Block::Note(
        "A pass is not a proof. An attack tries some ways to recognize a record; a mechanism can be wrong in a way that \
         none of them shows. The promise rests on the proof of the mechanism, and the attack checks the program that \
         claims to run it. It never touches private records."
            .to_owned(),
    ));
    Section { id: "attack", title: "The attack", blocks }
}

/// Target, accounted and audited epsilon side by side.
fn comparison(report: &Report) -> Block {
    let audited = match report.audited_epsilon_lower_bound {
        Some(bound) => Cell::figure("/audited_epsilon_lower_bound", words::at_least(bound)),
        None => "not assessed".into(),
    };
    let confidence = report.confidence.map_or_else(String::new, |c| format!(", at {}", words::percent(c)));
    Block::Table(Table {
        caption: "Target, accounted and audited epsilon of this release",
        head: vec!["figure", "epsilon", "what it is"],
        rows: vec![
            vec![
                "target".into(),
                Cell::figure("/target_epsilon", words::loss(report.target_epsilon)),
                "what the head claims of itself".into(),
            ],
            vec![
                "accounted".into(),
                Cell::figure("/accounted_epsilon", words::loss(report.accounted_epsilon)),
                "recomputed from the recorded mechanism: an upper bound".into(),
            ],
            vec!["audited".into(), audited, format!("found by the attack: a lower bound{confidence}").into()],
        ],
    })
}

fn assessed(report: &Report, evidence: &AuditEvidence, blocks: &mut Vec<Block>) {
    let at = |field: &str| format!("/attack/{field}");
    blocks.push(Block::Facts(vec![
        ("Verdict", report.verdict.words().into()),
        (
            "Confidence of the verdict",
            Cell::figure(at("verdict_confidence"), words::percent(evidence.verdict_confidence)),
        ),
        ("Method under attack", evidence.claim.method.clone().into()),
        ("Trainings", Cell::figure(at("settings/runs"), words::grouped(evidence.settings.runs as u64))),
        (
            "with one canary",
            Cell::figure(at("settings/single_runs"), words::grouped(evidence.settings.single_runs as u64)),
        ),
        (
            "Seed of all but the DP noise",
            Cell::figure(at("settings/seed"), evidence.settings.seed.to_string()),
        ),
        (
            "Complete",
            if evidence.completed {
                "all planned trainings were done"
            } else {
                "the time budget ended it; every bound holds"
            }
            .into(),
        ),
        (
            "Best that any attack can find",
            Cell::figure(at("claim/exact_epsilon"), words::loss(evidence.claim.exact_epsilon.get())),
        ),
    ]));
    blocks.push(controls_table(&report.controls));
    blocks.push(Block::Drawing(Drawing::TradeOff));
    blocks.push(Block::Drawing(Drawing::Roc));
    let mut rows = Vec::new();
    for (i, view) in evidence.views.iter().enumerate() {
        for (j, bound) in view.bounds.iter().enumerate() {
            rows.push(bound_row(view.view.adversary(), bound, at(&format!("views/{i}/bounds/{j}"))));
        }
    }
    for (j, bound) in evidence.single.bounds.iter().enumerate() {
        rows.push(bound_row(
            "one canary, next to nobody beside it",
            bound,
            at(&format!("single/bounds/{j}")),
        ));
    }
    let one_run = |field: &str, confidence: f64, bound: f64| {
        vec![
            "one training, many canaries".into(),
            Theory::EpsilonDelta.words().into(),
            words::percent(confidence).into(),
            Cell::figure(at(&format!("one_run/{field}")), words::at_least(bound)),
        ]
    };
    rows.push(one_run("epsilon_95", 0.95, evidence.one_run.epsilon_95));
    rows.push(one_run("epsilon_99", 0.99, evidence.one_run.epsilon_99));
    blocks.push(Block::Table(Table {
        caption: "Lower bounds on epsilon, by adversary and theory, each at its own confidence",
        head: vec!["adversary", "theory", "confidence", "epsilon, at least"],
        rows,
    }));
    blocks.push(low_rates(evidence));
    blocks.push(Block::Note(format!(
        "{}. Allowed is what the promise allows at the upper end of the measured false positive rate, which is not the rate \
         that a threshold was made for: only a true positive rate whose whole interval is above that speaks against the promise.",
        interval_words(evidence)
    )));
}

fn controls_table(controls: &[Control]) -> Block {
    let rows = controls.iter().enumerate().map(|(i, c)| {
        vec![
            c.control.clone().into(),
            Cell::figure(format!("/controls/{i}/runs"), words::grouped(c.runs)),
            Cell::figure(
                format!("/controls/{i}/epsilon_lower_bound"),
                words::at_least(c.epsilon_lower_bound),
            ),
            if c.found_out { "found out" } else { "missed" }.into(),
        ]
    });
    Block::Table(Table {
        caption: "Controls: broken on purpose, so that the attack has something to find",
        head: vec!["control", "trainings", "epsilon, at least", "attack"],
        rows: rows.collect(),
    })
}

fn bound_row(adversary: &str, bound: &LowerBound, pointer: String) -> Vec<Cell> {
    let interval = match bound.interval {
        Interval::ClopperPearson => "Clopper-Pearson",
        Interval::Betting => "betting",
    };
    vec![
        adversary.into(),
        format!("{}, {interval}", bound.theory.words()).into(),
        words::percent(bound.confidence).into(),
        Cell::figure(format!("{pointer}/epsilon"), words::at_least(bound.epsilon)),
    ]
}

/// Membership inference at low false positive rates, each beside what the claim allows at the rate that was *measured*.
fn low_rates(evidence: &AuditEvidence) -> Block {
    let mut rows = Vec::new();
    let mut of_claim = None;
    let interval =
        |low: f64, high: f64| -> Cell { format!("{} to {}", words::number(low), words::number(high)).into() };
    for (i, view) in evidence.views.iter().enumerate() {
        for (j, point) in view.low_fpr.iter().enumerate() {
            let at = |field: &str| format!("/attack/views/{i}/low_fpr/{j}/{field}");
            let stated = point.allowed.map(|allowed| allowed.high);
            let allowed = stated.unwrap_or_else(|| {
                let of_claim = of_claim.get_or_insert_with(|| Allowed::by(&evidence.claim));
                of_claim.true_positives(point.fpr.high)
            });
            rows.push(vec![
                view.view.adversary().into(),
                Cell::figure(at("fpr/estimate"), words::number(point.fpr.estimate)),
                interval(point.fpr.low, point.fpr.high),
                Cell::figure(at("tpr/estimate"), words::number(point.tpr.estimate)),
                interval(point.tpr.low, point.tpr.high),
                match stated {
                    Some(_) => Cell::figure(at("allowed/high"), words::number(allowed)),
                    None => words::number(allowed).into(),
                },
                standing(evidence, &point.errors(), allowed).into(),
            ]);
        }
    }
    Block::Table(Table {
        caption: "Recognized canaries at low false positive rates, beside what the promise allows there",
        head: vec![
            "adversary",
            "false positive rate, measured",
            "its interval",
            "true positive rate, measured",
            "its interval",
            "allowed, up to",
            "compared",
        ],
        rows,
    })
}

//! The first page, for readers who know no cryptography: what was promised, spent and left, whether the attack
//! contradicted it, and what to look at before signing.

use super::guarantee::STRICT_DELTA;
use super::hazards::Status;
use super::view::Cell;
use super::{Hazard, Report, Verdict, words};

/// The first page.
pub struct Front<'a> {
    /// What the report is about, in one line.
    pub subject: String,
    /// The four answers.
    pub answers: Vec<Answer>,
    /// What the promise means, in plain words.
    pub meaning: Vec<String>,
    /// The hazards that somebody has to decide on, the worst first.
    pub concerns: Vec<&'a Hazard>,
    /// How many hazards pass, warn, fail and were not assessed.
    pub tally: String,
}

/// One answer.
pub struct Answer {
    /// The question, in a word.
    pub name: &'static str,
    /// The figure.
    pub figure: Cell,
    /// What the figure is.
    pub words: String,
    /// How it is to be taken.
    pub status: Status,
    /// The share of the budget, for a bar.
    pub share: Option<f64>,
}

impl<'a> Front<'a> {
    pub fn of(report: &'a Report) -> Self {
        let mut concerns: Vec<&Hazard> =
            report.hazards.iter().filter(|h| h.status < Status::NotAssessed).collect();
        concerns.sort_by_key(|h| h.status);
        let count = |status: Status| report.hazards.iter().filter(|h| h.status == status).count();
        Self {
            subject: format!(
                "A text classifier's head, the small part that turns a text's numbers into a label, for {}, trained on the private \
                 records of the population {}",
                report.product.labels.join(" against "),
                report.dataset.population
            ),
            answers: answers(report),
            meaning: meaning(report),
            concerns,
            tally: format!(
                "Of {} hazards, {} pass, {} fail, {} need a decision and {} were not assessed.",
                report.hazards.len(),
                count(Status::Pass),
                count(Status::Fail),
                count(Status::Warn),
                count(Status::NotAssessed)
            ),
        }
    }
}

fn answers(report: &Report) -> Vec<Answer> {
    let (promise, budget) = (&report.guarantee, &report.budget);
    let share = budget.share_spent();
    let kept = report.accounted_epsilon <= report.target_epsilon * (1.0 + 1e-9);
    vec![
        Answer {
            name: "Promised",
            figure: Cell::figure("/target_epsilon", words::loss(report.target_epsilon)),
            words: format!(
                "epsilon for each {}, in this head, at a delta of {}: the promise may fail with a chance of {}{}",
                promise.noun(),
                words::small(promise.delta),
                words::one_in(promise.delta),
                promise.at_strict_delta().map_or_else(String::new, |(_, point)| format!(
                    ". At a delta of {} the same head has epsilon {}",
                    words::small(STRICT_DELTA),
                    words::loss(point.release_epsilon)
                ))
            ),
            status: if kept { Status::Pass } else { Status::Fail },
            share: None,
        },
        Answer {
            name: "Spent",
            figure: Cell::figure("/budget/epsilon_spent", words::loss(budget.epsilon_spent)),
            words: format!(
                "epsilon by {} on these people so far, of at most {}; the bar is the share of the budget, {}",
                words::count(budget.runs.len(), "run"),
                words::cap(budget.epsilon_cap),
                words::percent(share)
            ),
            status: if budget.epsilon_spent <= budget.epsilon_cap * (1.0 + 1e-9) {
                Status::Pass
            } else {
                Status::Fail
            },
            share: Some(share),
        },
        Answer {
            name: "Left",
            figure: budget.affordable(),
            words: format!("the largest epsilon that one more release can ask for. {}", budget.left_words()),
            status: Status::Pass,
            share: None,
        },
        attack(report),
    ]
}

fn attack(report: &Report) -> Answer {
    let bound = report.audited_epsilon_lower_bound;
    let found = bound.map_or_else(
        || "not run".into(),
        |b| Cell::figure("/audited_epsilon_lower_bound", words::at_least(b)),
    );
    let (words, status) = match report.verdict {
        Verdict::Falsified => {
            ("epsilon found by the attack, more than was promised: the promise is contradicted", Status::Fail)
        }
        Verdict::NotFalsified if super::attack::is_above_by_itself(report) => (
            "epsilon found by the attack at this confidence alone; at the verdict's, over all of its bounds, the promise is not \
             contradicted. A longer attack tells more",
            Status::Warn,
        ),
        Verdict::NotFalsified => (
            "epsilon found by the attack, not more than was promised: it did not contradict the promise",
            Status::Pass,
        ),
        Verdict::Inconclusive => (
            "epsilon found by an attack that was too short to find out its own controls: it says nothing either way. A longer \
             attack tells more",
            Status::Warn,
        ),
        Verdict::NotAssessed => ("nobody tried to contradict the promise: not assessed", Status::NotAssessed),
    };
    Answer { name: "Attack", figure: found, words: words.to_owned(), status, share: None }
}

fn meaning(report: &Report) -> Vec<String> {
    let promise = &report.guarantee;
    let noun = promise.noun();
    let mut meaning = vec![format!(
        "Whether or not any one {noun} was in the data, the head comes out in nearly the same way. Who reads the head cannot \
         be much surer than before that a certain {noun} was in."
    )];
    if let Some((_, bound)) = promise.recognized_at_one_percent() {
        meaning.push(format!(
            "In numbers: who is willing to suspect 1 in 100 wrongly recognizes at most {} in 100 of the {noun}s that were in. \
             By guessing it would be 1.",
            words::number((bound.max_true_positive_rate * 1e3).ceil() / 10.0)
        ));
    }
    meaning.push(if report.setting.flows.len() > 2 {
        "Texts and labels stay with the data owner. The model owner saw encrypted numbers only; its own layers stay with it. \
         Everyone may see the head."
            .to_owned()
    } else {
        "Texts and labels stay with the data owner, and nothing was sent to the model owner. Everyone may see the head."
            .to_owned()
    });
    meaning
}

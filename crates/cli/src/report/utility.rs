//! What the head is good for: measured on private records by a charged run, or on public data in its place.

use cryptotl_model::Digest;
use cryptotl_privacy::{Guarantee, Witness};
use cryptotl_trainer::validation::{Confusion, Estimate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::evidence::{BenchmarkRow, Evidence};
use super::hazards::Status;
use super::view::{Block, Cell, Section, Table};
use super::{Assessed, words};

/// The standard normal's quantile for a two-sided 95 % interval.
const NORMAL_95: f64 = 1.959_963_985;

/// The method of a benchmark that always says the most frequent label.
const MAJORITY: &str = "majority";

/// What is known of the head's accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Utility {
    /// On private records, as a charged run released it with DP noise; absent where that was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validated>,
    /// In a benchmark on data that was declared public: the rows of the head's inputs, and the baselines.
    pub rows: Vec<Measured>,
}

/// What `validate` released of this head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validated {
    /// SHA-256 of the file, which the ledger recorded as released.
    pub digest: String,
    /// The ledger entry that paid for it.
    pub witness_seq: u64,
    /// The hash of that entry.
    pub witness_hash: String,
    /// What it cost alone.
    pub epsilon: f64,
    /// The delta at which that epsilon is stated.
    pub delta: f64,
    /// The standard deviation of the DP noise in each cell of the confusion matrix.
    pub noise: f64,
    /// The share of units that are given their label; null where the DP noise drowns it.
    pub accuracy: Option<Share>,
    /// The share that would be right if everything were given the most frequent label; null likewise.
    pub majority: Option<Share>,
    /// Accuracy label by label.
    pub labels: Vec<LabelShare>,
}

/// A share with its 95 % interval, over the DP noise and the choice of the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The estimate.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Accuracy among the units of one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelShare {
    /// The label.
    pub label: String,
    /// The share of its units that are given it; null where the DP noise drowns it.
    pub accuracy: Option<Share>,
}

impl From<Estimate> for Share {
    fn from(Estimate { value, low, high }: Estimate) -> Self {
        Self { value, low, high }
    }
}

impl Share {
    fn words(&self) -> String {
        let Self { value, low, high } = self;
        format!("{} ({} to {})", words::number(*value), words::number(*low), words::number(*high))
    }
}

impl Validated {
    /// What a validation file with this digest says. The caller has checked it against head and ledger.
    pub fn of(
        confusion: &Confusion,
        labels: &[String],
        (guarantee, witness): (&Guarantee, &Witness),
        digest: Digest,
    ) -> Self {
        let label_share = |(i, label): (usize, &String)| LabelShare {
            label: label.clone(),
            accuracy: confusion.recall(i).map(Share::from),
        };
        Self {
            digest: digest.to_string(),
            witness_seq: witness.seq,
            witness_hash: witness.hash.to_string(),
            epsilon: guarantee.epsilon.get(),
            delta: guarantee.delta.get(),
            noise: confusion.noise,
            accuracy: confusion.accuracy().map(Share::from),
            majority: confusion.majority().map(Share::from),
            labels: labels.iter().enumerate().map(label_share).collect(),
        }
    }

    /// The same with what the run of its entry says.
    pub(super) fn paid_by(mut self, budget: &Budget) -> Self {
        if let Some(run) = budget.run(self.witness_seq) {
            self.digest = run.released.clone().unwrap_or_default();
            self.witness_hash.clone_from(&run.hash);
            (self.epsilon, self.delta) = (run.epsilon, run.delta);
        } else {
            // No run paid for it, and nothing that is stated of one is taken over.
            self.digest.clear();
            self.witness_hash.clear();
        }
        self
    }

    fn blocks(&self) -> Vec<Block> {
        let at = |field: &str| format!("/utility/validation/{field}");
        let row = |name: String, pointer: String, share: &Option<Share>| match share {
            Some(share) => vec![
                name.into(),
                Cell::figure(format!("{pointer}/value"), words::number(share.value)),
                format!("{} to {}", words::number(share.low), words::number(share.high)).into(),
            ],
            None => vec![name.into(), "not assessed".into(), "too few records for this much DP noise".into()],
        };
        let mut rows = vec![row("all labels".to_owned(), at("accuracy"), &self.accuracy)];
        rows.extend(self.labels.iter().enumerate().map(|(i, label)| {
            row(format!("of {}", label.label), at(&format!("labels/{i}/accuracy")), &label.accuracy)
        }));
        rows.push(row("the most frequent label, always".to_owned(), at("majority"), &self.majority));
        vec![
            Block::Table(Table {
                caption: "Accuracy of this head on private records, released by a charged run",
                head: vec!["units", "accuracy", "95 % interval"],
                rows,
            }),
            Block::Facts(vec![
                ("Paid by entry", Cell::figure(at("witness_seq"), self.witness_seq.to_string())),
                ("epsilon of that run alone", Cell::figure(at("epsilon"), words::loss(self.epsilon))),
                ("DP noise in a cell", Cell::figure(at("noise"), words::number(self.noise))),
                ("File, SHA-256", Cell::Code(self.digest.clone())),
            ]),
        ]
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The head's method, or that of a baseline.
    pub method: String,
    /// Which parts of a record it reads.
    pub inputs: String,
    /// Null where there is no privacy.
    pub epsilon: Option<f64>,
    /// Mean test accuracy.
    pub mean_accuracy: f64,
    /// Half the width of the 95 % interval of that mean over draws of the DP noise; null without draws.
    pub half_width: Option<f64>,
    /// How many draws.
    pub seeds: u64,
    /// Whether it is a head like the released one, at an epsilon that is not above its own.
    pub is_like_this_head: bool,
}

impl Utility {
    pub(super) fn new(evidence: &Evidence) -> Assessed<Self> {
        let Evidence { rows, validation, .. } = evidence;
        if rows.is_empty() && validation.is_none() {
            return Assessed::missing(
                "neither what `validate` released of this head (--validation) nor a benchmark on public data (--table) was \
                 given. Accuracy on private records is a release of its own, which `validate` pays for",
            );
        }
        Assessed::Assessed(Self { validation: validation.clone(), rows: rows.clone() })
    }
}

/// The rows of a table, those of its population, that say something of a head: those of its inputs, and the baselines.
pub fn rows(table: &[BenchmarkRow], evidence: &Evidence) -> Vec<Measured> {
    let table: Vec<&BenchmarkRow> =
        table.iter().filter(|row| row.target == evidence.dataset.population).collect();
    let inputs = evidence.product.inputs.as_str();
    // A table of the rule `auto` is one of the method that the rule chose.
    let method = evidence.product.method.as_str();
    let method = if table.iter().any(|row| row.method == method) { method } else { "auto" };
    let own = |row: &BenchmarkRow| row.method == method && row.inputs == inputs;
    let target = evidence.guarantee.epsilon.get();
    // The budgets of a table are round numbers, which a release meets up to rounding.
    let affordable = |row: &BenchmarkRow| row.epsilon.is_some_and(|e| e <= target * (1.0 + 1e-6));
    let like =
        table.iter().filter(|row| own(row) && affordable(row)).filter_map(|row| row.epsilon).reduce(f64::max);
    let shown = table.iter().filter(|row| row.inputs == inputs || row.epsilon.is_none());
    let rows = shown.map(|row| Measured {
        method: row.method.clone(),
        inputs: row.inputs.clone(),
        epsilon: row.epsilon,
        mean_accuracy: row.mean_accuracy,
        half_width: half_width(row.std, row.seeds),
        seeds: row.seeds,
        is_like_this_head: own(row) && row.epsilon.is_some() && row.epsilon == like,
    });
    rows.collect()
}

/// Whether the head is any good, and as good for one label as for the others, as far as there is evidence.
pub(super) fn judge(evidence: &Evidence) -> (Status, String) {
    match (&evidence.validation, &evidence.rows[..]) {
        (Some(validation), _) => judge_validation(validation),
        (None, []) => (
            Status::NotAssessed,
            "neither a validation on private records nor a benchmark on public data was given".to_owned(),
        ),
        (None, rows) => judge_rows(rows),
    }
}

fn judge_validation(validation: &Validated) -> (Status, String) {
    let (Some(accuracy), Some(majority)) = (&validation.accuracy, &validation.majority) else {
        let words = "a validation was paid for, and its DP noise drowns the accuracy";
        return (Status::NotAssessed, words.to_owned());
    };
    let against = format!(
        "accuracy {} on private records, and {} by always saying the most frequent label",
        accuracy.words(),
        words::number(majority.value)
    );
    if accuracy.value <= majority.value {
        return (Status::Warn, format!("{against}: the head is of no use as it is"));
    }
    // Guessing gives each of k labels to one in k of a label's units.
    let chance = 1.0 / validation.labels.len().max(1) as f64;
    let assessed = validation.labels.iter().filter_map(|own| Some((&own.label, own.accuracy.as_ref()?)));
    let worst = assessed.min_by(|a, b| a.1.value.total_cmp(&b.1.value));
    match worst {
        Some((label, share)) if share.high < chance => {
            (Status::Warn, format!("{against}; of {label} only {}, below guessing", share.words()))
        }
        Some((label, share)) => (
            Status::Pass,
            format!(
                "{against}; the least of a label is {} of {label}; other groups of people were not compared",
                share.words()
            ),
        ),
        None => (Status::NotAssessed, format!("{against}; the DP noise drowns each label's own")),
    }
}

fn judge_rows(rows: &[Measured]) -> (Status, String) {
    let like = rows.iter().find(|row| row.is_like_this_head);
    let floor = rows.iter().find(|row| row.method == MAJORITY);
    match (like, floor) {
        (Some(like), Some(floor)) if like.mean_accuracy <= floor.mean_accuracy => (
            Status::Warn,
            format!(
                "in a benchmark on public data, heads like this one reach {}, and always saying the most frequent label {}",
                words::number(like.mean_accuracy),
                words::number(floor.mean_accuracy)
            ),
        ),
        _ => (
            Status::NotAssessed,
            "mean accuracy was measured on public data; accuracy by group was not".to_owned(),
        ),
    }
}

pub(super) fn section(utility: &Assessed<Utility>) -> Section {
    let mut blocks = Vec::new();
    match utility.evidence() {
        Err(reason) => blocks.push(Block::NotAssessed(reason.to_owned())),
        Ok(utility) => {
            blocks.extend(utility.validation.iter().flat_map(Validated::blocks));
            benchmark(&utility.rows, &mut blocks);
        }
    }
    Section { id: "utility", title: "What the head is good for", blocks }
}

fn benchmark(rows: &[Measured], blocks: &mut Vec<Block>) {
    if rows.is_empty() {
        return;
    }
    let rows = rows.iter().enumerate().map(|(i, row)| {
        let at = |field: &str| format!("/utility/rows/{i}/{field}");
        vec![
            format!("{}{}", row.method, if row.is_like_this_head { " (like this head)" } else { "" }).into(),
            row.inputs.clone().into(),
            row.epsilon.map_or("none".into(), |e| Cell::figure(at("epsilon"), words::loss(e))),
            Cell::figure(at("mean_accuracy"), words::number(row.mean_accuracy)),
            row.half_width.map_or("".into(), |w| Cell::figure(at("half_width"), words::number(w))),
        ]
    });
    blocks.push(Block::Table(Table {
        caption: "Accuracy in a benchmark on data declared public",
        head: vec!["method", "reads", "epsilon", "accuracy", "+- (95 %)"],
        rows: rows.collect(),
    }));
    blocks.push(Block::Note(
                "Measured by `bench privacy` on data that was declared public: not on this head, and charged to no ledger. \
                 The interval is over draws of the DP noise; that of the test set's size comes on top. Rows without an \
                 epsilon have no privacy: floor and ceiling. Whether the head serves all groups of people equally well is \
                 not assessed."
                    .to_owned(),
            ));
}

/// Half the width of Student's 95 % interval of a mean, by the expansion of his quantile about the normal one
/// (Abramowitz and Stegun 1964, 26.7.5); within a hundredth from five draws on.
fn half_width(std: f64, seeds: u64) -> Option<f64> {
    if seeds < 5 {
        return None;
    }
    let (z, nu) = (NORMAL_95, (seeds - 1) as f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    let t = z + first / nu + second / nu.powi(2) + third / nu.powi(3);
    Some(t * std / (seeds as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // Quantiles from a table of Student's distribution.
        for (seeds, quantile) in [(5, 2.776), (10, 2.262), (20, 2.093), (121, 1.980)] {
            let t = half_width(1.0, seeds).unwrap() * (seeds as f64).sqrt();
            assert!((t - quantile).abs() < 1e-2, "{seeds}: {t}");
        }
        assert_eq!(half_width(1.0, 4), None);
    }
}

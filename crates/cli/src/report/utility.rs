//! What the head is good for, measured on public data in its place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::{BenchmarkRow, Evidence};
use super::view::{Block, Cell, Section, Table};
use super::{Assessed, words};

/// The standard normal's quantile for a two-sided 95 % interval.
const NORMAL_95: f64 = 1.959_963_985;

/// Accuracy in a benchmark on data that was declared public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Utility {
    /// The rows of the head's inputs, and the baselines.
    pub rows: Vec<Measured>,
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
        let Some(table) = &evidence.table else {
            return Assessed::missing(
                "no benchmark on public data was given; see --table. Accuracy on private records would be a release",
            );
        };
        let head = &evidence.head;
        let inputs = head.inputs().name();
        // A table of the rule `auto` is one of the method that the rule chose.
        let method = head.header.method.name();
        let method = if table.iter().any(|row| row.method == method) { method } else { "auto" };
        let own = |row: &&BenchmarkRow| row.method == method && row.inputs == inputs;
        let target = head.header.guarantee.epsilon.get();
        // The budgets of a table are round numbers, which a release meets up to rounding.
        let affordable = |row: &&BenchmarkRow| row.epsilon.is_some_and(|e| e <= target * (1.0 + 1e-6));
        let like = table.iter().filter(own).filter(affordable).filter_map(|row| row.epsilon).reduce(f64::max);
        let shown = table.iter().filter(|row| row.inputs == inputs || row.epsilon.is_none());
        let rows = shown.map(|row| Measured {
            method: row.method.clone(),
            inputs: row.inputs.clone(),
            epsilon: row.epsilon,
            mean_accuracy: row.mean_accuracy,
            half_width: half_width(row.std, row.seeds),
            seeds: row.seeds,
            is_like_this_head: own(&row) && row.epsilon.is_some() && row.epsilon == like,
        });
        Assessed::Assessed(Self { rows: rows.collect() })
    }
}

pub(super) fn section(utility: &Assessed<Utility>) -> Section {
    let mut blocks = Vec::new();
    match utility.evidence() {
        Err(reason) => blocks.push(Block::NotAssessed(reason.to_owned())),
        Ok(utility) => {
            let rows = utility.rows.iter().enumerate().map(|(i, row)| {
                let at = |field: &str| format!("/utility/rows/{i}/{field}");
                vec![
                    format!("{}{}", row.method, if row.is_like_this_head { " (like this head)" } else { "" })
                        .into(),
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
    }
    Section { id: "utility", title: "What the head is good for", blocks }
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

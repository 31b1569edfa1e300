//! What heads reached on public data under comparable terms: the only thing that can be said about accuracy for free.

use cryptotl_privacy::Epsilon;
use serde::{Deserialize, Serialize};

/// Written by `make bench-privacy`; `docs/benchmarks-privacy.md` says how.
const ROWS: &str = include_str!("accuracy.json");

/// The accuracy of `auto` in one cell of the public benchmark: three sentiment tasks with two labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Band {
    /// Private records.
    pub n: u64,
    /// The budget.
    pub epsilon: f64,
    /// Mean over the tasks.
    pub mean: f64,
    /// The lowest task's.
    pub low: f64,
    /// The highest task's.
    pub high: f64,
    /// The mean of the heads without any private data.
    pub zero_shot: f64,
}

impl Band {
    /// The cell of the largest size and budget that are not above these; `None` below the smallest.
    pub fn find(public_size: u64, epsilon: Epsilon) -> Option<Self> {
        rows()
            .into_iter()
            .filter(|row| row.n <= public_size && row.epsilon <= epsilon.get())
            .max_by(|a, b| a.n.cmp(&b.n).then(a.epsilon.total_cmp(&b.epsilon)))
    }
}

fn rows() -> Vec<Band> {
    serde_json::from_str(ROWS).expect("a test reads the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benchmark_covers_small_and_large_terms() {
        let rows = rows();
        assert!(rows.len() >= 20);
        for row in &rows {
            assert!(row.low <= row.mean && row.mean <= row.high, "{row:?}");
            assert!(row.low > 0.5 && row.high < 1.0 && row.epsilon > 0.0, "{row:?}");
        }
        let epsilon = |e| Epsilon::new(e).unwrap();
        assert_eq!(Band::find(10, epsilon(1.0)), None);
        assert_eq!(Band::find(1000, epsilon(0.01)), None);
        let found = Band::find(1_000_000, epsilon(1e6)).unwrap();
        assert!(rows.iter().all(|row| row.n <= found.n && row.epsilon <= found.epsilon));
        assert_eq!(Band::find(299, epsilon(1.5)).map(|row| (row.n, row.epsilon)), Some((100, 1.0)));
    }
}

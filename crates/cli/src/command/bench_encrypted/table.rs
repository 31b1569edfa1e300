//! The rows in words: a table on the terminal, tables in Markdown.

use std::fmt::{self, Write as _};

use cryptotl_encrypted::{Packing, Stage};
use serde::Serialize;

use super::Row;

/// All rows of a run.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Table(pub(super) Vec<Row>);

const ABOUT: &str = "\
# Benchmarks of encrypted evaluation

Written by `cryptotl bench encrypted --markdown docs/benchmarks.md`; do not edit. Everything was measured in one process, one job
after the other, on random Glorot-like weights in the paper's lower network, `width -> width -> width - 2`, and
standardized records clamped to 4.

*ms a record* is wall time of the whole job with both sides in it: keys, encryption, messages, evaluation, decryption.
*Server* is the model owner's part, from the bytes of the queries to those of the responses. *Ratio* is the paper's circuit
over that: convolution, dense, cubic, pooling and dense layer after layer on SEAL's evaluator, one thread, its fast
parameters (218 bits), weights encoded in each pass. It is compared with the server's part. Cells that would only repeat
another are left out: SEAL's feature-major blocks cost the same for any number of records, and record-major jobs
cost the same for each record. *Peak* is that of the process, with what earlier jobs left in the memory pools of SEAL and the allocator, and
so more than the job needs.
";

impl Table {
    /// The page `docs/benchmarks.md`.
    pub(super) fn markdown(&self) -> String {
        let mut page = ABOUT.to_owned();
        let mut widths: Vec<usize> = self.0.iter().map(|row| row.width).collect();
        widths.dedup();
        for width in widths {
            let rows: Vec<&Row> = self.0.iter().filter(|row| row.width == width).collect();
            // Writing to a string cannot fail.
            let _ = self.write_width(&mut page, width, &rows);
        }
        page
    }

    fn write_width(&self, page: &mut String, width: usize, rows: &[&Row]) -> fmt::Result {
        writeln!(page, "\n## Width {width}\n")?;
        if let Some(row) = rows.first() {
            writeln!(
                page,
                "The paper's circuit: {:.0} ms a record, rms error {:.1e}.\n",
                row.paper_server_ms, row.paper_rms_error
            )?;
        }
        page.push_str(
            "| packing | kernels | parameters | threads | records | ms a record | server | ratio | rms error | largest | up, kB a record | down | keys, MB | peak, MB |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in rows {
            let kilobytes = |bytes: u64| bytes as f64 / 1e3 / row.rows as f64;
            writeln!(
                page,
                "| {} | {} | `{}` | {} | {} | {} | {} | {} | {:.1e} | {:.1e} | {:.1} | {:.1} | {:.1} | {} |",
                row.packing,
                row.kernels,
                row.parameter_set,
                row.threads,
                row.rows,
                milliseconds(row.ms_per_record),
                milliseconds(row.server_ms_per_record),
                ratio(row.ratio_to_paper),
                row.rms_error,
                row.max_error,
                kilobytes(row.bytes_up),
                kilobytes(row.bytes_down),
                row.key_bytes as f64 / 1e6,
                row.peak_bytes.map_or("-".to_owned(), |bytes| (bytes / 1_000_000).to_string()),
            )?;
        }
        page.push_str(
            "\nStages of the feature-major job with the most records, in seconds. A stage includes the messages on the way to it.\n\n\
             | kernels | parameters | threads | encrypt, with keys | expand seeds | first layer | activation | second layer | decrypt |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let most = rows.iter().map(|row| row.rows).max();
        for row in rows.iter().filter(|row| row.packing == Packing::FeatureMajor && Some(row.rows) == most) {
            let seconds = |stage| {
                row.stages
                    .iter()
                    .find(|(s, _)| *s == stage)
                    .map_or("-".to_owned(), |(_, t)| format!("{t:.2}"))
            };
            let stages = [
                Stage::Encrypt,
                Stage::Expand,
                Stage::FirstLayer,
                Stage::Activation,
                Stage::SecondLayer,
                Stage::Decrypt,
            ];
            let cells = stages.map(seconds).join(" | ");
            writeln!(page, "| {} | `{}` | {} | {cells} |", row.kernels, row.parameter_set, row.threads)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>5} {:>6} {:13} {:7} {:16} {:>7} {:>10} {:>10} {:>7} {:>9} {:>7}",
            "width",
            "rows",
            "packing",
            "kernels",
            "parameters",
            "threads",
            "ms/record",
            "server",
            "ratio",
            "rms",
            "peak MB"
        )?;
        let lines = self.0.iter().map(|row| {
            format!(
                "{:>5} {:>6} {:13} {:7} {:16} {:>7} {:>10} {:>10} {:>7} {:>9.1e} {:>7}",
                row.width,
                row.rows,
                row.packing.to_string(),
                row.kernels.to_string(),
                row.parameter_set.to_string(),
                row.threads,
                milliseconds(row.ms_per_record),
                milliseconds(row.server_ms_per_record),
                ratio(row.ratio_to_paper),
                row.rms_error,
                row.peak_bytes.unwrap_or(0) / 1_000_000,
            )
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// Whole from 10 on.
fn ratio(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Three digits or more.
fn milliseconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use cryptotl_encrypted::{Kernels, ParameterSet};

    use super::*;

    #[test]
    fn the_page_has_a_table_for_each_width() {
        let row = |width, rows| Row {
            width,
            rows,
            packing: Packing::FeatureMajor,
            parameter_set: ParameterSet::N8192Q30x5P38,
            kernels: Kernels::Native,
            threads: 1,
            ms_per_record: 2.5,
            server_ms_per_record: 1.25,
            ratio_to_paper: 2000.0,
            max_error: 1e-4,
            rms_error: 1e-5,
            bytes_up: 4_096_000,
            bytes_down: 2_048_000,
            key_bytes: 1_000_000,
            peak_bytes: None,
            paper_server_ms: 2500.0,
            paper_rms_error: 2e-3,
            stages: vec![(Stage::Expand, 0.5)],
        };
        let page = Table(vec![row(384, 1), row(384, 4096), row(768, 4096)]).markdown();
        assert_eq!(page.matches("## Width").count(), 2);
        assert!(
            page.contains("| 4096 | 2.50 | 1.25 | 2000 | 1.0e-5 | 1.0e-4 | 1.0 | 0.5 | 1.0 | - |"),
            "{page}"
        );
        assert!(page.contains("| 1 | - | 0.50 | - |"), "{page}");
    }
}

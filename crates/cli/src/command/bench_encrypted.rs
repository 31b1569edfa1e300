//! `bench encrypted`: what encrypted evaluation takes, beside the paper's circuit on SEAL in the same process.

mod table;

use cryptotl_encrypted::benchmark::{Baseline, Case, baseline, measure};
use cryptotl_encrypted::{Kernels, Packing, ParameterSet, Stage};
use cryptotl_model::format::write_atomically;
use serde::Serialize;

use self::table::Table;
use crate::cli::BenchEncryptedArgs;
use crate::exit::{Code, Failure, Result};
use crate::kinds;
use crate::output::Output;
use crate::progress::Bar;

/// Record-major packing takes its time for each record: beyond these rows a cell only repeats the one before.
const RECORD_MAJOR_ROWS: [(Kernels, usize); 2] = [(Kernels::Native, 128), (Kernels::Seal, 16)];

/// One measured job. `ms_per_record` is the whole job with both sides, keys and messages; `ratio_to_paper` compares the
/// server's parts, one thread of the paper's circuit against this row's threads.
#[derive(Debug, Clone, Serialize)]
struct Row {
    width: usize,
    rows: usize,
    packing: Packing,
    parameter_set: ParameterSet,
    kernels: Kernels,
    threads: usize,
    ms_per_record: f64,
    server_ms_per_record: f64,
    ratio_to_paper: f64,
    max_error: f64,
    rms_error: f64,
    bytes_up: u64,
    bytes_down: u64,
    key_bytes: u64,
    /// The largest resident memory of the process during the job; null where the system does not tell.
    peak_bytes: Option<u64>,
    paper_server_ms: f64,
    paper_rms_error: f64,
    #[serde(skip)]
    stages: Vec<(Stage, f64)>,
}

/// Runs the verb.
pub fn run(args: BenchEncryptedArgs, output: &Output) -> Result<()> {
    let to = args.output.as_ref().map(|path| output.file(path, kinds::ENCRYPTED_TABLE)).transpose()?;
    let page = args.markdown.as_ref().map(|path| output.file(path, kinds::BENCHMARK_PAGE)).transpose()?;
    let cells = cells(&args);
    if cells.is_empty() || args.rows.contains(&0) || args.threads.contains(&0) {
        return Err(Failure::new(
            Code::Usage,
            "there is nothing to run; give widths, rows and threads above 0",
        ));
    }
    let bar = Bar::new("benchmark");
    let mut rows = Vec::new();
    let mut paper: Option<(usize, Baseline)> = None;
    for (done, (case, threads)) in cells.iter().enumerate() {
        bar.show(done, cells.len());
        let reference = match paper {
            Some((width, measured)) if width == case.width => measured,
            _ => baseline(case.width)?,
        };
        paper = Some((case.width, reference));
        rows.push(row(*case, *threads, reference)?);
    }
    drop(bar);
    let table = Table(rows);
    if let Some(to) = &to {
        write_atomically(to, &serde_json::to_vec_pretty(&table).map_err(|e| Failure::new(Code::Bug, e))?)?;
    }
    if let Some(to) = &page {
        write_atomically(to, table.markdown().as_bytes())?;
    }
    output.result(&table)
}

/// The cells of the grid, by width. Unless every cell is asked for, those are left out that would only repeat another: SEAL's
/// feature-major blocks, which take the same time however full, but for the largest number of rows, and
/// record-major jobs of many records.
fn cells(args: &BenchEncryptedArgs) -> Vec<(Case, usize)> {
    let most = args.rows.iter().copied().max().unwrap_or(0);
    let mut cells = Vec::new();
    for &width in &args.widths {
        for &parameter_set in &args.parameter_sets {
            for &threads in &args.threads {
                for &kernels in &args.kernels {
                    for packing in [Packing::RecordMajor, Packing::FeatureMajor] {
                        for &rows in &args.rows {
                            let case = Case { width, rows, packing, parameter_set, kernels };
                            if args.every_cell || tells_something(case, most) {
                                cells.push((case, threads));
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

fn tells_something(case: Case, most: usize) -> bool {
    match case.packing {
        Packing::RecordMajor => {
            RECORD_MAJOR_ROWS.iter().any(|(kernels, limit)| *kernels == case.kernels && case.rows <= *limit)
        }
        _ => case.kernels == Kernels::Native || case.rows == most,
    }
}

fn row(case: Case, threads: usize, paper: Baseline) -> Result<Row> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool =
        pool.map_err(|e| Failure::failed(format!("cannot start {threads} threads: {e}"), "use fewer"))?;
    peak_memory::reset();
    let measured = pool.install(|| measure(case))?;
    let peak_bytes = peak_memory::read();
    let ms = 1e3 / case.rows as f64;
    Ok(Row {
        width: case.width,
        rows: case.rows,
        packing: case.packing,
        parameter_set: case.parameter_set,
        kernels: case.kernels,
        threads,
        ms_per_record: measured.seconds * ms,
        server_ms_per_record: measured.server_seconds * ms,
        ratio_to_paper: paper.server_seconds * 1e3 / (measured.server_seconds * ms),
        max_error: measured.max_error,
        rms_error: measured.rms_error,
        bytes_up: measured.bytes_up,
        bytes_down: measured.bytes_down,
        key_bytes: measured.key_bytes,
        peak_bytes,
        paper_server_ms: paper.server_seconds * 1e3,
        paper_rms_error: paper.rms_error,
        stages: measured.stages,
    })
}

/// The largest resident memory of this process, as Linux counts it.
mod peak_memory {
    /// Starts again from what is resident now.
    pub(super) fn reset() {
        // Where this cannot be done, the peak is that of the whole run.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }

    pub(super) fn read() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }
}

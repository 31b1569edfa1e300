//! What `cryptotl bench encrypted` measures: whole jobs on the paper's lower network with random weights, and the
//! paper's circuit beside them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cryptotl_model::Network;
use ndarray::{Array2, ArrayView2, s};
use serde::Serialize;

use crate::baseline::PaperCircuit;
use crate::error::Result;
use crate::extract::extract_in_process;
use crate::kernels::Kernels;
use crate::params::{Packing, ParameterSet};
use crate::plan::{EvaluationPlan, InputBound};
use crate::progress::Stage;
use crate::testkit;

/// Records are standardized and clamped to this.
const BOUND: f64 = 4.0;
/// The smallest of so many runs counts for the paper's circuit.
const BASELINE_RUNS: usize = 3;

/// One job to measure.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The network is `width -> width -> width - 2`.
    pub width: usize,
    /// How many records.
    pub rows: usize,
    /// The layout.
    pub packing: Packing,
    /// The parameters.
    pub parameter_set: ParameterSet,
    /// Who evaluates.
    pub kernels: Kernels,
}

/// What a job took. Times are wall time on rayon's current thread pool.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The whole job, both sides, keys and messages included.
    pub seconds: f64,
    /// From the bytes of the queries to those of the responses.
    pub server_seconds: f64,
    /// The largest difference from the network in the clear.
    pub max_error: f64,
    /// Its root mean square.
    pub rms_error: f64,
    /// Bytes of all queries.
    pub bytes_up: u64,
    /// Bytes of all responses.
    pub bytes_down: u64,
    /// Bytes of the evaluation keys.
    pub key_bytes: u64,
    /// Seconds until the last report of each stage since the last one of the stage before, by [`Stage`] in order. A
    /// stage includes the messages on the way to it.
    #[serde(skip)]
    pub stages: Vec<(Stage, f64)>,
}

/// What the paper's circuit took for one record.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// The server's part, on one thread.
    pub server_seconds: f64,
    /// The root mean square difference from the network in the clear.
    pub rms_error: f64,
}

/// Measures one job.
///
/// # Errors
/// Those of [`EvaluationPlan::compile`] and [`extract_in_process`].
pub fn measure(case: Case) -> Result<Measured> {
    let network = network(case.width)?;
    let records = testkit::records(case.rows, case.width, BOUND, 12);
    let bound = InputBound::new(BOUND)?;
    let plan = EvaluationPlan::compile(&network, case.parameter_set, case.packing, bound)?;
    let clock = Mutex::new((Instant::now(), BTreeMap::<usize, (Stage, f64)>::new()));
    let done = extract_in_process(&plan, case.kernels, records.view(), &|progress| {
        let (last, stages) = &mut *clock.lock().unwrap_or_else(PoisonError::into_inner);
        stages.entry(progress.stage as usize).or_insert((progress.stage, 0.0)).1 +=
            last.elapsed().as_secs_f64();
        *last = Instant::now();
    })?;
    let (max_error, rms_error) = errors(done.features.view(), network.forward(records.view())?);
    let (_, stages) = clock.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Measured {
        seconds: done.seconds,
        server_seconds: done.server_seconds,
        max_error,
        rms_error,
        bytes_up: done.bytes_up,
        bytes_down: done.bytes_down,
        key_bytes: done.key_bytes,
        stages: stages.into_values().collect(),
    })
}

/// Measures the paper's circuit, as published, on the same network and records.
///
/// # Errors
/// Those of [`PaperCircuit`].
pub fn baseline(width: usize) -> Result<Baseline> {
    let network = network(width)?;
    let records = testkit::records(BASELINE_RUNS, width, BOUND, 12);
    let circuit = PaperCircuit::new(&network)?;
    let mut features = Array2::zeros((BASELINE_RUNS, network.output_width()));
    let mut server_seconds = f64::INFINITY;
    for (i, record) in records.rows().into_iter().enumerate() {
        let (row, elapsed) = circuit.run(record)?;
        features.slice_mut(s![i, ..]).assign(&ndarray::aview1(&row));
        server_seconds = server_seconds.min(elapsed.as_secs_f64());
    }
    let (_, rms_error) = errors(features.view(), network.forward(records.view())?);
    Ok(Baseline { server_seconds, rms_error })
}

fn network(width: usize) -> Result<Network> {
    Ok(Network::new(width, testkit::paper_layers(width, 11))?)
}

/// The largest and the root mean square difference.
fn errors(features: ArrayView2<f64>, reference: Array2<f64>) -> (f64, f64) {
    let difference = &features - &reference;
    let max = difference.iter().fold(0.0f64, |max, d| max.max(d.abs()));
    let squares: f64 = difference.iter().map(|d| d * d).sum();
    (max, (squares / difference.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_job_is_measured() {
        let case = Case {
            width: 16,
            rows: 3,
            packing: Packing::FeatureMajor,
            parameter_set: ParameterSet::N8192Q30x5P38,
            kernels: Kernels::Native,
        };
        let measured = measure(case).unwrap();
        assert!(measured.max_error < 1e-3 && measured.rms_error <= measured.max_error);
        assert!(measured.server_seconds > 0.0 && measured.server_seconds < measured.seconds);
        assert!(measured.stages.len() > 4 && measured.bytes_up > 0 && measured.key_bytes > 0);
        let paper = baseline(16).unwrap();
        assert!(paper.server_seconds > 0.0 && paper.rms_error > measured.rms_error);
    }
}

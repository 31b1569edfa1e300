//! What a job will take on this machine, and so which packing serves it best.
//!
//! Bytes are read off the plan. Seconds come from a short measurement, with real keys and the native kernels on
//! rayon's current threads:
//!
//! * *feature-major*: a block costs `inputs (encrypt + expand) + units activate + outputs decrypt` ciphertexts, each timed on a
//!   small network with the same parameters, and two matrix products, timed on a few columns of the real matrices;
//! * *record-major*: the plan itself on a few records.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use cryptotl_model::{Layer, Network, Polynomial};
use ndarray::{Array1, Array2};
use serde::Serialize;

use crate::client::Client;
use crate::error::Result;
use crate::gemm::IntegerMatrix;
use crate::message::{EvaluationKeys, Query, Response};
use crate::params::{Packing, ParameterSet};
use crate::plan::fold::Core;
use crate::plan::levels::FeatureMajor;
use crate::plan::{Body, EvaluationPlan, InputBound};
use crate::progress::Stage;
use crate::residues::{COLUMNS, ResidueMatrix};
use crate::server::Server;

/// The width of the small network: enough ciphertexts for the threads to share.
const PROBE: usize = 64;
/// Each time is the smallest of so many.
const REPEATS: usize = 2;

/// What a job is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The packing.
    pub packing: Packing,
    /// Computation of both parties, key generation included.
    pub seconds: f64,
    /// All bytes over the link, if its speed is known; else 0.
    pub transfer_seconds: f64,
    /// Bytes of all queries.
    pub bytes_up: u64,
    /// Bytes of all responses.
    pub bytes_down: u64,
    /// Bytes of the evaluation keys.
    pub key_bytes: u64,
    /// Memory of the server for what it holds at a time, about.
    pub peak_bytes: u64,
}

impl Estimate {
    /// Computation and transfer, one after the other.
    pub fn total_seconds(&self) -> f64 {
        self.seconds + self.transfer_seconds
    }
}

/// A plan that was chosen, and why.
#[derive(Debug)]
pub struct Choice {
    /// The plan.
    pub plan: EvaluationPlan,
    /// What each packing that can carry the network would take, the chosen one first.
    pub estimates: Vec<Estimate>,
    /// What decided.
    pub reason: String,
}

/// Measures each packing among `packings` and chooses the one that takes less time for `rows` records, over a link of
/// `link_mbps` megabits a second if given.
///
/// # Errors
/// That of compiling when no packing can carry the network.
pub fn choose(
    network: &Network,
    set: ParameterSet,
    bound: InputBound,
    packings: &[Packing],
    rows: usize,
    link_mbps: Option<f64>,
) -> Result<Choice> {
    let (mut candidates, mut refused) = (Vec::new(), None);
    for packing in packings {
        match EvaluationPlan::compile(network, set, *packing, bound) {
            Ok(plan) => {
                let estimate = Pace::measure(&plan)?.estimate(&plan, rows, link_mbps);
                candidates.push((plan, estimate));
            }
            Err(error) => refused = Some((*packing, error)),
        }
    }
    let (candidates, estimates) = in_order(candidates);
    let reason = match (estimates.as_slice(), &refused) {
        ([best, other, ..], _) => format!(
            "{} packing takes {:.2} s for {rows} records, {} {:.2} s",
            best.packing,
            best.total_seconds(),
            other.packing,
            other.total_seconds()
        ),
        ([best], Some((packing, error))) => {
            format!("{} packing, because {packing} cannot: {error}", best.packing)
        }
        _ => "the only packing that was asked for".to_owned(),
    };
    match (candidates.into_iter().next(), refused) {
        (Some(plan), _) => Ok(Choice { plan, estimates, reason }),
        (None, Some((_, error))) => Err(error),
        (None, None) => Err(crate::EncryptedError::input("no packing was asked for", "name one")),
    }
}

/// Plans and their estimates, the quickest first.
fn in_order(mut candidates: Vec<(EvaluationPlan, Estimate)>) -> (Vec<EvaluationPlan>, Vec<Estimate>) {
    candidates.sort_by(|(_, a), (_, b)| a.total_seconds().total_cmp(&b.total_seconds()));
    candidates.into_iter().unzip()
}

/// Seconds that a plan takes on this machine.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Once a job: keys.
    once: f64,
    /// For each block of feature-major packing, for each record of record-major packing.
    each: f64,
}

impl Pace {
    fn measure(plan: &EvaluationPlan) -> Result<Self> {
        match plan.body() {
            Body::FeatureMajor(integers) => Self::by_feature(plan, integers),
            Body::RecordMajor(_) => {
                let n = 2 * rayon::current_num_threads();
                let (once, parts) = run(plan, n)?;
                Ok(Self { once, each: parts.values().sum::<f64>() / n as f64 })
            }
        }
    }

    fn by_feature(plan: &EvaluationPlan, integers: &FeatureMajor) -> Result<Self> {
        let contract = plan.contract();
        let set = contract.parameter_set();
        let probe = probe(plan.core())?;
        let probe = EvaluationPlan::compile(&probe, set, Packing::FeatureMajor, contract.input_bound())?;
        let (once, parts) = run(&probe, 1)?;
        let a_ciphertext = |stage: Stage| parts.get(&stage).copied().unwrap_or(0.0) / PROBE as f64;
        let inputs =
            contract.input_width() as f64 * (a_ciphertext(Stage::Encrypt) + a_ciphertext(Stage::Expand));
        let units = integers.first.rows() as f64 * a_ciphertext(Stage::Activation);
        let outputs = contract.output_width() as f64 * a_ciphertext(Stage::Decrypt);
        let layers = product(&integers.first, set, contract.input_level())
            + product(&integers.second, set, contract.output_level());
        Ok(Self { once, each: inputs + units + outputs + layers })
    }

    fn estimate(&self, plan: &EvaluationPlan, rows: usize, link_mbps: Option<f64>) -> Estimate {
        let (contract, cost) = (plan.contract(), plan.cost(rows));
        let repeats = match contract.packing() {
            Packing::FeatureMajor => rows.div_ceil(contract.block_rows()),
            Packing::RecordMajor => rows,
        };
        let bytes = cost.bytes_up + cost.bytes_down + cost.key_bytes;
        Estimate {
            packing: contract.packing(),
            seconds: self.once + repeats as f64 * self.each,
            transfer_seconds: link_mbps.map_or(0.0, |mbps| 8.0 * bytes as f64 / (mbps * 1e6)),
            bytes_up: cost.bytes_up,
            bytes_down: cost.bytes_down,
            key_bytes: cost.key_bytes,
            peak_bytes: peak_bytes(plan),
        }
    }
}

/// What the server holds at a time.
fn peak_bytes(plan: &EvaluationPlan) -> u64 {
    let contract = plan.contract();
    let n = contract.parameter_set().degree();
    // Residues of one polynomial, 4 bytes each.
    let polynomial = |level: usize| (4 * level * n) as u64;
    let [input, output] = [contract.input_level(), contract.output_level()].map(polynomial);
    match plan.body() {
        Body::FeatureMajor(integers) => {
            // The parsed query, both matrices of ciphertexts, the response.
            let inputs = contract.input_width() as u64 * 3 * input;
            inputs + (integers.first.rows() + contract.output_width()) as u64 * 2 * output
        }
        Body::RecordMajor(_) => {
            // The keys in full words instead of packed halves, and each residue of a diagonal in 4 bytes.
            4 * plan.cost(1).key_bytes + 4 * plan.cost(1).multiply_accumulates
        }
    }
}

/// A whole job of `rows` records: seconds before the first record, and of each stage, messages included.
fn run(plan: &EvaluationPlan, rows: usize) -> Result<(f64, HashMap<Stage, f64>)> {
    let contract = plan.contract();
    let start = Instant::now();
    let (client, keys) = Client::generate(contract)?;
    let server = Server::new(plan, &EvaluationKeys::from_bytes(contract, &keys.to_bytes())?)?;
    let once = start.elapsed().as_secs_f64();
    let records = Array2::from_shape_fn((rows, contract.input_width()), |(i, j)| {
        contract.input_bound().max_abs().min(1.0) * (0.7 * (i + 3 * j) as f64).sin()
    });
    let mut best: HashMap<Stage, f64> = HashMap::new();
    for _ in 0..REPEATS {
        let stages = Mutex::new((Instant::now(), HashMap::<Stage, f64>::new()));
        // The time since the last report belongs to the stage that reports.
        let report = |stage: Stage| {
            let mut stages = stages.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let elapsed = stages.0.elapsed().as_secs_f64();
            stages.0 = Instant::now();
            *stages.1.entry(stage).or_default() += elapsed;
        };
        let query = client.encrypt(records.view())?;
        let query = Query::from_bytes(contract, &query.to_bytes())?;
        report(Stage::Encrypt);
        let response = server.evaluate(&query, &|progress| report(progress.stage))?;
        let response = Response::from_bytes(contract, &response.to_bytes())?;
        client.decrypt(&response, &query.request())?;
        report(Stage::Decrypt);
        let (_, stages) = stages.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (stage, seconds) in stages {
            let entry = best.entry(stage).or_insert(f64::INFINITY);
            *entry = entry.min(seconds);
        }
    }
    Ok((once, best))
}

/// The small network whose ciphertexts are timed, with an activation of the same degree.
fn probe(core: Core) -> Result<Network> {
    let polynomial = match core {
        Core::Square => Polynomial::new(vec![0.0, 0.0, 1.0])?,
        Core::Cube { .. } => Polynomial::cubic_relu(),
    };
    let dense = || Layer::Dense {
        weight: Array2::from_shape_fn((PROBE, PROBE), |(i, j)| 0.1 * (1.3 * (i * PROBE + j) as f64).sin()),
        bias: Array1::zeros(PROBE),
    };
    Ok(Network::new(PROBE, vec![dense(), Layer::Activation(polynomial), dense()])?)
}

/// Seconds of one layer of a block, from two blocks of columns a thread.
fn product(weights: &IntegerMatrix, set: ParameterSet, level: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let bias = vec![0; weights.rows()];
    let best = (0..REPEATS).map(|_| {
        let mut matrix = ResidueMatrix::zeros(weights.columns(), threads * COLUMNS, &set.data_primes()[..1]);
        let start = Instant::now();
        matrix.apply(weights, &bias, &|_| ());
        start.elapsed().as_secs_f64() / matrix.n_blocks() as f64
    });
    best.fold(f64::INFINITY, f64::min) * (2 * level * set.degree() / COLUMNS) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kernels, extract_in_process, testkit};

    const BOTH: [Packing; 2] = [Packing::FeatureMajor, Packing::RecordMajor];

    fn chosen(width: usize, packings: &[Packing], rows: usize, link_mbps: Option<f64>) -> Choice {
        let network = Network::new(width, testkit::paper_layers(width, 11)).unwrap();
        let bound = InputBound::new(4.0).unwrap();
        choose(&network, ParameterSet::default(), bound, packings, rows, link_mbps).unwrap()
    }

    #[test]
    fn one_record_goes_by_record_and_thousands_by_feature() {
        // Paces as measured at width 768, so that the choice does not depend on what else this machine does.
        let paces = [
            (Packing::FeatureMajor, Pace { once: 0.1, each: 9.0 }),
            (Packing::RecordMajor, Pace { once: 1.3, each: 0.05 }),
        ];
        let network = Network::new(24, testkit::paper_layers(24, 11)).unwrap();
        let bound = InputBound::new(4.0).unwrap();
        let first = |rows: usize| {
            let candidates = paces.map(|(packing, pace)| {
                let plan =
                    EvaluationPlan::compile(&network, ParameterSet::default(), packing, bound).unwrap();
                let estimate = pace.estimate(&plan, rows, None);
                (plan, estimate)
            });
            let (_, estimates) = in_order(candidates.into());
            estimates[0].packing
        };
        assert_eq!(first(1), Packing::RecordMajor);
        assert_eq!(first(100), Packing::RecordMajor);
        assert_eq!(first(1000), Packing::FeatureMajor);
        // A second block costs as much as the first, whatever it holds.
        assert_eq!(first(4096), Packing::FeatureMajor);
    }

    #[test]
    fn the_reason_names_both_packings() {
        let choice = chosen(24, &BOTH, 1, None);
        assert!(choice.reason.contains("record-major") && choice.reason.contains("feature-major"));
        assert_eq!(choice.estimates.len(), 2);
        assert_eq!(choice.plan.contract().packing(), choice.estimates[0].packing);
        assert!(choice.estimates[0].total_seconds() <= choice.estimates[1].total_seconds());
    }

    #[test]
    fn a_link_adds_its_time_and_bytes_are_exact() {
        let choice = chosen(24, &[Packing::FeatureMajor], 100, Some(8.0));
        let [estimate] = choice.estimates[..] else { panic!("one packing was asked for") };
        let cost = choice.plan.cost(100);
        assert_eq!(
            (estimate.bytes_up, estimate.bytes_down, estimate.key_bytes),
            (cost.bytes_up, cost.bytes_down, cost.key_bytes)
        );
        let megabytes = (cost.bytes_up + cost.bytes_down + cost.key_bytes) as f64 / 1e6;
        assert!((estimate.transfer_seconds - megabytes).abs() < 1e-9);
    }

    #[test]
    #[ignore = "a measurement, for a machine that does nothing else"]
    fn estimates_are_near_what_is_measured() {
        for (packing, rows) in [(Packing::FeatureMajor, 500), (Packing::RecordMajor, 40)] {
            let choice = chosen(192, &[packing], rows, None);
            let records = testkit::records(rows, 192, 4.0, 3);
            let job = || extract_in_process(&choice.plan, Kernels::default(), records.view(), &|_| ());
            let measured = (0..2).map(|_| job().unwrap().seconds).fold(f64::INFINITY, f64::min);
            let ratio = choice.estimates[0].seconds / measured;
            println!("{packing}: estimated {:.2} s, measured {measured:.2} s", choice.estimates[0].seconds);
            assert!((1.0 / 1.5..1.5).contains(&ratio), "{packing}: {ratio}");
        }
    }
}

//! Times one record in record-major packing against the paper's circuit, in the same process:
//! `RAYON_NUM_THREADS=1 cargo run --release -p cryptotl-encrypted --example latency -- WIDTH BOUND PARAMETER_SET KERNELS`,
//! all optional. Times are of the server's part, the smallest of several runs, in CPU time of the process.

use std::time::{Duration, Instant};

use cryptotl_encrypted::{
    Client, EvaluationPlan, InputBound, Kernels, Packing, PaperCircuit, ParameterSet, Server,
};
use cryptotl_model::Network;

#[allow(dead_code)]
#[path = "../src/testkit.rs"]
mod testkit;

/// Runs of each circuit.
const RUNS: [usize; 2] = [20, 3];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |place: usize, default: &str| std::env::args().nth(place).unwrap_or(default.into());
    let (width, bound): (usize, f64) = (argument(1, "768").parse()?, argument(2, "4").parse()?);
    let set: ParameterSet = argument(3, "n8192-q30x5-p38").parse()?;
    let kernels: Kernels = argument(4, "native").parse()?;
    let network = Network::new(width, testkit::paper_layers(width, 11))?;
    let plan = EvaluationPlan::compile(&network, set, Packing::RecordMajor, InputBound::new(bound)?)?;
    println!("{plan}");
    let (client, keys) = Client::generate(plan.contract())?;
    let start = Instant::now();
    let server = Server::with_kernels(&plan, &keys, kernels)?;
    println!("model encoded and keys taken in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let again = Server::with_kernels(&plan, &keys, kernels)?;
    println!("keys of another job taken in {:.2} s", start.elapsed().as_secs_f64());
    drop(again);

    let records = testkit::records(RUNS[0], width, bound, 12);
    let reference = network.forward(records.view())?;
    let (mut own, mut wall) = (Vec::new(), Vec::new());
    let (mut squares, mut worst) = (0.0, 0.0f64);
    for record in 0..RUNS[0] {
        let row = records.slice(ndarray::s![record..=record, ..]);
        let query = client.encrypt(row)?;
        let (start, cpu) = (Instant::now(), cpu_time());
        let response = server.evaluate(&query, &|_| ())?;
        own.push(cpu_time() - cpu);
        wall.push(start.elapsed());
        let features = client.decrypt(&response, &query.request())?;
        for (feature, expected) in features.row(0).iter().zip(reference.row(record)) {
            squares += (feature - expected).powi(2);
            worst = worst.max((feature - expected).abs());
        }
    }
    let best = |times: &[Duration]| times.iter().min().map_or(f64::NAN, |t| t.as_secs_f64() * 1e3);
    println!(
        "{kernels}: {:.1} ms CPU, {:.1} ms wall a record; error max {worst:.1e}, rms {:.1e}",
        best(&own),
        best(&wall),
        (squares / reference.len() as f64).sqrt()
    );

    let paper = PaperCircuit::new(&network)?;
    let (mut times, mut squares) = (Vec::new(), 0.0);
    for record in 0..RUNS[1] {
        let cpu = cpu_time();
        let (features, _) = paper.run(records.row(record))?;
        times.push(cpu_time() - cpu);
        squares += features.iter().zip(reference.row(record)).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    }
    let rms = (squares / (RUNS[1] * reference.ncols()) as f64).sqrt();
    println!(
        "paper: {:.1} ms CPU a record (client's part included); rms error {rms:.1e}; ratio {:.1}",
        best(&times),
        best(&times) / best(&own)
    );
    Ok(())
}

/// CPU time of this process so far, from `/proc`.
fn cpu_time() -> Duration {
    // Nanoseconds on the CPU, first field, of each thread.
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

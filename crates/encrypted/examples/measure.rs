//! Measures one job on the paper's lower network:
//! `cargo run --release -p cryptotl-encrypted --example measure -- WIDTH ROWS BOUND PARAMETER_SET KERNELS`,
//! all optional.
//! `RAYON_NUM_THREADS` sets the number of threads.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use cryptotl_encrypted::{EvaluationPlan, InputBound, Kernels, Packing, ParameterSet, extract_in_process};
use cryptotl_model::Network;

#[allow(dead_code)]
#[path = "../src/testkit.rs"]
mod testkit;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |place: usize, default: &str| std::env::args().nth(place).unwrap_or(default.into());
    let (width, rows): (usize, usize) = (argument(1, "384").parse()?, argument(2, "4096").parse()?);
    let (bound, set): (f64, ParameterSet) =
        (argument(3, "4").parse()?, argument(4, "n8192-q30x5-p38").parse()?);
    let kernels: Kernels = argument(5, "native").parse()?;
    let network = Network::new(width, testkit::paper_layers(width, 11))?;
    let records = testkit::records(rows, width, bound, 12);
    let start = Instant::now();
    let plan = EvaluationPlan::compile(&network, set, Packing::default(), InputBound::new(bound)?)?;
    println!("{plan}\ncompiled in {:.2} s", start.elapsed().as_secs_f64());

    // Time between the last report of a stage and the last report of the one before.
    let last = Mutex::new((Instant::now(), BTreeMap::<String, f64>::new()));
    let extraction = extract_in_process(&plan, kernels, records.view(), &|progress| {
        let mut guard = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let elapsed = guard.0.elapsed().as_secs_f64();
        guard.0 = Instant::now();
        *guard.1.entry(format!("{} {:?}", progress.stage as usize, progress.stage)).or_default() += elapsed;
    })?;
    for (stage, seconds) in &last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).1 {
        println!("{stage:<14} {seconds:8.3} s");
    }
    let reference = network.forward(records.view())?;
    let rms = |values: &ndarray::Array2<f64>| {
        (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
    };
    let difference = &extraction.features - &reference;
    let max = difference.iter().fold(0.0f64, |max, d| max.max(d.abs()));
    println!(
        "total {:.2} s; up {}, down {}, keys {} bytes; features rms {:.3}; error max {max:.2e}, rms {:.2e}",
        extraction.seconds,
        extraction.bytes_up,
        extraction.bytes_down,
        extraction.key_bytes,
        rms(&reference),
        rms(&difference)
    );
    println!("{:?} over the other records of a block", plan.record_coupling(rows));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}

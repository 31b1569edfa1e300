//! `evaluate`: the model owner computes encrypted features of encrypted embeddings.

use std::fmt;
use std::time::Instant;

use cryptotl_encrypted::{EvaluationKeys, EvaluationPlan, FileKind, PlanFile, QueryFile, Server};
use cryptotl_model::{LowerModel, OutputFile};
use serde::Serialize;

use super::extract::step_name;
use crate::cli::EvaluateArgs;
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
struct Evaluated {
    job: String,
    rows: usize,
    blocks: usize,
    seconds: f64,
    ms_per_record: f64,
    bytes_down: usize,
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, rows, blocks, seconds, ms_per_record, bytes_down } = self;
        writeln!(f, "evaluated {rows} records in {seconds:.2} s, {ms_per_record:.2} ms a record")?;
        let mb = *bytes_down as f64 / 1e6;
        write!(f, "job {job}: {blocks} blocks, {mb:.1} MB for the data owner")
    }
}

/// Runs the verb.
pub fn run(args: EvaluateArgs, output: &Output) -> Result<()> {
    let mut file = OutputFile::create(&output.file(&args.response, FileKind::Response.output())?)?;
    let contract = PlanFile::read(&args.plan)?.contract;
    let (lower, _) = LowerModel::read(&args.model)?;
    let (set, packing, bound) = (contract.parameter_set(), contract.packing(), contract.input_bound());
    let plan = EvaluationPlan::compile(&lower.network, set, packing, bound)?;
    if *plan.contract() != contract {
        return Err(Failure::failed(
            format!("{} is not a plan of the model {}", args.plan.display(), args.model.display()),
            "give the model that the plan was made from, or make the plan again with `cryptotl plan`",
        ));
    }
    let keys = EvaluationKeys::read(&contract, &args.keys)?;
    let server = Server::with_kernels(&plan, &keys, args.kernels)?;

    let start = Instant::now();
    let bar = Bar::new("expanding");
    let (mut rows, mut blocks, mut bytes_down) = (0, 0, 0);
    for query in QueryFile::open(&contract, keys.job(), &args.query)? {
        let query = query?;
        let response = server.evaluate(&query, &|p| bar.show_step(step_name(p.stage), p.done, p.total))?;
        let bytes = response.to_bytes();
        file.write(&bytes)?;
        rows += query.rows();
        blocks += 1;
        bytes_down += bytes.len();
    }
    drop(bar);
    file.commit()?;
    let seconds = start.elapsed().as_secs_f64();
    let (job, ms_per_record) = (keys.job().to_string(), seconds * 1e3 / rows as f64);
    output.result(&Evaluated { job, rows, blocks, seconds, ms_per_record, bytes_down })
}

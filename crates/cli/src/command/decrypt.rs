//! `decrypt`: the data owner decrypts its features.

use std::fmt;
use std::time::Instant;

use cryptotl_encrypted::{KeyFile, PlanFile, ResponseFile};
use cryptotl_model::Records;
use ndarray::{Array2, Axis, s};
use serde::Serialize;

use super::extract::extraction;
use crate::cli::DecryptArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

/// What a records file says of who evaluated: the program knows no more than that a file came back.
const EVALUATOR: &str = "another party, through files without authentication";

#[derive(Serialize)]
struct Decrypted {
    job: String,
    rows: usize,
    feature_width: usize,
    seconds: f64,
    parameter_set: String,
    packing: String,
    tolerance: f64,
}

impl fmt::Display for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, rows, feature_width, seconds, parameter_set, packing, tolerance } = self;
        writeln!(f, "decrypted {feature_width} features of {rows} records in {seconds:.2} s")?;
        writeln!(f, "parameters {parameter_set}, {packing} packing; certified to {tolerance:.1e}")?;
        write!(f, "job {job}: keep the features on this side, and delete the secret key when they are safe")
    }
}

/// Runs the verb.
pub fn run(args: DecryptArgs, output: &Output) -> Result<()> {
    let to = output.file_over(&args.output, Records::FILE, &args.input)?;
    let plan = PlanFile::read(&args.plan)?;
    let contract = &plan.contract;
    let (client, job) = KeyFile::reopen(contract, &args.secret_key)?;
    let (mut records, digest) = Records::read_with_digest(&args.input)?;
    if digest != job.records || records.len() != job.requests.iter().map(|r| r.rows).sum::<usize>() {
        return Err(Failure::failed(
            format!("{} is not the file that was encrypted", args.input.display()),
            "give the file that `cryptotl encrypt` read",
        ));
    }

    let start = Instant::now();
    let bar = Bar::new("decrypting");
    let mut features = Array2::zeros((records.len(), contract.output_width()));
    let mut done = 0;
    let mut requests = job.requests.iter();
    for response in ResponseFile::open(contract, client.job(), &args.response)? {
        let (response, Some(request)) = (response?, requests.next()) else {
            return Err(incomplete(&args, "more"));
        };
        let block = client.decrypt(&response, request)?;
        plan.certificate.check_features(block.view())?;
        features.slice_mut(s![done..done + request.rows, ..]).assign(&block.mapv(|x| x as f32));
        done += request.rows;
        bar.show(done, records.len());
    }
    if requests.next().is_some() {
        return Err(incomplete(&args, "fewer"));
    }
    drop(bar);
    let feature_width = features.len_of(Axis(1));
    records.features = Some(features);
    records.header.extraction = Some(extraction(contract, plan.public_model, plan.coupling, EVALUATOR));
    records.write(&to)?;
    output.result(&Decrypted {
        job: client.job().to_string(),
        rows: records.len(),
        feature_width,
        seconds: start.elapsed().as_secs_f64(),
        parameter_set: contract.parameter_set().to_string(),
        packing: contract.packing().to_string(),
        tolerance: plan.certificate.tolerance(),
    })
}

fn incomplete(args: &DecryptArgs, how: &str) -> Failure {
    Failure::new(
        Code::Cryptography,
        format!(
            "response refused: {} holds {how} blocks than were encrypted; ask for the whole response",
            args.response.display()
        ),
    )
}

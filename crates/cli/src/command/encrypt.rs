//! `encrypt`: the data owner encrypts embeddings for the model owner.

use std::fmt;
use std::time::Instant;

use cryptotl_encrypted::{EncryptedJob, FileKind, KeyFile, PlanFile};
use cryptotl_model::{OutputFile, PublicModel, Records};
use ndarray::Axis;
use serde::Serialize;

use super::extract::scaled;
use crate::cli::EncryptArgs;
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
struct Encrypted {
    job: String,
    rows: usize,
    blocks: usize,
    seconds: f64,
    bytes_up: usize,
}

impl fmt::Display for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, rows, blocks, seconds, bytes_up } = self;
        let mb = *bytes_up as f64 / 1e6;
        writeln!(
            f,
            "encrypted {rows} records in {seconds:.2} s: {blocks} blocks, {mb:.1} MB for the model owner"
        )?;
        write!(f, "job {job}")
    }
}

/// Runs the verb.
pub fn run(args: EncryptArgs, output: &Output) -> Result<()> {
    let mut query = OutputFile::create(&output.file(&args.query, FileKind::Query.output())?)?;
    let plan = PlanFile::read(&args.plan)?;
    let contract = &plan.contract;
    let (public, public_digest) = PublicModel::read(&args.model)?;
    if public_digest != plan.public_model {
        return Err(Failure::failed(
            format!("{} is not the model of the plan {}", args.model.display(), args.plan.display()),
            "give the plan and the public half of one model",
        ));
    }
    let (records, digest) = Records::read_with_digest(&args.input)?;
    let rows = scaled(&args.input.display().to_string(), &records, &public)?;
    // Whatever can be refused is refused before the key is used up.
    if rows.ncols() != contract.input_width() || public.scaler.bound() > contract.input_bound().max_abs() {
        return Err(Failure::failed(
            format!("{} takes other numbers than {} gives", args.plan.display(), args.model.display()),
            "ask the model owner for the plan and the public half of one model",
        ));
    }
    KeyFile::check_size(contract, rows.nrows())?;
    // What `decrypt` will have to write.
    Records::check_size(rows.nrows(), records.embeddings.ncols() + contract.output_width())?;
    let key = KeyFile::claim(contract, &args.secret_key)?;

    let start = Instant::now();
    let bar = Bar::new("encrypting");
    let mut job = EncryptedJob { records: digest, requests: Vec::new() };
    let mut bytes_up = 0;
    for (block, records) in rows.axis_chunks_iter(Axis(0), contract.block_rows()).enumerate() {
        let message = key.client().encrypt_block(records, contract.place(block, rows.nrows()))?;
        let bytes = message.to_bytes();
        query.write(&bytes)?;
        bytes_up += bytes.len();
        job.requests.push(message.request());
        bar.show(block * contract.block_rows() + records.nrows(), rows.nrows());
    }
    drop(bar);
    let (id, blocks) = (key.client().job(), job.requests.len());
    // First what tells the responses, then what they answer: a query without it could not be decrypted.
    key.finish(&job)?;
    query.commit()?;
    let seconds = start.elapsed().as_secs_f64();
    output.result(&Encrypted { job: id.to_string(), rows: rows.nrows(), blocks, seconds, bytes_up })
}

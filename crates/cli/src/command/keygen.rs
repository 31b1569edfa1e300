//! `keygen`: the data owner makes the keys of one job.

use std::fmt;

use cryptotl_encrypted::{FileKind, KeyFile, PlanFile};
use cryptotl_model::OutputFile;
use serde::Serialize;

use crate::cli::KeygenArgs;
use crate::exit::Result;
use crate::output::Output;

#[derive(Serialize)]
struct Generated {
    job: String,
    plan: String,
    secret_key: String,
    keys: String,
    key_bytes: usize,
}

impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keys of job {}", self.job)?;
        writeln!(f, "secret key      {}: keep it, and use it once", self.secret_key)?;
        write!(f, "evaluation keys {}, {:.1} MB: for the model owner", self.keys, self.key_bytes as f64 / 1e6)
    }
}

/// Runs the verb.
pub fn run(args: KeygenArgs, output: &Output) -> Result<()> {
    let secret = output.file(&args.secret_key, KeyFile::FILE)?;
    let mut file = OutputFile::create(&output.file(&args.keys, FileKind::EvaluationKeys.output())?)?;
    let plan = PlanFile::read(&args.plan)?;
    let keys = KeyFile::create(&plan.contract, &secret)?;
    let bytes = keys.to_bytes();
    file.write(&bytes)?;
    file.commit()?;
    output.result(&Generated {
        job: keys.job().to_string(),
        plan: plan.contract.digest().to_string(),
        secret_key: args.secret_key.display().to_string(),
        keys: args.keys.display().to_string(),
        key_bytes: bytes.len(),
    })
}

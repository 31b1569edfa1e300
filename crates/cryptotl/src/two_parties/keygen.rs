//! `keygen`: the data owner makes the keys of one job.

use std::path::{Path, PathBuf};

use cryptotl_encrypted::{FileKind, KeyFile, PlanFile};
use cryptotl_model::OutputFile;
use serde::Serialize;

use crate::error::Result;
use crate::files::Request;

/// What [`keygen`] is asked to do.
#[derive(Debug, Clone)]
pub struct KeygenRequest {
    /// The model owner's plan file.
    pub plan: PathBuf,
    /// Where to write the secret key, which stays with the data owner.
    pub secret_key: PathBuf,
    /// Where to write the evaluation keys for the model owner.
    pub keys: PathBuf,
}

impl Request for KeygenRequest {
    fn inputs(&self) -> Vec<&Path> {
        let Self { plan, secret_key: _, keys: _ } = self;
        vec![plan]
    }
}

/// The keys of a job.
#[derive(Debug, Clone, Serialize)]
pub struct GeneratedKeys {
    /// The job, a random name that its messages carry.
    pub job: String,
    /// Digest of the plan.
    pub plan: String,
    /// Path of the secret key.
    pub secret_key: String,
    /// Path of the evaluation keys.
    pub keys: String,
    /// Size of the evaluation keys.
    pub key_bytes: usize,
}

/// Makes the keys of one job: a secret key, which encrypts once, and the evaluation keys that the plan needs.
///
/// # Errors
/// When the plan cannot be read, or an output is in the way.
pub fn keygen(request: &KeygenRequest) -> Result<GeneratedKeys> {
    let places = request.places();
    let secret = places.output(&request.secret_key, KeyFile::FILE)?;
    let mut file = OutputFile::create(&places.output(&request.keys, FileKind::EvaluationKeys.output())?)?;
    let plan = PlanFile::read(&request.plan)?;
    let keys = KeyFile::create(&plan.contract, &secret)?;
    let bytes = keys.to_bytes();
    file.write(&bytes)?;
    file.commit()?;
    Ok(GeneratedKeys {
        job: keys.job().to_string(),
        plan: plan.contract.digest().to_string(),
        secret_key: request.secret_key.display().to_string(),
        keys: request.keys.display().to_string(),
        key_bytes: bytes.len(),
    })
}

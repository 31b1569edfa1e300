//! The checks of the files that cross in encrypted evaluation, and of the key that stays: format and digests under their plan, and
//! that they belong to one job.

use cryptotl_encrypted::{
    Contract, Envelope, EvaluationKeys, FileKind, JobId, KeyFile, KeyState, QueryFile, Request, ResponseFile,
};

use super::read::{Content, File, Given};
use super::{Check, Outcome};

type Checked<T> = std::result::Result<T, String>;

/// The checks of a file of the protocol.
pub fn all(file: &File, envelope: &Envelope, given: &Given) -> Vec<Check> {
    let Some(contract) = given.contract(envelope) else {
        let detail = "its plan was not given, without which it cannot be read".to_owned();
        return vec![Check::missing("plan", detail)];
    };
    let job = envelope.job;
    let mut checks = match envelope.kind {
        FileKind::EvaluationKeys => {
            let own = keys_of(contract, file);
            vec![Check::of("format", own.map(|job| format!("the public keys of job {}", short(job))))]
        }
        FileKind::Query => {
            let format = requests(contract, file, envelope).map(|requests| words(&requests, job));
            vec![Check::of("format", format), keys(contract, job, given)]
        }
        FileKind::Response => {
            let found = requests(contract, file, envelope);
            let query = query(contract, found.clone(), job, given);
            vec![Check::of("format", found.map(|requests| words(&requests, job))), query]
        }
        FileKind::SecretKey => secret_key(contract, file, given),
    };
    checks.push(Check::new("plan", Outcome::Pass, "it was made for the plan that was given"));
    checks
}

fn words(requests: &[Request], job: JobId) -> String {
    let rows: usize = requests.iter().map(|request| request.rows).sum();
    format!("{rows} records in {} blocks of job {}", requests.len(), short(job))
}

/// The start of a job's name.
fn short(job: JobId) -> String {
    job.to_string().chars().take(12).collect()
}

/// The job that evaluation keys are of: the digest of what they are.
fn keys_of(contract: &Contract, file: &File) -> Checked<JobId> {
    EvaluationKeys::read(contract, &file.path).map(|keys| keys.job()).map_err(|e| e.to_string())
}

/// The queries that a file holds or answers; reads and checks all of it.
fn requests(contract: &Contract, file: &File, envelope: &Envelope) -> Checked<Vec<Request>> {
    let (job, path) = (envelope.job, &file.path);
    match envelope.kind {
        FileKind::Response => ResponseFile::open(contract, job, path)
            .and_then(|blocks| blocks.map(|block| block.map(|response| response.request())).collect()),
        _ => QueryFile::open(contract, job, path)
            .and_then(|blocks| blocks.map(|block| block.map(|query| query.request())).collect()),
    }
    .map_err(|e| e.to_string())
}

/// Whether the evaluation keys of a job are among the files.
fn keys(contract: &Contract, job: JobId, given: &Given) -> Check {
    let is_given = given
        .protocol(FileKind::EvaluationKeys)
        .any(|(file, _)| keys_of(contract, file).is_ok_and(|found| found == job));
    if is_given {
        Check::new("keys", Outcome::Pass, "it was encrypted for the evaluation keys that were given")
    } else {
        Check::missing("keys", format!("the evaluation keys of job {} were not given", short(job)))
    }
}

/// Whether a response answers the query of its job.
fn query(contract: &Contract, answered: Checked<Vec<Request>>, job: JobId, given: &Given) -> Check {
    let Some((file, envelope)) = given.protocol(FileKind::Query).find(|(_, query)| query.job == job) else {
        return Check::missing("query", format!("the query of job {} was not given", short(job)));
    };
    let outcome = answered.and_then(|answered| {
        let asked =
            requests(contract, file, envelope).map_err(|e| format!("the query cannot be read: {e}"))?;
        if asked == answered {
            Ok("it answers the query that was given, block by block".to_owned())
        } else {
            Err("it answers another query of its job than the one that was given".to_owned())
        }
    });
    Check::of("query", outcome)
}

/// A secret key: its format, and whether the query of its job is the one that it remembers. Nothing of the key is told.
fn secret_key(contract: &Contract, file: &File, given: &Given) -> Vec<Check> {
    let key = match KeyFile::open(contract, &file.path) {
        Ok(key) => key,
        Err(e) => return vec![Check::new("format", Outcome::Fail, e.to_string())],
    };
    let used = match key.state() {
        KeyState::Fresh => "nothing was encrypted with it yet",
        KeyState::Claimed => "an encryption with it began and did not end, so that it is used up",
        KeyState::Encrypted(_) => "one job was encrypted with it, so that it is used up",
    };
    let job = key.job();
    let detail = format!("the secret key of job {}: do not hand this file on; {used}", short(job));
    let mut checks = vec![Check::new("format", Outcome::Pass, detail), keys(contract, job, given)];
    let query = given.protocol(FileKind::Query).find(|(_, query)| query.job == job);
    checks.push(match query {
        None => Check::missing("query", format!("the query of job {} was not given", short(job))),
        Some((file, envelope)) => Check::of(
            "query",
            requests(contract, file, envelope).and_then(|found| match key.state() {
                KeyState::Encrypted(remembered) if remembered.requests == found => {
                    Ok("it remembers the query that was given".to_owned())
                }
                _ => Err("it remembers no such query as the one that was given".to_owned()),
            }),
        ),
    });
    checks
}

/// The kind's name in rows.
pub fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::EvaluationKeys => "evaluation-keys",
        FileKind::Query => "query",
        FileKind::Response => "response",
        FileKind::SecretKey => "secret-key",
    }
}

impl Given {
    /// The contract of the plan, among the files, that a file of the protocol names.
    fn contract(&self, envelope: &Envelope) -> Option<&Contract> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Plan(plan) if plan.contract.digest() == envelope.contract => Some(&plan.contract),
            _ => None,
        })
    }

    /// The files of one kind.
    fn protocol(&self, kind: FileKind) -> impl Iterator<Item = (&File, &Envelope)> {
        self.files.iter().filter_map(move |file| match &file.content {
            Content::Protocol(envelope) if envelope.kind == kind => Some((file, envelope)),
            _ => None,
        })
    }
}

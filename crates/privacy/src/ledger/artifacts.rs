//! What was released, kept for whoever repeats a finished run.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Serialize;

use super::chain::History;
use super::{LedgerError, Witness, schema};
use crate::digest::Digest;
use crate::plan::ReleasePlan;

/// The largest artifact that is kept in the ledger. Of a larger one only the digest is.
pub const MAX_ARTIFACT_BYTES: usize = 4 << 20;

/// The release of a finished run. Handing it out again reveals nothing new and costs nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredRelease {
    /// The charge that paid for it.
    pub charge: Witness,
    /// When it was recorded, in RFC 3339 and UTC.
    pub recorded_at: String,
    /// SHA-256 of the released artifact, 64 hexadecimal digits.
    pub digest: String,
    /// The artifact itself, checked against the digest; `None` if it was too large to keep, or was
    /// released by a version that kept none.
    #[serde(skip)]
    pub artifact: Option<Vec<u8>>,
}

/// The release of an earlier run of `plan`, if there is one.
pub(super) fn find(
    connection: &Connection,
    history: &History,
    plan: &ReleasePlan,
) -> Result<Option<StoredRelease>, LedgerError> {
    let Some((entry, release)) = history.finished(plan.digest()) else { return Ok(None) };
    let digest = release.head_digest.clone();
    let artifact = read(connection, &digest)?;
    let charge = Witness { seq: entry.seq, hash: entry.hash };
    Ok(Some(StoredRelease { charge, recorded_at: entry.recorded_at.clone(), digest, artifact }))
}

/// Keeps a small artifact and gives its digest.
pub(super) fn store(transaction: &Transaction<'_>, artifact: &[u8]) -> Result<Digest, LedgerError> {
    let digest = Digest::of_bytes(artifact);
    if artifact.len() <= MAX_ARTIFACT_BYTES {
        transaction.execute(
            "INSERT INTO artifacts (digest, bytes) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
            (digest.to_string(), artifact),
        )?;
    }
    Ok(digest)
}

fn read(connection: &Connection, digest: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    if schema::version(connection)? < schema::WITH_ARTIFACTS {
        return Ok(None);
    }
    let bytes: Option<Vec<u8>> = connection
        .query_row("SELECT bytes FROM artifacts WHERE digest = ?1", [digest], |row| row.get("bytes"))
        .optional()?;
    match bytes {
        Some(bytes) if Digest::of_bytes(&bytes).to_string() != digest => {
            Err(LedgerError::corrupt(None, format!("the artifact kept as {digest} is another")))
        }
        other => Ok(other),
    }
}

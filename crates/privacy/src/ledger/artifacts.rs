//! What was released, kept for whoever repeats a finished run.

use std::collections::{BTreeMap, HashSet};

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

/// The most reservations of charges that were not released: of a run that was killed, one stays behind.
const MAX_RESERVATIONS: u32 = 16;
/// Room for the entry of a release and what its row may split in the tables, beside the artifact.
const ENTRY_BYTES: usize = 48 << 10;

/// How much room the release of a plan takes in the file, at most.
pub(super) fn room_for(plan: &ReleasePlan) -> usize {
    ENTRY_BYTES + if plan.artifact_bytes() > MAX_ARTIFACT_BYTES { 0 } else { plan.artifact_bytes() }
}

/// Reserves room for the release of a charge, within the charge's own transaction: pages of zeros, which are the release's
/// once they are given back.
pub(super) fn reserve(transaction: &Transaction<'_>, charge: u64, bytes: usize) -> Result<(), LedgerError> {
    transaction.execute(
        "DELETE FROM reserved WHERE charge_seq NOT IN
             (SELECT charge_seq FROM reserved ORDER BY charge_seq DESC LIMIT ?1)",
        [MAX_RESERVATIONS - 1],
    )?;
    transaction.execute(
        "INSERT INTO reserved (charge_seq, bytes) VALUES (?1, zeroblob(?2))",
        (charge as i64, bytes as i64),
    )?;
    Ok(())
}

/// Gives reserved room back. It has to be a transaction of its own, before that of the release: SQLite keeps what pages
/// held at the beginning of a transaction, which would take as much room again.
pub(super) fn give_back(transaction: &Transaction<'_>, charge: u64) -> Result<(), LedgerError> {
    transaction.execute("DELETE FROM reserved WHERE charge_seq = ?1", [charge as i64])?;
    Ok(())
}

/// Checks that every artifact that is kept is what it is kept as, and that none is missing that was kept.
pub(super) fn verify(connection: &Connection, history: &History) -> Result<(), LedgerError> {
    let mut missing: BTreeMap<&str, u64> = BTreeMap::new();
    let mut released: HashSet<&str> = HashSet::new();
    for (entry, release) in history.releases() {
        released.insert(&release.head_digest);
        if release.artifact_bytes.is_some_and(|bytes| bytes <= MAX_ARTIFACT_BYTES as u64) {
            missing.insert(&release.head_digest, entry.seq);
        }
    }
    if schema::version(connection)? >= schema::WITH_ARTIFACTS {
        let mut statement = connection.prepare("SELECT digest, bytes FROM artifacts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (digest, bytes): (String, Vec<u8>) = (row.get("digest")?, row.get("bytes")?);
            check(&digest, &bytes)?;
            if !released.contains(digest.as_str()) {
                let fact = format!("the artifact kept as {digest} was released by no entry");
                return Err(LedgerError::corrupt(None, fact));
            }
            missing.remove(digest.as_str());
        }
    }
    match missing.first_key_value() {
        None => Ok(()),
        Some((digest, &seq)) => {
            Err(LedgerError::corrupt(seq, format!("the artifact that it released, {digest}, is not kept")))
        }
    }
}

fn check(digest: &str, bytes: &[u8]) -> Result<(), LedgerError> {
    if Digest::of_bytes(bytes).to_string() == digest {
        return Ok(());
    }
    Err(LedgerError::corrupt(None, format!("the artifact kept as {digest} is another")))
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
    bytes.as_deref().map_or(Ok(()), |bytes| check(digest, bytes))?;
    Ok(bytes)
}

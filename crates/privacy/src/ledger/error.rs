//! What can go wrong with a ledger, each with its remedy.

use std::path::PathBuf;

use super::{Refusal, StoredRelease};
use crate::accountant::AccountantError;
use crate::config::PolicyError;
use crate::digest::Digest;

/// The ledger cannot be used. Nothing was charged, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is no file.
    #[error("there is no ledger at {path}; create one once per population, or correct the path. A lost ledger must be restored, not created anew: a new one forgets what was spent", path = path.display())]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The file exists already.
    #[error("{path} exists already; open it, or choose another path. A ledger is never overwritten", path = path.display())]
    AlreadyExists {
        /// The path given.
        path: PathBuf,
    },
    /// A file, but not a ledger.
    #[error("{path} is not a ledger: {fact}; correct the path, or restore the ledger from a copy", path = path.display())]
    NotALedger {
        /// The path given.
        path: PathBuf,
        /// What it is instead.
        fact: String,
    },
    /// A ledger of another version.
    #[error(
        "the ledger has schema version {found}, and this program knows versions 1 to {expected}; use the program that made it"
    )]
    SchemaVersion {
        /// The version in the file.
        found: i64,
        /// The newest version that this program knows.
        expected: i64,
    },
    /// The ledger contradicts itself.
    #[error("the ledger is corrupt{place}: {fact}; restore the latest copy whose witness verifies, and do not release anything until then", place = at_entry(*.seq))]
    Corrupt {
        /// The entry concerned, if it is one.
        seq: Option<u64>,
        /// What contradicts what.
        fact: String,
    },
    /// A released artifact knows an entry that the ledger does not have.
    #[error(
        "the ledger was rolled back: it ends at entry {head}, and a released artifact is witness of entry {witness}; restore the newer ledger"
    )]
    RolledBack {
        /// The last entry of the ledger.
        head: u64,
        /// The entry of the witness.
        witness: u64,
    },
    /// A released artifact knows a different entry at the same place.
    #[error(
        "the ledger was forked: its entry {seq} is {found}, and a released artifact is witness of {witness}; find the ledger that the artifact was charged to"
    )]
    Forked {
        /// The entry where the two differ.
        seq: u64,
        /// The hash in the ledger.
        found: Digest,
        /// The hash of the witness.
        witness: Digest,
    },
    /// This user saw the ledger with entries that it does not have.
    #[error(
        "the ledger is behind: it ends at entry {head}, and this user saw entry {mark} of it ({place}). It was restored from \
         an older copy, or replaced; restore the latest copy. If there is none, `cryptotl ledger accept-rollback` counts what is \
         lost as spent, in an entry that stays", place = place.display()
    )]
    Behind {
        /// The last entry of the ledger.
        head: u64,
        /// The latest entry that this user saw.
        mark: u64,
        /// Where that is written down.
        place: PathBuf,
    },
    /// This user saw the ledger with another entry at the same place.
    #[error(
        "the ledger is another than this user saw: its entry {seq} is {found}, and it was {mark} ({place}). It was restored from \
         an older copy and charged since, or replaced; restore the copy that has that entry. If there is none, \
         `cryptotl ledger accept-rollback` counts what is lost as spent, in an entry that stays", place = place.display()
    )]
    Diverged {
        /// The entry where the two differ.
        seq: u64,
        /// The hash in the ledger.
        found: Digest,
        /// The hash that this user saw.
        mark: Digest,
        /// Where that is written down.
        place: PathBuf,
    },
    /// The note of what this user saw last cannot be used.
    #[error(
        "{path} is no high-water mark of a ledger: {fact}; check the ledger against the latest head that was released \
         (`cryptotl ledger verify --witness`), and then remove this file", path = path.display()
    )]
    Mark {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fact: String,
    },
    /// There is nothing to accept.
    #[error("the ledger has every entry that this user saw of it; there is no loss to accept")]
    NothingLost,
    /// A charge was broken off in the middle of a write.
    #[error(
        "{path} is what a process left that was writing the ledger when it ended; run `cryptotl ledger recover`, which brings \
         the ledger to its last whole state, as the next charge would. Never remove that file", path = path.display()
    )]
    Journal {
        /// The journal.
        path: PathBuf,
    },
    /// Something lies beside the ledger that SQLite would act on.
    #[error(
        "{path} lies beside the ledger: {fact}; it is not of this program. Find out where it comes from, and move it away or \
         restore the ledger from a copy", path = path.display()
    )]
    Beside {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        fact: String,
    },
    /// The file has further names.
    #[error(
        "{path} has {names} names (hard links), and what a process writes under one of them is lost under another; make it a \
         file of its own: copy it, and move the copy to the name that is used", path = path.display()
    )]
    Linked {
        /// The path given.
        path: PathBuf,
        /// How many names the file has.
        names: u64,
    },
    /// The file was taken away from under an open ledger.
    #[error(
        "{path} was moved, replaced or deleted while it was in use; put it back. What was charged in it stays spent, and \
         nothing that follows was recorded", path = path.display()
    )]
    Moved {
        /// Where the ledger was.
        path: PathBuf,
    },
    /// An entry that could not be read again.
    #[error(
        "the entry cannot be written, because it could not be read again: {fact}; nothing was charged. Ask for another amount"
    )]
    Unreadable {
        /// The reader's words.
        fact: String,
    },
    /// There is no room for what a charge will release.
    #[error(
        "there is no room for a release: {fact}; nothing was charged. Free {bytes} bytes where the ledger lies"
    )]
    NoRoom {
        /// What is missing.
        fact: String,
        /// How much is needed.
        bytes: u64,
    },
    /// The system's clock shows no time of this calendar.
    #[error(
        "the clock of this machine is before the year 1970 or after 9999; set it, for each entry says when it was made"
    )]
    Clock,
    /// A receipt that does not belong here or was recorded before.
    #[error(
        "the release cannot be recorded: {fact}; record each release once, in the ledger that was charged"
    )]
    Receipt {
        /// Why not.
        fact: String,
    },
    /// Terms that cannot follow those in force.
    #[error(
        "the ledger cannot be amended: {fact}; keep unit and adjacency, change the cap, the limit for one release, delta or the public size, and give a reason"
    )]
    Amendment {
        /// Why not.
        fact: String,
    },
    /// The population's name is unusable.
    #[error("the population's name is {name:?}; use 1 to {max} letters, digits, `-`, `_` or `.`", max = crate::config::MAX_NAME_LENGTH)]
    Population {
        /// The name given.
        name: String,
    },
    /// The policy does not suit the population.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The accountant has no figure.
    #[error(transparent)]
    Accountant(#[from] AccountantError),
    /// Another process holds the ledger.
    #[error(
        "another process has been holding the ledger for more than 30 seconds; wait for it to end and try again"
    )]
    Busy,
    /// The ledger cannot be written.
    #[error("the ledger is read-only; give this user the right to write the file and its folder")]
    ReadOnly,
    /// The file system failed.
    #[error("{action} {path} failed: {source}; check the disk, the folder and its permissions", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// SQLite failed for a reason that is neither corruption nor a lock.
    #[error(
        "SQLite failed: {message}; check the disk and its free space. If this was a charge, look at the ledger before repeating it"
    )]
    Sqlite {
        /// SQLite's own words.
        message: String,
    },
}

fn at_entry(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!(" at entry {seq}"))
}

impl LedgerError {
    /// Whether the ledger itself is in doubt, as opposed to the request or the machine: missing,
    /// corrupt, foreign, linked, moved away, unfinished, rolled back or forked.
    pub fn is_integrity_failure(&self) -> bool {
        matches!(
            self,
            LedgerError::Missing { .. }
                | LedgerError::NotALedger { .. }
                | LedgerError::SchemaVersion { .. }
                | LedgerError::Corrupt { .. }
                | LedgerError::RolledBack { .. }
                | LedgerError::Forked { .. }
                | LedgerError::Behind { .. }
                | LedgerError::Diverged { .. }
                | LedgerError::Mark { .. }
                | LedgerError::Journal { .. }
                | LedgerError::Beside { .. }
                | LedgerError::Linked { .. }
                | LedgerError::Moved { .. }
        )
    }

    pub(super) fn corrupt(seq: impl Into<Option<u64>>, fact: impl ToString) -> LedgerError {
        LedgerError::Corrupt { seq: seq.into(), fact: fact.to_string() }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> LedgerError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Busy,
            Some(ErrorCode::ReadOnly) => LedgerError::ReadOnly,
            _ if is_cut_short(&error) => LedgerError::corrupt(None, "the file ends too early"),
            Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SchemaChanged
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch,
            ) => LedgerError::corrupt(None, error),
            Some(_) => LedgerError::Sqlite { message: error.to_string() },
            // No code: the rows are not what the schema promises.
            None => LedgerError::corrupt(None, error),
        }
    }
}

/// Whether SQLite met the end of the file where a page should be.
fn is_cut_short(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}

/// A charge that did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChargeError {
    /// Something was released from the same plan before; it can be used again at no charge. The ledger is
    /// unchanged.
    #[error(
        "this plan was run and released before, as {digest} at {recorded_at}; use that release, or describe the run differently to pay for a new one",
        digest = _0.digest, recorded_at = _0.recorded_at
    )]
    Finished(Box<StoredRelease>),
    /// The policy does not allow it. The ledger is unchanged.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

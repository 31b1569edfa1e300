//! Reading a ledger, and nothing else.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::chain::{self, History};
use super::place::Place;
use super::{LedgerError, Marks, Refusal, Status, StoredRelease, artifacts, schema, status};
use crate::digest::Digest;
use crate::plan::ReleasePlan;

/// "CTLG" in ASCII, in the header of the file.
pub(super) const APPLICATION_ID: i64 = 0x4354_4C47;
/// How long a process waits for another one.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A ledger that can be read and not charged: for whoever checks the ledger of somebody else.
///
/// Opening one writes nothing, anywhere: the file is copied into memory under SQLite's lock, and only the copy is looked at.
/// A medium that cannot be written is as good as another.
#[derive(Debug)]
pub struct LedgerView {
    pub(super) connection: Connection,
    pub(super) place: Place,
    source: Source,
}

/// What a view looks at.
#[derive(Debug)]
enum Source {
    /// A copy in memory, verified when it was made.
    Copy(Box<History>),
    /// The file itself, verified each time.
    File,
}

impl LedgerView {
    /// Reads a ledger and verifies all of it.
    ///
    /// # Errors
    /// [`LedgerError::Journal`] if a process ended in the middle of a write, [`LedgerError::Beside`] if something lies beside
    /// the file that no ledger has, [`LedgerError::Missing`], [`LedgerError::NotALedger`], [`LedgerError::SchemaVersion`] or
    /// [`LedgerError::Corrupt`], each with its remedy; never an empty or partial ledger.
    pub fn open(path: impl AsRef<Path>) -> Result<LedgerView, LedgerError> {
        let place = Place::find(path.as_ref())?;
        let connection = copy(&place).map_err(|error| match error {
            // A file that cannot be written holds no journal that another process is writing.
            LedgerError::ReadOnly => LedgerError::Journal { path: place.journal() },
            other => other,
        })?;
        let history = check(&connection, &place)?;
        Ok(LedgerView { connection, place, source: Source::Copy(Box::new(history)) })
    }

    /// The file itself, for a ledger that is open for writing.
    pub(super) fn of_file(connection: Connection, place: Place) -> LedgerView {
        LedgerView { connection, place, source: Source::File }
    }

    /// Where the ledger lies, as it was given.
    pub fn path(&self) -> &Path {
        self.place.given()
    }

    /// The terms, what was spent on what, and what is left.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies.
    pub fn status(&self) -> Result<Status, LedgerError> {
        self.look(|_, history| Status::of(history))
    }

    /// The same as it was when the entry `seq` was the last, on the terms of that time.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] if the ledger ends before `seq`, [`LedgerError::Corrupt`] if it no longer verifies.
    pub fn status_as_of(&self, seq: u64) -> Result<Status, LedgerError> {
        self.look(|_, history| Status::of(&history.clone().ended_at(seq)?))
    }

    /// Why [`super::Ledger::charge`] would refuse a plan now, if it would; costs nothing.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies.
    pub fn refusal(&self, plan: &ReleasePlan) -> Result<Option<Refusal>, LedgerError> {
        self.look(|_, history| status::refusal(history, plan))
    }

    /// What was released from an earlier run of the same plan, if anything.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies, or keeps other bytes than were released.
    pub fn find_release(&self, plan: &ReleasePlan) -> Result<Option<StoredRelease>, LedgerError> {
        self.look(|connection, history| artifacts::find(connection, history, plan))
    }

    /// Checks that every figure that an entry states follows from what it says was done, epsilon included.
    ///
    /// Opening a ledger recomputes each loss already, and charges are decided by losses; this also recomputes the epsilons
    /// that were shown, which takes up to a second for a release on Poisson samples.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] naming the first entry whose epsilon is another.
    pub fn verify_figures(&self) -> Result<(), LedgerError> {
        self.look(|_, history| history.verify_figures())
    }

    /// Checks that every artifact that the ledger keeps is what was released, and that none is missing. Of releases by the
    /// first programs it is not known whether they were kept.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] naming the artifact.
    pub fn verify_artifacts(&self) -> Result<(), LedgerError> {
        self.look(artifacts::verify)
    }

    /// Checks that the ledger still holds the entry that a released artifact is witness of.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] if the ledger ends before `seq`, [`LedgerError::Forked`] if its
    /// entry `seq` is another one.
    pub fn verify_witness(&self, seq: u64, hash: &Digest) -> Result<(), LedgerError> {
        self.look(|_, history| match history.entry(seq) {
            None => Err(LedgerError::RolledBack { head: history.head.seq, witness: seq }),
            Some(entry) if entry.hash != *hash => {
                Err(LedgerError::Forked { seq, found: entry.hash, witness: *hash })
            }
            Some(_) => Ok(()),
        })
    }

    /// Checks that the ledger holds the latest entry that a user saw of it.
    ///
    /// # Errors
    /// [`LedgerError::Behind`] or [`LedgerError::Diverged`] if it was restored from an older copy, or replaced.
    pub fn verify_marks(&self, marks: &Marks) -> Result<(), LedgerError> {
        self.look(|_, history| marks.compare(history))
    }

    fn look<T>(
        &self,
        at: impl FnOnce(&Connection, &History) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match &self.source {
            Source::Copy(history) => at(&self.connection, history),
            Source::File => {
                self.place.check()?;
                // A read transaction, so that entries and head are of the same moment.
                let transaction = self.connection.unchecked_transaction()?;
                let history = chain::load(&transaction)?;
                at(&transaction, &history)
            }
        }
    }
}

/// A private copy of the file, taken while nobody is writing it.
fn copy(place: &Place) -> Result<Connection, LedgerError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let file = Connection::open_with_flags(place.path(), flags)?;
    file.busy_timeout(BUSY_TIMEOUT)?;
    // The transaction holds SQLite's lock. A connection that cannot write does not play back a journal.
    let snapshot = file.unchecked_transaction()?;
    let _: i64 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
    place.check_length()?;
    let mut memory = Connection::open_in_memory()?;
    let step = Backup::new(&snapshot, &mut memory)?.step(-1)?;
    match step {
        StepResult::Done => Ok(memory),
        _ => Err(LedgerError::Busy),
    }
}

/// Everything that is verified of a ledger when it is opened; the caller holds a transaction or owns the copy.
pub(super) fn check(connection: &Connection, place: &Place) -> Result<History, LedgerError> {
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    if application != APPLICATION_ID {
        let fact = "an SQLite file of another program".to_owned();
        return Err(LedgerError::NotALedger { path: place.given().to_owned(), fact });
    }
    // The schema comes first: a check of integrity evaluates its constraints, which in a foreign file may be anything.
    schema::check(connection, schema::version(connection)?)?;
    let report: String = connection.pragma_query_value(None, "integrity_check", |r| r.get(0))?;
    if report != "ok" {
        return Err(LedgerError::corrupt(None, report));
    }
    chain::load(connection)
}

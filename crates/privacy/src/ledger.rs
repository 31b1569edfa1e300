//! The ledger: the one place where privacy loss is spent and remembered.
//!
//! One SQLite file per population. A charge is written and synced to disk *before* the private data is
//! touched, in one exclusive transaction that first verifies the whole hash chain; it is never undone.
//! What cannot be read and verified is refused: a corrupt ledger never counts as an empty one.

mod artifacts;
mod chain;
mod entries;
mod error;
mod schema;
mod status;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::config::{Policy, is_name};
use crate::digest::Digest;
use crate::loss::Losses;
use crate::mechanism::{RNG_NAME, Receipt};
use crate::plan::{ChargedPlan, ReleasePlan};
use chain::History;
use entries::{Amendment, Body, Charge, Genesis, Release, Terms};

pub use artifacts::{MAX_ARTIFACT_BYTES, StoredRelease};
pub use entries::EntryKind;
pub use error::{ChargeError, LedgerError};
pub use status::{ChargeSummary, EntrySummary, Refusal, RefusalReason, Status, Witness};

/// "CTLG" in ASCII, in the header of the file.
const APPLICATION_ID: i64 = 0x4354_4C47;
/// The first bytes of every SQLite file.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reason of an amendment, in characters.
pub const MAX_REASON_LENGTH: usize = 200;

/// What [`Ledger::charge_all`] gives for one plan.
#[derive(Debug)]
pub enum Payment {
    /// It was charged and is to be run.
    Charged(ChargedPlan),
    /// It was run before; this is what it released.
    Finished(Box<StoredRelease>),
}

/// An open ledger.
///
/// Several processes and threads may each open the same file; charges are serialized by SQLite.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
}

impl Ledger {
    /// Creates the ledger of a population. Once per population, for ever.
    ///
    /// `public_size` is a public upper bound on the number of units, never the private count. The file
    /// appears complete or not at all, readable by its owner only, and never replaces another.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyExists`] if something is at `path`, [`LedgerError::Population`] or
    /// [`LedgerError::Policy`] if the terms make no sense, [`LedgerError::Io`] if it cannot be written.
    pub fn create(
        path: impl AsRef<Path>,
        policy: &Policy,
        population: &str,
        public_size: u64,
    ) -> Result<Ledger, LedgerError> {
        let path = path.as_ref();
        if !is_name(population) {
            return Err(LedgerError::Population { name: population.chars().take(80).collect() });
        }
        let Terms { public_size, policy, delta, rho_cap, .. } =
            Terms::new(policy, public_size, &Losses::NONE)?;
        let genesis = Genesis {
            population: population.to_owned(),
            public_size,
            policy,
            delta,
            rho_cap,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            rng: RNG_NAME.to_owned(),
        };
        if fs::symlink_metadata(path).is_ok() {
            return Err(LedgerError::AlreadyExists { path: path.to_owned() });
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let io = |action: &'static str, path: &Path, source: std::io::Error| LedgerError::Io {
            action,
            path: path.to_owned(),
            source,
        };
        let draft = tempfile::Builder::new()
            .prefix(".ledger-")
            .suffix(".new")
            .tempfile_in(folder)
            .map_err(|e| io("creating a file in", folder, e))?;
        write_genesis(draft.path(), genesis)?;
        draft.as_file().sync_all().map_err(|e| io("writing", draft.path(), e))?;
        draft.persist_noclobber(path).map_err(|refused| match refused.error.kind() {
            std::io::ErrorKind::AlreadyExists => LedgerError::AlreadyExists { path: path.to_owned() },
            _ => io("creating", path, refused.error),
        })?;
        // The name must survive a power cut too. Not every system can sync a folder.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        Ledger::open(path)
    }

    /// Opens a ledger and verifies all of it.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::NotALedger`], [`LedgerError::SchemaVersion`] or
    /// [`LedgerError::Corrupt`], each with its remedy; never an empty or partial ledger.
    pub fn open(path: impl AsRef<Path>) -> Result<Ledger, LedgerError> {
        let path = path.as_ref();
        check_is_sqlite_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        let not_ours = |fact: String| LedgerError::NotALedger { path: path.to_owned(), fact };
        let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
        if application != APPLICATION_ID {
            return Err(not_ours("an SQLite file of another program".to_owned()));
        }
        // One snapshot: another process may be bringing the file to a newer schema.
        let snapshot = connection.unchecked_transaction()?;
        let version = schema::version(&snapshot)?;
        let report: String = snapshot.pragma_query_value(None, "integrity_check", |r| r.get(0))?;
        if report != "ok" {
            return Err(LedgerError::corrupt(None, report));
        }
        schema::check(&snapshot, version)?;
        snapshot.finish()?;
        let ledger = Ledger { connection, path: path.to_owned() };
        ledger.history()?;
        Ok(ledger)
    }

    /// Where the ledger lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Pays for a plan: verifies the ledger, checks the plan against its terms and what is left, and
    /// writes the charge to disk, in one exclusive transaction.
    ///
    /// There is no refund: if the program ends after this, the loss is spent. A plan from which something
    /// was released before is not charged again.
    ///
    /// # Errors
    /// [`ChargeError::Finished`] with the earlier release of the same plan, which can be used again at no
    /// charge; [`ChargeError::Refused`] if the policy does not allow it, with what is left and what spent
    /// it; [`ChargeError::Ledger`] if the ledger cannot be used.
    pub fn charge(&mut self, plan: ReleasePlan) -> Result<ChargedPlan, ChargeError> {
        let transaction = self.exclusive()?;
        match pay(&transaction, plan)? {
            Payment::Finished(release) => Err(ChargeError::Finished(release)),
            Payment::Charged(charged) => {
                transaction.commit().map_err(LedgerError::from)?;
                Ok(charged)
            }
        }
    }

    /// Pays for all of several plans, or for none: what a program that releases several results must call
    /// before it touches private data. As [`Ledger::charge`] for each, in one exclusive transaction; plans that
    /// were run before come back with their release and are not charged.
    ///
    /// # Errors
    /// [`ChargeError::Refused`] for the first plan that the policy does not allow after those before it; nothing is
    /// charged then. [`ChargeError::Ledger`] if the ledger cannot be used.
    pub fn charge_all(&mut self, plans: Vec<ReleasePlan>) -> Result<Vec<Payment>, ChargeError> {
        let transaction = self.exclusive()?;
        let payments = plans.into_iter().map(|plan| pay(&transaction, plan));
        let payments = payments.collect::<Result<Vec<Payment>, ChargeError>>()?;
        transaction.commit().map_err(LedgerError::from)?;
        Ok(payments)
    }

    /// Why [`Ledger::charge`] would refuse a plan now, if it would; costs nothing.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies.
    pub fn refusal(&self, plan: &ReleasePlan) -> Result<Option<Refusal>, LedgerError> {
        status::refusal(&self.history()?, plan)
    }

    /// Records what was released from a charge; costs nothing.
    ///
    /// `artifact` is what will be published, byte for byte. Its digest is recorded, and the bytes are kept
    /// up to [`MAX_ARTIFACT_BYTES`], so that a run that is killed before it has published them can be
    /// repeated at no charge.
    ///
    /// # Errors
    /// [`LedgerError::Receipt`] if the receipt is of another ledger or was recorded before.
    pub fn record_release(&mut self, receipt: Receipt, artifact: &[u8]) -> Result<Witness, LedgerError> {
        let charge = *receipt.witness();
        let transaction = self.exclusive()?;
        let history = chain::load(&transaction)?;
        if !history.charges().any(|(entry, _)| (entry.seq, entry.hash) == (charge.seq, charge.hash)) {
            return Err(LedgerError::Receipt {
                fact: format!("entry {} of this ledger is not the charge of the receipt", charge.seq),
            });
        }
        if history.release_of(charge.seq).is_some() {
            return Err(LedgerError::Receipt {
                fact: format!("charge {} has a recorded release", charge.seq),
            });
        }
        let body = Body::Release(Release {
            charge_seq: charge.seq,
            charge_hash: charge.hash,
            steps_used: receipt.steps_used(),
            head_digest: artifacts::store(&transaction, artifact)?.to_string(),
        });
        let witness = chain::append(&transaction, Some(&history), &body)?;
        transaction.commit()?;
        Ok(witness)
    }

    /// What was released from an earlier run of the same plan, if anything.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies, or keeps other bytes than were released.
    pub fn find_release(&self, plan: &ReleasePlan) -> Result<Option<StoredRelease>, LedgerError> {
        let transaction = self.connection.unchecked_transaction()?;
        artifacts::find(&transaction, &chain::load(&transaction)?, plan)
    }

    /// Changes the policy or the public size, from here on; `None` keeps what is in force when the change is
    /// made. What was spent stays spent, and the change stays visible for ever.
    ///
    /// `reason` is public. Unit and adjacency cannot change, because losses that were counted in other terms
    /// cannot be added.
    ///
    /// # Errors
    /// [`LedgerError::Amendment`] if unit or adjacency would change, nothing would, or the reason is no line
    /// of text; [`LedgerError::Policy`] if the policy does not suit the size.
    pub fn amend(
        &mut self,
        policy: Option<&Policy>,
        public_size: Option<u64>,
        reason: &str,
    ) -> Result<Witness, LedgerError> {
        let refuse = |fact: String| Err(LedgerError::Amendment { fact });
        let is_line = (1..=MAX_REASON_LENGTH).contains(&reason.chars().count())
            && !reason.chars().any(char::is_control)
            && !reason.trim().is_empty();
        if !is_line {
            return refuse(format!("the reason is not one line of 1 to {MAX_REASON_LENGTH} characters"));
        }
        let transaction = self.exclusive()?;
        let history = chain::load(&transaction)?;
        let policy = policy.unwrap_or(&history.terms.policy);
        let public_size = public_size.unwrap_or(history.terms.public_size);
        if !history.terms.count_the_same(policy) {
            let old = &history.terms.policy;
            return refuse(format!(
                "the ledger counts by {} and {} adjacency, the new policy by {} and {}",
                old.unit(),
                old.adjacency(),
                policy.unit(),
                policy.adjacency()
            ));
        }
        if (&history.terms.policy, history.terms.public_size) == (policy, public_size) {
            return refuse("the terms are these already".to_owned());
        }
        let Terms { public_size, policy, delta, rho_cap, .. } =
            Terms::new(policy, public_size, &history.spent())?;
        let (reason, tool_version) = (reason.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let amendment = Amendment { public_size, policy, delta, rho_cap, reason, tool_version };
        let witness = chain::append(&transaction, Some(&history), &Body::Amendment(Box::new(amendment)))?;
        transaction.commit()?;
        Ok(witness)
    }

    /// The terms, what was spent on what, and what is left; verified afresh.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the ledger no longer verifies.
    pub fn status(&self) -> Result<Status, LedgerError> {
        Status::of(&self.history()?)
    }

    /// The same as it was when the entry `seq` was the last, on the terms of that time.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] if the ledger ends before `seq`, [`LedgerError::Corrupt`] if it no longer verifies.
    pub fn status_as_of(&self, seq: u64) -> Result<Status, LedgerError> {
        Status::of(&self.history()?.ended_at(seq)?)
    }

    /// Checks that every figure that an entry states follows from what it says was done, epsilon included.
    ///
    /// Opening a ledger recomputes each loss already, and charges are decided by losses; this also recomputes the epsilons
    /// that were shown, which takes up to a second for a release on Poisson samples.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] naming the first entry whose epsilon is another.
    pub fn verify_figures(&self) -> Result<(), LedgerError> {
        self.history()?.verify_figures()
    }

    /// Checks that the ledger still holds the entry that a released artifact is witness of.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] if the ledger ends before `seq`, [`LedgerError::Forked`] if its
    /// entry `seq` is another one.
    pub fn verify_witness(&self, seq: u64, hash: &Digest) -> Result<(), LedgerError> {
        let history = self.history()?;
        let entry = usize::try_from(seq).ok().and_then(|index| history.entries.get(index));
        match entry {
            None => Err(LedgerError::RolledBack { head: history.head.seq, witness: seq }),
            Some(entry) if entry.hash != *hash => {
                Err(LedgerError::Forked { seq, found: entry.hash, witness: *hash })
            }
            Some(_) => Ok(()),
        }
    }

    fn history(&self) -> Result<History, LedgerError> {
        // A read transaction, so that entries and head are of the same moment.
        let transaction = self.connection.unchecked_transaction()?;
        chain::load(&transaction)
    }

    /// A transaction for writing, with the tables brought up to date in it.
    fn exclusive(&mut self) -> Result<Transaction<'_>, LedgerError> {
        // `BEGIN IMMEDIATE`: no other process can read the remainder and then charge against it.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::migrate(&transaction)?;
        Ok(transaction)
    }
}

/// Appends the charge of a plan that was not run before.
fn pay(transaction: &Transaction<'_>, plan: ReleasePlan) -> Result<Payment, ChargeError> {
    let history = chain::load(transaction)?;
    if let Some(release) = artifacts::find(transaction, &history, &plan)? {
        return Ok(Payment::Finished(Box::new(release)));
    }
    if let Some(refusal) = status::refusal(&history, &plan)? {
        return Err(ChargeError::Refused(Box::new(refusal)));
    }
    let body = Body::Charge(Box::new(Charge {
        plan: plan.digest(),
        event: plan.event().clone(),
        guarantee: plan.guarantee().clone(),
        description: plan.description().clone(),
    }));
    let witness = chain::append(transaction, Some(&history), &body)?;
    Ok(Payment::Charged(ChargedPlan::new(plan, witness)))
}

/// Writes a complete one-entry ledger into the empty file at `path`.
fn write_genesis(path: &Path, genesis: Genesis) -> Result<(), LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    schema::create(&transaction)?;
    chain::append(&transaction, None, &Body::Genesis(Box::new(genesis)))?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error.into())
}

fn configure(connection: &Connection) -> Result<(), LedgerError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A rollback journal and not a write-ahead log: the ledger is one file, and a copy of it is whole.
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    if mode != "delete" {
        let message = format!("journal mode is {mode} and not delete");
        return Err(LedgerError::Sqlite { message });
    }
    // EXTRA is FULL and also syncs the folder after the journal is gone, without which a power cut
    // could bring the journal, and the state before the charge, back.
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Tells what is at `path` before SQLite, which would take an empty file for an empty database.
fn check_is_sqlite_file(path: &Path) -> Result<(), LedgerError> {
    let io = |source| LedgerError::Io { action: "reading", path: path.to_owned(), source };
    let not_ours = |fact: &str| LedgerError::NotALedger { path: path.to_owned(), fact: fact.to_owned() };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LedgerError::Missing { path: path.to_owned() });
        }
        other => other.map_err(io)?,
    };
    if metadata.is_dir() {
        return Err(not_ours("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(not_ours("it is not a regular file"));
    }
    if metadata.len() == 0 {
        return Err(not_ours("it is empty"));
    }
    let mut start = [0; 16];
    let is_sqlite =
        File::open(path).map_err(io)?.read_exact(&mut start).is_ok_and(|()| start == *SQLITE_MAGIC);
    if is_sqlite { Ok(()) } else { Err(not_ours("it does not begin like an SQLite file")) }
}

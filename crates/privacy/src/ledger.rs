//! The ledger: the one place where privacy loss is spent and remembered.
//!
//! One SQLite file per population. A charge is written and synced to disk *before* the private data is
//! touched, in one exclusive transaction that first verifies the whole hash chain; it is never undone.
//! What cannot be read and verified is refused: a corrupt ledger never counts as an empty one.

mod artifacts;
mod chain;
mod entries;
mod error;
mod left;
mod marks;
mod place;
mod schema;
mod status;
mod usable;
mod view;

use std::fs::{self, File};
use std::ops::Deref;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::config::{Policy, is_name};
use crate::loss::Losses;
use crate::mechanism::{RNG_NAME, Receipt};
use crate::plan::{ChargedPlan, ReleasePlan};
use chain::History;
use entries::{Amendment, Body, Charge, Genesis, Release, Rollback, Terms};
use place::Place;
use view::{APPLICATION_ID, BUSY_TIMEOUT};

pub use artifacts::{MAX_ARTIFACT_BYTES, StoredRelease};
pub use chain::to_the_minute;
pub use entries::EntryKind;
pub use error::{ChargeError, LedgerError};
pub use left::{PastRelease, ReleasesLeft};
pub use marks::{Marks, STATE_VARIABLE};
pub use place::MAX_LEDGER_BYTES;
pub use status::{ChargeSummary, EntrySummary, Refusal, RefusalReason, Status, Witness};
pub use view::LedgerView;

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

/// A ledger that is open for charging. What it tells is what a [`LedgerView`] tells, of the file as it is then.
///
/// Several processes and threads may each open the same file; charges are serialized by SQLite.
#[derive(Debug)]
pub struct Ledger {
    view: LedgerView,
    marks: Marks,
    /// Why the last write could not be noted in the marks.
    unmarked: Option<String>,
    /// Room for the journals of releases that are to come; see [`hold_room`].
    room: Option<File>,
}

impl Deref for Ledger {
    type Target = LedgerView;

    fn deref(&self) -> &LedgerView {
        &self.view
    }
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
            nonce: Some(entries::nonce()?),
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

    /// Opens a ledger for charging and verifies all of it. What a process left that ended in the middle of a write is
    /// brought to the last whole state.
    ///
    /// # Errors
    /// [`LedgerError::Beside`] if something lies beside the file that no ledger has, [`LedgerError::Missing`],
    /// [`LedgerError::NotALedger`], [`LedgerError::SchemaVersion`] or
    /// [`LedgerError::Corrupt`], each with its remedy; never an empty or partial ledger.
    pub fn open(path: impl AsRef<Path>) -> Result<Ledger, LedgerError> {
        let place = Place::find(path.as_ref())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(place.path(), flags)?;
        configure(&connection)?;
        // One snapshot: another process may be bringing the file to a newer schema.
        let snapshot = connection.unchecked_transaction()?;
        let _: i64 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
        place.check_length()?;
        view::check(&snapshot, &place)?;
        snapshot.finish()?;
        let view = LedgerView::of_file(connection, place);
        Ok(Ledger { view, marks: Marks::of_this_user(), unmarked: None, room: None })
    }

    /// Brings a ledger to its last whole state if a process ended in the middle of writing it, and tells whether one did.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn recover(path: impl AsRef<Path>) -> Result<(Ledger, bool), LedgerError> {
        let has_journal = Place::find(path.as_ref())?.has_journal()?;
        Ok((Ledger::open(path)?, has_journal))
    }

    /// The same ledger with marks in another place than this user's.
    pub fn with_marks(self, marks: Marks) -> Ledger {
        Ledger { marks, ..self }
    }

    /// Why the last write could not be noted outside of the ledger, if it could not: a ledger that is restored from an older
    /// copy will then not be noticed by this user.
    pub fn unmarked(&self) -> Option<&str> {
        self.unmarked.as_deref()
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
        match self.charge_all(vec![plan])?.pop() {
            Some(Payment::Charged(charged)) => Ok(charged),
            Some(Payment::Finished(release)) => Err(ChargeError::Finished(release)),
            None => Err(LedgerError::corrupt(None, "a charge gave nothing").into()),
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
        let bills = plans.into_iter().map(Bill::new).collect::<Result<Vec<Bill>, LedgerError>>()?;
        let folder = self.place.folder().to_owned();
        let path = self.place.path().to_owned();
        let (transaction, mut history) = self.exclusive()?;
        let mut room = 0;
        let mut payments = Vec::with_capacity(bills.len());
        for bill in bills {
            payments.push(pay(&transaction, &mut history, bill, &mut room)?);
        }
        if room > 0 {
            check_room(&path, &folder, room)?;
        }
        transaction.commit().map_err(LedgerError::from)?;
        if room > 0 {
            self.room = hold_room(&folder);
        }
        self.note(&history);
        Ok(payments)
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
        self.room = None;
        let transaction = self.immediate()?;
        artifacts::give_back(&transaction, charge.seq)?;
        transaction.commit()?;
        let (transaction, mut history) = self.exclusive()?;
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
            artifact_bytes: Some(artifact.len() as u64),
        });
        let witness = chain::append(&transaction, &mut history, &body)?;
        transaction.commit()?;
        self.note(&history);
        Ok(witness)
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
        check_reason(reason)?;
        let (transaction, mut history) = self.exclusive()?;
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
        if !history.spent().fit_under(rho_cap, (policy.epsilon_cap(), delta)) {
            return refuse(format!(
                "the ledger holds releases by objective perturbation, which is proved up to a smaller cap than epsilon {}",
                policy.epsilon_cap()
            ));
        }
        let (reason, tool_version) = (reason.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let amendment = Amendment { public_size, policy, delta, rho_cap, reason, tool_version };
        let witness = chain::append(&transaction, &mut history, &Body::Amendment(Box::new(amendment)))?;
        transaction.commit()?;
        self.note(&history);
        Ok(witness)
    }

    /// Accepts that entries are lost for ever which this user saw, in an entry that stays, and counts what they spent as spent:
    /// all that the lost entries spent, or more where it is not known which of them are lost.
    ///
    /// `reason` is public.
    ///
    /// # Errors
    /// [`LedgerError::NothingLost`] if none are, [`LedgerError::Amendment`] if the reason is no line of text.
    pub fn accept_rollback(&mut self, reason: &str) -> Result<Witness, LedgerError> {
        check_reason(reason)?;
        let marks = self.marks.clone();
        let (transaction, mut history) = self.begin()?;
        let lost = marks.lost(&history)?.ok_or(LedgerError::NothingLost)?;
        let rollback = Rollback {
            lost: lost.entry,
            losses: lost.losses,
            reason: reason.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let witness = chain::append(&transaction, &mut history, &Body::Rollback(Box::new(rollback)))?;
        transaction.commit()?;
        self.note(&history);
        Ok(witness)
    }

    /// A transaction for writing, with the ledger verified in it and compared with what this user saw of it.
    fn exclusive(&mut self) -> Result<(Transaction<'_>, History), LedgerError> {
        let marks = self.marks.clone();
        let (transaction, history) = self.begin()?;
        // Marks are raised after a commit, so none is ahead of what this transaction sees.
        marks.compare(&history)?;
        Ok((transaction, history))
    }

    /// A transaction for writing, with the tables brought up to date in it and the ledger verified.
    fn begin(&mut self) -> Result<(Transaction<'_>, History), LedgerError> {
        let transaction = self.immediate()?;
        let history = chain::load(&transaction)?;
        Ok((transaction, history))
    }

    /// A transaction for writing, with the tables brought up to date in it.
    fn immediate(&mut self) -> Result<Transaction<'_>, LedgerError> {
        self.view.place.check()?;
        // `BEGIN IMMEDIATE`: no other process can read the remainder and then charge against it.
        let transaction = self.view.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::migrate(&transaction)?;
        Ok(transaction)
    }

    /// Notes what is on disk now in this user's marks.
    fn note(&mut self, history: &History) {
        self.unmarked = self.marks.raise(history).err();
    }
}

/// A plan, and the entry that will charge it.
struct Bill {
    plan: ReleasePlan,
    body: Body,
}

impl Bill {
    /// Checks what the reader checks of a single charge, before the ledger is held.
    fn new(plan: ReleasePlan) -> Result<Bill, LedgerError> {
        let charge = Charge {
            plan: plan.digest(),
            event: plan.event().clone(),
            guarantee: plan.guarantee().clone(),
            description: plan.description().clone(),
            nonce: Some(entries::nonce()?),
        };
        chain::check_figures(0, &charge).map_err(chain::unreadable)?;
        Ok(Bill { plan, body: Body::Charge(Box::new(charge)) })
    }
}

/// Appends the charge of a plan that was not run before, and reserves room for its release; `room` counts it.
fn pay(
    transaction: &Transaction<'_>,
    history: &mut History,
    Bill { plan, body }: Bill,
    room: &mut usize,
) -> Result<Payment, ChargeError> {
    if let Some(release) = artifacts::find(transaction, history, &plan)? {
        return Ok(Payment::Finished(Box::new(release)));
    }
    if let Some(refusal) = status::refusal(history, &plan)? {
        return Err(ChargeError::Refused(Box::new(refusal)));
    }
    let witness = chain::append(transaction, history, &body)?;
    let bytes = artifacts::room_for(&plan);
    artifacts::reserve(transaction, witness.seq, bytes)?;
    *room += bytes;
    Ok(Payment::Charged(ChargedPlan::new(plan, witness)))
}

/// Room for the journals of a release: what the pages held that it changes. Less than a ledger after a charge has, so that no
/// limit on the size of files is met after one.
const JOURNAL_BYTES: u64 = 64 << 10;

/// Fails, before a charge is committed, when there is no room for what it reserves and for the journals that follow, or when
/// the ledger would grow beyond what readers take.
fn check_room(path: &Path, folder: &Path, reserved: usize) -> Result<(), LedgerError> {
    let bytes = reserved as u64 + JOURNAL_BYTES;
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length + bytes > MAX_LEDGER_BYTES {
        let fact = format!("the ledger has {length} bytes, and may have {MAX_LEDGER_BYTES}");
        return Err(LedgerError::NoRoom { fact, bytes });
    }
    // Where the system does not say, SQLite finds out.
    match free_bytes(folder) {
        Some(free) if free < bytes => {
            Err(LedgerError::NoRoom { fact: format!("{free} bytes are free in {}", folder.display()), bytes })
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// A file without a name that holds room on the disk until it is closed, which is when a release is about to be recorded:
/// other programs may fill the disk in the meantime. The artifact's own room is in the ledger already.
fn hold_room(folder: &Path) -> Option<File> {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(folder).ok()?;
    // Not zeros, which some file systems do not store.
    let block: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    (0..JOURNAL_BYTES / block.len() as u64).try_for_each(|_| file.write_all(&block)).ok()?;
    file.sync_data().ok()?;
    Some(file)
}

/// Fails unless a reason is one line of text.
fn check_reason(reason: &str) -> Result<(), LedgerError> {
    let is_line = (1..=MAX_REASON_LENGTH).contains(&reason.chars().count())
        && !reason.chars().any(char::is_control)
        && !reason.trim().is_empty();
    if is_line {
        return Ok(());
    }
    let fact = format!("the reason is not one line of 1 to {MAX_REASON_LENGTH} characters");
    Err(LedgerError::Amendment { fact })
}

/// Writes a complete one-entry ledger into the empty file at `path`.
fn write_genesis(path: &Path, genesis: Genesis) -> Result<(), LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    schema::create(&transaction)?;
    chain::begin(&transaction, genesis)?;
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

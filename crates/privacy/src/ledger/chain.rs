//! The hash chain: reading all of it, checking all of it, and adding to its end.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entries::{Body, Charge, Genesis, Release, Terms};
use super::{LedgerError, Witness};
use crate::digest::Digest;
use crate::loss::Losses;
use crate::rho::Rho;

/// One verified entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub seq: u64,
    /// When, to the minute, whatever the file has.
    pub recorded_at: String,
    pub hash: Digest,
    pub body: Body,
}

/// A whole verified ledger. Cannot be had unverified.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub genesis: Genesis,
    /// The terms in force at the end.
    pub terms: Terms,
    pub entries: Vec<Entry>,
    pub head: Witness,
}

impl History {
    pub fn charges(&self) -> impl Iterator<Item = (&Entry, &Charge)> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            Body::Charge(charge) => Some((entry, &**charge)),
            _ => None,
        })
    }

    pub fn releases(&self) -> impl Iterator<Item = (&Entry, &Release)> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            Body::Release(release) => Some((entry, release)),
            _ => None,
        })
    }

    pub fn release_of(&self, charge_seq: u64) -> Option<&Release> {
        self.releases().map(|(_, release)| release).find(|release| release.charge_seq == charge_seq)
    }

    /// The latest charge for this plan from which something was released.
    pub fn finished(&self, plan: Digest) -> Option<(&Entry, &Release)> {
        self.charges()
            .filter(|(_, charge)| charge.plan == plan)
            .filter_map(|(entry, _)| Some((entry, self.release_of(entry.seq)?)))
            .last()
    }

    /// Entries that were recorded at an earlier time than the one before them. Their order is that of the
    /// chain, so this spoils nothing; it says that a clock was wrong.
    pub fn clock_went_back(&self) -> Vec<u64> {
        let time = |entry: &Entry| Timestamp::from_str(&entry.recorded_at).ok();
        self.entries
            .windows(2)
            .filter(|pair| time(&pair[1]) < time(&pair[0]))
            .map(|pair| pair[1].seq)
            .collect()
    }

    /// Recomputes the epsilon that each charge states from what it says was done.
    pub fn verify_figures(&self) -> Result<(), LedgerError> {
        self.charges().try_for_each(|(entry, charge)| check_figures(entry.seq, charge))
    }

    /// The ledger as it was when the entry `seq` was the last.
    pub fn ended_at(mut self, seq: u64) -> Result<History, LedgerError> {
        let known = usize::try_from(seq).ok().filter(|&index| index < self.entries.len());
        let Some(last) = known else {
            return Err(LedgerError::RolledBack { head: self.head.seq, witness: seq });
        };
        self.entries.truncate(last + 1);
        let (_, terms) = check_terms(&self.entries)?;
        let head = Witness { seq, hash: self.entries[last].hash };
        Ok(History { terms, head, ..self })
    }

    /// The sum over all charges and all that is known to be lost, recomputed each time.
    pub fn spent(&self) -> Losses {
        self.entries.iter().filter_map(|entry| entry.body.losses()).fold(Losses::NONE, Losses::plus)
    }

    /// The hash of the first entry, which no two ledgers have in common.
    pub fn genesis_hash(&self) -> Digest {
        self.entries[0].hash
    }

    /// The entry at a place of the chain.
    pub fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(seq).ok()?)
    }

    /// Takes an entry up after the last one, as [`load`] would.
    fn push(&mut self, entry: Entry) -> Result<(), LedgerError> {
        let head = Witness { seq: entry.seq, hash: entry.hash };
        self.entries.push(entry);
        (_, self.terms) = check_terms(&self.entries)?;
        check_releases(&self.entries)?;
        self.head = head;
        Ok(())
    }

    /// What may still be spent.
    pub fn remaining(&self) -> Rho {
        self.terms.rho_cap.checked_sub(self.spent().rho()).unwrap_or(Rho::ZERO)
    }
}

/// Reads and verifies the whole ledger as `connection` sees it.
///
/// The caller holds a transaction, so that entries and head are of the same moment.
pub(super) fn load(connection: &Connection) -> Result<History, LedgerError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut previous = Digest::ZERO;
    let mut statement = connection
        .prepare("SELECT seq, kind, body, recorded_at, previous, hash FROM entries ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let expected_seq = entries.len() as u64;
        let stored_seq: i64 = row.get("seq")?;
        if u64::try_from(stored_seq) != Ok(expected_seq) {
            let fact = format!("entry {stored_seq} stands where {expected_seq} belongs");
            return Err(LedgerError::corrupt(expected_seq, fact));
        }
        let stored = StoredEntry {
            seq: expected_seq,
            kind: row.get("kind")?,
            body: row.get("body")?,
            recorded_at: row.get("recorded_at")?,
        };
        let stored_previous: String = row.get("previous")?;
        let stored_hash: String = row.get("hash")?;
        let hash = stored.hash(previous);
        if stored_previous != previous.to_string() || stored_hash != hash.to_string() {
            let fact = "its hash does not match its content and the entry before it";
            return Err(LedgerError::corrupt(expected_seq, fact));
        }
        entries.push(stored.parse(hash)?);
        previous = hash;
    }
    let (genesis, terms) = check_terms(&entries)?;
    check_releases(&entries)?;
    let head = check_head(connection, &entries)?;
    Ok(History { genesis, terms, entries, head })
}

/// Adds an entry after the end of `history`, within the caller's exclusive transaction, and takes it up there.
///
/// What is written is first read by the reader's own code, so that no entry is written that it would refuse.
///
/// # Errors
/// [`LedgerError::Unreadable`] with the reader's words.
pub(super) fn append(
    transaction: &Transaction<'_>,
    history: &mut History,
    body: &Body,
) -> Result<Witness, LedgerError> {
    append_at(transaction, history, body, time_of(SystemTime::now())?)
}

/// What a clock shows, if a ledger may say so.
fn time_of(clock: SystemTime) -> Result<Timestamp, LedgerError> {
    let time = Timestamp::try_from(clock).ok().filter(|time| *time >= Timestamp::UNIX_EPOCH);
    time.ok_or(LedgerError::Clock)
}

/// The same at a given time. Nothing depends on the time: the order is that of the chain.
fn append_at(
    transaction: &Transaction<'_>,
    history: &mut History,
    body: &Body,
    now: Timestamp,
) -> Result<Witness, LedgerError> {
    let Witness { seq, hash: previous } = history.head;
    let (stored, entry) = StoredEntry::new(seq + 1, previous, body, now)?;
    history.push(entry).map_err(unreadable)?;
    insert(transaction, &stored, previous, history.head)?;
    Ok(history.head)
}

/// Writes the first entry.
///
/// # Errors
/// As [`append`].
pub(super) fn begin(transaction: &Transaction<'_>, genesis: Genesis) -> Result<(), LedgerError> {
    begin_at(transaction, genesis, Timestamp::now()).map(drop)
}

fn begin_at(transaction: &Transaction<'_>, genesis: Genesis, now: Timestamp) -> Result<History, LedgerError> {
    let body = Body::Genesis(Box::new(genesis));
    let (stored, entry) = StoredEntry::new(0, Digest::ZERO, &body, now)?;
    let head = Witness { seq: 0, hash: entry.hash };
    let entries = vec![entry];
    let (genesis, terms) = check_terms(&entries).map_err(unreadable)?;
    insert(transaction, &stored, Digest::ZERO, head)?;
    Ok(History { genesis, terms, entries, head })
}

fn insert(
    transaction: &Transaction<'_>,
    stored: &StoredEntry,
    previous: Digest,
    Witness { seq, hash }: Witness,
) -> Result<(), LedgerError> {
    transaction.execute(
        "INSERT INTO entries (seq, kind, body, recorded_at, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            seq as i64,
            stored.kind,
            stored.body,
            stored.recorded_at,
            previous.to_string(),
            hash.to_string()
        ],
    )?;
    transaction.execute(
        "INSERT INTO head (id, seq, hash) VALUES (0, ?1, ?2)
         ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        params![seq as i64, hash.to_string()],
    )?;
    Ok(())
}

/// What a reader would say of an entry, in the words for whoever wants to write it.
pub(super) fn unreadable(error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Corrupt { fact, .. } => LedgerError::Unreadable { fact },
        other => other,
    }
}

/// Checks that the epsilon that a charge states is that of what it says was done.
pub(super) fn check_figures(seq: u64, charge: &Charge) -> Result<(), LedgerError> {
    let follows = charge.guarantee.follows_from(&charge.event);
    if follows.map_err(|error| LedgerError::corrupt(seq, error))? {
        return Ok(());
    }
    Err(LedgerError::corrupt(seq, "its epsilon is not that of what was done"))
}

/// A time in UTC, cut to the minute: the only form in which a ledger writes or tells one. Between a charge and its release
/// lies the training on private data, whose duration is nobody's business.
///
/// # Errors
/// `None` unless it is an RFC 3339 time.
pub fn to_the_minute(time: &str) -> Option<String> {
    minute(Timestamp::from_str(time).ok()?)
}

fn minute(time: Timestamp) -> Option<String> {
    let minute = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Floor);
    Some(time.round(minute).ok()?.to_string())
}

/// An entry as it lies in the file.
struct StoredEntry {
    seq: u64,
    kind: String,
    body: String,
    recorded_at: String,
}

impl StoredEntry {
    /// An entry that is to be written, and how it will be read.
    fn new(
        seq: u64,
        previous: Digest,
        body: &Body,
        now: Timestamp,
    ) -> Result<(StoredEntry, Entry), LedgerError> {
        let recorded_at = minute(now).unwrap_or_else(|| now.to_string());
        let stored = || StoredEntry {
            seq,
            kind: body.kind().as_str().to_owned(),
            body: body.to_json(),
            recorded_at: recorded_at.clone(),
        };
        let hash = stored().hash(previous);
        let entry = stored().parse(hash).map_err(unreadable)?;
        if entry.body != *body {
            return Err(LedgerError::Unreadable { fact: "a number changes when it is written".to_owned() });
        }
        Ok((stored(), entry))
    }

    /// SHA-256 over all of the entry and the hash before it, each part with its length.
    fn hash(&self, previous: Digest) -> Digest {
        Digest::of_fields(
            "cryptotl ledger entry 1",
            &[
                &self.seq.to_le_bytes(),
                self.kind.as_bytes(),
                self.body.as_bytes(),
                self.recorded_at.as_bytes(),
                previous.to_string().as_bytes(),
            ],
        )
    }

    fn parse(self, hash: Digest) -> Result<Entry, LedgerError> {
        let recorded_at = to_the_minute(&self.recorded_at)
            .ok_or_else(|| LedgerError::corrupt(self.seq, "its time is not an RFC 3339 time"))?;
        let body = Body::from_json(self.seq, &self.kind, &self.body)?;
        Ok(Entry { seq: self.seq, recorded_at, hash, body })
    }
}

/// The first entry is the only genesis, the numbers of all terms follow from their policies, and every
/// charge is on the terms of its time. Gives the genesis and the terms at the end.
fn check_terms(entries: &[Entry]) -> Result<(Genesis, Terms), LedgerError> {
    let Some(Entry { body: Body::Genesis(genesis), .. }) = entries.first() else {
        return Err(LedgerError::corrupt(0, "the first entry is not the genesis"));
    };
    let mut terms = Terms::from(&**genesis);
    let mut spent = Losses::NONE;
    terms.check(0, &spent)?;
    for entry in &entries[1..] {
        match &entry.body {
            Body::Genesis(_) => {
                return Err(LedgerError::corrupt(entry.seq, "a second genesis"));
            }
            Body::Charge(charge) => {
                let policy = &terms.policy;
                let expected = (policy.unit(), policy.adjacency(), terms.delta, policy.accountant());
                let found = &charge.guarantee;
                if (found.unit, found.adjacency, found.delta, found.proof.accountant()) != expected {
                    let fact = "a charge with another unit, adjacency, delta or accountant than the ledger's";
                    return Err(LedgerError::corrupt(entry.seq, fact));
                }
            }
            Body::Amendment(amendment) => {
                if !terms.count_the_same(&amendment.policy) {
                    let fact = "an amendment that changes unit or adjacency";
                    return Err(LedgerError::corrupt(entry.seq, fact));
                }
                terms = amendment.terms(spent.order());
                terms.check(entry.seq, &spent)?;
            }
            Body::Release(_) | Body::Rollback(_) => {}
        }
        spent = entry.body.losses().map_or(spent, |losses| spent.plus(losses));
    }
    Ok(((**genesis).clone(), terms))
}

/// Every release belongs to an earlier charge, and no charge was released twice.
fn check_releases(entries: &[Entry]) -> Result<(), LedgerError> {
    let mut released = HashSet::new();
    for entry in entries {
        let Body::Release(release) = &entry.body else { continue };
        let charge = usize::try_from(release.charge_seq)
            .ok()
            .and_then(|seq| entries.get(seq))
            .filter(|charge| charge.seq < entry.seq && matches!(charge.body, Body::Charge(_)));
        if charge.is_none_or(|charge| charge.hash != release.charge_hash) {
            return Err(LedgerError::corrupt(entry.seq, "a release without its charge"));
        }
        if !released.insert(release.charge_seq) {
            return Err(LedgerError::corrupt(entry.seq, "a second release from one charge"));
        }
    }
    Ok(())
}

/// The head row names the last entry. Without it, a page that lost its last cells would read as a
/// shorter and perfectly valid chain.
fn check_head(connection: &Connection, entries: &[Entry]) -> Result<Witness, LedgerError> {
    let stored: Option<(i64, String)> = connection
        .query_row("SELECT seq, hash FROM head WHERE id = 0", [], |row| {
            Ok((row.get("seq")?, row.get("hash")?))
        })
        .optional()?;
    let last = entries.last().ok_or_else(|| LedgerError::corrupt(None, "it has no entries"))?;
    match stored {
        Some((seq, hash)) if seq == last.seq as i64 && hash == last.hash.to_string() => {
            Ok(Witness { seq: last.seq, hash: last.hash })
        }
        _ => Err(LedgerError::corrupt(None, "the last entry is not the one that the head names")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::Amendment;
    use super::super::schema;
    use super::*;
    use crate::accountant::Accountant;
    use crate::config::Policy;
    use crate::guarantee::{Adjacency, Epsilon, Guarantee, PrivacyUnit, Proof};
    use crate::plan::{Description, ReleasePlan, SampledSumRequest, SumRequest};
    use std::time::Duration;

    #[test]
    fn a_clock_out_of_range_is_refused_and_does_not_panic() {
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (clock, fits) in [
            (after(0), true),
            (after(253_402_207_199), true),
            (SystemTime::UNIX_EPOCH - Duration::from_secs(1), false),
            (after(253_402_400_000), false),
            (after(1 << 45), false),
        ] {
            match time_of(clock) {
                Ok(_) => assert!(fits, "{clock:?}"),
                Err(error) => assert!(!fits && error.to_string().contains("clock"), "{clock:?}: {error}"),
            }
        }
    }

    /// A policy with one line more.
    fn policy(line: &str) -> Policy {
        Policy::from_toml(&format!(
            r#"
            version = 1
            name = "test"
            unit = "record"
            adjacency = "add-remove"
            epsilon_cap = 2.0
            epsilon_per_release_max = 1.0
            delta = 1e-5
            {line}
            "#
        ))
        .unwrap()
    }

    /// A ledger in memory with one charge, whose guarantee is what `alter` makes of the plan's. The chain is sound.
    fn charged(
        policy: &Policy,
        plan: &ReleasePlan,
        alter: impl Fn(&mut Guarantee),
    ) -> Result<History, LedgerError> {
        let Terms { public_size, policy, delta, rho_cap, .. } =
            Terms::new(policy, 1000, &Losses::NONE).unwrap();
        let (population, tool_version, rng) = ("p".to_owned(), "0".to_owned(), "none".to_owned());
        let nonce = None;
        let genesis = Genesis { population, public_size, policy, delta, rho_cap, tool_version, rng, nonce };
        let mut guarantee = plan.guarantee().clone();
        alter(&mut guarantee);
        let charge = Charge {
            plan: plan.digest(),
            event: plan.event().clone(),
            guarantee,
            description: plan.description().clone(),
            nonce: None,
        };
        let mut connection = Connection::open_in_memory().unwrap();
        let transaction = connection.transaction().unwrap();
        schema::create(&transaction).unwrap();
        begin(&transaction, genesis)?;
        let mut history = load(&transaction)?;
        append(&transaction, &mut history, &Body::Charge(Box::new(charge)))?;
        let read = load(&transaction)?;
        assert_eq!((&history.entries, &history.terms, history.head), (&read.entries, &read.terms, read.head));
        Ok(read)
    }

    #[test]
    fn a_figure_that_does_not_follow_from_what_was_done_is_found() {
        let epsilon = Epsilon::new(0.5).unwrap();
        let delta = policy("").delta(1000).unwrap();
        let request = |accountant: Accountant| SumRequest {
            epsilon,
            delta,
            accountant,
            dimension: 2,
            clipping_norm: 1.0,
            slack: 0.0,
            steps: 3,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            description: Description::new(),
        };
        let sampled = SampledSumRequest {
            epsilon,
            delta,
            dimension: 2,
            clipping_norm: 1.0,
            sampling_rate: 0.1,
            steps: 3,
            order: 32.try_into().unwrap(),
            unit: PrivacyUnit::Record,
            description: Description::new(),
        };
        let (zcdp, gdp) = (policy(""), policy("accountant = \"gdp\""));
        let plans = [
            (&zcdp, ReleasePlan::gaussian_sums(request(Accountant::Zcdp)).unwrap()),
            (&zcdp, ReleasePlan::laplace_sums(request(Accountant::Zcdp)).unwrap()),
            (&gdp, ReleasePlan::gaussian_sums(request(Accountant::Gdp)).unwrap()),
            (&zcdp, ReleasePlan::sampled_gaussian_sums(sampled).unwrap()),
        ];
        for (policy, plan) in plans {
            let history = |alter: &dyn Fn(&mut Guarantee)| charged(policy, &plan, alter);
            history(&|_| ()).unwrap().verify_figures().unwrap();
            for factor in [0.5, 0.9999, 1.01] {
                let altered = history(&|g| g.epsilon = Epsilon::new(g.epsilon.get() * factor).unwrap());
                let error = altered.unwrap().verify_figures().unwrap_err();
                assert!(matches!(error, LedgerError::Corrupt { seq: Some(1), .. }), "{plan}: {error}");
            }
            // A theory that the ledger does not count by, a loss and an order of another event are noticed at once.
            let other = match plan.guarantee().proof {
                Proof::Gdp => Proof::Zcdp,
                _ => Proof::Gdp,
            };
            assert!(history(&|g| g.proof = other).is_err());
            assert!(history(&|g| g.rho = Rho::from_units(1)).is_err());
            let order = plan.guarantee().order.map_or(Some(2.try_into().unwrap()), |_| None);
            assert!(history(&|g| g.order = order).is_err());
            // Another theory of the same family changes the figure.
            let sibling = match plan.guarantee().proof {
                Proof::Zcdp => Proof::Pld,
                Proof::Pld => Proof::Zcdp,
                other => other,
            };
            if sibling != plan.guarantee().proof {
                assert!(history(&|g| g.proof = sibling).unwrap().verify_figures().is_err());
            }
        }
    }

    /// A ledger in memory whose entries were recorded in the given years.
    fn recorded_in(years: &[u16]) -> History {
        let Terms { public_size, policy, delta, rho_cap, .. } =
            Terms::new(&policy(""), 1000, &Losses::NONE).unwrap();
        let tool_version = "0".to_owned();
        let mut connection = Connection::open_in_memory().unwrap();
        let transaction = connection.transaction().unwrap();
        schema::create(&transaction).unwrap();
        let times = years.iter().map(|year| format!("{year}-01-01T00:00:59.999Z").parse().unwrap());
        let (population, rng, nonce) = ("p".to_owned(), "none".to_owned(), None);
        let mut history: Option<History> = None;
        for (seq, now) in times.enumerate() {
            let (policy, tool_version) = (policy.clone(), tool_version.clone());
            let Some(history) = &mut history else {
                let (population, rng) = (population.clone(), rng.clone());
                let genesis =
                    Genesis { population, public_size, policy, delta, rho_cap, tool_version, rng, nonce };
                history = Some(begin_at(&transaction, genesis, now).unwrap());
                continue;
            };
            let (public_size, reason) = (public_size + seq as u64, "growth".to_owned());
            let amendment = Amendment { public_size, policy, delta, rho_cap, reason, tool_version };
            append_at(&transaction, history, &Body::Amendment(Box::new(amendment)), now).unwrap();
        }
        let history = history.unwrap();
        assert_eq!(load(&transaction).unwrap().entries, history.entries);
        history
    }

    #[test]
    fn no_time_is_finer_than_a_minute() {
        let history = recorded_in(&[2030]);
        assert_eq!(history.entries[0].recorded_at, "2030-01-01T00:00:00Z");
        for (time, minute) in [
            ("2026-09-14T12:34:56.123456789Z", "2026-09-14T12:34:00Z"),
            ("2026-09-14T12:34:00Z", "2026-09-14T12:34:00Z"),
            ("2026-09-14T12:34:56+02:00", "2026-09-14T10:34:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:00Z"),
        ] {
            assert_eq!(to_the_minute(time).as_deref(), Some(minute), "{time}");
        }
        for time in ["", "yesterday", "2026-09-14"] {
            assert_eq!(to_the_minute(time), None, "{time}");
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_changes_no_order() {
        let history = recorded_in(&[2030, 2010, 2020, 2020, 1999]);
        assert_eq!(history.clock_went_back(), [1, 4]);
        // The last in the chain is in force, not the last by the clock.
        assert_eq!(history.terms.public_size, 1004);
        assert_eq!(history.head.seq, 4);
        // As of an earlier entry, its terms are in force and it is the last.
        let earlier = history.clone().ended_at(2).unwrap();
        assert_eq!((earlier.terms.public_size, earlier.head.seq, earlier.entries.len()), (1002, 2, 3));
        assert_eq!(earlier.head.hash, history.entries[2].hash);
        assert!(matches!(history.ended_at(5), Err(LedgerError::RolledBack { head: 4, witness: 5 })));
        assert!(recorded_in(&[2020, 2021]).clock_went_back().is_empty());
    }
}

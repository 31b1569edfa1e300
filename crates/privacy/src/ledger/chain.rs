//! The hash chain: reading all of it, checking all of it, and adding to its end.

use std::collections::HashSet;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::entries::{Body, Charge, Genesis, Release};
use super::{LedgerError, Witness};
use crate::accountant::zcdp;
use crate::digest::Digest;
use crate::guarantee::Epsilon;
use crate::rho::Rho;

/// One verified entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub seq: u64,
    pub recorded_at: String,
    pub hash: Digest,
    pub body: Body,
}

/// A whole verified ledger. Cannot be had unverified.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub genesis: Genesis,
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

    pub fn release_of(&self, charge_seq: u64) -> Option<&Release> {
        self.entries.iter().find_map(|entry| match &entry.body {
            Body::Release(release) if release.charge_seq == charge_seq => Some(release),
            _ => None,
        })
    }

    /// The sum over all charges, recomputed each time. A total beyond [`Rho::MAX`] counts as that.
    pub fn spent(&self) -> Rho {
        self.charges()
            .fold(Rho::ZERO, |spent, (_, charge)| spent.checked_add(charge.event.rho()).unwrap_or(Rho::MAX))
    }

    /// What may still be spent.
    pub fn remaining(&self) -> Rho {
        self.genesis.rho_cap.checked_sub(self.spent()).unwrap_or(Rho::ZERO)
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
    let genesis = check_terms(&entries)?;
    check_releases(&entries)?;
    let head = check_head(connection, &entries)?;
    Ok(History { genesis, entries, head })
}

/// Adds an entry after the end of `history`, within the caller's exclusive transaction.
pub(super) fn append(
    transaction: &Transaction<'_>,
    history: Option<&History>,
    body: &Body,
) -> Result<Witness, LedgerError> {
    let (seq, previous) = match history {
        Some(history) => (history.head.seq + 1, history.head.hash),
        None => (0, Digest::ZERO),
    };
    let stored = StoredEntry {
        seq,
        kind: body.kind().as_str().to_owned(),
        body: body.to_json(),
        recorded_at: Timestamp::now().to_string(),
    };
    let hash = stored.hash(previous);
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
    Ok(Witness { seq, hash })
}

/// An entry as it lies in the file.
struct StoredEntry {
    seq: u64,
    kind: String,
    body: String,
    recorded_at: String,
}

impl StoredEntry {
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
        if Timestamp::from_str(&self.recorded_at).is_err() {
            return Err(LedgerError::corrupt(self.seq, "its time is not an RFC 3339 time"));
        }
        let body = Body::from_json(self.seq, &self.kind, &self.body)?;
        Ok(Entry { seq: self.seq, recorded_at: self.recorded_at, hash, body })
    }
}

/// The first entry is the only genesis, and its numbers follow from its policy; every charge is on
/// its terms.
fn check_terms(entries: &[Entry]) -> Result<Genesis, LedgerError> {
    let Some(Entry { body: Body::Genesis(genesis), .. }) = entries.first() else {
        return Err(LedgerError::corrupt(0, "the first entry is not the genesis"));
    };
    let delta = genesis.policy.delta(genesis.public_size).map_err(|e| LedgerError::corrupt(0, e))?;
    // A little room, so that a later version of the accountant does not condemn an old ledger.
    let cap = Epsilon::new(genesis.policy.epsilon_cap().get() * (1.0 + 1e-6))
        .map_err(|e| LedgerError::corrupt(0, e))?;
    let is_on_terms = genesis.delta == delta && zcdp::delta(genesis.rho_cap, cap)? <= delta.get();
    if !is_on_terms {
        return Err(LedgerError::corrupt(0, "delta or cap does not follow from the policy"));
    }
    for entry in &entries[1..] {
        match &entry.body {
            Body::Genesis(_) => {
                return Err(LedgerError::corrupt(entry.seq, "a second genesis"));
            }
            Body::Charge(charge) => {
                let terms = (genesis.policy.unit(), genesis.policy.adjacency(), genesis.delta);
                let found = &charge.guarantee;
                if (found.unit, found.adjacency, found.delta) != terms {
                    let fact = "a charge with another unit, adjacency or delta than the ledger's";
                    return Err(LedgerError::corrupt(entry.seq, fact));
                }
            }
            Body::Release(_) => {}
        }
    }
    Ok((**genesis).clone())
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

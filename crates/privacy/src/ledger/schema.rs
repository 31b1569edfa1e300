//! The tables of the file and their versions.
//!
//! Version N is what the first N scripts in `schema/` make. A ledger of an older version is read as it is
//! and brought up to date, in one transaction, by the first process that writes to it. A newer one is refused.

use rusqlite::{Connection, Transaction};

use super::LedgerError;

const SCRIPTS: [&str; 3] =
    [include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];
/// The version that this crate writes.
pub(super) const VERSION: i64 = SCRIPTS.len() as i64;
/// From this version on there is a table of artifacts.
pub(super) const WITH_ARTIFACTS: i64 = 2;

/// Makes all tables in an empty file.
pub(super) fn create(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    apply_from(transaction, 0)
}

/// Brings the tables up to date. A no-op for a ledger of this version.
pub(super) fn migrate(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    // Read in the transaction: another process may have done it since this one opened the file.
    apply_from(transaction, version(transaction)?)
}

/// The version of the file.
///
/// # Errors
/// [`LedgerError::SchemaVersion`] if this program does not know it.
pub(super) fn version(connection: &Connection) -> Result<i64, LedgerError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if (1..=VERSION).contains(&found) {
        Ok(found)
    } else {
        Err(LedgerError::SchemaVersion { found, expected: VERSION })
    }
}

/// Compares the file's schema with the one that the scripts up to `version` make, statement by statement.
///
/// To be asked before anything that runs what a schema says, such as SQLite's integrity check, which evaluates constraints.
pub(super) fn check(connection: &Connection, version: i64) -> Result<(), LedgerError> {
    type Row = (String, String, String, Option<String>);
    let read = |connection: &Connection| -> Result<Vec<Row>, rusqlite::Error> {
        connection
            .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect()
    };
    let reference = Connection::open_in_memory()?;
    for script in &SCRIPTS[..version as usize] {
        reference.execute_batch(script)?;
    }
    if read(connection)? == read(&reference)? {
        Ok(())
    } else {
        Err(LedgerError::corrupt(None, "its tables are not those of a ledger"))
    }
}

fn apply_from(transaction: &Transaction<'_>, version: i64) -> Result<(), LedgerError> {
    for script in &SCRIPTS[version as usize..] {
        transaction.execute_batch(script)?;
    }
    if version < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(())
}

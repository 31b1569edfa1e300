//! High-water marks: the latest entries that a user saw of each ledger, kept outside of it.
//!
//! A ledger that was restored from an older copy verifies, and has forgotten what was spent since. Whoever charges it again
//! finds out here: the mark of the ledger, by the hash of its first entry, is compared before each write and raised after.
//! It is never ahead of what is on disk, and a copy that went on elsewhere is simply further.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::History;
use super::entries::Body;
use super::{LedgerError, Witness};
use crate::loss::Losses;

/// The environment variable that names the folder of this program's state in place of the user's own.
pub const STATE_VARIABLE: &str = "CRYPTOTL_STATE";
/// The entries that a mark remembers, the latest ones: enough to tell what was spent after an older copy.
const MAX_POINTS: usize = 64;
/// The largest mark that is read.
const MAX_MARK_BYTES: u64 = 1 << 16;
const FORMAT: &str = "cryptotl-ledger-mark";
const VERSION: u32 = 1;

/// The folder of one user's marks.
#[derive(Clone, Debug)]
pub struct Marks {
    folder: Result<PathBuf, String>,
}

/// What a user saw of one ledger, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: String,
    version: u32,
    points: Vec<Point>,
}

/// An entry, and what was spent up to it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    entry: Witness,
    spent: Losses,
}

/// What a ledger lost, as far as the mark tells.
pub(super) struct Lost {
    /// The latest entry that is lost.
    pub entry: Witness,
    /// What the lost entries spent, or more.
    pub losses: Losses,
}

impl Marks {
    /// The marks of the user of this process: in the folder that the variable `CRYPTOTL_STATE` names, else in
    /// `$XDG_STATE_HOME/cryptotl`, else in `~/.local/state/cryptotl`.
    ///
    /// A process without a home has none, and rollbacks are not noticed by it: [`super::Ledger::unmarked`] says so.
    pub fn of_this_user() -> Marks {
        let named = std::env::var_os(STATE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let own = || Some(dirs::state_dir().or_else(dirs::data_local_dir)?.join("cryptotl"));
        match named.or_else(own) {
            Some(state) => Marks::in_folder(state),
            None => Marks { folder: Err("this user has no home folder".to_owned()) },
        }
    }

    /// Marks in another folder, which is made when the first one is written.
    pub fn in_folder(state: impl AsRef<Path>) -> Marks {
        Marks { folder: Ok(state.as_ref().join("ledgers")) }
    }

    /// What a ledger lost since this user last wrote to it; `None` if it has all of it.
    ///
    /// # Errors
    /// [`LedgerError::Mark`] if the mark cannot be understood. One that cannot be read at all is as none.
    pub(super) fn lost(&self, history: &History) -> Result<Option<Lost>, LedgerError> {
        let Some(path) = self.path(history) else { return Ok(None) };
        let Some(points) = read(&path)? else { return Ok(None) };
        let Some(latest) = points.last() else { return Ok(None) };
        let is_there = |point: &Point| {
            history.entry(point.entry.seq).is_some_and(|entry| entry.hash == point.entry.hash)
        };
        if is_there(latest) || is_accepted(history, latest.entry) {
            return Ok(None);
        }
        // What is common to both is counted already; where nothing is known to be, nothing is taken off.
        let common = points.iter().rev().find(|point| is_there(point));
        let losses = common.map_or(latest.spent, |common| latest.spent.since(common.spent));
        Ok(Some(Lost { entry: latest.entry, losses }))
    }

    /// Fails when the ledger lost entries.
    pub(super) fn compare(&self, history: &History) -> Result<(), LedgerError> {
        let (Some(lost), Some(place)) = (self.lost(history)?, self.path(history)) else { return Ok(()) };
        let Witness { seq, hash: mark } = lost.entry;
        Err(match history.entry(seq) {
            None => LedgerError::Behind { head: history.head.seq, mark: seq, place },
            Some(entry) => LedgerError::Diverged { seq, found: entry.hash, mark, place },
        })
    }

    /// Notes the last entry of a ledger, after it is on disk; a mark is never lowered, unless what it tells of is lost and was
    /// accepted to be.
    ///
    /// # Errors
    /// Why it could not be.
    pub(super) fn raise(&self, history: &History) -> Result<(), String> {
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        let path = folder.join(history.genesis_hash().to_string());
        let told = |error: io::Error| format!("{}: {error}", folder.display());
        make_folder(folder).map_err(told)?;
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(folder.join(".lock"))
            .map_err(told)?;
        lock.lock().map_err(told)?;
        let mut points = read(&path).map_err(|error| error.to_string())?.unwrap_or_default();
        let holds =
            |point: &Point| history.entry(point.entry.seq).is_some_and(|e| e.hash == point.entry.hash);
        match points.last() {
            // Another process of this user was faster.
            Some(latest) if latest.entry.seq >= history.head.seq && !is_accepted(history, latest.entry) => {
                return Ok(());
            }
            _ => points.retain(holds),
        }
        points.push(Point { entry: history.head, spent: history.spent() });
        points.drain(..points.len().saturating_sub(MAX_POINTS));
        write(&path, &points).map_err(told)
    }

    fn path(&self, history: &History) -> Option<PathBuf> {
        Some(self.folder.as_ref().ok()?.join(history.genesis_hash().to_string()))
    }
}

/// Whether a ledger says that an entry is lost.
fn is_accepted(history: &History, lost: Witness) -> bool {
    history.entries.iter().any(|entry| matches!(&entry.body, Body::Rollback(found) if found.lost == lost))
}

/// The points of a mark; `None` if there is no mark, or none that this process may read.
fn read(path: &Path) -> Result<Option<Vec<Point>>, LedgerError> {
    let unusable = |fact: String| LedgerError::Mark { path: path.to_owned(), fact };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(unusable("it is not a regular file".to_owned())),
        Ok(metadata) if metadata.len() > MAX_MARK_BYTES => {
            return Err(unusable(format!("it has {} bytes", metadata.len())));
        }
        Ok(_) => {}
        Err(_) => return Ok(None),
    }
    let text = match fs::read_to_string(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        other => other.map_err(|error| unusable(error.to_string()))?,
    };
    let mark: Mark = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if mark.format != FORMAT || mark.version != VERSION {
        return Err(unusable(format!("it is version {} of {:?}", mark.version, mark.format)));
    }
    Ok(Some(mark.points))
}

/// Replaces a mark; the caller holds the folder's lock.
fn write(path: &Path, points: &[Point]) -> io::Result<()> {
    let mark = Mark { format: FORMAT.to_owned(), version: VERSION, points: points.to_vec() };
    let draft = path.with_extension("new");
    let mut file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(&draft)?;
    file.write_all(serde_json::to_string(&mark)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // Not every system can sync a folder.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

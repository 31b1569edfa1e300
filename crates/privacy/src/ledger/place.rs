//! The file of a ledger and what lies beside it, looked at before SQLite does anything.
//!
//! SQLite acts on what it finds: it plays back a journal that a crash left, and deletes the file that such a journal names
//! as its super-journal. So what this program never writes is refused here, by name.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::LedgerError;

/// The largest ledger that is read, and so the largest that is written: readers hold all of it in memory.
pub const MAX_LEDGER_BYTES: u64 = 1 << 30;
/// The first bytes of every SQLite file.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The first bytes of every rollback journal of SQLite, and the last of one that names a super-journal.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// The length of SQLite's file header.
const HEADER: usize = 100;

/// A ledger's file, under the name that symbolic links lead to: all of SQLite's files are beside that one.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was given, for people.
    given: PathBuf,
    path: PathBuf,
    /// Device and number of the file, so that another one under the same name is noticed.
    identity: (u64, u64),
}

impl Place {
    /// Finds the file and refuses what cannot be a ledger, and what must not lie beside one.
    pub fn find(path: &Path) -> Result<Place, LedgerError> {
        let resolved = fs::canonicalize(path).map_err(|error| missing_or("finding", path, error))?;
        let metadata = fs::metadata(&resolved).map_err(|error| missing_or("reading", path, error))?;
        check_file(path, &metadata)?;
        let place = Place { given: path.to_owned(), path: resolved, identity: identity(&metadata) };
        place.check_beside()?;
        Ok(place)
    }

    /// What the file is called in messages.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Checks again, before SQLite looks at the file anew: nothing may have been put beside it or in its place.
    pub fn check(&self) -> Result<(), LedgerError> {
        let moved = || LedgerError::Moved { path: self.given.clone() };
        let metadata = match fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(moved()),
            other => other.map_err(|error| missing_or("reading", &self.path, error))?,
        };
        if identity(&metadata) != self.identity {
            return Err(moved());
        }
        check_links(&self.given, &metadata)?;
        self.check_beside()
    }

    /// Where SQLite writes its journal.
    pub fn journal(&self) -> PathBuf {
        self.beside("-journal")
    }

    /// Whether a journal lies beside the file that SQLite would play back, if no other process is writing it.
    pub fn has_journal(&self) -> Result<bool, LedgerError> {
        let path = self.journal();
        let refuse = |fact: &str| Err(LedgerError::Beside { path: path.clone(), fact: fact.to_owned() });
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LedgerError::Io { action: "reading", path, source: error }),
            Ok(metadata) if !metadata.is_file() => return refuse("it is not a regular file"),
            Ok(_) => {}
        }
        match ends_of(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LedgerError::Io { action: "reading", path, source: error }),
            // SQLite takes no notice of a journal that begins with a zero: it was finished.
            Ok((start, _)) if start.first().is_none_or(|&byte| byte == 0) => Ok(false),
            Ok((start, _)) if !JOURNAL_MAGIC.starts_with(&start) => refuse("it is no journal of SQLite"),
            Ok((_, Some(end))) if end == JOURNAL_MAGIC => {
                refuse("it names a further file, which SQLite would delete, and no ledger has such a journal")
            }
            Ok(_) => Ok(true),
        }
    }

    /// Fails when the file is not as long as its header says. The caller holds a lock of SQLite's, so that nobody is
    /// writing.
    pub fn check_length(&self) -> Result<(), LedgerError> {
        let io = |source| LedgerError::Io { action: "reading", path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header)
            .map_err(|_| LedgerError::corrupt(None, "it ends within its first page"))?;
        let number = |at: usize| {
            header[at..at + 4].iter().fold(0_u64, |number, &byte| (number << 8) | u64::from(byte))
        };
        let page = match (u64::from(header[16]) << 8) | u64::from(header[17]) {
            1 => 1 << 16,
            size => size,
        };
        let stated = page * number(28);
        if length == stated && number(24) == number(92) {
            return Ok(());
        }
        Err(LedgerError::corrupt(None, format!("it has {length} bytes, and its header says {stated}")))
    }

    fn check_beside(&self) -> Result<(), LedgerError> {
        for suffix in ["-wal", "-shm"] {
            let path = self.beside(suffix);
            if fs::symlink_metadata(&path).is_ok() {
                let fact =
                    "another program made it, and SQLite would take what it holds for a part of the ledger";
                return Err(LedgerError::Beside { path, fact: fact.to_owned() });
            }
        }
        self.has_journal().map(drop)
    }

    /// SQLite's own name for a file beside this one.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

fn missing_or(action: &'static str, path: &Path, source: std::io::Error) -> LedgerError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => LedgerError::Missing { path },
        _ => LedgerError::Io { action, path, source },
    }
}

/// Tells what is at `path` before SQLite, which would take an empty file for an empty database.
fn check_file(path: &Path, metadata: &Metadata) -> Result<(), LedgerError> {
    let not_ours = |fact: String| Err(LedgerError::NotALedger { path: path.to_owned(), fact });
    if metadata.is_dir() {
        return not_ours("it is a folder".to_owned());
    }
    if !metadata.is_file() {
        return not_ours("it is not a regular file".to_owned());
    }
    if metadata.len() == 0 {
        return not_ours("it is empty".to_owned());
    }
    if metadata.len() > MAX_LEDGER_BYTES {
        let length = metadata.len();
        return not_ours(format!("it has {length} bytes, and a ledger at most {MAX_LEDGER_BYTES}"));
    }
    check_links(path, metadata)?;
    let io = |source| LedgerError::Io { action: "reading", path: path.to_owned(), source };
    let mut header = [0; HEADER];
    let is_whole = File::open(path).map_err(io)?.read_exact(&mut header).is_ok();
    if !is_whole || !header.starts_with(SQLITE_MAGIC) {
        return not_ours("it does not begin like an SQLite file".to_owned());
    }
    // The versions of writing and reading: 2 is a write-ahead log, whose parts lie in other files.
    if header[18..20] != [1, 1] {
        return not_ours("it is in a mode of SQLite that no ledger is in".to_owned());
    }
    Ok(())
}

/// A second name of the file would have a second journal: what one process writes back, another does not see.
#[cfg(unix)]
fn check_links(path: &Path, metadata: &Metadata) -> Result<(), LedgerError> {
    use std::os::unix::fs::MetadataExt;
    match metadata.nlink() {
        0 | 1 => Ok(()),
        names => Err(LedgerError::Linked { path: path.to_owned(), names }),
    }
}

#[cfg(not(unix))]
fn check_links(_: &Path, _: &Metadata) -> Result<(), LedgerError> {
    Ok(())
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// The first bytes of a journal, and the last of one that is long enough to name a super-journal.
fn ends_of(path: &Path) -> std::io::Result<(Vec<u8>, Option<[u8; 8]>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    (&mut file).take(JOURNAL_MAGIC.len() as u64).read_to_end(&mut start)?;
    if length < 16 {
        return Ok((start, None));
    }
    let mut end = [0; JOURNAL_MAGIC.len()];
    file.seek(SeekFrom::End(-(JOURNAL_MAGIC.len() as i64)))?;
    file.read_exact(&mut end)?;
    Ok((start, Some(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("l");
        let connection = rusqlite::Connection::open(&ledger).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(connection);
        let find = |journal: &[u8]| {
            fs::write(folder.path().join("l-journal"), journal).unwrap();
            Place::find(&ledger).and_then(|place| place.has_journal())
        };
        let sane: Vec<u8> = JOURNAL_MAGIC.into_iter().chain([0; 1024]).collect();
        for (journal, expected) in
            [(&[][..], false), (&[0; 600][..], false), (&JOURNAL_MAGIC[..3], true), (&sane[..], true)]
        {
            assert_eq!(find(journal).unwrap(), expected, "{journal:?}");
        }
        let named = [&sane[..], b"../victim\0\0\0\x09\0\0\0\0", &JOURNAL_MAGIC[..]].concat();
        for journal in [&b"no journal"[..], &named, &[&JOURNAL_MAGIC[..], &JOURNAL_MAGIC[..]].concat()] {
            assert!(matches!(find(journal), Err(LedgerError::Beside { .. })), "{journal:?}");
        }
        fs::remove_file(folder.path().join("l-journal")).unwrap();
        fs::create_dir(folder.path().join("l-journal")).unwrap();
        assert!(matches!(Place::find(&ledger), Err(LedgerError::Beside { .. })));
        fs::remove_dir(folder.path().join("l-journal")).unwrap();
        for suffix in ["-wal", "-shm"] {
            let path = folder.path().join(format!("l{suffix}"));
            fs::write(&path, "").unwrap();
            assert!(matches!(Place::find(&ledger), Err(LedgerError::Beside { .. })), "{suffix}");
            fs::remove_file(path).unwrap();
        }
        assert!(Place::find(&ledger).is_ok());
    }
}

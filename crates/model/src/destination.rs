//! What an output may replace, decided in one place for every command.
//!
//! A file may be written where nothing is, or over a regular file that this program wrote of the same kind, which its
//! own first bytes tell. Nothing else is replaced: no ledger, no secret key, nothing that somebody else made, no
//! folder, device, pipe or socket, no symbolic link, and never a file that the same command reads, by whatever name
//! or hard link. [`crate::OutputFile`] is made from a [`Destination`] alone, and that only by this check; it is made
//! again when the file is put in its place.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{ModelError, Result};
use crate::format::{Header, kind_of};
use crate::output_file::{OutputFile, folder_of};

/// How a file of SQLite begins, such as a ledger.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// How a secret key begins.
const SECRET_KEY: &[u8] = b"CTLS";
/// What SQLite appends to a database's name for files of its own, which it deletes.
const SQLITE_SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// A kind of file that this program writes, and how one is told from all others.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    name: &'static str,
    test: Test,
}

#[derive(Debug, Clone, Copy)]
enum Test {
    /// Nothing of this kind is ever replaced.
    Never,
    /// The kind of a safetensors file.
    Document(&'static str),
    /// The first so many bytes.
    Start(u64, fn(&[u8]) -> bool),
}

impl Kind {
    /// A safetensors file with this header.
    pub const fn document<H: Header>(name: &'static str) -> Self {
        Self { name, test: Test::Document(H::KIND) }
    }

    /// A file that is told by its first `bytes` bytes, of which a short one has fewer.
    pub const fn starting(name: &'static str, bytes: u64, is_one: fn(&[u8]) -> bool) -> Self {
        Self { name, test: Test::Start(bytes, is_one) }
    }

    /// A file that is written only where nothing is.
    pub const fn never_replaced(name: &'static str) -> Self {
        Self { name, test: Test::Never }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn recognizes(&self, path: &Path) -> Result<bool> {
        match self.test {
            Test::Never => Ok(false),
            Test::Document(kind) => Ok(kind_of(path)?.is_some_and(|found| found == kind)),
            Test::Start(bytes, is_one) => Ok(is_one(&start_of(path, bytes)?)),
        }
    }
}

/// A file, whatever it is called.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

#[derive(Debug)]
struct Input {
    path: PathBuf,
    identity: Identity,
}

/// The files of one command: what it reads, and what it was allowed to write.
#[derive(Debug, Default)]
pub struct Places {
    inputs: Arc<[Input]>,
    outputs: RefCell<Vec<Destination>>,
}

impl Places {
    /// For a command that reads these files. Those that do not exist are left out.
    pub fn new(inputs: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = |path: PathBuf| {
            let identity = identity(&std::fs::metadata(&path).ok()?);
            Some(Input { path, identity })
        };
        Self { inputs: inputs.into_iter().filter_map(known).collect(), outputs: RefCell::default() }
    }

    /// Checks, before any work, that a file of this kind may be written at `path`.
    ///
    /// # Errors
    /// [`ModelError::Output`] when something is there that must stay, [`ModelError::SameOutput`] when another output of the
    /// command is to be there,
    /// [`ModelError::Io`] when the folder is missing or closed to this process.
    pub fn output(&self, path: &Path, kind: Kind) -> Result<Destination> {
        self.claim(path, kind, self.inputs.clone())
    }

    /// As [`Places::output`], for a command that may put its output in the place of its own `input`.
    ///
    /// # Errors
    /// As for [`Places::output`].
    pub fn output_over(&self, path: &Path, kind: Kind, input: &Path) -> Result<Destination> {
        let exempt = std::fs::metadata(input).ok().map(|metadata| identity(&metadata));
        let others = self.inputs.iter().filter(|other| Some(other.identity) != exempt);
        let others = others.map(|Input { path, identity }| Input { path: path.clone(), identity: *identity });
        self.claim(path, kind, others.collect())
    }

    fn claim(&self, path: &Path, kind: Kind, inputs: Arc<[Input]>) -> Result<Destination> {
        let to = Destination { path: path.to_owned(), kind, inputs };
        to.look()?;
        if let Some(other) = self.outputs.borrow().iter().find(|other| other.is_at(path)) {
            let fact =
                format!("the {} of the same command goes to {}", other.kind.name, other.path.display());
            return Err(ModelError::SameOutput { path: to.path, fact });
        }
        // That the folder can be written to is known only when it is.
        OutputFile::create(&to).map(drop)?;
        self.outputs.borrow_mut().push(to.clone());
        Ok(to)
    }
}

/// A path at which a file of one kind may be written. Only [`Places`] and [`WriteTo`] make one, after the check.
#[derive(Debug, Clone)]
pub struct Destination {
    path: PathBuf,
    kind: Kind,
    inputs: Arc<[Input]>,
}

/// What is at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file that may be replaced.
    Replaceable,
}

impl Destination {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at what is there now.
    pub(crate) fn look(&self) -> Result<Found> {
        let elsewhere = "give the path of a file";
        let bytes = self.path.as_os_str().as_bytes();
        if self.path.file_name().is_none() || bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
            return Err(self.refusal("it is a folder", elsewhere));
        }
        let found = match std::fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return self.refuse_sqlite_names().map(|()| Found::Nothing);
            }
            Err(e) => return Err(ModelError::io("write", &self.path, e)),
        };
        let of_type = found.file_type();
        if of_type.is_symlink() {
            return Err(self.refusal("it is a symbolic link", "give the path of the file that it points to"));
        }
        if of_type.is_dir() {
            return Err(self.refusal("it is a folder", elsewhere));
        }
        if !of_type.is_file() {
            return Err(self.refusal("it is a device, a pipe or a socket", elsewhere));
        }
        if let Some(input) = self.inputs.iter().find(|input| input.identity == identity(&found)) {
            let fact = format!("it is {}, which this command reads", input.path.display());
            return Err(self.refusal(&fact, "give another path"));
        }
        self.refuse_sqlite_names()?;
        self.check_content(found.len()).map(|()| Found::Replaceable)
    }

    /// A file that holds something must be of the same kind.
    fn check_content(&self, length: u64) -> Result<()> {
        let remedy = "give another path, or move the file away";
        if let Test::Never = self.kind.test {
            let fact = format!("something is there already, and a {} replaces nothing", self.kind.name);
            return Err(self.refusal(&fact, remedy));
        }
        if length == 0 || self.kind.recognizes(&self.path)? {
            return Ok(());
        }
        let start = start_of(&self.path, SQLITE.len() as u64)?;
        let what = match () {
            () if start.starts_with(SQLITE) => "it is a ledger or another SQLite database".to_owned(),
            () if start.starts_with(SECRET_KEY) => "it is a secret key".to_owned(),
            () => format!("what is there is no {} that cryptotl wrote", self.kind.name),
        };
        Err(self.refusal(&what, remedy))
    }

    /// A file with such a name would be taken for the database's own, and deleted.
    fn refuse_sqlite_names(&self) -> Result<()> {
        let bytes = self.path.as_os_str().as_bytes();
        let database = SQLITE_SUFFIXES.iter().find_map(|suffix| bytes.strip_suffix(suffix.as_bytes()));
        let Some(database) = database.map(|bytes| Path::new(OsStr::from_bytes(bytes))) else { return Ok(()) };
        let is_database = database.is_file() && start_of(database, 16).is_ok_and(|start| start == SQLITE);
        match is_database {
            true => {
                let fact = format!("this is SQLite's own name for a file of {}", database.display());
                Err(self.refusal(&fact, "give another path"))
            }
            false => Ok(()),
        }
    }

    /// Whether `path` is this place, or the file that is here.
    fn is_at(&self, path: &Path) -> bool {
        let file = |path: &Path| std::fs::symlink_metadata(path).ok().map(|metadata| identity(&metadata));
        let place =
            |path: &Path| Some((std::fs::canonicalize(folder_of(path)).ok()?, path.file_name()?.to_owned()));
        place(&self.path) == place(path) || file(path).is_some_and(|here| file(&self.path) == Some(here))
    }

    pub(crate) fn refusal(&self, fact: &str, remedy: &str) -> ModelError {
        ModelError::Output { path: self.path.clone(), fact: fact.to_owned(), remedy: remedy.to_owned() }
    }
}

/// Where something can be written: a [`Destination`], or for callers without other files a path, which is checked.
pub trait WriteTo {
    /// The place for a file of this kind.
    ///
    /// # Errors
    /// As for [`Places::output`], and [`ModelError::Mismatch`] when it was checked for another kind.
    fn destination(&self, kind: Kind) -> Result<Destination>;
}

impl WriteTo for Destination {
    fn destination(&self, kind: Kind) -> Result<Destination> {
        if self.kind.name == kind.name {
            return Ok(self.clone());
        }
        Err(ModelError::mismatch(
            format!("{} was checked for a {}, not for a {}", self.path.display(), self.kind.name, kind.name),
            "report this as a bug",
        ))
    }
}

impl WriteTo for Path {
    fn destination(&self, kind: Kind) -> Result<Destination> {
        Places::default().output(self, kind)
    }
}

impl WriteTo for PathBuf {
    fn destination(&self, kind: Kind) -> Result<Destination> {
        self.as_path().destination(kind)
    }
}

impl<T: WriteTo + ?Sized> WriteTo for &T {
    fn destination(&self, kind: Kind) -> Result<Destination> {
        (**self).destination(kind)
    }
}

/// The first bytes of a file, at most so many.
fn start_of(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let io = |e| ModelError::io("read", path, e);
    let mut start = Vec::new();
    File::open(path).map_err(io)?.take(bytes).read_to_end(&mut start).map_err(io)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::output_file::write_atomically;

    const OURS: Kind = Kind::starting("note", 8, |start| start.starts_with(b"ours"));
    const ONCE: Kind = Kind::never_replaced("seal");

    fn refused(result: Result<Destination>, fact: &str) {
        let error = result.expect_err(fact).to_string();
        assert!(error.contains(fact), "{error}");
    }

    #[test]
    fn only_a_file_of_the_same_kind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content, fact) in [
            ("foreign", "theirs", "no note that cryptotl wrote"),
            ("ledger", "SQLite format 3\0and more", "SQLite"),
            ("key", "CTLS and more", "secret key"),
        ] {
            std::fs::write(path(name), content).unwrap();
            refused(path(name).destination(OURS), fact);
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), content);
        }
        std::fs::create_dir(path("folder")).unwrap();
        symlink(path("absent"), path("dangling")).unwrap();
        for (name, fact) in [
            ("folder", "folder"),
            ("dangling", "symbolic link"),
            ("new/", "folder"),
            ("ledger-wal", "SQLite"),
        ] {
            refused(path(name).destination(OURS), fact);
        }
        refused(Path::new("/dev/null").destination(OURS), "device");
        std::fs::write(path("mine"), "ours, older").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        for name in ["mine", "empty", "absent", "foreign-wal"] {
            write_atomically(&path(name).destination(OURS).unwrap(), b"ours").unwrap();
            assert_eq!(std::fs::read(path(name)).unwrap(), b"ours");
            refused(path(name).destination(ONCE), "replaces nothing");
        }
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.as_bytes().starts_with(b".")), "nothing is left");
    }

    #[test]
    fn an_input_stays_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("in"), "ours").unwrap();
        std::fs::hard_link(path("in"), path("hard")).unwrap();
        symlink(path("in"), path("soft")).unwrap();
        for given in ["in", "soft", "hard"] {
            let places = Places::new([path(given), path("absent")]);
            for name in ["in", "./in", "d/../in", "hard"] {
                refused(places.output(&path(name), OURS), "which this command reads");
            }
            refused(places.output(&path("soft"), OURS), "symbolic link");
            places.output_over(&path("in"), OURS, &path(given)).unwrap();
        }
        let places = Places::new([path("in")]);
        places.output(&path("out"), OURS).unwrap();
        for name in ["out", "./out", "d/../out"] {
            refused(places.output(&path(name), ONCE), "of its own");
        }
    }

    #[test]
    fn what_appears_meanwhile_stays_and_the_work_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let to = path.destination(OURS).unwrap();
        let mut file = OutputFile::create(&to).unwrap();
        file.write(b"ours").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        let error = file.commit().unwrap_err().to_string();
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        let kept = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| *p != path)
            .unwrap();
        assert!(error.contains(kept.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(kept).unwrap(), b"ours");
        assert!(to.destination(ONCE).is_err(), "checked for another kind");
    }
}

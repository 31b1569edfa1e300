//! Output files that appear complete or not at all.
//!
//! What is written goes to a temporary file beside its place, which only its owner may read; committing
//! syncs it and renames it. A killed process leaves the old file or the new one, and it may leave the temporary
//! file beside it, with what was written so far: `.cryptotl-unfinished-` and six more characters. Nothing
//! reads such a file again, and it may be deleted when no command is running.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::destination::{Destination, Found};
use crate::error::{ModelError, Result};

/// How the name of a temporary file begins.
pub const UNFINISHED: &str = ".cryptotl-unfinished-";

/// A file that is being written and not there yet. Dropping it without a commit leaves nothing.
pub struct OutputFile {
    file: BufWriter<NamedTempFile>,
    to: Destination,
}

impl OutputFile {
    /// Starts a file that will appear at a place that was checked.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the folder is missing or closed to this process.
    pub fn create(to: &Destination) -> Result<Self> {
        let folder = folder_of(to.path());
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).map_err(|e| {
            // The temporary file's own name, which the error carries, would tell its reader nothing.
            let fact = match e.kind() {
                ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
                kind => kind.to_string(),
            };
            ModelError::io("write", to.path(), std::io::Error::new(e.kind(), fact))
        })?;
        Ok(Self { file: BufWriter::new(file), to: to.clone() })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| ModelError::io("write", self.to.path(), e))
    }

    /// Puts the file in its place. The place is looked at once more: if something appeared there that must stay, what
    /// was written is kept beside it, under the name that the error tells.
    ///
    /// # Errors
    /// [`ModelError::Output`] then, [`ModelError::Io`] when it cannot be synced or renamed.
    pub fn commit(self) -> Result<()> {
        self.commit_open().map(drop)
    }

    /// As [`OutputFile::commit`], for a file that goes on growing in its place.
    ///
    /// # Errors
    /// As for [`OutputFile::commit`].
    pub fn commit_open(self) -> Result<File> {
        let (mut file, to) = self.synced()?;
        loop {
            let placed = match to.look() {
                Ok(Found::Replaceable) => file.persist(to.path()),
                Ok(Found::Nothing) => match file.persist_noclobber(to.path()) {
                    Err(e) if e.error.kind() == ErrorKind::AlreadyExists => {
                        file = e.file;
                        continue;
                    }
                    // Not every file system can rename without replacing.
                    Err(e) if e.error.kind() != ErrorKind::NotFound => e.file.persist(to.path()),
                    placed => placed,
                },
                Err(refused) => return Err(kept(file, &to, refused)),
            };
            let placed = placed.map_err(|e| ModelError::io("write", to.path(), e.error))?;
            sync_folder(&to);
            return Ok(placed);
        }
    }

    /// Puts the file in its place, where nothing may be. If something is, nothing is left of this one.
    ///
    /// # Errors
    /// [`ModelError::Io`] when a file is there already, or when it cannot be synced or renamed.
    pub fn commit_new(self) -> Result<()> {
        let (file, to) = self.synced()?;
        file.persist_noclobber(to.path()).map_err(|e| ModelError::io("write", to.path(), e.error))?;
        sync_folder(&to);
        Ok(())
    }

    fn synced(self) -> Result<(NamedTempFile, Destination)> {
        let Self { file, to } = self;
        let io = |e| ModelError::io("write", to.path(), e);
        let file = file.into_inner().map_err(|e| io(e.into_error()))?;
        file.as_file().sync_all().map_err(io)?;
        Ok((file, to))
    }
}

/// Leaves what was written beside a place that must stay as it is.
fn kept(file: NamedTempFile, to: &Destination, refused: ModelError) -> ModelError {
    let (Ok((_, path)), ModelError::Output { fact, .. }) = (file.keep(), &refused) else { return refused };
    let fact = format!("{fact}; it appeared there meanwhile");
    to.refusal(
        &fact,
        &format!("what was to be written is in {}: move it to where you want it", path.display()),
    )
}

/// The rename itself must survive a power cut; a folder that cannot be opened for this is not an error.
fn sync_folder(to: &Destination) {
    if let Ok(folder) = File::open(folder_of(to.path())) {
        let _ = folder.sync_all();
    }
}

/// Writes a whole file.
pub fn write_atomically(to: &Destination, bytes: &[u8]) -> Result<()> {
    let mut file = OutputFile::create(to)?;
    file.write(bytes)?;
    file.commit()
}

/// The path of a file that belongs to another: its own with `suffix` behind it, in the place of a final `.safetensors`.
/// Two files with different names have neighbors with different names, unless they differ in that ending alone.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let stem = name.strip_suffix(b".safetensors").filter(|stem| !stem.is_empty()).unwrap_or(name);
    path.with_file_name(OsString::from_vec([stem, suffix.as_bytes()].concat()))
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{Kind, WriteTo};

    #[test]
    fn a_file_appears_at_its_commit_and_a_new_one_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let to = path.destination(Kind::starting("file", 1, |_| true)).unwrap();
        let mut file = OutputFile::create(&to).unwrap();
        file.write(b"one").unwrap();
        assert!(!path.exists());
        let unfinished = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
        assert!(unfinished.as_bytes().starts_with(UNFINISHED.as_bytes()), "{unfinished:?}");
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        write_atomically(&to, b"two").unwrap();
        let second = OutputFile::create(&to).unwrap();
        assert!(second.commit_new().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        write_atomically(&to, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
    }

    #[test]
    fn neighbors_of_different_files_have_different_names() {
        for (path, neighbor) in [
            ("a/model.safetensors", "a/model.public.safetensors"),
            ("model-1.0", "model-1.0.public.safetensors"),
            ("model-1.1", "model-1.1.public.safetensors"),
            ("model-1.1.safetensors", "model-1.1.public.safetensors"),
            ("model.bin", "model.bin.public.safetensors"),
            ("../.safetensors", "../.safetensors.public.safetensors"),
        ] {
            assert_eq!(beside(Path::new(path), ".public.safetensors"), Path::new(neighbor));
        }
    }
}

//! Output files that appear complete or not at all.
//!
//! What is written goes to a temporary file beside its place, which only its owner may read; committing
//! syncs it and renames it. A killed process leaves the old file or the new one, and it may leave a temporary
//! file `.tmp...` beside it, with what was written so far.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{ModelError, Result};

/// A file that is being written and not there yet. Dropping it without a commit leaves nothing.
pub struct OutputFile {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl OutputFile {
    /// Starts a file that will appear at `path`.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the folder is missing or closed to this process.
    pub fn create(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| {
            // The temporary file's own name, which the error carries, would tell its reader nothing.
            let fact = match e.kind() {
                std::io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
                kind => kind.to_string(),
            };
            ModelError::io("write", path, std::io::Error::new(e.kind(), fact))
        })?;
        Ok(Self { file: BufWriter::new(file), path: path.to_owned() })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| ModelError::io("write", &self.path, e))
    }

    /// Puts the file in its place, over what may be there.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be synced or renamed.
    pub fn commit(self) -> Result<()> {
        self.persist(|file, path| file.persist(path))
    }

    /// Puts the file in its place, where nothing may be.
    ///
    /// # Errors
    /// [`ModelError::Io`] when a file is there already, or as for [`OutputFile::commit`].
    pub fn commit_new(self) -> Result<()> {
        self.persist(|file, path| file.persist_noclobber(path))
    }

    fn persist(
        self,
        put: impl FnOnce(tempfile::NamedTempFile, &Path) -> std::result::Result<File, tempfile::PersistError>,
    ) -> Result<()> {
        let Self { file, path } = self;
        let io = |e| ModelError::io("write", &path, e);
        let file = file.into_inner().map_err(|e| io(e.into_error()))?;
        file.as_file().sync_all().map_err(io)?;
        put(file, &path).map_err(|e| io(e.error))?;
        // The rename itself must survive a power cut; a folder that cannot be opened for this is not an
        // error.
        if let Ok(folder) = File::open(folder_of(&path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Writes a whole file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OutputFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// Fails, before long work starts, when a file could not be written at `path`.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        let e = std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a folder");
        return Err(ModelError::io("write", path, e));
    }
    OutputFile::create(path).map(drop)
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_at_its_commit_and_a_new_one_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"one").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        write_atomically(&path, b"two").unwrap();
        let second = OutputFile::create(&path).unwrap();
        assert!(second.commit_new().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        write_atomically(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
    }
}

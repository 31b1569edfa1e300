//! Input files: opened without waiting for anybody, and never read beyond what is expected of them.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most bytes of a configuration file that a person writes: a policy, a network, a mapping.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Opens a regular file. A FIFO, which would wait for its writer, and a device are refused.
///
/// # Errors
/// The system's, and [`ErrorKind::InvalidInput`] for what is not a file.
pub fn open(path: &Path) -> Result<File> {
    match std::fs::metadata(path)? {
        about if about.is_file() => File::open(path),
        about => Err(refuse(&about)),
    }
}

/// Opens a regular file, or the pipe of a process substitution such as `<(age -d records.age)`, which has its writer
/// already. A FIFO in a folder is refused as by [`open`].
///
/// # Errors
/// As [`open`].
pub fn open_or_pipe(path: &Path) -> Result<File> {
    if is_open_pipe(path) { File::open(path) } else { open(path) }
}

/// Whether a path leads to a pipe that [`open_or_pipe`] reads.
pub fn is_open_pipe(path: &Path) -> bool {
    // A pipe without a name has no place in any folder.
    std::fs::metadata(path).is_ok_and(|about| is_fifo(&about)) && path.canonicalize().is_err()
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and [`ErrorKind::InvalidData`] for a larger one.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::InvalidData, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// The same for a text.
///
/// # Errors
/// As [`read`], and [`ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn refuse(about: &Metadata) -> Error {
    let fact = match about.is_dir() {
        true => "it is a folder",
        false if is_fifo(about) => "it is a named pipe and not a file",
        false => "it is a device and not a file",
    };
    Error::new(ErrorKind::InvalidInput, fact)
}

fn is_fifo(about: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type());
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_cap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abc");
        assert_eq!(read_text(&path, 3).unwrap(), "abc");
        assert!(read(&path, 2).unwrap_err().to_string().contains("more than 2 bytes"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 3).unwrap_err().to_string().contains("UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [&fifo, Path::new("/dev/zero"), Path::new("/dev/null"), folder.path()] {
            for open in [open, open_or_pipe] {
                let error = open(path).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}: {error}", path.display());
            }
        }
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_without_a_name_is_read_where_pipes_may_be() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert!(open(Path::new(&path)).is_err());
        let mut text = String::new();
        open_or_pipe(Path::new(&path)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }
}

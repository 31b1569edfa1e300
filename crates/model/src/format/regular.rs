//! Files that are read more than once.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::error::{ModelError, Result};

/// Opens a file that is read more than once, or from its end. A pipe, terminal or device would give its bytes once, or wait for
/// ever; it is refused before it is opened.
///
/// # Errors
/// [`ModelError::Io`] when it is not a regular file or a link to one, or cannot be read.
pub fn open_regular_file(path: &Path) -> Result<File> {
    let io = |e| ModelError::io("read", path, e);
    let kind = std::fs::metadata(path).map_err(io)?.file_type();
    if kind.is_file() {
        return File::open(path).map_err(io);
    }
    let what = match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let fact = format!("it is {what}, and it is read twice; write it to a file first");
    Err(io(Error::new(ErrorKind::InvalidInput, fact)))
}

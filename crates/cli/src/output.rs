//! What a command prints: one JSON object or words on stdout, errors on stderr. And where it may write files.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use cryptotl_model::{Destination, Kind, Places};
use serde::Serialize;

use crate::exit::{Code, Failure, Result};

/// Where results go, and in which form.
#[derive(Debug)]
pub struct Output {
    json: bool,
    places: Places,
}

impl Output {
    /// JSON or words, and the files that the command line names.
    pub fn new(json: bool, places: Places) -> Self {
        Self { json, places }
    }

    /// Checks, before the work and before any charge, that a file may be written there; see [`Places::output`].
    pub fn file(&self, path: impl AsRef<Path>, kind: Kind) -> Result<Destination> {
        Ok(self.places.output(path.as_ref(), kind)?)
    }

    /// As [`Output::file`], where the output may take the place of this input.
    pub fn file_over(&self, path: impl AsRef<Path>, kind: Kind, input: &Path) -> Result<Destination> {
        Ok(self.places.output_over(path.as_ref(), kind, input)?)
    }

    /// Prints the result of a command: its fields as JSON, or its words.
    pub fn result<T: Serialize + Display>(&self, result: &T) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(result).map_err(|e| Failure::new(Code::Bug, e))?
        } else {
            result.to_string()
        };
        bytes(format!("{text}\n").as_bytes())
    }
}

/// Prints on stdout what is neither words nor JSON.
pub fn bytes(text: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // Whoever read has read enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"), "check where it leads to")),
        Ok(()) => Ok(()),
    }
}

/// Prints an error on stderr.
pub fn complain(message: &str) {
    // There is nobody left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
}

/// Prints on stderr what somebody should know although the command goes on.
pub fn warn(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {message}");
}

/// Prints on stderr what people should know, and what is no error.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "note: {message}");
}

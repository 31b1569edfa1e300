//! What can be wrong with a model or a file, said as a fact, a culprit and a remedy.

use std::path::{Path, PathBuf};

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, ModelError>;

/// An error of the vocabulary: a value that breaks a rule, or a file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A value breaks a rule of its type.
    #[error("{what} is not valid: {fact}; {remedy}")]
    Invalid {
        /// Which value.
        what: String,
        /// What is wrong with it.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file must not be written where it was asked for.
    #[error("cannot write {}: {fact}; {remedy}", path.display())]
    Output {
        /// The path.
        path: PathBuf,
        /// What is there.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// Two outputs of one command would be the same file.
    #[error("cannot write {}: {fact}; give each output a path of its own", path.display())]
    SameOutput {
        /// The path.
        path: PathBuf,
        /// What else goes there.
        fact: String,
    },
    /// A file's bytes are not a well-formed file of the expected kind.
    #[error("{} is not a usable {kind} file: {fact}; {remedy}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The kind that was expected.
        kind: &'static str,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// Two artefacts do not belong together.
    #[error("{fact}; {remedy}")]
    Mismatch {
        /// Which two things disagree, and on what.
        fact: String,
        /// What to do.
        remedy: String,
    },
}

impl ModelError {
    /// A value that breaks a rule.
    pub fn invalid(what: impl Into<String>, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), fact: fact.into(), remedy: remedy.into() }
    }

    /// Two artefacts that disagree.
    pub fn mismatch(fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Mismatch { fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

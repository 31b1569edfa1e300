//! What can go wrong between a text and a head.

use std::path::{Path, PathBuf};

use cryptotl_model::ModelError;

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, TrainerError>;

/// An error of the trainer.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// A file or value of the vocabulary is not usable.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The private mechanism refused or failed.
    #[error(transparent)]
    Mechanism(#[from] cryptotl_privacy::MechanismError),
    /// A release cannot be planned.
    #[error(transparent)]
    Plan(#[from] cryptotl_privacy::PlanError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A text table is not usable.
    #[error("{} is not a usable text table: {fact}; {remedy}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// An encoder folder is not usable.
    #[error("{} is not a usable encoder: {fact}; {remedy}", path.display())]
    Encoder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// Weights from elsewhere, or the file that maps them, are not usable.
    #[error("cannot import {}: {fact}; {remedy}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// An embedding cache is not usable.
    #[error("{} is not a usable embedding cache: {fact}; {remedy}", path.display())]
    Cache {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// A training configuration or its data cannot work.
    #[error("cannot train: {fact}; {remedy}")]
    Training {
        /// What is wrong.
        fact: String,
        /// What to do.
        remedy: String,
    },
}

impl TrainerError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn table(path: &Path, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Table { path: path.to_owned(), fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn encoder(path: &Path, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Encoder { path: path.to_owned(), fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn weights(path: &Path, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Weights { path: path.to_owned(), fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn cache(path: &Path, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Cache { path: path.to_owned(), fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn training(fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Training { fact: fact.into(), remedy: remedy.into() }
    }
}

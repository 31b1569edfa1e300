//! What can go wrong, said as a fact, a culprit and a remedy. No message ever holds a secret or a record.

use cryptotl_model::ModelError;

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, EncryptedError>;

/// An error of encrypted evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EncryptedError {
    /// The network cannot be evaluated under encryption as it is.
    #[error("the network cannot be compiled for encrypted evaluation: {fact}; {remedy}")]
    Unsupported {
        /// What stands in the way.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// The parameters do not have the security that was asked for.
    #[error("the parameters are refused: {fact}; {remedy}")]
    Insecure {
        /// Which limit they exceed.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// Values given by the caller break a rule.
    #[error("{fact}; {remedy}")]
    Input {
        /// Which value breaks which rule.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// The bytes of a peer, of a key file or of a plan file are not what is expected.
    #[error("{kind} refused: {fact}; {remedy}")]
    Message {
        /// `evaluation keys`, `query`, `response`, `secret key` or `plan`.
        kind: &'static str,
        /// What is wrong with the bytes.
        fact: String,
        /// What to do.
        remedy: String,
    },
    /// SEAL refused an operation. With checked inputs this is a defect of this crate.
    #[error("SEAL failed in {operation} with {code}; please report this as a defect")]
    Seal {
        /// The function of SEAL's C interface.
        operation: &'static str,
        /// The name of the code that it returned.
        code: String,
    },
    /// The model is not valid.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl EncryptedError {
    pub(crate) fn unsupported(fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unsupported { fact: fact.into(), remedy: remedy.into() }
    }

    pub(crate) fn input(fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input { fact: fact.into(), remedy: remedy.into() }
    }
}

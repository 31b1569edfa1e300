//! What a file of the protocol says of itself before anybody believes it: enough to find the plan to read it with.

use std::io::Read;
use std::path::Path;

use cryptotl_model::{Digest, Kind as OutputKind};

use super::block_file::open;
use super::id::JobId;
use crate::error::Result;

/// The bytes that a message and a secret key file have at least.
const PREFIX_BYTES: usize = 124;

/// Which file of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The public keys of a job.
    EvaluationKeys,
    /// Its encrypted records.
    Query,
    /// Its encrypted features.
    Response,
    /// Its secret key, for the data owner alone.
    SecretKey,
}

impl FileKind {
    /// It, as an output.
    pub const fn output(self) -> OutputKind {
        const BYTES: u64 = PREFIX_BYTES as u64;
        fn is(kind: FileKind, start: &[u8]) -> bool {
            Envelope::of(start).is_some_and(|envelope| envelope.kind == kind)
        }
        match self {
            Self::EvaluationKeys => {
                OutputKind::starting("file of evaluation keys", BYTES, |s| is(Self::EvaluationKeys, s))
            }
            Self::Query => OutputKind::starting("query", BYTES, |s| is(Self::Query, s)),
            Self::Response => OutputKind::starting("response", BYTES, |s| is(Self::Response, s)),
            Self::SecretKey => OutputKind::never_replaced("secret key"),
        }
    }
}

/// The names in the header of a file of the protocol. They are the file's own word: the reader of the kind checks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Which file it says it is.
    pub kind: FileKind,
    /// The digest of the contract of the plan that it belongs to.
    pub contract: Digest,
    /// The job that it belongs to; zeros in evaluation keys, which are the job's name.
    pub job: JobId,
}

impl Envelope {
    /// Reads the start of a file; `None` if it is no file of the protocol. No bytes of a key are read into it.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Model`] when the file cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let mut start = Vec::with_capacity(PREFIX_BYTES);
        let unreadable = |source| super::block_file::unreadable(path, source);
        open(path)?.take(PREFIX_BYTES as u64).read_to_end(&mut start).map_err(unreadable)?;
        Ok(Self::of(&start))
    }

    fn of(start: &[u8]) -> Option<Self> {
        let digest = |at: usize| Some(Digest::from_bytes(start.get(at..at + 32)?.try_into().ok()?));
        let (kind, contract, job) = match (start.get(..4)?, start.get(6)?) {
            (b"CTLE", 1) => (FileKind::EvaluationKeys, 28, 60),
            (b"CTLE", 2) => (FileKind::Query, 28, 60),
            (b"CTLE", 3) => (FileKind::Response, 28, 60),
            (b"CTLS", _) => (FileKind::SecretKey, 8, 40),
            _ => return None,
        };
        Some(Self { kind, contract: digest(contract)?, job: JobId(digest(job)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_start() {
        let mut bytes: Vec<u8> = (0..124).collect();
        let kind = |bytes: &[u8]| Envelope::of(bytes).map(|envelope| envelope.kind);
        assert_eq!(kind(&bytes), None);
        bytes[..4].copy_from_slice(b"CTLE");
        for (number, expected) in [
            (0, None),
            (1, Some(FileKind::EvaluationKeys)),
            (2, Some(FileKind::Query)),
            (3, Some(FileKind::Response)),
            (4, None),
        ] {
            bytes[6] = number;
            assert_eq!(kind(&bytes), expected);
        }
        bytes[6] = 2;
        let envelope = Envelope::of(&bytes).unwrap();
        assert_eq!(envelope.contract.as_bytes()[0], 28);
        assert_eq!(envelope.job.0.as_bytes()[..2], [60, 61]);
        assert_eq!(kind(&bytes[..91]), None);
        bytes[..4].copy_from_slice(b"CTLS");
        let envelope = Envelope::of(&bytes).unwrap();
        assert_eq!((envelope.kind, envelope.contract.as_bytes()[0]), (FileKind::SecretKey, 8));
        assert_eq!(envelope.job.0.as_bytes()[0], 40);
        assert_eq!(Envelope::of(&[]), None);
    }
}

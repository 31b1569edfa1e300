//! SHA-256 digests: how artefacts name each other.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::ModelError;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of one byte string.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several byte strings, each preceded by its length, so that no two lists share one.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = DigestOfParts::default();
        parts.into_iter().for_each(|part| digest.part(part));
        digest.finish()
    }

    /// A digest that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first 12 digits: enough for people to tell artefacts apart.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// [`Digest::of_parts`] of parts that come one after the other, and need not be in memory.
#[derive(Clone, Default)]
pub struct DigestOfParts(Sha256);

impl DigestOfParts {
    /// Adds a part.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a part of `length` bytes that is read.
    ///
    /// # Errors
    /// Those of reading, and another length.
    pub fn part_from(&mut self, length: u64, part: impl Read) -> io::Result<()> {
        self.0.update(length.to_le_bytes());
        match io::copy(&mut part.take(length.saturating_add(1)), &mut self.0)? {
            read if read == length => Ok(()),
            _ => Err(io::Error::other("the file changed while it was read")),
        }
    }

    /// The digest of all parts.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|e| {
            ModelError::invalid("digest", e.to_string(), "give the 64 hexadecimal digits of a SHA-256")
        })?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_and_round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("ba78".parse::<Digest>().is_err());
    }

    #[test]
    fn parts_are_told_apart_by_where_they_end() {
        assert_ne!(Digest::of_parts([&b"ab"[..], b"c"]), Digest::of_parts([&b"a"[..], b"bc"]));
        let mut read = DigestOfParts::default();
        read.part_from(2, &b"ab"[..]).unwrap();
        read.part(b"c");
        assert_eq!(read.finish(), Digest::of_parts([&b"ab"[..], b"c"]));
        for other in [1, 3] {
            assert!(DigestOfParts::default().part_from(other, &b"ab"[..]).is_err());
        }
    }
}

//! SHA-256 digests over an unambiguous encoding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; 64 lowercase hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no SHA-256 digest; give exactly 64 lowercase hexadecimal digits")]
pub struct DigestError {
    /// The text given, shortened.
    pub text: String,
}

impl Digest {
    /// What stands before the first entry of a chain.
    pub(crate) const ZERO: Digest = Digest([0; 32]);

    /// The plain SHA-256 of a byte string, as other programs compute it of a file.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Hashes `fields` after a `purpose` that keeps digests of different things apart.
    ///
    /// Each part is preceded by its length in bytes as a 64-bit little-endian number, so that no two
    /// different lists of fields give the same input to SHA-256.
    pub(crate) fn of_fields(purpose: &str, fields: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        for part in std::iter::once(purpose.as_bytes()).chain(fields.iter().copied()) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let mut bytes = [0; 32];
        let is_lowercase = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_lowercase && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Digest(bytes))
        } else {
            Err(DigestError { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_bytes_is_plain_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").to_string(), expected);
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_digest() {
        let one = Digest::of_fields("test", &[b"ab", b"c"]);
        let other = Digest::of_fields("test", &[b"a", b"bc"]);
        assert_ne!(one, other);
        assert_ne!(one, Digest::of_fields("other", &[b"ab", b"c"]));
    }

    #[test]
    fn text_round_trips_and_junk_is_refused() {
        let digest = Digest::of_fields("test", &[]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        for text in ["", "00", &"G".repeat(64), &"AB".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}

//! Whether a content is what its name says. The Hub names a large file (Git LFS) by the SHA-256 of its content, and
//! every other by its Git object: the SHA-1 of `blob`, its length, a zero byte and its content.

use std::fs::File;
use std::io;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The hash that a content must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// Of the content.
    Sha256(String),
    /// Of the Git object.
    GitSha1(String),
}

impl Hash {
    /// The hash that a name is; none for other names, whose contents cannot be checked.
    pub fn named(name: &str) -> Option<Self> {
        let is_hex = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match name.len() {
            64 if is_hex => Some(Self::Sha256(name.to_owned())),
            40 if is_hex => Some(Self::GitSha1(name.to_owned())),
            _ => None,
        }
    }

    /// Whether a file has it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn is_of(&self, path: &Path) -> io::Result<bool> {
        let mut file = File::open(path)?;
        let (found, expected) = match self {
            Self::Sha256(expected) => {
                let mut hasher = Sha256::new();
                io::copy(&mut file, &mut hasher)?;
                (hex::encode(hasher.finalize()), expected)
            }
            Self::GitSha1(expected) => {
                let mut hasher = Sha1::new();
                hasher.update(format!("blob {}\0", file.metadata()?.len()));
                io::copy(&mut file, &mut hasher)?;
                (hex::encode(hasher.finalize()), expected)
            }
        };
        Ok(found == *expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sha256sum` and `git hash-object` of the same file.
    #[test]
    fn known_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        for name in [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f",
        ] {
            let hash = Hash::named(name).unwrap();
            assert!(hash.is_of(&path).unwrap(), "{name}");
            assert!(!hash.is_of(Path::new("/dev/null")).unwrap());
            assert_eq!(Hash::named(&name.to_uppercase()), None);
            assert_eq!(Hash::named(&name[1..]), None);
        }
    }
}

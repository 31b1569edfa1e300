//! Where an encoder comes from: a folder, or the Hugging Face Hub.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use cryptotl_trainer::encoder::Encoder;

use crate::exit::{Failure, Result};
use crate::hub::HubEncoder;
use crate::output::note;

/// The value of `--encoder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncoderSource {
    /// A sentence-transformers folder.
    Folder(PathBuf),
    /// A repository of the Hub.
    Hub {
        /// `ORG/NAME`.
        repository: String,
        /// A branch, a tag or a commit.
        revision: String,
    },
}

impl FromStr for EncoderSource {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let Some(name) = text.strip_prefix("hf:") else { return Ok(Self::Folder(text.into())) };
        let (repository, revision) = name.split_once('@').unwrap_or((name, "main"));
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.into_iter().all(is_name) || !revision.split('/').all(is_name) {
            return Err("write hf:ORG/NAME or hf:ORG/NAME@REVISION".to_owned());
        }
        Ok(Self::Hub { repository: repository.to_owned(), revision: revision.to_owned() })
    }
}

impl EncoderSource {
    /// Loads the encoder, under its folder's name or its repository's with the revision.
    pub fn load(&self) -> Result<Encoder> {
        let encoder = match self {
            Self::Folder(path) if !path.exists() => return Err(no_folder(path)),
            Self::Folder(path) => Encoder::load(path)?,
            Self::Hub { repository, revision } => HubEncoder::new(repository, revision)?.load()?,
        };
        encoder.notes().iter().for_each(|words| note(words));
        Ok(encoder)
    }

    /// Its folder, fetched if need be.
    pub fn folder(&self) -> Result<PathBuf> {
        match self {
            Self::Folder(path) => Ok(path.clone()),
            Self::Hub { repository, revision } => HubEncoder::new(repository, revision)?.folder(),
        }
    }
}

/// That there is no such folder, and what would name an encoder of the Hub.
fn no_folder(path: &Path) -> Failure {
    let fact = format!("{} is not a usable encoder: there is no such folder", path.display());
    let typed = path.to_str().unwrap_or_default().trim_end_matches('/');
    // What people copy from the Hub's pages, with or without the address in front.
    let name = typed.split_once("://").map_or(typed, |(_, rest)| rest.split_once('/').map_or("", |(_, n)| n));
    let hub = format!("hf:{name}").parse::<EncoderSource>();
    match hub {
        Ok(EncoderSource::Hub { .. }) => Failure::failed(
            fact,
            format!("type hf:{name} for the Hugging Face Hub's, or give a folder that exists"),
        ),
        _ => Failure::failed(
            fact,
            "give a sentence-transformers folder, such as assets/all-MiniLM-L6-v2 that `make assets` fetches, or \
             hf:ORG/NAME for an encoder of the Hugging Face Hub",
        ),
    }
}

/// Whether a part of a name can be part of a path without leaving it.
pub fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_named_by_its_prefix() {
        let hub = |repository: &str, revision: &str| {
            Ok(EncoderSource::Hub { repository: repository.into(), revision: revision.into() })
        };
        assert_eq!("hf:a/b-c_1.5".parse(), hub("a/b-c_1.5", "main"));
        assert_eq!("hf:a/b@refs/pr/1".parse(), hub("a/b", "refs/pr/1"));
        assert_eq!("a/b".parse(), Ok(EncoderSource::Folder("a/b".into())));
        for wrong in ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a/b@../x", "hf:a b/c"] {
            assert!(wrong.parse::<EncoderSource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_forgets_the_prefix_is_told_what_to_type() {
        for typed in ["org/name-1.5", "org/name@main", "https://hub.test/org/name/", "hub://x/org/name"] {
            let words = no_folder(Path::new(typed)).message;
            assert!(words.contains("type hf:org/name"), "{words}");
        }
        for typed in ["name", "a/b/c", "/a/b", "../b", "assets/"] {
            let words = no_folder(Path::new(typed)).message;
            assert!(words.contains("hf:ORG/NAME") && words.contains("assets/all-MiniLM-L6-v2"), "{words}");
        }
    }
}

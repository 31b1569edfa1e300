//! Where an encoder comes from: a folder, or the Hugging Face Hub and its local cache.
//!
//! The Hub's cache is the one that its own tools use: `HF_HOME`, or `.cache/huggingface` in the home folder.
//! What is there is used without asking the network. What is fetched tells the Hub which encoder is wanted,
//! and nothing else.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use cryptotl_trainer::encoder::Encoder;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use crate::exit::{Code, Failure, Result};

/// What an encoder cannot be without; the pooling's configuration is named in `modules.json`.
const REQUIRED: [&str; 3] = ["modules.json", "config.json", "tokenizer.json"];
/// What it may have.
const OPTIONAL: [&str; 3] =
    ["sentence_bert_config.json", "tokenizer_config.json", "config_sentence_transformers.json"];
/// The first of these that it has. They are fetched last, so that a folder with weights is whole.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

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
        match self {
            Self::Folder(path) => Ok(Encoder::load(path)?),
            Self::Hub { repository, revision } => {
                Ok(Encoder::load_as(&self.folder()?, format!("{repository}@{revision}"))?)
            }
        }
    }

    /// Its folder, fetched if need be.
    pub fn folder(&self) -> Result<PathBuf> {
        match self {
            Self::Folder(path) => Ok(path.clone()),
            Self::Hub { repository, revision } => fetched(repository, revision),
        }
    }
}

/// Whether a part of a name can be part of a path without leaving it.
fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
}

/// The snapshot of a repository in the Hub's cache.
fn fetched(repository: &str, revision: &str) -> Result<PathBuf> {
    if std::env::var_os("HF_HOME").is_none() && std::env::home_dir().is_none() {
        return Err(Failure::failed(
            "there is no home folder for the Hub's cache",
            "set HF_HOME to a folder",
        ));
    }
    let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
    if let Some(folder) = cached(&repo).filter(|folder| is_whole(folder)) {
        return Ok(folder);
    }
    let unreachable = |e: ApiError| {
        Failure::failed(
            format!("cannot fetch hf:{repository}@{revision}: {e}"),
            "check the name, the revision and the network, or give a folder that holds the encoder",
        )
    };
    let api = ApiBuilder::from_env().with_progress(false).build().map_err(unreachable)?;
    let info = api.repo(repo.clone()).info().map_err(unreachable)?;
    let found: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
    // All files are of one commit, also when the branch moves meanwhile.
    let commit = Repo::with_revision(repository.to_owned(), RepoType::Model, info.sha.clone());
    let api = api.repo(commit);
    let get = |name: &str| api.get(name).map_err(unreachable);
    let missing = |name: &str| {
        Failure::failed(
            format!("hf:{repository}@{revision} is not a sentence-transformers encoder: it has no {name}"),
            "choose another repository",
        )
    };
    for name in REQUIRED {
        if !found.contains(&name) {
            return Err(missing(name));
        }
        get(name)?;
    }
    for name in OPTIONAL.into_iter().filter(|name| found.contains(name)) {
        get(name)?;
    }
    for name in module_configurations(&get("modules.json")?)?.iter().filter(|n| found.contains(&n.as_str())) {
        get(name)?;
    }
    let weights = WEIGHTS.into_iter().find(|name| found.contains(name));
    let file = get(weights.ok_or_else(|| missing("model.safetensors in one piece"))?)?;
    Cache::from_env().repo(repo).create_ref(&info.sha).map_err(|e| {
        Failure::failed(format!("cannot write to the Hub's cache: {e}"), "check HF_HOME and its permissions")
    })?;
    file.parent().map(Path::to_owned).ok_or_else(|| Failure::new(Code::Bug, "a fetched file has no folder"))
}

/// The folder of a revision in the cache, if it is known there. Other tools do not write down that a commit
/// is itself.
fn cached(repo: &Repo) -> Option<PathBuf> {
    let cache = Cache::from_env().repo(repo.clone());
    let known = cache.get(REQUIRED[0]).and_then(|file| file.parent().map(Path::to_owned));
    known.or_else(|| Some(cache.pointer_path(repo.revision())).filter(|folder| folder.is_dir()))
}

/// Whether a folder of the cache has all that the encoder needs.
fn is_whole(folder: &Path) -> bool {
    REQUIRED.iter().all(|name| folder.join(name).is_file())
        && WEIGHTS.iter().any(|name| folder.join(name).is_file())
        && module_configurations(&folder.join(REQUIRED[0])).is_ok_and(|names| {
            names.iter().all(|name| folder.join(name).is_file() || name.contains("Normalize"))
        })
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
}

/// The configuration files of the modules in folders of their own.
fn module_configurations(modules: &Path) -> Result<Vec<String>> {
    let unusable = |e: &dyn std::fmt::Display| {
        Failure::failed(format!("{} is not usable: {e}", modules.display()), "fetch the encoder again")
    };
    let bytes = std::fs::read(modules).map_err(|e| unusable(&e))?;
    let modules: Vec<ModuleEntry> = serde_json::from_slice(&bytes).map_err(|e| unusable(&e))?;
    let folders: Vec<String> = modules.into_iter().map(|m| m.path).filter(|path| !path.is_empty()).collect();
    if let Some(folder) = folders.iter().find(|folder| !is_name(folder)) {
        return Err(unusable(&format!("it names the folder {folder:?}")));
    }
    Ok(folders.into_iter().map(|path| format!("{path}/config.json")).collect())
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
}

//! The files of an encoder: which of them are read, and how.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use cryptotl_model::{Digest, DigestOfParts};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Result, TrainerError};

/// The largest configuration or tokenizer file that is read.
const MAX_JSON_BYTES: u64 = 256 << 20;
/// How a Git LFS pointer begins, which a clone without Git LFS has in place of each large file.
const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// What to do where a file is missing or damaged.
pub(super) const FETCH: &str = "fetch the encoder again";

/// The modules of an encoder, in order.
pub(super) const MODULES: &str = "modules.json";
/// Prompts, and how embeddings are cut.
pub(super) const PROMPTS: &str = "config_sentence_transformers.json";
/// How texts are cut.
pub(super) const SENTENCE: &str = "sentence_bert_config.json";
/// The network.
pub(super) const CONFIG: &str = "config.json";
/// The tokenizer, either of which is enough.
pub(super) const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];
/// What the tokenizer leaves open.
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Weights, of which the first that is there is read.
const SAFETENSORS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const PICKLE: &str = "pytorch_model.bin";
/// Weights that are not read.
const FOREIGN_WEIGHTS: [&str; 7] = [
    "pytorch_model.bin.index.json",
    "adapter_model.safetensors",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.onnx",
    "onnx/model.onnx",
    "openvino/openvino_model.xml",
];

/// An entry of `modules.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Module {
    /// Its folder, by the names of folders alone; none when it leads out of the encoder.
    pub fn folder(&self) -> Option<String> {
        let mut names = Vec::new();
        for part in Path::new(&self.path).components() {
            match part {
                Component::Normal(name) => names.push(name.to_str()?),
                Component::CurDir => {}
                _ => return None,
            }
        }
        Some(names.join("/"))
    }

    /// The class of the sentence-transformers library that it is; none when it is code of its own.
    pub fn class(&self) -> Option<&str> {
        self.kind.strip_prefix("sentence_transformers.")?.rsplit('.').next()
    }

    /// Its type, as far as it can be shown.
    pub fn shown(&self) -> String {
        self.kind.chars().take(80).collect()
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

impl Index {
    /// The names of the parts, none of which leaves the folder.
    fn parts(self) -> std::result::Result<Vec<String>, String> {
        let parts: BTreeSet<String> = self.weight_map.into_values().collect();
        let is_plain = |name: &String| {
            name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
        };
        match parts.iter().all(is_plain) && !parts.is_empty() {
            true => Ok(parts.into_iter().collect()),
            false => Err(format!("{INDEX} does not name safetensors beside it")),
        }
    }
}

/// A name in a folder, which may be the encoder's own.
pub(super) fn inside(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// What an encoder is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The small files, from which it can be told whether the encoder is understood
    /// ([`super::Encoder::check`]).
    pub configuration: Vec<String>,
    /// Tokenizer and weights.
    pub bulk: Vec<String>,
    /// A file without which there is no encoder, and which is not there.
    pub missing: Option<String>,
}

/// Which files of an encoder [`super::Encoder::load`] reads: `found` are the names of all that there are, relative
/// to the encoder and with `/` between folders, and `read` gives the content of one. What is damaged or leads
/// out of the encoder is left for `load` to refuse.
///
/// # Errors
/// Those of `read`.
pub fn needed<E>(
    found: &[String],
    mut read: impl FnMut(&str) -> std::result::Result<Vec<u8>, E>,
) -> std::result::Result<Needed, E> {
    let has = |name: &str| found.iter().any(|found| found == name);
    let mut modules: Vec<Module> = Vec::new();
    let mut needed = Needed { configuration: Vec::new(), bulk: Vec::new(), missing: None };
    if has(MODULES) {
        modules = serde_json::from_slice(&read(MODULES)?).unwrap_or_default();
        needed.configuration.push(MODULES.to_owned());
    }
    let transformer = modules.first().and_then(Module::folder).unwrap_or_default();
    let mut missing = Vec::new();
    match inside(&transformer, CONFIG) {
        config if has(&config) => needed.configuration.push(config),
        config => missing.push(config),
    }
    let optional =
        [inside(&transformer, SENTENCE), inside(&transformer, TOKENIZER_CONFIG), PROMPTS.to_owned()];
    needed.configuration.extend(optional.into_iter().filter(|name| has(name)));
    let mut with_weights = vec![transformer.clone()];
    for module in modules.iter().skip(1) {
        let Some(folder) = module.folder().filter(|folder| !folder.is_empty()) else { continue };
        match inside(&folder, CONFIG) {
            config if has(&config) => needed.configuration.push(config),
            config if module.class() != Some("Normalize") => missing.push(config),
            _ => {}
        }
        if module.class() == Some("Dense") {
            with_weights.push(folder);
        }
    }
    match TOKENIZERS.map(|name| inside(&transformer, name)).into_iter().find(|name| has(name)) {
        Some(tokenizer) => needed.bulk.push(tokenizer),
        None => missing.push(inside(&transformer, TOKENIZERS[0])),
    }
    for folder in with_weights {
        let name = |name: &str| inside(&folder, name);
        if has(&name(SAFETENSORS)) {
            needed.bulk.push(name(SAFETENSORS));
        } else if has(&name(INDEX)) {
            needed.bulk.push(name(INDEX));
            let index = serde_json::from_slice(&read(&name(INDEX))?).ok();
            let parts = index.and_then(|index: Index| index.parts().ok()).unwrap_or_default();
            for part in parts.iter().map(|part| name(part)) {
                match has(&part) {
                    true => needed.bulk.push(part),
                    false => missing.push(part),
                }
            }
        } else if has(&name(PICKLE)) {
            needed.bulk.push(name(PICKLE));
        } else {
            missing.push(name(SAFETENSORS));
        }
    }
    needed.missing = missing.into_iter().next();
    Ok(needed)
}

/// The files of a folder, and the digest of those that shape the embedding.
pub(super) struct Files<'a> {
    pub root: &'a Path,
    digest: DigestOfParts,
}

impl<'a> Files<'a> {
    /// The files of `root`.
    ///
    /// # Errors
    /// [`TrainerError::Encoder`] when it is no folder.
    pub fn of(root: &'a Path) -> Result<Self> {
        let fact = match root.metadata() {
            Ok(metadata) if metadata.is_dir() => return Ok(Self { root, digest: DigestOfParts::default() }),
            Ok(_) => "it is a file",
            Err(_) => "there is no such folder",
        };
        Err(TrainerError::encoder(root, fact, "give the folder that holds the encoder's files"))
    }

    /// That the encoder cannot be used.
    pub fn refuse<T>(&self, (fact, remedy): (impl Into<String>, impl Into<String>)) -> Result<T> {
        Err(TrainerError::encoder(self.root, fact, remedy))
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    /// The content of a file that must be there.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let path = self.root.join(name);
        let file = self.open(name)?;
        file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(|e| TrainerError::io(&path, e))?;
        if bytes.len() as u64 > MAX_JSON_BYTES {
            return self.refuse((format!("{name} is larger than {MAX_JSON_BYTES} bytes"), FETCH));
        }
        Ok(bytes)
    }

    /// Opens a file that must be there, and is what it is called.
    fn open(&self, name: &str) -> Result<File> {
        let path = self.root.join(name);
        if !path.exists() {
            let remedy = "copy the whole folder with its subfolders, or fetch the encoder again";
            return self.refuse((format!("it has no {name}"), remedy));
        }
        if !path.is_file() {
            return self.refuse((format!("{name} is no regular file"), FETCH));
        }
        let open = || File::open(&path).map_err(|e| TrainerError::io(&path, e));
        let mut start = Vec::new();
        open()?
            .take(LFS_POINTER.len() as u64)
            .read_to_end(&mut start)
            .map_err(|e| TrainerError::io(&path, e))?;
        if start == LFS_POINTER {
            let remedy = "run `git lfs pull` where it was cloned, or fetch the encoder again";
            return self.refuse((format!("{name} is a Git LFS pointer, not the file itself"), remedy));
        }
        open()
    }

    /// Parses a file's content.
    pub fn parse<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes)
            .map_err(|e| TrainerError::encoder(self.root, format!("{name}: {e}"), FETCH))
    }

    /// Reads a file that must be there and shapes the embedding.
    pub fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let bytes = self.bytes(name)?;
        let value = self.parse(name, &bytes)?;
        self.digest(&bytes);
        Ok(value)
    }

    /// The same for one that need not be there.
    pub fn optional<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<T> {
        match self.root.join(name).exists() {
            true => self.require(name),
            false => Ok(T::default()),
        }
    }

    /// Adds the content of a file to the digest.
    pub fn digest(&mut self, bytes: &[u8]) {
        self.digest.part(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        self.digest.finish()
    }

    /// The files that hold the weights of the module in `folder`, which are added to the digest.
    pub fn weights(&mut self, folder: &str) -> Result<Vec<std::path::PathBuf>> {
        let names = self.weight_names(folder)?;
        for name in &names {
            let path = self.root.join(name);
            let file = self.open(name)?;
            let length = file.metadata().map_err(|e| TrainerError::io(&path, e))?.len();
            self.digest.part_from(length, file).map_err(|e| TrainerError::io(&path, e))?;
        }
        Ok(names.iter().map(|name| self.root.join(name)).collect())
    }

    fn weight_names(&self, folder: &str) -> Result<Vec<String>> {
        let name = |name: &str| inside(folder, name);
        if self.root.join(name(SAFETENSORS)).exists() {
            return Ok(vec![name(SAFETENSORS)]);
        }
        if self.root.join(name(INDEX)).exists() {
            let index: Index = self.parse(&name(INDEX), &self.bytes(&name(INDEX))?)?;
            return match index.parts() {
                Ok(parts) => Ok(parts.iter().map(|part| name(part)).collect()),
                Err(fact) => self.refuse((fact, FETCH)),
            };
        }
        if self.root.join(name(PICKLE)).exists() {
            return Ok(vec![name(PICKLE)]);
        }
        let foreign = FOREIGN_WEIGHTS.map(name).into_iter().find(|name| self.has(name));
        let instead = foreign.map_or(String::new(), |foreign| format!(", but {foreign}"));
        let fact = format!(
            "it has neither model.safetensors nor pytorch_model.bin{}{instead}",
            match folder {
                "" => String::new(),
                folder => format!(" in {folder}"),
            }
        );
        let remedy = "save its weights as model.safetensors, in Python: \
            transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)";
        self.refuse((fact, remedy))
    }
}

/// Whether a value is there and says something.
pub(super) fn is_set(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(found: &[&str], modules: &str, index: &str) -> Needed {
        let found: Vec<String> = found.iter().map(|&name| name.to_owned()).collect();
        needed(&found, |name| match name {
            MODULES => Ok::<_, ()>(modules.into()),
            _ => Ok(index.into()),
        })
        .unwrap()
    }

    #[test]
    fn what_is_needed_follows_from_what_there_is() {
        let modules = r#"[{"path":"0_T","type":"sentence_transformers.models.Transformer"},
            {"path":"./1_P/","type":"sentence_transformers.models.Pooling"},
            {"path":"2_D","type":"sentence_transformers.models.Dense"},
            {"path":"3_N","type":"sentence_transformers.models.Normalize"}]"#;
        let index = r#"{"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}}"#;
        let all = [
            "README.md",
            "modules.json",
            "0_T/config.json",
            "0_T/vocab.txt",
            "0_T/model.safetensors.index.json",
            "0_T/m-1.safetensors",
            "0_T/m-2.safetensors",
            "0_T/pytorch_model.bin",
            "1_P/config.json",
            "2_D/config.json",
            "2_D/pytorch_model.bin",
        ];
        let whole = of(&all, modules, index);
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            whole,
            Needed {
                configuration: names(&[
                    "modules.json",
                    "0_T/config.json",
                    "1_P/config.json",
                    "2_D/config.json"
                ]),
                bulk: names(&[
                    "0_T/vocab.txt",
                    "0_T/model.safetensors.index.json",
                    "0_T/m-1.safetensors",
                    "0_T/m-2.safetensors",
                    "2_D/pytorch_model.bin",
                ]),
                missing: None,
            }
        );
        for absent in ["0_T/config.json", "0_T/m-2.safetensors", "1_P/config.json", "2_D/pytorch_model.bin"] {
            let rest: Vec<&str> = all.iter().copied().filter(|name| *name != absent).collect();
            assert!(of(&rest, modules, index).missing.is_some(), "{absent}");
        }
        let plain = of(&["config.json", "tokenizer.json", "model.safetensors"], "", "");
        assert_eq!((plain.missing, plain.configuration.len(), plain.bulk.len()), (None, 1, 2));
        assert_eq!(of(&[], "", "").missing.as_deref(), Some("config.json"));
        // Names that lead elsewhere are never asked for.
        let out = r#"[{"path":"../..","type":"x"},{"path":"/etc","type":"x"},{"path":"a/../..","type":"x"}]"#;
        let found = ["modules.json", "config.json", "tokenizer.json", "model.safetensors"];
        assert_eq!(of(&found, out, "").configuration, names(&["modules.json", "config.json"]));
        let found = ["config.json", "tokenizer.json", "model.safetensors.index.json", "../x.safetensors"];
        let index = r#"{"weight_map":{"a":"../x.safetensors"}}"#;
        assert_eq!(of(&found, "", index).bulk, names(&["tokenizer.json", "model.safetensors.index.json"]));
    }
}

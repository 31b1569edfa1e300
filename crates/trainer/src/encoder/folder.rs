//! What a sentence-transformers folder asks for, read and checked before its weights are.
//!
//! The folder's layout is that of the sentence-transformers library: `modules.json` lists the modules in
//! order, each with a folder and a configuration of its own. What this build does not do is refused by its
//! name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cryptotl_model::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::pooling::{Mode, Pooling};
use super::transformer::TransformerConfig;
use crate::error::{Result, TrainerError};

/// The largest configuration or tokenizer file that is read.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// Everything that a folder says, and its digest.
pub(super) struct Folder {
    pub config: TransformerConfig,
    pub pooling: Pooling,
    pub text: TextRules,
    pub tokenizer: Vec<u8>,
    pub weights: PathBuf,
    /// Over the configuration, the tokenizer and the weights.
    pub digest: Digest,
}

/// What happens to a text before the network sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextRules {
    /// Put in front of every text.
    pub prompt: String,
    pub lower_case: bool,
    /// Tokens that are kept, special tokens among them.
    pub max_tokens: usize,
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    /// Newer versions' name for what the network is for.
    transformer_task: Option<String>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// A number, which may be as large as 1e30 for "no limit".
    model_max_length: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`TrainerError::Encoder`] when it asks for something this build does not do, and
    /// [`TrainerError::Io`] when a file is missing.
    pub fn read(root: &Path) -> Result<Self> {
        if !root.is_dir() {
            let remedy = "give a sentence-transformers folder with --encoder";
            return Err(TrainerError::encoder(root, "there is no such folder", remedy));
        }
        let mut files = Files { root, digested: Vec::new() };
        let modules: Vec<ModuleEntry> = files.require("modules.json")?;
        let (transformer, pooling, normalize) = sequence(root, &modules)?;
        let pooling = read_pooling(&mut files, pooling, normalize)?;
        let inside = |name: &str| match transformer.is_empty() {
            true => name.to_owned(),
            false => format!("{transformer}/{name}"),
        };
        let config: TransformerConfig = files.require(&inside("config.json"))?;
        config.check().map_err(|(fact, remedy)| TrainerError::encoder(root, fact, remedy))?;
        let sentence: SentenceConfig = files.optional(&inside("sentence_bert_config.json"))?;
        if let Some(task) = sentence.transformer_task.filter(|task| task != "feature-extraction") {
            let fact = format!("its network is for `{task}`");
            return Err(TrainerError::encoder(root, fact, "use an encoder for `feature-extraction`"));
        }
        let max_tokens = match sentence.max_seq_length {
            Some(length) => length,
            None => {
                let tokenizer: TokenizerConfig = files.optional(&inside("tokenizer_config.json"))?;
                // A float that is too large for a usize becomes the largest.
                tokenizer.model_max_length.map_or(usize::MAX, |length| length as usize)
            }
        };
        let prompt = files.prompt()?;
        let text = TextRules {
            prompt,
            lower_case: sentence.do_lower_case,
            max_tokens: max_tokens.min(config.max_tokens()),
        };
        if text.max_tokens < 3 {
            let fact = format!("it keeps {} tokens of a text", text.max_tokens);
            return Err(TrainerError::encoder(root, fact, "correct max_seq_length, or fetch it again"));
        }
        let tokenizer = files.bytes(&inside("tokenizer.json"))?;
        let weights = ["model.safetensors", "pytorch_model.bin"]
            .map(|name| root.join(inside(name)))
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let fact = "it has neither model.safetensors nor pytorch_model.bin in one piece";
                TrainerError::encoder(root, fact, "save the encoder's weights as one model.safetensors")
            })?;
        files.digested.push(tokenizer.clone());
        files.digested.push(std::fs::read(&weights).map_err(|e| TrainerError::io(&weights, e))?);
        let digest = Digest::of_parts(files.digested.iter().map(Vec::as_slice));
        Ok(Self { config, pooling, text, tokenizer, weights, digest })
    }
}

/// The folders of the transformer and of the pooling, and whether a normalization follows.
fn sequence<'a>(root: &Path, modules: &'a [ModuleEntry]) -> Result<(&'a str, &'a str, bool)> {
    let kind = |m: &ModuleEntry| m.kind.rsplit('.').next().unwrap_or_default().to_owned();
    if let Some(module) =
        modules.iter().find(|m| !["Transformer", "Pooling", "Normalize"].contains(&kind(m).as_str()))
    {
        let fact = format!("it has a module `{}`", kind(module));
        return Err(TrainerError::encoder(
            root,
            fact,
            "use an encoder of Transformer, Pooling and Normalize",
        ));
    }
    if let Some(module) = modules.iter().find(|m| !is_inside(&m.path)) {
        let fact = format!("its module `{}` is outside of it", module.path);
        return Err(TrainerError::encoder(root, fact, "do not use this folder, it is not to be trusted"));
    }
    let kinds: Vec<String> = modules.iter().map(kind).collect();
    match kinds.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["Transformer", "Pooling"] => Ok((&modules[0].path, &modules[1].path, false)),
        ["Transformer", "Pooling", "Normalize"] => Ok((&modules[0].path, &modules[1].path, true)),
        _ => Err(TrainerError::encoder(
            root,
            format!("its modules are {}", kinds.join(", ")),
            "use an encoder of Transformer, Pooling and, where it has one, Normalize",
        )),
    }
}

/// Whether a path from a configuration stays below the folder.
fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn read_pooling(files: &mut Files, folder: &str, normalize: bool) -> Result<Pooling> {
    let root = files.root;
    let file = format!("{folder}/config.json");
    let config: BTreeMap<String, Value> = files.require(&file)?;
    let refuse = |fact: String| {
        let remedy = format!("use an encoder whose {file} names known ways of pooling");
        Err(TrainerError::encoder(root, fact, remedy))
    };
    let asked: Vec<Option<String>> = match config.get("pooling_mode") {
        Some(Value::Array(modes)) => modes.iter().map(|mode| mode.as_str().map(str::to_owned)).collect(),
        Some(mode) => vec![mode.as_str().map(str::to_owned)],
        // Older versions have a switch for each way.
        None => config
            .iter()
            .filter(|(_, value)| **value == Value::Bool(true))
            .filter_map(|(name, _)| Some(Some(name.strip_prefix("pooling_mode_")?.to_owned())))
            .collect(),
    };
    let mut modes = Vec::new();
    for mode in asked {
        match mode.as_deref().and_then(Mode::named) {
            Some(mode) => modes.push(mode),
            None => {
                return refuse(format!("it pools by {}", mode.map_or("?".to_owned(), |m| format!("`{m}`"))));
            }
        }
    }
    if modes.is_empty() {
        return refuse("it names no way of pooling".to_owned());
    }
    if !config.contains_key("pooling_mode") {
        modes.sort_unstable();
    }
    if config.get("include_prompt") == Some(&Value::Bool(false)) {
        return refuse("it leaves the prompt out of the pooling (`include_prompt`)".to_owned());
    }
    Ok(Pooling { modes, normalize })
}

/// The files of a folder; those that shape the embedding are kept for the digest.
struct Files<'a> {
    root: &'a Path,
    digested: Vec<Vec<u8>>,
}

impl Files<'_> {
    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.root.join(name);
        let file = std::fs::File::open(&path).map_err(|e| TrainerError::io(&path, e))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_JSON_BYTES + 1), &mut bytes)
            .map_err(|e| TrainerError::io(&path, e))?;
        if bytes.len() as u64 > MAX_JSON_BYTES {
            let fact = format!("{name} is larger than {MAX_JSON_BYTES} bytes");
            return Err(TrainerError::encoder(self.root, fact, "fetch the encoder again"));
        }
        Ok(bytes)
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes)
            .map_err(|e| TrainerError::encoder(self.root, format!("{name}: {e}"), "fetch the encoder again"))
    }

    fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let bytes = self.bytes(name)?;
        let value = self.parse(name, &bytes)?;
        self.digested.push(bytes);
        Ok(value)
    }

    fn optional<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<T> {
        match self.root.join(name).is_file() {
            true => self.require(name),
            false => Ok(T::default()),
        }
    }

    /// The prompt that the library would put in front of every text. A file without one, which every
    /// encoder has, says nothing about the embedding and is not digested.
    fn prompt(&mut self) -> Result<String> {
        let name = "config_sentence_transformers.json";
        if !self.root.join(name).is_file() {
            return Ok(String::new());
        }
        let bytes = self.bytes(name)?;
        let prompts: Prompts = self.parse(name, &bytes)?;
        let Some(default) = prompts.default_prompt_name else { return Ok(String::new()) };
        let Some(prompt) = prompts.prompts.get(&default) else {
            let fact = format!("its default prompt `{default}` is not among its prompts");
            return Err(TrainerError::encoder(self.root, fact, "fetch the encoder again"));
        };
        self.digested.push(bytes);
        Ok(prompt.clone())
    }
}

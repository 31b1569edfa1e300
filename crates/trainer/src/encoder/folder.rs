//! What an encoder's folder asks for, read and checked before its weights are.
//!
//! The layout is that of the sentence-transformers library: `modules.json` lists the modules in order, each with
//! a folder and a configuration of its own. A folder without one is what the transformers library writes, of
//! which that library takes the mean of the token states. What this build does not do is refused by its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cryptotl_model::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::config::{Family, TransformerConfig};
use super::dense::DenseConfig;
use super::files::{
    CONFIG, FETCH, Files, MODULES, Module, PROMPTS, SENTENCE, TOKENIZER_CONFIG, TOKENIZERS, inside, is_set,
};
use super::pooling::{Mode, Pooling, Step};
use super::tokenizer;
use crate::error::{Result, TrainerError};

/// Everything that a folder says, and its digest.
pub(super) struct Folder {
    pub config: TransformerConfig,
    pub pooling: Pooling,
    pub text: TextRules,
    pub tokenizer: Tokenizer,
    /// One file, or several that are one.
    pub weights: Vec<PathBuf>,
    /// Over the configuration, the tokenizer and the weights.
    pub digest: Digest,
    /// What people should know of how it was understood.
    pub notes: Vec<String>,
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

#[derive(Deserialize, Default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    /// Newer versions' name for what the network is for.
    transformer_task: Option<String>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<Value>,
}

/// The modules of a folder.
struct Modules {
    /// The transformer's folder.
    transformer: String,
    /// The pooling's; none in a folder of the transformers library.
    pooling: Option<String>,
    /// What follows: the folder of a linear layer, or none for normalization.
    steps: Vec<Option<String>>,
}

/// What a folder says without its tokenizer and its weights.
struct Configuration {
    modules: Modules,
    config: TransformerConfig,
    modes: Vec<Mode>,
    /// What follows: a linear layer in its folder, or none for normalization.
    steps: Vec<Option<(String, DenseConfig)>>,
    text: TextRules,
    /// Whether `tokenizer_config.json` is in the digest.
    tokenizer_is_digested: bool,
    notes: Vec<String>,
}

/// Checks what a folder asks for, as far as it can be told without tokenizer and weights.
///
/// # Errors
/// As for [`Folder::read`].
pub(super) fn check(root: &Path) -> Result<()> {
    Configuration::read(&mut Files::of(root)?).map(drop)
}

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`TrainerError::Encoder`] when a file is missing or it asks for something this build does not do, and
    /// [`TrainerError::Io`] when a file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut files = Files::of(root)?;
        let read = Configuration::read(&mut files)?;
        let tokenizer = read.tokenizer(&mut files)?;
        let weights = files.weights(&read.modules.transformer)?;
        let mut steps = Vec::new();
        for step in &read.steps {
            steps.push(match step {
                Some((folder, config)) => Step::Dense(read_dense(&mut files, config, folder)?),
                None => Step::Normalize,
            });
        }
        let Configuration { config, modes, text, notes, .. } = read;
        let pooling = Pooling { modes, steps };
        Ok(Self { config, pooling, text, tokenizer, weights, digest: files.finish(), notes })
    }
}

impl Configuration {
    fn read(files: &mut Files) -> Result<Self> {
        let listed = match files.root.join(MODULES).exists() {
            true => {
                Some((files.bytes(MODULES)?, files.parse::<Vec<Module>>(MODULES, &files.bytes(MODULES)?)?))
            }
            false => None,
        };
        let first = listed.as_ref().and_then(|(_, modules)| modules.first()?.folder()).unwrap_or_default();
        // What the network is comes first: one that is not known may have anything else.
        let config_file = inside(&first, CONFIG);
        let config = match files.root.join(&config_file).exists() {
            true => Some(files.bytes(&config_file)?),
            false => None,
        };
        if let Some(bytes) = &config {
            Family::of(&files.parse(&config_file, bytes)?).or_else(|refusal| files.refuse(refusal))?;
        }
        let mut notes = Vec::new();
        let modules = match &listed {
            Some((_, modules)) => sequence(files, modules)?,
            None => plain(files, config.is_some(), &mut notes)?,
        };
        if let Some((bytes, _)) = &listed {
            files.digest(bytes);
        }
        let modes = match &modules.pooling {
            Some(folder) => read_pooling(files, folder)?,
            None => vec![Mode::Mean],
        };
        let config: Map<String, Value> = files.require(&config_file)?;
        let config = TransformerConfig::of(&config).or_else(|refusal| files.refuse(refusal))?;
        let sentence: SentenceConfig = files.optional(&inside(&modules.transformer, SENTENCE))?;
        if let Some(task) = sentence.transformer_task.filter(|task| task != "feature-extraction") {
            let fact = format!("its network is for `{task}`");
            return files.refuse((fact, "use an encoder for `feature-extraction`"));
        }
        let tokenizer_is_digested = sentence.max_seq_length.is_none();
        let max_tokens = match sentence.max_seq_length {
            Some(length) => length,
            None => {
                let name = inside(&modules.transformer, TOKENIZER_CONFIG);
                let tokenizer: Map<String, Value> = files.optional(&name)?;
                // As large as 1e30 for "no limit", which becomes the largest.
                tokenizer.get("model_max_length").and_then(Value::as_f64).map_or(usize::MAX, |n| n as usize)
            }
        };
        let prompt = read_prompt(files)?;
        let max_tokens = max_tokens.min(config.max_tokens());
        if max_tokens < 3 {
            let fact = format!("it keeps {max_tokens} tokens of a text");
            return files.refuse((fact, "correct max_seq_length, or fetch it again"));
        }
        let text = TextRules { prompt, lower_case: sentence.do_lower_case, max_tokens };
        let mut steps = Vec::new();
        let mut width = config.hidden_size * modes.len();
        for step in &modules.steps {
            let Some(folder) = step else {
                steps.push(None);
                continue;
            };
            let layer: DenseConfig = files.require(&inside(folder, CONFIG))?;
            width = layer.check(folder, width).or_else(|refusal| files.refuse(refusal))?;
            steps.push(Some((folder.clone(), layer)));
        }
        Ok(Self { modules, config, modes, steps, text, tokenizer_is_digested, notes })
    }

    fn tokenizer(&self, files: &mut Files) -> Result<Tokenizer> {
        let [json, vocabulary] = TOKENIZERS.map(|name| inside(&self.modules.transformer, name));
        let damaged = |root: &Path, fact: String| TrainerError::encoder(root, fact, FETCH);
        let tokenizer = if files.root.join(&json).exists() || !files.root.join(&vocabulary).exists() {
            let bytes = files.bytes(&json)?;
            files.digest(&bytes);
            Tokenizer::from_bytes(&bytes).map_err(|e| damaged(files.root, format!("{json}: {e}")))?
        } else {
            let name = inside(&self.modules.transformer, TOKENIZER_CONFIG);
            let config: Map<String, Value> = match (self.tokenizer_is_digested, files.has(&name)) {
                (true, true) => files.parse(&name, &files.bytes(&name)?)?,
                (_, false) => Map::new(),
                (false, true) => files.optional(&name)?,
            };
            let words = files.bytes(&vocabulary)?;
            files.digest(&words);
            tokenizer::of_vocabulary(&words, &config, self.config.family)
                .or_else(|refusal| files.refuse(refusal))?
        };
        tokenizer::ready(tokenizer, &self.text, self.config.vocab_size)
            .map_err(|fact| damaged(files.root, fact))
    }
}

fn read_dense(files: &mut Files, config: &DenseConfig, folder: &str) -> Result<super::dense::Dense> {
    let weights = files.weights(folder)?;
    let layer = match weights.as_slice() {
        [file] => config.load(file.clone()),
        _ => Err("its weights are in several files".to_owned()),
    };
    layer.or_else(|fact| files.refuse((format!("its module {folder}: {fact}"), FETCH)))
}

/// The modules of a folder that lists them.
fn sequence(files: &Files, modules: &[Module]) -> Result<Modules> {
    let wanted = "use an encoder of Transformer, Pooling and, where it has them, Dense and Normalize";
    let mut named = Vec::new();
    for module in modules {
        let Some(folder) = module.folder() else {
            let fact = format!("its module {} is outside of it", module.shown());
            return files.refuse((fact, "do not use this folder, it is not to be trusted"));
        };
        let Some(class) = module.class() else {
            let fact = format!("its module `{}` is code of its own, which is never run", module.shown());
            return files.refuse((fact, wanted));
        };
        if !["Transformer", "Pooling", "Dense", "Normalize"].contains(&class) {
            return files.refuse((format!("it has a module `{}`", module.shown()), wanted));
        }
        named.push((class, folder));
    }
    let is_step = |(class, _): &(&str, String)| ["Dense", "Normalize"].contains(class);
    match named.as_slice() {
        [("Transformer", transformer), ("Pooling", pooling), steps @ ..] if steps.iter().all(is_step) => {
            Ok(Modules {
                transformer: transformer.clone(),
                pooling: Some(pooling.clone()),
                steps: steps
                    .iter()
                    .map(|(class, folder)| (*class == "Dense").then(|| folder.clone()))
                    .collect(),
            })
        }
        [] => files.refuse(("its modules.json lists nothing", FETCH)),
        _ => {
            let classes: Vec<&str> = named.iter().map(|(class, _)| *class).collect();
            files.refuse((format!("its modules are {}", classes.join(", ")), wanted))
        }
    }
}

/// The modules of a folder of the transformers library.
fn plain(files: &Files, has_config: bool, notes: &mut Vec<String>) -> Result<Modules> {
    let whole = "copy the whole folder with its subfolders, or fetch the encoder again";
    if !has_config {
        return files.refuse(("it has neither modules.json nor config.json", whole));
    }
    if files.root.join("1_Pooling").exists() {
        return files.refuse(("it has the folder 1_Pooling and no modules.json", whole));
    }
    notes.push(format!(
        "{} has no modules.json: its embedding is the mean of its token states, as the \
         sentence-transformers library does then; an encoder that was trained otherwise gives worse embeddings so",
        files.root.display()
    ));
    Ok(Modules { transformer: String::new(), pooling: None, steps: Vec::new() })
}

/// The ways of pooling that a module names.
fn read_pooling(files: &mut Files, folder: &str) -> Result<Vec<Mode>> {
    let root = files.root;
    let file = inside(folder, CONFIG);
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
    Ok(modes)
}

/// The prompt that the library would put in front of every text. A file without one, which every encoder has,
/// says nothing about the embedding and is not digested.
fn read_prompt(files: &mut Files) -> Result<String> {
    if !files.root.join(PROMPTS).exists() {
        return Ok(String::new());
    }
    let bytes = files.bytes(PROMPTS)?;
    let prompts: Prompts = files.parse(PROMPTS, &bytes)?;
    if is_set(prompts.truncate_dim.as_ref()) {
        let remedy = "use an encoder whose embeddings are whole";
        return files.refuse(("it cuts its embeddings (`truncate_dim`)", remedy));
    }
    let Some(default) = prompts.default_prompt_name else { return Ok(String::new()) };
    let Some(prompt) = prompts.prompts.get(&default) else {
        let fact = format!("its default prompt `{default}` is not among its prompts");
        return files.refuse((fact, FETCH));
    };
    files.digest(&bytes);
    Ok(prompt.clone())
}

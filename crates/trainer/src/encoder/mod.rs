//! Sentence encoders: a local sentence-transformers folder becomes a function from texts to embeddings.
//!
//! Everything here is row-wise: an embedding depends on its own text alone (Reimers and Gurevych 2019,
//! "Sentence-BERT", section 3: mean pooling over the token states, then an L2 norm of 1).

mod bert;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::prelude::*;
use burn::tensor::TensorData;
use cryptotl_model::{Digest, EncoderId};
use ndarray::Array2;
use serde::Deserialize;
use tokenizers::{Tokenizer, TruncationParams};

use self::bert::{Bert, BertConfig};
use crate::error::{Result, TrainerError};
use crate::progress::{OnProgress, Progress};

/// How many texts go through the network at once. Larger batches do not help on a CPU: the matrices of 32
/// sentences already fill its caches.
const BATCH: usize = 32;

/// A sentence encoder in memory.
pub struct Encoder {
    id: EncoderId,
    tokenizer: Tokenizer,
    network: Bert,
    hidden: usize,
    normalize: bool,
    device: Device,
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Pooling {
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

impl Encoder {
    /// Loads a sentence-transformers folder: `modules.json`, `config.json`, `tokenizer.json`,
    /// `sentence_bert_config.json`, `model.safetensors` and the pooling folder.
    ///
    /// # Errors
    /// [`TrainerError::Encoder`] when a file is missing or damaged, or the folder asks for something this
    /// build does not do; it says what.
    pub fn load(folder: &Path) -> Result<Self> {
        let refuse = |fact: String, remedy: &str| Err(TrainerError::encoder(folder, fact, remedy));
        if !folder.is_dir() {
            return refuse(
                "there is no such folder".into(),
                "give a sentence-transformers folder with --encoder",
            );
        }
        let mut digested = Vec::new();
        let modules: Vec<ModuleEntry> = parse(folder, "modules.json", &mut digested)?;
        let mut normalize = false;
        let mut pooled = false;
        for module in &modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" if module.path.is_empty() => {}
                "Pooling" => {
                    let file = format!("{}/config.json", module.path);
                    let pooling: Pooling = parse(folder, &file, &mut digested)?;
                    let other = pooling.rest.iter().find(|(name, value)| {
                        name.starts_with("pooling_mode_") && **value == serde_json::Value::Bool(true)
                    });
                    if let Some((name, _)) = other {
                        return refuse(format!("it pools by `{name}`"), "use an encoder with mean pooling");
                    }
                    pooled = pooling.pooling_mode_mean_tokens;
                }
                "Normalize" => normalize = true,
                kind => return refuse(format!("it has a module `{kind}`"), "use another encoder"),
            }
        }
        if !pooled {
            return refuse("it does not pool by the mean".into(), "use an encoder with mean pooling");
        }
        let config: BertConfig = parse(folder, "config.json", &mut digested)?;
        let absolute = config.position_embedding_type.as_deref().unwrap_or("absolute") == "absolute";
        if config.model_type != "bert" || config.hidden_act != "gelu" || !absolute {
            return refuse(
                format!("its network is `{}` with `{}`", config.model_type, config.hidden_act),
                "use a BERT encoder with gelu and absolute positions",
            );
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return refuse("its heads do not divide its width".into(), "fetch the encoder again");
        }
        let sentence: SentenceConfig = parse(folder, "sentence_bert_config.json", &mut digested)?;
        let tokenizer_bytes = read(folder, "tokenizer.json")?;
        let mut tokenizer = Tokenizer::from_bytes(&tokenizer_bytes).map_err(|e| {
            TrainerError::encoder(folder, format!("tokenizer.json: {e}"), "fetch the encoder again")
        })?;
        let truncation = TruncationParams {
            max_length: sentence.max_seq_length.min(config.max_position_embeddings),
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| {
            TrainerError::encoder(folder, format!("tokenizer.json: {e}"), "fetch the encoder again")
        })?;
        tokenizer.with_padding(None);
        let weights = folder.join("model.safetensors");
        let weight_bytes = read(folder, "model.safetensors")?;
        digested.extend([tokenizer_bytes, weight_bytes]);
        let digest = Digest::of_parts(digested.iter().map(Vec::as_slice));
        drop(digested);

        let device = Device::flex();
        let mut network = Bert::new(&config, &device);
        network.load(&weights).map_err(|e| {
            TrainerError::encoder(folder, format!("model.safetensors: {e}"), "fetch the encoder again")
        })?;
        let name = folder
            .canonicalize()
            .ok()
            .and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "encoder".to_owned());
        Ok(Self {
            id: EncoderId { name, digest },
            tokenizer,
            hidden: config.hidden_size,
            network,
            normalize,
            device,
        })
    }

    /// The encoder's name and digest.
    pub fn id(&self) -> &EncoderId {
        &self.id
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> usize {
        self.hidden
    }

    /// Embeds texts: `[texts, width]`, in the order given. An empty text has an embedding like any other
    /// (that of the encoder's special tokens).
    ///
    /// A batch holds texts of one length in tokens: there is no padding, whose amount would depend on the
    /// other texts and show in the last bits. Each core works through batches of its own.
    pub fn embed(&self, texts: &[String], on_progress: OnProgress) -> Result<Array2<f32>> {
        let encodings = self.tokenizer.encode_batch_fast(texts.to_vec(), true).map_err(|e| {
            TrainerError::encoder(Path::new(&self.id.name), e.to_string(), "report this as a bug")
        })?;
        let ids: Vec<&[u32]> = encodings.iter().map(|e| e.get_ids()).collect();
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(ids[i].len()));
        let same_length = order.chunk_by(|&a, &b| ids[a].len() == ids[b].len());
        let batches: Vec<&[usize]> = same_length.flat_map(|texts| texts.chunks(BATCH)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let embeddings = Mutex::new(Array2::<f32>::zeros((texts.len(), self.hidden)));
        let n_workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(batches.len().max(1));
        std::thread::scope(|scope| {
            for _ in 0..n_workers {
                let network = self.network.clone();
                let (next, done, batches, ids, embeddings) = (&next, &done, &batches, &ids, &embeddings);
                scope.spawn(move || {
                    // One core a batch beats all cores on one batch: the tensors are small.
                    let work = || {
                        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let rows = self.embed_batch(&network, ids, batch);
                            let mut all = embeddings.lock().unwrap_or_else(|e| e.into_inner());
                            for (row, &i) in rows.chunks(self.hidden).zip(*batch) {
                                all.row_mut(i).iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                            }
                            drop(all);
                            let done = done.fetch_add(batch.len(), Ordering::Relaxed) + batch.len();
                            on_progress(Progress { done, total: ids.len() });
                        }
                    };
                    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
                        Ok(pool) => pool.install(work),
                        Err(_) => work(),
                    }
                });
            }
        });
        Ok(embeddings.into_inner().unwrap_or_else(|e| e.into_inner()))
    }

    /// The embeddings of one batch of texts of the same length, row after row.
    fn embed_batch(&self, network: &Bert, ids: &[&[u32]], batch: &[usize]) -> Vec<f32> {
        let length = batch.first().map_or(0, |&i| ids[i].len());
        let tokens: Vec<i64> = batch.iter().flat_map(|&i| ids[i]).map(|&id| i64::from(id)).collect();
        let tokens = TensorData::new(tokens, [batch.len(), length]);
        let states = network.forward(Tensor::from_data(tokens, &self.device)).into_data_as::<f32>();
        let states = states.as_slice::<f32>().expect("asked for f32");
        let mut pooled = Vec::with_capacity(batch.len() * self.hidden);
        for text in states.chunks(length * self.hidden) {
            let mut mean = vec![0.0f32; self.hidden];
            for token in text.chunks(self.hidden) {
                mean.iter_mut().zip(token).for_each(|(m, x)| *m += x);
            }
            let norm = match self.normalize {
                true => mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12),
                false => length as f32,
            };
            pooled.extend(mean.into_iter().map(|x| x / norm));
        }
        pooled
    }
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path: PathBuf = folder.join(name);
    std::fs::read(&path).map_err(|e| TrainerError::io(&path, e))
}

fn parse<T: serde::de::DeserializeOwned>(
    folder: &Path,
    name: &str,
    digested: &mut Vec<Vec<u8>>,
) -> Result<T> {
    let bytes = read(folder, name)?;
    let value = serde_json::from_slice(&bytes)
        .map_err(|e| TrainerError::encoder(folder, format!("{name}: {e}"), "fetch the encoder again"))?;
    digested.push(bytes);
    Ok(value)
}

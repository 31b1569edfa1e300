//! Sentence encoders: a local sentence-transformers folder becomes a function from texts to embeddings.
//!
//! Everything here is row-wise: an embedding depends on its own text alone, to the last bit.
//!
//! * `folder`, `config`, `files`: what the folder asks for; refuses what this build does not do;
//! * `tokenizer`: from text to token ids;
//! * `transformer`, `gelu`, `weights`: the networks of BERT, DistilBERT, RoBERTa and MPNet, and their published
//!   weights;
//! * `pooling`, `dense`: from token states to an embedding;
//! * [`cache`]: embeddings that need not be computed again.

pub mod cache;
mod config;
mod dense;
mod files;
mod folder;
mod gelu;
mod pooling;
mod tokenizer;
mod transformer;
mod weights;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::prelude::*;
use cryptotl_model::EncoderId;
use ndarray::Array2;
use rayon::prelude::*;
use tokenizers::Tokenizer;

use self::config::TransformerConfig;
pub use self::files::{Needed, needed};
use self::folder::{Folder, TextRules};
use self::pooling::Pooling;
use self::transformer::Transformer;
use crate::error::{Result, TrainerError};
use crate::progress::{OnProgress, Progress};

/// How many texts go through the network at once. Larger batches do not help on a CPU: the matrices of 32
/// sentences already fill its caches.
const MAX_BATCH: usize = 32;
/// How many tokens do, which bounds the memory that long texts take.
const MAX_BATCH_TOKENS: usize = 4096;
/// Bytes of a text that are given to the tokenizer at first; a longer text is read on only if these do not
/// fill the encoder.
const FIRST_BYTES: usize = 1 << 16;
/// The most bytes of a text that are given to the tokenizer, which takes some hundred times as much memory for one word. A
/// longer text that has not filled the encoder until there is cut: it is one word, or nearly all white space.
const MAX_TEXT_BYTES: usize = 1 << 18;

/// Takes a batch that is done: the places of its texts, and their embeddings, row after row.
type OnBatch<'a> = &'a (dyn Fn(&[usize], &[f32]) -> Result<()> + Sync);

/// A sentence encoder in memory.
pub struct Encoder {
    id: EncoderId,
    tokenizer: Tokenizer,
    text: TextRules,
    config: TransformerConfig,
    network: Transformer,
    pooling: Pooling,
    notes: Vec<String>,
    device: Device,
}

impl Encoder {
    /// Loads a folder under its own name: one of the sentence-transformers library, with `modules.json`, or one
    /// of the transformers library. The weights are in `model.safetensors`, in several such files with an
    /// index, or in `pytorch_model.bin`.
    ///
    /// # Errors
    /// [`TrainerError::Encoder`] when a file is missing or damaged, or the folder asks for something this build
    /// does not do; it says what. [`TrainerError::Io`] when a file cannot be read.
    pub fn load(root: &Path) -> Result<Self> {
        let name = root
            .canonicalize()
            .ok()
            .and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "encoder".to_owned());
        Self::load_as(root, name)
    }

    /// The same, under a name for people.
    ///
    /// # Errors
    /// As for [`Encoder::load`].
    pub fn load_as(root: &Path, name: String) -> Result<Self> {
        // It stands in the header of each file that is made with it, and a folder can be called anything.
        let name = name.replace(char::is_control, "\u{fffd}");
        let Folder { config, pooling, text, tokenizer, weights, digest, notes } = Folder::read(root)?;
        let device = Device::flex();
        let mut network = Transformer::new(&config, &device);
        weights::load(&mut network, weights::Names::of(config.family), &weights)
            .map_err(|fact| TrainerError::encoder(root, fact, "fetch the encoder again"))?;
        Ok(Self { id: EncoderId { name, digest }, tokenizer, text, config, network, pooling, notes, device })
    }

    /// Checks what a folder asks for, as far as it can be told without tokenizer and weights.
    ///
    /// # Errors
    /// As for [`Encoder::load`].
    pub fn check(root: &Path) -> Result<()> {
        folder::check(root)
    }

    /// What people should know of how the folder was understood, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The encoder's name and digest.
    pub fn id(&self) -> &EncoderId {
        &self.id
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> usize {
        self.pooling.width(self.config.hidden_size)
    }

    /// Embeds texts: `[texts, width]`, in the order given. An empty text has an embedding like any other
    /// (that of the encoder's special tokens).
    ///
    /// A batch holds texts of one length in tokens: there is no padding, whose amount would depend on the
    /// other texts and show in the last bits. Each core works through batches of its own.
    pub fn embed(&self, texts: &[&str], on_progress: OnProgress) -> Result<Array2<f32>> {
        self.embed_and(texts, on_progress, &|_, _| Ok(()))
    }

    /// The same, and each batch goes to `on_batch` as soon as it is done: the places of its texts, and their embeddings,
    /// row after row. An error of it ends the work.
    fn embed_and(&self, texts: &[&str], on_progress: OnProgress, on_batch: OnBatch) -> Result<Array2<f32>> {
        let ids: Vec<Vec<u32>> = texts.par_iter().map(|text| self.tokens(text)).collect::<Result<_>>()?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(ids[i].len()));
        let same_length = order.chunk_by(|&a, &b| ids[a].len() == ids[b].len());
        let batches: Vec<&[usize]> = same_length
            .flat_map(|texts| {
                texts.chunks((MAX_BATCH_TOKENS / ids[texts[0]].len().max(1)).clamp(1, MAX_BATCH))
            })
            .collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let width = self.width();
        let embeddings = Mutex::new(Array2::<f32>::zeros((texts.len(), width)));
        let work = |network: &Transformer| -> Result<()> {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let batch_ids: Vec<&[u32]> = batch.iter().map(|&i| ids[i].as_slice()).collect();
                let rows = self.embed_batch(network, &batch_ids);
                on_batch(batch, &rows)?;
                let mut all = embeddings.lock().unwrap_or_else(|e| e.into_inner());
                for (row, &i) in rows.chunks(width).zip(*batch) {
                    all.row_mut(i).iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                }
                drop(all);
                let done = done.fetch_add(batch.len(), Ordering::Relaxed) + batch.len();
                on_progress(Progress { done, total: ids.len() });
            }
            Ok(())
        };
        on_threads(rayon::current_num_threads().min(batches.len()), &|| work(&self.network.clone()))?;
        Ok(embeddings.into_inner().unwrap_or_else(|e| e.into_inner()))
    }

    /// The token ids of a text, special tokens among them, cut to what the encoder reads.
    ///
    /// Tokens never reach across white space, so the ids of a long text that is cut there are the first ids
    /// of the whole: once these fill the encoder, the rest need not be read.
    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let text = match self.text.prompt.as_str() {
            "" => Cow::Borrowed(text),
            prompt => Cow::Owned(format!("{prompt}{}", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)])),
        };
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        let mut window = FIRST_BYTES;
        loop {
            let part = match text.get(..text.floor_char_boundary(window)).filter(|_| window < text.len()) {
                Some(start) => &text[..start.rfind([' ', '\n']).unwrap_or(0)],
                None => text,
            };
            let encoding = self.tokenizer.encode_fast(part, true).map_err(|e| {
                TrainerError::encoder(Path::new(&self.id.name), e.to_string(), "report this as a bug")
            })?;
            if part.len() == text.len() || encoding.len() >= self.text.max_tokens {
                return Ok(encoding.get_ids().to_vec());
            }
            window = window.saturating_mul(8);
        }
    }

    /// The embeddings of one batch of texts of the same length, row after row.
    fn embed_batch(&self, network: &Transformer, ids: &[&[u32]]) -> Vec<f32> {
        let hidden = self.config.hidden_size;
        let states = network.forward(&self.config, ids, &self.device);
        let [_, length, _] = states.dims();
        let states = states.into_data_as::<f32>();
        let states = states.as_slice::<f32>().expect("asked for f32");
        let mut embeddings = Vec::with_capacity(ids.len() * self.width());
        for text in states.chunks_exact((length * hidden).max(1)) {
            self.pooling.pool(text, hidden, &mut embeddings);
        }
        embeddings
    }
}

/// Runs `work` on up to `wanted` threads at once, each with one core: for a batch that beats all cores, as the tensors are
/// small. Where the system grants no thread, this one does the work.
fn on_threads(wanted: usize, work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    let on_one_core = || match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    };
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, on_one_core).ok();
        let started: Vec<_> = (0..wanted).map_while(start).collect();
        if started.is_empty() {
            return work();
        }
        // Every thread is waited for, also when one of them failed.
        let outcomes: Vec<_> = started.into_iter().map(|thread| thread.join()).collect();
        outcomes
            .into_iter()
            .try_for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests;

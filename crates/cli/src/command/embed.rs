//! `embed`: texts to embeddings.

use std::fmt;
use std::time::Instant;

use cryptotl_model::{Records, RecordsHeader, RecordsWriter};
use cryptotl_trainer::encoder::Encoder;
use cryptotl_trainer::encoder::cache::EmbeddingCache;
use cryptotl_trainer::table::{Columns, Summary, Table, TableOptions, Texts};
use ndarray::Array2;
use serde::Serialize;

use crate::cli::EmbedArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
struct Embedded {
    rows: usize,
    seconds: f64,
    sentences_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_cache: Option<usize>,
    /// As private as the texts.
    table: Summary,
}

impl fmt::Display for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, seconds, sentences_per_second, from_cache, table } = self;
        write!(f, "embedded {rows} texts in {seconds:.2} s, {sentences_per_second:.0} a second")?;
        if let Some(n) = from_cache {
            write!(f, "; {n} of them were in the cache")?;
        }
        write!(f, "\n{table}")
    }
}

/// Runs the verb.
pub fn run(args: EmbedArgs, output: &Output) -> Result<()> {
    let labels: Vec<String> = args.labels.into_iter().flat_map(|list| list.0).collect();
    check_labels(&labels)?;
    let to = output.file(&args.output, Records::FILE)?;
    let columns = Columns {
        text: args.text_column,
        label: args.label_column,
        id: args.id_column,
        person: args.unit_column,
        source: args.source_column,
    };
    let options = TableOptions { allow_unlabeled: args.allow_unlabeled, ..args.table.options() };
    let table = Table::open_with(&args.input, &columns, &labels, &options)?;
    let encoder = args.encoder.load()?;
    Records::check_size(table.n_records(), encoder.width())?;
    let mut embedder = Embedder::new(&encoder, table.n_records());
    if let Some(folder) = &args.cache {
        embedder.cache = Some(EmbeddingCache::open(folder, &encoder)?);
    }
    let header = RecordsHeader {
        encoder: encoder.id().clone(),
        label_names: labels,
        extraction: None,
        population: args.population,
    };
    header.check_labels()?;
    let mut writer: Option<RecordsWriter> = None;
    for chunk in table.chunks()? {
        let Texts { ids, texts, labels, persons, sources } = chunk?;
        let embeddings = embedder.embed(&texts)?;
        let records =
            Records { header: header.clone(), ids, embeddings, features: None, labels, persons, sources };
        match &mut writer {
            Some(writer) => writer.push(&records)?,
            None => writer = Some(RecordsWriter::create(&to, &records)?),
        }
    }
    if embedder.done != table.n_records() {
        let fact = format!("{} changed while it was read", args.input.display());
        return Err(Failure::failed(fact, "run it again on a file that stays as it is"));
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    let (rows, seconds) = (embedder.done, embedder.seconds);
    let from_cache = embedder.cache.is_some().then_some(embedder.from_cache);
    let table = table.summary().clone();
    output.result(&Embedded { rows, seconds, sentences_per_second: rows as f64 / seconds, from_cache, table })
}

/// Embeds a table under one progress bar, part by part.
pub(super) struct Embedder<'a> {
    encoder: &'a Encoder,
    cache: Option<EmbeddingCache>,
    bar: Bar,
    total: usize,
    done: usize,
    /// Of the encoder and its cache alone.
    seconds: f64,
    from_cache: usize,
}

impl<'a> Embedder<'a> {
    /// For `total` texts.
    pub fn new(encoder: &'a Encoder, total: usize) -> Self {
        let bar = Bar::new("embedding");
        Self { encoder, cache: None, bar, total, done: 0, seconds: 0.0, from_cache: 0 }
    }

    /// The embeddings of the next texts: `[texts, width]`, all of them finite.
    pub fn embed(&mut self, texts: &[String]) -> Result<Array2<f32>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let start = Instant::now();
        let (bar, done, total) = (&self.bar, self.done, self.total);
        let on_progress = |p: cryptotl_trainer::Progress| bar.show(done + p.done, total);
        let embeddings = match &mut self.cache {
            Some(cache) => {
                let (embeddings, found) = cache.embed(self.encoder, &texts, &on_progress)?;
                self.from_cache += found;
                embeddings
            }
            None => self.encoder.embed(&texts, &on_progress)?,
        };
        self.seconds += start.elapsed().as_secs_f64();
        self.done += texts.len();
        if embeddings.iter().all(|x| x.is_finite()) {
            return Ok(embeddings);
        }
        Err(Failure::failed(
            format!("the encoder {} gives NaN or infinity", self.encoder.id().name),
            "check its files, or fetch it again",
        ))
    }
}

/// An empty list means no labels; otherwise codes must tell labels apart.
fn check_labels(labels: &[String]) -> Result<()> {
    let usage = |fact: String| Err(Failure::new(Code::Usage, format!("--labels {fact}")));
    if labels.len() == 1 {
        return usage("names one label; name at least two, such as negative,positive".to_owned());
    }
    for (i, label) in labels.iter().enumerate() {
        if label.is_empty() || label.trim() != label {
            return usage(format!("has the name {label:?}; give names without spaces around them"));
        }
        if label.chars().any(char::is_control) {
            return usage(format!("has the name {label:?}; give names without control characters"));
        }
        if labels[..i].contains(label) {
            return usage(format!("names {label:?} twice; name each label once"));
        }
    }
    Ok(())
}

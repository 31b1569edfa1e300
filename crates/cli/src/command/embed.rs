//! `embed`: texts to embeddings.

use std::fmt;
use std::time::Instant;

use cryptotl_model::format::check_writable;
use cryptotl_model::{Records, RecordsHeader};
use cryptotl_trainer::encoder::Encoder;
use cryptotl_trainer::table::{Columns, Texts, read_texts};
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
}

impl fmt::Display for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, seconds, sentences_per_second } = self;
        write!(f, "embedded {rows} texts in {seconds:.2} s, {sentences_per_second:.0} a second")
    }
}

/// Runs the verb.
pub fn run(args: EmbedArgs, output: &Output) -> Result<()> {
    check_labels(&args.labels)?;
    check_writable(&args.output)?;
    let columns = Columns {
        text: args.text_column,
        label: args.label_column,
        id: args.id_column,
        person: args.unit_column,
    };
    let texts = read_texts(&args.input, &columns, &args.labels)?;
    let encoder = Encoder::load(&args.encoder)?;

    let start = Instant::now();
    let embeddings = embed_texts(&encoder, &texts.texts)?;
    let seconds = start.elapsed().as_secs_f64();
    let header = RecordsHeader { encoder: encoder.id().clone(), label_names: args.labels, extraction: None };
    let Texts { ids, labels, persons, .. } = texts;
    let records = Records { header, ids, embeddings, features: None, labels, persons };
    records.write(&args.output)?;
    let rows = records.len();
    output.result(&Embedded { rows, seconds, sentences_per_second: rows as f64 / seconds })
}

/// Embeds texts under a progress bar: `[texts, width]`, all of them finite.
pub(super) fn embed_texts(encoder: &Encoder, texts: &[String]) -> Result<Array2<f32>> {
    let bar = Bar::new("embedding");
    let embeddings = encoder.embed(texts, &|p| bar.show(p.done, p.total))?;
    drop(bar);
    if embeddings.iter().all(|x| x.is_finite()) {
        return Ok(embeddings);
    }
    Err(Failure::failed(
        format!("the encoder {} gives NaN or infinity", encoder.id().name),
        "check its files, or fetch it again",
    ))
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
        if labels[..i].contains(label) {
            return usage(format!("names {label:?} twice; name each label once"));
        }
    }
    Ok(())
}

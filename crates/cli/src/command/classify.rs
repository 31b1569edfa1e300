//! `classify`: labels and scores of texts or records, one JSON object a line.

use cryptotl_encrypted::Kernels;
use cryptotl_model::format::write_atomically;
use cryptotl_model::{Records, RecordsHeader};
use cryptotl_trainer::Head;
use cryptotl_trainer::encoder::Encoder;
use cryptotl_trainer::table::{Columns, Table, is_table};

use super::embed::Embedder;
use super::extract::Model;
use crate::cli::{ClassifyArgs, PackingChoice, ParameterArgs};
use crate::exit::{Failure, Result};
use crate::kinds;
use crate::output::{self, Output};

/// Runs the verb.
pub fn run(args: ClassifyArgs, output: &Output) -> Result<()> {
    let to = args.output.as_ref().map(|path| output.file(path, kinds::CLASSIFIED)).transpose()?;
    let (head, _) = Head::read(&args.head)?;
    let records = match (&args.encoder, &args.text_column) {
        (Some(encoder), Some(column)) => embedded(&args, &encoder.load()?, column)?,
        _ => Records::read(&args.input).map_err(|e| not_texts(&args, e.into()))?,
    };
    let records = with_features(&args, &head, records)?;
    let mut lines = String::new();
    for classified in head.classify(&records)? {
        lines += &output::json(&classified)?;
        lines.push('\n');
    }
    match &to {
        Some(to) => Ok(write_atomically(to, lines.as_bytes())?),
        None => output::print(&lines),
    }
}

fn embedded(args: &ClassifyArgs, encoder: &Encoder, text_column: &str) -> Result<Records> {
    let columns = Columns {
        text: text_column.to_owned(),
        label: None,
        id: args.id_column.clone(),
        person: None,
        source: None,
    };
    let texts = Table::open_with(&args.input, &columns, &[], &args.table.options())?.read()?;
    let embeddings = Embedder::new(encoder, texts.texts.len()).embed(&texts.texts)?;
    let header = RecordsHeader {
        encoder: encoder.id().clone(),
        label_names: Vec::new(),
        extraction: None,
        population: None,
    };
    Ok(Records {
        header,
        ids: texts.ids,
        embeddings,
        features: None,
        labels: None,
        persons: None,
        sources: None,
    })
}

/// A head that reads server features gets them from the model, when it is given.
fn with_features(args: &ClassifyArgs, head: &Head, records: Records) -> Result<Records> {
    if !head.inputs().needs_features() || records.features.is_some() {
        return Ok(records);
    }
    let input = args.input.display().to_string();
    let Some(path) = &args.model else {
        return Err(Failure::failed(
            format!("{} reads server features and {input} has none", args.head.display()),
            "run `cryptotl extract` first, or give the model with --model",
        ));
    };
    let model = Model::read(path, args.public.as_deref())?;
    if model.public_digest() != head.header.public_model {
        return Err(Failure::failed(
            format!("{} is not the model that {} was trained with", path.display(), args.head.display()),
            "give that model with --model",
        ));
    }
    Ok(model.extract(records, &input, &ParameterArgs::default(), PackingChoice::Auto, Kernels::default())?.0)
}

/// Says what to do with a table of texts that was given as records.
fn not_texts(args: &ClassifyArgs, failure: Failure) -> Failure {
    match is_table(&args.input) {
        true => Failure::failed(
            format!("{} is a table of texts", args.input.display()),
            "give the encoder with --encoder and the column with --text-column, or embed it first",
        ),
        false => failure,
    }
}

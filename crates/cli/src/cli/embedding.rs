//! The arguments of the verbs that embed texts.

use std::path::PathBuf;

use clap::Args;

use crate::encoder::EncoderSource;

/// Arguments of `embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The encoder: a sentence-transformers folder, or hf:ORG/NAME[@REVISION] for one on the Hugging Face Hub
    #[arg(long, value_name = "ENCODER")]
    pub encoder: EncoderSource,
    /// The table of texts: .csv, .tsv or .jsonl, each also with .gz or .zst behind, or .parquet
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The column that holds the text
    #[arg(long, value_name = "COLUMN")]
    pub text_column: String,
    /// The column that holds the label
    #[arg(long, value_name = "COLUMN", requires = "labels")]
    pub label_column: Option<String>,
    /// The label list, in the order of the codes; any other label counts as unlabeled
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', requires = "label_column")]
    pub labels: Vec<String>,
    /// The column that says whose record it is, for a ledger that protects persons
    #[arg(long, value_name = "COLUMN")]
    pub unit_column: Option<String>,
    /// The column that says which public source a record is from, where one table holds several
    #[arg(long, value_name = "COLUMN")]
    pub source_column: Option<String>,
    /// The column that identifies a record [default: number the records]
    #[arg(long, value_name = "COLUMN")]
    pub id_column: Option<String>,
    /// A folder that keeps embeddings, so that a text is embedded once; as private as the texts
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The population that the records are of, as its ledger calls it; a ledger of another one then never pays for them
    #[arg(long, value_name = "NAME", value_parser = super::population)]
    pub population: Option<String>,
    /// Where to write the embeddings
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Arguments of `bench encoder`.
#[derive(Debug, Args)]
pub struct BenchEncoderArgs {
    /// The encoder: a sentence-transformers folder, or hf:ORG/NAME[@REVISION]
    #[arg(long, value_name = "ENCODER")]
    pub encoder: EncoderSource,
    /// The table of texts
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The column that holds the text
    #[arg(long, value_name = "COLUMN")]
    pub text_column: String,
    /// How many texts, from the first
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub texts: u32,
    /// How often; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
    /// The Python whose onnxruntime and sentence-transformers are measured where they are installed
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
}

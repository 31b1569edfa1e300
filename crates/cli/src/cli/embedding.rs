//! The arguments of the verbs that embed texts.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use cryptotl_trainer::table::{Separator, TableOptions};

use crate::encoder::EncoderSource;
use crate::paths::OutputPath;

/// How a table is read, where it does not say so itself.
#[derive(Debug, Clone, Args)]
pub struct TableArgs {
    /// What separates the fields of CSV and TSV: one character, or comma, semicolon, tab or bar [default: what the first line shows]
    #[arg(long, value_name = "CHARACTER")]
    pub separator: Option<Separator>,
    /// Take quotes in CSV and TSV for characters like others
    #[arg(long)]
    pub no_quotes: bool,
    /// Accept a table in which every text or every unit is empty
    #[arg(long)]
    pub allow_empty: bool,
    /// Let error messages show the names of the table's columns and the values of its labels
    #[arg(long)]
    pub show_values: bool,
}

impl TableArgs {
    /// The same for the reader of tables.
    pub fn options(&self) -> TableOptions {
        let Self { separator, no_quotes, allow_empty, show_values } = *self;
        TableOptions { separator, no_quotes, allow_empty, allow_unlabeled: false, show_values }
    }
}

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
    /// The label list, in the order of the codes; any other label counts as unlabeled. A name with a comma stands in quotes: '"a,b",c'
    #[arg(long, value_name = "NAME,NAME", requires = "label_column")]
    pub labels: Vec<LabelList>,
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
    pub output: OutputPath,
    /// Accept a table in which fewer than half of the records have a declared label
    #[arg(long, requires = "label_column")]
    pub allow_unlabeled: bool,
    /// How the table is read
    #[command(flatten)]
    pub table: TableArgs,
}

/// A list of labels as it is written on the command line: one line of CSV.
#[derive(Debug, Clone)]
pub struct LabelList(pub Vec<String>);

impl FromStr for LabelList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = vec![String::new()];
        let mut rest = text.chars().peekable();
        let mut is_quoted = false;
        while let Some(c) = rest.next() {
            let name = names.last_mut().filter(|_| c != ',' || is_quoted);
            match (name, c) {
                (None, _) => names.push(String::new()),
                (Some(name), '"') if is_quoted && rest.peek() == Some(&'"') => {
                    rest.next();
                    name.push('"');
                }
                (Some(_), '"') if is_quoted => {
                    is_quoted = false;
                    if rest.peek().is_some_and(|c| *c != ',') {
                        return Err(
                            "a quoted name goes on behind its quote; double a quote inside it".to_owned()
                        );
                    }
                }
                (Some(name), '"') if name.is_empty() => is_quoted = true,
                (Some(name), c) => name.push(c),
            }
        }
        match is_quoted {
            true => Err("a quoted name does not end; close its quote".to_owned()),
            false => Ok(Self(names)),
        }
    }
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
    /// How the table is read
    #[command(flatten)]
    pub table: TableArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_list_is_a_line_of_csv() {
        for (text, expected) in [
            ("negative,positive", &["negative", "positive"][..]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("c,\"a \"\"b\"\"\"", &["c", "a \"b\""]),
            ("a \"b\",c", &["a \"b\"", "c"]),
            ("a,", &["a", ""]),
        ] {
            assert_eq!(text.parse::<LabelList>().unwrap().0, expected, "{text}");
        }
        for text in ["\"a,b", "\"a\"b,c"] {
            assert!(text.parse::<LabelList>().is_err(), "{text}");
        }
    }
}

//! Tables of texts: CSV, TSV, JSON lines and Parquet with named columns, read record by record.
//!
//! Reading is total: what is wrong with one record never makes the table fail, nor changes another record.
//! Each flaw has a fixed outcome, whatever the data:
//!
//! | a record has | outcome |
//! | --- | --- |
//! | a field missing or null, in JSON no JSON, in Parquet not a number | the field is empty |
//! | in JSON or Parquet a wanted field that is an array or object | the field is empty; in the first JSON object, or in Parquet, the column is refused |
//! | more fields than the header | they are left out |
//! | a label that is not in the declared list by its value | the code [`UNLABELED`](cryptotl_model::UNLABELED) |
//! | an identifier that another record has | both are kept |
//! | an empty unit field | nobody's record |
//! | an empty source field | a record of the table's own source |
//! | bytes that are not UTF-8 | the field is read as Windows-1252 |
//! | a field longer than [`MAX_FIELD_BYTES`], an identifier longer than [`MAX_ID_BYTES`] | it is cut there |
//! | in JSON: a line that is no object, or is longer than 128 MiB | all its fields are empty |
//! | nothing: a blank line | no record |
//!
//! What concerns the table as a whole is refused: an unknown format, a missing or doubled column, damaged compression,
//! a damaged Parquet file, no record; and unless [`TableOptions`] accept it, no text, no unit, or declared labels in fewer than
//! half of the records. So are more sources than [`SourceColumn::MAX_SOURCES`], and what cannot be a source's name: that
//! column is of something else. No error shows what a record holds, unless [`TableOptions::show_values`] asks for it.

mod codecs;
mod collector;
mod columns;
mod containers;
mod footer;
mod input;
mod json_lines;
mod json_object;
mod labels;
mod lookahead;
mod meaning;
mod options;
mod pages;
mod parquet;
mod quotes;
mod record;
mod refusal;
mod separated;
mod spelling;
mod summary;
mod values;
mod zstandard;

use std::path::{Path, PathBuf};

use cryptotl_model::SourceColumn;

use self::collector::{Collector, Numbers};
pub use self::columns::Columns;
use self::input::{Format, open};
use self::labels::Labels;
pub use self::options::{Separator, TableOptions};
pub use self::parquet::decodes_foreign_bytes;
use self::record::{Record, Rows};
use self::summary::Tally;
pub use self::summary::{Dialect, Flaws, LabelCount, LabelCounts, Summary};
use crate::error::{Result, TrainerError};

/// The longest field of a record that is kept.
pub const MAX_FIELD_BYTES: usize = 16 << 20;
/// The longest identifier that is kept.
pub const MAX_ID_BYTES: usize = 1024;
/// The most records a table may have.
pub const MAX_RECORDS: usize = 1 << 24;
/// The most bytes that all its identifiers together may have.
const MAX_IDS_BYTES: usize = 1 << 29;
/// How many records a chunk has.
const CHUNK_RECORDS: usize = 16_384;
/// How many bytes of text a chunk may have before it ends early.
const CHUNK_BYTES: usize = 64 << 20;

/// Texts with identifiers and label codes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// One identifier a record.
    pub ids: Vec<String>,
    /// One text a record.
    pub texts: Vec<String>,
    /// One code a record: the label's place in the declared list, or [`UNLABELED`](cryptotl_model::UNLABELED).
    pub labels: Option<Vec<u32>>,
    /// One number a record: its person's place in the order of first appearance, or `None` where the field
    /// is empty.
    pub persons: Option<Vec<Option<u32>>>,
    /// Each record's source; the names are all of the table's so far.
    pub sources: Option<SourceColumn>,
}

/// A table that was read through once and found usable.
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    format: Format,
    columns: Columns,
    labels: Labels,
    options: TableOptions,
    summary: Summary,
}

impl Table {
    /// Opens a table and reads through it; see [`Table::open_with`], here without options.
    ///
    /// # Errors
    /// As for [`Table::open_with`].
    pub fn open(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Self> {
        Self::open_with(path, columns, label_names, &TableOptions::default())
    }

    /// Opens a table and reads through it. The file's ending names its format: `.csv`, `.tsv`, `.jsonl`, each
    /// also with `.gz` or `.zst` behind it, or `.parquet`.
    ///
    /// CSV follows RFC 4180, with the separator that the first line shows. In a tab-separated table each record is judged on its
    /// own whether it has quoted fields. A JSON line is an object whose values are strings, numbers or booleans; the first line
    /// stands for the header that JSON lines do not have, and must have every wanted field.
    ///
    /// # Errors
    /// [`TrainerError::Table`] when the table as a whole is not usable, see the module's documentation;
    /// [`TrainerError::Io`] when it cannot be read, and [`TrainerError::Model`] when it is not a regular file.
    pub fn open_with(
        path: &Path,
        columns: &Columns,
        label_names: &[String],
        options: &TableOptions,
    ) -> Result<Self> {
        let format = Format::of(path)?;
        let labels = Labels::new(label_names);
        let (mut rows, dialect) = rows(path, format, columns, options)?;
        let mut tally = Tally::new(columns, &labels, dialect, options.show_values);
        let mut sources = Numbers::default();
        let (mut record, mut n_id_bytes) = (Record::default(), 0);
        while next(&mut *rows, &mut record)? {
            tally.add(&record);
            n_id_bytes += record.fields[2].len().min(MAX_ID_BYTES);
            if tally.records() > MAX_RECORDS {
                return Err(refusal::too_large(path, "records", MAX_RECORDS));
            }
            if n_id_bytes > MAX_IDS_BYTES {
                return Err(refusal::too_large(path, "bytes of identifiers", MAX_IDS_BYTES));
            }
            let n_before = sources.len();
            collector::source(&record, &mut sources);
            if sources.len() > n_before {
                refusal::check_source(path, &sources)?;
            }
        }
        let summary = tally.finish();
        refusal::check(path, &summary, options)?;
        let (path, columns, options) = (path.to_owned(), columns.clone(), options.clone());
        Ok(Self { path, format, columns, labels, options, summary })
    }

    /// How many records it has.
    pub fn n_records(&self) -> usize {
        self.summary.records
    }

    /// What was found in it, for its owner's eyes.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Its records from the first, some thousands at a time, so that memory does not grow with the table.
    ///
    /// # Errors
    /// As for [`Table::open`]; the iterator gives what goes wrong later and then ends.
    pub fn chunks(&self) -> Result<Chunks<'_>> {
        let (rows, _) = rows(&self.path, self.format, &self.columns, &self.options)?;
        Ok(Chunks { rows: Some(rows), collector: Collector::new(&self.columns, &self.labels) })
    }

    /// Reads all of it into memory.
    ///
    /// # Errors
    /// As for [`Table::chunks`].
    pub fn read(&self) -> Result<Texts> {
        let mut all = Texts::default();
        for chunk in self.chunks()? {
            let Texts { ids, texts, labels, persons, sources } = chunk?;
            all.ids.extend(ids);
            all.texts.extend(texts);
            extend(&mut all.labels, labels);
            extend(&mut all.persons, persons);
            if let Some(SourceColumn { names, of_record }) = sources {
                let all = all.sources.get_or_insert_default();
                all.names = names;
                all.of_record.extend(of_record);
            }
        }
        Ok(all)
    }
}

fn rows(
    path: &Path,
    format: Format,
    columns: &Columns,
    options: &TableOptions,
) -> Result<(Box<dyn Rows>, Dialect)> {
    if options.separator.is_some() && !matches!(format, Format::Separated { .. }) {
        return Err(TrainerError::table(
            path,
            "a separator was given, and its format has none",
            "leave out --separator, or name the file .csv",
        ));
    }
    Ok(match format {
        Format::Separated { separator, compression } => {
            let text = open(path, compression)?;
            let utf16 = text.was_utf16;
            let rows = separated::Separated::new(path, text, separator, columns, options)?;
            let separator = Some(char::from(rows.separator().byte()));
            (Box::new(rows), Dialect { separator, utf16 })
        }
        Format::JsonLines { compression } => {
            let text = open(path, compression)?;
            let dialect = Dialect { separator: None, utf16: text.was_utf16 };
            (Box::new(json_lines::JsonLines::new(path, text, columns, options)?), dialect)
        }
        Format::Parquet => (Box::new(parquet::Parquet::new(path, columns, options)?), Dialect::default()),
    })
}

/// The records of a table in chunks; see [`Table::chunks`].
pub struct Chunks<'a> {
    rows: Option<Box<dyn Rows>>,
    collector: Collector<'a>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Texts>;

    fn next(&mut self) -> Option<Result<Texts>> {
        let rows = self.rows.as_mut()?;
        let mut record = Record::default();
        let mut n_bytes = 0;
        for _ in 0..CHUNK_RECORDS {
            match next(&mut **rows, &mut record) {
                Ok(true) => n_bytes += self.collector.push(&record),
                Ok(false) => {
                    self.rows = None;
                    break;
                }
                Err(e) => {
                    self.rows = None;
                    return Some(Err(e));
                }
            }
            if n_bytes >= CHUNK_BYTES {
                break;
            }
        }
        Some(self.collector.take()).filter(|texts| !texts.ids.is_empty()).map(Ok)
    }
}

/// Whether a file's name is that of a table which [`Table::open`] would read.
pub fn is_table(path: &Path) -> bool {
    Format::of(path).is_ok()
}

fn next(rows: &mut dyn Rows, record: &mut Record) -> Result<bool> {
    record.clear();
    rows.read(record)
}

/// Reads a whole table into memory; see [`Table::open`].
///
/// # Errors
/// As for [`Table::open`].
pub fn read_texts(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Texts> {
    Table::open(path, columns, label_names)?.read()
}

fn extend<T>(all: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    if let Some(more) = more {
        all.get_or_insert_default().extend(more);
    }
}

#[cfg(test)]
mod bombs;
#[cfg(test)]
mod flaws;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod tests;

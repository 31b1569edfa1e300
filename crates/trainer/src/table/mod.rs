//! Tables of texts: CSV, TSV, JSON lines and Parquet with named columns, read record by record.
//!
//! Reading is total: what is wrong with one record never makes the table fail, nor changes another record.
//! Each flaw has a fixed outcome, whatever the data:
//!
//! | a record has | outcome |
//! | --- | --- |
//! | a field missing, null, or in JSON an array or object | the field is empty |
//! | more fields than the header | they are left out |
//! | a label that is not in the declared list | the code [`UNLABELED`] |
//! | an identifier that another record has | both are kept |
//! | an empty unit field | nobody's record |
//! | an empty source field | a record of the table's own source |
//! | bytes that are not UTF-8 | the field is read as Latin-1; in JSON the line |
//! | a field longer than [`MAX_FIELD_BYTES`] | it is cut there; in JSON the line is no object |
//! | in JSON: a line that is no object | all its fields are empty |
//! | nothing: a blank line | no record |
//!
//! What concerns the table as a whole is refused: an unknown format, a missing or doubled column, UTF-16, damaged
//! compression, a damaged Parquet file, no record, or not one declared label, which is a mistaken label list. So are more
//! sources than [`SourceColumn::MAX_SOURCES`], and what cannot be a source's name: that column is of something else.

mod collector;
mod input;
mod json_lines;
mod pages;
mod parquet;
mod separated;

use std::path::{Path, PathBuf};

use cryptotl_model::{SourceColumn, UNLABELED};

use self::collector::{Collector, Numbers};
use self::input::{Format, open};
pub use self::parquet::decodes_foreign_bytes;
use crate::error::{Result, TrainerError};

/// The longest field of a record that is kept.
pub const MAX_FIELD_BYTES: usize = 16 << 20;
/// How many records a chunk has.
const CHUNK_RECORDS: usize = 16_384;
/// How many bytes of text a chunk may have before it ends early.
const CHUNK_BYTES: usize = 64 << 20;

/// Which columns hold what.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The text.
    pub text: String,
    /// The label, where the table has labels.
    pub label: Option<String>,
    /// The identifier; without one, records are numbered from 1.
    pub id: Option<String>,
    /// Whose record it is, where persons are the unit of privacy.
    pub person: Option<String>,
    /// Which public source it is from.
    pub source: Option<String>,
}

impl Columns {
    /// The names, in the order of [`Fields`].
    fn names(&self) -> [Option<&str>; N_FIELDS] {
        let Self { text, label, id, person, source } = self;
        [Some(text.as_str()), label.as_deref(), id.as_deref(), person.as_deref(), source.as_deref()]
    }

    /// The place of each wanted column among those that the table has.
    fn places(&self, path: &Path, found: &[String]) -> Result<[Option<usize>; N_FIELDS]> {
        let mut places = [None; N_FIELDS];
        for (place, name) in places.iter_mut().zip(self.names()) {
            let Some(name) = name else { continue };
            let mut all = found.iter().enumerate().filter(|(_, column)| *column == name).map(|(i, _)| i);
            *place = all.next();
            if place.is_none() {
                let remedy = format!("choose among its columns: {}", found.join(", "));
                return Err(TrainerError::table(path, format!("it has no column `{name}`"), remedy));
            }
            if all.next().is_some() {
                let fact = format!("it has two columns `{name}`");
                return Err(TrainerError::table(path, fact, "rename one of them"));
            }
        }
        Ok(places)
    }
}

/// How many columns can be wanted.
const N_FIELDS: usize = 5;

/// The bytes of one record's wanted fields: text, label, identifier, person and source. Those that are not wanted or
/// not there are empty.
type Fields = [Vec<u8>; N_FIELDS];

/// A format's reader.
trait Rows {
    /// Reads the next record into `fields`, which are empty; `false` at the end.
    fn read(&mut self, fields: &mut Fields) -> Result<bool>;
}

/// Texts with identifiers and label codes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// One identifier a record.
    pub ids: Vec<String>,
    /// One text a record.
    pub texts: Vec<String>,
    /// One code a record: the label's place in the declared list, or [`UNLABELED`].
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
    label_names: Vec<String>,
    n_records: usize,
}

impl Table {
    /// Opens a table and reads through it. The file's ending names its format: `.csv`, `.tsv`, `.jsonl`, each
    /// also with `.gz` or `.zst` behind it, or `.parquet`.
    ///
    /// CSV follows RFC 4180. TSV has no quotes: a tab ends a field and a line break ends a record. A JSON line
    /// is an object whose values are strings, numbers or booleans; the first line stands for the header that
    /// JSON lines do not have, and must have every wanted field.
    ///
    /// # Errors
    /// [`TrainerError::Table`] when the table as a whole is not usable, see the module's documentation;
    /// [`TrainerError::Io`] when it cannot be read.
    pub fn open(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Self> {
        let mut table = Self {
            path: path.to_owned(),
            format: Format::of(path)?,
            columns: columns.clone(),
            label_names: label_names.to_vec(),
            n_records: 0,
        };
        let mut n_labeled = 0;
        let mut sources = Numbers::default();
        let mut rows = table.rows()?;
        let mut fields = Fields::default();
        while next(&mut *rows, &mut fields)? {
            table.n_records += 1;
            n_labeled += usize::from(collector::label_code(&fields, label_names) != UNLABELED);
            let n_before = sources.len();
            collector::source(&fields, &mut sources);
            if sources.len() > n_before {
                table.check_source(&sources)?;
            }
        }
        if table.n_records == 0 {
            return Err(TrainerError::table(path, "it has no records", "give a table with at least one"));
        }
        if columns.label.is_some() && n_labeled == 0 {
            return Err(TrainerError::table(
                path,
                format!("no record has one of the labels {label_names:?}"),
                "declare the label list with --labels",
            ));
        }
        Ok(table)
    }

    /// Refuses a column that is of something else than sources, at the newest name.
    fn check_source(&self, sources: &Numbers) -> Result<()> {
        let (most, longest) = (SourceColumn::MAX_SOURCES, SourceColumn::MAX_NAME_BYTES);
        let fact = if sources.len() > most {
            format!("it has more than {most} sources")
        } else if !sources.names().last().is_some_and(|name| SourceColumn::is_name(name)) {
            format!("a source's name is longer than {longest} bytes or has control characters")
        } else {
            return Ok(());
        };
        let remedy = "give the column that names each record's source, or none";
        Err(TrainerError::table(&self.path, fact, remedy))
    }

    /// How many records it has.
    pub fn n_records(&self) -> usize {
        self.n_records
    }

    /// Its records from the first, some thousands at a time, so that memory does not grow with the table.
    ///
    /// # Errors
    /// As for [`Table::open`]; the iterator gives what goes wrong later and then ends.
    pub fn chunks(&self) -> Result<Chunks<'_>> {
        Ok(Chunks { rows: Some(self.rows()?), collector: Collector::new(&self.columns, &self.label_names) })
    }

    fn rows(&self) -> Result<Box<dyn Rows>> {
        let Self { path, columns, .. } = self;
        Ok(match self.format {
            Format::Separated { separator, compression } => {
                Box::new(separated::Separated::new(path, open(path, compression)?, separator, columns)?)
            }
            Format::JsonLines { compression } => {
                Box::new(json_lines::JsonLines::new(path, open(path, compression)?, columns)?)
            }
            Format::Parquet => Box::new(parquet::Parquet::new(path, columns)?),
        })
    }
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
        let mut fields = Fields::default();
        let mut n_bytes = 0;
        for _ in 0..CHUNK_RECORDS {
            match next(&mut **rows, &mut fields) {
                Ok(true) => n_bytes += self.collector.push(&fields),
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

fn next(rows: &mut dyn Rows, fields: &mut Fields) -> Result<bool> {
    fields.iter_mut().for_each(Vec::clear);
    rows.read(fields)
}

/// Reads a whole table into memory; see [`Table::open`].
///
/// # Errors
/// As for [`Table::open`].
pub fn read_texts(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Texts> {
    let table = Table::open(path, columns, label_names)?;
    let mut all = Texts::default();
    for chunk in table.chunks()? {
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

fn extend<T>(all: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    if let Some(more) = more {
        all.get_or_insert_default().extend(more);
    }
}

#[cfg(test)]
mod tests;

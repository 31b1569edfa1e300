//! Parquet: the wanted columns, some records at a time.
//!
//! The columns are read as the bytes and numbers that the file holds, so that no text in them can be an
//! error. The library's decoders panic on some damaged files; here that is an error as any other.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read, Take};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::column::reader::get_column_reader;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use super::codecs::{MAX_PAGE_BYTES, too_large};
use super::columns::{Columns, Names};
use super::containers::{START_BYTES, refuse};
use super::meaning::Meaning;
use super::options::TableOptions;
use super::pages::{Budget, Pages};
use super::record::{N_FIELDS, Record, Rows};
use super::spelling::{canonical, shown};
use super::values::Column;
use super::{MAX_FIELD_BYTES, footer, input};
use crate::error::{Result, TrainerError};

/// The longest header of a page that is read.
const MAX_PAGE_HEADER_BYTES: u64 = 1 << 20;

/// The records of a Parquet table.
pub(super) struct Parquet {
    path: PathBuf,
    file: Arc<Bounded>,
    about: ParquetMetaData,
    /// The place of each wanted column among the file's leaves, and what its values mean.
    places: [Option<(usize, Meaning)>; N_FIELDS],
    budget: Budget,
    next_group: usize,
    group: Option<Group>,
}

/// The wanted columns of a row group.
struct Group {
    n_left: usize,
    columns: [Option<Column>; N_FIELDS],
}

impl Parquet {
    /// Reads the schema.
    pub fn new(path: &Path, columns: &Columns, options: &TableOptions) -> Result<Self> {
        let mut file = input::regular(path)?;
        let mut start = Vec::new();
        let io = |e| TrainerError::io(path, e);
        (&mut file).take(START_BYTES as u64).read_to_end(&mut start).map_err(io)?;
        if !start.starts_with(b"PAR1") {
            refuse(path, &start)?;
        }
        let length = file.metadata().map_err(io)?.len();
        let about = guarded(path, || footer::read(&file, length))?;
        let places = places(path, &about, columns, options)?;
        let file = Arc::new(Bounded { file, length });
        let budget = Budget::default();
        Ok(Self { path: path.to_owned(), file, about, places, budget, next_group: 0, group: None })
    }

    fn open_group(&self, group: usize) -> std::result::Result<Group, ParquetError> {
        let group = self.about.row_group(group);
        let n_left = usize::try_from(group.num_rows()).unwrap_or(0);
        let schema = self.about.file_metadata().schema_descr();
        let mut columns = [const { None }; N_FIELDS];
        for (column, place) in columns.iter_mut().zip(self.places) {
            let Some((place, meaning)) = place else { continue };
            let description = schema.column(place);
            let optional = description.max_def_level() > 0;
            let about = group.column(place);
            let pages = Pages::new(self.file.clone(), about, n_left, optional, self.budget.clone())?;
            let batch = pages.batch();
            let reader = get_column_reader(description, Box::new(pages));
            *column = Some(Column::new(reader, meaning, optional, batch));
        }
        Ok(Group { n_left, columns })
    }
}

/// The wanted columns, each with at most one value a record, of a type that is read.
fn places(
    path: &Path,
    about: &ParquetMetaData,
    columns: &Columns,
    options: &TableOptions,
) -> Result<[Option<(usize, Meaning)>; N_FIELDS]> {
    let schema = about.file_metadata().schema_descr();
    let roots: Vec<&str> = schema.root_schema().get_fields().iter().map(|field| field.name()).collect();
    let names: Vec<String> = roots.iter().map(|root| canonical(root).into_owned()).collect();
    let found = Names { names: &names, given_by: "its schema", separator: None };
    let mut places = [None; N_FIELDS];
    for (place, root) in places.iter_mut().zip(columns.places(path, &found, options)?) {
        let Some(root) = root else { continue };
        let refused = |what: &str| {
            let fact = format!("its column {} holds {what}", shown(&names[root]));
            TrainerError::table(path, fact, "choose or write a column of texts or numbers")
        };
        let is_it = |column: &Arc<_>| {
            let column: &::parquet::schema::types::ColumnDescriptor = column;
            column.path().parts() == [roots[root]]
                && column.max_rep_level() == 0
                && column.max_def_level() <= 1
        };
        let Some(leaf) = schema.columns().iter().position(is_it) else {
            return Err(refused("neither texts nor numbers, but lists or objects"));
        };
        let meaning = Meaning::of(&schema.column(leaf)).map_err(|what| refused(&what))?;
        *place = Some((leaf, meaning));
    }
    Ok(places)
}

impl Rows for Parquet {
    fn read(&mut self, record: &mut Record) -> Result<bool> {
        while self.group.as_ref().is_none_or(|group| group.n_left == 0) {
            if self.next_group == self.about.num_row_groups() {
                return Ok(false);
            }
            // The last group's pages go before the next one's come.
            self.group = None;
            self.group = Some(guarded(&self.path, || self.open_group(self.next_group))?);
            self.next_group += 1;
        }
        let Some(group) = &mut self.group else { return Ok(false) };
        group.n_left -= 1;
        for (field, column) in record.fields.iter_mut().zip(&mut group.columns) {
            if let Some(column) = column {
                guarded(&self.path, || column.next(field))?;
                record.cut |= field.len() > MAX_FIELD_BYTES;
                field.truncate(MAX_FIELD_BYTES);
            }
        }
        Ok(true)
    }
}

/// A file of which no more is read at once than a page may have.
pub(super) struct Bounded {
    file: File,
    length: u64,
}

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Bounded {
    type T = Take<BufReader<File>>;

    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        Ok(self.file.get_read(start)?.take(MAX_PAGE_HEADER_BYTES))
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        if length > MAX_PAGE_BYTES {
            return Err(too_large("a page"));
        }
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF("a page goes on behind the end".to_owned()));
        }
        self.file.get_bytes(start, length)
    }
}

thread_local! {
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a decoder whose panics mean a damaged file, so that they need no words of their own.
pub fn decodes_foreign_bytes() -> bool {
    DECODES.get()
}

/// What a decoder makes of a file's bytes.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    DECODES.set(true);
    // What it was at is not used again: an error ends the reading.
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    DECODES.set(false);
    let panicked = |_| Err(ParquetError::General("a part of it is not what its header says".to_owned()));
    outcome.unwrap_or_else(panicked).map_err(|e| damaged(path, e))
}

fn damaged(path: &Path, e: ParquetError) -> TrainerError {
    match e {
        ParquetError::NYI(what) => TrainerError::table(
            path,
            format!("it uses what this program does not read: {what}"),
            "write it anew with the defaults of pandas, polars or DuckDB",
        ),
        // The library's words may hold values.
        ParquetError::General(_) | ParquetError::EOF(_) => {
            TrainerError::table(path, format!("it is not readable Parquet ({e})"), "write it again")
        }
        _ => TrainerError::table(path, "it is not readable Parquet", "write it again"),
    }
}

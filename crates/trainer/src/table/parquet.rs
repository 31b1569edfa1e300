//! Parquet: the wanted columns, some records at a time.
//!
//! The columns are read as the bytes and numbers that the file holds, so that no text in them can be an
//! error. The library's decoders panic on some damaged files; here that is an error as any other.

use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::parquet::basic::{ConvertedType, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use ::parquet::data_type::{AsBytes, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescPtr;

use super::pages::Pages;
use super::{Columns, Fields, MAX_FIELD_BYTES, N_FIELDS, Rows};
use crate::error::{Result, TrainerError};

/// How many records are read from the file at once: few, because each field may be large.
const BATCH: usize = 32;

/// The records of a Parquet table.
pub(super) struct Parquet {
    path: PathBuf,
    file: SerializedFileReader<File>,
    /// The place of each wanted column among the file's leaves.
    places: [Option<usize>; N_FIELDS],
    next_group: usize,
    group: Option<Group>,
}

/// The wanted columns of a row group, and what was read of them.
struct Group {
    n_left: usize,
    columns: [Option<Column>; N_FIELDS],
}

struct Column {
    description: ColumnDescPtr,
    reader: ColumnReader,
    /// The fields that were read and not given out, the next one last.
    fields: Vec<Vec<u8>>,
}

impl Parquet {
    /// Reads the schema.
    pub fn new(path: &Path, columns: &Columns) -> Result<Self> {
        let file = File::open(path).map_err(|e| TrainerError::io(path, e))?;
        let file = guarded(path, || SerializedFileReader::new(file))?;
        let schema = file.metadata().file_metadata().schema_descr();
        let roots: Vec<String> =
            schema.root_schema().get_fields().iter().map(|f| f.name().to_owned()).collect();
        let mut places = [None; N_FIELDS];
        for (i, root) in columns.places(path, &roots)?.into_iter().enumerate() {
            let Some(name) = root.map(|root| &roots[root]) else { continue };
            let leaf = schema.columns().iter().position(|c| c.path().parts() == [name.as_str()]);
            let plain = leaf.filter(|&leaf| is_plain(&schema.column(leaf)));
            if plain.is_none() {
                let fact = format!("its column `{name}` holds neither texts nor numbers");
                return Err(TrainerError::table(path, fact, "choose or write a column of plain values"));
            }
            places[i] = plain;
        }
        Ok(Self { path: path.to_owned(), file, places, next_group: 0, group: None })
    }

    fn open_group(&self, group: usize) -> std::result::Result<Group, ParquetError> {
        let group = self.file.get_row_group(group)?;
        let schema = self.file.metadata().file_metadata().schema_descr();
        let mut columns = [const { None }; N_FIELDS];
        for (column, place) in columns.iter_mut().zip(self.places) {
            let Some(place) = place else { continue };
            let description = schema.column(place);
            let pages = Pages::new(group.get_column_page_reader(place)?, description.max_def_level() > 0);
            let reader = get_column_reader(description.clone(), Box::new(pages));
            *column = Some(Column { description, reader, fields: Vec::new() });
        }
        let n_left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        Ok(Group { n_left, columns })
    }
}

impl Rows for Parquet {
    fn read(&mut self, fields: &mut Fields) -> Result<bool> {
        while self.group.as_ref().is_none_or(|group| group.n_left == 0) {
            if self.next_group == self.file.num_row_groups() {
                return Ok(false);
            }
            self.group = Some(guarded(&self.path, || self.open_group(self.next_group))?);
            self.next_group += 1;
        }
        let Some(group) = &mut self.group else { return Ok(false) };
        group.n_left -= 1;
        for (field, column) in fields.iter_mut().zip(&mut group.columns) {
            if let Some(column) = column {
                *field = guarded(&self.path, || column.next())?;
            }
        }
        Ok(true)
    }
}

/// Whether a column has at most one value a record, of a type that is read.
fn is_plain(column: &ColumnDescPtr) -> bool {
    use Physical::{BOOLEAN, BYTE_ARRAY, DOUBLE, FLOAT, INT32, INT64};
    let known = [BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY].contains(&column.physical_type());
    known && column.max_rep_level() == 0 && column.max_def_level() <= 1
}

impl Column {
    fn next(&mut self) -> std::result::Result<Vec<u8>, ParquetError> {
        if self.fields.is_empty() {
            self.fields = self.batch()?;
            self.fields.reverse();
        }
        self.fields.pop().ok_or_else(|| ParquetError::EOF("a column is shorter than its group".to_owned()))
    }

    fn batch(&mut self) -> std::result::Result<Vec<Vec<u8>>, ParquetError> {
        let unsigned = matches!(
            self.description.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
        let optional = self.description.max_def_level() > 0;
        match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => read(reader, optional, |x| x.to_string().into()),
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                read(reader, optional, |&x| (x as u32).to_string().into())
            }
            ColumnReader::Int32ColumnReader(reader) => read(reader, optional, |x| x.to_string().into()),
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                read(reader, optional, |&x| (x as u64).to_string().into())
            }
            ColumnReader::Int64ColumnReader(reader) => read(reader, optional, |x| x.to_string().into()),
            ColumnReader::FloatColumnReader(reader) => read(reader, optional, |x| x.to_string().into()),
            ColumnReader::DoubleColumnReader(reader) => read(reader, optional, |x| x.to_string().into()),
            ColumnReader::ByteArrayColumnReader(reader) => read(reader, optional, |x| {
                let bytes = x.as_bytes();
                bytes[..bytes.len().min(MAX_FIELD_BYTES)].to_vec()
            }),
            _ => Err(ParquetError::General("a column has another type than the schema says".to_owned())),
        }
    }
}

/// Reads the next records of a column; a null is an empty field.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    optional: bool,
    text: impl Fn(&T::T) -> Vec<u8>,
) -> std::result::Result<Vec<Vec<u8>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (n_records, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
    if !optional {
        return Ok(values.iter().map(text).collect());
    }
    let mut values = values.iter();
    let field = |level: &i16| match level {
        0 => Vec::new(),
        _ => values.next().map_or_else(Vec::new, &text),
    };
    Ok(levels.iter().take(n_records).map(field).collect())
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
            "write it with Snappy, gzip or LZ4 compression and plain types",
        ),
        e => TrainerError::table(path, format!("it is not readable Parquet ({e})"), "write it again"),
    }
}

//! CSV and TSV, field by field, so that not even a field without an end fills the memory.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use super::collector::characters;
use super::input::unreadable;
use super::{Columns, Fields, MAX_FIELD_BYTES, N_FIELDS, Rows};
use crate::error::{Result, TrainerError};

/// The most columns a table may have.
const MAX_COLUMNS: usize = 1 << 16;

/// The records of a CSV or TSV table.
pub(super) struct Separated {
    path: PathBuf,
    bytes: Box<dyn BufRead>,
    parser: Reader,
    places: [Option<usize>; N_FIELDS],
}

impl Separated {
    /// Reads the header.
    pub fn new(path: &Path, bytes: Box<dyn BufRead>, separator: u8, columns: &Columns) -> Result<Self> {
        let parser = ReaderBuilder::new().delimiter(separator).quoting(separator == b',').build();
        let mut table = Self { path: path.to_owned(), bytes, parser, places: [None; N_FIELDS] };
        let mut header = Vec::new();
        let mut name = Vec::new();
        loop {
            let end = table.field(Some(&mut name))?;
            if matches!(end, End::Table) || header.len() == MAX_COLUMNS {
                break;
            }
            header.push(characters(&name).trim().to_owned());
            name.clear();
            if matches!(end, End::Record) {
                break;
            }
        }
        if header.iter().all(String::is_empty) {
            let remedy = "give a table whose first line names its columns";
            return Err(TrainerError::table(path, "it is empty", remedy));
        }
        table.places = columns.places(path, &header)?;
        Ok(table)
    }

    /// Reads one field, its first [`MAX_FIELD_BYTES`] into `to` if it is wanted.
    fn field(&mut self, mut to: Option<&mut Vec<u8>>) -> Result<End> {
        let mut part = [0; 4096];
        loop {
            let input = self.bytes.fill_buf().map_err(|e| unreadable(&self.path, e))?;
            let (result, n_read, n_written) = self.parser.read_field(input, &mut part);
            self.bytes.consume(n_read);
            if let Some(to) = &mut to {
                let room = MAX_FIELD_BYTES - to.len();
                to.extend_from_slice(&part[..n_written.min(room)]);
            }
            match result {
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
                ReadFieldResult::Field { record_end: true } => return Ok(End::Record),
                ReadFieldResult::Field { record_end: false } => return Ok(End::Field),
                ReadFieldResult::End => return Ok(End::Table),
            }
        }
    }
}

/// What came to its end with a field.
enum End {
    Field,
    Record,
    /// There was no field.
    Table,
}

impl Rows for Separated {
    fn read(&mut self, fields: &mut Fields) -> Result<bool> {
        for column in 0.. {
            let to = self.places.iter().position(|place| *place == Some(column));
            match self.field(to.map(|i| &mut fields[i]))? {
                End::Table => return Ok(false),
                End::Field => {}
                End::Record => break,
            }
        }
        // One column can be wanted for two purposes.
        for i in 1..N_FIELDS {
            let first = self.places[..i].iter().position(|place| place.is_some() && *place == self.places[i]);
            if let Some(first) = first {
                fields[i] = fields[first].clone();
            }
        }
        Ok(true)
    }
}

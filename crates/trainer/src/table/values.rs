//! The values of one Parquet column as fields.

use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{AsBytes, ByteArray, DataType};
use ::parquet::errors::{ParquetError, Result};

use super::MAX_FIELD_BYTES;
use super::meaning::{Meaning, float, int96};

/// A column of a row group.
pub(super) struct Column {
    reader: ColumnReader,
    meaning: Meaning,
    /// Whether values may be missing.
    optional: bool,
    /// How many values are read at once.
    batch: usize,
    /// The fields that were read and not given out, the next one last.
    fields: Vec<Field>,
}

/// A field. Bytes are a part of their page and not copied before they are given out.
enum Field {
    Nothing,
    Text(String),
    Bytes(ByteArray),
}

impl Column {
    pub fn new(reader: ColumnReader, meaning: Meaning, optional: bool, batch: usize) -> Self {
        Self { reader, meaning, optional, batch, fields: Vec::new() }
    }

    /// Gives out the next field; of a longer one, one byte more than is kept.
    pub fn next(&mut self, to: &mut Vec<u8>) -> Result<()> {
        if self.fields.is_empty() {
            self.read()?;
            self.fields.reverse();
        }
        match self.fields.pop() {
            Some(Field::Nothing) => {}
            Some(Field::Text(text)) => to.extend_from_slice(text.as_bytes()),
            Some(Field::Bytes(bytes)) => {
                let bytes = bytes.as_bytes();
                let bytes = &bytes[..bytes.len().min(MAX_FIELD_BYTES + 1)];
                to.extend_from_slice(&self.meaning.bytes(bytes));
            }
            None => return Err(ParquetError::EOF("a column is shorter than its group".to_owned())),
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let Self { reader, meaning, optional, batch, fields } = self;
        let into = Into { optional: *optional, batch: *batch, fields };
        match reader {
            ColumnReader::BoolColumnReader(reader) => into.read(reader, |x| Field::Text(x.to_string())),
            ColumnReader::Int32ColumnReader(reader) => {
                into.read(reader, |&x| Field::Text(meaning.number(x.into(), 32)))
            }
            ColumnReader::Int64ColumnReader(reader) => {
                into.read(reader, |&x| Field::Text(meaning.number(x, 64)))
            }
            ColumnReader::Int96ColumnReader(reader) => into.read(reader, |x| Field::Text(int96(x.data()))),
            ColumnReader::FloatColumnReader(reader) => into.read(reader, |&x| Field::Text(float(x))),
            ColumnReader::DoubleColumnReader(reader) => into.read(reader, |&x| Field::Text(float(x))),
            ColumnReader::ByteArrayColumnReader(reader) => into.read(reader, |x| Field::Bytes(x.clone())),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                into.read(reader, |x| Field::Bytes(ByteArray::clone(x)))
            }
        }
    }
}

struct Into<'a> {
    optional: bool,
    batch: usize,
    fields: &'a mut Vec<Field>,
}

impl Into<'_> {
    /// Reads the next records of a column; a null is an empty field.
    fn read<T: DataType>(
        self,
        reader: &mut ColumnReaderImpl<T>,
        field: impl Fn(&T::T) -> Field,
    ) -> Result<()> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (n_records, _, _) = reader.read_records(self.batch, Some(&mut levels), None, &mut values)?;
        if !self.optional {
            self.fields.extend(values.iter().map(field));
            return Ok(());
        }
        let mut values = values.iter();
        let of_level = |level: &i16| match level {
            0 => Field::Nothing,
            _ => values.next().map_or(Field::Nothing, &field),
        };
        self.fields.extend(levels.iter().take(n_records).map(of_level));
        Ok(())
    }
}

//! JSON lines: one object a line.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::columns::{Columns, Names};
use super::input::{Text, unreadable};
use super::json_object::{Value, members};
use super::lookahead::Lookahead;
use super::options::TableOptions;
use super::record::{N_FIELDS, Record, Rows};
use super::spelling::{canonical, shown};
use super::{MAX_FIELD_BYTES, columns::MAX_COLUMNS};
use crate::error::{Result, TrainerError};

/// The longest line that is parsed: all fields of a record, each character as `\u` and four digits.
const MAX_LINE_BYTES: usize = 8 * MAX_FIELD_BYTES;

/// The records of a JSON-lines table.
pub(super) struct JsonLines {
    path: PathBuf,
    bytes: Lookahead,
    names: [Option<String>; N_FIELDS],
    line: Vec<u8>,
    /// Whether the line is the first object, which was read to see the columns.
    is_first: bool,
}

impl JsonLines {
    /// Reads the first object.
    pub fn new(path: &Path, text: Text, columns: &Columns, options: &TableOptions) -> Result<Self> {
        let names = columns.names().map(|name| name.map(|name| canonical(name).into_owned()));
        let mut table =
            Self { path: path.to_owned(), bytes: text.bytes, names, line: Vec::new(), is_first: false };
        if table.next_line()? {
            table.check_first(columns, options)?;
            table.is_first = true;
        }
        Ok(table)
    }

    /// The first object stands for the header.
    fn check_first(&self, columns: &Columns, options: &TableOptions) -> Result<()> {
        let (mut found, mut seen, mut nested) = (Vec::new(), HashSet::new(), None);
        let is_object = self.members(|name, value| {
            if matches!(value, Value::Nested) && self.names[0].as_deref() == Some(name) {
                nested = Some(shown(name));
            }
            if found.len() < MAX_COLUMNS && seen.insert(name.to_owned()) {
                found.push(name.to_owned());
            }
        });
        let refused = |fact: &str, remedy: &str| Err(TrainerError::table(&self.path, fact, remedy));
        if !is_object {
            return refused(
                "its first line is not a JSON object",
                "write one object on each line, as pandas does with orient=\"records\", lines=True",
            );
        }
        let names = Names { names: &found, given_by: "its first object", separator: None };
        columns.places(&self.path, &names, options)?;
        match nested {
            Some(name) => refused(
                &format!("its column {name} holds arrays or objects"),
                "write the text itself there, as a string",
            ),
            None => Ok(()),
        }
    }

    /// Reads the next line that is not blank; what is beyond the longest is left out.
    fn next_line(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let mut read_any = false;
            loop {
                let part = self.bytes.fill().map_err(|e| unreadable(&self.path, e))?;
                let end = memchr::memchr(b'\n', part);
                let n = end.map_or(part.len(), |end| end + 1);
                read_any |= n > 0;
                let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
                self.line.extend_from_slice(&part[..n.min(room)]);
                self.bytes.consume(n);
                if end.is_some() || n == 0 {
                    break;
                }
            }
            if !read_any {
                return Ok(false);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// The members of the line with their canonical names; `false` when it is no object.
    fn members<'a>(&'a self, mut member: impl FnMut(&str, Value<'a>)) -> bool {
        self.line.len() <= MAX_LINE_BYTES
            && members(&self.line, |name, value| member(&canonical(&name.unescaped()), value))
    }
}

impl Rows for JsonLines {
    fn read(&mut self, record: &mut Record) -> Result<bool> {
        if !std::mem::take(&mut self.is_first) && !self.next_line()? {
            return Ok(false);
        }
        let is_object = self.members(|name, value| {
            let wanted = record.fields.iter_mut().zip(&self.names);
            for (field, _) in wanted.filter(|(_, wanted)| wanted.as_deref() == Some(name)) {
                field.clear();
                match &value {
                    Value::Text(text) => {
                        let text_ = text.unescaped();
                        let end = text_.floor_char_boundary(MAX_FIELD_BYTES);
                        field.extend_from_slice(&text_.as_bytes()[..end]);
                        record.cut |= end < text_.len();
                        record.not_utf8 |= !text.is_utf8();
                    }
                    Value::Plain(word) => {
                        field.extend_from_slice(&word.as_bytes()[..word.len().min(MAX_FIELD_BYTES)]);
                    }
                    Value::Nested => record.nested = true,
                    Value::Nothing => {}
                }
            }
        });
        if !is_object {
            record.clear();
            record.not_object = true;
        }
        Ok(true)
    }
}

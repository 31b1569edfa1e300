//! JSON lines: one object a line.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::collector::characters;
use super::input::unreadable;
use super::{Columns, Fields, MAX_FIELD_BYTES, N_FIELDS, Rows};
use crate::error::{Result, TrainerError};

/// The longest line that is parsed: all fields of a record, each character as `\u` and four digits.
const MAX_LINE_BYTES: usize = 8 * MAX_FIELD_BYTES;

/// The records of a JSON-lines table.
pub(super) struct JsonLines {
    path: PathBuf,
    bytes: Box<dyn BufRead>,
    names: [Option<String>; N_FIELDS],
    line: Vec<u8>,
    /// The first object, which was read to see the columns.
    first: Option<Map<String, Value>>,
}

impl JsonLines {
    /// Reads the first object.
    pub fn new(path: &Path, bytes: Box<dyn BufRead>, columns: &Columns) -> Result<Self> {
        let names = columns.names().map(|name| name.map(str::to_owned));
        let mut table = Self { path: path.to_owned(), bytes, names, line: Vec::new(), first: None };
        if table.next_line()? {
            let Some(object) = table.object() else {
                let remedy = "write one object on each line";
                return Err(TrainerError::table(path, "its first line is not a JSON object", remedy));
            };
            if let Some(name) = table.names.iter().flatten().find(|name| !object.contains_key(*name)) {
                return Err(TrainerError::table(
                    path,
                    format!("its first object has no `{name}`"),
                    format!("choose among {}", object.keys().cloned().collect::<Vec<_>>().join(", ")),
                ));
            }
            table.first = Some(object);
        }
        Ok(table)
    }

    /// Reads the next line that is not blank; what is beyond the longest is left out.
    fn next_line(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let mut read_any = false;
            loop {
                let part = self.bytes.fill_buf().map_err(|e| unreadable(&self.path, e))?;
                let end = part.iter().position(|&byte| byte == b'\n');
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

    fn object(&self) -> Option<Map<String, Value>> {
        if self.line.len() > MAX_LINE_BYTES {
            return None;
        }
        serde_json::from_str(&characters(&self.line)).ok()
    }
}

impl Rows for JsonLines {
    fn read(&mut self, fields: &mut Fields) -> Result<bool> {
        let object = match self.first.take() {
            Some(first) => Some(first),
            None if self.next_line()? => self.object(),
            None => return Ok(false),
        };
        for (field, name) in fields.iter_mut().zip(&self.names) {
            let value = name.as_ref().and_then(|name| object.as_ref()?.get(name));
            match value {
                Some(Value::String(text)) => field.extend_from_slice(text.as_bytes()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                    field.extend_from_slice(value.to_string().as_bytes());
                }
                _ => {}
            }
            field.truncate(MAX_FIELD_BYTES);
        }
        Ok(true)
    }
}

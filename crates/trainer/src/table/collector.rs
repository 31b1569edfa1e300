//! From the bytes of fields to texts, codes and numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use cryptotl_model::{SourceColumn, UNLABELED};

use super::columns::Columns;
use super::labels::{Labels, Named};
use super::record::Record;
use super::spelling::{canonical, trimmed};
use super::{MAX_FIELD_BYTES, MAX_ID_BYTES, Texts};

/// Names, numbered in the order of first appearance.
#[derive(Default)]
pub(super) struct Numbers {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Numbers {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of what a field names; `None` if it is empty.
    fn of(&mut self, field: &[u8]) -> Option<u32> {
        let name = characters(field);
        let name = name.trim();
        if name.is_empty() {
            return None;
        }
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }
}

/// Persons, numbered in the order of first appearance. Of a name only 128 bits of its BLAKE2b hash are kept, so that long
/// names take no more memory than short ones; that two names among 2^24 share them has a chance below 2^-80.
#[derive(Default)]
pub(super) struct Persons {
    numbers: HashMap<[u8; 16], u32>,
}

impl Persons {
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the person whom a field names; `None` if it is empty.
    pub fn of(&mut self, field: &[u8]) -> Option<u32> {
        let name = characters(field);
        let name = canonical(&name);
        if name.is_empty() {
            return None;
        }
        let hash = blake2b_simd::Params::new().hash_length(16).hash(name.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(hash.as_bytes());
        let next = self.numbers.len() as u32;
        Some(*self.numbers.entry(key).or_insert(next))
    }
}

/// Collects the records of one chunk after the other. Identifiers, persons and sources are numbered through the whole
/// table.
pub(super) struct Collector<'a> {
    texts: Texts,
    columns: &'a Columns,
    labels: &'a Labels,
    /// Records before those in `texts`.
    n_before: usize,
    persons: Persons,
    sources: Numbers,
}

impl<'a> Collector<'a> {
    pub fn new(columns: &'a Columns, labels: &'a Labels) -> Self {
        let texts = empty(columns);
        Self { texts, columns, labels, n_before: 0, persons: Persons::default(), sources: Numbers::default() }
    }

    /// Adds a record and tells how many bytes it takes.
    pub fn push(&mut self, record: &Record) -> usize {
        let [text, _, id, person, _] = &record.fields;
        self.texts.texts.push(characters(text).into_owned());
        if let Some(labels) = &mut self.texts.labels {
            labels.push(match label(record, self.labels) {
                Named::Label(code) => code,
                Named::Nothing | Named::Another { .. } => UNLABELED,
            });
        }
        let number = self.n_before + self.texts.ids.len() + 1;
        self.texts.ids.push(match self.columns.id {
            Some(_) => identifier(id),
            None => number.to_string(),
        });
        if let Some(persons) = &mut self.texts.persons {
            persons.push(self.persons.of(person));
        }
        if let Some(sources) = &mut self.texts.sources {
            sources.of_record.push(source(record, &mut self.sources));
        }
        text.len() + id.len().min(MAX_ID_BYTES)
    }

    /// The records since the last call.
    pub fn take(&mut self) -> Texts {
        self.n_before += self.texts.ids.len();
        if let Some(sources) = &mut self.texts.sources {
            sources.names.extend_from_slice(self.sources.names());
        }
        std::mem::replace(&mut self.texts, empty(self.columns))
    }
}

fn empty(columns: &Columns) -> Texts {
    let labels = columns.label.is_some().then(Vec::new);
    let persons = columns.person.is_some().then(Vec::new);
    let sources = columns.source.is_some().then(SourceColumn::default);
    Texts { labels, persons, sources, ..Texts::default() }
}

/// The number of a record's source.
pub(super) fn source(record: &Record, sources: &mut Numbers) -> Option<u32> {
    sources.of(&record.fields[4])
}

/// What a record's label field says.
pub(super) fn label(record: &Record, labels: &Labels) -> Named {
    labels.named_by(&characters(&record.fields[1]))
}

/// Whether a record has a text: one that is more than white space.
pub(super) fn has_text(record: &Record) -> bool {
    !trimmed(&characters(&record.fields[0])).is_empty()
}

/// An identifier as it is written, cut to what is kept of one.
pub(super) fn identifier(field: &[u8]) -> String {
    let id = characters(field);
    id[..id.floor_char_boundary(MAX_ID_BYTES)].to_owned()
}

/// Whether bytes are UTF-8, or were until they were cut to [`MAX_FIELD_BYTES`].
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(e) => bytes.len() == MAX_FIELD_BYTES && e.error_len().is_none(),
    }
}

/// The characters of a field: UTF-8, or if its bytes are not, Windows-1252, in which every byte is a character. A
/// field that was cut to [`MAX_FIELD_BYTES`] loses the character that the cut went through.
pub(super) fn characters(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(e) if bytes.len() == MAX_FIELD_BYTES && e.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..e.valid_up_to()])
        }
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

//! From the bytes of fields to texts, codes and numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use cryptotl_model::{SourceColumn, UNLABELED};

use super::{Columns, Fields, MAX_FIELD_BYTES, Texts};

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

/// Collects the records of one chunk after the other. Identifiers, persons and sources are numbered through the whole
/// table.
pub(super) struct Collector<'a> {
    texts: Texts,
    columns: &'a Columns,
    label_names: &'a [String],
    /// Records before those in `texts`.
    n_before: usize,
    persons: Numbers,
    sources: Numbers,
}

impl<'a> Collector<'a> {
    pub fn new(columns: &'a Columns, label_names: &'a [String]) -> Self {
        let texts = empty(columns);
        let (persons, sources) = Default::default();
        Self { texts, columns, label_names, n_before: 0, persons, sources }
    }

    /// Adds a record and tells how many bytes it takes.
    pub fn push(&mut self, fields: &Fields) -> usize {
        let [text, _, id, person, _] = fields;
        self.texts.texts.push(characters(text).into_owned());
        if let Some(labels) = &mut self.texts.labels {
            labels.push(label_code(fields, self.label_names));
        }
        let number = self.n_before + self.texts.ids.len() + 1;
        self.texts.ids.push(match self.columns.id {
            Some(_) => characters(id).into_owned(),
            None => number.to_string(),
        });
        if let Some(persons) = &mut self.texts.persons {
            persons.push(self.persons.of(person));
        }
        if let Some(sources) = &mut self.texts.sources {
            sources.of_record.push(source(fields, &mut self.sources));
        }
        text.len() + id.len()
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
pub(super) fn source(fields: &Fields, sources: &mut Numbers) -> Option<u32> {
    sources.of(&fields[4])
}

/// The place of a record's label in the declared list.
pub(super) fn label_code(fields: &Fields, label_names: &[String]) -> u32 {
    let label = characters(&fields[1]);
    label_names.iter().position(|name| name == label.trim()).map_or(UNLABELED, |i| i as u32)
}

/// The characters of a field: UTF-8, or if its bytes are not, Latin-1, in which every byte is a character. A
/// field that was cut to [`MAX_FIELD_BYTES`] loses the character that the cut went through.
pub(super) fn characters(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(e) if bytes.len() == MAX_FIELD_BYTES && e.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..e.valid_up_to()])
        }
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

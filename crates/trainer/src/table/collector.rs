//! From the bytes of fields to texts, codes and numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use cryptotl_model::UNLABELED;

use super::{Columns, Fields, MAX_FIELD_BYTES, Texts};

/// Collects the records of one chunk after the other. Identifiers and persons are numbered through the whole
/// table.
pub(super) struct Collector<'a> {
    texts: Texts,
    columns: &'a Columns,
    label_names: &'a [String],
    /// Records before those in `texts`.
    n_before: usize,
    persons: HashMap<String, u32>,
}

impl<'a> Collector<'a> {
    pub fn new(columns: &'a Columns, label_names: &'a [String]) -> Self {
        let texts = empty(columns);
        Self { texts, columns, label_names, n_before: 0, persons: HashMap::new() }
    }

    /// Adds a record and tells how many bytes it takes.
    pub fn push(&mut self, fields: &Fields) -> usize {
        let [text, _, id, person] = fields;
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
            let next = self.persons.len() as u32;
            persons.push(match characters(person).trim() {
                "" => None,
                name => Some(*self.persons.entry(name.to_owned()).or_insert(next)),
            });
        }
        text.len() + id.len()
    }

    /// The records since the last call.
    pub fn take(&mut self) -> Texts {
        self.n_before += self.texts.ids.len();
        std::mem::replace(&mut self.texts, empty(self.columns))
    }
}

fn empty(columns: &Columns) -> Texts {
    let labels = columns.label.is_some().then(Vec::new);
    let persons = columns.person.is_some().then(Vec::new);
    Texts { labels, persons, ..Texts::default() }
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

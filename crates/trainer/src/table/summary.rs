//! What was found when a table was read through, for its owner's eyes: the counts are as private as the records.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use super::collector::{Persons, characters, has_text, is_utf8, label};
use super::columns::Columns;
use super::labels::{Labels, Named};
use super::record::Record;
use super::spelling::trimmed;

/// How many different values are told apart.
const MAX_VALUES: usize = 1000;
/// How many values are shown where they may be.
const MAX_SHOWN_VALUES: usize = 10;

/// Counts over all records of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All records.
    pub records: usize,
    /// Those whose text is more than white space.
    pub with_text: usize,
    /// Those that say whose they are, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_unit: Option<usize>,
    /// The different persons among these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<usize>,
    /// What their labels are, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelCounts>,
    /// What was not as it should be, record by record.
    pub flaws: Flaws,
    /// How the table is written.
    pub dialect: Dialect,
}

/// Counts over the label column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelCounts {
    /// Records with a declared label.
    pub declared: usize,
    /// These, label by label, in the order of the list.
    pub by_label: Vec<LabelCount>,
    /// Records whose label is empty.
    pub empty: usize,
    /// Records with another value.
    pub undeclared: usize,
    /// Of these, the records whose value differs from a declared label only in capitals, spaces or Unicode form.
    pub nearly_declared: usize,
    /// How many different other values there are, at most a thousand.
    pub undeclared_values: usize,
    /// Some of these values, where they may be shown.
    #[serde(skip)]
    pub(super) shown: Vec<String>,
}

/// The records of one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// The label as it was declared.
    pub label: String,
    /// How many records have it.
    pub records: usize,
}

/// Records that are not as they should be; each has a fixed outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Flaws {
    /// JSON lines that are no object.
    pub not_objects: usize,
    /// Records in which a wanted column holds an array or object.
    pub nested: usize,
    /// Records with a field that is not UTF-8 and was read as Windows-1252.
    pub windows_1252: usize,
    /// Records with a field that was cut.
    pub cut: usize,
}

/// How a table is written, as far as it does not say so by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dialect {
    /// What separates the fields of CSV and TSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Whether it was UTF-16.
    pub utf16: bool,
}

/// Counts record by record.
pub(super) struct Tally<'a> {
    labels: &'a Labels,
    summary: Summary,
    persons: Persons,
    /// Hashes of values that were not declared.
    values: HashSet<u64>,
    hasher: RandomState,
    show_values: bool,
}

impl<'a> Tally<'a> {
    pub fn new(columns: &Columns, labels: &'a Labels, dialect: Dialect, show_values: bool) -> Self {
        let count = |label: &String| LabelCount { label: label.clone(), records: 0 };
        let counts = || LabelCounts {
            declared: 0,
            by_label: labels.names().iter().map(count).collect(),
            empty: 0,
            undeclared: 0,
            nearly_declared: 0,
            undeclared_values: 0,
            shown: Vec::new(),
        };
        let summary = Summary {
            records: 0,
            with_text: 0,
            with_unit: columns.person.is_some().then_some(0),
            units: None,
            labels: columns.label.is_some().then(counts),
            flaws: Flaws::default(),
            dialect,
        };
        let (persons, values, hasher) = Default::default();
        Self { labels, summary, persons, values, hasher, show_values }
    }

    pub fn records(&self) -> usize {
        self.summary.records
    }

    pub fn add(&mut self, record: &Record) {
        let Summary { records, with_text, with_unit, flaws, .. } = &mut self.summary;
        *records += 1;
        *with_text += usize::from(has_text(record));
        if let Some(with_unit) = with_unit {
            *with_unit += usize::from(self.persons.of(&record.fields[3]).is_some());
        }
        flaws.not_objects += usize::from(record.not_object);
        flaws.nested += usize::from(record.nested);
        flaws.cut += usize::from(record.cut);
        let not_utf8 = record.not_utf8 || !record.fields.iter().all(|field| is_utf8(field));
        flaws.windows_1252 += usize::from(not_utf8);
        self.add_label(record);
    }

    fn add_label(&mut self, record: &Record) {
        let Some(counts) = &mut self.summary.labels else { return };
        match label(record, self.labels) {
            Named::Label(i) => {
                counts.declared += 1;
                counts.by_label[i as usize].records += 1;
            }
            Named::Nothing => counts.empty += 1,
            Named::Another { nearly } => {
                counts.undeclared += 1;
                counts.nearly_declared += usize::from(nearly);
                let value = characters(&record.fields[1]);
                let value = trimmed(&value);
                let is_new =
                    self.values.len() < MAX_VALUES && self.values.insert(self.hasher.hash_one(value));
                if is_new && self.show_values && counts.shown.len() < MAX_SHOWN_VALUES {
                    counts.shown.push(value.chars().take(1000).collect());
                }
            }
        }
    }

    pub fn finish(mut self) -> Summary {
        self.summary.units = self.summary.with_unit.map(|_| self.persons.len());
        if let Some(counts) = &mut self.summary.labels {
            counts.undeclared_values = self.values.len();
        }
        self.summary
    }
}

/// For people, over some lines.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, with_text, with_unit, units, labels, flaws, dialect } = self;
        write!(f, "{records} records, {with_text} with a text")?;
        if let (Some(with_unit), Some(units)) = (with_unit, units) {
            write!(f, ", {with_unit} with a unit ({units} different)")?;
        }
        if let Some(counts) = labels {
            let LabelCounts { declared, empty, undeclared, nearly_declared, .. } = counts;
            write!(f, "\n{declared} with a declared label")?;
            for (i, LabelCount { label, records }) in counts.by_label.iter().enumerate() {
                write!(f, "{}{label} {records}", if i == 0 { ": " } else { ", " })?;
            }
            if empty + undeclared > 0 {
                write!(f, "; unlabeled: {empty} without a label, {undeclared} with another")?;
            }
            if *nearly_declared > 0 {
                write!(
                    f,
                    ", of which {nearly_declared} differ from a declared one only in capitals, spaces or Unicode form"
                )?;
            }
        }
        let Flaws { not_objects, nested, windows_1252, cut } = flaws;
        for (n, what) in [
            (not_objects, "lines that are no JSON object: all their fields are empty"),
            (nested, "records with an array or object in a wanted column: the field is empty"),
            (windows_1252, "records with a field that is not UTF-8: it was read as Windows-1252"),
            (cut, "records with a field of more than 16 MiB: it was cut"),
        ] {
            if *n > 0 {
                write!(f, "\n{n} {what}")?;
            }
        }
        if dialect.utf16 {
            write!(f, "\nread from UTF-16")?;
        }
        match dialect.separator {
            None | Some(',' | '\t') => Ok(()),
            Some(separator) => write!(f, "\nfields separated by {separator:?}"),
        }
    }
}

//! Columns of records: labels, persons, sources, and how they stand in files.

use std::collections::BTreeSet;

use super::{RecordsHeader, UNLABELED};
use crate::error::{ModelError, Result};

/// Which source each record came from, where one table holds records of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceColumn {
    /// The sources' names, in the order of first appearance.
    pub names: Vec<String>,
    /// Each record's source, by its place in `names`; `None` where the table does not say.
    pub of_record: Vec<Option<u32>>,
}

impl SourceColumn {
    /// The most sources of a table. More are a column of something else.
    pub const MAX_SOURCES: usize = 1024;
    /// The most bytes of a source's name.
    pub const MAX_NAME_BYTES: usize = 256;

    /// Fails for a column that [`crate::Records::read`] would refuse.
    pub(crate) fn check(&self) -> Result<()> {
        Self::check_names(&self.names)?;
        match self.of_record.iter().flatten().all(|&source| (source as usize) < self.names.len()) {
            true => Ok(()),
            false => Err(ModelError::invalid(
                "a column of sources",
                "a number has no name",
                "report this as a bug",
            )),
        }
    }

    /// Fails for names that [`crate::Records::read`] would refuse.
    pub(crate) fn check_names(names: &[String]) -> Result<()> {
        let different: BTreeSet<&String> = names.iter().collect();
        if names.len() <= Self::MAX_SOURCES
            && different.len() == names.len()
            && names.iter().all(|name| Self::is_name(name))
        {
            return Ok(());
        }
        Err(ModelError::invalid(
            "a column of sources",
            format!(
                "it needs at most {} different names of at most {} bytes without control characters",
                Self::MAX_SOURCES,
                Self::MAX_NAME_BYTES
            ),
            "give the column that names each record's source, or none",
        ))
    }

    /// Whether a source may have this name: it is shown in models and reports.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty() && name.len() <= Self::MAX_NAME_BYTES && !name.chars().any(char::is_control)
    }
}

/// The number that stands in a file for a record whose person or source is unknown.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Strings in a file: all their bytes, and where each ends.
#[derive(Default)]
pub(crate) struct Strings {
    pub bytes: Vec<u8>,
    pub ends: Vec<u64>,
}

impl Strings {
    pub fn push(&mut self, string: &str) {
        self.bytes.extend_from_slice(string.as_bytes());
        self.ends.push(self.bytes.len() as u64);
    }

    pub fn of(strings: &[String]) -> Self {
        let mut all = Self::default();
        strings.iter().for_each(|string| all.push(string));
        all
    }

    /// The strings; `None` if an end is out of order, or the bytes are not UTF-8.
    pub fn split(&self) -> Option<Vec<String>> {
        let mut start = 0usize;
        let string = |&end: &u64| {
            let string = std::str::from_utf8(self.bytes.get(start..usize::try_from(end).ok()?)?).ok()?;
            start += string.len();
            Some(string.to_owned())
        };
        self.ends.iter().map(string).collect()
    }
}

pub(crate) fn require_labels(labels: Option<&[u32]>) -> Result<&[u32]> {
    labels.ok_or_else(|| {
        ModelError::mismatch("the records have no labels", "embed them with --label-column and --labels")
    })
}

pub(crate) fn check_finite<'a>(numbers: impl IntoIterator<Item = &'a f32>, name: &str) -> Result<()> {
    if numbers.into_iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(ModelError::mismatch(
        format!("{name} holds NaN or infinity"),
        "embed the texts again and check the encoder's files",
    ))
}

/// Codes of labels; those outside of the declared list are [`UNLABELED`].
pub(crate) fn declared(codes: Vec<u32>, header: &RecordsHeader) -> Vec<u32> {
    let n_labels = header.label_names.len() as u32;
    codes.into_iter().map(|code| if code < n_labels { code } else { UNLABELED }).collect()
}

/// Numbers, of which [`UNKNOWN`] is none.
pub(crate) fn known(numbers: Vec<u32>) -> Vec<Option<u32>> {
    numbers.into_iter().map(|n| Some(n).filter(|&n| n != UNKNOWN)).collect()
}

/// The column, if its names are names, few and different, and each record's is one of them.
pub(crate) fn source_column(names: &Strings, of_record: Vec<Option<u32>>) -> Option<SourceColumn> {
    if names.ends.len() > SourceColumn::MAX_SOURCES {
        return None;
    }
    let column = SourceColumn { names: names.split()?, of_record };
    column.check().is_ok().then_some(column)
}

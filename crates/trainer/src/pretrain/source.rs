//! A public source, with its embeddings in memory or in their file.

use std::path::Path;

use cryptotl_model::{Records, RecordsFile, RecordsHeader, SourceColumn};
use ndarray::{ArrayView1, ArrayViewMut1};

use crate::error::Result;

/// One public source, or several in one table.
#[derive(Debug)]
pub struct Source {
    /// A name for reports.
    pub name: String,
    /// Its records, with labels, in memory or in their file. If they have a column of sources, each of these is a source of its own, called
    /// `name/source`; records without one are of the source `name`.
    pub records: SourceRecords,
}

impl Source {
    /// The sources in it: the name of each, and its rows.
    pub(super) fn parts(&self) -> Vec<(String, Vec<usize>)> {
        let Some(column) = self.records.sources() else {
            return vec![(self.name.clone(), (0..self.records.len()).collect())];
        };
        let names = column.names.iter().map(|source| format!("{}/{source}", self.name));
        let mut parts: Vec<(String, Vec<usize>)> =
            names.chain([self.name.clone()]).map(|name| (name, Vec::new())).collect();
        for (row, source) in column.of_record.iter().enumerate() {
            parts[source.map_or(column.names.len(), |source| source as usize)].1.push(row);
        }
        parts.retain(|(_, rows)| !rows.is_empty());
        parts
    }
}

/// Records of a public source.
#[derive(Debug)]
pub enum SourceRecords {
    /// In memory.
    InMemory(Records),
    /// In their file, from which embeddings are read when they are needed.
    InFile(RecordsFile),
}

/// The largest file that is read into memory.
const IN_MEMORY_BYTES: u64 = 64 << 20;

impl From<Records> for SourceRecords {
    fn from(records: Records) -> Self {
        Self::InMemory(records)
    }
}

impl SourceRecords {
    /// Reads a file into memory, or, if it is a large one, opens it.
    ///
    /// # Errors
    /// [`cryptotl_model::ModelError`] when it cannot be read or is no records file.
    pub fn read(path: &Path) -> Result<Self> {
        // A pipe can be read only once, and is read.
        let is_large =
            std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > IN_MEMORY_BYTES);
        Ok(if is_large {
            Self::InFile(RecordsFile::open(path)?)
        } else {
            Self::InMemory(Records::read(path)?)
        })
    }

    pub(super) fn header(&self) -> &RecordsHeader {
        match self {
            Self::InMemory(records) => &records.header,
            Self::InFile(file) => file.header(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::InMemory(records) => records.len(),
            Self::InFile(file) => file.len(),
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::InMemory(records) => records.embeddings.ncols(),
            Self::InFile(file) => file.width(),
        }
    }

    pub(super) fn require_labels(&self) -> Result<&[u32]> {
        Ok(match self {
            Self::InMemory(records) => records.require_labels()?,
            Self::InFile(file) => file.require_labels()?,
        })
    }

    pub(super) fn sources(&self) -> Option<&SourceColumn> {
        match self {
            Self::InMemory(records) => records.sources.as_ref(),
            Self::InFile(file) => file.sources(),
        }
    }

    pub(super) fn check_finite(&self, name: &str) -> Result<()> {
        match self {
            Self::InMemory(records) => records.check_finite(name)?,
            Self::InFile(file) => file.check_finite(name)?,
        }
        Ok(())
    }

    pub(super) fn copy_embedding(&self, record: usize, mut to: ArrayViewMut1<f32>) -> Result<()> {
        match self {
            Self::InMemory(records) => to.assign(&records.embeddings.row(record)),
            Self::InFile(file) => to.assign(&ArrayView1::from(&file.embedding(record)?)),
        }
        Ok(())
    }
}

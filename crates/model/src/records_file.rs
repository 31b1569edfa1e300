//! A records file whose embeddings are read when they are needed, for more records than fit into memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};

use crate::error::{ModelError, Result};
use crate::format::Start;
use crate::records::{self, RecordsHeader, SourceColumn, Strings};

/// How many records are looked at together where all are.
const BLOCK: usize = 4096;

/// An open records file. Labels and sources are in memory, some bytes a record; embeddings stay in the file, and identifiers,
/// features and persons are not read.
#[derive(Debug)]
pub struct RecordsFile {
    path: PathBuf,
    file: File,
    header: RecordsHeader,
    n_records: usize,
    width: usize,
    /// Where the embeddings begin.
    embeddings: u64,
    labels: Option<Vec<u32>>,
    sources: Option<SourceColumn>,
}

impl RecordsFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be read, [`ModelError::Malformed`] when it is no records file.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| ModelError::io("read", path, e);
        let (file, Start { header, metadata, end }) = Start::<RecordsHeader>::open(path)?;
        let malformed = |fact: &str| records::malformed(path, fact.to_owned());
        let matrix = metadata.info("embeddings").filter(|info| info.dtype == Dtype::F32);
        let Some(TensorInfo { shape, data_offsets, .. }) = matrix.filter(|info| info.shape.len() == 2) else {
            return Err(malformed("tensor `embeddings` is missing, or is not a matrix of f32"));
        };
        let (n_records, width, embeddings) = (shape[0], shape[1], end + data_offsets.0 as u64);
        // No list is larger than the file, whose length is the stated one.
        let list = |info: &TensorInfo, dtype: Dtype| -> Result<Vec<u8>> {
            if info.dtype != dtype || info.shape.len() != 1 {
                return Err(malformed("a column has the wrong type or shape"));
            }
            let (start, stop) = info.data_offsets;
            let mut bytes = vec![0; stop - start];
            file.read_exact_at(&mut bytes, end + start as u64).map_err(io)?;
            Ok(bytes)
        };
        let codes = |name: &str| -> Result<Option<Vec<u32>>> {
            let Some(info) = metadata.info(name) else { return Ok(None) };
            let codes = numbers(&list(info, Dtype::U32)?, u32::from_le_bytes);
            if codes.len() != n_records {
                return Err(malformed("its columns do not have one entry a record"));
            }
            Ok(Some(codes))
        };
        let labels = codes("labels")?.map(|codes| records::declared(codes, &header));
        let sources = match (
            codes("sources")?,
            metadata.info("source-names.bytes"),
            metadata.info("source-names.ends"),
        ) {
            (None, ..) => None,
            (Some(codes), Some(bytes), Some(ends)) => {
                let ends = numbers(&list(ends, Dtype::U64)?, u64::from_le_bytes);
                let names = Strings { bytes: list(bytes, Dtype::U8)?, ends };
                let sources = records::source_column(&names, records::known(codes));
                Some(sources.ok_or_else(|| malformed("its sources are damaged"))?)
            }
            _ => return Err(malformed("its sources have no names")),
        };
        let path = path.to_owned();
        Ok(Self { path, file, header, n_records, width, embeddings, labels, sources })
    }

    /// Provenance and the declared label list.
    pub fn header(&self) -> &RecordsHeader {
        &self.header
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.n_records
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.n_records == 0
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// As [`Records::require_labels`](crate::Records::require_labels).
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the file has no labels.
    pub fn require_labels(&self) -> Result<&[u32]> {
        records::require_labels(self.labels.as_deref())
    }

    /// Which source each record came from.
    pub fn sources(&self) -> Option<&SourceColumn> {
        self.sources.as_ref()
    }

    /// The embedding of a record, [`RecordsFile::width`] numbers.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be read.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn embedding(&self, record: usize) -> Result<Vec<f32>> {
        assert!(record < self.n_records, "a record of this file");
        self.read(record, 1)
    }

    /// As [`Records::check_finite`](crate::Records::check_finite), reading the file from the first record to the last.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when an embedding is not finite, [`ModelError::Io`] when one cannot be read.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        (0..self.n_records).step_by(BLOCK).try_for_each(|first| {
            let block = self.read(first, BLOCK.min(self.n_records - first))?;
            records::check_finite(&block, name)
        })
    }

    fn read(&self, first: usize, records: usize) -> Result<Vec<f32>> {
        let mut bytes = vec![0; records * self.width * size_of::<f32>()];
        let offset = self.embeddings + (first * self.width * size_of::<f32>()) as u64;
        self.file.read_exact_at(&mut bytes, offset).map_err(|e| ModelError::io("read", &self.path, e))?;
        Ok(numbers(&bytes, f32::from_le_bytes))
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], convert: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| convert(*c)).collect()
}

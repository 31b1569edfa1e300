//! Records: what `embed` and `extract` write and every later stage reads.

mod columns;

use std::path::Path;

use ndarray::{Array2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use crate::destination::{Kind, WriteTo};
use crate::digest::Digest;
use crate::error::{ModelError, Result};
use crate::format::{Data, Document, Header, MAX_HEADER_BYTES, Outline, check_size};

pub use columns::SourceColumn;
pub(crate) use columns::{Strings, UNKNOWN, check_finite, declared, known, require_labels, source_column};

/// The code of a record whose label is missing or not in the declared list. It is fixed before any data
/// is read, so that no label's content can make a stage fail; such a record contributes nothing.
pub const UNLABELED: u32 = u32::MAX;

/// Which encoder made the embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderId {
    /// A name for people, the folder's name.
    pub name: String,
    /// Over the encoder's configuration, tokenizer and weights.
    pub digest: Digest,
}

/// How the server features were made: the encrypted evaluation that gave them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extraction {
    /// The public half of the model.
    pub public_model: Digest,
    /// The compiled plan that the model owner evaluated.
    pub plan: Digest,
    /// The encryption parameters' name.
    pub parameter_set: String,
    /// What the parameters' security rests on, in words.
    pub security_basis: String,
    /// How records and features were laid out in ciphertexts.
    pub packing: String,
    /// Which party evaluated: `in-process` or a server's name.
    pub evaluator: String,
    /// How far one record can move the features of others. Absent when the plan did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupling: Option<BlockCoupling>,
    /// Whether the packing was chosen by the number of records, which is private: what is said of a head must not tell it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packing_by_count: bool,
}

impl Extraction {
    /// What `evaluator` says where both parties were one process.
    pub const IN_PROCESS: &'static str = "in-process";

    /// Whether records may share ciphertexts, so that one moves the features of others: unless the file says that each has its
    /// own, and the number of records had no say in that.
    pub fn is_coupled(&self) -> bool {
        self.packing_by_count || self.coupling.is_none_or(|coupling| coupling.moved != 0.0)
    }
}

/// How far the features of other records move when one record is added, removed or replaced, because the records of a block
/// share ciphertexts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BlockCoupling {
    /// The most records of a block.
    pub block_rows: usize,
    /// A bound on the sum, over the records of one block, of the Euclidean norm by which their features move. 0 when each record
    /// has its own ciphertexts.
    pub moved: f64,
}

impl BlockCoupling {
    /// The bound for all blocks of at most `n_records` records.
    pub fn of_records(self, n_records: u64) -> f64 {
        n_records.div_ceil(self.block_rows.max(1) as u64) as f64 * self.moved
    }
}

/// The header of a records file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordsHeader {
    /// Which encoder made the embeddings.
    pub encoder: EncoderId,
    /// The declared label list; a label's code is its position.
    pub label_names: Vec<String>,
    /// Present once server features are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction: Option<Extraction>,
    /// The population that the records are of, as its ledger calls it. Absent where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<String>,
}

impl RecordsHeader {
    /// The most labels of a list.
    pub const MAX_LABELS: usize = 1024;
    /// The most bytes of a label.
    pub const MAX_LABEL_BYTES: usize = 256;

    /// Fails for a list of labels that is too large for what is made of it: model cards, reports and noisy tables.
    ///
    /// # Errors
    /// [`ModelError::Invalid`].
    pub fn check_labels(&self) -> Result<()> {
        let labels = &self.label_names;
        let longest = labels.iter().map(String::len).max().unwrap_or(0);
        if labels.len() <= Self::MAX_LABELS && longest <= Self::MAX_LABEL_BYTES {
            return Ok(());
        }
        Err(ModelError::invalid(
            "a list of labels",
            format!(
                "it has {} labels of up to {longest} bytes, and may have {} of {} bytes",
                labels.len(),
                Self::MAX_LABELS,
                Self::MAX_LABEL_BYTES
            ),
            "declare fewer labels, with shorter names",
        ))
    }
}

impl Header for RecordsHeader {
    const KIND: &'static str = "records";
    const VERSION: u32 = 1;
}

/// Which parts of a record a head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadInputs {
    /// The data owner's own embedding alone.
    Embedding,
    /// The embedding and the server features, side by side.
    EmbeddingAndFeatures,
    /// The server features alone, as in the paper.
    Features,
}

impl HeadInputs {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Embedding, Self::EmbeddingAndFeatures, Self::Features];

    /// The name in files, flags and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::EmbeddingAndFeatures => "embedding-and-features",
            Self::Features => "features",
        }
    }

    /// Whether a record needs server features.
    pub fn needs_features(self) -> bool {
        self != Self::Embedding
    }
}

/// Records of one population: embeddings, and where known server features and labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Provenance and the declared label list.
    pub header: RecordsHeader,
    /// One identifier a record.
    pub ids: Vec<String>,
    /// `[records, embedding width]`.
    pub embeddings: Array2<f32>,
    /// `[records, feature width]`.
    pub features: Option<Array2<f32>>,
    /// A code a record, or [`UNLABELED`].
    pub labels: Option<Vec<u32>>,
    /// Whose record it is: the person's number in the order of first appearance, or `None` where the table
    /// does not say.
    pub persons: Option<Vec<Option<u32>>>,
    /// Which public source it came from.
    pub sources: Option<SourceColumn>,
}

impl Records {
    /// How many records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The columns that a head with these inputs reads, `[records, width]`, in f64.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when server features are needed and absent.
    pub fn inputs(&self, inputs: HeadInputs) -> Result<Array2<f64>> {
        let embeddings = || self.embeddings.mapv(f64::from);
        if !inputs.needs_features() {
            return Ok(embeddings());
        }
        let features = self.features.as_ref().ok_or_else(|| {
            ModelError::mismatch(
                "the head reads server features and these records have none",
                "run `cryptotl extract` on them first",
            )
        })?;
        let features = features.mapv(f64::from);
        Ok(match inputs {
            HeadInputs::Features => features,
            _ => concatenate(Axis(1), &[embeddings().view(), features.view()])
                .expect("both have one row a record"),
        })
    }

    /// The label codes.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the file has no labels.
    pub fn require_labels(&self) -> Result<&[u32]> {
        require_labels(self.labels.as_deref())
    }

    /// Fails when an embedding or a feature is not finite; `name` says whose records these are.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        check_finite(&self.embeddings, name)?;
        self.features.as_ref().map_or(Ok(()), |features| check_finite(features, name))
    }

    /// The records at `rows`, in that order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            header: self.header.clone(),
            ids: rows.iter().map(|&r| self.ids[r].clone()).collect(),
            embeddings: self.embeddings.select(Axis(0), rows),
            features: self.features.as_ref().map(|f| f.select(Axis(0), rows)),
            labels: self.labels.as_ref().map(|l| rows.iter().map(|&r| l[r]).collect()),
            persons: self.persons.as_ref().map(|p| rows.iter().map(|&r| p[r]).collect()),
            sources: self.sources.as_ref().map(|sources| SourceColumn {
                names: sources.names.clone(),
                of_record: rows.iter().map(|&r| sources.of_record[r]).collect(),
            }),
        }
    }

    /// What a file of these records says in its header.
    pub fn outline(&self) -> RecordsOutline {
        RecordsOutline {
            header: self.header.clone(),
            embedding_width: self.embeddings.ncols(),
            feature_width: self.features.as_ref().map(|features| features.ncols()),
            has_labels: self.labels.is_some(),
            has_persons: self.persons.is_some(),
        }
    }

    /// A records file, as an output.
    pub const FILE: Kind = Kind::document::<RecordsHeader>("records file");

    /// Fails when a file of so many records, each with so many numbers of embedding and features, would be too large for
    /// its readers. To be asked before the work.
    ///
    /// # Errors
    /// [`ModelError::Invalid`].
    pub fn check_size(n_records: usize, numbers: usize) -> Result<()> {
        let record = (numbers as u64).saturating_mul(4).saturating_add(Self::OTHER_BYTES);
        check_size::<RecordsHeader>(
            (n_records as u64).saturating_mul(record).saturating_add(MAX_HEADER_BYTES),
        )
    }

    /// Of a record, besides its numbers and its identifier's bytes: where the identifier ends, label, person and source.
    const OTHER_BYTES: u64 = 8 + 3 * 4;

    /// Writes a records file.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] for records that a reader would refuse, [`ModelError::Io`] when the file cannot be written.
    pub fn write(&self, to: &(impl WriteTo + ?Sized)) -> Result<Digest> {
        self.check()?;
        self.document().write(to, Self::FILE)
    }

    /// What a reader refuses, and so a writer too.
    fn check(&self) -> Result<()> {
        let invalid = |fact: &str| Err(ModelError::invalid("a set of records", fact, "report this as a bug"));
        let n = self.embeddings.nrows();
        let lengths = [
            Some(self.ids.len()),
            self.features.as_ref().map(|features| features.nrows()),
            self.labels.as_ref().map(Vec::len),
            self.persons.as_ref().map(Vec::len),
            self.sources.as_ref().map(|sources| sources.of_record.len()),
        ];
        if lengths.into_iter().flatten().any(|length| length != n) {
            return invalid("its columns do not have one entry a record");
        }
        if self.features.is_some() != self.header.extraction.is_some() {
            return invalid("server features and their provenance do not come together");
        }
        self.header.check_labels()?;
        self.sources.as_ref().map_or(Ok(()), SourceColumn::check)
    }

    fn document(&self) -> Document<RecordsHeader> {
        let ids = Strings::of(&self.ids);
        let mut document = Document::new(self.header.clone())
            .with("ids.bytes", Data::U8(ids.bytes))
            .with("ids.ends", Data::U64(ids.ends))
            .with("embeddings", &self.embeddings);
        if let Some(features) = &self.features {
            document = document.with("features", features);
        }
        if let Some(labels) = &self.labels {
            document = document.with("labels", Data::U32(labels.clone()));
        }
        let numbers = |known: &[Option<u32>]| Data::U32(known.iter().map(|n| n.unwrap_or(UNKNOWN)).collect());
        if let Some(persons) = &self.persons {
            document = document.with("persons", numbers(persons));
        }
        if let Some(sources) = &self.sources {
            let names = Strings::of(&sources.names);
            document = document
                .with("source-names.bytes", Data::U8(names.bytes))
                .with("source-names.ends", Data::U64(names.ends))
                .with("sources", numbers(&sources.of_record));
        }
        document
    }

    /// Reads a records file. Label codes outside the declared list become [`UNLABELED`].
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::read_with_digest(path)?.0)
    }

    /// Reads a records file and the digest of its bytes.
    pub fn read_with_digest(path: &Path) -> Result<(Self, Digest)> {
        let (document, digest) = Document::read(path)?;
        Ok((Self::open(document, path)?, digest))
    }

    /// Reads a records file's bytes; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::open(Document::from_bytes(bytes, path)?, path)
    }

    fn open(mut document: Document<RecordsHeader>, path: &Path) -> Result<Self> {
        let malformed = |fact: &str| malformed(path, fact.to_owned());
        let embeddings = document.take_matrix_f32("embeddings", path)?;
        let ids = take_strings(&mut document, "ids", path)?;
        let features = match document.tensors.contains_key("features") {
            true => Some(document.take_matrix_f32("features", path)?),
            false => None,
        };
        let mut codes = |name: &str| match document.tensors.contains_key(name) {
            true => document
                .take_list(name, path, |d| match d {
                    Data::U32(v) => Some(v),
                    _ => None,
                })
                .map(Some),
            false => Ok(None),
        };
        let (labels, persons, sources) = (codes("labels")?, codes("persons")?, codes("sources")?);
        let source_names = match sources {
            Some(_) => take_strings(&mut document, "source-names", path)?,
            None => Strings::default(),
        };
        let header = document.finish(path)?;
        let n_records = embeddings.nrows();
        if ids.ends.len() != n_records
            || features.as_ref().is_some_and(|f| f.nrows() != n_records)
            || [&labels, &persons, &sources].into_iter().flatten().any(|codes| codes.len() != n_records)
        {
            return Err(malformed("its columns do not have one entry a record"));
        }
        if features.is_some() != header.extraction.is_some() {
            return Err(malformed("server features and their provenance do not come together"));
        }
        let ids = ids.split().ok_or_else(|| malformed("its identifiers are damaged"))?;
        let labels = labels.map(|codes| declared(codes, &header));
        let persons = persons.map(known);
        let sources = match sources.map(known) {
            Some(of_record) => {
                let sources = source_column(&source_names, of_record);
                Some(sources.ok_or_else(|| malformed("its sources are damaged"))?)
            }
            None => None,
        };
        Ok(Self { header, ids, embeddings, features, labels, persons, sources })
    }
}

pub(crate) fn malformed(path: &Path, fact: String) -> ModelError {
    let remedy = "write it again with `cryptotl embed` or `extract`".to_owned();
    ModelError::Malformed { path: path.to_owned(), kind: RecordsHeader::KIND, fact, remedy }
}

fn take_strings(document: &mut Document<RecordsHeader>, name: &str, path: &Path) -> Result<Strings> {
    let bytes = document.take_list(&format!("{name}.bytes"), path, |d| match d {
        Data::U8(v) => Some(v),
        _ => None,
    })?;
    let ends = document.take_list(&format!("{name}.ends"), path, |d| match d {
        Data::U64(v) => Some(v),
        _ => None,
    })?;
    Ok(Strings { bytes, ends })
}

/// What a records file's header says, without a single record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsOutline {
    /// Provenance and the declared label list.
    pub header: RecordsHeader,
    /// How many numbers an embedding has.
    pub embedding_width: usize,
    /// How many server features a record has, if any.
    pub feature_width: Option<usize>,
    /// Whether the file has a label column.
    pub has_labels: bool,
    /// Whether the file says whose records they are.
    pub has_persons: bool,
}

impl RecordsOutline {
    /// Reads the header of a records file and nothing else.
    pub fn read(path: &Path) -> Result<Self> {
        let outline = Outline::<RecordsHeader>::read(path)?;
        let width = |name: &str| outline.shapes.get(name).and_then(|s| s.get(1)).copied();
        Ok(Self {
            embedding_width: width("embeddings").unwrap_or(0),
            feature_width: width("features"),
            has_labels: outline.shapes.contains_key("labels"),
            has_persons: outline.shapes.contains_key("persons"),
            header: outline.header,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordsFile;
    use ndarray::array;

    #[test]
    fn whose_records_they_are_survives_the_file() {
        let encoder = EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") };
        let records = Records {
            header: RecordsHeader {
                encoder,
                label_names: vec!["no".into(), "yes".into()],
                extraction: None,
                population: None,
            },
            ids: vec!["a".into(), "b".into(), "c".into()],
            embeddings: array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            features: None,
            labels: Some(vec![0, UNLABELED, 1]),
            persons: Some(vec![Some(0), None, Some(1)]),
            sources: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.safetensors");
        records.write(&path).unwrap();
        assert!(RecordsOutline::read(&path).unwrap().has_persons);
        assert_eq!(Records::read(&path).unwrap(), records);
        assert_eq!(records.select(&[2, 1]).persons, Some(vec![Some(1), None]));

        let mut short = records.clone();
        short.persons = Some(vec![Some(0)]);
        short.document().write(&path, Records::FILE).unwrap();
        assert!(short.write(&path).unwrap_err().to_string().contains("one entry a record"));
        assert!(Records::read(&path).unwrap_err().to_string().contains("one entry a record"));
        // Whose records they are is not read there.
        assert_eq!(RecordsFile::open(&path).unwrap().len(), 3);
        let whole = std::fs::read(&path).unwrap();
        for end in [0, 4, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..end]).unwrap();
            let error = Records::read(&path).unwrap_err().to_string();
            assert_eq!(RecordsFile::open(&path).unwrap_err().to_string(), error);
        }
        let unknown = Records { persons: None, ..records };
        unknown.write(&path).unwrap();
        assert!(!RecordsOutline::read(&path).unwrap().has_persons);
        assert_eq!(Records::read(&path).unwrap(), unknown);
    }

    #[test]
    fn sources_survive_the_file_and_damaged_ones_are_refused() {
        let encoder = EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") };
        let sources = SourceColumn {
            names: vec!["films".into(), "shops".into()],
            of_record: vec![Some(1), None, Some(0)],
        };
        let records = Records {
            header: RecordsHeader {
                encoder,
                label_names: vec!["no".into(), "yes".into()],
                extraction: None,
                population: None,
            },
            ids: vec!["a".into(), "b".into(), "c".into()],
            embeddings: array![[1.0], [3.0], [5.0]],
            features: None,
            labels: None,
            persons: None,
            sources: Some(sources.clone()),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.safetensors");
        records.write(&path).unwrap();
        assert_eq!(Records::read(&path).unwrap(), records);
        assert_eq!(records.select(&[2, 1]).sources.unwrap().of_record, [Some(0), None]);

        let long = "x".repeat(SourceColumn::MAX_NAME_BYTES + 1);
        for (names, of_record, fact) in [
            (vec!["films"], vec![Some(1), None, Some(0)], "sources are damaged"),
            (vec!["films", "films"], vec![Some(1), None, Some(0)], "sources are damaged"),
            (vec!["films", "a\tb"], vec![Some(1), None, Some(0)], "sources are damaged"),
            (vec!["films", ""], vec![Some(1), None, Some(0)], "sources are damaged"),
            (vec!["films", &long], vec![Some(1), None, Some(0)], "sources are damaged"),
            (vec!["films", "shops"], vec![Some(1), None], "one entry a record"),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            let damaged = Records { sources: Some(SourceColumn { names, of_record }), ..records.clone() };
            damaged.document().write(&path, Records::FILE).unwrap();
            assert!(damaged.write(&path).is_err(), "what a reader refuses, a writer refuses");
            let error = Records::read(&path).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
            assert_eq!(RecordsFile::open(&path).unwrap_err().to_string(), error);
        }
        let names: Vec<String> = (0..=SourceColumn::MAX_SOURCES).map(|i| i.to_string()).collect();
        let many = Records { sources: Some(SourceColumn { names, ..sources }), ..records };
        many.document().write(&path, Records::FILE).unwrap();
        assert!(many.write(&path).is_err());
        assert!(Records::read(&path).unwrap_err().to_string().contains("sources are damaged"));
    }
}

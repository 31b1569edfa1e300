//! The container of every file that CryptoTL writes: safetensors with one typed header.
//!
//! A file is an ordinary safetensors file whose `__metadata__` holds exactly one key, `cryptotl`: a JSON
//! object with `kind`, `version` and the fields of that kind's header. Files are written to a temporary
//! file in the same folder, synced and renamed, so that a killed process leaves the old file or the new
//! one. What is read is capped before it is believed.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{ModelError, Result};
pub use crate::output_file::{check_writable, write_atomically};

/// The largest file that is read into memory.
pub const MAX_FILE_BYTES: u64 = 8 << 30;
/// The largest safetensors header that is read (the library's own cap is far larger).
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The most tensors a file may have.
pub const MAX_TENSORS: usize = 1024;

const METADATA_KEY: &str = "cryptotl";

/// The typed header of one kind of file.
pub trait Header: Serialize + DeserializeOwned {
    /// The kind, for example `records`.
    const KIND: &'static str;
    /// The version this build writes and reads.
    const VERSION: u32;
}

#[derive(Serialize)]
struct EnvelopeOut<'a, H> {
    kind: &'a str,
    version: u32,
    #[serde(flatten)]
    header: &'a H,
}

#[derive(Deserialize)]
struct EnvelopeIn {
    kind: String,
    version: u32,
}

/// A tensor of one of the element types that our files use.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants are their element types
pub enum Data {
    U8(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// A named tensor's shape and elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// Row-major elements of a matrix, whatever its memory layout.
fn row_major<T: Copy>(matrix: &Array2<T>) -> Vec<T> {
    matrix.iter().copied().collect()
}

impl From<&Array2<f64>> for Tensor {
    fn from(matrix: &Array2<f64>) -> Self {
        Self { shape: matrix.shape().to_vec(), data: Data::F64(row_major(matrix)) }
    }
}

impl From<&Array2<f32>> for Tensor {
    fn from(matrix: &Array2<f32>) -> Self {
        Self { shape: matrix.shape().to_vec(), data: Data::F32(row_major(matrix)) }
    }
}

impl From<&Array1<f64>> for Tensor {
    fn from(vector: &Array1<f64>) -> Self {
        Self { shape: vec![vector.len()], data: Data::F64(vector.to_vec()) }
    }
}

impl From<Data> for Tensor {
    fn from(data: Data) -> Self {
        let length = match &data {
            Data::U8(v) => v.len(),
            Data::U32(v) => v.len(),
            Data::U64(v) => v.len(),
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
        };
        Self { shape: vec![length], data }
    }
}

/// A file's header and tensors.
#[derive(Debug, Clone)]
pub struct Document<H> {
    /// The typed header.
    pub header: H,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// What a file's first bytes say, without its tensors' elements.
#[derive(Debug, Clone)]
pub struct Outline<H> {
    /// The typed header.
    pub header: H,
    /// Each tensor's shape.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

impl<H: Header> Document<H> {
    /// A document with no tensors yet.
    pub fn new(header: H) -> Self {
        Self { header, tensors: BTreeMap::new() }
    }

    /// Adds a tensor.
    pub fn with(mut self, name: impl Into<String>, tensor: impl Into<Tensor>) -> Self {
        self.tensors.insert(name.into(), tensor.into());
        self
    }

    /// The file's bytes. The same document gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = metadata_of(&self.header)?;
        let encoded: Vec<(&str, Dtype, &[usize], Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, t)| {
                let (dtype, bytes) = to_little_endian(&t.data);
                (name.as_str(), dtype, t.shape.as_slice(), bytes)
            })
            .collect();
        let mut views = Vec::with_capacity(encoded.len());
        for (name, dtype, shape, bytes) in &encoded {
            let view = TensorView::new(*dtype, shape.to_vec(), bytes).map_err(unwritable::<H>)?;
            views.push((*name, view));
        }
        safetensors::serialize(views, Some(metadata)).map_err(unwritable::<H>)
    }

    /// Writes the file and returns the digest of its bytes. See the module docs for what a killed
    /// process leaves.
    pub fn write(&self, path: &Path) -> Result<Digest> {
        let bytes = self.to_bytes()?;
        write_atomically(path, &bytes)?;
        Ok(Digest::of(&bytes))
    }

    /// Reads a file and the digest of its bytes.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be read, [`ModelError::Malformed`] when it is not a file of this
    /// kind and version.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let file = File::open(path).map_err(|e| ModelError::io("read", path, e))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| ModelError::io("read", path, e))?;
        Ok((Self::from_bytes(&bytes, path)?, Digest::of(&bytes)))
    }

    /// Parses a file's bytes; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return malformed::<H, _>(path, format!("it is larger than {MAX_FILE_BYTES} bytes"));
        }
        header_length::<H>(bytes, path)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .or_else(|e| malformed::<H, _>(path, format!("it is not safetensors ({e})")))?;
        let header = typed_header::<H>(metadata.metadata().as_ref(), path)?;
        let file = SafeTensors::deserialize(bytes)
            .or_else(|e| malformed::<H, _>(path, format!("it is not safetensors ({e})")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let data = from_little_endian(view.dtype(), view.data());
            let Some(data) = data else {
                return malformed::<H, _>(
                    path,
                    format!("tensor `{name}` has element type {:?}", view.dtype()),
                );
            };
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self { header, tensors })
    }

    /// Takes the tensor `name`, which must be a matrix of f64.
    pub fn take_matrix(&mut self, name: &str, path: &Path) -> Result<Array2<f64>> {
        match self.take(name, path)? {
            Tensor { shape, data: Data::F64(data) } if shape.len() == 2 => {
                Ok(Array2::from_shape_vec((shape[0], shape[1]), data)
                    .expect("safetensors checked the length"))
            }
            _ => malformed::<H, _>(path, format!("tensor `{name}` is not a matrix of f64")),
        }
    }

    /// Takes the tensor `name`, which must be a matrix of f32.
    pub fn take_matrix_f32(&mut self, name: &str, path: &Path) -> Result<Array2<f32>> {
        match self.take(name, path)? {
            Tensor { shape, data: Data::F32(data) } if shape.len() == 2 => {
                Ok(Array2::from_shape_vec((shape[0], shape[1]), data)
                    .expect("safetensors checked the length"))
            }
            _ => malformed::<H, _>(path, format!("tensor `{name}` is not a matrix of f32")),
        }
    }

    /// Takes the tensor `name`, which must be a vector of f64.
    pub fn take_vector(&mut self, name: &str, path: &Path) -> Result<Array1<f64>> {
        match self.take(name, path)? {
            Tensor { shape, data: Data::F64(data) } if shape.len() == 1 => Ok(Array1::from_vec(data)),
            _ => malformed::<H, _>(path, format!("tensor `{name}` is not a vector of f64")),
        }
    }

    /// Takes the tensor `name` as a flat list, with its element type checked by `select`.
    pub fn take_list<T>(
        &mut self,
        name: &str,
        path: &Path,
        select: impl FnOnce(Data) -> Option<Vec<T>>,
    ) -> Result<Vec<T>> {
        let tensor = self.take(name, path)?;
        match select(tensor.data).filter(|_| tensor.shape.len() == 1) {
            Some(list) => Ok(list),
            None => malformed::<H, _>(path, format!("tensor `{name}` has the wrong type or shape")),
        }
    }

    /// Fails when a tensor is left that no header field explains.
    pub fn finish(self, path: &Path) -> Result<H> {
        match self.tensors.keys().next() {
            None => Ok(self.header),
            Some(name) => malformed::<H, _>(path, format!("it holds an unknown tensor `{name}`")),
        }
    }

    fn take(&mut self, name: &str, path: &Path) -> Result<Tensor> {
        match self.tensors.remove(name) {
            Some(tensor) => Ok(tensor),
            None => malformed::<H, _>(path, format!("tensor `{name}` is missing")),
        }
    }
}

impl<H: Header> Outline<H> {
    /// Reads only the header of a file: its typed fields and the tensors' shapes.
    pub fn read(path: &Path) -> Result<Self> {
        let io = |e| ModelError::io("read", path, e);
        let mut file = File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        (&mut file).take(8).read_to_end(&mut bytes).map_err(io)?;
        let length = header_length::<H>(&bytes, path)?;
        (&mut file).take(length).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 != 8 + length {
            return malformed::<H, _>(path, "it ends inside its header".into());
        }
        // The library's own reader wants the tensors' bytes as well, and an outline is for not reading them.
        let metadata: Metadata = serde_json::from_slice(&bytes[8..])
            .or_else(|e| malformed::<H, _>(path, format!("it is not safetensors ({e})")))?;
        // A file cut short shows here already, before anything is paid for or read.
        let (found, stated) = (file.metadata().map_err(io)?.len(), 8 + length + metadata.data_len() as u64);
        if found != stated {
            return malformed::<H, _>(path, format!("it has {found} bytes and its header states {stated}"));
        }
        let header = typed_header::<H>(metadata.metadata().as_ref(), path)?;
        let shapes = metadata.tensors().into_iter().map(|(name, info)| (name, info.shape.clone())).collect();
        Ok(Self { header, shapes })
    }
}

/// The first bytes of a file whose tensors' elements are written after them, in the order given. Every reader
/// takes any order; that of [`Document::to_bytes`] is by element type, then by name.
pub(crate) fn start_of_file<H: Header>(header: &H, tensors: &[(&str, Dtype, Vec<usize>)]) -> Result<Vec<u8>> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, dtype, shape)| {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, end) };
        ((*name).to_owned(), info)
    });
    let metadata = Metadata::new(Some(metadata_of(header)?), infos.collect()).map_err(unwritable::<H>)?;
    let mut json = serde_json::to_vec(&metadata).map_err(unwritable::<H>)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

fn metadata_of<H: Header>(header: &H) -> Result<HashMap<String, String>> {
    let envelope = EnvelopeOut { kind: H::KIND, version: H::VERSION, header };
    let text = serde_json::to_string(&envelope).map_err(unwritable::<H>)?;
    Ok([(METADATA_KEY.to_owned(), text)].into())
}

fn unwritable<H: Header>(e: impl std::fmt::Display) -> ModelError {
    ModelError::invalid(format!("{} header", H::KIND), e.to_string(), "report this as a bug")
}

fn header_length<H: Header>(bytes: &[u8], path: &Path) -> Result<u64> {
    let Some(first) = bytes.first_chunk::<8>() else {
        return malformed::<H, _>(path, format!("it has only {} bytes", bytes.len()));
    };
    let length = u64::from_le_bytes(*first);
    if length > MAX_HEADER_BYTES {
        return malformed::<H, _>(path, "it is not safetensors (impossible header length)".into());
    }
    Ok(length)
}

fn typed_header<H: Header>(metadata: Option<&HashMap<String, String>>, path: &Path) -> Result<H> {
    let Some(text) = metadata.and_then(|m| m.get(METADATA_KEY)) else {
        return malformed::<H, _>(path, "it was not written by cryptotl".into());
    };
    let envelope: EnvelopeIn = serde_json::from_str(text)
        .or_else(|e| malformed::<H, _>(path, format!("its header is not readable ({e})")))?;
    if envelope.kind != H::KIND {
        return malformed::<H, _>(path, format!("it is a {} file", printable(&envelope.kind)));
    }
    if envelope.version != H::VERSION {
        return malformed::<H, _>(
            path,
            format!("it has version {}, this program reads version {}", envelope.version, H::VERSION),
        );
    }
    serde_json::from_str(text)
        .or_else(|e| malformed::<H, _>(path, format!("its header is not readable ({e})")))
}

/// At most 40 visible characters of a foreign string.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn malformed<H: Header, T>(path: &Path, fact: String) -> Result<T> {
    Err(ModelError::Malformed {
        path: path.to_owned(),
        kind: H::KIND,
        fact,
        remedy: format!("give a {} file of version {} written by cryptotl", H::KIND, H::VERSION),
    })
}

fn to_little_endian(data: &Data) -> (Dtype, Vec<u8>) {
    match data {
        Data::U8(v) => (Dtype::U8, v.clone()),
        Data::U32(v) => (Dtype::U32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::U64(v) => (Dtype::U64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::F32(v) => (Dtype::F32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::F64(v) => (Dtype::F64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
    }
}

fn from_little_endian(dtype: Dtype, bytes: &[u8]) -> Option<Data> {
    fn each<const N: usize, T>(bytes: &[u8], convert: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|c| convert(*c)).collect()
    }
    Some(match dtype {
        Dtype::U8 => Data::U8(bytes.to_vec()),
        Dtype::U32 => Data::U32(each(bytes, u32::from_le_bytes)),
        Dtype::U64 => Data::U64(each(bytes, u64::from_le_bytes)),
        Dtype::F32 => Data::F32(each(bytes, f32::from_le_bytes)),
        Dtype::F64 => Data::F64(each(bytes, f64::from_le_bytes)),
        _ => return None,
    })
}

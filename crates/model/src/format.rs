//! The container of every file that CryptoTL writes: safetensors with one typed header.
//!
//! A file is an ordinary safetensors file whose `__metadata__` holds exactly one key, `cryptotl`: a JSON
//! object with `kind`, `version` and the fields of that kind's header. Files are written to a temporary
//! file in the same folder, synced and renamed, so that a killed process leaves the old file or the new
//! one. What is read is capped before it is believed.

mod elements;
mod regular;
mod start;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::tensor::Dtype;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::destination::{Kind, WriteTo};
use crate::digest::Digest;
use crate::error::{ModelError, Result};
use crate::input_file;
use crate::output_file::OutputFile;
pub use crate::output_file::{beside, write_atomically};
pub use elements::Data;
pub use regular::open_regular_file;
pub(crate) use start::Start;
pub(crate) use start::start_of_file;
pub use start::{Outline, kind_of};

/// The largest file that is written and read.
pub const MAX_FILE_BYTES: u64 = 8 << 30;
/// The largest safetensors header that is written and read (the library's own cap is far larger).
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The most tensors of a file, of a writer as of a reader.
pub const MAX_TENSORS: usize = 1024;

/// The typed header of one kind of file.
pub trait Header: Serialize + DeserializeOwned {
    /// The kind, for example `records`.
    const KIND: &'static str;
    /// The version this build writes and reads.
    const VERSION: u32;
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
        Self { shape: vec![data.len()], data }
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
        let mut bytes = Vec::new();
        self.put(|part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Writes the file and returns the digest of its bytes. See the module docs for what a killed
    /// process leaves.
    pub fn write(&self, to: &(impl WriteTo + ?Sized), kind: Kind) -> Result<Digest> {
        let mut file = OutputFile::create(&to.destination(kind)?)?;
        let mut digest = Sha256::new();
        self.put(|part| {
            digest.update(part);
            file.write(part)
        })?;
        file.commit()?;
        Ok(Digest::from_bytes(digest.finalize().into()))
    }

    /// Gives the file's bytes part by part. Tensors are in the order of the safetensors library, by element type, then by name, so
    /// that elements are aligned.
    fn put(&self, mut out: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut tensors: Vec<(&String, &Tensor)> = self.tensors.iter().collect();
        tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.data.dtype()));
        let about: Vec<(&str, Dtype, Vec<usize>)> =
            tensors.iter().map(|(name, t)| (name.as_str(), t.data.dtype(), t.shape.clone())).collect();
        out(&start_of_file(&self.header, &about)?)?;
        tensors.iter().try_for_each(|(_, tensor)| tensor.data.put(&mut out))
    }

    /// Reads a file and the digest of its bytes. Elements are decoded while they are read, so that memory holds them once.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be read, [`ModelError::Malformed`] when it is not a file of this
    /// kind and version.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let io = |e| ModelError::io("read", path, e);
        let file = input_file::open_or_pipe(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        // A pipe tells no length.
        let length = about.is_file().then_some(about.len());
        Self::read_from(file, length, path)
    }

    /// Parses a file's bytes; `path` is for messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Ok(Self::read_from(bytes, Some(bytes.len() as u64), path)?.0)
    }

    fn read_from(input: impl Read, length: Option<u64>, path: &Path) -> Result<(Self, Digest)> {
        let mut input = Hashing { input, digest: Sha256::new() };
        let start = Start::read(&mut input, path)?;
        let stated = start.length();
        if length.is_none() && stated > MAX_FILE_BYTES {
            return malformed::<H, _>(path, format!("it is larger than {MAX_FILE_BYTES} bytes"));
        }
        length.map_or(Ok(()), |found| start.check_length(found, path))?;
        let Start { header, metadata, .. } = start;
        let mut tensors = BTreeMap::new();
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else { continue };
            let bytes = info.data_offsets.1 - info.data_offsets.0;
            // What is there is there: room is made at once only where the length was compared.
            let room = if length.is_some() { bytes } else { 0 };
            let data = match Data::read(&mut input, info.dtype, bytes, room) {
                Ok(Some(data)) => data,
                Ok(None) => {
                    let fact = format!("tensor `{name}` has element type {:?}", info.dtype);
                    return malformed::<H, _>(path, fact);
                }
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return malformed::<H, _>(path, format!("it ends inside the tensor `{name}`"));
                }
                Err(e) => return Err(ModelError::io("read", path, e)),
            };
            tensors.insert(name, Tensor { shape: info.shape.clone(), data });
        }
        if input.read(&mut [0]).map_err(|e| ModelError::io("read", path, e))? > 0 {
            return malformed::<H, _>(
                path,
                format!("it has more than the {stated} bytes that its header states"),
            );
        }
        let digest = Digest::from_bytes(input.digest.finalize().into());
        Ok((Self { header, tensors }, digest))
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

/// Computes the digest of what is read through it.
struct Hashing<R> {
    input: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.digest.update(&buffer[..n]);
        Ok(n)
    }
}

/// Fails for a file of so many bytes that every reader would refuse. To be asked before the work that makes one, where the
/// size is known.
///
/// # Errors
/// [`ModelError::Invalid`].
pub fn check_size<H: Header>(bytes: u64) -> Result<()> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(ModelError::invalid(
        format!("a {} file of {bytes} bytes", H::KIND),
        format!("the largest that is written and read has {MAX_FILE_BYTES}"),
        "divide the records into several files, or use fewer or smaller parts",
    ))
}

fn unwritable<H: Header>(e: impl std::fmt::Display) -> ModelError {
    ModelError::invalid(format!("{} header", H::KIND), e.to_string(), "report this as a bug")
}

fn malformed<H: Header, T>(path: &Path, fact: String) -> Result<T> {
    Err(ModelError::Malformed {
        path: path.to_owned(),
        kind: H::KIND,
        fact,
        remedy: format!("give a {} file of version {} written by cryptotl", H::KIND, H::VERSION),
    })
}

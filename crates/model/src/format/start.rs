//! What stands before the tensors' elements: the typed header, and each tensor's type, shape and place.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Header, MAX_FILE_BYTES, MAX_HEADER_BYTES, MAX_TENSORS, check_size, malformed, unwritable};
use crate::error::{ModelError, Result};
use crate::input_file;

const METADATA_KEY: &str = "cryptotl";

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

/// What a file's first bytes say, without its tensors' elements.
#[derive(Debug, Clone)]
pub struct Outline<H> {
    /// The typed header.
    pub header: H,
    /// Each tensor's shape.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

impl<H: Header> Outline<H> {
    /// Reads only the header of a file: its typed fields and the tensors' shapes.
    pub fn read(path: &Path) -> Result<Self> {
        let (_, Start { header, metadata, .. }) = Start::open(path)?;
        let shapes = metadata.tensors().into_iter().map(|(name, info)| (name, info.shape.clone())).collect();
        Ok(Self { header, shapes })
    }
}

/// What stands before the tensors' elements.
pub(crate) struct Start<H> {
    pub header: H,
    /// The tensors' types, shapes and places.
    pub metadata: Metadata,
    /// Where the elements begin.
    pub end: u64,
}

impl<H: Header> Start<H> {
    /// Opens a file, which is as long as its start says: one that was cut short shows here already, before anything is paid
    /// for or read.
    pub fn open(path: &Path) -> Result<(File, Self)> {
        let io = |e| ModelError::io("read", path, e);
        let mut file = input_file::open(path).map_err(io)?;
        let start = Self::read(&mut file, path)?;
        start.check_length(file.metadata().map_err(io)?.len(), path)?;
        Ok((file, start))
    }

    /// Where the elements end, and with them the file.
    pub fn length(&self) -> u64 {
        self.end + self.metadata.data_len() as u64
    }

    pub fn check_length(&self, found: u64, path: &Path) -> Result<()> {
        let stated = self.length();
        if stated > MAX_FILE_BYTES {
            return malformed::<H, _>(path, format!("it is larger than {MAX_FILE_BYTES} bytes"));
        }
        match found == stated {
            true => Ok(()),
            false => malformed::<H, _>(path, format!("it has {found} bytes and its header states {stated}")),
        }
    }

    pub fn read(input: &mut impl Read, path: &Path) -> Result<Self> {
        let io = |e| ModelError::io("read", path, e);
        let mut bytes = Vec::new();
        input.take(8).read_to_end(&mut bytes).map_err(io)?;
        let length = header_length::<H>(&bytes, path)?;
        bytes.clear();
        input.take(length).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 != length {
            return malformed::<H, _>(path, "it ends inside its header".into());
        }
        // The library's own reader wants the tensors' bytes as well. This checks the same: that tensors follow each other
        // without a gap, and that each is as long as its shape says.
        let metadata: Metadata = serde_json::from_slice(&bytes)
            .or_else(|e| malformed::<H, _>(path, format!("it is not safetensors ({e})")))?;
        let n_tensors = metadata.offset_keys().len();
        if n_tensors > MAX_TENSORS {
            return malformed::<H, _>(path, format!("it has {n_tensors} tensors, more than {MAX_TENSORS}"));
        }
        let header = typed_header::<H>(metadata.metadata().as_ref(), path)?;
        Ok(Self { header, metadata, end: 8 + length })
    }
}

/// The kind of a file by its first bytes, or `None` when it is none of ours.
///
/// # Errors
/// [`ModelError::Io`] when it cannot be read.
pub fn kind_of(path: &Path) -> Result<Option<String>> {
    let io = |e| ModelError::io("read", path, e);
    let mut file = input_file::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(io)?;
    let length = bytes.first_chunk().map(|start| u64::from_le_bytes(*start));
    let Some(length) = length.filter(|length| *length <= MAX_HEADER_BYTES) else { return Ok(None) };
    bytes.clear();
    file.take(length).read_to_end(&mut bytes).map_err(io)?;
    let metadata = serde_json::from_slice::<safetensors::tensor::Metadata>(&bytes).ok();
    let text = metadata.as_ref().and_then(|m| m.metadata().as_ref()?.get(METADATA_KEY));
    Ok(text.and_then(|text| Some(serde_json::from_str::<EnvelopeIn>(text).ok()?.kind)))
}

/// The first bytes of a file whose tensors' elements are written after them, in the order given. Every reader
/// takes any order; that of [`Document::to_bytes`] is by element type, then by name. Fails for a file that
/// [`Start::read`] would refuse.
pub(crate) fn start_of_file<H: Header>(header: &H, tensors: &[(&str, Dtype, Vec<usize>)]) -> Result<Vec<u8>> {
    if tensors.len() > MAX_TENSORS {
        return Err(unwritable::<H>(format!("{} tensors are more than {MAX_TENSORS}", tensors.len())));
    }
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
    if json.len() as u64 > MAX_HEADER_BYTES {
        return Err(unwritable::<H>(format!("{} bytes are more than {MAX_HEADER_BYTES}", json.len())));
    }
    check_size::<H>(8 + json.len() as u64 + end as u64)?;
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

fn metadata_of<H: Header>(header: &H) -> Result<HashMap<String, String>> {
    let envelope = EnvelopeOut { kind: H::KIND, version: H::VERSION, header };
    let value = serde_json::to_value(&envelope).map_err(unwritable::<H>)?;
    if has_control(&value) {
        return Err(ModelError::invalid(
            format!("{} header", H::KIND),
            "a name in it has control characters",
            "give names of letters, digits and punctuation",
        ));
    }
    let text = serde_json::to_string(&envelope).map_err(unwritable::<H>)?;
    Ok([(METADATA_KEY.to_owned(), text)].into())
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
    check_visible::<H>(text, path)?;
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

/// Names and words of a header are shown to people, in tables of one line each: none has a line end or another control
/// character in it, whatever JSON writes for it.
fn check_visible<H: Header>(text: &str, path: &Path) -> Result<()> {
    let Ok(header) = serde_json::from_str::<Value>(text) else { return Ok(()) }; // refused by its reader
    match has_control(&header) {
        false => Ok(()),
        true => malformed::<H, _>(path, "a name in its header has control characters".into()),
    }
}

fn has_control(value: &Value) -> bool {
    let has = |text: &str| text.chars().any(char::is_control);
    match value {
        Value::String(text) => has(text),
        Value::Array(values) => values.iter().any(has_control),
        Value::Object(fields) => fields.iter().any(|(name, value)| has(name) || has_control(value)),
        _ => false,
    }
}

/// At most 40 visible characters of a foreign string.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

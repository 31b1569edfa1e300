//! A table's file: its format by its name, and its bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Result, TrainerError};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Separated { separator: u8, compression: Compression },
    JsonLines { compression: Compression },
    Parquet,
}

/// What a text format is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Format {
    /// The format that the file's name ends in.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (stem, compression) = match name.rsplit_once('.') {
            Some((stem, "gz")) => (stem, Compression::Gzip),
            Some((stem, "zst")) => (stem, Compression::Zstandard),
            _ => (name.as_str(), Compression::None),
        };
        match (stem.rsplit_once('.').map(|(_, ending)| ending), compression) {
            (Some("csv"), _) => Ok(Self::Separated { separator: b',', compression }),
            (Some("tsv"), _) => Ok(Self::Separated { separator: b'\t', compression }),
            (Some("jsonl"), _) => Ok(Self::JsonLines { compression }),
            (Some("parquet"), Compression::None) => Ok(Self::Parquet),
            (Some("parquet"), _) => Err(TrainerError::table(
                path,
                "it is a Parquet file in another compression",
                "unpack it; Parquet compresses its columns itself",
            )),
            _ => Err(TrainerError::table(
                path,
                "its name does not say which format it has",
                "name it .csv, .tsv, .jsonl (these also with .gz or .zst behind) or .parquet",
            )),
        }
    }
}

/// Opens a text table's bytes, unpacked. A file in UTF-16 is refused; the byte order mark that UTF-8 may have
/// is left out.
pub(super) fn open(path: &Path, compression: Compression) -> Result<Box<dyn BufRead>> {
    let file = BufReader::new(File::open(path).map_err(|e| TrainerError::io(path, e))?);
    let mut bytes: Box<dyn BufRead> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Zstandard => Box::new(BufReader::new(Zstandard { frame: None, file: Some(file) })),
    };
    let start = bytes.fill_buf().map_err(|e| unreadable(path, e))?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err(TrainerError::table(path, "it is UTF-16", "convert it to UTF-8"));
    }
    if start.starts_with(b"\xef\xbb\xbf") {
        bytes.consume(3);
    }
    Ok(bytes)
}

/// An error of reading, which for a compressed file is most likely its damage.
pub(super) fn unreadable(path: &Path, e: std::io::Error) -> TrainerError {
    match e.kind() {
        std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::UnexpectedEof => {
            TrainerError::table(path, "its compression is damaged", "compress it anew, or fetch it again")
        }
        _ => TrainerError::io(path, e),
    }
}

type Frame = ruzstd::decoding::StreamingDecoder<BufReader<File>, ruzstd::decoding::FrameDecoder>;

/// The frames of a Zstandard file, one after the other.
struct Zstandard {
    frame: Option<Frame>,
    /// Where the next frame begins, while none is read.
    file: Option<BufReader<File>>,
}

impl Read for Zstandard {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let damaged =
            |e: &dyn std::fmt::Display| std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string());
        loop {
            if let Some(mut file) = self.file.take() {
                if file.fill_buf()?.is_empty() {
                    self.file = Some(file);
                    return Ok(0);
                }
                self.frame = Some(Frame::new(file).map_err(|e| damaged(&e))?);
            }
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let n = frame.read(to).map_err(|e| damaged(&e))?;
            if n > 0 || to.is_empty() {
                return Ok(n);
            }
            if let Some((file, decoder)) = self.frame.take().map(Frame::into_parts) {
                let stated = decoder.get_checksum_from_data();
                if stated.is_some() && stated != decoder.get_calculated_checksum() {
                    return Err(damaged(&"its checksum does not match"));
                }
                self.file = Some(file);
            }
        }
    }
}

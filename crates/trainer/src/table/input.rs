//! A table's file: its format by its name, and its bytes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use cryptotl_model::format::open_regular_file;
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::containers::{START_BYTES, refuse};
use super::lookahead::Lookahead;
use super::options::Separator;
use super::zstandard::Zstandard;
use crate::error::{Result, TrainerError};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `separator` is what the name promises.
    Separated {
        separator: Separator,
        compression: Compression,
    },
    JsonLines {
        compression: Compression,
    },
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
            (Some("csv"), _) => Ok(Self::Separated { separator: Separator::COMMA, compression }),
            (Some("tsv"), _) => Ok(Self::Separated { separator: Separator::TAB, compression }),
            (Some("jsonl" | "ndjson"), _) => Ok(Self::JsonLines { compression }),
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

/// A text table's bytes in UTF-8, or what was not UTF-16 as it is.
pub(super) struct Text {
    pub bytes: Lookahead,
    pub was_utf16: bool,
}

/// Opens a text table, unpacks it, and turns UTF-16 into UTF-8. A byte order mark is left out.
pub(super) fn open(path: &Path, compression: Compression) -> Result<Text> {
    let mut file = BufReader::with_capacity(1 << 16, regular(path)?);
    let start = file.fill_buf().map_err(|e| unreadable(path, e))?;
    let expected: &[u8] = match compression {
        Compression::None => b"",
        Compression::Gzip => b"\x1f\x8b",
        Compression::Zstandard => b"\x28\xb5\x2f\xfd",
    };
    if compression == Compression::None || !start.starts_with(expected) {
        refuse(path, start)?;
    }
    let unpacked: Box<dyn Read> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Zstandard => Box::new(Zstandard::new(file)),
    };
    let mut bytes = Lookahead::new(unpacked);
    let start = bytes.fill_to(START_BYTES).map_err(|e| unreadable(path, e))?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        let decoded = DecodeReaderBytesBuilder::new().build(bytes);
        return Ok(Text { bytes: Lookahead::new(Box::new(decoded)), was_utf16: true });
    }
    if compression != Compression::None {
        refuse(path, start)?;
    }
    if start.starts_with(b"\xef\xbb\xbf") {
        bytes.consume(3);
    }
    Ok(Text { bytes, was_utf16: false })
}

/// A table is read twice, so it has to be a file.
pub(super) fn regular(path: &Path) -> Result<std::fs::File> {
    if path.is_dir() {
        return Err(TrainerError::table(
            path,
            "it is a folder",
            "give one file; parts can be joined with DuckDB: COPY (FROM 'FOLDER/*.parquet') TO 'all.parquet'",
        ));
    }
    Ok(open_regular_file(path)?)
}

/// An error of reading, which for a compressed file is most likely its damage.
pub(super) fn unreadable(path: &Path, e: std::io::Error) -> TrainerError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof, Unsupported};
    match e.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            TrainerError::table(path, "its compression is damaged", "compress it anew, or fetch it again")
        }
        Unsupported => TrainerError::table(
            path,
            "its compression needs a window of more than 100 MiB",
            "compress it anew without --long and --ultra",
        ),
        _ => TrainerError::io(path, e),
    }
}

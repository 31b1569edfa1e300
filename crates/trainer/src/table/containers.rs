//! Files that are no table, by their first bytes, whatever they are called.

use std::path::Path;

use crate::error::TrainerError;

/// How many bytes of a file are looked at.
pub(super) const START_BYTES: usize = 512;

const AS_CSV: &str = "export it as CSV";
const UNPACK: &str = "unpack it first";

/// First bytes, what they are of, and what to do.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (
        b"PK\x03\x04",
        "a ZIP archive, as .xlsx, .ods and .docx files are",
        "export the table as CSV, or unpack the archive",
    ),
    (b"PK\x05\x06", "an empty ZIP archive", "export the table as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file, as .xls and .doc files are", AS_CSV),
    (b"%PDF-", "a PDF document", "give the table that it was made from"),
    (b"{\\rtf", "an RTF document", "export the table as CSV"),
    (b"\x1f\x8b", "compressed with gzip", "add .gz to its name"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "add .zst to its name"),
    (b"BZh91AY&SY", "compressed with bzip2", UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"PAR1\x15", "a Parquet file", "name it .parquet"),
    (b"ARROW1\0\0", "an Arrow or Feather file", "write it as Parquet"),
    (b"ORC\n", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file", "write the table as Parquet"),
    (b"\x93NUMPY", "a NumPy array", "give a table of texts"),
    (b"\x80\x04\x95", "a Python pickle, of which nothing is run", "write the table as Parquet"),
    (b"\x80\x05\x95", "a Python pickle, of which nothing is run", "write the table as Parquet"),
    (b"\x89PNG", "a picture", "give a table of texts"),
    (b"\xff\xd8\xff", "a picture", "give a table of texts"),
    (b"<?xml", "an XML document", AS_CSV),
    (
        b"version https://git-lfs",
        "a Git LFS pointer and not the file itself",
        "fetch the file with `git lfs pull`",
    ),
];

/// Refuses what these first bytes show to be no table.
pub(super) fn refuse(path: &Path, start: &[u8]) -> Result<(), TrainerError> {
    let known =
        KNOWN.iter().find(|(magic, ..)| start.starts_with(magic)).map(|(_, what, todo)| (*what, *todo));
    let is_html = || {
        let start = start.trim_ascii_start();
        [&b"<!doctype html"[..], b"<html"]
            .iter()
            .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
    };
    let is_tar = || start.get(257..262) == Some(b"ustar");
    let is_ours = || start.len() > 16 && start[8] == b'{' && start[3..8] == [0; 5];
    let found = match known {
        Some(found) => found,
        None if is_html() => ("a web page", "fetch the file itself, or export the table as CSV"),
        None if is_tar() => ("a tar archive", UNPACK),
        None if is_ours() => ("a safetensors file, as `embed` writes it", "give the table of texts"),
        None => return Ok(()),
    };
    Err(TrainerError::table(path, format!("it is {}", found.0), found.1))
}

/// Refuses a first line that is no text.
pub(super) fn refuse_binary(path: &Path, start: &[u8]) -> Result<(), TrainerError> {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match line.contains(&0) {
        true => Err(TrainerError::table(
            path,
            "its first line has zero bytes, so it is binary, or UTF-16 without a byte order mark",
            "write it as text in UTF-8",
        )),
        false => Ok(()),
    }
}

//! A Parquet file's footer, checked before the library builds anything from it: the library follows the schema's depth by
//! calling itself, and gives each column a copy of its whole path.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::columns::MAX_COLUMNS;

/// The longest footer.
const MAX_FOOTER_BYTES: usize = 8 << 20;
/// The deepest schema.
const MAX_DEPTH: usize = 64;
/// How many bytes the paths of all columns may have.
const MAX_PATH_BYTES: usize = 16 << 20;

/// Reads the footer.
pub(super) fn read(file: &File, length: u64) -> Result<ParquetMetaData> {
    let damaged = |fact: &str| ParquetError::General(fact.to_owned());
    let mut end = [0; 8];
    let Some(end_start) = length.checked_sub(8) else { return Err(damaged("it is shorter than its end")) };
    file.read_exact_at(&mut end, end_start)?;
    let [a, b, c, d, magic @ ..] = end;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err(ParquetError::NYI("an encrypted footer".to_owned())),
        _ => return Err(damaged("its end is missing")),
    }
    let n = u32::from_le_bytes([a, b, c, d]) as usize;
    if n > MAX_FOOTER_BYTES {
        let most = MAX_FOOTER_BYTES >> 20;
        return Err(ParquetError::NYI(format!(
            "a footer above {most} MiB; write fewer columns or row groups"
        )));
    }
    let Some(start) = end_start.checked_sub(n as u64) else { return Err(damaged("its footer is cut")) };
    let mut footer = vec![0; n];
    file.read_exact_at(&mut footer, start)?;
    check_schema(&footer)?;
    ParquetMetaDataReader::decode_metadata(&footer)
}

/// Refuses a schema of too many columns, or one that is too deep or whose paths are too long.
fn check_schema(footer: &[u8]) -> Result<()> {
    let refused = |what: &str| Err(ParquetError::NYI(what.to_owned()));
    let mut thrift = Thrift(footer);
    let elements =
        schema(&mut thrift).ok_or_else(|| ParquetError::General("its footer is no footer".into()))?;
    if elements.len() > MAX_COLUMNS {
        return refused("more than 65536 columns");
    }
    // How many children are to come on each level, and how long the path is to it.
    let mut levels: Vec<(u64, usize)> = Vec::new();
    let mut n_path_bytes = 0_usize;
    for Element { n_children, n_name_bytes } in elements {
        let path = levels.last().map_or(0, |(_, path)| *path) + n_name_bytes;
        if let Some((n_left, _)) = levels.last_mut() {
            *n_left = n_left.saturating_sub(1);
        }
        if n_children > 0 {
            levels.push((n_children, path));
        } else {
            n_path_bytes = n_path_bytes.saturating_add(path);
        }
        while levels.last().is_some_and(|(n_left, _)| *n_left == 0) {
            levels.pop();
        }
        if levels.len() > MAX_DEPTH {
            return refused("columns more than 64 levels deep");
        }
        if n_path_bytes > MAX_PATH_BYTES {
            return refused("columns whose names are too long");
        }
    }
    Ok(())
}

struct Element {
    n_children: u64,
    n_name_bytes: usize,
}

/// The elements of the schema, field 2 of the footer.
fn schema(thrift: &mut Thrift) -> Option<Vec<Element>> {
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        if id != 2 {
            thrift.skip(kind, MAX_DEPTH)?;
            continue;
        }
        let (n, _) = thrift.list()?;
        let mut elements = Vec::new();
        for _ in 0..n.min(MAX_COLUMNS as u64 + 1) {
            elements.push(element(thrift)?);
        }
        return Some(elements);
    }
    None
}

fn element(thrift: &mut Thrift) -> Option<Element> {
    let mut element = Element { n_children: 0, n_name_bytes: 0 };
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        match id {
            4 => element.n_name_bytes = thrift.bytes()?,
            5 => {
                let number = thrift.number()?;
                // Signed numbers have their sign in the lowest bit.
                element.n_children = if number & 1 == 0 { number >> 1 } else { 0 };
            }
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
    }
    Some(element)
}

/// As much of Thrift's compact protocol as it takes to find the schema.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Skips bytes and tells how many they were.
    fn bytes(&mut self) -> Option<usize> {
        let n = usize::try_from(self.number()?).ok()?;
        self.0 = self.0.get(n..)?;
        Some(n)
    }

    /// The kind of the next field, whose number goes to `id`; `Some(None)` behind the last.
    fn field(&mut self, id: &mut u64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.number()? >> 1,
            more => id.checked_add(u64::from(more))?,
        };
        Some(Some(byte & 0xf))
    }

    /// How many elements a list has, and of which kind.
    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let n = if byte >> 4 == 15 { self.number()? } else { u64::from(byte >> 4) };
        Some((n, byte & 0xf))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // Truth values are in the field's kind.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.number()?),
            7 => self.0 = self.0.get(8..)?,
            8 => drop(self.bytes()?),
            9 | 10 => {
                let (n, kind) = self.list()?;
                for _ in 0..n {
                    match kind {
                        1 | 2 => drop(self.byte()?),
                        _ => self.skip(kind, depth)?,
                    }
                }
            }
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
            }
            _ => return None,
        }
        Some(())
    }
}

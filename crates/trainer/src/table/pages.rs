//! The pages of a Parquet column, unpacked to a bounded size, and with the counts in them checked: the library sets that much
//! memory aside before it reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::parquet::basic::{Compression, Encoding, Type as Physical};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;

use super::MAX_RECORDS;
use super::codecs::{too_large, unpack};
use super::parquet::Bounded;

/// How much memory the pages of all wanted columns may take together.
const MAX_PAGES_BYTES: usize = 384 << 20;
/// The largest page of texts that share their beginnings: a value may be as long as its page, and is copied.
const MAX_SHARED_BYTES: usize = 32 << 20;
/// What the library makes of a value in a dictionary, beside the value itself.
const DICTIONARY_VALUE_BYTES: usize = 40;
/// How many records are read at once: few, because each field may be large.
const BATCH: usize = 32;

/// The memory that pages take, counted over several columns.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

/// A column's pages.
pub(super) struct Pages {
    pages: SerializedPageReader<Bounded>,
    codec: Compression,
    /// Whether values may be missing.
    optional: bool,
    /// The least that a value takes in a dictionary.
    n_value_bytes: usize,
    /// Whether there may be pages of texts that share their beginnings.
    shares: bool,
    budget: Budget,
    /// What the dictionary and the last page take of it.
    taken: [usize; 2],
}

impl Pages {
    pub fn new(
        file: Arc<Bounded>,
        about: &ColumnChunkMetaData,
        n_records: usize,
        optional: bool,
        budget: Budget,
    ) -> Result<Self> {
        if about.file_path().is_some() {
            return Err(ParquetError::NYI("columns in files of their own".to_owned()));
        }
        let codec = about.compression();
        let shares = about.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY);
        // To the library nothing is compressed, so that pages come as they are in the file.
        let about = about.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(file, &about, n_records, None)?;
        let column = about.column_descr();
        // Texts have their lengths before them, in four bytes; the shortest numbers have as many.
        let n_value_bytes = match column.physical_type() {
            Physical::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).unwrap_or(1).clamp(1, 4),
            _ => 4,
        };
        Ok(Self { pages, codec, optional, n_value_bytes, shares, budget, taken: [0; 2] })
    }

    /// How many values may be read at once.
    pub fn batch(&self) -> usize {
        if self.shares { 1 } else { BATCH }
    }

    fn checked(&mut self, page: Page) -> Result<Page> {
        if page.num_values() as usize > MAX_RECORDS {
            return Err(ParquetError::General("a page states more values than a table may have".to_owned()));
        }
        let page = self.unpacked(page)?;
        let is_shared = page.encoding() == Encoding::DELTA_BYTE_ARRAY;
        if is_shared && (!self.shares || page.buffer().len() > MAX_SHARED_BYTES) {
            return Err(ParquetError::NYI("a delta-encoded page above 32 MiB".to_owned()));
        }
        let n_values = page.num_values() as usize;
        let a_value = match (page.is_dictionary_page(), page.encoding()) {
            (true, _) => DICTIONARY_VALUE_BYTES,
            (false, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) => 8,
            (false, _) => 0,
        };
        if !is_plausible(&page, self.optional, self.n_value_bytes) {
            return Err(ParquetError::General("a page states more values than it has".to_owned()));
        }
        self.take(usize::from(page.is_dictionary_page()), page.buffer().len() + a_value * n_values)?;
        Ok(page)
    }

    fn take(&mut self, which: usize, n_bytes: usize) -> Result<()> {
        self.budget.0.fetch_sub(self.taken[which], Ordering::Relaxed);
        self.taken[which] = n_bytes;
        match self.budget.0.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes > MAX_PAGES_BYTES {
            true => Err(too_large("pages that together are")),
            false => Ok(()),
        }
    }

    fn unpacked(&self, page: Page) -> Result<Page> {
        let codec = self.codec;
        if codec == Compression::UNCOMPRESSED {
            return Ok(page);
        }
        let unpack = |packed: &[u8]| Ok::<_, ParquetError>(Bytes::from(unpack(codec, packed)?));
        Ok(match page {
            Page::DictionaryPage { buf, num_values, encoding, is_sorted } => {
                Page::DictionaryPage { buf: unpack(&buf)?, num_values, encoding, is_sorted }
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => {
                let buf = unpack(&buf)?;
                Page::DataPage {
                    buf,
                    num_values,
                    encoding,
                    def_level_encoding,
                    rep_level_encoding,
                    statistics,
                }
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                num_rows,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                statistics,
            } => Page::DataPageV2 {
                buf: match is_compressed {
                    true => {
                        // The levels before the values are not compressed.
                        let n = def_levels_byte_len as usize + rep_levels_byte_len as usize;
                        let levels = buf.get(..n).ok_or_else(|| {
                            ParquetError::EOF("a page is shorter than its levels".to_owned())
                        })?;
                        let values = unpack(&buf[n..])?;
                        if n == 0 { values } else { Bytes::from([levels, &values].concat()) }
                    }
                    false => buf,
                },
                num_values,
                encoding,
                num_nulls,
                num_rows,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                statistics,
            },
        })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.taken.iter().sum(), Ordering::Relaxed);
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.checked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Whether a page may have as many values as memory is set aside for.
fn is_plausible(page: &Page, optional: bool, n_value_bytes: usize) -> bool {
    if page.is_dictionary_page() {
        return page.num_values() as usize <= page.buffer().len() / n_value_bytes;
    }
    match page.encoding() {
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY => {
            let stated = encoded_values(page, optional).and_then(delta_count);
            stated.is_some_and(|stated| stated <= u64::from(page.num_values()))
        }
        _ => true,
    }
}

/// A data page without the levels that say which values are missing.
fn encoded_values(page: &Page, optional: bool) -> Option<&[u8]> {
    let bytes: &[u8] = page.buffer();
    match page {
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            bytes.get((*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?..)
        }
        _ if optional => {
            let (length, levels) = bytes.split_first_chunk()?;
            levels.get(u32::from_le_bytes(*length) as usize..)
        }
        _ => Some(bytes),
    }
}

/// The count in the header of delta-encoded numbers: block size, blocks, count, each seven bits a byte.
fn delta_count(mut bytes: &[u8]) -> Option<u64> {
    let mut number = || {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    };
    number()?;
    number()?;
    number()
}

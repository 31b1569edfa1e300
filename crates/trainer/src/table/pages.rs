//! The pages of a Parquet column, with the counts in them checked: the library sets that much memory aside before it reads.

use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};

/// A column's pages.
pub(super) struct Pages {
    pages: Box<dyn PageReader>,
    /// Whether values may be missing.
    optional: bool,
}

impl Pages {
    pub fn new(pages: Box<dyn PageReader>, optional: bool) -> Self {
        Self { pages, optional }
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match &page {
            Some(page) if !is_plausible(page, self.optional) => {
                Err(ParquetError::General("a page states more values than it has".to_owned()))
            }
            _ => Ok(page),
        }
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
fn is_plausible(page: &Page, optional: bool) -> bool {
    if page.is_dictionary_page() {
        // A value of a dictionary has at least four bytes.
        return page.num_values() as usize <= page.buffer().len() / 4;
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

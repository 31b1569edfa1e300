//! What the pages of a Parquet column are compressed with, unpacked to a bounded size.

use std::io::Read;

use ::parquet::basic::Compression;
use ::parquet::errors::{ParquetError, Result};

use super::zstandard::Zstandard;

/// The largest page, packed or not. Writers make pages of 1 MiB, and the largest that is usual has 100 MB.
pub(super) const MAX_PAGE_BYTES: usize = 128 << 20;

pub(super) fn too_large(what: &str) -> ParquetError {
    let most = MAX_PAGE_BYTES >> 20;
    ParquetError::NYI(format!("{what} above {most} MiB; write smaller pages or row groups"))
}

fn damaged(e: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("a page does not unpack: {e}"))
}

/// The bytes that were packed.
pub(super) fn unpack(codec: Compression, packed: &[u8]) -> Result<Vec<u8>> {
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    match codec {
        Compression::UNCOMPRESSED => Ok(packed.to_vec()),
        Compression::SNAPPY => {
            let n = snap::raw::decompress_len(packed).map_err(damaged)?;
            if n > MAX_PAGE_BYTES {
                return Err(too_large("a page"));
            }
            snap::raw::Decoder::new().decompress_vec(packed).map_err(damaged)
        }
        Compression::GZIP(_) => all_of(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::ZSTD(_) => all_of(Zstandard::new(packed)),
        // Streams of the extension for large windows begin so; they are no Parquet.
        Compression::BROTLI(_) if packed[0] & 0x7f == 0x11 => Err(damaged("its window is too large")),
        Compression::BROTLI(_) => all_of(brotli_decompressor::Decompressor::new(packed, 1 << 12)),
        Compression::LZ4_RAW => lz4_block(packed),
        Compression::LZ4 => lz4(packed),
        Compression::LZO => Err(ParquetError::NYI("LZO compression".to_owned())),
    }
}

fn all_of(unpacked: impl Read) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    unpacked.take(MAX_PAGE_BYTES as u64 + 1).read_to_end(&mut all).map_err(damaged)?;
    if all.len() > MAX_PAGE_BYTES {
        return Err(too_large("a page"));
    }
    Ok(all)
}

/// A block that does not say how long it is unpacked.
fn lz4_block(packed: &[u8]) -> Result<Vec<u8>> {
    // A byte stands for at most 255.
    let most = packed.len().saturating_mul(255).saturating_add(64).min(MAX_PAGE_BYTES);
    let mut room = packed.len().saturating_mul(4).clamp(1 << 12, most.max(1 << 12));
    loop {
        let mut unpacked = vec![0; room];
        match lz4_flex::block::decompress_into(packed, &mut unpacked) {
            Ok(n) => {
                unpacked.truncate(n);
                return Ok(unpacked);
            }
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < most => {
                room = room.saturating_mul(4).min(most);
            }
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) => return Err(too_large("a page")),
            Err(e) => return Err(damaged(e)),
        }
    }
}

/// The older codec, which writers understood in three ways: the frames of Hadoop, the frames of LZ4, and a block alone.
fn lz4(packed: &[u8]) -> Result<Vec<u8>> {
    if let Some(unpacked) = hadoop(packed) {
        return Ok(unpacked);
    }
    if packed.starts_with(&0x184d_2204_u32.to_le_bytes()) {
        return all_of(lz4_flex::frame::FrameDecoder::new(packed));
    }
    lz4_block(packed)
}

/// Frames of a block each: how long it is unpacked, how long it is packed, both big-endian, and the block.
fn hadoop(mut packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    while !packed.is_empty() {
        let (n_unpacked, rest) = packed.split_first_chunk()?;
        let (n_packed, rest) = rest.split_first_chunk()?;
        let block = rest.get(..u32::from_be_bytes(*n_packed) as usize)?;
        packed = &rest[block.len()..];
        let n = u32::from_be_bytes(*n_unpacked) as usize;
        if unpacked.len() + n > MAX_PAGE_BYTES {
            return None;
        }
        let start = unpacked.len();
        unpacked.resize(start + n, 0);
        if lz4_flex::block::decompress_into(block, &mut unpacked[start..]).ok()? != n {
            return None;
        }
    }
    Some(unpacked)
}

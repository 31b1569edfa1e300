//! Zstandard, frame after frame.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

type Frame<R> = StreamingDecoder<R, FrameDecoder>;

/// A frame of nothing. The library compares the window of each frame but a decoder's first with its limit.
const NOTHING: &[u8] = b"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00";

/// The frames of a stream, one after the other. A frame whose window is larger than the library's 100 MiB is
/// [`ErrorKind::Unsupported`]; other faults are [`ErrorKind::InvalidData`].
pub(super) struct Zstandard<R: BufRead> {
    frame: Option<Frame<R>>,
    /// Where the next frame begins, while none is read.
    source: Option<R>,
}

impl<R: BufRead> Zstandard<R> {
    pub fn new(source: R) -> Self {
        Self { frame: None, source: Some(source) }
    }
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        loop {
            if let Some(mut source) = self.source.take() {
                if source.fill_buf()?.is_empty() {
                    self.source = Some(source);
                    return Ok(0);
                }
                let mut decoder = FrameDecoder::new();
                decoder.init(NOTHING).map_err(unreadable)?;
                self.frame = Some(Frame::new_with_decoder(source, decoder).map_err(unreadable)?);
            }
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let n = frame.read(to).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
            if n > 0 || to.is_empty() {
                return Ok(n);
            }
            if let Some((source, decoder)) = self.frame.take().map(Frame::into_parts) {
                let stated = decoder.get_checksum_from_data();
                if stated.is_some() && stated != decoder.get_calculated_checksum() {
                    return Err(Error::new(ErrorKind::InvalidData, "its checksum does not match"));
                }
                self.source = Some(source);
            }
        }
    }
}

fn unreadable(e: FrameDecoderError) -> Error {
    let kind = match &e {
        FrameDecoderError::WindowSizeTooBig { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::InvalidData,
    };
    Error::new(kind, e)
}

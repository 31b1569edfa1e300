//! A stream of which some can be seen before it is taken.

use std::io::{ErrorKind, Read, Result};

/// How many bytes are read at once.
const STEP: usize = 1 << 16;

/// A stream of bytes.
pub(super) struct Lookahead {
    source: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Where in the buffer the bytes begin that were not taken.
    start: usize,
    ended: bool,
}

impl Lookahead {
    pub fn new(source: Box<dyn Read>) -> Self {
        Self { source, buffer: Vec::new(), start: 0, ended: false }
    }

    /// What was read and not taken.
    pub fn seen(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Whether nothing comes behind what was read.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// At least one byte, unless the stream has ended.
    pub fn fill(&mut self) -> Result<&[u8]> {
        if self.seen().is_empty() && !self.ended {
            self.more()?;
        }
        Ok(self.seen())
    }

    /// Reads until `n` bytes are seen, or the stream has ended.
    pub fn fill_to(&mut self, n: usize) -> Result<&[u8]> {
        while self.seen().len() < n && !self.ended {
            self.more()?;
        }
        Ok(self.seen())
    }

    /// Takes the next `n` bytes, which were seen.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
    }

    fn more(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let n_before = self.buffer.len();
        self.buffer.resize(n_before + STEP, 0);
        let n_read = loop {
            match self.source.read(&mut self.buffer[n_before..]) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        self.buffer.truncate(n_before + n_read.as_ref().map_or(0, |n| *n));
        self.ended = n_read? == 0;
        Ok(())
    }
}

impl Read for Lookahead {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let seen = self.fill()?;
        let n = seen.len().min(to.len());
        to[..n].copy_from_slice(&seen[..n]);
        self.consume(n);
        Ok(n)
    }
}

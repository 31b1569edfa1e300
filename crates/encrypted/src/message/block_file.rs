//! Files of queries and of responses: the messages of all blocks of one job, in order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use cryptotl_model::{ModelError, input_file};

use super::shape::{Header, Kind};
use super::{JobId, Query, Response};
use crate::error::Result;
use crate::plan::Contract;

/// One message of such a file.
pub trait Block: Sized {
    #[doc(hidden)]
    const KIND: Kind;
    /// Reads and checks the next message of a stream.
    fn read(contract: &Contract, from: &mut dyn Read) -> Result<Self>;
    #[doc(hidden)]
    fn header(&self) -> &Header;
}

/// The blocks of a file, read one at a time, so that memory does not grow with the number of records.
///
/// Each item is a message of the contract and the job, and the next one in order; after an error there are
/// no more.
pub struct BlockFile<B> {
    contract: Contract,
    job: JobId,
    path: PathBuf,
    from: BufReader<File>,
    /// The block that comes next, and how many there are once the first one told.
    next: u32,
    blocks: Option<u32>,
    failed: bool,
    message: PhantomData<B>,
}

/// The queries of a job, in order.
pub type QueryFile = BlockFile<Query>;

/// The responses of a job, in order.
pub type ResponseFile = BlockFile<Response>;

impl<B: Block> BlockFile<B> {
    /// Opens a file of messages of `job`: that of the evaluation keys, or of the secret key.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Model`] when there is no such file.
    pub fn open(contract: &Contract, job: JobId, path: &Path) -> Result<Self> {
        Ok(Self {
            contract: contract.clone(),
            job,
            path: path.to_owned(),
            from: open(path)?,
            next: 0,
            blocks: None,
            failed: false,
            message: PhantomData,
        })
    }

    fn read(&mut self) -> Result<Option<B>> {
        if self.blocks == Some(self.next) {
            let mut byte = [0];
            return match self.from.read(&mut byte).map_err(|source| unreadable(&self.path, source))? {
                0 => Ok(None),
                _ => B::KIND.refuse("something follows its last block", "send it again"),
            };
        }
        let block = B::read(&self.contract, &mut self.from)?;
        let Header { job, place, .. } = *block.header();
        if job != self.job {
            return B::KIND.refuse(
                "it was made with the keys of another job",
                "use the keys and the messages of one job",
            );
        }
        if place.block != self.next || self.blocks.is_some_and(|blocks| blocks != place.blocks) {
            let (found, blocks, expected) = (place.block + 1, place.blocks, self.next + 1);
            return B::KIND.refuse(
                format!("block {found} of {blocks} stands where block {expected} was expected"),
                "send it again, whole",
            );
        }
        self.blocks = Some(place.blocks);
        self.next += 1;
        Ok(Some(block))
    }
}

impl<B: Block> Iterator for BlockFile<B> {
    type Item = Result<B>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.read().transpose()?;
        self.failed = block.is_err();
        Some(block)
    }
}

/// Opens a file of messages.
pub(super) fn open(path: &Path) -> Result<BufReader<File>> {
    let file = input_file::open_or_pipe(path).map_err(|source| unreadable(path, source))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

pub(super) fn unreadable(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { action: "read", path: path.to_owned(), source }
}

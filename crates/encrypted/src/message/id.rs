//! How messages name each other.

use std::fmt;

use cryptotl_model::Digest;

/// Names a job: the SHA-256 of its evaluation keys, which are fresh for each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobId(pub(crate) Digest);

/// Names a query: its SHA-256. Two encryptions of the same records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) Digest);

/// Where a block of records stands in its job, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which block.
    pub block: u32,
    /// How many blocks the job has.
    pub blocks: u32,
}

impl Place {
    /// The only block of a job.
    pub const ONLY: Self = Self { block: 0, blocks: 1 };
}

/// What a data owner remembers of a query, to know its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The query's name.
    pub id: RequestId,
    /// How many records it holds.
    pub rows: usize,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

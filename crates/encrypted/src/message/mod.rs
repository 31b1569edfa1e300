//! The bytes that cross between the data owner and the model owner, version 2.
//!
//! All numbers are little endian. Each message is a header of 124 bytes, ciphertexts and a digest:
//!
//! | offset | field |
//! | --- | --- |
//! | 0 | magic `CTLE` |
//! | 4 | version u16: 2 |
//! | 6 | kind u8: 1 evaluation keys, 2 query, 3 response |
//! | 7 | packing u8: 1 feature-major, 2 record-major |
//! | 8 | parameter set u16, see [`crate::ParameterSet::id`] |
//! | 10 | primes of each ciphertext u16 (keys: all data primes and the special prime) |
//! | 12 | number of ciphertexts u32 |
//! | 16 | number of records u32 (keys: 0) |
//! | 20 | which block of the job u32, from 0 (keys: 0) |
//! | 24 | blocks of the job u32 (keys: 1) |
//! | 28 | digest of the plan's contract, 32 bytes |
//! | 60 | job: the digest of the evaluation keys, 32 bytes (keys: zeros) |
//! | 92 | request: the digest of the query that a response answers, 32 bytes (else: zeros) |
//! | 124 | ciphertexts |
//! | end - 32 | SHA-256 of all bytes before it: the message's digest, by which others name it |
//!
//! A polynomial is, for each prime in order, `N` residues in SEAL's order (transformed, bit-reversed),
//! each packed at the bit width of its prime, low bits first: 30 bits each for `n8192-q30x5-p38`.
//!
//! * **Query**: ciphertext `i` holds feature `i`, or record `i` in record-major packing: its first polynomial, the kind
//!   u8 of the generator (1, BLAKE2xb) and the public seed, 64 bytes, from which SEAL expands the second polynomial.
//! * **Evaluation keys**: the relinearization key, one such seeded ciphertext for each data prime; then, in record-major
//!   packing, as many for each Galois key, by ascending Galois element.
//! * **Response**: ciphertext `i` holds output feature `i`, or the features of record `i`: both polynomials in full.
//!
//! A query file or a response file is the messages of all blocks of a job, in order, and nothing else
//! ([`crate::QueryFile`]).
//!
//! There is no scale in a message: scales come from the plan. The size of everything follows from the
//! plan too, and no field of a message makes the reader allocate. Every residue is checked to be below its
//! prime, so bytes from a peer never reach SEAL's own deserialization. The digest shows damage, and that
//! messages belong together; it is no signature.

mod bits;
mod block_file;
mod envelope;
mod id;
mod shape;

use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use cryptotl_model::Digest;
use shape::{Header, Kind, Shape};

use block_file::{Block, open};
pub use block_file::{BlockFile, QueryFile, ResponseFile};
pub use envelope::{Envelope, FileKind};
pub use id::{JobId, Place, Request, RequestId};

pub(crate) use bits::{pack, packed_bytes, unpack};

use crate::error::Result;
use crate::plan::Contract;
use crate::seal::wire::Seed;

/// Bytes of all queries of a job of `rows` records.
pub(crate) fn query_bytes(contract: &Contract, rows: usize) -> usize {
    job_bytes(contract, Kind::Query, rows)
}

/// Bytes of all responses.
pub(crate) fn response_bytes(contract: &Contract, rows: usize) -> usize {
    job_bytes(contract, Kind::Response, rows)
}

fn job_bytes(contract: &Contract, kind: Kind, rows: usize) -> usize {
    let shape = Shape::new(kind, contract);
    let full = contract.block_rows();
    let rest = rows % full;
    rows / full * shape.total_bytes(full) + if rest > 0 { shape.total_bytes(rest) } else { 0 }
}

/// Bytes of the evaluation keys.
pub(crate) fn key_bytes(contract: &Contract) -> usize {
    Shape::new(Kind::EvaluationKeys, contract).total_bytes(0)
}

/// The digest that stands in a header where there is nothing to name.
fn nothing() -> Digest {
    Digest::from_bytes([0; 32])
}

/// What the server needs to multiply and rotate ciphertexts: the relinearization key of one job and, in record-major
/// packing, its Galois keys. They are public.
#[derive(Clone)]
pub struct EvaluationKeys {
    shape: Shape,
    /// Key after key, for each data prime the first polynomial, `[prime][i]`, and the seed of the second.
    parts: Vec<(Vec<u64>, Seed)>,
    job: JobId,
}

impl EvaluationKeys {
    pub(crate) fn new(contract: &Contract, parts: Vec<(Vec<u64>, Seed)>) -> Self {
        let mut keys =
            Self { shape: Shape::new(Kind::EvaluationKeys, contract), parts, job: JobId(nothing()) };
        keys.job = JobId(keys.seal().1);
        keys
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// The relinearization key.
    pub(crate) fn relinearization(&self) -> &[(Vec<u64>, Seed)] {
        &self.parts[..self.shape.set.data_primes().len()]
    }

    /// The Galois keys, in the order of the elements of [`crate::record_major::Layout::galois_elements`].
    pub(crate) fn galois(&self) -> impl Iterator<Item = &[(Vec<u64>, Seed)]> {
        self.parts.chunks(self.shape.set.data_primes().len()).skip(1)
    }

    /// The job that they are the keys of.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.seal().0
    }

    fn seal(&self) -> (Vec<u8>, Digest) {
        let header =
            Header { rows: 0, place: Place::ONLY, job: JobId(nothing()), request: RequestId(nothing()) };
        self.shape.seal(&header, &self.parts, |(c0, seed), to| self.shape.pack_seeded(c0, seed, to))
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but keys for this contract.
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        Self::from_reader(contract, &mut { bytes })
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Model`] when there is no such file, else as for
    /// [`EvaluationKeys::from_bytes`].
    pub fn read(contract: &Contract, path: &Path) -> Result<Self> {
        Self::from_reader(contract, &mut open(path)?)
    }

    fn from_reader(contract: &Contract, from: &mut dyn Read) -> Result<Self> {
        let shape = Shape::new(Kind::EvaluationKeys, contract);
        let (header, parts, digest) =
            whole(shape.kind, from, |from| shape.open(from, |part| shape.unpack_seeded(part, |x| x)))?;
        if (header.place, header.job.0, header.request.0) != (Place::ONLY, nothing(), nothing()) {
            return shape.refuse("its header names a block, a job or a request", "make the keys again");
        }
        Ok(Self { shape, parts, job: JobId(digest) })
    }
}

/// Encrypted records: one block of up to [`Contract::block_rows`].
#[derive(Clone)]
pub struct Query {
    shape: Shape,
    header: Header,
    /// For each input feature the first polynomial, `[prime][i]`, and the seed of the second.
    pub(crate) ciphertexts: Vec<(Vec<u32>, Seed)>,
    /// Known once the message was written or read.
    id: OnceLock<RequestId>,
}

impl Query {
    pub(crate) fn new(
        contract: &Contract,
        job: JobId,
        place: Place,
        rows: usize,
        ciphertexts: Vec<(Vec<u32>, Seed)>,
    ) -> Self {
        let header = Header { rows, place, job, request: RequestId(nothing()) };
        Self { shape: Shape::new(Kind::Query, contract), header, ciphertexts, id: OnceLock::new() }
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// How many records it holds.
    pub fn rows(&self) -> usize {
        self.header.rows
    }

    /// Which block of its job it is.
    pub fn place(&self) -> Place {
        self.header.place
    }

    /// The job whose keys it needs.
    pub fn job(&self) -> JobId {
        self.header.job
    }

    /// What to remember of it until its response comes.
    pub fn request(&self) -> Request {
        let id = *self.id.get_or_init(|| RequestId(self.seal().1));
        Request { id, rows: self.header.rows }
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (bytes, digest) = self.seal();
        self.id.get_or_init(|| RequestId(digest));
        bytes
    }

    fn seal(&self) -> (Vec<u8>, Digest) {
        self.shape
            .seal(&self.header, &self.ciphertexts, |(c0, seed), to| self.shape.pack_seeded(c0, seed, to))
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but a query for this contract.
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        whole(Kind::Query, &mut { bytes }, |from| Self::read(contract, from))
    }
}

impl Block for Query {
    const KIND: Kind = Kind::Query;

    fn read(contract: &Contract, from: &mut dyn Read) -> Result<Self> {
        let shape = Shape::new(Kind::Query, contract);
        let (header, ciphertexts, digest) = shape.open(from, |part| shape.unpack_seeded(part, narrow))?;
        if header.request.0 != nothing() {
            return shape.refuse("its header names a request", "encrypt again");
        }
        Ok(Self { shape, header, ciphertexts, id: RequestId(digest).into() })
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

/// Encrypted features of the records of one query.
#[derive(Clone)]
pub struct Response {
    shape: Shape,
    header: Header,
    /// For each output feature both polynomials, `[polynomial][prime][i]`.
    pub(crate) ciphertexts: Vec<Vec<u32>>,
}

impl Response {
    /// The answer to `query`.
    pub(crate) fn new(contract: &Contract, query: &Query, ciphertexts: Vec<Vec<u32>>) -> Self {
        let header = Header { request: query.request().id, ..query.header };
        Self { shape: Shape::new(Kind::Response, contract), header, ciphertexts }
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// How many records it holds.
    pub fn rows(&self) -> usize {
        self.header.rows
    }

    /// Which block of its job it is.
    pub fn place(&self) -> Place {
        self.header.place
    }

    /// The job whose secret key decrypts it.
    pub fn job(&self) -> JobId {
        self.header.job
    }

    /// The query that it answers.
    pub fn request(&self) -> Request {
        Request { id: self.header.request, rows: self.header.rows }
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let half = self.shape.primes.len() * self.shape.set.degree();
        let (bytes, _) = self.shape.seal(&self.header, &self.ciphertexts, |ciphertext, to| {
            ciphertext.chunks(half).for_each(|polynomial| self.shape.pack_polynomial(polynomial, to));
        });
        bytes
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but a response for this
    /// contract, or a second polynomial is all zero (such a ciphertext is not encrypted at all).
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        whole(Kind::Response, &mut { bytes }, |from| Self::read(contract, from))
    }
}

impl Block for Response {
    const KIND: Kind = Kind::Response;

    fn read(contract: &Contract, from: &mut dyn Read) -> Result<Self> {
        let shape = Shape::new(Kind::Response, contract);
        let half = shape.primes.len() * shape.set.degree();
        let (header, ciphertexts, _) = shape.open(from, |part| {
            let mut residues = Vec::with_capacity(2 * half);
            for polynomial in part.chunks(shape.polynomial_bytes()) {
                shape.unpack_polynomial(polynomial, &mut residues, narrow)?;
            }
            if residues[half..].iter().all(|residue| *residue == 0) {
                return shape.refuse("a second polynomial is all zero", "ask for the evaluation again");
            }
            Ok(residues)
        })?;
        Ok(Self { shape, header, ciphertexts })
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

/// Reads one message after which nothing follows.
fn whole<T>(kind: Kind, from: &mut dyn Read, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    let message = read(from)?;
    match from.read(&mut [0]) {
        Ok(0) => Ok(message),
        Ok(_) => kind.refuse("something follows its end", "send it again"),
        Err(e) => kind.refuse(format!("it cannot be read: {e}"), "check the disk"),
    }
}

/// A residue modulo a data prime, which has at most 30 bits, in 32 bits.
fn narrow(residue: u64) -> u32 {
    residue as u32
}

#[cfg(test)]
mod tests;

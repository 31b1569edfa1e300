//! What a message looks like under a contract: header, sizes, packed polynomials, and every check of them.

use std::io::{ErrorKind, Read};

use cryptotl_model::Digest;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::bits;
use super::id::{JobId, Place, RequestId};
use crate::error::{EncryptedError, Result};
use crate::params::{Packing, ParameterSet};
use crate::plan::Contract;
use crate::seal::wire::Seed;

const MAGIC: [u8; 4] = *b"CTLE";
const VERSION: u16 = 2;
const HEADER_BYTES: usize = 124;
const DIGEST_BYTES: usize = 32;
const SEED_BYTES: usize = 65;
/// Ciphertexts that are packed and unpacked at a time, in parallel.
const BATCH: usize = 32;
/// SEAL's number for BLAKE2xb, the generator of its default factory.
const BLAKE2XB: u8 = 1;
const SAME_PLAN: &str = "use the plan, the keys and the messages of one job";

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    EvaluationKeys = 1,
    Query = 2,
    Response = 3,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EvaluationKeys => "evaluation keys",
            Self::Query => "query",
            Self::Response => "response",
        }
    }

    pub(super) fn refuse<T>(self, fact: impl Into<String>, remedy: &str) -> Result<T> {
        Err(EncryptedError::Message { kind: self.name(), fact: fact.into(), remedy: remedy.into() })
    }
}

/// The fields of a header that do not follow from the plan. Keys have no place, job or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub(crate) rows: usize,
    pub(crate) place: Place,
    pub(crate) job: JobId,
    pub(crate) request: RequestId,
}

/// How many ciphertexts a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Fixed(usize),
    OnePerRecord,
}

/// What a message of one kind looks like under a contract.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) set: ParameterSet,
    packing: Packing,
    plan: Digest,
    pub(super) primes: Vec<u64>,
    count: Count,
    /// The most records that the message may claim; 0 for keys.
    max_rows: usize,
}

impl Shape {
    pub(super) fn new(kind: Kind, contract: &Contract) -> Self {
        let set = contract.parameter_set();
        let data = set.data_primes();
        let per_block = |count| match contract.packing() {
            Packing::FeatureMajor => Count::Fixed(count),
            Packing::RecordMajor => Count::OnePerRecord,
        };
        let rows = contract.block_rows();
        let (primes, count, max_rows) = match kind {
            Kind::EvaluationKeys => {
                let keys = 1 + contract.galois_elements().len();
                ([data, &[set.special_prime()]].concat(), Count::Fixed(keys * data.len()), 0)
            }
            Kind::Query => (data[..contract.input_level()].to_vec(), per_block(contract.input_width()), rows),
            Kind::Response => {
                (data[..contract.output_level()].to_vec(), per_block(contract.output_width()), rows)
            }
        };
        let (packing, plan) = (contract.packing(), contract.digest());
        Self { kind, set, packing, plan, primes, count, max_rows }
    }

    pub(super) fn polynomial_bytes(&self) -> usize {
        self.primes.iter().map(|q| bits::packed_bytes(self.set.degree(), *q)).sum()
    }

    pub(super) fn ciphertext_bytes(&self) -> usize {
        match self.kind {
            Kind::Response => 2 * self.polynomial_bytes(),
            Kind::EvaluationKeys | Kind::Query => self.polynomial_bytes() + SEED_BYTES,
        }
    }

    fn count(&self, rows: usize) -> usize {
        match self.count {
            Count::Fixed(count) => count,
            Count::OnePerRecord => rows,
        }
    }

    pub(super) fn total_bytes(&self, rows: usize) -> usize {
        HEADER_BYTES + self.count(rows) * self.ciphertext_bytes() + DIGEST_BYTES
    }

    fn header_bytes(&self, header: &Header) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.push(match self.packing {
            Packing::FeatureMajor => 1,
            Packing::RecordMajor => 2,
        });
        bytes.extend(self.set.id().to_le_bytes());
        bytes.extend((self.primes.len() as u16).to_le_bytes());
        let count = self.count(header.rows) as u32;
        for number in [count, header.rows as u32, header.place.block, header.place.blocks] {
            bytes.extend(number.to_le_bytes());
        }
        for digest in [self.plan, header.job.0, header.request.0] {
            bytes.extend(digest.as_bytes());
        }
        bytes
    }

    /// A whole message and its digest: the header, the ciphertexts as `pack` writes them, in parallel, and the
    /// SHA-256 of both.
    pub(super) fn seal<C: Sync>(
        &self,
        header: &Header,
        ciphertexts: &[C],
        pack: impl Fn(&C, &mut Vec<u8>) + Sync,
    ) -> (Vec<u8>, Digest) {
        let mut bytes = Vec::with_capacity(self.total_bytes(header.rows));
        bytes.extend(self.header_bytes(header));
        for batch in ciphertexts.chunks(BATCH) {
            let packed: Vec<_> = batch
                .par_iter()
                .map(|ciphertext| {
                    let mut part = Vec::with_capacity(self.ciphertext_bytes());
                    pack(ciphertext, &mut part);
                    part
                })
                .collect();
            packed.iter().for_each(|part| bytes.extend(part));
        }
        let digest = Digest::of(&bytes);
        bytes.extend(digest.as_bytes());
        (bytes, digest)
    }

    pub(super) fn refuse<T>(&self, fact: impl Into<String>, remedy: &str) -> Result<T> {
        self.kind.refuse(fact, remedy)
    }

    /// Reads one message: checks its header, then its ciphertexts with `unpack` as they arrive, some in
    /// parallel, then its digest. What is allocated follows from the plan and from what has arrived.
    pub(super) fn open<C: Send>(
        &self,
        from: &mut dyn Read,
        unpack: impl Fn(&[u8]) -> Result<C> + Sync,
    ) -> Result<(Header, Vec<C>, Digest)> {
        let mut hash = Sha256::new();
        let mut bytes = [0; HEADER_BYTES];
        self.fill(from, &mut bytes, "its header")?;
        hash.update(bytes);
        let header = self.check_header(&bytes)?;
        let count = self.count(header.rows);
        let mut ciphertexts = Vec::new();
        let mut batch = vec![0; BATCH.min(count) * self.ciphertext_bytes()];
        while ciphertexts.len() < count {
            let n = BATCH.min(count - ciphertexts.len());
            let batch = &mut batch[..n * self.ciphertext_bytes()];
            self.fill(from, batch, "a ciphertext")?;
            hash.update(&*batch);
            let parts: Vec<C> =
                batch.par_chunks_exact(self.ciphertext_bytes()).map(&unpack).collect::<Result<_>>()?;
            ciphertexts.extend(parts);
        }
        let mut trailer = [0; DIGEST_BYTES];
        self.fill(from, &mut trailer, "its digest")?;
        let digest = Digest::from_bytes(hash.finalize().into());
        if *digest.as_bytes() != trailer {
            return self.refuse("its digest is not that of its content", "send it again");
        }
        Ok((header, ciphertexts, digest))
    }

    fn fill(&self, from: &mut dyn Read, to: &mut [u8], what: &str) -> Result<()> {
        match from.read_exact(to) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                self.refuse(format!("it ends inside {what}"), "send it again, whole")
            }
            Err(e) => self.refuse(format!("it cannot be read: {e}"), "check the disk"),
        }
    }

    fn check_header(&self, bytes: &[u8]) -> Result<Header> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let digest_at = |at: usize| {
            let mut digest = [0; DIGEST_BYTES];
            digest.copy_from_slice(&bytes[at..at + DIGEST_BYTES]);
            Digest::from_bytes(digest)
        };
        if bytes[..4] != MAGIC {
            return self.refuse("it does not start with CTLE", "give a file that this program wrote");
        }
        if u16_at(4) != VERSION {
            return self.refuse(
                format!("it has version {}, this program reads {VERSION}", u16_at(4)),
                "use the same version on both sides",
            );
        }
        if bytes[6] != self.kind as u8 {
            return self.refuse(format!("it is of kind {}", bytes[6]), "give the right file");
        }
        if digest_at(28) != self.plan {
            return self.refuse("it belongs to another plan", SAME_PLAN);
        }
        let header = Header {
            rows: u32_at(16) as usize,
            place: Place { block: u32_at(20), blocks: u32_at(24) },
            job: JobId(digest_at(60)),
            request: RequestId(digest_at(92)),
        };
        let Header { rows, place, .. } = header;
        if rows > self.max_rows || (rows == 0) != (self.max_rows == 0) {
            return self.refuse(
                format!("it claims {rows} records, a block holds up to {}", self.max_rows),
                "split the records into blocks",
            );
        }
        // Packing, parameter set, level and count.
        if bytes != self.header_bytes(&header) {
            return self.refuse("its parameters or counts are not those of the plan", SAME_PLAN);
        }
        if place.block >= place.blocks {
            return self.refuse(
                format!("it claims to be block {} of {}", u64::from(place.block) + 1, place.blocks),
                "send it again",
            );
        }
        Ok(header)
    }

    pub(super) fn pack_polynomial<T: Into<u64> + Copy>(&self, residues: &[T], to: &mut Vec<u8>) {
        for (residues, q) in residues.chunks(self.set.degree()).zip(&self.primes) {
            bits::pack(residues, *q, to);
        }
    }

    /// Appends a polynomial's residues, through `convert`.
    pub(super) fn unpack_polynomial<T>(
        &self,
        mut bytes: &[u8],
        to: &mut Vec<T>,
        convert: impl Fn(u64) -> T + Copy,
    ) -> Result<()> {
        for q in &self.primes {
            let (run, rest) = bytes.split_at(bits::packed_bytes(self.set.degree(), *q));
            if !bits::unpack(run, *q, to, convert) {
                return self.refuse(format!("a residue is not below its prime {q}"), "send it again");
            }
            bytes = rest;
        }
        Ok(())
    }

    pub(super) fn pack_seeded<T: Into<u64> + Copy>(&self, c0: &[T], seed: &Seed, to: &mut Vec<u8>) {
        self.pack_polynomial(c0, to);
        to.push(seed.kind);
        to.extend(seed.bytes);
    }

    pub(super) fn unpack_seeded<T>(
        &self,
        bytes: &[u8],
        convert: impl Fn(u64) -> T + Copy,
    ) -> Result<(Vec<T>, Seed)> {
        let (polynomial, tail) = bytes.split_at(self.polynomial_bytes());
        let mut seed = Seed { kind: tail[0], bytes: [0; 64] };
        seed.bytes.copy_from_slice(&tail[1..]);
        if seed.kind != BLAKE2XB {
            return self.refuse(format!("a seed is for generator {}", seed.kind), "use BLAKE2xb, number 1");
        }
        if seed.bytes == [0; 64] {
            return self.refuse("a seed is all zero", "encrypt again with a working random generator");
        }
        let mut residues = Vec::new();
        self.unpack_polynomial(polynomial, &mut residues, convert)?;
        Ok((residues, seed))
    }
}

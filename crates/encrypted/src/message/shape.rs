//! What a message looks like under a contract: header, sizes, packed polynomials, and every check of them.

use rayon::prelude::*;

use super::bits;
use crate::error::{EncryptedError, Result};
use crate::params::{Packing, ParameterSet};
use crate::plan::Contract;
use crate::seal::wire::Seed;

const MAGIC: [u8; 4] = *b"CTLE";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 52;
const SEED_BYTES: usize = 65;
/// Ciphertexts that are packed in parallel before they are put one after the other.
const PACKED_AT_ONCE: usize = 32;
/// SEAL's number for BLAKE2xb, the generator of its default factory.
const BLAKE2XB: u8 = 1;

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    EvaluationKeys = 1,
    Query = 2,
    Response = 3,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::EvaluationKeys => "evaluation keys",
            Self::Query => "query",
            Self::Response => "response",
        }
    }
}

/// What a message of one kind looks like under a contract.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) set: ParameterSet,
    packing: Packing,
    digest: [u8; 32],
    pub(super) primes: Vec<u64>,
    pub(super) count: usize,
    /// The most records that the message may claim; 0 for keys.
    max_rows: usize,
}

impl Shape {
    pub(super) fn new(kind: Kind, contract: &Contract) -> Self {
        let set = contract.parameter_set();
        let data = set.data_primes();
        let (primes, count, max_rows) = match kind {
            Kind::EvaluationKeys => ([data, &[set.special_prime()]].concat(), data.len(), 0),
            Kind::Query => {
                (data[..contract.input_level()].to_vec(), contract.input_width(), contract.block_rows())
            }
            Kind::Response => {
                (data[..contract.output_level()].to_vec(), contract.output_width(), contract.block_rows())
            }
        };
        let (packing, digest) = (contract.packing(), contract.digest());
        Self { kind, set, packing, digest, primes, count, max_rows }
    }

    pub(super) fn polynomial_bytes(&self) -> usize {
        self.primes.iter().map(|q| bits::packed_bytes(self.set.degree(), *q)).sum()
    }

    fn ciphertext_bytes(&self) -> usize {
        match self.kind {
            Kind::Response => 2 * self.polynomial_bytes(),
            Kind::EvaluationKeys | Kind::Query => self.polynomial_bytes() + SEED_BYTES,
        }
    }

    pub(super) fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.count * self.ciphertext_bytes()
    }

    pub(super) fn header(&self, rows: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.total_bytes());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.push(self.kind as u8);
        bytes.push(match self.packing {
            Packing::FeatureMajor => 1,
        });
        bytes.extend(self.set.id().to_le_bytes());
        bytes.extend((self.primes.len() as u16).to_le_bytes());
        bytes.extend((self.count as u32).to_le_bytes());
        bytes.extend((rows as u32).to_le_bytes());
        bytes.extend(self.digest);
        bytes
    }

    /// The message of all `ciphertexts`, packed in parallel.
    pub(super) fn pack_all<C: Sync>(
        &self,
        rows: usize,
        ciphertexts: &[C],
        pack: impl Fn(&C, &mut Vec<u8>) + Sync,
    ) -> Vec<u8> {
        let mut bytes = self.header(rows);
        for batch in ciphertexts.chunks(PACKED_AT_ONCE) {
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
        bytes
    }

    pub(super) fn refuse<T>(&self, fact: impl Into<String>, remedy: &str) -> Result<T> {
        Err(EncryptedError::Message { kind: self.kind.name(), fact: fact.into(), remedy: remedy.into() })
    }

    /// Checks size and header; returns the number of records and the ciphertexts' bytes.
    pub(super) fn open<'a>(&self, bytes: &'a [u8]) -> Result<(usize, std::slice::ChunksExact<'a, u8>)> {
        let same_plan = "use the plan, the keys and the messages of one job";
        let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
            return self.refuse(format!("{} bytes are no message", bytes.len()), "send it again");
        };
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if header[..4] != MAGIC {
            return self.refuse("it does not start with CTLE", "give a file that this program wrote");
        }
        if u16_at(4) != VERSION {
            return self.refuse(
                format!("it has version {}, this program reads {VERSION}", u16_at(4)),
                "use the same version on both sides",
            );
        }
        if header[6] != self.kind as u8 {
            return self.refuse(format!("it is of kind {}", header[6]), "give the right file");
        }
        if header[20..52] != self.digest {
            return self.refuse("it belongs to another plan", same_plan);
        }
        let rows = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
        if header != self.header(rows) {
            return self.refuse("its parameters or counts are not those of the plan", same_plan);
        }
        if rows > self.max_rows || (rows == 0) != (self.max_rows == 0) {
            return self.refuse(
                format!("it claims {rows} records, a block holds up to {}", self.max_rows),
                "split the records into blocks",
            );
        }
        if bytes.len() != self.total_bytes() {
            return self.refuse(
                format!("it has {} bytes, the plan expects {}", bytes.len(), self.total_bytes()),
                "send it again, whole",
            );
        }
        Ok((rows, payload.chunks_exact(self.ciphertext_bytes())))
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

//! The bytes that cross between the data owner and the model owner, version 1.
//!
//! All numbers are little endian. Each message is a header of 52 bytes and ciphertexts, nothing else:
//!
//! | offset | field |
//! | --- | --- |
//! | 0 | magic `CTLE` |
//! | 4 | version u16: 1 |
//! | 6 | kind u8: 1 evaluation keys, 2 query, 3 response |
//! | 7 | packing u8: 1 feature-major |
//! | 8 | parameter set u16, see [`crate::ParameterSet::id`] |
//! | 10 | primes of each ciphertext u16 (keys: all data primes and the special prime) |
//! | 12 | number of ciphertexts u32 |
//! | 16 | number of records u32 (keys: 0) |
//! | 20 | digest of the plan, 32 bytes |
//! | 52 | ciphertexts |
//!
//! A polynomial is, for each prime in order, `N` residues in SEAL's order (transformed, bit-reversed),
//! each packed at the bit width of its prime, low bits first: 30 bits each for `n8192-q30x5-p38`.
//!
//! * **Query**: ciphertext `i` holds feature `i`: its first polynomial, the kind u8 of the generator (1,
//!   BLAKE2xb) and the public seed, 64 bytes, from which SEAL expands the second polynomial.
//! * **Evaluation keys**: the relinearization key, one such seeded ciphertext for each data prime.
//! * **Response**: ciphertext `i` holds output feature `i`: both polynomials in full.
//!
//! There is no scale in a message: scales come from the plan. The total size follows from the
//! plan too, and a message of any other size is refused before anything is read or allocated. Every residue
//! is checked to be below its prime, so bytes from a peer never reach SEAL's own deserialization.

mod bits;
mod shape;

use rayon::prelude::*;
use shape::{Kind, Shape};

use crate::error::Result;
use crate::plan::Contract;
use crate::seal::wire::Seed;

/// Bytes of a query, whatever the number of its records.
pub(crate) fn query_bytes(contract: &Contract) -> usize {
    Shape::new(Kind::Query, contract).total_bytes()
}

/// Bytes of a response.
pub(crate) fn response_bytes(contract: &Contract) -> usize {
    Shape::new(Kind::Response, contract).total_bytes()
}

/// Bytes of the evaluation keys.
pub(crate) fn key_bytes(contract: &Contract) -> usize {
    Shape::new(Kind::EvaluationKeys, contract).total_bytes()
}

/// What the server needs to multiply ciphertexts: the relinearization key of one job. It is public.
#[derive(Clone)]
pub struct EvaluationKeys {
    shape: Shape,
    /// For each data prime the first polynomial, `[prime][i]`, and the seed of the second.
    pub(crate) parts: Vec<(Vec<u64>, Seed)>,
}

impl EvaluationKeys {
    pub(crate) fn new(contract: &Contract, parts: Vec<(Vec<u64>, Seed)>) -> Self {
        Self { shape: Shape::new(Kind::EvaluationKeys, contract), parts }
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.shape.header(0);
        self.parts.iter().for_each(|(c0, seed)| self.shape.pack_seeded(c0, seed, &mut bytes));
        bytes
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but keys for this contract.
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        let shape = Shape::new(Kind::EvaluationKeys, contract);
        let (_, ciphertexts) = shape.open(bytes)?;
        let parts = ciphertexts.map(|part| shape.unpack_seeded(part, |x| x)).collect::<Result<_>>()?;
        Ok(Self { shape, parts })
    }
}

/// Encrypted records: one block of up to [`Contract::block_rows`].
#[derive(Clone)]
pub struct Query {
    shape: Shape,
    rows: usize,
    /// For each input feature the first polynomial, `[prime][i]`, and the seed of the second.
    pub(crate) ciphertexts: Vec<(Vec<u32>, Seed)>,
}

impl Query {
    pub(crate) fn new(contract: &Contract, rows: usize, ciphertexts: Vec<(Vec<u32>, Seed)>) -> Self {
        Self { shape: Shape::new(Kind::Query, contract), rows, ciphertexts }
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// How many records it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.shape.pack_all(self.rows, &self.ciphertexts, |(c0, seed), bytes| {
            self.shape.pack_seeded(c0, seed, bytes);
        })
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but a query for this contract.
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        let shape = Shape::new(Kind::Query, contract);
        let (rows, ciphertexts) = shape.open(bytes)?;
        let ciphertexts = ciphertexts
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|part| shape.unpack_seeded(part, narrow))
            .collect::<Result<_>>()?;
        Ok(Self { shape, rows, ciphertexts })
    }
}

/// Encrypted features of the records of one query.
#[derive(Clone)]
pub struct Response {
    shape: Shape,
    rows: usize,
    /// For each output feature both polynomials, `[polynomial][prime][i]`.
    pub(crate) ciphertexts: Vec<Vec<u32>>,
}

impl Response {
    pub(crate) fn new(contract: &Contract, rows: usize, ciphertexts: Vec<Vec<u32>>) -> Self {
        Self { shape: Shape::new(Kind::Response, contract), rows, ciphertexts }
    }

    /// Whether it is a message of this contract.
    pub(crate) fn fits(&self, contract: &Contract) -> bool {
        self.shape == Shape::new(self.shape.kind, contract)
    }

    /// How many records it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The message's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let half = self.shape.primes.len() * self.shape.set.degree();
        self.shape.pack_all(self.rows, &self.ciphertexts, |ciphertext, bytes| {
            ciphertext.chunks(half).for_each(|polynomial| self.shape.pack_polynomial(polynomial, bytes));
        })
    }

    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the bytes are anything but a response for this
    /// contract, or a second polynomial is all zero (such a ciphertext is not encrypted at all).
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        let shape = Shape::new(Kind::Response, contract);
        let (rows, parts) = shape.open(bytes)?;
        let half = shape.primes.len() * shape.set.degree();
        let unpack = |part: &[u8]| {
            let mut residues = Vec::with_capacity(2 * half);
            for polynomial in part.chunks(shape.polynomial_bytes()) {
                shape.unpack_polynomial(polynomial, &mut residues, narrow)?;
            }
            if residues[half..].iter().all(|residue| *residue == 0) {
                return shape.refuse("a second polynomial is all zero", "ask for the evaluation again");
            }
            Ok(residues)
        };
        let ciphertexts = parts.collect::<Vec<_>>().into_par_iter().map(unpack).collect::<Result<_>>()?;
        Ok(Self { shape, rows, ciphertexts })
    }
}

/// A residue modulo a data prime, which has at most 30 bits, in 32 bits.
fn narrow(residue: u64) -> u32 {
    residue as u32
}

#[cfg(test)]
mod tests;

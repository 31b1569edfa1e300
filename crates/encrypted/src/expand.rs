//! Expansion of public seeds: the second polynomial of a fresh ciphertext or key, as SEAL derives it.
//!
//! SEAL's generator is BLAKE2Xb (Aumasson, Neves, Wilcox-O'Hearn and Winnerlein, "BLAKE2X", 2016) in blocks of 4096
//! bytes: block `k` has the seed as key and `k`, 8 bytes, as message. A polynomial takes as many little endian words
//! of 64 bits as it has residues, in order `[prime][i]`, modulo the primes and already transformed. A word
//! among the last that would make small residues likelier is replaced by the next word of the stream. The
//! seed hides nothing, so this is no cryptography of the client: it is what makes a query half as large.

use blake2b_simd::Params;
use blake2b_simd::many::{HashManyJob, hash_many};

/// Bytes of one block of the stream, and of one hash.
const BLOCK: usize = 4096;
const HASH: usize = 64;

/// The stream of one seed, word after word.
struct Stream<'a> {
    seed: &'a [u8; 64],
    next_block: u64,
    block: Vec<u64>,
    position: usize,
}

impl<'a> Stream<'a> {
    fn new(seed: &'a [u8; 64]) -> Self {
        Self { seed, next_block: 0, block: Vec::with_capacity(BLOCK / 8), position: 0 }
    }

    fn next(&mut self) -> u64 {
        if self.position == self.block.len() {
            self.refill();
        }
        let word = self.block[self.position];
        self.position += 1;
        word
    }

    /// BLAKE2X, section 2: a root hash and one hash of it for each 64 bytes. The length of the output is the
    /// upper half of the node offset.
    fn refill(&mut self) {
        let length = (BLOCK as u64) << 32;
        let root = Params::new().key(self.seed).node_offset(length).hash(&self.next_block.to_le_bytes());
        let mut leaf = Params::new();
        leaf.fanout(0).max_depth(0).max_leaf_length(HASH as u32).inner_hash_length(HASH);
        let mut jobs: [HashManyJob; BLOCK / HASH] =
            std::array::from_fn(|i| HashManyJob::new(leaf.node_offset(length | i as u64), root.as_bytes()));
        hash_many(jobs.iter_mut());
        self.block.clear();
        for job in &jobs {
            let hash = job.to_hash();
            self.block
                .extend(hash.as_bytes().as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
        self.next_block += 1;
        self.position = 0;
    }
}

/// The polynomial of a seed: `degree` residues modulo each of `primes`, in SEAL's order, `[prime][i]`.
pub(crate) fn polynomial(seed: &[u8; 64], primes: &[u64], degree: usize) -> Vec<u64> {
    let mut stream = Stream::new(seed);
    let mut words: Vec<u64> = (0..primes.len() * degree).map(|_| stream.next()).collect();
    for (q, words) in primes.iter().zip(words.chunks_exact_mut(degree)) {
        let limit = u64::MAX - u64::MAX % q - 1;
        let inverse = u128::from(u64::MAX / q);
        for word in words {
            while *word >= limit {
                *word = stream.next();
            }
            // The quotient is at most 2 too small.
            let quotient = (u128::from(*word).wrapping_mul(inverse) >> 64) as u64;
            let mut residue = word.wrapping_sub(quotient.wrapping_mul(*q));
            residue = residue.min(residue.wrapping_sub(*q));
            *word = residue.min(residue.wrapping_sub(*q));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::ckks::{Ciphertext, Context, Encoder, Encryptor, SecretKey};
    use crate::seal::wire::{self, Level};

    #[test]
    fn gives_the_polynomial_of_seal() {
        // With primes of 60 bits one word in 64 is replaced; with those of a parameter set hardly ever one is.
        let primes = [0x0fff_ffff_ffff_c001, 0x0fff_ffff_ffff_2801, 0x0fff_ffff_fffe_8001];
        let degree = 1024;
        let context = Context::from_primes(degree, &primes[..2], primes[2], 0).unwrap();
        let (key, _) = SecretKey::generate(&context).unwrap();
        let plain = Encoder::new(&context).unwrap().encode(&context, &[1.0], 2, 1e9).unwrap();
        let seeded = Encryptor::new(&context, &key).unwrap().encrypt_seeded(&plain).unwrap();
        let (c0, seed) = wire::parse_seeded(&context, Level::Data(2), &seeded).unwrap();
        let full = Ciphertext::load(&context, &seeded).unwrap().save().unwrap();
        let words: Vec<u64> = wire::full_words(&context, Level::Data(2), &full).unwrap().collect();
        assert!(words == [c0, polynomial(&seed.bytes, &primes[..2], degree)].concat());
    }
}

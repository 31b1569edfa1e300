//! The residues of many ciphertexts, cut so that a linear layer streams through memory.
//!
//! Ciphertext `i` is a row of `2 L N` residues, in SEAL's order `[polynomial][prime][index]`. The matrix of
//! all rows is cut into blocks of [`COLUMNS`] columns, each stored by itself. A linear layer replaces block
//! after block, so that the peak is one matrix and a few blocks in `f64`, not two matrices.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::gemm::IntegerMatrix;

/// Columns of a block: divides every ring degree, so that a block belongs to one prime, and keeps a
/// block of 768 rows of `f64` within a few megabytes.
pub(crate) const COLUMNS: usize = 512;

/// `rows` ciphertexts of two polynomials modulo the same primes.
pub(crate) struct ResidueMatrix {
    rows: usize,
    degree: usize,
    primes: &'static [u64],
    /// Each `[rows, COLUMNS]`.
    blocks: Vec<Vec<u32>>,
}

impl ResidueMatrix {
    pub(crate) fn zeros(rows: usize, degree: usize, primes: &'static [u64]) -> Self {
        let n_blocks = 2 * primes.len() * degree / COLUMNS;
        Self { rows, degree, primes, blocks: vec![vec![0; rows * COLUMNS]; n_blocks] }
    }

    /// How many blocks [`ResidueMatrix::apply`] reports.
    pub(crate) fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Writes ciphertexts to rows `first ..`; each is `[polynomial][prime][index]`.
    pub(crate) fn set_rows(&mut self, first: usize, ciphertexts: &[Vec<u32>]) {
        self.blocks.par_iter_mut().enumerate().for_each(|(block, to)| {
            for (row, from) in ciphertexts.iter().enumerate() {
                to[(first + row) * COLUMNS..][..COLUMNS].copy_from_slice(&from[block * COLUMNS..][..COLUMNS]);
            }
        });
    }

    /// Row `row` as a ciphertext, `[polynomial][prime][index]`.
    pub(crate) fn row(&self, row: usize) -> Vec<u32> {
        self.blocks.iter().flat_map(|block| &block[row * COLUMNS..][..COLUMNS]).copied().collect()
    }

    /// Replaces the ciphertexts `x` by `weights x + bias`: the bias, at the scale of the product, goes to
    /// each residue of the first polynomial, which in transformed form adds it to each slot.
    /// `on_block(done)` is called after each block, from any thread.
    pub(crate) fn apply(
        &mut self,
        weights: &IntegerMatrix,
        bias: &[i128],
        on_block: &(dyn Fn(usize) + Sync),
    ) {
        let blocks_per_prime = self.degree / COLUMNS;
        let no_bias = vec![0u64; bias.len()];
        let biases: Vec<Vec<u64>> = self
            .primes
            .iter()
            .map(|q| bias.iter().map(|b| b.rem_euclid(i128::from(*q)) as u64).collect())
            .collect();
        let done = AtomicUsize::new(0);
        self.blocks.par_iter_mut().enumerate().for_each(|(block, residues)| {
            let (polynomial, prime) = (
                block / (blocks_per_prime * self.primes.len()),
                block / blocks_per_prime % self.primes.len(),
            );
            let bias = if polynomial == 0 { &biases[prime] } else { &no_bias };
            *residues = weights.multiply_mod(residues, COLUMNS, self.primes[prime], bias);
            on_block(done.fetch_add(1, Ordering::Relaxed) + 1);
        });
        self.rows = weights.rows();
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_layers_reach_every_prime_and_polynomial() {
        const PRIMES: &[u64] = &[0x3fff_7801, 0x3fff_5801];
        let degree = 1024;
        let ciphertexts: Vec<Vec<u32>> =
            (0..2u32).map(|c| (0..4 * degree as u32).map(|i| i * 7 + c).collect()).collect();
        let mut matrix = ResidueMatrix::zeros(2, degree, PRIMES);
        matrix.set_rows(0, &ciphertexts[..1]);
        matrix.set_rows(1, &ciphertexts[1..]);
        assert_eq!(matrix.row(1), ciphertexts[1]);

        let weights = IntegerMatrix::new(1, 2, vec![3.0, -2.0], PRIMES[0]).unwrap();
        matrix.apply(&weights, &[-5], &|_| ());
        let row = matrix.row(0);
        assert_eq!((row.len(), matrix.n_rows()), (4 * degree, 1));
        for (column, value) in row.iter().enumerate() {
            let q = PRIMES[column / degree % 2] as i64;
            let bias = if column < 2 * degree { -5 } else { 0 };
            let exact = 3 * i64::from(ciphertexts[0][column]) - 2 * i64::from(ciphertexts[1][column]) + bias;
            assert_eq!(i64::from(*value), exact.rem_euclid(q));
        }
    }
}

//! Integer matrix times residues, exactly, at the speed of floating-point matrix products.
//!
//! Scalars commute with the number-theoretic transform, so a linear layer over feature-major ciphertexts is,
//! for each prime `q`, an ordinary matrix product modulo `q`: rows are features, columns are residues. A
//! product of integers computed in `f64` is exact as long as no partial sum leaves `[-2^53, 2^53]`. With
//! residues centered, `|r| <= q/2`, each partial sum is at most `L1 * q/2` for a row of weights with L1 norm
//! `L1`, whatever the order of summation and whether or not multiplications and additions are fused.
//! [`row_l1_limit`] keeps a small reserve for the reduction afterwards; with primes of 30 bits it is
//! at least `2^24 - 4`.

use std::sync::Arc;

/// Integers up to this magnitude are exact in `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

/// The largest L1 norm a row of weights may have for products modulo primes up to `largest_prime` to be
/// exact. The reserve of 4 is for the reduction: subtracting `k q` with `k` off by one must stay exact.
pub(crate) fn row_l1_limit(largest_prime: u64) -> f64 {
    (EXACT / (largest_prime as f64 / 2.0)).floor() - 4.0
}

/// A matrix of integers whose rows all respect [`row_l1_limit`] for the primes it was made for.
#[derive(Debug, Clone)]
pub(crate) struct IntegerMatrix {
    rows: usize,
    columns: usize,
    /// Row after row. Shared, because plans are cloned and matrices are large.
    values: Arc<[f64]>,
    largest_prime: u64,
}

impl IntegerMatrix {
    /// Takes `[rows, columns]` integers; `None` when a value is not an integer, or a row's L1 norm is over
    /// the limit for `largest_prime`.
    pub(crate) fn new(rows: usize, columns: usize, values: Vec<f64>, largest_prime: u64) -> Option<Self> {
        let limit = row_l1_limit(largest_prime);
        let integers = values.len() == rows * columns && values.iter().all(|w| w.fract() == 0.0);
        let fits = |row: &[f64]| row.iter().map(|w| w.abs()).sum::<f64>() <= limit;
        (integers && columns > 0 && values.chunks(columns).all(fits)).then(|| Self {
            rows,
            columns,
            values: values.into(),
            largest_prime,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// All values, row after row.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// `self * residues + bias 1^T` modulo `q`, with `residues` `[self.columns(), width]` row after row and
    /// `bias` one number a row, each below `q`. Zero weights are not skipped: the time must not tell.
    ///
    /// # Panics
    /// When a shape does not fit or `q` is larger than the matrix was made for: a defect of the caller,
    /// never of a peer's bytes.
    pub(crate) fn multiply_mod(&self, residues: &[u32], width: usize, q: u64, bias: &[u64]) -> Vec<u32> {
        assert!(residues.len() == self.columns * width && bias.len() == self.rows);
        assert!(q <= self.largest_prime && q % 2 == 1);
        let modulus = q as f64;
        let half = (q / 2) as u32;
        let centered: Vec<f64> =
            residues.iter().map(|&r| if r > half { f64::from(r) - modulus } else { f64::from(r) }).collect();
        let product = product(&self.values, &centered, self.rows, self.columns, width);
        let inverse = modulus.recip();
        let mut out = Vec::with_capacity(product.len());
        for (row, bias) in product.chunks_exact(width.max(1)).zip(bias) {
            let bias = *bias as f64;
            out.extend(row.iter().map(|&sum| {
                // |sum| <= L1 q/2, so k q is within the reserve and the difference is exact, in (-q, q).
                let mut r = sum - (sum * inverse).round() * modulus;
                r += if r < 0.0 { modulus } else { 0.0 };
                r += bias;
                r -= if r >= modulus { modulus } else { 0.0 };
                r as u32
            }));
        }
        out
    }
}

/// `a * b` in `f64` on this thread, all row-major: `a` is `[m, k]`, `b` is `[k, n]`.
#[allow(unsafe_code)]
fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    assert!(a.len() == m * k && b.len() == k * n);
    let mut out = vec![0.0; m * n];
    let (columns_a, columns_b) = (k as isize, n as isize);
    // SAFETY: the pointers cover m*k, k*n and m*n doubles by the assertion and the allocation above, the
    // strides are those of row-major matrices of these sizes, and `out` aliases nothing.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            columns_b,
            false,
            a.as_ptr(),
            1,
            columns_a,
            b.as_ptr(),
            1,
            columns_b,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const Q: u64 = 0x3fff_4001;

    /// The definition, in 128-bit integers.
    fn reference(matrix: &IntegerMatrix, residues: &[u32], width: usize, q: u64, bias: &[u64]) -> Vec<u32> {
        let mut out = Vec::new();
        for (row, bias) in bias.iter().enumerate() {
            for column in 0..width {
                let sum: i128 = (0..matrix.columns())
                    .map(|i| matrix.row(row)[i] as i128 * i128::from(residues[i * width + column]))
                    .sum();
                out.push((sum + i128::from(*bias)).rem_euclid(i128::from(q)) as u32);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_are_exact(
            (rows, columns, width) in (1usize..40, 1usize..40, 1usize..70),
            seed in any::<u64>(),
        ) {
            let mut state = seed;
            let mut next = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            };
            let span = ((1u64 << 24) - 4) / columns as u64;
            let values: Vec<f64> =
                (0..rows * columns).map(|_| (next() % (2 * span + 1)) as f64 - span as f64).collect();
            let matrix = IntegerMatrix::new(rows, columns, values, Q).unwrap();
            let residues: Vec<u32> = (0..columns * width).map(|_| (next() % Q) as u32).collect();
            let bias: Vec<u64> = (0..rows).map(|_| next() % Q).collect();
            let exact = reference(&matrix, &residues, width, Q, &bias);
            prop_assert_eq!(matrix.multiply_mod(&residues, width, Q, &bias), exact);
        }
    }

    #[test]
    fn the_worst_case_is_exact() {
        // Every weight at the limit, every residue at +-q/2, all products of one sign.
        let columns = 64;
        let limit = row_l1_limit(Q);
        assert!(limit >= f64::from((1 << 24) - 4), "{limit}");
        let weight = (limit / columns as f64).floor();
        let signs: Vec<f64> = (0..columns).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
        let mut values: Vec<f64> = signs.iter().map(|s| s * weight).collect();
        values[1] += limit - weight * columns as f64;
        let matrix = IntegerMatrix::new(1, columns, values, Q).unwrap();
        let half = (Q / 2) as u32;
        for flip in [1.0, -1.0] {
            let residues: Vec<u32> =
                signs.iter().map(|s| if s * flip > 0.0 { half } else { half + 1 }).collect();
            for bias in [0, 1, Q - 1] {
                let exact = reference(&matrix, &residues, 1, Q, &[bias]);
                assert_eq!(matrix.multiply_mod(&residues, 1, Q, &[bias]), exact);
            }
        }
    }

    #[test]
    fn matrices_over_the_limit_are_refused() {
        let limit = row_l1_limit(Q);
        assert!(IntegerMatrix::new(1, 2, vec![limit, 0.0], Q).is_some());
        assert!(IntegerMatrix::new(1, 2, vec![limit, 1.0], Q).is_none());
        assert!(IntegerMatrix::new(1, 2, vec![0.5, 1.0], Q).is_none());
    }
}

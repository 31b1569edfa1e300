//! Sums of products of many plaintexts and rotated ciphertexts: the bulk of a linear layer in record-major packing.
//!
//! All ciphertexts are modulo `Q_L P`, as baby steps leave them. Everything is cut into blocks of [`BLOCK`] indices of one
//! prime, so that the block of all ciphertexts stays in the cache while the plaintexts, of which there are many more,
//! stream past it once.

use rayon::prelude::*;

use super::Ring;
use super::automorphism::Automorphism;
use super::key_switch::{Extended, LOW_BITS, remainder_by_float};
use super::modulus::Modulus;

/// Indices of a block.
const BLOCK: usize = 256;
/// Sums kept in registers.
const LANES: usize = 16;
/// Products below `2^60` that a sum of 64 bits holds before it is reduced.
const DATA_TERMS: usize = 8;
/// Products below `2^(38 + 19)` that fit [`remainder_by_float`].
const SPECIAL_TERMS: usize = 32;

/// Plaintexts modulo the first `level` data primes and the special prime.
pub(crate) struct Diagonals {
    level: usize,
    count: usize,
    /// `[prime][block][plaintext][BLOCK]`, in Montgomery form.
    data: Vec<u32>,
    /// `[block][plaintext][BLOCK]`: the lower [`LOW_BITS`] bits modulo the special prime, and the rest.
    low: Vec<u32>,
    high: Vec<u32>,
}

/// One plaintext on its way to [`Diagonals`]: `[prime][N]` in the own order, then the two halves.
pub(crate) struct Diagonal(Vec<u32>);

/// Ciphertexts modulo `Q_L P`, in blocks.
pub(crate) struct Blocks {
    level: usize,
    count: usize,
    /// `[prime][block][polynomial][ciphertext][BLOCK]`.
    data: Vec<u32>,
    /// `[block][polynomial][ciphertext][BLOCK]`.
    special: Vec<u64>,
}

impl Diagonal {
    /// Takes a plaintext as SEAL has it: `[prime][N]` over all data primes and the special prime.
    pub(crate) fn from_seal(ring: &Ring, level: usize, residues: &[u64]) -> Self {
        let n = ring.degree();
        assert!(residues.len() == (ring.n_primes() + 1) * n && level <= ring.n_primes());
        let mut rows = Vec::with_capacity((level + 2) * n);
        let mut own = vec![0; n];
        for (transform, from) in ring.data[..level].iter().zip(residues.chunks_exact(n)) {
            transform.order.read_seal(from, &mut own);
            rows.extend(own.iter().map(|x| transform.modulus.montgomery(*x)));
        }
        ring.special.order.read_seal(&residues[ring.n_primes() * n..], &mut own);
        rows.extend(own.iter().map(|x| (x & ((1 << LOW_BITS) - 1)) as u32));
        rows.extend(own.iter().map(|x| (x >> LOW_BITS) as u32));
        Self(rows)
    }
}

impl Diagonals {
    /// All of one level.
    pub(crate) fn new(ring: &Ring, level: usize, diagonals: &[Diagonal]) -> Self {
        let n = ring.degree();
        assert!(diagonals.iter().all(|diagonal| diagonal.0.len() == (level + 2) * n));
        let rows = |rows: std::ops::Range<usize>| -> Vec<u32> {
            let blocks = rows.flat_map(|row| (0..n / BLOCK).map(move |block| row * n + block * BLOCK));
            blocks
                .flat_map(|start| diagonals.iter().flat_map(move |d| &d.0[start..][..BLOCK]))
                .copied()
                .collect()
        };
        Self {
            level,
            count: diagonals.len(),
            data: rows(0..level),
            low: rows(level..level + 1),
            high: rows(level + 1..level + 2),
        }
    }
}

impl Blocks {
    /// Ciphertext `i` after automorphism `automorphisms[i]`, if it has one.
    pub(crate) fn gather(ciphertexts: &[[Extended; 2]], automorphisms: &[Option<&Automorphism>]) -> Self {
        let n = ciphertexts[0][0].special.len();
        let (level, count) = (ciphertexts[0][0].data.len() / n, ciphertexts.len());
        let (per_prime, chunk) = (n / BLOCK, 2 * count * BLOCK);
        let mut blocks = Self {
            level,
            count,
            data: vec![0; level * per_prime * chunk],
            special: vec![0; per_prime * chunk],
        };
        blocks.data.par_chunks_exact_mut(chunk).enumerate().for_each(|(at, to)| {
            let (prime, start) = (at / per_prime, at % per_prime * BLOCK);
            gather_block(ciphertexts, automorphisms, start, to, |c| &c.data[prime * n..][..n]);
        });
        blocks.special.par_chunks_exact_mut(chunk).enumerate().for_each(|(block, to)| {
            gather_block(ciphertexts, automorphisms, block * BLOCK, to, |c| &c.special);
        });
        blocks
    }

    /// Copies ciphertext `i` out.
    pub(crate) fn read(&self, i: usize, to: &mut [Extended; 2]) {
        let n = to[0].special.len();
        let (per_prime, chunk) = (n / BLOCK, 2 * self.count * BLOCK);
        for (polynomial, to) in to.iter_mut().enumerate() {
            let at = (polynomial * self.count + i) * BLOCK;
            let primes = self.data.chunks_exact(per_prime * chunk).zip(to.data.chunks_exact_mut(n));
            for (from, to) in primes {
                copy_blocks(from, chunk, at, to);
            }
            copy_blocks(&self.special, chunk, at, &mut to.special);
        }
    }
}

fn gather_block<T: Copy>(
    ciphertexts: &[[Extended; 2]],
    automorphisms: &[Option<&Automorphism>],
    start: usize,
    to: &mut [T],
    row: impl Fn(&Extended) -> &[T],
) {
    let polynomials =
        (0..2).flat_map(|p| ciphertexts.iter().zip(automorphisms).map(move |(c, a)| (&c[p], a)));
    for ((ciphertext, automorphism), to) in polynomials.zip(to.chunks_exact_mut(BLOCK)) {
        match automorphism {
            Some(automorphism) => automorphism.apply_from(start, row(ciphertext), to),
            None => to.copy_from_slice(&row(ciphertext)[start..][..BLOCK]),
        }
    }
}

fn copy_blocks<T: Copy>(from: &[T], chunk: usize, at: usize, to: &mut [T]) {
    for (from, to) in from.chunks_exact(chunk).zip(to.chunks_exact_mut(BLOCK)) {
        to.copy_from_slice(&from[at..][..BLOCK]);
    }
}

impl Ring {
    /// For each run of `inputs.count` plaintexts the sum of their products with the ciphertexts; the last run may be shorter.
    pub(crate) fn multiply_diagonals(&self, diagonals: &Diagonals, inputs: &Blocks) -> Blocks {
        let Diagonals { level, count, .. } = *diagonals;
        assert!(level == inputs.level && count > 0);
        let (n_inputs, per_prime) = (inputs.count, self.degree() / BLOCK);
        let runs = count.div_ceil(n_inputs);
        let (from, to) = (2 * n_inputs * BLOCK, 2 * runs * BLOCK);
        let mut data = vec![0; level * per_prime * to];
        data.par_chunks_exact_mut(to).enumerate().for_each(|(at, out)| {
            let modulus = self.modulus(at / per_prime);
            let (x0, x1) = inputs.data[at * from..][..from].split_at(n_inputs * BLOCK);
            let plaintexts = diagonals.data[at * count * BLOCK..][..count * BLOCK].chunks(n_inputs * BLOCK);
            let (out0, out1) = out.split_at_mut(runs * BLOCK);
            let outs = out0.chunks_exact_mut(BLOCK).zip(out1.chunks_exact_mut(BLOCK));
            for (plaintexts, (out0, out1)) in plaintexts.zip(outs) {
                self.dispatch(
                    #[inline(always)]
                    || sum_data(modulus, plaintexts, [x0, x1], [out0, out1]),
                );
            }
        });
        let mut special = vec![0; per_prime * to];
        let p = self.special.p;
        special.par_chunks_exact_mut(to).enumerate().for_each(|(at, out)| {
            let (x0, x1) = inputs.special[at * from..][..from].split_at(n_inputs * BLOCK);
            let [low, high] =
                [&diagonals.low, &diagonals.high].map(|half| &half[at * count * BLOCK..][..count * BLOCK]);
            let (out0, out1) = out.split_at_mut(runs * BLOCK);
            let outs = out0.chunks_exact_mut(BLOCK).zip(out1.chunks_exact_mut(BLOCK));
            let halves = low.chunks(n_inputs * BLOCK).zip(high.chunks(n_inputs * BLOCK));
            for ((low, high), (out0, out1)) in halves.zip(outs) {
                for (x, out) in [(x0, out0), (x1, out1)] {
                    self.dispatch(
                        #[inline(always)]
                        || sum_special(p, [low, high], x, out),
                    );
                }
            }
        });
        Blocks { level, count: runs, data, special }
    }

    /// Adds two polynomials modulo `Q_L P`.
    pub(crate) fn add_extended(&self, to: &mut Extended, other: &Extended) {
        let n = self.degree();
        assert!(to.data.len() == other.data.len());
        for (i, (to, x)) in to.data.chunks_exact_mut(n).zip(other.data.chunks_exact(n)).enumerate() {
            let modulus = self.modulus(i);
            self.dispatch(
                #[inline(always)]
                || to.iter_mut().zip(x).for_each(|(to, x)| *to = modulus.add(*to, *x)),
            );
        }
        let p = self.special.p;
        self.dispatch(
            #[inline(always)]
            || {
                for (to, x) in to.special.iter_mut().zip(&other.special) {
                    let sum = to.wrapping_add(*x);
                    *to = sum.min(sum.wrapping_sub(p));
                }
            },
        );
    }
}

/// `out[i]`: the sum over `j` of `plaintexts[j][i] x[j][i]`, for two `x` at once, fully reduced.
#[inline(always)]
fn sum_data(modulus: Modulus, plaintexts: &[u32], [x0, x1]: [&[u32]; 2], [out0, out1]: [&mut [u32]; 2]) {
    for lane in (0..BLOCK).step_by(LANES) {
        let (mut total0, mut total1) = ([0u32; LANES], [0u32; LANES]);
        let terms = plaintexts.chunks(DATA_TERMS * BLOCK).zip(x0.chunks(DATA_TERMS * BLOCK));
        for ((plaintexts, x0), x1) in terms.zip(x1.chunks(DATA_TERMS * BLOCK)) {
            let (mut sum0, mut sum1) = ([0u64; LANES], [0u64; LANES]);
            let rows = plaintexts.chunks_exact(BLOCK).zip(x0.chunks_exact(BLOCK));
            for ((w, x0), x1) in rows.zip(x1.chunks_exact(BLOCK)) {
                let (w, x0, x1) = (&w[lane..][..LANES], &x0[lane..][..LANES], &x1[lane..][..LANES]);
                for i in 0..LANES {
                    sum0[i] = sum0[i].wrapping_add(u64::from(w[i]).wrapping_mul(u64::from(x0[i])));
                    sum1[i] = sum1[i].wrapping_add(u64::from(w[i]).wrapping_mul(u64::from(x1[i])));
                }
            }
            for i in 0..LANES {
                // A sum of 8 products below `q^2 < 2^60` reduces to less than 3 q.
                let [part0, part1] = [sum0[i], sum1[i]]
                    .map(|sum| Modulus::below(Modulus::below(modulus.reduce(sum), 2 * modulus.q), modulus.q));
                total0[i] = modulus.add(total0[i], part0);
                total1[i] = modulus.add(total1[i], part1);
            }
        }
        out0[lane..][..LANES].copy_from_slice(&total0);
        out1[lane..][..LANES].copy_from_slice(&total1);
    }
}

/// The same modulo the special prime, for one `x`, with the plaintexts in two halves.
#[inline(always)]
fn sum_special(p: u64, [low, high]: [&[u32]; 2], x: &[u64], out: &mut [u64]) {
    let inverse = (p as f64).recip();
    for lane in (0..BLOCK).step_by(LANES) {
        let mut total = [0u64; LANES];
        let terms = low.chunks(SPECIAL_TERMS * BLOCK).zip(high.chunks(SPECIAL_TERMS * BLOCK));
        for ((low, high), x) in terms.zip(x.chunks(SPECIAL_TERMS * BLOCK)) {
            let (mut lows, mut highs) = ([0u64; LANES], [0u64; LANES]);
            let rows = low.chunks_exact(BLOCK).zip(high.chunks_exact(BLOCK));
            for ((low, high), x) in rows.zip(x.chunks_exact(BLOCK)) {
                let (low, high, x) = (&low[lane..][..LANES], &high[lane..][..LANES], &x[lane..][..LANES]);
                for i in 0..LANES {
                    lows[i] = lows[i].wrapping_add(x[i].wrapping_mul(u64::from(low[i])));
                    highs[i] = highs[i].wrapping_add(x[i].wrapping_mul(u64::from(high[i])));
                }
            }
            for i in 0..LANES {
                // Both addends are below `2^58`.
                let high = remainder_by_float(p, inverse, highs[i]) << LOW_BITS;
                let sum = remainder_by_float(p, inverse, high)
                    .wrapping_add(remainder_by_float(p, inverse, lows[i]));
                let part = sum.min(sum.wrapping_sub(p)).wrapping_add(total[i]);
                total[i] = part.min(part.wrapping_sub(p));
            }
        }
        out[lane..][..LANES].copy_from_slice(&total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ParameterSet;

    /// Residues that reach both ends of each modulus.
    fn residues(seed: u64, modulus: u64) -> impl Iterator<Item = u64> {
        (0..).map(move |i: u64| match (i + seed) % 5 {
            0 => modulus - 1,
            _ => (i + 1).wrapping_mul(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) % modulus,
        })
    }

    #[test]
    fn agrees_with_wide_integers() {
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let (n, p) = (set.degree(), set.special_prime());
        for ring in [Ring::new(set), Ring::portable(set)] {
            for (level, count, n_inputs) in [(1, 1usize, 1usize), (2, 7, 3), (5, 77, 48), (3, 128, 128)] {
                let ciphertexts: Vec<[Extended; 2]> = (0..n_inputs as u64)
                    .map(|i| {
                        [2 * i, 2 * i + 1].map(|seed| {
                            let data = set.data_primes()[..level].iter();
                            Extended {
                                data: data
                                    .flat_map(|q| residues(seed, *q).take(n))
                                    .map(|x| x as u32)
                                    .collect(),
                                special: residues(seed, p).take(n).collect(),
                            }
                        })
                    })
                    .collect();
                let primes = [set.data_primes(), &[p]].concat();
                let plaintexts: Vec<Vec<u64>> = (0..count as u64)
                    .map(|i| primes.iter().flat_map(|q| residues(1000 + i, *q).take(n)).collect())
                    .collect();
                let encoded: Vec<_> =
                    plaintexts.iter().map(|x| Diagonal::from_seal(&ring, level, x)).collect();
                let diagonals = Diagonals::new(&ring, level, &encoded);
                let inputs = Blocks::gather(&ciphertexts, &vec![None; n_inputs]);
                let sums = ring.multiply_diagonals(&diagonals, &inputs);
                assert_eq!(sums.count, count.div_ceil(n_inputs));

                let mut out = [Extended::zero(&ring, level), Extended::zero(&ring, level)];
                for run in 0..sums.count {
                    sums.read(run, &mut out);
                    let plaintexts = &plaintexts[run * n_inputs..count.min((run + 1) * n_inputs)];
                    for (polynomial, out) in out.iter().enumerate() {
                        for prime in 0..=level {
                            let (at, q) =
                                if prime < level { (prime, primes[prime]) } else { (primes.len() - 1, p) };
                            let order =
                                if prime < level { &ring.data[prime].order } else { &ring.special.order };
                            let mut expected = vec![0u128; n];
                            for (w, c) in plaintexts.iter().zip(&ciphertexts) {
                                let mut own = vec![0; n];
                                order.read_seal(&w[at * n..][..n], &mut own);
                                let c = &c[polynomial];
                                for (i, (expected, w)) in expected.iter_mut().zip(own).enumerate() {
                                    let x = if prime < level {
                                        u64::from(c.data[prime * n + i])
                                    } else {
                                        c.special[i]
                                    };
                                    *expected += u128::from(w) * u128::from(x);
                                }
                            }
                            for (i, expected) in expected.into_iter().enumerate() {
                                let own = if prime < level {
                                    u64::from(out.data[prime * n + i])
                                } else {
                                    out.special[i]
                                };
                                assert_eq!(
                                    u128::from(own),
                                    expected % u128::from(q),
                                    "{level} {count} {prime} {i}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

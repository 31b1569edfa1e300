//! Key switching: what relinearization and rotations have in common.
//!
//! A switching key from `s'` to `s` is, for each data prime `j`, a ciphertext `(b_j, a_j)` modulo `Q P` with
//! `b_j + a_j s = P e_j s' + error`, where `e_j` is 1 modulo `q_j` and 0 modulo the other primes. To switch
//! `c s'`, decompose `c` into *digits* `d_j = [c]_{q_j}`, sum `d_j (b_j, a_j)` modulo `Q_L P`
//! ([`Ring::add_inner_product`]) and divide by `P` ([`Ring::mod_down`]). Hoisting is to decompose once for several keys.
//!
//! Digits are **centered**, in `(-q_j/2, q_j/2)`, where SEAL takes `[0, q_j)`. Both are right, but SEAL's have mean
//! `q_j / 2`, and the constant part of a digit meets the error of the key as `1 + X + ... + X^(N-1)`, which is
//! `2N / pi` in the first slot: about a hundred times the rest of the key-switching error there.

use crate::ring::modulus::Modulus;
use crate::ring::{Ring, Scratch};

/// Most digits of a decomposition: more would overflow the sums of [`Ring::add_inner_product`].
const MAX_DIGITS: usize = 8;
/// Bits of the lower half of a residue modulo the special prime.
pub(super) const LOW_BITS: u32 = 19;
/// Values summed at a time, in registers.
const LANES: usize = 32;

/// The digits of a polynomial, transformed, modulo each data prime and the special prime.
pub(crate) struct Digits {
    level: usize,
    /// `[prime][digit][N]`.
    data: Vec<u32>,
    /// `[digit][N]`.
    special: Vec<u64>,
}

/// A polynomial modulo `Q_L P`, transformed.
#[derive(Clone)]
pub(crate) struct Extended {
    /// `[prime][N]`.
    pub(crate) data: Vec<u32>,
    /// `[N]`.
    pub(crate) special: Vec<u64>,
}

/// A switching key, in the layout of the inner product.
pub(crate) struct SwitchKey {
    n_digits: usize,
    /// `[prime][polynomial][digit][N]`, in Montgomery form.
    data: Vec<u32>,
    /// `[polynomial][digit][N]`: the lower [`LOW_BITS`] bits modulo the special prime, and the rest.
    special_low: Vec<u32>,
    special_high: Vec<u32>,
}

impl Digits {
    /// Room for a decomposition at any level up to `level`.
    pub(crate) fn new(ring: &Ring, level: usize) -> Self {
        let n = ring.degree;
        Self { level, data: vec![0; level * level * n], special: vec![0; level * n] }
    }
}

impl Extended {
    /// Zero at `level`.
    pub(crate) fn zero(ring: &Ring, level: usize) -> Self {
        Self { data: vec![0; level * ring.degree], special: vec![0; ring.degree] }
    }
}

impl SwitchKey {
    /// Takes the `D` ciphertexts of a key as SEAL has them: each `[polynomial][prime][N]` over the data primes and
    /// then the special prime, in SEAL's order.
    pub(crate) fn from_seal(ring: &Ring, parts: &[Vec<u64>]) -> Self {
        let (n, n_digits) = (ring.degree, ring.n_primes());
        assert!(parts.len() == n_digits && n_digits <= MAX_DIGITS && ring.special.p < 1 << (2 * LOW_BITS));
        assert!(parts.iter().all(|part| part.len() == 2 * (n_digits + 1) * n));
        let mut own = vec![0; n];
        let mut data = Vec::with_capacity(n_digits * 2 * n_digits * n);
        for (prime, transform) in ring.data.iter().enumerate() {
            for (polynomial, part) in (0..2).flat_map(|polynomial| parts.iter().map(move |p| (polynomial, p)))
            {
                let from = &part[(polynomial * (n_digits + 1) + prime) * n..][..n];
                transform.order.read_seal(from, &mut own);
                data.extend(own.iter().map(|x| transform.modulus.montgomery(*x)));
            }
        }
        let (mut special_low, mut special_high) = (Vec::new(), Vec::new());
        for (polynomial, part) in (0..2).flat_map(|polynomial| parts.iter().map(move |p| (polynomial, p))) {
            let from = &part[(polynomial * (n_digits + 1) + n_digits) * n..][..n];
            ring.special.order.read_seal(from, &mut own);
            special_low.extend(own.iter().map(|x| (x & ((1 << LOW_BITS) - 1)) as u32));
            special_high.extend(own.iter().map(|x| (x >> LOW_BITS) as u32));
        }
        Self { n_digits, data, special_low, special_high }
    }
}

impl Ring {
    /// Decomposes a polynomial at `level`, `[level][N]`.
    pub(crate) fn decompose(
        &self,
        level: usize,
        polynomial: &[u32],
        digits: &mut Digits,
        scratch: &mut Scratch,
    ) {
        self.decompose_at(level, polynomial, digits, scratch, |q| q / 2);
    }

    /// With digits above `half(q)` taken as negative.
    pub(super) fn decompose_at(
        &self,
        level: usize,
        polynomial: &[u32],
        digits: &mut Digits,
        scratch: &mut Scratch,
        half: impl Fn(u32) -> u32,
    ) {
        let n = self.degree;
        assert!(polynomial.len() == level * n && digits.special.len() >= level * n);
        digits.level = level;
        let coefficients = &mut scratch.coefficients[..level * n];
        coefficients.copy_from_slice(polynomial);
        coefficients.chunks_exact_mut(n).enumerate().for_each(|(j, digit)| self.inverse(j, digit));
        for (i, row) in digits.data.chunks_exact_mut(level * n).take(level).enumerate() {
            for (j, digit) in row.chunks_exact_mut(n).enumerate() {
                if i == j {
                    digit.copy_from_slice(&polynomial[j * n..][..n]);
                } else {
                    self.lift(&coefficients[j * n..][..n], j, i, half(self.modulus(j).q), digit);
                    self.data[i].forward(digit);
                }
            }
        }
        for (j, digit) in digits.special.chunks_exact_mut(n).take(level).enumerate() {
            let q = self.modulus(j).q;
            let (half, shift) = (half(q), self.special.p - u64::from(q));
            let coefficients = &coefficients[j * n..][..n];
            self.dispatch(
                #[inline(always)]
                || {
                    for (digit, x) in digit.iter_mut().zip(coefficients) {
                        *digit = u64::from(*x).wrapping_add(if *x > half { shift } else { 0 });
                    }
                },
            );
            self.special.forward(digit);
        }
    }

    /// Adds the sum of `digit_j key_j` modulo `Q_L P`: both polynomials of a ciphertext times `P`, to be divided
    /// by [`Ring::mod_down`].
    pub(crate) fn add_inner_product(&self, digits: &Digits, key: &SwitchKey, out: &mut [Extended; 2]) {
        let (n, level, n_digits) = (self.degree, digits.level, key.n_digits);
        for (polynomial, out) in out.iter_mut().enumerate() {
            assert!(out.data.len() == level * n && out.special.len() == n);
            for (prime, out) in out.data.chunks_exact_mut(n).enumerate() {
                let digits = &digits.data[prime * level * n..][..level * n];
                let key = &key.data[(prime * 2 + polynomial) * n_digits * n..][..level * n];
                let modulus = self.modulus(prime);
                self.dispatch(
                    #[inline(always)]
                    || sum_of_products(modulus, digits, key, out),
                );
            }
            let digits = &digits.special[..level * n];
            let low = &key.special_low[polynomial * n_digits * n..][..level * n];
            let high = &key.special_high[polynomial * n_digits * n..][..level * n];
            let p = self.special.p;
            self.dispatch(
                #[inline(always)]
                || sum_of_wide_products(p, digits, low, high, &mut out.special),
            );
        }
    }

    /// Adds `P polynomial` to an extended one of the same level: it joins the sum before the division.
    pub(crate) fn add_times_special(&self, polynomial: &[u32], to: &mut Extended) {
        assert!(polynomial.len() == to.data.len());
        let n = self.degree;
        for (i, (to, x)) in to.data.chunks_exact_mut(n).zip(polynomial.chunks_exact(n)).enumerate() {
            let (modulus, factor) = (self.modulus(i), self.special_residues[i]);
            self.dispatch(
                #[inline(always)]
                || to.iter_mut().zip(x).for_each(|(to, x)| *to = modulus.add(*to, modulus.mul(*x, factor))),
            );
        }
    }

    /// Divides by `P`, rounded: `out` is `[level][N]`. The same integers as SEAL's.
    pub(crate) fn mod_down(&self, extended: &Extended, out: &mut [u32], scratch: &mut Scratch) {
        let n = self.degree;
        assert!(out.len() == extended.data.len());
        let half = self.shifted_special(extended, &mut scratch.wide);
        for (i, (data, out)) in extended.data.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            let modulus = self.modulus(i);
            let (lifted, wide) = (&mut scratch.second, &scratch.wide);
            let half = (half % u64::from(modulus.q)) as u32;
            self.dispatch(
                #[inline(always)]
                || {
                    for (lifted, x) in lifted.iter_mut().zip(wide) {
                        *lifted = modulus.sub(modulus.remainder(*x), half);
                    }
                },
            );
            self.data[i].forward(lifted);
            self.subtract_and_scale(modulus, self.special_inverses[i], data, lifted, out);
        }
    }

    /// Divides by `P` and by the last prime at once, rounded: [`Ring::mod_down`] and [`Ring::rescale`] with one
    /// rounding instead of two and fewer transforms. `out` is `[level - 1][N]`.
    pub(crate) fn mod_down_and_rescale(&self, extended: &Extended, out: &mut [u32], scratch: &mut Scratch) {
        let n = self.degree;
        let last = extended.data.len() / n - 1;
        assert!(extended.data.len() == (last + 1) * n && out.len() == last * n);
        let half = self.shifted_special(extended, &mut scratch.wide);
        let Scratch { first, second, wide, .. } = scratch;

        // The number modulo `P q`, in mixed radix: `a + P b` with `a` and `b` centered.
        first.copy_from_slice(&extended.data[last * n..]);
        self.inverse(last, first);
        let (modulus, inverse) = (self.modulus(last), self.special_inverses[last]);
        let half_here = (half % u64::from(modulus.q)) as u32;
        self.dispatch(
            #[inline(always)]
            || {
                for (b, a) in first.iter_mut().zip(&*wide) {
                    let a = modulus.sub(modulus.remainder(*a), half_here);
                    *b = modulus.mul(b.wrapping_sub(a).wrapping_add(modulus.q), inverse);
                }
            },
        );
        let half_of_last = modulus.q / 2;
        for (i, out) in out.chunks_exact_mut(n).enumerate() {
            let (modulus, special) = (self.modulus(i), self.special_residues[i]);
            let half_here = (half % u64::from(modulus.q)) as u32;
            let shift = modulus.q.wrapping_sub(self.modulus(last).q);
            self.dispatch(
                #[inline(always)]
                || {
                    for ((lifted, a), b) in second.iter_mut().zip(&*wide).zip(&*first) {
                        let b = if *b > half_of_last { b.wrapping_add(shift) } else { *b };
                        let a = modulus.sub(modulus.remainder(*a), half_here);
                        *lifted = modulus.add(a, modulus.mul(b, special));
                    }
                },
            );
            self.data[i].forward(second);
            let both = modulus.mul(self.special_inverses[i], self.inverses[last][i]);
            self.subtract_and_scale(modulus, both, &extended.data[i * n..][..n], second, out);
        }
    }

    /// The coefficients modulo `P` plus `P / 2`, reduced; returns `P / 2`. Subtracting it afterwards
    /// centers them.
    fn shifted_special(&self, extended: &Extended, wide: &mut [u64]) -> u64 {
        let p = self.special.p;
        wide.copy_from_slice(&extended.special);
        self.special.inverse(wide);
        let half = p / 2;
        self.dispatch(
            #[inline(always)]
            || {
                for x in wide.iter_mut() {
                    let shifted = x.wrapping_add(half);
                    *x = shifted.min(shifted.wrapping_sub(p));
                }
            },
        );
        half
    }
}

/// Adds to `out[i]` the sum over `j` of `a[j][i] b[j][i]`, with `b` in Montgomery form, fully reduced.
#[inline(always)]
fn sum_of_products(modulus: Modulus, a: &[u32], b: &[u32], out: &mut [u32]) {
    let n = out.len();
    for (block, out) in out.chunks_exact_mut(LANES).enumerate() {
        let mut sums = [0u64; LANES];
        for (a, b) in a.chunks_exact(n).zip(b.chunks_exact(n)) {
            let (a, b) = (&a[block * LANES..][..LANES], &b[block * LANES..][..LANES]);
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum = sum.wrapping_add(u64::from(*a).wrapping_mul(u64::from(*b)));
            }
        }
        // At most 8 products below `q^2 < 2^60` each: a sum below `2^63`, reduced to less than `3 q`.
        for (out, sum) in out.iter_mut().zip(sums) {
            let sum = modulus.reduce(sum).wrapping_add(*out);
            *out = Modulus::below(Modulus::below(sum, 2 * modulus.q), modulus.q);
        }
    }
}

/// The same modulo the special prime, with `b` in two halves.
#[inline(always)]
fn sum_of_wide_products(p: u64, a: &[u64], low: &[u32], high: &[u32], out: &mut [u64]) {
    let n = out.len();
    let inverse = (p as f64).recip();
    for (block, out) in out.chunks_exact_mut(LANES).enumerate() {
        let (mut lows, mut highs) = ([0u64; LANES], [0u64; LANES]);
        let digits = a.chunks_exact(n).zip(low.chunks_exact(n)).zip(high.chunks_exact(n));
        for ((a, low), high) in digits {
            let a = &a[block * LANES..][..LANES];
            let (low, high) = (&low[block * LANES..][..LANES], &high[block * LANES..][..LANES]);
            for (((x, y), a), (low, high)) in lows.iter_mut().zip(&mut highs).zip(a).zip(low.iter().zip(high))
            {
                *x = x.wrapping_add(a.wrapping_mul(u64::from(*low)));
                *y = y.wrapping_add(a.wrapping_mul(u64::from(*high)));
            }
        }
        // At most 8 products below `2^(38 + 19)`: sums below `2^60`.
        for (out, (low, high)) in out.iter_mut().zip(lows.into_iter().zip(highs)) {
            let high = remainder_by_float(p, inverse, high) << LOW_BITS;
            *out = remainder_by_float(p, inverse, high.wrapping_add(low).wrapping_add(*out));
        }
    }
}

/// `x` modulo `p`, for `x < 2^62` and `2^20 < p < 2^50`. The quotient, rounded in floating point, is off by less than
/// one, so the difference is within `(-p, p)`.
#[inline(always)]
pub(super) fn remainder_by_float(p: u64, inverse: f64, x: u64) -> u64 {
    /// Adding it leaves the rounded integer in the low bits of the mantissa.
    const TO_INTEGER: f64 = 4_503_599_627_370_496.0; // 2^52
    let quotient = (x as f64 * inverse + TO_INTEGER).to_bits() & ((1 << 52) - 1);
    let difference = x.wrapping_sub(quotient.wrapping_mul(p));
    difference.min(difference.wrapping_add(p))
}

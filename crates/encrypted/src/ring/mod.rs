//! The ring layer of the server's own kernels: residues of ciphertexts, transformed, and what relinearization,
//! rescaling and rotation do to them. It holds no secret; SEAL is the oracle that it is tested against.
//!
//! A polynomial at level `L` is `[prime][index]`, `L N` residues modulo the first `L` data primes, transformed, each
//! fully reduced. Inside, values are in the *own order* ([`transform`]); [`Ring::read_seal`] and
//! [`Ring::write_seal`] convert. Operations without mixing of indices (sums, products, scalars) do not care
//! about the order.
//!
//! Loops are plain Rust that [`pulp`] compiles for each instruction set and dispatches at run time: AVX-512 where the
//! machine has it, AVX2, or the portable build that the tests compare with. Nothing allocates but
//! constructors: callers keep a [`Scratch`] for each thread.

mod automorphism;
mod diagonals;
mod key_switch;
mod modulus;
mod transform;

use pulp::Arch;

pub(crate) use automorphism::Automorphism;
pub(crate) use diagonals::{Blocks, Diagonal, Diagonals};
pub(crate) use key_switch::{Digits, Extended, SwitchKey};
use modulus::Modulus;
use transform::{DataTransform, SpecialTransform};

use crate::params::ParameterSet;

/// Transforms and constants of a parameter set.
pub(crate) struct Ring {
    degree: usize,
    arch: Arch,
    data: Vec<DataTransform>,
    special: SpecialTransform,
    /// `inverses[l][i]`: `1 / q_l` modulo `q_i`, `i < l`, in Montgomery form, as are all constants.
    inverses: Vec<Vec<u32>>,
    /// `P` modulo `q_i`, and its inverse.
    special_residues: Vec<u32>,
    special_inverses: Vec<u32>,
}

/// Room for the intermediate polynomials of one thread.
pub(crate) struct Scratch {
    /// One polynomial modulo one prime each.
    pub(crate) first: Vec<u32>,
    pub(crate) second: Vec<u32>,
    pub(crate) wide: Vec<u64>,
    /// Coefficients modulo each data prime.
    pub(crate) coefficients: Vec<u32>,
}

impl Ring {
    pub(crate) fn new(set: ParameterSet) -> Self {
        let degree = set.degree();
        let primes = set.data_primes();
        let special = SpecialTransform::new(degree, set.special_prime());
        let data: Vec<_> = primes.iter().map(|q| DataTransform::new(degree, *q as u32)).collect();
        let inverses = primes
            .iter()
            .enumerate()
            .map(|(l, q)| data[..l].iter().map(|transform| transform.modulus.inverse(*q)).collect())
            .collect();
        Self {
            degree,
            arch: Arch::new(),
            inverses,
            special_residues: data.iter().map(|t| t.modulus.montgomery(special.p)).collect(),
            special_inverses: data.iter().map(|t| t.modulus.inverse(special.p)).collect(),
            data,
            special,
        }
    }

    /// The same ring without vector instructions in this module's loops: what the tests compare with.
    #[cfg(test)]
    pub(crate) fn portable(set: ParameterSet) -> Self {
        Self { arch: Arch::Scalar, ..Self::new(set) }
    }

    /// The ring degree `N`.
    pub(crate) fn degree(&self) -> usize {
        self.degree
    }

    /// How many data primes there are.
    pub(crate) fn n_primes(&self) -> usize {
        self.data.len()
    }

    /// Arithmetic modulo data prime `i`.
    pub(crate) fn modulus(&self, i: usize) -> Modulus {
        self.data[i].modulus
    }

    /// Runs `operation` compiled for the machine's instruction set. Mark closures `#[inline(always)]`.
    #[inline(always)]
    pub(crate) fn dispatch<R>(&self, operation: impl FnOnce() -> R) -> R {
        self.arch.dispatch(operation)
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch {
            first: vec![0; self.degree],
            second: vec![0; self.degree],
            wide: vec![0; self.degree],
            coefficients: vec![0; self.n_primes() * self.degree],
        }
    }

    /// Copies a polynomial, `[prime][index]`, from SEAL's order to the own one.
    pub(crate) fn read_seal(&self, from: &[u32], to: &mut [u32]) {
        let polynomials = from.chunks_exact(self.degree).zip(to.chunks_exact_mut(self.degree));
        polynomials.zip(&self.data).for_each(|((from, to), prime)| prime.order.read_seal(from, to));
    }

    /// Copies a polynomial, `[prime][index]`, from the own order to SEAL's.
    pub(crate) fn write_seal(&self, from: &[u32], to: &mut [u32]) {
        let polynomials = from.chunks_exact(self.degree).zip(to.chunks_exact_mut(self.degree));
        polynomials.zip(&self.data).for_each(|((from, to), prime)| prime.order.write_seal(from, to));
    }

    /// Divides a polynomial at `level` by its last prime, rounded, and drops the prime: `polynomial` is
    /// `[level][N]`, `out` `[level - 1][N]`. The same integers as SEAL's.
    pub(crate) fn rescale(&self, level: usize, polynomial: &[u32], out: &mut [u32], scratch: &mut Scratch) {
        let (n, last) = (self.degree, level - 1);
        assert!(polynomial.len() == level * n && out.len() == last * n);
        let coefficients = &mut scratch.first;
        coefficients.copy_from_slice(&polynomial[last * n..]);
        self.inverse(last, coefficients);
        for i in 0..last {
            self.lift(coefficients, last, i, self.data[last].modulus.q / 2, &mut scratch.second);
            self.data[i].forward(&mut scratch.second);
            let (modulus, inverse) = (self.modulus(i), self.inverses[last][i]);
            let (polynomial, out) = (&polynomial[i * n..][..n], &mut out[i * n..][..n]);
            self.subtract_and_scale(modulus, inverse, polynomial, &scratch.second, out);
        }
    }

    /// The product of two ciphertexts at one level: its first two polynomials, times `P`, replace `sums`, to meet
    /// the switched third there; the third, which belongs to the square of the key, replaces `third`.
    pub(crate) fn tensor(
        &self,
        [a0, a1]: [&[u32]; 2],
        [b0, b1]: [&[u32]; 2],
        sums: &mut [Extended; 2],
        third: &mut [u32],
    ) {
        let n = self.degree;
        assert!([a0, a1, b0, b1, &sums[0].data, &sums[1].data].iter().all(|p| p.len() == third.len()));
        for (i, third) in third.chunks_exact_mut(n).enumerate() {
            let [a0, a1, b0, b1] = [a0, a1, b0, b1].map(|polynomial| &polynomial[i * n..][..n]);
            let [s0, s1] = &mut *sums;
            let (s0, s1) = (&mut s0.data[i * n..][..n], &mut s1.data[i * n..][..n]);
            let modulus = self.modulus(i);
            let special = modulus.to_montgomery(self.special_residues[i]);
            self.dispatch(
                #[inline(always)]
                || {
                    for j in 0..n {
                        let (pa0, pa1) = (modulus.mul(a0[j], special), modulus.mul(a1[j], special));
                        s0[j] = modulus.mul(b0[j], pa0);
                        s1[j] = modulus.add(modulus.mul(b1[j], pa0), modulus.mul(b0[j], pa1));
                        third[j] = modulus.mul(b1[j], modulus.to_montgomery(a1[j]));
                    }
                },
            );
        }
        sums.iter_mut().for_each(|sum| sum.special.fill(0));
    }

    /// Adds a polynomial modulo the same primes.
    pub(crate) fn add_polynomial(&self, to: &mut [u32], polynomial: &[u32]) {
        let rows = to.chunks_exact_mut(self.degree).zip(polynomial.chunks_exact(self.degree));
        for (i, (to, x)) in rows.enumerate() {
            let modulus = self.modulus(i);
            self.dispatch(
                #[inline(always)]
                || to.iter_mut().zip(x).for_each(|(to, x)| *to = modulus.add(*to, *x)),
            );
        }
    }

    /// Adds the same number, given modulo each prime, to each value.
    pub(crate) fn add_constant(&self, polynomial: &mut [u32], residues: &[u32]) {
        for (i, (values, x)) in polynomial.chunks_exact_mut(self.degree).zip(residues).enumerate() {
            let modulus = self.modulus(i);
            self.dispatch(
                #[inline(always)]
                || values.iter_mut().for_each(|value| *value = modulus.add(*value, *x)),
            );
        }
    }

    /// Values modulo data prime `i` to coefficients.
    pub(crate) fn inverse(&self, i: usize, polynomial: &mut [u32]) {
        let transform = &self.data[i];
        transform.inverse_times_degree(polynomial);
        let (modulus, factor) = (transform.modulus, transform.inverse_degree());
        self.dispatch(
            #[inline(always)]
            || polynomial.iter_mut().for_each(|x| *x = modulus.mul(*x, factor)),
        );
    }

    /// Coefficients modulo data prime `from`, as signed numbers, modulo data prime `to`: those over `half`
    /// stand for themselves minus the prime. Centered digits have `half = q / 2`.
    fn lift(&self, coefficients: &[u32], from: usize, to: usize, half: u32, out: &mut [u32]) {
        let q = self.modulus(to).q;
        let shift = q.wrapping_sub(self.modulus(from).q);
        self.dispatch(
            #[inline(always)]
            || {
                for (out, x) in out.iter_mut().zip(coefficients) {
                    *out = Modulus::below(if *x > half { x.wrapping_add(shift) } else { *x }, q);
                }
            },
        );
    }

    /// `out = (a - b) factor`, with `factor` in Montgomery form.
    fn subtract_and_scale(&self, modulus: Modulus, factor: u32, a: &[u32], b: &[u32], out: &mut [u32]) {
        self.dispatch(
            #[inline(always)]
            || {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = modulus.mul(a.wrapping_sub(*b).wrapping_add(modulus.q), factor);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests;

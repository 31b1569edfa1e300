//! The number-theoretic transform modulo one prime, and the order of its values.
//!
//! Modulo `q`, a polynomial of degree below `N` is given by its values at the `N` primitive `2N`-th roots of
//! unity. SEAL and `tfhe-ntt` both put the value at `root^(2 br(i) + 1)` at index `i`, where `br` reverses
//! `log2 N` bits, but SEAL takes the smallest root, `tfhe-ntt` another one, different for each prime. Inside
//! [`crate::ring`] residues are in the latter's order, the *own order*; [`Order`] converts at the borders. In the own
//! order an automorphism is the same permutation for all primes.

use std::collections::HashMap;

use tfhe_ntt::{prime32, prime64};

use crate::ring::modulus::Modulus;

/// The permutation between SEAL's order and the own one, for one prime.
pub(crate) struct Order {
    seal_of_own: Vec<u16>,
    own_of_seal: Vec<u16>,
}

impl Order {
    /// Compares the roots: `roots[i]` is the value at index `i` of the own transform of `X`.
    fn new(roots: &[u64], q: u64) -> Self {
        let n = roots.len();
        assert!(n.is_power_of_two() && n <= 1 << 16);
        let own: HashMap<u64, u16> = roots.iter().enumerate().map(|(i, root)| (*root, i as u16)).collect();
        let smallest = roots.iter().copied().min().unwrap_or(1);
        let square = (u128::from(smallest) * u128::from(smallest) % u128::from(q)) as u64;
        let mut seal_of_own = vec![0; n];
        let mut own_of_seal = vec![0; n];
        let mut root = smallest;
        for i in 0..n {
            let seal = bit_reverse(i, n);
            let own = own[&root];
            own_of_seal[seal] = own;
            seal_of_own[usize::from(own)] = seal as u16;
            root = (u128::from(root) * u128::from(square) % u128::from(q)) as u64;
        }
        Self { seal_of_own, own_of_seal }
    }

    /// Copies a polynomial in SEAL's order to the own one.
    pub(crate) fn read_seal<T: Copy>(&self, from: &[T], to: &mut [T]) {
        gather(&self.seal_of_own, from, to);
    }

    /// Copies a polynomial in the own order to SEAL's.
    pub(crate) fn write_seal<T: Copy>(&self, from: &[T], to: &mut [T]) {
        gather(&self.own_of_seal, from, to);
    }
}

/// `to[i] = from[table[i]]`.
pub(super) fn gather<T: Copy>(table: &[u16], from: &[T], to: &mut [T]) {
    assert!(from.len() == table.len() && to.len() == table.len());
    to.iter_mut().zip(table).for_each(|(to, index)| *to = from[usize::from(*index)]);
}

/// Reverses the low `log2 n` bits of `i`.
pub(super) fn bit_reverse(i: usize, n: usize) -> usize {
    if n == 1 { 0 } else { i.reverse_bits() >> (usize::BITS - n.trailing_zeros()) }
}

/// The transform modulo a data prime.
pub(crate) struct DataTransform {
    plan: prime32::Plan,
    pub(crate) modulus: Modulus,
    pub(crate) order: Order,
    /// `1 / N` in Montgomery form.
    inverse_degree: u32,
}

impl DataTransform {
    /// # Panics
    /// Unless `q` is a prime with `q = 1` modulo `2 degree`, as those of each parameter set are.
    pub(crate) fn new(degree: usize, q: u32) -> Self {
        let plan = prime32::Plan::try_new(degree, q).expect("a prime of a parameter set");
        let mut roots = monomial(degree).map(|x| x as u32).collect::<Vec<_>>();
        plan.fwd(&mut roots);
        let roots: Vec<u64> = roots.into_iter().map(u64::from).collect();
        let modulus = Modulus::new(q);
        let inverse_degree = modulus.inverse(degree as u64);
        Self { plan, modulus, order: Order::new(&roots, u64::from(q)), inverse_degree }
    }

    /// Coefficients to values.
    pub(crate) fn forward(&self, polynomial: &mut [u32]) {
        self.plan.fwd(polynomial);
    }

    /// Values to `N` times the coefficients: the caller multiplies by [`Self::inverse_degree`].
    pub(super) fn inverse_times_degree(&self, polynomial: &mut [u32]) {
        self.plan.inv(polynomial);
    }

    /// `1 / N` in Montgomery form.
    pub(super) fn inverse_degree(&self) -> u32 {
        self.inverse_degree
    }
}

/// The transform modulo the special prime.
pub(crate) struct SpecialTransform {
    plan: prime64::Plan,
    pub(crate) p: u64,
    pub(crate) order: Order,
}

impl SpecialTransform {
    /// # Panics
    /// As [`DataTransform::new`].
    pub(crate) fn new(degree: usize, p: u64) -> Self {
        let plan = prime64::Plan::try_new(degree, p).expect("a prime of a parameter set");
        let mut roots: Vec<u64> = monomial(degree).collect();
        plan.fwd(&mut roots);
        Self { plan, p, order: Order::new(&roots, p) }
    }

    /// Coefficients to values.
    pub(crate) fn forward(&self, polynomial: &mut [u64]) {
        self.plan.fwd(polynomial);
    }

    /// Values to coefficients.
    pub(crate) fn inverse(&self, polynomial: &mut [u64]) {
        self.plan.inv(polynomial);
        self.plan.normalize(polynomial);
    }
}

/// The coefficients of `X`.
fn monomial(degree: usize) -> impl Iterator<Item = u64> {
    (0..degree).map(|i| u64::from(i == 1))
}

//! Galois automorphisms of transformed polynomials: rotations and conjugation are permutations of values.

use crate::ring::transform::{bit_reverse, gather};

/// The automorphism `X -> X^element`, for any prime, in the own order and in SEAL's alike.
///
/// Index `i` holds the value at `root^(2 br(i) + 1)`, so `a(X^g)` has there what `a` has at the index of
/// `root^(g (2 br(i) + 1))`.
pub(crate) struct Automorphism {
    table: Vec<u16>,
}

impl Automorphism {
    /// `element` is odd and below `2 degree`.
    pub(crate) fn new(degree: usize, element: usize) -> Self {
        assert!(element % 2 == 1 && element < 2 * degree && degree <= 1 << 16);
        let source = |i: usize| (element * (2 * bit_reverse(i, degree) + 1) % (2 * degree)) >> 1;
        Self { table: (0..degree).map(|i| bit_reverse(source(i), degree) as u16).collect() }
    }

    /// Values `start ..` of a polynomial modulo one prime, as many as `to` takes.
    pub(crate) fn apply_from<T: Copy>(&self, start: usize, from: &[T], to: &mut [T]) {
        let table = &self.table[start..][..to.len()];
        to.iter_mut().zip(table).for_each(|(to, index)| *to = from[usize::from(*index)]);
    }

    /// Applies it to a polynomial modulo any number of primes, `[prime][index]`.
    pub(crate) fn apply<T: Copy>(&self, from: &[T], to: &mut [T]) {
        let n = self.table.len();
        assert!(from.len() == to.len() && from.len().is_multiple_of(n));
        from.chunks_exact(n).zip(to.chunks_exact_mut(n)).for_each(|(from, to)| gather(&self.table, from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ParameterSet;
    use crate::record_major::layout::galois_element;
    use crate::ring::Ring;

    /// `a(X^g)` by its definition, on coefficients.
    fn definition(coefficients: &[u32], element: usize, q: u32) -> Vec<u32> {
        let n = coefficients.len();
        let mut out = vec![0; n];
        for (i, x) in coefficients.iter().enumerate() {
            let exponent = i * element % (2 * n);
            out[exponent % n] = if exponent < n || *x == 0 { *x } else { q - x };
        }
        out
    }

    #[test]
    fn permutes_values_as_it_maps_coefficients() {
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let (ring, n) = (Ring::new(set), set.degree());
        let rotations = [0, 1, 7, 511].map(|steps| galois_element(n / 2, steps) as usize);
        assert_eq!(rotations[..2], [1, 3]);
        for element in rotations.into_iter().chain([2 * n - 1]) {
            let automorphism = Automorphism::new(n, element);
            for prime in 0..set.data_primes().len() {
                let q = ring.modulus(prime).q;
                let coefficients: Vec<u32> =
                    (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761) % q).collect();
                let mut expected = definition(&coefficients, element, q);
                ring.data[prime].forward(&mut expected);
                let mut values = coefficients;
                ring.data[prime].forward(&mut values);
                let mut out = vec![0; n];
                automorphism.apply(&values, &mut out);
                assert_eq!(out, expected);
            }
        }
    }
}

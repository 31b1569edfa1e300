//! The ring layer at work: seeds expanded without SEAL, the activation with relinearization and rescaling
//! in one division.

use std::sync::{Mutex, PoisonError};

use super::Operations;
use crate::error::Result;
use crate::expand;
use crate::message::EvaluationKeys;
use crate::plan::EvaluationPlan;
use crate::plan::fold::Core;
use crate::ring::{Digits, Extended, Ring, Scratch, SwitchKey};
use crate::seal::wire::Seed;

/// Operations through [`crate::ring`], whose own order residues are in.
pub(super) struct Native {
    ring: Ring,
    key: SwitchKey,
    primes: Vec<u64>,
    input_level: usize,
    /// For a cubic: the constant `k` at the scale of `u^2`, modulo each prime.
    linear: Option<Vec<u32>>,
    /// Rooms that no thread is in.
    rooms: Mutex<Vec<Room>>,
}

/// Everything that one activation writes to.
struct Room {
    scratch: Scratch,
    /// `u` and `u^2`, `[polynomial][prime][index]`.
    u: Vec<u32>,
    square: Vec<u32>,
    /// The third polynomial of a product.
    third: Vec<u32>,
    digits: Digits,
    /// For each level from 0: the other two polynomials, times `P`, and the switched third.
    sums: Vec<[Extended; 2]>,
}

impl Native {
    pub(super) fn new(plan: &EvaluationPlan, keys: &EvaluationKeys) -> Self {
        let contract = plan.contract();
        let set = contract.parameter_set();
        let ring = Ring::new(set);
        let primes = [set.data_primes(), &[set.special_prime()]].concat();
        let parts: Vec<Vec<u64>> = keys
            .relinearization()
            .iter()
            .map(|(c0, seed)| [&c0[..], &expand::polynomial(&seed.bytes, &primes, set.degree())].concat())
            .collect();
        let linear = match plan.core() {
            Core::Square => None,
            Core::Cube { linear } => {
                let constant = (linear * plan.levels().scales.square).round() as i128;
                let residue = |q: &u64| constant.rem_euclid(i128::from(*q)) as u32;
                Some(set.data_primes().iter().map(residue).collect())
            }
        };
        Self {
            key: SwitchKey::from_seal(&ring, &parts),
            primes: set.data_primes()[..contract.input_level()].to_vec(),
            input_level: contract.input_level(),
            linear,
            rooms: Mutex::default(),
            ring,
        }
    }

    /// Runs `work` in a free room, or a new one.
    fn with_room<R>(&self, work: impl FnOnce(&mut Room) -> R) -> R {
        let free = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut room = free.unwrap_or_else(|| self.new_room());
        let result = work(&mut room);
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
        result
    }

    fn new_room(&self) -> Room {
        let (ring, level) = (&self.ring, self.input_level - 1);
        let polynomials = |count: usize| vec![0; count * level * ring.degree()];
        Room {
            scratch: ring.scratch(),
            u: polynomials(2),
            square: polynomials(2),
            third: polynomials(1),
            digits: Digits::new(ring, level),
            sums: (0..=level).map(|level| [(); 2].map(|()| Extended::zero(ring, level))).collect(),
        }
    }

    fn rescaled_product(&self, product: &[u32], u: &mut [u32], scratch: &mut Scratch) {
        let (level, n) = (self.input_level, self.ring.degree());
        let polynomials = product.chunks_exact(level * n).zip(u.chunks_exact_mut((level - 1) * n));
        polynomials.for_each(|(from, to)| self.ring.rescale(level, from, to, scratch));
    }
}

impl Operations for Native {
    fn expand(&self, c0: &[u32], seed: &Seed) -> Result<Vec<u32>> {
        let ring = &self.ring;
        let mut ciphertext = vec![0; 2 * c0.len()];
        let (first, second) = ciphertext.split_at_mut(c0.len());
        ring.read_seal(c0, first);
        let c1 = expand::polynomial(&seed.bytes, &self.primes, ring.degree());
        let c1: Vec<u32> = c1.into_iter().map(|residue| residue as u32).collect();
        ring.read_seal(&c1, second);
        Ok(ciphertext)
    }

    fn activate(&self, product: &[u32]) -> Result<Vec<u32>> {
        let (ring, n, level) = (&self.ring, self.ring.degree(), self.input_level - 1);
        Ok(self.with_room(|room| {
            let Room { scratch, u, square, third, digits, sums } = room;
            self.rescaled_product(product, u, scratch);
            let mut multiply = |level: usize, a: [&[u32]; 2], b: [&[u32]; 2], out: &mut [u32]| {
                let (sums, third) = (&mut sums[level], &mut third[..level * n]);
                ring.tensor(a, b, sums, third);
                ring.decompose(level, third, digits, scratch);
                ring.add_inner_product(digits, &self.key, sums);
                for (sum, out) in sums.iter().zip(out.chunks_exact_mut((level - 1) * n)) {
                    ring.mod_down_and_rescale(sum, out, scratch);
                }
            };
            let whole = halves(u, level * n);
            let Some(linear) = &self.linear else {
                let mut activated = vec![0; 2 * (level - 1) * n];
                multiply(level, whole, whole, &mut activated);
                return activated;
            };
            let square = &mut square[..2 * (level - 1) * n];
            multiply(level, whole, whole, square);
            ring.add_constant(&mut square[..(level - 1) * n], linear);
            let mut activated = vec![0; 2 * (level - 2) * n];
            // The last prime of `u` is dropped without dividing.
            let dropped = whole.map(|polynomial| &polynomial[..(level - 1) * n]);
            multiply(level - 1, halves(square, (level - 1) * n), dropped, &mut activated);
            activated
        }))
    }

    fn finish(&self, ciphertext: Vec<u32>) -> Vec<u32> {
        let mut seal = vec![0; ciphertext.len()];
        let half = ciphertext.len() / 2;
        ciphertext.chunks_exact(half).zip(seal.chunks_exact_mut(half)).for_each(|(from, to)| {
            self.ring.write_seal(from, to);
        });
        seal
    }
}

fn halves(ciphertext: &[u32], length: usize) -> [&[u32]; 2] {
    let (first, second) = ciphertext.split_at(length);
    [first, second]
}

//! The ring layer against SEAL, and its vector build against its portable one.

use super::*;
use crate::expand;
use crate::seal::ckks::{
    Ciphertext, Context, Decryptor, Encoder, Encryptor, Evaluator, RelinKeys, SecretKey,
};
use crate::seal::wire::{self, Level};
use crate::testkit::Normal;

const SETS: [ParameterSet; 4] = [
    ParameterSet::InsecureN1024Q30x5P38,
    ParameterSet::N8192Q30x5P38,
    ParameterSet::N8192Q25x5P31,
    ParameterSet::N8192Q28x6P34,
];

/// SEAL with a key, for one parameter set.
struct Oracle {
    set: ParameterSet,
    context: Context,
    key: SecretKey,
    relin: RelinKeys,
    /// The same keys, their seeds expanded by [`expand`].
    parts: Vec<Vec<u64>>,
    encoder: Encoder,
    evaluator: Evaluator,
    scale: f64,
}

impl Oracle {
    fn new(set: ParameterSet) -> Self {
        let context = Context::new(set).unwrap();
        let (key, relin) = SecretKey::generate(&context).unwrap();
        let parts = wire::parse_keys(&context, &relin).unwrap();
        let primes = [set.data_primes(), &[set.special_prime()]].concat();
        let expanded = parts
            .iter()
            .map(|(c0, seed)| [&c0[..], &expand::polynomial(&seed.bytes, &primes, set.degree())].concat());
        Self {
            parts: expanded.collect(),
            set,
            relin: RelinKeys::load(&context, &wire::keys_bytes(&context, &parts)).unwrap(),
            encoder: Encoder::new(&context).unwrap(),
            evaluator: Evaluator::new(&context).unwrap(),
            scale: *set.data_primes().last().unwrap() as f64,
            key,
            context,
        }
    }

    fn switch_key(&self, ring: &Ring) -> SwitchKey {
        SwitchKey::from_seal(ring, &self.parts)
    }

    /// Random numbers and their encryption at `level`, residues in SEAL's order.
    fn fresh(&self, level: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
        let mut normal = Normal::new(seed);
        let values: Vec<f64> = (0..self.set.slots()).map(|_| normal.next()).collect();
        let plain = self.encoder.encode(&self.context, &values, level, self.scale).unwrap();
        let bytes = Encryptor::new(&self.context, &self.key).unwrap().encrypt_seeded(&plain).unwrap();
        (values, self.residues(&Ciphertext::load(&self.context, &bytes).unwrap(), level))
    }

    fn residues(&self, ciphertext: &Ciphertext, level: usize) -> Vec<u32> {
        wire::parse_full(&self.context, Level::Data(level), &ciphertext.save().unwrap()).unwrap()
    }

    fn load(&self, level: usize, scale: f64, residues: &[u32]) -> Ciphertext {
        let bytes = wire::full_bytes(&self.context, Level::Data(level), scale, residues);
        Ciphertext::load(&self.context, &bytes).unwrap()
    }

    fn decrypt(&self, level: usize, scale: f64, residues: &[u32]) -> Vec<f64> {
        let mut decryptor = Decryptor::new(&self.context, &self.key).unwrap();
        let plain = decryptor.decrypt(&self.load(level, scale, residues)).unwrap();
        self.encoder.decode(&plain).unwrap()
    }
}

fn rings(set: ParameterSet) -> [Ring; 2] {
    [Ring::new(set), Ring::portable(set)]
}

/// Applies an operation on polynomials in the own order to a ciphertext in SEAL's.
fn by_polynomial(
    ring: &Ring,
    ciphertext: &[u32],
    out_level: usize,
    f: impl Fn(&[u32], &mut [u32]),
) -> Vec<u32> {
    let (half, n) = (ciphertext.len() / 2, ring.degree());
    let mut result = vec![0; 2 * out_level * n];
    for (from, to) in ciphertext.chunks_exact(half).zip(result.chunks_exact_mut(out_level * n)) {
        let (mut own, mut out) = (vec![0; half], vec![0; out_level * n]);
        ring.read_seal(from, &mut own);
        f(&own, &mut out);
        ring.write_seal(&out, to);
    }
    result
}

/// `[c0^2, 2 c0 c1, c1^2]` modulo each prime, by the definition.
fn tensor_square(ring: &Ring, level: usize, ciphertext: &[u32]) -> [Vec<u32>; 3] {
    let (c0, c1) = ciphertext.split_at(ciphertext.len() / 2);
    let product = |a: &[u32], b: &[u32], factor: u64| -> Vec<u32> {
        let n = ring.degree();
        (0..level * n)
            .map(|i| {
                let q = u64::from(ring.modulus(i / n).q);
                (u64::from(a[i]) * u64::from(b[i]) % q * factor % q) as u32
            })
            .collect()
    };
    [product(c0, c0, 1), product(c0, c1, 2), product(c1, c1, 1)]
}

/// Relinearizes with the digits that `half` chooses and divides by the special prime.
fn relinearize(
    ring: &Ring,
    key: &SwitchKey,
    level: usize,
    [d0, d1, d2]: &[Vec<u32>; 3],
    half: impl Fn(u32) -> u32,
) -> Vec<u32> {
    let mut scratch = ring.scratch();
    let mut digits = Digits::new(ring, level);
    let mut sums = [Extended::zero(ring, level), Extended::zero(ring, level)];
    let own = |seal: &[u32]| {
        let mut own = vec![0; seal.len()];
        ring.read_seal(seal, &mut own);
        own
    };
    ring.decompose_at(level, &own(d2), &mut digits, &mut scratch, half);
    ring.add_inner_product(&digits, key, &mut sums);
    let mut result = Vec::new();
    for (sum, d) in sums.iter_mut().zip([d0, d1]) {
        ring.add_times_special(&own(d), sum);
        let (mut out, mut seal) = (vec![0; d.len()], vec![0; d.len()]);
        ring.mod_down(sum, &mut out, &mut scratch);
        ring.write_seal(&out, &mut seal);
        result.extend(seal);
    }
    result
}

#[test]
fn rescaling_gives_the_residues_of_seal() {
    for set in SETS {
        let oracle = Oracle::new(set);
        for level in 2..=set.data_primes().len() {
            let (_, fresh) = oracle.fresh(level, level as u64);
            let mut seal = oracle.load(level, oracle.scale, &fresh);
            oracle.evaluator.rescale(&mut seal).unwrap();
            let expected = oracle.residues(&seal, level - 1);
            for ring in rings(set) {
                let rescaled = by_polynomial(&ring, &fresh, level - 1, |from, to| {
                    ring.rescale(level, from, to, &mut ring.scratch());
                });
                assert!(rescaled == expected, "{set}, level {level}");
            }
        }
    }
}

#[test]
fn relinearizing_with_unsigned_digits_gives_the_residues_of_seal() {
    for set in SETS {
        let oracle = Oracle::new(set);
        for level in 2..=set.data_primes().len() {
            let (_, fresh) = oracle.fresh(level, 5 + level as u64);
            let seal = oracle.load(level, 2.0, &fresh);
            let square = oracle.evaluator.square(&seal, &oracle.relin).unwrap();
            let expected = oracle.residues(&square, level);
            for ring in rings(set) {
                let tensor = tensor_square(&ring, level, &fresh);
                let key = oracle.switch_key(&ring);
                let own = relinearize(&ring, &key, level, &tensor, |_| u32::MAX);
                assert!(own == expected, "{set}, level {level}");
            }
        }
    }
}

#[test]
fn relinearizing_with_centered_digits_decrypts_alike() {
    for set in SETS {
        let oracle = Oracle::new(set);
        let level = set.data_primes().len();
        let (values, fresh) = oracle.fresh(level, 9);
        for ring in rings(set) {
            let tensor = tensor_square(&ring, level, &fresh);
            let product = relinearize(&ring, &oracle.switch_key(&ring), level, &tensor, |q| q / 2);
            let decrypted = oracle.decrypt(level, oracle.scale.powi(2), &product);
            for (own, x) in decrypted.iter().zip(&values) {
                assert!((own - x * x).abs() < 1e-3, "{set}: {own} {}", x * x);
            }
        }
    }
}

#[test]
fn one_division_rounds_like_two_within_one_unit() {
    for set in SETS {
        let ring = Ring::new(set);
        let (n, level) = (ring.degree(), set.data_primes().len());
        let mut normal = Normal::new(3);
        let mut random = |bound: u64| (normal.next().abs() * 1e18) as u64 % bound;
        let mut sum = Extended::zero(&ring, level);
        for (i, row) in sum.data.chunks_exact_mut(n).enumerate() {
            row.iter_mut().for_each(|x| *x = random(u64::from(ring.modulus(i).q)) as u32);
        }
        sum.special.iter_mut().for_each(|x| *x = random(set.special_prime()));
        let mut scratch = ring.scratch();
        let (mut at_once, mut down) = (vec![0; (level - 1) * n], vec![0; level * n]);
        ring.mod_down_and_rescale(&sum, &mut at_once, &mut scratch);
        let mut portable = at_once.clone();
        Ring::portable(set).mod_down_and_rescale(&sum, &mut portable, &mut scratch);
        assert!(portable == at_once);
        let mut in_turn = at_once.clone();
        ring.mod_down(&sum, &mut down, &mut scratch);
        ring.rescale(level, &down, &mut in_turn, &mut scratch);
        for i in 0..level - 1 {
            let modulus = ring.modulus(i);
            let (a, b) = (&mut at_once[i * n..][..n], &mut in_turn[i * n..][..n]);
            ring.inverse(i, a);
            ring.inverse(i, b);
            for (a, b) in a.iter().zip(&*b) {
                let difference = modulus.sub(*a, *b);
                assert!(difference <= 1 || difference == modulus.q - 1, "{set}: {difference}");
            }
        }
    }
}

//! The bytes that SEAL 4.0 reads and writes without compression, little endian.
//!
//! SEAL 4.0 predates the hardening of its deserialization, so it only ever reads bytes that this module
//! made from checked residues, and this module only ever reads bytes that SEAL wrote in this process.
//!
//! | ciphertext offset | field |
//! | --- | --- |
//! | 0 | header: magic `5e a1`, size `10`, version `04 00`, compression `00`, `00 00`, total size u64 |
//! | 16 | level id, 4 x u64 |
//! | 48 | NTT form u8 (1) |
//! | 49, 57, 65 | polynomials (2), ring degree, primes: u64 each |
//! | 73, 81 | scale f64, correction factor u64 (1) |
//! | 89 | header of the array, 16 bytes |
//! | 105 | number of words u64 |
//! | 113 | residues u64, word `(polynomial * primes + prime) * N + i` |
//! | after half of the words, if seeded | header of the generator (size 81), kind u8, seed of 64 bytes |
//!
//! Switching keys: header, key level id, number of sets u64, and for each set the number of its ciphertexts u64 (0, or the
//! number of data primes) and these ciphertexts, at the key level. There is one set of relinearization keys. Of Galois
//! keys there are `N`, most of them empty; that of element `g` is number `(g - 1) / 2`.
//!
//! Secret key: header, key level id, number of words u64, scale f64 (1), header of the array, number of words
//! u64 at offset 80, then residues u64 `[prime][i]` of all data primes and the special prime.

use zeroize::Zeroizing;

use crate::error::{EncryptedError, Result};
use crate::seal::ckks::Context;

/// Bytes before a ciphertext's residues.
const PREFIX: usize = 113;
/// Bytes of a serialized seed: header, kind, seed.
const SEED_BYTES: usize = 16 + 1 + 64;
/// Bytes before the sets of switching keys.
const SETS_PREFIX: usize = 16 + 32 + 8;
/// Bytes before a plaintext's residues. A secret key is a plaintext at the key level.
const PLAIN_PREFIX: usize = 16 + 32 + 8 + 8 + 16 + 8;

/// Where in the chain of primes a ciphertext stands.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    /// This many data primes.
    Data(usize),
    /// All data primes and the special prime: evaluation keys.
    Key,
}

impl Level {
    fn n_primes(self, context: &Context) -> usize {
        match self {
            Self::Data(primes) => primes,
            Self::Key => context.n_data_primes() + 1,
        }
    }

    fn id(self, context: &Context) -> &[u64; 4] {
        match self {
            Self::Data(primes) => context.level_id(primes),
            Self::Key => context.key_id(),
        }
    }
}

/// The seed from which the second polynomial of a fresh ciphertext is expanded. It is public.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seed {
    /// SEAL's number of the generator: 1 is BLAKE2xb, 2 is SHAKE256.
    pub(crate) kind: u8,
    /// The generator's key.
    pub(crate) bytes: [u8; 64],
}

/// The bytes of a ciphertext whose second polynomial is given by its seed. `c0` is `[prime][i]`.
pub(crate) fn seeded_bytes<T: Into<u64> + Copy>(
    context: &Context,
    level: Level,
    scale: f64,
    c0: &[T],
    seed: &Seed,
) -> Vec<u8> {
    let mut bytes = ciphertext_bytes(context, level, scale, c0, SEED_BYTES);
    header(&mut bytes, SEED_BYTES);
    bytes.push(seed.kind);
    bytes.extend(seed.bytes);
    bytes
}

/// The bytes of a ciphertext with both polynomials, `[polynomial][prime][i]`.
pub(crate) fn full_bytes(context: &Context, level: Level, scale: f64, residues: &[u32]) -> Vec<u8> {
    ciphertext_bytes(context, level, scale, residues, 0)
}

fn ciphertext_bytes<T: Into<u64> + Copy>(
    context: &Context,
    level: Level,
    scale: f64,
    words: &[T],
    trailer: usize,
) -> Vec<u8> {
    let total = PREFIX + 8 * words.len() + trailer;
    let mut bytes = Vec::with_capacity(total);
    header(&mut bytes, total);
    level.id(context).iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes.push(1);
    for field in [2, context.degree() as u64, level.n_primes(context) as u64] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(scale.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    header(&mut bytes, 24 + 8 * words.len());
    bytes.extend((words.len() as u64).to_le_bytes());
    words.iter().for_each(|word| bytes.extend((*word).into().to_le_bytes()));
    bytes
}

fn header(bytes: &mut Vec<u8>, total: usize) {
    bytes.extend([0x5e, 0xa1, 0x10, 4, 0, 0, 0, 0]);
    bytes.extend((total as u64).to_le_bytes());
}

/// The bytes of relinearization keys: one seeded ciphertext at the key level for each data prime.
pub(crate) fn keys_bytes(context: &Context, parts: &[(Vec<u64>, Seed)]) -> Vec<u8> {
    switching_keys_bytes(context, &[parts])
}

/// The bytes of Galois keys, given in the order of their ascending elements.
pub(crate) fn galois_bytes<'a>(
    context: &Context,
    elements: &[u32],
    keys: impl Iterator<Item = &'a [(Vec<u64>, Seed)]>,
) -> Vec<u8> {
    let mut sets: Vec<&[(Vec<u64>, Seed)]> = vec![&[]; context.degree()];
    elements.iter().zip(keys).for_each(|(element, key)| sets[galois_index(*element)] = key);
    switching_keys_bytes(context, &sets)
}

/// Where SEAL keeps the key of an element.
fn galois_index(element: u32) -> usize {
    (element as usize - 1) / 2
}

fn switching_keys_bytes(context: &Context, sets: &[&[(Vec<u64>, Seed)]]) -> Vec<u8> {
    let parts = sets.iter().map(|set| set.len()).sum::<usize>();
    let total = SETS_PREFIX + 8 * sets.len() + parts * key_part_bytes(context);
    let mut bytes = Vec::with_capacity(total);
    header(&mut bytes, total);
    context.key_id().iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes.extend((sets.len() as u64).to_le_bytes());
    for set in sets {
        bytes.extend((set.len() as u64).to_le_bytes());
        set.iter().for_each(|(c0, seed)| bytes.extend(seeded_bytes(context, Level::Key, 1.0, c0, seed)));
    }
    bytes
}

/// Bytes of one seeded ciphertext of a key.
fn key_part_bytes(context: &Context) -> usize {
    PREFIX + 8 * Level::Key.n_primes(context) * context.degree() + SEED_BYTES
}

/// Reads a seeded ciphertext that SEAL wrote: its first polynomial, `[prime][i]`, and the seed.
pub(crate) fn parse_seeded(context: &Context, level: Level, bytes: &[u8]) -> Result<(Vec<u64>, Seed)> {
    let n_words = level.n_primes(context) * context.degree();
    let end = PREFIX + 8 * n_words;
    if bytes.len() != end + SEED_BYTES {
        return Err(unexpected("a seeded ciphertext"));
    }
    let mut seed = Seed { kind: bytes[end + 16], bytes: [0; 64] };
    seed.bytes.copy_from_slice(&bytes[end + 17..]);
    Ok((words(&bytes[PREFIX..end]).collect(), seed))
}

/// Reads a full ciphertext that SEAL wrote: residues `[polynomial][prime][i]`, each below `2^32`.
pub(crate) fn parse_full(context: &Context, level: Level, bytes: &[u8]) -> Result<Vec<u32>> {
    Ok(full_words(context, level, bytes)?.map(|word| word as u32).collect())
}

/// The same for primes of any width.
pub(crate) fn full_words<'a>(
    context: &Context,
    level: Level,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = u64> + 'a> {
    let n_words = 2 * level.n_primes(context) * context.degree();
    if bytes.len() != PREFIX + 8 * n_words {
        return Err(unexpected("a ciphertext"));
    }
    Ok(words(&bytes[PREFIX..]))
}

/// Reads seeded relinearization keys that SEAL wrote.
pub(crate) fn parse_keys(context: &Context, bytes: &[u8]) -> Result<Vec<(Vec<u64>, Seed)>> {
    parse_switching_keys(context, bytes, &[0], 1, "relinearization keys")
}

/// Reads the seeded Galois keys of `elements`, ascending, that SEAL wrote: key after key.
pub(crate) fn parse_galois(
    context: &Context,
    elements: &[u32],
    bytes: &[u8],
) -> Result<Vec<(Vec<u64>, Seed)>> {
    let indices: Vec<usize> = elements.iter().map(|element| galois_index(*element)).collect();
    parse_switching_keys(context, bytes, &indices, context.degree(), "Galois keys")
}

/// Reads the sets at `indices`, ascending, of `n_sets`; the others are empty.
fn parse_switching_keys(
    context: &Context,
    bytes: &[u8],
    indices: &[usize],
    n_sets: usize,
    what: &str,
) -> Result<Vec<(Vec<u64>, Seed)>> {
    let (n_parts, part_bytes) = (context.n_data_primes(), key_part_bytes(context));
    if bytes.len() != SETS_PREFIX + 8 * n_sets + indices.len() * n_parts * part_bytes {
        return Err(unexpected(what));
    }
    let mut keys = Vec::with_capacity(indices.len() * n_parts);
    for (place, index) in indices.iter().enumerate() {
        // A length stands before each set up to this one.
        let start = SETS_PREFIX + 8 * (index + 1) + place * n_parts * part_bytes;
        for part in bytes[start..].chunks(part_bytes).take(n_parts) {
            keys.push(parse_seeded(context, Level::Key, part)?);
        }
    }
    Ok(keys)
}

/// Reads a plaintext at the key level that SEAL wrote: residues `[prime][i]`.
pub(crate) fn parse_key_plaintext(context: &Context, bytes: &[u8]) -> Result<Vec<u64>> {
    let n_words = Level::Key.n_primes(context) * context.degree();
    if bytes.len() != PLAIN_PREFIX + 8 * n_words {
        return Err(unexpected("a plaintext"));
    }
    Ok(words(&bytes[PLAIN_PREFIX..]).collect())
}

/// The bytes of a secret key with residues `[prime][i]`.
pub(crate) fn secret_bytes(context: &Context, residues: &[u64]) -> Zeroizing<Vec<u8>> {
    let total = PLAIN_PREFIX + 8 * residues.len();
    // Of its final capacity from the start, so that no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(total));
    header(&mut bytes, total);
    context.key_id().iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes.extend((residues.len() as u64).to_le_bytes());
    bytes.extend(1f64.to_le_bytes());
    header(&mut bytes, 24 + 8 * residues.len());
    bytes.extend((residues.len() as u64).to_le_bytes());
    residues.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes
}

/// Reads a secret key that SEAL wrote: its residues, `[prime][i]`.
pub(crate) fn parse_secret(context: &Context, bytes: &[u8]) -> Result<Zeroizing<Vec<u64>>> {
    let n_words = Level::Key.n_primes(context) * context.degree();
    if bytes.len() != PLAIN_PREFIX + 8 * n_words {
        return Err(unexpected("a secret key"));
    }
    let mut residues = Zeroizing::new(Vec::with_capacity(n_words));
    residues.extend(words(&bytes[PLAIN_PREFIX..]));
    Ok(residues)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

fn unexpected(what: &str) -> EncryptedError {
    EncryptedError::Seal { operation: "serialization", code: format!("{what} of an unexpected size") }
}

//! The parameter sets: a closed list, each reviewed once, so that nobody types a prime.
//!
//! A set fixes the ring degree `N`, the data primes (a ciphertext at level `L` holds residues modulo the
//! first `L` of them) and the special prime that only keys use. The primes are written out here and not
//! searched for at run time: they are part of the message format.
//!
//! Rules that each set obeys, asserted by this module's tests:
//!
//! * each prime is 1 modulo `2N`, so that the number-theoretic transform exists;
//! * data primes have at most 30 bits, so that [`crate::gemm`] is exact and residues travel in 30 bits;
//! * the special prime is at least `2^6` times the largest data prime, or key switching destroys the
//!   result;
//! * the product of all primes stays below the limit of each [`SecurityBasis`] that the set claims.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{EncryptedError, Result};

/// Which estimate of the hardness of learning with errors a claim rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityStandard {
    /// Homomorphic Encryption Standard, November 2018, table 1: ternary secret, classical attacks.
    HomomorphicEncryption2018,
    /// Security Guidelines for Implementing Homomorphic Encryption (IACR ePrint 2024/463): ternary
    /// secret, classical attacks.
    Guidelines2024Classical,
    /// The same guidelines, quantum attacks.
    Guidelines2024Quantum,
}

impl fmt::Display for SecurityStandard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HomomorphicEncryption2018 => "HE standard 2018, classical",
            Self::Guidelines2024Classical => "guidelines 2024 (ePrint 2024/463), classical",
            Self::Guidelines2024Quantum => "guidelines 2024 (ePrint 2024/463), quantum",
        })
    }
}

/// One claim of security: under `standard`, a modulus of up to `limit_bits` has `bits` bits of security at
/// this ring degree, and the set uses `modulus_bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityBasis {
    /// Where the limit comes from.
    pub standard: SecurityStandard,
    /// The security level, in bits.
    pub bits: u32,
    /// `log2` of the product of all primes, the special prime included, rounded up.
    pub modulus_bits: u32,
    /// The largest modulus that the standard allows at this level, in bits.
    pub limit_bits: u32,
}

/// A reviewed choice of ring degree and primes.
///
/// The name says it all: `n8192-q30x5-p38` is ring degree 8192, five data primes of 30 bits, a special
/// prime of 38 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ParameterSet {
    /// 188 bits in all: 128 bits of classical security under both standards. The default: fast, with an
    /// encryption error near `3e-5` rms on the paper's network at width 384.
    #[default]
    N8192Q30x5P38,
    /// 156 bits in all: 128 bits of security also against quantum attacks. About 30 times the encryption
    /// error of the default: for small networks or tight input bounds.
    N8192Q25x5P31,
    /// 202 bits in all: 128 bits of classical security under both standards. About 1/30 of the encryption
    /// error of the default, for larger messages and more time.
    N8192Q28x6P34,
    /// A small ring for fast tests. It hides nothing.
    #[cfg(test)]
    InsecureN1024Q30x5P38,
}

impl ParameterSet {
    /// The sets that a plan may use.
    pub const ALL: [Self; 3] = [Self::N8192Q30x5P38, Self::N8192Q25x5P31, Self::N8192Q28x6P34];

    /// The name, as used in files, messages and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::N8192Q30x5P38 => "n8192-q30x5-p38",
            Self::N8192Q25x5P31 => "n8192-q25x5-p31",
            Self::N8192Q28x6P34 => "n8192-q28x6-p34",
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => "insecure-n1024-q30x5-p38",
        }
    }

    /// The number that stands for the set in messages. Numbers are never reused.
    pub fn id(self) -> u16 {
        match self {
            Self::N8192Q30x5P38 => 1,
            Self::N8192Q25x5P31 => 2,
            Self::N8192Q28x6P34 => 3,
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => 0xffff,
        }
    }

    /// The ring degree `N`.
    pub fn degree(self) -> usize {
        match self {
            Self::N8192Q30x5P38 | Self::N8192Q25x5P31 | Self::N8192Q28x6P34 => 8192,
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => 1024,
        }
    }

    /// How many numbers a ciphertext holds: `N / 2`.
    pub fn slots(self) -> usize {
        self.degree() / 2
    }

    /// The data primes, in the order in which a ciphertext holds them; rescaling removes the last one.
    pub fn data_primes(self) -> &'static [u64] {
        match self {
            Self::N8192Q30x5P38 => &[0x3fff_4001, 0x3ffe_8001, 0x3ffc_0001, 0x3ffb_4001, 0x3ff9_4001],
            Self::N8192Q25x5P31 => &[0x1ff_c001, 0x1fc_0001, 0x1fa_4001, 0x1f9_8001, 0x1f6_8001],
            Self::N8192Q28x6P34 => &[0xfff_0001, 0xffd_8001, 0xffd_0001, 0xffc_4001, 0xffa_c001, 0xffa_0001],
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => &[0x3fff_7801, 0x3fff_5801, 0x3fff_4001, 0x3fff_1801, 0x3ffe_e001],
        }
    }

    /// The special prime, which only evaluation keys use.
    pub fn special_prime(self) -> u64 {
        match self {
            Self::N8192Q30x5P38 => 0x3f_fffa_c001,
            Self::N8192Q25x5P31 => 0x7ffe_0001,
            Self::N8192Q28x6P34 => 0x3_fffe_4001,
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => 0x3f_ffff_1801,
        }
    }

    /// The widths of the data primes in bits.
    pub fn data_prime_bits(self) -> Vec<u32> {
        self.data_primes().iter().map(|q| bit_width(*q)).collect()
    }

    /// The width of the special prime in bits.
    pub fn special_prime_bits(self) -> u32 {
        bit_width(self.special_prime())
    }

    /// The width of the product of all primes, the special prime included, rounded up.
    pub fn modulus_bits(self) -> u32 {
        let data: f64 = self.data_primes().iter().map(|q| (*q as f64).log2()).sum();
        (data + (self.special_prime() as f64).log2()).ceil() as u32
    }

    /// The claims of security that the set meets. Limits for ternary secrets at `N = 8192` and 128 bits:
    /// 218 (HE standard 2018), 214 and 161 (guidelines 2024, classical and quantum).
    pub fn security(self) -> Vec<SecurityBasis> {
        let limits: &[(SecurityStandard, u32)] = match self.degree() {
            8192 => &[
                (SecurityStandard::HomomorphicEncryption2018, 218),
                (SecurityStandard::Guidelines2024Classical, 214),
                (SecurityStandard::Guidelines2024Quantum, 161),
            ],
            _ => &[],
        };
        let modulus_bits = self.modulus_bits();
        limits
            .iter()
            .filter(|(_, limit)| modulus_bits <= *limit)
            .map(|&(standard, limit_bits)| SecurityBasis { standard, bits: 128, modulus_bits, limit_bits })
            .collect()
    }
}

/// How many bits a residue modulo `q` takes.
pub(crate) fn bit_width(q: u64) -> u32 {
    u64::BITS - q.leading_zeros()
}

impl fmt::Display for ParameterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ParameterSet {
    type Err = EncryptedError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|set| set.name()).collect();
            EncryptedError::input(
                format!("there is no parameter set {name:?}"),
                format!("use one of {}", known.join(", ")),
            )
        })
    }
}

impl TryFrom<String> for ParameterSet {
    type Error = EncryptedError;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<ParameterSet> for String {
    fn from(set: ParameterSet) -> Self {
        set.name().to_owned()
    }
}

/// How records and features are laid out in ciphertexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Packing {
    /// One feature a ciphertext, one record a slot: the cost of a block does not depend on how many of its
    /// `N / 2` slots hold a record.
    #[default]
    FeatureMajor,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeatureMajor => f.write_str("feature-major"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prime(n: u64) -> bool {
        n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
    }

    #[test]
    fn each_set_obeys_the_rules() {
        for set in ParameterSet::ALL {
            let primes = set.data_primes();
            let special = set.special_prime();
            for q in primes.iter().chain([&special]) {
                assert!(is_prime(*q), "{set}: {q} is not prime");
                assert_eq!(q % (2 * set.degree() as u64), 1, "{set}: {q}");
            }
            let largest = *primes.iter().max().unwrap();
            assert!(special / largest >= 1 << 6, "{set}");
            assert!(set.data_prime_bits().iter().all(|bits| *bits <= 30), "{set}");
            let mut distinct = primes.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), primes.len(), "{set}");
            assert!(!set.security().is_empty(), "{set} claims no security");
        }
    }

    #[test]
    fn the_security_bases_are_those_of_the_tables() {
        let default = ParameterSet::default();
        assert_eq!(default.modulus_bits(), 188);
        assert_eq!(default.security().len(), 2, "classical only");
        let precise = ParameterSet::N8192Q28x6P34;
        assert_eq!((precise.modulus_bits(), precise.security().len()), (202, 2));
        let quantum = ParameterSet::N8192Q25x5P31;
        assert_eq!(quantum.modulus_bits(), 156);
        assert!(quantum.security().iter().any(|b| b.standard == SecurityStandard::Guidelines2024Quantum));
    }

    #[test]
    fn names_survive_a_round_trip_and_insecure_ones_do_not_parse() {
        for set in ParameterSet::ALL {
            assert_eq!(set.name().parse::<ParameterSet>().unwrap(), set);
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<ParameterSet>(&json).unwrap(), set);
        }
        assert!("insecure-n1024-q30x5-p38".parse::<ParameterSet>().is_err());
    }
}

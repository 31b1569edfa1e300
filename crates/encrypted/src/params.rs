//! The parameter sets: a closed list, each reviewed once, so that nobody types a prime.
//!
//! A set fixes the ring degree `N`, the data primes (a ciphertext at level `L` holds residues modulo the
//! first `L` of them) and the special prime that only keys use. The primes are written out here and not
//! searched for at run time: they are part of the message format.
//!
//! Rules that each set of [`ParameterSet::ALL`] obeys, asserted by this module's tests:
//!
//! * each prime is 1 modulo `2N`, so that the number-theoretic transform exists;
//! * data primes have at most 30 bits, so that [`crate::gemm`] is exact and residues travel in 30 bits;
//! * the special prime is at least `2^6` times the largest data prime, or key switching destroys the
//!   result;
//! * the product of all primes stays below the limit of each [`SecurityBasis`] that the set claims.
//!
//! The two sets of [`ParameterSet::PAPER`] obey only the first and the last. They are here to measure what
//! this crate is compared with; a plan refuses them.

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

impl SecurityStandard {
    /// All of them, from the weakest demand to the strongest.
    pub const ALL: [Self; 3] =
        [Self::HomomorphicEncryption2018, Self::Guidelines2024Classical, Self::Guidelines2024Quantum];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::HomomorphicEncryption2018 => "he-2018-classical",
            Self::Guidelines2024Classical => "guidelines-2024-classical",
            Self::Guidelines2024Quantum => "guidelines-2024-quantum",
        }
    }

    /// The largest modulus in bits, special prime included, that has 128 bits of security at ring degree
    /// `degree` with a ternary secret; `None` for degrees that no parameter set uses.
    fn limit_bits(self, degree: usize) -> Option<u32> {
        let limits = match degree {
            8192 => [218, 214, 161],
            16384 => [438, 430, 322],
            _ => return None,
        };
        Some(limits[self as usize])
    }
}

impl FromStr for SecurityStandard {
    type Err = EncryptedError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|standard| standard.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|standard| standard.name()).collect();
            EncryptedError::input(
                format!("there is no security basis {name:?}"),
                format!("use one of {}", known.join(", ")),
            )
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
    /// 188 bits in all on a ring of twice the degree: 128 bits of security also against quantum attacks,
    /// with 1.4 times the encryption error of the default and twice its bytes and time.
    N16384Q30x5P38,
    /// The paper's fast set, 218 bits in all: 128 bits of security under the standard of 2018 alone. For
    /// measuring the paper's circuit, not for plans.
    N8192Q34Q25x6P34,
    /// The paper's accurate set, 420 bits in all: 128 bits of classical security under both standards. For
    /// measuring the paper's circuit, not for plans.
    N16384Q60Q50x6P60,
    /// A small ring for fast tests. It hides nothing.
    #[cfg(test)]
    InsecureN1024Q30x5P38,
}

impl ParameterSet {
    /// The sets that a plan may use.
    pub const ALL: [Self; 4] =
        [Self::N8192Q30x5P38, Self::N8192Q28x6P34, Self::N8192Q25x5P31, Self::N16384Q30x5P38];

    /// The sets of the published circuit, for measuring it.
    pub const PAPER: [Self; 2] = [Self::N8192Q34Q25x6P34, Self::N16384Q60Q50x6P60];

    /// The name, as used in files, messages and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::N8192Q30x5P38 => "n8192-q30x5-p38",
            Self::N8192Q25x5P31 => "n8192-q25x5-p31",
            Self::N8192Q28x6P34 => "n8192-q28x6-p34",
            Self::N16384Q30x5P38 => "n16384-q30x5-p38",
            Self::N8192Q34Q25x6P34 => "n8192-q34-q25x6-p34",
            Self::N16384Q60Q50x6P60 => "n16384-q60-q50x6-p60",
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
            Self::N16384Q30x5P38 => 4,
            Self::N8192Q34Q25x6P34 => 5,
            Self::N16384Q60Q50x6P60 => 6,
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => 0xffff,
        }
    }

    /// The ring degree `N`.
    pub fn degree(self) -> usize {
        match self {
            Self::N8192Q30x5P38 | Self::N8192Q25x5P31 | Self::N8192Q28x6P34 | Self::N8192Q34Q25x6P34 => 8192,
            Self::N16384Q30x5P38 | Self::N16384Q60Q50x6P60 => 16384,
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
            Self::N16384Q30x5P38 => &[0x3ffe_8001, 0x3ffc_0001, 0x3ff7_8001, 0x3ff5_8001, 0x3ff2_8001],
            // Those that SEAL's `CoeffModulus::Create` picks for the paper's bit sizes, in its order.
            Self::N8192Q34Q25x6P34 => {
                &[0x3_fffd_0001, 0x1f6_0001, 0x1f6_8001, 0x1f9_8001, 0x1fa_4001, 0x1fc_0001, 0x1ff_c001]
            }
            Self::N16384Q60Q50x6P60 => &[
                0xfff_ffff_fffd_8001,
                0x3_ffff_ffc7_0001,
                0x3_ffff_ffcd_0001,
                0x3_ffff_ffd1_8001,
                0x3_ffff_ffd2_0001,
                0x3_ffff_ffd4_8001,
                0x3_ffff_ffdf_0001,
            ],
            #[cfg(test)]
            Self::InsecureN1024Q30x5P38 => &[0x3fff_7801, 0x3fff_5801, 0x3fff_4001, 0x3fff_1801, 0x3ffe_e001],
        }
    }

    /// The special prime, which only evaluation keys use.
    pub fn special_prime(self) -> u64 {
        match self {
            Self::N8192Q30x5P38 => 0x3f_fffa_c001,
            Self::N8192Q25x5P31 => 0x7ffe_0001,
            Self::N8192Q28x6P34 | Self::N8192Q34Q25x6P34 => 0x3_fffe_4001,
            Self::N16384Q30x5P38 => 0x3f_fff4_8001,
            Self::N16384Q60Q50x6P60 => 0xfff_ffff_fffe_8001,
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

    /// Bytes of one switching key on the wire: for each data prime a polynomial modulo all primes, without its
    /// header and seeds.
    pub(crate) fn switching_key_bytes(self) -> usize {
        let bits: u32 = self.data_prime_bits().iter().sum::<u32>() + self.special_prime_bits();
        self.data_primes().len() * self.degree() * bits as usize / 8
    }

    /// The claims of security that the set meets, at 128 bits, with ternary secrets. The limits are 218 bits
    /// (HE standard 2018), 214 and 161 bits (guidelines 2024, classical and quantum) at `N = 8192`, and 438,
    /// 430 and 322 bits at `N = 16384`.
    pub fn security(self) -> Vec<SecurityBasis> {
        SecurityStandard::ALL.into_iter().filter_map(|standard| self.require(standard).ok()).collect()
    }

    /// The claim of security that rests on `standard`.
    ///
    /// # Errors
    /// [`EncryptedError::Insecure`] when the set's modulus is over the limit of that standard.
    pub fn require(self, standard: SecurityStandard) -> Result<SecurityBasis> {
        let modulus_bits = self.modulus_bits();
        let limit_bits = standard.limit_bits(self.degree()).unwrap_or(0);
        if modulus_bits <= limit_bits {
            return Ok(SecurityBasis { standard, bits: 128, modulus_bits, limit_bits });
        }
        Err(EncryptedError::Insecure {
            fact: format!(
                "{self} has {modulus_bits} modulus bits at ring degree {}, and 128 bits of security under \
                 {standard} allow {limit_bits}",
                self.degree()
            ),
            remedy: "choose a parameter set that claims it, or ask for another security basis".to_owned(),
        })
    }

    /// Fails for a set that this crate's own circuits cannot use.
    pub(crate) fn check_evaluable(self) -> Result<()> {
        if self.data_prime_bits().into_iter().max() <= Some(30) {
            return Ok(());
        }
        Err(EncryptedError::unsupported(
            format!("the primes of {self} have more than 30 bits: it is for measuring the paper's circuit"),
            format!("use one of {}", names(&Self::ALL)),
        ))
    }
}

fn names(sets: &[ParameterSet]) -> String {
    sets.iter().map(|set| set.name()).collect::<Vec<_>>().join(", ")
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
        Self::ALL.into_iter().chain(Self::PAPER).find(|set| set.name() == name).ok_or_else(|| {
            EncryptedError::input(
                format!("there is no parameter set {name:?}"),
                format!("use one of {}", names(&Self::ALL)),
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
    /// One record a ciphertext, rotated copies of it in the slots: the cost is that of each record, and a
    /// single one is answered quickly.
    RecordMajor,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeatureMajor => f.write_str("feature-major"),
            Self::RecordMajor => f.write_str("record-major"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miller and Rabin's test; these bases decide every 64-bit number.
    fn is_prime(n: u64) -> bool {
        const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
        if n < 2 || BASES.iter().any(|base| n != *base && n.is_multiple_of(*base)) {
            return false;
        }
        let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
        let twos = (n - 1).trailing_zeros();
        BASES.iter().filter(|base| **base != n).all(|base| {
            let (mut power, mut square, mut exponent) = (1, *base, (n - 1) >> twos);
            while exponent > 0 {
                if exponent & 1 == 1 {
                    power = times(power, square);
                }
                square = times(square, square);
                exponent >>= 1;
            }
            power == 1
                || (0..twos).any(|_| {
                    let last = power;
                    power = times(power, power);
                    last == n - 1
                })
        })
    }

    #[test]
    fn the_primality_test_knows_primes() {
        let by_division = |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        assert!((0..5000).all(|n| is_prime(n) == by_division(n)));
        assert!(!is_prime(3_215_031_751), "a strong pseudoprime to the bases 2, 3, 5 and 7");
    }

    #[test]
    fn each_set_obeys_the_rules() {
        for set in ParameterSet::ALL.into_iter().chain(ParameterSet::PAPER) {
            let primes = set.data_primes();
            for q in primes.iter().chain([&set.special_prime()]) {
                assert!(is_prime(*q), "{set}: {q} is not prime");
                assert_eq!(q % (2 * set.degree() as u64), 1, "{set}: {q}");
            }
            let mut distinct = [primes, &[set.special_prime()]].concat();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), primes.len() + 1, "{set}");
            assert!(!set.security().is_empty(), "{set} claims no security");
        }
        for set in ParameterSet::ALL {
            let (primes, special) = (set.data_primes(), set.special_prime());
            let largest = *primes.iter().max().unwrap();
            assert!(special / largest >= 1 << 6, "{set}");
            assert!(set.data_prime_bits().iter().all(|bits| *bits <= 30), "{set}");
            assert!(set.check_evaluable().is_ok(), "{set}");
        }
        for set in ParameterSet::PAPER {
            assert!(matches!(set.check_evaluable(), Err(EncryptedError::Unsupported { .. })), "{set}");
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
        assert!(quantum.require(SecurityStandard::Guidelines2024Quantum).is_ok());
        let large = ParameterSet::N16384Q30x5P38;
        assert_eq!((large.modulus_bits(), large.security().len()), (188, 3));
        let [fast, accurate] = ParameterSet::PAPER;
        assert_eq!((fast.modulus_bits(), fast.security().len()), (218, 1));
        assert_eq!((accurate.modulus_bits(), accurate.security().len()), (420, 2));
    }

    #[test]
    fn a_set_over_the_limit_is_refused_with_both_numbers() {
        let [fast, _] = ParameterSet::PAPER;
        let error = fast.require(SecurityStandard::Guidelines2024Classical).unwrap_err();
        assert!(matches!(error, EncryptedError::Insecure { .. }));
        assert!(error.to_string().contains("218") && error.to_string().contains("214"), "{error}");
        assert!(ParameterSet::InsecureN1024Q30x5P38.security().is_empty());
    }

    #[test]
    fn standards_have_names_that_parse() {
        for standard in SecurityStandard::ALL {
            assert_eq!(standard.name().parse::<SecurityStandard>().unwrap(), standard);
        }
        assert!("tc128".parse::<SecurityStandard>().is_err());
    }

    #[test]
    fn names_survive_a_round_trip_and_insecure_ones_do_not_parse() {
        for set in ParameterSet::ALL.into_iter().chain(ParameterSet::PAPER) {
            assert_eq!(set.name().parse::<ParameterSet>().unwrap(), set);
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<ParameterSet>(&json).unwrap(), set);
        }
        assert!("insecure-n1024-q30x5-p38".parse::<ParameterSet>().is_err());
    }
}

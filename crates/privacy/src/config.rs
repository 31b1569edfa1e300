//! Privacy configurations: the policy under which a population's data may be used.
//!
//! A policy is a small TOML file (see `privacy-configs/`). It is fixed when a ledger is created and
//! copied into the ledger's first entry; changing the file later changes nothing.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::accountant::Accountant;
use crate::digest::Digest;
use crate::guarantee::{Adjacency, Delta, Epsilon, PrivacyUnit};

/// The version of the file format this crate reads.
pub const POLICY_VERSION: u32 = 1;
/// The largest delta times public size that goes without a warning. Delta should be far below one over the size of the
/// population (Dwork and Roth 2014, section 2.3; NIST SP 800-226, on the parameters): at 0.1 a mechanism that publishes each
/// unit in the clear with probability delta exposes somebody in one of ten populations.
pub const LARGE_DELTA_MASS: f64 = 0.1;

/// Delta times the public size of a population: how many units a mechanism could publish in the clear, on average, without
/// breaking the promise.
pub fn delta_mass(delta: Delta, public_size: u64) -> f64 {
    delta.get() * public_size as f64
}

/// The longest policy or population name, in bytes.
pub const MAX_NAME_LENGTH: usize = 64;

/// A validated privacy configuration.
///
/// ```
/// use cryptotl_privacy::Policy;
///
/// let policy = Policy::from_toml(
///     r#"
///     version = 1
///     name = "clinic"
///     unit = "record"
///     adjacency = "add-remove"
///     epsilon_cap = 3.0
///     epsilon_per_release_max = 1.0
///     delta = { exponent = 1.1 }
///     "#,
/// )?;
/// assert_eq!(policy.epsilon_cap().get(), 3.0);
/// # Ok::<(), cryptotl_privacy::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicyFile")]
pub struct Policy {
    version: u32,
    name: String,
    unit: PrivacyUnit,
    adjacency: Adjacency,
    // Left out where it goes without saying, as in the first ledgers and their hashes.
    #[serde(skip_serializing_if = "Accountant::is_default")]
    accountant: Accountant,
    epsilon_cap: Epsilon,
    epsilon_per_release_max: Epsilon,
    delta: DeltaPolicy,
}

/// The fields as written, before they are checked against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    version: u32,
    name: String,
    unit: PrivacyUnit,
    adjacency: Adjacency,
    #[serde(default)]
    accountant: Accountant,
    epsilon_cap: Epsilon,
    epsilon_per_release_max: Epsilon,
    delta: DeltaPolicy,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] naming the field and the remedy.
    pub fn from_toml(text: &str) -> Result<Policy, PolicyError> {
        // The version comes first, so that a file of a later version is not reported as misspelled.
        #[derive(Deserialize)]
        struct Header {
            version: Option<u32>,
        }
        let syntax = |error: toml::de::Error| PolicyError::Syntax { message: error.to_string() };
        let header: Header = toml::from_str(text).map_err(syntax)?;
        if let Some(found) = header.version.filter(|&version| version != POLICY_VERSION) {
            return Err(PolicyError::Version { found });
        }
        let file: PolicyFile = toml::from_str(text).map_err(syntax)?;
        Policy::try_from(file)
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What one unit of protection is.
    pub fn unit(&self) -> PrivacyUnit {
        self.unit
    }

    /// Which datasets count as neighbors.
    pub fn adjacency(&self) -> Adjacency {
        self.adjacency
    }

    /// The theory that counts every epsilon of the ledger and its releases.
    pub fn accountant(&self) -> Accountant {
        self.accountant
    }

    /// The most that all releases together may lose, at the policy's delta.
    pub fn epsilon_cap(&self) -> Epsilon {
        self.epsilon_cap
    }

    /// The most that one release may lose, at the policy's delta.
    pub fn epsilon_per_release_max(&self) -> Epsilon {
        self.epsilon_per_release_max
    }

    /// The rule for delta.
    pub fn delta_policy(&self) -> DeltaPolicy {
        self.delta
    }

    /// The delta for a population of at most `public_size` units.
    ///
    /// `public_size` is a public upper bound and never the private count: the result is public.
    ///
    /// # Errors
    /// [`PolicyError::PublicSize`] below 2 units, [`PolicyError::DeltaTooLarge`] if the result is not
    /// below 1 / `public_size`: with such a delta, publishing one unit at random in the clear would
    /// count as private (Dwork and Roth 2014, section 2.3).
    pub fn delta(&self, public_size: u64) -> Result<Delta, PolicyError> {
        if public_size < 2 {
            return Err(PolicyError::PublicSize { public_size });
        }
        let size = public_size as f64;
        let value = match self.delta {
            DeltaPolicy::Fixed(delta) => delta.get(),
            // libm's pow and not the platform's, so that every machine resolves the same delta.
            DeltaPolicy::Exponent(exponent) => libm::pow(size, -exponent.get()),
        };
        match Delta::new(value) {
            Ok(delta) if value < 1.0 / size => Ok(delta),
            _ => Err(PolicyError::DeltaTooLarge { delta: value, public_size }),
        }
    }

    /// SHA-256 over the policy's fields; independent of comments and layout of the file.
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_vec(self).expect("plain structs with string keys always serialize");
        Digest::of_fields("cryptotl privacy policy 1", &[&json])
    }
}

impl TryFrom<PolicyFile> for Policy {
    type Error = PolicyError;

    fn try_from(file: PolicyFile) -> Result<Policy, PolicyError> {
        if file.version != POLICY_VERSION {
            return Err(PolicyError::Version { found: file.version });
        }
        if !is_name(&file.name) {
            return Err(PolicyError::Name { name: file.name });
        }
        if file.epsilon_per_release_max > file.epsilon_cap {
            return Err(PolicyError::ReleaseAboveCap {
                release: file.epsilon_per_release_max,
                cap: file.epsilon_cap,
            });
        }
        Ok(Policy {
            version: file.version,
            name: file.name,
            unit: file.unit,
            adjacency: file.adjacency,
            accountant: file.accountant,
            epsilon_cap: file.epsilon_cap,
            epsilon_per_release_max: file.epsilon_per_release_max,
            delta: file.delta,
        })
    }
}

/// Whether `name` can name a policy or a population: letters, digits, `-`, `_` and `.`, in any
/// language's script, so that it reads the same in a terminal, a table and a file.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_LENGTH
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// How delta is chosen: a number, or `{ exponent = x }` for `public_size^-x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeltaPolicy {
    /// This delta, whatever the population.
    Fixed(Delta),
    /// `public_size^-exponent`.
    Exponent(DeltaExponent),
}

/// The exponent of a delta rule: above 1, so that delta falls faster than 1/n, and at most 10.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct DeltaExponent(f64);

impl DeltaExponent {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for DeltaExponent {
    type Error = PolicyError;

    fn try_from(value: f64) -> Result<DeltaExponent, PolicyError> {
        if value > 1.0 && value <= 10.0 {
            Ok(DeltaExponent(value))
        } else {
            Err(PolicyError::Exponent { exponent: value })
        }
    }
}

impl From<DeltaExponent> for f64 {
    fn from(exponent: DeltaExponent) -> f64 {
        exponent.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExponentTable {
    exponent: DeltaExponent,
}

impl Serialize for DeltaPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            DeltaPolicy::Fixed(delta) => delta.serialize(serializer),
            DeltaPolicy::Exponent(exponent) => ExponentTable { exponent }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DeltaPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeltaPolicy, D::Error> {
        // By hand and not `untagged`, which would hide the reason behind "did not match any variant".
        struct NumberOrTable;

        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = DeltaPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 1e-5, or { exponent = 1.1 }")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<DeltaPolicy, E> {
                Delta::new(value).map(DeltaPolicy::Fixed).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<DeltaPolicy, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<DeltaPolicy, E> {
                self.visit_f64(value as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DeltaPolicy, A::Error> {
                let table = ExponentTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(DeltaPolicy::Exponent(table.exponent))
            }
        }

        deserializer.deserialize_any(NumberOrTable)
    }
}

/// A policy that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, a field missing, unknown or of the wrong type, or a number that promises nothing.
    #[error("the policy cannot be read: {message}\nsee privacy-configs/README.md for the fields")]
    Syntax {
        /// The parser's words, with the line.
        message: String,
    },
    /// Another version of the format.
    #[error(
        "field `version` is {found}, and this program reads version {POLICY_VERSION}; use a matching program or rewrite the policy"
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The name is empty, too long or has spaces or control characters.
    #[error("field `name` is {name:?}; use 1 to {MAX_NAME_LENGTH} letters, digits, `-`, `_` or `.`")]
    Name {
        /// The name in the file.
        name: String,
    },
    /// One release could exceed the cap.
    #[error(
        "field `epsilon_per_release_max` is {release}, above `epsilon_cap` {cap}; lower the former or raise the latter"
    )]
    ReleaseAboveCap {
        /// `epsilon_per_release_max`.
        release: Epsilon,
        /// `epsilon_cap`.
        cap: Epsilon,
    },
    /// The exponent makes delta useless.
    #[error(
        "field `delta.exponent` is {exponent}; give a number above 1 and at most 10, such as 1.1, so that delta is below 1 / population"
    )]
    Exponent {
        /// The exponent in the file.
        exponent: f64,
    },
    /// The limit for one release buys no DP noise that could be drawn.
    #[error(
        "field `epsilon_per_release_max` is {limit}, and no release can be planned for so little: {why}. Raise it, or give a larger delta"
    )]
    NothingAllowed {
        /// `epsilon_per_release_max`.
        limit: Epsilon,
        /// What the planner said of a release at that limit.
        why: String,
    },
    /// Gaussian DP cannot count up to the cap.
    #[error(
        "field `epsilon_cap` is {cap}, and gdp cannot count that far at delta {delta}: the grid of the DP noise would take more than its share of delta; give a cap of at most {most}, or `accountant = \"zcdp\"`"
    )]
    CapTooLarge {
        /// `epsilon_cap`.
        cap: Epsilon,
        /// The largest cap that can be spent.
        most: f64,
        /// The delta of the policy.
        delta: Delta,
    },
    /// No delta for so few units.
    #[error("the public size of the population is {public_size}; declare an upper bound of at least 2 units")]
    PublicSize {
        /// The bound declared.
        public_size: u64,
    },
    /// The delta is too large for the population.
    #[error(
        "field `delta` gives {delta:e} for a population of {public_size}, which is not below 1/{public_size}; give a smaller delta, or {{ exponent = 1.1 }}"
    )]
    DeltaTooLarge {
        /// The delta that results.
        delta: f64,
        /// The bound declared.
        public_size: u64,
    },
}

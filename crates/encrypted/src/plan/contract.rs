//! What the data owner may know of a plan.

use cryptotl_model::Digest;
use cryptotl_model::network::MAX_WIDTH;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{EncryptedError, Result};
use crate::message::Place;
use crate::params::{Packing, ParameterSet};
use crate::plan::RECORDS_PER_QUERY;
use crate::plan::levels::output_level;
use crate::record_major::Layout;

/// The largest magnitude that an input may have.
///
/// The plan's scales are chosen so that *no* record within the bound can overflow a ciphertext, so a
/// tighter bound gives more precision. Standardized records clamped to 4 or 5 are a good choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct InputBound(f64);

impl InputBound {
    /// Inputs with `|x| <= max_abs`.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] unless `max_abs` is positive and finite.
    pub fn new(max_abs: f64) -> Result<Self> {
        if max_abs.is_finite() && max_abs > 0.0 {
            Ok(Self(max_abs))
        } else {
            Err(EncryptedError::input(
                format!("the input bound {max_abs} is not a positive number"),
                "give the magnitude that the scaler clamps to",
            ))
        }
    }

    /// The bound.
    pub fn max_abs(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for InputBound {
    type Error = EncryptedError;

    fn try_from(max_abs: f64) -> Result<Self> {
        Self::new(max_abs)
    }
}

impl From<InputBound> for f64 {
    fn from(bound: InputBound) -> Self {
        bound.0
    }
}

/// What the data owner has to know of a plan: no weight, no bias.
///
/// The scales and the digest depend on the weights, but tell little: two magnitudes, and whether two plans
/// are the same. A compiled plan makes one; one that is read from a file is checked to be a contract that a
/// plan could have made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Contract {
    pub(super) parameter_set: ParameterSet,
    pub(super) packing: Packing,
    pub(super) input_width: usize,
    pub(super) output_width: usize,
    pub(super) input_bound: InputBound,
    pub(super) input_scale: f64,
    pub(super) input_level: usize,
    pub(super) output_scale: f64,
    pub(super) output_level: usize,
    pub(super) block_rows: usize,
    /// Record-major packing alone has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<Layout>,
    /// Over everything that the server computes with, weights and biases included.
    pub(super) circuit: Digest,
}

impl Contract {
    /// The ring and its primes.
    pub fn parameter_set(&self) -> ParameterSet {
        self.parameter_set
    }

    /// The layout of records and features.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Numbers a record has.
    pub fn input_width(&self) -> usize {
        self.input_width
    }

    /// Features a record gets.
    pub fn output_width(&self) -> usize {
        self.output_width
    }

    /// The magnitude that inputs must not exceed.
    pub fn input_bound(&self) -> InputBound {
        self.input_bound
    }

    /// The scale of a query.
    pub fn input_scale(&self) -> f64 {
        self.input_scale
    }

    /// Data primes of a query.
    pub fn input_level(&self) -> usize {
        self.input_level
    }

    /// The scale of a response.
    pub fn output_scale(&self) -> f64 {
        self.output_scale
    }

    /// Data primes of a response.
    pub fn output_level(&self) -> usize {
        self.output_level
    }

    /// Records that one query carries at most: `N / 2` in feature-major packing, 64 in record-major.
    pub fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// Where numbers stand in the slots, in record-major packing.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The Galois elements that need a key, ascending; feature-major packing has none.
    pub fn galois_elements(&self) -> Vec<u32> {
        self.layout.map_or_else(Vec::new, |layout| layout.galois_elements())
    }

    /// Where block `block` of a job of `rows` records stands.
    pub fn place(&self, block: usize, rows: usize) -> Place {
        Place { block: block as u32, blocks: rows.div_ceil(self.block_rows) as u32 }
    }

    /// SHA-256 over every field, which each message repeats. It covers the weights through the digest of
    /// the circuit, and whoever reads a contract computes it anew, so an altered contract has another.
    pub fn digest(&self) -> Digest {
        let numbers =
            [self.input_width, self.output_width, self.input_level, self.output_level, self.block_rows]
                .map(|n| (n as u64).to_le_bytes());
        let scales = [self.input_bound.max_abs(), self.input_scale, self.output_scale].map(f64::to_le_bytes);
        let layout = self.layout.map(|layout| layout.numbers().map(|n| (n as u64).to_le_bytes()));
        let layout: Vec<_> = layout.into_iter().flatten().collect();
        let names = [self.parameter_set.name().to_owned(), self.packing.to_string()];
        let parts = [&b"cryptotl contract 1"[..], self.circuit.as_bytes()];
        Digest::of_parts(
            parts
                .into_iter()
                .chain(names.iter().map(String::as_bytes))
                .chain(numbers.iter().chain(&scales).chain(&layout).map(<[u8; 8]>::as_slice)),
        )
    }

    /// The largest magnitude that a feature can have in a response before it wraps, if all others are 0. In feature-major
    /// packing the others do not matter; in record-major packing it is the mean magnitude of all slots that must
    /// stay below this number divided by the slots.
    pub fn capacity(&self) -> f64 {
        let slots = match self.packing {
            Packing::FeatureMajor => 1.0,
            Packing::RecordMajor => self.parameter_set.slots() as f64,
        };
        slots * self.modulus(self.output_level) / 2.0 / self.output_scale
    }

    fn modulus(&self, level: usize) -> f64 {
        self.parameter_set.data_primes()[..level].iter().map(|q| *q as f64).product()
    }

    /// Fails unless a plan could have made this contract.
    fn check(&self) -> Result<()> {
        self.parameter_set.check_evaluable()?;
        let last = output_level(self.parameter_set);
        let (layout_fits, block_rows) = match (self.packing, &self.layout) {
            (Packing::FeatureMajor, None) => (true, self.parameter_set.slots()),
            (Packing::RecordMajor, Some(layout)) => (
                layout.slots == self.parameter_set.slots()
                    && (layout.input_width, layout.output_width) == (self.input_width, self.output_width)
                    && layout.is_sound(),
                RECORDS_PER_QUERY,
            ),
            _ => (false, self.block_rows),
        };
        let facts = [
            ((1..=MAX_WIDTH).contains(&self.input_width), "input width"),
            ((1..=MAX_WIDTH).contains(&self.output_width), "output width"),
            (self.output_level == last, "output level"),
            // One affine layer, and an activation of degree 2 or 3.
            ((last + 2..=last + 3).contains(&self.input_level), "input level"),
            (layout_fits, "layout"),
            (self.block_rows == block_rows, "block size"),
        ];
        for (fits, what) in facts {
            if !fits {
                return Err(EncryptedError::input(
                    format!("the {what} of the contract is not one that a plan can have"),
                    "ask the model owner for the plan file again",
                ));
            }
        }
        let scales = [
            (
                self.input_scale * self.input_bound.max_abs().max(1.0),
                self.input_scale,
                self.input_level,
                "input",
            ),
            (self.output_scale, self.output_scale, self.output_level, "output"),
        ];
        for (largest, scale, level, what) in scales {
            // SEAL encodes no coefficient above a quarter of the modulus, and takes no scale above half of it: a peer's
            // contract must not bring it there. The negation also catches NaN.
            let share = if what == "input" { 4.0 } else { 2.0 };
            if !(scale >= 1.0 && largest < self.modulus(level) / share) {
                return Err(EncryptedError::input(
                    format!("the {what} scale of the contract leaves no room or no precision"),
                    "ask the model owner for the plan file again",
                ));
            }
        }
        Ok(())
    }
}

impl Serialize for Contract {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Contract {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let contract = Self::deserialize(deserializer)?;
        contract.check().map_err(de::Error::custom)?;
        Ok(contract)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EvaluationPlan;
    use crate::testkit;

    fn contract() -> Contract {
        let network = cryptotl_model::Network::new(12, testkit::paper_layers(12, 3)).unwrap();
        let bound = InputBound::new(4.0).unwrap();
        let plan =
            EvaluationPlan::compile(&network, ParameterSet::default(), Packing::FeatureMajor, bound).unwrap();
        plan.contract().clone()
    }

    #[test]
    fn a_contract_comes_back_with_its_digest() {
        let contract = contract();
        let json = serde_json::to_string(&contract).unwrap();
        let again: Contract = serde_json::from_str(&json).unwrap();
        assert_eq!((&again, again.digest()), (&contract, contract.digest()));
    }

    #[test]
    fn scales_that_seal_would_refuse_are_refused_here() {
        let contract = contract();
        let json = serde_json::to_value(&contract).unwrap();
        let [input, output] =
            [contract.input_level, contract.output_level].map(|level| contract.modulus(level));
        for (field, value) in [
            ("input_scale", input), // with a bound so small that no product reaches the modulus
            ("input_scale", input / 3.0), // above the quarter that SEAL encodes
            ("input_scale", 0.5),
            ("output_scale", output / 1.9),
        ] {
            let mut altered = json.clone();
            altered["input_bound"] = 1e-10.into();
            altered[field] = value.into();
            let error = serde_json::from_value::<Contract>(altered).unwrap_err().to_string();
            assert!(error.contains("scale of the contract"), "{field} {value:e}: {error}");
        }
    }

    #[test]
    fn layouts_that_no_plan_makes_are_refused() {
        let network = cryptotl_model::Network::new(12, testkit::paper_layers(12, 3)).unwrap();
        let bound = InputBound::new(4.0).unwrap();
        let plan =
            EvaluationPlan::compile(&network, ParameterSet::default(), Packing::RecordMajor, bound).unwrap();
        let contract = plan.contract();
        let json = serde_json::to_value(contract).unwrap();
        let again: Contract = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((&again, again.digest()), (contract, contract.digest()));
        for (field, values) in [
            ("slots", vec![2048, 8192]),
            ("input_width", vec![11, 1 << 20]),
            ("output_width", vec![9, 11]),
            ("block", vec![0, 3, 8192, 1usize << 40]),
            ("baby", vec![0, 1 << 20]),
        ] {
            for value in values {
                let mut altered = json.clone();
                altered["layout"][field] = value.into();
                assert!(serde_json::from_value::<Contract>(altered).is_err(), "{field} = {value}");
            }
        }
        for diagonals in [[0, 1], [1 << 13, 1], [1, 3], [1, 0], [1, 1 << 13]] {
            let mut altered = json.clone();
            altered["layout"]["diagonals"] = diagonals.to_vec().into();
            assert!(serde_json::from_value::<Contract>(altered).is_err(), "{diagonals:?}");
        }
        for (field, value) in [("packing", "feature-major".into()), ("layout", serde_json::Value::Null)] {
            let mut altered = json.clone();
            altered[field] = value;
            assert!(serde_json::from_value::<Contract>(altered).is_err(), "{field}");
        }
    }

    #[test]
    fn every_altered_field_is_refused_or_shows_in_the_digest() {
        let contract = contract();
        let json = serde_json::to_value(&contract).unwrap();
        for (field, values) in [
            ("parameter_set", vec!["insecure-n1024-q30x5-p38".into(), "n8192-q25x5-p31".into(), "".into()]),
            ("packing", vec!["other".into()]),
            ("input_width", vec![0.into(), 13.into(), 5000.into(), (-1).into()]),
            ("output_width", vec![0.into(), 13.into(), 5000.into()]),
            ("input_bound", vec![0.0.into(), (-4.0).into(), 3.0.into(), 1e30.into()]),
            ("input_scale", vec![0.5.into(), 1e12.into(), 1e80.into(), serde_json::Value::Null]),
            ("input_level", vec![0.into(), 4.into(), 6.into()]),
            ("output_scale", vec![0.0.into(), 2.0.into(), 1e80.into()]),
            ("output_level", vec![0.into(), 1.into(), 5.into()]),
            ("block_rows", vec![0.into(), 4095.into(), 8192.into()]),
            ("circuit", vec!["00".into(), "0".repeat(64).into()]),
            ("unknown", vec![1.into()]),
        ] {
            for value in values {
                let mut altered = json.clone();
                altered[field] = value.clone();
                if let Ok(altered) = serde_json::from_value::<Contract>(altered) {
                    assert_ne!(altered.digest(), contract.digest(), "{field} = {value}");
                }
            }
        }
    }
}

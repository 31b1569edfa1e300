//! What is promised: epsilon, delta, the privacy unit and the adjacency, always together.
//!
//! A bare number is not a guarantee. `epsilon = 1` for "one record added or removed" and
//! `epsilon = 1` for "one record replaced" are different promises, so the types here keep the number
//! and its meaning in one value, and refuse numbers that promise nothing.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::accountant::gdp::Mu;
use crate::accountant::tcdp::Order;
use crate::accountant::{Accountant, AccountantError, zcdp};
use crate::event::Event;
use crate::loss::Losses;
use crate::rho::Rho;

/// A number that cannot be a privacy parameter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Not a usable epsilon.
    #[error(
        "epsilon is {value:?}, which promises nothing; give a finite number above 0 and at most {max:e}, such as 1.0",
        max = Epsilon::MAX
    )]
    Epsilon {
        /// The number given.
        value: f64,
    },
    /// Not a usable delta.
    #[error(
        "delta is {value:?}, which is no small probability; give a number above 0 and below 1, such as 1e-5"
    )]
    Delta {
        /// The number given.
        value: f64,
    },
    /// Not a privacy unit.
    #[error(
        "{text:?} is no privacy unit; give record, or person:K with K records of one person at most, such as person:4"
    )]
    Unit {
        /// The text given, shortened.
        text: String,
    },
    /// Not an order.
    #[error("the order is {value}; give a whole number from {min} to {max}", min = Order::MIN, max = Order::MAX)]
    Order {
        /// The number given.
        value: u32,
    },
    /// Not a usable rho.
    #[error(
        "rho is {value}, which is no zCDP loss; give a plain decimal from 0 to {max} with at most 12 decimals",
        max = Rho::MAX
    )]
    Rho {
        /// The number or text given.
        value: String,
    },
}

/// The multiplicative part of an (epsilon, delta) guarantee.
///
/// Finite, above 0 and at most [`Epsilon::MAX`]. Prints rounded up to six decimals, because a
/// printed loss must not be smaller than the real one.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Epsilon(f64);

impl Epsilon {
    /// The loss of having released nothing. A total can be zero; a request cannot, so
    /// [`Epsilon::new`] and deserialization refuse it.
    pub const ZERO: Epsilon = Epsilon(0.0);
    /// As good as nothing: what it buys, delta alone covers.
    pub(crate) const SMALL: Epsilon = Epsilon(1e-12);
    /// Above this a number is a mistake of units and not a promise.
    pub const MAX: f64 = 1e9;

    /// Checks and wraps a number.
    ///
    /// # Errors
    /// [`ParameterError::Epsilon`] for NaN, infinities, zero, negative numbers and numbers above
    /// [`Epsilon::MAX`].
    pub fn new(value: f64) -> Result<Epsilon, ParameterError> {
        if value > 0.0 && value <= Epsilon::MAX {
            Ok(Epsilon(value))
        } else {
            Err(ParameterError::Epsilon { value })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Epsilon {
    type Error = ParameterError;

    fn try_from(value: f64) -> Result<Epsilon, ParameterError> {
        Epsilon::new(value)
    }
}

impl From<Epsilon> for f64 {
    fn from(epsilon: Epsilon) -> f64 {
        epsilon.0
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = self.0.to_string();
        let n_decimals = shortest.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        if n_decimals <= 6 { f.pad(&shortest) } else { f.pad(&((self.0 * 1e6).ceil() / 1e6).to_string()) }
    }
}

/// The additive part of an (epsilon, delta) guarantee: a probability above 0 and below 1.
///
/// Prints in scientific notation, rounded up to four digits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Delta(f64);

impl Delta {
    /// Checks and wraps a number.
    ///
    /// # Errors
    /// [`ParameterError::Delta`] unless 0 < `value` < 1.
    pub fn new(value: f64) -> Result<Delta, ParameterError> {
        if value > 0.0 && value < 1.0 { Ok(Delta(value)) } else { Err(ParameterError::Delta { value }) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Delta {
    type Error = ParameterError;

    fn try_from(value: f64) -> Result<Delta, ParameterError> {
        Delta::new(value)
    }
}

impl From<Delta> for f64 {
    fn from(delta: Delta) -> f64 {
        delta.0
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = format!("{:e}", self.0);
        match shortest.split_once('e') {
            Some((mantissa, exponent)) if mantissa.len() > "1.234".len() => {
                // A mantissa is below 10, so this cannot lose digits that matter.
                let mantissa: f64 = mantissa.parse().map_err(|_| fmt::Error)?;
                f.pad(&format!("{}e{exponent}", (mantissa * 1e3).ceil() / 1e3))
            }
            _ => f.pad(&shortest),
        }
    }
}

/// What one unit of protection is.
///
/// In text, JSON and policies it is `record`, or `person:K` with K the bound on contributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum PrivacyUnit {
    /// One record: one row of the private table. A person with three rows is protected as three
    /// units, that is with nine times the rho.
    Record,
    /// One person with all of their records, told apart by a unit column.
    Person {
        /// K, how many records of one person are used at most: the first ones in the order of the file,
        /// whatever they say.
        contributions: NonZeroU32,
    },
}

impl PrivacyUnit {
    /// What one unit is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            PrivacyUnit::Record => "record",
            PrivacyUnit::Person { .. } => "person",
        }
    }
}

impl fmt::Display for PrivacyUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivacyUnit::Record => f.pad("record"),
            PrivacyUnit::Person { contributions } => f.pad(&format!("person:{contributions}")),
        }
    }
}

impl FromStr for PrivacyUnit {
    type Err = ParameterError;

    fn from_str(text: &str) -> Result<PrivacyUnit, ParameterError> {
        let person =
            |bound: &str| bound.parse().ok().map(|contributions| PrivacyUnit::Person { contributions });
        let unit = match text.split_once(':') {
            None if text == "record" => Some(PrivacyUnit::Record),
            Some(("person", bound)) => person(bound),
            _ => None,
        };
        // One spelling each, so that digests over a unit are digests of its meaning.
        unit.filter(|unit| unit.to_string() == text)
            .ok_or_else(|| ParameterError::Unit { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for PrivacyUnit {
    type Error = ParameterError;

    fn try_from(text: String) -> Result<PrivacyUnit, ParameterError> {
        text.parse()
    }
}

impl From<PrivacyUnit> for String {
    fn from(unit: PrivacyUnit) -> String {
        unit.to_string()
    }
}

/// Which datasets count as neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Adjacency {
    /// One unit is added or removed; the number of units is private as well.
    AddRemove,
    /// One unit is replaced by another; the number of units is the same and may be known.
    Replace,
}

impl Adjacency {
    /// In how many clipped contributions neighbors differ at most: one that is there or not, or two of
    /// which one stands for the other.
    pub fn contributions_changed(self) -> u64 {
        match self {
            Adjacency::AddRemove => 1,
            Adjacency::Replace => 2,
        }
    }
}

impl fmt::Display for Adjacency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Adjacency::AddRemove => "add-remove",
            Adjacency::Replace => "replace",
        })
    }
}

/// By which theory an epsilon is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proof {
    /// Zero-concentrated DP, converted by OpenDP.
    #[default]
    Zcdp,
    /// Exact Gaussian DP with the margin of the integer grid.
    Gdp,
    /// The privacy loss distribution of the steps as they were planned, with the margin of the integer grid.
    Pld,
}

impl Proof {
    /// The accountant of the ledgers that take such releases.
    pub fn accountant(self) -> Accountant {
        match self {
            Proof::Gdp => Accountant::Gdp,
            Proof::Zcdp | Proof::Pld => Accountant::Zcdp,
        }
    }

    /// Whether this is the one that goes without saying, as in the first heads and ledgers.
    fn is_default(&self) -> bool {
        *self == Proof::default()
    }
}

/// A differential-privacy guarantee with everything needed to read it.
///
/// Fields can be read and not written outside this crate; a release plan makes one from its event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Guarantee {
    /// The epsilon at `delta`.
    pub epsilon: Epsilon,
    /// The probability at which `epsilon` is stated.
    pub delta: Delta,
    /// What proves `epsilon`.
    #[serde(default, skip_serializing_if = "Proof::is_default")]
    pub proof: Proof,
    /// The zCDP loss, which is what composes.
    pub rho: Rho,
    /// The largest order up to which `rho` holds; `None` if it holds at all orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What one unit of protection is.
    pub unit: PrivacyUnit,
    /// Which datasets count as neighbors.
    pub adjacency: Adjacency,
}

/// The epsilon of releases whose steps are fixed in a plan, by their privacy loss distribution.
fn planned_epsilon(event: &Event, delta: Delta) -> Result<Epsilon, AccountantError> {
    match event {
        Event::SampledGaussianSum(sum) => sum.epsilon(delta),
        Event::Sequence(sequence) => sequence.epsilon(delta),
        _ => Losses::of(event).epsilon(Accountant::Zcdp, delta),
    }
}

impl Guarantee {
    /// The guarantee that `rho`-zCDP gives at `delta`.
    ///
    /// # Errors
    /// [`AccountantError`] if the conversion from zCDP fails.
    pub fn from_rho(
        rho: Rho,
        delta: Delta,
        unit: PrivacyUnit,
        adjacency: Adjacency,
    ) -> Result<Guarantee, AccountantError> {
        let (epsilon, proof) = (zcdp::epsilon(rho, delta)?, Proof::Zcdp);
        Ok(Guarantee { epsilon, delta, proof, rho, order: None, unit, adjacency })
    }

    /// The guarantee of one event alone, in a ledger that counts by `accountant`.
    ///
    /// # Errors
    /// [`AccountantError::NotGaussian`] if the accountant does not cover the event, and the accountant's own errors.
    pub fn of(
        event: &Event,
        accountant: Accountant,
        delta: Delta,
        unit: PrivacyUnit,
        adjacency: Adjacency,
    ) -> Result<Guarantee, AccountantError> {
        let losses = Losses::of(event);
        let (epsilon, proof) = match (event, accountant) {
            // The steps of one plan are fixed before it begins, so that the tighter theory holds. Its margin for the
            // grid is worth nothing at an epsilon of 25 or so, where a delta is small beside e^epsilon.
            (Event::SampledGaussianSum(_) | Event::Sequence(_), Accountant::Zcdp) => {
                match planned_epsilon(event, delta) {
                    Err(AccountantError::GridTooCoarse { .. }) => {
                        (losses.epsilon(accountant, delta)?, Proof::Zcdp)
                    }
                    epsilon => (epsilon?, Proof::Pld),
                }
            }
            (_, Accountant::Zcdp) => (losses.epsilon(accountant, delta)?, Proof::Zcdp),
            (_, Accountant::Gdp) => (losses.epsilon(accountant, delta)?, Proof::Gdp),
        };
        Ok(Guarantee { epsilon, delta, proof, rho: losses.rho(), order: losses.order(), unit, adjacency })
    }

    /// The epsilon of this release alone at another delta, by the same accountant; `event` is what was done.
    ///
    /// # Errors
    /// [`AccountantError`] where the accountant has no figure, as Gaussian DP has none where the grid alone is more than delta.
    pub fn epsilon_at(&self, event: &Event, delta: Delta) -> Result<Epsilon, AccountantError> {
        Ok(Guarantee::of(event, self.proof.accountant(), delta, self.unit, self.adjacency)?.epsilon)
    }

    /// Checks that everything stated follows from the event: the figures are no smaller than what it costs, in
    /// the last digits.
    ///
    /// # Errors
    /// As for [`Guarantee::of`].
    pub fn follows_from(&self, event: &Event) -> Result<bool, AccountantError> {
        let accountant = self.proof.accountant();
        let again = Guarantee::of(event, accountant, self.delta, self.unit, self.adjacency)?;
        // A little room, so that a later version of an accountant does not condemn an old ledger: each gives an upper
        // bound, which a finer grid lowers.
        let above = if self.proof == Proof::Pld { 1e-3 } else { 1e-6 };
        let ratio = self.epsilon.get() / again.epsilon.get();
        let is_close = (1.0 - 1e-6..=1.0 + above).contains(&ratio) || self.epsilon == again.epsilon;
        Ok(is_close && again == Guarantee { epsilon: again.epsilon, ..self.clone() })
    }

    /// The epsilon at the same delta for a group of `size` units that change together, such as the
    /// records of one person where the unit is a record.
    ///
    /// rho-zCDP for one unit is size^2 * rho-zCDP for a group (Bun and Steinke 2016, on group privacy). The figure is
    /// zCDP's, whatever proves the epsilon of one unit.
    ///
    /// # Errors
    /// [`AccountantError::SampledGroup`] if rho holds up to an order only; [`AccountantError`] if the group's rho is too large
    /// to write down or the conversion fails.
    pub fn group_epsilon(&self, size: NonZeroU32) -> Result<Epsilon, AccountantError> {
        if self.order.is_some() {
            return Err(AccountantError::SampledGroup);
        }
        let rho = self.rho.times(size.get()).and_then(|rho| rho.times(size.get()));
        let too_large = || ParameterError::Rho { value: format!("{size}^2 times {}", self.rho) };
        zcdp::epsilon(rho.ok_or_else(too_large)?, self.delta)
    }

    /// The definition of (epsilon, delta)-differential privacy with this guarantee's numbers, unit
    /// and adjacency filled in (Dwork and Roth 2014, Definition 2.4).
    pub fn formal_sentence(&self) -> String {
        let neighbors = match (self.adjacency, self.unit) {
            (Adjacency::AddRemove, PrivacyUnit::Record) => "adding or removing one record",
            (Adjacency::AddRemove, PrivacyUnit::Person { .. }) => {
                "adding or removing all records of one person"
            }
            (Adjacency::Replace, PrivacyUnit::Record) => "replacing one record by another",
            (Adjacency::Replace, PrivacyUnit::Person { .. }) => {
                "replacing all records of one person by those of another"
            }
        };
        format!(
            "For every pair of datasets that differ by {neighbors}, and for every set S of possible \
             outputs, the probability that the output lies in S on one dataset is at most \
             exp({epsilon}) times the probability that it lies in S on the other, plus {delta}. {reason}",
            epsilon = self.epsilon,
            delta = self.delta,
            reason = self.reason(),
        )
    }

    fn reason(&self) -> String {
        let rho = self.rho;
        match (self.proof, self.order) {
            (Proof::Zcdp, None) => format!("This follows from rho-zCDP with rho = {rho}."),
            (Proof::Gdp, _) => format!(
                "This follows from mu-GDP with mu = {:.6}, and the margin of the integer grid; rho = {rho}.",
                Mu::from_rho(rho).get()
            ),
            (Proof::Zcdp, Some(order)) => {
                format!("This follows from rho-zCDP truncated at order {order}, with rho = {rho}.")
            }
            (Proof::Pld, order) => {
                let order = order.map_or(String::new(), |order| format!(" up to order {order}"));
                format!(
                    "This follows from the privacy loss distribution of its steps on Poisson samples; the ledger \
                     counts rho = {rho}{order}."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_promise_nothing_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0, 1e308] {
            assert!(Epsilon::new(value).is_err(), "{value}");
            assert!(Delta::new(value).is_err(), "{value}");
        }
        assert!(Delta::new(1.0).is_err());
        assert!(serde_json::from_str::<Epsilon>("-1").is_err());
        assert!(serde_json::from_str::<Epsilon>("1e308").is_err());
        assert!(serde_json::from_str::<Delta>("1").is_err());
    }

    #[test]
    fn numbers_print_rounded_up() {
        assert_eq!(Epsilon::new(1.0).unwrap().to_string(), "1");
        assert_eq!(Epsilon::new(0.1234561).unwrap().to_string(), "0.123457");
        assert_eq!(Delta::new(1e-5).unwrap().to_string(), "1e-5");
        assert_eq!(Delta::new(3.98107e-5).unwrap().to_string(), "3.982e-5");
    }

    #[test]
    fn a_unit_has_one_spelling() {
        for text in ["record", "person:1", "person:40"] {
            assert_eq!(text.parse::<PrivacyUnit>().unwrap().to_string(), text);
        }
        for text in
            ["", "Record", "record:1", "person", "person:", "person:0", "person:04", "person:+4", "person:-1"]
        {
            let error = text.parse::<PrivacyUnit>().unwrap_err().to_string();
            assert!(error.contains("person:4"), "{text}: {error}");
        }
    }

    #[test]
    fn a_group_pays_the_square() {
        let guarantee = |rho: &str| {
            let delta = Delta::new(1e-5).unwrap();
            Guarantee::from_rho(rho.parse().unwrap(), delta, PrivacyUnit::Record, Adjacency::AddRemove)
                .unwrap()
        };
        let size = |size: u32| NonZeroU32::new(size).unwrap();
        let one = guarantee("0.02");
        assert_eq!(one.group_epsilon(size(1)).unwrap(), one.epsilon);
        assert_eq!(one.group_epsilon(size(5)).unwrap(), guarantee("0.5").epsilon);
        assert!(one.group_epsilon(size(u32::MAX)).is_err(), "beyond what can be written down");
    }

    #[test]
    fn a_guarantee_states_itself_and_round_trips() {
        let guarantee = Guarantee::from_rho(
            "0.02".parse().unwrap(),
            Delta::new(1e-5).unwrap(),
            PrivacyUnit::Record,
            Adjacency::AddRemove,
        )
        .unwrap();
        let sentence = guarantee.formal_sentence();
        assert!(
            sentence.starts_with("For every pair of datasets that differ by adding or removing one record")
        );
        assert!(sentence.contains("1e-5") && sentence.contains("rho = 0.02"), "{sentence}");
        let json = serde_json::to_string(&guarantee).unwrap();
        assert!(json.contains(r#""adjacency":"add-remove""#), "{json}");
        assert_eq!(serde_json::from_str::<Guarantee>(&json).unwrap(), guarantee);
    }
}

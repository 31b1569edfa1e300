//! `Rho`, the exact unit in which the ledger counts privacy loss.
//!
//! Zero-concentrated differential privacy composes by plain addition, even when later releases are
//! chosen after seeing earlier ones (Bun and Steinke 2016). Addition is exact only if the
//! numbers are, so a rho is a whole number of units of 1e-12 and never a float. Every conversion
//! from a float rounds up, towards more loss.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::guarantee::ParameterError;

/// Digits after the decimal point.
const DECIMALS: usize = 12;
/// Units in 1.0.
const UNITS_PER_ONE: u64 = 1_000_000_000_000;

/// A zCDP privacy loss, an exact decimal with twelve digits after the point.
///
/// The largest value is about 1.8e7, far above any loss that still means something. In text and in
/// JSON it is a decimal string such as `"0.125"`, so that no reader turns it into a float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rho(u64);

impl Rho {
    /// No loss at all.
    pub const ZERO: Rho = Rho(0);
    /// The largest loss that can be written down.
    pub const MAX: Rho = Rho(u64::MAX);

    /// The smallest rho that is not below `value`.
    ///
    /// # Errors
    /// [`ParameterError::Rho`] if `value` is NaN, infinite, negative or above [`Rho::MAX`].
    pub fn from_f64_rounding_up(value: f64) -> Result<Rho, ParameterError> {
        let error = || ParameterError::Rho { value: format!("{value:?}") };
        let (floor, is_exact) = units_below(value).ok_or_else(error)?;
        let units = if is_exact { floor } else { floor + 1 };
        u64::try_from(units).map(Rho).map_err(|_| error())
    }

    /// The smallest `f64` that is not below this rho.
    pub fn to_f64_rounding_up(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let reaches = |value: f64| units_below(value).is_some_and(|(floor, _)| floor >= u128::from(self.0));
        // Both the conversion and the division are within half a unit in the last place, so the
        // answer is at most two floats above this start.
        let mut value = (self.0 as f64 / UNITS_PER_ONE as f64).next_down().next_down();
        while !reaches(value) {
            value = value.next_up();
        }
        value
    }

    /// The sum, or `None` above [`Rho::MAX`].
    pub fn checked_add(self, other: Rho) -> Option<Rho> {
        self.0.checked_add(other.0).map(Rho)
    }

    /// The difference, or `None` if `other` is larger.
    pub fn checked_sub(self, other: Rho) -> Option<Rho> {
        self.0.checked_sub(other.0).map(Rho)
    }

    /// This loss suffered `count` times, or `None` above [`Rho::MAX`].
    pub fn times(self, count: u32) -> Option<Rho> {
        self.0.checked_mul(u64::from(count)).map(Rho)
    }

    /// The largest rho of which `count` copies do not exceed this one; `None` if `count` is zero.
    pub fn divided_rounding_down(self, count: u32) -> Option<Rho> {
        self.0.checked_div(u64::from(count)).map(Rho)
    }

    pub(crate) const fn from_units(units: u64) -> Rho {
        Rho(units)
    }

    pub(crate) const fn units(self) -> u64 {
        self.0
    }
}

/// The whole number of units of 1e-12 in `value`, and whether nothing is left over.
///
/// `None` for values that are not finite, negative, or too large for the arithmetic. A float is
/// `mantissa * 2^exponent` with a mantissa below 2^53, and 1e12 is below 2^40, so the product is
/// exact in 128 bits.
fn units_below(value: f64) -> Option<(u128, bool)> {
    if !(0.0..1e9).contains(&value) {
        return None;
    }
    let bits = value.to_bits() & !(1 << 63); // clears the sign of -0.0
    let biased_exponent = (bits >> 52) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match biased_exponent {
        0 => (fraction, -1074),
        _ => (fraction | (1 << 52), biased_exponent - 1075),
    };
    let product = u128::from(mantissa) * u128::from(UNITS_PER_ONE);
    if exponent >= 0 {
        return None; // at least 2^52, excluded above
    }
    match exponent.unsigned_abs() {
        shift if shift >= 128 => Some((0, product == 0)),
        shift => {
            let floor = product >> shift;
            Some((floor, floor << shift == product))
        }
    }
}

impl fmt::Display for Rho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0 / UNITS_PER_ONE;
        let fraction = format!("{:0width$}", self.0 % UNITS_PER_ONE, width = DECIMALS);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { f.pad(&whole.to_string()) } else { f.pad(&format!("{whole}.{fraction}")) }
    }
}

impl FromStr for Rho {
    type Err = ParameterError;

    /// Reads a plain decimal such as `0.125`: no sign, no exponent, at most twelve decimals.
    fn from_str(text: &str) -> Result<Rho, ParameterError> {
        let error = || ParameterError::Rho { value: text.to_owned() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > DECIMALS {
            return Err(error());
        }
        let padded = format!("{fraction:0<width$}", width = DECIMALS);
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let fraction: u64 = padded.parse().map_err(|_| error())?;
        whole
            .checked_mul(UNITS_PER_ONE)
            .and_then(|units| units.checked_add(fraction))
            .map(Rho)
            .ok_or_else(error)
    }
}

impl TryFrom<String> for Rho {
    type Error = ParameterError;

    fn try_from(text: String) -> Result<Rho, ParameterError> {
        text.parse()
    }
}

impl From<Rho> for String {
    fn from(rho: Rho) -> String {
        rho.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_round_up_and_decimals_are_exact() {
        // 0.1 as a float is a little above one tenth.
        assert_eq!(Rho::from_f64_rounding_up(0.1).unwrap().units(), 100_000_000_001);
        assert_eq!(Rho::from_f64_rounding_up(0.5).unwrap().to_string(), "0.5");
        assert_eq!(Rho::from_f64_rounding_up(f64::MIN_POSITIVE / 4.0).unwrap().units(), 1);
        assert_eq!(Rho::from_f64_rounding_up(-0.0).unwrap(), Rho::ZERO);
        assert_eq!("0.1".parse::<Rho>().unwrap().units(), 100_000_000_000);
        assert_eq!("3".parse::<Rho>().unwrap().to_string(), "3");
    }

    #[test]
    fn values_that_are_no_loss_are_refused() {
        for value in [f64::NAN, f64::INFINITY, -1e-300, 1e308, 1.9e7] {
            assert!(Rho::from_f64_rounding_up(value).is_err(), "{value}");
        }
        for text in ["", ".", "-1", "+1", "1e3", "nan", "1.", ".5", "0.1234567890123", "99999999999"] {
            assert!(text.parse::<Rho>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(units: u64) {
            let rho = Rho::from_units(units);
            prop_assert_eq!(rho.to_string().parse::<Rho>().unwrap(), rho);
            let json = serde_json::to_string(&rho).unwrap();
            prop_assert_eq!(serde_json::from_str::<Rho>(&json).unwrap(), rho);
        }

        #[test]
        fn float_conversions_never_lose_loss(units: u64) {
            let rho = Rho::from_units(units);
            let float = rho.to_f64_rounding_up();
            prop_assert!(units_below(float).unwrap().0 >= u128::from(units));
            prop_assert!(units_below(float.next_down()).is_none_or(|(floor, _)| floor < u128::from(units)));
            if let Ok(back) = Rho::from_f64_rounding_up(float) {
                prop_assert!(back >= rho);
            }
        }
    }
}

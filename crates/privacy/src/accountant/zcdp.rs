//! Zero-concentrated differential privacy: the theory in which ledgers add up.
//!
//! A mechanism is rho-zCDP if, for every pair of neighboring datasets and every order
//! alpha > 1, the Rényi divergence of order alpha between its outputs is at most rho * alpha
//! (Bun and Steinke 2016). Losses add up under composition, also where a mechanism is chosen after seeing the outputs of
//! those before (Bun and Steinke 2016); and, because the definition holds order by order, also where its *loss* is chosen so, as
//! long as the sum stays within a cap that was fixed before (Feldman and Zrnic 2021).
//!
//! The conversion to (epsilon, delta) is that of Canonne, Kamath and Steinke 2020: if the Rényi divergence of order alpha
//! is at most alpha * rho, then for every epsilon >= 0 the delta inside the minimum is enough:
//!
//! ```text
//! delta(epsilon) = min over alpha > 1 of
//!     exp((alpha - 1)(alpha * rho - epsilon)) / (alpha - 1) * (1 - 1/alpha)^alpha
//! ```
//!
//! It is not computed here. This module builds the smallest OpenDP measurement that has the loss
//! `rho` and asks OpenDP, whose arithmetic rounds towards more loss at every operation. Known answers
//! at delta = 1e-5: rho 0.02, 0.1, 0.5, 1.0 give epsilon 0.794, 1.914, 4.728, 7.077.

use std::sync::{Mutex, MutexGuard, PoisonError};

use opendp::combinators::make_zCDP_to_approxDP;
use opendp::domains::AtomDomain;
use opendp::measurements::make_gaussian;
use opendp::measures::{PrivacyProfile, ZeroConcentratedDivergence};
use opendp::metrics::AbsoluteDistance;

use super::AccountantError;
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// The epsilon that `rho`-zCDP implies at `delta`, rounded up.
///
/// `Rho::ZERO` gives [`Epsilon::ZERO`].
///
/// # Errors
/// [`AccountantError::OpenDp`] if OpenDP fails, [`AccountantError::Parameter`] if the result is
/// above [`Epsilon::MAX`].
pub fn epsilon(rho: Rho, delta: Delta) -> Result<Epsilon, AccountantError> {
    if rho == Rho::ZERO {
        return Ok(Epsilon::ZERO);
    }
    let _one_at_a_time = opendp_arithmetic();
    let epsilon = privacy_profile(rho)?.epsilon(delta.get()).map_err(from_opendp)?;
    // At a large delta a small loss needs no epsilon at all.
    if epsilon == 0.0 {
        return Ok(Epsilon::ZERO);
    }
    Ok(Epsilon::new(epsilon)?)
}

/// The delta, from 0 to 1, that `rho`-zCDP implies at `epsilon`, rounded up.
///
/// # Errors
/// [`AccountantError::OpenDp`] if OpenDP fails.
pub fn delta(rho: Rho, epsilon: Epsilon) -> Result<f64, AccountantError> {
    if rho == Rho::ZERO {
        return Ok(0.0);
    }
    let _one_at_a_time = opendp_arithmetic();
    privacy_profile(rho)?.delta(epsilon.get()).map_err(from_opendp)
}

/// The epsilon at each of `deltas`, in their order.
///
/// # Errors
/// As [`epsilon`].
pub fn profile(rho: Rho, deltas: &[Delta]) -> Result<Vec<(Delta, Epsilon)>, AccountantError> {
    deltas.iter().map(|&delta| Ok((delta, epsilon(rho, delta)?))).collect()
}

/// OpenDP's privacy profile of a Gaussian measurement whose loss is at least `rho`, and above it by
/// a few units in the last place at most. `rho` must be positive.
fn privacy_profile(rho: Rho) -> Result<PrivacyProfile, AccountantError> {
    // On integers, so that the map is d_in^2 / 2 with no surcharge for a float grid.
    let unit_gaussian = make_gaussian::<_, _, ZeroConcentratedDivergence>(
        AtomDomain::<i64>::default(),
        AbsoluteDistance::<f64>::default(),
        1.0,
        None,
    )
    .map_err(from_opendp)?;
    let target = rho.to_f64_rounding_up();
    let mut d_in = (2.0 * target).sqrt();
    while unit_gaussian.map(&d_in).map_err(from_opendp)? < target {
        d_in = d_in.next_up();
    }
    let profile = make_zCDP_to_approxDP(unit_gaussian)
        .and_then(|measurement| measurement.map(&d_in))
        .map_err(from_opendp)?;
    // OpenDP gives an error instead of a delta where an exponential overflows, that is for an epsilon
    // far below a large rho. Delta = 1 holds for every mechanism, so it is a sound answer there.
    Ok(PrivacyProfile::new(move |epsilon| Ok(profile.delta(epsilon).unwrap_or(1.0))))
}

/// Held while OpenDP does rounded arithmetic.
///
/// OpenDP 0.16 replaces the process's panic hook with a silent one around some of its operations and
/// puts the old one back. Two threads doing so at once can put the silent one back for good, and every
/// later panic of the program would go unreported. (A panic in another thread while this is held still
/// does; that cannot be helped from here.)
fn opendp_arithmetic() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn from_opendp(error: opendp::error::Error) -> AccountantError {
    AccountantError::OpenDp { message: error.message.unwrap_or_else(|| format!("{:?}", error.variant)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta_of(value: f64) -> Delta {
        Delta::new(value).unwrap()
    }

    #[test]
    fn known_answers_at_delta_1e_5() {
        for (rho, expected) in [("0.02", 0.794), ("0.1", 1.914), ("0.5", 4.728), ("1", 7.077)] {
            let epsilon = epsilon(rho.parse().unwrap(), delta_of(1e-5)).unwrap().get();
            assert!((epsilon - expected).abs() < 5.1e-4, "rho {rho}: {epsilon}");
        }
    }

    #[test]
    fn agrees_with_the_conversion_of_the_reference_implementation() {
        // zCDP of the Gaussian, converted by the code that accompanies Canonne, Kamath and Steinke
        // 2020: sigma, number of compositions, epsilon at delta = 1e-5.
        for (sigma, count, expected) in [
            (1.0, 1, 4.72838698),
            (1.0, 10, 19.0472596),
            (1.0, 100, 96.0352707),
            (4.0, 1, 1.01228664),
            (4.0, 10, 3.61696625),
            (4.0, 100, 14.1305475_f64),
        ] {
            let rho = Rho::from_f64_rounding_up(f64::from(count) / (2.0 * sigma * sigma)).unwrap();
            let epsilon = epsilon(rho, delta_of(1e-5)).unwrap().get();
            assert!((epsilon - expected).abs() < 1e-6 * expected, "{sigma} {count}: {epsilon}");
        }
    }

    #[test]
    fn nothing_spent_is_nothing_lost() {
        assert_eq!(epsilon(Rho::ZERO, delta_of(1e-5)).unwrap(), Epsilon::ZERO);
        assert_eq!(delta(Rho::ZERO, Epsilon::new(1.0).unwrap()).unwrap(), 0.0);
    }

    #[test]
    fn extreme_losses_still_have_a_figure() {
        let tiny = epsilon(Rho::from_units(1), delta_of(1e-12)).unwrap();
        assert!(tiny.get() > 0.0 && tiny.get() < 1e-4, "{tiny}");
        assert!(epsilon(Rho::MAX, delta_of(1e-5)).unwrap().get() > 1.8e7);
        assert!(epsilon(Rho::from_units(1), delta_of(0.5)).unwrap().get() < 1e-3);
    }

    #[test]
    fn epsilon_and_delta_are_inverse_to_each_other() {
        let rho: Rho = "0.25".parse().unwrap();
        let target = delta_of(1e-6);
        let epsilon = epsilon(rho, target).unwrap();
        let back = delta(rho, epsilon).unwrap();
        assert!(back <= target.get() && back > target.get() * (1.0 - 1e-9), "{back}");
    }

    #[test]
    fn the_profile_falls_as_delta_grows() {
        let deltas = [1e-9, 1e-7, 1e-5, 1e-3].map(delta_of);
        let profile = profile("0.3".parse().unwrap(), &deltas).unwrap();
        assert!(profile.windows(2).all(|pair| pair[0].1 > pair[1].1));
    }
}

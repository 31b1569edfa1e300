//! From a promise to DP noise: the largest loss a promise allows, and the least noise a loss allows.

use serde::Serialize;

use crate::accountant::{AccountantError, zcdp};
use crate::guarantee::{Delta, Epsilon};
use crate::mechanism::{self, MechanismError};
use crate::rho::Rho;

/// The largest rho whose epsilon at `delta` is not above `epsilon`.
///
/// Bisection over whole units of 1e-12, checked at the end with the accountant that will be charged,
/// so that `zcdp::epsilon(largest_rho(e, d), d) <= e` always holds.
///
/// # Errors
/// [`AccountantError::NothingToSpend`] if not even rho = 1e-12 fits, [`AccountantError::OpenDp`] if
/// OpenDP fails.
pub fn largest_rho(epsilon: Epsilon, delta: Delta) -> Result<Rho, AccountantError> {
    let fits = |rho: Rho| Ok::<bool, AccountantError>(zcdp::delta(rho, epsilon)? <= delta.get());
    let (mut low, mut high) = (0_u64, Rho::MAX.units());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(Rho::from_units(middle))? {
            low = middle;
        } else {
            high = middle;
        }
    }
    // The two directions of the conversion round separately; the figure that counts is epsilon.
    let mut step_back = 1;
    while low > 0 && zcdp::epsilon(Rho::from_units(low), delta)? > epsilon {
        low = low.saturating_sub(step_back);
        step_back *= 2;
    }
    match low {
        0 => Err(AccountantError::NothingToSpend { epsilon, delta }),
        units => Ok(Rho::from_units(units)),
    }
}

/// DP noise for a number of Gaussian sums, and its exact cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GaussianCalibration {
    /// sigma, the standard deviation of the DP noise divided by the sensitivity.
    pub noise_multiplier: f64,
    /// The zCDP loss of one sum, from the measurement's own map, rounded up.
    pub rho_per_step: Rho,
    /// The zCDP loss of all sums.
    pub rho: Rho,
}

impl GaussianCalibration {
    /// The standard deviation of the DP noise for a sum of the given L2 sensitivity.
    pub fn scale(&self, sensitivity: f64) -> f64 {
        self.noise_multiplier * sensitivity
    }

    /// The cost of `steps` Gaussian sums with a given noise multiplier.
    ///
    /// # Errors
    /// [`CalibrationError`] if `steps` is zero, the multiplier is not finite and positive, or the loss
    /// is too large to write down.
    pub fn from_noise_multiplier(
        noise_multiplier: f64,
        steps: u32,
    ) -> Result<GaussianCalibration, CalibrationError> {
        if steps == 0 {
            return Err(CalibrationError::NoSteps);
        }
        let rho_per_step = mechanism::rho_of_one_step(noise_multiplier)?;
        let rho =
            rho_per_step.times(steps).ok_or(CalibrationError::TooMuchLoss { noise_multiplier, steps })?;
        Ok(GaussianCalibration { noise_multiplier, rho_per_step, rho })
    }

    /// The least DP noise with which `steps` Gaussian sums cost at most `rho` together.
    ///
    /// One sum of sensitivity D with noise of standard deviation s costs D^2 / (2 s^2) (Bun and
    /// Steinke 2016, Proposition 1.6; Canonne, Kamath and Steinke 2020, Theorem 4 for the discrete
    /// Gaussian). The formula only gives the start: the multiplier is then raised, float by float,
    /// until the measurement's own map, rounded up to a unit of rho, fits `steps` times.
    ///
    /// # Errors
    /// [`CalibrationError`] if `steps` is zero, `rho` is below one unit a step, or `rho` is above 500000 a
    /// step, where the DP noise would be less than the sampler accepts.
    pub fn from_rho(rho: Rho, steps: u32) -> Result<GaussianCalibration, CalibrationError> {
        let share = rho.divided_rounding_down(steps).ok_or(CalibrationError::NoSteps)?;
        if share == Rho::ZERO {
            return Err(CalibrationError::TooManySteps { rho, steps });
        }
        let mut noise_multiplier = (0.5 / share.to_f64_rounding_up()).sqrt();
        for _ in 0..4 {
            noise_multiplier = noise_multiplier.next_down();
        }
        while mechanism::rho_of_one_step(noise_multiplier)? > share {
            noise_multiplier = noise_multiplier.next_up();
        }
        GaussianCalibration::from_noise_multiplier(noise_multiplier, steps)
    }
}

/// No DP noise fits the request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Zero sums.
    #[error("the number of steps is 0; ask for at least one")]
    NoSteps,
    /// Less than one unit of rho for each sum.
    #[error(
        "rho {rho} divided over {steps} steps is below 1e-12 a step; use fewer steps or a larger epsilon"
    )]
    TooManySteps {
        /// The loss to divide.
        rho: Rho,
        /// The number of sums.
        steps: u32,
    },
    /// More loss than can be written down.
    #[error("{steps} steps with noise multiplier {noise_multiplier} lose more than {max} in rho; add DP noise or use fewer steps", max = Rho::MAX)]
    TooMuchLoss {
        /// The multiplier asked for.
        noise_multiplier: f64,
        /// The number of sums.
        steps: u32,
    },
    /// The mechanism refused the multiplier.
    #[error(transparent)]
    Mechanism(#[from] MechanismError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_steps_and_too_many_steps_are_refused() {
        let rho = Rho::from_units(10);
        assert_eq!(GaussianCalibration::from_rho(rho, 0), Err(CalibrationError::NoSteps));
        assert!(matches!(GaussianCalibration::from_rho(rho, 11), Err(CalibrationError::TooManySteps { .. })));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(GaussianCalibration::from_noise_multiplier(bad, 1).is_err(), "{bad}");
        }
        assert!(GaussianCalibration::from_noise_multiplier(1e-5, u32::MAX).is_err());
    }

    #[test]
    fn an_epsilon_too_small_for_one_unit_is_refused() {
        let result = largest_rho(Epsilon::new(1e-9).unwrap(), Delta::new(1e-15).unwrap());
        assert!(matches!(result, Err(AccountantError::NothingToSpend { .. })), "{result:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_largest_rho_is_never_above_the_promise(
            log_epsilon in -3.0..2.0_f64,
            log_delta in -12.0..-2.0_f64,
        ) {
            let epsilon = Epsilon::new(10_f64.powf(log_epsilon)).unwrap();
            let delta = Delta::new(10_f64.powf(log_delta)).unwrap();
            let rho = largest_rho(epsilon, delta).unwrap();
            prop_assert!(zcdp::epsilon(rho, delta).unwrap() <= epsilon);
            // and it is the largest, up to the rounding of the conversion
            let more = Rho::from_f64_rounding_up(rho.to_f64_rounding_up() * (1.0 + 1e-6)).unwrap();
            let more = more.checked_add(Rho::from_units(1)).unwrap();
            prop_assert!(zcdp::epsilon(more, delta).unwrap() > epsilon);
        }

        #[test]
        fn the_noise_fits_the_loss_and_is_the_least_that_does(
            units in 1_000..u64::MAX / 4,
            steps in 1..500_u32,
        ) {
            let rho = Rho::from_units(units);
            // A step that loses more than 500000 would need a multiplier below the sampler's least, 1e-3.
            if units / u64::from(steps) > 500_000 * 1_000_000_000_000 {
                let refused = GaussianCalibration::from_rho(rho, steps);
                prop_assert!(matches!(refused, Err(CalibrationError::Mechanism(_))), "{refused:?}");
                return Ok(());
            }
            let calibration = GaussianCalibration::from_rho(rho, steps).unwrap();
            prop_assert!(calibration.rho <= rho);
            let less_noise = calibration.noise_multiplier * (1.0 - 1e-14);
            let dearer = mechanism::rho_of_one_step(less_noise).unwrap();
            prop_assert!(dearer.times(steps).is_none_or(|total| total > rho));
        }
    }
}

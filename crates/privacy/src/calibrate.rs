//! From a promise to DP noise: the largest loss a promise allows, and the least noise a loss allows.

use serde::Serialize;

use crate::accountant::gdp::{self, GridSlack, Mu};
use crate::accountant::pld::{self, Releases};
use crate::accountant::tcdp::{self, Order};
use crate::accountant::{Accountant, AccountantError, zcdp};
use crate::guarantee::{Delta, Epsilon};
use crate::mechanism::{self, GRID_RADIUS, MIN_NOISE_MULTIPLIER, MechanismError, Noise};
use crate::rho::Rho;

/// The largest rho whose epsilon at `delta` by `accountant` is not above `epsilon`.
///
/// By Gaussian DP, a small share of delta is set aside for the grid of the DP noise, [`GridSlack::allowance`].
///
/// # Errors
/// As [`largest_rho`].
pub fn largest_rho_by(
    accountant: Accountant,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<Rho, AccountantError> {
    match accountant {
        Accountant::Zcdp => largest_rho(epsilon, delta),
        Accountant::Gdp => {
            let slack = GridSlack::allowance(epsilon, delta);
            let fits = |rho: Rho| Ok(gdp::delta_on_grid(Mu::from_rho(rho), slack, epsilon) <= delta.get());
            let exceeds = |rho: Rho| Ok(gdp::epsilon_on_grid(Mu::from_rho(rho), slack, delta)? > epsilon);
            largest_that(fits, exceeds)?.ok_or(AccountantError::NothingToSpend { epsilon, delta })
        }
    }
}

/// The epsilons of releases that together lose at most what `epsilon` allows, divided in these parts.
///
/// The parts are of the loss and not of epsilon: rho adds, and epsilon does not.
///
/// # Errors
/// [`AccountantError::SmallParts`] if a part is too small to plan anything with; parts of nothing are.
pub fn epsilons_of_parts(
    accountant: Accountant,
    epsilon: Epsilon,
    delta: Delta,
    parts: &[u32],
) -> Result<Vec<Epsilon>, AccountantError> {
    if let Some(found) = divided(accountant, epsilon, delta, parts)? {
        return Ok(found);
    }
    let larger = (-11..=9).filter_map(|exponent| Epsilon::new(libm::exp10(f64::from(exponent))).ok());
    for enough in larger.filter(|larger| *larger > epsilon) {
        if divided(accountant, enough, delta, parts).is_ok_and(|found| found.is_some()) {
            let least = largest_rho_by(accountant, Epsilon::SMALL, delta).unwrap_or(Rho::from_units(1));
            return Err(AccountantError::SmallParts { epsilon, delta, parts: parts.len(), least, enough });
        }
    }
    Err(AccountantError::NothingToSpend { epsilon, delta })
}

/// The epsilons of parts; `None` if one is too small, or so near to that that rounding in a plan decides.
fn divided(
    accountant: Accountant,
    epsilon: Epsilon,
    delta: Delta,
    parts: &[u32],
) -> Result<Option<Vec<Epsilon>>, AccountantError> {
    let whole = largest_rho_by(accountant, epsilon, delta)?.units();
    let total: u128 = parts.iter().map(|&part| u128::from(part)).sum();
    let one = |&part: &u32| {
        let units = (u128::from(whole) * u128::from(part)).checked_div(total).unwrap_or(0);
        let limit = Rho::from_units(u64::try_from(units).unwrap_or(0));
        let exceeds = |at: f64| {
            Epsilon::new(at)
                .is_ok_and(|at| largest_rho_by(accountant, at, delta).is_ok_and(|rho| rho > limit))
        };
        // By bisection, so that what is planned with the answer is within its part whatever is rounded on the way.
        let (mut low, mut high) = (0.0, epsilon.get());
        if !exceeds(high) {
            return Some(epsilon);
        }
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            if exceeds(middle) { high = middle } else { low = middle }
        }
        Epsilon::new(low).ok().filter(|&at| {
            let bought = largest_rho_by(accountant, at, delta);
            bought.is_ok_and(|rho| promises_something(accountant, rho, delta))
        })
    };
    Ok(parts.iter().map(one).collect())
}

/// Whether what is planned with a loss has an epsilon above zero, also after a thousandth of it is lost to rounding.
fn promises_something(accountant: Accountant, rho: Rho, delta: Delta) -> bool {
    let less = Rho::from_units(rho.units() - rho.units().div_ceil(1000));
    match accountant {
        Accountant::Zcdp => zcdp::epsilon(less, delta).is_ok_and(|epsilon| epsilon > Epsilon::ZERO),
        Accountant::Gdp => {
            gdp::epsilon(Mu::from_rho(less), delta).is_ok_and(|epsilon| epsilon > Epsilon::ZERO)
        }
    }
}

/// Halvings that leave nothing of a float's precision.
const BISECTIONS: u32 = 60;

/// The largest rho that holds up to `order` and whose epsilon at `delta` is not above `epsilon`.
///
/// # Errors
/// As [`largest_rho`].
pub(crate) fn largest_rho_up_to(
    order: Order,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<Rho, AccountantError> {
    // No error: a figure that is too large to write down is too large.
    let within = |rho: Rho| tcdp::epsilon(rho, order, delta).is_ok_and(|found| found <= epsilon);
    match largest_that(|rho| Ok(within(rho)), |rho| Ok(!within(rho)))? {
        Some(rho) => Ok(rho),
        None => {
            let least = tcdp::epsilon(Rho::from_units(1), order, delta)?;
            Err(AccountantError::LowOrder { epsilon, delta, order, least })
        }
    }
}

/// The largest rho whose epsilon at `delta` is not above `epsilon`, by zCDP.
///
/// Bisection over whole units of 1e-12, checked at the end with the accountant that will be charged,
/// so that `zcdp::epsilon(largest_rho(e, d), d) <= e` always holds.
///
/// # Errors
/// [`AccountantError::NothingToSpend`] if not even rho = 1e-12 fits, [`AccountantError::OpenDp`] if
/// OpenDP fails.
pub fn largest_rho(epsilon: Epsilon, delta: Delta) -> Result<Rho, AccountantError> {
    let fits = |rho: Rho| Ok(zcdp::delta(rho, epsilon)? <= delta.get());
    let exceeds = |rho: Rho| Ok(zcdp::epsilon(rho, delta)? > epsilon);
    largest_that(fits, exceeds)?.ok_or(AccountantError::NothingToSpend { epsilon, delta })
}

/// The largest rho that `fits`, or a little less so that it does not exceed; `None` if there is none above zero.
fn largest_that(
    fits: impl Fn(Rho) -> Result<bool, AccountantError>,
    exceeds: impl Fn(Rho) -> Result<bool, AccountantError>,
) -> Result<Option<Rho>, AccountantError> {
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
    while low > 0 && exceeds(Rho::from_units(low))? {
        low = low.saturating_sub(step_back);
        step_back *= 2;
    }
    Ok((low > 0).then(|| Rho::from_units(low)))
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
    /// One sum of sensitivity D with noise of standard deviation s costs D^2 / (2 s^2) (Bun and Steinke 2016 for
    /// the Gaussian, Canonne, Kamath and Steinke 2020 for the discrete Gaussian). The formula only gives the start: the multiplier is then raised, float by float,
    /// until the measurement's own map, rounded up to a unit of rho, fits `steps` times.
    ///
    /// # Errors
    /// [`CalibrationError::NoSteps`]; [`CalibrationError::TooManySteps`] if `rho` is below one unit a step;
    /// [`CalibrationError::TooFewSteps`] if it is above 500000 a step, where the DP noise would be less than the
    /// sampler accepts.
    pub fn from_rho(rho: Rho, steps: u32) -> Result<GaussianCalibration, CalibrationError> {
        let share = rho.divided_rounding_down(steps).ok_or(CalibrationError::NoSteps)?;
        if share == Rho::ZERO {
            return Err(CalibrationError::TooManySteps { rho, steps });
        }
        if share > mechanism::rho_of_one_step(MIN_NOISE_MULTIPLIER)? {
            return Err(CalibrationError::TooFewSteps { rho, steps });
        }
        let mut noise_multiplier = (0.5 / share.to_f64_rounding_up()).sqrt();
        for _ in 0..4 {
            noise_multiplier = noise_multiplier.next_down();
        }
        // Near the largest loss that is accepted, the start would be below the least noise that is.
        noise_multiplier = noise_multiplier.max(MIN_NOISE_MULTIPLIER);
        while mechanism::rho_of_one_step(noise_multiplier)? > share {
            noise_multiplier = noise_multiplier.next_up();
        }
        GaussianCalibration::from_noise_multiplier(noise_multiplier, steps)
    }
}

/// The zCDP loss of `steps` sums with Laplace DP noise, as it is charged.
///
/// # Errors
/// [`CalibrationError`] if the multiplier is not usable, or the loss is too large to write down.
pub fn laplace_rho(noise_multiplier: f64, steps: u32) -> Result<Rho, CalibrationError> {
    let rho = mechanism::rho_of_one_sum(Noise::Laplace, noise_multiplier, GRID_RADIUS as u64)?;
    rho.times(steps).ok_or(CalibrationError::TooMuchLoss { noise_multiplier, steps })
}

/// The least noise multiplier whose `steps` sums with Laplace DP noise cost at most `rho`.
///
/// # Errors
/// As [`GaussianCalibration::from_rho`]: the same multiplier costs the same, up to rounding.
pub fn laplace_noise(rho: Rho, steps: u32) -> Result<f64, CalibrationError> {
    let mut noise_multiplier = GaussianCalibration::from_rho(rho, steps)?.noise_multiplier;
    while laplace_rho(noise_multiplier, steps)? > rho {
        noise_multiplier = noise_multiplier.next_up();
    }
    Ok(noise_multiplier)
}

/// The least noise multiplier whose `steps` full-batch Gaussian sums have at most `epsilon` at `delta` by
/// exact Gaussian differential privacy, to a few units in the last place and never below.
///
/// # Errors
/// [`CalibrationError`] if `steps` is zero, or no multiplier in [`pld::NOISE_RANGE`] fits.
pub fn gaussian_noise(epsilon: Epsilon, delta: Delta, steps: u32) -> Result<f64, CalibrationError> {
    if steps == 0 {
        return Err(CalibrationError::NoSteps);
    }
    let largest = Mu::largest(epsilon, delta)?.get();
    let (least, most) = (*pld::NOISE_RANGE.start(), *pld::NOISE_RANGE.end());
    let mut noise_multiplier = (f64::from(steps).sqrt() / largest).max(least);
    while noise_multiplier <= most && gdp::epsilon(Mu::of_sums(noise_multiplier, steps)?, delta)? > epsilon {
        noise_multiplier = noise_multiplier.next_up();
    }
    if noise_multiplier > most {
        return Err(CalibrationError::OutOfReach { largest: most, epsilon, delta });
    }
    Ok(noise_multiplier)
}

/// The least noise multiplier, to one part in 10^6, whose releases have at most `epsilon` at `delta` by the PLD
/// accountant; never one that has more.
///
/// `releases` gives the releases with a noise multiplier; more noise must not lose more.
///
/// # Errors
/// [`CalibrationError::OutOfReach`] if no multiplier in [`pld::NOISE_RANGE`] fits, and what `releases` refuses.
pub fn sampled_noise(
    epsilon: Epsilon,
    delta: Delta,
    releases: impl Fn(f64) -> Result<Vec<Releases>, AccountantError>,
) -> Result<f64, CalibrationError> {
    least_noise(epsilon, delta, |noise| Ok(pld::is_within(&releases(noise)?, epsilon, delta)?))
}

/// The least noise multiplier, to one part in 10^6, whose `steps` sampled sums have at most `epsilon` at `delta` by
/// truncated zCDP, each at its best order; never one that has more.
///
/// # Errors
/// As [`sampled_noise`].
pub fn sampled_noise_by_zcdp(
    epsilon: Epsilon,
    delta: Delta,
    sampling_rate: f64,
    steps: u32,
) -> Result<f64, CalibrationError> {
    least_noise(epsilon, delta, |noise| {
        match tcdp::best_epsilon(noise, sampling_rate, steps, delta) {
            Ok((_, _, found)) => Ok(found <= epsilon),
            // More than can be written down is too much.
            Err(AccountantError::Parameter(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    })
}

/// The least noise multiplier in [`pld::NOISE_RANGE`] that `fits`, to one part in 10^6 and not below.
fn least_noise(
    epsilon: Epsilon,
    delta: Delta,
    fits: impl Fn(f64) -> Result<bool, CalibrationError>,
) -> Result<f64, CalibrationError> {
    let (mut low, mut high) = (*pld::NOISE_RANGE.start(), *pld::NOISE_RANGE.end());
    if !fits(high)? {
        return Err(CalibrationError::OutOfReach { largest: high, epsilon, delta });
    }
    if fits(low)? {
        return Ok(low);
    }
    while high / low > 1.0 + 1e-6 {
        let middle = (low * high).sqrt();
        if fits(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
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
    /// More loss a step than the least DP noise has.
    #[error(
        "rho {rho} divided over {steps} steps is above 500000 a step, which protects nobody; use a smaller epsilon"
    )]
    TooFewSteps {
        /// The loss to divide.
        rho: Rho,
        /// The number of sums.
        steps: u32,
    },
    /// Not even the most DP noise keeps the promise.
    #[error(
        "no noise multiplier up to {largest:e} gives epsilon {epsilon} at delta {delta}; use fewer steps, a lower sampling rate or a larger epsilon"
    )]
    OutOfReach {
        /// The largest multiplier that was tried.
        largest: f64,
        /// The epsilon asked for.
        epsilon: Epsilon,
        /// The delta asked for.
        delta: Delta,
    },
    /// The accountant failed.
    #[error(transparent)]
    Accountant(#[from] AccountantError),
    /// More loss than can be written down.
    #[error("{steps} steps with noise multiplier {noise_multiplier:?} lose more than {max} in rho; add DP noise or use fewer steps", max = Rho::MAX)]
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
        assert!(
            matches!(
                result,
                Err(AccountantError::NothingToSpend { .. } | AccountantError::SmallParts { .. })
            ),
            "{result:?}"
        );
    }

    #[test]
    fn a_part_that_buys_nothing_is_refused() {
        let (epsilon, delta) = (Epsilon::new(1e-4).unwrap(), Delta::new(1e-5).unwrap());
        for parts in [&[1, 0][..], &[1, u32::MAX]] {
            let result = epsilons_of_parts(Accountant::Zcdp, epsilon, delta, parts);
            assert!(
                matches!(
                    result,
                    Err(AccountantError::NothingToSpend { .. } | AccountantError::SmallParts { .. })
                ),
                "{result:?}"
            );
        }
        assert_eq!(epsilons_of_parts(Accountant::Zcdp, epsilon, delta, &[7]).unwrap(), [epsilon]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn parts_of_a_budget_do_not_exceed_it(
            parts in prop::collection::vec(1_u32..1000, 1..5),
            epsilon in 0.05_f64..8.0,
            gdp in any::<bool>(),
        ) {
            let accountant = if gdp { Accountant::Gdp } else { Accountant::Zcdp };
            let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), Delta::new(1e-4).unwrap());
            let whole = largest_rho_by(accountant, epsilon, delta).unwrap();
            let found = epsilons_of_parts(accountant, epsilon, delta, &parts).unwrap();
            let planned: Vec<Rho> =
                found.iter().map(|&at| largest_rho_by(accountant, at, delta).unwrap()).collect();
            let sum = planned.iter().try_fold(Rho::ZERO, |sum, &rho| sum.checked_add(rho)).unwrap();
            prop_assert!(sum <= whole, "{sum} {whole}");
            prop_assert!(sum.units() as f64 > 0.999_999 * whole.units() as f64, "{sum} {whole}");
            let total: u32 = parts.iter().sum();
            for (rho, part) in planned.iter().zip(&parts) {
                let wanted = whole.units() as f64 * f64::from(*part) / f64::from(total);
                prop_assert!((rho.units() as f64 / wanted - 1.0).abs() < 1e-5, "{rho} {wanted}");
            }
        }
    }

    #[test]
    fn a_rho_just_below_the_largest_a_step_has_noise() {
        // The start of the search lies below the least multiplier that the sampler accepts.
        let rho = "999999.99999998".parse().unwrap();
        let calibration = GaussianCalibration::from_rho(rho, 2).unwrap();
        assert!(calibration.rho <= rho && calibration.noise_multiplier >= MIN_NOISE_MULTIPLIER);
        let more = "1000001".parse().unwrap();
        assert_eq!(
            GaussianCalibration::from_rho(more, 2),
            Err(CalibrationError::TooFewSteps { rho: more, steps: 2 })
        );
    }

    #[test]
    fn sampled_noise_by_zcdp_keeps_the_promise_and_less_would_not() {
        let delta = Delta::new(1e-5).unwrap();
        for (target, rate, steps) in [(1.0, 0.016, 1250), (3.0, 0.1, 100), (0.5, 1.0, 10)] {
            let target = Epsilon::new(target).unwrap();
            let noise = sampled_noise_by_zcdp(target, delta, rate, steps).unwrap();
            let of = |noise| tcdp::best_epsilon(noise, rate, steps, delta).unwrap().2;
            assert!(of(noise) <= target && of(noise * 0.99999) > target, "{rate} {steps}");
            // The other theory needs less.
            let releases = [Releases::gaussian(noise, rate, steps).unwrap()];
            assert!(pld::is_within(&releases, target, delta).unwrap());
        }
    }

    #[test]
    fn noise_never_exceeds_the_promise_and_less_would() {
        let delta = Delta::new(1e-5).unwrap();
        for (target, rate, steps) in [(1.0, 0.016, 1250), (3.0, 0.016, 1250), (1.0, 1.0, 10), (0.1, 0.5, 3)] {
            let target = Epsilon::new(target).unwrap();
            let releases = |noise| Ok(vec![Releases::gaussian(noise, rate, steps)?]);
            let noise = sampled_noise(target, delta, releases).unwrap();
            assert!(pld::epsilon(&releases(noise).unwrap(), delta).unwrap() <= target);
            let less = pld::epsilon(&releases(noise * 0.999).unwrap(), delta).unwrap();
            assert!(less > target, "{rate} {steps}: {noise} {less}");
            if rate == 1.0 {
                let exact = gaussian_noise(target, delta, steps).unwrap();
                assert!(gdp::epsilon(Mu::of_sums(exact, steps).unwrap(), delta).unwrap() <= target);
                assert!(exact <= noise && noise < exact * 1.0005, "{exact} {noise}");
            }
        }
        let hopeless = sampled_noise(Epsilon::new(1e-9).unwrap(), delta, |noise| {
            Ok(vec![Releases::gaussian(noise, 1.0, u32::MAX)?])
        });
        assert!(matches!(hopeless, Err(CalibrationError::OutOfReach { .. })), "{hopeless:?}");
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
        fn the_largest_rho_by_gaussian_dp_is_never_above_the_promise_and_above_that_of_zcdp(
            log_epsilon in -2.0..1.2_f64,
            log_delta in -12.0..-2.0_f64,
        ) {
            let epsilon = Epsilon::new(10_f64.powf(log_epsilon)).unwrap();
            let delta = Delta::new(10_f64.powf(log_delta)).unwrap();
            let rho = largest_rho_by(Accountant::Gdp, epsilon, delta).unwrap();
            let of = |rho: Rho| {
                gdp::epsilon_on_grid(Mu::from_rho(rho), GridSlack::allowance(epsilon, delta), delta).unwrap()
            };
            prop_assert!(of(rho) <= epsilon);
            let more = Rho::from_f64_rounding_up(rho.to_f64_rounding_up() * (1.0 + 1e-6)).unwrap();
            prop_assert!(of(more.checked_add(Rho::from_units(1)).unwrap()) > epsilon);
            prop_assert!(rho > largest_rho(epsilon, delta).unwrap());
        }

        #[test]
        fn the_noise_fits_the_loss_and_is_the_least_that_does(
            units in prop_oneof![0..u64::MAX, 0..1_000_000_u64, 999_999_999_999_900_000..1_000_000_000_000_100_000_u64],
            steps in 1..500_u32,
        ) {
            let rho = Rho::from_units(units);
            let share = units / u64::from(steps);
            let largest = mechanism::rho_of_one_step(MIN_NOISE_MULTIPLIER).unwrap().units();
            if share == 0 || share > largest {
                let refused = GaussianCalibration::from_rho(rho, steps).unwrap_err();
                let expected = match share {
                    0 => CalibrationError::TooManySteps { rho, steps },
                    _ => CalibrationError::TooFewSteps { rho, steps },
                };
                prop_assert_eq!(refused, expected);
                return Ok(());
            }
            let calibration = GaussianCalibration::from_rho(rho, steps).unwrap();
            prop_assert!(calibration.rho <= rho);
            let less_noise = calibration.noise_multiplier * (1.0 - 1e-14);
            if less_noise >= MIN_NOISE_MULTIPLIER && share > 1_000 {
                let dearer = mechanism::rho_of_one_step(less_noise).unwrap();
                prop_assert!(dearer.times(steps).is_none_or(|total| total > rho));
            }
        }
    }
}

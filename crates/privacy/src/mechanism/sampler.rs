//! The discrete Gaussian of OpenDP on integer vectors: its noise and its privacy map.
//!
//! Nothing else in the crate draws DP noise. A `Measurement` of OpenDP is not `Send`, so one is built
//! for each release (a few microseconds) and never kept: the mechanisms stay `Send`.

use opendp::core::Measurement;
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::make_gaussian;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::L2Distance;

use super::MechanismError;
use super::clip::GRID_RADIUS;
use crate::rho::Rho;

/// What draws the DP noise, for reports and the ledger.
pub const SAMPLER_NAME: &str =
    "opendp 0.16.0 make_gaussian, discrete Gaussian on integers (Canonne, Kamath and Steinke 2020)";
/// Where its randomness comes from, for reports and the ledger.
pub const RNG_NAME: &str = "rand 0.7 thread_rng: ChaCha20 seeded by the operating system";

/// Below this one step loses more than 500000 in rho: not a promise, and soon not a [`Rho`].
pub(crate) const MIN_NOISE_MULTIPLIER: f64 = 1e-3;
/// Above this a coordinate of the noisy sum could leave the range of `i64`.
pub(super) const MAX_NOISE_MULTIPLIER: f64 = 1e6;

type IntegerVectors = VectorDomain<AtomDomain<i64>>;
type IntegerGaussian = Measurement<IntegerVectors, L2Distance<f64>, ZeroConcentratedDivergence, Vec<i64>>;

/// The zCDP loss of one noisy sum whose integer sensitivity is [`GRID_RADIUS`], rounded up.
///
/// It does not depend on the dimension: the sensitivity is Euclidean.
pub(crate) fn rho_of_one_step(noise_multiplier: f64) -> Result<Rho, MechanismError> {
    let rho = integer_gaussian(1, noise_multiplier)?.map(&(GRID_RADIUS as f64)).map_err(from_opendp)?;
    Rho::from_f64_rounding_up(rho).map_err(|_| MechanismError::NoiseMultiplier { value: noise_multiplier })
}

/// `sum` plus discrete Gaussian DP noise of standard deviation `noise_multiplier` * [`GRID_RADIUS`]
/// in every coordinate.
pub(super) fn with_dp_noise(sum: &Vec<i64>, noise_multiplier: f64) -> Result<Vec<i64>, MechanismError> {
    integer_gaussian(sum.len(), noise_multiplier)?.invoke(sum).map_err(from_opendp)
}

fn integer_gaussian(dimension: usize, noise_multiplier: f64) -> Result<IntegerGaussian, MechanismError> {
    if !(MIN_NOISE_MULTIPLIER..=MAX_NOISE_MULTIPLIER).contains(&noise_multiplier) {
        return Err(MechanismError::NoiseMultiplier { value: noise_multiplier });
    }
    // Multiplying by a power of two is exact, so this is the noise multiplier itself.
    let scale = noise_multiplier * GRID_RADIUS as f64;
    let domain = VectorDomain::new(AtomDomain::<i64>::default()).with_size(dimension);
    make_gaussian::<_, _, ZeroConcentratedDivergence>(domain, L2Distance::default(), scale, None)
        .map_err(from_opendp)
}

fn from_opendp(error: opendp::error::Error) -> MechanismError {
    MechanismError::Sampler { message: error.message.unwrap_or_else(|| format!("{:?}", error.variant)) }
}

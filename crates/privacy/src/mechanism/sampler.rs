//! The discrete Gaussian and Laplace of OpenDP on integer vectors: their noise and their privacy maps.
//!
//! Nothing else in the crate draws DP noise. A `Measurement` of OpenDP is not `Send`, so one is built
//! for each release (a few microseconds) and never kept: the mechanisms stay `Send`.
//!
//! **Fork.** The generator's state is in the memory of the process, and `fork` copies memory: parent and child would draw the
//! same noise, and the difference of their releases would have none. The generator notices a fork only when its block of 64
//! words is used up. So a process that drew leaves its number here, and a child of it is refused. A child of a process that
//! never drew begins with a generator of its own, which the operating system seeds.

use std::sync::OnceLock;

use opendp::combinators::make_pureDP_to_zCDP;
use opendp::core::Measurement;
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::{make_gaussian, make_laplace, make_noisy_max};
use opendp::measures::{MaxDivergence, ZeroConcentratedDivergence};
use opendp::metrics::{L1Distance, L2Distance, LInfDistance};
use opendp::traits::samplers::sample_bernoulli_float;

use super::MechanismError;
use super::clip::GRID_RADIUS;
use crate::guarantee::Adjacency;
use crate::rho::Rho;

/// What draws the DP noise, for reports and the ledger.
pub const SAMPLER_NAME: &str =
    "opendp 0.16.0, discrete Gaussian and Laplace on integers (Canonne, Kamath and Steinke 2020)";
/// Where its randomness comes from, for reports and the ledger.
pub const RNG_NAME: &str = "rand 0.7 thread_rng: ChaCha20 seeded by the operating system";

/// Below this one step loses more than 500000 in rho: not a promise, and soon not a [`Rho`].
pub(crate) const MIN_NOISE_MULTIPLIER: f64 = 1e-3;
/// Above this a coordinate of the noisy sum could leave the range of `i64`.
pub(super) const MAX_NOISE_MULTIPLIER: f64 = 1e6;

/// The distribution of the DP noise, and with it the norm that bounds a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Discrete Gaussian; Euclidean norm.
    Gaussian,
    /// Discrete Laplace; 1-norm.
    Laplace,
}

type IntegerVectors = VectorDomain<AtomDomain<i64>>;
type IntegerGaussian = Measurement<IntegerVectors, L2Distance<f64>, ZeroConcentratedDivergence, Vec<i64>>;
type IntegerNoisyMax = Measurement<IntegerVectors, LInfDistance<i64>, ZeroConcentratedDivergence, usize>;
type IntegerLaplace = Measurement<IntegerVectors, L1Distance<i64>, MaxDivergence, Vec<i64>>;

/// The zCDP loss of one noisy sum whose integer sensitivity is [`GRID_RADIUS`], rounded up.
pub(crate) fn rho_of_one_step(noise_multiplier: f64) -> Result<Rho, MechanismError> {
    rho_of_one_sum(Noise::Gaussian, noise_multiplier, GRID_RADIUS as u64)
}

/// The zCDP loss of one noisy sum whose neighbors are at most `sensitivity` grid steps apart, rounded up.
///
/// It does not depend on the dimension: the sensitivity is a norm of the whole vector. The loss of
/// Laplace noise is pure, epsilon = 1 / multiplier, and epsilon-DP is (epsilon^2 / 2)-zCDP (Bun and Steinke
/// 2016). Sensitivities are below 2^53, so that they are exact in an `f64`.
pub(crate) fn rho_of_one_sum(
    noise: Noise,
    noise_multiplier: f64,
    sensitivity: u64,
) -> Result<Rho, MechanismError> {
    let rho = match noise {
        Noise::Gaussian => return rho_of_gaussian(noise_multiplier, sensitivity as f64),
        Noise::Laplace => {
            let pure = integer_laplace(1, noise_multiplier, sensitivity)?;
            make_pureDP_to_zCDP(pure).and_then(|zcdp| zcdp.map(&(sensitivity as i64)))
        }
    };
    rounded_up(rho.map_err(from_opendp)?, noise_multiplier)
}

/// The zCDP loss of a Gaussian release whose neighbors are at most `sensitivity` apart, rounded up.
pub(crate) fn rho_of_gaussian(noise_multiplier: f64, sensitivity: f64) -> Result<Rho, MechanismError> {
    let rho = integer_gaussian(1, noise_multiplier, sensitivity)?.map(&sensitivity).map_err(from_opendp)?;
    rounded_up(rho, noise_multiplier)
}

/// The zCDP loss of choosing the largest of sums of scores in [0, [`GRID_RADIUS`]], rounded up.
pub(crate) fn rho_of_noisy_max(noise_multiplier: f64, adjacency: Adjacency) -> Result<Rho, MechanismError> {
    let rho = integer_noisy_max(1, noise_multiplier, adjacency)?.map(&GRID_RADIUS).map_err(from_opendp)?;
    rounded_up(rho, noise_multiplier)
}

/// The right to draw: the generator belongs to this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generator(());

impl Generator {
    /// The generator of this process. It is asked for anew before each release and each step.
    ///
    /// # Errors
    /// [`MechanismError::Forked`] where the process that drew first was another one.
    pub fn of_this_process() -> Result<Generator, MechanismError> {
        static FIRST: OnceLock<u32> = OnceLock::new();
        let own = std::process::id();
        match *FIRST.get_or_init(|| own) == own {
            true => Ok(Generator(())),
            false => Err(MechanismError::Forked),
        }
    }
}

fn rounded_up(rho: f64, noise_multiplier: f64) -> Result<Rho, MechanismError> {
    Rho::from_f64_rounding_up(rho).map_err(|_| MechanismError::NoiseMultiplier { value: noise_multiplier })
}

/// `sum` plus DP noise of scale `noise_multiplier` * `sensitivity` in every coordinate.
pub(super) fn with_dp_noise(
    noise: Noise,
    sum: &Vec<i64>,
    noise_multiplier: f64,
    sensitivity: u64,
) -> Result<Vec<i64>, MechanismError> {
    Generator::of_this_process()?;
    match noise {
        Noise::Gaussian => return with_gaussian_noise(sum, noise_multiplier, sensitivity as f64),
        Noise::Laplace => integer_laplace(sum.len(), noise_multiplier, sensitivity)?.invoke(sum),
    }
    .map_err(from_opendp)
}

/// Whether a unit takes part in a step: true with probability `rate`, exactly, from the generator of the DP noise.
pub(super) fn takes_part(_: Generator, rate: f64) -> Result<bool, MechanismError> {
    sample_bernoulli_float(rate, false).map_err(from_opendp)
}

/// `counts` plus Gaussian DP noise of scale `noise_multiplier` * `sensitivity` in every coordinate.
pub(super) fn with_gaussian_noise(
    counts: &Vec<i64>,
    noise_multiplier: f64,
    sensitivity: f64,
) -> Result<Vec<i64>, MechanismError> {
    Generator::of_this_process()?;
    integer_gaussian(counts.len(), noise_multiplier, sensitivity)?.invoke(counts).map_err(from_opendp)
}

/// The place of the largest score, chosen by the exponential mechanism.
pub(super) fn noisy_max(
    scores: &Vec<i64>,
    noise_multiplier: f64,
    adjacency: Adjacency,
) -> Result<usize, MechanismError> {
    Generator::of_this_process()?;
    integer_noisy_max(scores.len(), noise_multiplier, adjacency)?.invoke(scores).map_err(from_opendp)
}

fn integer_gaussian(
    dimension: usize,
    noise_multiplier: f64,
    sensitivity: f64,
) -> Result<IntegerGaussian, MechanismError> {
    let scale = scale_in_grid_steps(noise_multiplier, sensitivity)?;
    let domain = VectorDomain::new(AtomDomain::<i64>::default()).with_size(dimension);
    make_gaussian::<_, _, ZeroConcentratedDivergence>(domain, L2Distance::default(), scale, None)
        .map_err(from_opendp)
}

fn integer_laplace(
    dimension: usize,
    noise_multiplier: f64,
    sensitivity: u64,
) -> Result<IntegerLaplace, MechanismError> {
    let scale = scale_in_grid_steps(noise_multiplier, sensitivity as f64)?;
    let domain = VectorDomain::new(AtomDomain::<i64>::default()).with_size(dimension);
    make_laplace::<_, _, MaxDivergence>(domain, L1Distance::default(), scale, None).map_err(from_opendp)
}

fn integer_noisy_max(
    candidates: usize,
    noise_multiplier: f64,
    adjacency: Adjacency,
) -> Result<IntegerNoisyMax, MechanismError> {
    let scale = scale_in_grid_steps(noise_multiplier, GRID_RADIUS as f64)?;
    let domain = VectorDomain::new(AtomDomain::<i64>::default()).with_size(candidates);
    // A unit that is added raises scores and lowers none; one that replaces another may do both.
    let metric = LInfDistance::new(adjacency == Adjacency::AddRemove);
    make_noisy_max(domain, metric, ZeroConcentratedDivergence, scale, false).map_err(from_opendp)
}

/// The scale of the DP noise in grid steps, at least `noise_multiplier` times the sensitivity, so that no
/// sensitivity costs more than another at the same multiplier.
fn scale_in_grid_steps(noise_multiplier: f64, sensitivity: f64) -> Result<f64, MechanismError> {
    if !(MIN_NOISE_MULTIPLIER..=MAX_NOISE_MULTIPLIER).contains(&noise_multiplier) {
        return Err(MechanismError::NoiseMultiplier { value: noise_multiplier });
    }
    let product = noise_multiplier * sensitivity;
    // Multiplying by a power of two is exact.
    let is_power_of_two = sensitivity.to_bits().trailing_zeros() >= 52;
    Ok(if is_power_of_two { product } else { product.next_up() })
}

pub(super) fn from_opendp(error: opendp::error::Error) -> MechanismError {
    MechanismError::Sampler { message: error.message.unwrap_or_else(|| format!("{:?}", error.variant)) }
}

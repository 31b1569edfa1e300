//! Privacy loss distributions: the figure for releases on Poisson samples, Gaussian or Laplace, in any mix.
//!
//! The privacy loss of an output o is ln(P(o)/Q(o)) for the two output distributions P and Q of neighboring
//! datasets, and a random variable under P. Losses of independent releases add, and
//!
//! ```text
//! delta(epsilon) = E[(1 - e^(epsilon - L))+]
//! ```
//!
//! for the total loss L (Dwork and Rothblum 2016; Sommer, Meiser and Mohammadi 2019). For a *dominating
//! pair* P, Q of a mechanism, which exists for every mechanism of this module, the same holds with "at most" for the
//! mechanism, and composing dominating pairs gives a dominating pair of the composition, also when each mechanism
//! is chosen after seeing the outputs before it (Zhu, Dong and Wang 2022).
//!
//! # What is computed
//!
//! 1. `pair`: the pairs of the Gaussian and the Laplace mechanism, and with Poisson sampling at rate q
//!    the pairs ((1-q) P0 + q P1, P0) for a record that is removed and its reverse for one that is added. Each
//!    is composed by itself; the larger epsilon counts.
//! 2. `grid`: each loss on a grid, dominating the true one.
//! 3. `compose`: the distribution of the sum by the fast Fourier transform, tilted (`tilt`) so that
//!    round-off is relative to delta.
//! 4. The grid is halved until epsilon changes by less than one part in 10^4 twice in a row, or the transform reaches 2^21
//!    points. Each grid's epsilon is an upper bound; the least counts.
//!
//! Everything that is cut off or rounded is charged: mass above a grid is an infinite loss, mass above the window
//! is bounded by Chernoff and added to delta, and so is a bound on the round-off of the transform.
//!
//! # Assumptions
//!
//! The DP noise is the continuous Gaussian or Laplace. For Gaussian sums on this crate's integer grid, delta grows
//! by [`super::gdp::GridSlack`], by the same argument with or without sampling. Sampling is Poisson: each record
//! takes part in each step with probability q, independently, decided by secret randomness.
//! Adjacency is to add or remove one record. The special functions are right to a few units in the last
//! place.

mod compose;
mod grid;
mod pair;
mod tilt;

use compose::{Composed, Window};
use grid::{Direction, Grid, Range, SampledNoise};
use pair::Noise;
use tilt::Cumulants;

use super::AccountantError;
use super::gdp::GridSlack;
use crate::guarantee::{Delta, Epsilon};

/// The least and the largest noise that the accountant accepts, in units of the sensitivity.
pub const NOISE_RANGE: std::ops::RangeInclusive<f64> = 1e-3..=1e6;
/// The least sampling rate that the accountant accepts.
pub const MIN_SAMPLING_RATE: f64 = 1e-9;
/// The least delta that the accountant resolves.
pub const MIN_DELTA: f64 = 1e-100;

/// A number of releases with the same noise, each on its own Poisson sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Releases {
    sampled: SampledNoise,
    count: u32,
}

impl Releases {
    /// `count` sums with Gaussian DP noise of standard deviation `noise_multiplier`, the Euclidean
    /// sensitivity being 1, each over a Poisson sample of rate `sampling_rate`; 1 means all records.
    ///
    /// # Errors
    /// [`AccountantError::Releases`] naming what is out of range.
    pub fn gaussian(
        noise_multiplier: f64,
        sampling_rate: f64,
        count: u32,
    ) -> Result<Releases, AccountantError> {
        Releases::new(noise_multiplier, sampling_rate, count, |noise| Noise::Gaussian { mu: 1.0 / noise })
    }

    /// The same for a number with Laplace DP noise of scale `noise_multiplier`.
    ///
    /// # Errors
    /// As [`Releases::gaussian`].
    pub fn laplace(
        noise_multiplier: f64,
        sampling_rate: f64,
        count: u32,
    ) -> Result<Releases, AccountantError> {
        Releases::new(noise_multiplier, sampling_rate, count, |noise| Noise::Laplace {
            inverse_scale: 1.0 / noise,
        })
    }

    fn new(
        noise_multiplier: f64,
        sampling_rate: f64,
        count: u32,
        noise: impl Fn(f64) -> Noise,
    ) -> Result<Releases, AccountantError> {
        let require = |holds: bool, what: &'static str, value: f64, range: &'static str| {
            if holds { Ok(()) } else { Err(AccountantError::Releases { what, value, range }) }
        };
        require(
            NOISE_RANGE.contains(&noise_multiplier),
            "noise multiplier",
            noise_multiplier,
            "from 1e-3 to 1e6",
        )?;
        let is_rate = (MIN_SAMPLING_RATE..=1.0).contains(&sampling_rate);
        require(is_rate, "sampling rate", sampling_rate, "from 1e-9 to 1")?;
        require(count > 0, "number of steps", f64::from(count), "from 1")?;
        // The reciprocal is rounded toward more loss.
        let sampled = SampledNoise { noise: noise(noise_multiplier.next_down()), sampling_rate };
        Ok(Releases { sampled, count })
    }
}

/// The epsilon at `delta` of all `releases` together, an upper bound and within about 1e-4 of the least one.
///
/// [`Epsilon::ZERO`] if delta alone covers the loss, or if there are no releases.
///
/// # Errors
/// [`AccountantError::SmallDelta`] below [`MIN_DELTA`], [`AccountantError::Parameter`] if the result is above
/// [`Epsilon::MAX`].
pub fn epsilon(releases: &[Releases], delta: Delta) -> Result<Epsilon, AccountantError> {
    if delta.get() < MIN_DELTA {
        return Err(AccountantError::SmallDelta { delta });
    }
    let mut largest = 0.0_f64;
    for &direction in directions(releases) {
        let ladder = Ladder::new(releases, direction, delta.get());
        largest = largest.max(ladder.epsilon(delta.get(), largest));
    }
    if largest == 0.0 { Ok(Epsilon::ZERO) } else { Ok(Epsilon::new(largest)?) }
}

/// The epsilon at `delta` of all `releases` together where their DP noise is the discrete Gaussian on a grid, at most `slack`
/// from continuous noise: the theorem of [`super::gdp`], which holds for these pairs as well. An upper bound.
///
/// # Errors
/// As [`epsilon()`], and [`AccountantError::GridTooCoarse`] if half of delta is not enough for the slack.
pub fn epsilon_on_grid(
    releases: &[Releases],
    slack: GridSlack,
    delta: Delta,
) -> Result<Epsilon, AccountantError> {
    // What is set aside for the grid is missing elsewhere, so little is tried first.
    for share in [1e-7, 1e-4, 0.5] {
        let rest = Delta::new(delta.get() * (1.0 - share))?;
        let found = epsilon(releases, rest)?;
        if slack.costs_at(found.get()) <= delta.get() - rest.get() {
            return Ok(found);
        }
    }
    Err(AccountantError::GridTooCoarse { slack: slack.get(), delta })
}

/// Whether the epsilon at `delta` of all `releases` together is at most `epsilon`; it then is for [`epsilon()`]
/// too. Faster, because it stops as soon as the answer is yes, or as good as certainly no.
///
/// # Errors
/// [`AccountantError::SmallDelta`] below [`MIN_DELTA`].
pub fn is_within(releases: &[Releases], epsilon: Epsilon, delta: Delta) -> Result<bool, AccountantError> {
    if delta.get() < MIN_DELTA {
        return Err(AccountantError::SmallDelta { delta });
    }
    let within = |&direction: &Direction| {
        Ladder::new(releases, direction, delta.get()).is_within(delta.get(), epsilon.get())
    };
    Ok(directions(releases).iter().all(within))
}

/// The delta at `epsilon` of all `releases` together, an upper bound: 0, or from about 1e-106 to 1.
pub fn delta(releases: &[Releases], epsilon: Epsilon) -> f64 {
    let mut largest = 0.0_f64;
    for &direction in directions(releases) {
        // What is cut off must be small beside the result, which is not known before.
        let mut expected = 1e-6;
        loop {
            let found = Ladder::new(releases, direction, expected).delta(epsilon.get());
            if found <= largest {
                break;
            }
            if found >= expected * 1e-2 || expected <= MIN_DELTA {
                largest = found;
                break;
            }
            expected = found.max(MIN_DELTA);
        }
    }
    largest
}

/// Without sampling, both directions have the same losses.
fn directions(releases: &[Releases]) -> &'static [Direction] {
    match releases {
        [] => &[],
        _ if releases.iter().all(|r| r.sampled.sampling_rate == 1.0) => &[Direction::Remove],
        _ => &[Direction::Remove, Direction::Add],
    }
}

/// The steps of the coarsest grid that the widest loss spans.
const COARSE_POINTS: f64 = 1024.0;
/// The longest transform.
const MAX_LENGTH: usize = 1 << 21;
/// The most points of all one-release grids together.
const MAX_POINTS: i64 = 1 << 20;
/// The most halvings.
const MAX_HALVINGS: u32 = 14;
/// The change of the result at which the grid is fine enough.
const TOLERANCE: f64 = 1e-4;
/// How often in a row the change must be that small: two grids may agree by accident.
const SETTLED: u32 = 2;
/// The share of delta that may be cut off in each place.
const CUT: f64 = 1e-6;
/// The tilted mass that may appear at the wrong end of the window, on either side.
const TILTED_TAIL: f64 = 1e-14;

/// Grids of ever smaller steps for one direction.
struct Ladder<'a> {
    releases: &'a [Releases],
    direction: Direction,
    /// The probability that may be cut off at each end of the sum.
    cut: f64,
    /// The coarsest step, and each loss's range in it.
    step: f64,
    ranges: Vec<Range>,
    cumulants: Cumulants,
    /// The largest sum; infinite if there is none.
    largest: f64,
}

impl<'a> Ladder<'a> {
    /// Grids on which losses of probability far below `delta` are cut off.
    fn new(releases: &'a [Releases], direction: Direction, delta: f64) -> Ladder<'a> {
        let cut = delta * CUT;
        let n_releases: f64 = releases.iter().map(|r| f64::from(r.count)).sum();
        let losses: Vec<(f64, f64)> =
            releases.iter().map(|r| r.sampled.losses(direction, cut / n_releases)).collect();
        let widest = losses.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
        let largest = losses.iter().map(|(low, high)| low.abs().max(high.abs())).fold(0.0, f64::max);
        let most = releases.iter().map(|r| f64::from(r.count) * r.sampled.largest_loss(direction)).sum();
        // A loss that hardly varies needs no grid much finer than itself.
        let mut step = (widest / COARSE_POINTS).max(largest * 1e-5);
        loop {
            let range = |&(low, high): &(f64, f64)| Range {
                first: (low / step).floor() as i64 - 1,
                last: (high / step).ceil() as i64 + 1,
            };
            let ranges: Vec<Range> = losses.iter().map(range).collect();
            let cumulants = Cumulants::new(&grids(releases, direction, step, &ranges, 0), step);
            let ladder = Ladder { releases, direction, cut, step, ranges, cumulants, largest: most };
            let tilt = ladder.cumulants.tilt_for(ladder.cumulants.rough_epsilon(delta));
            if ladder.window(tilt, 0).length <= MAX_LENGTH {
                return ladder;
            }
            step *= 2.0;
        }
    }

    /// The least epsilon found for `delta`, or the first that is not above `enough`.
    fn epsilon(&self, delta: f64, enough: f64) -> f64 {
        self.refined_epsilon(delta, |_, found| found <= enough)
    }

    /// Whether an epsilon not above `target` is found for `delta`.
    fn is_within(&self, delta: f64, target: f64) -> bool {
        // The error falls with the square of the step, so all further halvings together gain less than the last one did.
        let is_hopeless = |before: f64, found: f64| found - (before - found) > target;
        let found =
            self.refined_epsilon(delta, |before, found| found <= target || is_hopeless(before, found));
        found <= target
    }

    /// The least epsilon found for `delta` on ever finer grids, until it settles or `is_enough` says so of the figures
    /// before and after a halving.
    fn refined_epsilon(&self, delta: f64, is_enough: impl Fn(f64, f64) -> bool) -> f64 {
        // The mass at infinity is not in the cumulants, but it is below the share that is taken off; the
        // factor is for rounding.
        let mut best = self.cumulants.rough_epsilon(delta * (1.0 - 10.0 * CUT)).max(0.0) * (1.0 + 1e-6);
        best = best.min(self.largest);
        let mut settled = 0;
        for halvings in 0..=MAX_HALVINGS {
            let tilt = self.cumulants.tilt_for(best);
            let Some(composed) = self.compose(tilt, halvings) else { break };
            let found = composed.epsilon(delta).min(best);
            settled = if best - found <= TOLERANCE * found { settled + 1 } else { 0 };
            let is_done = is_enough(best, found) || settled == SETTLED;
            best = found;
            if is_done {
                break;
            }
        }
        best
    }

    /// The least delta found for `epsilon`.
    fn delta(&self, epsilon: f64) -> f64 {
        if epsilon >= self.largest {
            return 0.0;
        }
        let tilt = self.cumulants.tilt_for(epsilon);
        let (mut best, mut settled) = (1.0_f64, 0);
        for halvings in 0..=MAX_HALVINGS {
            let Some(composed) = self.compose(tilt, halvings) else { break };
            let found = composed.delta(epsilon).min(best);
            settled = if best - found <= TOLERANCE * found { settled + 1 } else { 0 };
            best = found;
            if settled == SETTLED {
                break;
            }
        }
        best
    }

    /// The sum on the coarsest grid, halved a number of times; `None` if that is too large.
    fn compose(&self, tilt: f64, halvings: u32) -> Option<Composed> {
        let n_points: i64 = self.ranges.iter().map(|range| range.last - range.first).sum();
        let (lowest, highest) = self.reach();
        let is_countable = lowest.abs().max(highest.abs()) < 1 << (62 - halvings);
        if n_points << halvings > MAX_POINTS || !is_countable {
            return None;
        }
        let window = self.window(tilt, halvings);
        if window.length > MAX_LENGTH {
            return None;
        }
        let step = self.step / f64::from(1_u32 << halvings);
        let grids = grids(self.releases, self.direction, step, &self.ranges, halvings);
        Some(Composed::new(&grids, step, window))
    }

    /// The losses outside of which the sum, tilted or not, has next to no mass.
    ///
    /// The coarsest grid decides for all: e^(theta loss) is convex in e^-loss, and a coarser grid spreads
    /// each mass further apart with the same mean of e^-loss, so its Chernoff bound holds for the finer ones.
    fn window(&self, tilt: f64, halvings: u32) -> Window {
        let (lower, tilted_upper) = self.cumulants.tilted_ends(tilt, TILTED_TAIL);
        let upper = self.cumulants.upper_end(self.cut).max(tilted_upper);
        let (lowest, highest) = self.reach();
        let first = ((lower / self.step).floor() as i64).max(lowest);
        let last = ((upper / self.step).ceil() as i64).min(highest);
        let length = usize::try_from((last - first).max(1) << halvings).unwrap_or(usize::MAX / 4);
        Window {
            tilt,
            first: first << halvings,
            length: (length + 2).next_power_of_two().max(16),
            // The margin is for the rounding of the search.
            tail: self.cut * 1.01,
        }
    }

    /// The least and the largest sum, in coarsest steps.
    fn reach(&self) -> (i64, i64) {
        let sum = |end: fn(&Range) -> i64| {
            let ends = self
                .ranges
                .iter()
                .zip(self.releases)
                .map(|(range, r)| i128::from(end(range)) * i128::from(r.count));
            i64::try_from(ends.sum::<i128>()).unwrap_or(i64::MAX / 4)
        };
        (sum(|range| range.first), sum(|range| range.last))
    }
}

fn grids(
    releases: &[Releases],
    direction: Direction,
    step: f64,
    ranges: &[Range],
    halvings: u32,
) -> Vec<(Grid, u32)> {
    let range = |range: &Range| Range { first: range.first << halvings, last: range.last << halvings };
    let one = |(r, at): (&Releases, &Range)| (r.sampled.on_grid(direction, step, range(at)), r.count);
    releases.iter().zip(ranges).map(one).collect()
}

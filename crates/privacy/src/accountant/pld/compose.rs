//! The distribution of a sum of independent losses, by the fast Fourier transform, and the privacy profile
//! it implies.
//!
//! All losses lie on one grid and are tilted (see [`super::tilt`]). The transform of length n adds up losses
//! modulo n steps. The window of n steps is chosen so that what lies above it is covered by Chernoff's bound, which
//! is added to delta; what lies below it appears at the top of the window, as a loss larger than it is.
//!
//! # Round-off
//!
//! With u = 2^-53, a transform of length n makes an error of at most 8 u log2(n) times the sum of the
//! absolute inputs in each output: each output is a sum of the inputs over log2(n) levels of
//! butterflies, each a complex product and an addition (Higham 2002, chapter on the fast Fourier
//! transform, bounds a level by less than 8 u). A power of T by squaring adds 3 u T. This gives a bound on the
//! error of every frequency, and by Parseval's identity one on the sum of all absolute errors of the masses,
//! which is charged to delta as if each were a loss beyond epsilon.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::grid::Grid;
use super::tilt::log_sum;
use crate::accountant::normal::UNIT_ROUNDOFF;

/// Where in the sum to look, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The tilt, theta >= 0.
    pub tilt: f64,
    /// The lowest loss, in steps.
    pub first: i64,
    /// The number of steps, a power of two.
    pub length: usize,
    /// A bound on the probability of a loss above the window.
    pub tail: f64,
}

/// The distribution of a sum of losses within a window.
#[derive(Debug)]
pub(super) struct Composed {
    step: f64,
    window: Window,
    /// Tilted masses; those of the window's loss s (in steps) lies at s modulo the length.
    tilted: Vec<f64>,
    /// A loss of s steps has the mass tilted * e^(log_scale - theta * s * step).
    log_scale: f64,
    /// A bound on the sum of the absolute errors of the tilted masses.
    absolute_error: f64,
    /// A bound on the relative error of all masses together.
    relative_error: f64,
    /// What is certain to be lost: infinite losses, and those above the window.
    unbounded: f64,
    /// By how much, at most, the sum is below the sum it stands for, through rounding.
    loss_error: f64,
}

impl Composed {
    /// The sum of `count` independent losses of each grid. The grids have the same step.
    pub fn new(grids: &[(Grid, u32)], step: f64, window: Window) -> Composed {
        let n = window.length;
        let slope = window.tilt * step;
        let mut planner = RealFftPlanner::<f64>::new();
        let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
        let transform_error = 8.0 * UNIT_ROUNDOFF * (n as f64).log2();

        let mut composed = Composed {
            step,
            window,
            tilted: Vec::new(),
            log_scale: 0.0,
            absolute_error: 0.0,
            relative_error: 8.0 * UNIT_ROUNDOFF * n as f64,
            unbounded: window.tail,
            loss_error: 0.0,
        };
        let mut product = vec![Complex64::new(1.0, 0.0); n / 2 + 1];
        // ln of the product of all |factors| + |their errors|, for each frequency
        let mut log_bound = vec![0.0_f64; n / 2 + 1];
        let mut input = forward.make_input_vec();
        let mut spectrum = forward.make_output_vec();
        for (grid, count) in grids {
            let times = f64::from(*count);
            let exponents: Vec<(f64, f64)> =
                grid.masses.iter().zip(grid.first..).map(|(mass, at)| (at as f64, mass.ln())).collect();
            let log_norm = log_sum(&exponents, slope);
            input.fill(0.0);
            let mut largest = 0.0_f64;
            for &(at, log_mass) in &exponents {
                let weight = (log_mass + slope * at - log_norm).exp();
                input[(at as i64).rem_euclid(n as i64) as usize] += weight;
                if weight > 0.0 {
                    largest = largest.max(log_mass.abs() + slope * at.abs());
                }
            }
            forward.process(&mut input, &mut spectrum).expect("the buffers are the plan's own");
            for ((product, log_bound), value) in product.iter_mut().zip(&mut log_bound).zip(&spectrum) {
                *product *= value.powu(*count);
                *log_bound += times * ((value.norm() + transform_error).ln() + 3.0 * UNIT_ROUNDOFF);
            }
            composed.log_scale += times * log_norm;
            composed.relative_error += 4.0 * UNIT_ROUNDOFF * times * (largest + log_norm.abs() + 1.0);
            composed.unbounded += times * grid.infinity;
            composed.loss_error += times * grid.loss_error;
        }

        // All frequencies but the first and the last stand for two.
        let weight = |k: usize| if k == 0 || k == n / 2 { 1.0 } else { 2.0 };
        let (mut squares, mut sum) = (0.0, 0.0);
        for (k, (product, &log_bound)) in product.iter().zip(&log_bound).enumerate() {
            // |prod (z + e) - prod z| <= prod (|z| + |e|) - prod |z|
            let (size, bound) = (product.norm(), log_bound.exp());
            let rounding =
                if bound > 0.0 { 4.0 * UNIT_ROUNDOFF * (1.0 - log_bound.min(0.0)) * bound } else { 0.0 };
            let error = (bound - size).max(0.0) + rounding;
            squares += weight(k) * error * error;
            sum += weight(k) * size;
        }
        composed.absolute_error = squares.sqrt() + transform_error * sum;

        // The first and the last frequency of a real signal are real, up to round-off.
        product[0].im = 0.0;
        product[n / 2].im = 0.0;
        inverse.process(&mut product, &mut input).expect("the buffers are the plan's own");
        for mass in &mut input {
            *mass = (*mass / n as f64).max(0.0);
        }
        composed.tilted = input;
        composed
    }

    /// The least epsilon >= 0 at which delta is at most `delta`; infinite if there is none.
    pub fn epsilon(&self, delta: f64) -> f64 {
        let mut above: Option<Level> = None;
        for level in self.levels() {
            if level.at < 0 {
                return 0.0;
            }
            let total = level.total();
            if total > delta || total.is_nan() {
                let Some(above) = above else { return f64::INFINITY };
                // Between two levels delta is a chord in e^epsilon, with the margin of the lower one.
                let rise = level.profile - above.profile;
                let share = if rise > 0.0 { ((total - delta) / rise).min(1.0) } else { 1.0 };
                return self.rounded_up(level.at as f64 * self.step + (self.step.exp_m1() * share).ln_1p());
            }
            above = Some(level);
        }
        self.rounded_up(self.window.first.max(0) as f64 * self.step)
    }

    /// The delta at `epsilon`, at most 1.
    pub fn delta(&self, epsilon: f64) -> f64 {
        let epsilon = (epsilon - self.loss_error) * (1.0 - 8.0 * UNIT_ROUNDOFF);
        let mut above: Option<Level> = None;
        for level in self.levels() {
            let beyond = epsilon - level.at as f64 * self.step;
            if beyond >= 0.0 {
                let Some(above) = above else { return level.total().min(1.0) };
                let share = (beyond.exp_m1() / self.step.exp_m1()).min(1.0);
                let delta = level.total() - (level.profile - above.profile) * share;
                // Far below where the tilt is meant for, the scale can overflow; 1 bounds every delta.
                return if delta.is_nan() { 1.0 } else { delta.clamp(0.0, 1.0) };
            }
            above = Some(level);
        }
        1.0
    }

    fn rounded_up(&self, epsilon: f64) -> f64 {
        (epsilon + self.loss_error) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    }

    /// The privacy profile at the points of the window, from the largest loss down.
    ///
    /// D(s) = sum over t > s of mass(t) (1 - e^((s - t) h)) obeys
    /// `D(s) = D(s+1) + (1 - e^-h) (B(s+1) + mass(s+1))` with `B(s) = e^-h (B(s+1) + mass(s+1))`, in which
    /// nothing is subtracted.
    fn levels(&self) -> impl Iterator<Item = Level> {
        let (mut profile, mut weighted) = (0.0, 0.0);
        let (keep, lose) = ((-self.step).exp(), -(-self.step).exp_m1());
        let inflation = self.relative_error.exp();
        let n = self.window.length as i64;
        (self.window.first..self.window.first + n).rev().map(move |at| {
            let exponent = self.log_scale - self.window.tilt * self.step * at as f64;
            let rounding = 8.0 * UNIT_ROUNDOFF * (self.log_scale.abs() + exponent.abs() + 1.0);
            let scale = (exponent + rounding).exp() * inflation;
            let level = Level { at, profile, margin: self.unbounded + self.absolute_error * scale };
            let tilted = self.tilted[at.rem_euclid(n) as usize];
            // No mass times an overflowed scale is no mass.
            let here = weighted + if tilted > 0.0 { tilted * scale } else { 0.0 };
            profile += lose * here;
            weighted = keep * here;
            level
        })
    }
}

/// One point of a privacy profile.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// epsilon, in steps.
    at: i64,
    /// delta without its margin.
    profile: f64,
    /// What is added for infinite losses, the tail and round-off.
    margin: f64,
}

impl Level {
    fn total(self) -> f64 {
        self.profile + self.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sum by the definition of convolution, and its exact delta.
    fn slow_delta(grids: &[(Grid, u32)], step: f64, epsilon: f64) -> f64 {
        let (mut first, mut sum, mut log_finite) = (0, vec![1.0_f64], 0.0_f64);
        for (grid, count) in grids {
            for _ in 0..*count {
                let mut longer = vec![0.0; sum.len() + grid.masses.len() - 1];
                for (i, a) in sum.iter().enumerate() {
                    for (j, b) in grid.masses.iter().enumerate() {
                        longer[i + j] += a * b;
                    }
                }
                (sum, first, log_finite) =
                    (longer, first + grid.first, log_finite + (-grid.infinity).ln_1p());
            }
        }
        let beyond = |(mass, at): (&f64, i64)| mass * (-(epsilon - at as f64 * step).exp_m1()).max(0.0);
        // Not 1 minus the product: where delta is tiny, rounding at 1 would exceed what is compared.
        sum.iter().zip(first..).map(beyond).sum::<f64>() - log_finite.exp_m1()
    }

    fn grid() -> impl Strategy<Value = Grid> {
        let masses = prop::collection::vec(prop_oneof![0.0..1.0_f64, Just(0.0)], 2..9);
        (-5..6_i64, masses, prop_oneof![Just(0.0), 0.0..1e-3]).prop_map(|(first, mut masses, infinity)| {
            masses[0] += 0.1;
            let total: f64 = masses.iter().sum();
            masses.iter_mut().for_each(|mass| *mass *= (1.0 - infinity) / total);
            Grid { first, masses, infinity, loss_error: 0.0 }
        })
    }

    proptest! {
        #[test]
        fn the_transform_is_the_convolution_and_never_below_it(
            grids in prop::collection::vec((grid(), 1..5_u32), 1..4),
            step in 0.01..0.5_f64,
            tilt in prop_oneof![Just(0.0), 0.0..20.0_f64],
            epsilon in 0.0..3.0_f64,
        ) {
            let end = |last: bool| -> i64 {
                let of = |grid: &Grid| grid.first + if last { grid.masses.len() as i64 - 1 } else { 0 };
                grids.iter().map(|(grid, count)| of(grid) * i64::from(*count)).sum()
            };
            // From below 0, so that every epsilon lies in the window or above it.
            let first = end(false).min(-1);
            let length = usize::try_from(end(true).max(0) - first + 1).unwrap().next_power_of_two().max(16);
            let window = Window { tilt, first, length, tail: 0.0 };
            let composed = Composed::new(&grids, step, window);
            let (found, exact) = (composed.delta(epsilon), slow_delta(&grids, step, epsilon));
            prop_assert!(found >= exact * (1.0 - 1e-12), "{found:e} {exact:e}");
            // Infinite masses are added up, and the tilt is not meant for this epsilon.
            let n: f64 = grids.iter().map(|(grid, count)| grid.infinity * f64::from(*count)).sum();
            let reached = epsilon.min((first + length as i64 - 1) as f64 * step) - step;
            let chernoff = (composed.log_scale - tilt * reached).exp();
            prop_assert!(found <= exact * (1.0 + 1e-9) + n * n + 1e-11 * chernoff, "{found:e} {exact:e}");
            // Where the profile is flat but for round-off, it has no inverse.
            if found - n > 1e-4 * (1.0 + chernoff) && found < 1.0 {
                let back = composed.epsilon(found);
                prop_assert!(back <= epsilon + 1e-4 && composed.delta(back) <= found * (1.0 + 1e-9), "{back} {epsilon}");
            }
        }
    }
}

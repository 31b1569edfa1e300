//! Connect the dots: a privacy loss distribution on a grid of losses that promises no more than the true
//! one (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022).
//!
//! The outputs whose loss lies between two neighbors i*h and (i+1)*h of the grid have mass P under the
//! upper distribution and Q under the lower one. All of it is moved to the two ends, so that both masses
//! stay:
//!
//! ```text
//! at (i+1)*h:  (P - e^(ih) Q) / (1 - e^-h)        at i*h:  the rest of P
//! ```
//!
//! The privacy profile of the result is the true one at the grid and a chord (in e^epsilon) between, which
//! is above a convex curve. The original paper computes the same masses from second differences of the
//! profile, which cancel: errors of 1e-16 in the profile become errors of 1e-16/h in each mass. Here P and
//! P - e^(ih) Q come from closed forms of one interval, and what error remains moves mass *up*.

use super::pair::{Noise, Tails};
use crate::accountant::normal::UNIT_ROUNDOFF;

/// A bound on the relative rounding error of a survival function, 38 standard deviations out.
const TAIL_ROUNDING: f64 = 1e-11;

/// Whether the record that differs is taken away or put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Remove,
    Add,
}

/// One release on a Poisson sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SampledNoise {
    pub noise: Noise,
    /// q, above 0 and at most 1.
    pub sampling_rate: f64,
}

/// A range of losses, as multiples of a grid step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub first: i64,
    pub last: i64,
}

/// A privacy loss distribution on the multiples of a step h.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// The loss of `masses[0]`, in steps.
    pub first: i64,
    pub masses: Vec<f64>,
    /// The probability of a loss that no epsilon covers.
    pub infinity: f64,
    /// By how much, at most, a loss of this grid is below the loss it stands for, through rounding.
    pub loss_error: f64,
}

/// A point of the grid on the scale of r, and the lambda that belongs to it.
#[derive(Clone, Copy)]
struct Node {
    r: f64,
    /// -infinity where r is below ln(1-q), the least r there is.
    lambda: f64,
    /// 1 - q - e^r if that is positive, and 0 otherwise.
    gap: f64,
}

impl SampledNoise {
    fn node(self, r: f64) -> Node {
        let q = self.sampling_rate;
        if q == 1.0 {
            return Node { r, lambda: r, gap: 0.0 };
        }
        let above = r.exp_m1() + q; // e^r - (1 - q)
        if above <= 0.0 {
            return Node { r, lambda: f64::NEG_INFINITY, gap: -above };
        }
        let lambda =
            if r < 1.0 { (r.exp_m1() / q).ln_1p() } else { r - q.ln() + (-(1.0 - q) * (-r).exp()).ln_1p() };
        Node { r, lambda, gap: 0.0 }
    }

    /// r = ln(1 - q + q e^lambda).
    fn log_ratio(self, lambda: f64) -> f64 {
        let q = self.sampling_rate;
        match lambda {
            _ if q == 1.0 => lambda,
            // Up to where e^lambda is a float.
            _ if lambda < 700.0 => (q * lambda.exp_m1()).ln_1p(),
            _ => lambda + q.ln() + ((1.0 - q) / q * (-lambda).exp()).ln_1p(),
        }
    }

    /// The largest loss there is, to a relative 1e-12 and not below; infinite if there is none. It is the
    /// epsilon of pure differential privacy.
    pub fn largest_loss(self, direction: Direction) -> f64 {
        let largest = match (self.noise, direction) {
            (Noise::Laplace { inverse_scale }, Direction::Remove) => self.log_ratio(inverse_scale),
            (Noise::Laplace { inverse_scale }, Direction::Add) => -self.log_ratio(-inverse_scale),
            (Noise::Gaussian { .. }, Direction::Remove) => f64::INFINITY,
            (Noise::Gaussian { .. }, Direction::Add) => -(-self.sampling_rate).ln_1p(),
        };
        largest * (1.0 + 1e-12)
    }

    /// The mass of the upper distribution at losses up to and above that of `lambda`.
    fn masses_around(self, direction: Direction, lambda: f64) -> (f64, f64) {
        let q = self.sampling_rate;
        let Tails { p0_up_to, p0_above, p1_up_to, p1_above } = self.noise.tails(lambda);
        match direction {
            Direction::Remove => ((1.0 - q) * p0_up_to + q * p1_up_to, (1.0 - q) * p0_above + q * p1_above),
            Direction::Add => (p0_above, p0_up_to),
        }
    }

    /// The losses between which all but `tail` of the upper distribution lies on either side.
    pub fn losses(self, direction: Direction, tail: f64) -> (f64, f64) {
        let end = self.noise.largest_ratio();
        // The least lambda at which the mass on one side has become what it should be.
        let cut = |reached: &dyn Fn((f64, f64)) -> bool| {
            let (mut low, mut high) = (-end, end);
            for _ in 0..60 {
                let middle = low + (high - low) / 2.0;
                if reached(self.masses_around(direction, middle)) {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            (low, high)
        };
        match direction {
            Direction::Remove => {
                let (low, _) = cut(&|(up_to, _)| up_to > tail);
                let (_, high) = cut(&|(_, above)| above <= tail);
                (self.log_ratio(low), self.log_ratio(high))
            }
            Direction::Add => {
                let (_, high) = cut(&|(up_to, _)| up_to <= tail);
                let (low, _) = cut(&|(_, above)| above > tail);
                (-self.log_ratio(high), -self.log_ratio(low))
            }
        }
    }

    /// The distribution of the loss on the multiples of `step` from `range.first` to `range.last`.
    ///
    /// What lies below the range is moved up to its first loss, what lies above it to infinity.
    pub fn on_grid(self, direction: Direction, step: f64, range: Range) -> Grid {
        let q = self.sampling_rate;
        let Range { first, last } = range;
        let n = usize::try_from(last - first).expect("a range is not empty") + 1;
        let mut masses = vec![0.0; n];
        let climb = -(-step).exp_m1();
        // On the scale of r, which is that of the loss or its mirror image.
        let sign = match direction {
            Direction::Remove => 1.0,
            Direction::Add => -1.0,
        };
        let loss_at = |index: usize| (first + index as i64) as f64 * step;
        let mut here = self.node(sign * loss_at(0));
        masses[0] += self.masses_around(direction, here.lambda).0 * (1.0 + TAIL_ROUNDING);
        for index in 0..n - 1 {
            let next = self.node(sign * loss_at(index + 1));
            let (low, high) = match direction {
                Direction::Remove => (here, next),
                Direction::Add => (next, here),
            };
            here = next;
            if high.lambda == f64::NEG_INFINITY {
                continue; // below ln(1-q), where there is nothing
            }
            let between = self.noise.between(low.lambda, high.lambda);
            let (mass, excess, error) = match direction {
                Direction::Remove => (
                    (1.0 - q) * between.p0 + q * between.p1,
                    low.gap * between.p0 + q * between.p1_above_a,
                    between.rounding,
                ),
                Direction::Add => {
                    // q e^lambda / e^r, the chance that the record took part
                    let weight = if q == 1.0 { 1.0 } else { -((-q).ln_1p() - high.r).exp_m1() };
                    (between.p0, weight * between.p0_below_b, between.rounding)
                }
            };
            let up = (excess / climb).clamp(0.0, mass);
            let margin = ((error + 8.0 * UNIT_ROUNDOFF * mass) / climb).min(mass - up);
            masses[index] += mass - up - margin;
            masses[index + 1] += up + margin + error;
        }
        let beyond = self.masses_around(direction, here.lambda).1;
        let largest = loss_at(0).abs().max(loss_at(n - 1).abs());
        let spread = match self.noise {
            Noise::Gaussian { mu } => mu * mu,
            Noise::Laplace { inverse_scale } => inverse_scale,
        };
        Grid {
            first,
            masses,
            infinity: beyond * (1.0 + TAIL_ROUNDING),
            loss_error: 16.0 * UNIT_ROUNDOFF * (largest - q.ln() + spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl SampledNoise {
        /// The exact delta of one release at a loss that lies at `node` of r.
        fn exact_delta(self, direction: Direction, loss: f64) -> f64 {
            let q = self.sampling_rate;
            match direction {
                Direction::Remove => {
                    let node = self.node(loss);
                    let above = self.noise.between(node.lambda, f64::INFINITY);
                    node.gap * above.p0 + q * above.p1_above_a
                }
                Direction::Add => {
                    let node = self.node(-loss);
                    let below = self.noise.between(f64::NEG_INFINITY, node.lambda);
                    let weight = if q == 1.0 { 1.0 } else { -((-q).ln_1p() - node.r).exp_m1() };
                    (weight * below.p0_below_b).max(0.0)
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_dots_lie_on_the_exact_profile_and_the_masses_add_up_to_one(
            is_gaussian: bool,
            log_noise in -1.5..3.0_f64,
            rate in prop_oneof![Just(1.0), (-5.0..0.0_f64).prop_map(|x| 10_f64.powf(x))],
            is_add: bool,
        ) {
            let size = 10_f64.powf(-log_noise);
            let noise =
                if is_gaussian { Noise::Gaussian { mu: size } } else { Noise::Laplace { inverse_scale: size } };
            let sampled = SampledNoise { noise, sampling_rate: rate };
            let direction = if is_add { Direction::Add } else { Direction::Remove };
            let tail = 1e-12;
            let (low, high) = sampled.losses(direction, tail);
            let step = ((high - low) / 300.0).max(low.abs().max(high.abs()) * 1e-5);
            let range = Range { first: (low / step).floor() as i64 - 1, last: (high / step).ceil() as i64 + 1 };
            let grid = sampled.on_grid(direction, step, range);
            let total: f64 = grid.masses.iter().sum::<f64>() + grid.infinity;
            prop_assert!((total - 1.0).abs() < 1e-9 && grid.infinity <= tail * 1.001, "{total} {}", grid.infinity);
            prop_assert!(grid.masses.iter().all(|mass| *mass >= 0.0));
            for at in (range.first..=range.last).step_by(7) {
                let loss = at as f64 * step;
                let beyond = |(mass, other): (&f64, i64)| mass * (-((at - other) as f64 * step).exp_m1()).max(0.0);
                let found = grid.infinity + grid.masses.iter().zip(range.first..).map(beyond).sum::<f64>();
                let exact = sampled.exact_delta(direction, loss);
                prop_assert!(found >= exact * (1.0 - 1e-9) - 1e-15, "{loss}: {found:e} {exact:e}");
                prop_assert!(found <= exact * (1.0 + 1e-6) + 2.0 * tail, "{loss}: {found:e} {exact:e}");
            }
        }
    }
}

//! The event of a minimum with DP noise: objective and output perturbation.
//!
//! Every derived number is recomputed from the free ones when an event is validated, so an event cannot state
//! another sensitivity or another loss than those that follow from it.

use serde::{Deserialize, Serialize};

use super::{EventError, require};
use crate::accountant::objective::UnitLoss;
use crate::guarantee::{Adjacency, PrivacyUnit};
use crate::mechanism::{self, MechanismError};
use crate::plan::MAX_DIMENSION;
use crate::rho::Rho;

/// The minimizer of a regularized softmax loss over all units, once, with DP noise on the objective and on the
/// answer, or on the answer alone:
///
/// ```text
/// J(w) = sum over units of loss(w) + convexity/2 |w - center|^2 + b w
/// ```
///
/// Rows are clipped to norm 1. A unit's loss is that of its row, or the mean over a person's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinimumEvent {
    /// K, the number of classes, at least 2. Two classes have one vector of weights, more have K.
    pub classes: u32,
    /// The numbers in a row.
    pub columns: usize,
    /// How many rows one unit's loss may be a mean of.
    pub rows_per_unit: u32,
    /// Lambda, the ridge, in the units of a sum over units.
    pub convexity: f64,
    /// The DP noise on the objective: the standard deviation of each coordinate of b, divided by the norm that bounds a
    /// unit's gradient. Absent in output perturbation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_noise: Option<f64>,
    /// The DP noise on the answer: the standard deviation in one coordinate, divided by the sensitivity.
    pub output_noise: f64,
    /// The zCDP loss.
    pub rho: Rho,
}

/// The norm of the gradient at which the optimizer stops, relative to the bound of one unit's gradient. What
/// rounding and the grid of b add is far below it ([`MinimumEvent::gradient_tolerance`]).
const TOLERANCE: f64 = 1e-3;
/// The norms of clipped rows are below 1 plus this: floats round.
const ROW_MARGIN: f64 = 1e-9;
/// The sensitivity of the answer in steps of the grid on which its noise is drawn, before rounding.
const OUTPUT_GRID: f64 = (1_u64 << 30) as f64;
/// What covers the difference between the discrete noise on the objective and the continuous one of the theorem,
/// in rho; see `docs/privacy.md`.
pub(crate) const GRID_PRICE: Rho = Rho::from_units(1_000_000);
/// The noise multipliers on the objective for which [`GRID_PRICE`] is proved to be enough.
pub(crate) const OBJECTIVE_NOISE: std::ops::RangeInclusive<f64> = 0.05..=512.0;
/// The most coordinates of weights for which it is.
pub(crate) const MAX_WEIGHTS: usize = 100_000;
/// The regularizers that are accepted: far outside of what is useful, far inside of what floats hold.
pub(crate) const CONVEXITY: std::ops::RangeInclusive<f64> = 1e-6..=1e12;

impl MinimumEvent {
    /// How many vectors of weights there are: one for two classes.
    pub fn scores(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes as usize }
    }

    /// How many weights are released.
    pub fn weights(&self) -> usize {
        self.scores().saturating_mul(self.columns)
    }

    /// L, the bound on the norm of one unit's gradient. For a row z of norm at most 1 it is (p - y) z with the
    /// probability p of the second class, or (p - e_y) z^T with the probabilities p of K classes, and
    /// |p - e_y| <= sqrt(2).
    pub fn gradient_bound(&self) -> f64 {
        let residual = if self.classes == 2 { 1.0 } else { std::f64::consts::SQRT_2 };
        residual * (1.0 + ROW_MARGIN)
    }

    /// The norm of J's gradient that the released point is allowed: `TOLERANCE` L.
    ///
    /// The optimizer stops at half of it by its own computation, in compensated sums. The other half covers the rounding of
    /// that computation, and the displacement of b by half a step of its grid, 2^-48 L in each of at most `MAX_WEIGHTS`
    /// coordinates, which is below 1e-12 L.
    ///
    /// With u = 2^-53, n units, rows of d numbers, beta = 1/4 for two classes and 1/2 for more, the center c and v = w - c,
    /// rounding adds at most, up to terms in u^2,
    ///
    /// ```text
    /// n beta u ((d/8 + 9) |v| + |c|) + 9 n u
    /// ```
    ///
    /// The first part is the scores: products of v with rows in eight lanes, and one sum with the score at the center, which is
    /// exact by definition (`mechanism/minimum/loss.rs`). The second is exponentials, residuals, products and the ridge, whose
    /// Lambda |v| is at most n L + |b|. So rounding stays below half of the tolerance where n ((d/8 + 9) |v| + |c|) <= 10^13: for
    /// 10^7 units at |v| = 1000 and d = 7000, for 3 10^8 units at d = 130, and |c| is at most 10^6 ([`check_center`]). Beyond,
    /// answers may be further apart than counted by what rounding adds beyond it, over Lambda.
    ///
    /// [`check_center`]: mechanism::check_center
    pub fn gradient_tolerance(&self) -> f64 {
        TOLERANCE * self.gradient_bound()
    }

    /// What one unit's loss does to the Hessian. Of logistic loss with rows of norm at most 1 it is at most 1/4, in
    /// one direction a row. Of softmax it is (diag p - p p^T) x (z z^T), at most 1/2, with the trace 1 - |p|^2 <= 1 - 1/K,
    /// and the gradients of a row have their K coefficients sum to zero. Means of rows keep the bounds and add directions.
    pub(crate) fn unit_loss(&self) -> UnitLoss {
        let squared = (1.0 + ROW_MARGIN).powi(2) / self.convexity;
        let classes = f64::from(self.classes);
        let (largest, trace) = if self.classes == 2 { (0.25, 0.25) } else { (0.5, 1.0 - 1.0 / classes) };
        let directions = self.rows_per_unit.saturating_mul(self.classes - 1);
        let weights = u32::try_from(self.weights()).unwrap_or(u32::MAX);
        UnitLoss { curvature: largest * squared, trace: trace * squared, directions: directions.min(weights) }
    }

    /// How far the answers of neighbors are apart at most before the noise on the answer, in weights.
    ///
    /// J is strongly convex, so its minimizer moves by at most the norm of a change of the gradient over Lambda, and the
    /// released point is within tolerance / Lambda of the minimizer on either side. With noise on the objective, the
    /// minimizer itself is private, and what is left is the tolerance.
    pub fn sensitivity(&self, adjacency: Adjacency) -> f64 {
        let changed = match self.objective_noise {
            Some(_) => 0.0,
            None => adjacency.contributions_changed() as f64 * self.gradient_bound(),
        };
        ((changed + 2.0 * self.gradient_tolerance()) / self.convexity).next_up().next_up()
    }

    /// The step of the grid on which the noise on the answer is drawn, in weights.
    pub(crate) fn grid(&self, adjacency: Adjacency) -> f64 {
        self.sensitivity(adjacency) / OUTPUT_GRID
    }

    /// The sensitivity in steps of the grid: rounding moves each coordinate by at most one step on each side.
    pub(crate) fn grid_sensitivity(&self) -> u64 {
        (OUTPUT_GRID + 2.0 * (self.weights() as f64).sqrt()).ceil() as u64 + 1
    }

    /// The zCDP loss of this noise, rounded up.
    pub(crate) fn cost(&self, adjacency: Adjacency) -> Result<Rho, MechanismError> {
        let output = mechanism::rho_of_gaussian(self.output_noise, self.grid_sensitivity() as f64)?;
        let Some(noise) = self.objective_noise else { return Ok(output) };
        if !OBJECTIVE_NOISE.contains(&noise) {
            return Err(MechanismError::NoiseMultiplier { value: noise });
        }
        let gaussian = mechanism::rho_of_gaussian(noise, mechanism::OBJECTIVE_SENSITIVITY)?;
        // s = 1 / multiplier, and up by more than the division's rounding.
        let curvature = self.unit_loss().rho((1.0 / noise).next_up());
        // Replacing a unit is removing one and adding one: a group of two (Bun and Steinke 2016, Proposition 1.9).
        let group = adjacency.contributions_changed() as u32;
        Rho::from_f64_rounding_up(curvature)
            .ok()
            .and_then(|curvature| gaussian.checked_add(curvature)?.times(group * group))
            .and_then(|objective| objective.checked_add(output)?.checked_add(GRID_PRICE))
            .ok_or(MechanismError::NoiseMultiplier { value: noise })
    }

    pub(super) fn validate(&self, adjacency: Adjacency) -> Result<(), EventError> {
        let Self { classes, columns, rows_per_unit, convexity, rho, .. } = *self;
        require(classes >= 2, "classes", || format!("{classes} is below 2"))?;
        require((1..=MAX_DIMENSION).contains(&columns), "columns", || format!("{columns} is out of range"))?;
        let weights = self.weights();
        require(weights <= MAX_WEIGHTS, "columns", || format!("{weights} weights are above {MAX_WEIGHTS}"))?;
        require(rows_per_unit >= 1, "rows_per_unit", || "zero".to_owned())?;
        require(CONVEXITY.contains(&convexity), "convexity", || {
            format!("{convexity:e} is not from {:e} to {:e}", CONVEXITY.start(), CONVEXITY.end())
        })?;
        let cost = self
            .cost(adjacency)
            .map_err(|error| EventError { field: "output_noise", fact: error.to_string() })?;
        require(rho >= cost, "rho", || format!("{rho} is below {cost}, the cost of its DP noise"))
    }

    /// Whether the loss of one unit is a mean of as many rows as this unit may have.
    pub(crate) fn covers(&self, unit: PrivacyUnit) -> bool {
        let rows = match unit {
            PrivacyUnit::Record => 1,
            PrivacyUnit::Person { contributions } => contributions.get(),
        };
        self.rows_per_unit >= rows
    }
}

//! What events lose together: the sum that a ledger keeps.

use serde::{Deserialize, Serialize};

use crate::accountant::gdp::{self, GridSlack, Mu};
use crate::accountant::tcdp::{self, Order};
use crate::accountant::{Accountant, AccountantError, objective, zcdp};
use crate::event::Event;
use crate::guarantee::{Delta, Epsilon};
use crate::rho::Rho;

/// The loss of a number of events, each possibly chosen after seeing the results of those before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    rho: Rho,
    /// Up to which order rho holds; all if `None`.
    order: Option<Order>,
    /// How far the DP noise is from continuous Gaussian noise; `None` if it is another kind of noise.
    slack: Option<GridSlack>,
    /// Whether an event has DP noise on an objective, whose grid is paid for in rho.
    is_on_objective: bool,
}

impl Losses {
    /// Nothing was lost.
    pub const NONE: Losses =
        Losses { rho: Rho::ZERO, order: None, slack: Some(GridSlack::NONE), is_on_objective: false };

    /// What one event loses.
    pub fn of(event: &Event) -> Losses {
        let is_on_objective =
            matches!(event, Event::PerturbedMinimum(minimum) if minimum.objective_noise.is_some());
        Losses { rho: event.rho(), order: event.order(), slack: event.grid_slack(), is_on_objective }
    }

    /// A loss that holds at all orders, of continuous Gaussian noise by Gaussian DP.
    pub(crate) fn of_rho(rho: Rho) -> Losses {
        Losses { rho, ..Losses::NONE }
    }

    /// Both together. A rho beyond [`Rho::MAX`] counts as that.
    pub fn plus(self, other: Losses) -> Losses {
        let order = match (self.order, other.order) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let slack = self.slack.zip(other.slack).map(|(one, two)| one.plus(two));
        let is_on_objective = self.is_on_objective || other.is_on_objective;
        Losses { rho: self.rho.checked_add(other.rho).unwrap_or(Rho::MAX), order, slack, is_on_objective }
    }

    /// What these lost beyond `before`, a part of them; never less.
    pub(crate) fn since(self, before: Losses) -> Losses {
        Losses { rho: self.rho.checked_sub(before.rho).unwrap_or(Rho::ZERO), ..self }
    }

    /// The sum of rho.
    pub fn rho(&self) -> Rho {
        self.rho
    }

    /// The largest order up to which rho holds; `None` if at all orders, because no event sampled.
    pub fn order(&self) -> Option<Order> {
        self.order
    }

    /// The distance of the DP noise from continuous Gaussian noise; `None` if it is not all Gaussian.
    pub fn slack(&self) -> Option<GridSlack> {
        self.slack
    }

    /// The epsilon at `delta` by `accountant`.
    ///
    /// # Errors
    /// [`AccountantError::NotGaussian`] if the accountant does not cover the events, [`AccountantError::ObjectiveGrid`] if it does
    /// not cover the grid of DP noise on an objective at this delta, and the accountant's own errors.
    pub fn epsilon(&self, accountant: Accountant, delta: Delta) -> Result<Epsilon, AccountantError> {
        let epsilon = match (accountant, self.order, self.slack) {
            (Accountant::Zcdp, None, _) => zcdp::epsilon(self.rho, delta)?,
            (Accountant::Zcdp, Some(order), _) => tcdp::epsilon(self.rho, order, delta)?,
            (Accountant::Gdp, _, Some(slack)) => gdp::epsilon_on_grid(Mu::from_rho(self.rho), slack, delta)?,
            (Accountant::Gdp, _, None) => return Err(AccountantError::NotGaussian),
        };
        if self.is_on_objective && !objective::grid_is_paid_for(self.rho, self.order, (epsilon, delta)) {
            return Err(AccountantError::ObjectiveGrid { epsilon, delta });
        }
        Ok(epsilon)
    }

    /// Whether everything up to a cap, `rho_cap` for `epsilon_cap` at `delta`, covers the grid of DP noise on an objective, if
    /// there is such noise. Then all that is spent below the cap does, too.
    pub(crate) fn fit_under(&self, rho_cap: Rho, (epsilon_cap, delta): (Epsilon, Delta)) -> bool {
        !self.is_on_objective || objective::grid_is_paid_for(rho_cap, None, (epsilon_cap, delta))
    }
}

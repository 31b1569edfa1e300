//! `account`: the free calculator. It reads no file and charges no ledger.

use std::fmt;

use cryptotl_privacy::accountant::gdp::{self, Mu};
use cryptotl_privacy::accountant::pld::{self, Releases};
use cryptotl_privacy::accountant::{tcdp, zcdp};
use cryptotl_privacy::calibrate::{
    self, GaussianCalibration, gaussian_noise, sampled_noise, sampled_noise_by_zcdp,
};
use cryptotl_privacy::{AccountantError, Delta, Epsilon, Order, Rho, largest_rho};
use serde::Serialize;

use crate::cli::{AccountArgs, Accountant, Mechanism};
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

#[derive(Serialize)]
struct Account {
    mechanism: Mechanism,
    accountant: Accountant,
    epsilon: Epsilon,
    delta: Delta,
    /// The zCDP loss; with sampling, by that accountant only, and up to `order`.
    rho: Option<f64>,
    /// The order up to which rho holds, at which `epsilon` is least; none without sampling.
    order: Option<Order>,
    /// The parameter of Gaussian DP; none but for full-batch Gaussian noise.
    mu: Option<f64>,
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u32,
    profile: Vec<ProfilePoint>,
}

/// One point of the privacy profile.
#[derive(Serialize)]
pub(super) struct ProfilePoint {
    pub delta: Delta,
    pub epsilon: Epsilon,
}

/// The deltas of a table: what populations of a hundred to a billion ask for.
pub(super) const DELTAS: [f64; 8] = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10];

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noise = match self.mechanism {
            Mechanism::Gaussian => "Gaussian",
            Mechanism::Laplace => "Laplace",
        };
        let theory = match self.accountant {
            Accountant::Zcdp if self.order.is_some() => "truncated zero-concentrated DP",
            Accountant::Zcdp => "zero-concentrated DP",
            Accountant::Gdp => "Gaussian DP, exact for continuous noise",
            Accountant::Pld => "privacy loss distributions, continuous noise",
        };
        write!(f, "{} releases with {noise} DP noise, multiplier {}", self.steps, self.noise_multiplier)?;
        match self.sampling_rate {
            1.0 => writeln!(f, ", over all records")?,
            q => writeln!(f, ", each over a Poisson sample of rate {q}")?,
        }
        write!(
            f,
            "epsilon {} at delta {}, to add or remove one record ({theory})",
            self.epsilon, self.delta
        )?;
        if let Some(rho) = self.rho {
            write!(f, "\nrho     {rho}")?;
        }
        if let Some(order) = self.order {
            write!(f, ", up to order {order}")?;
        }
        if let Some(mu) = self.mu {
            write!(f, "\nmu      {mu}")?;
        }
        write!(f, "\n{:>8}  epsilon", "delta")?;
        for point in &self.profile {
            write!(f, "\n{:>8}  {}", point.delta, point.epsilon)?;
        }
        Ok(())
    }
}

/// Runs the verb. It has nothing but its arguments to fail on.
pub fn run(args: AccountArgs, output: &Output) -> Result<()> {
    output.result(&account(args).map_err(|failure| match failure.code {
        Code::Failed => Failure { code: Code::Usage, ..failure },
        _ => failure,
    })?)
}

fn account(args: AccountArgs) -> Result<Account> {
    let is_full_batch_gaussian = args.mechanism == Mechanism::Gaussian && args.sampling_rate == 1.0;
    let accountant =
        args.accountant.unwrap_or(if is_full_batch_gaussian { Accountant::Gdp } else { Accountant::Pld });
    check_theory(accountant, &args)?;
    let delta = Delta::new(args.delta)?;
    let noise_multiplier = match (args.noise_multiplier, args.epsilon) {
        (Some(noise_multiplier), _) => noise_multiplier,
        (None, Some(epsilon)) => least_noise(accountant, &args, Epsilon::new(epsilon)?, delta)?,
        (None, None) => return Err(Failure::new(Code::Bug, "neither noise nor epsilon is given")),
    };
    let epsilon = epsilon_of(accountant, &args, noise_multiplier, delta)?;
    let mut profile = Vec::new();
    for delta in DELTAS {
        let delta = Delta::new(delta)?;
        profile
            .push(ProfilePoint { delta, epsilon: epsilon_of(accountant, &args, noise_multiplier, delta)? });
    }
    let (rho, order) = match (accountant, args.sampling_rate) {
        // A loss that is too large to write down has no rho, and need not have one with another accountant.
        (_, 1.0) => (rho_of(&args, noise_multiplier).ok(), None),
        (Accountant::Zcdp, rate) => {
            let (order, rho, _) = tcdp::best_epsilon(noise_multiplier, rate, args.steps, delta)?;
            (Some(rho), Some(order))
        }
        _ => (None, None),
    };
    let mu =
        if is_full_batch_gaussian { Some(Mu::of_sums(noise_multiplier, args.steps)?.get()) } else { None };
    Ok(Account {
        mechanism: args.mechanism,
        accountant,
        epsilon,
        delta,
        rho: rho.map(Rho::to_f64_rounding_up),
        order,
        mu,
        noise_multiplier,
        sampling_rate: args.sampling_rate,
        steps: args.steps,
        profile,
    })
}

/// Refuses what a theory does not cover.
fn check_theory(accountant: Accountant, args: &AccountArgs) -> Result<()> {
    let fact = match accountant {
        Accountant::Zcdp if args.sampling_rate != 1.0 && args.mechanism != Mechanism::Gaussian => {
            "zCDP has no useful figure for Laplace noise on sampled records"
        }
        Accountant::Gdp if args.sampling_rate != 1.0 => "Gaussian DP has no figure for sampled records",
        Accountant::Gdp if args.mechanism != Mechanism::Gaussian => "Gaussian DP covers Gaussian noise only",
        _ => return Ok(()),
    };
    Err(Failure::new(Code::Usage, format!("{fact}; use --accountant pld")))
}

fn releases(
    args: &AccountArgs,
    noise_multiplier: f64,
) -> std::result::Result<Vec<Releases>, AccountantError> {
    let make = match args.mechanism {
        Mechanism::Gaussian => Releases::gaussian,
        Mechanism::Laplace => Releases::laplace,
    };
    Ok(vec![make(noise_multiplier, args.sampling_rate, args.steps)?])
}

fn rho_of(args: &AccountArgs, noise_multiplier: f64) -> Result<Rho> {
    Ok(match args.mechanism {
        Mechanism::Gaussian => GaussianCalibration::from_noise_multiplier(noise_multiplier, args.steps)?.rho,
        Mechanism::Laplace => calibrate::laplace_rho(noise_multiplier, args.steps)?,
    })
}

fn epsilon_of(
    accountant: Accountant,
    args: &AccountArgs,
    noise_multiplier: f64,
    delta: Delta,
) -> Result<Epsilon> {
    Ok(match accountant {
        Accountant::Zcdp if args.sampling_rate != 1.0 => {
            tcdp::best_epsilon(noise_multiplier, args.sampling_rate, args.steps, delta)?.2
        }
        Accountant::Zcdp => zcdp::epsilon(rho_of(args, noise_multiplier)?, delta)?,
        Accountant::Gdp => gdp::epsilon(Mu::of_sums(noise_multiplier, args.steps)?, delta)?,
        Accountant::Pld => pld::epsilon(&releases(args, noise_multiplier)?, delta)?,
    })
}

fn least_noise(accountant: Accountant, args: &AccountArgs, epsilon: Epsilon, delta: Delta) -> Result<f64> {
    Ok(match accountant {
        Accountant::Zcdp if args.sampling_rate != 1.0 => {
            sampled_noise_by_zcdp(epsilon, delta, args.sampling_rate, args.steps)?
        }
        Accountant::Zcdp => {
            let rho = largest_rho(epsilon, delta)?;
            match args.mechanism {
                Mechanism::Gaussian => GaussianCalibration::from_rho(rho, args.steps)?.noise_multiplier,
                Mechanism::Laplace => calibrate::laplace_noise(rho, args.steps)?,
            }
        }
        Accountant::Gdp => gaussian_noise(epsilon, delta, args.steps)?,
        Accountant::Pld => sampled_noise(epsilon, delta, |noise| releases(args, noise))?,
    })
}

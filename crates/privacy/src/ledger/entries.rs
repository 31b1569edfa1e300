//! What the entries of a ledger say.

use std::fmt;

use opendp::traits::samplers::fill_bytes;
use serde::{Deserialize, Serialize};

use super::{LedgerError, Witness, usable};
use crate::accountant::gdp::{self, GridSlack, Mu};
use crate::accountant::tcdp::{self, Order};
use crate::accountant::{Accountant, zcdp};
use crate::calibrate::{largest_rho_by, largest_rho_up_to};
use crate::config::Policy;
use crate::digest::Digest;
use crate::event::Event;
use crate::guarantee::{Adjacency, Delta, Epsilon, Guarantee};
use crate::loss::Losses;
use crate::plan::Description;
use crate::rho::Rho;

/// What kind of thing an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EntryKind {
    /// The first entry: population, policy, delta and cap.
    Genesis,
    /// Loss reserved before the data was touched. Never undone.
    Charge,
    /// A result published from a charge.
    Release,
    /// A change of the policy or of the public size, from here on.
    Amendment,
    /// Entries that are lost for ever, and what they spent, as far as somebody still knew.
    Rollback,
}

impl EntryKind {
    pub(super) const ALL: [EntryKind; 5] = [
        EntryKind::Genesis,
        EntryKind::Charge,
        EntryKind::Release,
        EntryKind::Amendment,
        EntryKind::Rollback,
    ];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Genesis => "genesis",
            EntryKind::Charge => "charge",
            EntryKind::Release => "release",
            EntryKind::Amendment => "amendment",
            EntryKind::Rollback => "rollback",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The first entry: whose ledger this is, and its first terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Genesis {
    pub population: String,
    /// A public upper bound on the number of units.
    pub public_size: u64,
    pub policy: Policy,
    /// The policy's delta for this population.
    pub delta: Delta,
    /// The largest rho whose epsilon at `delta` is not above the policy's cap.
    pub rho_cap: Rho,
    /// The version of this crate that created the ledger.
    pub tool_version: String,
    /// The source of randomness of the DP noise.
    pub rng: String,
    /// A random number, so that no two ledgers have the same genesis. The first ledgers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Digest>,
}

/// A change of the terms, from this entry on. Unit and adjacency stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Amendment {
    pub public_size: u64,
    pub policy: Policy,
    pub delta: Delta,
    pub rho_cap: Rho,
    /// Why, in the words of whoever changed it.
    pub reason: String,
    pub tool_version: String,
}

/// What a ledger allows, at one place in its history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    pub public_size: u64,
    pub policy: Policy,
    pub delta: Delta,
    pub rho_cap: Rho,
    /// Up to which order all that was spent before these terms holds; all orders if `None`.
    pub order: Option<Order>,
}

impl Terms {
    /// The terms that follow from a policy and a public bound on the number of units, for a ledger that has
    /// spent `spent`.
    pub fn new(policy: &Policy, public_size: u64, spent: &Losses) -> Result<Terms, LedgerError> {
        let delta = policy.delta(public_size)?;
        usable::check(policy, delta)?;
        let (cap, order) = (policy.epsilon_cap(), spent.order());
        let rho_cap = match (policy.accountant(), order) {
            (Accountant::Zcdp, Some(order)) => largest_rho_up_to(order, cap, delta)?,
            (accountant, _) => largest_rho_by(accountant, cap, delta)?,
        };
        let terms = Terms { public_size, policy: policy.clone(), delta, rho_cap, order };
        match terms.uncounted(spent) {
            None => Ok(terms),
            Some(fact) => Err(LedgerError::Amendment { fact: fact.to_owned() }),
        }
    }

    /// Checks that delta and cap, as written in entry `seq`, follow from the policy and what was spent before.
    pub fn check(&self, seq: u64, spent: &Losses) -> Result<(), LedgerError> {
        let delta = self.policy.delta(self.public_size).map_err(|e| LedgerError::corrupt(seq, e))?;
        // A little room, so that a later version of the accountant does not condemn an old ledger.
        let cap = Epsilon::new(self.policy.epsilon_cap().get() * (1.0 + 1e-6))
            .map_err(|e| LedgerError::corrupt(seq, e))?;
        let is_within = match (self.policy.accountant(), self.order) {
            (Accountant::Zcdp, None) => zcdp::delta(self.rho_cap, cap)? <= delta.get(),
            (Accountant::Zcdp, Some(order)) => tcdp::epsilon(self.rho_cap, order, delta)? <= cap,
            (Accountant::Gdp, _) => {
                gdp::delta_on_grid(Mu::from_rho(self.rho_cap), self.allowance(), cap) <= delta.get()
            }
        };
        if self.delta != delta || !is_within {
            return Err(LedgerError::corrupt(seq, "delta or cap does not follow from the policy"));
        }
        self.uncounted(spent).map_or(Ok(()), |fact| Err(LedgerError::corrupt(seq, fact)))
    }

    /// Why these terms cannot count `losses`, if they cannot.
    fn uncounted(&self, losses: &Losses) -> Option<&'static str> {
        match (self.policy.accountant(), losses.slack()) {
            (Accountant::Zcdp, _) => None,
            (Accountant::Gdp, None) => {
                Some("Gaussian DP counts Gaussian sums over all units only, and the ledger has other charges")
            }
            (Accountant::Gdp, Some(slack)) => (slack > self.allowance())
                .then_some("the grid of the DP noise of earlier charges is too coarse for Gaussian DP"),
        }
    }

    /// The most that the grids of all DP noise together may differ from continuous noise, by Gaussian DP.
    pub fn allowance(&self) -> GridSlack {
        GridSlack::allowance(self.policy.epsilon_cap(), self.delta)
    }

    /// The order up to which the loss of a sampled release must hold, so that the cap is what it says;
    /// `None` if the ledger takes no sampled releases.
    ///
    /// The cap is converted at one order, fixed by these terms; every charge must hold there.
    pub fn sampling_order(&self) -> Option<Order> {
        let samples =
            self.policy.accountant() == Accountant::Zcdp && self.policy.adjacency() == Adjacency::AddRemove;
        match (samples, self.order) {
            (false, _) => None,
            (true, None) => Order::sufficient_for(self.rho_cap, self.delta),
            (true, Some(order)) => Some(order.sufficient_within(self.rho_cap, self.delta)),
        }
    }

    /// Whether losses under these terms and under `other` may be added: same unit, same adjacency.
    pub fn count_the_same(&self, other: &Policy) -> bool {
        (self.policy.unit(), self.policy.adjacency()) == (other.unit(), other.adjacency())
    }
}

impl From<&Genesis> for Terms {
    fn from(genesis: &Genesis) -> Terms {
        let Genesis { public_size, ref policy, delta, rho_cap, .. } = *genesis;
        Terms { public_size, policy: policy.clone(), delta, rho_cap, order: None }
    }
}

impl Amendment {
    /// The terms from this entry on, where all that was spent before holds up to `order`.
    pub fn terms(&self, order: Option<Order>) -> Terms {
        let Amendment { public_size, ref policy, delta, rho_cap, .. } = *self;
        Terms { public_size, policy: policy.clone(), delta, rho_cap, order }
    }
}

/// Loss reserved for a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Charge {
    pub plan: Digest,
    pub event: Event,
    /// The guarantee of this release alone.
    pub guarantee: Guarantee,
    pub description: Description,
    /// A random number: the same plan charged in two copies of a ledger gives two entries. The first ledgers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Digest>,
}

/// A result published from a charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    pub charge_seq: u64,
    pub charge_hash: Digest,
    pub steps_used: u32,
    /// SHA-256 of what was released. The first ledgers took any short word.
    pub head_digest: String,
    /// The length of what was released; unknown of the first ledgers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_bytes: Option<u64>,
}

/// Entries that are lost for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// The latest of them that was known.
    pub lost: Witness,
    /// What they spent, or more.
    pub losses: Losses,
    /// Why they are lost, in the words of whoever accepted it.
    pub reason: String,
    pub tool_version: String,
}

/// A random number for an entry: 32 bytes from where the DP noise comes from, and what tells two processes apart that
/// share a generator.
pub(super) fn nonce() -> Result<Digest, LedgerError> {
    let mut bytes = [0; 32];
    fill_bytes(&mut bytes).map_err(|error| LedgerError::Sqlite { message: error.to_string() })?;
    let process = std::process::id().to_le_bytes();
    let time = jiff::Timestamp::now().as_nanosecond().to_le_bytes();
    Ok(Digest::of_fields("cryptotl ledger nonce 1", &[&bytes, &process, &time]))
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Genesis(Box<Genesis>),
    Charge(Box<Charge>),
    Release(Release),
    Amendment(Box<Amendment>),
    Rollback(Box<Rollback>),
}

impl Body {
    pub fn kind(&self) -> EntryKind {
        match self {
            Body::Genesis(_) => EntryKind::Genesis,
            Body::Charge(_) => EntryKind::Charge,
            Body::Release(_) => EntryKind::Release,
            Body::Amendment(_) => EntryKind::Amendment,
            Body::Rollback(_) => EntryKind::Rollback,
        }
    }

    pub fn to_json(&self) -> String {
        match self {
            Body::Genesis(genesis) => serde_json::to_string(genesis),
            Body::Charge(charge) => serde_json::to_string(charge),
            Body::Release(release) => serde_json::to_string(release),
            Body::Amendment(amendment) => serde_json::to_string(amendment),
            Body::Rollback(rollback) => serde_json::to_string(rollback),
        }
        .expect("plain structs with string keys always serialize")
    }

    /// What an entry costs, if it costs anything.
    pub fn losses(&self) -> Option<Losses> {
        match self {
            Body::Charge(charge) => Some(Losses::of(&charge.event)),
            Body::Rollback(rollback) => Some(rollback.losses),
            Body::Genesis(_) | Body::Release(_) | Body::Amendment(_) => None,
        }
    }

    /// Reads a body. Unknown kinds and fields are refused: what is not understood cannot be counted.
    pub fn from_json(seq: u64, kind: &str, json: &str) -> Result<Body, LedgerError> {
        let kind = EntryKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| LedgerError::corrupt(seq, format!("unknown kind of entry {kind:?}")))?;
        let corrupt = |error: serde_json::Error| LedgerError::corrupt(seq, error);
        Ok(match kind {
            EntryKind::Genesis => Body::Genesis(serde_json::from_str(json).map_err(corrupt)?),
            EntryKind::Charge => {
                let charge: Box<Charge> = serde_json::from_str(json).map_err(corrupt)?;
                let adjacency = charge.guarantee.adjacency;
                charge.event.validate(adjacency).map_err(|error| LedgerError::corrupt(seq, error))?;
                let stated = (charge.guarantee.rho, charge.guarantee.order);
                if (charge.event.rho(), charge.event.order()) != stated {
                    let fact = "the loss of the event differs from that of the guarantee";
                    return Err(LedgerError::corrupt(seq, fact));
                }
                Body::Charge(charge)
            }
            EntryKind::Release => Body::Release(serde_json::from_str(json).map_err(corrupt)?),
            EntryKind::Amendment => Body::Amendment(serde_json::from_str(json).map_err(corrupt)?),
            EntryKind::Rollback => Body::Rollback(serde_json::from_str(json).map_err(corrupt)?),
        })
    }
}

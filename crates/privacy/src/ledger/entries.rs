//! What the entries of a ledger say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::accountant::zcdp;
use crate::calibrate::largest_rho;
use crate::config::Policy;
use crate::digest::Digest;
use crate::event::Event;
use crate::guarantee::{Delta, Epsilon, Guarantee};
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
}

impl EntryKind {
    pub(super) const ALL: [EntryKind; 4] =
        [EntryKind::Genesis, EntryKind::Charge, EntryKind::Release, EntryKind::Amendment];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Genesis => "genesis",
            EntryKind::Charge => "charge",
            EntryKind::Release => "release",
            EntryKind::Amendment => "amendment",
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
}

impl Terms {
    /// The terms that follow from a policy and a public bound on the number of units.
    pub fn new(policy: &Policy, public_size: u64) -> Result<Terms, LedgerError> {
        let delta = policy.delta(public_size)?;
        let rho_cap = largest_rho(policy.epsilon_cap(), delta)?;
        Ok(Terms { public_size, policy: policy.clone(), delta, rho_cap })
    }

    /// Checks that delta and cap, as written in entry `seq`, follow from the policy.
    pub fn check(&self, seq: u64) -> Result<(), LedgerError> {
        let delta = self.policy.delta(self.public_size).map_err(|e| LedgerError::corrupt(seq, e))?;
        // A little room, so that a later version of the accountant does not condemn an old ledger.
        let cap = Epsilon::new(self.policy.epsilon_cap().get() * (1.0 + 1e-6))
            .map_err(|e| LedgerError::corrupt(seq, e))?;
        if self.delta == delta && zcdp::delta(self.rho_cap, cap)? <= delta.get() {
            Ok(())
        } else {
            Err(LedgerError::corrupt(seq, "delta or cap does not follow from the policy"))
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
        Terms { public_size, policy: policy.clone(), delta, rho_cap }
    }
}

impl From<&Amendment> for Terms {
    fn from(amendment: &Amendment) -> Terms {
        let Amendment { public_size, ref policy, delta, rho_cap, .. } = *amendment;
        Terms { public_size, policy: policy.clone(), delta, rho_cap }
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
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Genesis(Box<Genesis>),
    Charge(Box<Charge>),
    Release(Release),
    Amendment(Box<Amendment>),
}

impl Body {
    pub fn kind(&self) -> EntryKind {
        match self {
            Body::Genesis(_) => EntryKind::Genesis,
            Body::Charge(_) => EntryKind::Charge,
            Body::Release(_) => EntryKind::Release,
            Body::Amendment(_) => EntryKind::Amendment,
        }
    }

    pub fn to_json(&self) -> String {
        match self {
            Body::Genesis(genesis) => serde_json::to_string(genesis),
            Body::Charge(charge) => serde_json::to_string(charge),
            Body::Release(release) => serde_json::to_string(release),
            Body::Amendment(amendment) => serde_json::to_string(amendment),
        }
        .expect("plain structs with string keys always serialize")
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
                if charge.event.rho() != charge.guarantee.rho {
                    let fact = "the loss of the event differs from that of the guarantee";
                    return Err(LedgerError::corrupt(seq, fact));
                }
                Body::Charge(charge)
            }
            EntryKind::Release => Body::Release(serde_json::from_str(json).map_err(corrupt)?),
            EntryKind::Amendment => Body::Amendment(serde_json::from_str(json).map_err(corrupt)?),
        })
    }
}

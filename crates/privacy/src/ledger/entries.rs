//! What the entries of a ledger say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::config::Policy;
use crate::digest::Digest;
use crate::event::Event;
use crate::guarantee::{Delta, Guarantee};
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
}

impl EntryKind {
    pub(super) const ALL: [EntryKind; 3] = [EntryKind::Genesis, EntryKind::Charge, EntryKind::Release];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Genesis => "genesis",
            EntryKind::Charge => "charge",
            EntryKind::Release => "release",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The terms of the ledger, fixed for ever.
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
    pub head_digest: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Genesis(Box<Genesis>),
    Charge(Box<Charge>),
    Release(Release),
}

impl Body {
    pub fn kind(&self) -> EntryKind {
        match self {
            Body::Genesis(_) => EntryKind::Genesis,
            Body::Charge(_) => EntryKind::Charge,
            Body::Release(_) => EntryKind::Release,
        }
    }

    pub fn to_json(&self) -> String {
        match self {
            Body::Genesis(genesis) => serde_json::to_string(genesis),
            Body::Charge(charge) => serde_json::to_string(charge),
            Body::Release(release) => serde_json::to_string(release),
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
                charge.event.validate().map_err(|error| LedgerError::corrupt(seq, error))?;
                if charge.event.rho() != charge.guarantee.rho {
                    let fact = "the loss of the event differs from that of the guarantee";
                    return Err(LedgerError::corrupt(seq, fact));
                }
                Body::Charge(charge)
            }
            EntryKind::Release => Body::Release(serde_json::from_str(json).map_err(corrupt)?),
        })
    }
}

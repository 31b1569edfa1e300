//! `plan`: what a job and a release would cost, before anything is spent.

mod band;
mod encryption;
mod privacy;

use std::fmt;

use serde::Serialize;

use crate::cli::PlanArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

/// What was asked for, and nothing else.
#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    encryption: Option<encryption::Planned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy: Option<privacy::Planned>,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.encryption, &self.privacy) {
            (Some(encryption), Some(privacy)) => write!(f, "{encryption}\n{privacy}"),
            (Some(encryption), None) => write!(f, "{encryption}"),
            (None, Some(privacy)) => write!(f, "{privacy}"),
            (None, None) => Ok(()),
        }
    }
}

/// Runs the verb.
pub fn run(args: PlanArgs, output: &Output) -> Result<()> {
    // The cheap half first: it fails before the long work starts.
    let privacy = args.privacy.epsilon.map(|epsilon| privacy::plan(&args.privacy, epsilon)).transpose()?;
    let encryption = match &args.model {
        Some(model) => Some(encryption::plan(&args, model, output)?),
        None => None,
    };
    if encryption.is_none() && privacy.is_none() {
        let remedy = "give --model for the cost of encryption, --epsilon for that of privacy, or both";
        return Err(Failure::new(Code::Usage, format!("there is nothing to plan; {remedy}")));
    }
    output.result(&Planned { encryption, privacy })
}

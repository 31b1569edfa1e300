//! `version`: what `--version` says.

use std::fmt;

use serde::Serialize;

use crate::exit::Result;
use crate::output::Output;

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cryptotl {}", self.version)
    }
}

/// Runs the verb.
pub fn run(output: &Output) -> Result<()> {
    output.result(&Version { version: env!("CARGO_PKG_VERSION") })
}

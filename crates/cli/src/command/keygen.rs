//! `keygen`: the data owner makes the keys of one job.

use std::fmt;

use cryptotl::{GeneratedKeys, KeygenRequest, keygen};

use crate::cli::KeygenArgs;
use crate::exit::Result;
use crate::output::{Output, Words};

impl Words for GeneratedKeys {
    fn words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keys of job {}", self.job)?;
        writeln!(f, "secret key      {}: keep it, and use it once", self.secret_key)?;
        write!(f, "evaluation keys {}, {:.1} MB: for the model owner", self.keys, self.key_bytes as f64 / 1e6)
    }
}

/// Runs the verb.
pub fn run(args: KeygenArgs, output: &Output) -> Result<()> {
    let KeygenArgs { plan, secret_key, keys } = args;
    let request = KeygenRequest { plan, secret_key: secret_key.into(), keys: keys.into() };
    output.outcome(&keygen(&request)?)
}

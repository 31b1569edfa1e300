//! `generate`: what shells and `man` want to know of the verbs, from their definition.

use std::path::Path;

use clap_complete::Shell;

use crate::cli::{GenerateCommand, command};
use crate::exit::{Failure, Result};

/// Runs the verb.
pub fn run(asked: GenerateCommand) -> Result<()> {
    match asked {
        GenerateCommand::Completions { shell } => completions(shell),
        GenerateCommand::Man { output } => man(&output),
    }
}

fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "cryptotl", &mut script);
    crate::output::bytes(&script)
}

/// One page a verb, as `git` has them: `cryptotl-ledger-init.1`.
fn man(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder)).map_err(|e| {
        Failure::failed(
            format!("cannot write to {}: {e}", folder.display()),
            "check the path and its permissions",
        )
    })
}

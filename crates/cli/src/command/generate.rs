//! `generate`: what shells and `man` want to know of the verbs, from their definition.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use cryptotl_model::format::write_atomically;

use crate::cli::{GenerateCommand, command};
use crate::exit::{Code, Failure, Result};
use crate::kinds;
use crate::output::Output;

/// Runs the verb.
pub fn run(asked: GenerateCommand, output: &Output) -> Result<()> {
    match asked {
        GenerateCommand::Completions { shell } => completions(shell),
        GenerateCommand::Man { output: folder } => man(&folder, output),
    }
}

fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "cryptotl", &mut script);
    crate::output::bytes(&script)
}

/// One page a verb, as `git` has them: `cryptotl-ledger-init.1`. All places are checked before the first page is written.
fn man(folder: &Path, output: &Output) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| {
        Failure::failed(
            format!("cannot make {}: {e}", folder.display()),
            "check the path and its permissions",
        )
    })?;
    let mut all = command().disable_help_subcommand(true);
    all.build();
    let mut pages = Vec::new();
    render(all, &mut pages)?;
    let places = pages
        .iter()
        .map(|(name, _)| output.file(folder.join(name), kinds::MANUAL))
        .collect::<Result<Vec<_>>>()?;
    for (to, (_, page)) in places.iter().zip(&pages) {
        write_atomically(to, page)?;
    }
    Ok(())
}

/// The names and contents of the pages of a verb and of those below it.
fn render(verb: Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for below in verb.get_subcommands().filter(|below| !below.is_hide_set()) {
        render(below.clone(), pages)?;
    }
    let page = Man::new(verb);
    let mut text = Vec::new();
    page.render(&mut text).map_err(|e| Failure::new(Code::Bug, e))?;
    pages.push((page.get_filename(), text));
    Ok(())
}

//! The paths of a command line: which of them are written, which are read.
//!
//! An argument that is written has the type [`OutputPath`]. Every other argument that names a file is an input, which
//! no output of the same command may replace; this is read off the definition of the arguments, so that a new one
//! cannot be forgotten.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use cryptotl_model::Places;

use crate::encoder::EncoderSource;

/// A path that a command writes to. It is no place for a file before [`crate::output::Output::file`] checked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPath(PathBuf);

impl From<OsString> for OutputPath {
    fn from(path: OsString) -> Self {
        Self(path.into())
    }
}

impl From<OutputPath> for PathBuf {
    fn from(path: OutputPath) -> Self {
        path.0
    }
}

impl Deref for OutputPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for OutputPath {
    fn as_ref(&self) -> &Path {
        self
    }
}

/// The files that a command line reads.
pub fn places(command: &Command, matches: &ArgMatches) -> Places {
    let mut inputs = Vec::new();
    collect(command, matches, &mut inputs);
    Places::new(inputs)
}

fn collect(command: &Command, matches: &ArgMatches, inputs: &mut Vec<PathBuf>) {
    for argument in command.get_arguments() {
        let Ok(Some(values)) = matches.try_get_raw(argument.get_id().as_str()) else { continue };
        match form(argument) {
            Some(Form::Path) => inputs.extend(values.map(PathBuf::from)),
            Some(Form::NamedPath) => inputs.extend(values.map(|value| named(value).1.to_owned())),
            None => {}
        }
    }
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        collect(command, matches, inputs);
    }
}

/// How an argument names files that are read.
enum Form {
    /// `FILE`
    Path,
    /// `NAME=FILE`, or a path.
    NamedPath,
}

fn form(argument: &Arg) -> Option<Form> {
    let found = argument.get_value_parser().type_id();
    let mut names = argument.get_value_names().unwrap_or_default().iter();
    if found == TypeId::of::<OutputPath>() {
        None
    } else if found == TypeId::of::<PathBuf>() || found == TypeId::of::<EncoderSource>() {
        Some(Form::Path)
    } else {
        names.any(|name| name.contains("FILE")).then_some(Form::NamedPath)
    }
}

/// A source's name, if the argument gives one, and its path. A path with `=` in it is told from a name by what stands
/// before the `=`: a name is of letters, digits, `-` and `_`.
pub fn named(argument: &OsStr) -> (Option<&str>, &Path) {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match argument.to_str().and_then(|text| text.split_once('=')).filter(|(name, _)| is_name(name)) {
        Some((name, path)) => (Some(name), Path::new(path)),
        None => (None, Path::new(argument)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use cryptotl_model::Kind;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_a_command_line_reads_is_read_off_its_definition() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let names = ["config", "a", "b", "ledger", "policy"];
        names.iter().for_each(|name| std::fs::write(path(name), "").unwrap());
        let line = [
            "cryptotl".to_owned(),
            "pretrain".to_owned(),
            format!("--config={}", path("config")),
            format!("--source=x={}", path("a")),
            format!("--source={}", path("b")),
            format!("--ledger={}", path("ledger")),
            format!("--policy={}", path("policy")),
            "--epsilon=1".to_owned(),
            format!("--output={}", path("new")),
        ];
        let matches = Cli::command().get_matches_from(line);
        let places = places(&Cli::command(), &matches);
        let anything = Kind::starting("file", 1, |_| true);
        for name in names {
            assert!(places.output(path(name).as_ref(), anything).is_err(), "{name}");
        }
        places.output(path("new").as_ref(), anything).unwrap();
    }
}

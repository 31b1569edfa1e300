//! Numbers and names among the arguments: what makes no sense is refused before anything is done, with code 2.

use std::any::TypeId;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Arg, Command};
use cryptotl_privacy::{Delta, Epsilon};

fn number(text: &str) -> Result<f64, String> {
    f64::from_str(text).map_err(|_| "this is no number; give one such as 1.0 or 1e-5".to_owned())
}

/// An epsilon that is asked for.
pub fn epsilon(text: &str) -> Result<f64, String> {
    Ok(Epsilon::new(number(text)?).map_err(|e| e.to_string())?.get())
}

/// A delta.
pub fn delta(text: &str) -> Result<f64, String> {
    Ok(Delta::new(number(text)?).map_err(|e| e.to_string())?.get())
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    match number(text)? {
        number if number > 0.0 && number <= 1e12 => Ok(number),
        _ => Err("give a number above 0 and at most 1e12".to_owned()),
    }
}

/// The probability that a record takes part.
pub fn rate(text: &str) -> Result<f64, String> {
    match number(text)? {
        number if number > 0.0 && number <= 1.0 => Ok(number),
        _ => Err("a sampling rate is a probability; give a number above 0 and at most 1".to_owned()),
    }
}

/// How far clipped gradients may move.
pub fn slack(text: &str) -> Result<f64, String> {
    match number(text)? {
        number if (0.0..=1e6).contains(&number) => Ok(number),
        _ => Err("give a number from 0 to 1e6".to_owned()),
    }
}

/// An upper bound on the number of units.
pub fn public_size(text: &str) -> Result<u64, String> {
    match u64::from_str(text) {
        Ok(size) if size >= 2 => Ok(size),
        _ => Err("declare an upper bound of at least 2 units, as a whole number".to_owned()),
    }
}

/// A count of at least one.
pub fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::<usize>::new().range(1..)
}

/// A source's name, by default its file's name up to the first dot, and its path. A path with `=` in it is told
/// from a name by what stands before the `=`: a name is of letters, digits, `-` and `_`.
pub fn named(text: &str) -> Result<(String, &Path), String> {
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match text.split_once('=') {
        Some(("", _)) => return Err("there is no name before the `=`; give NAME=FILE or FILE".to_owned()),
        Some((name, "")) if is_name(name) => {
            return Err("there is no file behind the `=`; give NAME=FILE or FILE".to_owned());
        }
        Some((name, path)) if is_name(name) => return Ok((name.to_owned(), Path::new(path))),
        _ => {}
    }
    let path = Path::new(text);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match name.split('.').next() {
        Some(stem) if !stem.is_empty() => Ok((stem.to_owned(), path)),
        _ => Err("the file's name begins with a dot; give the source a name, NAME=FILE".to_owned()),
    }
}

/// `[NAME=]FILE`, checked.
pub fn source(text: &str) -> Result<String, String> {
    named(text).map(|_| text.to_owned())
}

/// The file of `[NAME=]FILE`, where the name does not matter.
pub fn source_file(text: &str) -> Result<PathBuf, String> {
    named(text).map(|(_, path)| path.to_owned())
}

/// Lets every number be negative as far as the syntax goes, so that its own parser can say what is wrong with
/// it: `--epsilon -1` is a wrong epsilon and not an unknown flag.
pub fn with_signs(command: Command) -> Command {
    command
        .mut_args(|arg| if is_number(&arg) { arg.allow_hyphen_values(true) } else { arg })
        .mut_subcommands(with_signs)
}

/// Whether an argument's value is a number.
fn is_number(arg: &Arg) -> bool {
    let numbers = [TypeId::of::<f64>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
    numbers.iter().any(|number| arg.get_value_parser().type_id() == *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    /// Numbers for which zero has a meaning.
    const ZERO: [&str; 4] = ["seed", "seq", "sizes", "slack"];
    const NONSENSE: [&str; 11] =
        ["-1", "-0.5", "-inf", "nan", "NaN", "inf", "1e400", "", "x", "1,5x", "99999999999999999999999"];

    /// Every verb with the names that lead to it.
    fn verbs(command: &Command, path: &[String], found: &mut Vec<(Vec<String>, Vec<Arg>)>) {
        let numbers: Vec<Arg> = command.get_arguments().filter(|arg| is_number(arg)).cloned().collect();
        found.push((path.to_vec(), numbers));
        for inner in command.get_subcommands() {
            verbs(inner, &[path, &[inner.get_name().to_owned()]].concat(), found);
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_in_a_sentence_with_code_2() {
        let mut found = Vec::new();
        verbs(&cli::command(), &["cryptotl".to_owned()], &mut found);
        let mut n_flags = 0;
        for (path, flags) in found {
            for flag in flags {
                n_flags += 1;
                let name = flag.get_long().unwrap();
                let zero = (!ZERO.contains(&name)).then_some("0");
                for value in NONSENSE.into_iter().chain(zero) {
                    for words in
                        [vec![format!("--{name}"), value.to_owned()], vec![format!("--{name}={value}")]]
                    {
                        let line = path.iter().cloned().chain(words);
                        let Err(error) = cli::command().try_get_matches_from(line) else {
                            panic!("{path:?} --{name} {value} is accepted");
                        };
                        assert_eq!(error.exit_code(), 2, "{path:?} --{name} {value}");
                        let text = error.to_string();
                        let first = text.lines().next().unwrap_or_default();
                        let is_about_it = first.contains(&format!("'--{name} <")) && first.contains("value");
                        assert!(is_about_it, "{path:?} --{name} {value}: {text}");
                    }
                }
            }
        }
        assert!(n_flags > 30, "{n_flags}");
    }

    #[test]
    fn sources_are_named_or_name_themselves() {
        for (text, name, path) in [
            ("a=b.safetensors", "a", "b.safetensors"),
            ("data/films.1.safetensors", "films", "data/films.1.safetensors"),
            ("data/x=1/films.safetensors", "films", "data/x=1/films.safetensors"),
            ("a=b=c", "a", "b=c"),
        ] {
            assert_eq!(named(text).unwrap(), (name.to_owned(), Path::new(path)), "{text}");
            assert_eq!(source_file(text).unwrap(), Path::new(path));
        }
        for text in ["", "=", "=f", "a=", "..", "/", "dir/.hidden"] {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn huge_numbers_are_not_written_out() {
        for text in ["1e300", "-1e300", "1e-300"] {
            for parse in [epsilon, delta] {
                if let Err(words) = parse(text) {
                    assert!(words.len() < 150, "{words}");
                }
            }
        }
    }
}

//! What a command prints: one JSON object or words on stdout, errors on stderr. And where it may write files.
//!
//! Everything that is printed goes through this module, which shows characters that would steer a terminal instead of
//! sending them: a file of somebody else's cannot move the cursor, hide a line or turn text around.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{ErrorKind, Write};
use std::path::Path;

use cryptotl_model::{Destination, Kind, Places};
use serde::Serialize;

use crate::exit::{Code, Failure, Result};

/// An outcome in words for people.
pub trait Words {
    /// Writes them, without a line end after the last line.
    fn words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// The words of an outcome, as something that can be formatted.
struct Worded<'a, T>(&'a T);

impl<T: Words> Display for Worded<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.words(f)
    }
}

/// Where results go, and in which form.
#[derive(Debug)]
pub struct Output {
    json: bool,
    places: Places,
}

impl Output {
    /// JSON or words, and the files that the command line names.
    pub fn new(json: bool, places: Places) -> Self {
        Self { json, places }
    }

    /// Checks, before the work and before any charge, that a file may be written there; see [`Places::output`].
    pub fn file(&self, path: impl AsRef<Path>, kind: Kind) -> Result<Destination> {
        Ok(self.places.output(path.as_ref(), kind)?)
    }

    /// As [`Output::file`], where the output may take the place of this input.
    pub fn file_over(&self, path: impl AsRef<Path>, kind: Kind, input: &Path) -> Result<Destination> {
        Ok(self.places.output_over(path.as_ref(), kind, input)?)
    }

    /// Prints the outcome of a verb: its fields as JSON, or its words.
    pub fn outcome<T: Serialize + Words>(&self, outcome: &T) -> Result<()> {
        let text = if self.json { json(outcome)? } else { shown(&Worded(outcome).to_string()).into_owned() };
        print(&format!("{text}\n"))
    }

    /// Prints the result of a command: its fields as JSON, or its words.
    pub fn result<T: Serialize + Display>(&self, result: &T) -> Result<()> {
        let text = if self.json { json(result)? } else { shown(&result.to_string()).into_owned() };
        print(&format!("{text}\n"))
    }
}

/// Prints on stdout what is fit for a terminal already.
pub fn print(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

/// Prints on stdout what is neither words nor JSON.
pub fn bytes(text: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // Whoever read has read enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"), "check where it leads to")),
        Ok(()) => Ok(()),
    }
}

/// Prints an error on stderr.
pub fn complain(message: &str) {
    // There is nobody left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "error: {}", shown(message));
}

/// One line of JSON in which characters that steer a terminal are escaped. It says the same.
///
/// # Errors
/// A defect, when the value cannot be written as JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|e| Failure::new(Code::Bug, e))?;
    // Outside of strings there is none, and those below 32 are escaped already.
    Ok(escaped(&text, steers, |c, out| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
    })
    .into_owned())
}

/// Words in which characters that steer a terminal are shown as `\u{1b}`. Line ends stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c| steers(c) && c != '\n', |c, out| out.extend(c.escape_unicode()))
}

fn escaped(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| if is_escaped(c) { escape(c, &mut out) } else { out.push(c) });
    Cow::Owned(out)
}

/// Whether a character does something else than to be seen: controls (C0, DEL and C1), line separators, directions of
/// writing, and characters without a width.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Prints on stderr what somebody should know although the command goes on.
pub fn warn(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {}", shown(message));
}

/// Prints on stderr what people should know, and what is no error.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "note: {}", shown(message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_stays() {
        assert!(matches!(shown("Größe 5 µm, 文, 👍\nnext"), Cow::Borrowed(_)));
        assert_eq!(shown("a\x1b[2Kb\r\u{9b}1A\u{7f}"), "a\\u{1b}[2Kb\\u{d}\\u{9b}1A\\u{7f}");
        assert_eq!(shown("\u{202e}cba\u{2066}\u{200b}"), "\\u{202e}cba\\u{2066}\\u{200b}");
    }

    #[test]
    fn json_says_the_same_without_them() {
        let text = "a\x1b\u{9b}\u{7f}\u{202e}\u{200b}\u{e0041}\n\"é👍";
        let line = json(&text).unwrap();
        assert!(!line.chars().any(steers), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        assert!(line.contains('é') && line.contains('👍'), "{line}");
    }

    #[test]
    fn every_control_character_steers() {
        assert!((0..=0x9f).filter_map(char::from_u32).filter(|c| c.is_control()).all(steers));
        assert!(('\u{2066}'..='\u{2069}').chain('\u{202a}'..='\u{202e}').all(steers));
    }
}

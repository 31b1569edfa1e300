//! How a table is to be read, where it does not say so itself.

use std::fmt;
use std::str::FromStr;

/// How a table is read, and what is accepted.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// What separates the fields of CSV and TSV; without one, what the first line shows.
    pub separator: Option<Separator>,
    /// Whether a quote in CSV and TSV is a character like any other.
    pub no_quotes: bool,
    /// Whether a table is accepted in which every text or every unit is empty.
    pub allow_empty: bool,
    /// Whether a table is accepted in which fewer than half of the records have a declared label.
    pub allow_unlabeled: bool,
    /// Whether errors may show the names of the table's columns and the values of its labels.
    pub show_values: bool,
}

/// What separates two fields: one ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator(u8);

impl Separator {
    pub(super) const COMMA: Self = Self(b',');
    pub(super) const TAB: Self = Self(b'\t');
    pub(super) const SEMICOLON: Self = Self(b';');
    pub(super) const BAR: Self = Self(b'|');

    const NAMES: [(&'static str, Self); 4] =
        [("comma", Self::COMMA), ("semicolon", Self::SEMICOLON), ("tab", Self::TAB), ("bar", Self::BAR)];

    /// A separator, unless fields could hold it: letters, digits, quotes and line ends separate nothing.
    pub(super) fn of(byte: u8) -> Option<Self> {
        let is_separator =
            byte == b'\t' || byte == b' ' || byte.is_ascii_punctuation() || byte.is_ascii_control();
        let is_taken = matches!(byte, b'"' | b'\r' | b'\n' | 0);
        (is_separator && !is_taken).then_some(Self(byte))
    }

    pub(super) fn byte(self) -> u8 {
        self.0
    }
}

impl FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, separator)| *separator);
        match (named, text.as_bytes()) {
            (Some(separator), _) => Ok(separator),
            (None, br"\t") => Ok(Self::TAB),
            (None, [byte]) if Self::of(*byte).is_some() => Ok(Self(*byte)),
            _ => Err("give one character such as ; or |, or comma, semicolon, tab or bar".to_owned()),
        }
    }
}

/// For messages: the word for it, or the character in quotes.
impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, separator)| separator == self) {
            Some((name, _)) => write!(f, "a {name}"),
            None => write!(f, "{:?}", char::from(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_one_character_or_its_name() {
        for (text, byte) in [
            (",", b','),
            ("comma", b','),
            ("\t", b'\t'),
            (r"\t", b'\t'),
            ("tab", b'\t'),
            ("|", b'|'),
            (" ", b' '),
        ] {
            assert_eq!(text.parse::<Separator>().map(Separator::byte), Ok(byte));
        }
        for text in ["", "\"", "x", "7", ";;", "\n", "\u{e4}", "\0"] {
            assert!(text.parse::<Separator>().is_err(), "{text:?}");
        }
    }
}

//! When two names are the same, and how a foreign one is shown.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// How many characters of a foreign name are shown.
const MAX_SHOWN: usize = 200;
/// How long a name may be to be compared beyond its canonical form.
const MAX_FOLDED_BYTES: usize = 1024;

/// Characters that are not seen and carry no meaning at the end of a name: soft hyphen, zero-width spaces and joiners,
/// directional marks, byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// A text without white space and invisible characters around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// The form in which names are compared: trimmed, and in Unicode's normalization form C, in which a letter with its accent
/// is the same whether it was written as one character or two.
pub(super) fn canonical(text: &str) -> Cow<'_, str> {
    let text = trimmed(text);
    match is_nfc(text) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfc().collect()),
    }
}

/// A form that forgets capitals, white space, invisible characters and compatibility variants as well; `None` for what is too
/// long to be a name.
pub(super) fn folded(text: &str) -> Option<String> {
    let kept = |c: &char| !c.is_whitespace() && !is_invisible(*c);
    let fold = |text: &str| text.nfkc().filter(kept).flat_map(char::to_lowercase).collect::<String>();
    (text.len() <= MAX_FOLDED_BYTES).then(|| fold(text).nfkc().collect())
}

/// A foreign name for a message: in backquotes, escaped, and cut.
pub(super) fn shown(name: &str) -> String {
    let mut characters = name.chars();
    let start: String = characters.by_ref().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    let rest = if characters.next().is_some() { "..." } else { "" };
    format!("`{start}{rest}`")
}

/// The same of several names, of which the last may be left out.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    let mut n_left_out = 0;
    for name in names {
        let name = shown(name);
        if n_left_out > 0 || list.chars().count() + name.chars().count() > MAX_SHOWN {
            n_left_out += 1;
            continue;
        }
        list += if list.is_empty() { "" } else { ", " };
        list += &name;
    }
    match (n_left_out, list.is_empty()) {
        (0, _) => list,
        (n, true) => format!("{n} names that are too long to show"),
        (n, false) => format!("{list} and {n} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_told_from_names_that_are_alike() {
        assert_eq!(canonical(" cafe\u{301}\u{200b}\u{feff}"), "caf\u{e9}");
        assert_eq!(canonical("\u{a0}plain\t"), "plain");
        assert_ne!(canonical("Plain"), canonical("plain"));
        assert_eq!(folded("Pla in\u{200d}"), folded("plain"));
        assert_eq!(folded("\u{ff30}lain"), folded("plain"));
        assert_eq!(folded(&"x".repeat(1025)), None);
    }

    #[test]
    fn a_foreign_name_is_escaped_and_cut() {
        assert_eq!(shown("te\u{1b}[31mxt\u{202e}"), "`te\\u{1b}[31mxt\\u{202e}`");
        assert_eq!(shown(&"x".repeat(500)).len(), 2 + 200 + 3);
        let many: Vec<String> = (0..100).map(|i| format!("column{i}")).collect();
        let list = listed(many.iter().map(String::as_str));
        assert!(list.starts_with("`column0`, `column1`") && list.ends_with(" more"), "{list}");
        assert!(list.len() < 220, "{list}");
        assert_eq!(listed([&*"\u{1b}".repeat(300)]), "1 names that are too long to show");
    }
}

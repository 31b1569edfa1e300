//! The members of one JSON object, each on its own: one that is no JSON does not spoil the others.

use std::borrow::Cow;

use memchr::memchr2;

use super::MAX_FIELD_BYTES;
use super::collector::{characters, is_utf8};

/// A member's value.
pub(super) enum Value<'a> {
    Text(Text<'a>),
    /// A number as it is written, `true` or `false`.
    Plain(&'a str),
    /// An array or object.
    Nested,
    /// `null`, or what is no JSON.
    Nothing,
}

/// A string as it is written, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(&'a [u8]);

/// Gives each member to `member`; `false` when the line is no object.
pub(super) fn members<'a>(line: &'a [u8], mut member: impl FnMut(Text<'a>, Value<'a>)) -> bool {
    let mut rest = Rest(line);
    if !rest.take(b'{') {
        return false;
    }
    if rest.take(b'}') {
        return rest.is_blank();
    }
    loop {
        let Some(name) = rest.string() else { return false };
        if !rest.take(b':') {
            return false;
        }
        let Some(value) = rest.value() else { return false };
        member(name, value);
        if rest.take(b'}') {
            return rest.is_blank();
        }
        if !rest.take(b',') {
            return false;
        }
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn is_blank(&self) -> bool {
        self.0.trim_ascii_start().is_empty()
    }

    /// Takes white space and then this byte, if it follows.
    fn take(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let follows = self.0.first() == Some(&byte);
        if follows {
            self.0 = &self.0[1..];
        }
        follows
    }

    fn string(&mut self) -> Option<Text<'a>> {
        if !self.take(b'"') {
            return None;
        }
        let mut place = 0;
        loop {
            place += memchr2(b'"', b'\\', self.0.get(place..)?)?;
            if self.0[place] == b'"' {
                let text = Text(&self.0[..place]);
                self.0 = &self.0[place + 1..];
                return Some(text);
            }
            place += 2;
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.0 = self.0.trim_ascii_start();
        match self.0.first()? {
            b'"' => Some(Value::Text(self.string()?)),
            b'[' | b'{' => self.nested().then_some(Value::Nested),
            _ => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace();
                let n = self.0.iter().position(is_end)?;
                let (word, rest) = self.0.split_at(n);
                self.0 = rest;
                let word = std::str::from_utf8(word).unwrap_or_default();
                let is_odd = word.is_empty() || word.contains(['"', ':', '[', ']', '{']);
                (!is_odd).then(|| if is_plain(word) { Value::Plain(word) } else { Value::Nothing })
            }
        }
    }

    /// Skips an array or object, however deep it is.
    fn nested(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            let byte = |byte: &u8| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}');
            let Some(place) = self.0.iter().position(byte) else { return false };
            let found = self.0[place];
            if found == b'"' {
                self.0 = &self.0[place..];
                if self.string().is_none() {
                    return false;
                }
                continue;
            }
            self.0 = &self.0[place + 1..];
            match found {
                b'[' | b'{' => depth += 1,
                _ => depth -= 1,
            }
            if depth == 0 {
                return true;
            }
        }
    }
}

/// Whether a word is a JSON number or boolean.
fn is_plain(word: &str) -> bool {
    serde_json::from_str::<f64>(word).is_ok() || matches!(word, "true" | "false") || is_large(word)
}

/// Whether a word is a JSON number beyond what a float holds.
fn is_large(word: &str) -> bool {
    word.len() > 300 && word.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit())
}

impl<'a> Text<'a> {
    pub fn is_utf8(self) -> bool {
        is_utf8(self.0)
    }

    /// The characters, as far as they are kept. An escape that is no character is U+FFFD.
    pub fn unescaped(self) -> Cow<'a, str> {
        // A character takes at most six bytes for one that is kept.
        let bytes = &self.0[..self.0.len().min(6 * MAX_FIELD_BYTES)];
        let text = characters(bytes);
        if memchr::memchr(b'\\', bytes).is_none() {
            return text;
        }
        let mut kept = String::new();
        let mut rest = &*text;
        while let Some(place) = rest.find('\\') {
            kept += &rest[..place];
            if kept.len() > MAX_FIELD_BYTES {
                break;
            }
            let (character, n) = escaped(&rest[place + 1..]);
            kept.push(character);
            rest = &rest[place + 1 + n..];
        }
        kept += rest;
        Cow::Owned(kept)
    }
}

/// The character that an escape means, and how many bytes it takes behind the backslash.
fn escaped(text: &str) -> (char, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix('u')?.get(..4)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    let Some(first) = text.chars().next() else { return (char::REPLACEMENT_CHARACTER, 0) };
    let character = match first {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '"' | '\\' | '/' => first,
        'u' => {
            let Some(high) = unit(text) else { return (char::REPLACEMENT_CHARACTER, 1) };
            let low = text[5..].strip_prefix('\\').and_then(unit);
            let units = [high, low.unwrap_or_default()];
            return match char::decode_utf16(units).next() {
                Some(Ok(character)) if character.len_utf16() == 2 => (character, 11),
                Some(Ok(character)) => (character, 5),
                _ => (char::REPLACEMENT_CHARACTER, 5),
            };
        }
        _ => char::REPLACEMENT_CHARACTER,
    };
    (character, first.len_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &[u8]) -> Option<Vec<(String, Option<String>)>> {
        let mut all = Vec::new();
        let is_object = members(line, |name, value| {
            let value = match value {
                Value::Text(text) => Some(text.unescaped().into_owned()),
                Value::Plain(word) => Some(word.to_owned()),
                Value::Nested => Some("nested".to_owned()),
                Value::Nothing => None,
            };
            all.push((name.unescaped().into_owned(), value));
        });
        is_object.then_some(all)
    }

    proptest! {
        #[test]
        fn what_a_json_library_writes_is_read(texts: Vec<(String, String)>, escape: bool) {
            let escaped = |text: &str| -> String {
                text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
            };
            let string = |text: &str| match escape {
                true => format!("\"{}\"", escaped(text)),
                false => serde_json::to_string(text).unwrap(),
            };
            let written: Vec<String> =
                texts.iter().map(|(name, text)| format!(" {} :{} ", string(name), string(text))).collect();
            let line = format!(" {{{}}} ", written.join(","));
            let expected: Vec<_> = texts.into_iter().map(|(name, text)| (name, Some(text))).collect();
            prop_assert_eq!(read(line.as_bytes()), Some(expected));
        }

        #[test]
        fn any_bytes_are_an_object_or_none(line: Vec<u8>) {
            read(&line);
            read(&[b"{\"a\":", line.as_slice(), b",\"b\":1}"].concat());
        }
    }

    #[test]
    fn an_odd_member_leaves_the_others() {
        for (odd, expected) in [
            ("NaN", None),
            ("-Infinity", None),
            ("null", None),
            ("01", None),
            ("+1", None),
            ("{\"x\":[1,\"}\",{}]}", Some("nested")),
            ("9007199254740993", Some("9007199254740993")),
            ("1.00", Some("1.00")),
            ("1e5", Some("1e5")),
            ("\"\\ud800\"", Some("\u{fffd}")),
            ("\"\\ud800\\ud83d\\ude00\"", Some("\u{fffd}\u{1f600}")),
            ("\"\\x\\u12\"", Some("\u{fffd}\u{fffd}12")),
        ] {
            let read = read(format!("{{\"odd\":{odd},\"text\":\"a\"}}").as_bytes()).expect(odd);
            assert_eq!(read[0].1.as_deref(), expected, "{odd}");
            assert_eq!(read[1], ("text".to_owned(), Some("a".to_owned())), "{odd}");
        }
        for none in
            ["", "[1]", "no", "{\"a\":1", "{\"a\" 1}", "{\"a\":1}}", "{a:1}", "{\"a\":1 2}", "{\"a\":\"b}"]
        {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
        // Deeper than a parser that calls itself could go.
        let deep = format!("{{\"a\":{}{},\"text\":\"b\"}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(read(deep.as_bytes()).unwrap()[1].1.as_deref(), Some("b"));
    }
}

//! Labels by their value.

use std::collections::HashMap;

use super::spelling::{canonical, folded};

/// The longest text that is taken for a number.
const MAX_NUMBER_BYTES: usize = 512;

/// The declared labels.
///
/// A field names the label that is written the same: white space and invisible characters around it do not count, nor
/// whether accents are characters of their own. Otherwise numbers name the declared number of the same value (1, 1.0, 1e0), and
/// true and false name theirs in any capitals. Where all declared labels are of 0, 1, true and false, 1 is true and 0 is false.
/// A value that two labels have names neither.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    names: Vec<String>,
    written: HashMap<String, u32>,
    values: HashMap<Value, Option<u32>>,
    /// In forms that forget more than is the same.
    folded: HashMap<String, u32>,
}

/// What a text is the same as, however it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    Boolean(bool),
    /// `digits` without zeros at either end, times a power of ten.
    Number {
        negative: bool,
        digits: String,
        exponent: i64,
    },
}

impl Value {
    fn of(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Some(Self::Boolean(true)),
            _ if text.eq_ignore_ascii_case("false") => Some(Self::Boolean(false)),
            _ => Self::number(text),
        }
    }

    /// A decimal number such as `-1`, `+1.50`, `.5` or `1E-3`.
    fn number(text: &str) -> Option<Self> {
        if text.len() > MAX_NUMBER_BYTES {
            return None;
        }
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(e) => (&text[..e], text[e + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self::Number { negative: false, digits, exponent: 0 });
        }
        let exponent = i64::from(exponent) - fraction.len() as i64 + (all.len() - significant.len()) as i64;
        Some(Self::Number { negative: mantissa.starts_with('-'), digits, exponent })
    }

    /// The truth value of true and false and of 1 and 0.
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            Self::Number { negative: false, digits, exponent: 0 } if digits.is_empty() => Some(false),
            Self::Number { negative: false, digits, exponent: 0 } if digits == "1" => Some(true),
            Self::Number { .. } => None,
        }
    }
}

/// What a field says in a label column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The label at this place of the list.
    Label(u32),
    /// Nothing.
    Nothing,
    /// Another value; whether it differs from a declared label only in capitals, spaces or Unicode form.
    Another { nearly: bool },
}

impl Labels {
    pub fn new(names: &[String]) -> Self {
        let (mut written, mut values, mut near) = (HashMap::new(), HashMap::new(), HashMap::new());
        let valued: Vec<(u32, Value)> =
            (0..).zip(names).filter_map(|(i, name)| Some((i, Value::of(&canonical(name))?))).collect();
        let are_truths = valued.len() == names.len() && valued.iter().all(|(_, v)| v.truth().is_some());
        let mut insert = |value: Value, i: u32| {
            values
                .entry(value)
                .and_modify(|place: &mut Option<u32>| {
                    if *place != Some(i) {
                        *place = None;
                    }
                })
                .or_insert(Some(i));
        };
        for (i, value) in valued {
            if let (true, Some(truth)) = (are_truths, value.truth()) {
                let number = Value::number(if truth { "1" } else { "0" });
                [Some(Value::Boolean(truth)), number].into_iter().flatten().for_each(|v| insert(v, i));
            }
            insert(value, i);
        }
        for (i, name) in (0..).zip(names) {
            written.entry(canonical(name).into_owned()).or_insert(i);
            if let Some(name) = folded(name) {
                near.entry(name).or_insert(i);
            }
        }
        Self { names: names.to_vec(), written, values, folded: near }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn named_by(&self, field: &str) -> Named {
        if let Some(&i) = self.written.get(field) {
            return Named::Label(i);
        }
        let name = canonical(field);
        if name.is_empty() {
            return Named::Nothing;
        }
        if let Some(&i) = self.written.get(&*name) {
            return Named::Label(i);
        }
        let by_value = || *self.values.get(&Value::of(&name)?)?;
        match by_value() {
            Some(i) => Named::Label(i),
            None => Named::Another { nearly: folded(&name).is_some_and(|n| self.folded.contains_key(&n)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        Labels::new(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn labels_are_the_same_by_value() {
        for (declared, fields, expected) in [
            (
                ["0", "1"],
                &["1", "1.0", "1.00", "+1", "1e0", "10E-1", ".1e1", "true", "TRUE"][..],
                Named::Label(1),
            ),
            (["0", "1"], &["0", "-0.0", "0e7", "00", "False"], Named::Label(0)),
            (["0.0", "1.0"], &["1", "true"], Named::Label(1)),
            (["false", "true"], &["True", "TRUE", "1", "1.0"], Named::Label(1)),
            (["FALSE", "TRUE"], &["0", "false"], Named::Label(0)),
            (["-1", "1"], &["-1.0", "-10e-1"], Named::Label(0)),
            (["-1", "1"], &["true", "false", "0"], Named::Another { nearly: false }),
            (["negative", "positive"], &["1", "true", "positive!"], Named::Another { nearly: false }),
            (
                ["negative", "positive"],
                &["Positive", "posi tive", "NEGATIVE"],
                Named::Another { nearly: true },
            ),
            (["negative", "positive"], &[" positive\u{200b}", "\u{feff}positive"], Named::Label(1)),
            (["caf\u{e9}", "bar"], &["cafe\u{301}"], Named::Label(0)),
            (["negative", "positive"], &["", "  ", "\u{200b}"], Named::Nothing),
            // Beyond what a float tells apart.
            (["9007199254740992", "x"], &["9007199254740993"], Named::Another { nearly: false }),
            // One value, two labels: as they are written, or not at all.
            (["1", "1.0"], &["1.0"], Named::Label(1)),
            (["1", "1.0"], &["1.00"], Named::Another { nearly: false }),
            (["1", "true"], &["TRUE"], Named::Another { nearly: true }),
        ] {
            for field in fields {
                assert_eq!(labels(&declared).named_by(field), expected, "{field:?} of {declared:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in
            ["", ".", "-", "1e", "1e1.5", "0x1", "1_000", "1,5", "inf", "nan", "1e99999999999", "\u{661}"]
        {
            assert_eq!(Value::number(text), None, "{text}");
        }
    }
}

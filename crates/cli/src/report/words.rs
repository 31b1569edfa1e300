//! How numbers are written for readers: a loss never smaller than it is, what is left never larger.

/// A loss with three decimals, rounded up.
pub fn loss(value: f64) -> String {
    // What is a hair above a whole number of thousandths by rounding of its own is that number.
    format!("{:.3}", ((value * 1e3) - 1e-6).ceil() / 1e3)
}

/// What is left, or a lower bound, with three decimals, rounded down.
pub fn at_least(value: f64) -> String {
    format!("{:.3}", ((value * 1e3) + 1e-6).floor() / 1e3)
}

/// A limit that somebody chose, in as few digits as it has, rounded down.
pub fn cap(value: f64) -> String {
    at_least(value).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A small probability: `1.55e-4`, rounded up to three digits.
pub fn small(value: f64) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let exponent = value.log10().floor() as i32;
    let mantissa = (value / 10f64.powi(exponent) * 1e2 - 1e-6).ceil() / 1e2;
    let (mantissa, exponent) = if mantissa >= 10.0 { (1.0, exponent + 1) } else { (mantissa, exponent) };
    format!("{mantissa}e{exponent}")
}

/// A small probability for everybody: `1 in 6,468`, rounded so that it is not smaller than it is.
pub fn one_in(value: f64) -> String {
    if value > 0.0 { format!("1 in {}", grouped((1.0 / value).floor() as u64)) } else { "never".to_owned() }
}

/// A share of a hundred with one decimal.
pub fn percent(share: f64) -> String {
    format!("{} %", number((share * 1e3).round() / 10.0))
}

/// A whole number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Up to four significant digits, for numbers that are no losses.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        a if (1e-3..1e6).contains(&a) => {
            let decimals = (3 - a.log10().floor() as i32).clamp(0, 6) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        _ => format!("{value:.3e}"),
    }
}

/// A paragraph in lines for a terminal, broken between words.
pub fn wrapped(text: &str) -> String {
    const WIDTH: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// A count with its noun: `1 run`, `2 runs`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_breaks_between_words_and_loses_none() {
        let text = format!("{} {} end", "word ".repeat(60), "x".repeat(200));
        let lines = wrapped(&text);
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        assert!(lines.lines().all(|line| line.len() <= 96 || !line.contains(' ')), "{lines}");
        assert!(lines.lines().count() >= 5);
        assert_eq!(wrapped(""), "");
    }

    #[test]
    fn losses_round_up_and_what_is_left_rounds_down() {
        assert_eq!(
            (loss(0.9999999999928), loss(1.0001), loss(1.0)),
            ("1.000".into(), "1.001".into(), "1.000".into())
        );
        assert_eq!((at_least(0.8999), at_least(2.0)), ("0.899".to_owned(), "2.000".to_owned()));
        assert_eq!(
            (small(1.54605687e-4), small(1e-5), small(9.999e-7)),
            ("1.55e-4".into(), "1e-5".into(), "1e-6".into())
        );
        assert_eq!(one_in(1.54605687708e-4), "1 in 6,468");
        assert_eq!((percent(0.7728), percent(0.95), cap(8.0)), ("77.3 %".into(), "95 %".into(), "8".into()));
        assert_eq!(
            (grouped(1234567), count(1, "run"), count(1000, "run")),
            ("1,234,567".into(), "1 run".into(), "1,000 runs".into())
        );
        assert_eq!(
            (number(15.2013), number(0.5), number(7.600692), number(4.66e-10)),
            ("15.2".into(), "0.5".into(), "7.601".into(), "4.660e-10".into())
        );
    }
}

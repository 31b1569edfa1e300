//! What a Parquet column's values mean, beyond the bytes and numbers that the file holds.

use std::borrow::Cow;
use std::fmt::Write;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::schema::types::ColumnDescriptor;

/// The most digits behind a decimal's point.
const MAX_SCALE: i32 = 76;
/// The most bytes of a decimal, for 38 digits.
const MAX_DECIMAL_BYTES: usize = 16;
const SECONDS_A_DAY: i128 = 86_400;

/// What the values of a column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What they are: bytes, numbers, truth values.
    Plain,
    Unsigned,
    Decimal {
        scale: usize,
    },
    /// Days since 1970.
    Date,
    /// Parts of a second since midnight.
    Time {
        a_second: i128,
    },
    /// Parts of a second since 1970.
    Timestamp {
        a_second: i128,
        utc: bool,
    },
    Float16,
    Uuid,
}

impl Meaning {
    /// What a column's values mean; an error names what is not read.
    pub fn of(column: &ColumnDescriptor) -> Result<Self, String> {
        let physical = column.physical_type();
        let logical = column.logical_type_ref();
        let converted = column.converted_type();
        let meaning = match logical {
            Some(logical) => Self::of_logical(logical)?,
            None => Self::of_converted(converted, column.type_scale())?,
        };
        use Physical::{BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, INT32, INT64};
        let fits = match meaning {
            Self::Plain => true,
            Self::Unsigned | Self::Date | Self::Time { .. } | Self::Timestamp { .. } => {
                matches!(physical, INT32 | INT64)
            }
            Self::Decimal { .. } => match physical {
                INT32 | INT64 | BYTE_ARRAY => true,
                FIXED_LEN_BYTE_ARRAY if column.type_length() <= MAX_DECIMAL_BYTES as i32 => true,
                FIXED_LEN_BYTE_ARRAY => return Err("decimals of more than 38 digits".to_owned()),
                _ => false,
            },
            Self::Float16 => physical == FIXED_LEN_BYTE_ARRAY && column.type_length() == 2,
            Self::Uuid => physical == FIXED_LEN_BYTE_ARRAY && column.type_length() == 16,
        };
        match fits {
            true => Ok(meaning),
            false => Err(format!("{meaning:?} as {physical}")),
        }
    }

    fn of_logical(logical: &LogicalType) -> Result<Self, String> {
        Ok(match logical {
            LogicalType::String | LogicalType::Enum | LogicalType::Json | LogicalType::Unknown => Self::Plain,
            LogicalType::Integer(int) if int.is_signed => Self::Plain,
            LogicalType::Integer(_) => Self::Unsigned,
            LogicalType::Decimal(decimal) => Self::decimal(decimal.scale)?,
            LogicalType::Date => Self::Date,
            LogicalType::Time(time) => Self::Time { a_second: a_second(time.unit) },
            LogicalType::Timestamp(time) => {
                Self::Timestamp { a_second: a_second(time.unit), utc: time.is_adjusted_to_u_t_c }
            }
            LogicalType::Float16 => Self::Float16,
            LogicalType::Uuid => Self::Uuid,
            LogicalType::Bson => return Err("BSON documents".to_owned()),
            LogicalType::Map => return Err("maps".to_owned()),
            LogicalType::List => return Err("lists".to_owned()),
            LogicalType::Variant(_) => return Err("variants".to_owned()),
            LogicalType::Geometry(_) | LogicalType::Geography(_) => return Err("geometries".to_owned()),
            _ => return Err("values of a type that this program does not know".to_owned()),
        })
    }

    /// Of files from before logical types.
    fn of_converted(converted: ConvertedType, scale: i32) -> Result<Self, String> {
        use ConvertedType as C;
        Ok(match converted {
            C::NONE | C::UTF8 | C::ENUM | C::JSON | C::INT_8 | C::INT_16 | C::INT_32 | C::INT_64 => {
                Self::Plain
            }
            C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => Self::Unsigned,
            C::DECIMAL => Self::decimal(scale)?,
            C::DATE => Self::Date,
            C::TIME_MILLIS => Self::Time { a_second: 1000 },
            C::TIME_MICROS => Self::Time { a_second: 1_000_000 },
            C::TIMESTAMP_MILLIS => Self::Timestamp { a_second: 1000, utc: true },
            C::TIMESTAMP_MICROS => Self::Timestamp { a_second: 1_000_000, utc: true },
            C::BSON => return Err("BSON documents".to_owned()),
            C::INTERVAL => return Err("intervals".to_owned()),
            C::MAP | C::MAP_KEY_VALUE => return Err("maps".to_owned()),
            C::LIST => return Err("lists".to_owned()),
        })
    }

    fn decimal(scale: i32) -> Result<Self, String> {
        match usize::try_from(scale) {
            Ok(digits) if scale <= MAX_SCALE => Ok(Self::Decimal { scale: digits }),
            _ => Err(format!("decimals of scale {scale}")),
        }
    }

    /// The text of a number of `bits` bits.
    pub fn number(self, x: i64, bits: u32) -> String {
        match self {
            Self::Unsigned if bits == 32 => (x as u32).to_string(),
            Self::Unsigned => (x as u64).to_string(),
            Self::Decimal { scale } => decimal(x.into(), scale),
            Self::Date => date(x.into()).unwrap_or_else(|| x.to_string()),
            Self::Time { a_second } => time(i128::from(x), a_second).unwrap_or_else(|| x.to_string()),
            Self::Timestamp { a_second, utc } => {
                timestamp(x.into(), a_second, utc).unwrap_or_else(|| x.to_string())
            }
            Self::Plain | Self::Float16 | Self::Uuid => x.to_string(),
        }
    }

    /// The text of bytes.
    pub fn bytes(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Decimal { scale } => {
                let text = unscaled(bytes).map_or_else(String::new, |x| decimal(x, scale));
                Cow::Owned(text.into_bytes())
            }
            Self::Float16 => {
                let value = bytes.try_into().map_or(half::f16::NAN, half::f16::from_le_bytes);
                Cow::Owned(float(f64::from(value)).into_bytes())
            }
            Self::Uuid => Cow::Owned(uuid(bytes).into_bytes()),
            _ => Cow::Borrowed(bytes),
        }
    }
}

fn a_second(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::MILLIS => 1000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    }
}

/// A float in its shortest decimal form; nothing for what is not a number, as missing numbers are written.
pub(super) fn float(x: impl Into<f64> + std::fmt::Display + Copy) -> String {
    match x.into().is_nan() {
        true => String::new(),
        false => x.to_string(),
    }
}

/// The timestamp of older writers: nanoseconds of a day, and its Julian number.
pub(super) fn int96(data: &[u32]) -> String {
    let [low, high, day] = data else { return String::new() };
    let nanoseconds = i128::from(u64::from(*high) << 32 | u64::from(*low));
    let days = i128::from(*day) - 2_440_588;
    timestamp(days * SECONDS_A_DAY * 1_000_000_000 + nanoseconds, 1_000_000_000, false).unwrap_or_default()
}

fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// A number in two's complement, most significant byte first; `None` beyond 128 bits.
fn unscaled(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let (front, back) = bytes.split_at(bytes.len().saturating_sub(MAX_DECIMAL_BYTES));
    if front.iter().any(|byte| *byte != sign) || !front.is_empty() && (back[0] ^ sign) & 0x80 != 0 {
        return None;
    }
    let mut all = [sign; MAX_DECIMAL_BYTES];
    all[MAX_DECIMAL_BYTES - back.len()..].copy_from_slice(back);
    Some(i128::from_be_bytes(all))
}

fn date(days: i128) -> Option<String> {
    let seconds = i64::try_from(days.checked_mul(SECONDS_A_DAY)?).ok()?;
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(time).date().to_string())
}

fn time(parts: i128, a_second: i128) -> Option<String> {
    let seconds = parts.div_euclid(a_second);
    if !(0..SECONDS_A_DAY).contains(&seconds) {
        return None;
    }
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(&mut text, parts.rem_euclid(a_second), a_second);
    Some(text)
}

fn timestamp(parts: i128, a_second: i128, utc: bool) -> Option<String> {
    let seconds = parts.div_euclid(a_second);
    let date = date(seconds.div_euclid(SECONDS_A_DAY))?;
    let of_day = seconds.rem_euclid(SECONDS_A_DAY) * a_second + parts.rem_euclid(a_second);
    Some(format!("{date} {}{}", time(of_day, a_second)?, if utc { "+00:00" } else { "" }))
}

/// The digits behind a second's point, if there are any, in threes.
fn push_fraction(text: &mut String, parts: i128, a_second: i128) {
    let nanoseconds = parts * (1_000_000_000 / a_second);
    let (n_digits, fraction) = match nanoseconds {
        0 => return,
        n if n % 1_000_000 == 0 => (3, n / 1_000_000),
        n if n % 1000 == 0 => (6, n / 1000),
        n => (9, n),
    };
    let _ = write!(text, ".{fraction:0n_digits$}");
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_what_they_mean() {
        assert_eq!(Meaning::Decimal { scale: 2 }.number(100, 32), "1.00");
        assert_eq!(Meaning::Decimal { scale: 2 }.number(-5, 64), "-0.05");
        assert_eq!(Meaning::Decimal { scale: 0 }.number(7, 32), "7");
        assert_eq!(&*Meaning::Decimal { scale: 1 }.bytes(&[0xff, 0x85]), b"-12.3");
        assert_eq!(unscaled(&[0xff; 20]), Some(-1));
        assert_eq!(unscaled(&[1; 17]), None);
        assert_eq!(unscaled(&[]), Some(0));
        assert_eq!(Meaning::Date.number(19_000, 32), "2022-01-08");
        assert_eq!(Meaning::Date.number(-1, 32), "1969-12-31");
        assert_eq!(Meaning::Date.number(i64::MAX, 64), i64::MAX.to_string());
        let milliseconds = |utc| Meaning::Timestamp { a_second: 1000, utc };
        assert_eq!(milliseconds(false).number(1_500, 64), "1970-01-01 00:00:01.500");
        assert_eq!(milliseconds(true).number(-1, 64), "1969-12-31 23:59:59.999+00:00");
        assert_eq!(Meaning::Time { a_second: 1_000_000 }.number(3_600_000_001, 64), "01:00:00.000001");
        assert_eq!(Meaning::Unsigned.number(-1, 32), u32::MAX.to_string());
        assert_eq!(Meaning::Unsigned.number(-1, 64), u64::MAX.to_string());
        assert_eq!(&*Meaning::Float16.bytes(&[0x00, 0x3e]), b"1.5");
        assert_eq!(&*Meaning::Float16.bytes(&[0x00, 0x7e]), b"");
        let uuid: Vec<u8> = (0..16).collect();
        assert_eq!(&*Meaning::Uuid.bytes(&uuid), b"00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(int96(&[0, 0, 2_440_589]), "1970-01-02 00:00:00");
        assert_eq!(float(0.1_f32), "0.1");
        assert_eq!(float(f64::NAN), "");
    }
}

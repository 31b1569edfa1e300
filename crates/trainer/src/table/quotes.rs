//! Which records of a tab-separated table have quoted fields.
//!
//! Spreadsheets and data-frame libraries quote a field of TSV that holds a tab, a quote or a line break, as in CSV; other
//! tables have no quotes, and a field may begin with one that means itself. Each record is judged on its own.

use std::io::Result;

use memchr::{memchr, memchr3};

use super::lookahead::Lookahead;

/// How far a record is looked through; a longer one has no quoted fields.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// Whether the next record has quoted fields: one or more of its fields begin with a quote, each of these ends with a quote
/// before a separator or a line end, and quotes between are doubled. If a quoted field holds a separator or a line break,
/// the record must then have `n_columns` fields; and unless all of these are quoted, it is not taken for quoted where its
/// lines are as well formed without quotes, each having `n_columns` fields, two or more.
pub(super) fn are_quoted(bytes: &mut Lookahead, separator: u8, n_columns: usize) -> Result<bool> {
    let mut n_wanted = 1 << 16;
    loop {
        let n = bytes.fill_to(1)?.len();
        if let Some(verdict) = judged(bytes.seen(), separator, n_columns, bytes.ended()) {
            return Ok(verdict);
        }
        if n >= MAX_RECORD_BYTES || bytes.ended() {
            return Ok(false);
        }
        bytes.fill_to(n_wanted.max(n + 1))?;
        n_wanted = 2 * bytes.seen().len();
    }
}

/// `None` if the record goes on behind what is seen.
fn judged(seen: &[u8], separator: u8, n_columns: usize, ended: bool) -> Option<bool> {
    // Blank lines are no records.
    let start = seen.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let record = &seen[start..];
    let (mut place, mut n_fields, mut n_quoted, mut spans) = (0, 0, 0, false);
    loop {
        n_fields += 1;
        let rest = &record[place..];
        let length = if rest.first() == Some(&b'"') {
            n_quoted += 1;
            match quoted_length(rest, separator, ended) {
                Quoted::Length(length) => {
                    spans |= memchr3(separator, b'\n', b'\r', &rest[..length]).is_some();
                    length
                }
                Quoted::GoesOn => return None,
                Quoted::IsNone => return Some(false),
            }
        } else {
            match memchr3(separator, b'\n', b'\r', rest) {
                Some(length) => length,
                None if ended => rest.len(),
                None => return None,
            }
        };
        place += length;
        match record.get(place) {
            Some(&byte) if byte == separator => place += 1,
            _ => break,
        }
    }
    let well_formed_without = || {
        n_columns > 1
            && record[..place]
                .split(|byte| matches!(byte, b'\n' | b'\r'))
                .filter(|line| !line.is_empty())
                .all(|line| line.iter().filter(|&&byte| byte == separator).count() + 1 == n_columns)
    };
    let may_span = || n_fields == n_columns && (n_quoted == n_fields || !well_formed_without());
    Some(n_quoted > 0 && (!spans || may_span()))
}

enum Quoted {
    /// With both quotes.
    Length(usize),
    GoesOn,
    IsNone,
}

/// How long the quoted field is that these bytes begin with.
fn quoted_length(bytes: &[u8], separator: u8, ended: bool) -> Quoted {
    let mut place = 1;
    loop {
        let Some(quote) = memchr(b'"', &bytes[place..]) else {
            return if ended { Quoted::IsNone } else { Quoted::GoesOn };
        };
        place += quote + 1;
        match bytes.get(place) {
            Some(b'"') => place += 1,
            Some(b'\n' | b'\r') => return Quoted::Length(place),
            Some(&byte) if byte == separator => return Quoted::Length(place),
            Some(_) => return Quoted::IsNone,
            None if ended => return Quoted::Length(place),
            None => return Quoted::GoesOn,
        }
    }
}

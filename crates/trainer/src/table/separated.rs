//! CSV and TSV, field by field, so that not even a field without an end fills the memory.

use std::path::{Path, PathBuf};

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use super::MAX_FIELD_BYTES;
use super::collector::characters;
use super::columns::{Columns, MAX_COLUMNS, Names};
use super::containers::refuse_binary;
use super::input::{Text, unreadable};
use super::lookahead::Lookahead;
use super::options::{Separator, TableOptions};
use super::quotes::are_quoted;
use super::record::{N_FIELDS, Record, Rows};
use super::spelling::canonical;
use crate::error::{Result, TrainerError};

/// The longest first line.
const MAX_HEADER_BYTES: usize = 4 << 20;
/// How much of a field is parsed at once.
const PART_BYTES: usize = 4096;

/// The records of a CSV or TSV table.
pub(super) struct Separated {
    path: PathBuf,
    bytes: Lookahead,
    separator: Separator,
    /// For records with quotes, and for those without.
    parsers: [Reader; 2],
    quotes: Quotes,
    n_columns: usize,
    places: [Option<usize>; N_FIELDS],
    part: Box<[u8; PART_BYTES]>,
}

/// Which records have quoted fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    All,
    None,
    /// Those that look so, see [`are_quoted`].
    Some,
}

/// The first line, read with one separator.
struct Header {
    separator: Separator,
    names: Vec<String>,
    n_bytes: usize,
}

impl Separated {
    /// Reads the first line. `promised` is the separator that the file's name promises.
    pub fn new(
        path: &Path,
        text: Text,
        promised: Separator,
        columns: &Columns,
        options: &TableOptions,
    ) -> Result<Self> {
        let mut bytes = text.bytes;
        let start = bytes.fill_to(PART_BYTES).map_err(|e| unreadable(path, e))?;
        refuse_binary(path, start)?;
        let named = separator_line(start);
        if let Some((_, n_bytes)) = named {
            bytes.consume(n_bytes);
        }
        let chosen = options.separator.or(named.map(|(separator, _)| separator));
        let header = Header::read(path, &mut bytes, promised, chosen, columns, options)?;
        let Header { separator, names, n_bytes } = header;
        bytes.consume(n_bytes);
        let found = Names { names: &names, given_by: "its first line", separator: Some(separator) };
        let places = columns.places(path, &found, options)?;
        let quotes = match separator {
            _ if options.no_quotes => Quotes::None,
            Separator::TAB => Quotes::Some,
            _ => Quotes::All,
        };
        let parsers = [true, false].map(|quoting| parser(separator, quoting));
        let part = Box::new([0; PART_BYTES]);
        Ok(Self {
            path: path.to_owned(),
            bytes,
            separator,
            parsers,
            quotes,
            n_columns: names.len(),
            places,
            part,
        })
    }

    /// What the first line separates its names with.
    pub fn separator(&self) -> Separator {
        self.separator
    }

    /// Reads one field, its first [`MAX_FIELD_BYTES`] into `to` if it is wanted.
    fn field(&mut self, mut to: Option<&mut Vec<u8>>, parser: usize, cut: &mut bool) -> Result<End> {
        loop {
            let input = self.bytes.fill().map_err(|e| unreadable(&self.path, e))?;
            let (result, n_read, n_written) = self.parsers[parser].read_field(input, &mut *self.part);
            self.bytes.consume(n_read);
            if let Some(to) = &mut to {
                let room = MAX_FIELD_BYTES - to.len();
                to.extend_from_slice(&self.part[..n_written.min(room)]);
                *cut |= n_written > room;
            }
            match result {
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
                ReadFieldResult::Field { record_end: true } => return Ok(End::Record),
                ReadFieldResult::Field { record_end: false } => return Ok(End::Field),
                ReadFieldResult::End => return Ok(End::Table),
            }
        }
    }
}

/// What came to its end with a field.
enum End {
    Field,
    Record,
    /// There was no field.
    Table,
}

impl Rows for Separated {
    fn read(&mut self, record: &mut Record) -> Result<bool> {
        let quoted = match self.quotes {
            Quotes::All => true,
            Quotes::None => false,
            Quotes::Some => are_quoted(&mut self.bytes, self.separator.byte(), self.n_columns)
                .map_err(|e| unreadable(&self.path, e))?,
        };
        let parser = usize::from(!quoted);
        let Record { fields, cut, .. } = record;
        for column in 0.. {
            let to = self.places.iter().position(|place| *place == Some(column));
            match self.field(to.map(|i| &mut fields[i]), parser, cut)? {
                End::Table => return Ok(false),
                End::Field => {}
                End::Record => break,
            }
        }
        // One column can be wanted for two purposes.
        for i in 1..N_FIELDS {
            let first = self.places[..i].iter().position(|place| place.is_some() && *place == self.places[i]);
            if let Some(first) = first {
                fields[i] = fields[first].clone();
            }
        }
        Ok(true)
    }
}

impl Header {
    /// Reads the first line with the separator that was chosen, or else with the first of the usual ones with which it has all
    /// wanted columns, or else with that with which it has the most.
    fn read(
        path: &Path,
        bytes: &mut Lookahead,
        promised: Separator,
        chosen: Option<Separator>,
        columns: &Columns,
        options: &TableOptions,
    ) -> Result<Self> {
        const USUAL: [Separator; 4] =
            [Separator::COMMA, Separator::SEMICOLON, Separator::TAB, Separator::BAR];
        let usual = std::iter::once(promised).chain(USUAL.into_iter().filter(|usual| *usual != promised));
        let candidates: Vec<Separator> = chosen.map_or_else(|| usual.collect(), |chosen| vec![chosen]);
        let mut best: Option<Self> = None;
        for separator in candidates {
            let Some(header) = Self::with(path, bytes, separator, !options.no_quotes)? else { continue };
            if columns.are_among(&header.names) {
                return Ok(header);
            }
            if best.as_ref().is_none_or(|best| header.names.len() > best.names.len()) {
                best = Some(header);
            }
        }
        let Some(header) = best else {
            let fact = format!(
                "its first line is longer than {} MiB or names more than {MAX_COLUMNS} columns",
                MAX_HEADER_BYTES >> 20
            );
            return Err(TrainerError::table(path, fact, "give a table whose first line names its columns"));
        };
        if header.names.iter().all(String::is_empty) {
            let remedy = "give a table whose first line names its columns";
            return Err(TrainerError::table(path, "it is empty", remedy));
        }
        Ok(header)
    }

    /// `None` if the line is too long.
    fn with(path: &Path, bytes: &mut Lookahead, separator: Separator, quoting: bool) -> Result<Option<Self>> {
        let mut n_wanted = 1 << 16;
        loop {
            let ended = bytes.ended();
            match parsed(bytes.seen(), ended, separator, quoting) {
                Parsed::Line(names, n_bytes) => return Ok(Some(Self { separator, names, n_bytes })),
                Parsed::TooManyNames => return Ok(None),
                Parsed::GoesOn if bytes.seen().len() >= MAX_HEADER_BYTES => return Ok(None),
                Parsed::GoesOn => {}
            }
            bytes.fill_to(n_wanted).map_err(|e| unreadable(path, e))?;
            n_wanted = 2 * bytes.seen().len();
        }
    }
}

enum Parsed {
    /// The names, and how long the line is.
    Line(Vec<String>, usize),
    GoesOn,
    TooManyNames,
}

fn parsed(seen: &[u8], ended: bool, separator: Separator, quoting: bool) -> Parsed {
    let mut parser = parser(separator, quoting);
    let (mut names, mut name, mut n_bytes) = (Vec::new(), Vec::new(), 0);
    let mut part = [0; PART_BYTES];
    loop {
        let rest = &seen[n_bytes..];
        if rest.is_empty() && !ended {
            return Parsed::GoesOn;
        }
        let (result, n_read, n_written) = parser.read_field(rest, &mut part);
        n_bytes += n_read;
        name.extend_from_slice(&part[..n_written]);
        let record_end = match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => continue,
            ReadFieldResult::Field { record_end } => record_end,
            ReadFieldResult::End => return Parsed::Line(names, n_bytes),
        };
        if names.len() == MAX_COLUMNS {
            return Parsed::TooManyNames;
        }
        names.push(canonical(&characters(&name)).into_owned());
        name.clear();
        if record_end {
            return Parsed::Line(names, n_bytes);
        }
    }
}

/// A parser that stands before a record. It would take a byte order mark for its own at the very first byte, so it is shown a
/// line end first, which is no record.
fn parser(separator: Separator, quoting: bool) -> Reader {
    let mut parser = ReaderBuilder::new().delimiter(separator.byte()).quoting(quoting).build();
    parser.read_field(b"\n", &mut [0]);
    parser
}

/// The first line by which a spreadsheet is told the separator, `sep=;`, and how long it is.
fn separator_line(start: &[u8]) -> Option<(Separator, usize)> {
    let n_bytes = memchr::memchr(b'\n', start)? + 1;
    let line = start[..n_bytes].trim_ascii_end();
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    // A tab is white space.
    let line = if start.get(4) == Some(&b'\t') { &start[..5] } else { line };
    match line {
        [s, e, p, b'=', byte] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            Some((Separator::of(*byte)?, n_bytes))
        }
        _ => None,
    }
}

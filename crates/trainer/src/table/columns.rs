//! Which columns of a table hold what, and where they are.

use std::path::Path;

use super::options::{Separator, TableOptions};
use super::record::N_FIELDS;
use super::spelling::{canonical, folded, listed, shown};
use crate::error::{Result, TrainerError};

/// The most columns a table may have.
pub(super) const MAX_COLUMNS: usize = 1 << 16;

/// Which columns hold what.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The text.
    pub text: String,
    /// The label, where the table has labels.
    pub label: Option<String>,
    /// The identifier; without one, records are numbered from 1.
    pub id: Option<String>,
    /// Whose record it is, where persons are the unit of privacy.
    pub person: Option<String>,
    /// Which public source it is from.
    pub source: Option<String>,
}

/// What a table calls its columns.
pub(super) struct Names<'a> {
    pub names: &'a [String],
    /// What gives the names, for messages.
    pub given_by: &'static str,
    /// What was taken for their separator.
    pub separator: Option<Separator>,
}

impl Columns {
    /// The names, in the order of [`super::record::Record::fields`].
    pub(super) fn names(&self) -> [Option<&str>; N_FIELDS] {
        let Self { text, label, id, person, source } = self;
        [Some(text.as_str()), label.as_deref(), id.as_deref(), person.as_deref(), source.as_deref()]
    }

    /// Whether all wanted columns are among those that the table has.
    pub(super) fn are_among(&self, found: &[String]) -> bool {
        let has = |name: &str| found.iter().any(|found| *found == canonical(name));
        self.names().into_iter().flatten().all(has)
    }

    /// The place of each wanted column among those that the table has, whose names are canonical.
    pub(super) fn places(
        &self,
        path: &Path,
        found: &Names,
        options: &TableOptions,
    ) -> Result<[Option<usize>; N_FIELDS]> {
        let mut places = [None; N_FIELDS];
        for (place, name) in places.iter_mut().zip(self.names()) {
            let Some(name) = name else { continue };
            let mut all = (0..).zip(found.names).filter(|(_, found)| **found == canonical(name));
            *place = all.next().map(|(i, _)| i);
            if place.is_none() {
                return Err(missing(path, name, found, options));
            }
            if all.next().is_some() {
                let fact = format!("it has two columns {}", shown(name));
                return Err(TrainerError::table(path, fact, "rename one of them"));
            }
        }
        Ok(places)
    }
}

/// The names may be a record's: where a table has no header, its first line is one. So they are not shown unasked.
fn missing(path: &Path, name: &str, found: &Names, options: &TableOptions) -> TrainerError {
    let Names { names, given_by, separator } = found;
    let separated = separator.map_or(String::new(), |separator| format!(" with {separator} between them"));
    let fact = match names.len() {
        0 => format!("it has no column {}, for {given_by} names none", shown(name)),
        1 => format!("it has no column {}: {given_by} names one column{separated}", shown(name)),
        n => format!("it has no column {}: {given_by} names {n} columns{separated}", shown(name)),
    };
    let alike = |found: &String| folded(name).is_some_and(|name| folded(found).as_ref() == Some(&name));
    let remedy = match names.iter().position(alike) {
        Some(i) => format!(
            "its column {} is called so but for capitals, spaces or Unicode form; give its very name",
            i + 1
        ),
        None if options.show_values => {
            format!("choose among {}", listed(names.iter().map(String::as_str)))
        }
        None => {
            let header = match separator {
                Some(_) => ", in a first line that is a header; --separator says what is between them",
                None => "",
            };
            format!("give the name of one{header}; --show-values lists their names")
        }
    };
    TrainerError::table(path, fact, remedy)
}

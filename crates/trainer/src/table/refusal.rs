//! Tables that are refused as a whole for what their records are: they would be embedded and paid for in vain.

use std::path::Path;

use cryptotl_model::SourceColumn;

use super::collector::Numbers;
use super::options::TableOptions;
use super::spelling::listed;
use super::summary::{LabelCounts, Summary};
use crate::error::{Result, TrainerError};

/// Refuses a table without records, in which every text or every unit is empty, or in which fewer than half of the
/// records have a declared label, unless that is accepted. The words hold counts, and nothing that a record holds.
pub(super) fn check(path: &Path, summary: &Summary, options: &TableOptions) -> Result<()> {
    let Summary { records, with_text, with_unit, labels, flaws, .. } = summary;
    if *records == 0 {
        return Err(TrainerError::table(path, "it has no records", "give a table with at least one"));
    }
    let hint = match (flaws.nested, flaws.not_objects) {
        (0, 0) => String::new(),
        (0, n) => format!(" ({n} lines are no JSON object)"),
        (n, _) => format!(" ({n} records hold an array or object in a wanted column)"),
    };
    let empty = |what: &str, remedy: &str| {
        let remedy = format!("{remedy}, or accept it with --allow-empty");
        Err(TrainerError::table(path, format!("{what} of its {records} records is empty{hint}"), remedy))
    };
    if !options.allow_empty && *with_text == 0 {
        return empty("every text", "give the column that holds the texts with --text-column");
    }
    if !options.allow_empty && *with_unit == Some(0) {
        return empty("every unit", "give the column that says whose a record is with --unit-column");
    }
    match labels {
        Some(counts) if !options.allow_unlabeled && counts.declared * 2 < *records => {
            Err(unlabeled(path, counts, *records, options))
        }
        _ => Ok(()),
    }
}

fn unlabeled(path: &Path, counts: &LabelCounts, records: usize, options: &TableOptions) -> TrainerError {
    let LabelCounts { declared, empty, undeclared, nearly_declared, undeclared_values, shown, .. } = counts;
    let names = listed(counts.by_label.iter().map(|count| count.label.as_str()));
    let mut fact = format!("{declared} of its {records} records have one of the declared labels {names}");
    if *empty > 0 {
        fact += &format!(", {empty} have none");
    }
    if *undeclared > 0 {
        let values = match undeclared_values {
            1 => "another value".to_owned(),
            n => format!("other values ({n} different)"),
        };
        fact += &format!(", {undeclared} have {values}");
        if !shown.is_empty() {
            fact += &format!(" such as {}", listed(shown.iter().map(String::as_str)));
        }
    }
    if *nearly_declared > 0 {
        fact += &format!(
            ", and {nearly_declared} of these differ from a declared label only in capitals, spaces or Unicode form"
        );
    }
    let show =
        if options.show_values || *undeclared == 0 { "" } else { "--show-values shows some of them; " };
    let remedy = format!(
        "{show}declare the labels as the table spells them with --labels, or accept it with --allow-unlabeled"
    );
    TrainerError::table(path, fact, remedy)
}

/// Refuses more than is kept of a table.
pub(super) fn too_large(path: &Path, what: &str, most: usize) -> TrainerError {
    TrainerError::table(path, format!("it has more than {most} {what}"), "split the table")
}

/// Refuses a column that is of something else than sources, at the newest name.
pub(super) fn check_source(path: &Path, sources: &Numbers) -> Result<()> {
    let (most, longest) = (SourceColumn::MAX_SOURCES, SourceColumn::MAX_NAME_BYTES);
    let fact = if sources.len() > most {
        format!("it has more than {most} sources")
    } else if !sources.names().last().is_some_and(|name| SourceColumn::is_name(name)) {
        format!("a source's name is longer than {longest} bytes or has control characters")
    } else {
        return Ok(());
    };
    let remedy = "give the column that names each record's source, or none";
    Err(TrainerError::table(path, fact, remedy))
}

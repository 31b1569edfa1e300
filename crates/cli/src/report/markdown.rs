//! `report.md`: the same sections for version control and for readers without a browser.

use std::fmt::Write;

use super::Report;
use super::front::Front;
use super::html::SIGNATORIES;
use super::view::{Block, Cell, Section, Table};

/// The first words of every report in this form.
pub const START: &str = "# Privacy audit report: ";

/// The text.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, so the results carry nothing.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(text: &mut String, report: &Report) -> std::fmt::Result {
    let front = Front::of(report);
    writeln!(text, "{START}{}\n", escape(&report.dataset.population))?;
    writeln!(
        text,
        "{}. As of entry {} of the ledger, {}.\n",
        escape(&front.subject),
        report.budget.head_seq,
        escape(&report.budget.as_of)
    )?;
    for answer in &front.answers {
        writeln!(
            text,
            "* **{}: {}**: {}.",
            answer.name,
            escape(answer.figure.words()),
            escape(&answer.words)
        )?;
    }
    writeln!(text)?;
    for sentence in &front.meaning {
        writeln!(text, "{}\n", escape(sentence))?;
    }
    if let Some(command) = &report.next_step {
        writeln!(text, "The attack left something open. Run next:\n\n    {}\n", one_line(command))?;
    }
    writeln!(text, "{}\n", escape(&front.tally))?;
    for hazard in &front.concerns {
        writeln!(
            text,
            "* **{}**: {}: {}.",
            hazard.status.words(),
            escape(&hazard.hazard),
            escape(&hazard.evidence)
        )?;
    }
    for section in report.sections() {
        write_section(text, &section)?;
    }
    writeln!(text, "\n## Sign-off\n")?;
    for (title, points) in [
        ("Not assessed, and so not part of what is signed", report.not_assessed()),
        ("To be decided by who signs", report.to_be_decided()),
    ] {
        if !points.is_empty() {
            writeln!(text, "{title}:\n")?;
            points.iter().try_for_each(|point| writeln!(text, "* {}", escape(point)))?;
            writeln!(text)?;
        }
    }
    writeln!(text, "| role | name | decision | date and signature |\n| --- | --- | --- | --- |")?;
    for role in SIGNATORIES {
        writeln!(text, "| {role} | | release / do not release | |")?;
    }
    Ok(())
}

fn write_section(text: &mut String, section: &Section) -> std::fmt::Result {
    writeln!(text, "\n## {}", section.title)?;
    for block in &section.blocks {
        writeln!(text)?;
        match block {
            Block::Text(words) | Block::Note(words) => writeln!(text, "{}", escape(words))?,
            Block::Quote(words) => writeln!(text, "> {}", escape(words))?,
            Block::List(items) => items.iter().try_for_each(|item| writeln!(text, "* {}", escape(item)))?,
            Block::Commands(lines) => {
                lines.iter().try_for_each(|line| writeln!(text, "    {}", one_line(line)))?
            }
            Block::NotAssessed(reason) => writeln!(text, "**not assessed**: {}.", escape(reason))?,
            Block::Drawing(drawing) => writeln!(text, "({}: drawn in report.html)", drawing.title())?,
            Block::Facts(facts) => {
                facts.iter().try_for_each(|(name, value)| writeln!(text, "* {name}: {}", cell(value)))?;
            }
            Block::Table(table) => write_table(text, table)?,
        }
    }
    Ok(())
}

fn write_table(text: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(text, "{}:\n", table.caption)?;
    writeln!(text, "| {} |", table.head.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(table.head.len()))?;
    for row in &table.rows {
        writeln!(text, "| {} |", row.iter().map(cell).collect::<Vec<_>>().join(" | "))?;
    }
    Ok(())
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Code(words) if !words.contains('`') => format!("`{}`", one_line(words).replace('|', r"\|")),
        other => escape(other.words()),
    }
}

fn one_line(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Words without a meaning to Markdown or HTML.
pub fn escape(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in one_line(words).chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '&' => text.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                text.push('\\');
                text.push(c);
            }
            other => text.push(other),
        }
    }
    text
}

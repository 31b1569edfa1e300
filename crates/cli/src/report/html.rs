//! `report.html`: one file that asks for nothing, in light and dark, on a screen, a telephone and A4.
//!
//! Every figure carries the JSON pointer of its field in `report.json`, and the page carries the JSON itself, so that
//! a page can be checked without its neighbors.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::Report;
use super::figure;
use super::front::{Answer, Front};
use super::hazards::Status;
use super::view::{Block, Cell, Section, Table};

const STYLE: &str = include_str!("style.css");
const DATA_START: &str = "<script type=\"application/json\" id=\"report\">";
const DATA_END: &str = "</script>";

/// The page.
///
/// # Errors
/// [`serde_json::Error`] when the report has no JSON.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    let json = serde_json::to_value(report)?;
    let page = Page { report, json };
    Ok(page.whole()?.into_string())
}

/// The JSON that a page carries, unparsed.
pub fn embedded_json(page: &str) -> Option<&str> {
    let start = page.find(DATA_START)? + DATA_START.len();
    let length = page[start..].find(DATA_END)?;
    Some(&page[start..start + length])
}

struct Page<'a> {
    report: &'a Report,
    json: Value,
}

impl Page<'_> {
    fn whole(&self) -> Result<Markup, serde_json::Error> {
        // In HTML only `</script>` could end the element; JSON has another way to write `<`.
        let data = serde_json::to_string(&self.json)?.replace('<', "\\u003c");
        let title = format!("Privacy audit report: {}", self.report.dataset.population);
        let sections = self.report.sections();
        Ok(html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { (self.front()) }
                    nav aria-label="Contents" {
                        ol { @for section in &sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                    }
                    main {
                        @for section in &sections { (self.section(section)) }
                        (sign_off(self.report))
                    }
                    (PreEscaped(DATA_START)) (PreEscaped(data)) (PreEscaped(DATA_END))
                }
            }
        })
    }

    fn front(&self) -> Markup {
        let report = self.report;
        let front = Front::of(report);
        html! {
            p.kicker { "Privacy audit report" }
            h1 { (report.dataset.population) }
            p.subject { (front.subject) ". As of entry " (report.budget.head_seq) " of the ledger, "
                time datetime=(report.budget.as_of) { (super::budget::day(&report.budget.as_of)) } "." }
            div.answers { @for answer in &front.answers { (self.answer(answer)) } }
            div.split {
                div {
                    h2 { "What this means" }
                    @for sentence in &front.meaning { p { (sentence) } }
                }
                div {
                    h2 { "Who sees what" }
                    (figure::draw(figure::Drawing::Flow, report))
                }
            }
            h2 { "Before you sign" }
            @if let Some(command) = &report.next_step {
                p { "The attack left something open. Run next: " code { (command) } }
            }
            p { (front.tally) " " a href="#hazards" { "All of them" } ", and " a href="#attack" { "what a pass does not mean" } "." }
            @if !front.concerns.is_empty() {
                ul.concerns {
                    @for hazard in &front.concerns {
                        li { (status(hazard.status)) " " b { (hazard.hazard) } ": " (hazard.evidence) "." }
                    }
                }
            }
        }
    }

    fn answer(&self, answer: &Answer) -> Markup {
        html! {
            section class={ "answer " (class(answer.status)) } {
                h2 { (answer.name) }
                p.big { @if matches!(answer.figure, Cell::Figure { .. }) { span.unit { "ε " } } (self.cell(&answer.figure)) }
                @if let Some(share) = answer.share {
                    (figure::share_bar(share))
                }
                p { (answer.words) "." }
            }
        }
    }

    fn section(&self, section: &Section) -> Markup {
        html! {
            section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                h2 id={ (section.id) "-title" } { (section.title) }
                @for run in section.blocks.chunk_by(|a, b| is_drawing(a) && is_drawing(b)) {
                    @if is_drawing(&run[0]) {
                        div.drawings { @for block in run { (self.block(block)) } }
                    } @else {
                        (self.block(&run[0]))
                    }
                }
            }
        }
    }

    fn block(&self, block: &Block) -> Markup {
        html! {
            @match block {
                Block::Text(text) => p { (text) },
                Block::Note(text) => p.note { (text) },
                Block::Quote(text) => blockquote { (text) },
                Block::List(items) => ul { @for item in items { li { (item) } } },
                Block::Commands(lines) => pre { code { @for line in lines { (line) "\n" } } },
                Block::NotAssessed(reason) => p.missing { (status(Status::NotAssessed)) " " (reason) "." },
                Block::Drawing(drawing) => (figure::draw(*drawing, self.report)),
                Block::Facts(facts) => dl { @for (name, value) in facts { div { dt { (name) } dd { (self.cell(value)) } } } },
                Block::Table(table) => (self.table(table)),
            }
        }
    }

    fn table(&self, table: &Table) -> Markup {
        let is_number = |cell: &Cell| matches!(cell, Cell::Figure { .. });
        let numeric: Vec<bool> = (0..table.head.len())
            .map(|i| table.rows.iter().any(|row| row.get(i).is_some_and(is_number)))
            .collect();
        let align = |i: usize| numeric.get(i).copied().unwrap_or(false).then_some("n");
        html! {
            div.scroll tabindex="0" role="region" aria-label=(table.caption) {
                table {
                    caption { (table.caption) }
                    thead { tr { @for (i, name) in table.head.iter().enumerate() { th scope="col" class=[align(i)] { (name) } } } }
                    tbody {
                        @for row in &table.rows {
                            tr {
                                // On a telephone each row is a block, in which a cell stands behind its column's name.
                                @for (i, (cell, name)) in row.iter().zip(&table.head).enumerate() {
                                    td class=[align(i)] data-label=(name) { (self.cell(cell)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn cell(&self, cell: &Cell) -> Markup {
        html! {
            @match cell {
                Cell::Text(text) => (text),
                Cell::Code(text) => code { (text) },
                Cell::Status(judgement) => (status(*judgement)),
                Cell::Figure { pointer, shown } => {
                    // The value comes from the JSON itself, so a wrong pointer shows as a figure without one.
                    data data-path=(pointer) value=(self.json.pointer(pointer).map_or(String::new(), Value::to_string)) { (shown) }
                },
            }
        }
    }
}

/// Whether a block is a drawing; those that follow each other stand side by side.
fn is_drawing(block: &Block) -> bool {
    matches!(block, Block::Drawing(_))
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::NotAssessed => "open",
    }
}

/// The judgement in a word with a sign, so that it does not depend on color.
fn status(status: Status) -> Markup {
    let sign = match status {
        Status::Pass => "✓",
        Status::Warn => "!",
        Status::Fail => "✕",
        Status::NotAssessed => "–",
    };
    html! { span class={ "status " (class(status)) } { span aria-hidden="true" { (sign) } " " (status.words()) } }
}

/// What is signed, on one page of paper with what it leaves open.
fn sign_off(report: &Report) -> Markup {
    html! {
        section #sign-off aria-labelledby="sign-off-title" {
            h2 #sign-off-title { "Sign-off" }
            p { "Head " code { (report.identity.head_digest) } ", epsilon "
                (super::words::loss(report.target_epsilon)) " of " (super::words::cap(report.budget.epsilon_cap)) ", verdict "
                b { (report.verdict.words()) } "." }
            (open_points("Not assessed, and so not part of what is signed:", &report.not_assessed()))
            (open_points("To be decided by who signs:", &report.to_be_decided()))
            div.scroll tabindex="0" role="region" aria-label="Decisions" {
                table.sign {
                    caption { "Decisions on this release" }
                    thead { tr { @for name in SIGN_OFF { th scope="col" { (name) } } } }
                    tbody {
                        @for role in SIGNATORIES {
                            tr {
                                th scope="row" { (role) }
                                td data-label=(SIGN_OFF[1]) {}
                                td data-label=(SIGN_OFF[2]) { "☐ release ☐ do not release" }
                                td data-label=(SIGN_OFF[3]) {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn open_points(title: &str, points: &[String]) -> Markup {
    html! {
        @if !points.is_empty() {
            p { (title) }
            ul.open-points { @for point in points { li { (point) } } }
        }
    }
}

/// The columns of the table of signatures.
const SIGN_OFF: [&str; 4] = ["role", "name", "decision", "date and signature"];
/// Who signs.
pub(super) const SIGNATORIES: [&str; 3] = ["Data owner", "Privacy officer", "Technical reviewer"];

//! A report as readers see it: sections of facts, tables and drawings, before they become HTML or Markdown.

use super::figure::Drawing;
use super::hazards::Status;

/// One numbered part of the report.
#[derive(Debug, Clone)]
pub struct Section {
    /// What links point to.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// One element of a section.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph of lesser weight.
    Note(String),
    /// Words that are quoted as they are.
    Quote(String),
    /// Names and values.
    Facts(Vec<(&'static str, Cell)>),
    /// Rows and columns.
    Table(Table),
    /// Points of a list.
    List(Vec<String>),
    /// Commands, one a line.
    Commands(Vec<String>),
    /// A drawing.
    Drawing(Drawing),
    /// That there is no evidence, and why.
    NotAssessed(String),
}

/// Rows and columns with a caption.
#[derive(Debug, Clone)]
pub struct Table {
    /// What the table shows.
    pub caption: &'static str,
    /// The columns' names.
    pub head: Vec<&'static str>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<Cell>>,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A digest or another string that is compared and not read.
    Code(String),
    /// A number of `report.json`, named by its JSON pointer.
    Figure {
        /// Where it stands in `report.json`.
        pointer: String,
        /// How it is written.
        shown: String,
    },
    /// A judgement.
    Status(Status),
}

impl Cell {
    /// A number of `report.json`.
    pub fn figure(pointer: impl Into<String>, shown: impl Into<String>) -> Self {
        Self::Figure { pointer: pointer.into(), shown: shown.into() }
    }

    /// The words of the cell.
    pub fn words(&self) -> &str {
        match self {
            Self::Text(text) | Self::Code(text) => text,
            Self::Figure { shown, .. } => shown,
            Self::Status(status) => status.words(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

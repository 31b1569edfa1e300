//! The commands that check and repeat the report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::view::{Block, Section};

/// Commands, as they would be typed in the folder of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reproduction {
    /// They check the files; anybody who has them can.
    pub check: Vec<String>,
    /// They repeat the report; the DP noise of an attack is drawn anew.
    pub repeat: Vec<String>,
}

impl Reproduction {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let (head, ledger) = (quoted(&evidence.head_name), quoted(&evidence.ledger_name));
        Self {
            check: vec![
                format!("sha256sum {head}"),
                format!("cryptotl verify report.json report.html {head} --ledger {ledger}"),
            ],
            repeat: vec![evidence.command.clone()],
        }
    }

    pub(super) fn section(&self) -> Section {
        Section {
            id: "reproduction",
            title: "How to check and repeat this report",
            blocks: vec![
                Block::Text("Anybody who has the files can check them:".to_owned()),
                Block::Commands(self.check.clone()),
                Block::Text("Whoever has the ledger can repeat the report:".to_owned()),
                Block::Commands(self.repeat.clone()),
                Block::Note(
                    "An old report is checked against the present ledger in the same way: `verify` tells whether the ledger \
                     still holds what the report saw, and what was spent since."
                        .to_owned(),
                ),
            ],
        }
    }
}

/// A word of a shell's command line.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

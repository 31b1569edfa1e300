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
    /// How the files of these commands are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

/// How the files are called, without the folder that they are in; null for what was not given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The head.
    pub head: String,
    /// The ledger.
    pub ledger: String,
    /// The public half of the model.
    pub model: Option<String>,
    /// The plan of the encrypted evaluation.
    pub plan: Option<String>,
    /// The policy.
    pub policy: Option<String>,
    /// The table of `bench privacy`.
    pub table: Option<String>,
    /// The file of `validate`.
    pub validation: Option<String>,
    /// The folder of the report.
    pub output: String,
}

impl Files {
    fn check(&self) -> Vec<String> {
        let (head, ledger) = (quoted(&self.head), quoted(&self.ledger));
        let beside = [&self.model, &self.plan, &self.policy, &self.table, &self.validation];
        let beside = beside.into_iter().flatten().map(|name| format!(" {}", quoted(name)));
        vec![
            format!("sha256sum {head}"),
            format!(
                "cryptotl verify report.json report.html report.md registry.yaml {head}{} --ledger {ledger}",
                beside.collect::<String>()
            ),
        ]
    }

    /// The command that repeats the report, without the flags that say how much is attacked.
    pub(super) fn audit(&self) -> String {
        let mut line =
            format!("cryptotl audit --head {} --ledger {}", quoted(&self.head), quoted(&self.ledger));
        for (flag, name) in [
            ("model", &self.model),
            ("plan", &self.plan),
            ("policy", &self.policy),
            ("table", &self.table),
            ("validation", &self.validation),
        ] {
            if let Some(name) = name {
                line += &format!(" --{flag} {}", quoted(name));
            }
        }
        line + &format!(" --output {}", quoted(&self.output))
    }
}

impl Reproduction {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let files = &evidence.files;
        Self { check: files.check(), repeat: vec![files.audit()], files: Some(files.clone()) }
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

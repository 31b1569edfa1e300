//! The arguments of the verbs that write and check documents about a release.

use std::path::PathBuf;

use clap::Args;

use super::AttackArgs;
use crate::paths::OutputPath;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The released head
    #[arg(long, value_name = "FILE")]
    pub head: PathBuf,
    /// The ledger that paid for it
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// The folder for report.json, report.html, report.md and registry.yaml
    #[arg(long, value_name = "DIR")]
    pub output: OutputPath,
    /// What the report is assembled from beside them.
    #[command(flatten)]
    pub evidence: EvidenceArgs,
    /// How much is attacked.
    #[command(flatten)]
    pub attack: AttackArgs,
}

/// Evidence beyond head and ledger; what is not given is `not assessed` in the report.
#[derive(Debug, Args)]
#[command(next_help_heading = "Evidence")]
pub struct EvidenceArgs {
    /// The public half of the model: what it was trained on
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// The plan file: widths and the certificate of the encryption error
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// The privacy configuration that must be in force in the ledger; another is refused
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The table of `bench privacy` on public data: what the head is good for
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// What `validate` released of this head: its accuracy on private records, with DP noise
    #[arg(long, value_name = "FILE")]
    pub validation: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What to check; files that belong together are checked against each other
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The present ledger, which must still hold what heads, model cards and reports are witness of
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

//! `verify`: checks released files offline, each by itself and against the others that are given.

mod checks;
mod documents;
mod protocol;
mod read;
mod source;
#[cfg(test)]
mod tests;
mod validation;

use std::fmt;

use serde::Serialize;

use crate::cli::VerifyArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

use read::Given;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Outcome {
    /// It holds.
    #[serde(rename = "pass")]
    Pass,
    /// What it needs was not given.
    #[serde(rename = "not assessed")]
    NotAssessed,
    /// It does not hold.
    #[serde(rename = "fail")]
    Fail,
    /// An attack contradicted the claim.
    #[serde(rename = "falsified")]
    Falsified,
    /// The ledger is missing, corrupt, foreign or rolled back.
    #[serde(rename = "rolled back")]
    Ledger,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
struct Check {
    check: &'static str,
    status: Outcome,
    detail: String,
}

impl Check {
    fn new(check: &'static str, status: Outcome, detail: impl Into<String>) -> Self {
        Self { check, status, detail: detail.into() }
    }

    fn of(check: &'static str, outcome: std::result::Result<String, String>) -> Self {
        match outcome {
            Ok(detail) => Self::new(check, Outcome::Pass, detail),
            Err(detail) => Self::new(check, Outcome::Fail, detail),
        }
    }

    fn missing(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::NotAssessed, detail)
    }
}

/// What was found of one file.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    kind: &'static str,
    /// The worst of the checks.
    status: Outcome,
    checks: Vec<Check>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Verified(Vec<Row>);

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |outcome: Outcome| match outcome {
            Outcome::Pass => "pass",
            Outcome::NotAssessed => "not assessed",
            Outcome::Fail => "FAIL",
            Outcome::Falsified => "FALSIFIED",
            Outcome::Ledger => "ROLLED BACK",
        };
        for (i, row) in self.0.iter().enumerate() {
            let start = if i > 0 { "\n" } else { "" };
            write!(f, "{start}{} ({})", row.file, row.kind)?;
            for check in &row.checks {
                write!(f, "\n  {:12} {:13} {}", word(check.status), check.check, check.detail)?;
            }
        }
        Ok(())
    }
}

/// Runs the verb.
pub fn run(args: VerifyArgs, output: &Output) -> Result<()> {
    let given = Given::read(&args.files, args.ledger.as_deref())?;
    let rows = Verified(given.files.iter().map(|file| row(file, &given)).collect());
    output.result(&rows)?;
    let worst = rows.0.iter().map(|row| row.status).max().unwrap_or(Outcome::Pass);
    let code = match worst {
        Outcome::Pass | Outcome::NotAssessed => return Ok(()),
        Outcome::Fail => Code::Failed,
        Outcome::Falsified => Code::Falsified,
        Outcome::Ledger => Code::LedgerIntegrity,
    };
    let at_fault = rows.0.iter().find(|row| row.status == worst);
    let fact = at_fault.and_then(|row| Some((row, row.checks.iter().find(|check| check.status == worst)?)));
    let message = fact
        .map_or_else(String::new, |(row, check)| format!("{}: {}: {}", row.file, check.check, check.detail));
    Err(Failure::new(code, message))
}

fn row(file: &read::File, given: &Given) -> Row {
    let checks = checks::all(file, given);
    // A check that was not possible does not make a file worse than one that holds.
    let status = checks.iter().map(|check| check.status).filter(|s| *s != Outcome::NotAssessed).max();
    Row {
        file: file.path.display().to_string(),
        kind: file.kind(),
        status: status.unwrap_or(Outcome::NotAssessed),
        checks,
    }
}

//! `audit`: the report that a privacy officer can sign, from the head and the ledger.

use std::fmt;

use cryptotl_model::format::write_atomically;
use cryptotl_privacy::Ledger;
use cryptotl_trainer::Head;
use serde::Serialize;

use super::ledger::paid_status;
use crate::cli::AuditArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::report::{Report, html};

#[derive(Serialize)]
#[serde(transparent)]
struct Audited {
    report: Report,
    #[serde(skip)]
    place: String,
}

impl fmt::Display for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(f, "{}", report.sentence)?;
        writeln!(
            f,
            "target epsilon {}, accounted {} over all releases, audited: {}",
            report.target_epsilon, report.accounted_epsilon, report.verdict
        )?;
        write!(f, "report in {}", self.place)
    }
}

/// Runs the verb.
pub fn run(args: AuditArgs, output: &Output) -> Result<()> {
    let (head, digest) = Head::read(&args.head)?;
    let ledger = Ledger::open(&args.ledger)?;
    let status = paid_status(&ledger, &args.ledger, (&head, digest), &args.head)?;
    let report = Report::new(&head, digest.to_string(), status)?;
    std::fs::create_dir_all(&args.output).map_err(|e| {
        Failure::failed(format!("cannot make {}: {e}", args.output.display()), "give a folder")
    })?;
    let json = serde_json::to_vec_pretty(&report).map_err(|e| Failure::new(Code::Bug, e))?;
    write_atomically(&args.output.join("report.json"), &json)?;
    let page = args.output.join("report.html");
    write_atomically(&page, html(&report).as_bytes())?;
    output.result(&Audited { report, place: page.display().to_string() })
}

//! `audit`: the report that a privacy officer can sign, from the head, the ledger and an attack.

use std::fmt;

use cryptotl_model::format::{check_writable, write_atomically};
use cryptotl_privacy::Ledger;
use cryptotl_privacy::audit::{Audit, Verdict};
use cryptotl_trainer::Head;
use serde::Serialize;

use super::attack::{Bounds, attack};
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
        match &report.attack {
            Audit::Assessed(evidence) => write!(f, "{}", Bounds(evidence))?,
            Audit::NotAssessed { method, reason } => writeln!(f, "not attacked ({method}): {reason}")?,
        }
        write!(f, "report in {}", self.place)
    }
}

/// Runs the verb.
pub fn run(args: AuditArgs, output: &Output) -> Result<()> {
    let (head, digest) = Head::read(&args.head)?;
    let ledger = Ledger::open(&args.ledger)?;
    let status = paid_status(&ledger, &args.ledger, (&head, digest), &args.head)?;
    std::fs::create_dir_all(&args.output).map_err(|e| {
        Failure::failed(format!("cannot make {}: {e}", args.output.display()), "give a folder")
    })?;
    let (json, page) = (args.output.join("report.json"), args.output.join("report.html"));
    check_writable(&json)?;
    check_writable(&page)?;
    let attack = attack(&head, &args.attack)?;
    let falsified = matches!(&attack, Audit::Assessed(evidence) if evidence.verdict == Verdict::Falsified);
    let report = Report::new(&head, digest.to_string(), status, attack)?;
    write_atomically(&json, &serde_json::to_vec_pretty(&report).map_err(|e| Failure::new(Code::Bug, e))?)?;
    write_atomically(&page, html(&report).as_bytes())?;
    output.result(&Audited { report, place: page.display().to_string() })?;
    if falsified {
        return Err(Failure::new(
            Code::Falsified,
            format!(
                "the attack contradicts the claim of {}: more is lost than was charged; withdraw the head, and report this",
                args.head.display()
            ),
        ));
    }
    Ok(())
}

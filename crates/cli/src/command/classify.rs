//! `classify`: labels and scores of records, one JSON object a line.

use std::io::Write;

use cryptotl_model::Records;
use cryptotl_model::format::{check_writable, write_atomically};
use cryptotl_trainer::Head;

use crate::cli::ClassifyArgs;
use crate::exit::{Code, Failure, Result};

/// Runs the verb.
pub fn run(args: ClassifyArgs) -> Result<()> {
    if let Some(path) = &args.output {
        check_writable(path)?;
    }
    let (head, _) = Head::read(&args.head)?;
    let records = Records::read(&args.input)?;
    let mut lines = Vec::new();
    for classified in head.classify(&records)? {
        serde_json::to_writer(&mut lines, &classified).map_err(|e| Failure::new(Code::Bug, e))?;
        lines.push(b'\n');
    }
    match &args.output {
        Some(path) => Ok(write_atomically(path, &lines)?),
        None => match std::io::stdout().lock().write_all(&lines) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write to stdout: {e}"), "check where it leads to"))
            }
            _ => Ok(()),
        },
    }
}

//! `cryptotl`: private transfer learning from the command line.
//!
//! One verb a file in [`command`]; this crate knows files, words and terminals, and nothing of
//! mathematics.
#![deny(unsafe_code)]
#![warn(missing_docs)]
// Docstrings of arguments are help texts, where brackets mean that a part may be left out.
#![allow(rustdoc::broken_intra_doc_links)]

mod card;
mod cli;
mod command;
mod encoder;
mod exit;
mod hub;
mod kinds;
mod machine;
mod output;
mod paths;
mod progress;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::cli::Cli;
use crate::exit::Code;
use crate::output::{Output, complain};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Usage errors end here, with exit code 2.
    let (Cli { json, command }, places) = Cli::of_process();
    std::panic::set_hook(Box::new(|panic| {
        if cryptotl_trainer::table::decodes_foreign_bytes() {
            return; // caught where it happens, and an error there
        }
        complain(&format!("this is a defect of cryptotl: {panic}; please report it with the command line"));
    }));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        machine::prepare()?;
        command::run(command, &Output::new(json, places))
    }));
    let code = match outcome {
        Ok(Ok(())) => Code::Done,
        Ok(Err(failure)) => {
            complain(&failure.message);
            failure.code
        }
        Err(_) => Code::Bug,
    };
    ExitCode::from(code as u8)
}

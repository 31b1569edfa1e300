//! The verbs, one a file.

mod account;
mod assumptions;
mod attack;
mod audit;
mod bench;
mod bench_encoder;
mod bench_encrypted;
mod classify;
mod decrypt;
mod embed;
mod encrypt;
mod evaluate;
mod extract;
mod finetune;
mod generate;
mod import;
mod keygen;
mod ledger;
mod plan;
mod population;
mod pretrain;
mod pretrain_private;
mod tune;
mod validate;
mod verify;
mod version;

use crate::cli::{BenchCommand, Command};
use crate::exit::Result;
use crate::machine;
use crate::output::Output;

/// Does what the arguments ask for.
pub fn run(command: Command, output: &Output) -> Result<()> {
    // Measurements alone hold nothing of anybody's, and are what one attaches a profiler to.
    if !matches!(command, Command::Bench(_)) {
        machine::keep_memory_private();
    }
    match command {
        Command::Embed(args) => embed::run(args, output),
        Command::Pretrain(args) => pretrain::run(args, output),
        Command::Import(args) => import::run(args, output),
        Command::Extract(args) => extract::run(args, output),
        Command::Plan(args) => plan::run(args, output),
        Command::Keygen(args) => keygen::run(args, output),
        Command::Encrypt(args) => encrypt::run(args, output),
        Command::Evaluate(args) => evaluate::run(args, output),
        Command::Decrypt(args) => decrypt::run(args, output),
        Command::Ledger(command) => ledger::run(command, output),
        Command::Finetune(args) => finetune::run(args, output),
        Command::Tune(args) => tune::run(args, output),
        Command::Validate(args) => validate::run(args, output),
        Command::Classify(args) => classify::run(args, output),
        Command::Account(args) => account::run(args, output),
        Command::Audit(args) => audit::run(args, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Bench(BenchCommand::Encrypted(args)) => bench_encrypted::run(args, output),
        Command::Bench(BenchCommand::Privacy(args)) => bench::run(args, output),
        Command::Bench(BenchCommand::Encoder(args)) => bench_encoder::run(args, output),
        Command::Generate(asked) => generate::run(asked, output),
        Command::Version => version::run(output),
    }
}

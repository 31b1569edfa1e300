//! The arguments, and nothing else.

mod accounting;
mod attack;
mod embedding;
mod heads;
mod number;
mod pretraining;
mod protocol;
mod report;

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cryptotl_encrypted::{Kernels, Packing, ParameterSet, SecurityStandard};
use cryptotl_model::{HeadInputs, Places};
use cryptotl_privacy::config::{MAX_NAME_LENGTH, is_name};

use crate::encoder::EncoderSource;
use crate::output::shown;
use crate::paths::{OutputPath, places};

pub use accounting::{AccountArgs, Accountant, Mechanism, PrivacyPlanArgs};
pub use attack::AttackArgs;
pub use embedding::{BenchEncoderArgs, EmbedArgs, TableArgs};
pub use heads::{BenchPrivacyArgs, MethodChoice, PaymentArgs, TuneArgs, ValidateArgs};
pub use number::named;
pub use pretraining::{ImportArgs, PretrainArgs};
pub use protocol::{DecryptArgs, EncryptArgs, EvaluateArgs, KeygenArgs, PlanArgs};
pub use report::{AuditArgs, VerifyArgs};

/// Transfer learning between two parties that do not trust each other: the model stays with its owner, the
/// records stay with theirs, and what is released is differentially private.
#[derive(Debug, Parser)]
#[command(name = "cryptotl", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print one JSON object on stdout instead of words
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The arguments of this process, and the files that they name; those that make no sense end it with code 2.
    pub fn of_process() -> (Self, Places) {
        let matches = command().try_get_matches().unwrap_or_else(end);
        let places = places(&command(), &matches);
        (Self::from_arg_matches(&matches).unwrap_or_else(end), places)
    }
}

/// Ends the process with what is wrong with its arguments. They can be names of files that somebody else chose, and an error
/// repeats them: one with characters that steer a terminal is printed without clap's colors.
fn end<T>(error: clap::Error) -> T {
    let words = error.render().to_string();
    let escaped = shown(&words);
    if error.use_stderr() && *escaped != *words {
        eprint!("{escaped}");
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// The definition of all verbs.
pub fn command() -> clap::Command {
    number::with_signs(Cli::command())
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn a table of texts into embeddings
    Embed(EmbedArgs),
    /// Train the public model and write its secret and its public half
    Pretrain(PretrainArgs),
    /// Make a model of a network that was trained elsewhere
    Import(ImportArgs),
    /// Compute the server features of embeddings under encryption, both parties in one process
    Extract(ExtractArgs),
    /// Tell what a job and a release would cost, and compile the model for encrypted evaluation
    Plan(PlanArgs),
    /// Data owner: make the keys of one job
    Keygen(KeygenArgs),
    /// Data owner: encrypt embeddings
    Encrypt(EncryptArgs),
    /// Model owner: compute encrypted features of encrypted embeddings
    Evaluate(EvaluateArgs),
    /// Data owner: decrypt the features
    Decrypt(DecryptArgs),
    /// Create and inspect the privacy budget of a population
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Train a private head and charge it to the ledger
    Finetune(FinetuneArgs),
    /// Train several private heads, choose one by private records, and charge all of it
    Tune(TuneArgs),
    /// Tell how often a head is right on private records, with DP noise, and charge it
    Validate(ValidateArgs),
    /// Label records with a released head, one JSON object a line
    Classify(ClassifyArgs),
    /// Compute epsilon from DP noise, or DP noise from epsilon; reads and charges nothing
    Account(AccountArgs),
    /// Write the privacy audit report of a released head
    Audit(AuditArgs),
    /// Check heads, models, plans, ledgers, reports and model cards, offline
    Verify(VerifyArgs),
    /// Measure on public data
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Write completions and manual pages, as `make install` does
    #[command(subcommand, hide = true)]
    Generate(GenerateCommand),
    /// Tell the version
    #[command(hide = true)]
    Version,
}

/// The verbs of `generate`.
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Write the completions of a shell to stdout
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write one manual page a verb
    Man {
        /// The folder for the pages
        #[arg(value_name = "DIR")]
        output: PathBuf,
    },
}

/// Arguments of `extract`.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// The model owner's secret half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// The public half of the model [default: the model's path, ending in .public.safetensors]
    #[arg(long, value_name = "FILE")]
    pub public: Option<PathBuf>,
    /// The embeddings
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write the embeddings with their features
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
    #[command(flatten)]
    pub parameters: ParameterArgs,
    /// How records are laid out in ciphertexts; `auto` goes by the number of records
    #[arg(long, value_enum, default_value_t = PackingChoice::Bulk)]
    pub packing: PackingChoice,
    /// Who evaluates the ciphertexts: native, or seal for comparison
    #[arg(long, value_name = "NAME", default_value_t)]
    pub kernels: Kernels,
}

/// The encryption parameters.
#[derive(Debug, Args)]
pub struct ParameterArgs {
    /// The encryption parameters: n8192-q28x6-p34, n8192-q30x5-p38, n8192-q25x5-p31 or n16384-q30x5-p38
    #[arg(long, value_name = "NAME", default_value_t = ParameterSet::N8192Q28x6P34)]
    pub parameter_set: ParameterSet,
    /// What 128 bits of security must rest on: he-2018-classical, guidelines-2024-classical or
    /// guidelines-2024-quantum
    #[arg(long, value_name = "BASIS", default_value = SecurityStandard::Guidelines2024Classical.name())]
    pub security: SecurityStandard,
}

impl Default for ParameterArgs {
    fn default() -> Self {
        Self {
            parameter_set: ParameterSet::N8192Q28x6P34,
            security: SecurityStandard::Guidelines2024Classical,
        }
    }
}

/// A packing by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PackingChoice {
    /// Whichever takes less time here for these records, as `plan` measures it
    Auto,
    /// Feature-major: many records at once
    Bulk,
    /// Record-major: few records, each answered quickly
    Latency,
}

impl PackingChoice {
    /// The packings to choose from by measuring them.
    pub fn candidates(self) -> &'static [Packing] {
        match self {
            Self::Auto => &[Packing::FeatureMajor, Packing::RecordMajor],
            Self::Bulk => &[Packing::FeatureMajor],
            Self::Latency => &[Packing::RecordMajor],
        }
    }
}

/// The verbs of `ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Create the ledger of a population, once
    Init(LedgerInitArgs),
    /// Show the terms, what was spent on what, and what is left
    Show(LedgerShowArgs),
    /// Change the policy or the public size from here on, visibly and for ever
    Amend(LedgerAmendArgs),
    /// Verify the whole ledger, and that it still holds a known entry
    Verify(LedgerVerifyArgs),
    /// Bring a ledger to its last whole state after a process ended in the middle of writing it
    Recover(LedgerShowArgs),
    /// Accept that the latest entries are lost for ever, and count what they spent as spent
    AcceptRollback(LedgerAcceptRollbackArgs),
}

/// Arguments of `ledger init`.
#[derive(Debug, Args)]
pub struct LedgerInitArgs {
    /// Where to create the ledger; nothing may be there yet
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// The privacy configuration, such as privacy-configs/standard.toml
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// A name for the population: letters, digits, `-`, `_` or `.`
    #[arg(long, value_name = "NAME")]
    pub population: String,
    /// A public upper bound on the number of units, never the private count
    #[arg(long, value_name = "N", value_parser = number::public_size)]
    pub public_size: u64,
}

/// Arguments of `ledger accept-rollback`.
#[derive(Debug, Args)]
pub struct LedgerAcceptRollbackArgs {
    /// The ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// Why they are lost, in one public line
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Arguments of `ledger show` and `ledger recover`.
#[derive(Debug, Args)]
pub struct LedgerShowArgs {
    /// The ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
}

/// Arguments of `ledger amend`.
#[derive(Debug, Args)]
pub struct LedgerAmendArgs {
    /// The ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// The new privacy configuration, of the same unit and adjacency [default: the one in force]
    #[arg(long, value_name = "FILE", required_unless_present = "public_size")]
    pub policy: Option<PathBuf>,
    /// The new public upper bound on the number of units [default: the one in force]
    #[arg(long, value_name = "N", value_parser = number::public_size)]
    pub public_size: Option<u64>,
    /// Why, in one public line
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Arguments of `ledger verify`.
#[derive(Debug, Args)]
pub struct LedgerVerifyArgs {
    /// The ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// The number of an entry that the ledger must hold
    #[arg(long, value_name = "N", requires = "hash")]
    pub seq: Option<u64>,
    /// The hash of that entry, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", requires = "seq")]
    pub hash: Option<cryptotl_privacy::Digest>,
    /// A released head: the ledger must hold the entry that paid for it
    #[arg(long, value_name = "FILE", conflicts_with = "seq")]
    pub witness: Option<PathBuf>,
}

/// Arguments of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// The private labeled records, with server features where the head reads them
    #[arg(long, value_name = "FILE")]
    pub features: PathBuf,
    /// The public half of the model
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub payment: PaymentArgs,
    /// What the head reads
    #[arg(long, value_name = "PARTS", default_value = HeadInputs::EmbeddingAndFeatures.name(), value_parser = head_inputs)]
    pub inputs: HeadInputs,
    /// How the head is trained
    #[arg(long, value_enum, default_value_t = MethodChoice::Auto)]
    pub method: MethodChoice,
    /// How far all other units' clipped gradients may move together when one unit changes; adds to the
    /// sensitivity of dp-fc and dp-gd
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = number::slack)]
    pub slack: f64,
    /// Where to write the head
    #[arg(long, value_name = "FILE")]
    pub output: OutputPath,
}

/// Arguments of `classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The released head
    #[arg(long, value_name = "FILE")]
    pub head: PathBuf,
    /// The records to label, or with --encoder a table of texts as for `embed`
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The encoder, for a table of texts: a sentence-transformers folder, or hf:ORG/NAME[@REVISION]
    #[arg(long, value_name = "ENCODER", requires = "text_column")]
    pub encoder: Option<EncoderSource>,
    /// The column that holds the text
    #[arg(long, value_name = "COLUMN", requires = "encoder")]
    pub text_column: Option<String>,
    /// The column that identifies a record [default: number the records]
    #[arg(long, value_name = "COLUMN", requires = "encoder")]
    pub id_column: Option<String>,
    /// The secret half of the model, for a head that reads server features and records without them
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// The public half of the model [default: the model's path, ending in .public.safetensors]
    #[arg(long, value_name = "FILE", requires = "model")]
    pub public: Option<PathBuf>,
    /// Where to write the lines [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub output: Option<OutputPath>,
    /// How the table is read
    #[command(flatten)]
    pub table: TableArgs,
}

/// The verbs of `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time and error of encrypted evaluation, beside the paper's circuit on SEAL
    Encrypted(BenchEncryptedArgs),
    /// Accuracy of private heads against the budget, on data that is public
    Privacy(BenchPrivacyArgs),
    /// Sentences a second, against onnxruntime and PyTorch where they are installed
    Encoder(BenchEncoderArgs),
}

/// Arguments of `bench encrypted`.
#[derive(Debug, Args)]
pub struct BenchEncryptedArgs {
    /// Widths of the network
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [384, 768], value_parser = number::count())]
    pub widths: Vec<usize>,
    /// Numbers of records
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 16, 128, 1000, 4096], value_parser = number::count())]
    pub rows: Vec<usize>,
    /// Encryption parameters
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_values_t = [ParameterSet::N8192Q30x5P38])]
    pub parameter_sets: Vec<ParameterSet>,
    /// Who evaluates the ciphertexts
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_values_t = Kernels::ALL)]
    pub kernels: Vec<Kernels>,
    /// Numbers of threads
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2], value_parser = number::count())]
    pub threads: Vec<usize>,
    /// Measure every cell, also those that take long or repeat another one
    #[arg(long)]
    pub every_cell: bool,
    /// Where to write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub output: Option<OutputPath>,
    /// Where to write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<OutputPath>,
}

pub(crate) fn head_inputs(name: &str) -> Result<HeadInputs, String> {
    HeadInputs::ALL
        .into_iter()
        .find(|inputs| inputs.name() == name)
        .ok_or_else(|| format!("choose among {}", HeadInputs::ALL.map(HeadInputs::name).join(", ")))
}

pub(crate) fn population(name: &str) -> Result<String, String> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("use 1 to {MAX_NAME_LENGTH} letters, digits, `-`, `_` or `.`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}

//! `validate`: how often a head is right on private records, with DP noise. The charge is on disk before a label is read.

use std::fmt;
use std::path::Path;

use cryptotl_model::format::write_atomically;
use cryptotl_model::{Digest, Records, RecordsHeader, RecordsOutline, input_file};
use cryptotl_privacy::{
    ChargeError, Description, EntryKind, Epsilon, Guarantee, Ledger, LedgerView, Status, StoredRelease,
    Witness,
};
use cryptotl_trainer::validation::{self, Confusion, Estimate};
use cryptotl_trainer::{Assumption, Head};
use serde::{Deserialize, Serialize};

use super::finetune::{check_declared, check_policy, or_limit, outline, terms};
use super::ledger::{Left, check_replaced, warn_unmarked};
use super::{assumptions, population};
use crate::cli::{PaymentArgs, ValidateArgs};
use crate::exit::{Failure, Result};
use crate::kinds;
use crate::output::Output;
use crate::report;
use crate::report::words::wrapped;

/// The validation file: what was paid for, and what is computed from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Validation {
    format: Format,
    version: u32,
    pub head: Digest,
    pub population: String,
    pub guarantee: Guarantee,
    /// What the guarantee rests on beyond the proofs; absent in files of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumptions: Option<Vec<Assumption>>,
    pub witness: Witness,
    pub labels: Vec<String>,
    pub confusion: Confusion,
    /// Null where the noise drowns the number of units.
    pub accuracy: Option<Estimate>,
    /// A label's own accuracy, one a label.
    pub recalls: Vec<Option<Estimate>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "cryptotl-validation")]
    Validation,
}

const VERSION: u32 = 2;

impl Validation {
    /// Whether a JSON document says that it is one.
    pub fn is_one(json: &serde_json::Value) -> bool {
        json.get("format").is_some_and(|format| serde_json::from_value::<Format>(format.clone()).is_ok())
    }

    /// Reads a validation of this version.
    pub fn parse(json: serde_json::Value) -> std::result::Result<Self, String> {
        let found: Self =
            serde_json::from_value(json).map_err(|e| format!("it is no validation of this version: {e}"))?;
        match (found.version, &found.assumptions) {
            (1, None) | (VERSION, Some(_)) => Ok(found),
            (1 | VERSION, _) => Err("what it rests on does not go with its version".to_owned()),
            (other, _) => Err(format!("it is of version {other}, and this program reads 1 and {VERSION}")),
        }
    }
}

/// The largest validation that is read: a number for each pair of up to 1024 labels.
const MAX_BYTES: u64 = 64 << 20;
/// How far a figure may be from what the cells give: it was written in decimals.
const TOLERANCE: f64 = 1e-9;

/// Why a ledger does not vouch for a validation.
pub(super) enum Unpaid {
    /// The ledger is not the one that it was, or another.
    Ledger(String),
    /// The ledger paid for something else.
    Other(String),
}

impl Validation {
    /// Reads a file and its digest.
    pub fn read(path: &Path) -> std::result::Result<(Self, Digest), String> {
        let bytes = input_file::read(path, MAX_BYTES).map_err(|e| e.to_string())?;
        let json = serde_json::from_slice(&bytes).map_err(|_| "it is no JSON".to_owned())?;
        Ok((Self::parse(json)?, Digest::of(&bytes)))
    }

    /// Whether every accuracy follows from the noisy cells.
    pub fn check_figures(&self) -> std::result::Result<(), String> {
        let Self { labels, confusion, accuracy, recalls, .. } = self;
        let n = labels.len();
        let fits = confusion.cells.len() == n
            && recalls.len() == n
            && confusion.cells.iter().all(|row| row.len() == n && row.iter().all(|cell| cell.is_finite()));
        if n < 2 || !fits || !(confusion.noise.is_finite() && confusion.noise > 0.0) {
            return Err(format!("its cells are not {n} by {n} numbers with DP noise"));
        }
        let again = (0..n).map(|label| confusion.recall(label));
        if !same(*accuracy, confusion.accuracy())
            || again.zip(recalls).any(|(own, stated)| !same(*stated, own))
        {
            return Err("an accuracy is not what the cells give".to_owned());
        }
        Ok(())
    }

    /// Whether the ledger holds the charge, for a guarantee like the stated one, and recorded the file with this digest.
    pub fn paid(
        &self,
        digest: Digest,
        ledger: &LedgerView,
        status: &Status,
    ) -> std::result::Result<(), Unpaid> {
        let Self { guarantee, witness, population, .. } = self;
        let other = |fact: String| Err(Unpaid::Other(fact));
        if status.population != *population {
            return other(format!("the ledger is that of {}, not of {population}", status.population));
        }
        ledger.verify_witness(witness.seq, &witness.hash).map_err(|e| Unpaid::Ledger(e.to_string()))?;
        let entry = status.entries.iter().find(|e| e.seq == witness.seq && e.kind == EntryKind::Charge);
        let Some((entry, event)) = entry.and_then(|entry| Some((entry, entry.event.as_ref()?))) else {
            return other(format!("entry {} of the ledger did not pay for this", witness.seq));
        };
        if !guarantee.follows_from(event).map_err(|e| Unpaid::Other(e.to_string()))? {
            return other(format!(
                "epsilon {} does not follow from the event of entry {}",
                guarantee.epsilon, witness.seq
            ));
        }
        let is_described =
            |on: &Vec<_>| entry.description.as_ref().is_some_and(|said| assumptions::are_described(said, on));
        if !self.assumptions.as_ref().is_none_or(is_described) {
            return other(format!("what it rests on is not what entry {} of the ledger says", witness.seq));
        }
        match entry.released.as_deref() {
            Some(released) if released == digest.to_string() => Ok(()),
            Some(released) => other(format!("the ledger recorded another release, {released}")),
            None => other(format!("no release of entry {} was recorded", witness.seq)),
        }
    }

    /// What a report says of the file with this digest.
    pub fn released(&self, digest: Digest) -> report::Validated {
        let Self { confusion, labels, guarantee, witness, .. } = self;
        report::Validated::of(confusion, labels, (guarantee, witness), digest)
    }
}

fn same(a: Option<Estimate>, b: Option<Estimate>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => [(a.value, b.value), (a.low, b.low), (a.high, b.high)]
            .into_iter()
            .all(|(a, b)| (a - b).abs() <= TOLERANCE),
        _ => false,
    }
}

#[derive(Serialize)]
struct Validated {
    #[serde(flatten)]
    validation: Validation,
    /// The population that the records say they are of, which is the ledger's; null if they do not say.
    records_population: Option<String>,
    /// Whether these are the figures of an earlier run of the same plan, at no charge.
    replayed: bool,
    #[serde(flatten)]
    left: Left,
}

impl fmt::Display for Validated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Validation { guarantee, assumptions, labels, witness, confusion, accuracy, recalls, .. } =
            &self.validation;
        let words = |estimate: &Option<Estimate>| match estimate {
            Some(Estimate { value, low, high }) => format!("{value:.3} ({low:.3} to {high:.3})"),
            None => "too few records for this much DP noise".to_owned(),
        };
        writeln!(f, "accuracy      {}, with 95 percent confidence", words(accuracy))?;
        for (label, recall) in labels.iter().zip(recalls) {
            writeln!(f, "  of {label}: {}", words(recall))?;
        }
        writeln!(
            f,
            "about {:.0} {}s, DP noise of {:.1} in each of {} cells",
            confusion.total().max(0.0),
            guarantee.unit.noun(),
            confusion.noise,
            labels.len() * labels.len()
        )?;
        if self.replayed {
            writeln!(
                f,
                "this was measured before: these are its figures, and nothing was charged; for others, name the run \
                 with --run"
            )?;
        }
        let on =
            assumptions.as_deref().map_or_else(String::new, |on| format!(" {}", Assumption::sentence(on)));
        writeln!(f, "{}", wrapped(&format!("{}{on}", guarantee.formal_sentence())))?;
        writeln!(f, "charged as entry {} of the ledger, {}", witness.seq, witness.hash)?;
        write!(f, "{}", self.left)
    }
}

/// Runs the verb.
pub fn run(args: ValidateArgs, output: &Output) -> Result<()> {
    let to = args.output.as_ref().map(|path| output.file(path, kinds::VALIDATION)).transpose()?;
    let (head, digest) = Head::read(&args.head)?;
    let PaymentArgs { ledger: path, epsilon, delta, policy, run } = &args.payment;
    let mut ledger = Ledger::open(path)?;
    let status = ledger.status()?;
    check_policy(policy.as_deref(), path, &status)?;
    let unit = status.policy.unit();
    let check = |outline: &RecordsOutline| {
        check_declared(&args.features, ("head", &head.header.label_names), unit, outline)?;
        Ok::<(), Failure>(head.check(outline)?)
    };
    let mut of = None;
    let before = outline(&args.features)?;
    if let Some(outline) = &before {
        check(outline)?;
        of = population::check(&args.features, &outline.header, &status)?;
    }
    let assume = |header: Option<&RecordsHeader>| {
        assumptions::of(&args.features, header, head.inputs(), args.assume_independent_encryption_errors)
    };
    let stated = assume(before.as_ref().map(|outline| &outline.header))?;
    let about = run.clone().map(|name| ("run".to_owned(), name));
    let mut about = about.into_iter().collect::<Description>();
    assumptions::describe(&mut about, &stated);
    let terms = terms(&status, Epsilon::new(*epsilon)?, *delta)?;
    let plan = validation::plan(&head, digest, &terms, about)
        .map_err(|unplanned| or_limit(&status, &terms)(unplanned.into()))?;
    if let Some(output) = &args.output {
        check_replaced(&ledger, &status.population, output)?;
    }
    let charged = ledger.charge(plan);
    warn_unmarked(&ledger);
    let (bytes, replayed) = match charged {
        Err(ChargeError::Finished(earlier)) => (kept(*earlier)?, true),
        other => {
            let sums = other?.into_mechanism()?;
            // From here on the loss is spent, whatever happens; private data may be read.
            let records = Records::read(&args.features)?;
            check(&records.outline())?;
            let again = if before.is_some() { population::compare } else { population::check };
            of = again(&args.features, &records.header, &status)?;
            assumptions::are_stated(&args.features, &stated, &assume(Some(&records.header))?)?;
            let (confusion, receipt) = validation::run(&head, &records, sums)?;
            let validation = Validation {
                format: Format::Validation,
                version: VERSION,
                head: digest,
                population: status.population.clone(),
                guarantee: receipt.plan().guarantee().clone(),
                assumptions: Some(stated),
                witness: *receipt.witness(),
                labels: head.header.label_names.clone(),
                accuracy: confusion.accuracy(),
                recalls: (0..confusion.cells.len()).map(|label| confusion.recall(label)).collect(),
                confusion,
            };
            let bytes = to_json(&validation)?;
            ledger.record_release(receipt, &bytes)?;
            (bytes, false)
        }
    };
    if let Some(to) = &to {
        write_atomically(to, &bytes)?;
    }
    let validation = serde_json::from_slice(&bytes).map_err(|_| not_kept("figures of a validation"))?;
    let status = ledger.status()?;
    output.result(&Validated { validation, records_population: of, replayed, left: Left::of(&status) })
}

/// What an earlier run of the same plan released.
pub(super) fn kept(earlier: StoredRelease) -> Result<Vec<u8>> {
    earlier.artifact.ok_or_else(|| not_kept("bytes of an earlier run"))
}

pub(super) fn not_kept(what: &str) -> Failure {
    Failure::failed(
        format!("the ledger does not keep the {what}"),
        "use the file that was written then, or name the run with --run to pay for a new one",
    )
}

/// What is written to files and kept in ledgers: JSON for people too, with a line's end.
pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Failure::new(crate::exit::Code::Bug, format!("figures are no JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

//! `audit`: the report that a privacy officer can sign, from the head, the ledger, an attack and whatever evidence is given.

use std::fmt;
use std::path::{Path, PathBuf};

use cryptotl_encrypted::PlanFile;
use cryptotl_model::format::write_atomically;
use cryptotl_model::{Destination, Digest, Kind, PublicModel, input_file};
use cryptotl_privacy::{LedgerView, Status};
use cryptotl_trainer::Head;
use cryptotl_trainer::audit::State;
use serde::Serialize;

use super::attack::{Bounds, attack};
use super::finetune::check_policy;
use super::ledger::paid_status;
use super::validate::{Unpaid, Validation};
use crate::cli::AuditArgs;
use crate::exit::{Code, Failure, Result};
use crate::kinds::{self, MAX_REPORT_BYTES, MAX_TABLE_BYTES};
use crate::output::Output;
use crate::report::{
    self, Assessed, Backbone, BenchmarkRow, Certified, Evidence, Files, Report, Validated, Verdict, words,
};

/// The renderings, in the order in which they are written.
const FILES: [(&str, Kind); 4] = [
    ("report.json", kinds::REPORT),
    ("report.md", kinds::MARKDOWN),
    ("registry.yaml", kinds::REGISTRY),
    ("report.html", kinds::PAGE),
];

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
        writeln!(f, "{}", words::wrapped(&report.sentence))?;
        writeln!(
            f,
            "target epsilon {}, accounted {}, audited: {}",
            words::loss(report.target_epsilon),
            words::loss(report.accounted_epsilon),
            report.verdict.words()
        )?;
        match report.attack.evidence() {
            Ok(evidence) => write!(f, "{}", Bounds(evidence))?,
            Err(reason) => writeln!(f, "{reason}")?,
        }
        writeln!(
            f,
            "spent by all releases: epsilon {} of {}",
            words::loss(report.budget.epsilon_spent),
            words::cap(report.budget.epsilon_cap)
        )?;
        if let Some(command) = &report.next_step {
            let fact = match report.verdict {
                Verdict::Inconclusive => "the attack was too short to find out its own controls",
                _ => "the attack's bound alone is above the promise",
            };
            writeln!(f, "{fact}; run next: {command}")?;
        }
        write!(f, "report in {}", self.place)
    }
}

/// Runs the verb.
pub fn run(args: AuditArgs, output: &Output) -> Result<()> {
    let (head, mut evidence) = gather(&args)?;
    std::fs::create_dir_all(&args.output).map_err(|e| {
        Failure::failed(format!("cannot make {}: {e}", args.output.display()), "give a folder")
    })?;
    let places = FILES
        .iter()
        .map(|(file, kind)| output.file(args.output.join(file), *kind))
        .collect::<Result<Vec<_>>>()?;
    let state = args.attack.state.as_ref().map(|path| output.file(path, State::FILE)).transpose()?;
    evidence.audit = Some(attack(&head, &args.attack, state.as_ref())?);
    let report = Report::assemble(&evidence)?;
    let place = publish(&report, &places)?;
    let is_falsified = report.verdict == Verdict::Falsified;
    output.result(&Audited { report, place })?;
    if is_falsified {
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

/// Reads the evidence and refuses what does not belong together.
fn gather(args: &AuditArgs) -> Result<(Head, Evidence)> {
    let (head, head_digest) = Head::read(&args.head)?;
    let ledger = LedgerView::open(&args.ledger)?;
    let status = paid_status(&ledger, &args.ledger, (&head, head_digest), &args.head)?;
    let given = &args.evidence;
    check_policy(given.policy.as_deref(), &args.ledger, &status)?;
    let mut evidence = Evidence::new((&head, head_digest), &status, files(args))?;
    evidence.budget.policy_compared = given.policy.is_some();
    if let Some(path) = &given.model {
        evidence.product.backbone = Assessed::Assessed(Backbone::of(&read_public(path, &head)?)?);
    }
    if let Some(path) = &given.plan {
        evidence.certificate = Some(Certified::of(&read_plan(path, &head)?, status.public_size));
    }
    if let Some(path) = &given.table {
        evidence.rows = report::benchmark_rows(&read_table(path, &status.population)?, &evidence);
    }
    if let Some(path) = &given.validation {
        evidence.validation = Some(read_validation(path, (&head, head_digest), &ledger, &status)?);
    }
    Ok((head, evidence))
}

/// Writes the four renderings, the page last, and tells where the page is.
fn publish(report: &Report, places: &[Destination]) -> Result<String> {
    let bug = |e: &dyn fmt::Display| Failure::new(Code::Bug, e);
    let json = serde_json::to_vec_pretty(report).map_err(|e| bug(&e))?;
    let registry = report::registry(report).map_err(|e| bug(&e))?;
    let html = report::html(report).map_err(|e| bug(&e))?;
    let text = report::markdown(report);
    let contents: [&[u8]; 4] = [&json, text.as_bytes(), registry.as_bytes(), html.as_bytes()];
    for (to, content) in places.iter().zip(contents) {
        if content.len() as u64 > MAX_REPORT_BYTES {
            return Err(too_large(to));
        }
    }
    for (to, content) in places.iter().zip(contents) {
        write_atomically(to, content)?;
    }
    Ok(places.last().map_or_else(String::new, |page| page.path().display().to_string()))
}

fn too_large(to: &Destination) -> Failure {
    Failure::failed(
        format!("{} would be larger than the {MAX_REPORT_BYTES} bytes that are read", to.path().display()),
        "the ledger has too many entries to be listed in one report; give each period a ledger of its own",
    )
}

fn read_public(path: &Path, head: &Head) -> Result<PublicModel> {
    let (model, digest) = PublicModel::read(path)?;
    if digest != head.header.public_model {
        return Err(Failure::failed(
            format!(
                "{} is not the model of the head ({}), but {}",
                path.display(),
                head.header.public_model.short(),
                digest.short()
            ),
            "give the public half of the model that the head was trained with",
        ));
    }
    Ok(model)
}

fn read_plan(path: &Path, head: &Head) -> Result<PlanFile> {
    let plan = PlanFile::read(path)?;
    let header = &head.header;
    let Some(encryption) = &header.encryption else {
        return Err(Failure::failed(
            format!(
                "{} is a plan of encrypted evaluation, and the head reads nothing that was encrypted",
                path.display()
            ),
            "leave --plan out",
        ));
    };
    if plan.public_model != header.public_model
        || plan.contract.parameter_set().to_string() != encryption.parameter_set
    {
        return Err(Failure::failed(
            format!(
                "{} is not a plan of the head's model with the parameters {}",
                path.display(),
                encryption.parameter_set
            ),
            "give the plan that the head's features were made with",
        ));
    }
    Ok(plan)
}

/// The table's rows for a population.
fn read_table(path: &Path, population: &str) -> Result<Vec<BenchmarkRow>> {
    let unusable = |fact: String| {
        Failure::failed(
            format!("{} is not a table of `bench privacy`: {fact}", path.display()),
            "give its --output",
        )
    };
    let bytes = input_file::read(path, MAX_TABLE_BYTES).map_err(|e| unusable(e.to_string()))?;
    let rows = BenchmarkRow::parse(&bytes).map_err(unusable)?;
    let rows: Vec<_> = rows.into_iter().filter(|row| row.target == population).collect();
    if rows.is_empty() {
        return Err(Failure::failed(
            format!("{} has no row for the target {population}", path.display()),
            "run `cryptotl bench privacy` with the population's name as --target",
        ));
    }
    Ok(rows)
}

/// What `validate` released of this head, if the ledger paid for this very file.
fn read_validation(
    path: &Path,
    (head, head_digest): (&Head, Digest),
    ledger: &LedgerView,
    status: &Status,
) -> Result<Validated> {
    let remedy = "give the file that `cryptotl validate` wrote for this head";
    let refuse = |fact: String| Failure::failed(format!("{}: {fact}", path.display()), remedy);
    let (validation, digest) = Validation::read(path).map_err(refuse)?;
    if validation.head != head_digest || validation.labels != head.header.label_names {
        return Err(refuse(format!(
            "it is the validation of the head {}, not of {}",
            validation.head.short(),
            head_digest.short()
        )));
    }
    validation.check_figures().map_err(refuse)?;
    validation.paid(digest, ledger, status).map_err(|unpaid| match unpaid {
        Unpaid::Ledger(fact) => Failure::new(Code::LedgerIntegrity, format!("{}: {fact}", path.display())),
        Unpaid::Other(fact) => refuse(fact),
    })?;
    Ok(validation.released(digest))
}

/// How the files are called; where they are stays out of the report.
fn files(args: &AuditArgs) -> Files {
    let given = &args.evidence;
    let name_of = |path: &Option<PathBuf>| path.as_deref().map(name);
    Files {
        head: name(&args.head),
        ledger: name(&args.ledger),
        model: name_of(&given.model),
        plan: name_of(&given.plan),
        policy: name_of(&given.policy),
        table: name_of(&given.table),
        validation: name_of(&given.validation),
        output: name(&args.output),
    }
}

/// The file's own name.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

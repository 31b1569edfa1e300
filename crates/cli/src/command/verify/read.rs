//! Reading what `verify` is given: each file by its content, never by its name.

use std::io::Read;
use std::path::{Path, PathBuf};

use cryptotl_encrypted::{Envelope, PlanFile};
use cryptotl_model::format::kind_of;
use cryptotl_model::{Digest, LowerModel, PublicModel, Records};
use cryptotl_privacy::{Ledger, LedgerError, Status};
use cryptotl_trainer::Head;

use super::protocol;
use crate::card::Card;
use crate::command::validate::Validation;
use crate::exit::{Failure, Result};
use crate::report::{self, Report};

/// The largest report that is read.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// A file and what it is.
pub struct File {
    pub path: PathBuf,
    pub content: Content,
}

/// What a file is.
pub enum Content {
    Head(Box<Head>, Digest),
    Public(Box<PublicModel>, Digest),
    Lower(Box<LowerModel>, Digest),
    Plan(Box<PlanFile>),
    Records(usize),
    /// A message of encrypted evaluation, or a key of it; read only once its plan is known.
    Protocol(Envelope),
    Ledger(Box<OpenLedger>),
    Report(Box<Report>),
    /// What `validate` measured, and the file's digest.
    Validation(Box<Validation>, Digest),
    /// The report that the page carries, and the page.
    Page(Box<Report>, String),
    Card(Box<Card>),
    /// A ledger that cannot be used.
    BrokenLedger(LedgerError),
    /// Something else, or damaged: its kind and what is wrong with it.
    Unusable(&'static str, String),
}

/// A ledger that verifies.
pub struct OpenLedger {
    pub ledger: Ledger,
    pub status: Status,
    pub path: PathBuf,
}

/// All that was given.
pub struct Given {
    pub files: Vec<File>,
    /// The one of `--ledger`.
    pub present: Option<OpenLedger>,
}

impl Given {
    pub fn read(paths: &[PathBuf], ledger: Option<&Path>) -> Result<Self> {
        let present = ledger.map(|path| open_ledger(path).map_err(Failure::from)).transpose()?;
        let files = paths.iter().map(|path| File { path: path.clone(), content: read(path) }).collect();
        Ok(Self { files, present })
    }

    /// The ledger that has to know of a population: the present one, or one of that population among the files.
    pub fn ledger_of(&self, population: &str) -> Option<&OpenLedger> {
        let among_files = || {
            self.files.iter().find_map(|file| match &file.content {
                Content::Ledger(open) if open.status.population == population => Some(&**open),
                _ => None,
            })
        };
        self.present.as_ref().or_else(among_files)
    }

    pub fn head(&self, digest: &str) -> Option<(&Head, Digest)> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Head(head, own) if own.to_string() == digest => Some((&**head, *own)),
            _ => None,
        })
    }

    pub fn public(&self, digest: Digest) -> Option<&PublicModel> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Public(public, own) if *own == digest => Some(&**public),
            _ => None,
        })
    }

    pub fn publics(&self) -> impl Iterator<Item = (&PublicModel, Digest)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Public(public, own) => Some((&**public, *own)),
            _ => None,
        })
    }

    pub fn lower(&self, digest: Digest) -> Option<&LowerModel> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Lower(lower, own) if *own == digest => Some(&**lower),
            _ => None,
        })
    }
}

impl File {
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Head(..) => "head",
            Content::Public(..) => "public-model",
            Content::Lower(..) => "lower-network",
            Content::Plan(_) => "plan",
            Content::Records(_) => "records",
            Content::Protocol(envelope) => protocol::kind_name(envelope.kind),
            Content::Ledger(_) | Content::BrokenLedger(_) => "ledger",
            Content::Report(_) => "report",
            Content::Validation(..) => "validation",
            Content::Page(..) => "report-page",
            Content::Card(_) => "model-card",
            Content::Unusable(kind, _) => kind,
        }
    }
}

fn open_ledger(path: &Path) -> std::result::Result<OpenLedger, LedgerError> {
    let ledger = Ledger::open(path)?;
    Ok(OpenLedger { status: ledger.status()?, ledger, path: path.to_owned() })
}

fn read(path: &Path) -> Content {
    let start = match first_bytes(path) {
        Ok(start) => start,
        Err(e) => return Content::Unusable("unknown", format!("it cannot be read: {e}")),
    };
    if let Ok(Some(envelope)) = Envelope::read(path) {
        return Content::Protocol(envelope);
    }
    let text = String::from_utf8_lossy(&start);
    if start.starts_with(b"SQLite format 3\0") {
        return open_ledger(path).map_or_else(Content::BrokenLedger, |open| Content::Ledger(Box::new(open)));
    }
    if text.starts_with("---\n") {
        return Card::read(path)
            .map_or_else(|fact| Content::Unusable("model-card", fact), |card| Content::Card(Box::new(card)));
    }
    if text.to_lowercase().starts_with("<!doctype html") {
        return read_page(path);
    }
    if text.trim_start().starts_with('{') {
        return read_text(path)
            .map_or_else(|fact| Content::Unusable("report", fact), |text| read_json(&text));
    }
    read_safetensors(path)
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(64).read_to_end(&mut start)?;
    Ok(start)
}

fn read_text(path: &Path) -> std::result::Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > MAX_REPORT_BYTES {
        return Err(format!("it has {length} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// A report, or a validation, which says so.
fn read_json(text: &str) -> Content {
    if let Some(json) = serde_json::from_str(text).ok().filter(Validation::is_one) {
        return Validation::parse(json).map_or_else(
            |fact| Content::Unusable("validation", fact),
            |found| Content::Validation(Box::new(found), Digest::of(text.as_bytes())),
        );
    }
    parse_report(text)
        .map_or_else(|fact| Content::Unusable("report", fact), |report| Content::Report(Box::new(report)))
}

fn parse_report(text: &str) -> std::result::Result<Report, String> {
    serde_json::from_str(text).map_err(|e| format!("it is no report of this version: {e}"))
}

fn read_page(path: &Path) -> Content {
    let read = || -> std::result::Result<(Report, String), String> {
        let page = read_text(path)?;
        let json = report::embedded_json(&page).ok_or("it carries no report")?;
        Ok((parse_report(json)?, page))
    };
    match read() {
        Ok((report, page)) => Content::Page(Box::new(report), page),
        Err(fact) => Content::Unusable("report-page", fact),
    }
}

fn read_safetensors(path: &Path) -> Content {
    fn unusable<E: std::fmt::Display>(kind: &'static str) -> impl Fn(E) -> Content {
        move |e| Content::Unusable(kind, e.to_string())
    }
    let kind = match kind_of(path) {
        Ok(kind) => kind,
        Err(e) => return Content::Unusable("unknown", e.to_string()),
    };
    match kind.as_deref() {
        Some("head") => {
            Head::read(path).map_or_else(unusable("head"), |(h, d)| Content::Head(Box::new(h), d))
        }
        Some("public-model") => PublicModel::read(path)
            .map_or_else(unusable("public-model"), |(m, d)| Content::Public(Box::new(m), d)),
        Some("lower-network") => LowerModel::read(path)
            .map_or_else(unusable("lower-network"), |(m, d)| Content::Lower(Box::new(m), d)),
        Some("plan") => {
            PlanFile::read(path).map_or_else(unusable("plan"), |plan| Content::Plan(Box::new(plan)))
        }
        Some("records") => {
            Records::read(path).map_or_else(unusable("records"), |records| Content::Records(records.len()))
        }
        _ => Content::Unusable(
            "unknown",
            "it is no head, model, plan, ledger, report, model card, message or key".to_owned(),
        ),
    }
}

//! Reading what `verify` is given: each file by its content, never by its name.

use std::io::Read;
use std::path::{Path, PathBuf};

use cryptotl_encrypted::{Envelope, PlanFile};
use cryptotl_model::format::kind_of;
use cryptotl_model::{Digest, LowerModel, PublicModel, Records, input_file};
use cryptotl_privacy::{LedgerError, LedgerView, Policy, Status};
use cryptotl_trainer::Head;

use super::protocol;
use crate::card::Card;
use crate::command::ledger::read_policy;
use crate::command::validate::Validation;
use crate::exit::{Failure, Result};
use crate::kinds::MAX_REPORT_BYTES;
use crate::report::{self, BenchmarkRow, Certified, Report, Stated};

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
    Report(Box<Stated>),
    /// What `validate` measured, and the file's digest.
    Validation(Box<Validation>, Digest),
    /// The report that the page carries, and the page.
    Page(Box<Stated>, String),
    /// `report.md`.
    Markdown(String),
    /// `registry.yaml`.
    Registry(String),
    /// The table of `bench privacy`.
    Table(Vec<BenchmarkRow>),
    /// A privacy configuration.
    Policy(Box<Policy>),
    Card(Box<Card>),
    /// A ledger that cannot be used.
    BrokenLedger(LedgerError),
    /// Something else, or damaged: its kind and what is wrong with it.
    Unusable(&'static str, String),
}

/// A ledger that verifies.
pub struct OpenLedger {
    pub ledger: LedgerView,
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

    /// How the file of a head is called.
    pub fn name_of(&self, head: Digest) -> Option<String> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Head(_, own) if *own == head => {
                file.path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
            _ => None,
        })
    }

    pub fn public(&self, digest: Digest) -> Option<&PublicModel> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Public(public, own) if *own == digest => Some(&**public),
            _ => None,
        })
    }

    /// The reports, by themselves and in pages.
    pub fn reports(&self) -> impl Iterator<Item = &Stated> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Report(stated) | Content::Page(stated, _) => Some(&**stated),
            _ => None,
        })
    }

    /// A validation and its digest.
    pub fn validation(&self, digest: &str) -> Option<(&Validation, Digest)> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Validation(found, own) if own.to_string() == digest => Some((&**found, *own)),
            _ => None,
        })
    }

    /// The plan of a report's model and encryption parameters: the one whose certificate it states, if there are several.
    pub fn plan_of(&self, model: Digest, report: &Report) -> Option<&PlanFile> {
        let input = report.input_privacy.evidence().ok()?;
        let certified = input.certificate.evidence().ok()?;
        let plans: Vec<&PlanFile> = self
            .files
            .iter()
            .filter_map(|file| match &file.content {
                Content::Plan(plan) => Some(&**plan),
                _ => None,
            })
            .filter(|plan| plan.public_model == model)
            .filter(|plan| input.parameter_set == Some(plan.contract.parameter_set().to_string()))
            .collect();
        let is_it = |plan: &&&PlanFile| Certified::of(plan, report.dataset.public_size) == *certified;
        plans.iter().find(is_it).or(plans.first()).copied()
    }

    pub fn policy(&self) -> Option<&Policy> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Policy(policy) => Some(&**policy),
            _ => None,
        })
    }

    /// The table with rows of a population.
    pub fn table(&self, population: &str) -> Option<&[BenchmarkRow]> {
        self.files.iter().find_map(|file| match &file.content {
            Content::Table(rows) if rows.iter().any(|row| row.target == population) => Some(&rows[..]),
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
            Content::Markdown(_) => "report-markdown",
            Content::Registry(_) => "registry-entry",
            Content::Table(_) => "benchmark-table",
            Content::Policy(_) => "policy",
            Content::Card(_) => "model-card",
            Content::Unusable(kind, _) => kind,
        }
    }
}

fn open_ledger(path: &Path) -> std::result::Result<OpenLedger, LedgerError> {
    let ledger = LedgerView::open(path)?;
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
    if text.starts_with(report::MARKDOWN_START) || text.starts_with(report::REGISTRY_START) {
        let of = if text.starts_with(report::MARKDOWN_START) { Content::Markdown } else { Content::Registry };
        return read_text(path).map_or_else(|fact| Content::Unusable("rendering", fact), of);
    }
    if text.trim_start().starts_with('[') && !text.contains('=') {
        let rows = read_text(path).and_then(|text| BenchmarkRow::parse(text.as_bytes()));
        return rows.map_or_else(|fact| Content::Unusable("benchmark-table", fact), Content::Table);
    }
    if text.trim_start().starts_with('{') {
        return read_text(path)
            .map_or_else(|fact| Content::Unusable("report", fact), |text| read_json(&text));
    }
    // The length of a safetensors header is eight bytes of which the last are zero.
    if !start.contains(&0)
        && let Ok(policy) = read_policy(path)
    {
        return Content::Policy(Box::new(policy));
    }
    read_safetensors(path)
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    input_file::open(path)?.take(64).read_to_end(&mut start)?;
    Ok(start)
}

fn read_text(path: &Path) -> std::result::Result<String, String> {
    input_file::read_text(path, MAX_REPORT_BYTES).map_err(|e| e.to_string())
}

/// A report, or a validation, which says so.
fn read_json(text: &str) -> Content {
    if let Some(json) = serde_json::from_str(text).ok().filter(Validation::is_one) {
        return Validation::parse(json).map_or_else(
            |fact| Content::Unusable("validation", fact),
            |found| Content::Validation(Box::new(found), Digest::of(text.as_bytes())),
        );
    }
    Stated::parse(text)
        .map_or_else(|fact| Content::Unusable("report", fact), |stated| Content::Report(Box::new(stated)))
}

fn read_page(path: &Path) -> Content {
    let read = || -> std::result::Result<(Stated, String), String> {
        let page = read_text(path)?;
        let json = report::embedded_json(&page).ok_or("it carries no report")?;
        Ok((Stated::parse(json)?, page))
    };
    match read() {
        Ok((stated, page)) => Content::Page(Box::new(stated), page),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts with a part removed, said twice or replaced, from a small linear congruential generator.
    fn altered(text: &str, n: usize) -> impl Iterator<Item = String> {
        const PARTS: [&str; 8] = ["null", "-1", "1e999", "{}", "[[[[", "\"", "</script>", "\u{1b}[2J"];
        let mut state = 7u64;
        let mut next = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below.max(1)
        };
        (0..n).map(move |_| {
            let start = text.floor_char_boundary(next(text.len()));
            let end = text.floor_char_boundary((start + next(60)).min(text.len()));
            let with = match next(3) {
                0 => "",
                1 => &text[start..end],
                _ => PARTS[next(PARTS.len())],
            };
            let kept = if next(2) == 0 { start } else { end };
            format!("{}{with}{}", &text[..kept], &text[end..])
        })
    }

    #[test]
    fn altered_reports_and_pages_are_reports_or_refused() {
        let json = include_str!("../../report/testdata/report.json");
        let page = include_str!("../../report/testdata/report.html");
        let (mut read, mut refused) = (0, 0);
        for text in altered(json, 1000) {
            match read_json(&text) {
                Content::Report(_) => read += 1,
                Content::Unusable(_, fact) => {
                    assert!(!fact.is_empty());
                    refused += 1;
                }
                _ => panic!("it became something else"),
            }
        }
        for text in altered(page, 1000) {
            match report::embedded_json(&text).map(Stated::parse) {
                Some(Ok(_)) => read += 1,
                Some(Err(_)) | None => refused += 1,
            }
        }
        assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
    }
}

//! The checks of reports and model cards: their figures, and what the present ledger says of them.

use std::path::Path;

use cryptotl_encrypted::PlanFile;
use cryptotl_model::{Digest, PublicModel};
use cryptotl_privacy::{LedgerError, Policy, Status};
use cryptotl_trainer::Head;
use cryptotl_trainer::pretrain::private::SourcePrivacy;

use super::checks::passed;
use super::read::{Given, OpenLedger};
use super::{Check, Outcome};
use crate::card::{Card, DpBlock};
use crate::report::{self, BenchmarkRow, Recomputed, Report, Source, Stated, Validated, Verdict};

/// So many altered fields are named; an alteration of the mechanism changes most.
const MAX_NAMED: usize = 8;

/// The checks of `report.json`: what it states, assembled again from the files that were given.
pub fn report(stated: &Stated, given: &Given) -> Vec<Check> {
    let report = &stated.report;
    let identity = &report.identity;
    let witness = against_ledger(report, given);
    let (head, parts) = parts(stated, given, witness.status == Outcome::Pass);
    let mut checks = vec![passed(format!("a report on the head {}", short(&identity.head_digest)))];
    match stated.recompute(&parts.given()) {
        Err(fact) => checks.push(Check::new("fields", Outcome::Fail, fact)),
        Ok(found) => fields(stated, found, &mut checks),
    }
    if report.verdict == Verdict::Falsified {
        checks.push(Check::new("verdict", Outcome::Falsified, "the attack contradicted the claim"));
    }
    checks.push(match head {
        Some(_) => Check::new("head", Outcome::Pass, "it is about the head that was given"),
        None => Check::missing("head", format!("the head {} was not given", short(&identity.head_digest))),
    });
    checks.push(witness);
    checks
}

/// What was found of a report's fields.
fn fields(stated: &Stated, found: Recomputed, checks: &mut Vec<Check>) {
    let Recomputed { differences, fields, not_assessed } = found;
    checks.push(if differences.is_empty() {
        Check::new(
            "fields",
            Outcome::Pass,
            format!("{fields} fields are what the given files and the others say"),
        )
    } else {
        let more = differences.len().saturating_sub(MAX_NAMED);
        let named = differences[..differences.len() - more].join("; ");
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Check::new("fields", Outcome::Fail, format!("{named}{more}"))
    });
    for (source, fields) in not_assessed {
        let reason = match (source, stated.other_program()) {
            (Source::Program, Some(version)) => {
                format!("cryptotl {} wrote it, and this is {}", short(version), env!("CARGO_PKG_VERSION"))
            }
            _ => source.missing().to_owned(),
        };
        let fields: Vec<String> = fields.into_iter().collect();
        checks.push(Check::missing("fields", format!("{}: {reason}", fields.join(", "))));
    }
}

/// The files that a report is about, as far as they were given.
struct Parts<'a> {
    head: Option<(&'a Head, Digest)>,
    ledger: Option<Status>,
    model: Option<&'a PublicModel>,
    plan: Option<&'a PlanFile>,
    policy: Option<&'a Policy>,
    table: Option<&'a [BenchmarkRow]>,
    validation: Option<Validated>,
}

impl Parts<'_> {
    fn given(&self) -> report::Given<'_> {
        report::Given {
            head: self.head,
            ledger: self.ledger.as_ref(),
            model: self.model,
            plan: self.plan,
            policy: self.policy,
            table: self.table,
            validation: self.validation.clone(),
        }
    }
}

/// Finds the files that a report is about among those that were given, and the head. The ledger counts if it holds what the
/// report saw, and counts as it was then.
fn parts<'a>(
    stated: &Stated,
    given: &'a Given,
    is_its_ledger: bool,
) -> (Option<(&'a Head, Digest)>, Parts<'a>) {
    let report = &stated.report;
    let head = given.head(&report.identity.head_digest);
    let open = given.ledger_of(&report.dataset.population).filter(|_| is_its_ledger);
    let model = report.identity.public_model.parse().ok();
    let validation = open.and_then(|open| {
        let digest = &report.utility.evidence().ok()?.validation.as_ref()?.digest;
        let (validation, digest) = given.validation(digest)?;
        validation.check_figures().ok()?;
        let is_of_head = validation.head.to_string() == report.identity.head_digest;
        let paid = validation.paid(digest, &open.ledger, &open.status).is_ok();
        (is_of_head && paid).then(|| validation.released(digest))
    });
    let parts = Parts {
        head,
        ledger: open.and_then(|open| open.ledger.status_as_of(report.budget.head_seq).ok()),
        model: model.and_then(|digest: cryptotl_model::Digest| given.public(digest)),
        plan: model.and_then(|digest| given.plan_of(digest, report)),
        policy: given.policy(),
        table: given.table(&report.dataset.population),
        validation,
    };
    (head, parts)
}

/// The checks of `report.html`: those of the report that it carries, and that it shows that report.
pub fn page(stated: &Stated, page: &str, given: &Given) -> Vec<Check> {
    let mut checks = self::report(stated, given);
    checks.push(match (report::html(&stated.report), stated.other_program()) {
        (Ok(rendered), _) if rendered == page => {
            Check::new("rendering", Outcome::Pass, "the page shows the report that it carries")
        }
        (_, Some(version)) => other_renderer(version),
        _ => Check::new("rendering", Outcome::Fail, "the page does not show the report that it carries"),
    });
    checks
}

/// The checks of `report.md` and `registry.yaml`, which are renderings of a report that has to be given.
pub fn rendering(text: &str, render: impl Fn(&Report) -> Option<String>, given: &Given) -> Vec<Check> {
    let reports: Vec<&Stated> = given.reports().collect();
    let is_of = |stated: &&&Stated| render(&stated.report).is_some_and(|rendered| rendered == text);
    let other = reports.iter().find_map(|stated| stated.other_program());
    vec![match (reports.iter().find(is_of), &reports[..], other) {
        (Some(stated), ..) => Check::new(
            "rendering",
            Outcome::Pass,
            format!("it is the report on the head {}", short(&stated.report.identity.head_digest)),
        ),
        (None, [], _) => Check::missing("rendering", "the report.json that it shows was not given"),
        (None, _, Some(version)) => other_renderer(version),
        (None, ..) => Check::new("rendering", Outcome::Fail, "it does not show a report that was given"),
    }]
}

fn other_renderer(version: &str) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let version = short(version);
    Check::missing(
        "rendering",
        format!("cryptotl {version} wrote it, and this is {own}, which may draw differently"),
    )
}

/// What the present ledger says of a report: whether it still holds all that the report saw, and what came since.
fn against_ledger(report: &Report, given: &Given) -> Check {
    let population = &report.dataset.population;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing("witness", format!("the ledger of {population} was not given; see --ledger"));
    };
    match compare(report, open) {
        Ok(detail) => Check::new("witness", Outcome::Pass, detail),
        Err(fact) => Check::new("witness", Outcome::Ledger, fact),
    }
}

fn compare(report: &Report, open: &OpenLedger) -> std::result::Result<String, String> {
    let (budget, status) = (&report.budget, &open.status);
    if status.population != report.dataset.population {
        return Err(format!(
            "it is about the population {}, {} is the ledger of {}",
            report.dataset.population,
            open.path.display(),
            status.population
        ));
    }
    holds(open, budget.head_seq, &budget.head_hash)?;
    let since = status.head.seq.saturating_sub(budget.head_seq);
    Ok(format!(
        "the ledger holds all that the report saw; {since} entries since, epsilon {} of {} spent now",
        status.epsilon_spent, status.epsilon_cap
    ))
}

/// Whether the ledger holds an entry.
fn holds(open: &OpenLedger, seq: u64, hash: &str) -> std::result::Result<(), String> {
    let hash = hash.parse().map_err(|_| format!("the hash of entry {seq} is no SHA-256"))?;
    open.ledger.verify_witness(seq, &hash).map_err(|e: LedgerError| e.to_string())
}

/// The checks of a model card.
pub fn card(card: &Card, path: &Path, given: &Given) -> Vec<Check> {
    let dp = &card.dp;
    let words = card_words(card, given);
    let head = match given.head(&dp.head) {
        None => Check::missing("head", format!("the head {} was not given", short(&dp.head))),
        Some((head, digest)) => match dp.difference(&DpBlock::of(head, digest, "")) {
            None if dp.assumptions.is_none() => Check::missing(
                "head",
                "its `dp` block is the head's as far as it goes: an early card does not say what the promise rests on",
            ),
            None => Check::new("head", Outcome::Pass, "its `dp` block is the head's"),
            Some(fact) => Check::new("head", Outcome::Fail, format!("its {fact} is not the head's")),
        },
    };
    vec![passed(format!("the model card of {}", short(&dp.head))), words, head, card_witness(dp, path, given)]
}

/// Whether a card's words are those that this program writes for its head.
fn card_words(card: &Card, given: &Given) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let fail = |fact: &str| Check::new("words", Outcome::Fail, fact);
    let missing = |fact: String| Check::missing("words", fact);
    if !card.is_as_written {
        return fail("it was edited since it was written: its words are the editor's");
    }
    match card.dp.tool_version.as_deref() {
        Some(version) if version == own => {}
        Some(version) => {
            let version = short(version);
            return missing(format!(
                "cryptotl {version} wrote it, and this is {own}, which may say it otherwise"
            ));
        }
        None => return missing("it does not name the version of cryptotl that wrote it".to_owned()),
    }
    let Some((head, digest)) = given.head(&card.dp.head) else {
        return missing("its head was not given, from which its words follow".to_owned());
    };
    let differs = "its words are not those that cryptotl writes for its head";
    let Some(public) = given.public(head.header.public_model) else {
        return if card.is_of_but_for_source((head, digest)) {
            let model = head.header.public_model.short();
            missing(format!(
                "they are the head's; whether there is a private source to tell of, only its public model {model} knows"
            ))
        } else {
            fail(differs)
        };
    };
    match SourcePrivacy::of(public) {
        Err(error) => fail(&error.to_string()),
        Ok(source) if !card.is_of((head, digest), source.as_ref()) => fail(differs),
        Ok(_) if given.name_of(digest) != card.dp.file => missing(
            "they are the head's, whose file was called otherwise when the card was written".to_owned(),
        ),
        Ok(_) => Check::new("words", Outcome::Pass, "they are those that cryptotl writes for its head"),
    }
}

fn card_witness(dp: &DpBlock, path: &Path, given: &Given) -> Check {
    let Some(open) = given.ledger_of(&dp.population) else {
        return Check::missing(
            "witness",
            format!("the ledger of {} was not given; see --ledger", dp.population),
        );
    };
    let outcome = holds(open, dp.witness_seq, &dp.witness_hash).and_then(|()| {
        let entry = open.status.entries.iter().find(|entry| entry.seq == dp.witness_seq);
        let is_same = entry.is_some_and(|entry| {
            entry.released.as_deref() == Some(dp.head.as_str())
                && entry.rho.is_some_and(|rho| rho.to_string() == dp.rho)
                && entry.epsilon.is_some_and(|epsilon| epsilon.get() == dp.epsilon)
        });
        if is_same && open.status.population == dp.population {
            Ok(())
        } else {
            Err(format!("entry {} is not the release that {} describes", dp.witness_seq, path.display()))
        }
    });
    match outcome {
        Ok(()) => {
            Check::new("witness", Outcome::Pass, format!("entry {} paid for this release", dp.witness_seq))
        }
        Err(fact) => Check::new("witness", Outcome::Ledger, fact),
    }
}

fn short(text: &str) -> String {
    text.chars().take(12).collect()
}

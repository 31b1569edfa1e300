//! The checks of heads, models, plans and ledgers.

use std::path::Path;

use cryptotl_encrypted::{EvaluationPlan, PlanFile};
use cryptotl_model::{Digest, LowerModel, PublicModel};
use cryptotl_privacy::{Guarantee, LedgerError};
use cryptotl_trainer::Head;

use super::read::{Content, File, Given, OpenLedger};
use super::{Check, Outcome, documents, protocol, source, validation};
use crate::command::ledger::paid_status;
use crate::exit::Code;
use crate::report;

/// Everything that can be checked of a file.
pub fn all(file: &File, given: &Given) -> Vec<Check> {
    match &file.content {
        Content::Head(head, digest) => head_checks(head, *digest, &file.path, given),
        Content::Public(public, digest) => public_checks(public, *digest, given),
        Content::Lower(lower, digest) => lower_checks(lower, *digest, given),
        Content::Plan(plan) => plan_checks(plan, given),
        Content::Protocol(envelope) => protocol::all(file, envelope, given),
        Content::Records(n) => vec![passed(format!("{n} private records: do not hand this file on"))],
        Content::Ledger(open) => ledger_checks(open),
        Content::BrokenLedger(error) => vec![broken(error)],
        Content::Report(report) => documents::report(report, given),
        Content::Validation(found, digest) => validation::checks(found, *digest, given),
        Content::Page(report, page) => documents::page(report, page, given),
        Content::Markdown(text) => documents::rendering(text, |of| Some(report::markdown(of)), given),
        Content::Registry(text) => documents::rendering(text, |of| report::registry(of).ok(), given),
        Content::Table(rows) => vec![passed(format!("{} rows of `bench privacy`", rows.len()))],
        Content::Policy(policy) => vec![passed(format!("the privacy configuration `{}`", policy.name()))],
        Content::Card(card) => documents::card(card, &file.path, given),
        Content::Unusable(_, fact) => vec![Check::new("format", Outcome::Fail, fact.clone())],
    }
}

pub fn passed(detail: impl Into<String>) -> Check {
    Check::new("format", Outcome::Pass, detail)
}

fn broken(error: &LedgerError) -> Check {
    let outcome = if error.is_integrity_failure() { Outcome::Ledger } else { Outcome::Fail };
    Check::new("ledger", outcome, error.to_string())
}

fn ledger_checks(open: &OpenLedger) -> Vec<Check> {
    let status = &open.status;
    let clock = if status.clock_went_back.is_empty() {
        String::new()
    } else {
        format!("; the clock went back at {:?}", status.clock_went_back)
    };
    vec![
        passed(format!("the ledger of {}", status.population)),
        Check::new(
            "chain",
            Outcome::Pass,
            format!(
                "{} entries, the last {} {}{clock}",
                status.entries.len(),
                status.head.seq,
                status.head.hash
            ),
        ),
        Check::new(
            "claim",
            Outcome::Pass,
            format!(
                "epsilon {} of {} spent, from the recorded events",
                status.epsilon_spent, status.epsilon_cap
            ),
        ),
        match open.ledger.verify_artifacts() {
            Ok(()) => Check::new("artifacts", Outcome::Pass, "what it keeps is what was released"),
            Err(error) => Check::new("artifacts", Outcome::Ledger, error.to_string()),
        },
    ]
}

fn head_checks(head: &Head, digest: Digest, path: &Path, given: &Given) -> Vec<Check> {
    let model = head.header.public_model;
    vec![
        passed(format!("sha256 {digest}")),
        Check::of("claim", claim(head)),
        match given.public(model) {
            Some(public) => Check::new("model", Outcome::Pass, format!("it is a head of {}", public.name)),
            None => Check::missing("model", format!("its public model {} was not given", model.short())),
        },
        witness(head, digest, path, given),
    ]
}

/// The stated guarantee, from the recorded event.
fn claim(head: &Head) -> std::result::Result<String, String> {
    let header = &head.header;
    let Guarantee { epsilon, delta, adjacency, .. } = header.guarantee;
    header.event.validate(adjacency).map_err(|e| e.to_string())?;
    if !header.guarantee.follows_from(&header.event).map_err(|e| e.to_string())? {
        return Err(format!("epsilon {epsilon} does not follow from the recorded event"));
    }
    Ok(format!("epsilon {epsilon} at delta {delta} follows from the recorded event"))
}

fn witness(head: &Head, digest: Digest, path: &Path, given: &Given) -> Check {
    let population = &head.header.population;
    let Some(open) = given.ledger_of(population) else {
        return Check::missing("witness", format!("the ledger of {population} was not given; see --ledger"));
    };
    match paid_status(&open.ledger, &open.path, (head, digest), path) {
        Ok(status) => Check::new(
            "witness",
            Outcome::Pass,
            format!(
                "entry {} of {} entries paid for this very file",
                head.header.witness.seq,
                status.entries.len()
            ),
        ),
        Err(failure) => {
            let outcome = if failure.code == Code::LedgerIntegrity { Outcome::Ledger } else { Outcome::Fail };
            Check::new("witness", outcome, failure.message)
        }
    }
}

fn public_checks(public: &PublicModel, digest: Digest, given: &Given) -> Vec<Check> {
    let own = vec![
        passed(format!("sha256 {digest}")),
        match given.lower(public.lower) {
            Some(lower) => Check::new(
                "secret half",
                Outcome::Pass,
                format!("it belongs to the lower network of {}", lower.name),
            ),
            None => Check::missing(
                "secret half",
                format!("the lower network {} was not given", public.lower.short()),
            ),
        },
    ];
    own.into_iter().chain(source::checks(public, given)).collect()
}

fn lower_checks(lower: &LowerModel, digest: Digest, given: &Given) -> Vec<Check> {
    let public = given.publics().find(|(public, _)| public.lower == digest);
    vec![
        passed(format!("sha256 {digest}; the model owner's secret: do not hand this file on")),
        match public {
            Some((public, _)) if public.encoder != lower.encoder => Check::new(
                "public half",
                Outcome::Fail,
                "its public half takes embeddings of another encoder",
            ),
            Some((public, _)) => {
                Check::new("public half", Outcome::Pass, format!("it belongs to {}", public.name))
            }
            None => Check::missing("public half", "its public half was not given"),
        },
    ]
}

fn plan_checks(plan: &PlanFile, given: &Given) -> Vec<Check> {
    let certificate =
        Check::new("certificate", Outcome::Pass, format!("it covers the contract: {}", plan.certificate));
    let Some(public) = given.public(plan.public_model) else {
        let detail = format!("its public model {} was not given", plan.public_model.short());
        return vec![passed("a plan file"), certificate, Check::missing("model", detail)];
    };
    let network = match given.lower(public.lower) {
        None => Check::missing(
            "network",
            "the lower network was not given, from which the plan can be compiled again",
        ),
        Some(lower) => Check::of("network", compiled_again(plan, lower)),
    };
    vec![
        passed("a plan file"),
        certificate,
        Check::new("model", Outcome::Pass, format!("it is a plan of {}", public.name)),
        network,
    ]
}

fn compiled_again(plan: &PlanFile, lower: &LowerModel) -> std::result::Result<String, String> {
    let contract = &plan.contract;
    let (set, packing, bound) = (contract.parameter_set(), contract.packing(), contract.input_bound());
    let again = EvaluationPlan::compile(&lower.network, set, packing, bound).map_err(|e| e.to_string())?;
    if again.contract() == contract {
        Ok("the lower network compiles to this contract".to_owned())
    } else {
        Err("the lower network compiles to another contract".to_owned())
    }
}

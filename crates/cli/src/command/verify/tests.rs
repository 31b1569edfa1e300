//! Every field of a report, altered one by one, with all files given and with fewer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Parser;
use rayon::prelude::*;
use serde_json::Value;

use super::read::Given;
use super::{Check, Outcome, documents};
use crate::cli::Cli;
use crate::output::Output;
use crate::report::Stated;

#[path = "../../../../../tests/tests/workspace/common/main_job.rs"]
mod main_job;

/// A folder with everything that an audit takes, and its report.
struct Release {
    folder: tempfile::TempDir,
}

impl Release {
    fn new() -> Self {
        let release = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(release.path("model.toml"), main_job::CONFIG).unwrap();
        // By Gaussian DP, whose figures take the least time: the report is assembled a thousand times.
        let policy = main_job::POLICY.replace("unit =", "accountant = \"gdp\"\nunit =");
        std::fs::write(release.path("policy.toml"), policy).unwrap();
        main_job::records(400, 1).write(&release.path("source")).unwrap();
        main_job::records(300, 2).write(&release.path("private")).unwrap();
        for line in [
            "pretrain --config @model.toml --source @source --output @lower.safetensors",
            "extract --model @lower.safetensors --input @private --output @f",
            "plan --model @lower.safetensors --packing bulk --source @source --output @job.plan",
            "ledger init --ledger @budget --policy @policy.toml --population people --public-size 300",
            "finetune --features @f --model @lower.public.safetensors --ledger @budget --epsilon 1 --output @head --run first",
            "validate --head @head --features @f --ledger @budget --assume-independent-encryption-errors --epsilon 1 --run second --output @validation.json",
            "bench privacy --data-is-public --model @lower.public.safetensors --train @f --test @f --target people \
             --epsilons 1 --seeds 5 --output @table.json",
            "audit --head @head --ledger @budget --model @lower.public.safetensors --plan @job.plan \
             --policy @policy.toml --table @table.json --validation @validation.json --output @audit --runs 60",
        ] {
            release.run(line);
        }
        release
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) {
        let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        let cli = Cli::try_parse_from(std::iter::once("cryptotl".into()).chain(words)).unwrap();
        crate::command::run(cli.command, &Output::new(true, cryptotl_model::Places::default()))
            .unwrap_or_else(|e| panic!("{line}: {e:?}"));
    }

    /// These files of it and the ledger, if it is among them.
    fn given(&self, names: &[&str]) -> Given {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        Given::read(&paths, None).unwrap_or_else(|e| panic!("{e:?}"))
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("audit/report.json")).unwrap()).unwrap()
    }
}

const ALL: [&str; 7] = [
    "head",
    "budget",
    "lower.public.safetensors",
    "job.plan",
    "policy.toml",
    "table.json",
    "validation.json",
];

/// The checks of a report, none if it is no report at all.
fn checks(report: &Value, given: &Given) -> Vec<Check> {
    Stated::parse(&report.to_string()).map_or_else(|_| Vec::new(), |stated| documents::report(&stated, given))
}

/// Whether a report is refused.
fn is_found_out(report: &Value, given: &Given) -> bool {
    let checks = checks(report, given);
    checks.is_empty() || checks.iter().any(|check| check.status > Outcome::NotAssessed)
}

/// The fields that are told to be not assessed.
fn not_assessed(report: &Value, given: &Given) -> BTreeSet<String> {
    let checks = checks(report, given);
    let fields = checks.iter().filter(|c| c.check == "fields" && c.status == Outcome::NotAssessed);
    fields
        .flat_map(|c| c.detail.split(':').next().unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Each way to alter one place of `value`: another value, none, one more, and neighbors in a list exchanged. With the path.
fn alterations(value: &Value, path: &str) -> Vec<(String, Value)> {
    let below = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, own) in fields {
                let put = |changed: Option<Value>| {
                    let mut fields = fields.clone();
                    match changed {
                        Some(changed) => fields.insert(name.clone(), changed),
                        None => fields.remove(name),
                    };
                    Value::Object(fields)
                };
                all.push((below(name), put(None)));
                let nested = alterations(own, &below(name)).into_iter();
                all.extend(nested.map(|(path, changed)| (path, put(Some(changed)))));
            }
            let mut more = fields.clone();
            more.insert("more".to_owned(), Value::from("x"));
            all.push((below("more"), Value::Object(more)));
        }
        Value::Array(items) => {
            // The items of a long list of figures are alike.
            let is_long = items.len() > 6 && !items[0]["hazard"].is_string();
            for (i, own) in
                items.iter().enumerate().filter(|(i, _)| !is_long || [0, items.len() - 1].contains(i))
            {
                let put = |changed: Option<Value>| {
                    let mut items = items.clone();
                    match changed {
                        Some(changed) => items[i] = changed,
                        None => drop(items.remove(i)),
                    }
                    Value::Array(items)
                };
                all.push((below(&i.to_string()), put(None)));
                let nested = alterations(own, &below(&i.to_string())).into_iter();
                all.extend(nested.map(|(path, changed)| (path, put(Some(changed)))));
            }
            if let Some(i) = items.windows(2).position(|pair| pair[0] != pair[1]) {
                let mut other = items.clone();
                other.swap(i, i + 1);
                all.push((below(&i.to_string()), Value::Array(other)));
            }
            let mut more = items.clone();
            more.push(items.last().cloned().unwrap_or_else(|| Value::from("x")));
            all.push((below(&items.len().to_string()), Value::Array(more)));
        }
        Value::Null => all.push((path.to_owned(), Value::from(0.5))),
        Value::Bool(own) => all.push((path.to_owned(), Value::from(!own))),
        Value::Number(own) => match own.as_u64() {
            Some(own) => all.push((path.to_owned(), Value::from(own + 1))),
            None => all.push((path.to_owned(), Value::from(own.as_f64().unwrap() * 0.97 + 1.23e-3))),
        },
        Value::String(own) => all.push((path.to_owned(), Value::from(format!("{own}x")))),
    }
    all
}

/// Whether a path is one of the patterns, or below one, or above one: whoever takes a whole block away alters its fields.
fn is_listed(path: &str, listed: &BTreeSet<String>) -> bool {
    let steps: Vec<&str> = path.split('.').collect();
    listed.iter().any(|pattern| {
        let pattern: Vec<&str> = pattern.split('.').collect();
        pattern.len() <= steps.len() && pattern.iter().zip(&steps).all(|(a, b)| *a == "*" || a == b)
    })
}

/// What with all files given cannot be assembled again. A field that comes to stand here is one that a forger may choose.
const NEVER_ASSESSED: [&str; 22] = [
    "attack.controls.*.bound.mu",
    "attack.controls.*.found_out",
    "attack.controls.*.runs",
    "attack.one_run.correct",
    "attack.one_run.guesses",
    "attack.settings.preset",
    "attack.settings.runs",
    "attack.settings.seed",
    "attack.settings.time_budget_seconds",
    "attack.single.errors.*.estimate",
    "attack.single.runs_with",
    "attack.single.runs_without",
    "attack.single.score",
    "attack.views.*.bounds.*.epsilon",
    "attack.views.*.bounds.*.mu",
    "attack.views.*.pairs",
    "attack.views.*.trade_off",
    "attack.completed",
    "attack.seconds",
    "attack.verdict",
    "identity.tool_version",
    "reproduction.files",
];

#[test]
fn whatever_is_altered_in_a_report_is_found_out_or_told_to_be_not_assessed() {
    let release = Release::new();
    let report = release.report();
    // With all files each alteration, and with none one of eight.
    for (names, every) in [(&ALL[..], 1), (&[], 8)] {
        let given = release.given(names);
        let untouched = checks(&report, &given);
        let wrong: Vec<&Check> = untouched.iter().filter(|c| c.status > Outcome::NotAssessed).collect();
        assert!(!untouched.is_empty() && wrong.is_empty(), "{wrong:?}");
        let listed = not_assessed(&report, &given);
        if names == ALL {
            let expected: BTreeSet<String> = NEVER_ASSESSED.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(listed, expected);
        }
        let altered = alterations(&report, "");
        assert!(altered.len() > 500, "{}", altered.len());
        let altered: Vec<_> = altered.into_iter().step_by(every).collect();
        let missed: Vec<String> = altered
            .par_iter()
            .map_init(
                || release.given(names),
                |given, (path, altered)| {
                    let is_missed = !is_listed(path, &listed) && !is_found_out(altered, given);
                    is_missed.then(|| path.clone())
                },
            )
            .flatten()
            .collect();
        assert!(missed.is_empty(), "with {names:?}: {missed:?}");
    }
}

//! `verify`: what holds, what does not, and the exit codes of the contract.

mod common;
#[path = "common/main_job.rs"]
mod main_job;
#[path = "common/steps.rs"]
mod steps;

use std::path::Path;

use serde_json::Value;

use common::{refuse, run, succeed};
use steps::{finetune, prepare};

/// A folder with a released head, its card, its report, and the ledger as it was before.
fn released() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    std::fs::copy(path.join("budget"), path.join("old-budget")).unwrap();
    succeed(path, &finetune("1", "f.safetensors", "head.safetensors"));
    succeed(
        path,
        "--json audit --no-attack --head head.safetensors --ledger budget --model lower.public.safetensors --output audit",
    );
    folder
}

/// The checks of one file as (check, status).
fn checks(rows: &Value, file: &str) -> Vec<(String, String)> {
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["file"] == file)
        .unwrap_or_else(|| panic!("no row of {file}"));
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    row["checks"].as_array().unwrap().iter().map(|c| (word(&c["check"]), word(&c["status"]))).collect()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no {from}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn everything_of_a_release_verifies_together() {
    let folder = released();
    let path = folder.path();
    succeed(
        path,
        "--json plan --model lower.safetensors --packing bulk --source source.safetensors --output job.plan",
    );
    let files = "head.safetensors head.README.md audit/report.json audit/report.html budget lower.safetensors \
                 lower.public.safetensors job.plan";
    let rows = succeed(path, &format!("--json verify {files}"));
    for file in files.split_whitespace() {
        for (check, status) in checks(&rows, file) {
            assert_eq!(status, "pass", "{file}: {check}");
        }
    }
    let kinds: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    let expected =
        ["head", "model-card", "report", "report-page", "ledger", "lower-network", "public-model", "plan"];
    assert_eq!(kinds, expected);
    // Alone, each holds as far as it goes, and what could not be checked is told.
    let alone = succeed(path, "--json verify head.safetensors");
    assert!(checks(&alone, "head.safetensors").contains(&("witness".to_owned(), "not assessed".to_owned())));
    assert_eq!(alone[0]["status"], "pass");
}

#[test]
fn an_old_report_is_checked_against_the_present_ledger() {
    let folder = released();
    let path = folder.path();
    succeed(path, &finetune("0.5", "f.safetensors", "second.safetensors"));
    let rows = succeed(path, "--json verify audit/report.json --ledger budget");
    let witness = rows[0]["checks"].as_array().unwrap().iter().find(|c| c["check"] == "witness").unwrap();
    assert!(witness["detail"].as_str().unwrap().contains("2 entries since"), "{witness}");
    for file in ["audit/report.json", "audit/report.html", "head.safetensors", "head.README.md"] {
        refuse(path, &format!("verify {file} --ledger old-budget"), 4, "rolled back");
    }
    // Another population's ledger is not the present ledger of this one.
    succeed(
        path,
        "--json ledger init --ledger other --policy policy.toml --population others --public-size 300",
    );
    refuse(path, "verify audit/report.json --ledger other", 4, "others");
    refuse(path, "verify head.safetensors --ledger absent", 4, "absent");
}

#[test]
fn altered_files_are_found_out() {
    let folder = released();
    let path = folder.path();
    let original = std::fs::read_to_string(path.join("audit/report.json")).unwrap();
    let report: Value = serde_json::from_str(&original).unwrap();
    // Each figure that a reader would rely on is computed again.
    for pointer in [
        "/target_epsilon",
        "/accounted_epsilon",
        "/guarantee/epsilon",
        "/guarantee/delta",
        "/guarantee/profile/3/release_epsilon",
        "/guarantee/recognition/2/max_true_positive_rate",
        "/guarantee/groups/0/epsilon",
        "/budget/epsilon_spent",
        "/budget/runs/0/epsilon",
        "/mechanism/event/noise_multiplier",
        "/mechanism/event/clipping_norm",
    ] {
        let mut altered = report.clone();
        let value = altered.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        *value = (value.as_f64().unwrap() * 0.9).into();
        std::fs::write(path.join("altered.json"), altered.to_string()).unwrap();
        let output = run(path, "verify altered.json");
        assert_eq!(output.status.code(), Some(1), "{pointer}: {}", String::from_utf8_lossy(&output.stdout));
    }
    std::fs::write(path.join("altered.json"), original.replacen("\"not assessed\"", "\"not falsified\"", 1))
        .unwrap();
    refuse(path, "verify altered.json", 1, "without an attack");
    std::fs::write(path.join("altered.json"), original.replacen("\"version\": 1", "\"version\": 2", 1))
        .unwrap();
    refuse(path, "verify altered.json", 1, "cryptotl-report 2");
    // The page must show the report that it carries.
    edit(&path.join("audit/report.html"), "does not learn", "does learn");
    refuse(path, "verify audit/report.html", 1, "does not show");
    // A head that says another label than was released, a card that promises more than its head.
    let whole = std::fs::read(path.join("head.safetensors")).unwrap();
    let (from, to) = (br#"\"no\",\"yes\""#, br#"\"on\",\"yes\""#);
    let at = whole.windows(from.len()).position(|w| w == from).unwrap();
    std::fs::write(path.join("altered.safetensors"), [&whole[..at], to, &whole[at + to.len()..]].concat())
        .unwrap();
    refuse(path, "verify altered.safetensors --ledger budget", 4, "altered");
    edit(&path.join("head.README.md"), "unit: record", "unit: person:9");
    refuse(path, "verify head.README.md head.safetensors", 1, "its unit is not the head's");
}

#[test]
fn a_report_that_says_falsified_ends_with_its_own_code() {
    let folder = released();
    let path = folder.path();
    edit(&path.join("audit/report.json"), "\"verdict\": \"not assessed\"", "\"verdict\": \"falsified\"");
    refuse(path, "verify audit/report.json", 5, "contradicted");
    // What is wrong with a ledger weighs more.
    refuse(path, "verify audit/report.json --ledger old-budget", 4, "rolled back");
}

#[test]
fn damaged_and_foreign_files_are_refused_by_name() {
    let folder = released();
    let path = folder.path();
    std::fs::write(path.join("empty"), "").unwrap();
    std::fs::write(path.join("words.md"), "---\nlicense: mit\n---\nwords").unwrap();
    std::fs::write(path.join("other.json"), "{\"a\": [1, 2").unwrap();
    std::fs::write(path.join("page.html"), "<!DOCTYPE html><title>x</title>").unwrap();
    let head = std::fs::read(path.join("head.safetensors")).unwrap();
    std::fs::write(path.join("cut.safetensors"), &head[..head.len() - 8]).unwrap();
    let ledger = std::fs::read(path.join("budget")).unwrap();
    std::fs::write(path.join("cut-ledger"), &ledger[..ledger.len() / 2]).unwrap();
    let all = "verify empty words.md other.json page.html cut.safetensors absent";
    refuse(path, all, 1, "empty");
    let rows: Value = serde_json::from_slice(&run(path, &format!("--json {all}")).stdout).unwrap();
    assert!(rows.as_array().unwrap().iter().all(|row| row["status"] == "fail"), "{rows}");
    refuse(path, "verify cut-ledger", 4, "cut-ledger");
    refuse(path, "verify", 2, "FILE");
}

#[test]
fn a_model_card_comes_with_the_head_and_replaces_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    std::fs::write(path.join("head.README.md"), "my notes").unwrap();
    let untouched = succeed(path, "--json ledger show --ledger budget");
    refuse(path, &finetune("1", "f.safetensors", "head.safetensors"), 1, "head.README.md");
    assert_eq!(
        succeed(path, "--json ledger show --ledger budget"),
        untouched,
        "it was noticed before anything was paid"
    );
    assert_eq!(std::fs::read_to_string(path.join("head.README.md")).unwrap(), "my notes");
    std::fs::remove_file(path.join("head.README.md")).unwrap();

    let released = succeed(path, &finetune("1", "f.safetensors", "head.safetensors"));
    assert_eq!(released["card"], "head.README.md");
    let card = std::fs::read_to_string(path.join("head.README.md")).unwrap();
    assert!(
        card.starts_with("---\nlibrary_name: cryptotl\n")
            && card.contains(released["sentence"].as_str().unwrap())
    );
    // A repeated run writes the same card again, and a new one replaces it.
    succeed(path, &finetune("1", "f.safetensors", "head.safetensors"));
    assert_eq!(std::fs::read_to_string(path.join("head.README.md")).unwrap(), card);
    succeed(path, &finetune("0.5", "f.safetensors", "head.safetensors"));
    assert_ne!(std::fs::read_to_string(path.join("head.README.md")).unwrap(), card);
    // What somebody added to it stays.
    edit(&path.join("head.README.md"), "## Limits", "## Ours\n\nwords\n\n## Limits");
    refuse(path, &finetune("0.25", "f.safetensors", "head.safetensors"), 1, "move it away");
    let rows = succeed(path, "--json verify head.README.md head.safetensors --ledger budget");
    let found = checks(&rows, "head.README.md");
    assert!(found.contains(&("words".to_owned(), "not assessed".to_owned())), "{found:?}");
    assert!(found.contains(&("head".to_owned(), "pass".to_owned())), "{found:?}");
}

//! `verify`: what holds, what does not, and the exit codes of the contract.

use std::path::Path;

use serde_json::Value;

use crate::common::main_job;
use crate::common::steps::{finetune, prepare};
use crate::common::{refuse, run, succeed};

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
                 lower.public.safetensors job.plan audit/report.md audit/registry.yaml policy.toml";
    let rows = succeed(path, &format!("--json verify {files}"));
    for file in files.split_whitespace() {
        let is_report = ["audit/report.json", "audit/report.html"].contains(&file);
        for (check, status) in checks(&rows, file) {
            let is_told = is_report && check == "fields" && status == "not assessed";
            assert!(status == "pass" || is_told, "{file}: {check} {status}");
        }
    }
    // Of the report only what no file says is not assessed.
    let told = rows[2]["checks"].as_array().unwrap().iter().filter(|c| c["status"] == "not assessed");
    let told: Vec<&str> = told.map(|c| c["detail"].as_str().unwrap().split(':').next().unwrap()).collect();
    assert_eq!(told, ["reproduction.files", "identity.tool_version"]);
    let kinds: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    let expected =
        ["head", "model-card", "report", "report-page", "ledger", "lower-network", "public-model", "plan"];
    assert_eq!(kinds, [&expected[..], &["report-markdown", "registry-entry", "policy"]].concat());
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
    refuse(path, "verify altered.json", 1, "verdict is \"not falsified\" and not \"not assessed\"");
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
    refuse(path, "verify altered.safetensors --ledger budget", 1, "altered after its release");
    edit(&path.join("head.README.md"), "unit: record", "unit: person:9");
    refuse(path, "verify head.README.md head.safetensors", 1, "edited since it was written");
    let rows = run(path, "--json verify head.README.md head.safetensors").stdout;
    assert!(String::from_utf8_lossy(&rows).contains("its unit is not the head's"));
}

#[test]
fn a_forged_report_is_found_out_by_the_files_that_it_is_about() {
    let folder = released();
    let path = folder.path();
    // The report is as of its own entry, whatever came later.
    succeed(path, &finetune("0.5", "f.safetensors", "second.safetensors"));
    std::fs::write(path.join("raised.toml"), main_job::POLICY.replace("3.0", "4.0")).unwrap();
    succeed(path, "--json ledger amend --ledger budget --policy raised.toml --reason board");
    let files = "head.safetensors lower.public.safetensors --ledger budget";
    succeed(path, &format!("--json verify audit/report.json audit/report.html {files}"));
    let original = std::fs::read_to_string(path.join("audit/report.json")).unwrap();
    let report: Value = serde_json::from_str(&original).unwrap();
    let hazards = report["hazards"].as_array().unwrap();
    let warns = hazards.iter().position(|hazard| hazard["status"] == "warn").unwrap();
    let other: Vec<(String, Value)> = [
        (format!("/hazards/{warns}/status"), "pass".into()),
        ("/hazards".to_owned(), Value::Array(hazards[1..].to_vec())),
        ("/budget/epsilon_cap".to_owned(), 4.0.into()),
        ("/budget/rho_remaining".to_owned(), "1".into()),
        ("/budget/policy".to_owned(), "strict".into()),
        ("/budget/epsilon_affordable".to_owned(), 0.1.into()),
        ("/dataset/public_size".to_owned(), 3000.into()),
        ("/product/labels".to_owned(), serde_json::json!(["no", "no"])),
        ("/product/weights".to_owned(), 3.into()),
        ("/product/backbone/sources/0/name".to_owned(), "others".into()),
        ("/input_privacy/security_basis".to_owned(), "256 bits".into()),
        ("/setting/both_parties_in_one_process".to_owned(), false.into()),
        ("/scope/unprotected/0".to_owned(), "nothing".into()),
    ]
    .into();
    for (pointer, value) in other {
        let mut altered = report.clone();
        *altered.pointer_mut(&pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        std::fs::write(path.join("altered.json"), altered.to_string()).unwrap();
        let field = pointer[1..].split('/').next().unwrap();
        refuse(path, &format!("verify altered.json {files}"), 1, &format!("fields: {field}"));
        // A version that never was is no way around.
        altered["identity"]["tool_version"] = "0.0.9".into();
        std::fs::write(path.join("altered.json"), altered.to_string()).unwrap();
        let output = run(path, &format!("verify altered.json {files}"));
        let told = String::from_utf8_lossy(&output.stdout).contains("cryptotl 0.0.9 wrote it");
        let is_words = ["/hazards", "/scope/unprotected/0"].contains(&pointer.as_str());
        assert_eq!((output.status.code(), told), (Some(i32::from(!is_words)), true), "{pointer}");
    }
    // The other renderings are those of the report, to the last word.
    for (file, from, to) in
        [("report.md", "does not learn", "learns"), ("registry.yaml", "Record-level", "User-level")]
    {
        edit(&path.join("audit").join(file), from, to);
        refuse(path, &format!("verify audit/report.json audit/{file}"), 1, "does not show");
        let alone = succeed(path, &format!("--json verify audit/{file}"));
        assert_eq!(alone[0]["status"], "not assessed");
    }
}

#[test]
fn a_card_whose_prose_was_changed_fails_even_with_its_digest_made_right() {
    let folder = released();
    let path = folder.path();
    let (card, original) = (path.join("head.README.md"), path.join("original.md"));
    std::fs::copy(&card, &original).unwrap();
    let edited = |from: &str, to: &str| {
        std::fs::copy(&original, &card).unwrap();
        edit(&card, from, to);
        let text = std::fs::read_to_string(&card).unwrap();
        let line = text.lines().find(|line| line.starts_with("  digest: ")).unwrap().to_owned();
        (text, line.trim_start_matches("  digest: ").trim_matches('"').to_owned())
    };
    let with_its_digest = |text: &str, stated: &str| {
        let zeros = text.replacen(stated, &"0".repeat(64), 1);
        text.replacen(stated, &cryptotl_model::Digest::of(zeros.as_bytes()).to_string(), 1)
    };
    let all = "verify head.README.md head.safetensors lower.public.safetensors --ledger budget";
    succeed(path, &format!("--json {all}"));
    for (from, to) in [("exp(1", "exp(0.1"), ("## Limits", "## Ours\n\nwords\n\n## Limits")] {
        let (text, stated) = edited(from, to);
        refuse(path, all, 1, "edited since it was written");
        std::fs::write(&card, with_its_digest(&text, &stated)).unwrap();
        refuse(path, all, 1, "not those that cryptotl writes");
        refuse(path, "verify head.README.md head.safetensors", 1, "not those that cryptotl writes");
        // What another version wrote cannot be compared with what it would have written.
        let other = text.replacen("tool_version: \"0.1.0\"", "tool_version: \"0.0.9\"", 1);
        assert_ne!(other, text);
        std::fs::write(&card, with_its_digest(&other, &stated)).unwrap();
        let rows = succeed(path, &format!("--json {all}"));
        let found = checks(&rows, "head.README.md");
        assert!(found.contains(&("words".to_owned(), "not assessed".to_owned())), "{found:?}");
    }
}

#[test]
fn a_validation_that_was_paid_for_is_in_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    succeed(path, &finetune("1", "f.safetensors", "head"));
    succeed(path, &finetune("1", "f.safetensors", "other"));
    succeed(
        path,
        "--json validate --head head --features f.safetensors --ledger budget --epsilon 1 --run spring --output v.json \
         --assume-independent-encryption-errors",
    );
    let audit = "audit --no-attack --head head --ledger budget --output audit";
    let report = succeed(path, &format!("--json {audit} --validation v.json"));
    let validation = &report["utility"]["validation"];
    let share = |field: &str| validation[field]["value"].as_f64().unwrap();
    assert!(share("accuracy") > share("majority"), "{validation}");
    assert!(validation["labels"][1]["accuracy"]["low"].is_number(), "{validation}");
    let judged = report["hazards"].as_array().unwrap().iter().find(|hazard| {
        hazard["evidence"].as_str().unwrap().contains("always saying the most frequent label")
    });
    assert_eq!(judged.unwrap()["status"], "pass", "{judged:?}");
    // The runs have their names in report and ledger.
    let page = std::fs::read_to_string(path.join("audit/report.html")).unwrap();
    assert!(page.contains("validation, run spring") && page.contains("run head"));
    let shown = run(path, "ledger show --ledger budget").stdout;
    assert!(String::from_utf8_lossy(&shown).contains("validation, run spring"));

    let files = "verify audit/report.json head v.json --ledger budget";
    succeed(path, &format!("--json {files}"));
    let original = std::fs::read_to_string(path.join("audit/report.json")).unwrap();
    let mut altered: Value = serde_json::from_str(&original).unwrap();
    altered["utility"]["validation"]["labels"][0]["accuracy"]["value"] = 0.99.into();
    std::fs::write(path.join("audit/report.json"), altered.to_string()).unwrap();
    refuse(path, files, 1, "utility.validation.labels.0.accuracy.value");

    // Another head's, another's figures, and another ledger's are refused.
    refuse(
        path,
        &format!("{audit} --validation v.json").replace("--head head", "--head other"),
        1,
        "validation of the head",
    );
    let text = std::fs::read_to_string(path.join("v.json")).unwrap();
    std::fs::write(path.join("w.json"), text.replacen("\"noise\": ", "\"noise\": 1", 1)).unwrap();
    refuse(path, &format!("{audit} --validation w.json"), 1, "w.json");
    std::fs::write(path.join("w.json"), text.clone() + "\n").unwrap();
    refuse(path, &format!("{audit} --validation w.json"), 1, "another release");
    refuse(path, &format!("{audit} --validation policy.toml"), 1, "policy.toml");
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
    refuse(path, &finetune("0.25", "f.safetensors", "head.safetensors"), 1, "move the file away");
    let rows = run(path, "--json verify head.README.md head.safetensors --ledger budget").stdout;
    let found = checks(&serde_json::from_slice(&rows).unwrap(), "head.README.md");
    assert!(found.contains(&("words".to_owned(), "fail".to_owned())), "{found:?}");
    assert!(found.contains(&("head".to_owned(), "pass".to_owned())), "{found:?}");
}

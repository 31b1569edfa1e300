//! Every method from the command line to a labeled record and a report, and a head from before methods had names.

use std::path::Path;
use std::process::Stdio;

use crate::common;
use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::{command, run, succeed};

fn finetune(method: &str, epsilon: &str) -> String {
    format!(
        "--json finetune --features private.safetensors --model lower.public.safetensors --ledger budget \
         --inputs embedding --epsilon {epsilon} --method {method} --output {method}.head"
    )
}

/// A folder with a model, private records and a ledger of theirs.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("model.toml"), CONFIG).unwrap();
    std::fs::write(path.join("policy.toml"), POLICY).unwrap();
    records(400, 1).write(&path.join("source.safetensors")).unwrap();
    records(300, 2).write(&path.join("private.safetensors")).unwrap();
    succeed(
        path,
        "--json pretrain --config model.toml --source source.safetensors --output lower.safetensors",
    );
    succeed(
        path,
        "--json ledger init --ledger budget --policy policy.toml --population people --public-size 300",
    );
    folder
}

#[test]
fn every_method_is_charged_labels_records_and_is_audited() {
    let folder = prepared();
    let path = folder.path();
    let truth = records(300, 2).labels.unwrap();
    for method in ["auto", "dp-fc", "dp-gd", "objective-perturbation", "output-perturbation", "dp-sgd"] {
        let spent =
            || succeed(path, "--json ledger show --ledger budget")["rho_spent"].as_str().unwrap().to_owned();
        let before: f64 = spent().parse().unwrap();
        let released = succeed(path, &finetune(method, "0.5"));
        if method == "dp-fc" {
            assert_eq!(released["replayed"], true, "auto took it, and the same run is free");
        } else {
            let ran = if method == "auto" { "dp-fc" } else { method };
            assert_eq!(
                (released["method"].as_str(), released["replayed"].as_bool()),
                (Some(ran), Some(false))
            );
            let rho: f64 = released["guarantee"]["rho"].as_str().unwrap().parse().unwrap();
            let after: f64 = spent().parse().unwrap();
            assert!((after - before - rho).abs() < 1e-12, "{method}");
            assert!(released["guarantee"]["epsilon"].as_f64().unwrap() <= 0.5);
        }
        let labels = run(path, &format!("classify --head {method}.head --input private.safetensors"));
        let lines = String::from_utf8(labels.stdout).unwrap();
        let right = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .zip(&truth)
            .filter(|(line, truth)| (line["label"] == "yes") == (**truth == 1))
            .count();
        assert!(right > 200, "{method}: {right} of 300");
        let audit =
            format!("--json audit --head {method}.head --ledger budget --output {method}.audit --no-attack");
        let report = succeed(path, &audit);
        assert!(report["mechanism"]["event"].is_object(), "{method}");
        let reason = &report["attack"]["not_assessed"];
        assert!(reason.as_str().unwrap().contains("no attack was asked for"), "{method}: {reason}");
        let hazards = report["hazards"].as_array().unwrap();
        assert!(hazards.iter().any(|h| h["status"] == "not assessed" && h["evidence"] == *reason));
        let attacked = succeed(path, &audit.replace("--no-attack", "--runs 16"));
        let claim = &attacked["attack"]["claim"];
        assert_eq!(claim["method"], if method == "auto" { "dp-fc" } else { method });
        let family = match method {
            "dp-sgd" => "sampled-gaussian",
            "objective-perturbation" => "zcdp",
            _ => "gaussian-dp",
        };
        assert_eq!(claim["losses"]["family"], family, "{method}");
        // So few trainings find no control out, or with luck a mechanism's most visible one.
        assert_ne!(attacked["verdict"], "falsified", "{method}");
        succeed(path, &format!("--json ledger verify --ledger budget --witness {method}.head"));
    }
}

#[test]
fn methods_that_a_ledger_cannot_count_are_refused_before_anything_is_charged() {
    let folder = prepared();
    let path = folder.path();
    std::fs::write(path.join("gdp.toml"), format!("{POLICY}accountant = \"gdp\"\n")).unwrap();
    succeed(
        path,
        "--json ledger init --ledger exact --policy gdp.toml --population people --public-size 300",
    );
    let with = |method: &str| finetune(method, "0.5").replace("--ledger budget", "--ledger exact");
    for method in ["objective-perturbation", "output-perturbation", "dp-sgd"] {
        let refused = run(path, &with(method));
        assert!(!refused.status.success(), "{method}");
        assert!(!path.join(format!("{method}.head")).exists());
    }
    let refused = run(path, &(finetune("objective-perturbation", "0.5") + " --slack 0.1"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("takes no slack"));
    let entries = |ledger: &str| {
        let shown = succeed(path, &format!("--json ledger show --ledger {ledger}"));
        shown["entries"].as_array().unwrap().len()
    };
    assert_eq!((entries("exact"), entries("budget")), (1, 1));
    succeed(path, &with("dp-gd"));
}

#[test]
fn a_search_and_a_validation_are_charged_once_and_go_on_where_they_broke_off() {
    let folder = prepared();
    let path = folder.path();
    records(200, 3).write(&path.join("held-out.safetensors")).unwrap();
    let shown = || succeed(path, "--json ledger show --ledger budget");
    let kinds = |kind: &str| {
        shown()["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).count()
    };
    let tune = |validation: &str, rest: &str| {
        format!(
            "--json tune --features private.safetensors --validation {validation} --model lower.public.safetensors \
             --ledger budget --inputs embedding --methods dp-fc,dp-gd --output chosen.head {rest}"
        )
    };
    // A search that the ledger cannot pay for as a whole is refused before anything is charged.
    let refused = run(path, &tune("held-out.safetensors", "--epsilon 2.5"));
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert_eq!((kinds("charge"), kinds("release")), (0, 0));
    // What is no records file is found out when the heads are trained and released already.
    let mut piped = command(path, &tune("/dev/stdin", "--epsilon 2"));
    piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let broken = piped.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(broken.status.code(), Some(1), "{}", String::from_utf8_lossy(&broken.stderr));
    assert_eq!((kinds("charge"), kinds("release")), (3, 2));
    // The whole cannot be paid for again, and what is left of it can.
    assert!(shown()["epsilon_affordable"].as_f64().unwrap() < 2.0);
    let tuned = succeed(path, &tune("held-out.safetensors", "--epsilon 2"));
    assert_eq!((kinds("charge"), kinds("release")), (4, 3));
    assert_eq!((&tuned["replayed"], tuned["candidates"].as_array().unwrap().len()), (&false.into(), 2));
    assert!(tuned["epsilon"].as_f64().unwrap() <= 2.0);
    let chosen = &tuned["candidates"][tuned["chosen"].as_u64().unwrap() as usize];
    assert!(
        tuned["candidates"].as_array().unwrap().iter().all(|c| c["lead"].as_f64() <= chosen["lead"].as_f64())
    );
    let again = succeed(path, &tune("held-out.safetensors", "--epsilon 2"));
    assert_eq!((&again["replayed"], &again["digest"], kinds("charge")), (&true.into(), &tuned["digest"], 4));
    succeed(path, "--json ledger verify --ledger budget --witness chosen.head");

    let validate = "--json validate --head chosen.head --features held-out.safetensors --ledger budget --epsilon 0.4 \
                    --output validation.json";
    let figures = succeed(path, validate);
    let cells = figures["confusion"]["cells"].as_array().unwrap();
    assert_eq!((cells.len(), cells[0].as_array().unwrap().len()), (2, 2));
    assert!(figures["guarantee"]["epsilon"].as_f64().unwrap() <= 0.4);
    assert_eq!((&figures["replayed"], kinds("charge"), kinds("release")), (&false.into(), 5, 4));
    let again = succeed(path, validate);
    assert_eq!(
        (&again["replayed"], &again["confusion"], kinds("charge")),
        (&true.into(), &figures["confusion"], 5)
    );
    let file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("validation.json")).unwrap()).unwrap();
    assert_eq!(file["format"], "cryptotl-validation");
    assert_eq!(file["confusion"], figures["confusion"]);
}

#[test]
fn a_head_from_before_methods_had_names_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("cmd/stages.in");
    let output = run(&fixtures, "classify --head early-head.safetensors --input features.safetensors");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() > 10 && lines.lines().all(|line| line.contains("\"score\"")));
    let bytes = std::fs::read(fixtures.join("early-head.safetensors")).unwrap();
    // The description names the method as well, further in; the header's own field comes before the encryption's.
    let header = String::from_utf8_lossy(&bytes[..bytes.len().min(700)]).into_owned();
    let (labels, encryption) = (header.find("label_names").unwrap(), header.find("encryption").unwrap());
    assert!(!header[labels..encryption].contains("method"), "the fixture is an early one");
}

/// The prepared folder with a ledger under this accountant, limit and exponent of delta.
fn under(accountant: &str, limit: &str, exponent: &str) -> tempfile::TempDir {
    let folder = prepared();
    std::fs::remove_file(folder.path().join("budget")).unwrap();
    let policy = POLICY
        .replace("epsilon_per_release_max = 2.0", &format!("epsilon_per_release_max = {limit}"))
        .replace("exponent = 1.1", &format!("exponent = {exponent}"));
    let policy = format!("{policy}accountant = \"{accountant}\"\n");
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    folder
}

const INIT: &str =
    "--json ledger init --ledger budget --policy policy.toml --population people --public-size 300";

#[test]
fn a_request_above_the_policys_limit_is_refused_for_that_by_every_verb() {
    for accountant in ["gdp", "zcdp"] {
        let folder = under(accountant, "1.0", "2");
        let path = folder.path();
        succeed(path, INIT);
        let head = succeed(path, &finetune("dp-fc", "1"));
        let before = std::fs::read(path.join("budget")).unwrap();
        let reason = "the policy allows at most epsilon 1 for one release";
        for epsilon in ["1.1", "30", "100", "700", "1e6", "1e9"] {
            common::refuse(path, &finetune("dp-fc", epsilon), 3, reason);
            let validate = format!(
                "validate --head dp-fc.head --features private.safetensors --ledger budget --epsilon {epsilon}"
            );
            // Counts are not what Gaussian DP takes, but the limit comes first.
            common::refuse(path, &validate, 3, if accountant == "zcdp" { reason } else { "refuses" });
            common::refuse(
                path,
                &format!(
                    "tune --features private.safetensors --validation private.safetensors --inputs embedding \
                     --model lower.public.safetensors --ledger budget --epsilon {epsilon} --output tuned.head"
                ),
                3,
                "the ledger refuses",
            );
        }
        assert_eq!(std::fs::read(path.join("budget")).unwrap(), before, "a refusal costs nothing");
        // What was run before is free, whatever the terms are by now.
        let lower =
            std::fs::read_to_string(path.join("policy.toml")).unwrap().replace("max = 1.0", "max = 0.1");
        std::fs::write(path.join("lower.toml"), lower).unwrap();
        succeed(path, "--json ledger amend --ledger budget --policy lower.toml --reason less");
        let again = succeed(path, &finetune("dp-fc", "1"));
        assert_eq!((&again["replayed"], &again["digest"]), (&true.into(), &head["digest"]));
    }
}

#[test]
fn a_delta_that_is_large_for_the_population_is_told_everywhere() {
    for (exponent, is_large) in [("1.1", true), ("2", false)] {
        let folder = under("gdp", "2.0", exponent);
        let path = folder.path();
        let made = run(path, INIT);
        let words = String::from_utf8(made.stderr).unwrap();
        assert_eq!(words.starts_with("warning: delta "), is_large, "{words}");
        let status: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let mass = status["delta_mass"].as_f64().unwrap();
        assert_eq!(
            (mass > 0.1, status["warnings"].as_array().unwrap().len()),
            (is_large, usize::from(is_large))
        );
        succeed(path, &finetune("dp-fc", "1"));
        let card = std::fs::read_to_string(path.join("dp-fc.head.README.md")).unwrap();
        assert_eq!(card.contains("Delta is large for this population"), is_large, "{card}");
        assert!(card.contains("at delta 1e-6"), "{card}");
        succeed(path, "--json audit --no-attack --head dp-fc.head --ledger budget --output report");
        let report = std::fs::read(path.join("report/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let hazards = report["hazards"].as_array().unwrap();
        let hazard = hazards.iter().find(|h| h["hazard"].as_str().unwrap().contains("delta small")).unwrap();
        assert_eq!(hazard["status"], if is_large { "warn" } else { "pass" });
        assert_eq!(report["budget"]["delta_mass"].as_f64(), Some(mass));
        let page = std::fs::read_to_string(path.join("report/report.html")).unwrap();
        assert!(page.contains("At a delta of 1e-6 the same head has epsilon "));
    }
}

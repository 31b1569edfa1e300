//! What a promise rests on, and whose budget pays: told, recorded, and refused before the charge where it does not hold.

use std::path::Path;

use crate::common::steps::{finetune, prepare};
use crate::common::{command, refuse, run, succeed};
use cryptotl_model::{HeadInputs, PublicModel, Records};

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    folder
}

fn altered(path: &Path, from: &str, to: &str, alter: impl FnOnce(&mut Records)) {
    let mut records = Records::read(&path.join(from)).unwrap();
    alter(&mut records);
    records.write(&path.join(to)).unwrap();
}

fn shown(path: &Path) -> serde_json::Value {
    succeed(path, "--json ledger show --ledger budget")
}

const EVALUATOR: &str = "evaluator-followed-protocol";
const ERRORS: &str = "independent-encryption-errors";

#[test]
fn records_of_another_population_are_never_paid_for() {
    let folder = prepared();
    let path = folder.path();
    let untouched = shown(path);
    altered(path, "f.safetensors", "other", |records| records.header.population = Some("others".into()));
    altered(path, "f.safetensors", "own", |records| records.header.population = Some("people".into()));
    let tune = |features: &str, validation: &str| {
        format!(
            "--json tune --features {features} --validation {validation} --model lower.public.safetensors --ledger budget \
             --epsilon 1 --inputs embedding --methods dp-fc,dp-gd --output t"
        )
    };
    refuse(path, &finetune("1", "other", "h"), 1, "population \"others\"");
    refuse(path, &tune("other", "own"), 1, "population \"others\"");
    refuse(path, &tune("own", "other"), 1, "population \"others\"");
    assert_eq!(shown(path), untouched);
    let own = run(path, &(finetune("0.5", "own", "h") + " --inputs embedding"));
    let released: serde_json::Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(released["records_population"], "people");
    assert!(own.stderr.is_empty(), "{}", String::from_utf8_lossy(&own.stderr));
    let silent = run(path, &(finetune("0.5", "f.safetensors", "h2") + " --inputs embedding"));
    let released: serde_json::Value = serde_json::from_slice(&silent.stdout).unwrap();
    assert!(released["records_population"].is_null());
    assert!(String::from_utf8_lossy(&silent.stderr).contains("warning: "));
    let before = shown(path);
    let validate = "--json validate --head h --ledger budget --epsilon 0.2 --features";
    refuse(path, &format!("{validate} other"), 1, "population \"others\"");
    assert_eq!(shown(path), before);
    assert_eq!(succeed(path, &format!("{validate} own"))["records_population"], "people");
    // It is carried on to the features.
    altered(path, "private.safetensors", "p", |records| records.header.population = Some("people".into()));
    succeed(path, "--json extract --model lower.safetensors --input p --output pf");
    assert_eq!(Records::read(&path.join("pf")).unwrap().header.population.as_deref(), Some("people"));
}

#[test]
fn a_head_says_what_its_promise_rests_on() {
    let folder = prepared();
    let path = folder.path();
    succeed(
        path,
        "--json extract --model lower.safetensors --input private.safetensors --output own.features --packing latency",
    );
    let evaluated = |records: &mut Records, by: &str| {
        records.header.extraction.as_mut().unwrap().evaluator = by.to_owned();
    };
    altered(path, "own.features", "latency", |records| evaluated(records, "another party"));
    altered(path, "f.safetensors", "bulk", |records| evaluated(records, "another party"));
    altered(path, "own.features", "by-count", |records| {
        records.header.extraction.as_mut().unwrap().packing_by_count = true;
    });
    altered(path, "own.features", "early", |records| {
        records.header.extraction.as_mut().unwrap().coupling = None;
    });
    for (features, inputs, expected) in [
        ("own.features", "features", vec![]),
        ("f.safetensors", "features", vec![ERRORS]),
        ("latency", "features", vec![EVALUATOR]),
        ("latency", "embedding", vec![]),
        ("bulk", "embedding-and-features", vec![EVALUATOR, ERRORS]),
        ("bulk", "embedding", vec![]),
        ("by-count", "features", vec![ERRORS]),
        ("early", "features", vec![ERRORS]),
    ] {
        let head = format!("{features}-{inputs}");
        // A copy of the ledger is an older one to whoever has seen more of it.
        std::fs::copy(path.join("budget"), path.join("own-budget")).unwrap();
        let finetune = finetune("0.5", features, &head).replace("--ledger budget", "--ledger own-budget");
        let mut finetune = command(path, &format!("{finetune} --inputs {inputs}"));
        let output = finetune.env("CRYPTOTL_STATE", path.join(format!("{head}.state"))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let released: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(released["assumptions"], serde_json::json!(expected), "{head}");
        let sentence = released["sentence"].as_str().unwrap();
        assert_eq!(sentence.contains("no assumption about another party"), expected.is_empty(), "{sentence}");
        assert_eq!(sentence.contains("followed the protocol"), expected.contains(&EVALUATOR));
        let card = std::fs::read_to_string(path.join(released["card"].as_str().unwrap())).unwrap();
        assert_eq!(card.contains("followed the protocol"), expected.contains(&EVALUATOR), "{card}");
        let report = succeed(
            path,
            &format!("--json audit --no-attack --head {head} --ledger own-budget --output {head}.audit"),
        );
        assert_eq!(report["sentence"], sentence);
        let hazard = |part: &str| {
            let hazards = report["hazards"].as_array().unwrap();
            hazards.iter().find(|h| h["hazard"].as_str().unwrap().contains(part)).unwrap()["status"].clone()
        };
        let status = if expected.is_empty() { "pass" } else { "warn" };
        assert_eq!(hazard("Are units independent"), status, "{head}");
        if expected.contains(&EVALUATOR) {
            assert_eq!(hazard("who is trusted with the records"), "warn");
        }
        let card = released["card"].as_str().unwrap();
        succeed(path, &format!("--json verify {head} {card} {head}.audit/report.json --ledger own-budget"));
    }
}

#[test]
fn neither_validation_nor_choice_reads_coupled_features_without_the_assumption() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &(finetune("0.5", "f.safetensors", "h") + " --inputs features"));
    let before = shown(path);
    let validate =
        "--json validate --head h --features f.safetensors --ledger budget --epsilon 0.3 --output v";
    let tune = "--json tune --features f.safetensors --validation f.safetensors --model lower.public.safetensors \
                --ledger budget --epsilon 0.5 --inputs embedding,features --output t";
    let flag = "--assume-independent-encryption-errors";
    refuse(path, validate, 1, flag);
    refuse(path, tune, 1, flag);
    assert_eq!(shown(path), before);
    let validated = succeed(path, &format!("{validate} {flag}"));
    assert_eq!(validated["assumptions"], serde_json::json!([ERRORS]));
    assert_eq!(succeed(path, &format!("{tune} {flag}"))["assumptions"], serde_json::json!([ERRORS]));
    let said: Vec<_> = shown(path)["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["description"]["assumes"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(said, [ERRORS; 4]);
    succeed(path, "--json verify v h --ledger budget");
    // A validation that leaves its assumption out is not the one that was paid for.
    let text = std::fs::read_to_string(path.join("v")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["assumptions"] = serde_json::json!([]);
    std::fs::write(path.join("v"), file.to_string()).unwrap();
    refuse(path, "verify v h --ledger budget", 1, "");
    // Heads of embeddings need none of it.
    succeed(path, &(finetune("0.3", "f.safetensors", "e") + " --inputs embedding"));
    let of_embedding = validate.replace("--head h", "--head e").replace("--output v", "");
    assert_eq!(succeed(path, &of_embedding)["assumptions"], serde_json::json!([]));
}

#[test]
fn a_hostile_public_half_is_refused_for_each_table_alike_and_costs_nothing() {
    let folder = prepared();
    let path = folder.path();
    // All of one label, and the same with one record of the other.
    altered(path, "private.safetensors", "d", |records| records.labels = Some(vec![1; 300]));
    altered(path, "d", "d-and-one", |records| records.labels.as_mut().unwrap()[299] = 0);
    let untouched = shown(path);
    let (honest, _) = PublicModel::read(&path.join("lower.public.safetensors")).unwrap();
    for far in [1e7, 1e13, f64::MAX] {
        let mut public = honest.clone();
        let view = public.views.get_mut(&HeadInputs::Embedding).unwrap();
        for statistics in view.ranks.values_mut() {
            *statistics.start.last_mut().unwrap() = far;
        }
        public.write(&path.join("evil")).unwrap();
        for method in ["dp-fc", "dp-gd", "dp-sgd", "objective-perturbation", "output-perturbation"] {
            let [one, two] = ["d", "d-and-one"].map(|features| {
                let command = finetune("0.3", features, "h").replace("lower.public.safetensors", "evil");
                let output = run(path, &format!("{command} --inputs embedding --method {method}"));
                let words = String::from_utf8(output.stderr).unwrap();
                (
                    output.status.code(),
                    words.lines().find(|line| line.starts_with("error")).map(str::to_owned),
                )
            });
            assert_eq!(one, two);
            assert!(one.0 == Some(1) && one.1.unwrap().contains("center of the head"), "{far} {method}");
        }
    }
    assert_eq!(shown(path), untouched);
}

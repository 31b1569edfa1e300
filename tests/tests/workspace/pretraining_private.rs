//! Pretraining on a private source with the real binary: what is charged, released, refused, and what a kill leaves.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::{command, refuse, run, succeed};
use cryptotl_model::PublicModel;

fn shown(folder: &Path) -> serde_json::Value {
    succeed(folder, "--json ledger show --ledger clinic")
}

const TRAIN: &str = "--json pretrain --config model.toml --source source=a.safetensors --ledger clinic";

/// A private source, a configuration and a ledger that has cap 2.5 and allows 2 in one release.
fn prepared(steps: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = format!("{CONFIG}\n[private]\nsteps = {steps}\nmade_up = 500\n");
    std::fs::write(path.join("model.toml"), config).unwrap();
    std::fs::write(path.join("policy.toml"), POLICY.replace("epsilon_cap = 3.0", "epsilon_cap = 2.5"))
        .unwrap();
    records(400, 1).write(&path.join("a.safetensors")).unwrap();
    succeed(path, "ledger init --ledger clinic --policy policy.toml --population clinic --public-size 500");
    folder
}

#[test]
fn both_halves_are_paid_for_carry_the_promise_and_work_downstream() {
    let folder = prepared(10);
    let path = folder.path();
    let trained = succeed(path, &format!("{TRAIN} --epsilon 2 --output m.safetensors"));
    let epsilon = trained["guarantee"]["epsilon"].as_f64().unwrap();
    assert!(epsilon > 1.9 && epsilon <= 2.0, "{epsilon}");
    assert_eq!(trained["replayed"], false);
    for word in ["accuracy", "loss", "records"] {
        assert!(
            trained.as_object().unwrap().keys().all(|key| key == "records_population" || !key.contains(word)),
            "{trained}"
        );
    }
    let public = PublicModel::read(&path.join("m.public.safetensors")).unwrap().0;
    assert_eq!(public.validation_accuracy, None);
    assert!(public.source_privacy.is_some());
    assert_ne!(public.sources[0].records, 400, "the count has DP noise, of a deviation of dozens");

    // The promise is verified offline, with and without the source's ledger.
    let verified = succeed(path, "--json verify m.safetensors m.public.safetensors --ledger clinic");
    let checks = |verified: &serde_json::Value| {
        let checks = verified[1]["checks"].as_array().unwrap().clone();
        let status = |name: &str| {
            checks.iter().find(|c| c["check"] == name).map(|c| c["status"].as_str().unwrap().to_owned())
        };
        (status("source claim"), status("source witness"))
    };
    let words = |word: &str| Some(word.to_owned());
    assert_eq!(checks(&verified), (words("pass"), words("pass")));
    let alone = succeed(path, "--json verify m.safetensors m.public.safetensors");
    assert_eq!(checks(&alone), (words("pass"), words("not assessed")));

    // The data owner's side runs as with any model, under a ledger of its own.
    records(300, 2).write(&path.join("b.safetensors")).unwrap();
    succeed(path, "ledger init --ledger own --policy policy.toml --population ward --public-size 400");
    succeed(path, "extract --model m.safetensors --input b.safetensors --output f.safetensors");
    succeed(
        path,
        "--json finetune --features f.safetensors --model m.public.safetensors --ledger own --epsilon 2 --output head.safetensors",
    );
    succeed(
        path,
        "audit --head head.safetensors --ledger own --model m.public.safetensors --quick --output audit",
    );
    let card = std::fs::read_to_string(path.join("head.README.md")).unwrap();
    assert!(card.contains("trained on a private source too") && card.contains("ledger of clinic"), "{card}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("audit/report.json")).unwrap()).unwrap();
    let backbone = &report["product"]["backbone"];
    let found = backbone.pointer("/assessed/source_privacy").or(backbone.pointer("/source_privacy")).unwrap();
    assert_eq!((found["population"].as_str(), found["epsilon"].as_f64()), (Some("clinic"), Some(epsilon)));
}

#[test]
fn nothing_is_trained_that_is_not_paid_for() {
    let folder = prepared(10);
    let path = folder.path();
    let out = "--output m.safetensors";
    refuse(path, &TRAIN.replace("--ledger clinic", &format!("--epsilon 1 {out}")), 2, "--ledger");
    refuse(path, &format!("{TRAIN} {out}"), 2, "--epsilon");
    refuse(path, &format!("{TRAIN} --epsilon 2.5 {out}"), 3, "at most epsilon 2");
    refuse(path, &format!("{TRAIN} --epsilon nan {out}"), 2, "epsilon");
    refuse(path, &format!("{TRAIN} --epsilon 1 --source b=a.safetensors {out}"), 1, "one file");
    // What would leave something behind that nobody paid for.
    refuse(path, &format!("{TRAIN} --epsilon 1 --checkpoint state {out}"), 2, "--checkpoint");
    refuse(path, &format!("{TRAIN} --epsilon 1 --log log {out}"), 2, "--log");
    refuse(
        path,
        &TRAIN.replace("--ledger clinic", &format!("--ledger absent --epsilon 1 {out}")),
        4,
        "absent",
    );
    std::fs::write(path.join("persons.toml"), POLICY.replace("\"record\"", "\"person:2\"")).unwrap();
    succeed(path, "ledger init --ledger persons --policy persons.toml --population p --public-size 500");
    refuse(path, &format!("{} --epsilon 1 {out}", TRAIN.replace("clinic", "persons")), 1, "--unit-column");
    assert_eq!(shown(path)["entries"].as_array().unwrap().len(), 1, "nothing was charged");
    assert!(!path.join("m.safetensors").exists() && !path.join("m.public.safetensors").exists());
    // With persons it runs.
    let mut with_persons = records(400, 1);
    with_persons.persons = Some((0..400).map(|i| (i % 50 != 0).then_some(i % 150)).collect());
    with_persons.write(&path.join("a.safetensors")).unwrap();
    let trained = succeed(path, &format!("{} --epsilon 1 {out}", TRAIN.replace("clinic", "persons")));
    assert_eq!(trained["guarantee"]["unit"], "person:2");
}

#[test]
fn a_repeated_run_gives_the_same_model_at_no_charge() {
    let folder = prepared(10);
    let path = folder.path();
    let halves = |name: &str| {
        ["safetensors", "public.safetensors"]
            .map(|end| std::fs::read(path.join(format!("{name}.{end}"))).unwrap())
    };
    succeed(path, &format!("{TRAIN} --epsilon 1.5 --output m.safetensors"));
    let spent = shown(path);
    // As after a kill between the record and the publication: the files are not there, or are others.
    let first = halves("m");
    std::fs::remove_file(path.join("m.safetensors")).unwrap();
    std::fs::write(path.join("m.public.safetensors"), b"").unwrap();
    // The source may have changed: what was released has not.
    records(390, 5).write(&path.join("a.safetensors")).unwrap();
    let again = succeed(path, &format!("{TRAIN} --epsilon 1.5 --output m.safetensors"));
    assert_eq!(again["replayed"], true);
    assert_eq!(halves("m"), first);
    assert_eq!(shown(path), spent);
    // Another name, seed or configuration is another run, which there is no budget for.
    for other in ["--run second", "--seed 9"] {
        refuse(path, &format!("{TRAIN} --epsilon 1.99 {other} --output n.safetensors"), 3, "afford");
    }
}

#[test]
fn the_charge_comes_before_the_records_and_survives_a_kill() {
    let folder = prepared(10_000);
    let path = folder.path();
    let job = format!("{TRAIN} --epsilon 1.9 --output m.safetensors");
    let mut process = command(path, &job).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    let charged = loop {
        let ledger = shown(path);
        if ledger["entries"].as_array().unwrap().len() == 2 {
            break ledger;
        }
        assert!(Instant::now() < patience, "no charge was written");
        assert!(process.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(10));
    };
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(shown(path), charged, "the charge stays, and no release was recorded");
    let left: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["a.safetensors", "clinic", "model.toml", "policy.toml"].contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "no state is left behind: {left:?}");
    // A second run is a second loss, which is more than what is left.
    let left = charged["rho_remaining"].as_str().unwrap().parse::<f64>().unwrap();
    let spent = charged["rho_spent"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(spent > left, "{charged}");
    refuse(path, &job, 3, "afford");
}

#[test]
fn records_do_not_decide_whether_they_are_paid_for() {
    let folder = prepared(10);
    let path = folder.path();
    let job = |run: &str| format!("{TRAIN} --epsilon 0.8 --run {run} --output m.safetensors");
    // A damaged record is no error, and counts as none.
    let mut damaged = records(400, 1);
    damaged.embeddings[[3, 3]] = f32::NAN;
    damaged.write(&path.join("a.safetensors")).unwrap();
    succeed(path, &job("damaged"));
    assert_eq!(shown(path)["entries"].as_array().unwrap().len(), 3);
    // A file whose header is fine and whose records cannot be read was opened only after it was paid for.
    let mut file = std::fs::read(path.join("a.safetensors")).unwrap();
    let id = file.windows(8).position(|window| window == b"record-0").unwrap();
    file[id] = 0xFF;
    std::fs::write(path.join("a.safetensors"), file).unwrap();
    let output = run(path, &job("unreadable"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert_eq!(shown(path)["entries"].as_array().unwrap().len(), 4, "{words}");
}

//! The main job from records to a private head, with real SEAL, real OpenDP, real SQLite and the real
//! binary: what is released, what is refused, and what a killed process leaves.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cryptotl_model::format::{Document, Header};
use cryptotl_model::{Digest, Records};

use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::steps::{finetune, prepare};
use crate::common::{command, refuse, run, succeed};

/// A folder with a model, extracted features and an untouched ledger.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    folder
}

#[test]
fn the_main_job_ends_in_a_head_that_carries_its_guarantee() {
    let folder = prepared();
    let path = folder.path();
    let released = succeed(path, &finetune("2", "f.safetensors", "head.safetensors"));
    let epsilon = released["guarantee"]["epsilon"].as_f64().unwrap();
    assert!(epsilon <= 2.0 && epsilon > 1.99, "{epsilon}");
    let witness =
        (released["witness"]["seq"].as_u64().unwrap(), released["witness"]["hash"].as_str().unwrap());
    succeed(path, &format!("--json ledger verify --ledger budget --seq {} --hash {}", witness.0, witness.1));
    let labels = run(path, "classify --head head.safetensors --input f.safetensors");
    let lines: Vec<serde_json::Value> = String::from_utf8(labels.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 300);
    let truth = records(300, 2).labels.unwrap();
    let right = lines.iter().zip(truth).filter(|(l, t)| (l["label"] == "yes") == (*t == 1)).count();
    assert!(right > 200, "{right} of 300 right: the head has learned nothing");
    assert!(lines.iter().all(|l| (0.5..=1.0).contains(&l["score"].as_f64().unwrap())));
}

#[test]
fn the_audit_report_is_written_from_evidence_and_refuses_a_rolled_back_ledger() {
    let folder = prepared();
    let path = folder.path();
    std::fs::copy(path.join("budget"), path.join("old-budget")).unwrap();
    succeed(path, &finetune("1", "f.safetensors", "head.safetensors"));
    let audit = "--json audit --head head.safetensors --ledger budget --output audit";
    let report = succeed(path, &format!("{audit} --no-attack"));
    assert!(report["target_epsilon"].as_f64().unwrap() <= 1.0);
    assert_eq!(report["target_epsilon"], report["accounted_epsilon"]);
    assert_eq!(report["verdict"], "not assessed", "no attack was run, and the report says so");
    assert!(report["audited_epsilon_lower_bound"].is_null());
    assert!(report["input_privacy"]["security_basis"].as_str().unwrap().contains("128 bits"));
    for missing in ["/attack", "/utility", "/product/backbone", "/input_privacy/certificate"] {
        assert!(report.pointer(missing).unwrap()["not_assessed"].is_string(), "{missing}");
    }
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("audit/report.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    let page = std::fs::read_to_string(path.join("audit/report.html")).unwrap();
    assert!(page.contains(report["sentence"].as_str().unwrap()));
    assert!(
        !page.contains("http") && !page.contains("<script>"),
        "the page asks for nothing and runs nothing"
    );
    for file in ["report.md", "registry.yaml"] {
        let text = std::fs::read_to_string(path.join("audit").join(file)).unwrap();
        assert!(text.contains("people"), "{file}");
    }
    refuse(path, "audit --head head.safetensors --ledger old-budget --output audit2", 4, "rolled back");
    assert!(!path.join("audit2").exists());
}

/// The header of an audit's state file, whatever is in it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct AnyState(serde_json::Map<String, serde_json::Value>);

impl Header for AnyState {
    const KIND: &'static str = "audit-state";
    const VERSION: u32 = 1;
}

#[test]
fn the_attack_comes_close_to_the_claim_goes_on_from_its_state_and_can_say_no() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("2", "f.safetensors", "head"));
    let audit = "--json audit --head head --ledger budget --output audit --runs 800 --state state";
    let report = succeed(path, audit);
    assert_eq!(report["verdict"], "not falsified", "{}", report["attack"]);
    let bound = report["audited_epsilon_lower_bound"].as_f64().unwrap();
    // The DP noise has no seed: so few trainings give bounds near 1.5, with a spread of 0.1. The truth is 1.8.
    assert!(bound > 0.9 && bound < 2.3, "{bound}");
    assert_eq!(report["confidence"], 0.95);
    let controls = report["controls"].as_array().unwrap();
    assert!(controls.iter().all(|control| control["found_out"] == true), "{controls:?}");
    assert_eq!(report["attack"]["completed"], true);
    // Everything is in the state file.
    assert_eq!(succeed(path, audit)["audited_epsilon_lower_bound"].as_f64(), Some(bound));
    refuse(path, &audit.replace("800", "900"), 1, "other settings");
    refuse(path, &format!("{audit} --no-attack"), 2, "cannot be used with");

    // A state in which every guess was right contradicts any claim.
    let file = path.join("state");
    let (mut document, _) = Document::<AnyState>::read(&file).unwrap();
    let names = |view: &str| ["positives", "negatives"].map(|error| format!("{view}.false-{error}"));
    let all = [names("transcript"), names("head")].concat();
    let mut copy = document.header.0.clone();
    copy.remove("kind");
    copy.remove("version");
    let mut altered = Document::new(AnyState(copy));
    for name in ["no-noise", "half-noise", "single.with", "single.without"] {
        altered = altered.with(name, &document.take_matrix(name, &file).unwrap());
    }
    for name in all {
        let errors = document.take_matrix(&name, &file).unwrap();
        altered = altered.with(name, &(errors * 0.0));
    }
    std::fs::write(&file, altered.to_bytes().unwrap()).unwrap();
    refuse(path, audit, 5, "contradicts the claim");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("audit/report.json")).unwrap()).unwrap();
    assert_eq!(written["verdict"], "falsified");
}

#[test]
fn evidence_fills_its_blocks_and_foreign_evidence_is_refused() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("1", "f.safetensors", "head.safetensors"));
    succeed(
        path,
        "--json plan --model lower.safetensors --packing bulk --source source.safetensors --output job.plan",
    );
    succeed(
        path,
        "--json bench privacy --data-is-public --model lower.public.safetensors --train f.safetensors --test f.safetensors \
         --target people --epsilons 1 --seeds 5 --output table.json",
    );
    let audit = "audit --no-attack --head head.safetensors --ledger budget --output audit";
    let evidence = "--model lower.public.safetensors --plan job.plan --policy policy.toml --table table.json";
    let report = succeed(path, &format!("--json {audit} {evidence}"));
    assert_eq!(report["product"]["backbone"]["sources"][0]["name"], "source");
    assert!(report["input_privacy"]["certificate"]["max_error"].as_f64().unwrap() < 1e-3);
    let rows = report["utility"]["rows"].as_array().unwrap();
    let like: Vec<_> = rows.iter().filter(|row| row["is_like_this_head"] == true).collect();
    assert_eq!(like.len(), 1, "{rows:?}");
    assert!(like[0]["half_width"].as_f64().unwrap() > 0.0);
    let policy = report["hazards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|h| h["hazard"].as_str().unwrap().contains("policy"));
    assert_eq!(policy.unwrap()["status"], "pass");

    std::fs::write(path.join("other.toml"), CONFIG.replace("seed = 7", "seed = 8")).unwrap();
    succeed(
        path,
        "--json pretrain --config other.toml --source source.safetensors --output other.safetensors",
    );
    refuse(path, &format!("{audit} --model other.public.safetensors"), 1, "not the model of the head");
    succeed(
        path,
        "--json plan --model other.safetensors --packing bulk --source source.safetensors --output other.plan",
    );
    refuse(path, &format!("{audit} --plan other.plan"), 1, "not a plan of the head's model");
    std::fs::write(path.join("other-policy.toml"), POLICY.replace("3.0", "4.0")).unwrap();
    refuse(path, &format!("{audit} --policy other-policy.toml"), 3, "not that of other-policy.toml");
    let table = std::fs::read_to_string(path.join("table.json")).unwrap();
    std::fs::write(path.join("other.json"), table.replace("people", "others")).unwrap();
    refuse(path, &format!("{audit} --table other.json"), 1, "no row for the target people");
    refuse(path, &format!("{audit} --table policy.toml"), 1, "not a table");
}

#[test]
fn a_head_tells_nothing_that_follows_from_the_number_of_records() {
    let folder = prepared();
    let path = folder.path();
    // Neighbors for which `auto` may choose different packings, each run with a ledger of its own.
    let headers = [(128, "latency", "record-major"), (129, "bulk", "feature-major")].map(|(n, choice, packing)| {
        records(n, 2).write(&path.join("few.safetensors")).unwrap();
        let extracted = succeed(
            path,
            &format!("--json extract --model lower.safetensors --input few.safetensors --output few.features --packing {choice}"),
        );
        assert_eq!(extracted["packing"], packing);
        // `auto` chose, and says so.
        let mut features = Records::read(&path.join("few.features")).unwrap();
        features.header.extraction.as_mut().unwrap().packing_by_count = true;
        features.write(&path.join("few.features")).unwrap();
        // A copy of the ledger is an older one to whoever has seen more of it, or has a head of it.
        std::fs::copy(path.join("budget"), path.join("own-budget")).unwrap();
        for earlier in ["head", "head.README.md"] {
            let _ = std::fs::remove_file(path.join(earlier));
        }
        let finetune = finetune("1", "few.features", "head").replace("--ledger budget", "--ledger own-budget");
        let state = path.join(format!("state-{n}"));
        assert!(command(path, &finetune).env("CRYPTOTL_STATE", state).output().unwrap().status.success());
        let bytes = std::fs::read(path.join("head")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut outer: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let mut own: serde_json::Value =
            serde_json::from_str(outer["__metadata__"]["cryptotl"].as_str().unwrap()).unwrap();
        // The entry's hash depends on the time of the charge.
        assert!(own.as_object_mut().unwrap().remove("witness").is_some());
        outer["__metadata__"]["cryptotl"] = own;
        outer
    });
    assert_eq!(headers[0], headers[1]);
    let audit = succeed(path, "--json audit --head head --ledger own-budget --output audit --no-attack");
    assert!(!audit.to_string().contains("-major"), "the report tells the packing");
    assert!(
        audit["input_privacy"]["certificate"]["not_assessed"].is_string(),
        "the certificate depends on the packing"
    );
}

#[test]
fn a_head_that_was_altered_is_not_the_one_that_was_paid_for() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("1", "f.safetensors", "head"));
    let whole = std::fs::read(path.join("head")).unwrap();
    let (from, to) = (br#"\"no\",\"yes\""#, br#"\"on\",\"yes\""#);
    let at = whole.windows(from.len()).position(|w| w == from).unwrap();
    let altered = [&whole[..at], to, &whole[at + to.len()..]].concat();
    std::fs::write(path.join("altered"), altered).unwrap();
    // The ledger is whole, so this is no code 4.
    refuse(path, "audit --head altered --ledger budget --output audit", 1, "altered after its release");
    refuse(path, "ledger verify --ledger budget --witness altered", 1, "altered after its release");
    assert!(!path.join("audit").exists());
    succeed(path, "--json ledger verify --ledger budget --witness head");
}

#[cfg(unix)]
#[test]
fn features_of_another_model_are_refused_even_when_they_come_through_a_pipe() {
    let folder = prepared();
    let path = folder.path();
    std::fs::write(path.join("other.toml"), CONFIG.replace("seed = 7", "seed = 8")).unwrap();
    succeed(
        path,
        "--json pretrain --config other.toml --source source.safetensors --output other.safetensors",
    );
    let untouched = succeed(path, "--json ledger show --ledger budget");
    let with_other = |features: &str| {
        finetune("1", features, "head").replace("lower.public.safetensors", "other.public.safetensors")
    };
    refuse(path, &with_other("f.safetensors"), 1, "another model");
    assert_eq!(succeed(path, "--json ledger show --ledger budget"), untouched);
    let features = std::fs::read(path.join("f.safetensors")).unwrap();
    let mut piped = command(path, &with_other("/dev/stdin"));
    let piped = piped.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut process = piped.spawn().unwrap();
    let mut pipe = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || pipe.write_all(&features));
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another model"));
    assert!(!path.join("head").exists());
}

#[test]
fn what_the_budget_cannot_pay_for_is_refused_and_says_what_is_left() {
    let folder = prepared();
    let path = folder.path();
    refuse(path, &finetune("2.5", "f.safetensors", "h"), 3, "2");
    succeed(path, &finetune("2", "f.safetensors", "h1"));
    let spent = succeed(path, "--json ledger show --ledger budget");
    refuse(path, &finetune("2", "f.safetensors", "h2"), 3, "afford");
    assert!(!path.join("h2").exists());
    assert_eq!(succeed(path, "--json ledger show --ledger budget"), spent, "a refusal changes nothing");
}

#[test]
fn two_processes_cannot_spend_the_same_remainder() {
    let folder = prepared();
    let path = folder.path();
    let start = |output: &str| {
        command(path, &finetune("2", "f.safetensors", output)).stderr(Stdio::null()).spawn().unwrap()
    };
    let codes: Vec<_> =
        ["h1", "h2", "h3"].map(start).into_iter().map(|mut process| process.wait().unwrap().code()).collect();
    assert_eq!(codes.iter().filter(|c| **c == Some(0)).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| **c == Some(3)).count(), 2, "{codes:?}");
}

#[cfg(unix)]
#[test]
fn the_charge_comes_before_the_data_and_survives_a_kill() {
    let folder = prepared();
    let path = folder.path();
    // A pipe that nobody writes to: the process hangs exactly where it reads the private records.
    let mut process = command(path, &finetune("2", "/dev/stdin", "head"));
    let mut process = process.stdin(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let charged = loop {
        let shown = succeed(path, "--json ledger show --ledger budget");
        if shown["entries"].as_array().unwrap().len() == 2 {
            break shown;
        }
        assert!(Instant::now() < deadline, "no charge was written");
        std::thread::sleep(Duration::from_millis(50));
    };
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!path.join("head").exists());
    let after = succeed(path, "--json ledger show --ledger budget");
    assert_eq!(after, charged, "the charge stays");
    refuse(path, &finetune("2", "f.safetensors", "h2"), 3, "afford");
}

#[test]
fn repeating_a_finished_run_gives_the_same_head_at_no_charge() {
    let folder = prepared();
    let path = folder.path();
    let run = |output: &str, name: &str| {
        finetune("2", "f.safetensors", output).replace(&format!("--run {output}"), name)
    };
    let first = succeed(path, &run("h1", ""));
    let spent = succeed(path, "--json ledger show --ledger budget");
    let again = succeed(path, &run("h2", ""));
    assert_eq!((first["replayed"].as_bool(), again["replayed"].as_bool()), (Some(false), Some(true)));
    assert_eq!(first["digest"], again["digest"]);
    assert!(std::fs::read(path.join("h1")).unwrap() == std::fs::read(path.join("h2")).unwrap());
    assert_eq!(succeed(path, "--json ledger show --ledger budget"), spent);
    // A run of another name is another run, which there is no budget for.
    refuse(path, &run("h3", "--run again"), 3, "afford");
}

#[test]
fn persons_are_protected_with_all_their_records() {
    let folder = prepared();
    let path = folder.path();
    std::fs::write(path.join("persons.toml"), POLICY.replace("\"record\"", "\"person:2\"")).unwrap();
    succeed(
        path,
        "--json ledger init --ledger persons --policy persons.toml --population patients --public-size 100",
    );
    let run = |features: &str, output: &str| {
        finetune("2", features, output).replace("--ledger budget", "--ledger persons")
    };
    refuse(path, &run("f.safetensors", "h"), 1, "--unit-column");
    let mut records = Records::read(&path.join("f.safetensors")).unwrap();
    records.persons = Some((0..records.len() as u32).map(|i| (i % 50 != 0).then_some(i % 90)).collect());
    records.write(&path.join("persons.safetensors")).unwrap();
    let released = succeed(path, &run("persons.safetensors", "h"));
    assert_eq!(released["guarantee"]["unit"], "person:2");
    assert!(released["sentence"].as_str().unwrap().contains("all records of one person"));
    let groups = released["groups"].as_array().unwrap();
    assert_eq!(groups.iter().map(|group| group["size"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 5, 10]);
    assert!(groups[0]["epsilon"].as_f64().unwrap() > 4.0, "a group of two loses four times the rho");
    // The ledger of records cannot pay for a plan that protects persons, nor be made to.
    let amend = "ledger amend --ledger budget --policy persons.toml --reason stronger";
    refuse(path, amend, 1, "person:2");
}

#[test]
fn slack_buys_more_dp_noise_for_the_same_epsilon() {
    let folder = prepared();
    let path = folder.path();
    let scale = |head: &str| {
        let audit = format!("--json audit --head {head} --ledger budget --output audit-{head} --no-attack");
        succeed(path, &audit)["mechanism"]["event"]["scale"].as_f64().unwrap()
    };
    succeed(path, &finetune("1", "f.safetensors", "h1"));
    succeed(path, &(finetune("1", "f.safetensors", "h2") + " --slack 0.5"));
    assert!((scale("h2") / scale("h1") - 2.0).abs() < 1e-6, "the slack is as large as the clipping norm");
    refuse(path, &(finetune("1", "f.safetensors", "h3") + " --slack -1"), 2, "-1");
    refuse(path, &(finetune("1", "f.safetensors", "h3") + " --slack=-1"), 2, "slack");
}

#[test]
fn a_cap_is_raised_by_an_entry_that_everybody_sees() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("2", "f.safetensors", "h1"));
    refuse(path, &finetune("2", "f.safetensors", "h2"), 3, "afford");
    std::fs::write(path.join("raised.toml"), POLICY.replace("3.0", "4.0")).unwrap();
    let amended =
        succeed(path, "--json ledger amend --ledger budget --policy raised.toml --reason board-decision-7");
    assert_eq!(amended["epsilon_cap"].as_f64(), Some(4.0));
    let last = amended["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["kind"].as_str(), last["reason"].as_str()),
        (Some("amendment"), Some("board-decision-7"))
    );
    succeed(path, &finetune("2", "f.safetensors", "h2"));
    succeed(path, "--json ledger verify --ledger budget --witness h1");
    refuse(path, "ledger amend --ledger budget --policy raised.toml --reason again", 1, "already");
}

#[test]
fn bad_records_are_refused_before_they_cost_anything() {
    let folder = prepared();
    let path = folder.path();
    let untouched = succeed(path, "--json ledger show --ledger budget");
    refuse(path, &finetune("1", "private.safetensors", "h"), 1, "server features");
    refuse(path, &finetune("1", "absent.safetensors", "h"), 1, "absent.safetensors");
    refuse(path, &finetune("nan", "f.safetensors", "h"), 2, "epsilon");
    refuse(path, &finetune("1", "f.safetensors", "no/such/folder/h"), 1, "no/such/folder");
    let mut unlabeled = Records::read(&path.join("f.safetensors")).unwrap();
    unlabeled.labels = None;
    unlabeled.write(&path.join("unlabeled.safetensors")).unwrap();
    refuse(path, &finetune("1", "unlabeled.safetensors", "h"), 1, "labels");
    let mut foreign = Records::read(&path.join("f.safetensors")).unwrap();
    foreign.header.encoder.digest = Digest::of(b"other");
    foreign.write(&path.join("foreign.safetensors")).unwrap();
    refuse(path, &finetune("1", "foreign.safetensors", "h"), 1, "encoder");
    let whole = std::fs::read(path.join("f.safetensors")).unwrap();
    std::fs::write(path.join("cut.safetensors"), &whole[..40]).unwrap();
    refuse(path, &finetune("1", "cut.safetensors", "h"), 1, "header");
    let mut nan = records(10, 3);
    nan.embeddings[[4, 2]] = f32::NAN;
    nan.write(&path.join("nan.safetensors")).unwrap();
    refuse(path, "extract --model lower.safetensors --input nan.safetensors --output o", 1, "NaN");
    assert_eq!(succeed(path, "--json ledger show --ledger budget"), untouched);
}

#[test]
fn the_same_seed_gives_the_same_model_files() {
    let folder = prepared();
    let path = folder.path();
    succeed(
        path,
        "--json pretrain --config model.toml --source source.safetensors --output again.safetensors",
    );
    for (first, second) in
        [("lower.safetensors", "again.safetensors"), ("lower.public.safetensors", "again.public.safetensors")]
    {
        let read = |name: &str| std::fs::read(path.join(name)).unwrap();
        assert!(read(first) == read(second), "{first} and {second} differ");
    }
}

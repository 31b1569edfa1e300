//! The protocol as two parties run it: the real binary, one folder each, and only the files that cross.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::parties::{DECRYPT, ENCRYPT, EVALUATE, KEYGEN, PLAN, Parties, send, succeed};
use crate::common::run;
use crate::common::tiny;
use cryptotl_model::Records;
use ndarray::Array2;

fn refuse(folder: &Path, arguments: &str, code: i32, fact: &str) {
    let output = run(folder, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {words}");
    assert!(words.contains(fact), "{arguments}: {words}");
}

/// The checks of one file as (check, status).
fn verified(folder: &Path, files: &str, file: &str) -> Vec<(String, String)> {
    let output = run(folder, &format!("--json verify {files}"));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["file"] == file).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    row["checks"].as_array().unwrap().iter().map(|c| (word(&c["check"]), word(&c["status"]))).collect()
}

#[test]
fn verify_checks_the_files_of_a_job_and_that_they_belong_together() {
    let parties = Parties::new(40, 0.0);
    let (model_owner, data_owner) = parties.folders();
    succeed(data_owner, KEYGEN);
    succeed(data_owner, ENCRYPT);
    send(data_owner, model_owner, "job.keys");
    send(data_owner, model_owner, "job.query");
    succeed(model_owner, EVALUATE);
    send(model_owner, data_owner, "job.response");
    let all = "job.plan job.keys job.query job.response job.secret";
    let output = run(data_owner, &format!("verify {all}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for (file, n_checks) in [("job.keys", 2), ("job.query", 3), ("job.response", 3), ("job.secret", 4)] {
        let checks = verified(data_owner, all, file);
        assert!(checks.len() == n_checks && checks.iter().all(|c| c.1 == "pass"), "{file}: {checks:?}");
        // Without the plan nothing can be read, and without the others nothing compared; neither is a failure.
        let plan = [("plan".to_owned(), "not assessed".to_owned())];
        assert_eq!(verified(data_owner, file, file), plan);
        let alone = verified(data_owner, &format!("job.plan {file}"), file);
        assert!(alone.iter().all(|c| c.1 != "fail") && alone[0].1 == "pass", "{file}: {alone:?}");
    }

    // Damage in each file is seen in that file.
    for file in ["job.keys", "job.query", "job.response", "job.secret"] {
        let mut bytes = std::fs::read(data_owner.join(file)).unwrap();
        let sound = bytes.clone();
        bytes[2000] ^= 1;
        std::fs::write(data_owner.join(file), &bytes).unwrap();
        let checks = verified(data_owner, all, file);
        assert_eq!(checks[0], ("format".to_owned(), "fail".to_owned()), "{file}: {checks:?}");
        refuse(data_owner, &format!("verify {all}"), 1, &format!("{file}: format: "));
        std::fs::write(data_owner.join(file), sound).unwrap();
    }

    // The files of another job of the same plan are sound, and do not belong to these.
    let other = |command: &str| command.replace("job.secret", "b.secret").replace("job.keys", "b.keys");
    succeed(data_owner, &other(KEYGEN));
    succeed(data_owner, &other(ENCRYPT).replace("job.query", "b.query"));
    let checks = verified(data_owner, "job.plan b.query job.keys", "b.query");
    assert_eq!(checks[1], ("keys".to_owned(), "not assessed".to_owned()));
    // A secret key that remembers another query.
    std::fs::copy(data_owner.join("b.secret"), data_owner.join("fresh.secret")).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(data_owner.join("fresh.secret")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 32 - 36 - 4 - 32 - 1).unwrap();
    let checks = verified(data_owner, "job.plan b.query fresh.secret", "fresh.secret");
    assert_eq!(checks[0].1, "pass");
    assert_eq!(checks[2], ("query".to_owned(), "fail".to_owned()));
}

fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn two_parties_get_what_extract_gets_and_hold_nothing_of_each_other() {
    let parties = Parties::new(5000, 0.0);
    let (model_owner, data_owner) = parties.folders();
    let keys = succeed(data_owner, KEYGEN);
    let encrypted = succeed(data_owner, ENCRYPT);
    assert_eq!((&encrypted["rows"], &encrypted["blocks"]), (&5000.into(), &2.into()));
    send(data_owner, model_owner, "job.keys");
    send(data_owner, model_owner, "job.query");
    let evaluated = succeed(model_owner, EVALUATE);
    assert_eq!(evaluated["rows"], 5000);
    send(model_owner, data_owner, "job.response");
    let decrypted = succeed(data_owner, DECRYPT);
    for step in [&encrypted, &evaluated, &decrypted] {
        assert_eq!(step["job"], keys["job"]);
    }
    for (folder, file, bytes) in [
        (data_owner, "job.keys", &keys["key_bytes"]),
        (data_owner, "job.query", &encrypted["bytes_up"]),
        (model_owner, "job.response", &evaluated["bytes_down"]),
    ] {
        assert_eq!(std::fs::metadata(folder.join(file)).unwrap().len(), bytes.as_u64().unwrap(), "{file}");
    }

    let own = ["lower.safetensors", "lower.public.safetensors", "public.safetensors", "job.plan"];
    let crossed = ["job.keys", "job.query", "job.response"];
    let expected: BTreeSet<String> = own.iter().chain(&crossed).map(ToString::to_string).collect();
    assert_eq!(files(model_owner), expected);
    let own = ["records.safetensors", "job.secret", "features.safetensors"];
    let public = ["lower.public.safetensors", "job.plan"];
    let expected: BTreeSet<String> =
        own.iter().chain(&public).chain(&crossed).map(ToString::to_string).collect();
    assert_eq!(files(data_owner), expected);

    let both = tempfile::tempdir().unwrap();
    send(model_owner, both.path(), "lower.safetensors");
    send(model_owner, both.path(), "lower.public.safetensors");
    send(data_owner, both.path(), "records.safetensors");
    succeed(
        both.path(),
        "extract --model lower.safetensors --input records.safetensors --output f.safetensors",
    );
    let [by_files, in_process] = [(data_owner, "features.safetensors"), (both.path(), "f.safetensors")]
        .map(|(folder, file)| Records::read(&folder.join(file)).unwrap());
    assert_eq!((&by_files.ids, &by_files.embeddings), (&in_process.ids, &in_process.embeddings));
    let features = |records: &Records| records.features.as_ref().unwrap().mapv(f64::from);
    // Features are stored in single precision.
    let tolerance = decrypted["tolerance"].as_f64().unwrap() + 1e-6;
    assert!(tolerance < 1e-3, "{tolerance}");
    let within =
        |difference: Array2<f64>, times: f64| difference.iter().all(|d| d.abs() <= times * tolerance);
    assert!(within(features(&by_files) - features(&in_process), 2.0));
    let (model, scaler) = (tiny::lower(0.0), tiny::write_model(both.path(), "again", 0.0).1);
    let scaled = scaler.apply(by_files.embeddings.view()).unwrap();
    assert!(within(features(&by_files) - model.network.forward(scaled.view()).unwrap(), 1.0));

    let [by_files, in_process] = [by_files, in_process].map(|r| r.header.extraction.unwrap());
    assert_eq!((by_files.plan, by_files.public_model), (in_process.plan, in_process.public_model));
    assert_eq!(in_process.evaluator, "in-process");
    assert!(by_files.evaluator.contains("without authentication"), "{}", by_files.evaluator);
}

#[test]
fn record_major_jobs_cross_in_files_too() {
    let parties = Parties::new(70, 0.0);
    let (model_owner, data_owner) = parties.folders();
    succeed(model_owner, &PLAN.replace("bulk", "latency"));
    send(model_owner, data_owner, "job.plan");
    succeed(data_owner, KEYGEN);
    assert_eq!(succeed(data_owner, ENCRYPT)["blocks"], 2, "64 records a block");
    for file in ["job.keys", "job.query"] {
        send(data_owner, model_owner, file);
    }
    succeed(model_owner, EVALUATE);
    send(model_owner, data_owner, "job.response");
    let decrypted = succeed(data_owner, DECRYPT);
    assert_eq!(decrypted["packing"], "record-major");
    let records = Records::read(&data_owner.join("features.safetensors")).unwrap();
    let scaled = tiny::write_model(model_owner, "again", 0.0).1.apply(records.embeddings.view()).unwrap();
    let difference =
        records.features.unwrap().mapv(f64::from) - tiny::lower(0.0).network.forward(scaled.view()).unwrap();
    let tolerance = decrypted["tolerance"].as_f64().unwrap() + 1e-6;
    assert!(difference.iter().all(|d| d.abs() <= tolerance), "{difference}");
}

#[test]
fn a_key_encrypts_once_and_is_never_replaced() {
    let parties = Parties::new(3, 0.0);
    let (_, data_owner) = parties.folders();
    succeed(data_owner, KEYGEN);
    let key = std::fs::read(data_owner.join("job.secret")).unwrap();
    refuse(data_owner, KEYGEN, 1, "job.secret");
    assert_eq!(std::fs::read(data_owner.join("job.secret")).unwrap(), key);
    refuse(data_owner, DECRYPT, 6, "no encryption with it has ended");
    succeed(data_owner, ENCRYPT);
    let query = std::fs::read(data_owner.join("job.query")).unwrap();
    refuse(data_owner, ENCRYPT, 6, "a key serves one job");
    assert!(std::fs::read(data_owner.join("job.query")).unwrap() == query, "the query stays");
}

#[test]
fn no_output_takes_the_place_of_a_secret_key() {
    let parties = Parties::new(3, 0.0);
    let (model_owner, data_owner) = parties.folders();
    refuse(data_owner, "keygen --plan job.plan --secret-key same --keys same", 2, "path of its own");
    succeed(data_owner, KEYGEN);
    let secret = std::fs::read(data_owner.join("job.secret")).unwrap();
    let another = "keygen --plan job.plan --secret-key other.secret --keys job.secret";
    refuse(data_owner, another, 1, "it is a secret key");
    assert!(!data_owner.join("other.secret").exists());
    let as_query = ENCRYPT.replace("--query job.query", "--query job.secret");
    refuse(data_owner, &as_query, 1, "it is job.secret, which this command reads");
    assert_eq!(std::fs::read(data_owner.join("job.secret")).unwrap(), secret, "nor was the key used up");
    succeed(data_owner, ENCRYPT);
    for file in ["job.keys", "job.query"] {
        send(data_owner, model_owner, file);
    }
    succeed(model_owner, EVALUATE);
    send(model_owner, data_owner, "job.response");
    let as_features = DECRYPT.replace("--output features.safetensors", "--output job.secret");
    refuse(data_owner, &as_features, 1, "it is job.secret, which this command reads");
    succeed(data_owner, DECRYPT);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let parties = Parties::new(3, 0.0);
    let (model_owner, data_owner) = parties.folders();
    tiny::write_model(data_owner, "other", 1.0);
    std::fs::remove_file(data_owner.join("other.safetensors")).unwrap();
    succeed(data_owner, KEYGEN);
    let other_model = ENCRYPT.replace("lower.public", "other.public");
    refuse(data_owner, &other_model, 1, "other.public.safetensors is not the model of the plan");
    tiny::records(3, "foreign").write(&data_owner.join("foreign.safetensors")).unwrap();
    refuse(data_owner, &ENCRYPT.replace("records.", "foreign."), 1, "encoder foreign");
    // None of these refusals has used the key up.
    succeed(data_owner, ENCRYPT);
    for file in ["job.keys", "job.query"] {
        send(data_owner, model_owner, file);
    }
    tiny::lower(1.0).write(&model_owner.join("other.safetensors")).unwrap();
    refuse(model_owner, &EVALUATE.replace("lower.", "other."), 1, "job.plan is not a plan of the model");
    succeed(model_owner, EVALUATE);
    send(model_owner, data_owner, "job.response");
    tiny::records(4, "tiny").write(&data_owner.join("more.safetensors")).unwrap();
    refuse(data_owner, &DECRYPT.replace("records.", "more."), 1, "is not the file that was encrypted");
    assert!(!data_owner.join("features.safetensors").exists());
    succeed(data_owner, DECRYPT);
}

#[cfg(unix)]
#[test]
fn a_secret_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let parties = Parties::new(3, 0.0);
    let (_, data_owner) = parties.folders();
    succeed(data_owner, KEYGEN);
    let path = data_owner.join("job.secret");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    refuse(data_owner, ENCRYPT, 6, "chmod 600");
}

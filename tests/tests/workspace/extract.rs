//! `extract` from end to end, with real keys: a tiny model, the real binary.

use crate::common::{self, tiny};

use std::path::Path;
use std::process::{Command, Output};

use cryptotl_model::{LowerModel, Records, Scaler};
use ndarray::Array2;

/// Writes both halves of the model and embeddings of three records.
fn write_all(folder: &Path, encoder: &str) -> (LowerModel, Scaler, Records) {
    let (model, scaler) = tiny::write_model(folder, "tiny", 0.0);
    let records = tiny::records(3, encoder);
    records.write(&folder.join("e.safetensors")).unwrap();
    (model, scaler, records)
}

fn extract(folder: &Path, more: &[&str]) -> Output {
    let arguments = ["extract", "--json", "--model", "tiny.safetensors", "--input", "e.safetensors"];
    Command::new(common::cryptotl())
        .current_dir(folder)
        .args(arguments)
        .args(["--output", "f.safetensors"])
        .args(more)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn features_are_those_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let (model, scaler, records) = write_all(folder.path(), "tiny");
    for (choice, packing) in [("latency", "record-major"), ("bulk", "feature-major")] {
        check(folder.path(), choice, &[packing], &model, &scaler, &records);
    }
    // Which of them takes less time depends on the machine.
    check(folder.path(), "auto", &["record-major", "feature-major"], &model, &scaler, &records);
}

/// Extracts with a packing, checks that it is one of `packings`, and compares with the network in the clear.
fn check(
    folder: &Path,
    choice: &str,
    packings: &[&str],
    model: &LowerModel,
    scaler: &Scaler,
    records: &Records,
) {
    let output = extract(folder, &["--packing", choice]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"], 3);
    assert_eq!(report["parameter_set"], "n8192-q28x6-p34");
    let packing = report["packing"].as_str().unwrap();
    assert!(packings.contains(&packing), "{packing}");
    assert!(report["max_error"].as_f64().unwrap() < 5e-4);
    for count in ["bytes_up", "bytes_down", "key_bytes"] {
        assert!(report[count].as_u64().unwrap() > 0, "{count}");
    }

    let written = Records::read(&folder.join("f.safetensors")).unwrap();
    assert_eq!((&written.ids, &written.embeddings), (&records.ids, &records.embeddings));
    let extraction = written.header.extraction.unwrap();
    assert_eq!(extraction.evaluator, "in-process");
    let coupling = extraction.coupling.unwrap();
    assert_eq!(coupling.moved > 0.0, packing == "feature-major", "only shared ciphertexts couple");
    assert!(coupling.moved < 0.1, "{coupling:?}");
    assert!(extraction.security_basis.contains("128 bits"), "{}", extraction.security_basis);
    let scaled = scaler.apply(records.embeddings.view()).unwrap();
    let difference: Array2<f64> =
        written.features.unwrap().mapv(f64::from) - model.network.forward(scaled.view()).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 5e-4), "{difference}");
}

#[test]
fn each_packing_gives_the_same_features() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), "tiny");
    let [bulk, latency] =
        [("bulk", "feature-major"), ("latency", "record-major")].map(|(choice, packing)| {
            let output = extract(folder.path(), &["--packing", choice, "--parameter-set", "n8192-q30x5-p38"]);
            assert!(output.status.success(), "{}", stderr(&output));
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["packing"], packing);
            Records::read(&folder.path().join("f.safetensors")).unwrap().features.unwrap()
        });
    assert!((bulk - latency).iter().all(|d| d.abs() < 5e-4));
}

#[test]
fn parameters_without_the_security_asked_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), "tiny");
    for (set, basis, reason) in [
        ("n8192-q30x5-p38", "guidelines-2024-quantum", "188 modulus bits"),
        ("n8192-q34-q25x6-p34", "guidelines-2024-classical", "218 modulus bits"),
        ("n8192-q34-q25x6-p34", "he-2018-classical", "more than 30 bits"),
    ] {
        let output = extract(folder.path(), &["--parameter-set", set, "--security", basis]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
    assert!(!folder.path().join("f.safetensors").exists());
}

#[test]
fn a_foreign_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), "tiny");
    tiny::lower(1.0).write(&folder.path().join("tiny.safetensors")).unwrap();
    let output = extract(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("foreign model"), "{}", stderr(&output));
    assert!(!folder.path().join("f.safetensors").exists());
}

#[test]
fn records_of_another_encoder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), "other");
    let output = extract(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("was made with the encoder other"), "{}", stderr(&output));
}

//! `extract` from end to end, with real keys: a tiny model, the real binary.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use cryptotl_model::{
    Digest, EncoderId, Layer, LinearScore, LowerModel, Network, Polynomial, PublicModel, Records,
    RecordsHeader, Scaler,
};
use ndarray::{Array1, Array2, array};

const BOUND: f64 = 4.0;

fn encoder(name: &str) -> EncoderId {
    EncoderId { name: name.to_owned(), digest: Digest::of(name.as_bytes()) }
}

fn lower(bias: f64) -> LowerModel {
    let layers = vec![
        Layer::Dense { weight: array![[0.5, -0.2], [0.1, 0.9], [-0.7, 0.3]], bias: array![0.1, bias, -0.1] },
        Layer::Activation(Polynomial::cubic_relu()),
        Layer::Dense { weight: array![[1.0, -0.5, 0.25], [0.3, 0.4, 0.5]], bias: array![0.2, 0.0] },
    ];
    LowerModel {
        name: "tiny".to_owned(),
        encoder: encoder("tiny"),
        input_bound: BOUND,
        feature_bound: 10.0,
        network: Network::new(2, layers).unwrap(),
    }
}

/// Writes `tiny.safetensors`, its public half and embeddings of three records.
fn write_all(folder: &Path, records_encoder: &str) -> (LowerModel, Scaler, Records) {
    let model = lower(0.0);
    let scaler = Scaler::new(Array1::zeros(2), Array1::from_elem(2, 0.5), BOUND).unwrap();
    let public = PublicModel {
        name: model.name.clone(),
        encoder: model.encoder.clone(),
        lower: model.write(&folder.join("tiny.safetensors")).unwrap(),
        feature_width: 2,
        label_names: vec!["negative".to_owned(), "positive".to_owned()],
        sources: vec![],
        validation_accuracy: 0.5,
        scaler: scaler.clone(),
        zero_shot: LinearScore { weight: Array1::zeros(2), bias: 0.0 },
        views: BTreeMap::new(),
    };
    public.write(&folder.join("tiny.public.safetensors")).unwrap();
    let records = Records {
        header: RecordsHeader { encoder: encoder(records_encoder), label_names: vec![], extraction: None },
        ids: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        embeddings: array![[0.3f32, -0.7], [9.0, 0.1], [0.0, 0.2]],
        features: None,
        labels: None,
        persons: None,
    };
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
    let output = extract(folder.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"], 3);
    assert_eq!(report["parameter_set"], "n8192-q28x6-p34");
    assert_eq!(report["packing"], "feature-major");
    assert!(report["max_error"].as_f64().unwrap() < 5e-4);
    for count in ["bytes_up", "bytes_down", "key_bytes"] {
        assert!(report[count].as_u64().unwrap() > 0, "{count}");
    }

    let written = Records::read(&folder.path().join("f.safetensors")).unwrap();
    assert_eq!((&written.ids, &written.embeddings), (&records.ids, &records.embeddings));
    let extraction = written.header.extraction.unwrap();
    assert_eq!(extraction.evaluator, "in-process");
    assert!(extraction.security_basis.contains("128 bits"), "{}", extraction.security_basis);
    let scaled = scaler.apply(records.embeddings.view()).unwrap();
    let difference: Array2<f64> =
        written.features.unwrap().mapv(f64::from) - model.network.forward(scaled.view()).unwrap();
    assert!(difference.iter().all(|d| d.abs() < 5e-4), "{difference}");
}

#[test]
fn a_foreign_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), "tiny");
    lower(1.0).write(&folder.path().join("tiny.safetensors")).unwrap();
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

//! The files in `cmd/stages.in`, which `cmd/stages.trycmd` gives to every stage: good ones of the present
//! format versions, and bad ones named for their fault. They are kept as they are: a later version of the
//! program has to read, or to refuse, them all.
//!
//! `cargo test --release --workspace --test workspace formats -- --ignored` writes them anew, which only a new format
//! version may ask for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::common::main_job::{CONFIG, POLICY, records};
use cryptotl_model::{Digest, LowerModel, PublicModel, Records};
use ndarray::Array2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cmd/stages.in")
}

#[test]
fn files_of_version_1_are_still_read() {
    let folder = folder();
    let (lower, digest) = LowerModel::read(&folder.join("lower.safetensors")).unwrap();
    let (public, public_digest) = PublicModel::read(&folder.join("lower.public.safetensors")).unwrap();
    assert_eq!(public.lower, digest);
    let private = Records::read(&folder.join("private.safetensors")).unwrap();
    let features = Records::read(&folder.join("features.safetensors")).unwrap();
    assert_eq!(features.header.extraction.as_ref().unwrap().public_model, public_digest);
    assert_eq!((&private.ids, &private.labels), (&features.ids, &features.labels));
    // The features are still those of the network, up to the encryption error.
    let scaled = public.scaler.apply(private.embeddings.view()).unwrap();
    let expected = lower.network.forward(scaled.view()).unwrap();
    let found = features.features.unwrap().mapv(f64::from);
    assert!((found - expected).iter().all(|difference| difference.abs() < 5e-4));
}

#[test]
#[ignore = "writes the files of `cmd/stages.in` anew"]
fn write_the_files_anew() {
    let folder = folder();
    let path = |name: &str| folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(path("model.toml"), CONFIG.trim_start()).unwrap();
    std::fs::write(path("policy.toml"), POLICY.trim_start()).unwrap();
    std::fs::write(path("texts.csv"), "id,text,label\na,good,yes\nb,bad,no\n").unwrap();

    records(200, 1).write(&path("source.safetensors")).unwrap();
    let private = records(60, 2);
    private.write(&path("private.safetensors")).unwrap();
    let run = |arguments: &str| {
        let status = Command::new(common::cryptotl())
            .current_dir(&folder)
            .args(arguments.split_whitespace())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments}");
    };
    run("pretrain --config model.toml --source source.safetensors --output lower.safetensors");
    run("extract --model lower.safetensors --input private.safetensors --output features.safetensors");

    std::fs::write(path("foreign-model.toml"), CONFIG.trim_start().replace("seed = 7", "seed = 8")).unwrap();
    run("pretrain --config foreign-model.toml --source source.safetensors --output foreign.safetensors");
    std::fs::remove_file(path("foreign-model.toml")).unwrap();

    let features = Records::read(&path("features.safetensors")).unwrap();
    let mut unlabeled = features.clone();
    unlabeled.labels = None;
    unlabeled.write(&path("no-labels.safetensors")).unwrap();
    let mut one_label = records(60, 3);
    one_label.labels = Some(vec![1; 60]);
    one_label.write(&path("one-label.safetensors")).unwrap();
    let mut other_encoder = features.clone();
    other_encoder.header.encoder.name = "other".into();
    other_encoder.header.encoder.digest = Digest::of(b"other");
    other_encoder.write(&path("other-encoder.safetensors")).unwrap();
    let mut wide = private.clone();
    wide.embeddings = Array2::from_elem((60, 9), 0.5);
    wide.write(&path("wrong-width.safetensors")).unwrap();
    let mut nan = private.clone();
    nan.embeddings[[4, 2]] = f32::NAN;
    nan.write(&path("nan-embedding.safetensors")).unwrap();
    let empty = private.select(&[]);
    empty.write(&path("no-records.safetensors")).unwrap();
    let whole = std::fs::read(path("features.safetensors")).unwrap();
    std::fs::write(path("truncated.safetensors"), &whole[..whole.len() - 9]).unwrap();
    std::fs::write(path("empty.safetensors"), b"").unwrap();
}

//! The encoder against published vectors, on the real weights that `make assets` fetches.

mod common;

use std::path::Path;
use std::process::Command;

use cryptotl_model::Records;

/// all-MiniLM-L6-v2's embedding of "This is an example sentence", as its model card's code prints it.
const PUBLISHED: [f32; 3] = [0.067_656_85, 0.063_495_9, 0.048_713_13];

#[test]
fn embeddings_are_the_published_ones_whatever_else_is_in_the_batch() {
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/all-MiniLM-L6-v2");
    assert!(encoder.is_dir(), "there is no {}; run `make assets`", encoder.display());
    let folder = tempfile::tempdir().unwrap();
    let lines = ["text", "This is an example sentence", "\u{1F600} emoji", "\"\"", &"long ".repeat(600)];
    std::fs::write(folder.path().join("t.csv"), lines.join("\n")).unwrap();
    let output = Command::new(common::cryptotl())
        .current_dir(folder.path())
        .args(["embed", "--json", "--input", "t.csv", "--text-column", "text", "--output", "e.safetensors"])
        .arg("--encoder")
        .arg(&encoder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"], 4);
    let records = Records::read(&folder.path().join("e.safetensors")).unwrap();
    for (x, published) in records.embeddings.row(0).iter().zip(PUBLISHED) {
        assert!((x - published).abs() < 1e-5, "{x} is not {published}");
    }
    for row in records.embeddings.rows() {
        assert!((row.dot(&row) - 1.0).abs() < 1e-4, "every embedding has norm 1, an empty text's too");
    }
}

/// The sensitivity of a private head is that of a record only if no record changes another's embedding.
#[test]
fn an_embedding_depends_on_its_own_text_to_the_last_bit() {
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/all-MiniLM-L6-v2");
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..97).map(|i| format!("{} end", "word ".repeat(1 + i % 7))).collect();
    let embed = |texts: &[String]| {
        let table = [&["text".to_owned()], texts].concat().join("\n");
        std::fs::write(folder.path().join("t.csv"), table).unwrap();
        let status = Command::new(common::cryptotl())
            .current_dir(folder.path())
            .args(["embed", "--input", "t.csv", "--text-column", "text", "--output", "e.safetensors"])
            .arg("--encoder")
            .arg(&encoder)
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        Records::read(&folder.path().join("e.safetensors")).unwrap().embeddings
    };
    let all = embed(&texts);
    // One removed in front shifts every batch; one alone is a batch of 1.
    let without_first = embed(&texts[1..]);
    for (i, row) in without_first.rows().into_iter().enumerate() {
        assert!(row == all.row(i + 1), "text {} changed by another's removal", i + 1);
    }
    for i in [0, 1, 6, 96] {
        assert!(embed(&texts[i..=i]).row(0) == all.row(i), "text {i} differs when it is alone");
    }
}

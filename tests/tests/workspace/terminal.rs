//! Nothing that stands in a file or in its name steers the terminal of whoever looks at it.

#[allow(dead_code)] // this test uses some of it
use std::path::Path;

use crate::common;
use crate::common::main_job::records;

/// What an attacker writes for six letters, three letters and two.
const ALTERATIONS: [(&[u8], usize); 3] =
    [(br"\u001b", 6), ("\u{202e}".as_bytes(), 3), ("\u{9b}".as_bytes(), 2)];

/// Places of runs of at least six letters among a file's first bytes: names, words, keys.
fn words(bytes: &[u8]) -> Vec<usize> {
    let mut start = 0;
    let mut places = Vec::new();
    for run in bytes[..bytes.len().min(60_000)].split(|byte| !byte.is_ascii_alphabetic()) {
        if run.len() >= 6 {
            places.push(start);
        }
        start += run.len() + 1;
    }
    places
}

fn steers(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Runs the verbs that read the altered file, and looks at all that they print.
fn check(folder: &Path, arguments: &str, what: &str) {
    let output = common::run(folder, arguments);
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(!text.chars().any(steers), "{what}: {arguments} on {stream}: {text:?}");
    }
    assert!(matches!(output.status.code(), Some(0..=6)), "{what}: {arguments}: {:?}", output.status);
}

#[test]
fn no_string_of_a_file_reaches_the_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("cmd/stages.in");
    for name in
        ["lower.safetensors", "lower.public.safetensors", "source.safetensors", "policy.toml", "model.toml"]
    {
        std::fs::copy(stages.join(name), path(name)).unwrap();
    }
    records(60, 2).write(&path("private.safetensors")).unwrap();
    for arguments in [
        "extract --model lower.safetensors --input private.safetensors --output features.safetensors",
        "plan --model lower.safetensors --source source.safetensors --output job.plan",
        "ledger init --ledger people.ledger --policy policy.toml --population people --public-size 60",
        "finetune --features features.safetensors --model lower.public.safetensors --ledger people.ledger \
         --epsilon 1 --output head.safetensors",
        "audit --head head.safetensors --ledger people.ledger --no-attack --output report",
    ] {
        let output = common::run(folder.path(), arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (file, verbs) in [
        (
            "head.safetensors",
            &[
                "verify x --ledger people.ledger",
                "verify x --ledger people.ledger --json",
                "classify --head x --input features.safetensors",
                "ledger verify --ledger people.ledger --witness x",
            ][..],
        ),
        (
            "features.safetensors",
            &[
                "verify x",
                "classify --head head.safetensors --input x",
                "extract --model lower.safetensors --input x --output y",
            ],
        ),
        (
            "lower.safetensors",
            &[
                "verify x",
                "extract --model x --public lower.public.safetensors --input private.safetensors --output y",
            ],
        ),
        (
            "lower.public.safetensors",
            &[
                "verify x",
                "extract --model lower.safetensors --public x --input private.safetensors --output y",
            ],
        ),
        ("job.plan", &["verify x", "keygen --plan x --secret-key y --keys z"]),
        (
            "people.ledger",
            &[
                "ledger show --ledger x",
                "ledger show --ledger x --json",
                "verify head.safetensors --ledger x",
            ],
        ),
        ("report/report.json", &["verify x head.safetensors --ledger people.ledger"]),
        ("report/report.html", &["verify x"]),
        ("head.README.md", &["verify x head.safetensors"]),
        ("policy.toml", &["ledger init --ledger y --policy x --population people --public-size 60"]),
        ("model.toml", &["pretrain --config x --source source.safetensors --output y"]),
    ] {
        let Ok(whole) = std::fs::read(path(file)) else { panic!("{file} is not there") };
        let places = words(&whole);
        assert!(places.len() > 3, "{file} has no words");
        // All of a small header, and some of a long document, in an order that does not depend on luck.
        let step = places.len().div_ceil(16);
        for (i, &place) in places.iter().step_by(step).enumerate() {
            let (letters, length) = ALTERATIONS[i % ALTERATIONS.len()];
            let mut altered = whole.clone();
            altered[place..place + length].copy_from_slice(letters);
            std::fs::write(path("x"), &altered).unwrap();
            for verb in verbs {
                for left in ["y", "z"] {
                    let _ = std::fs::remove_file(path(left));
                }
                check(folder.path(), verb, &format!("{file} at {place}"));
            }
        }
    }
}

#[test]
fn no_name_of_a_file_or_column_reaches_the_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a\u{1b}[2K\u{202e}b";
    std::fs::write(folder.path().join(name), "te\u{1b}[31mxt,la\u{9b}bel\ngood,yes\n").unwrap();
    let binary = common::cryptotl();
    for arguments in [
        &["verify", name][..],
        &["ledger", "show", "--ledger", name],
        &["keygen", "--plan", name, "--secret-key", "s", "--keys", "k"],
        &["embed", "--encoder", name, "--input", name, "--text-column", "text", "--output", "o"],
        &["embed", "--encoder", "x", "--input", name, "--text-column", "text", "--output", "o"],
        &["extract", "--model", name, "--input", name, "--output", "o"],
        &[name],
        &["verify", "--ledger", name, &format!("--{name}")],
        &["account", "--epsilon", name],
    ] {
        let output =
            std::process::Command::new(&binary).current_dir(folder.path()).args(arguments).output().unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.chars().any(steers), "{arguments:?}: {text:?}");
        }
        assert!(!output.status.success(), "{arguments:?}");
    }
}

//! The dependency graph of the workspace: what may know what.

use std::collections::BTreeSet;
use std::path::Path;

/// A crate's folder and the crates of ours that it depends on.
const GRAPH: &[(&str, &[&str])] = &[
    ("cli", &["cryptotl", "cryptotl-encrypted", "cryptotl-model", "cryptotl-privacy", "cryptotl-trainer"]),
    ("cryptotl", &["cryptotl-encrypted", "cryptotl-model", "cryptotl-privacy", "cryptotl-trainer"]),
    ("encrypted", &["cryptotl-model"]),
    ("model", &[]),
    ("privacy", &[]),
    ("trainer", &["cryptotl-model", "cryptotl-privacy"]),
];

/// Libraries that one crate alone may use.
const OWNERS: &[(&str, &str)] = &[
    ("seal_fhe", "encrypted"),
    ("burn", "trainer"),
    ("parquet", "trainer"),
    ("opendp", "privacy"),
    ("rusqlite", "privacy"),
    ("clap", "cli"),
    ("maud", "cli"),
    ("schemars", "cli"),
    ("serde-saphyr", "cli"),
    ("hf-hub", "cli"),
    ("ureq", "cli"),
];

/// The names of a crate's dependencies of every kind.
fn dependencies(name: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest: toml::Table = text.parse().unwrap();
    assert!(!manifest.contains_key("target"), "{name}: this test does not read [target] dependencies");
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|kind| manifest.get(kind)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn the_graph_names_every_crate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, GRAPH.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn crates_depend_only_downwards() {
    for (name, expected) in GRAPH {
        let ours: BTreeSet<String> =
            dependencies(name).into_iter().filter(|d| d.starts_with("cryptotl")).collect();
        assert_eq!(ours, expected.iter().map(|d| (*d).to_owned()).collect(), "{name}");
    }
}

#[test]
fn each_large_library_has_one_owner() {
    for (library, owner) in OWNERS {
        for (name, _) in GRAPH {
            let uses = dependencies(name).contains(*library);
            assert_eq!(uses, name == owner, "{name} and {library}");
        }
    }
}

/// What makes, replaces or cuts files, and who may: everything else goes through `OutputFile`, which is made from a
/// checked `Destination` alone.
const WRITES: &[(&str, &[&str])] = &[
    // Where the check is, and the files that are renamed after it.
    ("model/src/output_file.rs", &["persist", "tempfile_in"]),
    // Embeddings that wait in a file without a name.
    ("model/src/records_writer.rs", &["tempfile_in"]),
    // The secret key's file, which only grows, and is never replaced.
    ("encrypted/src/key_file.rs", &["OpenOptions"]),
    // A cache goes on from what is in it, and refuses what it did not write.
    ("trainer/src/encoder/cache.rs", &["OpenOptions", ".set_len("]),
    // SQLite's files, and marks of ledgers in a folder of their own.
    ("privacy/src/ledger", &["persist", "tempfile_in", "OpenOptions", "fs::rename"]),
    // The cache of the Hub, in a folder of its own.
    ("cli/src/hub", &["File::options", "fs::rename", ".set_len("]),
    // Linux's counter of memory.
    ("cli/src/command/bench_encrypted.rs", &["fs::write"]),
];

/// Whether code has this word, and not as the end of another.
fn has_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !word.starts_with(is_name) || !code[..at].ends_with(is_name))
}

#[test]
fn files_are_written_through_the_one_check() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut folders: Vec<_> = GRAPH.iter().map(|(name, _)| crates.join(name).join("src")).collect();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&crates).unwrap().to_str().unwrap().to_owned();
            if !name.ends_with(".rs") || name.ends_with("tests.rs") || name.ends_with("testkit.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            read += 1;
            for word in [
                "fs::write",
                "File::create",
                "File::options",
                "OpenOptions",
                "fs::rename",
                "fs::copy",
                "fs::hard_link",
                "persist",
                "tempfile_in",
                ".set_len(",
            ] {
                let allowed = WRITES.iter().any(|(of, words)| name.starts_with(of) && words.contains(&word));
                let found = code.iter().find(|line| has_word(line, word));
                assert!(
                    allowed || found.is_none(),
                    "{name}: {}; write with OutputFile",
                    found.unwrap_or(&"")
                );
            }
        }
    }
    assert!(read > 150, "{read} files were read");
}

fn makefile() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Makefile")).unwrap()
}

#[test]
fn make_finds_what_cargo_builds_wherever_that_is() {
    for goal in ["install", "demo", "bench"] {
        let output = std::process::Command::new("make")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("CARGO_TARGET_DIR", "/elsewhere/built")
            .args(["--dry-run", goal])
            .output()
            .unwrap();
        let commands = String::from_utf8(output.stdout).unwrap();
        assert!(commands.contains("/elsewhere/built/release/cryptotl"), "{goal}: {commands}");
        assert!(!commands.contains(" target/release"), "{goal}: {commands}");
    }
}

#[test]
fn make_builds_what_the_lock_file_says() {
    let builds = ["build", "test", "clippy", "doc", "deny", "install", "run"];
    let text = makefile();
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("$(CARGO) "))
        .map(|(_, command)| command)
        .filter(|command| builds.iter().any(|build| command.split_whitespace().next() == Some(build)))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    assert!(commands.iter().all(|command| command.contains("--locked")), "{commands:?}");
}

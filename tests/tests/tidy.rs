//! The dependency graph of the workspace: what may know what.

use std::collections::BTreeSet;
use std::path::Path;

/// A crate's folder and the crates of ours that it depends on.
const GRAPH: &[(&str, &[&str])] = &[
    ("cli", &["cryptotl-encrypted", "cryptotl-model", "cryptotl-privacy", "cryptotl-trainer"]),
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

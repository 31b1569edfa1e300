//! `docs/privacy.md` names tests as evidence; each of them has to exist.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn every_test_named_in_the_pitfalls_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/privacy.md")).unwrap();
    // The crate's own tests, those of the heads and of what reads the records, and those of the whole program.
    let folders = ["", "../model", "../trainer", "../cli", "../../tests/tests"];
    let files = folders.map(|folder| rust_files(&root.join(folder))).concat();
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split('|').nth(4));
    // Odd pieces between backticks are code.
    let names: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names.into_iter().filter(|name| !name.ends_with(".rs")) {
        assert!(code.contains(&format!("fn {name}(")), "{name}");
    }
}

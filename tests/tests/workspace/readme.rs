//! The commands of the README, as they stand there, on real text.

use crate::common;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The commands of all `console` blocks, with continued lines joined.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let text: String = blocks.collect::<String>().replace("\\\n", " ");
    text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Some rows of a set of the corpus, as a table `text,label`.
fn table(texts: &Path, set: &str, which: std::ops::Range<usize>) -> String {
    let path = texts.join(format!("{set}.train.tsv"));
    let rows = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make assets`", path.display()));
    let mut lines = rows.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name| header.iter().position(|found| *found == name).unwrap();
    let (text, label) = (column("text"), column("label"));
    let mut table = "text,label\n".to_owned();
    for line in lines.skip(which.start).take(which.len()) {
        let cells: Vec<&str> = line.split('\t').collect();
        writeln!(table, "\"{}\",{}", cells[text].replace('"', "\"\""), cells[label]).unwrap();
    }
    table
}

#[test]
fn the_commands_of_the_readme_do_the_whole_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for linked in ["assets", "models", "privacy-configs"] {
        std::os::unix::fs::symlink(root.join(linked), folder.path().join(linked)).unwrap();
    }
    let texts = root.join("assets/vader");
    std::fs::write(folder.path().join("public.csv"), table(&texts, "tweets", 0..300)).unwrap();
    std::fs::write(folder.path().join("private.csv"), table(&texts, "amazon", 0..500)).unwrap();
    std::fs::write(folder.path().join("held-out.csv"), table(&texts, "amazon", 500..600)).unwrap();

    let program = common::cryptotl();
    let commands = commands(&std::fs::read_to_string(root.join("README.md")).unwrap());
    assert!(commands.len() >= 9, "{commands:?}");
    let mut verified = String::new();
    for command in &commands {
        let arguments = command.strip_prefix("cryptotl ").unwrap_or_else(|| panic!("{command}"));
        let output = Command::new(&program)
            .args(arguments.split_whitespace())
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains("delta"), "{command} warns: {words}");
        if command.contains(" verify ") {
            verified = String::from_utf8(output.stdout).unwrap();
        }
    }
    assert!(commands.last().unwrap().contains(" validate "), "{commands:?}");
    assert!(verified.contains("pass") && !verified.contains("fail"), "{verified}");
    assert_eq!(std::fs::read_to_string(folder.path().join("labels.jsonl")).unwrap().lines().count(), 100);
    for file in ["report.html", "report.json", "report.md", "registry.yaml"] {
        assert!(folder.path().join("report").join(file).is_file(), "{file}");
    }
}

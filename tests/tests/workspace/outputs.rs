//! No output takes the place of anything but an older output of the same kind, whichever verb writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::steps;
use crate::common::{refuse, run, succeed};

/// Each verb with each of its outputs, which is `OUT`. Other outputs are called `free`, and are never written.
const CASES: &[(&str, &str)] = &[
    ("embed", "--encoder encoder --input texts.csv --text-column text --output OUT"),
    ("pretrain", "--config model.toml --source a=source.safetensors --output OUT"),
    ("pretrain", "--config model.toml --source source.safetensors --output free --checkpoint OUT"),
    ("pretrain", "--config model.toml --source source.safetensors --output free --log OUT"),
    (
        "pretrain",
        "--config model.toml --source private.safetensors --epsilon 1 --ledger budget --policy policy.toml --output OUT",
    ),
    ("import", "--weights weights.txt --mapping map.toml --source a=source.safetensors --output OUT"),
    (
        "extract",
        "--model lower.safetensors --public lower.public.safetensors --input private.safetensors --output OUT",
    ),
    ("plan", "--model lower.safetensors --source source.safetensors --output OUT"),
    ("keygen", "--plan job.plan --secret-key OUT --keys free"),
    ("keygen", "--plan job.plan --secret-key free --keys OUT"),
    (
        "encrypt",
        "--plan job.plan --model lower.public.safetensors --secret-key new.secret --input private.safetensors --query OUT",
    ),
    (
        "evaluate",
        "--plan job.plan --model lower.safetensors --keys job.keys --query job.query --response OUT",
    ),
    (
        "decrypt",
        "--plan job.plan --secret-key job.secret --input private.safetensors --response job.response --output OUT",
    ),
    (
        "finetune",
        "--features f.safetensors --model lower.public.safetensors --ledger budget --policy policy.toml --epsilon 0.1 \
         --output OUT",
    ),
    (
        "tune",
        "--features f.safetensors --validation f2.safetensors --model lower.public.safetensors --ledger budget \
         --epsilon 0.1 --output OUT",
    ),
    (
        "validate",
        "--head head.safetensors --features f.safetensors --ledger budget --epsilon 0.1 --output OUT",
    ),
    ("classify", "--head head.safetensors --input f.safetensors --model lower.safetensors --output OUT"),
    ("audit", "--head head.safetensors --ledger budget --quick --output report --state OUT"),
    ("bench encrypted", "--output OUT"),
    ("bench encrypted", "--markdown OUT"),
    (
        "bench privacy",
        "--data-is-public --model lower.public.safetensors --train f.safetensors --test f2.safetensors --target x \
         --output OUT",
    ),
];

/// What is no older output of any verb.
const FOREIGN: &[(&str, &str)] = &[
    ("other.ledger", "SQLite"),
    ("job.secret", ""),
    ("notes.txt", "cryptotl wrote"),
    ("lines.jsonl", "cryptotl wrote"),
    ("lower-copy.safetensors", ""),
    ("fifo", "pipe"),
    ("/dev/null", "device"),
    ("folder", "folder"),
    ("absent/", "folder"),
    ("link", "symbolic link"),
    ("dangling", "symbolic link"),
    ("other.ledger-journal", "SQLite"),
    ("other.ledger-wal", "SQLite"),
    ("missing/folder", "there is no folder"),
];

/// Arguments that name files which are read, in every verb that has them and does not write them.
const INPUTS: &[&str] = &[
    "--input",
    "--model",
    "--public",
    "--config",
    "--source",
    "--ledger",
    "--policy",
    "--weights",
    "--mapping",
    "--plan",
    "--features",
    "--validation",
    "--head",
    "--table",
    "--train",
    "--test",
    "--witness",
    "--secret-key",
    "--keys",
    "--query",
    "--response",
    "FILE",
];

/// Folders that keep what is theirs: a cache goes on from what is in it, and refuses what it did not write.
const FOLDERS: &[(&str, &str)] = &[("embed", "--cache"), ("audit", "--output")];

/// A main job with every kind of file, and what does not belong to it.
fn prepare(path: &Path) {
    steps::prepare(path);
    for line in [
        "plan --model lower.safetensors --source source.safetensors --output job.plan",
        "keygen --plan job.plan --secret-key job.secret --keys job.keys",
        "keygen --plan job.plan --secret-key new.secret --keys new.keys",
        "encrypt --plan job.plan --model lower.public.safetensors --secret-key job.secret --input private.safetensors \
         --query job.query",
        "evaluate --plan job.plan --model lower.safetensors --keys job.keys --query job.query --response job.response",
        "finetune --features f.safetensors --model lower.public.safetensors --ledger budget --epsilon 0.5 \
         --output head.safetensors",
        "ledger init --ledger other.ledger --policy policy.toml --population others --public-size 300",
    ] {
        succeed(path, line);
    }
    std::fs::copy(path.join("f.safetensors"), path.join("f2.safetensors")).unwrap();
    for (name, content) in [
        ("texts.csv", "text\ngood\n"),
        ("weights.txt", "Conv1d layer\n"),
        ("map.toml", "version = 1\n"),
        ("notes.txt", "mine\n"),
        ("lines.jsonl", "{\"text\":\"good\",\"label\":\"yes\"}\n"),
        ("lower-copy.safetensors", "\u{8}\0\0\0\0\0\0\0{}      "),
    ] {
        std::fs::write(path.join(name), content).unwrap();
    }
    std::fs::create_dir(path.join("folder")).unwrap();
    symlink("notes.txt", path.join("link")).unwrap();
    symlink("nowhere", path.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(path.join("fifo")).status().unwrap().success());
}

/// A file: its number and length, when it was changed, and its content if it is small.
type Seen = (u64, u64, (i64, i64), Vec<u8>);

/// Every file of a folder.
fn snapshot(path: &Path) -> BTreeMap<String, Seen> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let about = entry.path().symlink_metadata().unwrap();
        let content = match about.is_file() && about.len() < 1 << 16 {
            true => std::fs::read(entry.path()).unwrap(),
            false => Vec::new(),
        };
        let name = entry.file_name().into_string().unwrap();
        // A folder's own times change with the trial of what can be written into it.
        let times = if about.is_dir() { (0, 0) } else { (about.mtime(), about.mtime_nsec()) };
        (name, (about.ino(), about.len(), times, content))
    };
    std::fs::read_dir(path).unwrap().map(entry).collect()
}

/// The files that a command line names.
fn inputs(path: &Path, arguments: &str) -> Vec<String> {
    let values = arguments.split_whitespace().filter(|word| !word.starts_with("--"));
    let values = values.map(|value| value.strip_prefix("a=").unwrap_or(value).to_owned());
    values.filter(|value| path.join(value).is_file()).collect()
}

#[test]
fn nothing_is_replaced_but_an_older_output_of_the_same_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    std::fs::create_dir(path.join("report")).unwrap();
    let before = snapshot(path);
    let refused = |verb: &str, arguments: &str, out: &str, fact: &str| {
        refuse(path, &format!("{verb} {}", arguments.replace("OUT", out)), 1, fact);
        assert!(snapshot(path) == before, "{verb} {arguments}: {out} changed a file");
    };
    for (verb, arguments) in CASES {
        for (out, fact) in FOREIGN {
            let never = arguments.contains("--secret-key OUT")
                && path.join(out).is_file()
                && !path.join(out).is_symlink();
            refused(verb, arguments, out, if never { "replaces nothing" } else { fact });
        }
        let read = inputs(path, arguments);
        assert!(!read.is_empty() || *verb == "bench encrypted", "{verb}: its inputs are there");
        for input in read {
            let in_place = matches!(*verb, "extract" | "decrypt") && input == "private.safetensors";
            for name in [&input, &format!("./{input}"), &format!("folder/../{input}")] {
                if !in_place {
                    refused(verb, arguments, name, "which this command reads");
                }
            }
        }
    }
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_hard_link_of_an_input_is_that_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    for (verb, arguments) in CASES {
        for input in inputs(path, arguments) {
            // A ledger with two names is refused for that.
            if matches!(*verb, "extract" | "decrypt") && input == "private.safetensors" || input == "budget" {
                continue;
            }
            std::fs::hard_link(path.join(&input), path.join("hard")).unwrap();
            refuse(
                path,
                &format!("{verb} {}", arguments.replace("OUT", "hard")),
                1,
                "which this command reads",
            );
            let [one, two] = ["hard", &input].map(|name| std::fs::metadata(path.join(name)).unwrap().ino());
            assert_eq!(one, two, "{verb} {arguments}");
            std::fs::remove_file(path.join("hard")).unwrap();
        }
    }
}

#[test]
fn two_outputs_of_a_command_have_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    std::fs::create_dir(path.join("report")).unwrap();
    let before = snapshot(path);
    let pretrain = "pretrain --config model.toml --source source.safetensors --output new.safetensors";
    for line in [
        "keygen --plan job.plan --secret-key same --keys same".to_owned(),
        "keygen --plan job.plan --secret-key same --keys ./same".to_owned(),
        "keygen --plan job.plan --secret-key folder/../same --keys same".to_owned(),
        format!("{pretrain} --log new.public.safetensors"),
        format!("{pretrain} --checkpoint ./new.safetensors"),
        format!("{pretrain} --checkpoint state --log folder/../state"),
        "bench encrypted --output same --markdown ./same".to_owned(),
        "audit --head head.safetensors --ledger budget --quick --output report --state report/report.json"
            .to_owned(),
    ] {
        refuse(path, &line, 2, "give each output a path of its own");
        assert!(snapshot(path) == before, "{line}");
    }
}

#[test]
fn files_beside_outputs_have_names_of_their_own_and_stay_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    let pretrain = "pretrain --config model.toml --source source.safetensors --output";
    let finetune = "finetune --features f.safetensors --model lower.public.safetensors --ledger budget --epsilon 0.1 --output";
    std::fs::write(path.join("m.public.safetensors"), "mine").unwrap();
    refuse(path, &format!("{pretrain} m"), 1, "m.public.safetensors");
    std::fs::write(path.join("h.README.md"), "mine").unwrap();
    refuse(path, &format!("{finetune} h"), 1, "h.README.md");
    for name in ["m", "h"] {
        assert!(!path.join(name).exists(), "refused before the work");
    }
    for version in ["model-1.0", "model-1.1"] {
        succeed(path, &format!("{pretrain} {version}"));
        succeed(
            path,
            &format!("extract --model {version} --input private.safetensors --output {version}.features"),
        );
    }
    for (run, head) in ["head.v1", "head.v2", "head.2026-01"].into_iter().enumerate() {
        succeed(path, &format!("{finetune} {head} --run {run}"));
        let card = std::fs::read_to_string(path.join(format!("{head}.README.md"))).unwrap();
        assert!(card.contains(&format!("# {head}")), "{card}");
    }
    let spent = std::fs::read(path.join("budget")).unwrap();
    // The name of the card of the head `h2`, in the way of a charge.
    symlink("notes.txt", path.join("h2.README.md")).unwrap();
    refuse(path, &format!("{finetune} h2 --run 9"), 1, "symbolic link");
    assert!(std::fs::read(path.join("budget")).unwrap() == spent, "nothing was charged");
}

#[test]
fn older_outputs_of_the_same_kind_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    let decrypt = "decrypt --plan job.plan --secret-key job.secret --response job.response --input private.safetensors \
                   --output private.safetensors";
    for line in [
        "pretrain --config model.toml --source source.safetensors --output m --log log --checkpoint state",
        "plan --model lower.safetensors --source source.safetensors --output p",
        "finetune --features f.safetensors --model lower.public.safetensors --ledger budget --epsilon 0.1 --output h",
        "validate --head head.safetensors --features f.safetensors --ledger budget --epsilon 0.1 --output v.json \
         --assume-independent-encryption-errors",
        "classify --head head.safetensors --input f.safetensors --output lines",
        "audit --head head.safetensors --ledger budget --no-attack --output report",
        "extract --model lower.safetensors --input f2.safetensors --output f2.safetensors",
        "bench privacy --data-is-public --model lower.public.safetensors --train f.safetensors --test f2.safetensors \
         --target x --epsilons 1 --seeds 1 --output table.json",
    ] {
        for _ in 0..2 {
            succeed(path, line);
        }
    }
    succeed(path, decrypt);
    // An empty file, as `mktemp` makes it, holds nothing.
    std::fs::write(path.join("made"), "").unwrap();
    succeed(path, "classify --head head.safetensors --input f.safetensors --output made");
    for (file, edited) in [("report.html", "my page"), ("report.md", "# my notes"), ("registry.yaml", "a: 1")]
    {
        let file = path.join("report").join(file);
        std::fs::write(&file, edited).unwrap();
        refuse(
            path,
            "audit --head head.safetensors --ledger budget --no-attack --output report",
            1,
            "cryptotl wrote",
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
        std::fs::remove_file(file).unwrap();
    }
}

/// A verb or an argument that comes later has to be put into one of the tables above.
#[test]
fn every_argument_that_names_a_file_is_in_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = vec![String::new()];
    let mut seen = BTreeSet::new();
    while let Some(verb) = open.pop() {
        let help = String::from_utf8(run(folder.path(), &format!("{verb} --help")).stdout).unwrap();
        let commands =
            help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
        let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        open.extend(names.map(|name| format!("{verb} {name}").trim().to_owned()));
        for line in help.lines().map(str::trim_start) {
            let Some((flag, value)) = line.split_once(" <").filter(|(flag, _)| flag.starts_with("--")) else {
                continue;
            };
            let value = value.split('>').next().unwrap();
            if !value.contains("FILE") && !value.contains("DIR") {
                continue;
            }
            let is_output =
                CASES.iter().any(|(v, arguments)| *v == verb && arguments.contains(&format!("{flag} OUT")));
            let is_known = is_output || INPUTS.contains(&flag) || FOLDERS.contains(&(verb.as_str(), flag));
            assert!(is_known || verb.starts_with("ledger"), "is `{flag}` of `{verb}` read or written?");
            seen.insert((verb.clone(), flag.to_owned()));
        }
    }
    for (verb, arguments) in CASES {
        let flag = arguments.split(" OUT").next().unwrap().rsplit(' ').next().unwrap();
        assert!(seen.contains(&((*verb).to_owned(), flag.to_owned())), "{verb} {flag} is in its help");
    }
}

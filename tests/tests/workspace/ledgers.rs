//! Ledgers that were restored, broken off, or come from somebody else, on the command line.

use std::path::Path;

use crate::common;
use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::{refuse, run, succeed};

/// A folder with a model, private records and a ledger.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), CONFIG).unwrap();
    std::fs::write(path.join("policy.toml"), POLICY).unwrap();
    records(200, 1).write(&path.join("source.safetensors")).unwrap();
    records(300, 2).write(&path.join("private.safetensors")).unwrap();
    succeed(path, "pretrain --config tiny.toml --source s=source.safetensors --output lower.safetensors");
    succeed(path, "ledger init --ledger budget --policy policy.toml --population people --public-size 300");
    folder
}

fn finetune(epsilon: &str, output: &str) -> String {
    format!(
        "--json finetune --features private.safetensors --model lower.public.safetensors --inputs embedding --ledger budget \
         --epsilon {epsilon} --output {output}"
    )
}

/// The times in a text that are finer than a minute.
fn fine_times(text: &str) -> Vec<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let starts = (0..bytes.len().saturating_sub(19)).filter(|&at| {
        let time = &bytes[at..at + 19];
        time[10] == b'T'
            && [4, 7].iter().all(|&i| time[i] == b'-')
            && [13, 16].iter().all(|&i| time[i] == b':')
            && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].iter().all(|&i| is_digit(time[i]))
    });
    let times = starts.map(|at| text.get(at..(at + 22).min(text.len())).unwrap_or_default());
    times.filter(|time| !time[17..].starts_with("00Z")).collect()
}

#[test]
fn an_older_copy_of_a_ledger_is_not_charged_and_its_evidence_is_not_replaced() {
    let folder = prepared();
    let path = folder.path();
    let budget = path.join("budget");
    let old = std::fs::read(&budget).unwrap();
    succeed(path, &finetune("0.5", "head.safetensors"));
    let head = std::fs::read(path.join("head.safetensors")).unwrap();
    std::fs::write(&budget, &old).unwrap();
    refuse(path, &finetune("0.4", "other.safetensors"), 4, "the ledger is behind");
    // A user who never saw the ledger still sees the head.
    let elsewhere = |arguments: &str| {
        common::command(path, arguments).env("CRYPTOTL_STATE", path.join("state")).output().unwrap()
    };
    let refused = elsewhere(&finetune("0.4", "head.safetensors"));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{words}");
    assert!(words.contains("head.safetensors would be replaced"), "{words}");
    // Its card alone is evidence as well.
    std::fs::rename(path.join("head.safetensors"), path.join("kept.safetensors")).unwrap();
    assert_eq!(elsewhere(&finetune("0.4", "head.safetensors")).status.code(), Some(4));
    assert_eq!(std::fs::read(path.join("kept.safetensors")).unwrap(), head);
    assert_eq!(std::fs::read(&budget).unwrap(), old, "nothing was charged");

    let accepted = succeed(path, "--json ledger accept-rollback --ledger budget --reason restored");
    assert_eq!(accepted["entries"][1]["kind"], "rollback");
    assert!(accepted["epsilon_spent"].as_f64().unwrap() > 0.49, "{accepted}");
    succeed(path, &finetune("0.4", "other.safetensors"));
    let shown = run(path, "ledger show --ledger budget");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("lost entries"));
    refuse(path, "verify kept.safetensors --ledger budget", 4, "");
}

#[test]
fn an_epsilon_that_is_too_small_is_refused_before_it_is_charged() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("0.5", "head.safetensors"));
    for epsilon in ["1e-12", "1e-9", "1e-7"] {
        for method in ["dp-fc", "dp-gd", "output-perturbation"] {
            let refused = run(path, &format!("{} --method {method}", finetune(epsilon, "small.head")));
            let words = String::from_utf8_lossy(&refused.stderr).into_owned();
            // One that is accepted has an epsilon, and is shown.
            assert!(matches!(refused.status.code(), Some(0 | 1)), "{epsilon} {method}: {words}");
        }
        let tune = format!(
            "tune --features private.safetensors --validation private.safetensors --model lower.public.safetensors \
             --ledger budget --inputs embedding --methods dp-fc --output t.head --epsilon {epsilon}"
        );
        assert_eq!(run(path, &tune).status.code(), Some(1), "{epsilon}");
        let validate = format!(
            "validate --head head.safetensors --features private.safetensors --ledger budget --epsilon {epsilon}"
        );
        run(path, &validate);
    }
    refuse(
        path,
        &format!("{} --method dp-fc", finetune("1e-9", "small.head")),
        1,
        "ask for at least epsilon",
    );
    succeed(path, "--json ledger verify --ledger budget");
}

#[test]
fn whoever_reads_a_ledger_writes_nothing_and_deletes_nothing() {
    let folder = prepared();
    let path = folder.path();
    succeed(path, &finetune("0.5", "head.safetensors"));
    // A journal that names the user's own file as its super-journal.
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    journal.extend([0; 504]);
    let name = b"head.safetensors";
    journal.extend([0; 4]);
    journal.extend(name);
    journal.extend((name.len() as u32).to_be_bytes());
    journal.extend(name.iter().map(|&b| u32::from(b)).sum::<u32>().to_be_bytes());
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    let verbs = [
        "ledger show --ledger budget",
        "ledger verify --ledger budget",
        "ledger recover --ledger budget",
        "plan --ledger budget --epsilon 0.1",
        "verify head.safetensors --ledger budget",
        "verify budget",
        "audit --head head.safetensors --ledger budget --output report",
    ];
    let budget = std::fs::read(path.join("budget")).unwrap();
    for (bytes, word) in [(&journal[..], "deletes"), (&journal[..512], "ledger recover")] {
        std::fs::write(path.join("budget-journal"), bytes).unwrap();
        for verb in verbs.iter().chain([&finetune("0.1", "new.head").as_str()]) {
            let mends = bytes.len() == 512 && (verb.contains("recover") || verb.contains("finetune"));
            if mends {
                continue;
            }
            let refused = run(path, verb);
            let words = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(4), "{verb}: {words}");
            assert!(words.contains("budget-journal"), "{word}: {verb}: {words}");
        }
        assert_eq!(std::fs::read(path.join("budget-journal")).unwrap(), bytes);
        assert!(path.join("head.safetensors").exists());
    }
    assert_eq!(std::fs::read(path.join("budget")).unwrap(), budget);
    succeed(path, "ledger recover --ledger budget");
    succeed(path, "--json verify head.safetensors budget --ledger budget");
}

#[test]
fn no_time_that_is_published_is_finer_than_a_minute() {
    let folder = prepared();
    let path = folder.path();
    assert_eq!(
        fine_times("at 2026-09-14T12:34:56Z, 2026-09-14T12:34:00.5Z and 2026-09-14T12:34:00Z").len(),
        2
    );
    // A ledger whose entries have times to the nanosecond.
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/privacy/tests/vectors/events.ledger");
    std::fs::copy(old, path.join("old.ledger")).unwrap();
    let mut texts = Vec::new();
    let mut say = |arguments: &str| {
        // The stored ledger is that of other tests as well.
        let mut command = common::command(path, arguments);
        let output = command.env("CRYPTOTL_STATE", path.join("state")).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {words}");
        texts.push((arguments.to_owned(), String::from_utf8(output.stdout).unwrap() + &words));
    };
    say(&finetune("0.5", "head.safetensors"));
    say(&finetune("0.5", "head.safetensors"));
    say("audit --head head.safetensors --ledger budget --output report --no-attack");
    for ledger in ["budget", "old.ledger"] {
        say(&format!("--json ledger show --ledger {ledger}"));
        say(&format!("ledger show --ledger {ledger}"));
        say(&format!("--json ledger verify --ledger {ledger}"));
        say(&format!("--json verify {ledger}"));
    }
    for file in ["report/report.json", "report/report.html", "report/report.md", "report/registry.yaml"] {
        texts.push((file.to_owned(), std::fs::read_to_string(path.join(file)).unwrap()));
    }
    for file in ["head.safetensors", "budget"] {
        let bytes = std::fs::read(path.join(file)).unwrap();
        texts.push((file.to_owned(), bytes.iter().map(|&b| char::from(b & 0x7f)).collect()));
    }
    for (of, text) in &texts {
        assert!(fine_times(text).is_empty(), "{of}: {:?}", fine_times(text));
    }
    assert!(texts.iter().filter(|(_, text)| text.contains(":00Z")).count() >= 8);
}

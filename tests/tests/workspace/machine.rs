//! Machines that grant little, and files that wait or lie: words and a code, never a signal, a panic or a hang.

#[allow(dead_code)] // this test uses some of it
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::parties::{ENCRYPT, KEYGEN, Parties, succeed};
use crate::common::{self, tiny};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command under limits that the shell sets.
fn limited(folder: &Path, limits: &str, arguments: &str) -> Output {
    Command::new("sh")
        .current_dir(folder)
        .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
        .arg(common::cryptotl())
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

/// Done, or code 1 with words.
fn ends_well(output: &Output, what: &str) -> bool {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), None, "{what}: {words}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{what}: {:?}: {words}", output.status.code());
    assert!(output.status.success() || !words.is_empty(), "{what} says nothing");
    output.status.success()
}

#[test]
fn little_memory_gives_words_and_a_code() {
    let parties = Parties::new(3, 0.0);
    let folder = parties.folders().1;
    let (mut done, mut refused) = (0, 0);
    for kilobytes in (60_000..=420_000).step_by(15_000) {
        for file in ["job.secret", "job.keys"] {
            let _ = std::fs::remove_file(folder.join(file));
        }
        let what = format!("keygen with {kilobytes} kB");
        let output = limited(folder, &format!("ulimit -v {kilobytes}"), KEYGEN);
        // Of this little, the system's loader already gets none.
        if output.status.code() == Some(127) {
            continue;
        }
        if ends_well(&output, &what) { done += 1 } else { refused += 1 }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused: the limits are chosen badly");
}

#[test]
fn no_core_is_dumped_and_nobody_looks_in_while_a_key_is_in_memory() {
    let parties = Parties::new(3, 0.0);
    let folder = parties.folders().1;
    succeed(folder, KEYGEN);
    // So many that the process is at it for a while.
    let records = tiny::records(4096 * 40, "tiny");
    records.write(&folder.join("records.safetensors")).unwrap();
    let mut process = common::command(folder, ENCRYPT).stderr(Stdio::null()).spawn().unwrap();
    let limits = PathBuf::from(format!("/proc/{}/limits", process.id()));
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_closed = loop {
        let text = std::fs::read_to_string(&limits).unwrap_or_default();
        let core = text.lines().find(|line| line.starts_with("Max core file size"));
        let is_closed =
            core.is_some_and(|line| line.split_whitespace().filter(|word| *word == "0").count() == 2);
        if is_closed || Instant::now() > deadline || process.try_wait().unwrap().is_some() {
            break is_closed;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(is_closed, "core dumps are not forbidden while the key is in memory");
}

/// `setpriv` gives the limit an effect: root is exempt from it. Limits below what the user has already leave no thread.
#[test]
fn few_threads_give_the_same_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(folder.path().join("t.csv"), "text\ngood\nbad\nboth good and bad\n").unwrap();
    let tiny = root().join("crates/trainer/tests/encoders/bert-cls");
    let copy = folder.path().join("encoder");
    assert!(Command::new("cp").arg("-r").args([&tiny, &copy]).status().unwrap().success());
    let binary = folder.path().join("cryptotl");
    std::fs::copy(common::cryptotl(), &binary).unwrap();
    let embed = |threads: &str, output: &str| {
        // A user of its own, whom nobody else's processes count for.
        let limit = if threads == "unlimited" { String::new() } else { format!("prlimit --nproc={threads}") };
        let script = format!(
            "exec {limit} setpriv --reuid 64999 --regid 64999 --clear-groups ./cryptotl embed \
             --encoder encoder --input t.csv --text-column text --output {output}"
        );
        Command::new("sh").current_dir(folder.path()).args(["-c", &script]).output().unwrap()
    };
    if !is_root() {
        return; // only root may become another user
    }
    let outputs = ["unlimited", "4", "3", "2", "1"].map(|threads| {
        let output = embed(threads, &format!("{threads}.safetensors"));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{threads} threads: {:?} {words}", output.status.code());
        std::fs::read(folder.path().join(format!("{threads}.safetensors"))).unwrap()
    });
    assert!(outputs.iter().all(|output| *output == outputs[0]));
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// A named pipe has no writer, and would be waited for.
#[test]
fn a_named_pipe_is_refused_at_once_in_the_place_of_every_input() {
    let folder = tempfile::tempdir().unwrap();
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("cmd/stages.in");
    for entry in std::fs::read_dir(stages).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let policy = "--policy policy.toml --population people --public-size 60";
    common::run(folder.path(), &format!("ledger init --ledger people.ledger {policy}"));
    common::run(
        folder.path(),
        "plan --model lower.safetensors --source source.safetensors --output job.plan",
    );
    assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success());
    let before = common::run(folder.path(), "ledger show --ledger people.ledger --json").stdout;
    for arguments in [
        "extract --model fifo --input private.safetensors --output o",
        "extract --model lower.safetensors --public fifo --input private.safetensors --output o",
        "extract --model lower.safetensors --input fifo --output o",
        "pretrain --config fifo --source source.safetensors --output o",
        "pretrain --config model.toml --source fifo --output o",
        "import --weights fifo --source source.safetensors --output o",
        "import --weights lower.safetensors --mapping fifo --source source.safetensors --output o",
        "plan --model fifo --source source.safetensors --output o",
        "plan --model lower.safetensors --source fifo --output o",
        "keygen --plan fifo --secret-key s --keys k",
        "encrypt --plan fifo --model lower.public.safetensors --secret-key s --input private.safetensors --query q",
        "encrypt --plan job.plan --model fifo --secret-key s --input private.safetensors --query q",
        "encrypt --plan job.plan --model lower.public.safetensors --secret-key fifo --input private.safetensors --query q",
        "encrypt --plan job.plan --model lower.public.safetensors --secret-key s --input fifo --query q",
        "evaluate --plan fifo --model lower.safetensors --keys k --query q --response r",
        "evaluate --plan job.plan --model fifo --keys k --query q --response r",
        "evaluate --plan job.plan --model lower.safetensors --keys fifo --query q --response r",
        "decrypt --plan job.plan --secret-key fifo --input private.safetensors --response r --output o",
        "ledger init --ledger n.ledger --policy fifo --population people --public-size 60",
        "ledger show --ledger fifo",
        "ledger verify --ledger people.ledger --witness fifo",
        "finetune --features fifo --model lower.public.safetensors --ledger people.ledger --epsilon 1 --output o",
        "finetune --features features.safetensors --model fifo --ledger people.ledger --epsilon 1 --output o",
        "validate --head fifo --features features.safetensors --ledger people.ledger --epsilon 1",
        "classify --head fifo --input features.safetensors",
        "classify --head early-head.safetensors --input fifo",
        "audit --head fifo --ledger people.ledger --output o",
        "audit --head early-head.safetensors --ledger people.ledger --model fifo --output o",
        "audit --head early-head.safetensors --ledger people.ledger --policy fifo --output o",
        "audit --head early-head.safetensors --ledger people.ledger --table fifo --output o",
        "verify fifo",
        "verify early-head.safetensors fifo",
    ] {
        let mut process = common::command(folder.path(), arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while process.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                process.kill().unwrap();
                panic!("{arguments} waits");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = process.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2 | 4 | 6)),
            "{arguments}: {:?} {words}",
            output.status
        );
    }
    let after = common::run(folder.path(), "ledger show --ledger people.ledger --json").stdout;
    assert_eq!(before, after, "nothing was charged");
}

/// The most bytes of a configuration are read, and no more.
#[test]
fn configurations_are_capped() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("large")).unwrap();
    file.set_len(4 << 30).unwrap();
    for arguments in [
        "ledger init --ledger n.ledger --policy large --population people --public-size 60",
        "pretrain --config large --source absent.safetensors --output o",
        "import --weights absent --mapping large --source absent.safetensors --output o",
        "verify large",
    ] {
        let output = limited(folder.path(), "ulimit -v 1000000", arguments);
        assert!(!output.status.success(), "{arguments}");
        ends_well(&output, arguments);
    }
    common::refuse(
        folder.path(),
        "ledger init --ledger n.ledger --policy large --population p --public-size 9",
        1,
        "more than",
    );
}

/// Of embeddings that are computed, a killed process has lost no more than those of its last batches.
#[test]
fn a_killed_process_leaves_its_embeddings_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String =
        (0..16_000).map(|i| format!("a text of {i} and {}\n", "words ".repeat(i % 50))).collect();
    std::fs::write(folder.path().join("t.csv"), format!("text\n{lines}")).unwrap();
    let encoder = root().join("assets/all-MiniLM-L6-v2");
    let encoder = encoder.display();
    let embed = |input: &str| {
        format!(
            "embed --json --encoder {encoder} --cache cache --input {input} --text-column text --output e"
        )
    };
    let mut process = common::command(folder.path(), &embed("t.csv")).stderr(Stdio::null()).spawn().unwrap();
    let cached = || {
        let files = std::fs::read_dir(folder.path().join("cache")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum::<u64>()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    // Some batches of 32 embeddings of 384 numbers.
    while cached() < 200_000 && Instant::now() < deadline && process.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let kept = cached();
    assert!(kept >= 200_000, "{kept} bytes are in the cache of the killed process");
    // The longest texts come first: some of those are what a second run finds.
    let most_words = "words ".repeat(49);
    let longest = lines.lines().filter(|line| line.ends_with(&most_words));
    let longest: String = longest.map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.path().join("few.csv"), format!("text\n{longest}")).unwrap();
    let report = common::succeed(folder.path(), &embed("few.csv"));
    assert!(report["from_cache"].as_u64().unwrap() > 0, "{report}");
}

//! What a ledger is worth when things go wrong: processes killed at every step and in the middle of a write,
//! disks that are full, files that are read-only, many processes at once. All of it with real processes.
//!
//! The child processes are this test program, started again for the one test [`child`].
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{ledger, plan, sum_of};
use cryptotl_privacy::{ChargeError, Ledger, LedgerError, LedgerView, ReleasePlan, Rho, SumRequest};

const ROLE: &str = "CRYPTOTL_TEST_ROLE";
/// The bytes of a large artifact.
const LARGE: usize = 300_000;
const LEDGER: &str = "CRYPTOTL_TEST_LEDGER";

/// Not a test: what the child processes do, step by step. Each step is announced on stdout before the next
/// line of stdin is waited for.
#[test]
#[ignore = "the child processes of the other tests"]
fn child() {
    let (Ok(role), Ok(path)) = (std::env::var(ROLE), std::env::var(LEDGER)) else { return };
    let say = |word: &str| {
        println!("\n> {word}");
        std::io::stdout().flush().unwrap();
    };
    let wait = || {
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    };
    let mut ledger = Ledger::open(path).unwrap();
    say("opened");
    wait();
    match role.as_str() {
        "run" => {
            let charged = ledger.charge(plan(1.0)).unwrap();
            say("charged");
            wait();
            let mut mechanism = charged.into_mechanism().unwrap();
            say("begun");
            wait();
            sum_of(&mut mechanism, &[&[0.1, 0.2, 0.3]]).unwrap();
            let receipt = mechanism.finish();
            say("trained");
            wait();
            ledger.record_release(receipt, b"the head").unwrap();
            say("recorded");
            wait();
        }
        "run large" => {
            let charged = ledger.charge(plan(1.0).with_artifact_bytes(LARGE)).unwrap();
            say("charged");
            wait();
            let mut mechanism = charged.into_mechanism().unwrap();
            sum_of(&mut mechanism, &[&[0.1, 0.2, 0.3]]).unwrap();
            ledger.record_release(mechanism.finish(), &[7; LARGE]).unwrap();
            say("recorded");
        }
        "charge" => match ledger.charge(plan(0.5)) {
            Ok(charged) => say(&format!("charged {}", charged.witness().seq)),
            Err(ChargeError::Refused(_)) => say("refused"),
            Err(ChargeError::Ledger(error)) => {
                say(&format!("failed {} {error}", error.is_integrity_failure()));
            }
            Err(error) => panic!("{error}"),
        },
        "charge for ever" => {
            for run in 0.. {
                let charged = ledger.charge(numbered_plan(run)).unwrap();
                say(&format!("charged {}", charged.witness().seq));
            }
        }
        other => panic!("no such role: {other}"),
    }
}

/// A cheap plan that differs from others by its description.
fn numbered_plan(run: u32) -> ReleasePlan {
    let mut request = SumRequest { dimension: 1, steps: 1, ..common::request(0.01) };
    request.description.insert("run".to_owned(), run.to_string());
    ReleasePlan::gaussian_sums(request).unwrap()
}

struct Worker {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(role: &str, ledger: &Path) -> Worker {
        Worker::spawn(Command::new(std::env::current_exe().unwrap()), role, ledger)
    }

    /// `command` ends in the path of this program.
    fn spawn(mut command: Command, role: &str, ledger: &Path) -> Worker {
        let mut process = command
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(LEDGER, ledger)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Worker { process, lines }
    }

    /// What it says next; `None` if it has ended.
    fn hear(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            if let Some(word) = line.strip_prefix("> ") {
                return Some(word.to_owned());
            }
        }
    }

    fn go_on(&mut self) {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Ends it as a power cut would, as far as the process is concerned.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_run_that_is_killed_at_any_step_stays_charged_or_was_never_begun() {
    let steps = ["opened", "charged", "begun", "trained", "recorded"];
    for killed_after in 0..steps.len() {
        let (_folder, path, ledger) = ledger(1.2); // room for one run
        drop(ledger);
        let mut worker = Worker::start("run", &path);
        assert_eq!(worker.hear().as_deref(), Some(steps[0]));
        for step in &steps[1..=killed_after] {
            worker.go_on();
            assert_eq!(worker.hear().as_deref(), Some(*step));
        }
        worker.kill();

        let last = steps[killed_after];
        let mut ledger = Ledger::open(&path).unwrap();
        let spent = ledger.status().unwrap().rho_spent;
        let repeated = ledger.charge(plan(1.0));
        match last {
            "opened" => {
                assert_eq!(spent, Rho::ZERO, "no data was touched");
                repeated.unwrap();
            }
            "recorded" => {
                assert_eq!(spent, plan(1.0).event().rho());
                let Err(ChargeError::Finished(release)) = repeated else { panic!("{repeated:?}") };
                assert_eq!(
                    release.artifact.as_deref(),
                    Some(&b"the head"[..]),
                    "not published, and not lost"
                );
            }
            _ => {
                assert_eq!(spent, plan(1.0).event().rho(), "{last}: there is no refund");
                assert!(matches!(repeated, Err(ChargeError::Refused(_))), "{last}: {repeated:?}");
            }
        }
    }
}

#[test]
fn a_charge_that_was_announced_survives_a_kill_at_any_moment() {
    let (_folder, path, ledger) = ledger(1e6);
    drop(ledger);
    let mut entries = 1;
    for round in 0..40_u64 {
        let mut worker = Worker::start("charge for ever", &path);
        assert_eq!(worker.hear().as_deref(), Some("opened"));
        worker.go_on();
        let mut announced = entries - 1;
        for _ in 0..=round % 3 {
            let word = worker.hear().unwrap();
            announced = word.strip_prefix("charged ").unwrap().parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros(round * 137));
        worker.kill();
        // What it said while it was being killed counts as well.
        while let Some(word) = worker.hear() {
            announced = word.strip_prefix("charged ").unwrap().parse().unwrap();
        }
        let status = Ledger::open(&path).unwrap().status().unwrap();
        let last = status.entries.len() - 1;
        // One more may be on disk than was announced: spent, and never used.
        assert!(last == announced || last == announced + 1, "{last} entries, {announced} announced");
        entries = status.entries.len();
    }
}

/// Files may grow to this many blocks of 512 bytes; a write beyond it kills the process, or fails.
fn limited(blocks: u64, kill: bool) -> Command {
    let mut command = Command::new("sh");
    let trap = if kill { "" } else { "trap '' XFSZ; " };
    command
        .args(["-c", &format!("{trap}ulimit -f {blocks}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap());
    command
}

#[test]
fn a_process_killed_in_the_middle_of_a_write_leaves_a_whole_ledger() {
    let (_folder, path, mut ledger) = ledger(8.0);
    ledger.charge(plan(1.0)).unwrap();
    let before = ledger.status().unwrap();
    drop(ledger);
    let mut n_killed = 0;
    for blocks in (0..).step_by(2) {
        let mut worker = Worker::spawn(limited(blocks, true), "charge", &path);
        assert_eq!(worker.hear().as_deref(), Some("opened"));
        worker.go_on();
        let said = worker.hear();
        let ended = worker.process.wait().unwrap();
        let status = Ledger::open(&path).unwrap().status().unwrap();
        match said.as_deref() {
            Some("charged 2") => {
                assert_eq!(status.entries.len(), 3);
                break;
            }
            None => {
                assert!(ended.signal().is_some(), "{ended}");
                assert_eq!(status, before, "killed at {blocks} blocks");
                n_killed += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(blocks < 1000, "it never succeeds");
    }
    assert!(n_killed > 20, "only {n_killed} were killed in the journal or in the file");
}

#[test]
fn a_full_disk_refuses_the_charge_and_harms_nothing() {
    let (_folder, path, mut ledger) = ledger(8.0);
    ledger.charge(plan(1.0)).unwrap();
    let before = ledger.status().unwrap();
    drop(ledger);
    let mut n_refused = 0;
    for blocks in (0..).step_by(3) {
        let mut worker = Worker::spawn(limited(blocks, false), "charge", &path);
        assert_eq!(worker.hear().as_deref(), Some("opened"));
        worker.go_on();
        let said = worker.hear().unwrap();
        worker.process.wait().unwrap();
        let status = Ledger::open(&path).unwrap().status().unwrap();
        if said == "charged 2" {
            assert_eq!(status.entries.len(), 3);
            break;
        }
        assert!(said.starts_with("failed false ") && said.contains("free space"), "{said}");
        assert_eq!(status, before, "{blocks} blocks");
        n_refused += 1;
        assert!(blocks < 1000, "it never succeeds");
    }
    assert!(n_refused > 5, "only {n_refused} were refused");
}

#[test]
fn a_disk_that_fills_up_after_a_charge_does_not_keep_the_release_from_being_recorded() {
    let (_folder, path, ledger) = ledger(8.0);
    drop(ledger);
    let mut worker = Worker::start("run large", &path);
    assert_eq!(worker.hear().as_deref(), Some("opened"));
    worker.go_on();
    assert_eq!(worker.hear().as_deref(), Some("charged"));
    // From here on no file may become larger than the ledger is: a write beyond it would kill the process.
    let length = fs::metadata(&path).unwrap().len();
    let limit = Command::new("prlimit")
        .args([format!("--pid={}", worker.process.id()), format!("--fsize={length}")])
        .status()
        .unwrap();
    assert!(limit.success());
    worker.go_on();
    assert_eq!(worker.hear().as_deref(), Some("recorded"));
    assert!(worker.process.wait().unwrap().success());
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "it took the room that was reserved");
    let view = LedgerView::open(&path).unwrap();
    view.verify_artifacts().unwrap();
    assert_eq!(view.find_release(&plan(1.0)).unwrap().unwrap().artifact.unwrap(), [7; LARGE]);
}

#[test]
fn a_read_only_ledger_can_be_read_and_not_charged() {
    let (folder, path, ledger) = ledger(8.0);
    let before = ledger.status().unwrap();
    drop(ledger);
    // Permissions mean nothing to root, so the child runs as nobody, from a copy that nobody can reach.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for (path, mode) in [(&path, 0o444), (&program, 0o555), (&folder.path().to_owned(), 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&program);
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        command.uid(65534).gid(65534);
    }
    let mut worker = Worker::spawn(command, "charge", &path);
    assert_eq!(worker.hear().as_deref(), Some("opened"));
    worker.go_on();
    let said = worker.hear().unwrap();
    assert!(said.starts_with("failed false ") && said.contains("read-only"), "{said}");
    worker.process.wait().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Ledger::open(&path).unwrap().status().unwrap(), before);
}

/// Starts `n` processes that charge at the same moment, and says how many could.
fn race(n: usize, path: &Path) -> usize {
    let mut workers: Vec<Worker> = (0..n).map(|_| Worker::start("charge", path)).collect();
    for worker in &mut workers {
        assert_eq!(worker.hear().as_deref(), Some("opened"));
    }
    for worker in &mut workers {
        worker.go_on();
    }
    let said: Vec<String> = workers.iter_mut().map(|worker| worker.hear().unwrap()).collect();
    for worker in &mut workers {
        assert!(worker.process.wait().unwrap().success());
    }
    assert!(said.iter().all(|word| word == "refused" || word.starts_with("charged ")), "{said:?}");
    said.iter().filter(|word| *word != "refused").count()
}

#[test]
fn two_processes_cannot_spend_the_same_remainder() {
    let (_folder, path, ledger) = ledger(0.6); // room for one
    assert_eq!(race(2, &path), 1);
    assert_eq!(ledger.status().unwrap().rho_spent, plan(0.5).event().rho());
}

#[test]
fn sixteen_processes_spend_what_there_is_and_no_more() {
    let (_folder, path, ledger) = ledger(1.5);
    let remaining = ledger.status().unwrap().rho_remaining;
    let one = plan(0.5).event().rho();
    let affordable = (1..).take_while(|&n| one.times(n).unwrap() <= remaining).count();
    assert!((3..16).contains(&affordable), "{affordable}");
    assert_eq!(race(16, &path), affordable);
    let status = ledger.status().unwrap();
    assert_eq!(status.rho_spent, one.times(affordable as u32).unwrap());
    assert!(matches!(Ledger::open(path.with_extension("absent")), Err(LedgerError::Missing { .. })));
}

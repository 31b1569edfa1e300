//! The ledger's promises: it never overdraws, never forgets, never guesses.

use std::fs;
use std::sync::Barrier;

use crate::common::{self, PUBLIC_SIZE, delta, ledger, plan, policy, policy_for, request, sum_of};
use cryptotl_privacy::ledger::MAX_ARTIFACT_BYTES;
use cryptotl_privacy::{
    Adjacency, ChargeError, Delta, Digest, EntryKind, Ledger, LedgerError, Marks, Refusal, RefusalReason,
    ReleasePlan, Rho, StoredRelease, SumRequest, largest_rho,
};

fn refused(result: Result<cryptotl_privacy::ChargedPlan, ChargeError>) -> Refusal {
    match result {
        Err(ChargeError::Refused(refusal)) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Charges, runs and records one release.
fn release(ledger: &mut Ledger, epsilon: f64, artifact: &[u8]) {
    let mut mechanism = ledger.charge(plan(epsilon)).unwrap().into_mechanism().unwrap();
    sum_of(&mut mechanism, &[]).unwrap();
    ledger.record_release(mechanism.finish(), artifact).unwrap();
}

#[test]
fn a_release_is_charged_run_and_recorded() {
    let (_folder, path, mut ledger) = ledger(3.0);
    let charged = ledger.charge(plan(1.0)).unwrap();
    let witness = *charged.witness();
    assert_eq!(witness.seq, 1);
    let mut mechanism = charged.into_mechanism().unwrap();
    assert_eq!(mechanism.witness(), &witness);
    sum_of(&mut mechanism, &[]).unwrap();
    let receipt = mechanism.finish();
    assert_eq!((receipt.steps_used(), receipt.witness()), (1, &witness));
    ledger.record_release(receipt, b"the head").unwrap();

    let status = Ledger::open(&path).unwrap().status().unwrap();
    assert_eq!(status.population, "test-population");
    assert_eq!(status.public_size, PUBLIC_SIZE);
    assert_eq!(status.delta, delta());
    let kinds: Vec<EntryKind> = status.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Genesis, EntryKind::Charge, EntryKind::Release]);
    assert_eq!(status.entries[1].released, Some(Digest::of_bytes(b"the head").to_string()));
    assert_eq!(status.entries[1].description.as_ref().unwrap()["method"], "test");
    assert_eq!(status.entries[2].charge_seq, Some(1));
    assert_eq!(status.rho_spent, plan(1.0).event().rho());
    assert!(status.epsilon_spent.get() <= 1.0 && status.epsilon_spent.get() > 0.99);
    assert_eq!(status.rho_remaining, status.rho_cap.checked_sub(status.rho_spent).unwrap());
    // and it is a typed JSON object with exact decimals
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["rho_spent"], status.rho_spent.to_string());
}

#[test]
fn a_charge_without_a_release_is_spent_after_reopening() {
    let (_folder, path, mut ledger) = ledger(3.0);
    drop(ledger.charge(plan(1.0)).unwrap()); // as if the program had crashed here
    drop(ledger);
    let status = Ledger::open(&path).unwrap().status().unwrap();
    assert_eq!(status.rho_spent, plan(1.0).event().rho());
    assert_eq!(status.entries[1].released, None);
}

#[test]
fn a_refusal_says_what_is_left_and_what_spent_it() {
    let (_folder, _path, mut ledger) = ledger(2.0);
    ledger.charge(plan(1.5)).unwrap();
    let refusal = refused(ledger.charge(plan(1.5)));
    assert_eq!(refusal.reason, RefusalReason::AboveCap);
    assert_eq!(refusal.rho_requested, Some(plan(1.5).event().rho()));
    assert_eq!(refusal.rho_spent, plan(1.5).event().rho());
    assert_eq!(refusal.charges.len(), 1);
    assert_eq!(refusal.charges[0].seq, 1);
    let text = refusal.to_string();
    for word in ["1.5", "cap", "entry 1 at 20", "still affordable"] {
        assert!(text.contains(word), "{text}");
    }
    // What it calls affordable is accepted, and nearly empties the budget.
    let affordable = refusal.epsilon_affordable.unwrap();
    ledger.charge(plan(affordable.get())).unwrap();
    let status = ledger.status().unwrap();
    assert!(status.epsilon_spent <= status.epsilon_cap);
    assert!(status.epsilon_spent.get() > 1.9999);
}

#[test]
fn an_exhausted_ledger_affords_nothing_or_next_to_nothing() {
    let (_folder, _path, mut ledger) = ledger(1.0);
    ledger.charge(plan(1.0)).unwrap();
    let status = ledger.status().unwrap();
    assert!(status.epsilon_affordable.is_none_or(|epsilon| epsilon.get() < 1e-3), "{status:?}");
    let refusal = refused(ledger.charge(plan(0.5)));
    assert_eq!(refusal.rho_remaining, status.rho_remaining);
}

#[test]
fn plans_on_other_terms_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    let mut ledger = Ledger::create(&path, &policy(4.0, 1.0), "p", PUBLIC_SIZE).unwrap();
    let before = ledger.status().unwrap();

    let other = SumRequest { delta: Delta::new(1e-3).unwrap(), ..request(0.5) };
    let refusal = refused(ledger.charge(ReleasePlan::gaussian_sums(other).unwrap()));
    assert!(matches!(refusal.reason, RefusalReason::DeltaMismatch { .. }));

    let refusal = refused(ledger.charge(plan(1.1)));
    assert!(matches!(refusal.reason, RefusalReason::AboveReleaseMaximum { .. }));
    assert_eq!(refusal.epsilon_affordable.unwrap().get(), 1.0);
    assert!(refusal.to_string().contains("at most epsilon 1 for one release"));

    assert_eq!(ledger.status().unwrap(), before, "a refusal leaves no trace");
    ledger.charge(plan(1.0)).unwrap();
}

#[test]
fn sixteen_threads_cannot_share_the_same_remainder() {
    let (_folder, path, mut first) = ledger(2.0);
    first.charge(plan(0.7)).unwrap();
    let one = plan(0.5).event().rho();
    let remaining = first.status().unwrap().rho_remaining;
    let affordable = (1..).take_while(|&n| one.times(n).unwrap() <= remaining).count();
    assert!((3..16).contains(&affordable), "{affordable}");

    let barrier = Barrier::new(16);
    let succeeded = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Ledger::open(&path).unwrap();
                    barrier.wait();
                    match own.charge(plan(0.5)) {
                        Ok(_) => true,
                        Err(ChargeError::Refused(_)) => false,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&ok| ok).count()
    });
    assert_eq!(succeeded, affordable);
    let status = Ledger::open(&path).unwrap().status().unwrap();
    assert_eq!(status.entries.len(), 2 + affordable);
    assert!(status.rho_spent <= status.rho_cap);
}

#[test]
fn a_ledger_is_never_overwritten() {
    let (_folder, path, mut ledger) = ledger(2.0);
    ledger.charge(plan(1.0)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Ledger::create(&path, &policy(8.0, 8.0), "again", 100).unwrap_err();
    assert!(matches!(error, LedgerError::AlreadyExists { .. }));
    assert_eq!(fs::read(&path).unwrap(), before);
    // and a failed or finished creation leaves nothing behind in the folder
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn only_one_of_many_creators_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    let created = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Ledger::create(&path, &policy(1.0, 1.0), "p", 100).is_ok()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&ok| ok).count()
    });
    assert_eq!(created, 1);
    Ledger::open(&path).unwrap();
}

#[test]
fn senseless_terms_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    for name in ["", "two words", "new\nline", &"x".repeat(65)] {
        let error = Ledger::create(&path, &policy(1.0, 1.0), name, 100).unwrap_err();
        assert!(matches!(error, LedgerError::Population { .. }), "{error}");
    }
    let error = Ledger::create(&path, &policy(1.0, 1.0), "p", 1).unwrap_err();
    assert!(matches!(error, LedgerError::Policy(_)), "{error}");
    let nowhere = folder.path().join("no/such/folder/l");
    let error = Ledger::create(&nowhere, &policy(1.0, 1.0), "p", 100).unwrap_err();
    assert!(matches!(error, LedgerError::Io { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn what_is_no_ledger_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);

    let error = Ledger::open(at("missing")).unwrap_err();
    assert!(
        matches!(error, LedgerError::Missing { .. }) && error.to_string().contains("restored"),
        "{error}"
    );
    assert!(!at("missing").exists(), "opening must not create");

    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), "version = 1\nname = \"demo\"\n").unwrap();
    fs::write(at("short"), "SQLite format 3\0").unwrap();
    fs::create_dir(at("folder")).unwrap();
    let other = rusqlite::Connection::open(at("other")).unwrap();
    other.execute_batch("CREATE TABLE entries (seq INTEGER)").unwrap();
    drop(other);
    for (name, word) in [
        ("empty", "it is empty"),
        ("text", "does not begin"),
        ("folder", "folder"),
        ("other", "another program"),
    ] {
        let error = Ledger::open(at(name)).unwrap_err();
        assert!(matches!(error, LedgerError::NotALedger { .. }), "{name}: {error}");
        assert!(error.to_string().contains(word), "{name}: {error}");
        assert!(error.is_integrity_failure());
    }
    assert!(Ledger::open(at("short")).unwrap_err().is_integrity_failure());
}

#[test]
fn another_schema_version_is_refused() {
    let (_folder, path, ledger) = ledger(1.0);
    drop(ledger);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, LedgerError::SchemaVersion { found: 4, expected: 3 }), "{error}");
}

/// Every way to edit a ledger with an SQLite shell, and what it must not achieve.
#[test]
fn an_edited_ledger_is_refused() {
    for edit in [
        "DELETE FROM entries WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 2; UPDATE head SET seq = 1",
        "DELETE FROM entries",
        "DELETE FROM head",
        "UPDATE head SET seq = 1",
        "UPDATE entries SET body = replace(body, '\"rho\":\"0', '\"rho\":\"-0') WHERE seq = 1",
        "UPDATE entries SET body = replace(body, 'noise_multiplier\":', 'noise_multiplier\":NaN,\"x\":') WHERE seq = 1",
        "UPDATE entries SET body = replace(body, '\"epsilon_cap\":2.0', '\"epsilon_cap\":9.0') WHERE seq = 0",
        "UPDATE entries SET kind = 'refund' WHERE seq = 1",
        "UPDATE entries SET kind = 'release' WHERE seq = 1",
        "UPDATE entries SET recorded_at = '2001-01-01T00:00:00Z' WHERE seq = 1",
        "UPDATE entries SET seq = 7 WHERE seq = 2",
        "UPDATE entries SET body = x'00' WHERE seq = 1",
        "UPDATE entries SET hash = upper(hash) WHERE seq = 1",
        "CREATE TRIGGER forget AFTER INSERT ON entries BEGIN DELETE FROM entries WHERE seq = new.seq; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE head; CREATE TABLE head (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL)",
    ] {
        let (_folder, path, mut ledger) = ledger(2.0);
        ledger.charge(plan(1.0)).unwrap();
        ledger.charge(plan(1.0)).unwrap();
        drop(ledger);
        let shell = rusqlite::Connection::open(&path).unwrap();
        // Whoever edits the file first drops the triggers that forbid it, and puts them back after.
        let triggers: Vec<(String, String)> = shell
            .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(triggers.len(), 2);
        for (name, _) in &triggers {
            shell.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        let edited = shell.execute_batch(edit);
        for (_, sql) in &triggers {
            shell.execute_batch(sql).unwrap();
        }
        drop(shell);
        if edited.is_err() {
            continue; // SQLite's own checks forbid it
        }
        let error = Ledger::open(&path).unwrap_err();
        assert!(matches!(error, LedgerError::Corrupt { .. }), "{edit}: {error:?}");
    }
}

#[test]
fn the_file_itself_forbids_changing_entries() {
    let (_folder, path, _ledger) = ledger(2.0);
    let shell = rusqlite::Connection::open(&path).unwrap();
    for edit in ["DELETE FROM entries", "UPDATE entries SET body = '{}'"] {
        assert!(shell.execute_batch(edit).unwrap_err().to_string().contains("never"), "{edit}");
    }
}

#[test]
fn corruption_between_open_and_charge_is_noticed() {
    let (_folder, path, mut ledger) = ledger(2.0);
    ledger.charge(plan(0.5)).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("UPDATE head SET seq = 0").unwrap();
    assert!(matches!(ledger.charge(plan(0.5)), Err(ChargeError::Ledger(LedgerError::Corrupt { .. }))));
    assert!(ledger.status().is_err());
}

/// A flipped byte is noticed or makes no difference; it never shows less spent, another cap or another head.
#[test]
fn flipped_bytes_are_detected_or_harmless() {
    let (_folder, path, mut ledger) = ledger(3.0);
    release(&mut ledger, 1.0, b"the released head");
    ledger.amend(Some(&policy(2.5, 1.0)), Some(PUBLIC_SIZE), "caution").unwrap();
    ledger.charge(plan(0.5)).unwrap();
    let look = |ledger: &Ledger| Ok::<_, LedgerError>((ledger.status()?, ledger.find_release(&plan(1.0))?));
    let honest = look(&ledger).unwrap();
    let honest_artifact = honest.1.as_ref().unwrap().artifact.clone();
    assert_eq!(honest_artifact.as_deref(), Some(&b"the released head"[..]));
    drop(ledger);
    let original = fs::read(&path).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    let (mut detected, mut harmless) = (0, 0);
    for (at, &byte) in original.iter().enumerate() {
        // All bytes that hold something, and a sample of the empty space.
        if byte == 0 && at > 100 && at % 499 != 0 {
            continue;
        }
        let mut bytes = original.clone();
        bytes[at] ^= [0x01, 0x80, 0xff, 0x10, 0x02, 0x40, 0x04, 0x20, 0x08][at % 9];
        fs::write(&copy, &bytes).unwrap();
        match Ledger::open(&copy).and_then(|ledger| look(&ledger)) {
            Ok((status, release)) => {
                if let Some(bytes) = release.as_ref().and_then(|found| found.artifact.as_ref()) {
                    assert_eq!(Some(bytes), honest_artifact.as_ref(), "byte {at}");
                }
                // The key of the kept artifact may be lost, and with it the artifact; its digest is not.
                let stored = release.map(|mut found| {
                    found.artifact = honest_artifact.clone();
                    found
                });
                assert!((status, stored) == honest, "byte {at}");
                harmless += 1;
            }
            Err(_) => detected += 1,
        }
        for leftover in ["copy-journal", "copy-wal", "copy-shm"] {
            let _ = fs::remove_file(elsewhere.path().join(leftover));
        }
    }
    println!("{} bytes: {detected} flips detected, {harmless} harmless", original.len());
    assert!(detected > 5 * harmless, "{detected} {harmless}");
}

#[test]
fn a_truncated_file_is_refused() {
    let (_folder, path, mut ledger) = ledger(3.0);
    release(&mut ledger, 1.0, b"abc");
    drop(ledger);
    let original = fs::read(&path).unwrap();
    for length in (0..original.len()).step_by(509).chain([original.len() - 1]) {
        fs::write(&path, &original[..length]).unwrap();
        // What is missing may be the end of the kept artifact, which is checked when it is asked for.
        let error = Ledger::open(&path).and_then(|ledger| ledger.find_release(&plan(1.0))).unwrap_err();
        assert!(error.is_integrity_failure(), "{length}: {error:?}");
    }
}

#[test]
fn an_old_copy_is_recognized_by_a_witness() {
    let (folder, path, mut ledger) = ledger(3.0);
    let old = folder.path().join("old");
    ledger.charge(plan(0.5)).unwrap();
    fs::copy(&path, &old).unwrap();
    let witness = *ledger.charge(plan(0.6)).unwrap().witness();
    ledger.verify_witness(witness.seq, &witness.hash).unwrap();

    let another_user = Marks::in_folder(folder.path().join("another-user"));
    let mut old = Ledger::open(&old).unwrap().with_marks(another_user);
    let error = old.verify_witness(witness.seq, &witness.hash).unwrap_err();
    assert!(matches!(error, LedgerError::RolledBack { head: 1, witness: 2 }), "{error}");
    // Going on from the old copy makes a fork.
    old.charge(plan(0.6)).unwrap();
    let error = old.verify_witness(witness.seq, &witness.hash).unwrap_err();
    assert!(matches!(error, LedgerError::Forked { seq: 2, .. }), "{error}");
    assert!(error.is_integrity_failure());
    assert!(matches!(
        old.verify_witness(u64::MAX, &witness.hash),
        Err(LedgerError::RolledBack { witness: u64::MAX, .. })
    ));
}

#[test]
fn a_receipt_counts_once_and_in_its_own_ledger() {
    let (_folder, path, mut ledger) = ledger(3.0);
    let (_other_folder, _other_path, mut other) = common::ledger(3.0);
    other.charge(plan(0.5)).unwrap();
    let receipt = ledger.charge(plan(0.5)).unwrap().into_mechanism().unwrap().finish();
    let error = other.record_release(receipt, b"abc").unwrap_err();
    assert!(matches!(error, LedgerError::Receipt { .. }), "{error}");

    let status = Ledger::open(&path).unwrap().status().unwrap();
    assert!(status.entries.iter().all(|entry| entry.released.is_none()));
}

#[test]
fn a_busy_ledger_waits_its_turn() {
    let (_folder, path, mut ledger) = ledger(3.0);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.charge(plan(0.5)).map(|charged| charged.witness().seq));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!waiting.is_finished());
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn the_cap_is_the_largest_rho_of_the_policy() {
    let (_folder, _path, ledger) = ledger(3.0);
    let status = ledger.status().unwrap();
    assert_eq!(status.rho_cap, largest_rho(status.epsilon_cap, status.delta).unwrap());
    assert_eq!(status.rho_spent, Rho::ZERO);
    assert_eq!(status.epsilon_spent.get(), 0.0);
    assert_eq!(status.epsilon_affordable.unwrap(), status.epsilon_cap);
    assert_eq!(status.head.seq, 0);
    let text = status.head.hash.to_string();
    assert_eq!(text.parse::<Digest>().unwrap(), status.head.hash);
}

/// Prints the time of a charge.
#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn a_charge_takes_milliseconds() {
    let (_folder, _path, mut ledger) = ledger(3.0);
    let start = std::time::Instant::now();
    let plans: Vec<_> = (0..20).map(|_| plan(0.1)).collect();
    println!("planning: {:.2} ms", start.elapsed().as_secs_f64() * 1e3 / 20.0);
    let start = std::time::Instant::now();
    for plan in plans {
        ledger.charge(plan).unwrap();
    }
    let each = start.elapsed().as_secs_f64() / 20.0;
    println!("charge: {:.2} ms", each * 1e3);
    assert!(each < 1.0, "{each} s");
}

fn finished(result: Result<cryptotl_privacy::ChargedPlan, ChargeError>) -> StoredRelease {
    match result {
        Err(ChargeError::Finished(release)) => *release,
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn repeating_a_finished_run_gives_the_stored_release_at_no_charge() {
    let (_folder, path, mut ledger) = ledger(3.0);
    ledger.charge(plan(1.0)).unwrap(); // a run that was killed: charged again when it is repeated
    assert_eq!(ledger.find_release(&plan(1.0)).unwrap(), None);
    release(&mut ledger, 1.0, b"the head");
    let before = ledger.status().unwrap();

    let mut other_process = Ledger::open(&path).unwrap();
    let stored = finished(other_process.charge(plan(1.0)));
    assert_eq!(stored.artifact.as_deref(), Some(&b"the head"[..]));
    assert_eq!(stored.digest, Digest::of_bytes(b"the head").to_string());
    assert_eq!((stored.charge.seq, stored.charge.hash), (2, before.entries[2].hash));
    assert_eq!(ledger.find_release(&plan(1.0)).unwrap(), Some(stored));
    assert_eq!(ledger.status().unwrap(), before, "nothing was charged");

    // Another description is another run, even with the same numbers.
    let mut request = request(1.0);
    request.description.insert("run".to_owned(), "second".to_owned());
    ledger.charge(ReleasePlan::gaussian_sums(request).unwrap()).unwrap();
    let runs: Vec<Option<Digest>> = ledger.status().unwrap().entries.iter().map(|entry| entry.run).collect();
    assert_eq!(runs[1], runs[2], "the same plan");
    assert!(runs[1].is_some() && runs[1] != runs[4] && runs[0].is_none(), "{runs:?}");
}

#[test]
fn a_large_release_is_known_by_its_digest_alone() {
    let (_folder, _path, mut ledger) = ledger(3.0);
    let large = vec![7; MAX_ARTIFACT_BYTES + 1];
    release(&mut ledger, 1.0, &large);
    let stored = finished(ledger.charge(plan(1.0)));
    assert_eq!((stored.artifact, stored.digest), (None, Digest::of_bytes(&large).to_string()));
    release(&mut ledger, 0.9, &large[1..]);
    assert_eq!(finished(ledger.charge(plan(0.9))).artifact.as_deref(), Some(&large[1..]));
}

#[test]
fn a_kept_artifact_with_other_bytes_is_refused() {
    let (_folder, path, mut ledger) = ledger(3.0);
    release(&mut ledger, 1.0, b"the head");
    rusqlite::Connection::open(&path).unwrap().execute_batch("UPDATE artifacts SET bytes = x'00'").unwrap();
    assert!(matches!(ledger.charge(plan(1.0)), Err(ChargeError::Ledger(LedgerError::Corrupt { .. }))));
}

#[test]
fn terms_change_by_an_entry_that_stays_visible() {
    let (_folder, path, mut ledger) = ledger(1.0);
    ledger.charge(plan(1.0)).unwrap();
    let spent = ledger.status().unwrap().rho_spent;
    refused(ledger.charge(plan(0.9)));
    let witness = ledger
        .amend(Some(&policy(2.0, 1.5)), Some(PUBLIC_SIZE), "the board agreed on a second study")
        .unwrap();
    assert_eq!(witness.seq, 2);
    ledger.charge(plan(0.9)).unwrap();

    let status = Ledger::open(&path).unwrap().status().unwrap();
    assert_eq!((status.epsilon_cap.get(), status.policy.epsilon_per_release_max().get()), (2.0, 1.5));
    assert_eq!(status.rho_cap, largest_rho(status.epsilon_cap, status.delta).unwrap());
    assert_eq!(status.rho_spent, spent.checked_add(plan(0.9).event().rho()).unwrap());
    let entry = &status.entries[2];
    assert_eq!((entry.kind, entry.epsilon_cap.unwrap().get()), (EntryKind::Amendment, 2.0));
    assert_eq!(entry.reason.as_deref(), Some("the board agreed on a second study"));

    // A cap below what was spent leaves nothing.
    ledger.amend(Some(&policy(0.5, 0.5)), Some(PUBLIC_SIZE), "caution").unwrap();
    let status = ledger.status().unwrap();
    assert_eq!((status.rho_remaining, status.epsilon_affordable), (Rho::ZERO, None));
    refused(ledger.charge(plan(0.1)));
}

#[test]
fn a_larger_population_gets_a_smaller_delta() {
    let (_folder, path, mut ledger) = ledger(2.0);
    ledger.charge(plan(1.0)).unwrap();
    let before = ledger.status().unwrap();
    ledger.amend(Some(&policy(2.0, 2.0)), Some(10 * PUBLIC_SIZE), "a second clinic joined").unwrap();
    let after = Ledger::open(&path).unwrap().status().unwrap();
    assert!(
        after.delta < before.delta
            && after.rho_cap < before.rho_cap
            && after.epsilon_spent > before.epsilon_spent
    );
    assert_eq!(after.rho_spent, before.rho_spent, "the loss is the same, only its name in epsilon changes");
    assert!(matches!(refused(ledger.charge(plan(0.5))).reason, RefusalReason::DeltaMismatch { .. }));
    let request = SumRequest { delta: after.delta, ..request(0.5) };
    ledger.charge(ReleasePlan::gaussian_sums(request).unwrap()).unwrap();
    Ledger::open(&path).unwrap();
}

#[test]
fn amendments_that_make_no_sense_are_refused() {
    let (_folder, _path, mut ledger) = ledger(2.0);
    let before = ledger.status().unwrap();
    let person = policy_for("person:4", "add-remove", 2.0, 2.0);
    let replace = policy_for("record", "replace", 2.0, 2.0);
    let reason = "x".repeat(201);
    for (policy, size, reason, word) in [
        (&person, PUBLIC_SIZE, "why not", "person:4"),
        (&replace, PUBLIC_SIZE, "why not", "replace"),
        (&policy(2.0, 2.0), PUBLIC_SIZE, "why not", "already"),
        (&policy(3.0, 2.0), PUBLIC_SIZE, "", "reason"),
        (&policy(3.0, 2.0), PUBLIC_SIZE, "  ", "reason"),
        (&policy(3.0, 2.0), PUBLIC_SIZE, "two\nlines", "reason"),
        (&policy(3.0, 2.0), PUBLIC_SIZE, &reason, "reason"),
        (&policy(3.0, 2.0), 1, "why not", "at least 2"),
    ] {
        let error = ledger.amend(Some(policy), Some(size), reason).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(ledger.status().unwrap(), before);
}

#[test]
fn plans_for_another_unit_or_adjacency_are_refused() {
    let (_folder, _path, mut ledger) = ledger(2.0);
    let other = SumRequest { unit: "person:2".parse().unwrap(), ..request(0.5) };
    let refusal = refused(ledger.charge(ReleasePlan::gaussian_sums(other).unwrap()));
    assert!(matches!(refusal.reason, RefusalReason::UnitMismatch { .. }));
    let other = SumRequest { adjacency: Adjacency::Replace, ..request(0.5) };
    let refusal = refused(ledger.charge(ReleasePlan::gaussian_sums(other).unwrap()));
    assert!(matches!(refusal.reason, RefusalReason::AdjacencyMismatch { .. }));
}

/// A ledger of schema version 1 as the program of that time wrote it: two charges, two releases.
#[test]
fn a_ledger_of_the_first_schema_is_read_as_it_is_and_migrated_by_the_first_charge() {
    const OLD: &[u8] = include_bytes!("../vectors/schema-1.ledger");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    fs::write(&path, OLD).unwrap();
    let marks = Marks::in_folder(folder.path().join("state"));
    let mut ledger = Ledger::open(&path).unwrap().with_marks(marks);
    ledger.verify_figures().unwrap();
    let status = ledger.status().unwrap();
    assert_eq!((status.population.as_str(), status.entries.len()), ("old-clinic", 5));
    assert_eq!(
        (status.rho_spent.to_string(), status.rho_cap.to_string()),
        ("0.16105419792".into(), "0.423312541705".into())
    );
    // The plan of its first charge has the same digest today.
    let description = [
        ("encoder", "all-MiniLM-L6-v2"),
        ("inputs", "embedding"),
        ("labels", "negative,positive"),
        ("lambda", "0.01"),
        ("learning-rate", "1"),
        ("method", "dp-fc"),
        ("rank", "16"),
    ];
    let description = description.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let first = SumRequest { dimension: 17, clipping_norm: 0.5, steps: 20, description, ..request(1.0) };
    let first = ReleasePlan::gaussian_sums(first).unwrap();
    let stored = ledger.find_release(&first).unwrap().unwrap();
    let digest = "2698745ebe5bc818a74d4c316c4e7db34c58975f51233911efca93a2c3d287f6";
    assert_eq!((stored.charge.seq, stored.digest.as_str(), stored.artifact), (1, digest, None));
    assert_eq!(fs::read(&path).unwrap(), OLD, "reading changes nothing");

    release(&mut ledger, 0.5, b"a new head");
    let migrated = Ledger::open(&path).unwrap();
    assert_eq!(finished(ledger.charge(first)).digest, digest);
    assert_eq!(
        migrated.find_release(&plan(0.5)).unwrap().unwrap().artifact.as_deref(),
        Some(&b"a new head"[..])
    );
    let after = migrated.status().unwrap();
    assert_eq!(after.entries[..5], status.entries[..]);
    migrated.verify_witness(status.head.seq, &status.head.hash).unwrap();
    let version: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 3);
}

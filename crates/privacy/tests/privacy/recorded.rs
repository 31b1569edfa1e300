//! What is written is read back, by everybody who opens the file: charges of any size, files that are not what they were,
//! and what others put beside a ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{self, PUBLIC_SIZE, ledger, plan, policy, sum_of};
use cryptotl_privacy::{
    Accountant, ChargeError, Delta, Description, Digest, EntryKind, Epsilon, Ledger, LedgerError, LedgerView,
    Marks, PlanError, Policy, PrivacyUnit, QueryRequest, ReleasePlan, Rho, SampledSumRequest, Status,
    SumRequest,
};
use proptest::prelude::*;

const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Charges, runs and records one release.
fn release(ledger: &mut Ledger, epsilon: f64, artifact: &[u8]) {
    let mut mechanism = ledger.charge(plan(epsilon)).unwrap().into_mechanism().unwrap();
    sum_of(&mut mechanism, &[]).unwrap();
    ledger.record_release(mechanism.finish(), artifact).unwrap();
}

/// The terms of the policies that ship, and of all kinds that there are.
fn any_policy() -> impl Strategy<Value = String> {
    let unit = prop_oneof![Just("record"), Just("person:1"), Just("person:4")];
    let adjacency = prop_oneof![Just("add-remove"), Just("replace")];
    let accountant = prop_oneof![Just("zcdp"), Just("gdp")];
    let delta = prop_oneof![
        (1.01..3.0_f64).prop_map(|exponent| format!("{{ exponent = {exponent:?} }}")),
        (-14.0..-12.5_f64).prop_map(|log| format!("{:e}", 10_f64.powf(log))),
    ];
    (unit, adjacency, accountant, delta, -2.0..1.0_f64).prop_map(
        |(unit, adjacency, accountant, delta, log_cap)| {
            let cap = 10_f64.powf(log_cap);
            format!(
                "version = 1\nname = \"any\"\nunit = \"{unit}\"\nadjacency = \"{adjacency}\"\n\
                 accountant = \"{accountant}\"\nepsilon_cap = {cap:?}\n\
                 epsilon_per_release_max = {:?}\ndelta = {delta}\n",
                cap / 2.0
            )
        },
    )
}

/// A plan under a ledger's terms.
fn plan_of(status: &Status, kind: u8, epsilon: f64, steps: u32) -> Result<ReleasePlan, PlanError> {
    let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), status.delta);
    let (unit, adjacency) = (status.policy.unit(), status.policy.adjacency());
    let description = Description::new();
    if kind == 1 && status.policy.accountant() == Accountant::Zcdp {
        return ReleasePlan::counts(QueryRequest { epsilon, delta, size: 4, unit, adjacency, description });
    }
    ReleasePlan::gaussian_sums(SumRequest {
        epsilon,
        delta,
        accountant: status.policy.accountant(),
        dimension: 17,
        clipping_norm: 1.0,
        slack: 0.0,
        steps,
        unit,
        adjacency,
        description,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_ledger_that_accepted_a_charge_opens_again_and_shows_it(
        policy in any_policy(),
        log_size in 1.0..40.0_f64,
        asked in prop::collection::vec((-12.0..1.0_f64, 0..2_u8, 1..1000_u32), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let policy = Policy::from_toml(&policy).unwrap();
        // A policy may not suit a size, or leave nothing to spend; then there is no ledger.
        let Ok(mut ledger) = Ledger::create(&path, &policy, "p", log_size.exp2() as u64) else {
            prop_assert!(!path.exists());
            return Ok(());
        };
        let status = ledger.status().unwrap();
        let mut charged = 0;
        for (log_epsilon, kind, steps) in asked {
            let Ok(plan) = plan_of(&status, kind, 10_f64.powf(log_epsilon), steps) else { continue };
            match ledger.charge(plan.clone()) {
                Ok(paid) => {
                    charged += 1;
                    let view = LedgerView::open(&path).unwrap();
                    view.verify_figures().unwrap();
                    let shown = view.status().unwrap();
                    let entry = &shown.entries[paid.witness().seq as usize];
                    prop_assert_eq!(entry.epsilon, Some(plan.guarantee().epsilon));
                    prop_assert!(entry.epsilon > Some(Epsilon::ZERO));
                    prop_assert_eq!(shown.entries.len(), 1 + charged);
                    prop_assert!(shown.rho_spent <= shown.rho_cap);
                }
                Err(ChargeError::Refused(_)) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
        // What it calls affordable is accepted, until there is nothing that is.
        for steps in [1, 20, 1000] {
            let Some(epsilon) = ledger.status().unwrap().epsilon_affordable else { break };
            let plan = plan_of(&status, 0, epsilon.get(), steps).unwrap();
            ledger.charge(plan).unwrap();
        }
        prop_assert!(LedgerView::open(&path).unwrap().status().unwrap().rho_spent <= status.rho_cap);
    }
}

#[test]
fn an_epsilon_that_delta_alone_covers_is_refused_with_one_that_is_enough() {
    let mut refused = 0;
    for (public_size, epsilon, steps) in
        [(700, 1e-9, 997), (700, 1e-8, 997), (10, 1e-7, 997), (10, 1e-5, 20), (2, 1e-12, 1), (2, 1e-12, 997)]
    {
        let delta = policy(1.0, 1.0).delta(public_size).unwrap();
        let epsilon = Epsilon::new(epsilon).unwrap();
        let request = SumRequest { delta, epsilon, steps, ..common::request(1.0) };
        match ReleasePlan::gaussian_sums(request.clone()) {
            Ok(plan) => assert!(plan.guarantee().epsilon > Epsilon::ZERO),
            Err(PlanError::NoEpsilon { enough: Some(enough), asked, .. }) => {
                assert!(asked == epsilon && enough > asked);
                ReleasePlan::gaussian_sums(SumRequest { epsilon: enough, ..request }).unwrap();
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused >= 2, "{refused}");
    let sampled = |epsilon: f64| {
        ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
            epsilon: Epsilon::new(epsilon).unwrap(),
            delta: Delta::new(0.4).unwrap(),
            dimension: 1,
            clipping_norm: 1.0,
            sampling_rate: 0.01,
            steps: 1,
            order: 32.try_into().unwrap(),
            unit: PrivacyUnit::Record,
            description: Description::new(),
        })
    };
    for epsilon in [1e-9, 1e-3, 1.0] {
        if let Ok(plan) = sampled(epsilon) {
            assert!(plan.guarantee().epsilon > Epsilon::ZERO);
        }
    }
}

#[test]
fn parts_that_are_too_small_are_refused_with_an_epsilon_that_is_enough() {
    let delta = policy(1.0, 1.0).delta(10).unwrap();
    let of =
        |epsilon: Epsilon| cryptotl_privacy::epsilons_of_parts(Accountant::Zcdp, epsilon, delta, &[4, 4, 2]);
    let error = of(Epsilon::new(1e-5).unwrap()).unwrap_err();
    let cryptotl_privacy::AccountantError::SmallParts { enough, .. } = error else { panic!("{error}") };
    of(enough).unwrap();
}

/// A ledger with one release, and a copy of it from before that.
fn restored() -> (tempfile::TempDir, PathBuf, Vec<u8>, Ledger) {
    let (folder, path, mut ledger) = ledger(3.0);
    ledger.charge(plan(0.5)).unwrap();
    let old = fs::read(&path).unwrap();
    release(&mut ledger, 1.0, b"the head");
    (folder, path, old, ledger)
}

#[test]
fn an_older_copy_is_noticed_before_it_is_charged_and_accepted_with_a_trace() {
    let (_folder, path, old, ledger) = restored();
    let spent = ledger.status().unwrap().rho_spent;
    drop(ledger);
    fs::write(&path, &old).unwrap();
    let mut ledger = Ledger::open(&path).unwrap();
    // Whatever is asked, also for a run that was finished.
    for epsilon in [0.7, 1.0] {
        let refused = ledger.charge(plan(epsilon)).unwrap_err();
        let ChargeError::Ledger(error) = refused else { panic!("{refused}") };
        assert!(matches!(error, LedgerError::Behind { head: 1, mark: 3, .. }), "{error}");
        assert!(error.is_integrity_failure() && error.to_string().contains("accept-rollback"));
    }
    assert!(ledger.amend(None, Some(20_000), "growth").is_err());
    assert_eq!(fs::read(&path).unwrap(), old, "nothing was written");
    let error = LedgerView::open(&path).unwrap().verify_marks(&Marks::of_this_user()).unwrap_err();
    assert!(matches!(error, LedgerError::Behind { .. }), "{error}");

    ledger.accept_rollback("the disk of the server was lost").unwrap();
    let after = ledger.status().unwrap();
    assert_eq!(after.rho_spent, spent, "what was lost is spent");
    let entry = after.entries.last().unwrap();
    assert_eq!(
        (entry.kind, entry.reason.as_deref()),
        (EntryKind::Rollback, Some("the disk of the server was lost"))
    );
    assert!(matches!(ledger.accept_rollback("again"), Err(LedgerError::NothingLost)));
    ledger.charge(plan(0.6)).unwrap();
    LedgerView::open(&path).unwrap().verify_marks(&Marks::of_this_user()).unwrap();
}

#[test]
fn a_copy_that_went_on_elsewhere_is_taken_and_one_that_was_replaced_is_not() {
    let (folder, path, old, mut here) = restored();
    let machine = |name: &str| Marks::in_folder(folder.path().join(name));
    // Another machine goes on from a copy; then its copy comes back here.
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    let mut there = Ledger::open(&copy).unwrap().with_marks(machine("there"));
    there.charge(plan(0.3)).unwrap();
    drop(there);
    let mut back = Ledger::open(&copy).unwrap();
    back.charge(plan(0.2)).unwrap();
    // The ledger here is now older than what was seen.
    assert!(matches!(here.charge(plan(0.1)), Err(ChargeError::Ledger(LedgerError::Behind { .. }))));
    drop((here, back));

    // An older copy that was charged elsewhere, until it is as long.
    let other = folder.path().join("other");
    fs::write(&other, &old).unwrap();
    let mut fork = Ledger::open(&other).unwrap().with_marks(machine("fork"));
    for epsilon in [0.11, 0.12, 0.13, 0.14, 0.15] {
        fork.charge(plan(epsilon)).unwrap();
    }
    let before = fork.status().unwrap().rho_spent;
    drop(fork);
    let mut fork = Ledger::open(&other).unwrap();
    let error = fork.charge(plan(0.1)).unwrap_err();
    assert!(matches!(error, ChargeError::Ledger(LedgerError::Diverged { .. })), "{error}");
    fork.accept_rollback("two copies were charged").unwrap();
    let lost = fork.status().unwrap().rho_spent.checked_sub(before).unwrap();
    let least = [1.0, 0.3, 0.2].map(|epsilon| plan(epsilon).event().rho()).into_iter();
    assert!(lost >= least.fold(Rho::ZERO, |sum, rho| sum.checked_add(rho).unwrap()));
}

#[test]
fn marks_follow_many_threads_and_fail_nothing_where_there_is_no_place_for_them() {
    let (folder, path, _ledger) = ledger(6.0);
    let marks = Marks::in_folder(folder.path().join("state"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (path, marks) = (&path, &marks);
            scope.spawn(move || {
                let mut own = Ledger::open(path).unwrap().with_marks(marks.clone());
                for run in 0..3 {
                    own.charge(plan(0.1 + 0.01 * f64::from(thread * 3 + run))).unwrap();
                    assert_eq!(own.unmarked(), None);
                }
            });
        }
    });
    let view = LedgerView::open(&path).unwrap();
    view.verify_marks(&marks).unwrap();
    let genesis = view.status().unwrap().entries[0].hash.to_string();
    let mark = fs::read_to_string(folder.path().join("state/ledgers").join(&genesis)).unwrap();
    assert!(mark.contains(&view.status().unwrap().head.hash.to_string()), "{mark}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.path().join("state/ledgers").join(&genesis)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    // A file stands where a folder should be.
    fs::write(folder.path().join("file"), "").unwrap();
    let mut nowhere = Ledger::open(&path).unwrap().with_marks(Marks::in_folder(folder.path().join("file")));
    nowhere.charge(plan(0.3)).unwrap();
    assert!(nowhere.unmarked().is_some());
    // A mark that makes no sense is not passed over.
    fs::write(folder.path().join("state/ledgers").join(&genesis), "{}").unwrap();
    let mut ledger = Ledger::open(&path).unwrap().with_marks(marks);
    let error = ledger.charge(plan(0.3)).unwrap_err();
    assert!(matches!(error, ChargeError::Ledger(LedgerError::Mark { .. })), "{error}");
}

/// Copies a ledger in the middle of a transaction, as a crash would leave it.
fn broken_off(path: &Path, to: &Path) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    transaction
        .execute_batch("INSERT INTO entries VALUES (9, 'charge', '{}', '', '', 'x'); UPDATE head SET seq = 9")
        .unwrap();
    transaction.cache_flush().unwrap();
    fs::copy(path, to).unwrap();
    fs::copy(path.with_extension("ledger-journal"), beside(to, "-journal")).unwrap();
    transaction.rollback().unwrap();
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[test]
fn a_write_that_was_broken_off_is_told_to_readers_and_mended_by_writers() {
    let (folder, path, mut ledger) = ledger(3.0);
    ledger.charge(plan(0.5)).unwrap();
    let before = ledger.status().unwrap();
    let hot = folder.path().join("hot.ledger");
    broken_off(&path, &hot);
    let bytes = || (fs::read(&hot).unwrap(), fs::read(beside(&hot, "-journal")).unwrap());
    let found = bytes();
    let error = LedgerView::open(&hot).unwrap_err();
    assert!(matches!(error, LedgerError::Journal { .. }), "{error}");
    assert!(error.is_integrity_failure() && error.to_string().contains("ledger recover"));
    assert_eq!(bytes(), found, "reading writes nothing");
    let (recovered, was_broken_off) = Ledger::recover(&hot).unwrap();
    assert!(was_broken_off && recovered.status().unwrap() == before);
    assert!(!Ledger::recover(&hot).unwrap().1);
    assert_eq!(LedgerView::open(&hot).unwrap().status().unwrap(), before);
    // The next charge does the same by itself.
    broken_off(&path, &hot);
    Ledger::open(&hot).unwrap().charge(plan(0.4)).unwrap();
}

#[test]
fn a_journal_that_names_a_file_deletes_none() {
    let (folder, path, mut ledger) = ledger(3.0);
    ledger.charge(plan(0.5)).unwrap();
    let hot = folder.path().join("hot.ledger");
    let victim = folder.path().join("victim");
    fs::write(&victim, "dear").unwrap();
    broken_off(&path, &hot);
    let journal = beside(&hot, "-journal");
    let name = victim.display().to_string();
    let checksum: u32 = name.bytes().map(u32::from).sum();
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend(0x4000_0000_u32.div_ceil(4096).to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(checksum.to_be_bytes());
    bytes.extend(JOURNAL_MAGIC);
    fs::write(&journal, &bytes).unwrap();
    for error in [
        LedgerView::open(&hot).unwrap_err(),
        Ledger::open(&hot).unwrap_err(),
        Ledger::recover(&hot).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Beside { .. }) && error.is_integrity_failure(), "{error}");
    }
    assert!(victim.exists() && journal.exists());
    // Put beside a ledger that is open, it is found as well.
    fs::write(beside(&path, "-journal"), &bytes).unwrap();
    assert!(matches!(ledger.charge(plan(0.4)), Err(ChargeError::Ledger(LedgerError::Beside { .. }))));
    assert!(matches!(ledger.status(), Err(LedgerError::Beside { .. })));
    assert!(victim.exists());
}

#[cfg(unix)]
#[test]
fn names_of_a_ledger() {
    let (folder, path, mut ledger) = ledger(3.0);
    // A symbolic link is followed: the journal is beside the file itself.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    Ledger::open(&link).unwrap().charge(plan(0.5)).unwrap();
    assert_eq!(LedgerView::open(&link).unwrap().status().unwrap().entries.len(), 2);
    // A second name is refused, under both names, also while it is open.
    let second = folder.path().join("second");
    fs::hard_link(&path, &second).unwrap();
    for name in [&path, &second] {
        assert!(matches!(LedgerView::open(name), Err(LedgerError::Linked { names: 2, .. })));
        assert!(matches!(Ledger::open(name), Err(LedgerError::Linked { names: 2, .. })));
    }
    assert!(matches!(ledger.charge(plan(0.4)), Err(ChargeError::Ledger(LedgerError::Linked { .. }))));
    fs::remove_file(second).unwrap();
    ledger.charge(plan(0.4)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_ledger_that_is_taken_away_between_charge_and_release_is_said_to_be() {
    for replaced in [false, true] {
        let (folder, path, mut ledger) = ledger(3.0);
        let receipt = ledger.charge(plan(0.5)).unwrap().into_mechanism().unwrap().finish();
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        if replaced {
            fs::copy(folder.path().join("elsewhere"), &path).unwrap();
        }
        let error = ledger.record_release(receipt, b"head").unwrap_err();
        assert!(matches!(error, LedgerError::Moved { .. }) && error.is_integrity_failure(), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_short_or_longer_is_corrupt() {
    let (_folder, path, mut ledger) = ledger(3.0);
    release(&mut ledger, 1.0, &[9; 5000]);
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    let lengths = [1, 2, 511, 4095, 4096, 4097, 8192].map(|cut| whole.len() - cut);
    for bytes in
        lengths.map(|length| whole[..length].to_vec()).into_iter().chain([[&whole[..], &[0]].concat()])
    {
        fs::write(&path, &bytes).unwrap();
        for error in [LedgerView::open(&path).unwrap_err(), Ledger::open(&path).unwrap_err()] {
            assert!(matches!(error, LedgerError::Corrupt { .. }), "{}: {error}", bytes.len());
        }
    }
}

#[test]
fn what_a_foreign_schema_says_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in [
        (
            "check",
            "CREATE TABLE entries (seq INTEGER, CHECK (length(hex(zeroblob(200000000 + seq))) > 0)); PRAGMA ignore_check_constraints = 1; INSERT INTO entries VALUES (1)",
        ),
        (
            "index",
            "CREATE TABLE entries (seq INTEGER); INSERT INTO entries VALUES (1); CREATE INDEX i ON entries (seq) WHERE seq > 0",
        ),
        ("view", "CREATE VIEW entries AS SELECT 1 AS seq"),
    ] {
        let path = folder.path().join(name);
        let shell = rusqlite::Connection::open(&path).unwrap();
        shell.execute_batch(sql).unwrap();
        shell.execute_batch("PRAGMA application_id = 0x43544C47; PRAGMA user_version = 3").unwrap();
        drop(shell);
        let start = Instant::now();
        for error in [LedgerView::open(&path).unwrap_err(), Ledger::open(&path).unwrap_err()] {
            assert!(error.to_string().contains("its tables are not those of a ledger"), "{name}: {error}");
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn artifacts_that_are_lost_or_altered_are_found() {
    for (edit, is_found) in [
        ("SELECT 1", false),
        ("DELETE FROM artifacts", true),
        ("UPDATE artifacts SET bytes = x'00'", true),
        ("INSERT INTO artifacts VALUES ('0', x'00')", true),
    ] {
        let (_folder, path, mut ledger) = ledger(3.0);
        release(&mut ledger, 1.0, b"the head");
        let shell = rusqlite::Connection::open(&path).unwrap();
        let _ = shell.execute_batch(edit);
        drop(shell);
        let found = LedgerView::open(&path).unwrap().verify_artifacts();
        assert_eq!(found.is_err(), is_found, "{edit}: {found:?}");
    }
    // Of one that is too large to keep, only the digest is known.
    let (_folder, path, mut ledger) = ledger(3.0);
    release(&mut ledger, 1.0, &vec![1; cryptotl_privacy::ledger::MAX_ARTIFACT_BYTES + 1]);
    LedgerView::open(&path).unwrap().verify_artifacts().unwrap();
}

#[test]
fn no_two_ledgers_and_no_two_charges_are_the_same() {
    let (_one, _, mut first) = ledger(3.0);
    let (_two, _, mut second) = ledger(3.0);
    let genesis = |ledger: &Ledger| -> Digest { ledger.status().unwrap().entries[0].hash };
    assert_ne!(genesis(&first), genesis(&second), "in the same minute, on the same terms");
    let charges = [&mut first, &mut second].map(|ledger| ledger.charge(plan(0.5)).unwrap().witness().hash);
    assert_ne!(charges[0], charges[1]);
    assert_eq!(first.status().unwrap().public_size, PUBLIC_SIZE);
}

//! Ledgers that were written once and must stay readable: every event and both accountants.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{self, gdp_policy, policy, request, sum_of};
use cryptotl_privacy::{
    Accountant, ChargeError, Description, EntryKind, Ledger, LedgerView, Marks, PartRequest, PrivacyUnit,
    QueryRequest, ReleasePlan, SampledSumRequest, SequenceRequest, SumRequest,
};

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// One plan of each event that a ledger of this policy takes, in the order of the stored file.
fn plans(ledger: &Ledger) -> Vec<ReleasePlan> {
    let status = ledger.status().unwrap();
    let accountant = status.policy.accountant();
    let sums = SumRequest { accountant, ..request(0.5) };
    let mut plans = vec![ReleasePlan::gaussian_sums(sums.clone()).unwrap()];
    let slack = SumRequest { slack: 0.25, steps: 7, ..sums.clone() };
    plans.push(ReleasePlan::gaussian_sums(slack).unwrap());
    if accountant == Accountant::Zcdp {
        plans.push(ReleasePlan::laplace_sums(sums.clone()).unwrap());
        let SumRequest { epsilon, delta, unit, adjacency, description, .. } = sums;
        let query = QueryRequest { epsilon, delta, size: 3, unit, adjacency, description };
        plans.push(ReleasePlan::counts(query.clone()).unwrap());
        plans.push(ReleasePlan::noisy_max(query).unwrap());
        plans.push(
            ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
                epsilon,
                delta,
                dimension: 3,
                clipping_norm: 0.5,
                sampling_rate: 0.125,
                steps: 32,
                order: status.sampling_order.unwrap(),
                unit: PrivacyUnit::Record,
                description: Description::new(),
            })
            .unwrap(),
        );
    }
    plans
}

/// The one plan of the file that was stored when sequences came.
fn sequence(ledger: &Ledger) -> ReleasePlan {
    let status = ledger.status().unwrap();
    let part =
        PartRequest { dimension: 3, clipping_norm: 0.5, sampling_rate: 1.0, steps: 4, relative_noise: 1.0 };
    ReleasePlan::sequence(SequenceRequest {
        epsilon: request(0.5).epsilon,
        delta: status.delta,
        parts: vec![part, PartRequest { sampling_rate: 0.125, steps: 32, ..part }],
        order: status.sampling_order.unwrap(),
        unit: PrivacyUnit::Record,
        description: Description::new(),
    })
    .unwrap()
}

#[test]
#[ignore = "writes the stored ledger of sequences"]
fn write_the_stored_ledger_of_sequences() {
    let path = std::env::temp_dir().join("sequence.ledger");
    let mut ledger = Ledger::create(&path, &policy(4.0, 2.0), "stored", common::PUBLIC_SIZE).unwrap();
    let plan = sequence(&ledger);
    let paid = ledger.charge(plan).unwrap().into_sequence().unwrap();
    ledger.record_release(paid.finish(), b"the first model").unwrap();
    ledger.amend(None, Some(20_000), "growth").unwrap();
    println!("{}", path.display());
}

#[test]
#[ignore = "writes the stored ledgers; once for each new event"]
fn write_the_stored_ledgers() {
    for (name, terms) in [("events.ledger", policy(4.0, 2.0)), ("gaussian.ledger", gdp_policy(4.0, 2.0))] {
        let path = std::env::temp_dir().join(name);
        let mut ledger = Ledger::create(&path, &terms, "stored", common::PUBLIC_SIZE).unwrap();
        for (index, plan) in plans(&ledger).into_iter().enumerate() {
            let charged = ledger.charge(plan).unwrap();
            if index == 0 {
                let mut mechanism = charged.into_mechanism().unwrap();
                sum_of(&mut mechanism, &[&[0.1, 0.2, 0.3]]).unwrap();
                ledger.record_release(mechanism.finish(), b"the first head").unwrap();
            }
        }
        ledger.amend(None, Some(20_000), "growth").unwrap();
        println!("{}", path.display());
    }
}

#[test]
#[ignore = "writes the stored ledger of the third schema"]
fn write_the_stored_ledger_of_the_third_schema() {
    let path = std::env::temp_dir().join("schema-3.ledger");
    let marks = Marks::in_folder(tempfile::tempdir().unwrap().path());
    let ledger = Ledger::create(&path, &policy(4.0, 2.0), "stored", common::PUBLIC_SIZE).unwrap();
    let mut ledger = ledger.with_marks(marks.clone());
    let mut mechanism = ledger.charge(common::plan(0.5)).unwrap().into_mechanism().unwrap();
    sum_of(&mut mechanism, &[&[0.1, 0.2, 0.3]]).unwrap();
    ledger.record_release(mechanism.finish(), b"the first head").unwrap();
    drop(ledger);
    let old = fs::read(&path).unwrap();
    Ledger::open(&path).unwrap().with_marks(marks.clone()).charge(common::plan(0.25)).unwrap();
    fs::write(&path, old).unwrap();
    let mut ledger = Ledger::open(&path).unwrap().with_marks(marks);
    ledger.accept_rollback("a disk was lost").unwrap();
    println!("{}", path.display());
}

#[test]
fn a_ledger_of_the_third_schema_is_read_verified_and_charged() {
    use EntryKind::{Charge, Genesis, Release, Rollback};
    let original = fs::read(vector("schema-3.ledger")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l");
    fs::write(&path, &original).unwrap();
    let view = LedgerView::open(&path).unwrap();
    view.verify_figures().unwrap();
    view.verify_artifacts().unwrap();
    let status = view.status().unwrap();
    let kinds: Vec<EntryKind> = status.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Genesis, Charge, Release, Rollback]);
    let [one, lost] = [0.5, 0.25].map(|epsilon| common::plan(epsilon).event().rho());
    assert_eq!(status.rho_spent, one.checked_add(lost).unwrap());
    assert_eq!(view.find_release(&common::plan(0.5)).unwrap().unwrap().artifact.unwrap(), b"the first head");
    assert_eq!(fs::read(&path).unwrap(), original, "reading changes nothing");
    let marks = Marks::in_folder(folder.path().join("state"));
    Ledger::open(&path).unwrap().with_marks(marks).charge(common::plan(0.75)).unwrap();
}

#[test]
fn stored_ledgers_are_read_as_they_are_verified_and_charged() {
    for (name, n_charges, rho_spent, epsilon_spent) in [
        ("events.ledger", 6, "0.062349766791", 2.012192412),
        ("gaussian.ledger", 2, "0.024687655636", 0.779225812),
        ("sequence.ledger", 1, "0.012331814336", 1.712084697),
    ] {
        let original = fs::read(vector(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &original).unwrap();
        let marks = Marks::in_folder(folder.path().join("state"));
        let mut ledger = Ledger::open(&path).unwrap().with_marks(marks);
        ledger.verify_figures().unwrap();
        let status = ledger.status().unwrap();
        let charges = status.entries.iter().filter(|entry| entry.kind == EntryKind::Charge);
        assert_eq!(charges.count(), n_charges, "{name}");
        assert_eq!(status.rho_spent.to_string(), rho_spent, "{name}");
        let found = status.epsilon_spent.get();
        assert!((found / epsilon_spent - 1.0).abs() < 1e-6, "{name}: {found}");
        assert_eq!(status.public_size, 20_000);
        assert_eq!(fs::read(&path).unwrap(), original, "reading changes nothing");
        // It goes on where it stopped.
        let delta = status.delta;
        let next = SumRequest { accountant: status.policy.accountant(), delta, ..request(0.25) };
        ledger.charge(ReleasePlan::gaussian_sums(next).unwrap()).unwrap();
        Ledger::open(&path).unwrap().verify_figures().unwrap();
    }
}

#[test]
fn a_restored_release_restores_no_budget() {
    let (_folder, path, mut ledger) = common::ledger(3.0);
    let mut mechanism = ledger.charge(common::plan(1.0)).unwrap().into_mechanism().unwrap();
    sum_of(&mut mechanism, &[&[0.1, 0.2, 0.3]]).unwrap();
    ledger.record_release(mechanism.finish(), b"the first head").unwrap();
    ledger.charge(common::plan(0.5)).unwrap();
    let spent = ledger.status().unwrap();
    // Whoever goes back to the first head finds the ledger where it was.
    let restored = ledger.find_release(&common::plan(1.0)).unwrap().unwrap();
    assert_eq!(restored.artifact.as_deref(), Some(&b"the first head"[..]));
    ledger.verify_witness(restored.charge.seq, &restored.charge.hash).unwrap();
    assert!(matches!(ledger.charge(common::plan(1.0)), Err(ChargeError::Finished(_))));
    assert_eq!(Ledger::open(&path).unwrap().status().unwrap(), spent);
}

#[test]
fn a_ledger_holds_nothing_of_the_data_but_what_was_released() {
    let entries = |rows: &[&[f64]]| {
        let (_folder, path, mut ledger) = common::ledger(3.0);
        let mut mechanism = ledger.charge(common::plan(1.0)).unwrap().into_mechanism().unwrap();
        sum_of(&mut mechanism, rows).unwrap();
        ledger.record_release(mechanism.finish(), b"released").unwrap();
        drop(ledger);
        let connection = rusqlite::Connection::open(path).unwrap();
        let mut statement = connection.prepare("SELECT kind, body FROM entries ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let entries: Vec<(String, serde_json::Value)> = rows
            .map(|row| {
                let (kind, body): (String, String) = row.unwrap();
                (kind, serde_json::from_str(&body).unwrap())
            })
            .collect();
        entries
    };
    let (mut few, mut many) = (entries(&[&[0.5, 0.0, 0.1]]), entries(&[&[-0.2, 0.9, 7.0][..]; 50]));
    for side in [&mut few, &mut many] {
        assert_eq!(side.len(), 3);
        // What is random, and the hash of it.
        for (entry, field) in [(0, "nonce"), (1, "nonce"), (2, "charge_hash")] {
            side[entry].1.as_object_mut().unwrap().remove(field).unwrap();
        }
    }
    assert_eq!(few, many);
}

//! What the test files share: a policy, a ledger in a temporary folder, a plan.
#![allow(dead_code)] // each test file uses its own part

use std::path::PathBuf;

use cryptotl_privacy::{
    Accountant, Adjacency, Delta, Description, Epsilon, Ledger, MechanismError, NoisySum, Policy,
    PrivacyUnit, ReleasePlan, SumRequest,
};

pub const PUBLIC_SIZE: u64 = 10_000;

pub fn policy(cap: f64, per_release: f64) -> Policy {
    policy_for("record", "add-remove", cap, per_release)
}

pub fn policy_for(unit: &str, adjacency: &str, cap: f64, per_release: f64) -> Policy {
    Policy::from_toml(&format!(
        r#"
        version = 1
        name = "test"
        unit = "{unit}"
        adjacency = "{adjacency}"
        epsilon_cap = {cap:?}
        epsilon_per_release_max = {per_release:?}
        delta = {{ exponent = 1.1 }}
        "#
    ))
    .unwrap()
}

/// A policy that counts by Gaussian DP.
pub fn gdp_policy(cap: f64, per_release: f64) -> Policy {
    Policy::from_toml(&format!(
        r#"
        version = 1
        name = "test-gdp"
        unit = "record"
        adjacency = "add-remove"
        accountant = "gdp"
        epsilon_cap = {cap:?}
        epsilon_per_release_max = {per_release:?}
        delta = {{ exponent = 1.1 }}
        "#
    ))
    .unwrap()
}

pub fn delta() -> Delta {
    policy(1.0, 1.0).delta(PUBLIC_SIZE).unwrap()
}

/// A ledger with cap `cap` in a folder that lives as long as the first value.
pub fn ledger(cap: f64) -> (tempfile::TempDir, PathBuf, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("population.ledger");
    let ledger = Ledger::create(&path, &policy(cap, cap), "test-population", PUBLIC_SIZE).unwrap();
    (folder, path, ledger)
}

pub fn request(epsilon: f64) -> SumRequest {
    SumRequest {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: delta(),
        accountant: Accountant::Zcdp,
        dimension: 3,
        clipping_norm: 1.0,
        slack: 0.0,
        steps: 2,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        description: Description::from([("method".to_owned(), "test".to_owned())]),
    }
}

/// One step over records with these contributions.
pub fn sum_of(mechanism: &mut impl NoisySum, rows: &[&[f64]]) -> Result<Vec<f64>, MechanismError> {
    let units = mechanism.units(rows.len(), None)?;
    mechanism.step(&units, |row, out| {
        out.copy_from_slice(rows[row]);
        true
    })
}

pub fn plan(epsilon: f64) -> ReleasePlan {
    ReleasePlan::gaussian_sums(request(epsilon)).unwrap()
}

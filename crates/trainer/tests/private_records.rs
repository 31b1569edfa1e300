//! Validation and search on private records: against counting, under both units, and paid for as a whole.

mod common;

use common::{WIDTH, public};
use cryptotl_model::{Digest, HeadInputs, Records, RecordsHeader, UNLABELED};
use cryptotl_privacy::{
    Accountant, Adjacency, ChargedPlan, Delta, Description, Epsilon, Ledger, Payment, Policy, PrivacyUnit,
    ReleasePlan, Rho, largest_rho_by,
};
use cryptotl_trainer::head::{ChargedMechanism, Space, Task, Terms};
use cryptotl_trainer::search::{self, Candidate, Search};
use cryptotl_trainer::{Head, HeadSettings, Method, validation};
use ndarray::Array2;

const SIZE: u64 = 200;

/// Records with the label of their first coordinate's sign, every seventh without one.
fn records(n: usize) -> Records {
    let embeddings = Array2::from_shape_fn((n, WIDTH), |(i, j)| ((i * 7 + j * 3 + 1) as f32 * 0.9).sin());
    let label = |i: usize| if i % 7 == 6 { UNLABELED } else { u32::from(embeddings[[i, 0]] > 0.0) };
    let model = public(2);
    Records {
        header: RecordsHeader {
            encoder: model.encoder,
            label_names: model.label_names,
            extraction: None,
            population: None,
        },
        ids: (0..n).map(|i| i.to_string()).collect(),
        labels: Some((0..n).map(label).collect()),
        embeddings,
        features: None,
        persons: Some((0..n).map(|i| Some(i as u32 / 2)).collect()),
        sources: None,
    }
}

fn ledger(unit: &str, cap: f64) -> (tempfile::TempDir, Ledger) {
    let policy = Policy::from_toml(&format!(
        "version = 1\nname = \"test\"\nunit = \"{unit}\"\nadjacency = \"add-remove\"\nepsilon_cap = {cap:?}\n\
         epsilon_per_release_max = {cap:?}\ndelta = {{ exponent = 1.1 }}\n"
    ))
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("l"), &policy, "p", SIZE).unwrap();
    (folder, ledger)
}

fn terms(ledger: &Ledger, epsilon: f64) -> Terms {
    let status = ledger.status().unwrap();
    Terms {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: status.delta,
        accountant: status.policy.accountant(),
        order: status.sampling_order,
        unit: status.policy.unit(),
        adjacency: status.policy.adjacency(),
    }
}

fn trained(ledger: &Ledger, charged: ChargedPlan, settings: &HeadSettings, records: &Records) -> Head {
    let public = public(2);
    let space = Space::new(&public, settings).unwrap();
    let mut mechanism = ChargedMechanism::open(charged).unwrap();
    let weights = settings.fit(&Task::new(&space, records, &mechanism).unwrap(), &mut mechanism).unwrap();
    let receipt = mechanism.finish();
    let population = ledger.status().unwrap().population;
    let witness = *receipt.witness();
    Head::new(&public, Digest::of(b"p"), settings, space, receipt.plan(), &population, witness, None, weights)
}

fn search_of(ledger: &Ledger, epsilon: f64) -> Search {
    let candidates = [Method::DpFc, Method::DpGd]
        .map(|method| Candidate { inputs: HeadInputs::Embedding, method: Some(method) });
    let about = Description::new();
    Search::plan(&public(2), &candidates, &terms(ledger, epsilon), SIZE, 20, &about).unwrap()
}

/// So large an epsilon that the DP noise is far below one unit, and so the answer is a count.
const EXACT: f64 = 1e5;

#[test]
fn a_confusion_matrix_counts_labels_against_predictions() {
    for (unit, share) in [("record", 1.0), ("person:2", 0.5)] {
        let (_folder, mut ledger) = ledger(unit, 1e6);
        let terms = terms(&ledger, EXACT);
        let search = search_of(&ledger, EXACT);
        let (settings, plan) = search.candidates[0].clone();
        let table = records(40);
        let charged = ledger.charge(plan).unwrap();
        let head = trained(&ledger, charged, &settings, &table);
        let plan = validation::plan(&head, Digest::of(b"head"), &terms, Description::new()).unwrap();
        let sums = ledger.charge(plan).unwrap().into_mechanism().unwrap();
        let (confusion, receipt) = validation::run(&head, &table, sums).unwrap();
        let mut expected = [[0.0; 2]; 2];
        for (i, (predicted, _)) in head.predict(&table).unwrap().into_iter().enumerate() {
            let label = table.labels.as_ref().unwrap()[i];
            if label != UNLABELED {
                // A person's mean is over the records that have a label.
                let other = table.labels.as_ref().unwrap()[i ^ 1];
                let weight = if share == 1.0 || other == UNLABELED { 1.0 } else { share };
                expected[label as usize][predicted] += weight;
            }
        }
        for (found, expected) in confusion.cells.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 0.05, "{unit}: {confusion:?} {expected:?}");
        }
        assert!(confusion.accuracy().is_some() && confusion.noise < 0.01);
        ledger.record_release(receipt, b"figures").unwrap();
    }
}

#[test]
fn a_search_takes_the_head_that_is_right_most_often() {
    let (_folder, mut ledger) = ledger("record", 1e6);
    let search = search_of(&ledger, EXACT);
    let table = records(120);
    let plans = search.candidates.iter().map(|(_, plan)| plan.clone()).chain([search.choice.clone()]);
    let mut payments = ledger.charge_all(plans.collect()).unwrap();
    let Some(Payment::Charged(choice)) = payments.pop() else { panic!("no charge for the choice") };
    let heads: Vec<Head> = payments
        .into_iter()
        .zip(&search.candidates)
        .map(|(payment, (settings, _))| match payment {
            Payment::Charged(charged) => trained(&ledger, charged, settings, &table),
            Payment::Finished(_) => panic!("nothing was run before"),
        })
        .collect();
    // The second head, turned around, is wrong wherever it was right.
    let worse = Head { weights: -&heads[0].weights, ..heads[1].clone() };
    let lead = |head: &Head| -> f64 {
        let labels = table.labels.as_ref().unwrap();
        let right = |(i, (label, _)): (usize, (usize, f64))| match labels[i] {
            UNLABELED => 0.0,
            declared if declared as usize == label => 0.5,
            _ => -0.5,
        };
        head.predict(&table).unwrap().into_iter().enumerate().map(right).sum()
    };
    let pair = [worse, heads[0].clone()];
    let (choice, _receipt) = search::choose(&pair, &table, choice.into_mechanism().unwrap()).unwrap();
    assert_eq!(choice.chosen, 1, "{choice:?}");
    for (found, head) in choice.leads.iter().zip(&pair) {
        assert!((found - lead(head)).abs() < 0.1, "{choice:?} {}", lead(head));
    }
}

#[test]
fn a_search_costs_what_was_asked_for_as_a_whole() {
    for accountant in [Accountant::Zcdp, Accountant::Gdp] {
        let terms = Terms {
            epsilon: Epsilon::new(1.0).unwrap(),
            delta: Delta::new(1e-4).unwrap(),
            accountant,
            order: None,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
        };
        let candidates = [Method::DpFc, Method::DpGd]
            .map(|method| Candidate { inputs: HeadInputs::Embedding, method: Some(method) });
        let search = Search::plan(&public(2), &candidates, &terms, SIZE, 20, &Description::new()).unwrap();
        let plans = search.candidates.iter().map(|(_, plan)| plan).chain([&search.choice]);
        let rho = plans.map(|plan| plan.guarantee().rho).try_fold(Rho::ZERO, Rho::checked_add).unwrap();
        let whole = largest_rho_by(accountant, terms.epsilon, terms.delta).unwrap();
        assert!(rho <= whole, "{rho} {whole}");
        assert!(rho.to_f64_rounding_up() > 0.999 * whole.to_f64_rounding_up(), "{rho} {whole}");
        let share = search.choice.guarantee().rho.to_f64_rounding_up() / whole.to_f64_rounding_up();
        assert!((share - 0.2).abs() < 1e-3, "{share}");
        assert!(search.epsilon <= terms.epsilon && search.epsilon.get() > 0.999, "{}", search.epsilon);
        // Equal candidates, one alone, and parts that leave nothing are refused.
        for (list, percent) in
            [(&[candidates[0]; 2][..], 20), (&candidates[..1], 20), (&candidates, 0), (&candidates, 100)]
        {
            let plan = Search::plan(&public(2), list, &terms, SIZE, percent, &Description::new());
            assert!(plan.is_err(), "{list:?} {percent}");
        }
    }
}

/// A sampled release's own epsilon is by its privacy loss distribution; what it adds to a ledger is more.
#[test]
fn a_search_that_costs_more_together_than_was_asked_for_is_refused() {
    let (_folder, ledger) = ledger("record", 3.0);
    let candidates = [Method::DpFc, Method::DpSgd]
        .map(|method| Candidate { inputs: HeadInputs::Embedding, method: Some(method) });
    let terms = terms(&ledger, 1.0);
    let search = Search::plan(&public(2), &candidates, &terms, SIZE, 20, &Description::new());
    let error = search.unwrap_err().to_string();
    assert!(error.contains("together") && error.contains("dp-sgd"), "{error}");
}

#[test]
fn a_validation_planned_for_other_labels_is_refused() {
    let (_folder, mut ledger) = ledger("record", 1e6);
    let search = search_of(&ledger, EXACT);
    let table = records(40);
    let (settings, plan) = search.candidates[0].clone();
    let charged = ledger.charge(plan).unwrap();
    let head = trained(&ledger, charged, &settings, &table);
    // The choice's plan has two cells, and two labels have four.
    let sums = ledger.charge(search.choice).unwrap().into_mechanism().unwrap();
    let error = validation::run(&head, &table, sums).unwrap_err().to_string();
    assert!(error.contains("2 cells"), "{error}");
}

#[test]
fn several_plans_are_paid_for_together_or_not_at_all() {
    let (_folder, mut ledger) = ledger("record", 2.0);
    let plans = |epsilon: f64, ledger: &Ledger| -> Vec<ReleasePlan> {
        let search = search_of(ledger, epsilon);
        search.candidates.into_iter().map(|(_, plan)| plan).chain([search.choice]).collect()
    };
    let mut too_much = plans(1.5, &ledger);
    too_much.extend(plans(1.9, &ledger));
    let before = ledger.status().unwrap();
    assert!(ledger.charge_all(too_much).is_err());
    let after = ledger.status().unwrap();
    assert_eq!((before.rho_spent, before.entries.len()), (after.rho_spent, after.entries.len()));
    // What was run before is free, and only the rest is charged.
    let three = plans(1.0, &ledger);
    let Payment::Charged(first) = ledger.charge_all(three[..1].to_vec()).unwrap().remove(0) else {
        panic!("a plan that was never run is charged")
    };
    let receipt = first.into_mechanism().unwrap().finish();
    ledger.record_release(receipt, b"the first").unwrap();
    let spent = ledger.status().unwrap().rho_spent;
    let payments = ledger.charge_all(three.clone()).unwrap();
    assert!(
        matches!(&payments[0], Payment::Finished(release) if release.artifact.as_deref() == Some(b"the first"))
    );
    assert!(payments[1..].iter().all(|payment| matches!(payment, Payment::Charged(_))));
    let rest = three[1..].iter().map(|plan| plan.guarantee().rho).try_fold(spent, Rho::checked_add).unwrap();
    assert_eq!(ledger.status().unwrap().rho_spent, rest);
}

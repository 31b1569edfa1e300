//! Several runs of noisy sums under one charge, and contributions in factors.

use crate::common::{self, delta, gdp_policy, ledger};
use cryptotl_privacy::accountant::tcdp;
use cryptotl_privacy::{
    Adjacency, BenchmarkSequence, ChargeError, Description, Epsilon, Event, Factoring, Ledger, NoisySum,
    Order, PartRequest, PlanError, PrivacyUnit, Proof, PublicData, ReleasePlan, Rho, SequenceEvent,
    SequenceRequest,
};

fn part(dimension: usize, sampling_rate: f64, steps: u32, relative_noise: f64) -> PartRequest {
    PartRequest { dimension, clipping_norm: 1.0, sampling_rate, steps, relative_noise }
}

fn request(epsilon: f64, parts: Vec<PartRequest>) -> SequenceRequest {
    SequenceRequest {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: delta(),
        parts,
        order: Order::new(7).unwrap(),
        unit: PrivacyUnit::Record,
        description: Description::from([("method".to_owned(), "test".to_owned())]),
    }
}

fn three() -> Vec<PartRequest> {
    vec![part(6, 1.0, 1, 1.0), part(3, 1.0, 5, 2.0), part(4, 0.2, 30, 0.8)]
}

fn event_of(plan: &ReleasePlan) -> &SequenceEvent {
    match plan.event() {
        Event::Sequence(sequence) => sequence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_loss_is_the_sum_of_the_parts_and_the_ratios_are_kept() {
    let plan = ReleasePlan::sequence(request(1.5, three())).unwrap();
    let sequence = event_of(&plan);
    let guarantee = plan.guarantee();
    assert!(guarantee.epsilon.get() <= 1.5 && guarantee.epsilon.get() > 1.495, "{}", guarantee.epsilon);
    assert_eq!((guarantee.proof, guarantee.adjacency), (Proof::Pld, Adjacency::AddRemove));
    let sum = sequence.parts.iter().fold(Rho::ZERO, |sum, part| {
        let rho =
            tcdp::rho_of_sampled_sums(part.noise_multiplier, part.sampling_rate, part.steps, sequence.order);
        sum.checked_add(rho.unwrap()).unwrap()
    });
    assert_eq!((sequence.rho, guarantee.rho), (sum, sum));
    assert_eq!(guarantee.order, Some(Order::new(7).unwrap()));
    let noise = |i: usize| sequence.parts[i].noise_multiplier;
    assert!((noise(1) / noise(0) - 2.0).abs() < 1e-12 && (noise(2) / noise(0) - 0.8).abs() < 1e-12);
    assert!(guarantee.follows_from(plan.event()).unwrap());
    // The same parts in one part's place cost the same: two runs of 5 and 15 sums are one of 20.
    let split = vec![part(3, 1.0, 5, 1.0), part(3, 1.0, 15, 1.0)];
    let split = ReleasePlan::sequence(request(1.0, split)).unwrap();
    let whole = ReleasePlan::sequence(request(1.0, vec![part(3, 1.0, 20, 1.0)])).unwrap();
    let ratio = event_of(&split).parts[0].noise_multiplier / event_of(&whole).parts[0].noise_multiplier;
    assert!((ratio - 1.0).abs() < 1e-3, "{ratio}");
}

#[test]
fn an_event_that_claims_less_than_it_costs_is_refused() {
    let plan = ReleasePlan::sequence(request(1.0, three())).unwrap();
    let honest = event_of(&plan).clone();
    assert!(Event::Sequence(honest.clone()).validate(Adjacency::AddRemove).is_ok());
    let refused = |change: &dyn Fn(&mut SequenceEvent)| {
        let mut event = honest.clone();
        change(&mut event);
        Event::Sequence(event).validate(Adjacency::AddRemove).unwrap_err().field
    };
    assert_eq!(Event::Sequence(honest.clone()).validate(Adjacency::Replace).unwrap_err().field, "adjacency");
    assert_eq!(refused(&|e| e.rho = Rho::ZERO), "rho");
    assert_eq!(refused(&|e| e.parts.clear()), "parts");
    assert_eq!(refused(&|e| e.parts = vec![e.parts[0].clone(); 17]), "parts");
    assert_eq!(refused(&|e| e.order = Order::new(6).unwrap()), "order");
    assert_eq!(refused(&|e| e.parts[2].noise_multiplier /= 2.0), "scale");
    assert_eq!(refused(&|e| e.parts[2].sampling_rate *= 2.0), "rho");
    // Dropping a part lowers the stated rho below what is left only if it is recomputed: it is.
    assert_eq!(refused(&|e| e.parts.truncate(2)), "rho");
}

#[test]
fn impossible_parts_are_refused_by_name() {
    let refused = |parts| ReleasePlan::sequence(request(1.0, parts)).unwrap_err();
    assert!(matches!(refused(vec![]), PlanError::Parts { .. }));
    assert!(matches!(refused(vec![part(3, 1.0, 1, 1.0); 17]), PlanError::Parts { .. }));
    assert!(matches!(refused(vec![part(0, 1.0, 1, 1.0)]), PlanError::Dimension { dimension: 0 }));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(refused(vec![part(3, 1.0, 1, bad)]), PlanError::Parts { .. }), "{bad}");
        let norm = PartRequest { clipping_norm: bad, ..part(3, 1.0, 1, 1.0) };
        assert!(matches!(refused(vec![norm]), PlanError::ClippingNorm { .. }), "{bad}");
    }
    for rate in [0.0, 1.5, f64::NAN] {
        let error = refused(vec![part(3, rate, 1, 1.0)]).to_string();
        assert!(error.contains("sampling rate"), "{error}");
    }
}

#[test]
fn one_charge_gives_every_part_its_steps_and_one_receipt() {
    let (_folder, path, mut ledger) = ledger(3.0);
    let order = ledger.status().unwrap().sampling_order.unwrap();
    let plan = ReleasePlan::sequence(SequenceRequest { order, ..request(1.0, three()) }).unwrap();
    let rho = plan.guarantee().rho;
    let mut sequence = ledger.charge(plan.clone()).unwrap().into_sequence().unwrap();
    let [first, second, third] = sequence.parts() else { panic!() };
    assert_eq!((first.steps(), second.steps(), third.steps()), (1, 5, 30));
    let units = first.units(4, None).unwrap();
    let factoring = Factoring { outer: vec![(2, 3)], plain: 0 };
    let factors = |_: usize, out: &mut cryptotl_privacy::Factors| {
        out.outer(0).0.fill(0.3);
        out.outer(0).1.fill(0.5);
        true
    };
    assert_eq!(first.step_factored(&units, &factoring, factors).unwrap().len(), 6);
    assert!(first.step_factored(&units, &factoring, factors).is_err(), "one step was paid for");
    assert_eq!(
        second
            .step(&units, |_, out| {
                out.fill(0.1);
                true
            })
            .unwrap()
            .len(),
        3
    );
    let wrong = third.step_factored(&units, &factoring, factors).unwrap_err().to_string();
    assert!(wrong.contains("not of 4 numbers"), "{wrong}");
    let receipt = sequence.finish();
    assert_eq!(receipt.steps_used(), 3, "a refused step is used too");
    ledger.record_release(receipt, b"the model").unwrap();
    assert_eq!(ledger.status().unwrap().rho_spent, rho);
    assert!(matches!(ledger.charge(plan), Err(ChargeError::Finished(_))));
    Ledger::open(&path).unwrap().verify_figures().unwrap();
    // A plan of something else gives no sequence.
    let other = ledger.charge(common::plan(0.1)).unwrap();
    assert!(other.into_sequence().unwrap_err().to_string().contains("no sequence"));
    let other = ReleasePlan::sequence(SequenceRequest { order, ..request(0.2, three()) }).unwrap();
    assert!(ledger.charge(other).unwrap().into_mechanism().is_err(), "and a sequence no other mechanism");
}

#[test]
fn a_ledger_of_gaussian_dp_takes_no_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger =
        Ledger::create(folder.path().join("l"), &gdp_policy(3.0, 3.0), "p", common::PUBLIC_SIZE).unwrap();
    let plan = ReleasePlan::sequence(request(0.5, three())).unwrap();
    assert!(matches!(ledger.charge(plan), Err(ChargeError::Refused(_))));
}

/// A mechanism with so little DP noise that its sums show what was added.
fn on_public_data(request: SequenceRequest) -> BenchmarkSequence {
    let plan = ReleasePlan::sequence(SequenceRequest { order: Order::MIN, ..request }).unwrap();
    BenchmarkSequence::for_public_data(&plan, PublicData::declare("made up by the test")).unwrap()
}

/// The sums of contributions of norm 10 each, clipped to 1, with next to no DP noise.
fn nearly_exact(
    unit: &str,
    persons: &[Option<u32>],
    contribution: impl Fn(usize) -> Option<[f64; 2]>,
) -> Vec<f64> {
    let mut sequence = on_public_data(SequenceRequest {
        unit: unit.parse().unwrap(),
        ..request(1e6, vec![part(2, 1.0, 1, 1.0)])
    });
    let [part] = sequence.parts() else { panic!() };
    assert!(part.scale() < 0.01, "{}", part.scale());
    let units = part.units(persons.len(), Some(persons)).unwrap();
    let factoring = Factoring { outer: vec![(1, 2)], plain: 0 };
    part.step_factored(&units, &factoring, |row, out| {
        let Some(numbers) = contribution(row) else { return false };
        out.outer(0).0[0] = 5.0;
        out.outer(0).1.iter_mut().zip(numbers).for_each(|(d, x)| *d = x / 5.0);
        true
    })
    .unwrap()
}

#[test]
fn a_person_moves_a_sum_by_no_more_than_the_clipping_norm() {
    // Person 1 has three rows of norm 10, one row without a contribution, and one that is not finite.
    let persons = [Some(1), Some(1), Some(1), Some(1), Some(1), None, Some(2)];
    let rows = [
        Some([10.0, 0.0]),
        None,
        Some([0.0, 10.0]),
        Some([f64::NAN, 1.0]),
        Some([10.0, 0.0]),
        Some([10.0, 10.0]),
    ];
    let contribution = |row: usize| rows.get(row).copied().unwrap_or(Some([0.0, -0.5]));
    let sum = nearly_exact("person:8", &persons, contribution);
    // The mean of (1, 0), (0, 1) and (1, 0), and all of person 2; nobody's row is left out.
    let expected = [2.0 / 3.0, 1.0 / 3.0 - 0.5];
    assert!(sum.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.1), "{sum:?}");
    // Of records, each counts by itself.
    let sum = nearly_exact("record", &persons, contribution);
    let diagonal = 0.5_f64.sqrt();
    let expected = [2.0 + diagonal, 1.0 + diagonal - 0.5];
    assert!(sum.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.1), "{sum:?}");
}

#[test]
fn samples_are_drawn_by_the_mechanism() {
    let (n, rate, steps) = (500, 0.3, 20);
    let mut sequence = on_public_data(request(1e6, vec![part(1, rate, steps, 1.0)]));
    let [part] = sequence.parts() else { panic!() };
    let units = part.units(n, None).unwrap();
    let factoring = Factoring { outer: vec![], plain: 1 };
    let (mut seen, mut total) = (0_u32, 0.0);
    for _ in 0..steps {
        total += part
            .step_factored(&units, &factoring, |_, out| {
                seen += 1;
                out.plain()[0] = 1.0;
                true
            })
            .unwrap()[0];
    }
    let trials = (n as u32 * steps) as f64;
    let spread = (trials * rate * (1.0 - rate)).sqrt();
    assert!((f64::from(seen) - trials * rate).abs() < 6.5 * spread, "{seen}");
    assert!((total - f64::from(seen)).abs() < 1.0, "nobody else was added: {total} {seen}");
}

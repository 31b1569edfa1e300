//! Releases on Poisson samples: the sampler, the price, and what a ledger makes of both.

use crate::common::{self, delta, policy, policy_for};
use cryptotl_privacy::accountant::{pld, tcdp};
use cryptotl_privacy::{
    Accountant, Adjacency, BenchmarkSums, ChargeError, Description, Epsilon, Event, Ledger, NoisySum, Order,
    Policy, PrivacyUnit, Proof, PublicData, Refusal, RefusalReason, ReleasePlan, Rho, SampledSumEvent,
    SampledSumRequest,
};

fn request(epsilon: f64) -> SampledSumRequest {
    SampledSumRequest {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: delta(),
        dimension: 3,
        clipping_norm: 1.0,
        sampling_rate: 0.1,
        steps: 40,
        order: Order::new(7).unwrap(),
        unit: PrivacyUnit::Record,
        description: Description::from([("method".to_owned(), "test".to_owned())]),
    }
}

fn plan(epsilon: f64) -> ReleasePlan {
    ReleasePlan::sampled_gaussian_sums(request(epsilon)).unwrap()
}

fn event_of(plan: &ReleasePlan) -> &SampledSumEvent {
    match plan.event() {
        Event::SampledGaussianSum(sum) => sum,
        other => panic!("{other:?}"),
    }
}

/// Runs a plan on public data with DP noise so small that it shows who took part.
fn run(request: SampledSumRequest) -> BenchmarkSums {
    let plan = ReleasePlan::sampled_gaussian_sums(request).unwrap();
    BenchmarkSums::for_public_data(&plan, PublicData::declare("made up by the test")).unwrap()
}

fn refused(ledger: &mut Ledger, plan: ReleasePlan) -> Refusal {
    match ledger.charge(plan) {
        Err(ChargeError::Refused(refusal)) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_unit_takes_part_with_the_rate_and_by_itself() {
    let (n, steps, rate) = (400, 50, 0.3);
    let mut mechanism = run(SampledSumRequest {
        dimension: n,
        steps,
        sampling_rate: rate,
        order: Order::MIN,
        ..request(60_000.0)
    });
    assert!(mechanism.scale() < 0.06, "{}", mechanism.scale());
    assert_eq!(mechanism.sampling_rate(), rate);
    let units = mechanism.units(n, None).unwrap();
    let (mut per_unit, mut per_step) = (vec![0.0; n], Vec::new());
    for _ in 0..steps {
        let sum = mechanism
            .step(&units, |row, out| {
                out.fill(0.0);
                out[row] = 1.0;
                true
            })
            .unwrap();
        let taken: Vec<f64> = sum.iter().map(|&x| f64::from(x > 0.5)).collect();
        per_unit.iter_mut().zip(&taken).for_each(|(total, x)| *total += x);
        per_step.push(taken.iter().sum::<f64>());
    }
    assert!(mechanism.step(&units, |_, _| false).is_err(), "the steps are used");
    let (n, steps) = (n as f64, f64::from(steps));
    let variance = rate * (1.0 - rate);
    // Bounds of more than 6.5 standard deviations: false alarms are below 1e-9.
    let total: f64 = per_step.iter().sum();
    let spread = (n * steps * variance).sqrt();
    assert!((total - n * steps * rate).abs() < 6.5 * spread, "{total}");
    // Units that move together, or a unit that always takes part, would make these far too large or too small.
    let squares = |counts: &[f64], trials: f64| {
        let expected = trials * rate;
        counts.iter().map(|count| (count - expected).powi(2) / (trials * variance)).sum::<f64>()
    };
    for (found, freedom) in [(squares(&per_step, n), steps), (squares(&per_unit, steps), n)] {
        // Wilson and Hilferty: the cube root of a chi-square over its freedom is nearly normal.
        let spread = (2.0 / (9.0 * freedom)).sqrt();
        let z = ((found / freedom).cbrt() - (1.0 - 2.0 / (9.0 * freedom))) / spread;
        assert!(z.abs() < 6.5, "{found} of {freedom}");
    }
}

#[test]
fn a_person_is_sampled_with_all_of_their_rows() {
    let unit = "person:3".parse().unwrap();
    let mut mechanism = run(SampledSumRequest {
        dimension: 2,
        steps: 60,
        sampling_rate: 0.5,
        unit,
        order: Order::MIN,
        ..request(1_000_000.0)
    });
    let units = mechanism.units(3, Some(&[Some(1), Some(1), Some(1)])).unwrap();
    let mut n_taken = 0;
    for _ in 0..60 {
        // The mean of (0.9, 0), (0, 0.9) and (0, 0).
        let sum = mechanism
            .step(&units, |row, out| {
                out.fill(0.0);
                if row < 2 {
                    out[row] = 0.9;
                }
                true
            })
            .unwrap();
        let is_taken = sum[0] + sum[1] > 0.3;
        let expected = if is_taken { 0.3 } else { 0.0 };
        assert!(sum.iter().all(|x| (x - expected).abs() < 0.15), "{sum:?}");
        n_taken += u32::from(is_taken);
    }
    assert!((5..=55).contains(&n_taken), "{n_taken}");
}

#[test]
fn a_plan_costs_at_most_what_was_asked_and_its_charge_covers_it() {
    for (epsilon, rate, steps) in [(0.5, 0.02, 100), (2.0, 0.1, 40), (4.0, 1.0, 3)] {
        let plan = ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
            sampling_rate: rate,
            steps,
            ..request(epsilon)
        })
        .unwrap();
        let (guarantee, event) = (plan.guarantee(), event_of(&plan));
        assert!(guarantee.epsilon.get() <= epsilon && guarantee.epsilon.get() > epsilon * 0.999);
        assert_eq!((guarantee.proof, guarantee.order), (Proof::Pld, Some(event.order)));
        assert_eq!((guarantee.rho, guarantee.adjacency), (event.rho, Adjacency::AddRemove));
        plan.event().validate(Adjacency::AddRemove).unwrap();
        // What is charged implies more than is claimed, at every order.
        let charged = tcdp::epsilon(event.rho, event.order, delta()).unwrap();
        assert!(charged > guarantee.epsilon, "{charged} {}", guarantee.epsilon);
        // The claim is that of the steps, and of the grid on top.
        let steps = pld::Releases::gaussian(event.noise_multiplier, rate, steps).unwrap();
        assert!(pld::epsilon(&[steps], delta()).unwrap().get() <= epsilon);
        let sentence = guarantee.formal_sentence();
        assert!(sentence.contains("Poisson") && sentence.contains("up to order 7"), "{sentence}");
        assert!(guarantee.group_epsilon(2.try_into().unwrap()).is_err());
    }
}

#[test]
fn a_sampled_event_that_understates_its_cost_is_noticed() {
    let plan = plan(1.0);
    let good = event_of(&plan).clone();
    let error = |event: SampledSumEvent| {
        Event::SampledGaussianSum(event).validate(Adjacency::AddRemove).unwrap_err().field
    };
    let less = Rho::from_f64_rounding_up(good.rho.to_f64_rounding_up() - 2e-12).unwrap();
    assert_eq!(error(SampledSumEvent { rho: less, ..good.clone() }), "rho");
    assert_eq!(error(SampledSumEvent { order: Order::new(9).unwrap(), ..good.clone() }), "rho");
    assert_eq!(error(SampledSumEvent { sampling_rate: 0.11, ..good.clone() }), "rho");
    assert_eq!(error(SampledSumEvent { steps: 41, ..good.clone() }), "rho");
    assert_eq!(error(SampledSumEvent { noise_multiplier: 1.0, ..good.clone() }), "scale");
    assert_eq!(error(SampledSumEvent { scale: good.scale / 2.0, ..good.clone() }), "scale");
    assert_eq!(error(SampledSumEvent { grid: good.grid / 2.0, ..good.clone() }), "grid");
    assert_eq!(error(SampledSumEvent { dimension: 0, ..good.clone() }), "dimension");
    for bad in [f64::NAN, 0.0, -0.1, 1.1, f64::INFINITY] {
        error(SampledSumEvent { sampling_rate: bad, ..good.clone() });
        error(SampledSumEvent { noise_multiplier: bad / 1e6, ..good.clone() });
        error(SampledSumEvent { clipping_norm: bad - 1.1, ..good.clone() });
    }
    let replaced = plan.event().validate(Adjacency::Replace).unwrap_err();
    assert_eq!(replaced.field, "adjacency");
}

#[test]
fn requests_that_cannot_be_met_name_the_field() {
    let error = |request| ReleasePlan::sampled_gaussian_sums(request).unwrap_err().to_string();
    assert!(error(SampledSumRequest { sampling_rate: 1.5, ..request(1.0) }).contains("sampling rate is 1.5"));
    assert!(error(SampledSumRequest { steps: 0, ..request(1.0) }).contains("steps is 0"));
    assert!(error(SampledSumRequest { dimension: 0, ..request(1.0) }).contains("dimension is 0"));
    assert!(error(SampledSumRequest { clipping_norm: f64::NAN, ..request(1.0) }).contains("clipping norm"));
    let hopeless = SampledSumRequest { sampling_rate: 1.0, steps: u32::MAX, ..request(1e-6) };
    assert!(error(hopeless).contains("no noise multiplier"));
}

#[test]
fn a_sampled_release_is_charged_run_recorded_and_counted_up_to_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("population.ledger");
    let mut ledger = Ledger::create(&path, &policy(4.0, 2.0), "p", 10_000).unwrap();
    let needed = ledger.status().unwrap().sampling_order.unwrap();
    assert_eq!(needed.get(), 6, "the best order of epsilon 4 at this delta, rounded up");
    let plan = ReleasePlan::sampled_gaussian_sums(SampledSumRequest { order: needed, ..request(1.0) });
    let plan = plan.unwrap();
    let rho = plan.guarantee().rho;

    let mut mechanism = ledger.charge(plan.clone()).unwrap().into_mechanism().unwrap();
    let units = mechanism.units(2, None).unwrap();
    for _ in 0..mechanism.steps() {
        mechanism
            .step(&units, |_, out| {
                out.fill(0.1);
                true
            })
            .unwrap();
    }
    let receipt = mechanism.finish();
    assert_eq!(receipt.steps_used(), 40);
    ledger.record_release(receipt, b"head").unwrap();
    assert!(matches!(ledger.charge(plan.clone()), Err(ChargeError::Finished(_))));
    ledger.charge(common::plan(0.5)).unwrap();

    let ledger = Ledger::open(&path).unwrap();
    ledger.verify_figures().unwrap();
    let status = ledger.status().unwrap();
    assert_eq!(status.order, Some(needed));
    assert_eq!(status.epsilon_spent_gdp, None);
    assert_eq!(status.rho_spent, rho.checked_add(common::plan(0.5).guarantee().rho).unwrap());
    assert_eq!(status.epsilon_spent, tcdp::epsilon(status.rho_spent, needed, status.delta).unwrap());
    assert!(status.epsilon_spent > plan.guarantee().epsilon);
    assert_eq!(status.entries[1].proof, Some(Proof::Pld));
}

#[test]
fn a_ledger_full_of_sampled_releases_keeps_its_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("population.ledger");
    let mut ledger = Ledger::create(&path, &policy(4.0, 4.0), "p", 10_000).unwrap();
    let needed = ledger.status().unwrap().sampling_order.unwrap();
    let mut n_charged = 0;
    let refusal = loop {
        let mut request = SampledSumRequest { order: needed, sampling_rate: 0.05, ..request(2.0) };
        request.description.insert("run".to_owned(), n_charged.to_string());
        match ledger.charge(ReleasePlan::sampled_gaussian_sums(request).unwrap()) {
            Ok(_) => n_charged += 1,
            Err(ChargeError::Refused(refusal)) => break refusal,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(refusal.reason, RefusalReason::AboveCap);
    let status = ledger.status().unwrap();
    assert!(n_charged >= 2, "{n_charged} releases of epsilon 2 in one of 4");
    assert!(status.epsilon_spent <= status.epsilon_cap);
    // Filled up with releases that do not sample, it is the cap, to the last digits and not above.
    let rest = status.epsilon_affordable.unwrap();
    ledger.charge(common::plan(rest.get())).unwrap();
    let status = ledger.status().unwrap();
    assert!(status.epsilon_spent.get() <= status.epsilon_cap.get() * (1.0 + 1e-9));
    assert!(status.epsilon_spent.get() > 3.999, "{}", status.epsilon_spent);
}

#[test]
fn plans_on_other_terms_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let create =
        |name: &str, policy: &Policy| Ledger::create(folder.path().join(name), policy, "p", 10_000).unwrap();
    // A loss that holds up to too low an order would not bound the cap.
    let mut ledger = create("record", &policy(1.0, 1.0));
    let needed = ledger.status().unwrap().sampling_order.unwrap();
    assert!(needed.get() > 7);
    let refusal = refused(&mut ledger, plan(0.5));
    let (found, plan_order) = (Some(needed), Order::new(7).unwrap());
    assert_eq!(refusal.reason, RefusalReason::OrderTooLow { ledger: found, plan: plan_order });
    assert!(refusal.to_string().contains("order 7"), "{refusal}");

    let mut replace = create("replace", &policy_for("record", "replace", 4.0, 4.0));
    assert_eq!(replace.status().unwrap().sampling_order, None);
    assert!(matches!(refused(&mut replace, plan(0.5)).reason, RefusalReason::AdjacencyMismatch { .. }));

    let mut gaussian = create("gdp", &common::gdp_policy(4.0, 4.0));
    assert_eq!(gaussian.status().unwrap().sampling_order, None);
    let refusal = refused(&mut gaussian, plan(0.5));
    let (ledger, plan_by) = (Accountant::Gdp, Accountant::Zcdp);
    assert_eq!(refusal.reason, RefusalReason::AccountantMismatch { ledger, plan: plan_by });

    // At a cap this large the best order is below 2.
    let mut huge = create("huge", &policy(100.0, 100.0));
    assert_eq!(huge.status().unwrap().sampling_order, None);
    let refusal = refused(&mut huge, plan(0.5));
    assert!(matches!(refusal.reason, RefusalReason::OrderTooLow { ledger: None, .. }));
    assert!(refusal.to_string().contains("Poisson samples"), "{refusal}");
}

#[test]
fn an_amended_cap_is_counted_at_an_order_that_old_releases_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("population.ledger");
    let mut ledger = Ledger::create(&path, &policy(4.0, 2.0), "p", 10_000).unwrap();
    ledger.charge(plan(1.0)).unwrap(); // holds up to order 7
    ledger.amend(Some(&policy(2.0, 1.0)), None, "less").unwrap();
    let mut ledger = Ledger::open(&path).unwrap();
    let status = ledger.status().unwrap();
    let order = Order::new(7).unwrap();
    assert_eq!((status.order, status.sampling_order), (Some(order), Some(order)));
    // The cap is what order 7 proves and no more: a ledger without sampled releases would have more to spend.
    let cap = tcdp::epsilon(status.rho_cap, order, status.delta).unwrap().get();
    assert!(cap <= 2.0 && cap > 1.999, "{cap}");
    assert!(status.rho_cap < cryptotl_privacy::largest_rho(Epsilon::new(2.0).unwrap(), delta()).unwrap());
    ledger
        .charge(ReleasePlan::sampled_gaussian_sums(SampledSumRequest { steps: 10, ..request(0.3) }).unwrap())
        .unwrap();
    assert!(ledger.status().unwrap().epsilon_spent.get() <= 2.0);
    // Order 7 proves nothing below an epsilon of 1.2 or so, whatever was spent.
    let refused = ledger.amend(Some(&policy(1.0, 0.5)), None, "much less").unwrap_err().to_string();
    assert!(refused.contains("is below what any loss costs that holds up to order 7"), "{refused}");
    // Another accountant cannot count what was spent.
    let refused = ledger.amend(Some(&common::gdp_policy(4.0, 2.0)), None, "tighter").unwrap_err().to_string();
    assert!(refused.contains("Gaussian sums over all units only"), "{refused}");
    Ledger::open(&path).unwrap().verify_figures().unwrap();
}

#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn a_sampled_plan_and_its_charge_take_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::create(folder.path().join("p.ledger"), &policy(8.0, 8.0), "p", 10_000).unwrap();
    let order = ledger.status().unwrap().sampling_order.unwrap();
    let start = std::time::Instant::now();
    let request = SampledSumRequest { order, sampling_rate: 0.016, steps: 1250, ..request(1.0) };
    let plan = ReleasePlan::sampled_gaussian_sums(request).unwrap();
    println!("plan {:?}", start.elapsed());
    let start = std::time::Instant::now();
    ledger.charge(plan).unwrap();
    println!("charge {:?}", start.elapsed());
    let start = std::time::Instant::now();
    ledger.verify_figures().unwrap();
    println!("verify {:?}", start.elapsed());
    let start = std::time::Instant::now();
    for _ in 0..100 {
        tcdp::rho_of_sampled_sums(1.0, 0.016, 1250, Order::MAX).unwrap();
    }
    println!("rho up to order 512 {:?}", start.elapsed() / 100);
}

//! Noisy counts and noisy maxima: their distribution, their price, and what one unit can do to them.

use cryptotl_privacy::{
    Adjacency, Delta, Epsilon, Event, Ledger, PrivacyUnit, QueryRequest, Receipt, ReleasePlan,
};

use crate::common;

fn request(epsilon: f64, size: usize) -> QueryRequest {
    QueryRequest {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: common::delta(),
        size,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        description: common::request(1.0).description,
    }
}

fn counts(
    ledger: &mut Ledger,
    request: QueryRequest,
    persons: Option<&[Option<u32>]>,
    bins: &[Option<usize>],
) -> (Vec<i64>, Receipt) {
    let charged = ledger.charge(ReleasePlan::counts(request).unwrap()).unwrap();
    charged.into_counts().unwrap().release(bins.len(), persons, |row| bins[row]).unwrap()
}

/// A false alarm of this test has a probability below 1e-8: two bounds at 6.11 standard deviations.
#[test]
fn the_noise_of_counts_has_the_promised_variance() {
    let (_folder, _path, mut ledger) = common::ledger(1e3);
    let n = 200_000;
    // At epsilon 1 the noise is several counts wide, where the discrete Gaussian has the variance of the
    // continuous one up to 1e-9 and more.
    let plan = ReleasePlan::counts(request(1.0, n)).unwrap();
    let Event::Counts(event) = plan.event() else { panic!("{plan}") };
    let scale = event.noise_multiplier * event.sensitivity;
    assert!(scale > 3.0, "{scale}");
    let (noisy, _) = counts(&mut ledger, request(1.0, n), None, &[]);
    let draws: Vec<f64> = noisy.iter().map(|&count| count as f64 / scale).collect();
    let mean = draws.iter().sum::<f64>() / n as f64;
    assert!(mean.abs() < 6.11 / (n as f64).sqrt(), "mean {mean}");
    let variance = draws.iter().map(|x| x * x).sum::<f64>() / n as f64;
    assert!((variance - 1.0).abs() < 6.11 * (2.0 / n as f64).sqrt(), "variance {variance}");
}

#[test]
fn a_unit_is_counted_once_and_the_release_is_recorded() {
    let (_folder, _path, mut ledger) = common::ledger(2e5);
    let bins = [Some(0), Some(2), Some(2), None, Some(3), Some(usize::MAX)];
    // So little noise that it rounds to nothing: a standard deviation of 0.0023 counts.
    let (noisy, receipt) = counts(&mut ledger, request(1e5, 3), None, &bins);
    assert_eq!(noisy, [1, 0, 2]);
    assert_eq!(receipt.steps_used(), 1);
    ledger.record_release(receipt, b"counts").unwrap();
    let again = ReleasePlan::counts(request(1e5, 3)).unwrap();
    assert_eq!(ledger.find_release(&again).unwrap().unwrap().artifact.as_deref(), Some(&b"counts"[..]));
}

#[test]
fn a_person_is_counted_once_in_their_first_bin() {
    let folder = tempfile::tempdir().unwrap();
    let policy = common::policy_for("person:2", "add-remove", 2e5, 2e5);
    let mut ledger = Ledger::create(folder.path().join("l"), &policy, "p", common::PUBLIC_SIZE).unwrap();
    let request = QueryRequest { unit: "person:2".parse().unwrap(), ..request(1e5, 3) };
    let persons = [Some(4), Some(4), Some(4), Some(1), Some(1), Some(1), None];
    let bins = [None, Some(2), Some(0), Some(9), None, Some(1), Some(1)];
    let (noisy, _) = counts(&mut ledger, request.clone(), Some(&persons), &bins);
    assert_eq!(noisy, [0, 0, 1], "person 1 has no bin in their first two rows, and nobody counts as nobody");
    let charged = ledger.charge(ReleasePlan::counts(request).unwrap());
    let error = charged.unwrap().into_counts().unwrap().release(1, None, |_| None).unwrap_err().to_string();
    assert!(error.contains("--unit-column"), "{error}");
}

#[test]
fn queries_cost_what_was_asked_under_both_adjacencies() {
    for adjacency in [Adjacency::AddRemove, Adjacency::Replace] {
        for epsilon in [0.01, 1.0, 30.0] {
            let request = QueryRequest { adjacency, ..request(epsilon, 5) };
            for plan in [ReleasePlan::counts(request.clone()), ReleasePlan::noisy_max(request)] {
                let plan = plan.unwrap();
                let cost = plan.guarantee().epsilon.get();
                assert!(cost <= epsilon && cost > 0.999 * epsilon, "{plan}");
                assert_eq!(plan.event().rho(), plan.guarantee().rho);
                plan.event().validate(adjacency).unwrap();
            }
        }
    }
    // Two bins change when a unit moves from one to the other; one bin alone does not care.
    let scale = |size, adjacency| match ReleasePlan::counts(QueryRequest { adjacency, ..request(1.0, size) })
    {
        Ok(plan) => match plan.event() {
            Event::Counts(event) => event.noise_multiplier * event.sensitivity,
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
    };
    let ratio = |size| scale(size, Adjacency::Replace) / scale(size, Adjacency::AddRemove);
    assert!((ratio(1) - 1.0).abs() < 1e-9 && (ratio(2) - 2_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn events_that_understate_their_cost_are_noticed() {
    for plan in [ReleasePlan::counts(request(1.0, 4)), ReleasePlan::noisy_max(request(1.0, 4))] {
        let plan = plan.unwrap();
        assert!(plan.event().validate(Adjacency::Replace).is_err(), "replacing costs more: {plan}");
        let event = serde_json::to_value(plan.event()).unwrap();
        for (field, value) in [
            ("noise_multiplier", serde_json::json!(0.5)),
            ("rho", serde_json::json!("0.000001")),
            ("sensitivity", serde_json::json!(0.5)),
            ("bins", serde_json::json!(0)),
            ("candidates", serde_json::json!(0)),
        ] {
            if event.get(field).is_none() {
                continue;
            }
            let mut changed = event.clone();
            changed[field] = value;
            let changed: Event = serde_json::from_value(changed).unwrap();
            assert!(changed.validate(Adjacency::AddRemove).is_err(), "{field}");
        }
    }
    assert!(ReleasePlan::counts(request(1.0, 0)).unwrap_err().to_string().contains("dimension"));
    assert!(
        ReleasePlan::noisy_max(QueryRequest { delta: Delta::new(1e-9).unwrap(), ..request(1e-12, 1) })
            .is_err()
    );
}

#[test]
fn a_plan_runs_as_what_it_is_only() {
    let (_folder, _path, mut ledger) = common::ledger(1e3);
    let mut charge = |plan: Result<ReleasePlan, _>| ledger.charge(plan.unwrap()).unwrap();
    assert!(charge(ReleasePlan::counts(request(1.0, 4))).into_mechanism().is_err());
    assert!(charge(ReleasePlan::counts(request(1.0, 4))).into_noisy_max().is_err());
    assert!(charge(ReleasePlan::noisy_max(request(1.0, 4))).into_counts().is_err());
    assert!(charge(ReleasePlan::gaussian_sums(common::request(1.0))).into_counts().is_err());
}

/// Chooses `draws` times among candidates whose scores are those of one unit.
fn choices(scores: &[f64], noise_of_epsilon: f64, draws: u32) -> (Vec<f64>, f64) {
    let (_folder, _path, mut ledger) = common::ledger(1e6);
    let plan = ReleasePlan::noisy_max(request(noise_of_epsilon, scores.len())).unwrap();
    let Event::NoisyMax(event) = plan.event() else { panic!("{plan}") };
    let mut shares = vec![0.0; scores.len()];
    for _ in 0..draws {
        let choice = ledger.charge(plan.clone()).unwrap().into_noisy_max().unwrap();
        let (chosen, _) = choice
            .release(1, None, |_, out| {
                out.copy_from_slice(scores);
                true
            })
            .unwrap();
        shares[chosen] += 1.0 / f64::from(draws);
    }
    (shares, event.noise_multiplier)
}

/// The exponential mechanism chooses a candidate with probability proportional to exp(score / scale).
/// Hoeffding: a share of 400 draws is off by 0.17 with probability below 2 exp(-2 * 400 * 0.17^2) < 2e-10.
#[test]
fn a_choice_is_that_of_the_exponential_mechanism() {
    let scores = [1.0, 0.0, 0.5];
    let (shares, scale) = choices(&scores, 8.0, 400);
    let weights = scores.map(|score| (score / scale).exp());
    let total: f64 = weights.iter().sum();
    for (share, weight) in shares.iter().zip(weights) {
        assert!((share - weight / total).abs() < 0.17, "{shares:?} {weights:?}");
    }
    assert!(weights[0] / total > 0.6, "a test that chance alone would pass: {weights:?}");
}

#[test]
fn one_unit_cannot_score_more_than_one_or_less_than_nothing() {
    let (_folder, _path, mut ledger) = common::ledger(2e5);
    // Ten units for candidate 0, and one that shouts for 1 and against 0.
    let plan = ReleasePlan::noisy_max(request(1e5, 2)).unwrap();
    let choice = ledger.charge(plan).unwrap().into_noisy_max().unwrap();
    let (chosen, _) = choice
        .release(12, None, |row, out| {
            out.copy_from_slice(match row {
                10 => &[-1e300, 1e300],
                11 => &[f64::NAN, f64::INFINITY],
                _ => &[1.0, 0.0],
            });
            true
        })
        .unwrap();
    assert_eq!(chosen, 0);
}

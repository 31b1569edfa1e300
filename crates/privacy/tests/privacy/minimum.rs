//! Minima with DP noise from outside: their price, their noise, and what is refused.

use cryptotl_privacy::accountant::objective::UnitLoss;
use cryptotl_privacy::loss::Losses;
use cryptotl_privacy::{
    Accountant, AccountantError, Adjacency, BenchmarkMinimum, Delta, Epsilon, Event, MinimumEvent,
    MinimumRequest, NoisyMinimum, PerturbedBy, PrivacyUnit, PublicData, ReleasePlan, Rho, largest_rho,
};

use crate::common;

fn request(epsilon: f64, perturbed_by: PerturbedBy) -> MinimumRequest {
    MinimumRequest {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: common::delta(),
        classes: 2,
        columns: 3,
        convexity: 10.0,
        perturbed_by,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        description: common::request(1.0).description,
    }
}

const BOTH: [PerturbedBy; 2] = [PerturbedBy::Objective, PerturbedBy::Output];

fn event(plan: &ReleasePlan) -> &MinimumEvent {
    match plan.event() {
        Event::PerturbedMinimum(event) => event,
        other => panic!("{other:?}"),
    }
}

fn on_public_data(plan: &ReleasePlan) -> BenchmarkMinimum {
    BenchmarkMinimum::for_public_data(plan, PublicData::declare("synthetic test data")).unwrap()
}

#[test]
fn the_charged_rho_is_what_the_theorems_give_and_hardly_below_what_was_asked() {
    for adjacency in [Adjacency::AddRemove, Adjacency::Replace] {
        for classes in [2, 3, 7] {
            for epsilon in [0.5, 1.0, 4.0] {
                for perturbed_by in BOTH {
                    let request = MinimumRequest { classes, adjacency, ..request(epsilon, perturbed_by) };
                    let asked = largest_rho(request.epsilon, request.delta).unwrap();
                    let plan = match ReleasePlan::perturbed_minimum(MinimumRequest {
                        convexity: 200.0,
                        ..request
                    }) {
                        Ok(plan) => plan,
                        Err(error) => panic!("{classes} {epsilon} {adjacency}: {error}"),
                    };
                    let event = event(&plan);
                    // Rho again, from the formulas and not from OpenDP's maps.
                    let changed = if adjacency == Adjacency::Replace { 2.0 } else { 1.0 };
                    let mut rho = 0.5 / event.output_noise.powi(2);
                    if let Some(noise) = event.objective_noise {
                        let (beta, trace) =
                            if classes == 2 { (0.25, 0.25) } else { (0.5, 1.0 - 1.0 / f64::from(classes)) };
                        let unit = UnitLoss {
                            curvature: beta / 200.0,
                            trace: trace / 200.0,
                            directions: classes - 1,
                        };
                        rho += changed * changed * (0.5 / noise.powi(2) + unit.rho(1.0 / noise)) + 1e-6;
                    }
                    let charged: f64 = plan.guarantee().rho.to_string().parse().unwrap();
                    assert!(
                        (charged / rho - 1.0).abs() < 1e-6,
                        "{classes} {epsilon} {adjacency}: {charged} {rho}"
                    );
                    assert!(plan.guarantee().rho <= asked);
                    assert!(charged > 0.999 * asked.to_string().parse::<f64>().unwrap());
                }
            }
        }
    }
}

/// Without any record the answer is the center and the noise. A false alarm has a probability below 1e-8.
#[test]
fn the_noise_has_the_promised_variance() {
    let columns = 20_000;
    for perturbed_by in BOTH {
        let plan =
            ReleasePlan::perturbed_minimum(MinimumRequest { columns, ..request(1.0, perturbed_by) }).unwrap();
        let event = event(&plan).clone();
        let mut minimum = on_public_data(&plan);
        let units = minimum.units(0, None).unwrap();
        let center = vec![7.0; columns];
        let weights = minimum.minimize(&units, |_, _| None, &center).unwrap();
        let on_answer = event.output_noise * event.sensitivity(Adjacency::AddRemove);
        let on_objective = event.objective_noise.unwrap_or(0.0) * event.gradient_bound() / event.convexity;
        let expected = on_answer.powi(2) + on_objective.powi(2);
        let draws: Vec<f64> = weights.iter().map(|w| (w - 7.0) / expected.sqrt()).collect();
        let mean = draws.iter().sum::<f64>() / columns as f64;
        assert!(mean.abs() < 6.11 / (columns as f64).sqrt(), "{perturbed_by:?}: mean {mean}");
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / columns as f64;
        // Without data the optimizer ends at the exact minimizer in one step.
        assert!(
            (variance - 1.0).abs() < 6.11 * (2.0 / columns as f64).sqrt(),
            "{perturbed_by:?}: {variance}"
        );
    }
}

#[test]
fn with_next_to_no_noise_it_is_the_minimizer() {
    let rows = [([0.6, 0.0, 0.8], 1), ([0.0, 1.0, 0.0], 0), ([-0.6, 0.8, 0.0], 0)];
    let request = MinimumRequest { convexity: 1.0, ..request(1e5, PerturbedBy::Output) };
    let plan = ReleasePlan::perturbed_minimum(request).unwrap();
    let mut minimum = on_public_data(&plan);
    let units = minimum.units(rows.len(), None).unwrap();
    let row = |index: usize, out: &mut [f64]| {
        out.copy_from_slice(&rows[index].0);
        Some(rows[index].1)
    };
    let w = minimum.minimize(&units, row, &[0.0; 3]).unwrap();
    for j in 0..3 {
        let gradient = rows.iter().map(|(z, y)| {
            let score: f64 = z.iter().zip(&w).map(|(z, w)| z * w).sum();
            (1.0 / (1.0 + (-score).exp()) - f64::from(*y)) * z[j]
        });
        assert!((gradient.sum::<f64>() + w[j]).abs() < 0.02, "{w:?}");
    }
    // One answer was paid for.
    assert!(minimum.minimize(&units, row, &[0.0; 3]).is_err());
}

#[test]
fn events_that_understate_what_they_do_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for perturbed_by in BOTH {
        let plan = ReleasePlan::perturbed_minimum(request(1.0, perturbed_by)).unwrap();
        let good = event(&plan).clone();
        let refuses = |event: MinimumEvent, field: &str| {
            let error = Event::PerturbedMinimum(event).validate(Adjacency::AddRemove).unwrap_err();
            assert_eq!(error.field, field, "{error}");
        };
        assert!(Event::PerturbedMinimum(good.clone()).validate(Adjacency::AddRemove).is_ok());
        assert!(
            Event::PerturbedMinimum(good.clone()).validate(Adjacency::Replace).is_err()
                || good.objective_noise.is_none()
        );
        refuses(MinimumEvent { output_noise: good.output_noise * 0.999, ..good.clone() }, "rho");
        refuses(MinimumEvent { rho: "0.001".parse::<Rho>().unwrap(), ..good.clone() }, "rho");
        refuses(MinimumEvent { classes: 1, ..good.clone() }, "classes");
        refuses(MinimumEvent { columns: 0, ..good.clone() }, "columns");
        refuses(MinimumEvent { columns: 100_001, ..good.clone() }, "columns");
        refuses(MinimumEvent { rows_per_unit: 0, ..good.clone() }, "rows_per_unit");
        for convexity in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            refuses(MinimumEvent { convexity, ..good.clone() }, "convexity");
        }
        refuses(MinimumEvent { output_noise: f64::NAN, ..good.clone() }, "output_noise");
        if let Some(noise) = good.objective_noise {
            refuses(MinimumEvent { objective_noise: Some(noise * 0.999), ..good.clone() }, "rho");
            refuses(MinimumEvent { convexity: 0.1, ..good.clone() }, "rho");
            refuses(MinimumEvent { rows_per_unit: 1000, classes: 3, convexity: 1.0, ..good.clone() }, "rho");
            for noise in [0.0, -1.0, f64::NAN, 1e9] {
                refuses(MinimumEvent { objective_noise: Some(noise), ..good.clone() }, "output_noise");
            }
        }
        // What is written is what is read.
        let text = serde_json::to_string(plan.event()).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), plan.event());
    }
    drop(folder);
}

#[test]
fn a_charged_minimum_is_run_once_and_recorded() {
    let (_folder, _path, mut ledger) = common::ledger(10.0);
    for perturbed_by in BOTH {
        let plan = ReleasePlan::perturbed_minimum(request(1.0, perturbed_by)).unwrap();
        let before = ledger.status().unwrap().rho_spent;
        let mut minimum = ledger.charge(plan.clone()).unwrap().into_minimum().unwrap();
        assert_eq!(before.checked_add(plan.guarantee().rho).unwrap(), ledger.status().unwrap().rho_spent);
        let units = minimum.units(2, None).unwrap();
        let weights = minimum
            .minimize(
                &units,
                |_, out| {
                    out.fill(0.1);
                    Some(1)
                },
                &[0.0; 3],
            )
            .unwrap();
        assert!(weights.iter().all(|w| w.is_finite()));
        assert!(
            minimum.minimize(&units, |_, _| None, &[0.0; 3]).unwrap_err().to_string().contains("all 1 steps")
        );
        let receipt = minimum.finish();
        assert_eq!(receipt.steps_used(), 1);
        ledger.record_release(receipt, b"weights").unwrap();
    }
    // A plan of sums is none of a minimum, nor the other way round.
    let sums = ledger.charge(common::plan(0.5)).unwrap().into_minimum().unwrap_err();
    assert!(sums.to_string().contains("no minimum"), "{sums}");
    let minimum = ReleasePlan::perturbed_minimum(request(0.5, PerturbedBy::Output)).unwrap();
    assert!(ledger.charge(minimum).unwrap().into_mechanism().unwrap_err().to_string().contains("no sums"));
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let error = |request| ReleasePlan::perturbed_minimum(request).unwrap_err().to_string();
    let objective = || request(1.0, PerturbedBy::Objective);
    assert!(error(MinimumRequest { classes: 1, ..objective() }).contains("dimension"));
    assert!(error(MinimumRequest { columns: 0, ..objective() }).contains("dimension"));
    assert!(error(MinimumRequest { columns: 1 << 20, ..objective() }).contains("dimension"));
    for convexity in [0.0, f64::NAN, -3.0, 1e-3] {
        assert!(error(MinimumRequest { convexity, ..objective() }).contains("ridge"), "{convexity}");
    }
    assert!(error(request(1e4, PerturbedBy::Objective)).contains("not proved"));
    let plan = ReleasePlan::perturbed_minimum(objective()).unwrap();
    let mut minimum = on_public_data(&plan);
    let units = minimum.units(0, None).unwrap();
    assert!(minimum.minimize(&units, |_, _| None, &[0.0; 2]).unwrap_err().to_string().contains("center"));
    let mut minimum = on_public_data(&plan);
    assert!(minimum.minimize(&units, |_, _| None, &[f64::NAN; 3]).is_err());
    // A loss of one row does not cover persons with two.
    let persons = PrivacyUnit::Person { contributions: 2.try_into().unwrap() };
    let plan = ReleasePlan::perturbed_minimum(MinimumRequest { unit: persons, ..objective() }).unwrap();
    assert_eq!(event(&plan).rows_per_unit, 2);
    let mut minimum = on_public_data(&plan);
    assert!(minimum.units(3, None).is_err());
    assert!(minimum.minimize(&units, |_, _| None, &[0.0; 3]).unwrap_err().to_string().contains("record"));
}

/// A center that is no public start of anybody's is refused whatever the rows are, and so a failure tells nothing of them.
#[test]
fn a_center_too_far_from_0_is_refused_with_any_rows() {
    let rows = |n: usize| {
        move |index: usize, out: &mut [f64]| {
            out.copy_from_slice(&[0.0, 0.6, 0.8]);
            Some(u32::from(index + 1 < n))
        }
    };
    for perturbed_by in BOTH {
        let plan = ReleasePlan::perturbed_minimum(request(1.0, perturbed_by)).unwrap();
        for far in [1.1e6, 1e12, 1e13, 1e160, 1e300, f64::MAX, f64::INFINITY, f64::NAN] {
            for center in [[0.0, 0.0, far], [far, -far, far]] {
                let [with, without] = [51, 50].map(|n| {
                    let mut minimum = on_public_data(&plan);
                    let units = minimum.units(n, None).unwrap();
                    minimum.minimize(&units, rows(51), &center).unwrap_err().to_string()
                });
                assert!(with == without && with.contains("center of the head"), "{far}: {with}");
            }
        }
        // Up to there all tables are answered, by weights near the center.
        for near in [0.0, 5e-324, 1e-160, 300.0, 999_999.0] {
            for n in [0, 50, 51] {
                let mut minimum = on_public_data(&plan);
                let units = minimum.units(n, None).unwrap();
                let weights = minimum.minimize(&units, rows(51), &[0.0, 0.0, near]).unwrap();
                assert!((weights[2] - near).abs() < 100.0, "{near} {n}: {weights:?}");
            }
        }
    }
}

/// The surcharge for the grid of the noise on an objective is proved up to a cap, with and without samples beside it.
#[test]
fn a_cap_beyond_what_is_proved_for_the_grid_takes_no_objective_perturbation() {
    let objective = || ReleasePlan::perturbed_minimum(request(1.0, PerturbedBy::Objective)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = |name: &str, cap: f64| {
        let policy = common::policy(cap, cap);
        cryptotl_privacy::Ledger::create(folder.path().join(name), &policy, "p", common::PUBLIC_SIZE).unwrap()
    };
    let mut small = ledger("small", 10.0);
    let order = small.status().unwrap().sampling_order.unwrap();
    let sampled = || {
        let common = common::request(1.0);
        ReleasePlan::sampled_gaussian_sums(cryptotl_privacy::SampledSumRequest {
            epsilon: common.epsilon,
            delta: common.delta,
            dimension: 3,
            clipping_norm: 1.0,
            sampling_rate: 0.25,
            steps: 10,
            order,
            unit: common.unit,
            description: common.description,
        })
        .unwrap()
    };
    small.charge(objective()).unwrap();
    small.charge(sampled()).unwrap();
    let status = small.status().unwrap();
    assert!(status.epsilon_spent.get() < 10.0 && status.order == Some(order));
    let error = small.amend(Some(&common::policy(60.0, 10.0)), None, "more").unwrap_err().to_string();
    assert!(error.contains("objective perturbation"), "{error}");
    small.amend(Some(&common::policy(12.0, 10.0)), None, "a little more").unwrap();

    let mut large = ledger("large", 60.0);
    let error = large.charge(objective()).unwrap_err().to_string();
    assert!(error.contains("objective perturbation is proved up to a smaller cap"), "{error}");
    let output = ReleasePlan::perturbed_minimum(request(1.0, PerturbedBy::Output)).unwrap();
    large.charge(output).unwrap();

    // A profile of a large total has no figure at deltas where the proof ends.
    let losses = |n| (0..n).fold(Losses::NONE, |sum, _| sum.plus(Losses::of(objective().event())));
    let at = |n, delta| losses(n).epsilon(Accountant::Zcdp, Delta::new(delta).unwrap());
    assert!(at(1, 1e-12).is_ok() && at(50, 1e-3).is_ok());
    assert!(matches!(at(3000, 1e-12), Err(AccountantError::ObjectiveGrid { .. })));
}

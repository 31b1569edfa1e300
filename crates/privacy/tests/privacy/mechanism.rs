//! The noisy sums from outside: the sampler's distribution, adversarial contributions, steps.

use std::num::NonZeroU32;

use crate::common::{self, sum_of};
use cryptotl_privacy::{
    Adjacency, BenchmarkSums, Event, NoisySum, PrivacyUnit, PublicData, ReleasePlan, SumEvent, SumRequest,
    largest_rho,
};

fn benchmark(request: SumRequest) -> BenchmarkSums {
    run_on_public_data(&ReleasePlan::gaussian_sums(request).unwrap())
}

fn run_on_public_data(plan: &ReleasePlan) -> BenchmarkSums {
    BenchmarkSums::for_public_data(plan, PublicData::declare("synthetic test data")).unwrap()
}

fn sum_event(plan: &ReleasePlan) -> &SumEvent {
    match plan.event() {
        Event::GaussianSum(event) | Event::LaplaceSum(event) => event,
        other => panic!("{other:?}"),
    }
}

/// The distribution function of the standard normal.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// Coordinates of a step in the tests of the DP noise.
const DIMENSION: usize = 20_000;

/// Draws of DP noise through the whole mechanism, in units of its scale.
fn scaled_noise(n: usize, plan: fn(SumRequest) -> ReleasePlan) -> Vec<f64> {
    let dimension = DIMENSION;
    let request = SumRequest {
        dimension,
        clipping_norm: 0.7,
        // A sensitivity that is no power of two.
        slack: 0.3,
        steps: n.div_ceil(dimension) as u32,
        ..common::request(2.0)
    };
    let mut mechanism = run_on_public_data(&plan(request));
    let scale = mechanism.scale();
    let mut draws = Vec::with_capacity(n);
    while mechanism.steps_remaining() > 0 {
        draws.extend(sum_of(&mut mechanism, &[]).unwrap().into_iter().map(|x| x / scale));
    }
    draws
}

fn standardized_noise(n: usize) -> Vec<f64> {
    scaled_noise(n, |request| ReleasePlan::gaussian_sums(request).unwrap())
}

/// The largest distance between the distribution function of the draws and `expected`, times the root of
/// their number.
fn kolmogorov_distance(mut draws: Vec<f64>, expected: impl Fn(f64) -> f64) -> f64 {
    draws.sort_by(f64::total_cmp);
    let n = draws.len() as f64;
    let distances = draws.iter().enumerate().map(|(i, &x)| {
        let (below, above) = (i as f64 / n, (i + 1) as f64 / n);
        (expected(x) - below).abs().max((above - expected(x)).abs())
    });
    distances.fold(0.0, f64::max) * n.sqrt()
}

/// False alarm rate of each test below: 1e-9. The samples are not seeded (OpenDP's sampler cannot be),
/// so a rarer alarm than that of a disk error is wanted.
#[test]
fn the_dp_noise_is_gaussian_with_the_promised_variance() {
    let draws = standardized_noise(200_000);
    let n = draws.len() as f64;

    // Mean ~ N(0, 1/n) and mean of squares ~ N(1, 2/n): 6.11 standard deviations on two sides.
    let mean = draws.iter().sum::<f64>() / n;
    assert!(mean.abs() < 6.11 / n.sqrt(), "mean {mean}");
    let variance = draws.iter().map(|x| x * x).sum::<f64>() / n;
    assert!((variance - 1.0).abs() < 6.11 * (2.0 / n).sqrt(), "variance {variance}");

    // Kolmogorov and Smirnov: P(sqrt(n) D > x) <= 2 exp(-2 x^2) (Massart 1990), x = 3.28.
    let distance = kolmogorov_distance(draws, phi);
    assert!(distance < 3.28, "KS distance {distance}");
}

#[test]
fn the_laplace_dp_noise_has_the_promised_scale() {
    let draws = scaled_noise(200_000, |request| ReleasePlan::laplace_sums(request).unwrap());
    let n = draws.len() as f64;
    // At scale 1 the variance is 2, and the magnitude is exponential with mean 1 and variance 1.
    let mean = draws.iter().sum::<f64>() / n;
    assert!(mean.abs() < 6.11 * (2.0 / n).sqrt(), "mean {mean}");
    let magnitude = draws.iter().map(|x| x.abs()).sum::<f64>() / n;
    assert!((magnitude - 1.0).abs() < 6.11 / n.sqrt(), "magnitude {magnitude}");
    let cdf = |x: f64| if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() };
    let distance = kolmogorov_distance(draws, cdf);
    assert!(distance < 3.28, "KS distance {distance}");
}

#[test]
fn the_goodness_of_fit_test_would_notice_two_percent() {
    // The power of the test above: the same draws, two percent too small, fail the variance check.
    let draws = standardized_noise(200_000);
    let n = draws.len() as f64;
    let variance = draws.iter().map(|x| (0.98 * x).powi(2)).sum::<f64>() / n;
    assert!((variance - 1.0).abs() > 6.11 * (2.0 / n).sqrt(), "variance {variance}");
}

#[test]
fn coordinates_and_steps_are_independent() {
    let draws = standardized_noise(200_000);
    let n = (draws.len() - 1) as f64;
    let correlation = draws.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
    assert!(correlation.abs() < 6.11 / n.sqrt(), "{correlation}");
    // The same coordinate a step later: a sampler that repeats its steps passes the check above.
    let n = (draws.len() - DIMENSION) as f64;
    let pairs = draws.iter().zip(&draws[DIMENSION..]);
    let correlation = pairs.map(|(now, later)| now * later).sum::<f64>() / n;
    assert!(correlation.abs() < 6.11 / n.sqrt(), "{correlation}");
}

#[test]
fn no_contribution_moves_the_sum_by_more_than_the_clipping_norm() {
    // Epsilon so large that DP noise is small beside C: 0.002 C at most here.
    let little_noise = SumRequest { dimension: 2, steps: 12, clipping_norm: 3.0, ..common::request(3e6) };
    let mut mechanism = benchmark(little_noise);
    let tolerance = 10.0 * mechanism.scale();
    assert!(tolerance < 0.06, "{tolerance}");
    let root_half = 0.5_f64.sqrt();
    for (contribution, expected) in [
        (vec![3.0, 0.0], [3.0, 0.0]), // exactly C
        (vec![0.0, -3.0], [0.0, -3.0]),
        (vec![1.0, 2.0], [1.0, 2.0]), // inside
        (vec![1e300, 1e300], [3.0 * root_half, 3.0 * root_half]),
        (vec![f64::MAX, 0.0], [3.0, 0.0]),
        (vec![f64::NAN, 1.0], [0.0, 0.0]),
        (vec![f64::INFINITY, 1.0], [0.0, 0.0]),
        (vec![f64::INFINITY, f64::NEG_INFINITY], [0.0, 0.0]),
        (vec![5e-324, -5e-324], [0.0, 0.0]), // subnormal
    ] {
        let released = sum_of(&mut mechanism, &[&contribution]).unwrap();
        for (found, expected) in released.iter().zip(expected) {
            assert!((found - expected).abs() < tolerance, "{contribution:?}: {released:?}");
        }
    }
}

#[test]
fn a_sum_of_many_records_is_exact_up_to_the_dp_noise() {
    let request = SumRequest { dimension: 3, steps: 1, ..common::request(1.0) };
    let mut mechanism = benchmark(request);
    let scale = mechanism.scale();
    let released = sum_of(&mut mechanism, &[&[0.5, -0.25, 0.1][..]; 100_000]).unwrap();
    for (found, expected) in released.iter().zip([50_000.0, -25_000.0, 10_000.0]) {
        assert!((found - expected).abs() < 7.0 * scale + 1e-3, "{released:?}, scale {scale}");
    }
}

#[test]
fn a_step_is_used_once_it_is_begun() {
    let mut mechanism = benchmark(common::request(1.0));
    assert_eq!(mechanism.steps(), 2);
    let unit = PrivacyUnit::Person { contributions: NonZeroU32::new(3).unwrap() };
    let others = benchmark(SumRequest { unit, ..common::request(1.0) }).units(1, Some(&[Some(0)])).unwrap();
    mechanism.step(&others, |_, _| true).unwrap_err(); // fails, and counts
    sum_of(&mut mechanism, &[]).unwrap();
    assert_eq!(mechanism.steps_remaining(), 0);
    let error = sum_of(&mut mechanism, &[]).unwrap_err().to_string();
    assert!(error.contains("all 2 steps") && error.contains("new plan"), "{error}");
}

#[test]
fn a_mechanism_prints_nothing_private() {
    let mut mechanism = benchmark(common::request(1.0));
    sum_of(&mut mechanism, &[&[0.123, 0.0, 0.0]]).unwrap();
    let printed = format!("{mechanism:?}");
    // 0.123 in grid steps: the clipper holds it, and does not show it
    assert!(printed.contains("dimension") && !printed.contains("132070244"), "{printed}");
}

#[test]
fn a_plan_costs_at_most_what_was_asked_and_its_event_is_coherent() {
    for epsilon in [1e-3, 0.1, 1.0, 7.9, 100.0] {
        for steps in [1, 10, 300] {
            let request = SumRequest { steps, clipping_norm: 0.37, ..common::request(epsilon) };
            let plan = ReleasePlan::gaussian_sums(request).unwrap();
            assert!(plan.guarantee().epsilon.get() <= epsilon);
            assert!(plan.guarantee().epsilon.get() > epsilon * 0.99, "{epsilon} {steps}");
            assert!(plan.event().rho() <= largest_rho(plan.guarantee().epsilon, common::delta()).unwrap());
            plan.event().validate(plan.guarantee().adjacency).unwrap();
        }
    }
}

#[test]
fn an_event_that_understates_its_cost_is_noticed() {
    let event = serde_json::to_value(common::plan(1.0).event()).unwrap();
    for (field, value) in [
        ("noise_multiplier", serde_json::json!(0.5)),
        ("rho_per_step", serde_json::json!("0.000001")),
        ("rho", serde_json::json!("0.000001")),
        ("steps", serde_json::json!(3)),
        ("steps", serde_json::json!(0)),
        ("dimension", serde_json::json!(0)),
        ("scale", serde_json::json!(-1.0)),
        ("grid", serde_json::json!(0.5)),
        ("clipping_norm", serde_json::json!(2.0)),
        ("slack", serde_json::json!(1e-6)),
        ("slack", serde_json::json!(-1.0)),
        ("sensitivity", serde_json::json!((1_u64 << 30) - 1)),
        ("sensitivity", serde_json::json!(0)),
    ] {
        let mut changed = event.clone();
        changed[field] = value;
        let changed: Event = serde_json::from_value(changed).unwrap();
        assert!(changed.validate(Adjacency::AddRemove).is_err(), "{field}");
    }
    let same: Event = serde_json::from_value(event.clone()).unwrap();
    same.validate(Adjacency::AddRemove).unwrap();
    assert!(same.validate(Adjacency::Replace).is_err(), "a replaced record counts twice");
    let mut unknown = event.clone();
    unknown["event"] = serde_json::json!("shuffled-sum");
    assert!(serde_json::from_value::<Event>(unknown).is_err());
    let mut extra = event;
    extra["sampling_rate"] = serde_json::json!(0.01);
    assert!(serde_json::from_value::<Event>(extra).is_err());
}

#[test]
fn requests_that_cannot_be_met_name_the_field() {
    let base = common::request(1.0);
    for (request, word) in [
        (SumRequest { dimension: 0, ..base.clone() }, "dimension"),
        (SumRequest { dimension: usize::MAX, ..base.clone() }, "dimension"),
        (SumRequest { steps: 0, ..base.clone() }, "steps"),
        (SumRequest { slack: -1e-9, ..base.clone() }, "slack"),
        (SumRequest { slack: f64::NAN, ..base.clone() }, "slack"),
        (SumRequest { slack: f64::INFINITY, ..base.clone() }, "slack"),
        (SumRequest { slack: 100.1, ..base.clone() }, "slack"),
        (SumRequest { clipping_norm: 0.0, ..base.clone() }, "clipping norm"),
        (SumRequest { clipping_norm: -1.0, ..base.clone() }, "clipping norm"),
        (SumRequest { clipping_norm: f64::NAN, ..base.clone() }, "clipping norm"),
        (SumRequest { clipping_norm: f64::INFINITY, ..base.clone() }, "clipping norm"),
        (SumRequest { clipping_norm: 1e308, ..base }, "clipping norm"),
    ] {
        let error = ReleasePlan::gaussian_sums(request).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// A step of 3000 records of 129 coordinates is planned to take well under 3 ms without DP noise.
#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn a_step_of_3000_records_is_fast() {
    let request = SumRequest { dimension: 129, steps: 20, ..common::request(1.0) };
    let mut mechanism = benchmark(request);
    let rows: Vec<f64> = (0..3000 * 129_u64).map(|i| ((i * 7919) % 2001) as f64 / 1000.0 - 1.0).collect();
    let rows: Vec<&[f64]> = rows.chunks_exact(129).collect();
    let best_of = |mechanism: &mut BenchmarkSums, rows: &[&[f64]]| {
        let seconds = (0..10).map(|_| {
            let start = std::time::Instant::now();
            sum_of(mechanism, rows).unwrap();
            start.elapsed().as_secs_f64()
        });
        seconds.fold(f64::INFINITY, f64::min)
    };
    let (noise, all) = (best_of(&mut mechanism, &[]), best_of(&mut mechanism, &rows));
    println!("3000 x 129: {:.3} ms, of which DP noise {:.3} ms", all * 1e3, noise * 1e3);
    assert!(all - noise < 0.03, "{all} s");
}

const R: u64 = 1 << 30;

#[test]
fn replacing_a_unit_counts_both_contributions() {
    let added = ReleasePlan::gaussian_sums(common::request(1.0)).unwrap();
    let replaced = SumRequest { adjacency: Adjacency::Replace, ..common::request(1.0) };
    let replaced = ReleasePlan::gaussian_sums(replaced).unwrap();
    assert_eq!((sum_event(&added).sensitivity, sum_event(&replaced).sensitivity), (R, 2 * R));
    assert_eq!(sum_event(&replaced).scale, 2.0 * sum_event(&added).scale, "twice the DP noise");
    assert_eq!(added.guarantee().rho, replaced.guarantee().rho, "at the same price");
    assert!(replaced.guarantee().formal_sentence().contains("replacing one record by another"));
}

#[test]
fn slack_is_added_to_the_sensitivity_and_rounded_up() {
    for (slack, clipping_norm, least) in [
        (0.0, 1.0, 0),
        (1e-300, 1.0, 1),
        (0.5, 1.0, R / 2),
        (1.0 / 3.0, 0.1, R / 3 * 10),
        (25.0, 0.25, 100 * R),
    ] {
        for adjacency in [Adjacency::AddRemove, Adjacency::Replace] {
            let own = if adjacency == Adjacency::Replace { 2 * R } else { R };
            let request = SumRequest { slack, clipping_norm, adjacency, ..common::request(1.0) };
            for plan in [ReleasePlan::gaussian_sums(request.clone()), ReleasePlan::laplace_sums(request)] {
                let plan = plan.unwrap();
                let event = sum_event(&plan);
                let extra = event.sensitivity - own;
                // Exactly: extra * C >= slack * R, in integers of 2^-1100 would be needed; floats suffice with
                // one step of room.
                assert!(extra >= least && extra <= least + 8, "{slack} {clipping_norm}: {extra}, {least}");
                let noise = event.noise_multiplier * (event.sensitivity as f64 * event.grid);
                assert_eq!(event.scale, noise);
                plan.event().validate(adjacency).unwrap();
            }
        }
    }
}

#[test]
fn a_person_moves_the_sum_by_one_clipped_mean_however_many_rows_they_have() {
    let unit = PrivacyUnit::Person { contributions: NonZeroU32::new(3).unwrap() };
    let little_noise = SumRequest { dimension: 2, steps: 1, unit, ..common::request(1e5) };
    // Person 0 has a huge row and too many of them; 1 has rows that partly do not count; 2 has none that do.
    let rows: [(Option<u32>, [f64; 2]); 10] = [
        (Some(0), [90.0, 0.0]),
        (Some(1), [0.0, 0.5]),
        (Some(0), [90.0, 0.0]),
        (Some(0), [90.0, 0.0]),
        (Some(0), [0.0, 1e9]), // the fourth: not used
        (Some(1), [f64::NAN, 0.0]),
        (Some(1), [0.0, 0.3]),
        (Some(2), [f64::INFINITY, 0.0]),
        (Some(2), [0.0, f64::NAN]),
        (None, [0.7, 0.7]), // nobody's
    ];
    let persons: Vec<Option<u32>> = rows.iter().map(|(person, _)| *person).collect();
    let mut mechanism = benchmark(little_noise);
    let units = mechanism.units(rows.len(), Some(&persons)).unwrap();
    let tolerance = 10.0 * mechanism.scale();
    let released = mechanism.step(&units, |row, out| {
        out.copy_from_slice(&rows[row].1);
        true
    });
    let released = released.unwrap();
    for (found, expected) in released.iter().zip([1.0, 0.4]) {
        assert!((found - expected).abs() < tolerance, "{released:?}");
    }
    assert!(mechanism.units(rows.len(), None).is_err());
}

#[test]
fn units_of_another_plan_are_refused() {
    let unit = PrivacyUnit::Person { contributions: NonZeroU32::new(3).unwrap() };
    let persons = benchmark(SumRequest { unit, ..common::request(1.0) }).units(1, Some(&[Some(0)])).unwrap();
    let mut records = benchmark(common::request(1.0));
    let error = records.step(&persons, |_, _| true).unwrap_err().to_string();
    assert!(error.contains("person:3") && error.contains("record"), "{error}");
}

#[test]
fn a_laplace_sum_clips_the_one_norm_and_keeps_the_price() {
    let request = SumRequest { dimension: 2, steps: 1, ..common::request(1e5) };
    let plan = ReleasePlan::laplace_sums(request).unwrap();
    let mut mechanism = run_on_public_data(&plan);
    let tolerance = 40.0 * mechanism.scale();
    assert!(tolerance < 0.1);
    let released = sum_of(&mut mechanism, &[&[3.0, 1.0]]).unwrap();
    assert!((released[0] - 0.75).abs() < tolerance && (released[1] - 0.25).abs() < tolerance, "{released:?}");
    for epsilon in [0.1, 1.0, 8.0] {
        let plan = ReleasePlan::laplace_sums(common::request(epsilon)).unwrap();
        assert!(plan.guarantee().epsilon.get() <= epsilon && plan.guarantee().epsilon.get() > 0.99 * epsilon);
        // Two sums that are epsilon-DP each, in pure DP, cost epsilon^2 / 2 each in rho.
        let pure = 1.0 / sum_event(&plan).noise_multiplier;
        let rho: f64 = plan.event().rho().to_string().parse().unwrap();
        assert!((rho / (pure * pure) - 1.0).abs() < 1e-9, "{rho} {pure}");
    }
}

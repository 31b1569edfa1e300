//! The optimizer against a slow one, and the bounds that the proofs rest on, on random tables.

use proptest::prelude::*;

use super::loss::Objective;
use crate::event::MinimumEvent;
use crate::guarantee::{Adjacency, PrivacyUnit};
use crate::mechanism::Units;
use crate::rho::Rho;

fn event(classes: u32, columns: usize, convexity: f64) -> MinimumEvent {
    MinimumEvent {
        classes,
        columns,
        rows_per_unit: 1,
        convexity,
        objective_noise: None,
        output_noise: 1.0,
        rho: Rho::ZERO,
    }
}

fn minimizer(event: &MinimumEvent, table: &[(Vec<f64>, u32)], linear: &[f64], tolerance: f64) -> Vec<f64> {
    let units = Units::new(PrivacyUnit::Record, table.len(), None).unwrap();
    let center = vec![0.25; event.weights()];
    let row = |index: usize, out: &mut [f64]| {
        out.copy_from_slice(&table[index].0);
        Some(table[index].1)
    };
    let moved = Objective::new(event, &units, row, &center, linear.to_vec()).minimizer(tolerance).unwrap();
    moved.iter().zip(&center).map(|(v, c)| c + v).collect()
}

/// Plain gradient descent with the step 1 / (n/2 + Lambda), on rows that are within norm 1 already.
fn slow_minimizer(event: &MinimumEvent, table: &[(Vec<f64>, u32)], linear: &[f64]) -> Vec<f64> {
    let (scores, columns) = (event.scores(), event.columns);
    let mut w = vec![0.25; scores * columns];
    for _ in 0..20_000 {
        let mut gradient: Vec<f64> =
            w.iter().zip(linear).map(|(w, b)| event.convexity * (w - 0.25) + b).collect();
        for (row, class) in table {
            let z: Vec<f64> =
                (0..scores).map(|k| (0..columns).map(|j| w[k * columns + j] * row[j]).sum()).collect();
            for k in 0..scores {
                let residual = if scores == 1 {
                    1.0 / (1.0 + f64::exp(-z[0])) - f64::from(*class == 1)
                } else {
                    z[k].exp() / z.iter().map(|z| z.exp()).sum::<f64>() - f64::from(*class as usize == k)
                };
                (0..columns).for_each(|j| gradient[k * columns + j] += residual * row[j]);
            }
        }
        let step = 1.0 / (0.5 * table.len() as f64 + event.convexity);
        w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= step * g);
    }
    w
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// Rows within norm 1.
fn table(classes: u32, columns: usize) -> impl Strategy<Value = Vec<(Vec<f64>, u32)>> {
    let row = prop::collection::vec(-1.0..1.0_f64, columns).prop_map(|mut row| {
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(1.0);
        row.iter_mut().for_each(|x| *x /= norm);
        row
    });
    prop::collection::vec((row, 0..classes), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_optimizer_finds_what_slow_descent_finds(
        (classes, table) in (2..5_u32).prop_flat_map(|classes| (Just(classes), table(classes, 3))),
        convexity in 0.05..5.0_f64,
        linear in prop::collection::vec(-2.0..2.0_f64, 12),
    ) {
        let event = event(classes, 3, convexity);
        let linear = &linear[..event.weights()];
        let found = minimizer(&event, &table, linear, 1e-9);
        let expected = slow_minimizer(&event, &table, linear);
        prop_assert!(distance(&found, &expected) < 1e-6, "{found:?} {expected:?}");
    }

    /// One unit more moves the answer by at most the sensitivity, even where the optimizer stops as early as it may.
    #[test]
    fn one_unit_moves_the_minimizer_by_at_most_the_sensitivity(
        (classes, table, more) in (2..5_u32)
            .prop_flat_map(|classes| (Just(classes), table(classes, 3), table(classes, 3))),
        convexity in 1e-3..5.0_f64,
        stretch in prop::sample::select(vec![1.0, 1e3, 1e300]),
    ) {
        prop_assume!(!more.is_empty());
        let event = event(classes, 3, convexity);
        let linear = vec![0.0; event.weights()];
        let mut with = table.clone();
        let (row, class) = &more[0];
        with.push((row.iter().map(|x| x * stretch).collect(), *class));
        let tolerance = 0.5 * event.gradient_tolerance();
        let moved = distance(
            &minimizer(&event, &table, &linear, tolerance),
            &minimizer(&event, &with, &linear, tolerance),
        );
        prop_assert!(moved <= event.sensitivity(Adjacency::AddRemove), "{moved}");
    }
}

#[test]
fn a_unit_can_move_the_minimizer_by_almost_the_sensitivity() {
    // A confident mistake far from the center: the gradient has norm 1 there, and little curvature.
    let event = event(2, 1, 1.0);
    let linear = [30.0];
    let (without, with) = (vec![], vec![(vec![1.0], 1_u32)]);
    let moved =
        distance(&minimizer(&event, &without, &linear, 1e-9), &minimizer(&event, &with, &linear, 1e-9));
    let sensitivity = event.sensitivity(Adjacency::AddRemove);
    assert!(moved <= sensitivity && moved > 0.99 * sensitivity, "{moved} {sensitivity}");
}

#[test]
fn rows_that_are_no_rows_count_as_none() {
    let event = event(2, 2, 0.5);
    let good = vec![(vec![0.6, 0.0], 1), (vec![0.0, 0.8], 0)];
    let mut bad = good.clone();
    bad.extend([
        (vec![f64::NAN, 0.0], 1),
        (vec![f64::INFINITY, 1.0], 0),
        (vec![0.1, f64::NEG_INFINITY], 1),
        (vec![0.1, 0.2], 2),
        (vec![0.1, 0.2], u32::MAX),
    ]);
    let linear = [0.0; 2];
    assert_eq!(minimizer(&event, &bad, &linear, 1e-6), minimizer(&event, &good, &linear, 1e-6));
    // Huge rows keep their direction, whatever overflows on the way.
    let clipped = minimizer(&event, &[(vec![0.6, 0.8], 1)], &linear, 1e-9);
    for stretch in [1.0000001, 1e10, 1e308] {
        let huge = minimizer(&event, &[(vec![0.6 * stretch, 0.8 * stretch], 1)], &linear, 1e-9);
        assert!(distance(&huge, &clipped) < 1e-9, "{stretch}");
    }
    assert!(distance(&minimizer(&event, &[(vec![5e-324, 0.0], 1)], &linear, 1e-9), &[0.25, 0.25]) < 1e-8);
}

#[test]
fn a_person_counts_as_one_mean_of_their_rows() {
    let persons = PrivacyUnit::Person { contributions: 2.try_into().unwrap() };
    let event = MinimumEvent { rows_per_unit: 2, ..event(2, 1, 1.0) };
    assert!(event.covers(persons) && !MinimumEvent { rows_per_unit: 1, ..event.clone() }.covers(persons));
    let column = [Some(0), Some(0), Some(0), Some(1), None];
    let units = Units::new(persons, 5, Some(&column)).unwrap();
    let center = [0.0];
    let row = |_: usize, out: &mut [f64]| {
        out[0] = 1.0;
        Some(1)
    };
    let found = Objective::new(&event, &units, row, &center, vec![0.0]).minimizer(1e-9).unwrap();
    // Two persons: 2 (sigmoid(w) - 1) + w = 0
    let residual = 2.0 * (1.0 / (1.0 + f64::exp(-found[0])) - 1.0) + found[0];
    assert!(residual.abs() < 1e-8, "{found:?}");
}

/// Success must not tell of a unit: for centers as far from 0 as they may be, and every ridge, each table and its neighbor end.
/// The trap is a center that is right about all rows of one table, with a gradient of exactly 0, and wrong about a row of the
/// other.
#[test]
fn the_optimizer_ends_for_each_table_and_its_neighbor_wherever_the_center_is() {
    let right = (vec![0.1, 0.6, 0.3], 1);
    let wrong = (vec![0.1, 0.6, 0.3], 0);
    let edge = (vec![0.9, -1e-9, 0.0], 0);
    for size in [5e-324, 1e-160, 1.0, 293.0, 1e4, 1e6] {
        for convexity in [1e-6, 1e-2, 1.0, 100.0, 1e6, 1e12] {
            for classes in [2, 3] {
                let event = event(classes, 3, convexity);
                let mut center = vec![0.0; event.weights()];
                *center.iter_mut().nth_back(1).unwrap() = size;
                let units = |n: usize| Units::new(PrivacyUnit::Record, n, None).unwrap();
                let ends = |table: &[&(Vec<f64>, u32)]| {
                    let row = |index: usize, out: &mut [f64]| {
                        out.copy_from_slice(&table[index].0);
                        Some(table[index].1)
                    };
                    let linear = vec![0.0; event.weights()];
                    let objective = Objective::new(&event, &units(table.len()), row, &center, linear);
                    objective.minimizer(0.5 * event.gradient_tolerance()).is_ok()
                };
                let mut table = vec![&right; 200];
                assert!(ends(&table), "{size} {convexity} {classes}");
                for more in [&wrong, &edge, &right] {
                    table.push(more);
                    assert!(ends(&table), "{size} {convexity} {classes} {more:?}");
                }
            }
        }
    }
}

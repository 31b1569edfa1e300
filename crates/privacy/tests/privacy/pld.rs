//! The PLD accountant against other accountants (`vectors/README.md`), closed forms and extreme inputs.

use cryptotl_privacy::accountant::gdp::{self, Mu};
use cryptotl_privacy::accountant::pld::{self, Releases};
use cryptotl_privacy::accountant::{tcdp, zcdp};
use cryptotl_privacy::{Delta, Epsilon, GaussianCalibration};
use proptest::prelude::*;

/// The rows of a table: fields by column, without the header.
fn rows(text: &'static str) -> Vec<Vec<&'static str>> {
    text.lines().skip(1).map(|line| line.split(',').collect()).collect()
}

fn releases(mechanism: &str, noise: f64, rate: f64, count: u32) -> Releases {
    match mechanism {
        "gaussian" | "poisson_gaussian" => Releases::gaussian(noise, rate, count).unwrap(),
        "laplace" | "poisson_laplace" => Releases::laplace(noise, rate, count).unwrap(),
        other => panic!("no mechanism {other}"),
    }
}

fn parsed(row: &[&str]) -> Vec<Releases> {
    if row[0].starts_with("\"mixed:5xG(4)+3xL(10)+500xPG(.01") {
        return vec![
            releases("gaussian", 4.0, 1.0, 5),
            releases("laplace", 10.0, 1.0, 3),
            releases("poisson_gaussian", 1.0, 0.01, 500),
        ];
    }
    vec![releases(row[0], row[1].parse().unwrap(), row[2].parse().unwrap(), row[3].parse().unwrap())]
}

#[test]
fn epsilons_are_those_of_dp_accounting_and_never_below_the_exact_ones() {
    let table = rows(include_str!("../vectors/pld-reference.csv"));
    assert_eq!(table.len(), 30);
    for row in table {
        let releases = parsed(&row);
        // The name of the mixture contains a comma.
        let row = if releases.len() > 1 { &row[1..] } else { &row[..] };
        let delta = Delta::new(row[4].parse().unwrap()).unwrap();
        let found = pld::epsilon(&releases, delta).unwrap().get();
        let reference: f64 = row[8].parse().unwrap();
        assert!((found / reference - 1.0).abs() < 1e-4, "{row:?}: {found}");
        if let Ok(exact) = row[7].parse::<f64>() {
            // The column has nine digits.
            assert!(found >= exact * (1.0 - 1e-9), "{row:?}: {found}");
        }
        assert!(found >= row[9].parse::<f64>().unwrap(), "below the optimistic bound: {row:?}: {found}");
    }
}

#[test]
fn deltas_are_those_of_dp_accounting_and_never_below_the_exact_ones() {
    let table = rows(include_str!("../vectors/pld-reference-delta.csv"));
    assert_eq!(table.len(), 28);
    for row in table {
        let epsilon = Epsilon::new(row[4].parse().unwrap()).unwrap();
        let found = pld::delta(&parsed(&row), epsilon);
        let reference: f64 = row[5].parse().unwrap();
        assert!((found / reference - 1.0).abs() < 1e-3, "{row:?}: {found:e}");
        if let Ok(exact) = row[6].parse::<f64>() {
            assert!(found >= exact * (1.0 - 5e-9), "{row:?}: {found:e}");
        }
    }
}

#[test]
fn no_releases_lose_nothing_and_numbers_out_of_range_are_refused() {
    let delta = Delta::new(1e-5).unwrap();
    assert_eq!(pld::epsilon(&[], delta).unwrap(), Epsilon::ZERO);
    for noise in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-4, 1e7] {
        assert!(Releases::gaussian(noise, 0.1, 1).is_err(), "{noise}");
    }
    for rate in [f64::NAN, 0.0, -0.1, 1.1, 1e-10] {
        assert!(Releases::laplace(1.0, rate, 1).is_err(), "{rate}");
    }
    assert!(Releases::laplace(1.0, 0.1, 0).is_err());
    let one = [Releases::gaussian(1.0, 0.1, 1).unwrap()];
    assert!(pld::epsilon(&one, Delta::new(1e-101).unwrap()).is_err());
}

#[test]
fn sampling_everybody_and_splitting_releases_change_nothing() {
    let delta = Delta::new(1e-6).unwrap();
    let epsilon = |releases: &[Releases]| pld::epsilon(releases, delta).unwrap().get();
    let whole = epsilon(&[Releases::gaussian(2.0, 0.05, 300).unwrap()]);
    let split =
        epsilon(&[Releases::gaussian(2.0, 0.05, 100).unwrap(), Releases::gaussian(2.0, 0.05, 200).unwrap()]);
    assert!((whole / split - 1.0).abs() < 1e-6, "{whole} {split}");
    let nearly = epsilon(&[Releases::gaussian(2.0, 1.0 - 1e-9, 30).unwrap()]);
    let all = epsilon(&[Releases::gaussian(2.0, 1.0, 30).unwrap()]);
    assert!((nearly / all - 1.0).abs() < 1e-4, "{nearly} {all}");
}

#[test]
fn bounded_losses_are_pure_differential_privacy() {
    let tiny = Delta::new(1e-90).unwrap();
    let found = pld::epsilon(&[Releases::laplace(2.0, 1.0, 3).unwrap()], tiny).unwrap();
    assert!((1.5..1.5 + 1e-9).contains(&found.get()), "{found}");
    // ln(1 + q (e^(1/b) - 1)) for a removed record, by amplification
    let found = pld::epsilon(&[Releases::laplace(1.0, 0.1, 1).unwrap()], tiny).unwrap().get();
    let pure = (0.1 * 1_f64.exp_m1()).ln_1p();
    assert!((pure..pure + 1e-9).contains(&found), "{found} {pure}");
    assert_eq!(pld::delta(&[Releases::laplace(1.0, 0.1, 1).unwrap()], Epsilon::new(found).unwrap()), 0.0);
}

/// The corners of what may be asked for; the property below looks between them.
#[test]
fn the_corners_have_a_figure_that_the_charge_of_a_sampled_release_covers() {
    let start = std::time::Instant::now();
    let delta = Delta::new(1e-6).unwrap();
    for noise in [0.01, 1e4] {
        for rate in [1e-6, 1.0] {
            for steps in [1, 1_000_000] {
                let gaussian = Releases::gaussian(noise, rate, steps).unwrap();
                let laplace = Releases::laplace(noise, rate, steps).unwrap();
                let largest_laplace = f64::from(steps) / noise * (1.0 + 1e-9);
                assert!(pld::epsilon(&[laplace], delta).unwrap().get() <= largest_laplace);
                // An epsilon above 10^9 is refused by name.
                let Ok(found) = pld::epsilon(&[gaussian], delta) else {
                    assert!(noise == 0.01 && rate == 1.0 && steps > 1, "{noise} {rate} {steps}");
                    continue;
                };
                assert!(found.get().is_finite());
                for order in [2, 8, 64] {
                    let order = order.try_into().unwrap();
                    let Ok(rho) = tcdp::rho_of_sampled_sums(noise, rate, steps, order) else { continue };
                    let charged = tcdp::epsilon(rho, order, delta).unwrap();
                    assert!(charged >= found, "{noise} {rate} {steps} {order}: {charged} {found}");
                }
            }
        }
    }
    // A hang, not a benchmark.
    assert!(start.elapsed().as_secs() < 300, "{:?}", start.elapsed());
}

#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn ten_thousand_sampled_steps_take_no_time() {
    let start = std::time::Instant::now();
    let steps = [Releases::gaussian(1.0, 0.01, 10_000).unwrap()];
    let found = pld::epsilon(&steps, Delta::new(1e-5).unwrap()).unwrap().get();
    assert!((6.18..6.19).contains(&found), "{found}");
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}

/// From 10^low to 10^high, evenly in the exponent.
fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low..high).prop_map(|exponent| 10_f64.powf(exponent))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn without_sampling_it_is_above_exact_gaussian_privacy_and_below_the_cut(
        noise in log_uniform(-1.0, 3.0),
        steps in 1..2000_u32,
        delta in log_uniform(-12.0, -2.0),
    ) {
        let delta = Delta::new(delta).unwrap();
        let exact = gdp::epsilon(Mu::of_sums(noise, steps).unwrap(), delta).unwrap().get();
        let found = pld::epsilon(&[Releases::gaussian(noise, 1.0, steps).unwrap()], delta).unwrap().get();
        // The exact figure is itself rounded up.
        prop_assert!(found >= exact * (1.0 - 1e-6) && found <= exact * (1.0 + 1e-3) + 1e-9, "{exact} {found}");
        let rho = GaussianCalibration::from_noise_multiplier(noise, steps).unwrap().rho;
        prop_assert!(found <= zcdp::epsilon(rho, delta).unwrap().get());
    }

    #[test]
    fn extreme_releases_have_a_figure_in_time_that_rises_with_loss(
        is_gaussian: bool,
        noise in log_uniform(-2.0, 4.0),
        rate in prop_oneof![Just(1.0), log_uniform(-6.0, 0.0)],
        steps in log_uniform(0.0, 6.0),
        delta in prop_oneof![log_uniform(-12.0, -1.0), log_uniform(-99.0, -1.0)],
    ) {
        let start = std::time::Instant::now();
        let steps = steps.round() as u32;
        let of = |noise: f64, rate: f64| {
            let one = if is_gaussian { Releases::gaussian } else { Releases::laplace };
            vec![one(noise, rate, steps).unwrap()]
        };
        let target = Delta::new(delta).unwrap();
        match pld::epsilon(&of(noise, rate), target) {
            Err(error) => prop_assert!(noise < 0.1 && error.to_string().contains("epsilon"), "{error}"),
            Ok(epsilon) => {
                let epsilon = epsilon.get();
                prop_assert!(epsilon.is_finite() && epsilon >= 0.0);
                // Never above the plain sum of the losses, whatever the sampling.
                if !is_gaussian {
                    prop_assert!(epsilon <= f64::from(steps) / noise * (1.0 + 1e-9), "{epsilon}");
                }
                let safer = pld::epsilon(&of(noise * 2.0, rate), target).unwrap().get();
                prop_assert!(safer <= epsilon * (1.0 + 1e-2) + 1e-12, "{safer} {epsilon}");
            }
        }
        // A hang, not a benchmark: a second or two each, alone.
        prop_assert!(start.elapsed().as_secs() < 300, "{:?}", start.elapsed());
    }
}

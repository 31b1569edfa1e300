//! How often an audit falsifies a mechanism with half the DP noise, and a correct one.
//!
//! ```sh
//! cargo run --release --workspace --example audit_power -- real half 100 250   # 100 audits of 250 trainings
//! cargo run --release --workspace --example audit_power -- simulated correct 1000 8000
//! cargo run --release --workspace --example audit_power -- default 4            # one audit of the default settings, and its time
//! cargo run --release --workspace --example audit_power -- default 4 dp-sgd     # the same of another method
//! ```
//!
//! `real` trains. `simulated` draws the scores from the normal distributions that the scores of real trainings have, which is
//! what the test `scores_are_normal_and_as_far_apart_as_the_claim_allows` shows, and evaluates them with the same code. The
//! claim is epsilon 1 at delta 1.5e-4 in 20 steps of 129 numbers. Audits of a given number of trainings leave the controls out.

use cryptotl_privacy::audit::crowd::{Crowd, PairErrors, Thresholds};
use cryptotl_privacy::audit::single::Single;
use cryptotl_privacy::audit::{Allowed, AuditSettings, Preset, Verdict, View, contradicts, verdict_alpha};
use cryptotl_privacy::calibrate::largest_rho;
use cryptotl_privacy::{
    Accountant, Adjacency, Defect, Delta, Epsilon, MinimumRequest, Order, PerturbedBy, PrivacyUnit,
    ReleasePlan, SampledSumRequest, SumRequest,
};
use cryptotl_trainer::audit::attack::SINGLE_SCORES;
use cryptotl_trainer::audit::{Sitting, State, Target, preset, run, runs};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// The method that is attacked where none is named.
const METHOD: &str = "dp-fc";

fn target(epsilon: f64, method: &str) -> Target {
    let words = [
        ("method", method),
        ("momentum", "0.9"),
        ("inputs", "embedding"),
        ("rank", "128"),
        ("lambda", "0.0236"),
        ("learning-rate", "1"),
        ("public-size", "3000"),
    ];
    let description = words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (epsilon, delta) =
        (Epsilon::new(epsilon).expect("a usable epsilon"), Delta::new(1.5e-4).expect("a usable delta"));
    let (dimension, clipping_norm, unit) = (129, 0.5, PrivacyUnit::Record);
    let adjacency = Adjacency::AddRemove;
    let rho = largest_rho(epsilon, delta).expect("a usable rho");
    let minimum = |perturbed_by, description| {
        // The ridge of `--method auto`, about.
        let convexity = 2.0 / rho.to_f64_rounding_up().sqrt();
        ReleasePlan::perturbed_minimum(MinimumRequest {
            epsilon,
            delta,
            classes: 2,
            columns: dimension,
            convexity,
            perturbed_by,
            unit,
            adjacency,
            description,
        })
    };
    let plan = match method {
        "dp-fc" | "dp-gd" => ReleasePlan::gaussian_sums(SumRequest {
            epsilon,
            delta,
            accountant: Accountant::Zcdp,
            dimension,
            clipping_norm,
            slack: 0.0,
            steps: 20,
            unit,
            adjacency,
            description,
        }),
        "dp-sgd" => ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
            epsilon,
            delta,
            dimension,
            clipping_norm,
            sampling_rate: 0.25,
            steps: 100,
            order: Order::sufficient_for(rho, delta).unwrap_or(Order::MIN),
            unit,
            description,
        }),
        "objective-perturbation" => minimum(PerturbedBy::Objective, description),
        _ => minimum(PerturbedBy::Output, description),
    }
    .expect("a usable plan");
    Target::new(plan.event(), plan.guarantee(), plan.description(), 2).expect("a method that is covered")
}

/// Whether an audit with scores from normal distributions falsifies the claim.
fn simulated(target: &Target, mechanism: Defect, n_runs: usize, seed: u64) -> bool {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
    let (claim, settings) = (target.claim(), runs(n_runs, seed));
    let canaries = target.made_up().canaries();
    let factor = if mechanism == Defect::HalfNoise { 2.0 } else { 1.0 };
    let (delta, alpha) = (claim.guarantee.delta, verdict_alpha());
    let allowed = Allowed::by(claim);
    let along = 0.9991_f64.sqrt();
    // The transcript, and the head, which shows 0.9313 of it.
    let views = [1.0, 15.5 / (20.0 * 13.85_f64).sqrt()].map(|share| claim.mu * factor * along * share);
    let in_views = views.iter().any(|&mu| {
        let thresholds = Thresholds::new(mu);
        let pairs: Vec<PairErrors> = (0..settings.runs / 2)
            .map(|_| {
                let with: Vec<f64> = (0..canaries).map(|_| mu + normal()).collect();
                let without: Vec<f64> = (0..canaries).map(|_| normal()).collect();
                PairErrors::count(&thresholds, &with, &without)
            })
            .collect();
        let horizon = settings.runs / 2;
        let crowd =
            Crowd { losses: claim.losses, thresholds: &thresholds, canaries, horizon, pairs: &pairs, delta };
        let found = crowd.evaluate(View::Transcript, [1.0; 2], &allowed);
        contradicts(claim, crowd.mu(alpha), crowd.epsilon(alpha)) || allowed.is_exceeded_in(&found)
    });
    let mut single = |mu: f64| -> Vec<Vec<f64>> {
        (0..settings.single_runs / 2).map(|_| vec![mu + normal(), normal()]).collect()
    };
    let (with, without) = (single(views[0]), single(0.0));
    let selection = with.len() / 4;
    let single = Single {
        losses: claim.losses,
        names: &SINGLE_SCORES,
        with: &with,
        without: &without,
        selection,
        delta,
    };
    let (mu, epsilon) = single.mu_and_epsilon(alpha);
    in_views || contradicts(claim, mu, epsilon)
}

/// Whether an audit that trains falsifies the claim.
fn real(target: &Target, mechanism: Defect, n_runs: usize, seed: u64) -> bool {
    let settings = AuditSettings { half_noise_runs: 16, no_noise_runs: 16, ..runs(n_runs, seed) };
    let sitting = Sitting { target, mechanism, settings: &settings, on_progress: &|_| {}, save: &|_| Ok(()) };
    let evidence = run(&sitting, &mut State::default()).expect("an audit that runs");
    evidence.verdict == Verdict::Falsified
}

/// One audit with the settings of a preset, and what it showed.
fn one(amount: Preset, epsilon: f64, method: &str) {
    let target = target(epsilon, method);
    let settings = preset(amount, &target, 1);
    let (mechanism, on_progress) = (Defect::None, &|_| {});
    let sitting = Sitting { target: &target, mechanism, settings: &settings, on_progress, save: &|_| Ok(()) };
    let evidence = run(&sitting, &mut State::default()).expect("an audit that runs");
    let shown = evidence.headline().map_or(0.0, |bound| bound.epsilon);
    for control in &evidence.controls {
        println!("  {}: found out: {}", control.control.words(), control.found_out);
    }
    println!(
        "{method}, epsilon {epsilon} (exact {:.3}): at least {shown:.3} = {:.3} of it, {:?}, {} + {} + {} trainings in {:.1} s",
        target.claim().exact_epsilon.get(),
        shown / epsilon,
        evidence.verdict,
        settings.runs,
        settings.single_runs,
        settings.half_noise_runs,
        evidence.seconds,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [amount @ ("default" | "quick"), epsilon, ref method @ ..] = words[..] {
        let amount = if amount == "quick" { Preset::Quick } else { Preset::Default };
        return one(amount, epsilon.parse().expect("a number"), method.first().unwrap_or(&METHOD));
    }
    let (how, what, repetitions, n_runs) = match words[..] {
        [how @ ("real" | "simulated"), what @ ("half" | "correct"), repetitions, n_runs] => {
            (how, what, repetitions.parse::<u64>(), n_runs.parse::<usize>())
        }
        _ => panic!("give default|quick EPSILON [METHOD], or real|simulated half|correct REPETITIONS RUNS"),
    };
    let (repetitions, n_runs) = (repetitions.expect("a number"), n_runs.expect("a number"));
    let (target, mechanism) =
        (target(1.0, METHOD), if what == "half" { Defect::HalfNoise } else { Defect::None });
    let falsified = if how == "real" {
        (0..repetitions).filter(|&seed| real(&target, mechanism, n_runs, seed)).count()
    } else {
        (0..repetitions).into_par_iter().filter(|&seed| simulated(&target, mechanism, n_runs, seed)).count()
    };
    println!("{how} {what}: falsified in {falsified} of {repetitions} audits of {n_runs} trainings");
}

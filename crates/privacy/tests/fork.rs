//! A forked process must not draw the noise of its parent again. This file has one test, so that no other thread draws
//! before it begins.

mod common;

use std::path::Path;

use cryptotl_privacy::{
    BenchmarkMinimum, BenchmarkSums, Ledger, MechanismError, MinimumRequest, NoisyMinimum, PerturbedBy,
    PublicData, QueryRequest, ReleasePlan, SampledSumRequest,
};
use opendp::domains::AtomDomain;
use opendp::measurements::make_gaussian;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::AbsoluteDistance;

/// Runs `child` in a forked process, which leaves its answer in a file, and reads the answer.
fn forked(folder: &Path, child: impl FnOnce() -> String) -> String {
    let file = folder.join("answer");
    // SAFETY: the child is one thread with a copy of this one's memory. It allocates (glibc makes its allocator usable after a
    // fork), computes and writes a file, takes no lock of this program that another thread could hold (the test harness's other
    // thread waits), and leaves by `_exit`, without destructors and handlers of the parent.
    let child_id = match unsafe { libc::fork() } {
        0 => {
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            let written = answer.is_ok_and(|answer| std::fs::write(&file, answer).is_ok());
            // SAFETY: ends the child here.
            unsafe { libc::_exit(i32::from(!written)) }
        }
        id => id,
    };
    assert!(child_id > 0, "fork failed");
    let mut status = 0;
    // SAFETY: waits for the child that was just made; `status` is a valid place for its end.
    assert_eq!(unsafe { libc::waitpid(child_id, &mut status, 0) }, child_id);
    assert_eq!(status, 0, "the child failed");
    std::fs::read_to_string(file).unwrap()
}

/// One number with noise, past every guard of ours.
fn unguarded() -> String {
    let (domain, metric) = (AtomDomain::<i64>::default(), AbsoluteDistance::<f64>::default());
    let gaussian =
        make_gaussian::<_, _, ZeroConcentratedDivergence>(domain, metric, (1_u64 << 30) as f64, None);
    gaussian.unwrap().invoke(&0).unwrap().to_string()
}

fn sum() -> Result<Vec<f64>, MechanismError> {
    let declared = PublicData::declare("synthetic test data");
    let mut sums = BenchmarkSums::for_public_data(&common::plan(1.0), declared)?;
    common::sum_of(&mut sums, &[&[0.1, 0.2, 0.3]])
}

/// Every mechanism that draws; the charged ones were paid for before.
fn every_mechanism(ledger: &mut Ledger) -> Vec<Box<dyn FnOnce() -> Option<MechanismError>>> {
    let declared = || PublicData::declare("synthetic test data");
    let request = common::request(1.0);
    let laplace = ReleasePlan::laplace_sums(request.clone()).unwrap();
    let sampled = ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
        epsilon: request.epsilon,
        delta: request.delta,
        dimension: 3,
        clipping_norm: 1.0,
        sampling_rate: 0.5,
        steps: 2,
        order: cryptotl_privacy::Order::new(8).unwrap(),
        unit: request.unit,
        description: request.description.clone(),
    })
    .unwrap();
    let sums = |plan: ReleasePlan| {
        let mut sums = BenchmarkSums::for_public_data(&plan, declared()).unwrap();
        Box::new(move || common::sum_of(&mut sums, &[&[0.1, 0.2, 0.3]]).err()) as Box<dyn FnOnce() -> _>
    };
    let minimum = |perturbed_by| {
        let plan = ReleasePlan::perturbed_minimum(MinimumRequest {
            epsilon: request.epsilon,
            delta: request.delta,
            classes: 2,
            columns: 3,
            convexity: 10.0,
            perturbed_by,
            unit: request.unit,
            adjacency: request.adjacency,
            description: request.description.clone(),
        });
        let mut minimum = BenchmarkMinimum::for_public_data(&plan.unwrap(), declared()).unwrap();
        Box::new(move || {
            let units = minimum.units(0, None).unwrap();
            minimum.minimize(&units, |_, _| None, &[0.0; 3]).err()
        }) as Box<dyn FnOnce() -> _>
    };
    let query = QueryRequest {
        epsilon: request.epsilon,
        delta: request.delta,
        size: 3,
        unit: request.unit,
        adjacency: request.adjacency,
        description: request.description.clone(),
    };
    let counts = ledger.charge(ReleasePlan::counts(query.clone()).unwrap()).unwrap().into_counts().unwrap();
    let choice = ledger.charge(ReleasePlan::noisy_max(query).unwrap()).unwrap().into_noisy_max().unwrap();
    vec![
        sums(common::plan(1.0)),
        sums(laplace),
        sums(sampled),
        minimum(PerturbedBy::Objective),
        minimum(PerturbedBy::Output),
        Box::new(move || counts.release(1, None, |_| Some(0)).err()),
        Box::new(move || {
            choice
                .release(1, None, |_, scores| {
                    scores.fill(0.5);
                    true
                })
                .err()
        }),
    ]
}

#[test]
fn a_fork_of_a_process_that_drew_noise_is_refused_and_would_have_drawn_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A child of a process that drew nothing has noise of its own.
    let [one, two] = [0, 1].map(|_| forked(folder, || format!("{:?}", sum().unwrap())));
    assert_ne!(one, two);

    // What the guard is for: two children of a process that drew draw the same number, unless the generator's block happens
    // to end in between. About 7 of 10 do; that none of 30 does has a probability below 1e-15.
    let mut repeated = 0;
    for _ in 0..30 {
        unguarded();
        let [one, two] = [0, 1].map(|_| forked(folder, unguarded));
        repeated += usize::from(one == two);
    }
    assert!(repeated > 0, "noise no longer repeats after a fork: is the guard still needed?");

    sum().unwrap();
    let (_folder, _path, mut ledger) = common::ledger(10.0);
    for (index, run) in every_mechanism(&mut ledger).into_iter().enumerate() {
        let answer = forked(folder, move || format!("{:?}", run()));
        assert_eq!(answer, format!("{:?}", Some(MechanismError::Forked)), "mechanism {index}");
    }
    // The child of a child as well; and here all goes on.
    let deeper = forked(folder, || {
        let inner = tempfile::tempdir().unwrap();
        forked(inner.path(), || sum().unwrap_err().to_string())
    });
    assert!(deeper.contains("fork of one that has drawn"), "{deeper}");
    sum().unwrap();
}

//! Whole jobs through SEAL, compared with the f64 network.

use cryptotl_model::{Network, Polynomial};
use ndarray::{Array2, array};
use proptest::prelude::*;

use crate::testkit::network;
use crate::{
    Client, EncryptedError, EvaluationKeys, EvaluationPlan, InputBound, Kernels, Packing, ParameterSet,
    Query, Server, extract_in_process, testkit,
};

const SMALL: ParameterSet = ParameterSet::InsecureN1024Q30x5P38;

/// A feature-major plan.
fn plan_for(network: &Network, set: ParameterSet, bound: f64) -> EvaluationPlan {
    let bound = InputBound::new(bound).unwrap();
    EvaluationPlan::compile(network, set, Packing::FeatureMajor, bound).unwrap()
}

/// Dense, cubic, dense on the small ring.
pub(crate) fn small_plan(width: usize, seed: u64) -> EvaluationPlan {
    plan_for(&network(Polynomial::cubic_relu().into(), [width; 3], seed), SMALL, 3.0)
}

/// The largest and the rms difference from the f64 network, over a whole job.
fn errors(network: &Network, set: ParameterSet, rows: &Array2<f64>, bound: f64) -> (f64, f64) {
    let plan = plan_for(network, set, bound);
    let extraction = extract_in_process(&plan, Kernels::Native, rows.view(), &|_| ()).unwrap();
    let difference = extraction.features - network.forward(rows.view()).unwrap();
    let max = difference.iter().fold(0.0f64, |max, d| max.max(d.abs()));
    let rms = (difference.iter().map(|d| d * d).sum::<f64>() / difference.len() as f64).sqrt();
    println!(
        "{} -> {}, {} rows, {set}: max {max:.2e}, rms {rms:.2e}, predicted {:.2e}",
        network.input_width(),
        network.output_width(),
        rows.nrows(),
        plan.predicted_error()
    );
    let cost = plan.cost(rows.nrows());
    assert_eq!(
        (cost.bytes_up, cost.bytes_down, cost.key_bytes),
        (extraction.bytes_up, extraction.bytes_down, extraction.key_bytes)
    );
    (max, rms)
}

#[test]
fn the_papers_network_at_width_384() {
    let network = Network::new(384, testkit::paper_layers(384, 11)).unwrap();
    let rows = testkit::records(4096, 384, 4.0, 12);
    let (max, rms) = errors(&network, ParameterSet::N8192Q30x5P38, &rows, 4.0);
    assert!(max < 5e-4 && rms < 5e-5, "max {max:e}, rms {rms:e}");
    let few = rows.slice(ndarray::s![..50, ..]).to_owned();
    let (max, rms) = errors(&network, ParameterSet::N8192Q28x6P34, &few, 4.0);
    assert!(max < 2e-5 && rms < 4e-6, "max {max:e}, rms {rms:e}");
}

#[test]
fn the_quantum_secure_set_works_with_less_precision() {
    let network = network(Polynomial::cubic_relu().into(), [24, 16, 8], 3);
    let (max, _) = errors(&network, ParameterSet::N8192Q25x5P31, &testkit::records(9, 24, 3.0, 4), 3.0);
    assert!(max < 5e-3, "{max:e}");
}

#[test]
fn other_polynomials() {
    let rows = testkit::records(5, 12, 3.0, 8);
    for coefficients in
        [vec![0.3, 0.5, 0.1], vec![0.1, -0.7, -0.2], vec![0.1, 0.7, 0.2, 0.3], vec![0.5, 0.0, 0.0, 0.2]]
    {
        let network = network(coefficients, [12, 20, 6], 5);
        let (max, _) = errors(&network, ParameterSet::N8192Q30x5P38, &rows, 3.0);
        assert!(max < 5e-4, "{max:e}");
    }
}

#[test]
fn partial_full_and_several_blocks() {
    let network = network(Polynomial::cubic_relu().into(), [6, 5, 4], 5);
    for rows in [1, SMALL.slots() - 1, SMALL.slots(), SMALL.slots() + 1] {
        let (max, _) = errors(&network, SMALL, &testkit::records(rows, 6, 3.0, 8), 3.0);
        assert!(max < 1e-4, "{max:e}");
    }
}

#[test]
fn the_worst_records_do_not_overflow() {
    // Records at the corners of the input box that push features to their bounds, in each slot.
    let network = Network::new(16, testkit::paper_layers(16, 2)).unwrap();
    let rows = testkit::records(SMALL.slots(), 16, 4.0, 3).mapv(|x| 4.0 * x.signum());
    let (max, _) = errors(&network, SMALL, &rows, 4.0);
    assert!(max < 5e-4, "{max:e}");
}

proptest! {
    #![proptest_config(testkit::cases(8))]
    #[test]
    fn random_widths(widths in [1usize..40, 1usize..40, 1usize..40], seed in 0u64..1000, rows in 1usize..40) {
        let network = network(Polynomial::cubic_relu().into(), widths, seed);
        let (max, _) = errors(&network, SMALL, &testkit::records(rows, widths[0], 3.0, seed), 3.0);
        prop_assert!(max < 5e-4, "{:e}", max);
    }
}

#[test]
fn messages_of_another_job_are_refused() {
    let plan = small_plan(4, 1);
    let rows = testkit::records(3, 4, 3.0, 1);
    let [(own, keys), (other, other_keys)] = [0, 1].map(|_| Client::generate(plan.contract()).unwrap());
    assert_ne!(own.job(), other.job());
    let query = own.encrypt(rows.view()).unwrap();
    let foreign = Server::new(&plan, &other_keys).unwrap().evaluate(&query, &|_| ());
    assert!(foreign.err().unwrap().to_string().contains("another job"));
    let response = Server::new(&plan, &keys).unwrap().evaluate(&query, &|_| ()).unwrap();
    own.decrypt(&response, &query.request()).unwrap();
    let wrong = other.decrypt(&response, &query.request()).unwrap_err().to_string();
    assert!(wrong.contains("another job"), "{wrong}");
    let again = own.encrypt(rows.view()).unwrap();
    assert_ne!(query.request(), again.request(), "two encryptions of the same records differ");
    let wrong = own.decrypt(&response, &again.request()).unwrap_err().to_string();
    assert!(wrong.contains("another query"), "{wrong}");
}

#[test]
fn records_that_the_plan_does_not_cover_are_refused() {
    let plan = small_plan(2, 1);
    let (client, _) = Client::generate(plan.contract()).unwrap();
    let too_many = Array2::zeros((SMALL.slots() + 1, 2));
    for (rows, reason) in [
        (array![[0.0, f64::NAN]], "number 1 of record 0"),
        (array![[0.0, 0.0], [-3.1, 0.0]], "bound +-3"),
        (array![[f64::INFINITY, 0.0]], "bound"),
        (array![[0.0, 0.0, 0.0]], "3 numbers"),
        (Array2::zeros((0, 2)), "0 records"),
        (too_many, "513 records"),
    ] {
        let error = client.encrypt(rows.view()).err().expect(reason);
        assert!(matches!(error, EncryptedError::Input { .. }));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn messages_of_another_plan_are_refused() {
    let [plan, other] = [1, 2].map(|seed| small_plan(4, seed));
    assert_ne!(plan.digest(), other.digest());
    assert_eq!(plan.digest(), small_plan(4, 1).digest(), "compiling is deterministic");
    let (client, keys) = Client::generate(plan.contract()).unwrap();
    let query = client.encrypt(testkit::records(1, 4, 3.0, 1).view()).unwrap();
    assert!(Server::new(&other, &keys).is_err());
    assert!(EvaluationKeys::from_bytes(other.contract(), &keys.to_bytes()).is_err());
    assert!(Query::from_bytes(other.contract(), &query.to_bytes()).is_err());
}

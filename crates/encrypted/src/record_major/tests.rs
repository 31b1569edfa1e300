//! Encrypted records against the f64 network, through SEAL and through the own kernels.

use cryptotl_model::{Layer, Network, Polynomial};
use ndarray::Array2;
use proptest::prelude::*;

use crate::plan::EvaluationPlan;
use crate::{
    Client, EncryptedError, EvaluationKeys, InputBound, Kernels, Packing, ParameterSet, Query, Response,
    Server, testkit,
};

const SMALL: ParameterSet = ParameterSet::InsecureN1024Q30x5P38;

/// The most that a measured rms error may exceed the predicted one. The features of a network with one narrow layer share
/// a single slot's error, and that has an exponential tail over the keys (see `plan::error_model`): a factor of 4 comes
/// once in some thousand runs, this one less than once in 10^9. A wrong result is off by a factor of 10^4 or more.
const LIMIT: f64 = 20.0;

fn plan(network: &Network, set: ParameterSet, bound: f64) -> EvaluationPlan {
    EvaluationPlan::compile(network, set, Packing::RecordMajor, InputBound::new(bound).unwrap()).unwrap()
}

/// The largest and the rms difference from the f64 network, for each of `kernels`.
fn errors(
    plan: &EvaluationPlan,
    network: &Network,
    rows: &Array2<f64>,
    kernels: &[Kernels],
) -> Vec<(f64, f64)> {
    let contract = plan.contract();
    let (client, keys) = Client::generate(contract).unwrap();
    let query = client.encrypt(rows.view()).unwrap();
    let bytes = query.to_bytes();
    let cost = plan.cost(rows.nrows());
    assert_eq!((bytes.len() as u64, keys.to_bytes().len() as u64), (cost.bytes_up, cost.key_bytes));
    let query = Query::from_bytes(contract, &bytes).unwrap();
    let expected = network.forward(rows.view()).unwrap();
    let run = |kernels: &Kernels| {
        let server = Server::with_kernels(plan, &keys, *kernels).unwrap();
        let response = server.evaluate(&query, &|_| ()).unwrap().to_bytes();
        assert_eq!(response.len() as u64, cost.bytes_down);
        let response = Response::from_bytes(contract, &response).unwrap();
        let difference = client.decrypt(&response, &query.request()).unwrap() - &expected;
        let max = difference.iter().fold(0.0f64, |max, d| max.max(d.abs()));
        let rms = difference.mapv(|d| d * d).mean().unwrap().sqrt();
        println!("{kernels}: max {max:.2e}, rms {rms:.2e}, predicted {:.2e}", plan.predicted_error());
        (max, rms)
    };
    kernels.iter().map(run).collect()
}

proptest! {
    #![proptest_config(testkit::cases(8))]
    #[test]
    fn random_networks(
        widths in [1usize..70, 1usize..70, 1usize..70],
        seed in 0u64..1000,
        rows in 1usize..4,
        degree in 2usize..4,
    ) {
        let coefficients = [0.1, 0.7, 0.2, -0.05][..=degree].to_vec();
        let network = testkit::network(coefficients, widths, seed);
        let rows = testkit::records(rows, widths[0], 3.0, seed);
        let plan = plan(&network, SMALL, 3.0);
        for (_, rms) in errors(&plan, &network, &rows, &Kernels::ALL) {
            prop_assert!(rms < LIMIT * plan.predicted_error(), "{rms:e} {plan}");
        }
    }
}

#[test]
fn features_far_below_1_do_not_ask_for_a_scale_beyond_the_modulus() {
    let network = testkit::network(vec![0.1, 0.7, 0.2], [4, 1, 59], 413);
    let rows = testkit::records(1, 4, 3.0, 413);
    let by_record = plan(&network, SMALL, 3.0);
    for (_, rms) in errors(&by_record, &network, &rows, &Kernels::ALL) {
        assert!(rms < LIMIT * by_record.predicted_error(), "{rms:e}");
    }
}

#[test]
fn the_papers_network_at_width_768() {
    let network = Network::new(768, testkit::paper_layers(768, 11)).unwrap();
    let rows = testkit::records(4, 768, 4.0, 12);
    let plan = plan(&network, ParameterSet::N8192Q30x5P38, 4.0);
    println!("{plan}");
    for (max, rms) in errors(&plan, &network, &rows, &Kernels::ALL) {
        assert!(rms < 1.2e-4 && max < 1.2e-3, "max {max:e}, rms {rms:e}");
    }
}

#[test]
fn each_parameter_set() {
    let network = Network::new(40, testkit::paper_layers(40, 11)).unwrap();
    let rows = testkit::records(3, 40, 3.0, 12);
    for set in ParameterSet::ALL {
        let plan = plan(&network, set, 3.0);
        for (_, rms) in errors(&plan, &network, &rows, &Kernels::ALL) {
            assert!(rms < LIMIT * plan.predicted_error(), "{set}: {rms:e}");
        }
    }
}

#[test]
fn records_at_the_corners_do_not_wrap() {
    let network = Network::new(16, testkit::paper_layers(16, 2)).unwrap();
    let rows = testkit::records(8, 16, 4.0, 3).mapv(|x| 4.0 * x.signum());
    for (max, _) in errors(&plan(&network, SMALL, 4.0), &network, &rows, &Kernels::ALL) {
        assert!(max < 5e-3, "{max:e}");
    }
}

#[test]
fn messages_hold_as_many_ciphertexts_as_records_and_every_key() {
    let network = testkit::network(vec![0.1, 0.7, 0.2, -0.05], [5, 7, 3], 1);
    let plan = plan(&network, SMALL, 3.0);
    let contract = plan.contract();
    let (client, keys) = Client::generate(contract).unwrap();
    let keys = keys.to_bytes();
    assert!(EvaluationKeys::from_bytes(contract, &keys).is_ok());
    let query = client.encrypt(testkit::records(3, 5, 3.0, 1).view()).unwrap().to_bytes();
    assert_eq!(Query::from_bytes(contract, &query).unwrap().rows(), 3);
    // The header's count of ciphertexts is at 12, that of records at 16.
    for (at, value) in [(12, 2), (12, 4), (16, 2), (16, 65), (16, 0)] {
        let mut altered = query.clone();
        altered[at] = value;
        let error = Query::from_bytes(contract, &altered).err();
        assert!(matches!(error, Some(EncryptedError::Message { .. })), "{at} = {value}");
    }
    let mut altered = query.clone();
    (altered[12], altered[16]) = (64, 64);
    assert!(Query::from_bytes(contract, &altered).is_err(), "ciphertexts that are not there");
    let one_key = ParameterSet::data_primes(SMALL).len() as u8;
    let mut altered = keys;
    altered[12] -= one_key;
    assert!(EvaluationKeys::from_bytes(contract, &altered).is_err(), "a key is missing");
    let too_many = testkit::records(65, 5, 3.0, 1);
    assert!(client.encrypt(too_many.view()).is_err());
}

#[test]
fn a_layer_with_zeros_only_still_gives_encrypted_features() {
    // A feature that depends on nothing, and units without weights: diagonals of zeros.
    let mut layers = vec![testkit::dense(2, 3, 1), Layer::Activation(Polynomial::cubic_relu())];
    let Layer::Dense { weight, .. } = &mut layers[0] else { panic!() };
    weight.row_mut(1).fill(0.0);
    layers.push(Layer::Dense {
        weight: ndarray::array![[1.0, 0.0], [0.0, 0.0]],
        bias: ndarray::array![0.5, 2.0],
    });
    let network = Network::new(3, layers).unwrap();
    for (max, _) in
        errors(&plan(&network, SMALL, 3.0), &network, &testkit::records(2, 3, 3.0, 5), &Kernels::ALL)
    {
        assert!(max < 1e-4, "{max:e}");
    }
}

//! Encrypted records against the f64 network, through SEAL and through the own kernels.

use cryptotl_model::Network;
use ndarray::Array2;
use proptest::prelude::*;

use crate::plan::EvaluationPlan;
use crate::{Client, InputBound, Kernels, Packing, ParameterSet, Query, Response, Server, testkit};

const SMALL: ParameterSet = ParameterSet::InsecureN1024Q30x5P38;

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
    #![proptest_config(ProptestConfig::with_cases(8))]
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
        for (max, _) in errors(&plan, &network, &rows, &Kernels::ALL) {
            prop_assert!(max < 20.0 * plan.predicted_error(), "{max:e} {plan}");
        }
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
        for (max, _) in errors(&plan, &network, &rows, &Kernels::ALL) {
            assert!(max < 20.0 * plan.predicted_error(), "{set}: {max:e}");
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

//! Every fault a message can have, by name.

use super::*;
use crate::EncryptedError;
use crate::client::Client;
use crate::end_to_end::small_plan;
use crate::server::Server;
use crate::testkit;

/// A byte-level change of a message.
type Fault = (&'static str, fn(&mut Vec<u8>));

const HEADER_FAULTS: &[Fault] = &[
    ("empty", |bytes| bytes.clear()),
    ("header only in part", |bytes| bytes.truncate(51)),
    ("header only", |bytes| bytes.truncate(52)),
    ("magic", |bytes| bytes[0] ^= 1),
    ("version", |bytes| bytes[4] = 2),
    ("kind", |bytes| bytes[6] = 1 + bytes[6] % 3),
    ("packing", |bytes| bytes[7] = 2),
    ("parameter set", |bytes| bytes[8] ^= 1),
    ("level", |bytes| bytes[10] += 1),
    ("count", |bytes| bytes[12] += 1),
    ("huge count", |bytes| bytes[15] = 0xff),
    ("huge row count", |bytes| bytes[19] = 0xff),
    ("digest", |bytes| bytes[51] ^= 0x80),
    ("truncated", |bytes| bytes.truncate(bytes.len() - 1)),
    ("trailing byte", |bytes| bytes.push(0)),
    ("residue over its prime", |bytes| bytes[52..56].fill(0xff)),
];

fn assert_refused<T>(bytes: &[u8], faults: &[Fault], parse: impl Fn(&[u8]) -> Result<T>) {
    assert!(parse(bytes).is_ok());
    for (name, fault) in faults {
        let mut bytes = bytes.to_vec();
        fault(&mut bytes);
        match parse(&bytes) {
            Err(EncryptedError::Message { .. }) => {}
            Err(other) => panic!("{name}: {other}"),
            Ok(_) => panic!("{name} was accepted"),
        }
    }
}

#[test]
fn hostile_messages_are_refused_before_seal_reads_them() {
    let plan = small_plan(4, 1);
    let contract = plan.contract();
    let client = Client::new(contract).unwrap();
    let rows = testkit::records(3, 4, 3.0, 1);
    let keys = client.evaluation_keys().to_bytes();
    let query = client.encrypt(rows.view()).unwrap();
    let server = Server::new(&plan, client.evaluation_keys()).unwrap();
    let response = server.evaluate(&query, &|_| ()).unwrap().to_bytes();
    let query = query.to_bytes();

    let cost = plan.cost(3);
    assert_eq!(
        [keys.len() as u64, query.len() as u64, response.len() as u64],
        [cost.key_bytes, cost.bytes_up, cost.bytes_down]
    );
    for faults in [
        HEADER_FAULTS,
        &[
            ("unknown generator", |bytes| {
                let at = bytes.len() - 65;
                bytes[at] = 3;
            }),
            ("zero seed", |bytes| {
                let at = bytes.len() - 64;
                bytes[at..].fill(0);
            }),
        ],
    ] {
        assert_refused(&keys, faults, |bytes| EvaluationKeys::from_bytes(contract, bytes));
        assert_refused(&query, faults, |bytes| Query::from_bytes(contract, bytes));
    }
    assert_refused(&keys, &[("row count", |b| b[16] = 1)], |bytes| {
        EvaluationKeys::from_bytes(contract, bytes)
    });
    assert_refused(&query, &[("no rows", |b| b[16] = 0)], |bytes| Query::from_bytes(contract, bytes));
    assert_refused(&response, HEADER_FAULTS, |bytes| Response::from_bytes(contract, bytes));
    let zero_second: Fault = ("zero second polynomial", |bytes| {
        let at = bytes.len() - 2 * 1024 * 30 / 8;
        bytes[at..].fill(0);
    });
    assert_refused(&response, &[zero_second], |bytes| Response::from_bytes(contract, bytes));
}

#[test]
fn messages_survive_a_round_trip() {
    let plan = small_plan(4, 1);
    let contract = plan.contract();
    let client = Client::new(contract).unwrap();
    let query = client.encrypt(testkit::records(3, 4, 3.0, 1).view()).unwrap();
    let again = Query::from_bytes(contract, &query.to_bytes()).unwrap();
    assert!(again.rows() == 3 && again.ciphertexts == query.ciphertexts);
    let keys = client.evaluation_keys();
    assert!(EvaluationKeys::from_bytes(contract, &keys.to_bytes()).unwrap().parts == keys.parts);
}

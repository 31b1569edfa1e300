//! Every fault a message can have, by name, and mutations of real messages.

use proptest::prelude::*;

use super::*;
use crate::client::Client;
use crate::end_to_end::small_plan;
use crate::server::Server;
use crate::{EncryptedError, testkit};

/// A change of a message's bytes, and words of the error that it must give.
type Fault = (&'static str, fn(&mut Vec<u8>), &'static str);

/// The messages of one small job.
struct Job {
    contract: Contract,
    keys: Vec<u8>,
    query: Vec<u8>,
    response: Vec<u8>,
}

fn job() -> Job {
    let plan = small_plan(4, 1);
    let (client, keys) = Client::generate(plan.contract()).unwrap();
    let query = client.encrypt(testkit::records(3, 4, 3.0, 1).view()).unwrap();
    let response = Server::new(&plan, &keys).unwrap().evaluate(&query, &|_| ()).unwrap();
    let [keys, query, response] = [keys.to_bytes(), query.to_bytes(), response.to_bytes()];
    let cost = plan.cost(3);
    assert_eq!(
        [keys.len() as u64, query.len() as u64, response.len() as u64],
        [cost.key_bytes, cost.bytes_up, cost.bytes_down]
    );
    Job { contract: plan.contract().clone(), keys, query, response }
}

/// Gives altered bytes the digest that a hostile sender would give them.
fn reseal(bytes: &mut [u8]) {
    if let Some((content, trailer)) = bytes.split_last_chunk_mut::<32>() {
        *trailer = *Digest::of(content).as_bytes();
    }
}

/// Faults that every kind of message can have; the digest is made to fit after each.
const ANY: &[Fault] = &[
    ("empty", |bytes| bytes.clear(), "ends inside its header"),
    ("header only in part", |bytes| bytes.truncate(123), "ends inside its header"),
    ("header only", |bytes| bytes.truncate(124), "ends inside a ciphertext"),
    ("magic", |bytes| bytes[0] ^= 1, "CTLE"),
    ("version", |bytes| bytes[4] = 3, "version 3"),
    ("kind", |bytes| bytes[6] = 1 + bytes[6] % 3, "of kind"),
    ("packing", |bytes| bytes[7] = 9, "parameters or counts"),
    ("parameter set", |bytes| bytes[8] ^= 1, "parameters or counts"),
    ("level", |bytes| bytes[10] += 1, "parameters or counts"),
    ("count", |bytes| bytes[12] += 1, "parameters or counts"),
    ("huge count", |bytes| bytes[15] = 0xff, "parameters or counts"),
    ("huge row count", |bytes| bytes[19] = 0xff, "records"),
    ("block beyond the last", |bytes| bytes[20] = 1, "block 2 of 1"),
    ("no blocks", |bytes| bytes[24] = 0, "block 1 of 0"),
    ("plan", |bytes| bytes[59] ^= 0x80, "another plan"),
    ("truncated", |bytes| bytes.truncate(bytes.len() - 1), "ends inside its digest"),
    ("trailing byte", |bytes| bytes.push(0), "something follows"),
    ("residue over its prime", |bytes| bytes[124..128].fill(0xff), "not below its prime"),
];

const SEEDED: &[Fault] = &[
    (
        "unknown generator",
        |bytes| {
            let at = bytes.len() - 32 - 65;
            bytes[at] = 3;
        },
        "generator 3",
    ),
    (
        "zero seed",
        |bytes| {
            let at = bytes.len() - 32 - 64;
            bytes[at..at + 64].fill(0);
        },
        "all zero",
    ),
    ("request", |bytes| bytes[92] = 1, "request"),
];

fn assert_refused<T>(bytes: &[u8], faults: &[Fault], parse: impl Fn(&[u8]) -> Result<T>) {
    assert!(parse(bytes).is_ok());
    for (name, fault, words) in faults {
        let mut altered = bytes.to_vec();
        fault(&mut altered);
        if altered.len() == bytes.len() {
            reseal(&mut altered);
        }
        match parse(&altered) {
            Err(error @ EncryptedError::Message { .. }) => {
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
            Err(other) => panic!("{name}: {other}"),
            Ok(_) => panic!("{name} was accepted"),
        }
    }
    let mut damaged = bytes.to_vec();
    damaged[130] ^= 1;
    let error = parse(&damaged).err().expect("damage shows").to_string();
    assert!(error.contains("digest") || error.contains("prime"), "{error}");
}

#[test]
fn hostile_messages_are_refused_before_seal_reads_them() {
    let Job { contract, keys, query, response } = job();
    assert_refused(&keys, ANY, |bytes| EvaluationKeys::from_bytes(&contract, bytes));
    assert_refused(&keys, SEEDED, |bytes| EvaluationKeys::from_bytes(&contract, bytes));
    assert_refused(
        &keys,
        &[("row count", |b| b[16] = 1, "records"), ("job", |b| b[60] = 1, "job")],
        |bytes| EvaluationKeys::from_bytes(&contract, bytes),
    );
    assert_refused(&query, ANY, |bytes| Query::from_bytes(&contract, bytes));
    assert_refused(&query, SEEDED, |bytes| Query::from_bytes(&contract, bytes));
    assert_refused(&query, &[("no rows", |b| b[16] = 0, "0 records")], |bytes| {
        Query::from_bytes(&contract, bytes)
    });
    assert_refused(&response, ANY, |bytes| Response::from_bytes(&contract, bytes));
    let zero_second: Fault = (
        "zero second polynomial",
        |bytes| {
            let end = bytes.len() - 32;
            bytes[end - 2 * 1024 * 30 / 8..end].fill(0);
        },
        "second polynomial is all zero",
    );
    assert_refused(&response, &[zero_second], |bytes| Response::from_bytes(&contract, bytes));
}

#[test]
fn messages_survive_a_round_trip_with_their_names() {
    let Job { contract, keys, query, response } = job();
    let read_keys = EvaluationKeys::from_bytes(&contract, &keys).unwrap();
    let read_query = Query::from_bytes(&contract, &query).unwrap();
    let read_response = Response::from_bytes(&contract, &response).unwrap();
    assert!(read_keys.to_bytes() == keys && read_query.to_bytes() == query);
    assert!(read_response.to_bytes() == response);
    assert_eq!((read_query.job(), read_response.job()), (read_keys.job(), read_keys.job()));
    assert_eq!(read_response.request(), read_query.request());
    assert_eq!(read_response.place(), Place::ONLY);
}

#[test]
fn files_hold_the_blocks_of_one_job_in_order() {
    let plan = small_plan(4, 1);
    let contract = plan.contract();
    let (client, _) = Client::generate(contract).unwrap();
    let [first, second] = [0, 1].map(|block| {
        let rows = testkit::records(3, 4, 3.0, 1);
        client.encrypt_block(rows.view(), Place { block, blocks: 2 }).unwrap().to_bytes()
    });
    let alone = client.encrypt(testkit::records(3, 4, 3.0, 1).view()).unwrap().to_bytes();
    let (stranger, _) = Client::generate(contract).unwrap();
    let foreign = stranger.encrypt(testkit::records(3, 4, 3.0, 1).view()).unwrap().to_bytes();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("query");
    let read = |parts: &[&[u8]]| {
        std::fs::write(&path, parts.concat()).unwrap();
        QueryFile::open(contract, client.job(), &path).unwrap().collect::<Result<Vec<_>>>()
    };
    assert_eq!(read(&[&first, &second]).unwrap().len(), 2);
    assert_eq!(read(&[&alone]).unwrap().len(), 1);
    for (parts, words) in [
        (vec![&first, &first], "block 1 of 2 stands where block 2"),
        (vec![&second, &first], "block 2 of 2 stands where block 1"),
        (vec![&first], "ends inside its header"),
        (vec![&first, &second, &second], "follows its last block"),
        (vec![&alone, &alone], "follows its last block"),
        (vec![&first, &alone], "block 1 of 1 stands where block 2"),
        (vec![&foreign], "another job"),
        (vec![], "ends inside its header"),
    ] {
        let parts: Vec<&[u8]> = parts.into_iter().map(Vec::as_slice).collect();
        let error = read(&parts).err().expect(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn mutated_messages_never_panic_and_never_pass(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        sealed in any::<bool>(),
    ) {
        static JOB: std::sync::LazyLock<Job> = std::sync::LazyLock::new(job);
        let Job { contract, keys, query, response } = &*JOB;
        for original in [keys, query, response] {
            let mut bytes = original.clone();
            for (index, value) in &edits {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            if let Some(cut) = &cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if sealed {
                reseal(&mut bytes);
            }
            let changed = bytes != *original;
            // With a digest that fits, a change of residues, seed, job or request is another message.
            let passed = [
                EvaluationKeys::from_bytes(contract, &bytes).is_ok(),
                Query::from_bytes(contract, &bytes).is_ok(),
                Response::from_bytes(contract, &bytes).is_ok(),
            ];
            prop_assert!(passed.iter().filter(|p| **p).count() <= 1, "one kind at most");
            prop_assert!(!changed || sealed || passed == [false; 3]);
            prop_assert!(bytes.len() == original.len() || passed == [false; 3]);
        }
    }
}

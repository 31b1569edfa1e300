//! Both sides in one process, with the bytes that would cross the wire.

use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::client::Client;
use crate::error::{EncryptedError, Result};
use crate::kernels::Kernels;
use crate::message::{EvaluationKeys, Query, Response};
use crate::plan::EvaluationPlan;
use crate::progress::{Progress, Stage};
use crate::server::Server;

/// Decrypted features and what they cost.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// `[rows, output_width]`.
    pub features: Array2<f64>,
    /// Wall time, key generation included.
    pub seconds: f64,
    /// The server's part of it: from the bytes of the queries to those of the responses.
    pub server_seconds: f64,
    /// Bytes of all queries.
    pub bytes_up: u64,
    /// Bytes of all responses.
    pub bytes_down: u64,
    /// Bytes of the evaluation keys.
    pub key_bytes: u64,
}

/// Runs a whole job, block by block, and serializes and parses each message in both directions.
///
/// `rows` is `[rows, input_width]`, scaled and clamped to the plan's input bound, with at least one row.
///
/// # Errors
/// [`EncryptedError::Input`] for records that do not fit the plan, see [`Client::encrypt`].
pub fn extract_in_process(
    plan: &EvaluationPlan,
    kernels: Kernels,
    rows: ArrayView2<f64>,
    on_progress: &(dyn Fn(Progress) + Sync),
) -> Result<Extraction> {
    let start = Instant::now();
    let contract = plan.contract();
    let total = rows.nrows();
    if total == 0 {
        return Err(EncryptedError::input("there are no records", "give at least one"));
    }
    let (client, keys) = Client::generate(contract)?;
    let keys = keys.to_bytes();
    let server = Server::with_kernels(plan, &EvaluationKeys::from_bytes(contract, &keys)?, kernels)?;

    let mut features = Array2::zeros((total, contract.output_width()));
    let (mut bytes_up, mut bytes_down, mut server_seconds) = (0, 0, 0.0);
    let blocks = rows.axis_chunks_iter(Axis(0), contract.block_rows());
    for (block, records) in blocks.enumerate() {
        let first = block * contract.block_rows();
        let last = first + records.nrows();
        let query = client.encrypt_block(records, contract.place(block, total))?;
        let (up, request) = (query.to_bytes(), query.request());
        drop(query);
        on_progress(Progress { stage: Stage::Encrypt, done: last, total });
        let arrival = Instant::now();
        let query = Query::from_bytes(contract, &up)?;
        bytes_up += up.len() as u64;
        // Both are tens of megabytes; the server needs only the parsed query.
        drop(up);
        let down = server.evaluate(&query, on_progress)?.to_bytes();
        drop(query);
        server_seconds += arrival.elapsed().as_secs_f64();
        let response = Response::from_bytes(contract, &down)?;
        bytes_down += down.len() as u64;
        features.slice_mut(s![first..last, ..]).assign(&client.decrypt(&response, &request)?);
        on_progress(Progress { stage: Stage::Decrypt, done: last, total });
    }
    let (seconds, key_bytes) = (start.elapsed().as_secs_f64(), keys.len() as u64);
    Ok(Extraction { features, seconds, server_seconds, bytes_up, bytes_down, key_bytes })
}

//! What an evaluation costs, counted before anything is spent.

use crate::message;
use crate::plan::EvaluationPlan;

/// Counts for a job of some number of rows, key exchange included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Products of an integer weight and a residue.
    pub multiply_accumulates: u64,
    /// Ciphertexts that go through the activation.
    pub activations: u64,
    /// Bytes of all queries.
    pub bytes_up: u64,
    /// Bytes of all responses.
    pub bytes_down: u64,
    /// Bytes of the evaluation keys, sent once a job.
    pub key_bytes: u64,
}

impl EvaluationPlan {
    /// The cost of `rows` records. A block costs the same however full it is; bytes are exact.
    pub fn cost(&self, rows: usize) -> Cost {
        let contract = self.contract();
        let blocks = rows.div_ceil(contract.block_rows) as u64;
        let levels = self.levels();
        let residues = |level: usize| 2 * (level * contract.parameter_set.degree()) as u64;
        let size = |matrix: &crate::gemm::IntegerMatrix| matrix.values().len() as u64;
        let per_block = size(&levels.first) * residues(contract.input_level)
            + size(&levels.second) * residues(contract.output_level);
        Cost {
            multiply_accumulates: blocks * per_block,
            activations: blocks * levels.first.rows() as u64,
            bytes_up: blocks * message::query_bytes(contract) as u64,
            bytes_down: blocks * message::response_bytes(contract) as u64,
            key_bytes: message::key_bytes(contract) as u64,
        }
    }
}

//! What an evaluation costs, counted before anything is spent.

use crate::message;
use crate::plan::levels::FeatureMajor;
use crate::plan::{Body, EvaluationPlan};
use crate::record_major::Linear;

/// Counts for a job of some number of rows, key exchange included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Products of an integer weight and a residue.
    pub multiply_accumulates: u64,
    /// Ciphertexts that go through the activation.
    pub activations: u64,
    /// Products of an encoded diagonal and a ciphertext; feature-major packing has none.
    pub plain_products: u64,
    /// Rotations of a ciphertext; feature-major packing has none.
    pub rotations: u64,
    /// Bytes of all queries.
    pub bytes_up: u64,
    /// Bytes of all responses.
    pub bytes_down: u64,
    /// Bytes of the evaluation keys, sent once a job.
    pub key_bytes: u64,
}

impl EvaluationPlan {
    /// The cost of `rows` records. In feature-major packing a block costs the same however full it is. Bytes are
    /// exact.
    pub fn cost(&self, rows: usize) -> Cost {
        let contract = self.contract();
        let residues = |level: usize| 2 * (level * contract.parameter_set.degree()) as u64;
        let blocks = rows.div_ceil(contract.block_rows) as u64;
        let (repeats, mut cost) = match self.body() {
            Body::FeatureMajor(integers) => {
                let FeatureMajor { first, second, .. } = &**integers;
                let size = |matrix: &crate::gemm::IntegerMatrix| matrix.values().len() as u64;
                let per_block = size(first) * residues(contract.input_level)
                    + size(second) * residues(contract.output_level);
                let activations = first.rows() as u64;
                (blocks, Cost { multiply_accumulates: per_block, activations, ..Cost::default() })
            }
            Body::RecordMajor(body) => {
                let mut cost = Cost { activations: 1, ..Cost::default() };
                let layers = [(Linear::First, contract.input_level), (Linear::Second, contract.output_level)];
                for (layer, level) in layers {
                    let steps = body.layout.steps(layer);
                    cost.plain_products += steps.diagonals as u64;
                    cost.rotations += steps.rotations().len() as u64;
                    // Modulo the special prime too.
                    cost.multiply_accumulates += steps.diagonals as u64 * residues(level + 1);
                }
                (rows as u64, cost)
            }
        };
        for count in [
            &mut cost.multiply_accumulates,
            &mut cost.activations,
            &mut cost.plain_products,
            &mut cost.rotations,
        ] {
            *count *= repeats;
        }
        Cost {
            bytes_up: message::query_bytes(contract, rows) as u64,
            bytes_down: message::response_bytes(contract, rows) as u64,
            key_bytes: message::key_bytes(contract) as u64,
            ..cost
        }
    }
}

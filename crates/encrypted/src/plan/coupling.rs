//! How far the features of the other records of a block move when one record changes: the slack that a proof of
//! differential privacy has to add to its sensitivity.

use cryptotl_model::BlockCoupling;
use ndarray::Array2;

use crate::gemm::IntegerMatrix;
use crate::plan::fold::Core;
use crate::plan::{Body, EvaluationPlan};

/// Bounds for one block, as the sum over its other records of the Euclidean norm by which their features move when one
/// record is replaced, added or removed. Both are 0 in record-major packing, where each record has its own
/// ciphertexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordCoupling {
    /// Through the encoder, which rounds one polynomial for all records: **a proved bound**.
    ///
    /// *Statement.* `sum_j |f_j - f'_j| <= L sqrt(m w / 2) sqrt(N) (sqrt(N) + 16 log2(N) 2^-53 S B) / S` for `m` other
    /// records, width `w`, ring degree `N`, input scale `S`, input bound `B`, where `L` is a Lipschitz constant of
    /// the network, with its rounded weights, on inputs within the bound and what rounding adds to them.
    ///
    /// *Argument.* Let `d_i` be the difference, between the neighboring blocks, of the rounding errors of the coefficients of
    /// feature `i`, at scale 1. A rounding error is at most 1/2, so `|d_i| <= sqrt(N)`, plus twice the error of the
    /// floating-point Fourier transform before it, at most `8 log2(N) 2^-53` of `|coefficients| <= S B` (Higham,
    /// "Accuracy and Stability of Numerical Algorithms", 2nd edition, theorem 24.2, with accurate twiddle factors). Record `j` sees `d_i` as its value at
    /// one root of unity. By Parseval the squares of the values at all `N` roots add up to `N |d_i|^2`, and the `N/2`
    /// slots have half of it, so the inputs of all other records move by a matrix of Frobenius norm at most `sqrt(w N / 2)
    /// |d| / S`, `|d|` being the largest `|d_i|`, and the sum over `m` records of row norms is at most `sqrt(m)` times that
    /// (Cauchy-Schwarz). The network moves no two inputs apart by more than `L`, the product of the spectral norms
    /// of both matrices and the largest slope of the activation within the bound on `|u|`.
    ///
    /// *Records that move.* Adding or removing a record shifts the later ones by a slot, the last of a block into another one. Then
    /// record `j` sees the rounding errors of two blocks at two roots of unity. Each error is within half of what is said of
    /// `d_i`, Parseval holds for each, and the triangle inequality gives the same bound for the sum over a block. Over `b` blocks the
    /// squares add up to `b` times those of one, over `b` times as many records: `b` times the bound.
    pub encoding: f64,
    /// Through the rounding of ciphertexts: **a figure of the error model, not a bound**.
    ///
    /// Rescaling rounds residues that depend on the encryption's randomness and on all records. If its errors are
    /// distributed independently of the records, the standard heuristic for CKKS, both neighbors have them alike and they
    /// need no slack: condition on them. Who does not accept that takes the errors of the neighbors for
    /// two independent draws: `m sqrt(2 d)` times the predicted error, with `d` features.
    pub evaluation: f64,
}

impl EvaluationPlan {
    /// The proved bound for a full block, as it travels with a plan and with features.
    pub fn block_coupling(&self) -> BlockCoupling {
        let block_rows = self.contract().block_rows();
        BlockCoupling { block_rows, moved: self.record_coupling(block_rows).encoding }
    }

    /// The coupling within a block of `rows` records, at most [`crate::Contract::block_rows`]; those of several blocks
    /// do not couple.
    pub fn record_coupling(&self, rows: usize) -> RecordCoupling {
        let contract = self.contract();
        let Body::FeatureMajor(integers) = self.body() else {
            return RecordCoupling { encoding: 0.0, evaluation: 0.0 };
        };
        let others = rows.min(contract.block_rows()).saturating_sub(1) as f64;
        let degree = contract.parameter_set().degree() as f64;
        let (scale, bound) = (contract.input_scale(), contract.input_bound().max_abs());
        let transform = 16.0 * degree.log2() * (-53f64).exp2() * scale * bound;
        let input = (degree.sqrt() * (degree.sqrt() + transform)) / scale;
        let width = contract.input_width() as f64;

        let scales = &self.levels().scales;
        // What rounding adds to the inputs is within one part in a million of the bound at any scale of use.
        let max_u = self.levels().max_u * (1.0 + 1e-6);
        let slope = match self.core() {
            Core::Square => 2.0 * max_u,
            Core::Cube { linear } => (3.0 * max_u * max_u + linear).max(linear.abs()),
        };
        let lipschitz = norm(&integers.first, scales.first_product / scales.input)
            * slope
            * norm(&integers.second, scales.output / scales.activated);
        let features = contract.output_width() as f64;
        RecordCoupling {
            encoding: lipschitz * (others * width / 2.0).sqrt() * input,
            evaluation: others * (2.0 * features).sqrt() * self.predicted_error(),
        }
    }
}

/// A bound on the spectral norm of the matrix that the integers stand for.
fn norm(matrix: &IntegerMatrix, scale: f64) -> f64 {
    let values = Array2::from_shape_fn((matrix.rows(), matrix.columns()), |(i, j)| matrix.row(i)[j] / scale);
    super::norm::spectral_bound(&values)
}

#[cfg(test)]
mod tests {
    use cryptotl_model::Polynomial;
    use ndarray::s;

    use super::*;
    use crate::plan::InputBound;
    use crate::seal::ckks::{Context, Encoder};
    use crate::{Packing, ParameterSet, testkit};

    fn plan(packing: Packing) -> EvaluationPlan {
        let network = testkit::network(Polynomial::cubic_relu().into(), [24, 20, 16], 3);
        let bound = InputBound::new(3.0).unwrap();
        EvaluationPlan::compile(&network, ParameterSet::N8192Q30x5P38, packing, bound).unwrap()
    }

    #[test]
    fn the_bound_covers_what_the_encoder_of_seal_does() {
        let plan = plan(Packing::FeatureMajor);
        let contract = plan.contract();
        let context = Context::new(contract.parameter_set()).unwrap();
        let encoder = Encoder::new(&context).unwrap();
        let rows = contract.block_rows();
        let mut records = testkit::records(rows, 24, 3.0, 5);
        // The records as the server gets them: encoded, decoded, without encryption.
        let encoded = |records: &Array2<f64>| {
            let mut inputs = records.clone();
            for (from, mut to) in records.columns().into_iter().zip(inputs.columns_mut()) {
                let (level, scale) = (contract.input_level(), contract.input_scale());
                let plain = encoder.encode(&context, &from.to_vec(), level, scale).unwrap();
                to.assign(&ndarray::aview1(&encoder.decode(&plain).unwrap()));
            }
            inputs
        };
        let network = testkit::network(Polynomial::cubic_relu().into(), [24, 20, 16], 3);
        let before = network.forward(encoded(&records).view()).unwrap();
        records.slice_mut(s![17, ..]).fill(-3.0);
        let after = network.forward(encoded(&records).view()).unwrap();
        let moved = (&after - &before).mapv(|d| d * d).sum_axis(ndarray::Axis(1)).mapv(f64::sqrt);
        let others = moved.sum() - moved[17];
        let bound = plan.record_coupling(rows).encoding;
        assert!(others > 0.0 && others < bound, "{others:e} {bound:e}");
        assert!(bound < 1e5 * others, "the bound {bound:e} says nothing about {others:e}");
    }

    #[test]
    fn records_alone_do_not_couple() {
        let alone = RecordCoupling { encoding: 0.0, evaluation: 0.0 };
        assert_eq!(plan(Packing::RecordMajor).record_coupling(100), alone);
        let shared = plan(Packing::FeatureMajor);
        assert_eq!(shared.record_coupling(1), alone);
        assert_eq!(shared.record_coupling(1 << 20), shared.record_coupling(4096));
        assert!(shared.record_coupling(4096).encoding > shared.record_coupling(2).encoding);
    }
}

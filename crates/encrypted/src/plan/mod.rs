//! The evaluation plan: a network compiled to what the server will do, as a value.
//!
//! [`EvaluationPlan::compile`] folds the layers ([`fold`]), rounds the weights and fixes each scale and
//! level ([`levels`]). Keys, messages, cost and digest are read off the plan; the part that the data owner
//! may see is its [`Contract`].

mod contract;
mod cost;
mod coupling;
mod error_model;
pub(crate) mod fold;
pub(crate) mod levels;
mod norm;
mod quantize;
pub(crate) mod record_major;

use std::fmt;
use std::sync::Arc;

use cryptotl_model::{AffineMap, Digest, Network};
use ndarray::Array2;
use sha2::{Digest as _, Sha256};

pub use contract::{Contract, InputBound};
pub use cost::Cost;
pub use coupling::RecordCoupling;
use fold::{Core, FoldedNetwork};
use levels::{FeatureMajor, Levels, output_level};
use record_major::RecordMajor;

use crate::error::Result;
use crate::params::{Packing, ParameterSet};
use crate::record_major::{Layout, Linear};

/// How many ciphertexts, each with its record, a query of record-major packing carries at most.
const RECORDS_PER_QUERY: usize = 64;

/// A network compiled for encrypted evaluation. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct EvaluationPlan {
    contract: Contract,
    core: Core,
    levels: Levels,
    body: Arc<Body>,
}

/// What a server computes with, by packing.
#[derive(Debug)]
pub(crate) enum Body {
    FeatureMajor(Arc<FeatureMajor>),
    RecordMajor(Box<RecordMajor>),
}

impl EvaluationPlan {
    /// Compiles a network.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Unsupported`] when the network is not affine layers, one
    /// activation of degree 2 or 3, affine layers; when a unit does not depend on its input (feature-major) or a layer is
    /// wider than the slots (record-major); when the input bound leaves too little precision; or when
    /// the set is one of [`ParameterSet::PAPER`].
    pub fn compile(
        network: &Network,
        set: ParameterSet,
        packing: Packing,
        bound: InputBound,
    ) -> Result<Self> {
        set.check_evaluable()?;
        let folded = FoldedNetwork::fold(network)?;
        let core = folded.core;
        let (body, levels) = match packing {
            Packing::FeatureMajor => {
                let (integers, levels) = levels::choose(&folded, set, bound.max_abs())?;
                (Body::FeatureMajor(Arc::new(integers)), levels)
            }
            Packing::RecordMajor => {
                let (record_major, levels) = RecordMajor::choose(folded, set, bound.max_abs())?;
                (Body::RecordMajor(Box::new(record_major)), levels)
            }
        };
        let (layout, block_rows) = match &body {
            Body::FeatureMajor(_) => (None, set.slots()),
            Body::RecordMajor(body) => (Some(body.layout), RECORDS_PER_QUERY),
        };
        let mut contract = Contract {
            parameter_set: set,
            packing,
            input_width: network.input_width(),
            output_width: network.output_width(),
            input_bound: bound,
            input_scale: levels.scales.input,
            input_level: levels.input_level,
            output_scale: levels.scales.output,
            output_level: output_level(set),
            block_rows,
            layout,
            circuit: Digest::of(&[]),
        };
        contract.circuit = circuit_digest(&contract, core, &levels, &body);
        Ok(Self { contract, core, levels, body: Arc::new(body) })
    }

    /// What the data owner has to know.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// SHA-256 over everything the server will do: parameters, widths, scales, integer weights and biases.
    pub fn digest(&self) -> Digest {
        self.contract.digest()
    }

    /// The predicted rms encryption error of a feature, for standardized records. A model, not a bound.
    pub fn predicted_error(&self) -> f64 {
        self.levels.predicted_error
    }

    /// The largest magnitude that a feature can have for inputs within the bound, and that a response has
    /// room for.
    pub fn max_feature(&self) -> f64 {
        self.levels.max_feature
    }

    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    pub(crate) fn core(&self) -> Core {
        self.core
    }

    /// How many units the activation has.
    fn units(&self) -> usize {
        match self.body() {
            Body::FeatureMajor(integers) => integers.first.rows(),
            Body::RecordMajor(body) => body.map(Linear::First).bias.len(),
        }
    }

    /// The first layer's weights, `[units, input_width]`, up to one positive factor.
    pub(crate) fn first_weights(&self) -> Array2<f64> {
        match self.body() {
            Body::FeatureMajor(integers) => {
                let shape = (integers.first.rows(), integers.first.columns());
                Array2::from_shape_fn(shape, |(unit, input)| integers.first.row(unit)[input])
            }
            Body::RecordMajor(body) => body.map(Linear::First).weight.clone(),
        }
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }
}

/// The canonical encoding: a domain, then each number in a fixed order and width, little endian.
fn circuit_digest(contract: &Contract, core: Core, levels: &Levels, body: &Body) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"cryptotl evaluation plan 1\0");
    hash.update(contract.parameter_set.name());
    hash.update(b"\0");
    hash.update(contract.packing.to_string());
    hash.update(b"\0");
    let core = match core {
        Core::Square => 2i64,
        Core::Cube { linear } => 30 + linear as i64,
    };
    hash.update(core.to_le_bytes());
    let scales = &levels.scales;
    for number in [
        contract.input_bound.max_abs(),
        scales.input,
        scales.first_product,
        scales.u,
        scales.square,
        scales.activated,
        scales.output,
    ] {
        hash.update(number.to_le_bytes());
    }
    match body {
        Body::FeatureMajor(integers) => {
            let layers = [(&integers.first, &integers.first_bias), (&integers.second, &integers.second_bias)];
            for (matrix, bias) in layers {
                hash.update((matrix.rows() as u64).to_le_bytes());
                hash.update((matrix.columns() as u64).to_le_bytes());
                matrix.values().iter().for_each(|w| hash.update((*w as i64).to_le_bytes()));
                bias.iter().for_each(|b| hash.update(b.to_le_bytes()));
            }
        }
        Body::RecordMajor(body) => {
            body.layout.numbers().iter().for_each(|n| hash.update((*n as u64).to_le_bytes()));
            for layer in [Linear::First, Linear::Second] {
                let AffineMap { weight, bias } = body.map(layer);
                let scale = body.plaintext_scale(layer);
                hash.update(scale.to_le_bytes());
                weight
                    .iter()
                    .chain(bias)
                    .for_each(|w| hash.update(((w * scale).round() as i64).to_le_bytes()));
            }
        }
    }
    Digest::from_bytes(hash.finalize().into())
}

impl fmt::Display for EvaluationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contract, levels, core, .. } = self;
        let scales = &levels.scales;
        let cost = self.cost(contract.block_rows);
        writeln!(f, "plan          {}", contract.digest())?;
        writeln!(f, "parameters    {}, {} packing", contract.parameter_set, contract.packing)?;
        for basis in contract.parameter_set.security() {
            writeln!(
                f,
                "security      {} bits: {} of {} modulus bits ({})",
                basis.bits, basis.modulus_bits, basis.limit_bits, basis.standard
            )?;
        }
        writeln!(
            f,
            "widths        {} -> {} -> {}, inputs within +-{}",
            contract.input_width,
            self.units(),
            contract.output_width,
            contract.input_bound.max_abs()
        )?;
        writeln!(f, "query         level {}, scale 2^{:.2}", contract.input_level, scales.input.log2())?;
        writeln!(
            f,
            "first layer   scale 2^{:.2}, rescaled to 2^{:.2}; |u| <= {:.3}",
            scales.first_product.log2(),
            scales.u.log2(),
            levels.max_u
        )?;
        let form = match core {
            Core::Square => "u^2",
            Core::Cube { linear } if *linear < 0.0 => "u^3 - u",
            Core::Cube { linear } if *linear > 0.0 => "u^3 + u",
            Core::Cube { .. } => "u^3",
        };
        writeln!(f, "activation    {form}, scale 2^{:.2}", scales.activated.log2())?;
        writeln!(
            f,
            "response      level {}, scale 2^{:.2}; |feature| <= {:.3}",
            contract.output_level,
            scales.output.log2(),
            levels.max_feature
        )?;
        writeln!(f, "error         {:.1e} rms, predicted", levels.predicted_error)?;
        if let Body::RecordMajor(body) = self.body() {
            let Layout { block, diagonals, baby, .. } = body.layout;
            writeln!(
                f,
                "layout        blocks of {block} slots, {} + {} diagonals, {baby} baby steps, {} rotations with {} keys",
                diagonals[0],
                diagonals[1],
                cost.rotations / contract.block_rows as u64,
                body.layout.rotations().len()
            )?;
        }
        writeln!(
            f,
            "block         {} records: {:.1} G multiply-accumulates, {} activations, {} bytes up, {} down; \
             keys {} bytes once",
            contract.block_rows,
            cost.multiply_accumulates as f64 / 1e9,
            cost.activations,
            cost.bytes_up,
            cost.bytes_down,
            cost.key_bytes
        )
    }
}

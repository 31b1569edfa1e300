//! The evaluation plan: a network compiled to what the server will do, as a value.
//!
//! [`EvaluationPlan::compile`] folds the layers ([`fold`]), rounds the weights and fixes each scale and
//! level ([`levels`]). Keys, messages, cost and digest are read off the plan; the part that the data owner
//! may see is its [`Contract`].

mod contract;
mod cost;
mod error_model;
pub(crate) mod fold;
pub(crate) mod levels;
mod quantize;

use std::fmt;

use cryptotl_model::{Digest, Network};
use sha2::{Digest as _, Sha256};

pub use contract::{Contract, InputBound};
pub use cost::Cost;
use fold::{Core, FoldedNetwork};
use levels::{Levels, output_level};

use crate::error::Result;
use crate::params::{Packing, ParameterSet};

/// A network compiled for encrypted evaluation. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct EvaluationPlan {
    contract: Contract,
    core: Core,
    levels: Levels,
}

impl EvaluationPlan {
    /// Compiles a network.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Unsupported`] when the network is not affine layers, one
    /// activation of degree 2 or 3, affine layers; when a unit does not depend on its input; or when the
    /// input bound leaves too little precision.
    pub fn compile(
        network: &Network,
        set: ParameterSet,
        packing: Packing,
        bound: InputBound,
    ) -> Result<Self> {
        let folded = FoldedNetwork::fold(network)?;
        let levels = levels::choose(&folded, set, bound.max_abs())?;
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
            block_rows: set.slots(),
            circuit: Digest::of(&[]),
        };
        contract.circuit = circuit_digest(&contract, folded.core, &levels);
        Ok(Self { contract, core: folded.core, levels })
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
}

/// The canonical encoding: a domain, then each number in a fixed order and width, little endian.
fn circuit_digest(contract: &Contract, core: Core, levels: &Levels) -> Digest {
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
    for (matrix, bias) in [(&levels.first, &levels.first_bias), (&levels.second, &levels.second_bias)] {
        hash.update((matrix.rows() as u64).to_le_bytes());
        hash.update((matrix.columns() as u64).to_le_bytes());
        matrix.values().iter().for_each(|w| hash.update((*w as i64).to_le_bytes()));
        bias.iter().for_each(|b| hash.update(b.to_le_bytes()));
    }
    Digest::from_bytes(hash.finalize().into())
}

impl fmt::Display for EvaluationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contract, levels, core } = self;
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
            levels.first.rows(),
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

//! The layers through SEAL's evaluator, one rotation at a time: the reference for the own kernels.

use std::ops::Range;
use std::sync::Arc;

use super::Layers;
use super::encoded::{EncodedLayer, encode};
use super::layout::{Layout, Linear};
use super::steps::{Rotate, stepwise};
use crate::error::{EncryptedError, Result};
use crate::message::EvaluationKeys;
use crate::plan::record_major::RecordMajor;
use crate::plan::{Contract, EvaluationPlan};
use crate::seal::ckks::{Ciphertext, Context, Encoder, Evaluator, GaloisKeys, Plaintext};
use crate::seal::wire::{self, Level};

/// The encoded layers of a model for SEAL.
pub(crate) struct SealModel {
    layers: [EncodedLayer<Plaintext>; 2],
}

/// The layers under the keys of one job.
pub(super) struct Seal {
    contract: Contract,
    layout: Layout,
    model: Arc<SealModel>,
    /// The scales of each layer's input and output.
    scales: [(f64, f64); 2],
    context: Context,
    encoder: Encoder,
    evaluator: Evaluator,
    keys: GaloisKeys,
}

impl Seal {
    pub(super) fn new(plan: &EvaluationPlan, body: &RecordMajor, keys: &EvaluationKeys) -> Result<Self> {
        let contract = plan.contract();
        let context = Context::new(contract.parameter_set())?;
        let encoder = Encoder::new(&context)?;
        let model = body.seal_model.get_or_make(|| {
            let encode = |layer| {
                let level = level(contract, layer);
                encode(body, layer, (&context, &encoder), level, |_, plain| Ok(plain))
            };
            Ok(SealModel { layers: [encode(Linear::First)?, encode(Linear::Second)?] })
        })?;
        let elements = body.layout.galois_elements();
        let scales = &plan.levels().scales;
        Ok(Self {
            keys: GaloisKeys::load(&context, &wire::galois_bytes(&context, &elements, keys.galois()))?,
            evaluator: Evaluator::new(&context)?,
            scales: [(scales.input, scales.first_product), (scales.activated, scales.output)],
            layout: body.layout,
            contract: contract.clone(),
            model,
            context,
            encoder,
        })
    }
}

/// How many data primes a layer runs on.
pub(super) fn level(contract: &Contract, layer: Linear) -> usize {
    match layer {
        Linear::First => contract.input_level(),
        Linear::Second => contract.output_level(),
    }
}

/// One layer at work.
struct Layer<'a> {
    seal: &'a Seal,
    diagonals: &'a [Plaintext],
}

impl Rotate for Layer<'_> {
    type Vector = Ciphertext;

    fn rotate(&self, vector: &Ciphertext, steps: usize) -> Result<Ciphertext> {
        self.seal.evaluator.rotate(vector, steps as i32, &self.seal.keys)
    }

    fn products(&self, inputs: &[Ciphertext], range: Range<usize>) -> Result<Ciphertext> {
        let evaluator = &self.seal.evaluator;
        let mut products = inputs.iter().zip(&self.diagonals[range]);
        let Some((input, diagonal)) = products.next() else {
            return Err(EncryptedError::input("a giant step has no diagonal", "report this as a defect"));
        };
        let mut sum = evaluator.multiply_plain(input, diagonal)?;
        for (input, diagonal) in products {
            evaluator.add(&mut sum, &evaluator.multiply_plain(input, diagonal)?)?;
        }
        Ok(sum)
    }

    fn add(&self, to: &mut Ciphertext, other: &Ciphertext) -> Result<()> {
        self.seal.evaluator.add(to, other)
    }
}

impl Layers for Seal {
    fn apply(&self, layer: Linear, ciphertext: &[u32]) -> Result<Vec<u32>> {
        let (level, (from, to)) = (level(&self.contract, layer), self.scales[layer as usize]);
        let EncodedLayer { diagonals, bias } = &self.model.layers[layer as usize];
        let bytes = wire::full_bytes(&self.context, Level::Data(level), from, ciphertext);
        let input = Ciphertext::load(&self.context, &bytes)?;
        let mut out = stepwise(&Layer { seal: self, diagonals }, &self.layout.steps(layer), input)?;
        let scale = out.scale()?;
        if (scale / to - 1.0).abs() > 1e-12 {
            return Err(EncryptedError::Seal {
                operation: "a linear layer",
                code: format!("scale {scale:e} instead of {to:e}"),
            });
        }
        self.evaluator.add_plain(&mut out, &self.encoder.encode(&self.context, bias, level, scale)?)?;
        wire::parse_full(&self.context, Level::Data(level), &out.save()?)
    }
}

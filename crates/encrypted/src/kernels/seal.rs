//! SEAL's evaluator: the reference for the native kernels.

use super::Operations;
use crate::error::{EncryptedError, Result};
use crate::message::EvaluationKeys;
use crate::plan::EvaluationPlan;
use crate::plan::fold::Core;
use crate::seal::ckks::{Ciphertext, Context, Encoder, Evaluator, RelinKeys};
use crate::seal::wire::{self, Level, Seed};

/// Operations through SEAL. Residues stay in SEAL's order.
pub(super) struct Seal {
    plan: EvaluationPlan,
    context: Context,
    keys: RelinKeys,
    encoder: Encoder,
    evaluator: Evaluator,
}

impl Seal {
    pub(super) fn new(plan: &EvaluationPlan, keys: &EvaluationKeys) -> Result<Self> {
        let context = Context::new(plan.contract().parameter_set())?;
        Ok(Self {
            keys: RelinKeys::load(&context, &wire::keys_bytes(&context, keys.relinearization()))?,
            encoder: Encoder::new(&context)?,
            evaluator: Evaluator::new(&context)?,
            plan: plan.clone(),
            context,
        })
    }
}

impl Operations for Seal {
    fn expand(&self, c0: &[u32], seed: &Seed) -> Result<Vec<u32>> {
        let contract = self.plan.contract();
        let level = Level::Data(contract.input_level());
        let bytes = wire::seeded_bytes(&self.context, level, contract.input_scale(), c0, seed);
        wire::parse_full(&self.context, level, &Ciphertext::load(&self.context, &bytes)?.save()?)
    }

    fn activate(&self, product: &[u32]) -> Result<Vec<u32>> {
        let contract = self.plan.contract();
        let scales = &self.plan.levels().scales;
        let (context, evaluator) = (&self.context, &self.evaluator);
        let input = Level::Data(contract.input_level());
        let bytes = wire::full_bytes(context, input, scales.first_product, product);
        let mut u = Ciphertext::load(context, &bytes)?;
        evaluator.rescale(&mut u)?;
        let mut square = evaluator.square(&u, &self.keys)?;
        evaluator.rescale(&mut square)?;
        let activated = match self.plan.core() {
            Core::Square => square,
            Core::Cube { linear } => {
                let scale = square.scale()?;
                let level = contract.input_level() - 2;
                // Also for `linear == 0`, so that the time does not tell the coefficients.
                let constant = self.encoder.encode_constant(context, linear, level, scale)?;
                evaluator.add_plain(&mut square, &constant)?;
                evaluator.drop_prime(&mut u)?;
                let mut cube = evaluator.multiply(&square, &u, &self.keys)?;
                evaluator.rescale(&mut cube)?;
                cube
            }
        };
        let scale = activated.scale()?;
        if (scale / scales.activated - 1.0).abs() > 1e-12 {
            return Err(EncryptedError::Seal {
                operation: "the activation",
                code: format!("scale {scale:e} instead of {:e}", scales.activated),
            });
        }
        wire::parse_full(context, Level::Data(contract.output_level()), &activated.save()?)
    }

    fn finish(&self, ciphertext: Vec<u32>) -> Vec<u32> {
        ciphertext
    }
}

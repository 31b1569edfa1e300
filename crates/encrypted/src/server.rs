//! The model owner's side: the lower network on ciphertexts. It holds no secret of the data owner.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::{EncryptedError, Result};
use crate::message::{EvaluationKeys, JobId, Query, Response};
use crate::plan::EvaluationPlan;
use crate::plan::fold::Core;
use crate::progress::{Progress, Stage};
use crate::residues::ResidueMatrix;
use crate::seal::ckks::{Ciphertext, Context, Encoder, Evaluator, RelinKeys};
use crate::seal::wire::{self, Level};

/// How many ciphertexts are held both as SEAL's bytes and as residues at a time.
const BATCH: usize = 32;

/// Evaluates queries of one job.
pub struct Server {
    plan: EvaluationPlan,
    job: JobId,
    context: Context,
    keys: RelinKeys,
    encoder: Encoder,
    evaluator: Evaluator,
}

impl Server {
    /// Prepares to evaluate under the keys of one job.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when the keys are for another plan; [`EncryptedError::Seal`] when SEAL
    /// fails.
    pub fn new(plan: &EvaluationPlan, keys: &EvaluationKeys) -> Result<Self> {
        if !keys.fits(plan.contract()) {
            return Err(wrong_plan("evaluation keys"));
        }
        let context = Context::new(plan.contract().parameter_set())?;
        Ok(Self {
            keys: RelinKeys::load(&context, &wire::keys_bytes(&context, keys.relinearization()))?,
            encoder: Encoder::new(&context)?,
            evaluator: Evaluator::new(&context)?,
            plan: plan.clone(),
            job: keys.job(),
            context,
        })
    }

    /// Evaluates the network on a block of encrypted records. Runs on rayon's current thread pool;
    /// `on_progress` is called from any of its threads.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when the query is for another plan or job; [`EncryptedError::Seal`] when
    /// SEAL fails.
    pub fn evaluate(&self, query: &Query, on_progress: &(dyn Fn(Progress) + Sync)) -> Result<Response> {
        if !query.fits(self.plan.contract()) {
            return Err(wrong_plan("query"));
        }
        if query.job() != self.job {
            return Err(EncryptedError::input(
                "the query was made with the keys of another job",
                "use the keys and the messages of one job",
            ));
        }
        let contract = self.plan.contract();

        let mut inputs = self.expand(query, on_progress)?;
        let crate::plan::Body::FeatureMajor(levels) = self.plan.body() else {
            return Err(EncryptedError::unsupported(
                "record-major plans are not evaluated yet",
                "use feature-major packing",
            ));
        };
        apply(&mut inputs, &levels.first, &levels.first_bias, Stage::FirstLayer, on_progress);
        let mut activated = self.activate(inputs, on_progress)?;
        apply(&mut activated, &levels.second, &levels.second_bias, Stage::SecondLayer, on_progress);

        let features = (0..contract.output_width()).into_par_iter().map(|i| activated.row(i)).collect();
        Ok(Response::new(contract, query, features))
    }

    /// Expands the seeds: SEAL makes the second polynomial of each input.
    fn expand(&self, query: &Query, on_progress: &(dyn Fn(Progress) + Sync)) -> Result<ResidueMatrix> {
        let contract = self.plan.contract();
        let level = Level::Data(contract.input_level());
        let total = query.ciphertexts.len();
        let mut matrix = self.matrix(total, contract.input_level());
        for (batch, ciphertexts) in query.ciphertexts.chunks(BATCH).enumerate() {
            let expanded = ciphertexts
                .par_iter()
                .map(|(c0, seed)| {
                    let bytes = wire::seeded_bytes(&self.context, level, contract.input_scale(), c0, seed);
                    let full = Ciphertext::load(&self.context, &bytes)?.save()?;
                    wire::parse_full(&self.context, level, &full)
                })
                .collect::<Result<Vec<_>>>()?;
            matrix.set_rows(batch * BATCH, &expanded);
            let done = batch * BATCH + expanded.len();
            on_progress(Progress { stage: Stage::Expand, done, total });
        }
        Ok(matrix)
    }

    /// The activation, ciphertext by ciphertext.
    fn activate(
        &self,
        products: ResidueMatrix,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<ResidueMatrix> {
        let contract = self.plan.contract();
        let total = products.n_rows();
        let mut activated = self.matrix(total, contract.output_level());
        let done = AtomicUsize::new(0);
        for first in (0..total).step_by(BATCH) {
            let batch = (first..total.min(first + BATCH))
                .into_par_iter()
                .map(|row| {
                    let out = self.activate_one(&products.row(row))?;
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    on_progress(Progress { stage: Stage::Activation, done, total });
                    Ok(out)
                })
                .collect::<Result<Vec<_>>>()?;
            activated.set_rows(first, &batch);
        }
        Ok(activated)
    }

    /// `u^2` or `u^3 + k u`, from the unrescaled product of the first layer down to the output level.
    fn activate_one(&self, product: &[u32]) -> Result<Vec<u32>> {
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

    fn matrix(&self, rows: usize, level: usize) -> ResidueMatrix {
        let set = self.context.set();
        ResidueMatrix::zeros(rows, set.degree(), &set.data_primes()[..level])
    }
}

fn apply(
    matrix: &mut ResidueMatrix,
    weights: &crate::gemm::IntegerMatrix,
    bias: &[i128],
    stage: Stage,
    on_progress: &(dyn Fn(Progress) + Sync),
) {
    let total = matrix.n_blocks();
    matrix.apply(weights, bias, &|done| on_progress(Progress { stage, done, total }));
}

fn wrong_plan(what: &str) -> EncryptedError {
    EncryptedError::input(
        format!("the plan of the {what} is another one"),
        "use the plan, the keys and the messages of one job",
    )
}

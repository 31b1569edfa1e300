//! The model owner's side: the lower network on ciphertexts. It holds no secret of the data owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::{EncryptedError, Result};
use crate::kernels::{Kernels, Operations};
use crate::message::{EvaluationKeys, JobId, Query, Response};
use crate::plan::levels::FeatureMajor;
use crate::plan::{Body, EvaluationPlan};
use crate::progress::{Progress, Stage};
use crate::record_major::{self, Layers, Linear};
use crate::residues::ResidueMatrix;
use crate::seal::wire::Seed;

/// How many ciphertexts are held both by themselves and in a matrix at a time.
const BATCH: usize = 32;

/// How the ciphertexts of a query go through the network.
enum Way {
    /// Feature-major: layer after layer, all of them at once.
    ByFeature(Arc<FeatureMajor>),
    /// Record-major: each of them, a record, all the way by itself.
    ByRecord(Box<dyn Layers>),
}

/// Evaluates queries of one job.
pub struct Server {
    plan: EvaluationPlan,
    job: JobId,
    operations: Box<dyn Operations>,
    way: Way,
}

impl Server {
    /// Prepares to evaluate under the keys of one job, with the native kernels.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when the keys are for another plan.
    pub fn new(plan: &EvaluationPlan, keys: &EvaluationKeys) -> Result<Self> {
        Self::with_kernels(plan, keys, Kernels::default())
    }

    /// Prepares to evaluate under the keys of one job.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when the keys are for another plan; [`EncryptedError::Seal`] when SEAL
    /// fails.
    pub fn with_kernels(plan: &EvaluationPlan, keys: &EvaluationKeys, kernels: Kernels) -> Result<Self> {
        if !keys.fits(plan.contract()) {
            return Err(wrong_plan("evaluation keys"));
        }
        let way = match plan.body() {
            Body::FeatureMajor(integers) => Way::ByFeature(integers.clone()),
            Body::RecordMajor(body) => Way::ByRecord(record_major::prepare(kernels, plan, body, keys)?),
        };
        Ok(Self { operations: kernels.prepare(plan, keys)?, way, plan: plan.clone(), job: keys.job() })
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
        let ciphertexts = match &self.way {
            Way::ByFeature(integers) => self.by_feature(query, integers, on_progress)?,
            Way::ByRecord(layers) => self.by_record(query, layers.as_ref(), on_progress)?,
        };
        Ok(Response::new(self.plan.contract(), query, ciphertexts))
    }

    fn by_record(
        &self,
        query: &Query,
        layers: &dyn Layers,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Vec<u32>>> {
        let (total, done) = (query.ciphertexts.len(), AtomicUsize::new(0));
        let record = |(c0, seed): &(Vec<u32>, Seed)| {
            let product = layers.apply(Linear::First, &self.operations.expand(c0, seed)?)?;
            let activated = self.operations.activate(&product)?;
            let features = layers.apply(Linear::Second, &activated)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            on_progress(Progress { stage: Stage::Records, done, total });
            Ok(self.operations.finish(features))
        };
        query.ciphertexts.par_iter().map(record).collect()
    }

    fn by_feature(
        &self,
        query: &Query,
        integers: &FeatureMajor,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Vec<u32>>> {
        let mut inputs = self.expand(query, on_progress)?;
        apply(&mut inputs, &integers.first, &integers.first_bias, Stage::FirstLayer, on_progress);
        let mut activated = self.activate(inputs, on_progress)?;
        apply(&mut activated, &integers.second, &integers.second_bias, Stage::SecondLayer, on_progress);

        let features = (0..self.plan.contract().output_width()).into_par_iter();
        Ok(features.map(|i| self.operations.finish(activated.row(i))).collect())
    }

    /// Expands the seeds to the second polynomial of each input.
    fn expand(&self, query: &Query, on_progress: &(dyn Fn(Progress) + Sync)) -> Result<ResidueMatrix> {
        let total = query.ciphertexts.len();
        let mut matrix = self.matrix(total, self.plan.contract().input_level());
        for (batch, ciphertexts) in query.ciphertexts.chunks(BATCH).enumerate() {
            let expanded = ciphertexts
                .par_iter()
                .map(|(c0, seed)| self.operations.expand(c0, seed))
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
                    let out = self.operations.activate(&products.row(row))?;
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    on_progress(Progress { stage: Stage::Activation, done, total });
                    Ok(out)
                })
                .collect::<Result<Vec<_>>>()?;
            activated.set_rows(first, &batch);
        }
        Ok(activated)
    }

    fn matrix(&self, rows: usize, level: usize) -> ResidueMatrix {
        let set = self.plan.contract().parameter_set();
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

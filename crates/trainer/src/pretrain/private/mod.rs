//! Pretraining on a private source.
//!
//! One plan, one charge, three runs of noisy sums, each chosen with what the ones before released:
//!
//! 1. `moments`: count, mean and covariance of the embeddings, from one sum over all units;
//! 2. `zero_shot`: the linear head on the embedding, from noisy gradients over all units;
//! 3. `descent`: the lower network, by DP-SGD on Poisson samples, with per-record gradients that are clipped by their ghost norms.
//!
//! Everything else is computed from their results: the scaler, the axes and starts of the public half, and where the network
//! begins, from records that are made up from the moments. There is no validation split, no early stopping, no choice
//! among results, no log of losses and no state on disk: each would be a release of its own.

mod config;
mod descent;
mod gradient;
mod moments;
mod publish;
#[cfg(test)]
mod tests;
mod transcript;
mod zero_shot;

use cryptotl_model::{Digest, Records, RecordsOutline};
use cryptotl_privacy::{
    ChargedPlan, Description, Event, Factoring, NoisySum, PartRequest, PlanError, Receipt, ReleasePlan,
    SequencePart, SequenceRequest,
};
use ndarray::Array2;

pub use config::PrivateConfig;
pub use transcript::{SourcePrivacy, Transcript, TranscriptHeader};

use self::moments::Moments;
use self::publish::Stand;
use self::transcript::Released;
use crate::config::{Balance, PretrainConfig};
use crate::error::{Result, TrainerError};
use crate::head::{Terms, scores_of};
use crate::network::Blueprint;
use crate::pretrain::publish::check_size;
use crate::pretrain::training::stream;
use crate::source::targets;

/// A pretraining on a private source, before it is paid for: what is known of the source is what its file says in its header.
#[derive(Debug, Clone)]
pub struct PrivatePretraining {
    config: PretrainConfig,
    source: String,
    outline: RecordsOutline,
    blueprint: Blueprint,
}

impl PrivatePretraining {
    /// Checks that a source with this header can be trained on.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when it does not declare two or more labels, a layer does not fit, or records would have to be counted
    /// for their balance.
    pub fn new(config: PretrainConfig, source: String, outline: RecordsOutline) -> Result<Self> {
        let labels = outline.header.label_names.len();
        if !outline.has_labels || labels < 2 {
            return Err(TrainerError::training(
                format!("the private source declares {labels} labels"),
                "embed it with --label-column and two or more --labels",
            ));
        }
        // The weights of labels would follow from how many records have them.
        if matches!(config.training.balance, Balance::Labels | Balance::LabelsOfSources) {
            return Err(TrainerError::training(
                "the balance of labels cannot be had without counting private labels",
                "set training.balance to \"records\"",
            ));
        }
        let blueprint = Blueprint::new(&config, outline.embedding_width, scores_of(labels))?;
        check_size(outline.embedding_width, blueprint.feature_width(), scores_of(labels), &config.head)?;
        Ok(Self { config, source, outline, blueprint })
    }

    /// Plans the release: free, and without a look at any record. `about` is added to the description.
    ///
    /// # Errors
    /// [`TrainerError::Plan`] when the terms do not allow it, [`TrainerError::Training`] when the ledger takes no samples.
    pub fn plan(&self, terms: &Terms, about: Description) -> Result<ReleasePlan> {
        let order = terms.order.ok_or_else(|| {
            TrainerError::training(
                "this ledger takes no releases on samples",
                "use one that counts by zcdp and add-remove adjacency",
            )
        })?;
        let private = &self.config.private;
        let network_share = 1.0 - private.moments_share - private.zero_shot_share;
        let dimension = |factoring: &Factoring| {
            factoring.dimension().ok_or(PlanError::Dimension { dimension: usize::MAX })
        };
        // The squares of mu are T / sigma^2 over all units, and about T q^2 / sigma^2 on samples.
        let part = |dimension, clipping_norm, sampling_rate: f64, steps: u32, share: f64| PartRequest {
            dimension,
            clipping_norm,
            sampling_rate,
            steps,
            relative_noise: sampling_rate * (f64::from(steps) / share).sqrt(),
        };
        let width = self.outline.embedding_width;
        let zero_shot = scores_of(self.outline.header.label_names.len()).saturating_mul(width + 1);
        let parts = vec![
            part(
                dimension(&moments::factoring(width))?,
                moments::CLIPPING_NORM,
                1.0,
                1,
                private.moments_share,
            ),
            part(zero_shot, zero_shot::CLIPPING_NORM, 1.0, zero_shot::STEPS, private.zero_shot_share),
            part(
                dimension(&gradient::factoring(&self.blueprint))?,
                private.clipping_norm,
                private.sampling_rate,
                private.steps,
                network_share,
            ),
        ];
        let mut description = self.describe();
        description.extend(about);
        let Terms { epsilon, delta, unit, .. } = *terms;
        Ok(ReleasePlan::sequence(SequenceRequest { epsilon, delta, parts, order, unit, description })?)
    }

    /// What the ledger says of the run beyond the event.
    fn describe(&self) -> Description {
        let header = &self.outline.header;
        let config =
            serde_json::to_vec(&self.config).expect("a configuration that was parsed can be written");
        let lines = [
            ("method", "private-pretraining".to_owned()),
            ("model", self.config.name.clone()),
            ("configuration", Digest::of(&config).to_string()),
            ("source", self.source.clone()),
            ("labels", header.label_names.join(",")),
            ("encoder", header.encoder.name.clone()),
            ("encoder-digest", header.encoder.digest.to_string()),
        ];
        lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Trains on records that are read from here on only: consumes what was paid and gives the receipt with the release.
    ///
    /// A record without a declared label contributes nothing; no record can make it fail.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the records are not those of the header, and the mechanism's own errors.
    pub fn run(
        &self,
        charged: ChargedPlan,
        records: &Records,
        population: &str,
    ) -> Result<(Transcript, Receipt)> {
        let mut mechanism = charged.into_sequence()?;
        let released = self.train(mechanism.parts(), records)?;
        let receipt = mechanism.finish();
        let plan = receipt.plan();
        let header = TranscriptHeader {
            config: self.config.clone(),
            encoder: self.outline.header.encoder.clone(),
            label_names: self.outline.header.label_names.clone(),
            source: self.source.clone(),
            population: population.to_owned(),
            guarantee: plan.guarantee().clone(),
            event: plan.event().clone(),
            description: plan.description().clone(),
            witness: *receipt.witness(),
        };
        Ok((Transcript { header, released }, receipt))
    }

    /// The training itself, on mechanisms for private or for public data.
    fn train(&self, parts: &mut [SequencePart], records: &Records) -> Result<Released> {
        if records.outline() != self.outline {
            return Err(TrainerError::training(
                "the source is not the file that was looked at before",
                "leave it in its place while it is trained on",
            ));
        }
        let labels = records.require_labels()?;
        let n_labels = self.outline.header.label_names.len();
        let of_label = targets(&(0..n_labels as u32).collect::<Vec<_>>(), n_labels);
        // A code that is not declared counts as no label.
        let target = |i: usize| {
            let declared = (labels[i] as usize) < n_labels;
            declared.then(|| of_label.row(labels[i] as usize).to_slice().expect("rows are contiguous"))
        };
        let [for_moments, for_zero_shot, for_network] = parts else {
            return Err(TrainerError::training(
                "the plan is for something else",
                "plan again with this version",
            ));
        };
        let units = for_moments.units(records.len(), records.persons.as_deref())?;
        let PretrainConfig { private, training, .. } = &self.config;
        let (embeddings, width) = (&records.embeddings, self.outline.embedding_width);

        let sum = for_moments.step_factored(&units, &moments::factoring(width), |i, out| {
            moments::contribution(embeddings.row(i), private.row_norm, out);
            target(i).is_some()
        })?;
        let sum = sum.into_iter().map(|x| x as f32).collect();
        let sum = Array2::from_shape_vec((width + 1, width + 1), sum).expect("as many as were asked for");
        let moments = Moments::of_sum(&sum.mapv(f64::from), private.row_norm, for_moments.scale())?;

        let zero_shot = zero_shot::train(for_zero_shot, &units, &moments, private.row_norm, |i, out| {
            out.copy_from_slice(&moments::cut(embeddings.row(i), private.row_norm));
            target(i)
        })?;

        let stand = Stand::new(&self.config, &moments)?;
        let mut rng = stream(training.seed, 0);
        let guessed = stand.targets(&zero_shot);
        let start =
            descent::on_made_up(&self.blueprint, training, stand.scaled.view(), guessed.view(), &mut rng);
        let scaled = stand.scaler.apply(embeddings.view())?;
        let row = |i: usize| Some((scaled.row(i).to_slice().expect("rows are contiguous"), target(i)?));
        let network = (&self.blueprint, &self.config);
        let parameters = descent::on_private(for_network, &units, network, moments.count, start, row)?;
        Ok(Released { moments: sum, zero_shot, parameters })
    }
}

impl Transcript {
    /// The standard deviation of the DP noise in the sum of second moments.
    fn moments_noise(&self) -> f64 {
        match &self.header.event {
            Event::Sequence(sequence) => sequence.parts.first().map_or(0.0, |part| part.scale),
            _ => 0.0,
        }
    }
}

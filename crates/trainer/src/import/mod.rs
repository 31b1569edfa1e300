//! Networks that were trained elsewhere: their weights become a lower network, and public sources give the
//! statistics that the public half needs.
//!
//! * [`paper`]: the text file of the program of "CryptoTL: Private, efficient and secure transfer learning"
//!   (arXiv 2205.11935);
//! * [`mapping`]: a safetensors file of PyTorch or Keras weights, with a mapping file that names its tensors.

pub mod mapping;
pub mod paper;

use cryptotl_model::{LowerModel, Network, PublicModel, Scaler};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::config::{Balance, HeadConfig};
use crate::error::Result;
use crate::head::scores_of;
use crate::pretrain::publish::{Parts, Published, check_size, publish};
use crate::pretrain::sources::Sources;
use crate::pretrain::training::stream;
use crate::pretrain::{Source, SourceQuality};

/// The share of the sources that the zero-shot head's quality is measured on.
const VALIDATION_SHARE: f64 = 0.15;

/// What was done to an embedding before the network saw it in its training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalerKind {
    /// Nothing.
    None,
    /// Each coordinate from the least and the largest value in the sources to 0 and 1.
    MinMax,
    /// The sources' mean subtracted, divided by their root mean square deviation: what `pretrain` does.
    Standard,
}

/// A network from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// A name that travels with the model.
    pub name: String,
    /// The layers, activations and pooling included.
    pub network: Network,
    /// What its inputs are.
    pub scaler: ScalerKind,
    /// Inputs are clamped to this magnitude; the encrypted evaluation keeps headroom for it.
    pub input_bound: f64,
    /// What travels with the model for the data owner's head.
    pub head: HeadConfig,
}

/// Gives an imported network its public half. The features are shifted and scaled as those of `pretrain` are,
/// where the network ends in a dense layer.
///
/// # Errors
/// [`crate::TrainerError::Training`] when the sources disagree or lack labels, and
/// [`cryptotl_model::ModelError::Mismatch`] when their embeddings have another width than the network.
pub fn import(
    imported: &Imported,
    sources: &[Source],
) -> Result<(LowerModel, PublicModel, Vec<SourceQuality>)> {
    let sources = Sources::gather(sources)?;
    let (features, scores) = (imported.network.output_width(), scores_of(sources.n_labels()));
    check_size(sources.width(), features, scores, &imported.head)?;
    let split = sources.split(VALIDATION_SHARE, &mut stream(0, 0))?;
    let weights = sources.weights(Balance::Records, &split.train);
    let parts = Parts {
        name: &imported.name,
        sources: &sources,
        split: &split,
        weights: &weights,
        scaler: imported.fit_scaler(&sources)?,
        network: imported.network.clone(),
        top: None,
        head: &imported.head,
    };
    let Published { lower, public, zero_shot } = publish(parts)?;
    Ok((lower, public, zero_shot))
}

impl Imported {
    fn fit_scaler(&self, sources: &Sources) -> Result<Scaler> {
        /// Records that are looked at together.
        const BLOCK: usize = 4096;
        let (all, width) = ((0..sources.len()).collect::<Vec<_>>(), sources.width());
        let scaler = match self.scaler {
            ScalerKind::Standard => {
                let embeddings = sources.select(&Sources::for_statistics(&all))?;
                return Ok(Scaler::fit(embeddings.mapv(f64::from).view(), self.input_bound)?);
            }
            ScalerKind::None => {
                Scaler::new(vec![0.0; width].into(), vec![1.0; width].into(), self.input_bound)
            }
            ScalerKind::MinMax => {
                let mut least = Array1::from_elem(width, f64::INFINITY);
                let mut largest = -&least;
                for block in all.chunks(BLOCK) {
                    for row in sources.select(block)?.mapv(f64::from).rows() {
                        least.zip_mut_with(&row, |a, b| *a = a.min(*b));
                        largest.zip_mut_with(&row, |a, b| *a = a.max(*b));
                    }
                }
                let range = (largest - &least).mapv(|range| range.max(Scaler::MIN_SCALE));
                Scaler::new(least, range, self.input_bound)
            }
        };
        Ok(scaler?)
    }
}

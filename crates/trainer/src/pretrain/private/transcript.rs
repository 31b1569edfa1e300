//! What private pretraining releases: everything with DP noise, once, in one file.
//!
//! Both halves of the model follow from it and from nothing else ([`Transcript::publish`]), so it is what the ledger records. A repeated
//! run gives the same halves from the recorded bytes.

use std::path::Path;

use cryptotl_model::format::{Document, Header};
use cryptotl_model::{Digest, EncoderId, LinearScore, ModelError};
use cryptotl_privacy::{Description, Event, Guarantee, Witness};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::config::PretrainConfig;
use crate::error::Result;
use crate::head::scores_of;
use crate::network::Blueprint;

/// The header of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptHeader {
    /// How the model was trained.
    pub config: PretrainConfig,
    /// The encoder of the source's embeddings.
    pub encoder: EncoderId,
    /// The declared labels.
    pub label_names: Vec<String>,
    /// The source's name.
    pub source: String,
    /// Whose ledger paid.
    pub population: String,
    /// What the release cost.
    pub guarantee: Guarantee,
    /// The mechanism that ran.
    pub event: Event,
    /// What the release is for, as the ledger has it.
    pub description: Description,
    /// The ledger entry that paid.
    pub witness: Witness,
}

impl Header for TranscriptHeader {
    const KIND: &'static str = "private-pretraining";
    const VERSION: u32 = 1;
}

/// Everything that was released from a private source.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// Provenance and guarantee.
    pub header: TranscriptHeader,
    pub(super) released: Released,
}

/// The results of the three runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Released {
    /// The noisy sum of second moments, `[width + 1, width + 1]`; in f32, so that the ledger keeps a copy of wide ones.
    pub moments: Array2<f32>,
    /// The zero-shot head, a score for two labels and one for each of more.
    pub zero_shot: Vec<LinearScore>,
    /// The network's parameters and those of the classification layer on it.
    pub parameters: Vec<Array2<f32>>,
}

impl Transcript {
    /// The file's bytes, to be recorded in the ledger before anything of it is published.
    ///
    /// # Errors
    /// [`ModelError`] when the header cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut document = Document::new(self.header.clone())
            .with("moments", &self.released.moments)
            .with("zero_shot", &LinearScore::concatenate(&self.released.zero_shot));
        for (i, parameter) in self.released.parameters.iter().enumerate() {
            document = document.with(format!("parameters.{i}"), parameter);
        }
        Ok(document.to_bytes()?)
    }

    /// Reads the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for anything but a transcript of this version whose parts fit.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut document = Document::<TranscriptHeader>::from_bytes(bytes, path)?;
        let malformed = |fact: String| ModelError::Malformed {
            path: path.to_owned(),
            kind: TranscriptHeader::KIND,
            fact,
            remedy: "it is what the ledger recorded of a private pretraining".to_owned(),
        };
        let moments = document.take_matrix_f32("moments", path)?;
        let width = moments.nrows().saturating_sub(1);
        if moments.dim() != (width + 1, width + 1) || moments.iter().any(|x| !x.is_finite()) {
            return Err(malformed("its moments do not fit".to_owned()).into());
        }
        let scores = scores_of(document.header.label_names.len());
        let zero_shot = LinearScore::split(&document.take_vector("zero_shot", path)?, width)
            .map_err(|e| malformed(e.to_string()))?;
        if zero_shot.len() != scores {
            return Err(malformed("its zero-shot head does not fit its labels".to_owned()).into());
        }
        let blueprint = Blueprint::new(&document.header.config, width, scores)?;
        let parameters = blueprint.slots().iter().enumerate().map(|(i, slot)| {
            let parameter = document.take_matrix_f32(&format!("parameters.{i}"), path)?;
            let fits = parameter.shape() == slot.shape && parameter.iter().all(|x| x.is_finite());
            if fits {
                Ok(parameter)
            } else {
                Err(malformed(format!("its parameter {i} does not fit")).into())
            }
        });
        let parameters = parameters.collect::<Result<Vec<_>>>()?;
        let released = Released { moments, zero_shot, parameters };
        Ok(Self { header: document.finish(path)?, released })
    }
}

/// What protects the people in a model's private source, as the model's public half carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePrivacy {
    /// Whose ledger paid.
    pub population: String,
    /// What both halves of the model, and everything that follows from them, cost.
    pub guarantee: Guarantee,
    /// The mechanism that ran.
    pub event: Event,
    /// The ledger entry that paid.
    pub witness: Witness,
    /// The digest of the transcript, which the ledger recorded as released.
    pub release: Digest,
}

impl SourcePrivacy {
    /// That of a model; `None` if its sources are public.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when it says something that this version does not understand.
    pub fn of(model: &cryptotl_model::PublicModel) -> Result<Option<Self>> {
        let Some(value) = &model.source_privacy else { return Ok(None) };
        let parsed = serde_json::from_value(value.clone());
        let unknown = |e: serde_json::Error| {
            ModelError::invalid("source privacy", e.to_string(), "use the version that made the model")
        };
        Ok(Some(parsed.map_err(unknown)?))
    }
}

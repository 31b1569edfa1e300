//! `head.safetensors`: a released head with everything that a reader needs to use and to check it.

use std::path::Path;

use cryptotl_model::format::{Document, Header};
use cryptotl_model::{
    Digest, EncoderId, Extraction, HeadInputs, Kind, LinearScore, ModelError, Projection, PublicModel,
    Records, RecordsOutline,
};
use cryptotl_privacy::{Description, Event, Guarantee, ReleasePlan, Witness, is_name};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::assumption::Assumption;
use crate::error::Result;
use crate::head::{HeadSettings, Method, Space, predict, scores_of};

/// The header of a head file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadHeader {
    /// The encoder whose embeddings the head takes.
    pub encoder: EncoderId,
    /// The public model whose projection and start it uses.
    pub public_model: Digest,
    /// The declared label list. Of two, the head scores the second against the first; of more, each.
    pub label_names: Vec<String>,
    /// How it was trained. Heads of early 0.1.0 do not say, and are `dp-fc`.
    #[serde(default)]
    pub method: Method,
    /// How the server features were encrypted, where the head reads some. Heads of early 0.1.0 call it
    /// `extraction` and say more, which is not read.
    #[serde(alias = "extraction")]
    pub encryption: Option<Encryption>,
    /// The population whose ledger paid.
    pub population: String,
    /// What this release alone cost, in differential privacy.
    pub guarantee: Guarantee,
    /// The mechanism that ran.
    pub event: Event,
    /// What the release is for, as the ledger has it.
    pub description: Description,
    /// The ledger entry that paid: a later ledger must still contain it.
    pub witness: Witness,
    inputs: HeadInputs,
    bias_share: f64,
    score_share: f64,
    score_scale: f64,
}

impl Header for HeadHeader {
    const KIND: &'static str = "head";
    const VERSION: u32 = 1;
}

/// What a head says of the encryption of its inputs: only what was chosen, never what follows from the
/// records. The packing, and with it the plan's digest, may have been chosen by the *number* of private
/// records, which differs between neighboring datasets; a head that named them would release it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The encryption parameters' name.
    pub parameter_set: String,
    /// What the parameters' security rests on, in words.
    pub security_basis: String,
    /// Which party evaluated.
    pub evaluator: String,
    /// Whether records may have shared ciphertexts, see [`Extraction::is_coupled`]. Heads that do not say were trained on such
    /// features, for all that is known.
    #[serde(default = "unknown", skip_serializing_if = "Clone::clone")]
    pub coupled: bool,
}

fn unknown() -> bool {
    true
}

impl From<Extraction> for Encryption {
    fn from(extraction: Extraction) -> Self {
        let coupled = extraction.is_coupled();
        let Extraction { parameter_set, security_basis, evaluator, .. } = extraction;
        Self { parameter_set, security_basis, evaluator, coupled }
    }
}

/// A released head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Provenance and guarantee.
    pub header: HeadHeader,
    /// The public map from a record to the row that the weights apply to.
    pub projection: Projection,
    /// A vector of `dimension` numbers for each score, one after the other, with DP noise in them.
    pub weights: Array1<f64>,
}

/// One classified record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classified {
    /// The record's identifier.
    pub id: String,
    /// The likelier label.
    pub label: String,
    /// The model's probability of that label; of two, from 0.5 to 1.
    pub score: f64,
}

impl Head {
    /// A head, as an output.
    pub const FILE: Kind = Kind::document::<HeadHeader>("head");

    /// Assembles a head from what was planned, paid and trained.
    #[allow(clippy::too_many_arguments)] // each is a different fact, and a struct would repeat the header
    pub fn new(
        public: &PublicModel,
        public_digest: Digest,
        settings: &HeadSettings,
        space: Space,
        plan: &ReleasePlan,
        population: &str,
        witness: Witness,
        extraction: Option<Extraction>,
        weights: Array1<f64>,
    ) -> Self {
        let header = HeadHeader {
            encoder: public.encoder.clone(),
            public_model: public_digest,
            label_names: public.label_names.clone(),
            method: settings.method(),
            encryption: extraction.filter(|_| settings.inputs.needs_features()).map(Encryption::from),
            population: population.to_owned(),
            guarantee: plan.guarantee().clone(),
            event: plan.event().clone(),
            description: plan.description().clone(),
            witness,
            inputs: settings.inputs,
            bias_share: space.projection.bias_share,
            score_share: space.projection.score_share,
            score_scale: space.projection.score_scale,
        };
        Self { header, projection: space.projection, weights }
    }

    /// What the guarantee rests on beyond the proofs.
    pub fn assumptions(&self) -> Vec<Assumption> {
        Assumption::of(self.inputs(), self.header.encryption.as_ref(), self.header.event.slack())
    }

    /// The guarantee in words, with what it rests on.
    pub fn sentence(&self) -> String {
        let own = self.header.guarantee.formal_sentence();
        format!("{own} {}", Assumption::sentence(&self.assumptions()))
    }

    /// Which parts of a record the head reads.
    pub fn inputs(&self) -> HeadInputs {
        self.projection.inputs
    }

    /// The likelier label of each record, by its place in the label list, and its probability.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when the records are of another encoder or lack features.
    pub fn predict(&self, records: &Records) -> Result<Vec<(usize, f64)>> {
        self.check(&records.outline())?;
        let rows = self.projection.apply(records.inputs(self.projection.inputs)?.view())?;
        Ok(predict(rows.view(), self.weights.view()))
    }

    /// Whether records with this outline are records that the head can read.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when they are of another encoder or lack the head's features.
    pub fn check(&self, records: &RecordsOutline) -> Result<()> {
        let Self { header, projection, .. } = self;
        if records.header.encoder.digest != header.encoder.digest {
            return Err(ModelError::mismatch(
                format!(
                    "the records were embedded by {}, the head takes embeddings of {}",
                    records.header.encoder.name, header.encoder.name
                ),
                "embed the texts with the head's encoder",
            )
            .into());
        }
        let extraction = records.header.extraction.as_ref();
        let foreign = extraction.filter(|e| e.public_model != header.public_model);
        if self.inputs().needs_features() && foreign.is_some() {
            return Err(ModelError::mismatch(
                "the records have server features of another model than the head's",
                "run `cryptotl extract` with the head's model",
            )
            .into());
        }
        let width = match self.inputs() {
            HeadInputs::Embedding => Some(records.embedding_width),
            HeadInputs::Features => records.feature_width,
            HeadInputs::EmbeddingAndFeatures => records.feature_width.map(|w| w + records.embedding_width),
        };
        match width {
            Some(width) if width == projection.mean.len() => Ok(()),
            Some(width) => Err(ModelError::mismatch(
                format!(
                    "the head reads {} numbers a record, the records have {width}",
                    projection.mean.len()
                ),
                "run `cryptotl embed` and `cryptotl extract` with the head's encoder and model",
            )
            .into()),
            None => Err(ModelError::mismatch(
                "the head reads server features, and the records have none",
                "run `cryptotl extract` with the head's model",
            )
            .into()),
        }
    }

    /// Labels and scores of records.
    ///
    /// # Errors
    /// As [`Head::predict`].
    pub fn classify(&self, records: &Records) -> Result<Vec<Classified>> {
        let named = |(id, (label, score)): (&String, (usize, f64))| Classified {
            id: id.clone(),
            label: self.header.label_names[label].clone(),
            score,
        };
        Ok(records.ids.iter().zip(self.predict(records)?).map(named).collect())
    }

    /// The file's bytes, to be recorded in the ledger before they are written anywhere.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let document = Document::new(self.header.clone())
            .with("projection.mean", &self.projection.mean)
            .with("projection.components", &self.projection.components)
            .with("projection.score", &LinearScore::concatenate(&self.projection.scores))
            .with("weights", &self.weights);
        Ok(document.to_bytes()?)
    }

    /// Reads the file and its digest.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for anything but a head of this version whose parts fit.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let (document, digest) = Document::<HeadHeader>::read(path)?;
        Ok((Self::of(document, path)?, digest))
    }

    /// Reads the bytes of a head file; `path` is what errors name.
    ///
    /// # Errors
    /// As [`Head::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::of(Document::from_bytes(bytes, path)?, path)
    }

    fn of(mut document: Document<HeadHeader>, path: &Path) -> Result<Self> {
        let malformed = |fact: String| ModelError::Malformed {
            path: path.to_owned(),
            kind: HeadHeader::KIND,
            fact,
            remedy: "give the file that `cryptotl finetune` wrote".to_owned(),
        };
        let mean = document.take_vector("projection.mean", path)?;
        let components = document.take_matrix("projection.components", path)?;
        let scores = LinearScore::split(&document.take_vector("projection.score", path)?, mean.len())
            .map_err(|e| malformed(e.to_string()))?;
        let weights = document.take_vector("weights", path)?;
        let header = document.finish(path)?;
        let projection = Projection {
            inputs: header.inputs,
            mean,
            components,
            bias_share: header.bias_share,
            score_share: header.score_share,
            score_scale: header.score_scale,
            scores,
        };
        if !is_name(&header.population) {
            return Err(malformed(
                "the population that paid for it has no name that a ledger can have".into(),
            )
            .into());
        }
        let labels = header.label_names.len();
        if labels < 2 {
            return Err(malformed(format!("it has {labels} labels")).into());
        }
        projection.check(projection.mean.len(), scores_of(labels)).map_err(|e| malformed(e.to_string()))?;
        if weights.len() != scores_of(labels) * projection.dimension()
            || weights.iter().any(|w| !w.is_finite())
        {
            return Err(malformed("its weights do not fit its projection".into()).into());
        }
        Ok(Self { header, projection, weights })
    }
}

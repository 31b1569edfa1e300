//! `lower.public.safetensors`: what the model owner gives to everyone. Nothing in it comes from a data owner's
//! private data, so all of it is free for the data owner to use. Where the model owner's own source is private, all of it
//! was paid for in the ledger of that source.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::destination::{Kind, WriteTo};
use crate::digest::Digest;
use crate::error::{ModelError, Result};
use crate::format::{Document, Header};
use crate::projection::{LinearScore, Projection};
use crate::records::{EncoderId, HeadInputs};
use crate::scaler::Scaler;

/// One public source that the model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceId {
    /// The name given to `pretrain`, by default the file's name.
    pub name: String,
    /// How many labelled records were used; of a private source, the count with DP noise.
    pub records: usize,
}

/// The header of a public model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicHeader {
    /// The configuration's name.
    pub name: String,
    /// The encoder whose embeddings the model takes.
    pub encoder: EncoderId,
    /// The secret half: the digest of `lower.safetensors`.
    pub lower: Digest,
    /// How many server features a record gets.
    pub feature_width: usize,
    /// The declared label list.
    pub label_names: Vec<String>,
    /// What the model was trained on.
    pub sources: Vec<SourceId>,
    /// Accuracy of the zero-shot head on the public validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// See [`PublicModel::source_privacy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_privacy: Option<serde_json::Value>,
    input_bound: f64,
    shares: BTreeMap<String, Shares>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shares {
    bias: f64,
    score: f64,
    score_scale: f64,
    ranks: Vec<usize>,
}

impl Header for PublicHeader {
    const KIND: &'static str = "public-model";
    const VERSION: u32 = 1;
}

/// Public statistics of the source in the space that one kind of head works in.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceView {
    /// The projection at the largest rank; smaller ranks are its leading axes.
    pub projection: Projection,
    /// The statistics at each rank that a head may choose.
    pub ranks: BTreeMap<usize, RankStatistics>,
}

/// What a head needs of the source at one rank.
#[derive(Debug, Clone, PartialEq)]
pub struct RankStatistics {
    /// The second moment of the source's rows, `[dimension, dimension]`.
    pub gram: Array2<f64>,
    /// The source's own head, where private training starts: `[dimension]` for two labels; for more, such a vector
    /// for each label, one after the other.
    pub start: Array1<f64>,
}

/// The public half of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicModel {
    /// The configuration's name.
    pub name: String,
    /// The encoder whose embeddings the model takes.
    pub encoder: EncoderId,
    /// The secret half: the digest of `lower.safetensors`.
    pub lower: Digest,
    /// How many server features a record gets.
    pub feature_width: usize,
    /// The declared label list, at least two. Of two, heads score the second against the first.
    pub label_names: Vec<String>,
    /// What the model was trained on.
    pub sources: Vec<SourceId>,
    /// Accuracy of the zero-shot head on the public validation split; `None` where the source is private, or the model
    /// would tell more of it than was paid for.
    pub validation_accuracy: Option<f64>,
    /// What protects the people in a private source, in the words of the crate that trained; `None` where the
    /// sources are public.
    pub source_privacy: Option<serde_json::Value>,
    /// What is done to an embedding before it is encrypted.
    pub scaler: Scaler,
    /// The source's linear head on the embedding: the floor without any private data. One score for two labels, that of the
    /// second against the first; for more, one for each label.
    pub zero_shot: Vec<LinearScore>,
    /// One view for each kind of head inputs.
    pub views: BTreeMap<HeadInputs, SourceView>,
}

impl PublicModel {
    /// The public half of a model, as an output.
    pub const FILE: Kind = Kind::document::<PublicHeader>("public half of a model");

    /// Writes the file and returns its digest.
    pub fn write(&self, to: &(impl WriteTo + ?Sized)) -> Result<Digest> {
        let shares = self
            .views
            .iter()
            .map(|(inputs, view)| {
                let projection = &view.projection;
                let shares = Shares {
                    bias: projection.bias_share,
                    score: projection.score_share,
                    score_scale: projection.score_scale,
                    ranks: view.ranks.keys().copied().collect(),
                };
                (inputs.name().to_owned(), shares)
            })
            .collect();
        let mut document = Document::new(PublicHeader {
            name: self.name.clone(),
            encoder: self.encoder.clone(),
            lower: self.lower,
            feature_width: self.feature_width,
            label_names: self.label_names.clone(),
            sources: self.sources.clone(),
            validation_accuracy: self.validation_accuracy,
            source_privacy: self.source_privacy.clone(),
            input_bound: self.scaler.bound(),
            shares,
        })
        .with("scaler.mean", self.scaler.mean())
        .with("scaler.scale", self.scaler.scale())
        .with("zero_shot", &LinearScore::concatenate(&self.zero_shot));
        for (inputs, view) in &self.views {
            let prefix = inputs.name();
            document = document
                .with(format!("{prefix}.mean"), &view.projection.mean)
                .with(format!("{prefix}.components"), &view.projection.components)
                .with(format!("{prefix}.score"), &LinearScore::concatenate(&view.projection.scores));
            for (rank, statistics) in &view.ranks {
                document = document
                    .with(format!("{prefix}.{rank}.gram"), &statistics.gram)
                    .with(format!("{prefix}.{rank}.start"), &statistics.start);
            }
        }
        // What a reader refuses, a writer refuses.
        Self::open(document.clone(), Path::new("this model"))?;
        document.write(to, Self::FILE)
    }

    /// Reads the file and its digest.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for anything but a public model of this version whose parts fit.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let (document, digest) = Document::read(path)?;
        Ok((Self::open(document, path)?, digest))
    }

    /// Reads the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// As for [`PublicModel::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::open(Document::from_bytes(bytes, path)?, path)
    }

    fn open(mut document: Document<PublicHeader>, path: &Path) -> Result<Self> {
        let malformed = |fact: String| ModelError::Malformed {
            path: path.to_owned(),
            kind: PublicHeader::KIND,
            fact,
            remedy: "export it again with `cryptotl pretrain`".to_owned(),
        };
        let mean = document.take_vector("scaler.mean", path)?;
        let scale = document.take_vector("scaler.scale", path)?;
        let scaler =
            Scaler::new(mean, scale, document.header.input_bound).map_err(|e| malformed(e.to_string()))?;
        let labels = document.header.label_names.len();
        if labels < 2 {
            return Err(malformed(format!("it has {labels} labels, and a head needs at least 2")));
        }
        let scores = if labels == 2 { 1 } else { labels };
        let zero_shot = LinearScore::split(&document.take_vector("zero_shot", path)?, scaler.width())
            .map_err(|e| malformed(e.to_string()))?;
        if zero_shot.len() != scores {
            return Err(malformed("its zero-shot head does not fit its labels".into()));
        }
        let mut views = BTreeMap::new();
        let described = document.header.shares.clone();
        for inputs in HeadInputs::ALL {
            let prefix = inputs.name();
            let Some(shares) = described.get(prefix) else { continue };
            let width = scaler.width() * usize::from(inputs != HeadInputs::Features)
                + document.header.feature_width * usize::from(inputs.needs_features());
            let of_view = document.take_vector(&format!("{prefix}.score"), path)?;
            let projection = Projection {
                inputs,
                mean: document.take_vector(&format!("{prefix}.mean"), path)?,
                components: document.take_matrix(&format!("{prefix}.components"), path)?,
                bias_share: shares.bias,
                score_share: shares.score,
                score_scale: shares.score_scale,
                scores: LinearScore::split(&of_view, width).map_err(|e| malformed(e.to_string()))?,
            };
            projection.check(width, scores).map_err(|e| malformed(e.to_string()))?;
            let mut ranks = BTreeMap::new();
            for &rank in &shares.ranks {
                let gram = document.take_matrix(&format!("{prefix}.{rank}.gram"), path)?;
                let start = document.take_vector(&format!("{prefix}.{rank}.start"), path)?;
                let dimension = projection.dimension_at(rank);
                let finite = gram.iter().chain(start.iter()).all(|x| x.is_finite());
                if rank == 0
                    || rank > projection.rank()
                    || gram.dim() != (dimension, dimension)
                    || Some(start.len()) != dimension.checked_mul(scores)
                    || !finite
                {
                    return Err(malformed(format!("its statistics `{prefix}` at rank {rank} do not fit")));
                }
                ranks.insert(rank, RankStatistics { gram, start });
            }
            if ranks.is_empty() {
                return Err(malformed(format!("its view `{prefix}` has no statistics")));
            }
            views.insert(inputs, SourceView { projection, ranks });
        }
        let header = document.finish(path)?;
        Ok(Self {
            name: header.name,
            encoder: header.encoder,
            lower: header.lower,
            feature_width: header.feature_width,
            label_names: header.label_names,
            sources: header.sources,
            validation_accuracy: header.validation_accuracy,
            source_privacy: header.source_privacy,
            scaler,
            zero_shot,
            views,
        })
    }
}

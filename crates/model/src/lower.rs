//! `lower.safetensors`: the model owner's secret, the lower network's layers.

use std::path::Path;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::destination::{Kind, WriteTo};
use crate::digest::Digest;
use crate::error::{ModelError, Result};
use crate::format::{Document, Header};
use crate::layer::Layer;
use crate::network::{MAX_LAYERS, Network};
use crate::polynomial::Polynomial;
use crate::records::EncoderId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "kebab-case", deny_unknown_fields)]
enum LayerHeader {
    Conv1d { bias: bool },
    Dense,
    Activation { coefficients: Polynomial },
    AvgPool1d { size: usize },
}

/// The header of a lower-network file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LowerHeader {
    /// The configuration's name.
    pub name: String,
    /// The encoder whose embeddings it takes.
    pub encoder: EncoderId,
    /// No scaled input is larger than this in magnitude.
    pub input_bound: f64,
    /// No feature of the public source is larger than this in magnitude.
    pub feature_bound: f64,
    input_width: usize,
    layers: Vec<LayerHeader>,
}

impl Header for LowerHeader {
    const KIND: &'static str = "lower-network";
    const VERSION: u32 = 1;
}

/// A lower network with its provenance.
#[derive(Debug, Clone, PartialEq)]
pub struct LowerModel {
    /// The configuration's name.
    pub name: String,
    /// The encoder whose embeddings it takes.
    pub encoder: EncoderId,
    /// No scaled input is larger than this in magnitude.
    pub input_bound: f64,
    /// No feature of the public source is larger than this in magnitude.
    pub feature_bound: f64,
    /// The layers.
    pub network: Network,
}

impl LowerModel {
    /// The secret half of a model, as an output.
    pub const FILE: Kind = Kind::document::<LowerHeader>("secret half of a model");

    /// Writes the file and returns its digest, by which the public half names it.
    pub fn write(&self, to: &(impl WriteTo + ?Sized)) -> Result<Digest> {
        let document = self.document();
        // What a reader refuses, a writer refuses.
        Self::open(document.clone(), Path::new("this model"))?;
        document.write(to, Self::FILE)
    }

    /// The digest that [`LowerModel::write`] returns, without writing.
    pub fn digest(&self) -> Result<Digest> {
        Ok(Digest::of(&self.document().to_bytes()?))
    }

    fn document(&self) -> Document<LowerHeader> {
        let layers = self
            .network
            .layers()
            .iter()
            .map(|layer| match layer {
                Layer::Conv1d { bias, .. } => LayerHeader::Conv1d { bias: bias.is_some() },
                Layer::Dense { .. } => LayerHeader::Dense,
                Layer::Activation(p) => LayerHeader::Activation { coefficients: p.clone() },
                Layer::AvgPool1d { size } => LayerHeader::AvgPool1d { size: *size },
            })
            .collect();
        let mut document = Document::new(LowerHeader {
            name: self.name.clone(),
            encoder: self.encoder.clone(),
            input_bound: self.input_bound,
            feature_bound: self.feature_bound,
            input_width: self.network.input_width(),
            layers,
        });
        for (i, layer) in self.network.layers().iter().enumerate() {
            match layer {
                Layer::Conv1d { kernels, bias } => {
                    document = document.with(format!("layers.{i}.kernels"), kernels);
                    if let Some(bias) = bias {
                        document = document.with(format!("layers.{i}.bias"), bias);
                    }
                }
                Layer::Dense { weight, bias } => {
                    document = document
                        .with(format!("layers.{i}.weight"), weight)
                        .with(format!("layers.{i}.bias"), bias);
                }
                Layer::Activation(_) | Layer::AvgPool1d { .. } => {}
            }
        }
        document
    }

    /// Reads the file and its digest.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for anything but a lower network of this version with fitting, finite
    /// weights.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let (document, digest) = Document::read(path)?;
        Ok((Self::open(document, path)?, digest))
    }

    /// Reads the file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// As for [`LowerModel::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::open(Document::from_bytes(bytes, path)?, path)
    }

    fn open(mut document: Document<LowerHeader>, path: &Path) -> Result<Self> {
        let malformed = |fact: String| ModelError::Malformed {
            path: path.to_owned(),
            kind: LowerHeader::KIND,
            fact,
            remedy: "export it again with `cryptotl pretrain`".to_owned(),
        };
        let described = document.header.layers.clone();
        if described.len() > MAX_LAYERS {
            return Err(malformed(format!("it describes {} layers", described.len())));
        }
        let mut layers = Vec::with_capacity(described.len());
        for (i, layer) in described.into_iter().enumerate() {
            let bias = |document: &mut Document<LowerHeader>| -> Result<Array1<f64>> {
                document.take_vector(&format!("layers.{i}.bias"), path)
            };
            layers.push(match layer {
                LayerHeader::Conv1d { bias: has_bias } => Layer::Conv1d {
                    kernels: document.take_matrix(&format!("layers.{i}.kernels"), path)?,
                    bias: if has_bias { Some(bias(&mut document)?) } else { None },
                },
                LayerHeader::Dense => Layer::Dense {
                    weight: document.take_matrix(&format!("layers.{i}.weight"), path)?,
                    bias: bias(&mut document)?,
                },
                LayerHeader::Activation { coefficients } => Layer::Activation(coefficients),
                LayerHeader::AvgPool1d { size } => Layer::AvgPool1d { size },
            });
        }
        let header = document.finish(path)?;
        for (what, bound) in [("input", header.input_bound), ("feature", header.feature_bound)] {
            if !(bound.is_finite() && bound > 0.0) {
                return Err(malformed(format!("its {what} bound is not positive")));
            }
        }
        let network = Network::new(header.input_width, layers).map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            name: header.name,
            encoder: header.encoder,
            input_bound: header.input_bound,
            feature_bound: header.feature_bound,
            network,
        })
    }
}

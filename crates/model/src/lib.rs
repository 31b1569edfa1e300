//! The vocabulary of CryptoTL: the nouns that every other crate speaks.
//!
//! * [`Records`]: embeddings, server features and labels of one population, and their file;
//! * [`Scaler`], [`Layer`], [`Network`]: the lower network and its f64 forward pass, the reference for
//!   every encrypted evaluation;
//! * [`LowerModel`] and [`PublicModel`]: the two halves of a trained model, secret and public;
//! * [`Projection`]: the public, row-wise map from a record to what a private head sees;
//! * [`format`](mod@format): the container of all these files; [`Digest`]: how they name each other.
//!
//! ```
//! use cryptotl_model::{Layer, Network, Polynomial};
//! use ndarray::{array, Array2};
//!
//! let network = Network::new(2, vec![
//!     Layer::Dense { weight: Array2::eye(2), bias: array![0.0, 1.0] },
//!     Layer::Activation(Polynomial::new(vec![0.0, 0.0, 1.0])?),
//! ])?;
//! assert_eq!(network.forward(array![[3.0, 1.0]].view())?, array![[9.0, 4.0]]);
//! # Ok::<(), cryptotl_model::ModelError>(())
//! ```
//!
//! What this crate must never know: how to train, encrypt or spend a budget, and where files are.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod destination;
pub mod digest;
pub mod error;
pub mod format;
pub mod input_file;
pub mod layer;
pub mod lower;
pub mod network;
pub mod output_file;
pub mod polynomial;
pub mod projection;
pub mod public;
pub mod records;
pub mod records_file;
pub mod records_writer;
pub mod rows;
pub mod scaler;

pub use destination::{Destination, Kind, Places, WriteTo};
pub use digest::{Digest, DigestOfParts};
pub use error::{ModelError, Result};
pub use layer::{AffineMap, Layer};
pub use lower::LowerModel;
pub use network::Network;
pub use output_file::OutputFile;
pub use polynomial::Polynomial;
pub use projection::{LinearScore, Projection};
pub use public::{PublicModel, RankStatistics, SourceId, SourceView};
pub use records::{
    BlockCoupling, EncoderId, Extraction, HeadInputs, Records, RecordsHeader, RecordsOutline, SourceColumn,
    UNLABELED,
};
pub use records_file::RecordsFile;
pub use records_writer::RecordsWriter;
pub use scaler::Scaler;

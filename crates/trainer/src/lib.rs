//! From texts to a private head: sentence encoder, public pretraining, heads with DP noise.
//!
//! * [`table`]: texts with labels from CSV, TSV, JSON lines and Parquet, of any size;
//! * [`encoder`]: a sentence-transformers folder as a function from texts to embeddings;
//! * [`config`], [`pretrain`](mod@pretrain): the network configurations in `models/` and the public training;
//! * [`head`]: private heads, trained through charged mechanisms of `cryptotl-privacy`;
//! * [`validation`], [`search`]: accuracy on private records and a choice by it, charged like any release;
//! * [`audit`]: the attack on a head's mechanism;
//! * [`import`](mod@import): networks that were trained elsewhere;
//! * [`metrics`]: accuracy, F1, kappa and calibration of scores on public data;
//! * [`linear`]: logistic regression and principal axes, for public data.
//!
//! What this crate must never know: that encryption exists, where files are kept, what a terminal is.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
mod alteration;
mod assumption;
pub mod audit;
pub mod benchmark;
pub mod config;
pub mod encoder;
pub mod error;
pub mod head;
pub mod import;
pub mod linear;
pub mod metrics;
mod network;
mod optimizer;
pub mod pretrain;
pub mod progress;
pub mod release;
pub mod search;
pub mod source;
pub mod table;
pub mod validation;

pub use assumption::Assumption;
pub use error::{Result, TrainerError};
pub use head::{HeadSettings, Method};
pub use pretrain::{Epoch, Pretrained, Source, SourceQuality, SourceRecords, pretrain};
pub use progress::{OnProgress, Progress};
pub use release::{Classified, Encryption, Head};

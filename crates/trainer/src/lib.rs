//! From texts to a private head: sentence encoder, public pretraining, heads with DP noise.
//!
//! * [`table`]: texts with labels from CSV, TSV and JSON lines;
//! * [`encoder`]: a sentence-transformers folder as a function from texts to embeddings;
//! * [`config`]: the network configurations in `models/`.
//!
//! What this crate must never know: that encryption exists, where files are kept, what a terminal is.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod encoder;
pub mod error;
mod network;
pub mod progress;
pub mod table;

pub use error::{Result, TrainerError};
pub use progress::{OnProgress, Progress};

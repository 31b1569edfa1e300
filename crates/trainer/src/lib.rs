//! From texts to a private head: sentence encoder, public pretraining, heads with DP noise.
//!
//! * [`table`]: texts with labels from CSV, TSV and JSON lines;
//! * [`encoder`]: a sentence-transformers folder as a function from texts to embeddings;
//! * [`config`], [`pretrain`](mod@pretrain): the network configurations in `models/` and the public training;
//! * [`head`]: private heads, trained through charged mechanisms of `cryptotl-privacy`;
//! * [`audit`]: the attack on a head's mechanism;
//! * [`linear`]: logistic regression and principal axes, for public data.
//!
//! What this crate must never know: that encryption exists, where files are kept, what a terminal is.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod audit;
pub mod benchmark;
pub mod config;
pub mod encoder;
pub mod error;
pub mod head;
pub mod linear;
mod network;
pub mod pretrain;
pub mod progress;
pub mod release;
pub mod source;
pub mod table;

pub use error::{Result, TrainerError};
pub use head::{HeadSettings, Method};
pub use pretrain::{Pretrained, Source, pretrain};
pub use progress::{OnProgress, Progress};
pub use release::{Classified, Encryption, Head};

//! Encrypted evaluation of a frozen lower network: the model owner computes features of records that it
//! never sees, and the data owner gets features of a network that it never sees.
//!
//! The data owner encrypts its records with CKKS (through Microsoft SEAL), the model owner multiplies the
//! ciphertexts by its matrices and applies a polynomial activation, the data owner decrypts. The network is
//! *compiled* first: an [`EvaluationPlan`] fixes every level, scale and byte before any key exists, and its
//! [`Contract`] is the part that the data owner may see.
//!
//! ```text
//!   data owner                                        model owner
//!                                                     EvaluationPlan::compile(network)
//!   Client::generate(contract) <-- Contract --------
//!                              --- EvaluationKeys -->  Server::new(plan, keys)
//!   client.encrypt(rows)       --- Query ----------->  server.evaluate(query)
//!   client.decrypt(response)   <-- Response --------
//! ```
//!
//! # Example
//!
//! ```
//! use cryptotl_encrypted::{Client, EvaluationPlan, InputBound, Packing, ParameterSet, Server};
//! use cryptotl_model::{Layer, Network, Polynomial};
//! use ndarray::array;
//!
//! // Two numbers in, three hidden units, one feature out.
//! let network = Network::new(2, vec![
//!     Layer::Dense { weight: array![[0.5, -0.2], [0.1, 0.9], [-0.7, 0.3]], bias: array![0.1, 0.0, -0.1] },
//!     Layer::Activation(Polynomial::cubic_relu()),
//!     Layer::Dense { weight: array![[1.0, -0.5, 0.25]], bias: array![0.2] },
//! ])?;
//! let bound = InputBound::new(3.0)?;
//! let plan = EvaluationPlan::compile(&network, ParameterSet::default(), Packing::default(), bound)?;
//!
//! let rows = array![[1.0, -2.0], [0.5, 0.25]];
//! let (client, keys) = Client::generate(plan.contract())?;
//! let server = Server::new(&plan, &keys)?;
//! let query = client.encrypt(rows.view())?;
//! let response = server.evaluate(&query, &|_progress| ())?;
//! let features = client.decrypt(&response, &query.request())?;
//!
//! let difference = features - network.forward(rows.view())?;
//! assert!(difference.iter().all(|d| d.abs() < 1e-4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises, and what not
//!
//! * The features equal those of [`cryptotl_model::Network::forward`] up to an encryption error, predicted by
//!   [`EvaluationPlan::predicted_error`]. No record within the plan's [`InputBound`] can overflow.
//! * Bytes of a peer are parsed and checked in safe Rust; SEAL reads only bytes made by this crate.
//! * A key serves one job. It lives as long as its [`Client`], or in a [`KeyFile`] of its owner's, which
//!   encrypts once.
//! * A [`PlanFile`] tells the data owner what it has to know, with a [`Certificate`] of what the plan was
//!   measured to do.
//! * The network has to be affine layers, one activation of degree 2 or 3, affine layers.
//! * The data owner must not send anything computed from decrypted features back to the model owner,
//!   and the network is not protected from a data owner who asks enough queries: see
//!   `docs/threat-model.md`.
//!
//! `docs/encrypted-evaluation.md` explains the mathematics with a worked example. Work is
//! parallel on rayon's current thread pool; install another one to change the number of threads.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod baseline;
pub mod benchmark;
mod certificate;
mod client;
mod error;
mod expand;
mod extract;
mod gemm;
mod kernels;
mod key_file;
mod message;
mod params;
mod plan;
mod plan_file;
mod planner;
mod progress;
mod record_major;
mod residues;
mod ring;
mod seal;
mod server;

pub use baseline::PaperCircuit;
pub use certificate::Certificate;
pub use client::Client;
pub use error::{EncryptedError, Result};
pub use extract::{Extraction, extract_in_process};
pub use kernels::Kernels;
pub use key_file::{ClaimedKey, EncryptedJob, KeyFile, KeyState};
pub use message::{
    BlockFile, Envelope, EvaluationKeys, FileKind, JobId, Place, Query, QueryFile, Request, RequestId,
    Response, ResponseFile,
};
pub use params::{Packing, ParameterSet, SecurityBasis, SecurityStandard};
pub use plan::{Contract, Cost, EvaluationPlan, InputBound, RecordCoupling};
pub use plan_file::PlanFile;
pub use planner::{Choice, Estimate, choose};
pub use progress::{Progress, Stage};
pub use seal::LIBRARY;
pub use server::Server;

#[cfg(test)]
mod end_to_end;
mod testkit;

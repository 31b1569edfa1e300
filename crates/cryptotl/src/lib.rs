//! CryptoTL as a library: one function for each verb of the command line.
//!
//! A verb takes a request (a struct of public fields, named as the flags of the command line) and an [`Observer`], reads
//! and writes the files that the request names, and returns a typed outcome. The outcome serializes to what the command
//! line prints with `--json`. Nothing here prints, parses arguments or ends the process.
//!
//! * **Errors** are one type, [`Error`]: a fact, a remedy and an [`ErrorKind`].
//! * **Progress and warnings** go to the [`Observer`], which can stop the work. `&()` ignores them.
//! * **Outputs** never replace an input of the same request, nor a file of another kind; see [`cryptotl_model::Places`].
//! * **Private data** is read only after the ledger was charged.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod files;
mod observer;
mod two_parties;

pub use error::{Error, ErrorKind, Remedy, Result, Word};
pub use files::Request;
pub use observer::{Observer, Progress};
pub use two_parties::keygen::{GeneratedKeys, KeygenRequest, keygen};

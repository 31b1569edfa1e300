//! Tests of the crate through its public interface, one file a subject, as one program that is linked once.
//!
//! Those that kill or fork processes are programs of their own: `faults` and `fork`.

#[path = "../common/mod.rs"]
mod common;
mod docs;
mod gaussian;
mod ledger;
mod mechanism;
mod minimum;
mod pld;
mod policies;
mod queries;
mod recorded;
mod sampled;
mod sequence;
mod stored;

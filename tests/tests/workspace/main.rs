//! Tests of the whole workspace: the built `cryptotl` runs in folders of its own. One file a subject.
//!
//! They are one program, so that they are linked once and run beside each other:
//! `cargo test --release --workspace --test workspace verify` runs those of one subject.

#[cfg(unix)]
mod browser;
mod cli;
mod common;
mod encoder;
mod extract;
mod formats;
mod heads;
mod labels;
mod ledgers;
mod machine;
mod outputs;
mod pipeline;
mod pretraining;
mod pretraining_private;
mod promise;
mod protocol;
mod readme;
mod terminal;
mod testkit;
mod verify;

//! Nothing: the tests of the whole workspace are in `tests/`. Run them with
//! `cargo test --release --workspace`, which also builds the binary that they start.
#![deny(unsafe_code)]

//! How far a job is.

/// A step of a job, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The data owner encrypts the records. Counted in records.
    Encrypt,
    /// The server expands seeds to ciphertexts. Counted in ciphertexts, as is [`Stage::Activation`].
    Expand,
    /// The first matrix. Counted in blocks of residues, as is [`Stage::SecondLayer`].
    FirstLayer,
    /// The polynomial activation.
    Activation,
    /// The second matrix.
    SecondLayer,
    /// Both layers and the activation of whole records, in record-major packing. Counted in records.
    Records,
    /// The data owner decrypts the features. Counted in records.
    Decrypt,
}

/// Progress within one stage of one block; with several threads `done` may arrive out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// How many of `total` are done.
    pub done: usize,
    /// How many there are.
    pub total: usize,
}

//! The verbs of two parties on two machines: keys, encryption, evaluation, decryption.

pub mod keygen;

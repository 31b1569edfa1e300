//! Microsoft SEAL's CKKS: declarations of its C interface, safe types that own its objects, and the bytes
//! that it reads and writes. The only other `unsafe` call of the crate is in [`crate::gemm`].

#[allow(unsafe_code)]
pub(crate) mod ckks;
#[allow(unsafe_code, missing_docs)]
mod ffi;
pub(crate) mod wire;

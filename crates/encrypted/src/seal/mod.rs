//! Microsoft SEAL's CKKS: declarations of its C interface, safe types that own its objects, and the bytes
//! that it reads and writes. The only other `unsafe` call of the crate is in [`crate::gemm`].

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "cryptotl shares objects of SEAL 4.0 between threads, whose locks are right on x86-64 only: SEAL has \
     mended them for processors that reorder stores in 4.4.0. Build for x86_64"
);

/// Which SEAL this is. Its numbers are those of the C interface and of the manifest; a test compares them.
pub const LIBRARY: &str = "Microsoft SEAL 4.0.0 with Sunscreen's changes (seal_fhe 0.8.1)";

#[allow(unsafe_code)]
pub(crate) mod ckks;
#[allow(unsafe_code, missing_docs)]
mod ffi;
pub(crate) mod wire;

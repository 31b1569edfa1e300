#![no_main]

use cryptotl_encrypted::KeyFile;
use cryptotl_fuzz::{PLAN, sealed};
use libfuzzer_sys::fuzz_target;

/// Bytes of a key of the plan before its digest: header and packed residues of 156 bits.
const CONTENT: usize = 72 + 8192 * 156 / 8;

fuzz_target!(|bytes: &[u8]| {
    let contract = PLAN.contract();
    let mut bytes = bytes.to_vec();
    let _ = KeyFile::from_bytes(contract, &bytes);
    if let Some(resealed) = sealed(&bytes, CONTENT) {
        bytes = resealed;
        let _ = KeyFile::from_bytes(contract, &bytes);
    }
    // The record of the job, after the key's digest and the byte that says that it was used.
    if let Some(resealed) = bytes.len().checked_sub(32).filter(|end| *end > CONTENT + 33).and_then(|end| {
        let log = sealed(&bytes[CONTENT + 33..], end - CONTENT - 33)?;
        Some([&bytes[..CONTENT + 33], &log].concat())
    }) {
        let _ = KeyFile::from_bytes(contract, &resealed);
    }
});

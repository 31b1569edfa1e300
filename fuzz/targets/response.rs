#![no_main]

use cryptotl_encrypted::Response;
use cryptotl_fuzz::{PLAN, sealed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let contract = PLAN.contract();
    let resealed = bytes.len().checked_sub(32).and_then(|end| sealed(bytes, end));
    for bytes in [Some(bytes), resealed.as_deref()].into_iter().flatten() {
        if let Ok(message) = Response::from_bytes(contract, bytes) {
            assert!(message.to_bytes() == bytes, "a message has one encoding");
        }
    }
});

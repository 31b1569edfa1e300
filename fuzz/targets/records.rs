#![no_main]

use std::path::Path;

use cryptotl_model::Records;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = Records::from_bytes(bytes, Path::new("fuzz")) {
        assert_eq!(records.embeddings.nrows(), records.len());
    }
});

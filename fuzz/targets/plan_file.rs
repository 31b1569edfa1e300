#![no_main]

use std::path::Path;

use cryptotl_encrypted::PlanFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(plan) = PlanFile::from_bytes(bytes, Path::new("fuzz")) {
        assert!(plan.contract.capacity() >= plan.certificate.feature_bound);
    }
});

#![no_main]

use std::path::Path;

use cryptotl_model::{LowerModel, PublicModel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    if let Ok(model) = LowerModel::from_bytes(bytes, path) {
        assert!(model.network.output_width() > 0);
    }
    let _ = PublicModel::from_bytes(bytes, path);
});

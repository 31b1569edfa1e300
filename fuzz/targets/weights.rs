#![no_main]

use cryptotl_fuzz::with_file;
use cryptotl_trainer::import::{mapping, paper};
use libfuzzer_sys::fuzz_target;

const MAPPING: &[u8] = br#"
version = 1
name = "tiny"
layout = "pytorch"
scaler = "standard"
input_bound = 4.0
layers = [
    { kind = "dense", weight = "a", bias = "b" },
    { kind = "activation", polynomial = [0.0, 1.0, 0.5] },
    { kind = "dense", weight = "c" },
]
"#;

fuzz_target!(|bytes: &[u8]| {
    with_file("weights", bytes, |weights| {
        let _ = paper::read(weights, "fuzz");
        with_file("mapping", MAPPING, |map| {
            let _ = mapping::read(weights, map);
        });
        // The same bytes as the other of the two files.
        let _ = mapping::read(weights, weights);
    });
});

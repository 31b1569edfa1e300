#![no_main]

use cryptotl_privacy::{Policy, is_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::from_toml(text) {
        assert!(is_name(policy.name()));
        assert!(policy.epsilon_per_release_max() <= policy.epsilon_cap());
    }
});

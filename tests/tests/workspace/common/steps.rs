//! The steps of the main job, run by the binary in a folder.

use std::path::Path;

use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::succeed;

/// Puts a model, extracted features and an untouched ledger into a folder.
pub fn prepare(path: &Path) {
    std::fs::write(path.join("model.toml"), CONFIG).unwrap();
    std::fs::write(path.join("policy.toml"), POLICY).unwrap();
    records(400, 1).write(&path.join("source.safetensors")).unwrap();
    records(300, 2).write(&path.join("private.safetensors")).unwrap();
    succeed(
        path,
        "--json pretrain --config model.toml --source source.safetensors --output lower.safetensors",
    );
    succeed(
        path,
        "--json extract --model lower.safetensors --input private.safetensors --output f.safetensors",
    );
    succeed(
        path,
        "--json ledger init --ledger budget --policy policy.toml --population people --public-size 300",
    );
}

pub fn finetune(epsilon: &str, features: &str, output: &str) -> String {
    format!(
        "--json finetune --features {features} --model lower.public.safetensors --ledger budget \
         --epsilon {epsilon} --output {output} --run {output}"
    )
}

//! The steps of the main job, run by the binary in a folder.
#![allow(dead_code)] // each test file uses some of them

use std::path::Path;
use std::process::{Command, Output};

use crate::common;
use crate::main_job::{CONFIG, POLICY, records};

pub fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(common::cryptotl());
    command.current_dir(folder).args(arguments.split_whitespace());
    command
}

pub fn run(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().unwrap()
}

pub fn succeed(folder: &Path, arguments: &str) -> serde_json::Value {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

pub fn refuse(folder: &Path, arguments: &str, code: i32, fact: &str) {
    let output = run(folder, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {words}");
    assert!(words.contains(fact), "{arguments}: {words}");
}

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

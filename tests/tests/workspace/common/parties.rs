//! A model owner and a data owner, in one folder each, and the commands that each of them runs.

use std::path::Path;

use tempfile::TempDir;

use crate::common::{self, tiny};

/// What a step prints.
pub fn succeed(folder: &Path, arguments: &str) -> serde_json::Value {
    common::succeed(folder, &format!("--json {arguments}"))
}

/// What crosses from one party to the other.
pub fn send(from: &Path, to: &Path, file: &str) {
    std::fs::copy(from.join(file), to.join(file)).unwrap();
}

pub const PLAN: &str =
    "plan --model lower.safetensors --packing bulk --source public.safetensors --output job.plan";
pub const KEYGEN: &str = "keygen --plan job.plan --secret-key job.secret --keys job.keys";
pub const ENCRYPT: &str = "encrypt --plan job.plan --model lower.public.safetensors --secret-key job.secret \
                       --input records.safetensors --query job.query";
pub const EVALUATE: &str = "evaluate --plan job.plan --model lower.safetensors --keys job.keys --query job.query \
                        --response job.response";
pub const DECRYPT: &str = "decrypt --plan job.plan --secret-key job.secret --input records.safetensors \
                       --response job.response --output features.safetensors";

/// A model owner with a plan, and a data owner with records, the plan and the public half.
pub struct Parties {
    model_owner: TempDir,
    data_owner: TempDir,
}

impl Parties {
    /// The model's bias tells one model, and so one plan, from another.
    pub fn new(n_records: usize, bias: f64) -> Self {
        let [model_owner, data_owner] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        tiny::write_model(model_owner.path(), "lower", bias);
        tiny::records(300, "tiny").write(&model_owner.path().join("public.safetensors")).unwrap();
        succeed(model_owner.path(), PLAN);
        let records = tiny::records(n_records, "tiny");
        records.write(&data_owner.path().join("records.safetensors")).unwrap();
        for file in ["job.plan", "lower.public.safetensors"] {
            send(model_owner.path(), data_owner.path(), file);
        }
        Self { model_owner, data_owner }
    }

    /// Each party's folder.
    pub fn folders(&self) -> (&Path, &Path) {
        (self.model_owner.path(), self.data_owner.path())
    }
}

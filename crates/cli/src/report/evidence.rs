//! What a report is assembled from: files that the program has read and checked against each other.

use cryptotl_encrypted::PlanFile;
use cryptotl_model::{Digest, PublicModel};
use cryptotl_privacy::Status;
use cryptotl_privacy::audit::Audit;
use cryptotl_trainer::Head;
use serde::{Deserialize, Serialize};

/// The evidence. What is `None` was not given, and its block is not assessed.
#[derive(Debug)]
pub struct Evidence {
    /// The released head.
    pub head: Head,
    /// The digest of its file.
    pub head_digest: Digest,
    /// How its file is called.
    pub head_name: String,
    /// The verified ledger that paid for it.
    pub ledger: Status,
    /// How the ledger's file is called.
    pub ledger_name: String,
    /// The plan of the encrypted evaluation, with its certificate.
    pub plan: Option<PlanFile>,
    /// The public half of the model.
    pub public: Option<PublicModel>,
    /// Whether the policy in force is the one that was given, where one was.
    pub policy_checked: bool,
    /// Rows of `bench privacy` for this population.
    pub table: Option<Vec<BenchmarkRow>>,
    /// What is known from attacks on the mechanism.
    pub audit: Option<Audit>,
    /// The command line that repeats the report.
    pub command: String,
}

/// A row of the table that `bench privacy` writes, as far as a report needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BenchmarkRow {
    /// The population.
    pub target: String,
    /// Which parts of a record the head reads.
    pub inputs: String,
    /// The head's method, or that of a baseline.
    pub method: String,
    /// Training records.
    pub n: u64,
    /// The epsilon; null where there is no privacy.
    pub epsilon: Option<f64>,
    /// Mean test accuracy over the seeds.
    pub mean_accuracy: f64,
    /// Standard deviation over the seeds.
    pub std: f64,
    /// How many draws of the DP noise.
    pub seeds: u64,
}

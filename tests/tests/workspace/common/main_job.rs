//! A tiny main job: eight numbers for an embedding, labels that a line separates.

use cryptotl_model::{Digest, EncoderId, Records, RecordsHeader};
use ndarray::Array2;

/// A network configuration whose training takes a moment.
pub const CONFIG: &str = r#"
version = 1
name = "tiny"
layers = [
    { kind = "conv1d", filters = 1, taps = 3 },
    { kind = "dense" },
    { kind = "activation", polynomial = "cubic-relu" },
    { kind = "avg-pool1d", size = 3 },
    { kind = "dropout", rate = 0.1 },
    { kind = "dense", outputs = 4 },
]
[training]
seed = 7
max_epochs = 5
patience = 5
batch = 32
learning_rate = 0.01
weight_decay = 0.001
validation_share = 0.2
input_bound = 4.0
[head]
ranks = [4]
"#;

/// A policy for it.
#[allow(dead_code)] // not every test has a ledger
pub const POLICY: &str = r#"
version = 1
name = "test"
unit = "record"
adjacency = "add-remove"
epsilon_cap = 3.0
epsilon_per_release_max = 2.0
delta = { exponent = 1.1 }
"#;

/// Records whose label is the sign of a fixed direction, from a small linear congruential generator.
pub fn records(n: usize, seed: u64) -> Records {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let embeddings = Array2::from_shape_fn((n, 8), |_| next());
    let labels = embeddings.rows().into_iter().map(|x| u32::from(x[0] + 0.5 * x[1] > 0.0)).collect();
    Records {
        header: RecordsHeader {
            encoder: EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") },
            label_names: vec!["no".into(), "yes".into()],
            extraction: None,
            population: None,
        },
        ids: (0..n).map(|i| format!("record-{i}")).collect(),
        embeddings,
        features: None,
        labels: Some(labels),
        persons: None,
        sources: None,
    }
}

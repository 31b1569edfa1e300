//! What the test files share: a small public model.

use std::collections::BTreeMap;

use cryptotl_model::{
    Digest, EncoderId, HeadInputs, LinearScore, Projection, PublicModel, RankStatistics, Scaler, SourceView,
};
use ndarray::{Array1, Array2, array};

/// How many numbers an embedding has.
pub const WIDTH: usize = 4;

/// A small deterministic generator of numbers between -1 and 1.
pub fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }
}

/// A public model of embeddings alone.
pub fn public(labels: usize) -> PublicModel {
    let encoder = EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") };
    let scores = if labels == 2 { 1 } else { labels };
    let projection = Projection {
        inputs: HeadInputs::Embedding,
        mean: Array1::zeros(WIDTH),
        components: Array2::eye(WIDTH),
        bias_share: 0.3,
        score_share: 0.0,
        score_scale: 2.0,
        scores: vec![LinearScore { weight: array![1.0, 0.0, 0.0, 0.0], bias: 0.1 }],
    };
    let mut next = numbers(5);
    let statistics = RankStatistics {
        gram: Array2::from_diag(&Array1::from_elem(WIDTH + 1, 0.2)),
        start: Array1::from_shape_fn(scores * (WIDTH + 1), |_| next()),
    };
    PublicModel {
        name: "tiny".into(),
        encoder,
        lower: Digest::of(b"lower"),
        feature_width: 1,
        label_names: (0..labels).map(|k| format!("label-{k}")).collect(),
        sources: vec![],
        validation_accuracy: Some(0.5),
        source_privacy: None,
        scaler: Scaler::new(Array1::zeros(WIDTH), Array1::ones(WIDTH), 4.0).unwrap(),
        zero_shot: vec![LinearScore { weight: array![1.0, 0.0, 0.0, 0.0], bias: 0.1 }; scores],
        views: BTreeMap::from([(
            HeadInputs::Embedding,
            SourceView { projection, ranks: BTreeMap::from([(WIDTH, statistics)]) },
        )]),
    }
}

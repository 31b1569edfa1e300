//! The smallest real model: two numbers in, three hidden units, two features out.

use std::collections::BTreeMap;
use std::path::Path;

use cryptotl_model::{
    Digest, EncoderId, Layer, LinearScore, LowerModel, Network, Polynomial, PublicModel, Records,
    RecordsHeader, Scaler,
};
use ndarray::{Array1, Array2, array};

const BOUND: f64 = 4.0;

fn encoder(name: &str) -> EncoderId {
    EncoderId { name: name.to_owned(), digest: Digest::of(name.as_bytes()) }
}

/// The secret half; each `bias` gives another model.
pub fn lower(bias: f64) -> LowerModel {
    let layers = vec![
        Layer::Dense { weight: array![[0.5, -0.2], [0.1, 0.9], [-0.7, 0.3]], bias: array![0.1, bias, -0.1] },
        Layer::Activation(Polynomial::cubic_relu()),
        Layer::Dense { weight: array![[1.0, -0.5, 0.25], [0.3, 0.4, 0.5]], bias: array![0.2, 0.0] },
    ];
    LowerModel {
        name: "tiny".to_owned(),
        encoder: encoder("tiny"),
        input_bound: BOUND,
        feature_bound: 10.0,
        network: Network::new(2, layers).unwrap(),
    }
}

/// Writes both halves of a model: `NAME.safetensors` and `NAME.public.safetensors`.
pub fn write_model(folder: &Path, name: &str, bias: f64) -> (LowerModel, Scaler) {
    let model = lower(bias);
    let scaler = Scaler::new(Array1::zeros(2), Array1::from_elem(2, 0.5), BOUND).unwrap();
    let public = PublicModel {
        name: model.name.clone(),
        encoder: model.encoder.clone(),
        lower: model.write(&folder.join(format!("{name}.safetensors"))).unwrap(),
        feature_width: 2,
        label_names: vec!["negative".to_owned(), "positive".to_owned()],
        sources: vec![],
        validation_accuracy: Some(0.5),
        source_privacy: None,
        scaler: scaler.clone(),
        zero_shot: vec![LinearScore { weight: Array1::zeros(2), bias: 0.0 }],
        views: BTreeMap::new(),
    };
    public.write(&folder.join(format!("{name}.public.safetensors"))).unwrap();
    (model, scaler)
}

/// `n` records, some of them beyond what the scaler clamps to.
pub fn records(n: usize, encoder_name: &str) -> Records {
    Records {
        header: RecordsHeader {
            encoder: encoder(encoder_name),
            label_names: vec![],
            extraction: None,
            population: None,
        },
        ids: (0..n).map(|i| format!("record-{i}")).collect(),
        embeddings: Array2::from_shape_fn((n, 2), |(i, j)| (7.3 * i as f32 + 1.9 * j as f32).sin() * 2.5),
        features: None,
        labels: None,
        persons: None,
        sources: None,
    }
}

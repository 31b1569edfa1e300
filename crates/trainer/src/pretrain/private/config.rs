//! `[private]` in a network configuration: how a model is trained on a private source.

use serde::{Deserialize, Serialize};

/// How a model is trained on a private source. All of it is chosen without a look at the source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivateConfig {
    /// The norm to which embeddings are cut; 1 for encoders that normalize.
    pub row_norm: f64,
    /// The part of the budget, in squares of mu, that the second moments get.
    pub moments_share: f64,
    /// The part that the zero-shot head gets. The network gets the rest.
    pub zero_shot_share: f64,
    /// T, the steps of DP-SGD.
    pub steps: u32,
    /// q, the probability with which a unit takes part in a step of DP-SGD.
    pub sampling_rate: f64,
    /// C, the norm to which the gradient of a record is clipped in DP-SGD.
    pub clipping_norm: f64,
    /// AdamW's step size in DP-SGD.
    pub learning_rate: f64,
    /// How many records are made up from the noisy moments, for everything that needs records and must not see any.
    pub made_up: usize,
}

impl Default for PrivateConfig {
    fn default() -> Self {
        Self {
            row_norm: 1.0,
            moments_share: 0.25,
            zero_shot_share: 0.45,
            steps: 100,
            sampling_rate: 0.25,
            clipping_norm: 1.0,
            learning_rate: 1e-4,
            made_up: 10_000,
        }
    }
}

impl PrivateConfig {
    /// The rule that is broken, if one is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let in_range = |x: f64, low: f64, high: f64| x.is_finite() && x >= low && x <= high;
        let network_share = 1.0 - self.moments_share - self.zero_shot_share;
        let rules = [
            (in_range(self.row_norm, 1e-3, 1e6), "private.row_norm must be from 0.001 to 1000000"),
            (
                [self.moments_share, self.zero_shot_share, network_share]
                    .iter()
                    .all(|s| in_range(*s, 0.01, 1.0)),
                "private.moments_share, private.zero_shot_share and what they leave of 1 must be at least 0.01",
            ),
            ((1..=100_000).contains(&self.steps), "private.steps must be from 1 to 100000"),
            (in_range(self.sampling_rate, 1e-6, 1.0), "private.sampling_rate must be from 0.000001 to 1"),
            (
                in_range(self.clipping_norm, 1e-6, 1e6),
                "private.clipping_norm must be from 0.000001 to 1000000",
            ),
            (in_range(self.learning_rate, 1e-9, 1.0), "private.learning_rate must be in (0, 1]"),
            ((100..=1_000_000).contains(&self.made_up), "private.made_up must be from 100 to 1000000"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }
}

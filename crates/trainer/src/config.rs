//! Network configurations: the TOML files in `models/`.

use std::path::Path;

use cryptotl_model::{Polynomial, input_file};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainerError};
use crate::pretrain::private::PrivateConfig;

/// How a model is pretrained. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// The version of this file's format, 1.
    pub version: u32,
    /// A name that travels with the model.
    pub name: String,
    /// The layers of the lower network, first to last.
    pub layers: Vec<LayerConfig>,
    /// How they are trained.
    pub training: TrainingConfig,
    /// What travels with the model for the data owner's head.
    #[serde(default)]
    pub head: HeadConfig,
    /// How they are trained on a private source.
    #[serde(default)]
    pub private: PrivateConfig,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerConfig {
    /// A one-dimensional convolution that keeps the width.
    Conv1d {
        /// How many filters; the output is `filters` times as wide.
        filters: usize,
        /// An odd number of taps.
        taps: usize,
    },
    /// A dense layer.
    Dense {
        /// How many outputs; absent means as many as inputs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<usize>,
    },
    /// A polynomial activation.
    Activation {
        /// `cubic-relu` or ascending coefficients.
        polynomial: PolynomialConfig,
    },
    /// The mean of neighbors, stride 1.
    AvgPool1d {
        /// How many neighbors.
        size: usize,
    },
    /// Dropout, in training only.
    Dropout {
        /// The share of numbers set to zero.
        rate: f64,
    },
}

/// A polynomial by name or by coefficients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PolynomialConfig {
    /// A named polynomial.
    Named(NamedPolynomial),
    /// Ascending coefficients.
    Coefficients(Polynomial),
}

/// The polynomials that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPolynomial {
    /// [`Polynomial::cubic_relu`].
    CubicRelu,
}

impl PolynomialConfig {
    /// The polynomial itself.
    pub fn polynomial(&self) -> Polynomial {
        match self {
            Self::Named(NamedPolynomial::CubicRelu) => Polynomial::cubic_relu(),
            Self::Coefficients(polynomial) => polynomial.clone(),
        }
    }
}

/// How the lower network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Seeds weights, shuffles, dropout and the validation split.
    pub seed: u64,
    /// Training stops after this many passes over the source at the latest.
    pub max_epochs: usize,
    /// It stops after this many passes without a lower validation loss, and the best weights are kept.
    pub patience: usize,
    /// Records in a step.
    pub batch: usize,
    /// AdamW's largest step size.
    pub learning_rate: f64,
    /// How the step size changes over the training.
    #[serde(default)]
    pub schedule: Schedule,
    /// Passes over which the step size first grows to its full value, in equal parts.
    #[serde(default)]
    pub warmup_epochs: usize,
    /// Decoupled weight decay (AdamW); biases do not decay.
    pub weight_decay: f64,
    /// What counts equally, however many records it has.
    #[serde(default)]
    pub balance: Balance,
    /// The share of the source held out to decide when to stop.
    pub validation_share: f64,
    /// Scaled inputs are clamped to this magnitude; the unit is the source's root mean square deviation.
    pub input_bound: f64,
}

/// How the step size changes over the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// It falls to 0 over `max_epochs` along half a cosine (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

/// What counts equally in the training and in the source's own heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Every record.
    #[default]
    Records,
    /// Every label.
    Labels,
    /// Every source.
    Sources,
    /// Every label of every source.
    LabelsOfSources,
}

/// What travels with the model for the data owner's head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadConfig {
    /// The ranks of the public projection that a head may choose among.
    pub ranks: Vec<usize>,
    /// The constant coordinate of a projected row.
    pub bias_share: f64,
    /// The largest magnitude of the coordinate that holds the source's own score; 0 leaves it out.
    pub score_share: f64,
    /// The total variance of the server features relative to that of the embedding, where a head reads
    /// both.
    pub feature_share: f64,
    /// The ridge of the source's own logistic regressions, in the units of a sum over records.
    pub source_ridge: f64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            ranks: vec![32, 128, 256],
            bias_share: 0.3,
            score_share: 0.0,
            feature_share: 0.5,
            source_ridge: 1.0,
        }
    }
}

impl HeadConfig {
    /// The most ranks: each takes two tensors a view of a public half, which has 1024 at most.
    pub const MAX_RANKS: usize = 64;

    /// The rule that is broken, if one is.
    pub(crate) fn check(&self) -> std::result::Result<(), &'static str> {
        let share = self.bias_share.powi(2) + self.score_share.powi(2);
        let rules = [
            (
                (1..=Self::MAX_RANKS).contains(&self.ranks.len()) && self.ranks.iter().all(|r| *r >= 1),
                "head.ranks must be from 1 to 64 positive numbers",
            ),
            (
                self.bias_share >= 0.0 && self.score_share >= 0.0 && share < 1.0,
                "head.bias_share and head.score_share must be from 0 and have squares that sum below 1",
            ),
            (
                self.feature_share > 0.0 && self.feature_share <= 100.0,
                "head.feature_share must be in (0, 100]",
            ),
            (
                self.source_ridge > 0.0 && self.source_ridge <= 1e6,
                "head.source_ridge must be in (0, 1000000]",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }
}

impl TrainingConfig {
    /// The step size of step `step` of `total`, both counted from 0, of which the first `warmup` grow.
    pub(crate) fn rate(&self, step: usize, total: usize, warmup: usize) -> f64 {
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let done = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

impl PretrainConfig {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`TrainerError::Training`] naming the key and what it may be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = input_file::read_text(path, input_file::MAX_CONFIG_BYTES)
            .map_err(|e| TrainerError::io(path, e))?;
        Self::from_toml(&text).map_err(|e| match e {
            TrainerError::Training { fact, remedy } => {
                TrainerError::training(format!("{}: {fact}", path.display()), remedy)
            }
            other => other,
        })
    }

    /// Parses and checks a configuration.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            TrainerError::training(format!("line {line}: {}", e.message()), "see models/README.md")
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let t = &self.training;
        let rates = self.layers.iter().all(|layer| match layer {
            LayerConfig::Dropout { rate } => (0.0..1.0).contains(rate),
            _ => true,
        });
        let rules = [
            (self.version == 1, "version must be 1"),
            (!self.layers.is_empty(), "layers must name at least one layer"),
            (rates, "a dropout rate must be at least 0 and below 1"),
            ((1..=10_000).contains(&t.max_epochs), "training.max_epochs must be from 1 to 10000"),
            (t.patience >= 1, "training.patience must be at least 1"),
            ((1..=65_536).contains(&t.batch), "training.batch must be from 1 to 65536"),
            (t.learning_rate > 0.0 && t.learning_rate <= 1.0, "training.learning_rate must be in (0, 1]"),
            (t.warmup_epochs < t.max_epochs, "training.warmup_epochs must be below training.max_epochs"),
            ((0.0..=1.0).contains(&t.weight_decay), "training.weight_decay must be from 0 to 1"),
            (
                t.validation_share > 0.0 && t.validation_share <= 0.5,
                "training.validation_share must be in (0, 0.5]",
            ),
            (t.input_bound >= 1.0 && t.input_bound <= 64.0, "training.input_bound must be from 1 to 64"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => self.head.check().and_then(|()| self.private.check()),
            Some((_, rule)) => Err(*rule),
        }
        .map_err(|rule| TrainerError::training(rule, "see models/README.md"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        version = 1
        name = "x"
        layers = [
            { kind = "dense", outputs = 8 },
            { kind = "activation", polynomial = "cubic-relu" },
            { kind = "activation", polynomial = [0.0, 1.0, 0.5] },
            { kind = "dropout", rate = 0.1 },
        ]
        [training]
        seed = 1
        max_epochs = 2
        patience = 1
        batch = 8
        learning_rate = 0.01
        weight_decay = 0.0
        validation_share = 0.2
        input_bound = 6.0
    "#;

    #[test]
    fn configurations_are_checked() {
        assert!(PretrainConfig::from_toml(MINIMAL).is_ok());
        for (from, to, fact) in [
            ("batch = 8", "batch = 0", "training.batch"),
            ("seed = 1", "seed = 1\nsede = 2", "unknown field `sede`"),
            ("input_bound = 6.0", "input_bound = nan", "training.input_bound"),
            ("rate = 0.1", "rate = 1.0", "dropout rate"),
            ("seed = 1", "seed = 1\nwarmup_epochs = 2", "training.warmup_epochs"),
            ("seed = 1", "seed = 1\nschedule = \"linear\"", "unknown variant `linear`"),
            ("seed = 1", "seed = 1\nbalance = \"all\"", "unknown variant `all`"),
            ("version = 1", "version = 2", "version must be 1"),
            ("\"cubic-relu\"", "\"relu\"", "line 4: data did not match any variant"),
        ] {
            let error = PretrainConfig::from_toml(&MINIMAL.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
        }
    }

    #[test]
    fn the_step_size_grows_and_falls_as_written() {
        let mut training = PretrainConfig::from_toml(MINIMAL).unwrap().training;
        assert_eq!([0, 5, 9].map(|step| training.rate(step, 10, 0)), [0.01; 3]);
        training.schedule = Schedule::Cosine;
        let rates = [0, 1, 2, 6, 9].map(|step| training.rate(step, 10, 2));
        assert_eq!(rates[..3], [0.005, 0.01, 0.01]);
        assert!((rates[3] - 0.005).abs() < 1e-12, "half way down at half the time");
        assert!(rates[4] > 0.0 && rates[4] < 0.001);
    }
}

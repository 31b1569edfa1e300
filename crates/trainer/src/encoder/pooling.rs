//! From the states of a text's tokens to its embedding (Reimers and Gurevych 2019, "Sentence-BERT",
//! section 3, and the further ways of the sentence-transformers library).

use super::dense::Dense;

/// One way of pooling. The order is that of several side by side, where a configuration only switches them
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// The state of the first token.
    Cls,
    /// The largest value of each coordinate.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean in which token `i`, counted from 1, weighs `i`.
    WeightedMean,
    /// The state of the last token.
    LastToken,
}

impl Mode {
    /// The way with this name: as newer versions call it, or the older switch without `pooling_mode_`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "cls_token" | "cls" => Self::Cls,
            "max_tokens" | "max" => Self::Max,
            "mean_tokens" | "mean" => Self::Mean,
            "mean_sqrt_len_tokens" => Self::MeanSqrtLen,
            "weightedmean_tokens" | "weightedmean" => Self::WeightedMean,
            "lasttoken" => Self::LastToken,
            _ => return None,
        })
    }

    /// Appends the pooled states of one text; `states` is `[tokens, hidden]`, row-major, of at least one
    /// token.
    fn pool(self, states: &[f32], hidden: usize, pooled: &mut Vec<f32>) {
        let n_tokens = states.len() / hidden;
        let start = pooled.len();
        match self {
            Self::Cls => return pooled.extend_from_slice(&states[..hidden]),
            Self::LastToken => return pooled.extend_from_slice(&states[states.len() - hidden..]),
            Self::Max => pooled.resize(start + hidden, f32::NEG_INFINITY),
            _ => pooled.resize(start + hidden, 0.0),
        }
        let to = &mut pooled[start..];
        for (i, token) in states.chunks_exact(hidden).enumerate() {
            let each = to.iter_mut().zip(token);
            match self {
                Self::Max => each.for_each(|(m, x)| *m = m.max(*x)),
                Self::WeightedMean => each.for_each(|(m, x)| *m += (i + 1) as f32 * x),
                _ => each.for_each(|(m, x)| *m += x),
            }
        }
        let divisor = match self {
            Self::Max => return,
            Self::MeanSqrtLen => (n_tokens as f32).sqrt(),
            Self::WeightedMean => (n_tokens * (n_tokens + 1) / 2) as f32,
            _ => n_tokens as f32,
        };
        to.iter_mut().for_each(|m| *m /= divisor);
    }
}

/// What happens to a text's pooled states.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A linear layer.
    Dense(Dense),
    /// Division by the L2 norm.
    Normalize,
}

/// How an encoder pools.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pooling {
    /// At least one way, in order.
    pub modes: Vec<Mode>,
    /// What follows, in order.
    pub steps: Vec<Step>,
}

impl Pooling {
    /// How many numbers an embedding has.
    pub fn width(&self, hidden: usize) -> usize {
        let last = self.steps.iter().rev().find_map(|step| match step {
            Step::Dense(dense) => Some(dense.width()),
            Step::Normalize => None,
        });
        last.unwrap_or(hidden * self.modes.len())
    }

    /// Appends the embedding of one text; `states` is `[tokens, hidden]`, row-major.
    pub fn pool(&self, states: &[f32], hidden: usize, embeddings: &mut Vec<f32>) {
        let start = embeddings.len();
        self.modes.iter().for_each(|mode| mode.pool(states, hidden, embeddings));
        for step in &self.steps {
            match step {
                Step::Dense(dense) => {
                    let mapped = dense.forward(&embeddings[start..]);
                    embeddings.truncate(start);
                    embeddings.extend(mapped);
                }
                Step::Normalize => {
                    let embedding = &mut embeddings[start..];
                    let norm = embedding.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                    embedding.iter_mut().for_each(|x| *x /= norm);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_gives_what_it_says() {
        // Three tokens of two numbers.
        let states = [1.0, -6.0, 4.0, 2.0, -2.0, 10.0];
        for (mode, expected) in [
            (Mode::Cls, [1.0, -6.0]),
            (Mode::Max, [4.0, 10.0]),
            (Mode::Mean, [1.0, 2.0]),
            (Mode::MeanSqrtLen, [3.0 / 3f32.sqrt(), 6.0 / 3f32.sqrt()]),
            (Mode::WeightedMean, [(1.0 + 8.0 - 6.0) / 6.0, (-6.0 + 4.0 + 30.0) / 6.0]),
            (Mode::LastToken, [-2.0, 10.0]),
        ] {
            let mut pooled = Vec::new();
            Pooling { modes: vec![mode], steps: vec![] }.pool(&states, 2, &mut pooled);
            assert_eq!(pooled, expected, "{mode:?}");
        }
        let both = Pooling { modes: vec![Mode::Cls, Mode::Mean], steps: vec![Step::Normalize] };
        let mut pooled = vec![9.0];
        both.pool(&states, 2, &mut pooled);
        let norm = (1.0f32 + 36.0 + 1.0 + 4.0).sqrt();
        assert_eq!(pooled, [9.0, 1.0 / norm, -6.0 / norm, 1.0 / norm, 2.0 / norm]);
        assert_eq!(both.width(2), 4);
    }
}

//! What a promise rests on beyond the proofs: what another party did, and how encryption errors are distributed.
//!
//! Differential privacy is about what one record changes. Embeddings are made by their owner, text by text, so that one record
//! changes its own row. Server features are what somebody else's computation on ciphertexts gave, and there it takes words.

use cryptotl_model::{Extraction, HeadInputs};
use serde::{Deserialize, Serialize};

use crate::release::Encryption;

/// One thing that has to be true for a stated guarantee to hold, and that no file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assumption {
    /// Another party evaluated, and did so as the protocol says. One that deviates can put a record's ciphertext into every
    /// answer, so that the record changes every row.
    EvaluatorFollowedProtocol,
    /// Records shared ciphertexts, and their encryption errors do not depend on each other's contents.
    IndependentEncryptionErrors,
    /// Records shared ciphertexts, and the slack that was declared bounds how far one moves the others.
    SlackCoversOthers,
}

impl Assumption {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 3] =
        [Self::EvaluatorFollowedProtocol, Self::IndependentEncryptionErrors, Self::SlackCoversOthers];

    /// What a release rests on that reads `inputs` of records with this encryption, with a `slack` for the other units.
    pub fn of(inputs: HeadInputs, encryption: Option<&Encryption>, slack: f64) -> Vec<Self> {
        let Some(encryption) = encryption.filter(|_| inputs.needs_features()) else { return Vec::new() };
        let mut all = Vec::new();
        if encryption.evaluator != Extraction::IN_PROCESS {
            all.push(Self::EvaluatorFollowedProtocol);
        }
        if encryption.coupled {
            all.push(if slack > 0.0 { Self::SlackCoversOthers } else { Self::IndependentEncryptionErrors });
        }
        all
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::EvaluatorFollowedProtocol => "evaluator-followed-protocol",
            Self::IndependentEncryptionErrors => "independent-encryption-errors",
            Self::SlackCoversOthers => "slack-covers-others",
        }
    }

    /// What is assumed, as the end of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::EvaluatorFollowedProtocol => {
                "the party that evaluated the encrypted records followed the protocol; one that deviates can put one record into \
                 every answer, and the promise then does not hold"
            }
            Self::IndependentEncryptionErrors => {
                "the encryption errors of records that share ciphertexts do not depend on each other's contents, which is a usual \
                 heuristic and no theorem"
            }
            Self::SlackCoversOthers => {
                "the declared slack bounds how far one record moves the features of others, with which it shares ciphertexts"
            }
        }
    }

    /// The sentences that follow a guarantee's own.
    pub fn sentence(all: &[Self]) -> String {
        if all.is_empty() {
            return "This rests on no assumption about another party's computation.".to_owned();
        }
        let words: Vec<&str> = all.iter().map(|assumption| assumption.words()).collect();
        format!("This rests on the assumption that {}.", words.join("; and that "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_release_rests_on_follows_from_evaluator_coupling_slack_and_inputs() {
        use Assumption::{
            EvaluatorFollowedProtocol as Evaluator, IndependentEncryptionErrors as Errors,
            SlackCoversOthers as Slack,
        };
        let encryption = |evaluator: &str, coupled| Encryption {
            parameter_set: "p".into(),
            security_basis: "b".into(),
            evaluator: evaluator.into(),
            coupled,
        };
        let (own, other) = (Extraction::IN_PROCESS, "another party");
        for (evaluator, coupled, slack, expected) in [
            (own, false, 0.0, vec![]),
            (own, true, 0.0, vec![Errors]),
            (own, true, 0.5, vec![Slack]),
            (other, false, 0.0, vec![Evaluator]),
            (other, true, 0.0, vec![Evaluator, Errors]),
            (other, true, 0.5, vec![Evaluator, Slack]),
            ("In-Process", false, 0.0, vec![Evaluator]),
            ("", false, 0.0, vec![Evaluator]),
        ] {
            let encryption = encryption(evaluator, coupled);
            for inputs in [HeadInputs::Features, HeadInputs::EmbeddingAndFeatures] {
                assert_eq!(
                    Assumption::of(inputs, Some(&encryption), slack),
                    expected,
                    "{evaluator} {coupled}"
                );
            }
            assert_eq!(Assumption::of(HeadInputs::Embedding, Some(&encryption), slack), []);
            let sentence = Assumption::sentence(&expected);
            assert_eq!(sentence.contains("no assumption"), expected.is_empty());
            assert!(expected.iter().all(|assumption| sentence.contains(assumption.words())));
        }
        assert_eq!(Assumption::of(HeadInputs::Features, None, 0.0), []);
        for assumption in Assumption::ALL {
            assert_eq!(serde_json::to_value(assumption).unwrap(), assumption.name());
        }
    }
}

//! The state of an unfinished training in a file, so that a killed process goes on where it was.
//!
//! The file names the job that it belongs to: the digest of the configuration and of the sources. It holds the
//! model owner's secret, and like every file it appears complete or not at all.

use std::path::Path;

use cryptotl_model::Digest;
use cryptotl_model::format::{Document, Header, MAX_HEADER_BYTES};
use cryptotl_model::{Kind, ModelError};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::training::{Epoch, State};
use crate::config::PretrainConfig;
use crate::error::{Result, TrainerError};
use crate::network::Blueprint;
use crate::optimizer::AdamW;

/// The header of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CheckpointHeader {
    /// The configuration and the sources.
    job: Digest,
    /// Steps that the optimizer took.
    steps: u64,
    /// All passes so far.
    history: Vec<Epoch>,
}

impl Header for CheckpointHeader {
    const KIND: &'static str = "training-checkpoint";
    const VERSION: u32 = 1;
}

/// The state of a training, as an output.
pub const CHECKPOINT: Kind = Kind::document::<CheckpointHeader>("state of a training");

/// What a training is: its configuration and the digest of its sources.
pub(super) fn job(config: &PretrainConfig, sources: Digest) -> Digest {
    let config = serde_json::to_vec(config).expect("a configuration that was parsed can be written");
    Digest::of_parts([config.as_slice(), sources.as_bytes()])
}

/// Fails, before the first pass, when the history of a training may outgrow the header of its checkpoint.
pub(super) fn check_history(max_epochs: usize, sources: &[&str]) -> Result<()> {
    // Numbers and keys of a pass, and of a source in it, take less than this; a name may be written with six bytes for one.
    let pass = 256 + sources.iter().map(|name| 384 + 6 * name.len()).sum::<usize>();
    match max_epochs.saturating_mul(pass) as u64 <= MAX_HEADER_BYTES {
        true => Ok(()),
        false => Err(TrainerError::training(
            format!("{max_epochs} passes over {} sources do not fit into a checkpoint", sources.len()),
            "lower training.max_epochs, or train without --checkpoint",
        )),
    }
}

/// Writes the state of `job`.
pub(super) fn write(path: &Path, job: Digest, state: &State) -> Result<()> {
    let header = CheckpointHeader { job, steps: state.optimizer.time, history: state.history.clone() };
    let mut document = Document::new(header);
    for (name, list) in lists(state) {
        for (i, matrix) in list.iter().enumerate() {
            document = document.with(format!("{name}.{i}"), matrix);
        }
    }
    document.write(path, CHECKPOINT)?;
    Ok(())
}

fn lists(state: &State) -> [(&'static str, &[Array2<f32>]); 4] {
    [
        ("parameters", &state.parameters),
        ("first", &state.optimizer.first),
        ("second", &state.optimizer.second),
        ("best", &state.best),
    ]
}

/// Reads the state of `job`.
///
/// # Errors
/// [`ModelError::Malformed`] for anything but a checkpoint of this version whose parts fit the network, and
/// [`TrainerError::Training`] for one of another job.
pub(super) fn read(path: &Path, expected: Digest, blueprint: &Blueprint, max_epochs: usize) -> Result<State> {
    let (mut document, _) = Document::<CheckpointHeader>::read(path)?;
    if document.header.job != expected {
        return Err(TrainerError::training(
            format!("{} is the checkpoint of another configuration or other sources", path.display()),
            "give the ones it was made with, or remove it to begin anew",
        ));
    }
    let malformed = |fact: &str| {
        TrainerError::from(ModelError::Malformed {
            path: path.to_owned(),
            kind: CheckpointHeader::KIND,
            fact: fact.to_owned(),
            remedy: "remove it to begin anew".to_owned(),
        })
    };
    let mut take = |name: &str| -> Result<Vec<Array2<f32>>> {
        let slots = blueprint.slots().iter().enumerate();
        slots
            .map(|(i, slot)| {
                let matrix = document.take_matrix_f32(&format!("{name}.{i}"), path)?;
                let fits = matrix.shape() == slot.shape && matrix.iter().all(|x| x.is_finite());
                if fits { Ok(matrix) } else { Err(malformed("its numbers do not fit the network")) }
            })
            .collect()
    };
    let (parameters, first) = (take("parameters")?, take("first")?);
    let (second, best) = (take("second")?, take("best")?);
    let CheckpointHeader { steps, history, .. } = document.finish(path)?;
    let in_order = history.iter().zip(1..).all(|(pass, number)| pass.epoch == number);
    if !in_order || history.len() > max_epochs || history.first().is_none_or(|first| !first.best) {
        return Err(malformed("its passes are not those of a training"));
    }
    Ok(State { parameters, optimizer: AdamW { time: steps, first, second }, best, history })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alteration::alterations;
    use crate::pretrain::training::stream;
    use proptest::prelude::*;

    const CONFIG: &str = r#"
        version = 1
        name = "x"
        layers = [{ kind = "dense", outputs = 3 }]
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

    fn state(blueprint: &Blueprint) -> State {
        let mut state = State::new(blueprint, &mut stream(1, 0));
        state.optimizer.begin(0.1).update(0, &mut state.parameters[0], &[0.5; 6], 0.0);
        state.history.push(Epoch {
            epoch: 1,
            learning_rate: 0.1,
            train_loss: 0.1 + 0.2,
            validation_loss: 0.7,
            best: true,
            sources: vec![],
        });
        state
    }

    #[test]
    fn a_state_comes_back_to_the_last_bit_and_to_its_own_job_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        let config = PretrainConfig::from_toml(CONFIG).unwrap();
        let blueprint = Blueprint::new(&config, 2, 1).unwrap();
        let (state, ours) = (state(&blueprint), job(&config, Digest::of(b"sources")));
        write(&path, ours, &state).unwrap();
        assert_eq!(read(&path, ours, &blueprint, 2).unwrap(), state);
        let other = job(&config, Digest::of(b"other sources"));
        let error = read(&path, other, &blueprint, 2).unwrap_err().to_string();
        assert!(error.contains("another configuration or other sources"), "{error}");
    }

    proptest! {
        #[test]
        fn an_altered_checkpoint_is_a_state_or_refused(alteration in alterations()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("c");
            let config = PretrainConfig::from_toml(CONFIG).unwrap();
            let blueprint = Blueprint::new(&config, 2, 1).unwrap();
            let ours = job(&config, Digest::of(b"sources"));
            write(&path, ours, &state(&blueprint)).unwrap();
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, alteration.of(&whole)).unwrap();
            match read(&path, ours, &blueprint, 2) {
                Ok(state) => prop_assert!(state.best_epoch().is_some()),
                Err(error) => prop_assert!(error.to_string().contains("; "), "{error} has no remedy"),
            }
        }
    }

    #[test]
    fn a_hostile_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        let config = PretrainConfig::from_toml(CONFIG).unwrap();
        let blueprint = Blueprint::new(&config, 2, 1).unwrap();
        let ours = job(&config, Digest::of(b"sources"));
        let refused = |change: &dyn Fn(&mut State), fact: &str| {
            let mut state = state(&blueprint);
            change(&mut state);
            write(&path, ours, &state).unwrap();
            let error = read(&path, ours, &blueprint, 2).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
        };
        refused(&|s| s.parameters[1] = Array2::zeros((1, 4)), "do not fit the network");
        refused(&|s| s.optimizer.second[0][[0, 0]] = f32::NAN, "do not fit the network");
        refused(&|s| drop(s.best.pop()), "tensor `best.3` is missing");
        refused(&|s| s.best.push(Array2::zeros((1, 1))), "unknown tensor `best.4`");
        refused(&|s| s.history.clear(), "not those of a training");
        refused(&|s| s.history[0].epoch = 2, "not those of a training");
        refused(&|s| s.history[0].best = false, "not those of a training");
        refused(
            &|s| {
                s.history
                    .extend((2..4).map(|epoch| Epoch { epoch, ..s.history[0].clone() }).collect::<Vec<_>>())
            },
            "not those of a training",
        );
        let whole = {
            write(&path, ours, &state(&blueprint)).unwrap();
            std::fs::read(&path).unwrap()
        };
        for n in [0, 7, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..n]).unwrap();
            assert!(read(&path, ours, &blueprint, 2).is_err(), "{n} bytes");
        }
    }
}

//! Pretraining and import with the real binary: several sources, a real kill, and networks from elsewhere.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cryptotl_model::{LowerModel, PublicModel, SourceColumn};

use crate::common::main_job::{CONFIG, records};
use crate::common::{command, refuse, succeed};

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// The passes in a log.
fn log(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_killed_training_goes_on_to_the_same_files() {
    const PASSES: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let slow = CONFIG
        .replace(
            "max_epochs = 5",
            &format!("max_epochs = {PASSES}\nschedule = \"cosine\"\nwarmup_epochs = 2"),
        )
        .replace("patience = 5", &format!("patience = {PASSES}\nbalance = \"labels-of-sources\""));
    std::fs::write(path.join("model.toml"), &slow).unwrap();
    records(3000, 1).write(&path.join("a.safetensors")).unwrap();
    records(1000, 2).write(&path.join("b.safetensors")).unwrap();
    let job = "pretrain --config model.toml --source a.safetensors --source b.safetensors";

    let killed = format!("{job} --checkpoint state --log killed.jsonl --output killed.safetensors");
    let mut process = command(path, &killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    let passes = || std::fs::read_to_string(path.join("killed.jsonl")).map_or(0, |log| log.lines().count());
    while passes() < 4 {
        assert!(Instant::now() < patience, "no pass in two minutes");
        assert!(process.try_wait().unwrap().is_none(), "the training ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(path.join("state").is_file() && !path.join("killed.safetensors").exists());
    assert!(passes() < PASSES, "it was killed on its way");

    // Only the same job may go on from the state.
    refuse(path, &killed.replace("--source b.safetensors", ""), 1, "another configuration or other sources");
    refuse(path, &format!("{killed} --seed 8"), 1, "another configuration or other sources");
    let resumed = succeed(path, &format!("--json {killed}"));
    assert_eq!(resumed["epochs"], PASSES);
    assert!(!path.join("state").exists(), "the state is removed at the end");

    succeed(path, &format!("{job} --log whole.jsonl --output whole.safetensors"));
    for ending in ["safetensors", "public.safetensors"] {
        let [killed, whole] = ["killed", "whole"].map(|name| bytes(path, &format!("{name}.{ending}")));
        assert_eq!(killed, whole, "{ending}");
    }
    assert_eq!(bytes(path, "killed.jsonl"), bytes(path, "whole.jsonl"));
    succeed(path, &format!("{job} --seed 8 --output other.safetensors"));
    assert_ne!(bytes(path, "other.safetensors"), bytes(path, "whole.safetensors"));
}

#[test]
fn each_source_has_a_name_and_figures_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("model.toml"), CONFIG).unwrap();
    records(300, 1).write(&path.join("a.train.safetensors")).unwrap();
    records(200, 2).write(&path.join("b.safetensors")).unwrap();
    let trained = succeed(
        path,
        "--json pretrain --config model.toml --source a.train.safetensors --source second=b.safetensors \
         --log log.jsonl --output lower.safetensors",
    );
    let sources = trained["sources"].as_array().unwrap();
    assert_eq!(sources.iter().map(|s| s["source"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "second"]);
    assert_eq!(sources.iter().map(|s| s["records"].as_u64().unwrap()).collect::<Vec<_>>(), [300, 200]);
    let held_out: Vec<_> = sources.iter().map(|s| s["network"]["records"].as_u64().unwrap()).collect();
    assert_eq!(held_out, [60, 40], "a fifth of each");
    let (public, _) = PublicModel::read(&path.join("lower.public.safetensors")).unwrap();
    assert_eq!(public.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "second"]);

    let passes = log(path, "log.jsonl");
    assert_eq!(passes.len(), trained["epochs"].as_u64().unwrap() as usize);
    let best = passes[trained["best_epoch"].as_u64().unwrap() as usize - 1].clone();
    assert_eq!(best["best"], true);
    // The network that is written is that of the best pass.
    for (source, pass) in sources.iter().zip(best["sources"].as_array().unwrap()) {
        for figure in ["loss", "accuracy", "f1", "kappa", "calibration_error"] {
            let (written, logged) =
                (source["network"][figure].as_f64().unwrap(), pass[figure].as_f64().unwrap());
            assert_eq!(written, logged, "{figure}");
        }
    }
    let lowest = passes.iter().map(|p| p["validation_loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(best["validation_loss"].as_f64().unwrap(), lowest);
    refuse(
        path,
        "pretrain --config model.toml --source x=b.safetensors --source x=a.train.safetensors --output m.safetensors",
        1,
        "two sources are called x",
    );
    assert!(!path.join("m.safetensors").exists());
}

#[test]
fn one_table_may_hold_several_sources() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("model.toml"), CONFIG).unwrap();
    let mut all = records(500, 1);
    let names = vec!["films".to_owned(), "shops".to_owned()];
    let of_record = (0..500).map(|i| [Some(0), Some(1), None][i % 3]).collect();
    all.sources = Some(SourceColumn { names, of_record });
    all.write(&path.join("reviews.safetensors")).unwrap();
    let pretrain =
        "--json pretrain --config model.toml --source reviews.safetensors --output lower.safetensors";
    let trained = succeed(path, pretrain);
    let sources = trained["sources"].as_array().unwrap();
    let found: Vec<_> =
        sources.iter().map(|s| (s["source"].as_str().unwrap(), s["records"].as_u64().unwrap())).collect();
    assert_eq!(found, [("reviews/films", 167), ("reviews/shops", 167), ("reviews", 166)]);
    let (public, _) = PublicModel::read(&path.join("lower.public.safetensors")).unwrap();
    assert_eq!(public.sources.len(), 3);
}

#[test]
fn the_papers_text_file_becomes_a_model_that_encryption_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut state = 5u64;
    let mut number = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut text = String::from("Conv1d layer with 1 filters of size 3:\nFilter 0\n");
    (0..3).for_each(|_| text += &format!("{}\n", number()));
    for (inputs, outputs) in [(8, 8), (6, 4)] {
        text += &format!("Dense layer of dimension ({inputs}, {outputs}):\n");
        for output in 0..outputs {
            text += &format!("Columns {output}\n");
            (0..inputs).for_each(|_| text += &format!("{}\n", number()));
        }
        text += "Bias\n";
        (0..outputs).for_each(|_| text += &format!("{}\n", number()));
    }
    std::fs::write(path.join("lower.txt"), text).unwrap();
    records(400, 1).write(&path.join("source.safetensors")).unwrap();
    records(40, 2).write(&path.join("private.safetensors")).unwrap();
    let job = "import --weights lower.txt --source source.safetensors --output lower.safetensors";
    let made = succeed(path, &format!("--json {job}"));
    assert_eq!(made["layers"], serde_json::json!(["conv1d", "dense", "activation", "avg-pool1d", "dense"]));
    assert_eq!((made["input_width"].as_u64(), made["feature_width"].as_u64()), (Some(8), Some(4)));
    let (lower, digest) = LowerModel::read(&path.join("lower.safetensors")).unwrap();
    let (public, _) = PublicModel::read(&path.join("lower.public.safetensors")).unwrap();
    assert_eq!(public.lower, digest);
    // The paper's inputs: each coordinate between 0 and 1 in the sources.
    let scaled = public.scaler.apply(records(400, 1).embeddings.view()).unwrap();
    let extremes = scaled.iter().fold((1.0f64, 0.0f64), |(low, high), x| (low.min(*x), high.max(*x)));
    assert!(extremes.0 >= 0.0 && extremes.1 <= 1.0 && extremes.1 - extremes.0 > 0.999, "{extremes:?}");
    let features = lower.network.forward(scaled.view()).unwrap();
    assert!(features.iter().all(|x| x.abs() <= lower.feature_bound * (1.0 + 1e-6)));

    let extracted = succeed(
        path,
        "--json extract --model lower.safetensors --input private.safetensors --output f.safetensors",
    );
    assert!(extracted["max_error"].as_f64().unwrap() < 1e-2, "{extracted}");
    refuse(path, &job.replace("lower.txt", "source.safetensors"), 1, "cannot import source.safetensors");
    refuse(path, &job.replace("lower.txt", "absent.txt"), 1, "cannot read absent.txt");
}

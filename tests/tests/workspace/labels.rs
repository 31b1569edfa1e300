//! The whole job with three labels: pretraining on two sources, encrypted features, a private head, validation, audit.

use cryptotl_model::{HeadInputs, PublicModel, Records};

use crate::common::main_job::{CONFIG, POLICY, records};
use crate::common::{refuse, run, succeed};

/// Records whose label is the sector of the plane that their first two numbers lie in.
fn sectors(n: usize, seed: u64) -> Records {
    let mut records = records(n, seed);
    let sector = |x: f32, y: f32| {
        let turn = y.atan2(x) / std::f32::consts::TAU;
        ((turn + 1.0) * 3.0) as u32 % 3
    };
    let labels = records.embeddings.rows().into_iter().map(|row| sector(row[0], row[1])).collect();
    records.header.label_names = ["north", "west", "south"].map(String::from).to_vec();
    records.labels = Some(labels);
    records
}

#[test]
fn three_labels_go_from_the_sources_to_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("model.toml"), CONFIG.replace("max_epochs = 5", "max_epochs = 20")).unwrap();
    std::fs::write(path.join("policy.toml"), POLICY).unwrap();
    sectors(900, 1).write(&path.join("a.safetensors")).unwrap();
    // A source of two of the labels helps with these.
    let b = sectors(600, 2);
    let labels = b.labels.clone().unwrap();
    let two: Vec<usize> = (0..600).filter(|&row| labels[row] < 2).collect();
    b.select(&two).write(&path.join("b.safetensors")).unwrap();
    sectors(600, 3).write(&path.join("private.safetensors")).unwrap();
    sectors(400, 4).write(&path.join("test.safetensors")).unwrap();

    let trained = succeed(
        path,
        "--json pretrain --config model.toml --source a.safetensors --source b.safetensors --output lower.safetensors",
    );
    let accuracy = |what: &str| trained[what].as_f64().unwrap();
    assert!(accuracy("network_validation_accuracy") > 0.7, "{trained}");
    assert!(accuracy("zero_shot_validation_accuracy") > 0.8, "{trained}");
    let quality = &trained["sources"][0]["zero_shot"];
    assert!(quality["f1"].as_f64().unwrap() > 0.8 && quality["kappa"].as_f64().unwrap() > 0.7, "{quality}");
    let (public, _) = PublicModel::read(&path.join("lower.public.safetensors")).unwrap();
    assert_eq!((public.zero_shot.len(), public.label_names.len()), (3, 3));
    let view = &public.views[&HeadInputs::EmbeddingAndFeatures];
    assert_eq!(view.ranks[&4].start.len(), 3 * view.projection.dimension_at(4));

    for set in ["private", "test"] {
        succeed(
            path,
            &format!("--json extract --model lower.safetensors --input {set}.safetensors --output {set}.f"),
        );
    }
    succeed(
        path,
        "--json ledger init --ledger budget --policy policy.toml --population people --public-size 600",
    );
    for inputs in ["embedding", "features", "embedding-and-features"] {
        let output = run(
            path,
            &format!(
                "--json bench privacy --data-is-public --model lower.public.safetensors --target t --train private.f \
                 --test test.f --inputs {inputs} --sizes 0 --epsilons 2 --seeds 2 --output rows.json"
            ),
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("rows.json")).unwrap()).unwrap();
        let of = |method: &str| {
            let row = rows.as_array().unwrap().iter().find(|row| row["method"] == method).unwrap();
            row["mean_accuracy"].as_f64().unwrap()
        };
        assert!(of("majority") < 0.5 && of("zero-shot") > 0.8 && of("logistic-regression") > 0.7, "{rows}");
        assert!(of("auto") > 0.6, "{inputs}: {rows}");
    }
    let released = succeed(
        path,
        "--json finetune --features private.f --model lower.public.safetensors --ledger budget --epsilon 1 --output h",
    );
    assert!(released["guarantee"]["epsilon"].as_f64().unwrap() <= 1.0);
    let labeled = run(path, "classify --head h --input test.f");
    let truth = sectors(400, 4).labels.unwrap();
    let names = ["north", "west", "south"];
    let lines: Vec<serde_json::Value> = String::from_utf8(labeled.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let right =
        lines.iter().zip(&truth).filter(|(line, label)| line["label"] == names[**label as usize]).count();
    assert!(lines.len() == 400 && right > 240, "{right} of {}", lines.len());

    let validated = succeed(
        path,
        "--json validate --head h --features test.f --ledger budget --epsilon 1 --output v.json \
         --assume-independent-encryption-errors",
    );
    assert_eq!(validated["labels"].as_array().map(Vec::len), Some(3), "{validated}");
    let check = "verify h v.json --ledger budget";
    let verified = run(path, check);
    let words = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && words.contains("paid for this very file"), "{words}");
    assert!(words.contains("every accuracy follows from the noisy cells"), "{words}");
    // An embellished accuracy, and a file that is whole but not what was recorded.
    let honest = std::fs::read_to_string(path.join("v.json")).unwrap();
    let mut altered: serde_json::Value = serde_json::from_str(&honest).unwrap();
    altered["accuracy"]["value"] = 0.999.into();
    altered["accuracy"]["high"] = 1.0.into();
    std::fs::write(path.join("v.json"), altered.to_string()).unwrap();
    refuse(path, check, 1, "not what the cells give");
    std::fs::write(path.join("v.json"), honest.replace('\n', "\n ")).unwrap();
    refuse(path, check, 1, "the ledger recorded another release");
    altered["version"] = 9.into();
    std::fs::write(path.join("v.json"), altered.to_string()).unwrap();
    refuse(path, check, 1, "of version 9");
    std::fs::write(path.join("v.json"), honest).unwrap();

    succeed(
        path,
        "--json audit --head h --ledger budget --model lower.public.safetensors --no-attack --output report",
    );
    let verified =
        run(path, "verify h h.README.md report/report.json lower.public.safetensors --ledger budget");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_private_source_may_have_three_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = format!("{CONFIG}\n[private]\nsteps = 40\n");
    std::fs::write(path.join("model.toml"), config).unwrap();
    let policy = POLICY.replace("3.0", "8.0").replace("2.0", "4.0");
    std::fs::write(path.join("policy.toml"), policy).unwrap();
    sectors(4000, 1).write(&path.join("a.safetensors")).unwrap();
    succeed(path, "ledger init --ledger budget --policy policy.toml --population people --public-size 4000");
    let pretrain = "--json pretrain --config model.toml --source a.safetensors --epsilon 4 --ledger budget";
    let trained = succeed(path, &format!("{pretrain} --output m.safetensors"));
    assert!(trained["guarantee"]["epsilon"].as_f64().unwrap() <= 4.0);
    succeed(path, "verify m.safetensors m.public.safetensors --ledger budget");
    let again = succeed(path, &format!("{pretrain} --output n.safetensors"));
    assert_eq!(again["replayed"], true);
    for half in ["safetensors", "public.safetensors"] {
        let bytes = |name: &str| std::fs::read(path.join(format!("{name}.{half}"))).unwrap();
        assert_eq!(bytes("m"), bytes("n"));
    }

    let (public, _) = PublicModel::read(&path.join("m.public.safetensors")).unwrap();
    let test = sectors(500, 2);
    let scores: Vec<_> =
        public.zero_shot.iter().map(|score| score.of_rows(test.embeddings.mapv(f64::from).view())).collect();
    let best = |row: usize| (0..3).max_by(|&a, &b| scores[a][row].total_cmp(&scores[b][row])).unwrap() as u32;
    let right = test.labels.unwrap().iter().enumerate().filter(|(row, label)| best(*row) == **label).count();
    assert!(right > 350, "{right} of 500");

    // One label has nothing to be told from; that is refused before anything is paid.
    let entries = || succeed(path, "--json ledger show --ledger budget")["entries"].as_array().map(Vec::len);
    let paid = entries();
    assert!(paid.is_some());
    let mut one = sectors(100, 3);
    one.header.label_names.truncate(1);
    one.labels = Some(vec![0; 100]);
    one.write(&path.join("one.safetensors")).unwrap();
    let of_one = "pretrain --config model.toml --source one.safetensors --epsilon 1 --ledger budget --output x.safetensors";
    refuse(path, of_one, 1, "declares 1 labels");
    assert_eq!(entries(), paid);
}

//! Writes one real file for each fuzz target to `corpus/TARGET/`: fuzzing starts from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cryptotl_encrypted::{Certificate, Client, EncryptedJob, KeyFile, PlanFile, Server};
use cryptotl_fuzz::{ENCODER_FILES, PLAN, TINY_ENCODER, network};
use cryptotl_model::{
    Digest, EncoderId, HeadInputs, LinearScore, LowerModel, Projection, PublicModel, RankStatistics, Records,
    RecordsHeader, Scaler, SourceColumn, SourceView,
};
use cryptotl_privacy::{Ledger, Policy};
use ndarray::array;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new("corpus");
    let place = |target: &str, name: &str| {
        std::fs::create_dir_all(folder.join(target)).map(|()| folder.join(target).join(name))
    };
    let rows = array![[0.5], [-1.0], [3.0]];

    let contract = PLAN.contract();
    let (client, keys) = Client::generate(contract)?;
    let query = client.encrypt(rows.view())?;
    let response = Server::new(&PLAN, &keys)?.evaluate(&query, &|_| ())?;
    std::fs::write(place("evaluation_keys", "real")?, keys.to_bytes())?;
    std::fs::write(place("query", "real")?, query.to_bytes())?;
    std::fs::write(place("response", "real")?, response.to_bytes())?;

    for (name, used) in [("fresh", false), ("used", true)] {
        let path = place("secret_key", name)?;
        let _ = std::fs::remove_file(&path);
        KeyFile::create(contract, &path)?;
        if used {
            let requests = vec![query.request(); 2];
            KeyFile::claim(contract, &path)?.finish(&EncryptedJob { records: Digest::of(b""), requests })?;
        }
    }

    let certificate = Certificate::measure(&PLAN, &network(), rows.view(), Digest::of(b""), &|_| ())?;
    let public_model = Digest::of(b"model");
    PlanFile { public_model, contract: contract.clone(), certificate, coupling: Some(PLAN.block_coupling()) }
        .write(&place("plan_file", "real")?)?;

    let encoder = EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") };
    let header = RecordsHeader {
        encoder: encoder.clone(),
        label_names: vec!["no".into(), "yes".into()],
        extraction: None,
        population: None,
    };
    Records {
        header,
        ids: ["a", "b", "c"].map(str::to_owned).to_vec(),
        embeddings: rows.mapv(|x| x as f32),
        features: None,
        labels: Some(vec![0, 1, 1]),
        persons: Some(vec![Some(0), None, Some(0)]),
        sources: Some(SourceColumn { names: vec!["films".into()], of_record: vec![Some(0), Some(0), None] }),
    }
    .write(&place("records", "real")?)?;

    let lower = LowerModel {
        name: "tiny".into(),
        encoder: encoder.clone(),
        input_bound: 4.0,
        feature_bound: 2.0,
        network: network(),
    };
    let digest = lower.write(&place("model_files", "lower")?)?;
    let score = LinearScore { weight: array![1.0], bias: 0.0 };
    let projection = Projection {
        inputs: HeadInputs::Embedding,
        mean: array![0.0],
        components: array![[1.0]],
        bias_share: 0.5,
        score_share: 0.25,
        score_scale: 1.0,
        scores: vec![score.clone()],
    };
    let dimension = projection.dimension_at(1);
    let statistics =
        RankStatistics { gram: ndarray::Array2::eye(dimension), start: ndarray::Array1::zeros(dimension) };
    let view = SourceView { projection, ranks: BTreeMap::from([(1, statistics)]) };
    PublicModel {
        name: "tiny".into(),
        encoder,
        lower: digest,
        feature_width: 1,
        label_names: vec!["no".into(), "yes".into()],
        sources: vec![],
        validation_accuracy: Some(0.5),
        source_privacy: None,
        scaler: Scaler::new(array![0.0], array![1.0], 4.0)?,
        zero_shot: vec![score],
        views: BTreeMap::from([(HeadInputs::Embedding, view)]),
    }
    .write(&place("model_files", "public")?)?;
    seeds_of_texts(&place)
}

/// Seeds of what is written by people and by other programs.
fn seeds_of_texts(
    place: &dyn Fn(&str, &str) -> std::io::Result<PathBuf>,
) -> Result<(), Box<dyn std::error::Error>> {
    let tables: [(u8, &[u8]); 3] = [
        (0, b"id,text,label,person,source\na,\"good, \"\"really\"\"\",yes,p,s\nb,bad,no,q,s\n"),
        (1, b"id\ttext\tlabel\tperson\tsource\na\tgood\tyes\tp\ts\n"),
        (2, br#"{"id":"a","text":"good","label":"yes","person":1,"source":null}"#),
    ];
    for (format, bytes) in tables {
        std::fs::write(place("table", &format.to_string())?, [&[format], bytes].concat())?;
    }
    for (i, name) in ENCODER_FILES.into_iter().enumerate() {
        let bytes = std::fs::read(Path::new(TINY_ENCODER).join(name))?;
        std::fs::write(place("encoder_folder", &i.to_string())?, [&[i as u8], bytes.as_slice()].concat())?;
    }
    std::fs::write(place("cache", "entry")?, [7; 32 + 4 * 32 + 16])?;
    std::fs::write(
        place("weights", "paper")?,
        "Conv1d layer with 1 filters of size 1:\nFilter 0\n1\nDense layer of dimension (1, 1):\nColumns 0\n1\nBias\n0\n",
    )?;
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../privacy-configs");
    std::fs::copy(policies.join("standard.toml"), place("policy", "standard")?)?;
    let ledger = place("ledger_file", "people")?;
    let _ = std::fs::remove_file(&ledger);
    let policy = Policy::from_toml(&std::fs::read_to_string(policies.join("standard.toml"))?)?;
    Ledger::create(&ledger, &policy, "people", 1000)?;
    Ok(())
}

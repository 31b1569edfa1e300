use std::path::PathBuf;

use proptest::prelude::*;

use super::transformer::Transformer;
use super::*;
use crate::alteration::{Alteration, alterations};

/// Small random encoders with the vectors that sentence-transformers gives; `scripts/encoder_fixtures.py` made
/// them.
const FIXTURES: [&str; 7] = [
    "bert-cls",
    "bert-pooling",
    "bert-vocabulary",
    "distilbert-dense",
    "mpnet",
    "roberta-shards",
    "xlm-roberta",
];

/// The digests of encoders that records of earlier versions carry.
const KNOWN_DIGESTS: [(&str, &str); 3] = [
    ("bert-cls", "5485bd6b73349cc98d9c1b17db1ad62e8b4dde93045b5df3ef478ffd5d7de6f5"),
    ("bert-pooling", "6f91d8a58b7bd32ae88e8f680de9940abb757a982523b74c078bd9dfaaa8a01d"),
    ("mpnet", "e735680f98eb27eef8d52f348064df92dffd5cfb0488ea6028580723fd4c1609"),
];

#[derive(serde::Deserialize)]
struct Reference {
    texts: Vec<String>,
    vectors: Vec<Vec<f64>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoders").join(name)
}

fn reference(name: &str) -> Reference {
    serde_json::from_slice(&std::fs::read(fixture(name).join("vectors.json")).unwrap()).unwrap()
}

fn embed(encoder: &Encoder, texts: &[&str]) -> Array2<f32> {
    encoder.embed(texts, &|_| {}).unwrap()
}

/// A copy of a fixture, to be spoiled.
fn copy(name: &str) -> tempfile::TempDir {
    fn copy_all(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => copy_all(&entry.path(), &to.join(entry.file_name())),
                false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy_all(&fixture(name), folder.path());
    folder
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    for name in FIXTURES {
        let encoder = Encoder::load(&fixture(name)).unwrap();
        let Reference { texts, vectors } = reference(name);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embeddings = embed(&encoder, &texts);
        assert_eq!(embeddings.dim(), (texts.len(), vectors[0].len()), "{name}");
        for ((text, row), expected) in texts.iter().zip(embeddings.rows()).zip(&vectors) {
            for (x, y) in row.iter().zip(expected) {
                let error = (f64::from(*x) - y).abs();
                assert!(error < 1e-5 * y.abs().max(1.0), "{name}, {text:?}: {x} is not {y}");
            }
        }
    }
}

#[test]
fn an_embedding_depends_on_its_own_text_to_the_last_bit() {
    for name in FIXTURES {
        let encoder = Encoder::load(&fixture(name)).unwrap();
        let Reference { texts, .. } = reference(name);
        let texts = texts.iter().map(String::as_str).collect::<Vec<_>>().repeat(7);
        let all = embed(&encoder, &texts);
        for (i, text) in texts.iter().enumerate().take(11) {
            assert!(embed(&encoder, &[text]).row(0) == all.row(i), "{name}: {text:?} alone");
            assert!(all.row(i + 11) == all.row(i), "{name}: {text:?} twice");
        }
        assert_eq!(embed(&encoder, &[]).dim(), (0, encoder.width()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The same at the widths of real encoders, where the matrix product works in blocks. Two tokens are the
    /// fewest that a text has.
    #[test]
    fn a_batch_does_not_show_in_its_texts(
        mpnet: bool, half_heads in 1usize..7, length in 2usize..40, n in 2usize..MAX_BATCH, seed in 0u32..1000,
    ) {
        let heads = 2 * half_heads;
        let config = serde_json::from_value(serde_json::json!({
            "model_type": if mpnet { "mpnet" } else { "bert" }, "hidden_act": "gelu", "hidden_size": 64 * heads,
            "intermediate_size": 256 * heads, "layer_norm_eps": 1e-5, "max_position_embeddings": 64,
            "num_attention_heads": heads, "num_hidden_layers": 1, "vocab_size": 50, "type_vocab_size": 2,
        })).unwrap();
        let config = TransformerConfig::of(&config).unwrap();
        let device = Device::flex();
        let network = Transformer::new(&config, &device);
        let ids: Vec<Vec<u32>> =
            (0..n as u32).map(|i| (0..length as u32).map(|j| (seed + 7 * i + 3 * j * j) % 50).collect()).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let states = |ids: &[&[u32]]| {
            let data = network.forward(&config, ids, &device).into_data();
            data.as_slice::<f32>().unwrap().to_vec()
        };
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        rayon.install(|| {
            let all = states(&ids);
            for (i, alone) in all.chunks_exact(length * config.hidden_size).enumerate() {
                assert!(states(&ids[i..=i]) == alone, "text {i} of {n}");
            }
        });
    }
}

#[test]
fn a_long_text_is_read_as_far_as_the_encoder_reads() {
    let encoder = Encoder::load(&fixture("mpnet")).unwrap();
    let whole = |text: &str| encoder.tokenizer.encode_fast(text, true).unwrap().get_ids().to_vec();
    let blank = " ".repeat(FIRST_BYTES + 10);
    for text in [
        "the cat sat on the mat. ".repeat(20_000),
        format!("{blank}the{blank}cat"),
        "cat".repeat(FIRST_BYTES),
        format!("{} cat", "\u{4e2d}".repeat(FIRST_BYTES)),
        format!("{}dog", "cafe\u{301}\n".repeat(FIRST_BYTES / 100)),
        format!("{}\u{301} dog", "a".repeat(FIRST_BYTES)),
    ] {
        assert_eq!(encoder.tokens(&text).unwrap(), whole(&text));
    }
    // One word that never ends is cut: what stands behind it is not read, however short the tokens before are.
    let word = "x".repeat(MAX_TEXT_BYTES);
    assert_eq!(encoder.tokens(&format!("{word}{word} cat")).unwrap(), whole(&word));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let edit = |file: &'static str, from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{file} has no {from}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    let write = |file: &'static str, bytes: &'static [u8]| {
        move |folder: &Path| std::fs::write(folder.join(file), bytes).unwrap()
    };
    let rename = |from: &'static str, to: &'static str| {
        move |folder: &Path| std::fs::rename(folder.join(from), folder.join(to)).unwrap()
    };
    let remove = |file: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(file)).unwrap();
    let cut = |file: &'static str, n: u64| {
        move |folder: &Path| {
            let file = std::fs::OpenOptions::new().write(true).open(folder.join(file)).unwrap();
            file.set_len(n).unwrap();
        }
    };
    type Spoil<'a> = &'a dyn Fn(&Path);
    let cases: &[(&str, Spoil, &str)] = &[
        ("bert-cls", &edit("modules.json", "normalize.Normalize", "cnn.CNN"), "cnn.CNN`"),
        (
            "bert-cls",
            &edit("modules.json", "transformer.Transformer", "x.Normalize"),
            "its modules are Normalize",
        ),
        ("bert-cls", &edit("modules.json", "1_Pooling", "../1_Pooling"), "outside of it"),
        (
            "bert-cls",
            &edit("modules.json", "sentence_transformers.base.modules.transformer", "custom_st"),
            "its module `custom_st.Transformer` is code of its own",
        ),
        ("bert-cls", &write("modules.json", b"[]"), "lists nothing"),
        ("bert-cls", &remove("modules.json"), "the folder 1_Pooling and no modules.json"),
        ("bert-cls", &remove("config.json"), "it has no config.json; copy the whole folder"),
        (
            "bert-cls",
            &remove("1_Pooling/config.json"),
            "it has no 1_Pooling/config.json; copy the whole folder",
        ),
        ("bert-cls", &remove("tokenizer.json"), "it has no tokenizer.json; copy the whole folder"),
        ("roberta-shards", &rename("tokenizer.json", "vocab.txt"), "AutoTokenizer"),
        ("bert-vocabulary", &remove("config.json"), "neither modules.json nor config.json"),
        (
            "bert-vocabulary",
            &edit("tokenizer_config.json", "BertTok", "BertJapaneseTok"),
            "`BertJapaneseTokenizer`",
        ),
        ("bert-vocabulary", &edit("vocab.txt", "[SEP]\n", "x\n"), "its vocab.txt has no `[SEP]`"),
        ("bert-vocabulary", &edit("vocab.txt", "cat\n", "cat\nmore\n"), "above its vocabulary"),
        ("bert-cls", &rename("model.safetensors", "tf_model.h5"), "pytorch_model.bin, but tf_model.h5; save"),
        // A network that is not known is refused by its name, whatever else there is or is not.
        ("bert-cls", &write("config.json", br#"{"model_type":"modernbert"}"#), "its network is `modernbert`"),
        (
            "bert-cls",
            &|folder: &Path| {
                write("config.json", br#"{"model_type":"nomic_bert","hidden_size":"many"}"#)(folder);
                edit("modules.json", "sentence_transformers", "custom_st")(folder);
                remove("tokenizer.json")(folder);
            },
            "its network is `nomic_bert`",
        ),
        ("bert-cls", &edit("config.json", "\"model_type\"", "\"type\""), "(`model_type`)"),
        ("distilbert-dense", &edit("config.json", "\"dim\"", "\"width\""), "its config.json has no `dim`"),
        ("distilbert-dense", &edit("2_Dense/config.json", "Tanh", "GLU"), "2_Dense has the activation"),
        (
            "distilbert-dense",
            &edit("2_Dense/config.json", "sentence_embedding", "token_embeddings"),
            "no plain layer",
        ),
        (
            "distilbert-dense",
            &edit("3_Dense/config.json", "8", "9"),
            "3_Dense maps 9 numbers to 6, and is given 8",
        ),
        ("distilbert-dense", &edit("3_Dense/config.json", "6", "7"), "`linear.weight` has the shape [6, 8]"),
        ("distilbert-dense", &remove("2_Dense/model.safetensors"), "pytorch_model.bin in 2_Dense"),
        (
            "roberta-shards",
            &remove("model-00002-of-00004.safetensors"),
            "no model-00002-of-00004.safetensors",
        ),
        (
            "roberta-shards",
            &edit("model.safetensors.index.json", "model-00002", "../model-00002"),
            "does not name safetensors beside it",
        ),
        ("roberta-shards", &write("model.safetensors.index.json", b"{}"), "missing field `weight_map`"),
        (
            "bert-cls",
            &edit(
                "config_sentence_transformers.json",
                "\"default_prompt_name\": null",
                "\"truncate_dim\": 8",
            ),
            "`truncate_dim`",
        ),
        ("bert-cls", &edit("1_Pooling/config.json", "cls", "attention"), "pools by `attention`"),
        ("bert-cls", &edit("1_Pooling/config.json", "\"cls\"", "7"), "pools by ?"),
        ("bert-cls", &edit("1_Pooling/config.json", "true", "false"), "`include_prompt`"),
        ("bert-pooling", &edit("1_Pooling/config.json", "lasttoken", "by_magic"), "pools by `by_magic`"),
        ("bert-pooling", &edit("1_Pooling/config.json", "true", "false"), "no way of pooling"),
        (
            "bert-pooling",
            &edit("config_sentence_transformers.json", "\"prompts\"", "\"others\""),
            "default prompt",
        ),
        ("bert-cls", &edit("config.json", "\"bert\"", "\"electra\""), "its network is `electra`"),
        ("bert-cls", &edit("config.json", "gelu", "silu"), "its activation is `silu`"),
        ("bert-cls", &edit("config.json", "\"hidden_size\": 16", "\"hidden_size\": 15"), "do not divide"),
        (
            "bert-cls",
            &edit("config.json", "\"hidden_size\": 16", "\"hidden_size\": 18"),
            "model.safetensors: `embeddings.word_embeddings.weight` has the shape [22, 16], where config.json asks \
             for [22, 18]",
        ),
        (
            "bert-cls",
            &edit("config.json", "num_hidden_layers\": 2", "num_hidden_layers\": 3"),
            "model.safetensors: there are no weights for `encoder.layer.2.attention.",
        ),
        (
            "bert-cls",
            &edit("config.json", "\"vocab_size\": ", "\"vocab_size\": 1, \"was\": "),
            "above its vocabulary",
        ),
        (
            "bert-cls",
            &edit("sentence_bert_config.json", "feature-extraction", "fill-mask"),
            "for `fill-mask`",
        ),
        (
            "bert-cls",
            &edit("tokenizer_config.json", "\"model_max_length\": 20", "\"model_max_length\": 2"),
            "keeps 2 tokens",
        ),
        ("bert-cls", &write("tokenizer.json", b"{}"), "tokenizer.json:"),
        ("bert-cls", &remove("model.safetensors"), "neither model.safetensors nor pytorch_model.bin"),
        ("bert-cls", &cut("model.safetensors", 9000), "model.safetensors:"),
        ("bert-pooling", &cut("0_Transformer/pytorch_model.bin", 20_000), "pytorch_model.bin:"),
        // A pickle that would run a program, if anything in a pickle were ever run.
        (
            "bert-pooling",
            &write("0_Transformer/pytorch_model.bin", b"cos\nsystem\n(S'touch ran'\ntR."),
            "pytorch_model.bin:",
        ),
        ("bert-pooling", &write("0_Transformer/pytorch_model.bin", b""), "pytorch_model.bin:"),
    ];
    for &(name, spoil, fact) in cases {
        let folder = copy(name);
        assert!(Encoder::load(folder.path()).is_ok());
        spoil(folder.path());
        let error = Encoder::load(folder.path()).err().map_or("accepted".to_owned(), |e| e.to_string());
        assert!(error.contains(fact), "{fact}: {error}");
    }
    assert!(!Path::new("ran").exists());
}

/// Each file that is read, in the place of which a clone without Git LFS has a pointer.
#[test]
fn a_pointer_of_git_lfs_is_called_one() {
    let pointer = b"version https://git-lfs.test/spec/v1\noid sha256:00\nsize 90\n";
    for name in FIXTURES {
        for entry in walk(&fixture(name)) {
            if ["vectors.json", "tokens.json"].contains(&entry.as_str()) {
                continue;
            }
            let folder = copy(name);
            std::fs::write(folder.path().join(&entry), pointer).unwrap();
            let error = Encoder::load(folder.path()).err().map_or("accepted".to_owned(), |e| e.to_string());
            let named =
                error.contains(&format!("{entry} is a Git LFS pointer")) && error.contains("git lfs pull");
            assert!(named, "{name}, {entry}: {error}");
        }
    }
}

/// The files below a folder, by name.
fn walk(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => names.extend(walk(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => names.push(name),
        }
    }
    names
}

/// What is fetched of a repository is what an encoder is read from.
#[test]
fn what_is_needed_is_enough() {
    for name in FIXTURES {
        let from = fixture(name);
        let Needed { configuration, bulk, missing } =
            needed(&walk(&from), |file| std::fs::read(from.join(file))).unwrap();
        assert_eq!(missing, None, "{name}");
        let folder = tempfile::tempdir().unwrap();
        let copy = |files: &[String]| {
            for file in files {
                let to = folder.path().join(file);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from.join(file), to).unwrap();
            }
        };
        copy(&configuration);
        Encoder::check(folder.path()).unwrap();
        copy(&bulk);
        let digest = Encoder::load(folder.path()).unwrap().id().digest;
        assert_eq!(digest, Encoder::load(&from).unwrap().id().digest, "{name}");
        for file in configuration.iter().chain(&bulk) {
            let rest: Vec<String> = walk(&from).into_iter().filter(|name| name != file).collect();
            let missing = needed(&rest, |file| std::fs::read(from.join(file))).unwrap().missing;
            let folder = tempfile::tempdir().unwrap();
            for file in &rest {
                let to = folder.path().join(file);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from.join(file), to).unwrap();
            }
            if missing.is_some() {
                assert!(Encoder::load(folder.path()).is_err(), "{name} without {file}");
            }
        }
    }
}

/// `BertTokenizer` of the transformers library, over one vocabulary and for each setting of it.
#[test]
fn tokens_of_a_vocabulary_are_those_of_transformers() {
    #[derive(serde::Deserialize)]
    struct Row {
        configuration: serde_json::Value,
        ids: Vec<Vec<u32>>,
    }
    let rows = std::fs::read(fixture("bert-vocabulary").join("tokens.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows.len(), 8);
    let folder = copy("bert-vocabulary");
    let mut digests = Vec::new();
    for Row { configuration, ids } in rows {
        std::fs::write(folder.path().join("tokenizer_config.json"), configuration.to_string()).unwrap();
        let encoder = Encoder::load(folder.path()).unwrap();
        for (text, ids) in reference("bert-vocabulary").texts.iter().zip(ids) {
            assert_eq!(encoder.tokens(text).unwrap(), ids, "{configuration}, {text:?}");
        }
        digests.push(encoder.id().digest);
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 8, "the digest covers tokenizer_config.json");
}

#[test]
fn a_folder_without_modules_is_told() {
    let notes = |name: &str| Encoder::load(&fixture(name)).unwrap().notes().to_vec();
    assert!(notes("bert-vocabulary")[0].contains("no modules.json"));
    assert_eq!(notes("bert-cls"), Vec::<String>::new());
}

/// CamemBERT is RoBERTa under another name.
#[test]
fn camembert_is_read_as_roberta() {
    let folder = copy("xlm-roberta");
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"xlm-roberta\"", "\"camembert\"")).unwrap();
    let embedded = |folder: &Path| embed(&Encoder::load(folder).unwrap(), &["the cat"]);
    assert_eq!(embedded(folder.path()), embedded(&fixture("xlm-roberta")));
}

#[test]
fn the_digest_covers_what_shapes_an_embedding() {
    let digest = |folder: &Path| Encoder::load(folder).unwrap().id().digest;
    let folder = copy("bert-pooling");
    let before = digest(folder.path());
    std::fs::write(folder.path().join("notes.txt"), b"nothing").unwrap();
    assert_eq!(digest(folder.path()), before);
    let path = folder.path().join("config_sentence_transformers.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("the ", "a ")).unwrap();
    assert_ne!(digest(folder.path()), before, "the prompt");
    let folder = copy("distilbert-dense");
    let before = digest(folder.path());
    let path = folder.path().join("2_Dense/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_ne!(digest(folder.path()), before, "a linear layer");
    // As they were before there were linear layers, parts and vocabularies.
    for (name, digest_before) in KNOWN_DIGESTS {
        assert_eq!(digest(&fixture(name)).to_string(), digest_before, "{name}");
    }
}

#[test]
fn a_cache_gives_the_same_embeddings_and_computes_each_text_once() {
    let encoder = Encoder::load(&fixture("bert-cls")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = || cache::EmbeddingCache::open(&folder.path().join("c"), &encoder).unwrap();
    let texts = ["the cat", "a dog", "the cat", ""];
    let plain = embed(&encoder, &texts);
    let computed = AtomicUsize::new(0);
    let count = |p: Progress| {
        computed.fetch_max(p.total, Ordering::Relaxed);
    };
    assert_eq!(open().embed(&encoder, &texts, &count).unwrap(), (plain.clone(), 0));
    assert_eq!(computed.load(Ordering::Relaxed), 3, "a text that occurs twice is computed once");
    assert_eq!(
        open().embed(&encoder, &texts, &|_| panic!("nothing is left to compute")).unwrap(),
        (plain, 4)
    );
}

/// An encoder whose `file` was altered is one that embeds finite numbers, or is refused in words.
fn altered_file_is_an_encoder_or_refused(
    name: &str,
    file: &str,
    alteration: &Alteration,
) -> std::result::Result<(), TestCaseError> {
    let folder = copy(name);
    let path = folder.path().join(file);
    let altered = alteration.of(&std::fs::read(&path).unwrap());
    std::fs::write(&path, altered).unwrap();
    match Encoder::load(folder.path()) {
        Ok(encoder) => {
            let embedded = encoder.embed(&["a few words"], &|_| ());
            prop_assert!(embedded.is_err() || embedded.is_ok_and(|e| e.ncols() == encoder.width()));
        }
        Err(error) => prop_assert!(error.to_string().contains("; "), "{error} has no remedy"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn altered_safetensors_are_refused_or_harmless(alteration in alterations()) {
        altered_file_is_an_encoder_or_refused("bert-cls", "model.safetensors", &alteration)?;
    }

    #[test]
    fn altered_pickles_are_refused_or_harmless(alteration in alterations()) {
        altered_file_is_an_encoder_or_refused("bert-pooling", "0_Transformer/pytorch_model.bin", &alteration)?;
    }

    #[test]
    fn altered_tokenizers_and_configurations_are_refused_or_harmless(alteration in alterations(), which in 0..4_usize) {
        let file = ["tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json"][which];
        altered_file_is_an_encoder_or_refused("bert-cls", file, &alteration)?;
    }
}

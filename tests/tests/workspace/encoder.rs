//! `embed` against published vectors, on the real weights that `make assets` fetches, and with encoders from the
//! Hub.

use crate::common::{self, hub};

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cryptotl_model::Records;

/// The embedding of "This is an example sentence", as the model cards' code prints it.
const PUBLISHED_MINILM: [f32; 3] = [0.067_656_85, 0.063_495_9, 0.048_713_13];
const PUBLISHED_MPNET: [f32; 3] = [0.022_502_59, -0.078_291_72, -0.023_030_74];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn minilm() -> PathBuf {
    let encoder = root().join("assets/all-MiniLM-L6-v2");
    assert!(encoder.is_dir(), "there is no {}; run `make assets`", encoder.display());
    encoder
}

/// A small random encoder of the trainer's tests.
fn tiny() -> PathBuf {
    root().join("crates/trainer/tests/encoders/bert-cls")
}

/// `cryptotl embed` of the table `t.csv` in `folder`, whose lines are these.
fn embed_lines(folder: &Path, encoder: &Path, lines: &[&str], more: &[&str]) -> Output {
    std::fs::write(folder.join("t.csv"), lines.join("\n")).unwrap();
    Command::new(common::cryptotl())
        .current_dir(folder)
        .args(["embed", "--json", "--input", "t.csv", "--text-column", "text", "--output", "e.safetensors"])
        .arg("--encoder")
        .arg(encoder)
        .args(more)
        .output()
        .unwrap()
}

fn read(folder: &Path, output: &Output) -> (serde_json::Value, Records) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (report, Records::read(&folder.join("e.safetensors")).unwrap())
}

fn gives_the_published(encoder: &Path, published: [f32; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let lines = ["text", "This is an example sentence", "\u{1F600} emoji", "\"\"", &"long ".repeat(600)];
    let output = embed_lines(folder.path(), encoder, &lines, &[]);
    let (report, records) = read(folder.path(), &output);
    assert_eq!(report["rows"], 4);
    for (x, published) in records.embeddings.row(0).iter().zip(published) {
        assert!((x - published).abs() < 1e-5, "{x} is not {published}");
    }
    for row in records.embeddings.rows() {
        assert!((row.dot(&row) - 1.0).abs() < 1e-4, "every embedding has norm 1, an empty text's too");
    }
    // The sensitivity of a private head is that of a record only if no record changes another's embedding.
    for (i, line) in lines.iter().enumerate().skip(1) {
        let output = embed_lines(folder.path(), encoder, &["text", line], &["--allow-empty"]);
        let (_, alone) = read(folder.path(), &output);
        assert!(alone.embeddings.row(0) == records.embeddings.row(i - 1), "text {i} alone");
    }
}

#[test]
fn embeddings_are_the_published_ones_whatever_else_is_in_the_batch() {
    gives_the_published(&minilm(), PUBLISHED_MINILM);
}

#[test]
fn embeddings_of_mpnet_are_the_published_ones() {
    let encoder = root().join("assets/all-mpnet-base-v2");
    if !encoder.join(".complete").is_file() {
        // The 400 MB are not fetched for the tests; small encoders of the same kind are tested in the trainer.
        eprintln!("not tested: {} is not there; `make assets-mpnet` fetches it", encoder.display());
        return;
    }
    gives_the_published(&encoder, PUBLISHED_MPNET);
}

#[test]
fn an_embedding_depends_on_its_own_text_to_the_last_bit() {
    let encoder = minilm();
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..97).map(|i| format!("{} end", "word ".repeat(1 + i % 7))).collect();
    let embed = |texts: &[String]| {
        let lines: Vec<&str> = std::iter::once("text").chain(texts.iter().map(String::as_str)).collect();
        read(folder.path(), &embed_lines(folder.path(), &encoder, &lines, &[])).1.embeddings
    };
    let all = embed(&texts);
    // One removed in front shifts every batch; one alone is a batch of 1.
    let without_first = embed(&texts[1..]);
    for (i, row) in without_first.rows().into_iter().enumerate() {
        assert!(row == all.row(i + 1), "text {} changed by another's removal", i + 1);
    }
    for i in [0, 1, 6, 96] {
        assert!(embed(&texts[i..=i]).row(0) == all.row(i), "text {i} differs when it is alone");
    }
}

#[test]
fn a_cache_changes_nothing_but_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let lines = ["text", "the cat", "a dog", "the cat"];
    let (report, plain) = read(folder.path(), &embed_lines(folder.path(), &tiny(), &lines, &[]));
    assert_eq!(report.get("from_cache"), None);
    for expected in [0, 3] {
        let output = embed_lines(folder.path(), &tiny(), &lines, &["--cache", "kept"]);
        let (report, cached) = read(folder.path(), &output);
        assert_eq!(report["from_cache"], expected);
        assert_eq!(cached, plain);
    }
}

#[test]
fn each_text_keeps_the_source_that_its_table_names() {
    let folder = tempfile::tempdir().unwrap();
    let lines = ["text,from", "the cat,films", "a dog,shops", "the dog,", "a cat,films"];
    let output = embed_lines(folder.path(), &tiny(), &lines, &["--source-column", "from"]);
    let sources = read(folder.path(), &output).1.sources.unwrap();
    assert_eq!(sources.names, ["films", "shops"]);
    assert_eq!(sources.of_record, [Some(0), Some(1), None, Some(0)]);
    let output = embed_lines(folder.path(), &tiny(), &lines, &[]);
    assert_eq!(read(folder.path(), &output).1.sources, None);
}

#[test]
fn the_summary_says_what_the_table_has_and_a_refusal_shows_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        "text;label;who",
        "the cat;\u{e9},x;p1",
        "a dog;e\u{301},x;p1",
        "it; Odd ;p2",
        ";odd;",
        "the dog;no;p3",
    ];
    let flags = ["--label-column", "label", "--labels", "\"\u{e9},x\",no", "--unit-column", "who"];
    let (report, records) = read(folder.path(), &embed_lines(folder.path(), &tiny(), &lines, &flags));
    let expected = serde_json::json!({
        "records": 5,
        "with_text": 4,
        "with_unit": 4,
        "units": 3,
        "labels": {
            "declared": 3,
            "by_label": [{"label": "\u{e9},x", "records": 2}, {"label": "no", "records": 1}],
            "empty": 0,
            "undeclared": 2,
            "nearly_declared": 0,
            "undeclared_values": 2,
        },
        "flaws": {"not_objects": 0, "nested": 0, "windows_1252": 0, "cut": 0},
        "dialect": {"separator": ";", "utf16": false},
    });
    assert_eq!(report["table"], expected);
    assert_eq!(records.labels.unwrap(), [0, 0, u32::MAX, u32::MAX, 1]);
    assert_eq!(records.header.label_names, ["\u{e9},x", "no"]);

    let secret = ["text,label", "a,Yes", "b,secret\u{1b}[31m", "c,no"];
    let flags = ["--label-column", "label", "--labels", "yes,no"];
    let refused = |more: &[&str]| {
        let output = embed_lines(folder.path(), &tiny(), &secret, &[&flags[..], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = refused(&[]);
    assert_eq!(code, Some(1));
    assert!(words.contains("1 of its 3 records have one of the declared labels `yes`, `no`"), "{words}");
    assert!(
        words.contains("1 of these differ") && !words.contains("secret") && !words.contains("Yes"),
        "{words}"
    );
    let (_, words) = refused(&["--show-values"]);
    assert!(words.contains("such as `Yes`, `secret\\u{1b}[31m`"), "{words}");
    assert_eq!(refused(&["--allow-unlabeled"]).0, Some(0));
    // The first record of a table without a header is not shown unasked.
    let (code, words) = {
        let output = embed_lines(folder.path(), &tiny(), &["a secret illness", "b"], &[]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(code == Some(1) && !words.contains("secret"), "{words}");
}

#[test]
fn an_encoder_of_the_hub_is_fetched_once_and_then_needs_no_network() {
    let home = HubHome::new();
    let endpoint = hub::serve(&tiny());
    let closed = "http://127.0.0.1:9";
    let words = home.refused("hf:org/tiny", closed, &[]);
    assert!(words.contains("cannot fetch hf:org/tiny@main") && words.contains("check the name"), "{words}");

    let fetched = home.embedded("hf:org/tiny", &endpoint, &[]);
    assert_eq!(fetched.header.encoder.name, "org/tiny@main");
    let folder = tempfile::tempdir().unwrap();
    let (_, local) = read(folder.path(), &embed_lines(folder.path(), &tiny(), &["text", "the cat"], &[]));
    assert_eq!(fetched.header.encoder.digest, local.header.encoder.digest);
    assert_eq!(fetched.embeddings, local.embeddings);
    for encoder in ["hf:org/tiny", &format!("hf:org/tiny@{}", hub::COMMIT)] {
        for offline in [&[][..], &[("HF_HUB_OFFLINE", "1")]] {
            let cached = home.embedded(encoder, closed, offline);
            assert_eq!(cached.embeddings, fetched.embeddings, "{encoder}");
        }
    }
    let words = home.refused("hf:org/absent", &endpoint, &[]);
    assert!(words.contains("404") && words.contains("HF_TOKEN"), "{words}");
}

/// A home folder of the Hub, in which texts are embedded.
struct HubHome(tempfile::TempDir);

impl HubHome {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn embed(&self, encoder: &str, endpoint: &str, variables: &[(&str, &str)]) -> Output {
        std::fs::write(self.path().join("t.csv"), "text\nthe cat\n").unwrap();
        let line = "embed --json --input t.csv --text-column text --output e.safetensors --encoder";
        Command::new(common::cryptotl())
            .current_dir(self.path())
            .args(line.split(' '))
            .arg(encoder)
            .envs(["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"].map(|name| (name, "")))
            .env("HF_HOME", self.path().join("hub-home"))
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "20")
            .env("NO_PROXY", "127.0.0.1")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn embedded(&self, encoder: &str, endpoint: &str, variables: &[(&str, &str)]) -> Records {
        read(self.path(), &self.embed(encoder, endpoint, variables)).1
    }

    fn refused(&self, encoder: &str, endpoint: &str, variables: &[(&str, &str)]) -> String {
        let output = self.embed(encoder, endpoint, variables);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The only repository in the cache.
    fn repository(&self) -> PathBuf {
        self.path().join("hub-home/hub/models--org--tiny")
    }
}

#[test]
fn the_hub_is_asked_for_nothing_when_it_is_forbidden() {
    let home = HubHome::new();
    let (endpoint, seen) = hub::serve_altered(&tiny(), |_, _| ());
    for variable in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
        let words = home.refused("hf:org/tiny", &endpoint, &[(variable, "1")]);
        assert!(
            words.contains("not in the Hub's cache") && words.contains(&format!("unset {variable}")),
            "{words}"
        );
    }
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
}

#[test]
fn the_hub_alone_learns_the_token() {
    let elsewhere = hub::serve_altered(&tiny(), |_, _| ());
    let to = elsewhere.0.clone();
    let (endpoint, seen) = hub::serve_altered(&tiny(), move |request, answer| {
        if request.path.ends_with("model.safetensors") {
            let etag = answer.headers.replace("etag", "x-linked-etag");
            answer.say("302 Found", "");
            answer.headers = format!("{etag}location: {to}{}\r\n", request.path);
        }
    });
    let token = [("HF_TOKEN", "hf_secret")];
    HubHome::new().embedded("hf:org/tiny", &endpoint, &token);
    let has = |request: &hub::Request| request.headers.contains("authorization: bearer hf_secret");
    assert!(seen.lock().unwrap().iter().all(has));
    // Not held: the server takes the lock for each request.
    let elsewhere = elsewhere.1.lock().unwrap().clone();
    assert!(!elsewhere.is_empty() && !elsewhere.iter().any(has), "{elsewhere:?}");

    seen.lock().unwrap().clear();
    HubHome::new().embedded("hf:org/tiny", &endpoint, &[token[0], ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
    assert!(!seen.lock().unwrap().iter().any(has));
    let words = HubHome::new().refused("hf:org/absent", &endpoint, &token);
    assert!(!words.contains("hf_secret"), "{words}");
}

#[test]
fn the_cache_may_be_elsewhere() {
    let home = HubHome::new();
    home.embedded("hf:org/tiny", &hub::serve(&tiny()), &[("HF_HUB_CACHE", "there")]);
    assert!(home.path().join("there/models--org--tiny/snapshots").join(hub::COMMIT).is_dir());
    assert!(!home.path().join("hub-home").exists());
}

#[test]
fn a_server_that_says_nothing_more_is_not_waited_for() {
    for at in [0, 9000] {
        let (endpoint, _) = hub::serve_altered(&tiny(), move |request, answer| {
            if request.path.ends_with("model.safetensors") && request.is_transfer || at == 0 {
                answer.hang = Some(if request.start > 0 { 0 } else { at });
            }
        });
        let start = std::time::Instant::now();
        let limit = [("HF_HUB_DOWNLOAD_TIMEOUT", "1")];
        let words = HubHome::new().refused("hf:org/tiny", &endpoint, &limit);
        assert!(words.contains("did not answer for 1 s"), "{words}");
        assert!(start.elapsed().as_secs() < 30);
    }
}

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_ended() {
    let (endpoint, seen) = hub::serve_altered(&tiny(), |request, answer| {
        if request.path.ends_with("model.safetensors") && request.is_transfer {
            answer.cut = Some(5000);
        }
    });
    HubHome::new().embedded("hf:org/tiny", &endpoint, &[]);
    let seen = seen.lock().unwrap();
    let starts: Vec<usize> = seen
        .iter()
        .filter(|request| request.path.ends_with("model.safetensors") && request.is_transfer)
        .map(|request| request.start)
        .collect();
    assert_eq!(starts, [0, 5000, 10_000]);
}

#[test]
fn what_arrives_damaged_is_fetched_again_once() {
    let damage = |often: usize| {
        move |request: &hub::Request, answer: &mut hub::Answer| {
            if request.path.ends_with("model.safetensors") && request.is_transfer && request.before < often {
                // In the middle of a weight, where no reader would see it.
                answer.body[12_000] ^= 1;
            }
        }
    };
    let (endpoint, seen) = hub::serve_altered(&tiny(), damage(1));
    HubHome::new().embedded("hf:org/tiny", &endpoint, &[]);
    let transfers = |seen: &hub::Seen| {
        seen.lock().unwrap().iter().filter(|r| r.is_transfer && r.path.ends_with("tensors")).count()
    };
    assert_eq!(transfers(&seen), 2);

    let home = HubHome::new();
    let (endpoint, seen) = hub::serve_altered(&tiny(), damage(9));
    let words = home.refused("hf:org/tiny", &endpoint, &[]);
    assert!(words.contains("model.safetensors arrives damaged"), "{words}");
    assert_eq!(transfers(&seen), 2);
    home.embedded("hf:org/tiny", &hub::serve(&tiny()), &[]);
}

#[test]
fn what_is_damaged_in_the_cache_is_fetched_again() {
    let home = HubHome::new();
    let (endpoint, seen) = hub::serve_altered(&tiny(), |_, _| ());
    let whole = home.embedded("hf:org/tiny", &endpoint, &[]);
    let snapshot = home.repository().join("snapshots").join(hub::COMMIT);
    for name in ["model.safetensors", "config.json", "modules.json", "1_Pooling/config.json"] {
        let blob = std::fs::canonicalize(snapshot.join(name)).unwrap();
        let mut bytes = std::fs::read(&blob).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&blob, bytes).unwrap();
        let words = home.refused("hf:org/tiny", &endpoint, &[("HF_HUB_OFFLINE", "1")]);
        assert!(words.contains(&format!("{name} in the Hub's cache is damaged")), "{words}");
        let words = home.refused("hf:org/tiny", "http://127.0.0.1:9", &[]);
        assert!(words.contains("damaged: cannot fetch"), "{words}");
        seen.lock().unwrap().clear();
        let healed = home.embedded("hf:org/tiny", &endpoint, &[]);
        assert_eq!(
            (healed.header.encoder, healed.embeddings),
            (whole.header.encoder.clone(), whole.embeddings.clone())
        );
        let transfers =
            seen.lock().unwrap().iter().filter(|r| r.is_transfer && r.path.contains("resolve")).count();
        assert_eq!(transfers, 1, "{name} alone");
    }
    // One that is gone.
    std::fs::remove_file(std::fs::canonicalize(snapshot.join("tokenizer.json")).unwrap()).unwrap();
    home.embedded("hf:org/tiny", &endpoint, &[]);
}

/// A mirror may name versions by what is no hash of the content.
#[test]
fn what_cannot_be_checked_is_fetched_again_when_it_is_not_understood() {
    let named = |request: &hub::Request, answer: &mut hub::Answer| {
        let name = request.path.rsplit('/').next().unwrap().to_owned();
        let lines = answer.headers.split("\r\n").filter(|line| !line.starts_with("etag"));
        answer.headers = lines.collect::<Vec<_>>().join("\r\n");
        answer.headers = format!("etag: W/\"v1-{}-{name}\"\r\n{}", request.path.len(), answer.headers);
    };
    let home = HubHome::new();
    // Damaged when it arrives for the first time.
    let (endpoint, _) = hub::serve_altered(&tiny(), move |request, answer| {
        named(request, answer);
        if request.path.ends_with("tiny/resolve/0123456789abcdef0123456789abcdef01234567/config.json")
            && request.is_transfer
            && request.before == 0
        {
            answer.body[0] = b'[';
        }
    });
    home.embedded("hf:org/tiny", &endpoint, &[]);
    let snapshot = home.repository().join("snapshots").join(hub::COMMIT);
    for name in ["config.json", "modules.json", "tokenizer.json"] {
        std::fs::write(std::fs::canonicalize(snapshot.join(name)).unwrap(), b"{").unwrap();
        let words = home.refused("hf:org/tiny", &endpoint, &[("HF_HUB_OFFLINE", "1")]);
        assert!(words.contains(name), "{words}");
        home.embedded("hf:org/tiny", &endpoint, &[]);
    }
}

#[test]
fn what_the_hub_says_is_told() {
    let page = "<html>log in</html>";
    for (status, body, words) in [
        ("401 Unauthorized", "", "401 Unauthorized; correct the name, or set HF_TOKEN"),
        ("403 Forbidden", "", "403 Forbidden; accept the repository's terms"),
        ("404 Not Found", "", "404 Not Found; check the name"),
        ("500 Internal Server Error", "", "500 Internal Server Error; try again later"),
        ("200 OK", page, "not that of the Hub"),
        ("200 OK", r#"{"sha":"../x","siblings":[]}"#, "a commit that is none"),
        ("302 Found", "", "does not say where"),
        ("200 OK", r#"{"sha":"0123","siblings":[]}"#, "it has no config.json; choose another"),
    ] {
        let (endpoint, _) = hub::serve_altered(&tiny(), move |_, answer| answer.say(status, body));
        let told = HubHome::new().refused("hf:org/tiny", &endpoint, &[]);
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn an_encoder_that_is_not_understood_is_refused_before_its_weights_are_fetched() {
    let (endpoint, seen) = hub::serve_altered(&tiny(), |request, answer| {
        if request.path.ends_with("/config.json") && !request.path.contains("Pooling") {
            let body = br#"{"model_type":"modernbert"}"#;
            answer.body = body.to_vec();
            answer.headers =
                format!("etag: x\r\ncontent-range: bytes 0-{}/{}\r\n", body.len() - 1, body.len());
        }
    });
    let words = HubHome::new().refused("hf:org/tiny", &endpoint, &[]);
    assert!(
        words.contains("hf:org/tiny@main is not a usable encoder: its network is `modernbert`"),
        "{words}"
    );
    assert!(!seen.lock().unwrap().iter().any(|request| request.path.ends_with("model.safetensors")));
}

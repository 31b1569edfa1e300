//! Faulty files against the real binary: `testkit/FAULT.toml` says what is done to a real file of a job and
//! which error must come of it. The files themselves are random and large, so they are made here.
//!
//! A fault names the `file` that is altered and the `verb` that reads it. Then, in this order: another file
//! takes its place (`use`), its first block takes the place of its second (`repeat`), a text is replaced
//! (`replace`), bytes are written (`write`, at a place counted from the end if negative), filled with zeros
//! (`zero`), cut off the end (`cut`) or appended (`append`), and the digests are made to fit (`sealed`).
//!
//! After a deliberate change of an error, `TESTKIT=overwrite` writes `code` and `error` anew.

use std::path::{Path, PathBuf};

use crate::common::parties::{DECRYPT, ENCRYPT, EVALUATE, KEYGEN, Parties, send, succeed};
use crate::common::run;
use cryptotl_model::Digest;
use toml::{Table, Value};

/// Bytes of a secret key file before its first digest, for `n8192-q28x6-p34`.
const SECRET_CONTENT: usize = 72 + 8192 * (6 * 28 + 34) / 8;

/// A whole job of two blocks in one folder, with the files of a second job of the same plan
/// (`other.*`), of a job of another plan (`foreign.*`), keys that have not encrypted
/// (`fresh.*`), and an empty file.
fn jobs() -> Parties {
    let parties = Parties::new(5000, 0.0);
    let (_, folder) = parties.folders();
    let foreign = Parties::new(3, 1.0);
    send(parties.folders().0, folder, "lower.safetensors");
    for name in ["other", "job"] {
        let of_job = |command: &str| {
            ["secret", "keys", "query", "response"].iter().fold(command.to_owned(), |command, kind| {
                command.replace(&format!("job.{kind}"), &format!("{name}.{kind}"))
            })
        };
        for command in [KEYGEN, ENCRYPT, EVALUATE] {
            succeed(folder, &of_job(command));
        }
    }
    std::fs::write(folder.join("empty"), b"").unwrap();
    succeed(folder, &KEYGEN.replace("job.secret", "fresh.secret").replace("job.keys", "fresh.keys"));
    let (model_owner, data_owner) = foreign.folders();
    for command in [KEYGEN, ENCRYPT] {
        succeed(data_owner, command);
    }
    for file in ["job.keys", "job.query"] {
        send(data_owner, model_owner, file);
    }
    succeed(model_owner, EVALUATE);
    for (from, kind) in [
        (data_owner, "secret"),
        (data_owner, "plan"),
        (model_owner, "keys"),
        (model_owner, "query"),
        (model_owner, "response"),
    ] {
        std::fs::copy(from.join(format!("job.{kind}")), folder.join(format!("foreign.{kind}"))).unwrap();
    }
    parties
}

/// The altered bytes.
fn altered(folder: &Path, fault: &Table, file: &str) -> Vec<u8> {
    let source = fault.get("use").map_or(file, |name| name.as_str().unwrap());
    let mut bytes = std::fs::read(folder.join(source)).unwrap();
    if fault.contains_key("repeat") {
        let half = bytes.len() / 2;
        bytes.copy_within(..half, half);
    }
    if let Some([from, to]) = fault.get("replace").and_then(Value::as_array).map(Vec::as_slice) {
        let (from, to) = (from.as_str().unwrap().as_bytes(), to.as_str().unwrap().as_bytes());
        let at = bytes.windows(from.len()).position(|window| window == from).expect("the text is there");
        bytes.splice(at..at + from.len(), to.iter().copied());
    }
    let place = |edit: &Table, len: usize| {
        let at = edit["at"].as_integer().unwrap();
        if at < 0 { len - at.unsigned_abs() as usize } else { at as usize }
    };
    if let Some(edit) = fault.get("write").and_then(Value::as_table) {
        let (at, new) = (place(edit, bytes.len()), hex(edit["hex"].as_str().unwrap()));
        assert_ne!(bytes[at..at + new.len()], new, "the fault changes something");
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    if let Some(edit) = fault.get("zero").and_then(Value::as_table) {
        let (at, count) = (place(edit, bytes.len()), edit["count"].as_integer().unwrap() as usize);
        bytes[at..at + count].fill(0);
    }
    if let Some(cut) = fault.get("cut").and_then(Value::as_integer) {
        bytes.truncate(bytes.len() - cut as usize);
    }
    if let Some(more) = fault.get("append").and_then(Value::as_str) {
        bytes.extend(hex(more));
    }
    if fault.contains_key("sealed") {
        seal(&mut bytes, file);
    }
    bytes
}

/// Makes the digests fit: those of a sender who means harm would.
fn seal(bytes: &mut [u8], file: &str) {
    if file == "job.secret" {
        let digest = Digest::of(&bytes[..SECRET_CONTENT]);
        bytes[SECRET_CONTENT..SECRET_CONTENT + 32].copy_from_slice(digest.as_bytes());
        return;
    }
    let message = if file == "job.keys" { bytes.len() } else { bytes.len() / 2 };
    for message in bytes.chunks_exact_mut(message) {
        let (content, digest) = message.split_last_chunk_mut::<32>().unwrap();
        *digest = *Digest::of(content).as_bytes();
    }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// What the verbs write: query, response and features.
fn outputs(folder: &Path) -> [Option<Digest>; 3] {
    ["job.query", "job.response", "features.safetensors"]
        .map(|file| std::fs::read(folder.join(file)).ok().map(|bytes| Digest::of(&bytes)))
}

fn command(verb: &str) -> &'static str {
    match verb {
        "encrypt" => ENCRYPT,
        "evaluate" => EVALUATE,
        "decrypt" => DECRYPT,
        other => panic!("no fault is for {other}"),
    }
}

#[test]
fn every_fault_gives_its_error_and_no_output() {
    let parties = jobs();
    let (_, folder) = parties.folders();
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("testkit");
    let mut faults: Vec<PathBuf> = std::fs::read_dir(&kit).unwrap().map(|e| e.unwrap().path()).collect();
    faults.sort();
    assert!(faults.len() > 30, "the test kit has {} faults", faults.len());
    let overwrite = std::env::var("TESTKIT").is_ok_and(|value| value == "overwrite");
    let before = outputs(folder);
    let mut wrong = Vec::new();
    for path in faults {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let fault: Table = text.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
        let (file, verb) = (fault["file"].as_str().unwrap(), fault["verb"].as_str().unwrap());
        let original = std::fs::read(folder.join(file)).unwrap();
        // Written in place, so that a secret key keeps its mode.
        std::fs::write(folder.join(file), altered(folder, &fault, file)).unwrap();
        let output = run(folder, command(verb));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let (code, error) = (output.status.code().unwrap(), stderr.trim_end().strip_prefix("error: "));
        let error = error.unwrap_or_else(|| panic!("{name} was accepted: {stderr}")).to_owned();
        std::fs::write(folder.join(file), original).unwrap();
        assert!(outputs(folder) == before, "{name} has written something");
        if overwrite {
            let kept = text.lines().filter(|l| !l.starts_with("code = ") && !l.starts_with("error = "));
            // A JSON string is a TOML string.
            let error = serde_json::to_string(&error).unwrap();
            let text = format!("{}\ncode = {code}\nerror = {error}\n", kept.collect::<Vec<_>>().join("\n"));
            std::fs::write(&path, text).unwrap();
        } else if (fault["code"].as_integer(), fault["error"].as_str())
            != (Some(i64::from(code)), Some(error.as_str()))
        {
            wrong.push(format!("{name}: {code} {error}"));
        }
    }
    assert_eq!(before[2], None);
    assert!(wrong.is_empty(), "these errors are not those of the test kit:\n{}", wrong.join("\n"));
    succeed(folder, DECRYPT);
}

//! `bench encoder`: sentences a second, beside other runtimes on the same texts in the same run.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use cryptotl_trainer::table::{Columns, Table};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::cli::BenchEncoderArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

/// Measures the runtimes that are Python libraries. It is given to Python as it is, so that an installed
/// binary needs no file beside it.
const PEERS: &str = include_str!("../../../../scripts/encoder_peers.py");
const RUNTIMES: [&str; 2] = ["sentence-transformers", "onnxruntime"];

#[derive(Serialize)]
struct Row {
    encoder: String,
    runtime: &'static str,
    version: Option<String>,
    texts: usize,
    threads: usize,
    seconds: Option<f64>,
    /// Of all threads; null where the system does not tell.
    cpu_seconds: Option<f64>,
    sentences_per_second: Option<f64>,
    /// The largest difference of a coordinate from our vectors.
    max_difference: Option<f64>,
    /// Why there are no figures.
    missing: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["runtime", "seconds", "CPU seconds", "sentences/s", "max difference"];
        write!(f, "{:22} {:>8} {:>12} {:>12} {:>15}  version", head[0], head[1], head[2], head[3], head[4])?;
        for row in &self.0 {
            let number = |x: Option<f64>, digits| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
            let (seconds, cpu_seconds) = (number(row.seconds, 2), number(row.cpu_seconds, 2));
            let speed = number(row.sentences_per_second, 0);
            let difference = row.max_difference.map_or("-".to_owned(), |x| format!("{x:.1e}"));
            let note = row.version.as_ref().or(row.missing.as_ref()).map_or("", String::as_str);
            write!(
                f,
                "\n{:22} {seconds:>8} {cpu_seconds:>12} {speed:>12} {difference:>15}  {note}",
                row.runtime
            )?;
        }
        Ok(())
    }
}

/// What the peers' script is asked.
#[derive(Serialize)]
struct Request<'a> {
    folder: &'a Path,
    texts: &'a [&'a str],
    repeats: u32,
    threads: usize,
    vectors: &'a Path,
}

/// What it answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Measured { version: String, seconds: f64, cpu_seconds: f64 },
    Missing { missing: String },
}

/// Runs the verb.
pub fn run(args: BenchEncoderArgs, output: &Output) -> Result<()> {
    let options = args.table.options();
    let columns = Columns { text: args.text_column, label: None, id: None, person: None, source: None };
    let table = Table::open_with(&args.input, &columns, &[], &options)?.read()?;
    let texts: Vec<&str> = table.texts.iter().take(args.texts as usize).map(String::as_str).collect();
    let folder = args.encoder.folder()?;
    let encoder = args.encoder.load()?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let row = |runtime, version, [seconds, cpu_seconds]: [Option<f64>; 2], max_difference, missing| Row {
        encoder: encoder.id().name.clone(),
        runtime,
        version,
        texts: texts.len(),
        threads,
        seconds,
        cpu_seconds,
        sentences_per_second: seconds.map(|s| texts.len() as f64 / s),
        max_difference,
        missing,
    };

    let mut ours = encoder.embed(&texts[..texts.len().min(64)], &|_| {})?;
    let mut least: [Option<f64>; 2] = [None, None];
    for _ in 0..args.repeats {
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        ours = encoder.embed(&texts, &|_| {})?;
        let taken = [Some(start.elapsed().as_secs_f64()), cpu_seconds().zip(cpu_start).map(|(b, a)| b - a)];
        for (least, taken) in least.iter_mut().zip(taken) {
            *least = least.map_or(taken, |x| taken.map(|y| y.min(x)));
        }
    }
    let version = Some(env!("CARGO_PKG_VERSION").to_owned());
    let mut rows = vec![row("cryptotl", version, least, None, None)];
    for runtime in RUNTIMES {
        let vectors = tempfile::NamedTempFile::new()
            .map_err(|e| Failure::failed(format!("cannot make a temporary file: {e}"), "check the disk"))?;
        let repeats = args.repeats;
        let request = Request { folder: &folder, texts: &texts, repeats, threads, vectors: vectors.path() };
        rows.push(match ask(&args.python, runtime, &request)? {
            Answer::Missing { missing } => row(runtime, None, [None, None], None, Some(missing)),
            Answer::Measured { version, seconds, cpu_seconds } => {
                let difference = largest_difference(&ours, vectors.path())?;
                row(runtime, Some(version), [Some(seconds), Some(cpu_seconds)], Some(difference), None)
            }
        });
    }
    output.result(&Rows(rows))
}

/// The CPU time of this process so far, from Linux's `/proc` in its hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold spaces; the numbers follow it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// Runs the peers' script. A Python that is not there is a runtime that is not installed.
fn ask(python: &Path, runtime: &str, request: &Request) -> Result<Answer> {
    let failed = |fact: String| Failure::failed(fact, "check --python, or leave the runtime uninstalled");
    let child = Command::new(python)
        .args(["-c", PEERS, runtime])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Answer::Missing { missing: format!("not installed: {}", python.display()) });
        }
        Err(e) => return Err(failed(format!("cannot start {}: {e}", python.display()))),
    };
    let json = serde_json::to_vec(request).map_err(|e| Failure::new(Code::Bug, e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that ended early says why on stderr.
        let _ = stdin.write_all(&json);
    }
    let output = child.wait_with_output().map_err(|e| failed(format!("{runtime} cannot be read: {e}")))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        failed(format!("{runtime} failed: {}", words.lines().last().unwrap_or("it says nothing")))
    })
}

fn largest_difference(ours: &Array2<f32>, path: &Path) -> Result<f64> {
    let bytes = std::fs::read(path)
        .map_err(|e| Failure::failed(format!("cannot read the vectors: {e}"), "check the disk"))?;
    let theirs = bytes.as_chunks::<4>().0;
    if theirs.len() != ours.len() {
        return Err(Failure::failed(
            format!("the runtime gives {} numbers, we give {}", theirs.len(), ours.len()),
            "check that the encoder pools and normalizes as its folder says",
        ));
    }
    let differences = ours.iter().zip(theirs).map(|(x, y)| f64::from((x - f32::from_le_bytes(*y)).abs()));
    Ok(differences.fold(0.0, f64::max))
}

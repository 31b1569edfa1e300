//! Text tables: CSV, TSV and JSON lines with named columns.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use cryptotl_model::UNLABELED;

use crate::error::{Result, TrainerError};

/// The longest line of a JSON-lines file that is read.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Which columns hold what.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The text.
    pub text: String,
    /// The label, where the table has labels.
    pub label: Option<String>,
    /// The identifier; without one, records are named by their line.
    pub id: Option<String>,
    /// Whose record it is, where persons are the unit of privacy.
    pub person: Option<String>,
}

/// Texts with identifiers and label codes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// One identifier a record.
    pub ids: Vec<String>,
    /// One text a record.
    pub texts: Vec<String>,
    /// One code a record: the label's place in the declared list, or [`UNLABELED`].
    pub labels: Option<Vec<u32>>,
    /// One number a record: its person's place in the order of first appearance, or `None` where the field
    /// is empty.
    pub persons: Option<Vec<Option<u32>>>,
}

/// Reads a table; the file's ending names its format (`.csv`, `.tsv`, `.jsonl`).
///
/// CSV follows RFC 4180. TSV has no quotes: a tab ends a field and a line break ends a record. A JSON line
/// is an object whose values are strings or numbers. A label that is not in `label_names` gets the code
/// [`UNLABELED`], and a missing field counts as empty, so that no record's content makes reading fail.
///
/// # Errors
/// [`TrainerError::Table`] when the format is unknown, the file has no record, a column is missing or the
/// bytes are not a table in UTF-8.
pub fn read_texts(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Texts> {
    let mut texts = match path.extension().and_then(|e| e.to_str()) {
        Some("csv") => read_separated(path, columns, label_names, b',')?,
        Some("tsv") => read_separated(path, columns, label_names, b'\t')?,
        Some("jsonl") => read_json_lines(path, columns, label_names)?,
        _ => {
            return Err(TrainerError::table(
                path,
                "its name does not say which format it has",
                "name it .csv, .tsv or .jsonl",
            ));
        }
    };
    if texts.ids.is_empty() {
        return Err(TrainerError::table(path, "it has no records", "give a table with at least one"));
    }
    if columns.id.is_none() {
        texts.ids = (1..=texts.texts.len()).map(|n| n.to_string()).collect();
    }
    if texts.labels.as_ref().is_some_and(|codes| codes.iter().all(|&c| c == UNLABELED)) {
        return Err(TrainerError::table(
            path,
            format!("no record has one of the labels {label_names:?}"),
            "declare the label list with --labels",
        ));
    }
    Ok(texts)
}

fn code_of(label: &str, label_names: &[String]) -> u32 {
    label_names.iter().position(|name| name == label.trim()).map_or(UNLABELED, |i| i as u32)
}

struct Collector<'a> {
    texts: Texts,
    label_names: &'a [String],
    numbers: HashMap<String, u32>,
}

impl<'a> Collector<'a> {
    fn new(columns: &Columns, label_names: &'a [String]) -> Self {
        let labels = columns.label.is_some().then(Vec::new);
        let persons = columns.person.is_some().then(Vec::new);
        let texts = Texts { labels, persons, ..Texts::default() };
        Self { texts, label_names, numbers: HashMap::new() }
    }

    fn push(&mut self, id: &str, text: &str, label: &str, person: &str) {
        self.texts.ids.push(id.to_owned());
        self.texts.texts.push(text.to_owned());
        if let Some(persons) = &mut self.texts.persons {
            let next = self.numbers.len() as u32;
            persons.push(match person.trim() {
                "" => None,
                name => Some(*self.numbers.entry(name.to_owned()).or_insert(next)),
            });
        }
        if let Some(labels) = &mut self.texts.labels {
            labels.push(code_of(label, self.label_names));
        }
    }
}

fn read_separated(path: &Path, columns: &Columns, label_names: &[String], separator: u8) -> Result<Texts> {
    let unreadable = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(source) => TrainerError::io(path, source),
        csv::ErrorKind::Utf8 { .. } => TrainerError::table(path, "it is not UTF-8", "convert it to UTF-8"),
        kind => TrainerError::table(path, format!("{kind:?}"), "check its quotes and separators"),
    };
    let file = File::open(path).map_err(|e| TrainerError::io(path, e))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .quoting(separator == b',')
        .flexible(true)
        .from_reader(BufReader::new(file));
    let header = reader.headers().map_err(unreadable)?.clone();
    let header: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    if header.iter().all(|name| name.is_empty()) {
        return Err(TrainerError::table(
            path,
            "it is empty",
            "give a table whose first line names its columns",
        ));
    }
    let position = |name: &String| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            TrainerError::table(
                path,
                format!("it has no column `{name}`"),
                format!("choose among its columns: {}", header.join(", ")),
            )
        })
    };
    let text = position(&columns.text)?;
    let label = columns.label.as_ref().map(position).transpose()?;
    let id = columns.id.as_ref().map(position).transpose()?;
    let person = columns.person.as_ref().map(position).transpose()?;
    let mut collector = Collector::new(columns, label_names);
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let field = |i: Option<usize>| i.and_then(|i| record.get(i)).unwrap_or("");
        collector.push(field(id), field(Some(text)), field(label), field(person));
    }
    Ok(collector.texts)
}

fn read_json_lines(path: &Path, columns: &Columns, label_names: &[String]) -> Result<Texts> {
    let file = File::open(path).map_err(|e| TrainerError::io(path, e))?;
    let mut reader = BufReader::new(file);
    let mut collector = Collector::new(columns, label_names);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = std::io::Read::take(&mut reader, MAX_LINE_BYTES).read_line(&mut line);
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(TrainerError::table(path, "it is not UTF-8", "convert it to UTF-8"));
            }
            Err(e) => return Err(TrainerError::io(path, e)),
        }
        let content = line.trim_start_matches('\u{feff}').trim();
        if content.is_empty() {
            continue;
        }
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(content).map_err(|_| {
                TrainerError::table(
                    path,
                    format!("line {number} is not a JSON object"),
                    "write one object on each line",
                )
            })?;
        if number == 1 {
            let Columns { text, label, id, person } = columns;
            let named = [Some(text), label.as_ref(), id.as_ref(), person.as_ref()];
            if let Some(name) = named.into_iter().flatten().find(|name| !object.contains_key(*name)) {
                return Err(TrainerError::table(
                    path,
                    format!("its first object has no `{name}`"),
                    format!("choose among {}", object.keys().cloned().collect::<Vec<_>>().join(", ")),
                ));
            }
        }
        let field = |name: Option<&String>| match name.and_then(|name| object.get(name)) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value.to_string(),
            _ => String::new(),
        };
        let [id, label, person] = [&columns.id, &columns.label, &columns.person].map(|c| field(c.as_ref()));
        collector.push(&id, &field(Some(&columns.text)), &label, &person);
    }
    Ok(collector.texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(id: Option<&str>) -> Columns {
        Columns { text: "text".into(), label: Some("label".into()), id: id.map(Into::into), person: None }
    }

    fn labels() -> Vec<String> {
        vec!["negative".into(), "positive".into()]
    }

    fn write(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn the_three_formats_give_the_same_texts() {
        let csv = "\u{feff}id,label,text\r\na,positive,\"good, really\"\r\nb,odd,\r\n";
        let tsv = "id\tlabel\ttext\na\tpositive\tgood, really\nb\todd\n";
        let jsonl = "{\"id\":\"a\",\"label\":\"positive\",\"text\":\"good, really\"}\n\n{\"id\":\"b\"}\n";
        let expected = Texts {
            ids: vec!["a".into(), "b".into()],
            texts: vec!["good, really".into(), String::new()],
            labels: Some(vec![1, UNLABELED]),
            persons: None,
        };
        for (name, content) in [("t.csv", csv), ("t.tsv", tsv), ("t.jsonl", jsonl)] {
            let (_folder, path) = write(name, content.as_bytes());
            assert_eq!(read_texts(&path, &columns(Some("id")), &labels()).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn persons_are_numbered_as_they_appear() {
        let columns = Columns { person: Some("who".into()), label: None, ..columns(None) };
        let csv = "text,who\na,Zoe\nb, Adam \nc,\nd,Zoe\ne\n";
        let jsonl = "{\"text\":\"a\",\"who\":7}\n{\"text\":\"b\",\"who\":3}\n{\"text\":\"c\"}\n{\"text\":\"d\",\"who\":7}\n{\"text\":\"e\",\"who\":\"\"}\n";
        for (name, content) in [("t.csv", csv), ("t.jsonl", jsonl)] {
            let (_folder, path) = write(name, content.as_bytes());
            let persons = read_texts(&path, &columns, &[]).unwrap().persons.unwrap();
            assert_eq!(persons, [Some(0), Some(1), None, Some(0), None], "{name}");
        }
        let (_folder, path) = write("t.csv", b"text\na\n");
        assert!(read_texts(&path, &columns, &[]).unwrap_err().to_string().contains("no column `who`"));
    }

    #[test]
    fn a_quote_in_a_tsv_is_a_quote() {
        let (_folder, path) = write("t.tsv", b"label\ttext\npositive\t\"open\nnegative\tb\"\n");
        let texts = read_texts(&path, &columns(None), &labels()).unwrap();
        assert_eq!(texts.texts, ["\"open", "b\""]);
        assert_eq!(texts.ids, ["1", "2"]);
    }

    #[test]
    fn unusable_tables_say_why() {
        for (name, content, fact) in [
            ("t.tsv", &b""[..], "it is empty"),
            ("t.csv", b"\n\n", "it is empty"),
            ("t.jsonl", b"", "no records"),
            ("t.tsv", b"label\ttext\n", "no records"),
            ("t.tsv", b"label\tbody\npositive\tx\n", "no column `text`"),
            ("t.tsv", b"label\ttext\n1\tx\n", "no record has one of the labels"),
            ("t.tsv", b"label\ttext\npositive\t\xff\n", "not UTF-8"),
            ("t.jsonl", b"{\"label\":\"positive\"}\n", "has no `text`"),
            ("t.jsonl", b"[1]\n", "line 1 is not a JSON object"),
            ("t.xlsx", b"x", "which format"),
        ] {
            let (_folder, path) = write(name, content);
            let error = read_texts(&path, &columns(None), &labels()).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
        }
    }
}

//! Tables as several libraries write them, and random tables in every format.

use std::collections::BTreeMap;

use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::tests::{lenient, parquet_by, write};
use super::*;

/// What `scripts/table_peers.py --fixtures` says of the files that it wrote.
#[derive(serde::Deserialize)]
struct Expected {
    texts: Vec<String>,
    labels: BTreeMap<String, ExpectedLabels>,
    persons: BTreeMap<String, Vec<u32>>,
    files: BTreeMap<String, Vec<String>>,
}

#[derive(serde::Deserialize)]
struct ExpectedLabels {
    names: Vec<String>,
    codes: Vec<i64>,
}

#[test]
fn what_pandas_polars_duckdb_and_pyarrow_write_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/table_files");
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let Expected { texts, labels, persons, files } = serde_json::from_slice(&expected).unwrap();
    assert!(files.len() > 20, "the files are gone");
    for (file, label_columns) in &files {
        for (label, (unit, persons)) in label_columns.iter().zip(persons.iter().cycle()) {
            let columns = Columns {
                text: "text".into(),
                label: Some(label.clone()),
                id: Some(unit.clone()),
                person: Some(unit.clone()),
                source: None,
            };
            let ExpectedLabels { names, codes } = &labels[label];
            let read = lenient(&folder.join(file), &columns, names).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read.texts, texts, "{file}");
            let found: Vec<i64> = read.labels.unwrap().into_iter().map(|code| code as i32 as i64).collect();
            assert_eq!(&found, codes, "{file}, {label}");
            assert_eq!(read.persons.unwrap(), persons.iter().map(|p| Some(*p)).collect::<Vec<_>>(), "{file}");
            assert!(read.ids[0] == "9007199254740992" || read.ids[0] == "000", "{file}: {}", read.ids[0]);
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// As pandas and Excel do: quotes where a field holds a separator, a quote or a line break.
fn minimally_quoted(text: &str, separator: char) -> String {
    match text.contains([separator, '"', '\n', '\r']) {
        true => quoted(text),
        false => text.to_owned(),
    }
}

/// Texts of the characters that formats are about.
fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    let text =
        prop_oneof![3 => "[a-c \"',;|\t\n\r\\\\{}\u{e4}\u{1F600}\u{feff}]{0,12}", 1 => any::<String>()];
    prop::collection::vec((text.clone(), text), 1..12)
}

proptest! {
    #[test]
    fn a_random_table_is_the_same_in_every_format(rows in texts()) {
        let columns = Columns { text: "text".into(), label: None, id: Some("id".into()), person: None, source: None };
        // A line of nothing at all is a blank one, and no record.
        let rows: Vec<(String, String)> =
            rows.into_iter().map(|(id, text)| (format!("i{id}"), text)).collect();
        let table = |separator: char, write: &dyn Fn(&str) -> String| -> String {
            let line = |(id, text): &(String, String)| format!("{}{separator}{}\n", write(id), write(text));
            let lines: String = rows.iter().map(line).collect();
            format!("id{separator}text\n{lines}")
        };
        let json: String = rows
            .iter()
            .map(|(id, text)| serde_json::json!({"id": id, "x": [text], "text": text}).to_string() + "\n")
            .collect();
        let bytes = |which: fn(&(String, String)) -> &String| -> Vec<Option<&[u8]>> {
            rows.iter().map(|row| Some(which(row).as_bytes())).collect()
        };
        let (ids, contents) = (bytes(|row| &row.0), bytes(|row| &row.1));
        let schema = "message m { optional binary id (UTF8); optional binary text (UTF8); }";
        let packed = |compression| {
            let properties = WriterProperties::builder();
            parquet_by(properties, compression, schema, &[&ids, &contents], &[])
        };
        let utf16: Vec<u8> =
            table(';', &quoted).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let files = [
            ("t.csv", table(',', &quoted).into_bytes()),
            ("t.csv", table(';', &|text| minimally_quoted(text, ';')).into_bytes()),
            ("t.csv", table('|', &quoted).into_bytes()),
            ("t.csv", table('\t', &quoted).into_bytes()),
            ("t.csv", [&b"\xff\xfe"[..], &utf16].concat()),
            ("t.jsonl", json.into_bytes()),
            ("t.parquet", packed(Compression::SNAPPY)),
            ("t.parquet", packed(Compression::LZ4_RAW)),
            ("t.parquet", packed(Compression::GZIP(Default::default()))),
        ];
        for (name, content) in files {
            let (_folder, path) = write(name, &content);
            let read = lenient(&path, &columns, &[]).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let read: Vec<(String, String)> = read.ids.into_iter().zip(read.texts).collect();
            prop_assert_eq!(&read, &rows, "{}", name);
        }
    }

    #[test]
    fn a_tab_separated_table_without_quotes_is_read_line_by_line(
        rows in prop::collection::vec(("i[a-c\"]{0,4}", "[a-c\"]{0,6}"), 1..12)
    ) {
        let columns = Columns { text: "text".into(), label: None, id: Some("id".into()), person: None, source: None };
        let lines: String = rows.iter().map(|(id, text)| format!("{id}\t{text}\n")).collect();
        let (_folder, path) = write("t.tsv", format!("id\ttext\n{lines}").as_bytes());
        let read = |no_quotes| {
            let options = TableOptions { no_quotes, allow_empty: true, ..TableOptions::default() };
            Table::open_with(&path, &columns, &[], &options).unwrap().read().unwrap()
        };
        let (all, judged) = (read(true), read(false));
        let expected: Vec<&str> = rows.iter().map(|(_, text)| text.as_str()).collect();
        prop_assert_eq!(&all.texts, &expected);
        // With quotes looked for, no line goes into another, and a field keeps at least what is between its quotes.
        prop_assert_eq!(&judged.ids, &all.ids);
        for (judged, written) in judged.texts.iter().zip(expected) {
            prop_assert!(judged == written || quoted(judged) == written, "{} of {}", judged, written);
        }
    }
}

//! Tables with flaws: each has its outcome, and an altered table is read or refused.

use std::sync::LazyLock;

use ::parquet::basic::Encoding;
use ::parquet::file::properties::WriterVersion;
use cryptotl_model::UNLABELED;
use proptest::prelude::*;

use super::tests::{TWO, columns, delta_parquet, gzip, labels, lenient, parquet, write, zstandard};
use super::*;
use crate::alteration::alterations;

/// A table in each format, of texts that repeat themselves and some that do not.
static WHOLE: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let texts: Vec<String> =
        (0..60).map(|i| format!("text {} \u{e4}, {}", i % 7, "x".repeat(i % 5))).collect();
    let label = |i: usize| ["negative", "positive", "other"][i % 3];
    let csv: String =
        texts.iter().enumerate().map(|(i, text)| format!("{i},{},\"{text}\"\n", label(i))).collect();
    let csv = format!("id,label,text\n{csv}");
    let jsonl: String = texts
        .iter()
        .enumerate()
        .map(|(i, text)| format!("{{\"id\":{i},\"label\":\"{}\",\"text\":\"{text}\"}}\n", label(i)))
        .collect();
    let ids: Vec<String> = (0..60).map(|i| i.to_string()).collect();
    let ids: Vec<Option<&[u8]>> = ids.iter().map(|id| Some(id.as_bytes())).collect();
    let labels: Vec<Option<&[u8]>> = (0..60).map(|i| Some(label(i).as_bytes())).collect();
    let texts: Vec<Option<&[u8]>> =
        texts.iter().enumerate().map(|(i, text)| (i % 4 > 0).then_some(text.as_bytes())).collect();
    let columns: [&[Option<&[u8]>]; 3] = [&ids, &labels, &texts];
    vec![
        ("t.csv", csv.clone().into_bytes()),
        ("t.jsonl", jsonl.clone().into_bytes()),
        ("t.parquet", parquet(TWO, &columns, &[])),
        (
            "t.parquet",
            delta_parquet(Encoding::DELTA_LENGTH_BYTE_ARRAY, WriterVersion::PARQUET_2_0, TWO, &columns),
        ),
        ("t.parquet", delta_parquet(Encoding::DELTA_BYTE_ARRAY, WriterVersion::PARQUET_1_0, TWO, &columns)),
        ("t.csv.gz", gzip(csv.as_bytes())),
        ("t.jsonl.zst", zstandard(jsonl.as_bytes())),
    ]
});

proptest! {
    #[test]
    fn an_altered_table_is_a_table_or_refused(alteration in alterations(), which in 0..7_usize) {
        let (name, whole) = &WHOLE[which];
        let (_folder, path) = write(name, &alteration.of(whole));
        if let Ok(texts) = lenient(&path, &columns(Some("id")), &labels()) {
            prop_assert_eq!(texts.labels.map(|labels| labels.len()), Some(texts.ids.len()));
            prop_assert_eq!(texts.texts.len(), texts.ids.len());
        }
    }
}

/// One case a file: `tests/tables/FLAW.toml` has the table and its outcome, `labels` with -1 for no declared label.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    file: String,
    content: Option<String>,
    /// Instead of `content`: each character is a byte.
    latin1: Option<String>,
    compression: Option<String>,
    /// Bytes missing at the end.
    #[serde(default)]
    cut: usize,
    /// The byte, counted from the end, of which a bit is flipped.
    flip: Option<usize>,
    id_column: Option<String>,
    texts: Option<Vec<String>>,
    labels: Option<Vec<i64>>,
    ids: Option<Vec<String>>,
    error: Option<String>,
    /// Whether the table is read without any option.
    #[serde(default)]
    strict: bool,
}

#[test]
fn every_flaw_has_its_fixed_outcome() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    let cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() > 30, "the cases are gone");
    for case_path in cases {
        let flaw = case_path.file_stem().unwrap().to_str().unwrap();
        let case: Case = toml::from_str(&std::fs::read_to_string(&case_path).unwrap()).expect(flaw);
        let plain = case.latin1.map(|text| text.chars().map(|c| u8::try_from(c).unwrap()).collect());
        let plain: Vec<u8> = plain.unwrap_or_else(|| case.content.unwrap().into_bytes());
        let mut bytes = match case.compression.as_deref() {
            Some("gzip") => gzip(&plain),
            Some("zstandard") => zstandard(&plain),
            _ => plain,
        };
        if let Some(place) = case.flip {
            let place = bytes.len() - place;
            bytes[place] ^= 1;
        }
        bytes.truncate(bytes.len() - case.cut);
        let (_folder, path) = write(&case.file, &bytes);
        let columns = columns(case.id_column.as_deref());
        let read = match case.strict {
            true => read_texts(&path, &columns, &labels()),
            false => lenient(&path, &columns, &labels()),
        };
        match (read, case.error) {
            (Err(e), Some(error)) => assert!(e.to_string().contains(&error), "{flaw}: {e}"),
            (Ok(read), None) => {
                assert_eq!(Some(read.texts), case.texts, "{flaw}");
                let codes = read.labels.unwrap().into_iter();
                let codes = codes.map(|code| if code == UNLABELED { -1 } else { i64::from(code) }).collect();
                assert_eq!(Some(codes), case.labels, "{flaw}");
                assert!(case.ids.is_none_or(|ids| ids == read.ids), "{flaw}: {:?}", read.ids);
            }
            (read, error) => panic!("{flaw}: {read:?} and not {error:?}"),
        }
    }
}

use std::io::Write;

use ::parquet::basic::{Compression, Encoding};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use cryptotl_model::UNLABELED;

use super::*;

pub(super) fn columns(id: Option<&str>) -> Columns {
    Columns {
        text: "text".into(),
        label: Some("label".into()),
        id: id.map(Into::into),
        person: None,
        source: None,
    }
}

pub(super) fn labels() -> Vec<String> {
    vec!["negative".into(), "positive".into()]
}

/// Reads whatever can be read, also what is refused for being of no use.
pub(super) fn lenient(path: &Path, columns: &Columns, labels: &[String]) -> Result<Texts> {
    let options = TableOptions { allow_empty: true, allow_unlabeled: true, ..TableOptions::default() };
    Table::open_with(path, columns, labels, &options)?.read()
}

pub(super) fn write(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

pub(super) fn zstandard(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A table of optional byte columns, without the annotation that says UTF-8, and one of numbers.
pub(super) fn parquet(schema: &str, bytes: &[&[Option<&[u8]>]], numbers: &[i64]) -> Vec<u8> {
    parquet_by(WriterProperties::builder(), Compression::SNAPPY, schema, bytes, numbers)
}

/// The same with texts as lengths and then their bytes, or as what they share with the one before.
pub(super) fn delta_parquet(
    encoding: Encoding,
    version: WriterVersion,
    schema: &str,
    bytes: &[&[Option<&[u8]>]],
) -> Vec<u8> {
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    let properties = properties.set_encoding(encoding).set_writer_version(version);
    parquet_by(properties, Compression::SNAPPY, schema, bytes, &[])
}

pub(super) fn parquet_by(
    properties: WriterPropertiesBuilder,
    compression: Compression,
    schema: &str,
    bytes: &[&[Option<&[u8]>]],
    numbers: &[i64],
) -> Vec<u8> {
    let schema = parse_message_type(schema).unwrap().into();
    let mut packed = Vec::new();
    let properties = properties.set_compression(compression).build();
    let mut file = SerializedFileWriter::new(&mut packed, schema, properties.into()).unwrap();
    if bytes.is_empty() {
        file.close().unwrap();
        return packed;
    }
    let mut group = file.next_row_group().unwrap();
    for column in bytes {
        let levels: Vec<i16> = column.iter().map(|x| i16::from(x.is_some())).collect();
        let values: Vec<ByteArray> = column.iter().flatten().map(|x| ByteArray::from(x.to_vec())).collect();
        let mut writer = group.next_column().unwrap().unwrap();
        writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        writer.close().unwrap();
    }
    if let Some(mut writer) = group.next_column().unwrap() {
        writer.typed::<Int64Type>().write_batch(numbers, None, None).unwrap();
        writer.close().unwrap();
    }
    group.close().unwrap();
    file.close().unwrap();
    packed
}

pub(super) const TWO: &str = "message m { optional binary id; optional binary label; optional binary text; }";

#[test]
fn all_formats_give_the_same_texts() {
    let csv = "\u{feff}id,label,text\r\na,positive,\"good, really\"\r\nb,odd,\r\n";
    let tsv = "id\tlabel\ttext\na\tpositive\tgood, really\nb\todd\n";
    let jsonl = "\u{feff}{\"id\":\"a\",\"label\":\"positive\",\"text\":\"good, really\"}\n\n{\"id\":\"b\"}\n";
    let bytes: [&[Option<&[u8]>]; 3] =
        [&[Some(b"a"), Some(b"b")], &[Some(b"positive"), Some(b"odd")], &[Some(b"good, really"), None]];
    let expected = Texts {
        ids: vec!["a".into(), "b".into()],
        texts: vec!["good, really".into(), String::new()],
        labels: Some(vec![1, UNLABELED]),
        persons: None,
        sources: None,
    };
    for (name, content) in [
        ("t.csv", csv.as_bytes().to_vec()),
        ("t.tsv", tsv.as_bytes().to_vec()),
        ("T.JSONL", jsonl.as_bytes().to_vec()),
        ("t.parquet", parquet(TWO, &bytes, &[])),
        (
            "t.parquet",
            delta_parquet(Encoding::DELTA_LENGTH_BYTE_ARRAY, WriterVersion::PARQUET_1_0, TWO, &bytes),
        ),
        ("t.parquet", delta_parquet(Encoding::DELTA_BYTE_ARRAY, WriterVersion::PARQUET_2_0, TWO, &bytes)),
        ("t.csv.gz", gzip(csv.as_bytes())),
        ("t.tsv.zst", zstandard(tsv.as_bytes())),
        ("t.jsonl.gz", [gzip(&jsonl.as_bytes()[..20]), gzip(&jsonl.as_bytes()[20..])].concat()),
        ("t.jsonl.zst", [zstandard(&jsonl.as_bytes()[..9]), zstandard(&jsonl.as_bytes()[9..])].concat()),
    ] {
        let (_folder, path) = write(name, &content);
        assert_eq!(lenient(&path, &columns(Some("id")), &labels()).unwrap(), expected, "{name}");
    }
}

#[test]
fn parquet_fields_have_the_same_outcomes() {
    // Nulls, and a text column that is not UTF-8 although it says so.
    let schema = "message m { optional binary label (UTF8); optional binary text (UTF8); required int64 n; }";
    let bytes: [&[Option<&[u8]>]; 2] =
        [&[Some(b"positive"), None, Some(b"negative")], &[None, Some(b"\xe9"), Some(b"c")]];
    let (_folder, path) = write("t.parquet", &parquet(schema, &bytes, &[7, -1, i64::MIN]));
    let read = lenient(&path, &columns(None), &labels()).unwrap();
    assert_eq!(read.texts, ["", "\u{e9}", "c"]);
    assert_eq!(read.labels.unwrap(), [1, UNLABELED, 0]);
    // A column of numbers, wanted for two purposes.
    let numbers = Columns { text: "n".into(), label: None, id: Some("n".into()), person: None, source: None };
    let read = lenient(&path, &numbers, &[]).unwrap();
    assert_eq!(read.texts, ["7", "-1", &i64::MIN.to_string()]);
    assert_eq!(read.ids, read.texts);
    // More records than are read at once, without a null among them.
    let many: Vec<Option<&[u8]>> = (0..1000).map(|i| [Some(&b"positive"[..]), None][i % 2]).collect();
    let texts = vec![Some(&b"text"[..]); 1000];
    let numbers: Vec<i64> = (0..1000).collect();
    let (_folder, path) = write("t.parquet", &parquet(schema, &[&many, &texts], &numbers));
    let read = lenient(&path, &Columns { id: Some("n".into()), ..columns(None) }, &labels()).unwrap();
    assert!(read.texts.iter().all(|text| text == "text"));
    assert_eq!(read.labels.unwrap(), [1, UNLABELED].repeat(500));
    assert_eq!(read.ids, numbers.iter().map(i64::to_string).collect::<Vec<_>>());
    // What concerns the file as a whole.
    let lists = "message m { optional binary label; optional group text (LIST) { repeated group list { optional binary element; } } }";
    let one: &[Option<&[u8]>] = &[Some(b"a")];
    let whole = parquet(TWO, &[one, one, one], &[]);
    for (content, fact) in [
        (whole[..whole.len() - 6].to_vec(), "not readable Parquet"),
        (
            parquet("message m { optional binary label; }", &[one], &[]),
            "no column `text`: its schema names one column",
        ),
        (parquet(lists, &[], &[]), "neither texts nor numbers"),
    ] {
        let (_folder, path) = write("t.parquet", &content);
        let error = lenient(&path, &columns(None), &labels()).unwrap_err().to_string();
        assert!(error.contains(fact), "{error}");
    }
}

#[test]
fn a_field_of_ten_megabytes_is_kept_and_a_longer_one_is_cut() {
    let long = "\u{e4}".repeat(5 << 20);
    let longer = format!("x{}", "\u{e4}".repeat(9 << 20));
    let csv = format!("text,label\n{long},positive\n{longer},negative\nshort,positive\n");
    let tsv = csv.replace(',', "\t");
    let object = |text: &str| format!("{{\"text\":\"{text}\",\"label\":\"positive\"}}\n");
    let jsonl = [object(&long), object(&longer), object("short")].concat();
    let schema = "message m { optional binary label; optional binary text; }";
    let bytes: [&[Option<&[u8]>]; 2] =
        [&[Some(&b"positive"[..]); 3], &[Some(long.as_bytes()), Some(longer.as_bytes()), Some(b"short")]];
    for (name, content) in [
        ("t.csv.zst", zstandard(csv.as_bytes())),
        ("t.tsv", tsv.into_bytes()),
        ("t.jsonl.gz", gzip(jsonl.as_bytes())),
        ("t.parquet", parquet(schema, &bytes, &[])),
    ] {
        let (_folder, path) = write(name, &content);
        let read = lenient(&path, &columns(None), &labels()).unwrap();
        assert!(read.texts[0] == long, "{name}");
        assert_eq!(
            read.texts[1].len(),
            MAX_FIELD_BYTES - 1,
            "{name}: cut before the character that does not fit"
        );
        assert!(longer.starts_with(&read.texts[1]), "{name}");
        assert_eq!(read.texts[2], "short", "{name}");
    }
}

#[test]
fn a_large_table_comes_in_chunks_that_number_records_and_persons_as_one() {
    let row = |i: usize| format!("text {i},person {}\n", i % 20_000);
    let table: String = std::iter::once("text,who\n".to_owned()).chain((0..40_000).map(row)).collect();
    let (_folder, path) = write("t.csv", table.as_bytes());
    let columns = Columns { person: Some("who".into()), label: None, ..columns(None) };
    let table = Table::open(&path, &columns, &[]).unwrap();
    assert_eq!(table.n_records(), 40_000);
    let chunks: Vec<Texts> = table.chunks().unwrap().map(Result::unwrap).collect();
    assert_eq!(chunks.iter().map(|c| c.texts.len()).collect::<Vec<_>>(), [16_384, 16_384, 7_232]);
    assert_eq!(chunks[2].ids[0], "32769");
    assert_eq!(chunks[2].persons.as_ref().unwrap()[0], Some(12_768));
    let whole = lenient(&path, &columns, &[]).unwrap();
    assert_eq!(whole.texts[39_999], "text 39999");
    assert_eq!(whole.ids.len(), whole.persons.unwrap().len());
}

#[test]
fn persons_are_numbered_as_they_appear() {
    let columns = Columns { person: Some("who".into()), label: None, ..columns(None) };
    let csv = "text,who\na,Zoe\nb, Adam \nc,\nd,Zoe\ne\n";
    let jsonl = "{\"text\":\"a\",\"who\":7}\n{\"text\":\"b\",\"who\":3}\n{\"text\":\"c\"}\n{\"text\":\"d\",\"who\":7}\n{\"text\":\"e\",\"who\":\"\"}\n";
    for (name, content) in [("t.csv", csv), ("t.jsonl", jsonl)] {
        let (_folder, path) = write(name, content.as_bytes());
        let persons = lenient(&path, &columns, &[]).unwrap().persons.unwrap();
        assert_eq!(persons, [Some(0), Some(1), None, Some(0), None], "{name}");
    }
    let (_folder, path) = write("t.csv", b"text\na\n");
    assert!(lenient(&path, &columns, &[]).unwrap_err().to_string().contains("no column `who`"));
}

#[test]
fn sources_are_numbered_through_the_table_and_a_column_of_something_else_is_refused() {
    let columns = Columns { source: Some("from".into()), label: None, ..columns(None) };
    let row = |i: usize| format!("text {i},{}\n", ["films", " shops ", ""][i % 3]);
    // The last chunk alone has the third source.
    let table: String = std::iter::once("text,from\n".to_owned())
        .chain((0..20_000).map(row))
        .chain(["last,news\n".to_owned()])
        .collect();
    let (_folder, path) = write("t.csv", table.as_bytes());
    let table = Table::open(&path, &columns, &[]).unwrap();
    let chunks: Vec<_> = table.chunks().unwrap().map(|chunk| chunk.unwrap().sources.unwrap()).collect();
    assert_eq!(chunks[0].names, ["films", "shops"]);
    assert_eq!(chunks[0].of_record[..4], [Some(0), Some(1), None, Some(0)]);
    assert_eq!(chunks[1].names, ["films", "shops", "news"]);
    let whole = lenient(&path, &columns, &[]).unwrap().sources.unwrap();
    assert_eq!(whole.names, chunks[1].names);
    assert_eq!((whole.of_record.len(), whole.of_record[20_000]), (20_001, Some(2)));

    let many: String = (0..1025).map(|i| format!("text,{i}\n")).collect();
    let long = format!("a,{}\n", "x".repeat(257));
    for (rows, fact) in [
        (many.as_str(), "more than 1024 sources"),
        (&long, "longer than 256 bytes or has control characters"),
        ("a,b\x1bc\n", "control characters"),
    ] {
        let (_folder, path) = write("t.csv", format!("text,from\n{rows}").as_bytes());
        let error = Table::open(&path, &columns, &[]).unwrap_err().to_string();
        assert!(error.contains(fact) && error.contains("names each record's source"), "{error}");
    }
    let (_folder, path) = write("t.csv", format!("text,from\n{}", &many[..many.len() - 10]).as_bytes());
    assert!(Table::open(&path, &columns, &[]).is_ok());
}

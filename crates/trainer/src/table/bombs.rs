//! Tables that were made to take much memory, or to wait for ever.

use std::process::Command;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::tests::{columns, gzip, lenient, write};
use super::*;

fn refused(name: &str, content: &[u8]) -> String {
    let (_folder, path) = write(name, content);
    let columns = Columns { label: None, ..columns(None) };
    lenient(&path, &columns, &[]).unwrap_err().to_string()
}

#[test]
fn a_first_line_is_bounded() {
    let long = "x".repeat(5 << 20);
    let error = refused("t.csv.gz", &gzip(format!("{long},text\na,b\n").as_bytes()));
    assert!(error.contains("longer than 4 MiB") && error.len() < 400, "{error}");
    let error = refused("t.csv", format!("{}text\na\n", "x,".repeat(1 << 17)).as_bytes());
    // With another separator it has one column, which is not the one that is wanted.
    let is_refused = error.contains("more than 65536 columns") || error.contains("no column `text`");
    assert!(is_refused && error.len() < 400, "{error}");
    // An escape sequence, and a table without the column: nothing of it reaches the error.
    let error = refused("t.csv", b"te\x1b[31mxt,secret\na,b\n");
    assert!(!error.contains(['\u{1b}']) && !error.contains("secret"), "{error}");
}

#[test]
fn a_window_is_bounded() {
    let frame = [&b"\x28\xb5\x2f\xfd\x00\xa8"[..], &[(5 << 3) | 1, 0, 0], b"text\n"].concat();
    let error = refused("t.csv.zst", &frame);
    assert!(error.contains("window of more than 100 MiB; compress it anew without --long"), "{error}");
}

#[test]
fn a_json_line_is_skipped_and_not_built() {
    let array = "[0".to_owned() + &",0".repeat(10 << 20) + "]";
    let jsonl =
        format!("{{\"text\":\"a\",\"x\":{array},\"y\":{}{}}}\n", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let (_folder, path) = write("t.jsonl", jsonl.as_bytes());
    let texts = lenient(&path, &Columns { label: None, ..columns(None) }, &[]).unwrap();
    assert_eq!(texts.texts, ["a"]);
}

fn parquet_of(value: Vec<u8>, compression: Compression) -> Vec<u8> {
    let schema = parse_message_type("message m { required binary text; }").unwrap().into();
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(compression);
    let mut packed = Vec::new();
    let mut file = SerializedFileWriter::new(&mut packed, schema, properties.build().into()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(value)], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    packed
}

#[test]
fn a_page_is_bounded_packed_and_unpacked() {
    for compression in [Compression::SNAPPY, Compression::LZ4_RAW, Compression::UNCOMPRESSED] {
        let error = refused("t.parquet", &parquet_of(vec![b'x'; 130 << 20], compression));
        assert!(error.contains("a page above 128 MiB; write smaller pages"), "{error}");
    }
}

/// A file whose footer has this schema.
fn footer_of(n: usize, elements: &[u8]) -> Vec<u8> {
    let mut footer = b"\x15\x02\x19\xfc".to_vec();
    let mut n = n;
    while n >= 0x80 {
        footer.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    footer.push(n as u8);
    footer.extend_from_slice(elements);
    footer.extend_from_slice(b"\x16\x00\x19\x0c\x00");
    [b"PAR1", &*footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn a_schema_is_bounded_in_depth_and_names() {
    let (group, leaf) = (b"\x48\x01g\x15\x02\x00", b"\x15\x0c\x25\x00\x18\x01t\x00");
    let deep = [group.repeat(60_000), leaf.to_vec()].concat();
    let error = refused("t.parquet", &footer_of(60_001, &deep));
    assert!(error.contains("more than 64 levels deep"), "{error}");
    // A root of 20,000 columns in one group whose name is long: each column has a copy of it.
    let name = vec![b'n'; 1 << 16];
    let root = b"\x48\x01g\x15\x02\x00".to_vec();
    let parent = [b"\x35\x00\x18\x80\x80\x04", &*name, b"\x15\xc0\xb8\x02\x00"].concat();
    let wide = [root, parent, leaf.repeat(20_000)].concat();
    let error = refused("t.parquet", &footer_of(20_002, &wide));
    let is_refused = error.contains("names are too long") || error.contains("more than 65536 columns");
    assert!(is_refused, "{error}");
    let error = refused("t.parquet", b"PAR1\x00\x00\xff\xff\xff\x00PAR1");
    assert!(error.contains("a footer above 8 MiB"), "{error}");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["t.csv", "t.jsonl", "t.parquet"] {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = lenient(&path, &columns(None), &[]).unwrap_err().to_string();
        assert!(error.contains("it is a pipe, and it is read twice; write it to a file first"), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let error = lenient(&path, &columns(None), &[]).unwrap_err().to_string();
        assert!(error.contains("it is a device"), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = lenient(&path, &columns(None), &[]).unwrap_err().to_string();
        assert!(error.contains("it is a folder; give one file"), "{error}");
        std::fs::remove_dir(&path).unwrap();
    }
}

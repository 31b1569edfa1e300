#![no_main]

use cryptotl_fuzz::with_file;
use cryptotl_trainer::table::{Columns, read_texts};
use libfuzzer_sys::fuzz_target;

/// The first byte chooses the format.
const NAMES: [&str; 7] = ["t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "t.jsonl.zst", "t.tsv.zst", "t.parquet"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let column = |name: &str| Some(name.to_owned());
    let columns = Columns {
        text: "text".to_owned(),
        label: column("label"),
        id: column("id"),
        person: column("person"),
        source: column("source"),
    };
    let labels = ["no", "yes"].map(str::to_owned);
    with_file(NAMES[usize::from(*first) % NAMES.len()], bytes, |path| {
        if let Ok(texts) = read_texts(path, &columns, &labels) {
            assert_eq!(texts.ids.len(), texts.texts.len());
        }
    });
});

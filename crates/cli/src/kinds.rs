//! The text files that this program writes, as outputs: how one of ours is told from anybody else's.

use cryptotl_model::Kind;
use cryptotl_trainer::{Classified, Epoch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::card::{self, Card};
use crate::output;
use crate::report::{self, BenchmarkRow};

/// The largest report, page or table of a benchmark that is written, and that is read.
pub const MAX_REPORT_BYTES: u64 = 64 << 20;
/// The largest table of a benchmark that is written, and that is read.
pub const MAX_TABLE_BYTES: u64 = 16 << 20;
/// How much of a file of JSON lines is looked at.
const LINES_BYTES: u64 = 4 << 20;

/// The model card of a head, as it was written: one that somebody edited is never replaced.
pub const CARD: Kind = Kind::starting("model card as it was written", card::MAX_BYTES + 1, |bytes| {
    std::str::from_utf8(bytes).is_ok_and(|text| Card::parse(text).is_ok_and(|card| card.is_as_written))
});

/// The lines of `classify`.
pub const CLASSIFIED: Kind =
    Kind::starting("file of classified records", LINES_BYTES, are_lines_of::<Classified>);

/// The passes of `pretrain`.
pub const LOG: Kind = Kind::starting("log of a training", LINES_BYTES, are_lines_of::<Epoch>);

/// What `validate` measured.
pub const VALIDATION: Kind = Kind::starting("validation file", 64, |bytes| {
    bytes.starts_with(b"{\n  \"format\": \"cryptotl-validation\",")
});

/// `report.json`.
pub const REPORT: Kind =
    Kind::starting("report", 64, |bytes| bytes.starts_with(b"{\n  \"format\": \"cryptotl-report\","));

/// `report.html`.
pub const PAGE: Kind = Kind::starting("report page", MAX_REPORT_BYTES, |bytes| {
    let json = std::str::from_utf8(bytes).ok().and_then(report::embedded_json);
    json.is_some_and(|json| json.contains("\"format\":\"cryptotl-report\""))
});

/// `report.md`.
pub const MARKDOWN: Kind = Kind::starting("report in Markdown", MAX_REPORT_BYTES, |bytes| {
    let text = String::from_utf8_lossy(bytes);
    text.starts_with("# Privacy audit report: ") && text.contains("\n## Sign-off\n")
});

/// `registry.yaml`; the first ones begin without the comment.
pub const REGISTRY: Kind = Kind::starting("entry of a registry", 1 << 20, |bytes| {
    let text = String::from_utf8_lossy(bytes);
    text.starts_with(report::REGISTRY_START)
        || text.starts_with("status: Draft\ndeployment:\n") && text.contains("Head, SHA-256: ")
});

/// A manual page.
pub const MANUAL: Kind =
    Kind::starting("manual page", 4096, |bytes| String::from_utf8_lossy(bytes).contains(".TH cryptotl"));

/// The rows of `bench privacy`.
pub const PRIVACY_TABLE: Kind = Kind::starting("table of `bench privacy`", MAX_TABLE_BYTES, |bytes| {
    serde_json::from_slice::<Vec<BenchmarkRow>>(bytes).is_ok_and(|rows| !rows.is_empty())
});

/// The rows of `bench encrypted`.
pub const ENCRYPTED_TABLE: Kind = Kind::starting("table of `bench encrypted`", 4096, |bytes| {
    let text = String::from_utf8_lossy(bytes);
    text.starts_with("[\n  {\n    \"width\": ") && text.contains("\n    \"paper_rms_error\": ")
});

/// The page of `bench encrypted`.
pub const BENCHMARK_PAGE: Kind = Kind::starting("page of `bench encrypted`", 256, |bytes| {
    bytes.starts_with(b"# Benchmarks of encrypted evaluation\n\nWritten by `cryptotl bench encrypted ")
});

/// Whether the whole lines among the bytes, one at least, are exactly what is written for values of this type.
fn are_lines_of<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else { return false };
    bytes[..end].split(|&byte| byte == b'\n').all(|line| {
        let value = serde_json::from_slice::<T>(line).ok();
        value.and_then(|value| output::json(&value).ok()).is_some_and(|written| written.as_bytes() == line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ours_are_told_from_those_of_others() {
        let ours = "{\"id\":\"1\",\"label\":\"yes\",\"score\":0.75}\n";
        assert!(are_lines_of::<Classified>(ours.repeat(3).as_bytes()));
        assert!(
            are_lines_of::<Classified>(format!("{ours}{{\"id\":\"2\",").as_bytes()),
            "cut off in the middle"
        );
        for theirs in [
            "",
            "notes\n",
            "{\"text\":\"a\",\"label\":\"yes\"}\n",
            "{\"id\": \"1\", \"label\": \"yes\", \"score\": 0.75}\n",
            "{\"id\":\"1\",\"label\":\"yes\",\"score\":0.75,\"text\":\"a\"}\n",
            "{\"id\":\"1\",\"label\":\"yes\",\"score\":0.75}\nnotes\n",
        ] {
            assert!(!are_lines_of::<Classified>(theirs.as_bytes()), "{theirs}");
        }
        assert!(!are_lines_of::<Epoch>(ours.as_bytes()));
    }
}

//! The model card of a released head, in the format of Hugging Face: YAML front matter and Markdown.
//!
//! The front matter has a `dp` block with the promise, which `verify` checks against the head and the ledger. A card
//! carries a digest of itself, so that a card which somebody edited is told apart and never replaced.

use std::path::{Path, PathBuf};

use cryptotl_model::format::{beside, write_atomically};
use cryptotl_model::{Destination, Digest, input_file};
use cryptotl_privacy::{Delta, LARGE_DELTA_MASS, delta_mass};
use cryptotl_trainer::pretrain::private::SourcePrivacy;
use cryptotl_trainer::{Assumption, Head};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::exit::{Code, Failure, Result};
use crate::kinds;
use crate::output::Output;
use crate::report::STRICT_DELTA;

/// What `format` says in every card.
const FORMAT: &str = "cryptotl-card";
/// The version of the `dp` block.
const VERSION: u32 = 2;
/// The largest card that is read.
pub const MAX_BYTES: u64 = 4 << 20;
/// The first words of the paragraph about a private source.
const SOURCE_START: &str = "The model below the head was trained on a private source too";
/// What stands for the card's own digest while the digest is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The `dp` block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpBlock {
    format: String,
    version: u32,
    /// SHA-256 of the head file.
    pub head: String,
    /// The population whose ledger paid.
    pub population: String,
    pub epsilon: f64,
    pub delta: f64,
    pub rho: String,
    pub unit: String,
    pub adjacency: String,
    /// What the promise rests on; absent in cards of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumptions: Option<Vec<Assumption>>,
    /// The mechanism that ran, as the ledger records it.
    pub mechanism: Map<String, Value>,
    /// The ledger entry that paid.
    pub witness_seq: u64,
    pub witness_hash: String,
    pub public_model: String,
    pub encoder: String,
    pub encoder_digest: String,
    /// How the head's file was called; absent in cards of earlier programs, like the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The program that wrote the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
    /// SHA-256 of the card with zeros in the place of this digest.
    digest: String,
}

#[derive(Serialize)]
struct FrontMatter<'a> {
    library_name: &'a str,
    pipeline_tag: &'a str,
    tags: [&'a str; 3],
    dp: DpBlock,
}

/// The front matter of any card, ours or somebody's who added to it.
#[derive(Deserialize)]
struct AnyFrontMatter {
    dp: DpBlock,
}

/// A card that was read.
#[derive(Debug)]
pub struct Card {
    /// The promise in it.
    pub dp: DpBlock,
    /// Whether its digest of itself is right: no slip of an editor, but whoever means to can make it right.
    pub is_as_written: bool,
    text: String,
}

impl DpBlock {
    /// The block of a head.
    pub fn of(head: &Head, digest: Digest, name: &str) -> Self {
        let header = &head.header;
        let guarantee = &header.guarantee;
        let mechanism = match serde_json::to_value(&header.event) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            head: digest.to_string(),
            population: header.population.clone(),
            epsilon: guarantee.epsilon.get(),
            delta: guarantee.delta.get(),
            rho: guarantee.rho.to_string(),
            unit: guarantee.unit.to_string(),
            adjacency: guarantee.adjacency.to_string(),
            assumptions: Some(head.assumptions()),
            mechanism,
            witness_seq: header.witness.seq,
            witness_hash: header.witness.hash.to_string(),
            public_model: header.public_model.to_string(),
            encoder: header.encoder.name.clone(),
            encoder_digest: header.encoder.digest.to_string(),
            file: Some(name.to_owned()),
            tool_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            digest: NO_DIGEST.to_owned(),
        }
    }

    /// The first fact in which this block differs from that of a head, if any.
    pub fn difference(&self, head: &Self) -> Option<&'static str> {
        let Self {
            head: digest,
            population,
            epsilon,
            delta,
            rho,
            unit,
            adjacency,
            assumptions,
            mechanism,
            ..
        } = self;
        [
            ("head", *digest == head.head),
            ("population", *population == head.population),
            ("epsilon", *epsilon == head.epsilon),
            ("delta", *delta == head.delta),
            ("rho", *rho == head.rho),
            ("unit", *unit == head.unit),
            ("adjacency", *adjacency == head.adjacency),
            ("assumptions", assumptions.is_none() || *assumptions == head.assumptions),
            ("mechanism", *mechanism == head.mechanism),
            ("witness", (self.witness_seq, &self.witness_hash) == (head.witness_seq, &head.witness_hash)),
            ("public model", self.public_model == head.public_model),
            ("encoder", (&self.encoder, &self.encoder_digest) == (&head.encoder, &head.encoder_digest)),
        ]
        .into_iter()
        .find_map(|(name, is_same)| (!is_same).then_some(name))
    }
}

/// Where the card of a head is: `head.README.md` beside `head.safetensors`.
pub fn place(head: &Path) -> PathBuf {
    beside(head, ".README.md")
}

/// Where a head and its card go.
pub struct HeadPlaces {
    /// The head's own place.
    pub head: Destination,
    card: Destination,
}

impl HeadPlaces {
    /// Checks both places, before anything is paid for.
    pub fn check(head: &Path, output: &Output) -> Result<Self> {
        Ok(Self { head: output.file(head, Head::FILE)?, card: output.file(place(head), kinds::CARD)? })
    }
}

/// Writes the card of a head beside it, and tells where. `source` is what protects the people in a private source of its
/// public model.
pub fn write(
    places: &HeadPlaces,
    (head, digest): (&Head, Digest),
    source: Option<&SourcePrivacy>,
) -> Result<PathBuf> {
    let head_path = places.head.path();
    let name = head_path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let text = render((head, digest), source, &name).map_err(|e| Failure::new(Code::Bug, e))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::failed(
            format!(
                "the model card would have {} bytes, and one of more than {MAX_BYTES} is not read",
                text.len()
            ),
            "the head is written; declare fewer labels, with shorter names, for the next one",
        ));
    }
    write_atomically(&places.card, text.as_bytes())?;
    Ok(places.card.path().to_owned())
}

impl Card {
    /// Reads a card.
    pub fn read(path: &Path) -> std::result::Result<Self, String> {
        Self::parse(&input_file::read_text(path, MAX_BYTES).map_err(|e| e.to_string())?)
    }

    /// Reads a card's text.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let rest = text.strip_prefix("---\n").ok_or("it has no front matter")?;
        let end = rest.find("\n---\n").ok_or("its front matter does not end")?;
        let front: AnyFrontMatter = serde_saphyr::from_str(&rest[..=end])
            .map_err(|e| format!("its `dp` block is not readable: {}", first_line(&e)))?;
        let dp = front.dp;
        // The first version did not say what the promise rests on.
        let is_known = match dp.version {
            1 => dp.assumptions.is_none(),
            VERSION => dp.assumptions.is_some(),
            _ => false,
        };
        if dp.format != FORMAT || !is_known {
            return Err(format!("its `dp` block is not of {FORMAT} 1 or {VERSION}"));
        }
        let is_as_written =
            dp.digest != NO_DIGEST && digest_of(&text.replacen(&dp.digest, NO_DIGEST, 1)) == dp.digest;
        Ok(Self { dp, is_as_written, text: text.to_owned() })
    }

    /// Whether this program writes the card, byte for byte, for a head whose model has this private source.
    pub fn is_of(&self, head: (&Head, Digest), source: Option<&SourcePrivacy>) -> bool {
        let name = self.dp.file.as_deref().unwrap_or_default();
        render(head, source, name).is_ok_and(|text| text == self.text)
    }

    /// The same but for the paragraph about the people in a private source, which only the public half of the model tells.
    pub fn is_of_but_for_source(&self, head: (&Head, Digest)) -> bool {
        let name = self.dp.file.as_deref().unwrap_or_default();
        let bare = self.text.replacen(&self.dp.digest, NO_DIGEST, 1);
        let text = match bare.find(SOURCE_START) {
            Some(start) => match bare[start..].find("\n\n") {
                Some(length) => format!("{}{}", &bare[..start], &bare[start + length + 2..]),
                None => return false,
            },
            None => bare,
        };
        let own = render(head, None, name).ok().and_then(|own| Card::parse(&own).ok());
        own.is_some_and(|own| own.text.replacen(&own.dp.digest, NO_DIGEST, 1) == text)
    }
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}

fn digest_of(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

fn render(
    (head, digest): (&Head, Digest),
    source: Option<&SourcePrivacy>,
    name: &str,
) -> std::result::Result<String, serde_saphyr::ser::Error> {
    let front = FrontMatter {
        library_name: "cryptotl",
        pipeline_tag: "text-classification",
        tags: ["differential-privacy", "text-classification", "transfer-learning"],
        dp: DpBlock::of(head, digest, name),
    };
    let text = format!("---\n{}---\n\n{}", serde_saphyr::to_string(&front)?, body(head, source, name));
    Ok(text.replacen(NO_DIGEST, &digest_of(&text), 1))
}

fn body(head: &Head, source: Option<&SourcePrivacy>, name: &str) -> String {
    let header = &head.header;
    let labels: Vec<String> = header.label_names.iter().map(|label| format!("* {}", plain(label))).collect();
    let encrypted = match &header.encryption {
        Some(_) => {
            "The texts' embeddings were encrypted before they left their owner; the model owner saw no text and no label."
        }
        None => "No text, label or embedding left its owner.",
    };
    let source = source.map_or_else(String::new, |privacy| {
        format!(
            "{SOURCE_START}, whose people have a promise of their own under the \
             ledger of {}. {}\n\n",
            plain(&privacy.population),
            privacy.guarantee.formal_sentence()
        )
    });
    format!(
        "# {name}\n\n\
         A text classifier's head, trained on private records of the population {population} with differential privacy. It \
         reads {inputs} of the encoder {encoder} and tells these labels apart:\n\n{labels}\n\n\
         ## Privacy\n\n{sentence}\n\n{at_other_deltas}\
         {encrypted} This is the promise of this release alone. Other releases from the same population add to the loss; its \
         ledger counts them. The promise is about single units ({unit}), not about what is true of everyone.\n\n\
         {source}\
         ## Use\n\n    cryptotl classify --head {file} --input texts.csv --encoder DIR --text-column text\n\n\
         A head that reads server features also takes the model, with `--model`.\n\n\
         ## Check\n\n    cryptotl verify {file} {card} --ledger LEDGER\n\n\
         It compares the `dp` block above with the head, computes the promise again from the recorded mechanism, and asks the \
         ledger whether it paid for this very file.\n\n\
         ## Limits\n\n\
         Accuracy on private records was not published, because that would be a release. Whether the head serves all groups of \
         people equally well is not known. The encoder's own training data is not covered by the promise.\n",
        name = plain(name),
        population = plain(&header.population),
        inputs = head.inputs().name(),
        encoder = plain(&header.encoder.name),
        labels = labels.join("\n"),
        sentence = head.sentence(),
        at_other_deltas = at_other_deltas(head),
        unit = header.guarantee.unit,
        file = crate::report::quoted(name),
        card = crate::report::quoted(&place(Path::new(name)).display().to_string()),
    )
}

/// What the promise is at another delta than the policy's, and whether that delta is large for the population.
fn at_other_deltas(head: &Head) -> String {
    let header = &head.header;
    let own = header.guarantee.delta;
    let mut words = String::new();
    let strict = Delta::new(STRICT_DELTA).ok().filter(|strict| *strict != own);
    let epsilon = strict.and_then(|strict| header.guarantee.epsilon_at(&header.event, strict).ok());
    if let Some(epsilon) = epsilon {
        words += &format!(
            "In short: epsilon {} at delta {own}, and epsilon {epsilon} at delta {STRICT_DELTA:e}.\n\n",
            header.guarantee.epsilon
        );
    }
    let size = header.description.get("public-size").and_then(|size| size.parse().ok());
    if let Some(mass) = size.map(|size| delta_mass(own, size)).filter(|mass| *mass > LARGE_DELTA_MASS) {
        words += &format!(
            "Delta is large for this population: times its public size it is {}, and should be at most {LARGE_DELTA_MASS}. A \
             promise with this delta would still hold if so many units, on average, were published in the clear.\n\n",
            crate::report::words::small(mass)
        );
    }
    words
}

/// Words from a file without a meaning to Markdown or HTML.
fn plain(words: &str) -> String {
    crate::report::escape_markdown(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> DpBlock {
        DpBlock {
            format: FORMAT.to_owned(),
            version: VERSION,
            head: "a".repeat(64),
            population: "people: no, yes # not a comment".to_owned(),
            epsilon: 0.999_999_999_992_800_3,
            delta: 1.546_056_877_080_740_4e-4,
            rho: "0.04327466094".to_owned(),
            unit: "record".to_owned(),
            adjacency: "add-remove".to_owned(),
            assumptions: Some(vec![Assumption::EvaluatorFollowedProtocol]),
            mechanism: serde_json::from_str(
                r#"{"event":"gaussian-sum","scale":7.600692582500824,"steps":20,"rho":"0.1"}"#,
            )
            .unwrap(),
            witness_seq: 1,
            witness_hash: "1e5".repeat(21) + "0",
            public_model: "0123456789".to_owned(),
            encoder: "- ---\n---\ninjected: true".to_owned(),
            encoder_digest: "b".repeat(64),
            file: Some("head.safetensors".to_owned()),
            tool_version: Some("0.1.0".to_owned()),
            digest: NO_DIGEST.to_owned(),
        }
    }

    fn written(dp: DpBlock) -> String {
        let front = FrontMatter { library_name: "cryptotl", pipeline_tag: "t", tags: ["a", "b", "c"], dp };
        let text = format!("---\n{}---\n\nwords\n", serde_saphyr::to_string(&front).unwrap());
        text.replacen(NO_DIGEST, &digest_of(&text), 1)
    }

    #[test]
    fn a_block_comes_back_as_it_was_to_the_last_bit() {
        let card = Card::parse(&written(block())).unwrap();
        assert!(card.is_as_written);
        assert_eq!(card.dp.difference(&block()), None, "{:?}", card.dp);
    }

    #[test]
    fn edits_are_noticed() {
        let text = written(block());
        let edited = Card::parse(&text.replace("words", "other words")).unwrap();
        assert!(!edited.is_as_written);
        assert_eq!(edited.dp.difference(&block()), None);
        let better = Card::parse(&text.replace("add-remove", "replace")).unwrap();
        assert_eq!((better.is_as_written, better.dp.difference(&block())), (false, Some("adjacency")));
        let more = text.replacen("tags:", "license: mit\ntags:", 1);
        assert!(!Card::parse(&more).unwrap().is_as_written, "others may add to the front matter");
    }

    #[test]
    fn what_is_no_card_is_refused() {
        for text in ["", "words", "---\n", "---\ndp: 1\n---\n", "---\nlicense: mit\n---\n", "---\n[\n---\n"] {
            assert!(Card::parse(text).is_err(), "{text:?}");
        }
        let later = written(block()).replace("version: 2", "version: 3");
        assert!(Card::parse(&later).unwrap_err().contains("cryptotl-card 1 or 2"));
        // A card cannot leave out what the promise rests on by calling itself an early one, nor say so in one.
        let without = DpBlock { assumptions: None, ..block() };
        assert!(Card::parse(&written(without.clone())).is_err());
        assert!(Card::parse(&written(DpBlock { version: 1, ..block() })).is_err());
        let early = Card::parse(&written(DpBlock { version: 1, ..without })).unwrap();
        assert_eq!((early.is_as_written, early.dp.difference(&block())), (true, None));
        let fewer = DpBlock { assumptions: Some(vec![]), ..block() };
        assert_eq!(Card::parse(&written(fewer)).unwrap().dp.difference(&block()), Some("assumptions"));
    }
}

//! A report, assembled again: from what it states, and from the files that were given in the place of that.
//!
//! Every field of the JSON is compared. One that differs was altered, one whose file was not given is named as not
//! assessed, and nothing is passed over.

use std::collections::{BTreeMap, BTreeSet};

use cryptotl_encrypted::PlanFile;
use cryptotl_model::{Digest, PublicModel};
use cryptotl_privacy::{Policy, Status};
use cryptotl_trainer::Head;
use serde_json::Value;

use super::sources::{self, Source};
use super::{
    Assessed, Backbone, BenchmarkRow, Certified, Evidence, FORMAT, Report, VERSION, Validated, attack,
    utility,
};

/// How far two figures may be apart, relative to the larger: functions of other systems' libraries round otherwise.
const TOLERANCE: f64 = 1e-9;
/// So much of a value is shown.
const MAX_SHOWN: usize = 60;

/// A report as it lies in a file.
#[derive(Debug, Clone)]
pub struct Stated {
    /// The report.
    pub report: Report,
    /// The same, field by field.
    json: Value,
}

/// The files that were given, each known to be the one that the report is about.
#[derive(Debug, Default)]
pub struct Given<'a> {
    /// The head.
    pub head: Option<(&'a Head, Digest)>,
    /// The ledger as of the report's last entry.
    pub ledger: Option<&'a Status>,
    /// The public half of the model.
    pub model: Option<&'a PublicModel>,
    /// The plan.
    pub plan: Option<&'a PlanFile>,
    /// The policy.
    pub policy: Option<&'a Policy>,
    /// The table.
    pub table: Option<&'a [BenchmarkRow]>,
    /// What `validate` released, which the ledger vouches for.
    pub validation: Option<Validated>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Recomputed {
    /// Fields that are not what the given files and the other fields say, each with what it is and should be.
    pub differences: Vec<String>,
    /// How many fields are what they should be.
    pub fields: usize,
    /// Fields that could not be computed again, by the reason.
    pub not_assessed: BTreeMap<Source, BTreeSet<String>>,
}

impl Stated {
    /// Reads a report.
    ///
    /// # Errors
    /// That it is none of this version of the format, or names a field twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Unique(json) = serde_json::from_str(text).map_err(|e| format!("it is no report: {e}"))?;
        let told = (json["format"].as_str().unwrap_or("unnamed"), &json["version"]);
        if told.0 == FORMAT && told.1 != VERSION {
            return Err(format!("it is {FORMAT} {}, this program reads {FORMAT} {VERSION}", told.1));
        }
        let report =
            serde_json::from_str(text).map_err(|e| format!("it is no report of this version: {e}"))?;
        Ok(Self { report, json })
    }

    /// The version of the program that it says it was written by, if that is another one.
    pub fn other_program(&self) -> Option<&str> {
        let version = self.report.identity.tool_version.as_str();
        (version != env!("CARGO_PKG_VERSION")).then_some(version)
    }

    /// Assembles the report again and compares every field.
    ///
    /// # Errors
    /// What does not fit together so badly that nothing can be assembled.
    pub fn recompute(&self, given: &Given) -> Result<Recomputed, String> {
        let evidence = evidence(&self.report, given)?;
        let again = Report::assemble(&evidence).map_err(|e| e.to_string())?;
        // Through text, as the file went.
        let again = serde_json::to_string(&again).and_then(|text| serde_json::from_str(&text));
        let mut again: Value = again.map_err(|e| e.to_string())?;
        let mut walk = Walk { given, is_other: self.other_program().is_some(), found: Recomputed::default() };
        let mut stated = self.json.clone();
        if walk.is_other {
            walk.hazards(&mut stated, &mut again);
        }
        walk.compare(&mut Vec::new(), Some(&stated), Some(&again));
        Ok(walk.found)
    }
}

/// The facts that a report states, with those of the given files in their place.
pub(super) fn evidence(report: &Report, given: &Given) -> Result<Evidence, String> {
    let mut evidence = Evidence::stated(report)?;
    if let Some((head, digest)) = given.head {
        evidence.read_head(head, digest);
    }
    if let Some(ledger) = given.ledger {
        evidence.read_ledger(ledger)?;
    }
    // A block that was not assessed stays so: it was written without the file.
    if let (Ok(_), Some(model)) = (evidence.product.backbone.evidence(), given.model) {
        evidence.product.backbone = Assessed::Assessed(Backbone::of(model).map_err(|e| e.to_string())?);
    }
    if let (Some(_), Some(plan)) = (&evidence.certificate, given.plan) {
        evidence.certificate = Some(Certified::of(plan, evidence.dataset.public_size));
    }
    if let (Some(policy), Some(ledger)) = (given.policy, given.ledger) {
        evidence.budget.policy_compared &= *policy == ledger.policy;
    }
    if let (false, Some(table)) = (evidence.rows.is_empty(), given.table) {
        evidence.rows = utility::rows(table, &evidence);
    }
    if let (Some(_), Some(validation)) = (&evidence.validation, &given.validation) {
        evidence.validation = Some(validation.clone());
    }
    evidence.audit = Some(attack::again(report, &evidence));
    Ok(evidence)
}

struct Walk<'a> {
    given: &'a Given<'a>,
    /// Whether another version of the program wrote the report.
    is_other: bool,
    found: Recomputed,
}

impl Walk<'_> {
    /// Compares two values, field by field.
    fn compare(&mut self, path: &mut Vec<String>, stated: Option<&Value>, again: Option<&Value>) {
        match (stated, again) {
            (Some(Value::Object(one)), Some(Value::Object(two))) if !(one.is_empty() && two.is_empty()) => {
                let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
                for name in names {
                    path.push(name.clone());
                    self.compare(path, one.get(name), two.get(name));
                    path.pop();
                }
            }
            (Some(Value::Array(one)), Some(Value::Array(two))) if !(one.is_empty() && two.is_empty()) => {
                for i in 0..one.len().max(two.len()) {
                    path.push(i.to_string());
                    self.compare(path, one.get(i), two.get(i));
                    path.pop();
                }
            }
            (Some(one), Some(two)) if same(one, two) => self.same(path),
            (stated, again) => self.differs(path, stated, again),
        }
    }

    fn same(&mut self, path: &[String]) {
        let (pattern, source) = sources::of(path);
        if is_given(source, self.given) {
            self.found.fields += 1;
        } else {
            self.not_assessed(source, pattern.to_owned());
        }
    }

    fn differs(&mut self, path: &[String], stated: Option<&Value>, again: Option<&Value>) {
        let name = path.join(".");
        if self.is_other && says_no_other_figure(path, stated, again) {
            self.not_assessed(Source::Program, name);
            return;
        }
        self.found.differences.push(match (stated, again) {
            (Some(stated), Some(again)) => format!("{name} is {} and not {}", shown(stated), shown(again)),
            (Some(stated), None) => format!("{name} is {}, and there should be no such field", shown(stated)),
            (None, again) => {
                format!("{name} is missing, and should be {}", again.map_or_else(String::new, shown))
            }
        });
    }

    fn not_assessed(&mut self, source: Source, pattern: String) {
        self.found.not_assessed.entry(source).or_default().insert(pattern);
    }

    /// Takes the hazards out of both reports that only one of them has, so that the judgements on the others are compared.
    fn hazards(&mut self, stated: &mut Value, again: &mut Value) {
        let title = |hazard: &Value| hazard["hazard"].as_str().unwrap_or_default().to_owned();
        let titles = |report: &Value| -> BTreeSet<String> {
            report["hazards"].as_array().into_iter().flatten().map(title).collect()
        };
        let both: BTreeSet<String> = titles(stated).intersection(&titles(again)).cloned().collect();
        for report in [stated, again] {
            let Some(hazards) = report["hazards"].as_array_mut() else { continue };
            for hazard in hazards.iter().filter(|hazard| !both.contains(&title(hazard))) {
                self.not_assessed(Source::Program, format!("hazards ({})", title(hazard)));
            }
            hazards.retain(|hazard| both.contains(&title(hazard)));
            hazards.sort_by_key(title);
        }
    }
}

/// Whether a difference is one of words alone, as another version of the program may choose: it is in this program's own
/// words, and the sentence of the promise has the same figures in it; or it is a field that the other version did not know.
fn says_no_other_figure(path: &[String], stated: Option<&Value>, again: Option<&Value>) -> bool {
    let is_text = |value: Option<&Value>| value.is_none_or(Value::is_string);
    if stated.is_none() {
        return true;
    }
    if !(sources::is_prose(path) && is_text(stated) && is_text(again)) {
        return false;
    }
    let figures = |value: Option<&Value>| -> Vec<String> {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == 'e'));
        let numbers = parts.map(|part| part.trim_matches(['.', '-', 'e']));
        numbers.filter(|part| part.parse::<f64>().is_ok()).map(str::to_owned).collect()
    };
    path.last().is_none_or(|name| name != "sentence") || figures(stated) == figures(again)
}

/// Whether what a field comes from was given.
fn is_given(source: Source, given: &Given) -> bool {
    match source {
        Source::Derived => true,
        Source::Head => given.head.is_some(),
        Source::Ledger => given.ledger.is_some(),
        Source::Either => given.head.is_some() || given.ledger.is_some(),
        Source::Model => given.model.is_some(),
        Source::Plan => given.plan.is_some(),
        Source::Policy => given.policy.is_some() && given.ledger.is_some(),
        Source::Table => given.table.is_some(),
        Source::Validation => given.validation.is_some(),
        Source::Attack | Source::Names | Source::Program => false,
    }
}

/// Whether two values say the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.is_f64() && b.is_f64() => {
            x == y || (x - y).abs() <= TOLERANCE * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}

/// A value for a message.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// A JSON value in which no object names a field twice: readers do not agree which of the two counts.
struct Unique(Value);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> serde::de::Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Unique(all.into()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut fields: A) -> Result<Unique, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some((name, Unique(value))) = fields.next_entry::<String, Unique>()? {
            if all.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("it names a field twice"));
            }
        }
        Ok(Unique(all.into()))
    }
}

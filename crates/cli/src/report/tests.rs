//! The renderings of one stored report against stored files, its schema, and what hostile words do to them.
//!
//! `testdata/report.json` is the demo's report. After a deliberate change, `REPORT=overwrite` assembles it again from its facts
//! and writes the other files anew; run it twice, as the others are written from it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::view::{Block, Cell};
use super::*;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/testdata").join(name)
}

fn stored() -> Report {
    let path = data("report.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Compares with a stored file, or stores it.
fn is_as_stored(path: &Path, text: &str) {
    if std::env::var_os("REPORT").is_some_and(|word| word == "overwrite") {
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let line = expected.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(expected == text, "{} differs at line {line:?}; REPORT=overwrite stores it anew", path.display());
}

#[test]
fn each_rendering_is_as_stored() {
    let report = stored();
    is_as_stored(&data("report.html"), &html(&report).unwrap());
    is_as_stored(&data("report.md"), &markdown(&report));
    is_as_stored(&data("registry.yaml"), &super::registry(&report).unwrap());
}

#[test]
fn the_schema_in_docs_is_that_of_the_types() {
    is_as_stored(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json"),
        &Report::schema(),
    );
}

#[test]
fn a_report_comes_back_from_its_json_and_from_its_page() {
    let report = stored();
    let page = html(&report).unwrap();
    let carried: Report = serde_json::from_str(embedded_json(&page).unwrap()).unwrap();
    assert_eq!(carried, report);
    assert!(
        serde_json::from_str::<Report>(&serde_json::to_string(&report).unwrap().replacen(
            '{',
            "{\"more\":1,",
            1
        ))
        .is_err()
    );
}

#[test]
fn a_stored_report_is_assembled_again_from_what_it_states() {
    // After a deliberate change of words the stored report is the one that is assembled from its facts.
    let again = Report::assemble(&recompute::evidence(&stored(), &Given::default()).unwrap()).unwrap();
    is_as_stored(&data("report.json"), &serde_json::to_string_pretty(&again).unwrap());
    let text = std::fs::read_to_string(data("report.json")).unwrap();
    let found = Stated::parse(&text).unwrap().recompute(&Given::default()).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    assert!(found.fields > 200 && found.not_assessed.len() > 5, "{found:?}");
}

#[test]
fn a_report_of_another_version_may_use_other_words_and_no_other_figures() {
    let text = std::fs::read_to_string(data("report.json")).unwrap();
    let original: Value = serde_json::from_str(&text).unwrap();
    let differences = |alter: &dyn Fn(&mut Value)| {
        let mut altered = original.clone();
        altered["identity"]["tool_version"] = "0.0.1".into();
        alter(&mut altered);
        Stated::parse(&altered.to_string()).unwrap().recompute(&Given::default()).unwrap().differences
    };
    assert!(differences(&|_| ()).is_empty());
    assert!(differences(&|r| r["setting"]["assumptions"][0] = "others".into()).is_empty());
    assert!(differences(&|r| r["hazards"][0]["evidence"] = "in other words".into()).is_empty());
    assert!(differences(&|r| r["hazards"][0]["hazard"] = "another title".into()).is_empty());
    let sentence = original["sentence"].as_str().unwrap();
    assert!(differences(&|r| r["sentence"] = sentence.replace("For every", "For each").into()).is_empty());
    // Figures and judgements are the same in every version.
    assert!(!differences(&|r| r["sentence"] = sentence.replace("exp(1)", "exp(0.1)").into()).is_empty());
    assert!(!differences(&|r| r["guarantee"]["epsilon"] = 0.5.into()).is_empty());
    assert!(!differences(&|r| r["budget"]["runs"][0]["rho"] = "0.01".into()).is_empty());
    let warns = original["hazards"].as_array().unwrap().iter().position(|h| h["status"] == "warn").unwrap();
    assert!(!differences(&|r| r["hazards"][warns]["status"] = "pass".into()).is_empty());
}

#[test]
fn a_field_that_is_named_twice_is_refused() {
    let text = std::fs::read_to_string(data("report.json")).unwrap();
    let twice = text.replacen("\"encoder\": ", "\"encoder\": \"other\", \"encoder\": ", 1);
    assert!(Stated::parse(&twice).unwrap_err().contains("twice"));
    let twice = text.replacen("\"rank\": ", "\"rank\": \"1\", \"rank\": ", 1);
    assert!(Stated::parse(&twice).unwrap_err().contains("twice"));
}

#[test]
fn every_figure_that_is_shown_is_in_the_json() {
    let report = stored();
    let json = serde_json::to_value(&report).unwrap();
    let mut n_figures = 0;
    let mut check = |cell: &Cell| {
        if let Cell::Figure { pointer, shown } = cell {
            n_figures += 1;
            let value = json.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"));
            assert!(value.is_number(), "{pointer} is {value}, shown as {shown}");
        }
    };
    for section in report.sections() {
        for block in &section.blocks {
            match block {
                Block::Facts(facts) => facts.iter().for_each(|(_, cell)| check(cell)),
                Block::Table(table) => {
                    for row in &table.rows {
                        assert_eq!(row.len(), table.head.len(), "{}", table.caption);
                        row.iter().for_each(&mut check);
                    }
                }
                _ => {}
            }
        }
    }
    front::Front::of(&report).answers.iter().for_each(|answer| check(&answer.figure));
    assert!(n_figures > 60, "{n_figures}");
}

#[test]
fn nothing_in_the_page_reaches_out_or_runs() {
    let page = html(&stored()).unwrap();
    for word in
        ["http:", "https:", "url(", "@import", "<script>", "<link", "<iframe", "<img", " onload", " onerror"]
    {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<script").count(), 1, "the JSON, which no browser runs");
    assert!(page.len() < 500_000);
}

/// Words that would do harm in HTML, in a JSON element, in Markdown and in YAML.
const HOSTILE: &str =
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'`| [a](javascript:b) *c* \n- d: e #";

#[test]
fn hostile_words_stay_words() {
    let mut report = stored();
    report.dataset.population = HOSTILE.to_owned();
    report.product.labels = vec![HOSTILE.to_owned(), HOSTILE.to_owned()];
    report.product.encoder = HOSTILE.to_owned();
    report.product.settings.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
    report.sentence = HOSTILE.to_owned();
    report.budget.policy = HOSTILE.to_owned();
    report.setting.flows[0].what = HOSTILE.to_owned();
    report.mechanism.event.insert(HOSTILE.to_owned(), HOSTILE.into());
    for run in &mut report.budget.runs {
        run.description.insert("method".to_owned(), HOSTILE.to_owned());
        run.recorded_at = HOSTILE.to_owned();
    }
    let page = html(&report).unwrap();
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img"));
    let carried: Report = serde_json::from_str(embedded_json(&page).unwrap()).unwrap();
    assert_eq!(carried, report);
    let text = markdown(&report);
    assert!(
        !text.contains("<script")
            && !text.contains("<img")
            && !text.contains("[a](")
            && !text.contains("\n- d")
    );
    let entry: serde_json::Value = serde_saphyr::from_str(&super::registry(&report).unwrap()).unwrap();
    let details = entry["deployment"]["privacy_loss"]["privacy_unit_details"].as_str().unwrap();
    assert!(details.ends_with(HOSTILE), "{details}");
}

/// `testdata/registry.schema.json` says in our own words what the registry's schema allows for the fields that we fill.
#[test]
fn the_registry_entry_fits_the_registrys_schema() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(data("registry.schema.json")).unwrap()).unwrap();
    assert!(schema["title"].as_str().unwrap().ends_with(registry::SCHEMA_DATE));
    let mut reports = vec![stored(); 3];
    reports[1].budget.accountant = "gdp".to_owned();
    reports[2].guarantee.order = Some(20);
    reports[2].guarantee.unit = "person:3".to_owned();
    for report in reports {
        let entry: Value = serde_saphyr::from_str(&super::registry(&report).unwrap()).unwrap();
        assert_eq!(violations(&schema, &schema, &entry, ""), Vec::<String>::new());
        let parameters = &entry["deployment"]["privacy_loss"]["privacy_parameters"];
        assert_eq!(parameters["epsilon"].as_f64(), Some(report.guarantee.epsilon));
        assert_eq!(parameters["delta"].as_f64(), Some(report.guarantee.delta));
        let mut other = entry.clone();
        other["deployment"]["basic"]["publication_date"] = Value::Null;
        assert!(!violations(&schema, &schema, &other, "").is_empty());
        other["deployment"].as_object_mut().unwrap().remove("basic");
        assert!(!violations(&schema, &schema, &other, "").is_empty());
    }
}

/// What of a value a schema does not allow. Knows the keywords that the derived schema uses, and refuses others.
fn violations(schema: &Value, root: &Value, value: &Value, at: &str) -> Vec<String> {
    const PROSE: [&str; 6] = ["$schema", "$defs", "title", "description", "format", "default"];
    let Value::Object(rules) = schema else { return Vec::new() }; // `true` allows everything
    let inner =
        |schema: &Value, value: &Value, step: &str| violations(schema, root, value, &format!("{at}/{step}"));
    let mut found = Vec::new();
    let mut require = |holds: bool, keyword: &str| {
        if !holds {
            found.push(format!("{at}: {keyword}"));
        }
    };
    let mut nested = Vec::new();
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "type" => {
                let allowed: Vec<&str> = rule.as_array().map_or_else(
                    || rule.as_str().into_iter().collect(),
                    |types| types.iter().filter_map(Value::as_str).collect(),
                );
                let own = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                require(allowed.contains(&own) || (own == "integer" && allowed.contains(&"number")), "type");
            }
            "minimum" => require(value.as_f64().is_none_or(|v| Some(v) >= rule.as_f64()), "minimum"),
            "maximum" => require(value.as_f64().is_none_or(|v| Some(v) <= rule.as_f64()), "maximum"),
            "const" => require(value == rule, "const"),
            "minItems" => {
                let least = rule.as_u64().unwrap() as usize;
                require(value.as_array().is_none_or(|items| items.len() >= least), "minItems");
            }
            "enum" => require(rule.as_array().unwrap().contains(value), "enum"),
            "required" => {
                require(
                    rule.as_array().unwrap().iter().all(|k| value.get(k.as_str().unwrap()).is_some()),
                    "required",
                );
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    nested
                        .extend(value.get(name).map(|value| inner(schema, value, name)).unwrap_or_default());
                }
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    match rule {
                        Value::Bool(false) => require(false, "additionalProperties"),
                        schema => nested.extend(inner(schema, value, name)),
                    }
                }
            }
            "items" => {
                for (i, value) in value.as_array().into_iter().flatten().enumerate() {
                    nested.extend(inner(rule, value, &i.to_string()));
                }
            }
            "$ref" => {
                let place = rule.as_str().unwrap().strip_prefix('#').unwrap();
                nested.extend(violations(root.pointer(place).unwrap(), root, value, at));
            }
            "anyOf" | "oneOf" => {
                let one = rule.as_array().unwrap().iter().any(|s| violations(s, root, value, at).is_empty());
                require(one, keyword);
            }
            prose if PROSE.contains(&prose) => {}
            other => panic!("the schema has the keyword {other}, which this test does not know"),
        }
    }
    found.extend(nested);
    found
}

#[test]
fn a_report_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(&Report::schema()).unwrap();
    let report = serde_json::to_value(stored()).unwrap();
    assert_eq!(violations(&schema, &schema, &report, ""), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/target_epsilon", Value::from("1")),
        ("/verdict", Value::from("safe")),
        ("/hazards/0/status", Value::from("fine")),
        ("/budget/runs/0/seq", Value::from(-1)),
        ("/guarantee/profile/0", Value::from("x")),
        ("/utility", Value::from("x")),
    ] {
        let mut altered = report.clone();
        *altered.pointer_mut(pointer).unwrap() = wrong;
        assert!(!violations(&schema, &schema, &altered, "").is_empty(), "{pointer}");
    }
    let mut more = report.clone();
    more["more"] = Value::Null;
    assert!(!violations(&schema, &schema, &more, "").is_empty(), "a field that nobody knows");
}

/// Each way to take one field of an object out of `value`, at any depth, as (path, what is left).
fn without_a_field(value: &Value, at: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut within = |own: &Value, name: &str, put: &dyn Fn(Value) -> Value| {
        let nested = without_a_field(own, &format!("{at}/{name}"));
        all.extend(nested.into_iter().map(|(path, changed)| (path, put(changed))));
    };
    match value {
        Value::Object(fields) => {
            let put = |name: &String, changed: Value| {
                let mut fields = fields.clone();
                fields.insert(name.clone(), changed);
                Value::Object(fields)
            };
            fields.iter().for_each(|(name, own)| within(own, name, &|changed| put(name, changed)));
            for name in fields.keys() {
                let mut fewer = fields.clone();
                fewer.remove(name);
                all.push((format!("{at}/{name}"), Value::Object(fewer)));
            }
        }
        // The items of a list are alike.
        Value::Array(items) if !items.is_empty() => within(&items[0], "0", &|changed| {
            let rest = items[1..].iter().cloned();
            std::iter::once(changed).chain(rest).collect()
        }),
        _ => {}
    }
    all
}

#[test]
fn no_part_of_the_attack_in_a_real_report_may_be_missing_or_of_another_kind() {
    let schema: Value = serde_json::from_str(&Report::schema()).unwrap();
    let attack = serde_json::to_value(stored()).unwrap()["attack"].take();
    assert!(attack["views"][0]["trade_off"].is_array(), "the stored report has an attack");
    let is_valid = |value: &Value| violations(&schema["properties"]["attack"], &schema, value, "").is_empty();
    assert!(is_valid(&attack));
    let all = without_a_field(&attack, "");
    assert!(all.len() > 60, "{}", all.len());
    for (path, fewer) in all {
        let may_be_null =
            path.ends_with("/mu") && path.contains("bounds") || path.ends_with("/time_budget_seconds");
        // The bound of a control is one of the same type.
        let may_be_null = may_be_null || path == "/controls/0/bound/mu";
        // Reports of before there were several families have none.
        let may_be_null = may_be_null || path == "/claim/losses";
        assert_eq!(is_valid(&fewer), may_be_null, "{path}");
    }
    for (pointer, wrong) in [
        ("/verdict", Value::from("safe")),
        ("/claim/steps", Value::from(-1)),
        ("/claim/guarantee/rho", Value::from(0.5)),
        ("/views/1/bounds/0/theory", Value::from("magic")),
        ("/single/errors/fpr/low", Value::Null),
    ] {
        let mut altered = attack.clone();
        *altered.pointer_mut(pointer).unwrap() = wrong;
        assert!(!is_valid(&altered), "{pointer}");
    }
    let mut more = attack.clone();
    more["claim"]["more"] = Value::from(1);
    assert!(!is_valid(&more));
    assert!(is_valid(&serde_json::json!({"not_assessed": "nobody asked"})));
}

//! A validator for the part of JSON Schema that `report.schema.json` uses, and the schema against a real report.

use serde_json::{Value, json};

use super::tests::stored;
use super::*;

/// What of `value` does not fit `schema`; a word of the schema that is not known here is a fault of the test.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(words) = schema else {
        return if *schema == json!(true) { vec![] } else { vec![format!("{at}: nothing fits")] };
    };
    let mut found = Vec::new();
    for (word, rule) in words {
        let fits = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            // Taken care of with `properties`.
            "additionalProperties" => rule == &json!(false),
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                found.extend(faults(root, &root["$defs"][name], value, at));
                true
            }
            "type" => {
                let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                names.iter().any(|name| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("unknown type {other}"),
                })
            }
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => {
                rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "properties" => {
                for (name, own) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(rule) => found.extend(faults(root, rule, own, &format!("{at}.{name}"))),
                        None if words.get("additionalProperties") == Some(&json!(false)) => {
                            found.push(format!("{at}.{name} is not in the schema"));
                        }
                        None => {}
                    }
                }
                true
            }
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, item, &format!("{at}[{i}]")));
                }
                true
            }
            "anyOf" | "oneOf" => {
                let each: Vec<_> =
                    rule.as_array().unwrap().iter().map(|rule| faults(root, rule, value, at)).collect();
                let fits = each.iter().any(Vec::is_empty);
                if !fits {
                    found.extend(each.into_iter().flatten());
                }
                fits
            }
            "allOf" => {
                found.extend(rule.as_array().unwrap().iter().flat_map(|rule| faults(root, rule, value, at)));
                true
            }
            // Of pairs: each place has its own rule.
            "prefixItems" => {
                for (i, (rule, item)) in
                    rule.as_array().unwrap().iter().zip(value.as_array().unwrap()).enumerate()
                {
                    found.extend(faults(root, rule, item, &format!("{at}[{i}]")));
                }
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            other => panic!("the schema uses {other}"),
        };
        if !fits {
            found.push(format!("{at}: {word} {rule}"));
        }
    }
    found
}

/// Each way to take one field of an object out of `value`, at any depth, as (path, what is left).
fn without_a_field(value: &Value, at: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{at}.{name}");
                let mut fewer = fields.clone();
                fewer.remove(name);
                all.push((path.clone(), Value::Object(fewer)));
                for (path, changed) in without_a_field(field, &path) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    all.push((path, Value::Object(fields)));
                }
            }
        }
        // The items of a list are alike.
        Value::Array(items) if !items.is_empty() => {
            for (path, changed) in without_a_field(&items[0], &format!("{at}[0]")) {
                let mut items = items.clone();
                items[0] = changed;
                all.push((path, Value::Array(items)));
            }
        }
        _ => {}
    }
    all
}

#[test]
fn a_real_report_is_valid_by_the_schema_and_no_part_of_its_attack_may_be_missing() {
    let schema: Value = serde_json::from_str(&Report::schema()).unwrap();
    let report = serde_json::to_value(stored()).unwrap();
    assert_eq!(faults(&schema, &schema, &report, "report"), Vec::<String>::new());
    assert!(report["attack"]["views"][0]["trade_off"].is_array(), "the stored report has an attack");

    let attack = &schema["properties"]["attack"];
    let faults_of = |value: &Value| faults(&schema, attack, value, "attack");
    let all = without_a_field(&report["attack"], "attack");
    assert!(all.len() > 60);
    for (path, fewer) in all {
        assert!(!faults_of(&fewer).is_empty(), "{path} may be missing");
    }
    let mut other = report["attack"].clone();
    other["claim"]["more"] = json!(1);
    assert!(!faults_of(&other).is_empty());
    other = report["attack"].clone();
    other["verdict"] = json!("safe");
    assert!(!faults_of(&other).is_empty());
    assert!(faults_of(&json!({"not_assessed": "nobody asked"})).is_empty());
}

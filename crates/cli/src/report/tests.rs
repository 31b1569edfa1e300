//! The renderings of one stored report against stored files, its schema, and what hostile words do to them.
//!
//! `testdata/report.json` is the demo's report. After a deliberate change, `REPORT=overwrite` assembles it again from its facts
//! and writes the other files anew; run it twice, as the others are written from it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::view::Cell;
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
        // Reports of before table and verdict were of one confidence have neither.
        let may_be_null =
            may_be_null || path == "/interval_confidence" || path == "/views/0/low_fpr/0/allowed";
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

/// Uniform and normal numbers from a linear congruential generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.next().ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// The stored report after an attack against a mechanism of this share of the claim's mu, with the verdict that the attack's own
/// functions give.
fn attacked(random: &mut Random, share: f64, n: usize, shared: bool) -> Report {
    use cryptotl_privacy::audit::crowd::{Crowd, LOW_RATES, PairErrors, Thresholds};
    use cryptotl_privacy::audit::{Allowed, VERDICT_CONFIDENCE, View, contradicts, verdict, verdict_alpha};
    let mut report = stored();
    let Assessed::Assessed(mut evidence) = report.attack.clone() else { panic!("it has an attack") };
    let claim = evidence.claim.clone();
    let (canaries, mu) = (24, share * claim.mu);
    let (thresholds, allowed) = (Thresholds::new(claim.mu), Allowed::by(&claim));
    let mut contradicted = false;
    evidence.views.clear();
    for view in View::ALL {
        let mut scores = |mu: f64| -> Vec<f64> {
            // A mechanism that is wrong can decide all guesses of a training at once.
            let one = random.normal();
            (0..canaries).map(|_| mu + if shared { one } else { random.normal() }).collect()
        };
        let pairs: Vec<PairErrors> =
            (0..n).map(|_| PairErrors::count(&thresholds, &scores(mu), &scores(0.0))).collect();
        let crowd = Crowd {
            losses: claim.losses,
            thresholds: &thresholds,
            canaries,
            horizon: n,
            pairs: &pairs,
            delta: claim.guarantee.delta,
        };
        contradicted |= contradicts(&claim, crowd.mu(verdict_alpha()), crowd.epsilon(verdict_alpha()));
        let found = crowd.evaluate(view, LOW_RATES.map(|rate| claim.losses.tpr(claim.mu, rate)), &allowed);
        contradicted |= allowed.is_exceeded_in(&found);
        evidence.views.push(found);
    }
    evidence.verdict = verdict(contradicted, &evidence.controls);
    evidence.interval_confidence = Some(VERDICT_CONFIDENCE);
    report.verdict = evidence.verdict.into();
    report.attack = Assessed::Assessed(evidence);
    report
}

#[test]
fn no_point_speaks_against_the_promise_unless_the_verdict_does() {
    let mut random = Random(14);
    let (mut n_falsified, mut n_others) = (0, 0);
    for case in 0..60 {
        let share = [0.5, 1.0, 1.0, 1.2, 2.0, 8.0][case % 6];
        let report = attacked(&mut random, share, [8, 60, 250][case % 3], case % 5 == 0);
        let curve = curve::Curve::of_release(&report.guarantee.profile);
        let evidence = report.attack.evidence().unwrap();
        let points: Vec<_> = evidence
            .views
            .iter()
            .flat_map(|view| view.trade_off.iter().copied().chain(view.low_fpr.iter().map(|p| p.errors())))
            .collect();
        let beyond = points.iter().filter(|point| figure::is_beyond(&curve, point)).count();
        let says_so =
            [html(&report).unwrap(), markdown(&report)].map(|text| text.contains("contradicts the promise"));
        if report.verdict == Verdict::Falsified {
            n_falsified += 1;
        } else {
            n_others += 1;
            assert_eq!((beyond, says_so), (0, [false; 2]), "{share}: {:?}", report.verdict);
        }
    }
    assert!(n_falsified >= 10 && n_others >= 10, "{n_falsified} {n_others}");
    // Where a record is plainly recognized, table and verdict say it together.
    let plain = attacked(&mut random, 20.0, 250, false);
    assert_eq!(plain.verdict, Verdict::Falsified);
    assert!(html(&plain).unwrap().contains("contradicts the promise"));
}

#[test]
fn intervals_that_took_no_part_in_the_verdict_never_contradict_it() {
    // In the stored report each interval holds by itself, and one is above what is allowed at the rate it was made for.
    let report = stored();
    let evidence = report.attack.evidence().unwrap();
    assert_eq!(report.verdict, Verdict::NotFalsified);
    if evidence.interval_confidence.is_none() {
        let page = html(&report).unwrap();
        assert!(!page.contains("contradicts the promise") && page.contains("Each interval holds by itself"));
    }
    // What a reader of such a report sees even if an interval lies wholly above.
    let mut worse = evidence.clone();
    worse.interval_confidence = None;
    for view in &mut worse.views {
        for point in &mut view.low_fpr {
            point.tpr = cryptotl_privacy::audit::Rate { estimate: 0.9, low: 0.8, high: 0.95 };
        }
    }
    let report = Report { attack: Assessed::Assessed(worse), ..report };
    for text in [html(&report).unwrap(), markdown(&report)] {
        assert!(!text.contains("contradicts the promise") && text.contains("not part of the verdict"));
    }
}

#[test]
fn an_attack_that_left_something_open_says_what_to_run_next() {
    use cryptotl_privacy::audit::{Preset, Verdict as Found};
    let Assessed::Assessed(evidence) = stored().attack else { panic!("it has an attack") };
    let step = |verdict, preset, completed, target| {
        let mut found = evidence.clone();
        (found.verdict, found.settings.preset, found.completed) = (verdict, preset, completed);
        found.settings.runs = 500;
        attack::next_step(Some(&found), target, "cryptotl audit --head h")
    };
    let quick = step(Found::Inconclusive, Preset::Quick, true, 1.0).unwrap();
    assert_eq!(quick, "cryptotl audit --head h", "the default is longer");
    for preset in [Preset::Default, Preset::Custom] {
        let longer = step(Found::Inconclusive, preset, true, 1.0).unwrap();
        assert_eq!(longer, "cryptotl audit --head h --runs 2000");
        assert_eq!(step(Found::Inconclusive, preset, false, 1.0).unwrap(), "cryptotl audit --head h");
    }
    assert_eq!(step(Found::NotFalsified, Preset::Default, true, 1.0), None);
    assert_eq!(step(Found::Falsified, Preset::Quick, true, 1.0), None);
    // The headline alone is above the promise, once in a while.
    assert!(step(Found::NotFalsified, Preset::Default, true, 0.1).is_some());
    assert_eq!(attack::next_step(None, 1.0, "cryptotl audit"), None);

    let mut report = stored();
    report.verdict = Verdict::Inconclusive;
    report.next_step = Some(quick);
    for text in [html(&report).unwrap(), markdown(&report)] {
        assert!(text.contains("Run next"), "{text}");
    }
    report.next_step = None;
    report.audited_epsilon_lower_bound = Some(report.target_epsilon * 1.01);
    report.verdict = Verdict::NotFalsified;
    let front = front::Front::of(&report);
    let attack = front.answers.last().unwrap();
    assert_eq!(attack.status, Status::Warn);
    assert!(!attack.words.contains("not more than"), "{}", attack.words);
}

#[test]
fn every_hazard_is_a_question() {
    let report = stored();
    assert!(report.hazards.len() > 20);
    for hazard in &report.hazards {
        assert!(hazard.hazard.ends_with('?'), "{}", hazard.hazard);
    }
}

#[test]
fn what_is_signed_stands_beside_what_was_not_assessed() {
    let report = stored();
    let n = report.hazards.iter().filter(|hazard| hazard.status == Status::NotAssessed).count();
    assert!(n > 3 && report.not_assessed().len() >= n);
    let page = html(&report).unwrap();
    let sign_off = page.split("id=\"sign-off\"").nth(1).unwrap();
    assert!(sign_off.contains(&report.identity.head_digest));
    let text = markdown(&report);
    let signed = text.split("## Sign-off").nth(1).unwrap();
    for hazard in report.hazards.iter().filter(|hazard| hazard.status == Status::NotAssessed) {
        assert!(sign_off.contains(&hazard.hazard) && signed.contains(&hazard.hazard), "{}", hazard.hazard);
    }
}

#[test]
fn the_bar_and_the_drawing_of_the_budget_are_in_rho() {
    let mut report = stored();
    let run = report.budget.runs[0].clone();
    report.budget.rho_cap = (10.0 * run.rho.parse::<f64>().unwrap()).to_string();
    report.budget.epsilon_cap = 3.5;
    for runs in 1..=10 {
        report.budget.runs = vec![run.clone(); runs];
        assert!((report.budget.share_spent() - runs as f64 / 10.0).abs() < 1e-12);
        let spent = &front::Front::of(&report).answers[1];
        assert!((spent.share.unwrap() - runs as f64 / 10.0).abs() < 1e-12, "not epsilon over cap");
    }
    report.budget.releases_left =
        Some(budget::ReleasesLeft { last_epsilon: Some(1.0), like_last: Some(9), at_limit: 2 });
    report.budget.runs = vec![run];
    let left = &front::Front::of(&report).answers[2];
    assert!(
        left.words.contains("90 % of the budget is left, enough for 9 more at epsilon 1.000"),
        "{}",
        left.words
    );
    assert!(left.words.contains("do not add up in epsilon"), "{}", left.words);
}

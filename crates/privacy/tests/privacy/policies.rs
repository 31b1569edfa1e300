//! The shipped privacy configurations and what a bad one is told.

use std::fs;
use std::path::Path;

use cryptotl_privacy::{Accountant, Adjacency, Policy, PrivacyUnit, Rho, largest_rho, largest_rho_by};

const GOOD: &str = r#"
version = 1
name = "good"
unit = "record"
adjacency = "add-remove"
accountant = "zcdp"
epsilon_cap = 4.0
epsilon_per_release_max = 2.0
delta = { exponent = 1.1 }
"#;

fn shipped(name: &str) -> Policy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../privacy-configs");
    Policy::from_toml(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// The largest rho for 10000 records.
fn cap_of(policy: &Policy) -> Rho {
    let delta = policy.delta(10_000).unwrap();
    largest_rho_by(policy.accountant(), policy.epsilon_cap(), delta).unwrap()
}

/// The error for the good policy with one line replaced (or removed, if `line` is empty).
fn error_with(field: &str, line: &str) -> String {
    let changed: Vec<&str> =
        GOOD.lines().map(|old| if old.starts_with(field) { line } else { old }).collect();
    Policy::from_toml(&changed.join("\n")).unwrap_err().to_string()
}

#[test]
fn the_shipped_policies_resolve_to_pinned_numbers() {
    // For 10000 records: accountant, cap, limit for one release, delta, largest rho.
    let (zcdp, gdp) = (Accountant::Zcdp, Accountant::Gdp);
    for (file, accountant, cap, per_release, delta, rho) in [
        ("demo.toml", zcdp, 8.0, 8.0, 3.9810717055349695e-5, "1.367497632943"),
        ("standard.toml", gdp, 4.0, 2.0, 1e-6, "0.351001963624"),
        ("strict.toml", zcdp, 1.0, 0.5, 1e-8, "0.017205318039"),
    ] {
        let policy = shipped(file);
        assert_eq!(policy.accountant(), accountant, "{file}");
        assert_eq!(policy.epsilon_cap().get(), cap, "{file}");
        assert_eq!(policy.epsilon_per_release_max().get(), per_release, "{file}");
        let resolved = policy.delta(10_000).unwrap();
        assert_eq!(resolved.get(), delta, "{file}");
        let cap = cap_of(&policy);
        assert_eq!(cap.to_string(), rho, "{file}");
        assert_eq!(format!("{}.toml", policy.name()), file);
    }
}

#[test]
fn a_policy_may_protect_persons_and_count_by_replacement() {
    let text = GOOD.replace("\"record\"", "\"person:4\"").replace("\"add-remove\"", "\"replace\"");
    let policy = Policy::from_toml(&text).unwrap();
    let contributions = 4.try_into().unwrap();
    assert_eq!(policy.unit(), PrivacyUnit::Person { contributions });
    assert_eq!(policy.adjacency(), Adjacency::Replace);
    assert_ne!(policy.digest(), Policy::from_toml(GOOD).unwrap().digest());
    // Neither changes what an epsilon is worth: the cap in rho is that of the unit and adjacency chosen.
    let delta = policy.delta(10_000).unwrap();
    assert_eq!(largest_rho(policy.epsilon_cap(), delta).unwrap().to_string(), "0.423312541705");
}

#[test]
fn a_policy_without_an_accountant_counts_by_zcdp_as_the_first_ones_did() {
    let without = Policy::from_toml(&GOOD.replace("accountant = \"zcdp\"\n", "")).unwrap();
    let with = Policy::from_toml(GOOD).unwrap();
    assert_eq!(without, with);
    assert_eq!(without.digest(), with.digest());
    let exact = Policy::from_toml(&GOOD.replace("zcdp", "gdp")).unwrap();
    assert_ne!(exact.digest(), with.digest());
    // Privacy loss distributions have no filter.
    assert!(error_with("accountant", "accountant = \"pld\"").contains("zcdp"));
}

#[test]
fn three_releases_at_the_limit_fit_the_standard_and_strict_caps() {
    for file in ["standard.toml", "strict.toml"] {
        let policy = shipped(file);
        let delta = policy.delta(10_000).unwrap();
        let one = largest_rho_by(policy.accountant(), policy.epsilon_per_release_max(), delta).unwrap();
        let cap = cap_of(&policy);
        assert!(one.times(3).unwrap() <= cap, "{file}: {one} of {cap}");
    }
}

#[test]
fn every_field_of_a_policy_is_documented_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../privacy-configs");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    for line in GOOD.lines().filter(|line| line.contains('=')) {
        let field = line.split_whitespace().next().unwrap();
        assert_eq!(readme.matches(&format!("| `{field}` |")).count(), 1, "{field}");
    }
}

#[test]
fn an_error_names_the_field_and_the_remedy() {
    for (field, line, words) in [
        ("version", "version = 2", ["`version` is 2", "matching program"]),
        ("version", "", ["missing field `version`", "README"]),
        ("name", "name = \"two words\"", ["`name`", "letters"]),
        ("name", "name = \"\"", ["`name`", "letters"]),
        ("unit", "unit = \"household\"", ["household", "person:4"]),
        ("unit", "unit = \"person\"", ["person", "person:4"]),
        ("unit", "unit = \"person:0\"", ["person:0", "person:4"]),
        ("unit", "unit = { person = 4 }", ["unit", "string"]),
        ("unit", "unit = \"record\"\ncontributions = 4", ["unknown field `contributions`", "unit"]),
        ("adjacency", "adjacency = \"swap\"", ["swap", "add-remove"]),
        ("epsilon_cap", "epsilon_cap = nan", ["epsilon_cap", "finite"]),
        ("epsilon_cap", "epsilon_cap = inf", ["epsilon_cap", "finite"]),
        ("epsilon_cap", "epsilon_cap = -1.0", ["epsilon_cap", "above 0"]),
        ("epsilon_cap", "epsilon_cap = 1e308", ["epsilon_cap", "at most"]),
        ("epsilon_cap", "epsilon_cap = 1.0", ["`epsilon_per_release_max` is 2", "lower"]),
        ("epsilon_per", "epsilon_per_release_max = 0.0", ["epsilon_per_release_max", "above 0"]),
        ("delta", "delta = 0.0", ["delta", "above 0"]),
        ("delta", "delta = 1", ["delta", "below 1"]),
        ("delta", "delta = \"1e-5\"", ["delta", "exponent = 1.1"]),
        ("delta", "delta = { exponent = 1.0 }", ["delta.exponent", "above 1"]),
        ("delta", "delta = { exponent = nan }", ["delta.exponent", "above 1"]),
        ("delta", "delta = { power = 1.1 }", ["power", "exponent"]),
        ("delta", "delta = 1e-5\nepsilon = 3", ["unknown field `epsilon`", "epsilon_cap"]),
    ] {
        let error = error_with(field, line);
        for word in words {
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}

#[test]
fn delta_is_a_number_or_a_rule_and_stays_below_one_over_the_population() {
    let by_rule = Policy::from_toml(GOOD).unwrap().delta(1_000_000).unwrap().get();
    assert!((by_rule / 10_f64.powf(-6.6) - 1.0).abs() < 1e-12, "{by_rule}");
    let fixed = Policy::from_toml(&GOOD.replace("{ exponent = 1.1 }", "1e-5")).unwrap();
    assert_eq!(fixed.delta(10_000).unwrap().get(), 1e-5);
    let error = fixed.delta(200_000).unwrap_err().to_string();
    assert!(error.contains("1/200000"), "{error}");
    for public_size in [0, 1] {
        assert!(fixed.delta(public_size).unwrap_err().to_string().contains("at least 2"));
    }
    assert!(Policy::from_toml(GOOD).unwrap().delta(u64::MAX).is_ok());
}

#[test]
fn the_digest_is_of_the_fields_and_not_of_the_layout() {
    let one = Policy::from_toml(GOOD).unwrap();
    let commented = Policy::from_toml(&format!("# a comment\n{}", GOOD.replace("4.0", "4.00"))).unwrap();
    assert_eq!(one.digest(), commented.digest());
    let other = Policy::from_toml(&GOOD.replace("4.0", "4.5")).unwrap();
    assert_ne!(one.digest(), other.digest());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
    /// Whatever is done to a policy, it is one that keeps the rules, or it is refused in words.
    #[test]
    fn an_altered_policy_is_a_policy_or_refused(
        edits in proptest::collection::vec((0..200_usize, 0..40_usize, "[ -~\n]{0,6}"), 1..4),
    ) {
        let mut text = GOOD.to_owned();
        for (start, length, with) in edits {
            let start = start.min(text.len());
            text.replace_range(start..(start + length).min(text.len()), &with);
        }
        match Policy::from_toml(&text) {
            Ok(policy) => {
                proptest::prop_assert!(cryptotl_privacy::is_name(policy.name()));
                proptest::prop_assert!(policy.epsilon_per_release_max() <= policy.epsilon_cap());
            }
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}

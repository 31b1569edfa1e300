//! `registry.yaml`: the report as an entry of OpenDP's registry of deployments, to be completed by whoever publishes.
//!
//! Sections, fields and the words of enumerations are those of the registry's schema (`schemas/deployments-schema.yaml` of the
//! public repository `opendp/deployments-registry-data`) as of [`SCHEMA_DATE`]. What only the publisher knows is left to be
//! filled in.

use serde::Serialize;

use super::{Report, words};

/// The date of the registry's schema that entries fit.
pub const SCHEMA_DATE: &str = "2026-07-15";
/// The first words of every entry.
pub const START: &str = "# An entry for OpenDP's registry of deployments";

#[derive(Serialize)]
struct Entry {
    url_slug: String,
    status: &'static str,
    tier: u8,
    deployment: Deployment,
}

#[derive(Serialize)]
struct Deployment {
    basic: Basic,
    dp_variant: Variant,
    privacy_loss: Loss,
    deployment_model: Model,
    accounting: Accounting,
    implementation: Implementation,
    administrative: Administrative,
}

#[derive(Serialize)]
struct Basic {
    name: String,
    data_curators: Vec<Curator>,
    intended_use: String,
    data_product_type: &'static str,
    data_product_region: String,
    description: String,
    publication_date: String,
}

#[derive(Serialize)]
struct Curator {
    data_curator_name: String,
    data_curator_type: &'static str,
}

#[derive(Serialize)]
struct Variant {
    variant_name: &'static str,
    data_domain: String,
    unprotected_quantities: String,
}

#[derive(Serialize)]
struct Loss {
    privacy_unit: String,
    privacy_unit_details: String,
    privacy_parameters: Parameters,
    privacy_parameters_details: String,
}

#[derive(Serialize)]
struct Parameters {
    epsilon: f64,
    delta: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rho: Option<f64>,
}

#[derive(Serialize)]
struct Model {
    model_name: &'static str,
    model_name_details: String,
    actors: String,
    release_type: &'static str,
    release_type_details: String,
    data_source_type: &'static str,
    access_type: &'static str,
}

#[derive(Serialize)]
struct Accounting {
    post_processing: String,
    composition: String,
}

#[derive(Serialize)]
struct Implementation {
    preprocessing_and_hyperparameter_tuning: String,
    mechanisms: String,
    justification: String,
}

#[derive(Serialize)]
struct Administrative {
    sources: String,
    registry_authors: Vec<String>,
}

/// The entry.
///
/// # Errors
/// The serializer's own, of which there should be none.
pub fn render(report: &Report) -> Result<String, serde_saphyr::ser::Error> {
    let entry = Entry {
        url_slug: slug(report),
        status: "Draft",
        tier: 3,
        deployment: Deployment {
            basic: basic(report),
            dp_variant: Variant {
                variant_name: variant(report),
                data_domain: format!(
                    "labeled texts, at most {} units",
                    words::grouped(report.dataset.public_size)
                ),
                unprotected_quantities: lines(&report.scope.unprotected),
            },
            privacy_loss: loss(report),
            deployment_model: model(report),
            accounting: Accounting {
                post_processing: report.mechanism.normalizer.clone(),
                composition:
                    "Losses of all runs add up in rho in a ledger that is charged before data is read."
                        .to_owned(),
            },
            implementation: Implementation {
                preprocessing_and_hyperparameter_tuning: lines(
                    report.preprocessing.steps.iter().chain([&report.preprocessing.tuning]),
                ),
                mechanisms: lines([
                    &report.mechanism.summary,
                    &format!("Random numbers: {}.", report.mechanism.entropy),
                ]),
                justification: format!("Attack on the mechanism: {}.", report.verdict.words()),
            },
            administrative: Administrative {
                sources: format!("Head, SHA-256: {}", report.identity.head_digest),
                registry_authors: vec![String::new()],
            },
        },
    };
    Ok(format!(
        "{START}, by its schema of {SCHEMA_DATE}.\n\
         # To be filled in: data_curators (Industry stands for Government, Industry or Nonprofit), data_product_region,\n\
         # registry_authors; and data_product_sector, which is not known here.\n{}",
        serde_saphyr::to_string(&entry)?
    ))
}

/// A name for addresses: the population's letters and digits, and the first digits of the head's digest.
fn slug(report: &Report) -> String {
    let population = report.dataset.population.to_lowercase();
    let words: Vec<&str> =
        population.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let digest: String = report.identity.head_digest.chars().take(8).collect();
    [&words[..], &["classifier", digest.as_str()]].concat().join("-")
}

fn basic(report: &Report) -> Basic {
    Basic {
        name: format!("{} classifier", report.dataset.population),
        data_curators: vec![Curator { data_curator_name: String::new(), data_curator_type: "Industry" }],
        intended_use: format!("Tell {} apart.", report.product.labels.join(" and ")),
        data_product_type: "Machine learning model",
        data_product_region: String::new(),
        description: format!(
            "{}. It reads {} of the encoder {}.",
            report.product.kind, report.product.inputs, report.product.encoder
        ),
        publication_date: super::budget::day(&report.budget.as_of),
    }
}

/// The registry knows no Gaussian DP and no loss that holds up to an order only. What is promised by them is approximate DP
/// all the same, and the details name the theory.
fn variant(report: &Report) -> &'static str {
    let is_zcdp = report.budget.accountant == "zcdp" && report.guarantee.order.is_none();
    if is_zcdp { "Zero-concentrated DP" } else { "Approximate DP" }
}

fn loss(report: &Report) -> Loss {
    let promise = &report.guarantee;
    let is_zcdp = variant(report) == "Zero-concentrated DP";
    let neighbors = match promise.adjacency.as_str() {
        "replace" => "Neighbors differ in the data of one unit, in change-one distance at most 1.",
        _ => "Neighbors differ by one unit more or fewer, in symmetric distance at most 1.",
    };
    Loss {
        privacy_unit: if promise.unit == "record" { "Record-level" } else { "User-level" }.to_owned(),
        privacy_unit_details: format!("{neighbors} {}", report.sentence),
        privacy_parameters: Parameters {
            epsilon: promise.epsilon,
            delta: promise.delta,
            rho: promise.rho.parse().ok().filter(|_| is_zcdp),
        },
        privacy_parameters_details: format!(
            "This release alone, proven by {}. All releases from the population together: epsilon {} of at most {}.",
            promise.proof,
            words::loss(report.budget.epsilon_spent),
            words::cap(report.budget.epsilon_cap)
        ),
    }
}

fn model(report: &Report) -> Model {
    let actors = &report.setting.actors;
    let runs = report.budget.runs.len();
    Model {
        model_name: "Central",
        model_name_details: report.setting.assumptions.first().cloned().unwrap_or_default(),
        actors: lines(actors.iter().map(|a| format!("{}: keeps {}; sees {}", a.name, a.keeps, a.sees))),
        release_type: if runs > 1 { "Many releases" } else { "One release" },
        release_type_details: format!(
            "{} on this population so far, all under one budget that is never refilled.",
            words::count(runs, "charged run")
        ),
        data_source_type: "Static",
        access_type: "Non-interactive",
    }
}

/// Points of a list in one text, as the registry's entries have them.
fn lines(points: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    points.into_iter().map(|point| format!("- {}\n", point.as_ref())).collect()
}

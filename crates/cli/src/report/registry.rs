//! `registry.yaml`: the report as an entry of OpenDP's registry of deployments, to be completed by whoever publishes.
//!
//! Fields and words are those of the entries in the registry's public repository (`opendp/deployments-registry-data`)
//! in 2026. What only the publisher knows is left empty.

use serde::Serialize;

use super::{Report, words};

#[derive(Serialize)]
struct Entry {
    status: &'static str,
    deployment: Deployment,
}

#[derive(Serialize)]
struct Deployment {
    product: Product,
    dp_flavor: Flavor,
    privacy_loss: Loss,
    model: Model,
    accounting: Accounting,
    implementation: Implementation,
    resources: Resources,
}

#[derive(Serialize)]
struct Product {
    name: String,
    data_curators: Vec<String>,
    intended_use: String,
    data_product_type: &'static str,
    data_product_region: String,
    description: String,
    publication_date: String,
    data_product_sector: String,
}

#[derive(Serialize)]
struct Flavor {
    name: &'static str,
    input_metric: &'static str,
    bound_on_input_distance: u32,
    output_measure: &'static str,
    bound_on_output_distance: String,
    data_domain: String,
    unprotected_quantities: String,
}

#[derive(Serialize)]
struct Loss {
    privacy_unit: String,
    privacy_unit_description: String,
    privacy_parameters: Parameters,
    privacy_parameters_description: String,
}

#[derive(Serialize)]
struct Parameters {
    epsilon: f64,
    delta: f64,
    rho: f64,
}

#[derive(Serialize)]
struct Model {
    model_name: &'static str,
    model_name_description: String,
    actors: String,
    release_type: &'static str,
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
    pre_processing_eda_hyperparameter_tuning: String,
    mechanisms: String,
    justification: String,
}

#[derive(Serialize)]
struct Resources {
    sources: String,
    registry_authors: Vec<String>,
}

/// The entry.
///
/// # Errors
/// The serializer's own, of which there should be none.
pub fn render(report: &Report) -> Result<String, serde_saphyr::ser::Error> {
    let promise = &report.guarantee;
    let is_person = promise.unit != "record";
    let entry = Entry {
        status: "Draft",
        deployment: Deployment {
            product: Product {
                name: format!("{} classifier", report.dataset.population),
                data_curators: Vec::new(),
                intended_use: format!("Tell {} apart.", report.product.labels.join(" and ")),
                data_product_type: "Machine learning model",
                data_product_region: String::new(),
                description: format!(
                    "{}. It reads {} of the encoder {}.",
                    report.product.kind, report.product.inputs, report.product.encoder
                ),
                publication_date: super::budget::day(&report.budget.as_of),
                data_product_sector: String::new(),
            },
            dp_flavor: Flavor {
                name: if report.budget.accountant == "gdp" { "Gaussian DP" } else { "Zero-concentrated DP" },
                input_metric: if promise.adjacency == "replace" {
                    "Change-one distance"
                } else {
                    "Symmetric distance"
                },
                bound_on_input_distance: 1,
                output_measure: "Zero-concentrated divergence",
                bound_on_output_distance: promise.rho.clone(),
                data_domain: format!(
                    "labeled texts, at most {} units",
                    words::grouped(report.dataset.public_size)
                ),
                unprotected_quantities: lines(&report.scope.unprotected),
            },
            privacy_loss: Loss {
                privacy_unit: if is_person { "User-level" } else { "Record-level" }.to_owned(),
                privacy_unit_description: report.sentence.clone(),
                privacy_parameters: Parameters {
                    epsilon: promise.epsilon,
                    delta: promise.delta,
                    rho: promise.rho.parse().unwrap_or(f64::NAN),
                },
                privacy_parameters_description: format!(
                    "This release alone. All releases from the population together: epsilon {} of at most {}.",
                    words::loss(report.budget.epsilon_spent),
                    words::cap(report.budget.epsilon_cap)
                ),
            },
            model: Model {
                model_name: "Central",
                model_name_description: report.setting.assumptions.first().cloned().unwrap_or_default(),
                actors: lines(
                    report
                        .setting
                        .actors
                        .iter()
                        .map(|a| format!("{}: keeps {}; sees {}", a.name, a.keeps, a.sees)),
                ),
                release_type: if report.budget.runs.len() > 1 { "Many releases" } else { "One release" },
                data_source_type: "Static",
                access_type: "Non-interactive",
            },
            accounting: Accounting {
                post_processing: report.mechanism.normalizer.clone(),
                composition:
                    "Losses of all runs add up in rho in a ledger that is charged before data is read."
                        .to_owned(),
            },
            implementation: Implementation {
                pre_processing_eda_hyperparameter_tuning: lines(
                    report.preprocessing.steps.iter().chain([&report.preprocessing.tuning]),
                ),
                mechanisms: lines([
                    &report.mechanism.summary,
                    &format!("Random numbers: {}.", report.mechanism.entropy),
                ]),
                justification: format!("Attack on the mechanism: {}.", report.verdict.words()),
            },
            resources: Resources {
                sources: format!("Head, SHA-256: {}", report.identity.head_digest),
                registry_authors: Vec::new(),
            },
        },
    };
    serde_saphyr::to_string(&entry)
}

/// Points of a list in one text, as the registry's entries have them.
fn lines(points: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    points.into_iter().map(|point| format!("- {}\n", point.as_ref())).collect()
}

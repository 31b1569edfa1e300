//! The promise: epsilon and delta with their unit and adjacency, at several deltas, for groups, and as the chance
//! of being recognized.

use std::num::NonZeroU32;

use cryptotl_privacy::accountant::{gdp, zcdp};
use cryptotl_privacy::{AccountantError, Delta, Epsilon, Event, Guarantee, PrivacyUnit, Rho};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::figure::Drawing;
use super::view::{Block, Cell, Section, Table};
use super::{Report, words};

/// The sizes of groups whose epsilon is told.
pub const GROUP_SIZES: [u32; 3] = [2, 5, 10];
/// The false positive rates at which the chance of being recognized is told.
const FALSE_POSITIVE_RATES: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];
/// The deltas of the table, one in so many points of the profile.
const TABLE_STEP: usize = 8;

/// The promise of this release alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// The variant of differential privacy that is accounted, and how it is stated.
    pub variant: String,
    /// epsilon at `delta`.
    pub epsilon: f64,
    /// delta.
    pub delta: f64,
    /// The zero-concentrated loss, an exact decimal.
    pub rho: String,
    /// The parameter of exact Gaussian DP; null for DP noise that is not Gaussian.
    pub mu: Option<f64>,
    /// epsilon under exact Gaussian DP, for comparison; null for DP noise that is not Gaussian.
    pub epsilon_gaussian: Option<f64>,
    /// `record` or `person:K`.
    pub unit: String,
    /// `add-remove` or `replace`.
    pub adjacency: String,
    /// epsilon at the same delta for groups of units that change together.
    pub groups: Vec<Group>,
    /// epsilon against delta; every pair holds at once.
    pub profile: Vec<ProfilePoint>,
    /// The most that an attacker can recognize, which follows from the profile.
    pub recognition: Vec<Recognition>,
}

/// What the promise is worth to units that change together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many units.
    pub size: u32,
    /// epsilon at the same delta.
    pub epsilon: f64,
}

/// One point of the privacy profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePoint {
    /// delta.
    pub delta: f64,
    /// epsilon of this release alone.
    pub release_epsilon: f64,
    /// epsilon of all that was spent on the population.
    pub spent_epsilon: f64,
}

/// A bound on every attacker who guesses from the release whether a unit was in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    /// The share of units outside of the data that the attacker takes for units in it.
    pub false_positive_rate: f64,
    /// The largest share of units in the data that the attacker recognizes.
    pub max_true_positive_rate: f64,
}

impl Promise {
    pub(super) fn new(guarantee: &Guarantee, event: &Event, spent: Rho) -> Result<Self, AccountantError> {
        let profile = profile(guarantee.rho, spent)?;
        let curve = Curve::of_release(&profile);
        let mu = is_gaussian(event).then(|| gdp::Mu::from_rho(guarantee.rho));
        let group = |size: u32| {
            let epsilon = guarantee.group_epsilon(NonZeroU32::new(size)?).ok()?.get();
            Some(Group { size, epsilon })
        };
        Ok(Self {
            variant: "zero-concentrated DP, stated as approximate DP".to_owned(),
            epsilon: guarantee.epsilon.get(),
            delta: guarantee.delta.get(),
            rho: guarantee.rho.to_string(),
            mu: mu.map(gdp::Mu::get),
            epsilon_gaussian: mu.and_then(|mu| Some(gdp::epsilon(mu, guarantee.delta).ok()?.get())),
            unit: guarantee.unit.to_string(),
            adjacency: guarantee.adjacency.to_string(),
            groups: GROUP_SIZES.into_iter().filter_map(group).collect(),
            recognition: FALSE_POSITIVE_RATES
                .into_iter()
                .map(|rate| Recognition {
                    false_positive_rate: rate,
                    max_true_positive_rate: curve.true_positives(rate),
                })
                .collect(),
            profile,
        })
    }

    /// The bound on attackers with a false positive rate of one in a hundred.
    pub(super) fn recognized_at_one_percent(&self) -> Option<(usize, &Recognition)> {
        self.recognition.iter().enumerate().find(|(_, r)| r.false_positive_rate == 1e-2)
    }

    /// What one unit is called.
    pub(super) fn noun(&self) -> &'static str {
        self.unit.parse().unwrap_or(PrivacyUnit::Record).noun()
    }

    pub(super) fn section(&self, report: &Report) -> Section {
        let mut facts: Vec<(&str, Cell)> = vec![
            ("epsilon", Cell::figure("/guarantee/epsilon", words::loss(self.epsilon))),
            ("delta", Cell::figure("/guarantee/delta", words::small(self.delta))),
            ("Privacy unit", Cell::Text(format!("one {}", self.unit))),
            ("Neighboring data", Cell::Text(format!("{} of one unit", self.adjacency))),
            ("Accounted in", Cell::Text(self.variant.clone())),
            ("rho", Cell::Code(self.rho.clone())),
        ];
        if let (Some(mu), Some(epsilon)) = (self.mu, self.epsilon_gaussian) {
            facts.push(("mu of exact Gaussian DP", Cell::figure("/guarantee/mu", words::loss(mu))));
            facts.push((
                "its epsilon, not claimed",
                Cell::figure("/guarantee/epsilon_gaussian", words::loss(epsilon)),
            ));
        }
        let recognition = self.recognition.iter().enumerate().map(|(i, r)| {
            vec![
                Cell::figure(
                    format!("/guarantee/recognition/{i}/false_positive_rate"),
                    words::small(r.false_positive_rate),
                ),
                Cell::figure(
                    format!("/guarantee/recognition/{i}/max_true_positive_rate"),
                    words::loss(r.max_true_positive_rate),
                ),
            ]
        });
        let points = self.profile.iter().enumerate().filter(|(i, _)| i % TABLE_STEP == TABLE_STEP / 2);
        let profile = points.map(|(i, p)| {
            let at = |field: &str| format!("/guarantee/profile/{i}/{field}");
            vec![
                Cell::figure(at("delta"), words::small(p.delta)),
                Cell::figure(at("release_epsilon"), words::loss(p.release_epsilon)),
                Cell::figure(at("spent_epsilon"), words::loss(p.spent_epsilon)),
            ]
        });
        let groups = self.groups.iter().enumerate().map(|(i, group)| {
            vec![
                Cell::figure(format!("/guarantee/groups/{i}/size"), group.size.to_string()),
                Cell::figure(format!("/guarantee/groups/{i}/epsilon"), words::loss(group.epsilon)),
            ]
        });
        Section {
            id: "guarantee",
            title: "The promise",
            blocks: vec![
                Block::Quote(report.sentence.clone()),
                Block::Facts(facts),
                Block::Drawing(Drawing::Profile),
                Block::Table(Table {
                    caption: "epsilon at other deltas: each row holds at once",
                    head: vec!["delta", "this release", "all releases"],
                    rows: profile.collect(),
                }),
                Block::Table(Table {
                    caption: "The most that anyone can recognize from the head",
                    head: vec!["false positive rate", "true positive rate, at most"],
                    rows: recognition.collect(),
                }),
                Block::Table(Table {
                    caption: "epsilon for units that change together",
                    head: vec!["units in the group", "epsilon"],
                    rows: groups.collect(),
                }),
            ],
        }
    }
}

/// The epsilon that the accountant gives for a recorded event, at the guarantee's delta.
///
/// # Errors
/// [`AccountantError`] when the event's loss has no epsilon.
pub(super) fn accounted(event: &Event, guarantee: &Guarantee) -> Result<Epsilon, AccountantError> {
    let Guarantee { delta, unit, adjacency, .. } = *guarantee;
    Ok(Guarantee::from_rho(event.rho(), delta, unit, adjacency)?.epsilon)
}

/// epsilon of this release and of everything, at deltas from 0.1 to 1e-12.
fn profile(release: Rho, spent: Rho) -> Result<Vec<ProfilePoint>, AccountantError> {
    let deltas: Vec<Delta> =
        (4..=48).filter_map(|quarter| Delta::new(10f64.powf(-f64::from(quarter) / 4.0)).ok()).collect();
    let (release, spent) = (zcdp::profile(release, &deltas)?, zcdp::profile(spent, &deltas)?);
    Ok(release
        .into_iter()
        .zip(spent)
        .map(|((delta, release), (_, spent))| ProfilePoint {
            delta: delta.get(),
            release_epsilon: release.get(),
            spent_epsilon: spent.get(),
        })
        .collect())
}

/// Whether exact Gaussian DP has a figure for the event.
fn is_gaussian(event: &Event) -> bool {
    matches!(event, Event::GaussianSum(_) | Event::Counts(_))
}

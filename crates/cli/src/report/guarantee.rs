//! The promise: epsilon and delta with their unit and adjacency, at several deltas, for groups, and as the chance
//! of being recognized.

use std::num::NonZeroU32;

use cryptotl_privacy::accountant::gdp;
use cryptotl_privacy::loss::Losses;
use cryptotl_privacy::{AccountantError, Delta, Event, Guarantee, PrivacyUnit, Proof};
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
/// The delta at which a promise is told beside its own, so that promises of small and large populations can be compared.
pub const STRICT_DELTA: f64 = 1e-6;
/// About so many rows of the profile are in the table.
const TABLE_ROWS: usize = 6;

/// The promise of this release alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// By which theory epsilon is proven.
    pub proof: String,
    /// epsilon at `delta`.
    pub epsilon: f64,
    /// delta.
    pub delta: f64,
    /// The zero-concentrated loss, an exact decimal.
    pub rho: String,
    /// The largest order up to which rho holds; null if it holds at all orders.
    pub order: Option<u32>,
    /// The parameter of exact Gaussian DP; null for what is no sum with Gaussian DP noise over all units.
    pub mu: Option<f64>,
    /// epsilon under exact Gaussian DP, with the margin of the integer grid; null like mu.
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
    /// The promise of one release, where all releases together lost `spent`.
    pub(super) fn new(guarantee: &Guarantee, event: &Event, spent: Losses) -> Result<Self, AccountantError> {
        let profile = profile(event, guarantee, spent)?;
        let curve = Curve::of_release(&profile);
        let slack = event.grid_slack();
        let mu = slack.map(|_| gdp::Mu::from_rho(guarantee.rho));
        let on_grid = |(mu, slack)| Some(gdp::epsilon_on_grid(mu, slack, guarantee.delta).ok()?.get());
        let group = |size: u32| {
            let epsilon = guarantee.group_epsilon(NonZeroU32::new(size)?).ok()?.get();
            Some(Group { size, epsilon })
        };
        Ok(Self {
            proof: proof(guarantee.proof).to_owned(),
            epsilon: guarantee.epsilon.get(),
            delta: guarantee.delta.get(),
            rho: guarantee.rho.to_string(),
            order: guarantee.order.map(|order| order.get()),
            mu: mu.map(gdp::Mu::get),
            epsilon_gaussian: mu.zip(slack).and_then(on_grid),
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

    /// The point of the profile at [`STRICT_DELTA`], or at the next smaller delta, whose epsilon holds there as well; `None` if
    /// that is the promise's own delta or the profile does not reach as far.
    pub(super) fn at_strict_delta(&self) -> Option<(usize, &ProfilePoint)> {
        let is_close = |delta: f64, other: f64| (delta / other - 1.0).abs() < 1e-9;
        let reaches = |p: &ProfilePoint| p.delta < STRICT_DELTA || is_close(p.delta, STRICT_DELTA);
        let is_other = !is_close(self.delta, STRICT_DELTA);
        self.profile.iter().enumerate().find(|(_, point)| reaches(point)).filter(|_| is_other)
    }

    /// What one unit is called.
    pub(super) fn noun(&self) -> &'static str {
        self.unit.parse().unwrap_or(PrivacyUnit::Record).noun()
    }

    pub(super) fn section(&self, report: &Report) -> Section {
        let mut facts: Vec<(&str, Cell)> = vec![
            ("epsilon", Cell::figure("/guarantee/epsilon", words::loss(self.epsilon))),
            ("delta", Cell::figure("/guarantee/delta", words::small(self.delta))),
        ];
        if let Some((i, point)) = self.at_strict_delta() {
            let epsilon = Cell::figure(
                format!("/guarantee/profile/{i}/release_epsilon"),
                words::loss(point.release_epsilon),
            );
            facts.push(("epsilon at delta 1e-6", epsilon));
        }
        facts.extend([
            ("Privacy unit", Cell::Text(format!("one {}", self.unit))),
            ("Neighboring data", Cell::Text(format!("{} of one unit", self.adjacency))),
            ("Proven by", Cell::Text(self.proof.clone())),
            ("rho", Cell::Code(self.rho.clone())),
        ]);
        if let (Some(mu), Some(epsilon)) = (self.mu, self.epsilon_gaussian) {
            facts.push(("mu of Gaussian DP", Cell::figure("/guarantee/mu", words::loss(mu))));
            facts.push((
                "epsilon by exact Gaussian DP",
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
        let step = self.profile.len().div_ceil(TABLE_ROWS).max(1);
        let points = self.profile.iter().enumerate().filter(|(i, _)| i % step == step / 2);
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

/// By which theory, in words.
fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Zcdp => "zero-concentrated DP, converted by OpenDP",
        Proof::Gdp => "exact Gaussian DP, with the margin of the integer grid",
        Proof::Pld => "the privacy loss distribution of the steps, with the margin of the integer grid",
        _ => "a theory that this program does not know",
    }
}

/// epsilon of this release and of everything, at deltas from 0.1 to 1e-12. A delta at which a theory has no figure is
/// left out.
fn profile(
    event: &Event,
    guarantee: &Guarantee,
    spent: Losses,
) -> Result<Vec<ProfilePoint>, AccountantError> {
    // A loss distribution takes a moment for each point.
    let step = if guarantee.proof == Proof::Pld { 4 } else { 1 };
    let mut points = Vec::new();
    for quarter in (4..=48).step_by(step) {
        let delta = Delta::new(10f64.powf(-f64::from(quarter) / 4.0))?;
        let release = guarantee.epsilon_at(event, delta);
        let spent = spent.epsilon(guarantee.proof.accountant(), delta);
        if let (Ok(release), Ok(spent)) = (release, spent) {
            points.push(ProfilePoint {
                delta: delta.get(),
                release_epsilon: release.get(),
                spent_epsilon: spent.get(),
            });
        }
    }
    Ok(points)
}

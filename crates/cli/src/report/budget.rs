//! The budget: every run of the population's ledger, what all of them cost together, and what is left.

use std::collections::BTreeMap;

use cryptotl_model::Digest;
use cryptotl_privacy::loss::Losses;
use cryptotl_privacy::{
    Accountant, AccountantError, Adjacency, Delta, EntryKind, Epsilon, Event, Guarantee, PastRelease,
    PrivacyUnit, Rho, Status as LedgerStatus,
};
use cryptotl_trainer::Head;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::evidence::{named, parsed};
use super::figure::Drawing;
use super::view::{Block, Cell, Section, Table};
use super::{mechanism, words};

/// The population's ledger, verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The policy in force.
    pub policy: String,
    /// Whether the policy in force was compared with one that was given, and is that one.
    #[serde(default)]
    pub policy_compared: bool,
    /// The theory that counts every epsilon here: `zcdp` or `gdp`.
    pub accountant: String,
    /// The delta at which every epsilon here is stated.
    pub delta: f64,
    /// The most that all releases together may cost.
    pub epsilon_cap: f64,
    /// The most that one release may cost.
    pub epsilon_per_release_max: f64,
    /// What all runs cost together, recomputed from the entries.
    pub epsilon_spent: f64,
    /// The largest epsilon that one release can still ask for; null when nothing is left.
    pub epsilon_affordable: Option<f64>,
    /// The cap as an exact zero-concentrated loss.
    pub rho_cap: String,
    /// The sum of all runs.
    pub rho_spent: String,
    /// What is left.
    pub rho_remaining: String,
    /// How many more releases what is left is enough for; absent in reports of before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases_left: Option<ReleasesLeft>,
    /// Delta times the public size: how many units the promise would let be published in the clear, on average; absent in
    /// reports of before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_mass: Option<f64>,
    /// Every charge, the oldest first.
    pub runs: Vec<Run>,
    /// Changes of the terms, the oldest first.
    pub amendments: Vec<Amendment>,
    /// Entries that are lost for ever, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// The number of the last entry.
    pub head_seq: u64,
    /// The hash of the last entry.
    pub head_hash: String,
    /// When the last entry was recorded.
    pub as_of: String,
    /// Entries that were recorded at an earlier time than the one before them.
    pub clock_went_back: Vec<u64>,
}

/// How many more releases what is left is enough for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleasesLeft {
    /// The epsilon of the last charge alone; null if such a release could not be asked for any more.
    pub last_epsilon: Option<f64>,
    /// How many more of the same loss as the last charge; null like its epsilon.
    pub like_last: Option<u64>,
    /// How many more at the most that one release may cost.
    pub at_limit: u64,
}

impl From<cryptotl_privacy::ReleasesLeft> for ReleasesLeft {
    fn from(left: cryptotl_privacy::ReleasesLeft) -> Self {
        Self {
            last_epsilon: left.last_epsilon.map(|e| e.get()),
            like_last: left.like_last,
            at_limit: left.at_limit,
        }
    }
}

/// One charge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The number of the entry.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// When, in RFC 3339 and UTC.
    pub recorded_at: String,
    /// The epsilon of the run alone; these do not add up, rho does.
    pub epsilon: f64,
    /// The delta at which that epsilon is stated, which terms in force later may have changed.
    pub delta: f64,
    /// The theory that counted it: `zcdp` or `gdp`.
    pub accountant: String,
    /// The loss.
    pub rho: String,
    /// The event as the ledger records it, whose loss anybody can recompute.
    pub event: Map<String, Value>,
    /// The epsilon of this run and all before it.
    pub epsilon_after: f64,
    /// The digest of what was released; null for a run that released nothing, which is spent all the same.
    pub released: Option<String>,
    /// Whether it is the run that this report is about.
    pub is_this_release: bool,
    /// What it was for, as the ledger has it.
    pub description: BTreeMap<String, String>,
}

/// A change of the terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// The number of the entry.
    pub seq: u64,
    /// When, in RFC 3339 and UTC.
    pub recorded_at: String,
    /// The cap from there on.
    pub epsilon_cap: Option<f64>,
    /// Why.
    pub reason: String,
}

/// Entries that are lost for ever, and what is counted as spent by them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// The number of the entry that says so.
    pub seq: u64,
    /// When, in RFC 3339 and UTC.
    pub recorded_at: String,
    /// What is counted.
    #[schemars(with = "Map<String, Value>")]
    pub losses: Losses,
    /// Why.
    pub reason: String,
}

impl Budget {
    pub(super) fn new(ledger: &LedgerStatus, this_release: u64) -> Result<Self, AccountantError> {
        let mut runs = Vec::new();
        let mut spent = Losses::NONE;
        let mut lost = Vec::new();
        for entry in &ledger.entries {
            if let Some(losses) = entry.lost {
                spent = spent.plus(losses);
                lost.push(Lost {
                    seq: entry.seq,
                    recorded_at: entry.recorded_at.clone(),
                    losses,
                    reason: entry.reason.clone().unwrap_or_default(),
                });
            }
            let stated = entry.epsilon.zip(entry.delta).zip(entry.proof);
            let (Some(event), Some(((epsilon, delta), proof))) = (&entry.event, stated) else { continue };
            spent = spent.plus(Losses::of(event));
            runs.push(Run {
                seq: entry.seq,
                hash: entry.hash.to_string(),
                recorded_at: entry.recorded_at.clone(),
                epsilon: epsilon.get(),
                delta: delta.get(),
                accountant: proof.accountant().to_string(),
                rho: event.rho().to_string(),
                event: mechanism::fields(event),
                epsilon_after: spent.epsilon(ledger.policy.accountant(), ledger.delta)?.get(),
                released: entry.released.clone(),
                is_this_release: entry.seq == this_release,
                description: entry.description.clone().unwrap_or_default(),
            });
        }
        let amendments = ledger.entries.iter().filter(|entry| entry.kind == EntryKind::Amendment);
        Ok(Self {
            policy: ledger.policy.name().to_owned(),
            policy_compared: false,
            accountant: ledger.policy.accountant().to_string(),
            delta: ledger.delta.get(),
            epsilon_cap: ledger.epsilon_cap.get(),
            epsilon_per_release_max: ledger.policy.epsilon_per_release_max().get(),
            epsilon_spent: ledger.epsilon_spent.get(),
            epsilon_affordable: ledger.epsilon_affordable.map(|e| e.get()),
            rho_cap: ledger.rho_cap.to_string(),
            rho_spent: ledger.rho_spent.to_string(),
            rho_remaining: ledger.rho_remaining.to_string(),
            releases_left: Some(ledger.releases_left.into()),
            delta_mass: Some(ledger.delta_mass),
            runs,
            amendments: amendments
                .map(|entry| Amendment {
                    seq: entry.seq,
                    recorded_at: entry.recorded_at.clone(),
                    epsilon_cap: entry.epsilon_cap.map(|e| e.get()),
                    reason: entry.reason.clone().unwrap_or_default(),
                })
                .collect(),
            lost,
            head_seq: ledger.head.seq,
            head_hash: ledger.head.hash.to_string(),
            as_of: ledger.entries.last().map(|entry| entry.recorded_at.clone()).unwrap_or_default(),
            clock_went_back: ledger.clock_went_back.clone(),
        })
    }

    /// The same with every figure computed again that follows from the recorded events, on these terms, where the entry
    /// `this_release` paid for the head.
    ///
    /// # Errors
    /// What of it is none of the things that it should be.
    pub(super) fn recomputed(&self, terms: Terms, this_release: u64) -> Result<Self, String> {
        let mut budget = self.clone();
        let (accountant, delta): (Accountant, Delta) = (named(&self.accountant)?, delta(self.delta)?);
        let epsilon = |losses: Losses| losses.epsilon(accountant, delta).map_err(|e| e.to_string());
        let mut spent = Losses::NONE;
        let mut lost = self.lost.iter().peekable();
        for run in &mut budget.runs {
            while let Some(earlier) = lost.next_if(|lost| lost.seq < run.seq) {
                spent = spent.plus(earlier.losses);
            }
            let (event, guarantee) = run.guarantee(terms)?;
            spent = spent.plus(Losses::of(&event));
            run.rho = event.rho().to_string();
            run.epsilon = guarantee.epsilon.get();
            run.epsilon_after = epsilon(spent)?.get();
            run.is_this_release = run.seq == this_release;
        }
        spent = lost.fold(spent, |spent, lost| spent.plus(lost.losses));
        budget.rho_spent = spent.rho().to_string();
        budget.epsilon_spent = epsilon(spent)?.get();
        let cap: Rho = parsed(&self.rho_cap)?;
        let remaining = cap.checked_sub(spent.rho()).unwrap_or(Rho::ZERO);
        budget.rho_remaining = remaining.to_string();
        if self.releases_left.is_some() {
            let limit = Epsilon::new(self.epsilon_per_release_max).map_err(|e| e.to_string())?;
            let last = budget.runs.last().map(|run| run.guarantee(terms)).transpose()?;
            let last =
                last.map(|(_, Guarantee { epsilon, delta, rho, .. })| PastRelease { epsilon, delta, rho });
            let left = cryptotl_privacy::ReleasesLeft::new(accountant, (limit, delta), remaining, last);
            budget.releases_left = Some(left.map_err(|e| e.to_string())?.into());
        }
        Ok(budget)
    }

    /// The run of an entry.
    pub(super) fn run(&self, seq: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.seq == seq)
    }

    /// Puts what a head says of itself into the run that paid for it.
    pub(super) fn pays_for(&mut self, head: &Head, digest: Digest) {
        let header = &head.header;
        if let Some(own) = self.runs.iter_mut().find(|run| run.seq == header.witness.seq) {
            own.hash = header.witness.hash.to_string();
            own.event = mechanism::fields(&header.event);
            own.description.clone_from(&header.description);
            own.released = Some(digest.to_string());
        }
    }

    /// Runs that cost and released nothing: failed, interrupted, or tried and not published.
    pub(super) fn unreleased(&self) -> usize {
        self.runs.iter().filter(|run| run.released.is_none()).count()
    }

    /// The share of the budget that was spent by the first runs, from 0: in rho over the cap, because rho is what adds up.
    /// By Gaussian DP it is the share of mu squared, which is the same.
    pub(super) fn share_of(&self, runs: usize) -> f64 {
        let rho = |decimal: &str| decimal.parse().unwrap_or(f64::NAN);
        self.runs[..runs].iter().map(|run| rho(&run.rho)).sum::<f64>() / rho(&self.rho_cap)
    }

    /// The share of the budget that was spent by all runs.
    pub(super) fn share_spent(&self) -> f64 {
        self.share_of(self.runs.len())
    }

    /// How many more releases what is left is enough for, in words, and why the epsilons beside it do not add up.
    pub(super) fn left_words(&self) -> String {
        let share = ((1.0 - self.share_spent()).max(0.0) * 1e3).floor() / 10.0;
        let more = self.releases_left.as_ref().map_or_else(String::new, |left| {
            let last = left.last_epsilon.zip(left.like_last).map_or_else(String::new, |(epsilon, count)| {
                format!(
                    "{} more at epsilon {} like the last, or for ",
                    words::grouped(count),
                    words::loss(epsilon)
                )
            });
            format!(
                ", enough for {last}{} at the limit of {}",
                words::grouped(left.at_limit),
                words::cap(self.epsilon_per_release_max)
            )
        });
        format!(
            "{share} % of the budget is left{more}. Losses add up in rho: what is left and what is spent do not add up in epsilon"
        )
    }

    /// What is left, for readers.
    pub(super) fn affordable(&self) -> Cell {
        match self.epsilon_affordable {
            Some(epsilon) => Cell::figure("/budget/epsilon_affordable", words::at_least(epsilon)),
            None => "nothing".into(),
        }
    }

    pub(super) fn section(&self) -> Section {
        let rows = self.runs.iter().enumerate().map(|(i, run)| {
            let at = |field: &str| format!("/budget/runs/{i}/{field}");
            let mut outcome = match &run.released {
                Some(digest) => format!("released {}", short(digest)),
                None => "released nothing; spent all the same".to_owned(),
            };
            if run.is_this_release {
                outcome += " (this head)";
            }
            vec![
                Cell::figure(at("seq"), run.seq.to_string()),
                day(&run.recorded_at).into(),
                run_words(&run.description).into(),
                outcome.into(),
                Cell::figure(at("epsilon"), words::loss(run.epsilon)),
                Cell::figure(at("epsilon_after"), words::loss(run.epsilon_after)),
            ]
        });
        let mut blocks = vec![
            Block::Facts(vec![
                ("Cap", Cell::figure("/budget/epsilon_cap", words::cap(self.epsilon_cap))),
                ("Spent by all runs", Cell::figure("/budget/epsilon_spent", words::loss(self.epsilon_spent))),
                ("Left, in one release", self.affordable()),
                ("Left, in releases", self.left_words().into()),
                (
                    "Most in one release",
                    Cell::figure("/budget/epsilon_per_release_max", words::cap(self.epsilon_per_release_max)),
                ),
                ("Policy", self.policy.clone().into()),
                ("Counted by", self.accountant.clone().into()),
                (
                    "rho spent of cap",
                    format!(
                        "{} of {}, which is {}",
                        self.rho_spent,
                        self.rho_cap,
                        words::percent(self.share_spent())
                    )
                    .into(),
                ),
                ("Runs without a release", words::count(self.unreleased(), "run").into()),
            ]),
            Block::Drawing(Drawing::Budget),
            Block::Table(Table {
                caption: "Every run that was charged, with failed runs and runs for tuning",
                head: vec!["entry", "day", "what", "outcome", "epsilon alone", "epsilon of all so far"],
                rows: rows.collect(),
            }),
        ];
        if !self.amendments.is_empty() {
            let rows = self.amendments.iter().enumerate().map(|(i, amendment)| {
                vec![
                    Cell::figure(format!("/budget/amendments/{i}/seq"), amendment.seq.to_string()),
                    day(&amendment.recorded_at).into(),
                    match amendment.epsilon_cap {
                        Some(cap) => {
                            Cell::figure(format!("/budget/amendments/{i}/epsilon_cap"), words::cap(cap))
                        }
                        None => "unchanged".into(),
                    },
                    amendment.reason.clone().into(),
                ]
            });
            blocks.push(Block::Table(Table {
                caption: "Changes of the terms: who raises a cap knows what was released before",
                head: vec!["entry", "day", "cap from there on", "reason"],
                rows: rows.collect(),
            }));
        }
        for lost in &self.lost {
            blocks.push(Block::Note(format!(
                "Entry {} says that earlier entries are lost for ever, and counts rho {} for them: {}",
                lost.seq,
                lost.losses.rho(),
                lost.reason
            )));
        }
        if !self.clock_went_back.is_empty() {
            blocks.push(Block::Note(format!(
                "The clock went back at entries {:?}. The order of entries does not depend on it.",
                self.clock_went_back
            )));
        }
        blocks.push(Block::Note(
            "Losses add as rho, not as epsilon. A charge is on disk before a record is read, and nothing refunds it. \
             Releases from the same people that were made without this ledger are not seen here."
                .to_owned(),
        ));
        Section { id: "budget", title: "The budget", blocks }
    }
}

/// What one unit is, and which datasets are neighbors.
pub(super) type Terms = (PrivacyUnit, Adjacency);

impl Run {
    /// The recorded event, when this program knows it.
    pub fn recorded(&self) -> Option<Event> {
        serde_json::from_value(Value::Object(self.event.clone())).ok()
    }

    /// The recorded event and what it guarantees alone.
    ///
    /// # Errors
    /// That this program does not know the event, or that there is no figure for it.
    pub(super) fn guarantee(&self, (unit, adjacency): Terms) -> Result<(Event, Guarantee), String> {
        let unknown = || format!("the event of entry {} is none that this program knows", self.seq);
        let event = self.recorded().ok_or_else(unknown)?;
        event.validate(adjacency).map_err(|e| e.to_string())?;
        let guarantee = Guarantee::of(&event, named(&self.accountant)?, delta(self.delta)?, unit, adjacency);
        Ok((event, guarantee.map_err(|e| e.to_string())?))
    }
}

/// What all runs lost together, with what is counted for lost entries.
pub(super) fn spent(budget: &Budget) -> Losses {
    let runs = budget.runs.iter().filter_map(Run::recorded).map(|event| Losses::of(&event));
    runs.chain(budget.lost.iter().map(|lost| lost.losses)).fold(Losses::NONE, Losses::plus)
}

fn delta(value: f64) -> Result<Delta, String> {
    Delta::new(value).map_err(|e| e.to_string())
}

/// What a run was, and how whoever started it named it.
pub fn run_words(description: &BTreeMap<String, String>) -> String {
    let what = ["method", "purpose"].iter().find_map(|key| description.get(*key));
    let what = what.map_or("unnamed", String::as_str);
    match description.get("run") {
        Some(name) => format!("{what}, run {name}"),
        None => what.to_owned(),
    }
}

/// The first digits of a digest.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// The day of an RFC 3339 time.
pub(super) fn day(time: &str) -> String {
    time.chars().take(10).collect()
}

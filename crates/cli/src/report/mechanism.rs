//! What ran: the recorded event, from which the loss was computed.

use cryptotl_privacy::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::view::{Block, Cell, Section};
use super::words;

/// What the fields of events are called. A field that is not here shows under its own name.
const LABELS: &[(&str, &str)] = &[
    ("event", "Kind"),
    ("dimension", "Numbers in one sum"),
    ("clipping_norm", "Clipping norm C"),
    ("noise_multiplier", "Noise multiplier sigma"),
    ("scale", "Scale of the DP noise"),
    ("grid", "Step of the integer grid"),
    ("steps", "Sums T"),
    ("rho_per_step", "rho of one sum"),
    ("rho", "rho of all of them"),
    ("slack", "Slack for the other units"),
    ("sensitivity", "Sensitivity, in grid steps"),
    ("sampling_rate", "Sampling rate q"),
    ("order", "rho holds up to order"),
    ("bins", "Counts"),
    ("candidates", "Candidates"),
];

/// The mechanism that was charged and ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// In one sentence.
    pub summary: String,
    /// The event as the ledger records it, whose loss anybody can recompute.
    pub event: Map<String, Value>,
    /// The source of randomness of the DP noise.
    pub entropy: String,
    /// What turns the noisy answer into the head.
    pub normalizer: String,
}

impl Mechanism {
    pub(super) fn new(event: &Event, entropy: &str) -> Self {
        Self {
            summary: summary(event),
            event: fields(event),
            entropy: entropy.to_owned(),
            normalizer: "sums are divided by the population's public size, never by the number of records"
                .to_owned(),
        }
    }

    pub(super) fn section(&self) -> Section {
        let mut facts: Vec<(&'static str, Cell)> = Vec::new();
        for (name, label) in LABELS {
            let Some(value) = self.event.get(*name) else { continue };
            let cell = match value {
                Value::Number(number) => {
                    let shown = match number.as_u64() {
                        Some(whole) => words::grouped(whole),
                        None => words::number(number.as_f64().unwrap_or(f64::NAN)),
                    };
                    Cell::figure(format!("/mechanism/event/{name}"), shown)
                }
                Value::String(text) => Cell::Code(text.clone()),
                other => Cell::Code(other.to_string()),
            };
            facts.push((label, cell));
        }
        facts.push(("Random numbers", self.entropy.clone().into()));
        facts.push(("Normalizer", self.normalizer.clone().into()));
        let unnamed: Vec<String> = self
            .event
            .iter()
            .filter(|(name, _)| LABELS.iter().all(|(known, _)| known != name))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let mut blocks = vec![Block::Text(self.summary.clone()), Block::Facts(facts)];
        if !unnamed.is_empty() {
            blocks.push(Block::List(unnamed));
        }
        blocks.push(Block::Note(
            "Clipping, rounding, summing and DP noise are one mechanism built from this event, so what ran is what was \
             charged. Contributions are rounded to the grid first and summed as integers; the noise is drawn exactly."
                .to_owned(),
        ));
        Section { id: "mechanism", title: "What ran", blocks }
    }
}

/// The event's fields as the ledger writes them.
pub(super) fn fields(event: &Event) -> Map<String, Value> {
    match serde_json::to_value(event) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn summary(event: &Event) -> String {
    match event {
        Event::GaussianSum(sum) => format!(
            "{} sums of {} numbers over all units, each unit's part clipped to norm {}, with discrete Gaussian DP noise \
             from OpenDP. Records are not sampled.",
            sum.steps, sum.dimension, sum.clipping_norm
        ),
        Event::LaplaceSum(sum) => format!(
            "{} sums of {} numbers over all units, each unit's part clipped to 1-norm {}, with discrete Laplace DP noise \
             from OpenDP. Records are not sampled.",
            sum.steps, sum.dimension, sum.clipping_norm
        ),
        Event::SampledGaussianSum(sum) => format!(
            "{} sums of {} numbers, each over a Poisson sample in which a unit takes part with probability {}, each part \
             clipped to norm {}, with discrete Gaussian DP noise from OpenDP. One mechanism samples, clips and adds noise.",
            sum.steps, sum.dimension, sum.sampling_rate, sum.clipping_norm
        ),
        Event::Counts(counts) => {
            format!("Counts of units in {} bins, with discrete Gaussian DP noise from OpenDP.", counts.bins)
        }
        Event::PerturbedMinimum(_) => {
            "The minimizer of a regularized loss over all units, with DP noise on the objective, on \
                                       the answer, or on both. Records are not sampled."
                .to_owned()
        }
        Event::NoisyMax(choice) => {
            format!(
                "One choice among {} candidates, by the exponential mechanism of OpenDP.",
                choice.candidates
            )
        }
        other => format!(
            "The recorded event `{}`, as its fields say.",
            fields(other).get("event").and_then(Value::as_str).unwrap_or("unnamed")
        ),
    }
}

//! Who sees what: the messages of the actual run, between the two owners and down to everyone.

use maud::{Markup, html};

use super::{Drawing, clipped, figure, rounded};
use crate::report::setting::{Flow, Party, Setting};

const WIDTH: f64 = 420.0;
const DATA_OWNER: f64 = 80.0;
const MODEL_OWNER: f64 = 340.0;
const BOX: f64 = 160.0;
const FIRST_MESSAGE: f64 = 92.0;
const STEP: f64 = 48.0;
/// What fits between the two owners.
const LETTERS: usize = 42;

/// Draws it.
pub fn draw(setting: &Setting) -> Markup {
    let (messages, published): (Vec<&Flow>, Vec<&Flow>) =
        setting.flows.iter().partition(|f| f.to != Party::Everyone);
    let end = FIRST_MESSAGE + STEP * messages.len() as f64;
    let everyone = end + 46.0;
    let is_encrypted = messages.len() > 1;
    let content = html! {
        @for x in [DATA_OWNER, MODEL_OWNER] {
            line class="dash" x1=(x) x2=(x) y1="58" y2=(rounded(if x == DATA_OWNER { everyone } else { end - 18.0 })) {}
        }
        (actor(DATA_OWNER, "Data owner", if is_encrypted { "keeps texts, labels, key" } else { "keeps texts, labels" }))
        (actor(MODEL_OWNER, "Model owner", "keeps its own layers"))
        @for (i, flow) in messages.iter().enumerate() { (message(flow, FIRST_MESSAGE + STEP * i as f64)) }
        @for flow in &published {
            text class="strong" x=(DATA_OWNER + 12.0) y=(rounded(end + 12.0)) { (clipped(&flow.what, LETTERS)) }
            text class="soft" x=(DATA_OWNER + 12.0) y=(rounded(end + 28.0)) { (clipped(&flow.form, LETTERS)) }
        }
        (tip(DATA_OWNER, everyone, 0.0, -1.0))
        rect class="box" x="0.5" y=(rounded(everyone)) width=(WIDTH - 1.0) height="30" rx="5" {}
        text class="strong" x=(WIDTH / 2.0) y=(rounded(everyone + 20.0)) text-anchor="middle" { "Everyone" }
    };
    let moved: Vec<String> = setting
        .flows
        .iter()
        .map(|f| format!("{} to {}: {} ({})", f.from.name(), f.to.name(), f.what, f.form))
        .collect();
    let caption = if setting.both_parties_in_one_process {
        "In this run both owners were one process on one machine: a rehearsal of the separation shown here."
    } else {
        "What moved, in order. Nothing else left either owner."
    };
    figure("flow", Drawing::Flow, (WIDTH, everyone + 31.0), &moved.join(". "), caption, content)
}

fn actor(x: f64, name: &str, keeps: &str) -> Markup {
    html! {
        rect class="box" x=(x - BOX / 2.0 + 0.5) y="0.5" width=(BOX - 1.0) height="52" rx="5" {}
        text class="strong" x=(x) y="22" text-anchor="middle" { (name) }
        text class="soft" x=(x) y="40" text-anchor="middle" { (keeps) }
    }
}

fn message(flow: &Flow, y: f64) -> Markup {
    let (from, to) = match flow.from {
        Party::ModelOwner => (MODEL_OWNER, DATA_OWNER),
        _ => (DATA_OWNER, MODEL_OWNER),
    };
    let middle = WIDTH / 2.0;
    let line = y + 10.0;
    html! {
        text class="strong" x=(middle) y=(rounded(y - 10.0)) text-anchor="middle" { (clipped(&flow.what, LETTERS)) }
        text class="soft" x=(middle) y=(rounded(y + 4.0)) text-anchor="middle" { (clipped(&flow.form, LETTERS)) }
        line class="arrow" x1=(from) x2=(to) y1=(rounded(line)) y2=(rounded(line)) {}
        (tip(to, line, if from < to { -1.0 } else { 1.0 }, 0.0))
    }
}

/// The head of an arrow that ends at a point and comes from a direction.
fn tip(x: f64, y: f64, dx: f64, dy: f64) -> Markup {
    let (length, half) = (8.0, 4.0);
    let (bx, by) = (x + length * dx, y + length * dy);
    let points = [(x, y), (bx + half * dy, by + half * dx), (bx - half * dy, by - half * dx)];
    let points = points.map(|(x, y)| format!("{},{}", rounded(x), rounded(y))).join(" ");
    html! { polygon class="tip" points=(points) {} }
}

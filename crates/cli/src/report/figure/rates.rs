//! What an attacker can do at most under the promise, and what the attack did: as a trade-off of two errors, and as
//! the share that is recognized at low false positive rates.

use cryptotl_privacy::audit::{Rate, TradeOffPoint, View, ViewAudit};
use maud::{Markup, html};

use super::axes::{Axes, SIZE, Scale};
use super::{Drawing, figure, rounded};
use crate::report::Report;
use crate::report::attack::interval_words;
use crate::report::curve::Curve;

/// About so many measured points are drawn with their intervals.
const MARKED: usize = 9;
const SMALLEST_POWER: i32 = -4;

pub fn trade_off(report: &Report) -> Markup {
    let axes = Axes { x: Scale::Linear(0.0, 1.0), y: Scale::Linear(0.0, 1.0) };
    let curve = Curve::of_release(&report.guarantee.profile);
    let bound: Vec<(f64, f64)> =
        (0..=100).map(|i| f64::from(i) / 100.0).map(|a| (a, curve.false_negatives(a))).collect();
    let below = [(0.0, 0.0)].into_iter().chain(bound.iter().copied());
    let transcript = view(report, View::Transcript);
    let (x, y) = axes.at(0.3, curve.false_negatives(0.3) * 0.45);
    let (guess_x, guess_y) = axes.at(0.66, 0.40);
    let content = html! {
        polygon class="shade" points=(axes.points(below)) {}
        (axes.draw("false positive rate", "false negative rate"))
        polyline class="dash" points=(axes.points([(0.0, 1.0), (1.0, 0.0)])) {}
        text class="soft" x=(rounded(guess_x)) y=(rounded(guess_y)) { "guessing" }
        polyline class="a" points=(axes.points(bound)) {}
        text class="la" x=(rounded(x)) y=(rounded(y)) text-anchor="middle" { "ruled out by the promise" }
        @match transcript {
            None => (not_run(&axes, (0.98, 0.92))),
            Some(audit) => { @for point in marked(&audit.trade_off) { (cross(&axes, point)) } },
        }
    };
    let caption = format!("Below the curve is what the promise rules out.{}", marks(report, "below"));
    figure("trade-off", Drawing::TradeOff, SIZE, &describe(report), &caption, content)
}

pub fn roc(report: &Report) -> Markup {
    let axes = Axes { x: Scale::Powers(SMALLEST_POWER, 0), y: Scale::Powers(SMALLEST_POWER, 0) };
    let curve = Curve::of_release(&report.guarantee.profile);
    let rates = || (0..=80).map(|i| 10f64.powf(f64::from(SMALLEST_POWER) * (1.0 - f64::from(i) / 80.0)));
    let bound: Vec<(f64, f64)> = rates().map(|a| (a, curve.true_positives(a))).collect();
    let above = [(1e-9, 1.0)].into_iter().chain(bound.iter().copied());
    let (x, y) = axes.at(4e-4, 0.25);
    let (guess_x, guess_y) = axes.at(2.6e-3, 1.2e-3);
    let content = html! {
        polygon class="shade" points=(axes.points(above)) {}
        (axes.draw("false positive rate", "true positive rate"))
        polyline class="dash" points=(axes.points(rates().map(|a| (a, a)))) {}
        text class="soft" x=(rounded(guess_x)) y=(rounded(guess_y)) { "guessing" }
        polyline class="a" points=(axes.points(bound)) {}
        text class="la" x=(rounded(x)) y=(rounded(y)) { "ruled out by the promise" }
        @match view(report, View::Transcript) {
            None => (not_run(&axes, (0.9, 1.6e-4))),
            Some(audit) => {
                @let low = audit.low_fpr.iter().map(|point| point.errors());
                @for point in marked(&audit.trade_off).copied().chain(low) { (cross(&axes, &recognized(point))) }
            },
        }
    };
    let caption = format!(
        "Both axes by powers of ten, because harm is done at low false positive rates. Above the curve is what the promise \
         rules out.{}",
        marks(report, "above")
    );
    figure("roc", Drawing::Roc, SIZE, &describe(report), &caption, content)
}

/// What the marks of a drawing are, where there are any. They stand where they were measured: at their own false positive rate.
fn marks(report: &Report, side: &str) -> String {
    let Ok(evidence) = report.attack.evidence() else { return String::new() };
    format!(
        " The marks are the attack with all noisy numbers in sight, at the rates that were measured, with the intervals of both. {}. \
         Only a mark that lies wholly {side} the curve, with both intervals, speaks against the promise; the verdict is `{}`.",
        interval_words(evidence),
        report.verdict.words()
    )
}

/// The same point with the true positive rate in the place of the false negative rate.
fn recognized(point: TradeOffPoint) -> TradeOffPoint {
    let Rate { estimate, low, high } = point.fnr;
    TradeOffPoint { fnr: Rate { estimate: 1.0 - estimate, low: 1.0 - high, high: 1.0 - low }, ..point }
}

/// Whether a point lies wholly beyond what a profile allows, as a reader of the drawing sees it.
#[cfg(test)]
pub fn is_beyond(curve: &Curve, point: &TradeOffPoint) -> bool {
    point.fnr.high < curve.false_negatives(point.fpr.high)
}

fn view(report: &Report, kind: View) -> Option<&ViewAudit> {
    report.attack.evidence().ok()?.views.iter().find(|view| view.view == kind)
}

fn not_run(axes: &Axes, (x, y): (f64, f64)) -> Markup {
    let (x, y) = axes.at(x, y);
    html! { text class="soft" x=(rounded(x)) y=(rounded(y)) text-anchor="end" { "no attack was run" } }
}

/// Some of the points, evenly.
fn marked(points: &[TradeOffPoint]) -> impl Iterator<Item = &TradeOffPoint> {
    points.iter().step_by(points.len().div_ceil(MARKED).max(1))
}

/// A point with the intervals of both of its rates.
fn cross(axes: &Axes, point: &TradeOffPoint) -> Markup {
    let (x, y) = axes.at(point.fpr.estimate, point.fnr.estimate);
    let (left, low) = axes.at(point.fpr.low, point.fnr.low);
    let (right, high) = axes.at(point.fpr.high, point.fnr.high);
    html! {
        line class="b" x1=(rounded(left)) x2=(rounded(right)) y1=(rounded(y)) y2=(rounded(y)) {}
        line class="b" x1=(rounded(x)) x2=(rounded(x)) y1=(rounded(low)) y2=(rounded(high)) {}
        circle class="fb" cx=(rounded(x)) cy=(rounded(y)) r="3.5" {}
    }
}

fn describe(report: &Report) -> String {
    let allowed = report.guarantee.recognized_at_one_percent().map_or(1.0, |(_, r)| r.max_true_positive_rate);
    let allowed =
        format!("At a false positive rate of 0.01 the promise allows a true positive rate of {allowed:.4}.");
    let measured = view(report, View::Transcript).and_then(|v| v.low_fpr.iter().find(|p| p.target == 0.01));
    match measured {
        Some(point) => format!(
            "{allowed} The attack reached {:.4} at a measured false positive rate of {:.4}.",
            point.tpr.estimate, point.fpr.estimate
        ),
        None => format!("{allowed} No attack was run."),
    }
}

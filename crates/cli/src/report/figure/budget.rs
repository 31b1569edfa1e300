//! The budget, run by run, with the cap above it.

use maud::{Markup, html};

use super::axes::{Axes, SIZE, Scale};
use super::{Drawing, figure, rounded};
use crate::report::{Report, words};

/// Up to so many runs, each column carries its figure.
const LABELED: usize = 10;

pub fn draw(report: &Report) -> Markup {
    let budget = &report.budget;
    let percent = |runs: usize| 100.0 * budget.share_of(runs);
    let top = percent(budget.runs.len()).max(100.0) * 1.12;
    let n = budget.runs.len().max(1);
    let axes = Axes { x: Scale::Linear(0.0, n as f64), y: Scale::Linear(0.0, top) };
    // A single run does not fill the drawing.
    let width = 0.7_f64.min(6.0 / n as f64 * 0.25 + 0.45).min(if n == 1 { 0.25 } else { 0.7 });
    let every = n.div_ceil(LABELED);
    let (left, cap) = axes.at(0.0, 100.0);
    let (right, _) = axes.at(n as f64, 0.0);
    let content = html! {
        (axes.draw_y("run, by the number of its ledger entry", "percent of the budget, in rho"))
        line class="b" x1=(rounded(left)) x2=(rounded(right)) y1=(rounded(cap)) y2=(rounded(cap)) {}
        text class="lb" x=(rounded(right)) y=(rounded(cap - 7.0)) text-anchor="end" { "cap, epsilon " (words::cap(budget.epsilon_cap)) }
        @for (i, run) in budget.runs.iter().enumerate() {
            @let middle = i as f64 + 0.5;
            @let (x1, y1) = axes.at(middle - width / 2.0, percent(i + 1));
            @let (x2, y2) = axes.at(middle + width / 2.0, percent(i));
            @let (center, base) = axes.at(middle, 0.0);
            rect class=(if run.is_this_release { "fa" } else { "track" }) x=(rounded(x1)) y=(rounded(y1))
                width=(rounded(x2 - x1)) height=(rounded((y2 - y1).max(1.0))) {}
            @if n <= LABELED {
                text class="strong" x=(rounded(center)) y=(rounded(y1 - 6.0)) text-anchor="middle" { (shown(percent(i + 1))) }
            }
            @if i % every == 0 {
                text class="soft" x=(rounded(center)) y=(rounded(base + 18.0)) text-anchor="middle" {
                    (run.seq) @if run.is_this_release && n <= 4 { " (this head)" }
                }
            }
        }
    };
    let description = format!(
        "{} spent {} of the budget, which is epsilon {} of {}. The column of this head is darker.",
        words::count(budget.runs.len(), "run"),
        shown(percent(budget.runs.len())),
        words::loss(budget.epsilon_spent),
        words::cap(budget.epsilon_cap)
    );
    let caption = "Each column is the share of the budget that a run took, on top of all before it; the colored one is this \
                   head. The budget is counted in rho, in which losses add up; epsilons do not.";
    figure("budget-drawing", Drawing::Budget, SIZE, &description, caption, content)
}

/// A share of the budget, rounded up to a tenth of a percent.
fn shown(percent: f64) -> String {
    format!("{:.1} %", (percent * 10.0 - 1e-6).ceil() / 10.0)
}

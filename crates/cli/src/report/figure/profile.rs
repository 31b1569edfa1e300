//! The privacy profile: epsilon against delta, of this release and of everything.

use maud::{Markup, html};

use super::axes::{Axes, SIZE, Scale};
use super::{Drawing, figure, rounded};
use crate::report::guarantee::ProfilePoint;
use crate::report::{Report, words};

/// About how wide the label of the release's own curve is.
const LABEL_WIDTH: f64 = 80.0;

pub fn draw(report: &Report) -> Markup {
    let promise = &report.guarantee;
    let largest = promise.profile.iter().map(|p| p.spent_epsilon.max(p.release_epsilon)).fold(1e-9, f64::max);
    let axes = Axes { x: Scale::Powers(-1, -12), y: Scale::Linear(0.0, largest * 1.06) };
    let line = |epsilon: fn(&ProfilePoint) -> f64| {
        axes.points(promise.profile.iter().map(|p| (p.delta, epsilon(p))))
    };
    let is_alone = promise.profile.iter().all(|p| p.spent_epsilon - p.release_epsilon < 0.04 * largest);
    let label = |epsilon: fn(&ProfilePoint) -> f64| {
        let last = promise.profile.last().map_or((1e-12, 0.0), |p| (p.delta, epsilon(p)));
        axes.at(last.0, last.1)
    };
    // The curves rise to the right, and the label of a curve ends at its right end. Above that end it never meets its own curve,
    // but maybe the other one; then it stands below its own curve, as that is at the label's left end.
    let epsilon_at = |x: f64, epsilon: fn(&ProfilePoint) -> f64| {
        let places = promise.profile.iter().map(|p| axes.at(p.delta, epsilon(p)));
        places.min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs())).map_or(0.0, |(_, y)| y)
    };
    let (release_x, release_y) = label(|p| p.release_epsilon);
    let from = release_x - LABEL_WIDTH;
    let fits_above = is_alone || epsilon_at(from, |p| p.spent_epsilon) < release_y - 24.0;
    let release_y = if fits_above { release_y - 8.0 } else { epsilon_at(from, |p| p.release_epsilon) + 18.0 };
    let (own_x, own_y) = axes.at(promise.delta, promise.epsilon);
    // The dot's own label is on the side where there is room.
    let (dot_x, dot_y, dot_anchor) = if own_x < SIZE.0 / 2.0 {
        (own_x + 8.0, own_y + 16.0, "start")
    } else {
        (own_x - 8.0, own_y - 8.0, "end")
    };
    let (_, bottom) = axes.at(promise.delta, 0.0);
    let content = html! {
        (axes.draw("delta, the chance that the promise fails", "epsilon"))
        line class="dash" x1=(rounded(own_x)) x2=(rounded(own_x)) y1=(rounded(own_y)) y2=(rounded(bottom)) {}
        @if !is_alone {
            polyline class="b" points=(line(|p| p.spent_epsilon)) {}
            @let (x, y) = label(|p| p.spent_epsilon);
            text class="lb" x=(rounded(x)) y=(rounded(y - 8.0)) text-anchor="end" { "all releases so far" }
        }
        polyline class="a" points=(line(|p| p.release_epsilon)) {}
        text class="la" x=(rounded(release_x)) y=(rounded(release_y)) text-anchor="end" {
            (if is_alone { "this release, the only one so far" } else { "this release" })
        }
        circle class="fa" cx=(rounded(own_x)) cy=(rounded(own_y)) r="4" {}
        text class="strong" x=(rounded(dot_x)) y=(rounded(dot_y)) text-anchor=(dot_anchor) {
            "epsilon " (words::loss(promise.epsilon)) " at " (words::small(promise.delta))
        }
    };
    let description = format!(
        "A curve that rises as delta falls. At the ledger's delta of {} epsilon is {} for this release and {} for all.",
        words::small(promise.delta),
        words::loss(promise.epsilon),
        words::loss(report.budget.epsilon_spent)
    );
    let caption = "Every point of a curve holds at once: for the delta below it, the loss is at most the epsilon beside it.";
    figure("profile", Drawing::Profile, SIZE, &description, caption, content)
}

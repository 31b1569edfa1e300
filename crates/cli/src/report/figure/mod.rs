//! The drawings, as SVG within the page. They are made from the report alone and take their colors from its style,
//! so they follow light and dark; a label stands beside what it names, so that none depends on color.

mod axes;
mod budget;
mod flow;
mod profile;
mod rates;

use maud::{Markup, html};
#[cfg(test)]
pub use rates::is_beyond;

use super::Report;

/// A drawing of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// epsilon against delta.
    Profile,
    /// epsilon of all runs, run by run, below the cap.
    Budget,
    /// The attacker's two errors, and what the promise allows.
    TradeOff,
    /// How many canaries the attack recognizes at low false positive rates.
    Roc,
    /// Who sees what.
    Flow,
}

impl Drawing {
    /// What it shows.
    pub fn title(self) -> &'static str {
        match self {
            Self::Profile => "Privacy profile: epsilon against delta",
            Self::Budget => "Budget: what all runs cost together",
            Self::TradeOff => "Trade-off between the attacker's errors",
            Self::Roc => "Recognized canaries at low false positive rates",
            Self::Flow => "Who sees what",
        }
    }
}

/// Draws it.
pub fn draw(drawing: Drawing, report: &Report) -> Markup {
    match drawing {
        Drawing::Profile => profile::draw(report),
        Drawing::Budget => budget::draw(report),
        Drawing::TradeOff => rates::trade_off(report),
        Drawing::Roc => rates::roc(report),
        Drawing::Flow => flow::draw(&report.setting),
    }
}

/// A figure with its title, its description for who cannot see it, and a caption.
fn figure(
    id: &str,
    drawing: Drawing,
    size: (f64, f64),
    description: &str,
    caption: &str,
    content: Markup,
) -> Markup {
    let (title, text) = (format!("{id}-title"), format!("{id}-text"));
    html! {
        figure {
            svg viewBox={ "0 0 " (size.0) " " (size.1) } role="img" aria-labelledby={ (title) " " (text) } {
                title id=(title) { (drawing.title()) }
                desc id=(text) { (description) }
                (content)
            }
            figcaption { b { (drawing.title()) "." } " " (caption) }
        }
    }
}

/// A bar that is filled to a share of the budget.
pub fn share_bar(share: f64) -> Markup {
    let filled = share.clamp(0.0, 1.0) * 100.0;
    html! {
        svg viewBox="0 0 100 5" preserveAspectRatio="none" style="height:.45rem" aria-hidden="true" {
            rect class="track" width="100" height="5" {}
            rect class="fa" width=(rounded(filled)) height="5" {}
        }
    }
}

/// A coordinate with one decimal, which is finer than a pixel.
fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// At most `length` characters of words that come from a file.
fn clipped(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

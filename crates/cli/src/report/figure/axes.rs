//! Axes with ticks, and where values stand between them.

use maud::{Markup, html};

use super::rounded;

/// The size of a drawing with axes.
pub const SIZE: (f64, f64) = (420.0, 300.0);
const LEFT: f64 = 50.0;
const RIGHT: f64 = 400.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 250.0;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    /// Evenly, from the first to the second.
    Linear(f64, f64),
    /// By powers of ten, from 10 to the first to 10 to the second.
    Powers(i32, i32),
}

impl Scale {
    /// Where a value stands: 0 at the first end, 1 at the second, and never beyond them.
    fn place(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(first, last) => (value - first) / (last - first),
            Self::Powers(first, last) => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(first)) / f64::from(last - first)
            }
        };
        share.clamp(0.0, 1.0)
    }

    /// The ticks with their words.
    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Linear(first, last) => {
                let step = nice_step(last - first);
                let n = ((last - first) / step + 1e-9).floor() as i32;
                let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
                (0..=n)
                    .map(|i| {
                        (first + f64::from(i) * step, format!("{:.decimals$}", first + f64::from(i) * step))
                    })
                    .collect()
            }
            Self::Powers(first, last) => {
                let every = ((last - first).abs() + 5) / 6;
                let exponents: Vec<i32> =
                    if first < last { (first..=last).collect() } else { (last..=first).rev().collect() };
                exponents
                    .into_iter()
                    .filter(|e| (e - last) % every == 0)
                    .map(|e| (10f64.powi(e), power_of_ten(e)))
                    .collect()
            }
        }
    }
}

/// A pair of axes.
#[derive(Debug, Clone, Copy)]
pub struct Axes {
    pub x: Scale,
    pub y: Scale,
}

impl Axes {
    /// The place of a point, in the drawing's units.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (LEFT + (RIGHT - LEFT) * self.x.place(x), BOTTOM - (BOTTOM - TOP) * self.y.place(y))
    }

    /// The points of a line, for SVG.
    pub fn points(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let place = |(x, y)| {
            let (x, y) = self.at(x, y);
            format!("{},{}", rounded(x), rounded(y))
        };
        points.into_iter().map(place).collect::<Vec<_>>().join(" ")
    }

    /// The lines, ticks and names of both axes.
    pub fn draw(&self, x_name: &str, y_name: &str) -> Markup {
        html! {
            (self.draw_y(x_name, y_name))
            @for (value, words) in self.x.ticks() {
                @let x = rounded(LEFT + (RIGHT - LEFT) * self.x.place(value));
                line class="axis" x1=(x) x2=(x) y1=(BOTTOM) y2=(BOTTOM + 4.0) {}
                text class="soft" x=(x) y=(BOTTOM + 18.0) text-anchor="middle" { (words) }
            }
        }
    }

    /// The same without the ticks of the horizontal axis.
    pub fn draw_y(&self, x_name: &str, y_name: &str) -> Markup {
        html! {
            @for (value, words) in self.y.ticks() {
                @let y = rounded(BOTTOM - (BOTTOM - TOP) * self.y.place(value));
                line class="grid" x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) {}
                text class="soft" x=(LEFT - 8.0) y=(y) dy="4" text-anchor="end" { (words) }
            }
            line class="axis" x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(BOTTOM) {}
            text class="soft" x="0" y="14" { (y_name) }
            text class="soft" x=(RIGHT) y=(BOTTOM + 38.0) text-anchor="end" { (x_name) }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides a range into four to eight parts.
fn nice_step(range: f64) -> f64 {
    let rough = range / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.99).unwrap_or(10.0);
    step * power
}

/// `10⁻⁴`.
fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + (digit as u32 - '0' as u32)).unwrap_or(digit),
    };
    match exponent {
        0 => "1".to_owned(),
        _ => format!("10{}", exponent.to_string().chars().map(raised).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let words = |scale: Scale| scale.ticks().into_iter().map(|(_, w)| w).collect::<Vec<_>>();
        assert_eq!(words(Scale::Linear(0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(words(Scale::Linear(0.0, 3.3)), ["0", "1", "2", "3"]);
        assert_eq!(words(Scale::Powers(-4, 0)), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]);
        assert_eq!(words(Scale::Powers(-1, -12)), ["10⁻²", "10⁻⁴", "10⁻⁶", "10⁻⁸", "10⁻¹⁰", "10⁻¹²"]);
    }

    #[test]
    fn nothing_is_drawn_beyond_the_axes() {
        let axes = Axes { x: Scale::Powers(-4, 0), y: Scale::Linear(0.0, 1.0) };
        for (x, y) in [(0.0, -1.0), (1e9, 2.0), (f64::MIN_POSITIVE, 0.5)] {
            let (x, y) = axes.at(x, y);
            assert!((LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y), "{x} {y}");
        }
        assert_eq!(axes.at(1e-2, 0.5), ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0));
    }
}

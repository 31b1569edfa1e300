//! A progress bar on stderr, for people only.

use std::fmt::Display;
use std::ops::ControlFlow;

use cryptotl::{Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::warn;

/// A bar that disappears when the work is done and is silent when stderr is not a terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar for `what` is being done.
    pub fn new(what: &'static str) -> Self {
        // indicatif draws nothing on a stderr that is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len} {elapsed}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// A bar over bytes that are fetched.
    pub fn bytes(what: String) -> Self {
        let bar = Self::new("");
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {elapsed}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.0.set_style(style);
        }
        bar.0.set_message(what);
        bar
    }

    /// Says how far the work is; may be called from any thread, in any order.
    pub fn show(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
    }

    /// The same, with words on how the work goes.
    pub fn show_words(&self, words: String, done: usize, total: usize) {
        self.0.set_message(words);
        self.show(done, total);
    }

    /// The same, for a step of the work that has its own name.
    pub fn show_step(&self, step: &'static str, done: usize, total: usize) {
        self.0.set_message(step);
        self.show(done, total);
    }
}

/// A verb's progress is drawn, and its warnings are printed.
impl Observer for Bar {
    fn progress(&self, at: Progress) -> ControlFlow<()> {
        self.show_words(at.step.to_owned(), at.done, at.total);
        ControlFlow::Continue(())
    }

    fn warn(&self, warning: &dyn Display) {
        self.0.suspend(|| warn(&warning.to_string()));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

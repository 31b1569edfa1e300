//! What a caller sees of a verb while it works, and how it stops it.

use std::fmt;
use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Result};

/// How far a verb is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done, such as `encrypting` or `epoch 3, loss 0.41`.
    pub step: &'a str,
    /// Units of it that are done.
    pub done: usize,
    /// Units in all.
    pub total: usize,
}

/// Somebody who watches a verb. Every method has a default that ignores what happens; `()` is such an observer.
///
/// Methods are called from any thread, in any order.
pub trait Observer: Sync {
    /// The work goes on. `Break` stops it between two units of work with [`ErrorKind::Stopped`], and no output is written. What was
    /// charged stays charged, and a later run of the same plan takes it up again at no charge.
    fn progress(&self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Something that the caller should know although the work goes on.
    fn warn(&self, _: &dyn fmt::Display) {}
}

impl Observer for () {}

/// Reports progress of a step, for code that has no callback of its own.
///
/// # Errors
/// [`ErrorKind::Stopped`] when the observer stops the work.
#[allow(dead_code)] // for the verbs with long work that follow
pub(crate) fn progress(observer: &dyn Observer, step: &str, done: usize, total: usize) -> Result<()> {
    match observer.progress(Progress { step, done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(ErrorKind::Stopped, "the work was stopped")),
    }
}

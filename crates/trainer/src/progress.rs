//! How long work tells how far it is, without knowing whether anyone looks.

/// A step of a long computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

/// Called from any thread, at most a few times a second and once at the end.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

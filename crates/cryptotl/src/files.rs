//! Which files a request reads, so that none of its outputs replaces one.

use std::path::Path;

use cryptotl_model::Places;

/// What a verb is asked to do.
pub trait Request {
    /// Every file that the request reads.
    ///
    /// An implementation takes the request apart without `..`, so that a new field does not compile before it is
    /// either named here or left out on purpose.
    fn inputs(&self) -> Vec<&Path>;

    /// The check that every output of the request has to pass, before the work and before any charge.
    fn places(&self) -> Places {
        Places::new(self.inputs().into_iter().map(Path::to_path_buf))
    }
}

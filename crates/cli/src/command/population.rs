//! Whose records are they? What a records file says of it is compared with the ledger that is to pay.

use std::path::Path;

use cryptotl_model::RecordsHeader;
use cryptotl_privacy::Status;

use crate::exit::{Failure, Result};
use crate::output::warn;

/// The population that records say they are of, which is that of the ledger. `None`, with a warning, where they do not say.
///
/// Records of other people would spend the budget of people who are not in them, and leave that of their own untouched.
///
/// # Errors
/// [`Failure`] with code 1 where they are of another population.
pub(super) fn check(path: &Path, header: &RecordsHeader, ledger: &Status) -> Result<Option<String>> {
    let found = compare(path, header, ledger)?;
    if found.is_none() {
        warn(&format!(
            "{} does not say of which population its records are, so nothing shows that this ledger is theirs; embed the \
             texts with --population {}",
            path.display(),
            ledger.population
        ));
    }
    Ok(found)
}

/// As [`check`], without the warning: for a second look at records whose header was looked at before.
pub(super) fn compare(path: &Path, header: &RecordsHeader, ledger: &Status) -> Result<Option<String>> {
    match &header.population {
        Some(found) if *found != ledger.population => Err(Failure::failed(
            format!(
                "{} holds records of the population {found:?}, and the ledger is that of {:?}",
                path.display(),
                ledger.population
            ),
            "give the ledger of these people with --ledger, or their records",
        )),
        found => Ok(found.clone()),
    }
}

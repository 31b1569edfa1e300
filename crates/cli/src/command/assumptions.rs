//! What a private choice or validation rests on, decided before the charge: neither takes a slack, so that records which share
//! ciphertexts have no bound at all unless somebody assumes one.

use std::path::Path;

use cryptotl_model::{HeadInputs, RecordsHeader};
use cryptotl_privacy::Description;
use cryptotl_trainer::{Assumption, Encryption};

use crate::exit::{Failure, Result};

/// The line of a release's description that names what it rests on.
const KEY: &str = "assumes";

/// What a release rests on that reads `inputs` of these records; `None` stands for a pipe, whose header nobody has seen, and of
/// which the worst is taken to be true.
///
/// # Errors
/// [`Failure`] with code 1 where records may share ciphertexts and the independence of their errors is not assumed.
pub fn of(
    path: &Path,
    header: Option<&RecordsHeader>,
    inputs: HeadInputs,
    assumes_independence: bool,
) -> Result<Vec<Assumption>> {
    let all = match header {
        _ if !inputs.needs_features() => Vec::new(),
        None => vec![Assumption::EvaluatorFollowedProtocol, Assumption::IndependentEncryptionErrors],
        Some(header) => {
            let encryption = header.extraction.clone().map(Encryption::from);
            Assumption::of(inputs, encryption.as_ref(), 0.0)
        }
    };
    if all.contains(&Assumption::IndependentEncryptionErrors) && !assumes_independence {
        return Err(Failure::failed(
            format!(
                "{} may hold server features of records that shared ciphertexts: one record could change what is measured on any \
                 number of others",
                path.display()
            ),
            "extract the records with --packing latency, use heads that read the embedding alone, or accept the heuristic that \
             encryption errors are independent with --assume-independent-encryption-errors",
        ));
    }
    Ok(all)
}

/// Adds what a release rests on to its description, which the ledger keeps.
pub fn describe(description: &mut Description, all: &[Assumption]) {
    if !all.is_empty() {
        let names: Vec<&str> = all.iter().map(|assumption| assumption.name()).collect();
        description.insert(KEY.to_owned(), names.join(","));
    }
}

/// Whether a description, as the ledger has it, says just this.
pub fn are_described(description: &Description, all: &[Assumption]) -> bool {
    let mut expected = Description::new();
    describe(&mut expected, all);
    description.get(KEY) == expected.get(KEY)
}

/// Fails when records that were read need an assumption which was not stated when the release was paid.
pub fn are_stated(path: &Path, stated: &[Assumption], found: &[Assumption]) -> Result<()> {
    match found.iter().find(|assumption| !stated.contains(assumption)) {
        None => Ok(()),
        Some(other) => Err(Failure::failed(
            format!(
                "{} is no longer the file that was looked at: it needs `{}`",
                path.display(),
                other.name()
            ),
            "run the command again; its charge stays spent",
        )),
    }
}

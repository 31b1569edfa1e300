//! How a command fails: an exit code for scripts, a message for people.

use cryptotl::{ErrorKind, Word};
use cryptotl_encrypted::EncryptedError;
use cryptotl_model::ModelError;
use cryptotl_privacy::{AccountantError, CalibrationError, ChargeError, LedgerError, MechanismError};
use cryptotl_privacy::{ParameterError, PlanError, PolicyError};
use cryptotl_trainer::TrainerError;

/// The exit codes. Code 2, for arguments that make no sense, is also what the argument parser ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The command did what it was asked to.
    Done = 0,
    /// It did not.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// The privacy budget does not allow it.
    RefusedByBudget = 3,
    /// The ledger is missing, corrupt, foreign or rolled back.
    LedgerIntegrity = 4,
    /// The audit's attack contradicts the claim.
    Falsified = 5,
    /// The cryptography or its parameters do not allow it.
    Cryptography = 6,
    /// A defect of this program.
    Bug = 70,
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// For scripts.
    pub code: Code,
    /// For people: the fact, the culprit and the remedy.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: Code, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }

    /// An ordinary failure.
    pub fn failed(fact: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Self {
        Self::new(Code::Failed, format!("{fact}; {remedy}"))
    }
}

/// Result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

impl From<cryptotl::Error> for Failure {
    fn from(error: cryptotl::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Usage => Code::Usage,
            ErrorKind::RefusedByBudget => Code::RefusedByBudget,
            ErrorKind::LedgerIntegrity => Code::LedgerIntegrity,
            ErrorKind::Cryptography => Code::Cryptography,
            ErrorKind::Defect => Code::Bug,
            _ => Code::Failed,
        };
        match error.remedy() {
            Some(remedy) => Self::new(code, format!("{}; {}", error.fact(), remedy.spelled(spell))),
            None => Self::new(code, error),
        }
    }
}

/// How the command line spells a verb and a field of a request.
fn spell(word: Word) -> String {
    match word {
        Word::Verb(verb) => format!("`cryptotl {}`", verb.replace('_', " ")),
        Word::Field(field) => format!("--{}", field.replace('_', "-")),
    }
}

/// Errors of the libraries, in the kinds that [`cryptotl::Error`] sorts them into.
macro_rules! sorted {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                cryptotl::Error::from(error).into()
            }
        }
    )*};
}
sorted!(
    ModelError,
    TrainerError,
    EncryptedError,
    LedgerError,
    ChargeError,
    PolicyError,
    ParameterError,
    PlanError,
    MechanismError,
    CalibrationError,
    AccountantError
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_code() {
        let missing = || LedgerError::Missing { path: "absent.ledger".into() };
        assert_eq!(Failure::from(missing()).code, Code::LedgerIntegrity);
        assert_eq!(Failure::from(ChargeError::Ledger(missing())).code, Code::LedgerIntegrity);
        assert_eq!(Failure::from(LedgerError::Busy).code, Code::Failed);
        let seal = EncryptedError::Seal { operation: "Encryptor_Encrypt", code: "E_UNEXPECTED".into() };
        assert_eq!(Failure::from(seal).code, Code::Bug);
        let bound = cryptotl_encrypted::InputBound::new(-1.0).unwrap_err();
        assert_eq!(Failure::from(bound).code, Code::Cryptography);
    }
}

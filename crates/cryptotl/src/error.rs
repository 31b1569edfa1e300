//! The one error of all verbs: what kind it is, for programs; fact and remedy, for people.

use std::error::Error as StdError;
use std::fmt;

use cryptotl_encrypted::EncryptedError;
use cryptotl_model::ModelError;
use cryptotl_privacy::{
    AccountantError, CalibrationError, ChargeError, LedgerError, MechanismError, ParameterError, PlanError,
    PolicyError, Refusal,
};
use cryptotl_trainer::TrainerError;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// What a program may want to tell apart. The command line has an exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Missing, damaged or unfit files, and every other failure that has no kind of its own.
    Failed,
    /// The request contradicts itself.
    Usage,
    /// The privacy budget does not allow it; [`Error::refusal`] has the numbers.
    RefusedByBudget,
    /// The ledger is missing, corrupt, foreign or rolled back.
    LedgerIntegrity,
    /// The cryptography or its parameters do not allow it.
    Cryptography,
    /// The observer stopped the work.
    Stopped,
    /// A defect of this library.
    Defect,
}

/// A verb that did not do what it was asked to.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    fact: String,
    remedy: Option<Remedy>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a remedy of its own.
    pub fn new(kind: ErrorKind, fact: impl fmt::Display) -> Self {
        Self { kind, fact: fact.to_string(), remedy: None, source: None }
    }

    /// An ordinary failure: the fact with its culprit, and what to do.
    pub fn failed(fact: impl fmt::Display, remedy: impl Into<Remedy>) -> Self {
        Self::new(ErrorKind::Failed, fact).with_remedy(remedy)
    }

    /// The same with a remedy.
    pub fn with_remedy(self, remedy: impl Into<Remedy>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    fn from_source(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..Self::new(kind, "") }
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened and to what, without the remedy where that is known apart.
    pub fn fact(&self) -> String {
        match &self.source {
            Some(source) if self.fact.is_empty() => source.to_string(),
            _ => self.fact.clone(),
        }
    }

    /// What to do, where it is not a part of the fact.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.remedy.as_ref()
    }

    /// Why the ledger refused, with what it would still pay for.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.source.as_ref()?.downcast_ref::<Refusal>()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fact())?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

/// What to do about an error.
///
/// Words in backticks name verbs (`` `embed()` ``) and fields of requests (`` `label_column` ``), as this library spells
/// them. Another front end has its own spelling: see [`Remedy::spelled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    text: String,
    /// Text with values in it may have backticks of its own, and is shown as it is.
    has_words: bool,
}

/// A word of a remedy that a front end spells in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// A function of this library.
    Verb(&'a str),
    /// A field of a request.
    Field(&'a str),
}

impl Remedy {
    /// The remedy with its verbs and fields in the spelling of a front end.
    pub fn spelled(&self, spell: impl Fn(Word) -> String) -> String {
        if !self.has_words {
            return self.text.clone();
        }
        let parts =
            self.text.split('`').enumerate().map(|(at, part)| match (at % 2, part.strip_suffix("()")) {
                (0, _) => part.to_owned(),
                (_, Some(verb)) => spell(Word::Verb(verb)),
                (_, None) => spell(Word::Field(part)),
            });
        parts.collect()
    }
}

impl From<&'static str> for Remedy {
    fn from(text: &'static str) -> Self {
        Self { text: text.to_owned(), has_words: true }
    }
}

/// A remedy with values in it, in which nothing is spelled anew.
impl From<String> for Remedy {
    fn from(text: String) -> Self {
        Self { text, has_words: false }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        let kind = match &error {
            ModelError::SameOutput { .. } => ErrorKind::Usage,
            _ => ErrorKind::Failed,
        };
        Self::from_source(kind, error)
    }
}

impl From<EncryptedError> for Error {
    fn from(error: EncryptedError) -> Self {
        let kind = match &error {
            EncryptedError::Unsupported { .. }
            | EncryptedError::Insecure { .. }
            | EncryptedError::Input { .. }
            | EncryptedError::Message { .. } => ErrorKind::Cryptography,
            EncryptedError::Seal { .. } => ErrorKind::Defect,
            EncryptedError::Model(_) => ErrorKind::Failed,
        };
        Self::from_source(kind, error)
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        let is_integrity = error.is_integrity_failure();
        let kind = if is_integrity { ErrorKind::LedgerIntegrity } else { ErrorKind::Failed };
        Self::from_source(kind, error)
    }
}

impl From<ChargeError> for Error {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::Ledger(error) => error.into(),
            ChargeError::Refused(refusal) => Self::from_source(ErrorKind::RefusedByBudget, *refusal),
            other => Self::from_source(ErrorKind::Failed, other),
        }
    }
}

/// Errors of the libraries below that are plain failures.
macro_rules! failed {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::from_source(ErrorKind::Failed, error)
            }
        }
    )*};
}
failed!(
    TrainerError,
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
    fn each_error_has_its_kind_and_keeps_its_source() {
        let missing = || LedgerError::Missing { path: "absent.ledger".into() };
        assert_eq!(Error::from(missing()).kind(), ErrorKind::LedgerIntegrity);
        assert_eq!(Error::from(ChargeError::Ledger(missing())).kind(), ErrorKind::LedgerIntegrity);
        assert_eq!(Error::from(LedgerError::Busy).kind(), ErrorKind::Failed);
        let seal = EncryptedError::Seal { operation: "Encryptor_Encrypt", code: "E_UNEXPECTED".into() };
        assert_eq!(Error::from(seal).kind(), ErrorKind::Defect);
        let bound = Error::from(cryptotl_encrypted::InputBound::new(-1.0).unwrap_err());
        assert_eq!(bound.kind(), ErrorKind::Cryptography);
        assert!(bound.source().unwrap().is::<EncryptedError>());
        assert_eq!(bound.to_string(), bound.source().unwrap().to_string());
    }

    #[test]
    fn a_front_end_spells_verbs_and_fields_and_leaves_values() {
        let spell = |word: Word| match word {
            Word::Verb(verb) => format!("`cryptotl {verb}`"),
            Word::Field(field) => format!("--{}", field.replace('_', "-")),
        };
        let error = Error::failed("records have no labels", "run `embed()` with `label_column`");
        assert_eq!(error.to_string(), "records have no labels; run `embed()` with `label_column`");
        let spelled = error.remedy().unwrap().spelled(spell);
        assert_eq!(spelled, "run `cryptotl embed` with --label-column");
        let value = Remedy::from("there is a column `label_column`".to_owned());
        assert_eq!(value.spelled(spell), "there is a column `label_column`");
    }
}

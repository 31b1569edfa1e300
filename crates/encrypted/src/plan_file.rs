//! The plan file: what the model owner gives to the data owner before anything is encrypted.

use std::path::Path;

use cryptotl_model::format::{Document, Header};
use cryptotl_model::{BlockCoupling, Digest, Kind, WriteTo};
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::error::{EncryptedError, Result};
use crate::plan::Contract;

/// The public part of a plan: its contract, its error certificate, and the public half of its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The public half of the model: its scaler makes what is encrypted.
    pub public_model: Digest,
    /// What messages are bound to.
    pub contract: Contract,
    /// What the plan was measured to do.
    pub certificate: Certificate,
    /// How far one record can move the features of others, which only the model owner can tell. Absent in files of earlier
    /// programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupling: Option<BlockCoupling>,
}

impl Header for PlanFile {
    const KIND: &'static str = "plan";
    const VERSION: u32 = 1;
}

impl PlanFile {
    /// A plan, as an output.
    pub const FILE: Kind = Kind::document::<Self>("plan");

    /// Writes the file and returns its digest.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Message`] when the certificate does not cover the contract;
    /// [`crate::EncryptedError::Model`] when the file cannot be written.
    pub fn write(&self, to: &(impl WriteTo + ?Sized)) -> Result<Digest> {
        self.check()?;
        Ok(Document::new(self.clone()).write(to, Self::FILE)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`crate::EncryptedError::Model`] for anything but a plan file of this version;
    /// [`crate::EncryptedError::Message`] when its certificate does not cover its contract.
    pub fn read(path: &Path) -> Result<Self> {
        Self::open(Document::read(path)?.0, path)
    }

    /// Reads a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// As for [`PlanFile::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::open(Document::from_bytes(bytes, path)?, path)
    }

    fn open(document: Document<Self>, path: &Path) -> Result<Self> {
        let plan = document.finish(path)?;
        plan.check()?;
        Ok(plan)
    }

    /// What a reader refuses, and so a writer too.
    fn check(&self) -> Result<()> {
        self.certificate.check(&self.contract)?;
        if self.coupling.is_some_and(|c| !(c.moved >= 0.0 && c.moved.is_finite() && c.block_rows > 0)) {
            return Err(EncryptedError::Message {
                kind: "plan",
                fact: "its coupling of records is no bound".into(),
                remedy: "make the plan again with `cryptotl plan`".into(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cryptotl_model::Network;

    use super::*;
    use crate::testkit;
    use crate::{EvaluationPlan, InputBound, Packing, ParameterSet};

    #[test]
    fn a_plan_file_comes_back_and_an_altered_one_does_not() {
        let network = Network::new(
            3,
            vec![
                testkit::dense(4, 3, 1),
                cryptotl_model::Layer::Activation(cryptotl_model::Polynomial::cubic_relu()),
                testkit::dense(2, 4, 2),
            ],
        )
        .unwrap();
        let bound = InputBound::new(4.0).unwrap();
        let plan =
            EvaluationPlan::compile(&network, ParameterSet::default(), Packing::FeatureMajor, bound).unwrap();
        let rows = testkit::records(20, 3, 4.0, 3);
        let certificate =
            Certificate::measure(&plan, &network, rows.view(), Digest::of(b"public"), &|_| ()).unwrap();
        let contract = plan.contract().clone();
        let coupling = Some(plan.block_coupling());
        let file = PlanFile { public_model: Digest::of(b"model"), contract, certificate, coupling };

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.plan");
        file.write(&path).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), file);

        let below_zero =
            PlanFile { coupling: Some(BlockCoupling { block_rows: 8, moved: -1.0 }), ..file.clone() };
        assert!(
            below_zero.write(&path).unwrap_err().to_string().contains("coupling"),
            "a writer refuses it too"
        );
        Document::new(below_zero).write(&path, PlanFile::FILE).unwrap();
        let error = PlanFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("coupling"), "{error}");
        file.write(&path).unwrap();

        let mut bytes = std::fs::read(&path).unwrap();
        let field = b"\\\"input_bound\\\":4.0";
        let at = bytes.windows(field.len()).position(|window| window == field).unwrap();
        bytes[at + field.len() - 3] = b'3';
        let error = PlanFile::from_bytes(&bytes, &path).unwrap_err().to_string();
        assert!(error.contains("another plan"), "{error}");
    }
}

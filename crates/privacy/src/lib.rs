#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Differential privacy for released models: a budget that cannot be overdrawn by accident, DP noise
//! that cannot be drawn without paying, and figures that are proven.
//!
//! # What it promises
//!
//! * Every number released from private data carries a [`Guarantee`]: epsilon, delta, the privacy unit
//!   and the adjacency, backed by a zCDP loss [`Rho`] that OpenDP computed for the mechanism that ran.
//! * All releases from one population are counted in one [`Ledger`], on disk before the data is
//!   touched. When the [`Policy`]'s cap is reached, the ledger refuses and says what is left.
//! * The types keep the order. A [`ReleasePlan`] is free and powerless; only [`Ledger::charge`] makes a
//!   [`ChargedPlan`] from it, only a [`ChargedPlan`] gives a mechanism for private data, and only the
//!   finished mechanism gives the [`Receipt`] with which a release is recorded.
//! * Clipping, rounding, summing and DP noise are one mechanism built from one [`Event`], so what runs
//!   is what was charged.
//!
//! # Example
//!
//! A private sum of two-dimensional contributions under a cap of epsilon 3:
//!
//! ```
//! use cryptotl_privacy::{
//!     Accountant, Adjacency, Description, Epsilon, Ledger, NoisySum, Policy, PrivacyUnit, ReleasePlan, SumRequest,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let policy = Policy::from_toml(
//!     r#"
//!     version = 1
//!     name = "clinic"
//!     unit = "record"
//!     adjacency = "add-remove"
//!     epsilon_cap = 3.0
//!     epsilon_per_release_max = 1.0
//!     delta = { exponent = 1.1 }
//!     "#,
//! )?;
//! // Once per population. 10000 is a public upper bound, not the private number of records.
//! let mut ledger = Ledger::create(folder.path().join("clinic.ledger"), &policy, "clinic-2026", 10_000)?;
//!
//! // A plan costs nothing and touches no data.
//! let plan = ReleasePlan::gaussian_sums(SumRequest {
//!     epsilon: Epsilon::new(0.5)?,
//!     delta: ledger.status()?.delta,
//!     accountant: Accountant::Zcdp,
//!     dimension: 2,
//!     clipping_norm: 1.0,
//!     slack: 0.0,
//!     steps: 1,
//!     unit: PrivacyUnit::Record,
//!     adjacency: Adjacency::AddRemove,
//!     description: Description::from([("method".into(), "column sums".into())]),
//! })?;
//! println!("{}", plan.guarantee().formal_sentence());
//!
//! // From here on the loss is spent.
//! let charged = ledger.charge(plan)?;
//! let mut mechanism = charged.into_mechanism()?;
//!
//! let records = [[0.3, -0.1], [0.2, 0.9], [7.0, 1.0]]; // the last one is clipped to norm 1
//! let units = mechanism.units(records.len(), None)?;
//! let noisy: Vec<f64> = mechanism.step(&units, |row, out| {
//!     out.copy_from_slice(&records[row]);
//!     true
//! })?;
//! assert_eq!(noisy.len(), 2);
//! assert!(mechanism.step(&units, |_, _| false).is_err()); // one step was paid for
//!
//! let receipt = mechanism.finish();
//! let published: Vec<u8> = noisy.iter().flat_map(|x| x.to_le_bytes()).collect();
//! ledger.record_release(receipt, &published)?;
//! assert!(ledger.status()?.epsilon_spent.get() <= 0.5);
//! # Ok(())
//! # }
//! ```
//!
//! # What cannot be written
//!
//! DP noise from a plan that was not charged:
//!
//! ```compile_fail,E0599
//! fn cheat(plan: cryptotl_privacy::ReleasePlan) {
//!     let mechanism = plan.into_mechanism();
//! }
//! ```
//!
//! A charged plan out of thin air:
//!
//! ```compile_fail,E0624
//! fn cheat(plan: cryptotl_privacy::ReleasePlan, witness: cryptotl_privacy::Witness) {
//!     let charged = cryptotl_privacy::ChargedPlan::new(plan, witness);
//! }
//! ```
//!
//! ```compile_fail,E0451
//! fn cheat(plan: cryptotl_privacy::ReleasePlan, witness: cryptotl_privacy::Witness) {
//!     let charged = cryptotl_privacy::ChargedPlan { plan, witness };
//! }
//! ```
//!
//! Two runs for one charge:
//!
//! ```compile_fail,E0599
//! fn cheat(charged: cryptotl_privacy::ChargedPlan) {
//!     let again = charged.clone();
//! }
//! ```
//!
//! ```compile_fail,E0382
//! fn cheat(charged: cryptotl_privacy::ChargedPlan) {
//!     let first = charged.into_mechanism();
//!     let second = charged.into_mechanism();
//! }
//! ```
//!
//! A charge to somebody else's ledger, or to one that is only read:
//!
//! ```compile_fail,E0599
//! fn cheat(mut view: cryptotl_privacy::LedgerView, plan: cryptotl_privacy::ReleasePlan) {
//!     let charged = view.charge(plan);
//! }
//! ```
//!
//! A mechanism of one's own behind the mechanism's interface:
//!
//! ```compile_fail,E0277
//! struct NoNoise;
//! impl cryptotl_privacy::NoisySum for NoNoise {}
//! ```
//!
//! A second answer from one paid query:
//!
//! ```compile_fail,E0382
//! fn cheat(counts: cryptotl_privacy::ChargedCounts) {
//!     let first = counts.release(1, None, |_| Some(0));
//!     let second = counts.release(1, None, |_| Some(0));
//! }
//! ```
//!
//! # What it leaves out
//!
//! It cannot see releases made without it, an administrator can delete a ledger (a [`Witness`] in a
//! released artifact reveals it), and the sampler's running time is not hardened. `docs/privacy.md` states the proof, the
//! references and the limits.

pub mod accountant;
pub mod audit;
pub mod calibrate;
pub mod config;
pub mod digest;
pub mod event;
pub mod guarantee;
pub mod ledger;
pub mod loss;
pub mod mechanism;
pub mod plan;
pub mod rho;

pub use accountant::tcdp::Order;
pub use accountant::{Accountant, AccountantError};
pub use calibrate::{CalibrationError, GaussianCalibration, epsilons_of_parts, largest_rho, largest_rho_by};
pub use config::{DeltaPolicy, LARGE_DELTA_MASS, Policy, PolicyError, delta_mass, is_name};
pub use digest::{Digest, DigestError};
pub use event::{
    CountsEvent, Event, EventError, MinimumEvent, NoisyMaxEvent, SampledSumEvent, SequenceEvent, SumEvent,
};
pub use guarantee::{Adjacency, Delta, Epsilon, Guarantee, ParameterError, PrivacyUnit, Proof};
pub use ledger::{
    ChargeError, ChargeSummary, EntryKind, EntrySummary, Ledger, LedgerError, LedgerView, Marks, PastRelease,
    Payment, Refusal, RefusalReason, ReleasesLeft, Status, StoredRelease, Witness,
};
pub use mechanism::{
    AuditMinimum, AuditSums, BenchmarkMinimum, BenchmarkSequence, BenchmarkSums, ChargedCounts,
    ChargedMinimum, ChargedNoisyMax, ChargedSequence, ChargedSums, Defect, Factoring, Factors,
    MechanismError, NoisyMinimum, NoisySum, PublicData, Receipt, SequencePart, Units,
};
pub use plan::{
    ChargedPlan, Description, MinimumRequest, PartRequest, PerturbedBy, PlanError, QueryRequest, ReleasePlan,
    SampledSumRequest, SequenceRequest, SumRequest,
};
pub use rho::Rho;

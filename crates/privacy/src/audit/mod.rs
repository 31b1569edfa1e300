//! Audits: attacks on a mechanism that can contradict its claim, and never confirm it.
//!
//! Pure statistics, one theory a file, and the values that an audit ends in. The trainings are run by whoever has the
//! training code, on made-up records, through [`crate::AuditSums`].

mod allowed;
pub mod betting;
pub mod clopper_pearson;
pub mod crowd;
mod derived;
mod evidence;
pub mod losses;
pub mod one_run;
pub mod power;
pub mod single;
#[cfg(test)]
mod testkit;
pub mod trade_off;
mod verdict;

pub use allowed::Allowed;
pub use evidence::{
    AUDIT_VERSION, Audit, AuditEvidence, AuditSettings, AuditedClaim, CONFIDENCES, Control, ControlAudit,
    HEADLINE_CONFIDENCE, Interval, LowFprPoint, LowerBound, OneRunAudit, Preset, Rate, SingleAudit, Theory,
    TradeOffPoint, Verdict, View, ViewAudit,
};
pub use losses::Losses;
pub use verdict::{VERDICT_CONFIDENCE, contradicts, planning_alpha, point_alpha, verdict, verdict_alpha};

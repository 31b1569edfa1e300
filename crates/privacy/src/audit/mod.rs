//! Audits: attacks on a mechanism that can contradict its claim, and never confirm it.
//!
//! Pure statistics and the values that an audit ends in. Trainings are run elsewhere, on made-up records.

mod evidence;

pub use evidence::{
    AUDIT_VERSION, Audit, AuditEvidence, AuditSettings, AuditedClaim, CONFIDENCES, Control, ControlAudit,
    HEADLINE_CONFIDENCE, Interval, LowFprPoint, LowerBound, OneRunAudit, Preset, Rate, SingleAudit, Theory,
    TradeOffPoint, Verdict, View, ViewAudit,
};

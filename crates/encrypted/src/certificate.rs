//! The error certificate: what a compiled plan was measured to do on public records.
//!
//! [`crate::EvaluationPlan::predicted_error`] is a model; the certificate is evidence. Two kinds of records
//! are encrypted, evaluated and decrypted, and compared with the f64 network:
//!
//! * *public records*, which tell the encryption error of what the model is for;
//! * *corners*: records with every number at the input bound, with the signs that drive a unit of the first
//!   layer furthest from its bias.
//!
//! That no record within the bound can wrap is bounded when the plan is compiled, by intervals (feature-major) or
//! norms (record-major) of the network; the corners are the check that the bounds and the program agree.

use std::fmt;

use cryptotl_model::{Digest, Network};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use serde::{Deserialize, Serialize};

use crate::error::{EncryptedError, Result};
use crate::extract::extract_in_process;
use crate::kernels::Kernels;
use crate::plan::{Contract, EvaluationPlan};
use crate::progress::Progress;

/// A plan whose rms error is over this part of the features' rms is not certified.
const MAX_RELATIVE_ERROR: f64 = 0.01;
/// A corner that is off by more than this part of the largest possible feature has wrapped.
const MAX_CORNER_ERROR: f64 = 0.01;
/// How many units of the first layer are driven to both of their ends.
const CORNER_UNITS: usize = 8;

/// What a plan was measured to do. All magnitudes are in the features' own unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The contract that it is for.
    plan: Digest,
    /// The file of public records.
    source: Digest,
    /// How many public records were measured.
    pub records: usize,
    /// The largest difference of a feature of a public record from the f64 network.
    pub max_error: f64,
    /// The root mean square of these differences.
    pub rms_error: f64,
    /// The largest magnitude of a feature of a public record.
    pub max_feature: f64,
    /// The root mean square of these features.
    pub rms_feature: f64,
    /// How many corners were measured.
    pub corners: usize,
    /// The largest magnitude of a feature of a corner.
    pub max_corner_feature: f64,
    /// No record within the input bound has a feature of a larger magnitude: proved, not measured.
    pub feature_bound: f64,
}

impl Certificate {
    /// Measures a plan of `network` on public `rows`, `[records, input_width]`, scaled and clamped, which come
    /// from the file named by `source`.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when there are no records or they do not fit the plan;
    /// [`EncryptedError::Unsupported`] or [`EncryptedError::Message`] when the errors are too large to certify.
    pub fn measure(
        plan: &EvaluationPlan,
        network: &Network,
        rows: ArrayView2<f64>,
        source: Digest,
        on_progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self> {
        let n_records = rows.nrows();
        if n_records == 0 {
            return Err(EncryptedError::input("there are no public records to measure on", "give some"));
        }
        let corners = corners(plan);
        let all = concatenate(Axis(0), &[rows, corners.view()]).map_err(|_| {
            EncryptedError::input(
                format!("the records have {} numbers, the plan takes {}", rows.ncols(), corners.ncols()),
                "use records of the model's encoder",
            )
        })?;
        let reference = network.forward(all.view())?;
        let errors =
            extract_in_process(plan, Kernels::default(), all.view(), on_progress)?.features - &reference;
        let (of_records, of_corners) = (s![..n_records, ..], s![n_records.., ..]);
        let certificate = Self {
            plan: plan.digest(),
            source,
            records: n_records,
            max_error: largest(errors.slice(of_records)),
            rms_error: root_mean_square(errors.slice(of_records)),
            max_feature: largest(reference.slice(of_records)),
            rms_feature: root_mean_square(reference.slice(of_records)),
            corners: corners.nrows(),
            max_corner_feature: largest(reference.slice(of_corners)),
            feature_bound: plan.max_feature(),
        };
        let corner_error = largest(errors.slice(of_corners));
        if corner_error > MAX_CORNER_ERROR * certificate.feature_bound {
            return Err(EncryptedError::unsupported(
                format!("a record at the input bound is {corner_error:.1e} off the network in the clear"),
                "clamp inputs more tightly; please report this as a defect",
            ));
        }
        certificate.check(plan.contract())?;
        Ok(certificate)
    }

    /// Fails unless it is a certificate of `contract`, and a plan that does what it says can be used.
    ///
    /// # Errors
    /// [`EncryptedError::Message`] with what it does not cover.
    pub fn check(&self, contract: &Contract) -> Result<()> {
        let refuse = |fact: String| {
            Err(EncryptedError::Message {
                kind: "plan",
                fact: format!("its error certificate {fact}"),
                remedy: "make the plan again with `cryptotl plan`".into(),
            })
        };
        if self.plan != contract.digest() {
            return refuse("is that of another plan".into());
        }
        let numbers = [
            self.max_error,
            self.rms_error,
            self.max_feature,
            self.rms_feature,
            self.max_corner_feature,
            self.feature_bound,
        ];
        if self.records == 0 || self.corners == 0 || !numbers.iter().all(|x| x.is_finite() && *x >= 0.0) {
            return refuse("has impossible numbers".into());
        }
        // Decrypted features are judged by these numbers, so none may make that judgement empty.
        let largest = self.max_feature.max(self.max_corner_feature);
        if self.rms_error > self.max_error || self.rms_feature > self.max_feature || self.max_error > largest
        {
            return refuse("has numbers that contradict each other".into());
        }
        if self.rms_error > MAX_RELATIVE_ERROR * self.rms_feature {
            return refuse(format!(
                "tells an rms error of {:.1e} for features of rms {:.1e}",
                self.rms_error, self.rms_feature
            ));
        }
        // The intervals were computed in floating point; a measured feature may meet them exactly.
        let bound = self.feature_bound * (1.0 + 1e-9);
        if self.max_feature > bound
            || self.max_corner_feature > bound
            || self.feature_bound > contract.capacity()
        {
            return refuse("does not cover what inputs within the bound can give".into());
        }
        Ok(())
    }

    /// How far a decrypted feature may be off the network in the clear. The maximum over other records and
    /// under other keys is larger than the measured one: twice that, or 16 times the rms, which is beyond
    /// what the distribution of slot errors gives in a billion slots. Evidence, not a proof.
    pub fn tolerance(&self) -> f64 {
        (2.0 * self.max_error).max(16.0 * self.rms_error)
    }

    /// Correct bits of a typical feature: `log2(rms feature / rms error)`.
    pub fn precision_bits(&self) -> f64 {
        (self.rms_feature / self.rms_error).log2()
    }

    /// Room of the last modulus above the largest feature of the public records:
    /// `log2(capacity / largest feature)`.
    pub fn headroom_bits(&self, contract: &Contract) -> f64 {
        (contract.capacity() / self.max_feature).log2()
    }

    /// Fails when decrypted features cannot be those of this plan: something else was decrypted.
    ///
    /// # Errors
    /// [`EncryptedError::Message`], without the features.
    pub fn check_features(&self, features: ArrayView2<f64>) -> Result<()> {
        let bound = self.feature_bound + self.tolerance();
        if features.iter().all(|f| f.abs() <= bound) {
            return Ok(());
        }
        Err(EncryptedError::Message {
            kind: "response",
            fact: "it decrypts to numbers that no record can give".into(),
            remedy: "check the key and the plan; do not tell the model owner more than that it failed".into(),
        })
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "error {:.1e} at most, {:.1e} rms, {:.1} bits, on {} public records; |feature| <= {:.3} there, \
             {:.3} at {} corners, {:.3} proved",
            self.max_error,
            self.rms_error,
            self.precision_bits(),
            self.records,
            self.max_feature,
            self.max_corner_feature,
            self.corners,
            self.feature_bound
        )
    }
}

/// Records at the input bound, `[corners, input_width]`: for each of the units of the first layer that
/// can get furthest, the two records that take it to its ends.
fn corners(plan: &EvaluationPlan) -> Array2<f64> {
    let first = plan.first_weights();
    let reach = |unit: usize| first.row(unit).mapv(f64::abs).sum();
    let mut units: Vec<usize> = (0..first.nrows()).collect();
    units.sort_by(|a, b| reach(*b).total_cmp(&reach(*a)));
    units.truncate(CORNER_UNITS);
    let bound = plan.contract().input_bound().max_abs();
    Array2::from_shape_fn((2 * units.len(), first.ncols()), |(corner, input)| {
        let sign = if corner % 2 == 0 { bound } else { -bound };
        sign * first[[units[corner / 2], input]].signum()
    })
}

/// The largest magnitude; infinite when one is NaN.
fn largest(values: ArrayView2<f64>) -> f64 {
    values.iter().fold(0.0, |max, v| if v.is_nan() { f64::INFINITY } else { v.abs().max(max) })
}

fn root_mean_square(values: ArrayView2<f64>) -> f64 {
    values.mapv(|v| v * v).mean().unwrap_or(f64::NAN).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;
    use crate::{InputBound, Packing, ParameterSet};

    fn certified(bound: f64) -> (EvaluationPlan, Network, Certificate) {
        let network = Network::new(16, testkit::paper_layers(16, 2)).unwrap();
        let bound = InputBound::new(bound).unwrap();
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let plan = EvaluationPlan::compile(&network, set, Packing::FeatureMajor, bound).unwrap();
        let rows = testkit::records(200, 16, bound.max_abs(), 3);
        let certificate =
            Certificate::measure(&plan, &network, rows.view(), Digest::of(b"public"), &|_| ()).unwrap();
        (plan, network, certificate)
    }

    #[test]
    fn other_records_under_other_keys_stay_within_the_certificate() {
        let (plan, network, certificate) = certified(4.0);
        assert!(certificate.max_error >= certificate.rms_error && certificate.rms_error > 0.0);
        for seed in 0..4 {
            let rows = testkit::records(512, 16, 4.0, 100 + seed);
            let features =
                extract_in_process(&plan, Kernels::default(), rows.view(), &|_| ()).unwrap().features;
            let error = largest((&features - &network.forward(rows.view()).unwrap()).view());
            assert!(error <= certificate.tolerance(), "{error:e}: {certificate}");
            certificate.check_features(features.view()).unwrap();
        }
    }

    #[test]
    fn corners_reach_further_than_records_and_stay_within_the_proof() {
        let (plan, _, certificate) = certified(4.0);
        assert!(certificate.max_corner_feature > certificate.max_feature);
        assert!(certificate.max_corner_feature <= certificate.feature_bound);
        assert!(certificate.feature_bound <= plan.contract().capacity());
        assert!(certificate.headroom_bits(plan.contract()) > 1.0);
        let tight = certified(1.0).2;
        assert!(tight.precision_bits() > certificate.precision_bits(), "a tighter bound buys precision");
    }

    #[test]
    fn certificates_that_do_not_cover_the_plan_are_refused() {
        let (plan, _, certificate) = certified(4.0);
        let other = certified(3.0).0;
        assert!(certificate.check(other.contract()).unwrap_err().to_string().contains("another plan"));
        for alter in [
            (|c| c.rms_error = f64::NAN) as fn(&mut Certificate),
            |c| c.rms_error = c.rms_feature,
            |c| c.records = 0,
            |c| c.feature_bound *= 2.0,
            |c| c.max_feature = c.feature_bound * 1.1,
        ] {
            let mut altered = certificate.clone();
            alter(&mut altered);
            assert!(altered.check(plan.contract()).is_err(), "{altered:?}");
        }
    }

    #[test]
    fn numbers_that_no_record_can_give_are_refused() {
        let (_, _, certificate) = certified(4.0);
        let mut features = Array2::zeros((2, 14));
        certificate.check_features(features.view()).unwrap();
        features[[1, 3]] = 1.01 * certificate.feature_bound + certificate.tolerance();
        assert!(certificate.check_features(features.view()).is_err());
        features[[1, 3]] = f64::NAN;
        assert!(certificate.check_features(features.view()).is_err());
    }
}

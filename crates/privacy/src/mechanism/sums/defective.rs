//! The mechanism under attack: the released one, on made-up records, as it is or with a known defect.
//!
//! An audit needs to see what the mechanism released step by step, and it needs mechanisms that are *wrong*: a control
//! without DP noise that it must find out, one with half of it to show its power, and the classical mistakes. Each is a
//! [`Defect`] of an [`AuditSums`], which, like the benchmark's, has no receipt: nothing that ran on it can be
//! recorded as a release, and no ledger knows it.

use super::{NoisySum, PublicData, Sums, Units, sealed};
use crate::event::Event;
use crate::guarantee::Guarantee;
use crate::mechanism::MechanismError;
use crate::mechanism::clip::GridClipper;

/// What is wrong with a mechanism, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Nothing: the mechanism that was charged.
    None,
    /// No DP noise.
    NoNoise,
    /// Half the DP noise.
    HalfNoise,
    /// The sampling was forgotten: every unit takes part in every step.
    NotSampled,
    /// The composition was forgotten: each step has the DP noise of a release of one step.
    ForgottenComposition,
    /// Contributions are not clipped, or only to eight times C; the DP noise is that for C.
    NoClipping,
    /// Sums are divided by the private number of units, and so is the DP noise.
    DividedByPrivateCount,
    /// The DP noise is that for half the sensitivity, as if a replaced unit moved one contribution and not two.
    HalfSensitivity,
}

/// How far [`Defect::NoClipping`] lets contributions go, in clipping norms.
const UNCLIPPED: u32 = 8;

/// The noisy sums of a release, for attacks on made-up records.
#[derive(Debug)]
pub struct AuditSums {
    sums: Sums,
    defect: Defect,
    transcript: Vec<Vec<f64>>,
    public_data: PublicData,
}

impl AuditSums {
    /// The mechanism that was released as `event` under `guarantee`, with a defect.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the two do not describe noisy sums.
    pub fn of_release(
        event: &Event,
        guarantee: &Guarantee,
        defect: Defect,
        public_data: PublicData,
    ) -> Result<AuditSums, MechanismError> {
        let mut sums = Sums::of(event, guarantee)?;
        match defect {
            Defect::None | Defect::NoNoise | Defect::DividedByPrivateCount => {}
            Defect::NotSampled => sums.sampling_rate = 1.0,
            Defect::HalfNoise => sums.noise_multiplier /= 2.0,
            Defect::ForgottenComposition => sums.noise_multiplier /= f64::from(sums.steps).sqrt(),
            Defect::NoClipping => {
                // A coarser grid, so that the same integers reach further.
                sums.clipping_norm *= f64::from(UNCLIPPED);
                sums.grid *= f64::from(UNCLIPPED);
                sums.sensitivity /= u64::from(UNCLIPPED);
                sums.clipper = GridClipper::new(sums.noise, sums.dimension, sums.clipping_norm);
            }
            Defect::HalfSensitivity => sums.sensitivity /= 2,
        }
        Ok(AuditSums { sums, defect, transcript: Vec::new(), public_data })
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }

    /// What was released, step by step: what the adversary of the accounting sees.
    pub fn transcript(&self) -> &[Vec<f64>] {
        &self.transcript
    }
}

impl sealed::Sealed for AuditSums {
    fn core(&self) -> &Sums {
        &self.sums
    }

    fn core_mut(&mut self) -> &mut Sums {
        &mut self.sums
    }
}

impl NoisySum for AuditSums {
    fn step(
        &mut self,
        units: &Units,
        contribution: impl FnMut(usize, &mut [f64]) -> bool,
    ) -> Result<Vec<f64>, MechanismError> {
        let mut released = if self.defect == Defect::NoNoise {
            let sum = self.sums.exact_sum(units, contribution)?;
            self.sums.in_input_units(&sum)
        } else {
            self.sums.step(units, contribution)?
        };
        if self.defect == Defect::DividedByPrivateCount {
            let count = units.iter().count().max(1) as f64;
            released.iter_mut().for_each(|value| *value /= count);
        }
        self.transcript.push(released.clone());
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::Accountant;
    use crate::guarantee::{Adjacency, Delta, Epsilon, PrivacyUnit};
    use crate::plan::{Description, ReleasePlan, SumRequest};

    fn plan() -> ReleasePlan {
        ReleasePlan::gaussian_sums(SumRequest {
            epsilon: Epsilon::new(1.0).unwrap(),
            delta: Delta::new(1e-4).unwrap(),
            accountant: Accountant::Zcdp,
            dimension: 2000,
            clipping_norm: 0.5,
            slack: 0.0,
            steps: 4,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            description: Description::new(),
        })
        .unwrap()
    }

    /// The sum of one contribution of norm 3 on the first axis, and the deviation of the other coordinates.
    fn run(defect: Defect, units: usize) -> (f64, f64) {
        let plan = plan();
        let declared = PublicData::declare("made up by this test");
        let mut mechanism = AuditSums::of_release(plan.event(), plan.guarantee(), defect, declared).unwrap();
        let units = mechanism.units(units, None).unwrap();
        let released = mechanism
            .step(&units, |row, out| {
                out.fill(0.0);
                out[0] = 3.0;
                row == 0
            })
            .unwrap();
        assert_eq!(mechanism.transcript(), std::slice::from_ref(&released));
        let squares: f64 = released[1..].iter().map(|x| x * x).sum();
        (released[0], (squares / (released.len() - 1) as f64).sqrt())
    }

    #[test]
    fn each_defect_is_what_it_says() {
        let plan = plan();
        let Event::GaussianSum(sum) = plan.event() else { panic!() };
        // 2000 coordinates: the deviation is within 10 % by more than six of its own deviations.
        let near =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
        near(run(Defect::None, 1).1, sum.scale);
        near(run(Defect::HalfNoise, 1).1, sum.scale / 2.0);
        near(run(Defect::ForgottenComposition, 1).1, sum.scale / 2.0);
        near(run(Defect::HalfSensitivity, 1).1, sum.scale / 2.0);
        near(run(Defect::NoClipping, 1).1, sum.scale);
        near(run(Defect::DividedByPrivateCount, 10).1, sum.scale / 10.0);
        let (first, others) = run(Defect::NoNoise, 1);
        assert_eq!((first, others), (0.5, 0.0));
    }

    #[test]
    fn without_clipping_a_contribution_keeps_its_norm() {
        // Seen through the noise of the mean over many runs would take long; the exact sum tells it.
        let plan = plan();
        let declared = PublicData::declare("made up by this test");
        let mut mechanism =
            AuditSums::of_release(plan.event(), plan.guarantee(), Defect::NoClipping, declared).unwrap();
        let units = mechanism.units(1, None).unwrap();
        let sum = mechanism
            .sums
            .exact_sum(&units, |_, out| {
                out.fill(0.0);
                out[0] = 3.0;
                true
            })
            .unwrap();
        assert!((mechanism.sums.in_input_units(&sum)[0] - 3.0).abs() < 1e-6);
    }
}

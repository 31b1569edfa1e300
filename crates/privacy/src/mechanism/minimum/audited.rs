//! The noisy minimum under attack: the released one, on made-up records, as it is or with a known defect.

use super::{Minimum, NoisyMinimum, sealed};
use crate::event::Event;
use crate::guarantee::{Adjacency, Guarantee};
use crate::mechanism::sums::{Defect, PublicData};
use crate::mechanism::{MechanismError, Units};

/// The noisy minimum of a release, for attacks on made-up records. It has no receipt: nothing that ran on it can be
/// recorded as a release.
#[derive(Debug)]
pub struct AuditMinimum {
    minimum: Minimum,
    has_noise: bool,
    public_data: PublicData,
}

impl AuditMinimum {
    /// The mechanism that was released as `event` under `guarantee`, with a defect.
    ///
    /// # Errors
    /// [`MechanismError::Inconsistent`] if the two do not describe such a minimum, or it cannot have this defect.
    pub fn of_release(
        event: &Event,
        guarantee: &Guarantee,
        defect: Defect,
        public_data: PublicData,
    ) -> Result<AuditMinimum, MechanismError> {
        let mut minimum = Minimum::of(event, guarantee)?;
        let inconsistent = |fact: &str| MechanismError::Inconsistent { fact: fact.to_owned() };
        match defect {
            Defect::None => {}
            // The noise on the answer is left out below.
            Defect::NoNoise => minimum.event.objective_noise = None,
            Defect::HalfNoise => {
                minimum.event.output_noise /= 2.0;
                minimum.event.objective_noise = minimum.event.objective_noise.map(|noise| noise / 2.0);
            }
            // Nearly half: what the optimizer leaves is in the sensitivity as well.
            Defect::HalfSensitivity if guarantee.adjacency == Adjacency::Replace => {
                minimum.adjacency = Adjacency::AddRemove;
                // That of the objective is one unit's in any case, and its loss is that of a group of two.
                minimum.event.objective_noise = minimum.event.objective_noise.map(|noise| noise / 2.0);
            }
            _ => return Err(inconsistent("it has no such defect")),
        }
        Ok(AuditMinimum { minimum, has_noise: defect != Defect::NoNoise, public_data })
    }

    /// The declaration under which this runs.
    pub fn public_data(&self) -> &PublicData {
        &self.public_data
    }
}

impl sealed::Sealed for AuditMinimum {
    fn core(&self) -> &Minimum {
        &self.minimum
    }

    fn core_mut(&mut self) -> &mut Minimum {
        &mut self.minimum
    }
}

impl NoisyMinimum for AuditMinimum {
    fn minimize(
        &mut self,
        units: &Units,
        row: impl FnMut(usize, &mut [f64]) -> Option<u32>,
        center: &[f64],
    ) -> Result<Vec<f64>, MechanismError> {
        if self.has_noise {
            return self.minimum.minimize(units, row, center);
        }
        let steps = self.minimum.exact_answer(units, row, center)?;
        Ok(self.minimum.in_weights(&steps, center))
    }
}

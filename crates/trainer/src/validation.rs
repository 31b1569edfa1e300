//! Validation on private records, charged: how often a released head is right, with DP noise.
//!
//! Every accuracy on private records is a release. This one is a single noisy sum: each unit adds one to a cell of the
//! confusion matrix (a person, the mean over their records), so its contribution has norm 1 at most, and the
//! mechanism adds the noise. Everything else that is said about the head is computed from the noisy cells.

use cryptotl_model::{Digest, Records, UNLABELED};
use cryptotl_privacy::{ChargedSums, Description, NoisySum, Receipt, ReleasePlan, SumRequest};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainerError};
use crate::head::Terms;
use crate::release::Head;

/// 97.5 percent of a normal distribution lie below this many standard deviations: two-sided 95 percent.
const Z_95: f64 = 1.959_963_984_540_054;

/// Plans the noisy confusion matrix of a head: free, and without a look at any record.
///
/// `about` is added to the description. Two plans with the same description and numbers are the same run, so it names
/// what tells these records from others.
///
/// # Errors
/// [`TrainerError::Plan`] when the terms do not allow it.
pub fn plan(head: &Head, digest: Digest, terms: &Terms, about: Description) -> Result<ReleasePlan> {
    let labels = &head.header.label_names;
    let mut description = Description::from([
        ("purpose".to_owned(), "validation".to_owned()),
        ("head".to_owned(), digest.to_string()),
        ("labels".to_owned(), labels.join(",")),
    ]);
    description.extend(about);
    let Terms { epsilon, delta, accountant, unit, adjacency, .. } = *terms;
    Ok(ReleasePlan::gaussian_sums(SumRequest {
        epsilon,
        delta,
        accountant,
        dimension: labels.len() * labels.len(),
        clipping_norm: 1.0,
        slack: 0.0,
        steps: 1,
        unit,
        adjacency,
        description,
    })?)
}

/// Runs what was paid for. A record without a declared label counts nowhere; no record can make it fail.
///
/// # Errors
/// [`TrainerError::Model`] when the records do not fit the head ([`Head::check`] tells before the charge),
/// [`TrainerError::Training`] when the plan is for another number of labels.
pub fn run(head: &Head, records: &Records, mut sums: ChargedSums) -> Result<(Confusion, Receipt)> {
    let labels = head.header.label_names.len();
    if sums.dimension() != labels * labels {
        return Err(TrainerError::training(
            format!("the plan has {} cells, and the head {labels} labels", sums.dimension()),
            "plan the validation again",
        ));
    }
    let predicted = head.predict(records)?;
    let declared = records.require_labels()?;
    let units = sums.units(records.len(), records.persons.as_deref())?;
    let cells = sums.step(&units, |row, cells| {
        let (declared, predicted) = (declared[row], predicted[row].0);
        if declared == UNLABELED {
            return false;
        }
        cells.fill(0.0);
        if let Some(cell) = cells.get_mut(declared as usize * labels + predicted) {
            *cell = 1.0;
        }
        true
    })?;
    let cells = cells.chunks(labels).map(<[f64]>::to_vec).collect();
    Ok((Confusion { cells, noise: sums.scale() }, sums.finish()))
}

/// A noisy confusion matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// How many units have a label (rows) and were given one (columns). With DP noise in it, so neither whole nor
    /// always positive.
    pub cells: Vec<Vec<f64>>,
    /// The standard deviation of the DP noise in a cell.
    pub noise: f64,
}

/// A share, with an interval that covers the share of all possible records in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Confusion {
    /// How many units there were, with DP noise.
    pub fn total(&self) -> f64 {
        self.cells.iter().flatten().sum()
    }

    /// The share of units that are given their label; `None` where the noise drowns the number of units.
    pub fn accuracy(&self) -> Option<Estimate> {
        let labels = self.cells.len();
        let right = self.cells.iter().enumerate().map(|(label, row)| row[label]).sum();
        self.share(right, labels, self.total(), labels * labels)
    }

    /// The share of units that have the most frequent label, which is the accuracy of always saying it; `None` where the noise
    /// drowns the number of units.
    pub fn majority(&self) -> Option<Estimate> {
        let labels = self.cells.len();
        let of_label = self.cells.iter().map(|row| row.iter().sum::<f64>());
        self.share(of_label.reduce(f64::max)?, labels, self.total(), labels * labels)
    }

    /// The share of a label's units that are given it; `None` where the noise drowns their number.
    pub fn recall(&self, label: usize) -> Option<Estimate> {
        let row = self.cells.get(label)?;
        self.share(*row.get(label)?, 1, row.iter().sum(), row.len())
    }

    /// `part` of `whole`, sums of so many cells, the first among the second.
    ///
    /// The variance is that of a share of a sample, s (1 - s) / n, and that of the noise to first order:
    /// d(T/N) = ((1 - s) dT - s dR) / N for T the part and R the rest.
    fn share(&self, part: f64, part_cells: usize, whole: f64, whole_cells: usize) -> Option<Estimate> {
        let rest_cells = whole_cells - part_cells;
        if whole < 4.0 * self.noise * (whole_cells as f64).sqrt() {
            return None;
        }
        let value = (part / whole).clamp(0.0, 1.0);
        let sampling = value * (1.0 - value) / whole;
        let of_noise = (1.0 - value).powi(2) * part_cells as f64 + value.powi(2) * rest_cells as f64;
        let half = Z_95 * (sampling + (self.noise / whole).powi(2) * of_noise).sqrt();
        Some(Estimate { value, low: (value - half).max(0.0), high: (value + half).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_with_the_width_of_sampling_and_noise() {
        let quiet = Confusion { cells: vec![vec![40.0, 10.0], vec![20.0, 130.0]], noise: 1e-9 };
        let accuracy = quiet.accuracy().unwrap();
        assert!((accuracy.value - 0.85).abs() < 1e-12);
        let half = Z_95 * (0.85_f64 * 0.15 / 200.0).sqrt();
        assert!((accuracy.high - 0.85 - half).abs() < 1e-9 && (accuracy.low - 0.85 + half).abs() < 1e-9);
        assert!((quiet.recall(0).unwrap().value - 0.8).abs() < 1e-12);
        assert!((quiet.majority().unwrap().value - 0.75).abs() < 1e-12);
        assert!((quiet.recall(1).unwrap().value - 130.0 / 150.0).abs() < 1e-12);
        assert_eq!(quiet.recall(2), None);
        let loud = Confusion { noise: 5.0, ..quiet.clone() };
        assert!(loud.accuracy().unwrap().low < accuracy.low - 0.01);
        assert_eq!(Confusion { noise: 30.0, ..quiet.clone() }.accuracy(), None);
        assert_eq!(Confusion { cells: vec![vec![-3.0, 1.0], vec![0.5, -4.0]], noise: 1.0 }.accuracy(), None);
    }

    /// The interval holds the truth about as often as it says, noise included: 2000 draws of a share of 0.8 have a standard
    /// deviation of 0.5 percent around 95.
    #[test]
    fn the_interval_covers_the_truth() {
        use rand::{RngExt, SeedableRng};
        use rand_distr::{Distribution, Normal};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let noise = Normal::new(0.0, 6.0).unwrap();
        let mut covered = 0;
        for _ in 0..2000 {
            let mut cells = vec![vec![0.0; 2]; 2];
            for _ in 0..400 {
                let label = usize::from(rng.random::<f64>() < 0.6);
                let predicted = if rng.random::<f64>() < 0.8 { label } else { 1 - label };
                cells[label][predicted] += 1.0;
            }
            cells.iter_mut().flatten().for_each(|cell| *cell += noise.sample(&mut rng));
            let Estimate { low, high, .. } = Confusion { cells, noise: 6.0 }.accuracy().unwrap();
            covered += usize::from((low..=high).contains(&0.8));
        }
        assert!((1850..=1950).contains(&covered), "{covered} of 2000");
    }
}

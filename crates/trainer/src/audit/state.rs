//! `audit-state.safetensors`: the trainings that an audit has done so far.
//!
//! Results are kept in the order of the trainings, each of which is decided by the seed and its number, so that an audit that
//! was stopped goes on where it was. The file names the claim and the settings; it is of no use for others.

use std::path::Path;

use cryptotl_model::format::{self, Document, Header};
use cryptotl_model::{Kind, ModelError, WriteTo};
use cryptotl_privacy::audit::crowd::PairErrors;
use cryptotl_privacy::audit::{AuditSettings, AuditedClaim, OneRunAudit, View};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The header of a state file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateHeader {
    claim: AuditedClaim,
    settings: AuditSettings,
    seconds: f64,
    deviations: Option<[f64; 2]>,
    one_run: Option<OneRunAudit>,
}

impl Header for StateHeader {
    const KIND: &'static str = "audit-state";
    const VERSION: u32 = 1;
}

/// What was done so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Wall-clock seconds in all sittings.
    pub seconds: f64,
    /// The standard deviation of each view's scores, in units of the distance between a canary's being in and out.
    pub deviations: Option<[f64; 2]>,
    /// The attack that trains once.
    pub one_run: Option<OneRunAudit>,
    /// Mean errors of pairs without DP noise.
    pub no_noise: Vec<f64>,
    /// Mean errors of pairs with half of it.
    pub half_noise: Vec<f64>,
    /// Scores of the single canary: trainings with it, and without it.
    pub single: [Vec<Vec<f64>>; 2],
    /// Errors of pairs, in each view.
    pub crowd: Vec<[PairErrors; 2]>,
}

fn matrix<'a>(rows: impl ExactSizeIterator<Item = &'a [f64]>) -> Array2<f64> {
    let count = rows.len();
    let flat: Vec<&[f64]> = rows.collect();
    let width = flat.first().map_or(0, |row| row.len());
    // All rows of one kind have one width.
    Array2::from_shape_fn((count, width), |(i, j)| flat[i][j])
}

fn row_vectors(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}

impl State {
    /// The results of an audit, as an output.
    pub const FILE: Kind = Kind::document::<StateHeader>("state of an audit");

    /// Fails, before the first training, when the results of an audit would be larger than a file that is read.
    ///
    /// # Errors
    /// [`ModelError::Invalid`].
    pub fn check_size(settings: &AuditSettings, (scores, thresholds): (usize, usize)) -> Result<()> {
        let AuditSettings { runs, single_runs, half_noise_runs, no_noise_runs, .. } = *settings;
        // Of each pair of runs two errors a threshold in each view.
        let pairs = runs.saturating_mul(thresholds).saturating_mul(View::ALL.len());
        let numbers =
            pairs.saturating_add(single_runs * scores).saturating_add(half_noise_runs + no_noise_runs);
        Ok(format::check_size::<StateHeader>((numbers as u64).saturating_mul(8))?)
    }

    /// Writes the file.
    pub fn write(
        &self,
        to: &(impl WriteTo + ?Sized),
        claim: &AuditedClaim,
        settings: &AuditSettings,
    ) -> Result<()> {
        let header = StateHeader {
            claim: claim.clone(),
            settings: settings.clone(),
            seconds: self.seconds,
            deviations: self.deviations,
            one_run: self.one_run.clone(),
        };
        let column = |values: &[f64]| Array2::from_shape_fn((values.len(), 1), |(i, _)| values[i]);
        let mut document = Document::new(header)
            .with("no-noise", &column(&self.no_noise))
            .with("half-noise", &column(&self.half_noise))
            .with("single.with", &matrix(self.single[0].iter().map(Vec::as_slice)))
            .with("single.without", &matrix(self.single[1].iter().map(Vec::as_slice)));
        for view in View::ALL {
            let pairs = || self.crowd.iter().map(move |pair| &pair[view as usize]);
            let [positives, negatives] = names(view);
            document = document
                .with(positives, &matrix(pairs().map(|pair| pair.false_positives.as_slice())))
                .with(negatives, &matrix(pairs().map(|pair| pair.false_negatives.as_slice())));
        }
        document.write(to, Self::FILE)?;
        Ok(())
    }

    /// Reads the file of an audit of this claim with these settings.
    ///
    /// `scores` is how many scores a single training has, `thresholds` how many thresholds there are.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for anything else, named.
    pub fn read(
        path: &Path,
        claim: &AuditedClaim,
        settings: &AuditSettings,
        (scores, thresholds): (usize, usize),
    ) -> Result<Self> {
        let (mut document, _) = Document::<StateHeader>::read(path)?;
        let malformed = |fact: &str| ModelError::Malformed {
            path: path.to_owned(),
            kind: StateHeader::KIND,
            fact: fact.to_owned(),
            remedy: "give the same head and flags as before, or another --state file".to_owned(),
        };
        // Each row of a matrix is one training or pair, so there are at most as many as were planned.
        let mut take = |name: &str, most: usize, width: usize| {
            let matrix = document.take_matrix(name, path)?;
            if matrix.nrows() > most || (matrix.nrows() > 0 && matrix.ncols() != width) {
                return Err(malformed("its results are not those of its settings"));
            }
            if matrix.iter().any(|value| !value.is_finite()) {
                return Err(malformed("a result is not finite"));
            }
            Ok(row_vectors(&matrix))
        };
        let no_noise = take("no-noise", settings.no_noise_runs / 2, 1)?.concat();
        let half_noise = take("half-noise", settings.half_noise_runs / 2, 1)?.concat();
        let single = [
            take("single.with", settings.single_runs / 2, scores)?,
            take("single.without", settings.single_runs / 2, scores)?,
        ];
        let mut views = Vec::new();
        for view in View::ALL {
            let [positives, negatives] = names(view).map(|name| take(&name, settings.runs / 2, thresholds));
            views.push((positives?, negatives?));
        }
        let header = document.finish(path)?;
        if header.claim != *claim {
            return Err(malformed("it is of the audit of another head").into());
        }
        // A sitting may have its own time.
        let untimed =
            |settings: &AuditSettings| AuditSettings { time_budget_seconds: None, ..settings.clone() };
        if untimed(&header.settings) != untimed(settings) {
            return Err(malformed("it is of an audit with other settings").into());
        }
        let StateHeader { seconds, deviations, one_run, .. } = header;
        let pairs = views[0].0.len();
        let are_shares = |values: &[f64]| values.iter().all(|share| (0.0..=1.0).contains(share));
        let fits = are_shares(&no_noise)
            && are_shares(&half_noise)
            && views.iter().all(|(positives, negatives)| {
                positives.len() == pairs
                    && negatives.len() == pairs
                    && positives.iter().chain(negatives).all(|row| are_shares(row))
            })
            && deviations.iter().flatten().all(|&deviation| deviation.is_finite() && deviation > 0.0)
            && (deviations.is_some() || pairs == 0)
            && seconds.is_finite()
            && seconds >= 0.0;
        if !fits {
            return Err(malformed("its results are not those of its settings").into());
        }
        let errors = |view: usize, pair: usize| PairErrors {
            false_positives: views[view].0[pair].clone(),
            false_negatives: views[view].1[pair].clone(),
        };
        let crowd = (0..pairs).map(|pair| [errors(0, pair), errors(1, pair)]).collect();
        Ok(Self { seconds, deviations, one_run, no_noise, half_noise, single, crowd })
    }
}

fn names(view: View) -> [String; 2] {
    let view = match view {
        View::Transcript => "transcript",
        View::Head => "head",
    };
    ["false-positives", "false-negatives"].map(|error| format!("{view}.{error}"))
}

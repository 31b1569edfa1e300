//! The public space that a head works in, and a private table in it.

use cryptotl_model::{HeadInputs, LinearScore, Projection, PublicModel, Records, UNLABELED};
use cryptotl_privacy::mechanism::check_center;
use cryptotl_privacy::{NoisyMinimum, NoisySum, Units};
use ndarray::{Array1, Array2, s};

use super::softmax::{outer, residuals, scores, scores_of};
use super::{HeadSettings, Mechanism};
use crate::error::{Result, TrainerError};

/// The share of a row's norm that the coordinates of the zero-shot scores get: so small that neither DP noise nor
/// gradients move their weights, which are large.
const SCORE_SHARE: f64 = 0.01;

/// How much of the start is the zero-shot head's score; the rest is the source's head on the leading axes.
const ZERO_SHOT_SHARE: f64 = 0.85;

/// Projection, second moment and start: all public.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// The map from a record to the row that the weights apply to.
    pub projection: Projection,
    /// The second moment of the source's rows, `[dimension, dimension]`. The part that belongs to the coordinates of the
    /// zero-shot scores is left out: it is of the size of 0.01.
    pub gram: Array2<f64>,
    /// Where training starts: a vector of weights for each score. It is the zero-shot head on everything, whose scores have
    /// coordinates of their own, with a share of the source's head on the leading axes. The first knows more, the second
    /// is smoother (`docs/benchmarks-privacy.md`).
    pub start: Array1<f64>,
    /// How many labels are declared.
    pub labels: usize,
}

impl Space {
    /// The space of a head with these settings.
    ///
    /// Everything in it is public, and whatever a hostile or damaged model has in it, what comes of a training must depend on
    /// records by their part in noisy sums alone. So numbers that no source gives are refused here, before anything is paid.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when the model has no view for the inputs, no statistics at the rank, or statistics that are
    /// no second moments of rows of norm 1; [`TrainerError::Mechanism`] when its start is too far from 0.
    pub fn new(public: &PublicModel, settings: &HeadSettings) -> Result<Self> {
        let HeadSettings { inputs, rank, .. } = *settings;
        let view = public.views.get(&inputs).ok_or_else(|| {
            TrainerError::training(
                format!("the public model has no view for {}", inputs.name()),
                "use a model that was pretrained with these inputs",
            )
        })?;
        let statistics = view.ranks.get(&rank).ok_or_else(|| {
            TrainerError::training(
                format!("the model has no statistics at rank {rank}"),
                format!("choose among {:?}", view.ranks.keys().collect::<Vec<_>>()),
            )
        })?;
        let projection = view.projection.truncated(rank);
        let labels = public.label_names.len();
        let plain =
            Self { projection, gram: statistics.gram.clone(), start: statistics.start.clone(), labels };
        let space = plain.with_zero_shot(public);
        check_center(&space.start.to_vec())?;
        // Rows have norm at most 1, and so have their second moments. A little more for rounding.
        if space.gram.iter().any(|x| x.is_nan() || x.abs() > 1.0 + 1e-6) {
            return Err(TrainerError::training(
                format!("the statistics of the public model at rank {rank} are no second moments"),
                "use a public half that `cryptotl pretrain` wrote, and check where this one comes from",
            ));
        }
        Ok(space)
    }

    /// How many scores a record gets: one for two labels.
    pub fn scores(&self) -> usize {
        scores_of(self.labels)
    }

    /// How many numbers a row has.
    pub fn dimension(&self) -> usize {
        self.projection.dimension()
    }

    /// How many weights a head has.
    pub fn weights(&self) -> usize {
        self.scores() * self.dimension()
    }

    /// The same space with a coordinate for each zero-shot score. Heads that do not read the embedding take the source's scores
    /// of what they read; models of earlier builds do not have them for more than two labels.
    fn with_zero_shot(self, public: &PublicModel) -> Self {
        let mut projection = Projection { score_share: SCORE_SHARE, ..self.projection.clone() };
        if projection.inputs != HeadInputs::Features {
            let width = projection.mean.len();
            let beside = |zero_shot: &LinearScore| {
                let mut weight = Array1::zeros(width);
                weight.slice_mut(s![..zero_shot.width()]).assign(&zero_shot.weight);
                LinearScore { weight, bias: zero_shot.bias }
            };
            projection.scores = public.zero_shot.iter().map(beside).collect();
        } else if projection.scores.len() != self.scores() {
            return self;
        }
        let (rank, dimension) = (projection.rank(), projection.dimension());
        let old = self.gram.nrows() - 1;
        let mut gram = Array2::zeros((dimension, dimension));
        gram.slice_mut(s![..rank, ..rank]).assign(&self.gram.slice(s![..rank, ..rank]));
        for i in 0..rank {
            gram[[i, dimension - 1]] = self.gram[[i, old]];
            gram[[dimension - 1, i]] = self.gram[[old, i]];
        }
        gram[[dimension - 1, dimension - 1]] = self.gram[[old, old]];
        let mut start = Array1::zeros(self.scores() * dimension);
        let of_axes = 1.0 - ZERO_SHOT_SHARE;
        let heads = start.exact_chunks_mut(dimension).into_iter().zip(self.start.exact_chunks(old + 1));
        for (i, (mut start, plain)) in heads.enumerate() {
            start.slice_mut(s![..rank]).assign(&(&plain.slice(s![..rank]) * of_axes));
            start[rank + i] = ZERO_SHOT_SHARE * projection.score_scale / SCORE_SHARE;
            start[dimension - 1] = of_axes * plain[old];
        }
        Self { projection, gram, start, labels: self.labels }
    }
}

/// A private table in a space: rows, labels and units. Not `Debug`.
#[derive(Clone)]
pub struct Task<'a> {
    /// The space.
    pub space: &'a Space,
    /// `[records, dimension]`.
    pub rows: Array2<f64>,
    /// A code a record.
    pub labels: Vec<u32>,
    /// Which records belong together.
    pub units: Units,
}

impl<'a> Task<'a> {
    /// Projects records into the space.
    ///
    /// # Errors
    /// [`TrainerError::Model`] when the records lack labels or features, or are of another width; the mechanism's
    /// error when persons are protected and not known.
    pub fn new<S: NoisySum, M: NoisyMinimum>(
        space: &'a Space,
        records: &Records,
        mechanism: &Mechanism<S, M>,
    ) -> Result<Self> {
        Ok(Self {
            rows: space.projection.apply(records.inputs(space.projection.inputs)?.view())?,
            labels: records.require_labels()?.to_vec(),
            units: mechanism.units(records.len(), records.persons.as_deref())?,
            space,
        })
    }

    /// The next noisy sum of the gradients at `weights`.
    pub(super) fn noisy_gradient(
        &self,
        weights: &Array1<f64>,
        sums: &mut impl NoisySum,
    ) -> Result<Array1<f64>> {
        let expected = self.space.weights();
        if sums.dimension() != expected {
            return Err(TrainerError::training(
                format!("the plan is for {} numbers, the head has {expected}", sums.dimension()),
                "plan again with this model",
            ));
        }
        let mut scores = scores(self.rows.view(), weights.view());
        let sum = sums.step(&self.units, |row, gradient| {
            let label = self.labels[row];
            if label == UNLABELED {
                return false;
            }
            let mut own = scores.row_mut(row);
            let own = own.as_slice_mut().expect("rows of a fresh matrix are contiguous");
            residuals(own, label);
            outer(own, self.rows.row(row), gradient);
            true
        })?;
        Ok(Array1::from_vec(sum))
    }

    /// The noisy minimum, with the ridge centered on the start.
    pub(super) fn minimize(&self, minimum: &mut impl NoisyMinimum) -> Result<Array1<f64>> {
        let event = minimum.event();
        let found = (event.classes as usize, event.columns);
        if found != (self.space.labels, self.space.dimension()) {
            return Err(TrainerError::training(
                format!("the plan is for {} labels and rows of {} numbers", found.0, found.1),
                "plan again with this model",
            ));
        }
        let center = self.space.start.to_vec();
        let row = |index: usize, out: &mut [f64]| {
            out.iter_mut().zip(self.rows.row(index)).for_each(|(out, z)| *out = *z);
            Some(self.labels[index]).filter(|&label| label != UNLABELED)
        };
        Ok(Array1::from_vec(minimum.minimize(&self.units, row, &center)?))
    }
}

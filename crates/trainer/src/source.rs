//! What the public source tells a private head: projection, second moment and starting point.

use cryptotl_model::{HeadInputs, LinearScore, Projection, RankStatistics, Records, SourceView, UNLABELED};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use crate::config::HeadConfig;
use crate::error::{Result, TrainerError};
use crate::head::scores_of;
use crate::linear::{principal_axes, regression, weighted_gram};

/// The rows of labeled records and their labels.
pub(crate) fn labeled(records: &Records) -> Result<(Vec<usize>, Vec<u32>)> {
    labeled_among(records.require_labels()?, 0..records.len(), "the source")
}

/// The same of some rows, which belong to `whose`.
pub(crate) fn labeled_among(
    labels: &[u32],
    rows: impl Iterator<Item = usize>,
    whose: &str,
) -> Result<(Vec<usize>, Vec<u32>)> {
    let rows: Vec<usize> = rows.filter(|&i| labels[i] != UNLABELED).collect();
    let labels: Vec<u32> = rows.iter().map(|&i| labels[i]).collect();
    if labels.iter().all(|label| Some(label) == labels.first()) {
        return Err(TrainerError::training(
            format!("{whose} does not have records of two labels"),
            "give a source with records of each, and check --labels",
        ));
    }
    Ok((rows, labels))
}

/// Labels as targets of scores, `[records, scores]`: of two labels, 1 for the second and 0 for the first; of more, a column
/// for each label, with 1 for a record's own.
pub(crate) fn targets(labels: &[u32], n_labels: usize) -> Array2<f64> {
    let scores = scores_of(n_labels);
    let first = u32::from(scores == 1);
    Array2::from_shape_fn((labels.len(), scores), |(i, k)| f64::from(labels[i] == k as u32 + first))
}

/// Logistic regression on raw inputs with an intercept: a score for each column of `targets`.
///
/// # Errors
/// [`TrainerError::Training`] when there is no record or no solution.
pub fn linear_score(inputs: &Array2<f64>, targets: &Array2<f64>, ridge: f64) -> Result<Vec<LinearScore>> {
    weighted_linear_score(inputs, targets, &Array1::ones(targets.nrows()), ridge)
}

/// The scores of rows, `[rows, scores]`.
pub(crate) fn of_rows(scores: &[LinearScore], rows: ArrayView2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros((rows.nrows(), scores.len()));
    out.columns_mut()
        .into_iter()
        .zip(scores)
        .for_each(|(mut column, score)| column.assign(&score.of_rows(rows)));
    out
}

/// The same where some records count more than others.
///
/// # Errors
/// As for [`linear_score`].
pub fn weighted_linear_score(
    inputs: &Array2<f64>,
    targets: &Array2<f64>,
    weights: &Array1<f64>,
    ridge: f64,
) -> Result<Vec<LinearScore>> {
    let width = inputs.ncols();
    let mut rows = Array2::ones((inputs.nrows(), width + 1));
    rows.slice_mut(s![.., ..width]).assign(inputs);
    let solution = regression(rows.view(), targets.view(), weights.view(), ridge, Some(width))?;
    let scores = solution.rows().into_iter().map(|row| Ok(LinearScore::from_vector(&row.to_owned())?));
    scores.collect()
}

/// What a view is fitted to.
pub(crate) struct ViewSource<'a> {
    /// `[records, input width]`.
    pub inputs: &'a Array2<f64>,
    /// How many of the first columns are the embedding (none for [`HeadInputs::Features`]).
    pub embedding_width: usize,
    /// `[records, scores]`, see [`targets`]; probabilities are targets too.
    pub targets: &'a Array2<f64>,
    /// How much each record counts in the source's own heads.
    pub weights: &'a Array1<f64>,
}

/// Fits a view of the source for heads with these inputs, around the source's own `scores`: by default the
/// logistic regression on the inputs.
pub(crate) fn fit_view(
    kind: HeadInputs,
    source: &ViewSource,
    scores: Option<Vec<LinearScore>>,
    config: &HeadConfig,
) -> Result<SourceView> {
    let ViewSource { inputs, embedding_width, targets, weights } = *source;
    let mean = inputs.mean_axis(Axis(0)).expect("labeled() found records");
    let mut centered = inputs - &mean;
    // The embedding and the features have units of their own: give their blocks a fixed ratio of variance.
    let mut units = Array1::<f64>::ones(inputs.ncols());
    if kind == HeadInputs::EmbeddingAndFeatures {
        let variance = |block: ndarray::ArrayView2<f64>| block.iter().map(|x| x * x).sum::<f64>();
        let embedding = variance(centered.slice(s![.., ..embedding_width]));
        let features = variance(centered.slice(s![.., embedding_width..]));
        let unit = (config.feature_share * embedding / features.max(f64::MIN_POSITIVE)).sqrt();
        units.slice_mut(s![embedding_width..]).fill(unit);
        centered *= &units;
    }
    let rank = config.ranks.iter().copied().max().expect("checked: ranks are not empty");
    let axes = principal_axes(centered.view(), rank)?;
    drop(centered);
    let scores = match scores {
        Some(scores) => scores,
        None => weighted_linear_score(inputs, targets, weights, config.source_ridge)?,
    };
    let norm = |scores: ArrayView1<f64>| scores.dot(&scores).sqrt();
    let mut magnitudes: Vec<f64> = of_rows(&scores, inputs.view()).rows().into_iter().map(norm).collect();
    magnitudes.sort_by(f64::total_cmp);
    let projection = Projection {
        inputs: kind,
        mean,
        components: &axes * &units,
        bias_share: config.bias_share,
        score_share: config.score_share,
        // The norm of the 90th percentile counts as 1: the cut is for outliers.
        score_scale: magnitudes[magnitudes.len() * 9 / 10].max(1e-6),
        scores,
    };
    let mut ranks = std::collections::BTreeMap::new();
    for rank in config.ranks.iter().map(|r| (*r).min(projection.rank())) {
        let rows = projection.truncated(rank).apply(inputs.view())?;
        let gram =
            weighted_gram(rows.view(), Array1::from_elem(rows.nrows(), 1.0 / rows.nrows() as f64).view());
        let start = regression(rows.view(), targets.view(), weights.view(), config.source_ridge, None)?;
        ranks.insert(rank, RankStatistics { gram, start: start.iter().copied().collect() });
    }
    Ok(SourceView { projection, ranks })
}

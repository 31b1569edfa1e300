//! What the public source tells a private head: projection, second moment and starting point.

use cryptotl_model::{HeadInputs, LinearScore, Projection, RankStatistics, Records, SourceView, UNLABELED};
use ndarray::{Array1, Array2, Axis, s};

use crate::config::HeadConfig;
use crate::error::{Result, TrainerError};
use crate::linear::{principal_axes, weighted_gram, weighted_logistic_regression};

/// The rows of labeled records and their targets: 1 for the second label, 0 for the first.
pub(crate) fn labeled(records: &Records) -> Result<(Vec<usize>, Array1<f64>)> {
    let labels = records.require_labels()?;
    let rows: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != UNLABELED).collect();
    let targets: Array1<f64> = rows.iter().map(|&i| f64::from(labels[i])).collect();
    if targets.iter().all(|t| *t == 0.0) || targets.iter().all(|t| *t == 1.0) {
        return Err(TrainerError::training(
            "the source does not have records of both labels",
            "give a source with both, and check --labels",
        ));
    }
    Ok((rows, targets))
}

/// Logistic regression on raw inputs with an intercept.
///
/// # Errors
/// [`TrainerError::Training`] when there is no record or no solution.
pub fn linear_score(inputs: &Array2<f64>, targets: &Array1<f64>, ridge: f64) -> Result<LinearScore> {
    weighted_linear_score(inputs, targets, &Array1::ones(targets.len()), ridge)
}

/// The same where some records count more than others.
///
/// # Errors
/// As for [`linear_score`].
pub fn weighted_linear_score(
    inputs: &Array2<f64>,
    targets: &Array1<f64>,
    weights: &Array1<f64>,
    ridge: f64,
) -> Result<LinearScore> {
    let width = inputs.ncols();
    let mut rows = Array2::ones((inputs.nrows(), width + 1));
    rows.slice_mut(s![.., ..width]).assign(inputs);
    let solution =
        weighted_logistic_regression(rows.view(), targets.view(), weights.view(), ridge, Some(width))?;
    Ok(LinearScore::from_vector(&solution)?)
}

/// What a view is fitted to.
pub(crate) struct ViewSource<'a> {
    /// `[records, input width]`.
    pub inputs: &'a Array2<f64>,
    /// How many of the first columns are the embedding (none for [`HeadInputs::Features`]).
    pub embedding_width: usize,
    /// 1 for the second label, 0 for the first.
    pub targets: &'a Array1<f64>,
    /// How much each record counts in the source's own heads.
    pub weights: &'a Array1<f64>,
}

/// Fits a view of the source for heads with these inputs, around the source's own `score`: by default the
/// logistic regression on the inputs.
pub(crate) fn fit_view(
    kind: HeadInputs,
    source: &ViewSource,
    score: Option<LinearScore>,
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
    let score = match score {
        Some(score) => score,
        None => weighted_linear_score(inputs, targets, weights, config.source_ridge)?,
    };
    let mut magnitudes: Vec<f64> = score.of_rows(inputs.view()).iter().map(|s| s.abs()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let projection = Projection {
        inputs: kind,
        mean,
        components: &axes * &units,
        bias_share: config.bias_share,
        score_share: config.score_share,
        // The score of the 90th percentile counts as 1: the clamp is for outliers.
        score_scale: magnitudes[magnitudes.len() * 9 / 10].max(1e-6),
        score,
    };
    let mut ranks = std::collections::BTreeMap::new();
    for rank in config.ranks.iter().map(|r| (*r).min(projection.rank())) {
        let rows = projection.truncated(rank).apply(inputs.view())?;
        let gram =
            weighted_gram(rows.view(), Array1::from_elem(rows.nrows(), 1.0 / rows.nrows() as f64).view());
        let start = weighted_logistic_regression(
            rows.view(),
            targets.view(),
            weights.view(),
            config.source_ridge,
            None,
        )?;
        ranks.insert(rank, RankStatistics { gram, start });
    }
    Ok(SourceView { projection, ranks })
}

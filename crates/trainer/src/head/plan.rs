//! The one constructor of release plans: clipping, DP noise, event and sampling of a method follow from its numbers here.

use cryptotl_model::{HeadInputs, PublicModel};
use cryptotl_privacy::{
    Accountant, Adjacency, Delta, Description, Epsilon, Event, MinimumRequest, Order, PerturbedBy,
    PrivacyUnit, ReleasePlan, SampledSumEvent, SampledSumRequest, SumEvent, SumRequest,
};

use super::{DpFc, DpGd, DpSgd, HeadSettings, Method, Objective, Output, Parameters, Space};
use crate::error::{Result, TrainerError};

/// The terms under which a release is planned: the request's, and its ledger's.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// What the release may cost.
    pub epsilon: Epsilon,
    /// The ledger's delta.
    pub delta: Delta,
    /// The theory by which the ledger counts.
    pub accountant: Accountant,
    /// The order up to which the ledger counts sampled releases; `None` if it takes none.
    pub order: Option<Order>,
    /// The ledger's unit.
    pub unit: PrivacyUnit,
    /// The ledger's adjacency.
    pub adjacency: Adjacency,
}

impl HeadSettings {
    /// Plans the release: free, and without a look at any record.
    ///
    /// `about` is added to the description. Two plans with the same description and numbers are the same
    /// run, so it names whatever else tells this run from others, such as the model's digest.
    ///
    /// # Errors
    /// [`TrainerError::Plan`] when the terms do not allow the method, [`TrainerError::Training`] when the model has
    /// no such view, the method takes no slack, or the ledger takes no samples.
    pub fn plan(&self, public: &PublicModel, terms: &Terms, about: Description) -> Result<ReleasePlan> {
        let space = Space::new(public, self)?;
        if let Parameters::DpFc(method) = &self.parameters {
            method.check(&space)?;
        }
        let mut description = self.describe(public);
        description.extend(about);
        let Terms { epsilon, delta, accountant, order, unit, adjacency } = *terms;
        let minimum = |convexity, perturbed_by, description| {
            ReleasePlan::perturbed_minimum(MinimumRequest {
                epsilon,
                delta,
                classes: space.labels as u32,
                columns: space.dimension(),
                convexity,
                perturbed_by,
                unit,
                adjacency,
                description,
            })
        };
        if self.slack != 0.0 && !matches!(self.parameters, Parameters::DpFc(_) | Parameters::DpGd(_)) {
            return Err(TrainerError::training(
                format!("{} takes no slack", self.method().name()),
                "use dp-fc or dp-gd for features that are not independent",
            ));
        }
        Ok(match self.parameters {
            Parameters::DpFc(DpFc { steps, clipping_norm, .. })
            | Parameters::DpGd(DpGd { steps, clipping_norm, .. }) => {
                ReleasePlan::gaussian_sums(SumRequest {
                    epsilon,
                    delta,
                    accountant,
                    dimension: space.weights(),
                    clipping_norm,
                    slack: self.slack,
                    steps,
                    unit,
                    adjacency,
                    description,
                })?
            }
            Parameters::DpSgd(DpSgd { steps, clipping_norm, sampling_rate, .. }) => {
                let order = order.ok_or_else(|| {
                    TrainerError::training(
                        "these terms take no releases on samples",
                        "use another method, or a ledger that counts by zcdp and add-remove adjacency",
                    )
                })?;
                ReleasePlan::sampled_gaussian_sums(SampledSumRequest {
                    epsilon,
                    delta,
                    dimension: space.weights(),
                    clipping_norm,
                    sampling_rate,
                    steps,
                    order,
                    unit,
                    description,
                })?
            }
            Parameters::Objective(Objective { ridge }) => {
                minimum(ridge, PerturbedBy::Objective, description)?
            }
            Parameters::Output(Output { ridge }) => minimum(ridge, PerturbedBy::Output, description)?,
        })
    }

    /// The settings of a release, from what was recorded of it; `None` if it was made by another method than these.
    pub fn of_release(description: &Description, event: &Event) -> Option<Self> {
        let word = |key: &str| description.get(key).map(String::as_str);
        let number = |key: &str| word(key)?.parse::<f64>().ok().filter(|number| number.is_finite());
        let method = Method::ALL.into_iter().find(|method| Some(method.name()) == word("method"))?;
        let (parameters, slack) = match (method, event) {
            (Method::DpFc, &Event::GaussianSum(SumEvent { steps, clipping_norm, slack, .. })) => {
                let (lambda, learning_rate) = (number("lambda")?, number("learning-rate")?);
                (Parameters::DpFc(DpFc { lambda, steps, clipping_norm, learning_rate }), slack)
            }
            (Method::DpGd, &Event::GaussianSum(SumEvent { steps, clipping_norm, slack, .. })) => {
                let (learning_rate, momentum) = (number("learning-rate")?, number("momentum")?);
                (Parameters::DpGd(DpGd { steps, clipping_norm, learning_rate, momentum }), slack)
            }
            (
                Method::DpSgd,
                &Event::SampledGaussianSum(SampledSumEvent { steps, clipping_norm, sampling_rate, .. }),
            ) => {
                let (learning_rate, momentum) = (number("learning-rate")?, number("momentum")?);
                (
                    Parameters::DpSgd(DpSgd { steps, sampling_rate, clipping_norm, learning_rate, momentum }),
                    0.0,
                )
            }
            (Method::ObjectivePerturbation, Event::PerturbedMinimum(minimum)) => {
                minimum.objective_noise?;
                (Parameters::Objective(Objective { ridge: minimum.convexity }), 0.0)
            }
            (Method::OutputPerturbation, Event::PerturbedMinimum(minimum))
                if minimum.objective_noise.is_none() =>
            {
                (Parameters::Output(Output { ridge: minimum.convexity }), 0.0)
            }
            _ => return None,
        };
        Some(Self {
            inputs: HeadInputs::ALL.into_iter().find(|inputs| Some(inputs.name()) == word("inputs"))?,
            rank: word("rank")?.parse().ok()?,
            slack,
            public_size: word("public-size")?.parse().ok().filter(|&size| size > 0)?,
            parameters,
        })
    }

    /// What the ledger and reports say of the settings beyond the event.
    fn describe(&self, public: &PublicModel) -> Description {
        let mut lines = vec![
            ("method", self.method().name().to_owned()),
            ("inputs", self.inputs.name().to_owned()),
            ("rank", self.rank.to_string()),
            ("public-size", self.public_size.to_string()),
            ("labels", public.label_names.join(",")),
            ("encoder", public.encoder.name.clone()),
        ];
        match self.parameters {
            Parameters::DpFc(DpFc { lambda, learning_rate, .. }) => {
                lines.extend([("lambda", lambda.to_string()), ("learning-rate", learning_rate.to_string())]);
            }
            Parameters::DpGd(DpGd { learning_rate, momentum, .. })
            | Parameters::DpSgd(DpSgd { learning_rate, momentum, .. }) => {
                lines.extend([
                    ("learning-rate", learning_rate.to_string()),
                    ("momentum", momentum.to_string()),
                ]);
            }
            // The ridge is in the event.
            Parameters::Objective(_) | Parameters::Output(_) => {}
        }
        lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

//! The middle of the pyramid: do the algorithms keep the promise?

use cryptotl_privacy::audit::{AuditEvidence, Verdict};

use super::{Hazard, Status, hazard};
use crate::report::evidence::Evidence;
use crate::report::{utility, words};

/// The hazards of the algorithms.
pub(super) fn all(evidence: &Evidence, attack: Result<&AuditEvidence, &str>) -> Vec<Hazard> {
    let layer = |name: &str, status: Status, words: String| hazard("algorithm", name, status, words);
    let assumptions = evidence.assumptions();
    let moved = evidence.certificate.as_ref().and_then(|certified| certified.coupling);
    let (coupling, coupling_words) = match &evidence.encryption {
        None => (Status::Pass, "embeddings are computed text by text, and nothing was encrypted".to_owned()),
        Some(_) if assumptions.is_empty() => (
            Status::Pass,
            "each record had its own ciphertexts, evaluated by the data owner's own process".to_owned(),
        ),
        // What another party did, and how errors are distributed, no plan shows.
        Some(_) => (
            Status::Warn,
            format!(
                "the promise rests on this: {}{}",
                assumptions.iter().map(|on| on.words()).collect::<Vec<_>>().join("; "),
                moved.filter(|moved| *moved > 0.0).map_or_else(String::new, |m| format!(
                    "; by the plan's rounding one record moves the features of all others by at most {} together",
                    words::small(m)
                ))
            ),
        ),
    };
    let public = evidence.product.backbone.evidence();
    let private_source = public.is_ok_and(|public| public.source_privacy.is_some());
    let (public_status, public_words) = match public {
        Ok(public) => {
            let sources: Vec<&str> = public.sources.iter().map(|s| s.name.as_str()).collect();
            (
                Status::Pass,
                format!(
                    "scaler, projection and start come from {}, {}",
                    sources.join(", "),
                    match private_source {
                        true => "with DP noise that was paid for in that source's own ledger",
                        false => "which were declared public",
                    }
                ),
            )
        }
        Err(_) => (Status::NotAssessed, "the public half of the model was not given".to_owned()),
    };
    let unreleased = evidence.budget.unreleased();
    let (useful, useful_words) = utility::judge(evidence);
    let (tested, tested_words) = match attack {
        Err(reason) => (Status::NotAssessed, reason.to_owned()),
        Ok(a) if a.verdict == Verdict::Falsified => {
            (Status::Fail, "the attack found more than was promised".to_owned())
        }
        Ok(a) if a.verdict == Verdict::NotFalsified => {
            let found = a.headline().map_or(0.0, |bound| bound.epsilon);
            (Status::Pass, format!("the attack found epsilon {} and its controls", words::at_least(found)))
        }
        Ok(_) => (
            Status::Warn,
            "not known yet: the attack was too short to find out its own controls, so it says nothing either way; run it longer"
                .to_owned(),
        ),
    };
    vec![
        layer(
            "Is the sensitivity right, rounding included?",
            Status::Pass,
            "contributions are rounded to integers before they are bounded and summed; the bound is checked exactly".to_owned(),
        ),
        layer("Are units independent before they are clipped?", coupling, coupling_words),
        layer("Are clipping bounds, scaling and labels chosen without private data?", public_status, public_words),
        layer(
            "Is the DP noise free of what floating point would give away?",
            Status::Pass,
            "discrete noise on an integer grid, drawn exactly by OpenDP".to_owned(),
        ),
        layer(
            "Are the random numbers unpredictable?",
            Status::Warn,
            format!("{}: cryptographic, but not the build that OpenDP itself vouches for", evidence.entropy),
        ),
        layer(
            "Did the sampling happen that is accounted for?",
            Status::Pass,
            "one constructor makes sampler, clipping, noise and the recorded event together".to_owned(),
        ),
        layer(
            "Are tuning and validation on private data counted?",
            Status::Pass,
            format!(
                "each run on private data is charged, {} without a release among them; accuracy on private data is printed by charged runs only",
                words::count(unreleased, "run")
            ),
        ),
        layer(
            "Is the backbone's own training data protected?",
            if private_source { Status::Warn } else { Status::NotAssessed },
            if private_source {
                "the lower network was trained with differential privacy under a ledger of its own; the encoder is taken as \
                 public, and what it tells of its sources is part of no promise here"
            } else {
                "encoder and lower network are taken as public; what they tell of their own sources is not part of this promise"
            }
            .to_owned(),
        ),
        layer("Does the program do what it is accounted for?", tested, tested_words),
        layer(
            "Is the head right often enough, and for all groups of people?",
            useful,
            useful_words,
        ),
    ]
}

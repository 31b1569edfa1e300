//! All trainings of an audit, in parallel, to the evidence.
//!
//! In turn: where a canary's being in and out puts the scores (two trainings without DP noise); the two controls; how widely
//! scores scatter, which places the thresholds; one canary at a time; the attack that trains once; and the canaries on every
//! axis, which is most of the work. Nothing that decides a threshold takes part in a bound.

use std::time::Instant;

use cryptotl_privacy::Defect;
use cryptotl_privacy::audit::crowd::{Crowd, LOW_RATES, PairErrors, Thresholds, mu_of_pairs};
use cryptotl_privacy::audit::single::Single;
use cryptotl_privacy::audit::{
    AUDIT_VERSION, Allowed, AuditEvidence, AuditSettings, Control, ControlAudit, HEADLINE_CONFIDENCE,
    Interval, Losses, LowerBound, OneRunAudit, Preset, VERDICT_CONFIDENCE, View, contradicts, one_run,
    verdict, verdict_alpha,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::amount;
use super::state::State;
use super::target::{Released, Target};
use crate::error::{Result, TrainerError};
use crate::progress::{OnProgress, Progress};

/// The kinds of scores of the attack with one canary.
pub const SINGLE_SCORES: [&str; 2] =
    ["the released numbers along the canary", "the squares of all released numbers"];
/// Pairs of trainings that place the thresholds.
const PLACING_PAIRS: usize = 24;
/// More trainings than anybody makes.
const MOST_RUNS: usize = 1 << 40;
/// Of the trainings with one canary, the share on which score and threshold are chosen: one in so many.
const SELECTION: usize = 4;
/// Trainings between two looks at the clock.
const CHUNK: usize = 64;

/// How many thresholds there are, which a state file needs to know.
pub fn n_thresholds() -> usize {
    Thresholds::new(1.0).len()
}

/// One sitting of an audit.
pub struct Sitting<'a> {
    /// What is attacked.
    pub target: &'a Target,
    /// [`Defect::None`], for the mechanism as it was charged; another for a test of the audit itself.
    pub mechanism: Defect,
    /// How much is run.
    pub settings: &'a AuditSettings,
    /// Told how many trainings are done.
    pub on_progress: OnProgress<'a>,
    /// Called with the results so far, every few seconds and at the end.
    pub save: &'a dyn Fn(&State) -> Result<()>,
}

/// Runs the audit from `state` on, to its end or to the time budget.
///
/// # Errors
/// Those of the training, and of `save`.
pub fn run(sitting: &Sitting, state: &mut State) -> Result<AuditEvidence> {
    let mut running =
        Running { sitting, started: Instant::now(), earlier: state.seconds, saved: Instant::now() };
    let completed = running.attack(state)?;
    state.seconds = running.seconds();
    (sitting.save)(state)?;
    Ok(evidence(sitting, state, completed))
}

/// The seeds of the parts of an audit are streams of one generator, far apart.
#[derive(Clone, Copy)]
enum Part {
    NoNoise,
    HalfNoise,
    Placing,
    OneRun,
    Crowd,
}

struct Running<'a> {
    sitting: &'a Sitting<'a>,
    started: Instant,
    earlier: f64,
    saved: Instant,
}

/// Where the scores of a canary lie when it is out and when it is in, without DP noise, for each view and axis.
struct Positions([Vec<(f64, f64)>; 2]);

impl Positions {
    fn of(target: &Target) -> Result<Self> {
        let canaries = target.made_up().canaries();
        let train =
            |is_in: bool| target.train(Defect::NoNoise, target.made_up().crowd(&vec![is_in; canaries]));
        // Where units are sampled, a canary is in some steps, and the mean over trainings and axes, which are all alike,
        // is where it lies. Without samples all trainings are the same.
        let (trainings, is_sampled) = match target.claim().losses {
            Losses::SampledGaussian { .. } => (PLACING_PAIRS, true),
            _ => (1, false),
        };
        let place = |is_in: bool| -> Result<[Vec<f64>; 2]> {
            let trained: Vec<Released> =
                (0..trainings).into_par_iter().map(|_| train(is_in)).collect::<Result<_>>()?;
            Ok(View::ALL.map(|view| {
                let mean = |axis: usize| {
                    trained.iter().map(|released| axes(released, view)[axis]).sum::<f64>() / trainings as f64
                };
                let places: Vec<f64> = (0..canaries).map(mean).collect();
                let pooled = places.iter().sum::<f64>() / canaries as f64;
                if is_sampled { vec![pooled; canaries] } else { places }
            }))
        };
        let (is_in, is_out) = (place(true)?, place(false)?);
        let positions = View::ALL.map(|view| {
            let (ins, outs) = (&is_in[view as usize], &is_out[view as usize]);
            outs.iter().zip(ins).map(|(&out, &is_in)| (out, is_in)).collect::<Vec<_>>()
        });
        if positions.iter().flatten().any(|(out, is_in)| !(is_in - out).is_normal()) {
            return Err(TrainerError::training(
                "a canary leaves no trace, even without DP noise",
                "report this as a bug",
            ));
        }
        Ok(Self(positions))
    }

    /// Scores in units of the distance between out (0) and in (1).
    fn scores(&self, released: &Released, view: View) -> Vec<f64> {
        let positions = &self.0[view as usize];
        axes(released, view)
            .iter()
            .zip(positions)
            .map(|(x, (out, is_in))| (x - out) / (is_in - out))
            .collect()
    }
}

/// What a view has of each canary's own axis.
fn axes(released: &Released, view: View) -> &[f64] {
    match view {
        View::Transcript => &released.transcript,
        View::Head => &released.head,
    }
}

/// The scores of all canaries of a pair of trainings, in the training with each and in that without.
struct PairScores {
    with: [Vec<f64>; 2],
    without: [Vec<f64>; 2],
}

impl PairScores {
    fn errors(&self, thresholds: &Thresholds, view: View, scale: f64) -> PairErrors {
        let scaled = |scores: &[Vec<f64>; 2]| -> Vec<f64> {
            scores[view as usize].iter().map(|score| score * scale).collect()
        };
        PairErrors::count(thresholds, &scaled(&self.with), &scaled(&self.without))
    }
}

impl Running<'_> {
    fn attack(&mut self, state: &mut State) -> Result<bool> {
        let &Sitting { target, mechanism, settings, .. } = self.sitting;
        let positions = Positions::of(target)?;
        // The middle threshold of scores in units of the distance, for which no deviation is needed.
        let halfway = Thresholds::new(1.0);
        let mean_error = |part, defect| {
            let halfway = &halfway;
            let positions = &positions;
            move |index| {
                let pair = self::pair(target, positions, settings.seed, part, index, defect)?;
                Ok(pair.errors(halfway, View::Transcript, 1.0).mean_error(halfway))
            }
        };
        let no_noise = mean_error(Part::NoNoise, Defect::NoNoise);
        let half_noise = mean_error(Part::HalfNoise, Defect::HalfNoise);
        if !self.fill(state, settings.no_noise_runs / 2, |state| &mut state.no_noise, &no_noise)?
            || !self.fill(state, settings.half_noise_runs / 2, |state| &mut state.half_noise, &half_noise)?
        {
            return Ok(false);
        }
        if state.deviations.is_none() {
            let pairs: Vec<PairScores> = (0..PLACING_PAIRS)
                .into_par_iter()
                .map(|index| pair(target, &positions, settings.seed, Part::Placing, index, mechanism))
                .collect::<Result<_>>()?;
            state.deviations = Some(View::ALL.map(|view| deviation(&pairs, view)));
        }
        for (which, is_in) in [true, false].into_iter().enumerate() {
            let single = |_| {
                let released = target.train(mechanism, target.made_up().single(is_in))?;
                Ok(vec![released.transcript[0], released.log_energy])
            };
            if !self.fill(state, settings.single_runs / 2, |state| &mut state.single[which], &single)? {
                return Ok(false);
            }
        }
        let deviations = state.deviations.unwrap_or([1.0; 2]);
        if state.one_run.is_none() {
            state.one_run = Some(train_once(self.sitting, &positions, deviations[0])?);
        }
        let thresholds = deviations.map(|deviation| Thresholds::new(1.0 / deviation));
        let errors = |index| {
            let scores = pair(target, &positions, settings.seed, Part::Crowd, index, mechanism)?;
            Ok(View::ALL
                .map(|view| scores.errors(&thresholds[view as usize], view, 1.0 / deviations[view as usize])))
        };
        self.fill(state, settings.runs / 2, |state| &mut state.crowd, &errors)
    }

    /// Fills a list of results up to `total`; false if the time is up before.
    fn fill<T: Send>(
        &mut self,
        state: &mut State,
        total: usize,
        list: impl Fn(&mut State) -> &mut Vec<T>,
        work: &(impl Fn(usize) -> Result<T> + Sync),
    ) -> Result<bool> {
        while list(state).len() < total {
            let from = list(state).len();
            let more: Vec<T> =
                (from..total.min(from + CHUNK)).into_par_iter().map(work).collect::<Result<_>>()?;
            list(state).extend(more);
            if !self.go_on(state)? && list(state).len() < total {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells the progress, saves now and then, and says whether there is time left.
    fn go_on(&mut self, state: &mut State) -> Result<bool> {
        let settings = self.sitting.settings;
        let singles = state.single[0].len() + state.single[1].len();
        // Trainings without DP noise take next to no time.
        let done = 2 * (state.half_noise.len() + state.crowd.len()) + singles;
        (self.sitting.on_progress)(Progress {
            done,
            total: settings.half_noise_runs + settings.single_runs + settings.runs,
        });
        if self.saved.elapsed().as_secs() >= 5 {
            state.seconds = self.seconds();
            (self.sitting.save)(state)?;
            self.saved = Instant::now();
        }
        Ok(settings.time_budget_seconds.is_none_or(|budget| self.started.elapsed().as_secs_f64() < budget))
    }

    fn seconds(&self) -> f64 {
        self.earlier + self.started.elapsed().as_secs_f64()
    }
}

/// A pair of trainings with opposite coins.
fn pair(
    target: &Target,
    positions: &Positions,
    seed: u64,
    part: Part,
    index: usize,
    mechanism: Defect,
) -> Result<PairScores> {
    let coins = coins(target.made_up().canaries(), seed, part, index);
    let reversed: Vec<bool> = coins.iter().map(|is_in| !is_in).collect();
    let train = |coins: &[bool]| target.train(mechanism, target.made_up().crowd(coins));
    let (first, second) = (train(&coins)?, train(&reversed)?);
    let mut pair = PairScores { with: Default::default(), without: Default::default() };
    for view in View::ALL {
        let (first, second) = (positions.scores(&first, view), positions.scores(&second, view));
        for ((&is_in, first), second) in coins.iter().zip(first).zip(second) {
            let (with, without) = if is_in { (first, second) } else { (second, first) };
            pair.with[view as usize].push(with);
            pair.without[view as usize].push(without);
        }
    }
    Ok(pair)
}

/// Fair coins, decided by the seed and the number of the training.
fn coins(count: usize, seed: u64, part: Part, index: usize) -> Vec<bool> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((part as u64) << 48 | index as u64);
    (0..count).map(|_| random.next_u32() & 1 == 1).collect()
}

/// The standard deviation of scores around the mean of those with and of those without the canary.
fn deviation(pairs: &[PairScores], view: View) -> f64 {
    let squares = |scores: &dyn Fn(&PairScores) -> &Vec<f64>| {
        let all: Vec<f64> = pairs.iter().flat_map(|pair| scores(pair).iter().copied()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        all.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / all.len() as f64
    };
    let variance =
        (squares(&|pair| &pair.with[view as usize]) + squares(&|pair| &pair.without[view as usize])) / 2.0;
    // A mechanism without DP noise has none; its scores are told apart at any positive one.
    variance.sqrt().max(1e-6)
}

/// The attack that trains once: the furthest scores from the middle are guessed, the others not.
fn train_once(sitting: &Sitting, positions: &Positions, deviation: f64) -> Result<OneRunAudit> {
    let &Sitting { target, mechanism, settings, .. } = sitting;
    let claim = target.claim();
    let coins = coins(target.made_up().canaries(), settings.seed, Part::OneRun, 0);
    let released = target.train(mechanism, target.made_up().crowd(&coins))?;
    let delta = claim.guarantee.delta;
    let guesses = one_run::guesses_for(coins.len(), 1.0 / deviation, delta);
    let mut scores: Vec<(f64, bool)> = positions
        .scores(&released, View::Transcript)
        .into_iter()
        .map(|score| score - 0.5)
        .zip(coins)
        .collect();
    scores.sort_by(|(a, _), (b, _)| b.abs().total_cmp(&a.abs()));
    let correct = scores[..guesses].iter().filter(|(score, is_in)| (*score > 0.0) == *is_in).count();
    let epsilon = |alpha| one_run::epsilon(scores.len(), guesses, correct, delta, alpha);
    Ok(OneRunAudit {
        canaries: scores.len(),
        guesses,
        correct,
        epsilon_95: epsilon(0.05),
        epsilon_99: epsilon(0.01),
    })
}

/// What the trainings done so far prove.
fn evidence(sitting: &Sitting, state: &State, completed: bool) -> AuditEvidence {
    let &Sitting { target, settings, .. } = sitting;
    let (claim, canaries) = (target.claim(), target.made_up().canaries());
    let (losses, delta, alpha) = (claim.losses, claim.guarantee.delta, verdict_alpha());
    let mut contradicted = false;
    let mut views = Vec::new();
    let allowed = Allowed::by(claim);
    let at_low_rates = LOW_RATES.map(|rate| losses.tpr(claim.mu, rate));
    for view in View::ALL {
        let deviation = state.deviations.map_or(1.0, |deviations| deviations[view as usize]);
        let thresholds = Thresholds::new(1.0 / deviation);
        let pairs: Vec<PairErrors> = state.crowd.iter().map(|pair| pair[view as usize].clone()).collect();
        let horizon = settings.runs / 2;
        let crowd = Crowd { losses, thresholds: &thresholds, canaries, horizon, pairs: &pairs, delta };
        contradicted |= contradicts(claim, crowd.mu(alpha), crowd.epsilon(alpha));
        let found = crowd.evaluate(view, at_low_rates, &allowed);
        contradicted |= allowed.is_exceeded_in(&found);
        views.push(found);
    }
    let [with, without] = &state.single;
    let selection = settings.single_runs / 2 / SELECTION;
    let single = Single { losses, names: &SINGLE_SCORES, with, without, selection, delta };
    let (mu, epsilon) = single.mu_and_epsilon(alpha);
    contradicted |= contradicts(claim, mu, epsilon);
    let controls = vec![
        control(target, Control::NoNoise, &state.no_noise, settings.no_noise_runs),
        control(target, Control::HalfNoise, &state.half_noise, settings.half_noise_runs),
    ];
    let none = OneRunAudit { canaries, guesses: 0, correct: 0, epsilon_95: 0.0, epsilon_99: 0.0 };
    AuditEvidence {
        version: AUDIT_VERSION,
        claim: claim.clone(),
        settings: settings.clone(),
        views,
        single: single.evaluate(),
        one_run: state.one_run.clone().unwrap_or(none),
        verdict: verdict(contradicted, &controls),
        controls,
        completed,
        seconds: state.seconds,
        verdict_confidence: VERDICT_CONFIDENCE,
        interval_confidence: Some(VERDICT_CONFIDENCE),
    }
}

/// Stated evidence with everything computed again that follows from the attacked mechanism or from the rest of the evidence.
/// What was measured stays; whoever altered anything else gets other evidence back.
pub fn derived(stated: &AuditEvidence, target: &Target) -> AuditEvidence {
    let AuditSettings { preset, runs, seed, time_budget_seconds, .. } = stated.settings;
    let planned = match preset {
        Preset::Custom => amount::runs(runs.min(MOST_RUNS), seed),
        preset => amount::preset(preset, target, seed),
    };
    let mut evidence = stated.clone();
    evidence.claim = target.claim().clone();
    let canaries = target.made_up().canaries();
    evidence.views.iter_mut().for_each(|view| view.canaries = canaries);
    evidence.one_run.canaries = canaries;
    let single = &mut evidence.single;
    single.selection = planned.single_runs / 2 / SELECTION;
    if stated.completed {
        single.runs_with = planned.single_runs / 2 - single.selection;
        single.runs_without = single.runs_with;
    }
    evidence.settings = AuditSettings { time_budget_seconds, ..planned };
    evidence.derived()
}

fn control(target: &Target, control: Control, errors: &[f64], planned: usize) -> ControlAudit {
    let claim = target.claim();
    let mu = |alpha| mu_of_pairs(claim.losses, errors, target.made_up().canaries(), planned / 2, alpha);
    let shown = mu(1.0 - HEADLINE_CONFIDENCE);
    let bound = LowerBound {
        theory: claim.losses.theory(),
        interval: Interval::Betting,
        confidence: HEADLINE_CONFIDENCE,
        mu: Some(shown),
        epsilon: claim.losses.epsilon(shown, claim.guarantee.delta),
    };
    ControlAudit {
        control,
        runs: 2 * errors.len(),
        bound,
        found_out: contradicts(claim, mu(verdict_alpha()), 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptotl_privacy::audit::trade_off;
    use cryptotl_privacy::{Accountant, Adjacency, Delta, Epsilon, PrivacyUnit, ReleasePlan, SumRequest};

    /// 20 steps of 65 numbers at epsilon 1.
    fn target() -> Target {
        let words = [
            ("method", "dp-fc"),
            ("inputs", "embedding"),
            ("rank", "64"),
            ("lambda", "0.02"),
            ("learning-rate", "1"),
            ("public-size", "3000"),
        ];
        let plan = ReleasePlan::gaussian_sums(SumRequest {
            epsilon: Epsilon::new(1.0).unwrap(),
            delta: Delta::new(1e-4).unwrap(),
            accountant: Accountant::Zcdp,
            dimension: 65,
            clipping_norm: 0.5,
            slack: 0.0,
            steps: 20,
            unit: PrivacyUnit::Record,
            adjacency: Adjacency::AddRemove,
            description: words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        })
        .unwrap();
        Target::new(plan.event(), plan.guarantee(), plan.description(), 2).unwrap()
    }

    #[test]
    fn scores_are_normal_and_as_far_apart_as_the_claim_allows() {
        let target = target();
        let positions = Positions::of(&target).unwrap();
        let pairs: Vec<PairScores> = (0..60)
            .into_par_iter()
            .map(|index| pair(&target, &positions, 3, Part::Placing, index, Defect::None).unwrap())
            .collect();
        // Every sum counts fully in the transcript. In the head, the mean of the iterates after steps 11 to 20,
        // the first 11 sums count fully and the others 0.9, 0.8 .. 0.1: (11 + 4.5) / sqrt(20 (11 + 2.85)).
        let shown = 0.9991_f64.sqrt();
        for (view, share) in [(View::Transcript, 1.0), (View::Head, 15.5 / (20.0 * 13.85_f64).sqrt())] {
            let mu = target.claim().mu * shown * share;
            let found = 1.0 / deviation(&pairs, view);
            // 7680 scores: six deviations are 5 %.
            assert!((found / mu - 1.0).abs() < 0.05, "{view:?}: {found} {mu}");
            for (mean, scores) in [(0.0, false), (mu, true)] {
                let mut all: Vec<f64> = pairs
                    .iter()
                    .flat_map(|pair| (if scores { &pair.with } else { &pair.without })[view as usize].clone())
                    .map(|score| score * mu - mean)
                    .collect();
                all.sort_by(f64::total_cmp);
                let n = all.len() as f64;
                let distance = all.iter().enumerate().map(|(i, &z)| {
                    // P(Z > z) from the trade-off's own function, at mu = 0.
                    let above = trade_off::tpr_of_mu(-z, 0.5);
                    (above - (n - i as f64) / n).abs()
                });
                // Kolmogorov and Smirnov: 2.7 / sqrt(n) is exceeded with a probability of 1e-6.
                let distance = distance.fold(0.0, f64::max);
                assert!(distance < 2.7 / n.sqrt(), "{view:?} {mean}: {distance}");
            }
        }
    }

    #[test]
    fn coins_are_fair_and_of_the_seed() {
        let all: Vec<bool> = (0..100).flat_map(|index| coins(100, 5, Part::Crowd, index)).collect();
        let heads = all.iter().filter(|&&coin| coin).count();
        assert!((4700..=5300).contains(&heads), "{heads}");
        assert_eq!(coins(64, 5, Part::Crowd, 3), coins(64, 5, Part::Crowd, 3));
        assert_ne!(coins(64, 5, Part::Crowd, 3), coins(64, 6, Part::Crowd, 3));
        assert_ne!(coins(64, 5, Part::Crowd, 3), coins(64, 5, Part::HalfNoise, 3));
    }
}

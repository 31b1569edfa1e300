//! Private pretraining against slow references: burn's gradients of one record at a time, and training without privacy.

use std::collections::BTreeMap;

use burn::prelude::*;
use cryptotl_model::{Digest, EncoderId, Records, RecordsHeader, UNLABELED};
use cryptotl_privacy::{
    BenchmarkSequence, ChargeError, ChargedPlan, Description, Epsilon, Factors, Ledger, NoisySum, Order,
    PartRequest, Policy, PublicData, ReleasePlan, SequenceRequest,
};
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::gradient::{Recordwise, by_parameter, factoring};
use super::*;
use crate::linear::{logistic_regression, sigmoid};
use crate::network::{elements, tensor};

const CONFIG: &str = r#"
    version = 1
    name = "private"
    layers = [
        { kind = "dropout", rate = 0.5 },
        { kind = "dense", outputs = 8 },
        { kind = "activation", polynomial = "cubic-relu" },
        { kind = "dense", outputs = 3 },
    ]
    [training]
    seed = 1
    max_epochs = 8
    patience = 1
    batch = 64
    learning_rate = 0.01
    weight_decay = 0.0
    validation_share = 0.2
    input_bound = 6.0
    [head]
    ranks = [4]
    [private]
    steps = 20
    made_up = 2000
    learning_rate = 0.003
"#;

fn config() -> PretrainConfig {
    PretrainConfig::from_toml(CONFIG).unwrap()
}

fn with_layers(layers: &str) -> PretrainConfig {
    let (before, rest) = CONFIG.split_once("layers = [").unwrap();
    let (_, after) = rest.split_once("\n    ]\n").unwrap();
    PretrainConfig::from_toml(&format!("{before}layers = [{layers}]\n{after}")).unwrap()
}

/// The gradient at one record by burn, a vector a parameter.
fn burns(blueprint: &Blueprint, parameters: &[Array2<f32>], record: &[f64], target: &[f64]) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let tensors: Vec<Tensor<2>> =
        parameters.iter().map(|p| tensor(p, &device).autodiff().require_grad()).collect();
    let row = Array2::from_shape_vec((1, record.len()), record.iter().map(|x| *x as f32).collect()).unwrap();
    let logit = blueprint.logits(&tensors, tensor(&row, &device).autodiff(), None);
    let loss = match target {
        [target] => burn::tensor::activation::log_sigmoid(logit * (2.0 * target - 1.0)) * -1.0,
        _ => {
            let target =
                Array2::from_shape_vec((1, target.len()), target.iter().map(|x| *x as f32).collect())
                    .unwrap();
            burn::tensor::activation::log_softmax(logit, 1) * tensor(&target, &device).autodiff() * -1.0
        }
    };
    let gradients = loss.sum().backward();
    let shapes = blueprint.slots().iter();
    tensors
        .iter()
        .zip(shapes)
        .map(|(t, slot)| {
            t.grad(&gradients).map_or_else(|| vec![0.0; slot.shape[0] * slot.shape[1]], elements)
        })
        .collect()
}

/// A contribution in the order of a sum.
fn in_full(blueprint: &Blueprint, factors: &mut Factors) -> Vec<f64> {
    let factoring = factoring(blueprint);
    let mut sum = vec![0.0; factoring.dimension().unwrap()];
    descent::add(&factoring, factors, 1.0, &mut sum);
    sum
}

fn layers() -> impl Strategy<Value = String> {
    let layer = prop_oneof![
        (1..3_usize, 0..3_usize).prop_map(|(filters, half)| format!(
            "{{ kind = \"conv1d\", filters = {filters}, taps = {} }}",
            2 * half + 1
        )),
        (1..7_usize).prop_map(|outputs| format!("{{ kind = \"dense\", outputs = {outputs} }}")),
        Just("{ kind = \"activation\", polynomial = [0.1, 0.5, -0.2, 0.3] }".to_owned()),
        Just("{ kind = \"avg-pool1d\", size = 2 }".to_owned()),
        Just("{ kind = \"dropout\", rate = 0.3 }".to_owned()),
    ];
    prop::collection::vec(layer, 1..6).prop_map(|layers| layers.join(", "))
}

fn drawn(seed: u64, blueprint: &Blueprint, width: usize) -> (Vec<Array2<f32>>, Vec<f64>) {
    let mut rng = stream(seed, 0);
    let mut parameters = blueprint.draw(&mut rng);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    for (slot, parameter) in blueprint.slots().iter().zip(&mut parameters) {
        if slot.is_bias {
            parameter.mapv_inplace(|_| 0.3 * normal() as f32);
        }
    }
    (parameters, (0..width).map(|_| f64::from(normal() as f32)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Gradients, and with them ghost norms, are those of burn at one record at a time, for any stack of layers.
    #[test]
    fn gradients_and_ghost_norms_are_those_of_one_record_at_a_time(
        layers in layers(), width in 3..8_usize, seed: u64, label in 0..2_u32, labels in 2..5_usize,
    ) {
        // A pool may find one number only.
        let Ok(blueprint) = Blueprint::new(&with_layers(&layers), width, scores_of(labels)) else { return Ok(()) };
        let target = targets(&[label], labels).into_raw_vec_and_offset().0;
        let (parameters, record) = drawn(seed, &blueprint, width);
        let mut factors = Factors::new(&factoring(&blueprint));
        let network = Recordwise::new(&blueprint, &parameters);
        network.gradient(&record, &target, &mut factors);
        let ghost = factors.norm();
        let found = by_parameter(&blueprint, &in_full(&blueprint, &mut factors));
        let expected = burns(&blueprint, &parameters, &record, &target);
        let flat = |lists: &[Vec<f32>]| lists.iter().flatten().copied().map(f64::from).collect::<Vec<f64>>();
        let (found_flat, expected_flat) = (flat(&found), flat(&expected));
        let norm = expected_flat.iter().map(|x| x * x).sum::<f64>().sqrt();
        prop_assert!((ghost - norm).abs() <= 2e-5 * norm.max(1.0), "{ghost} {norm}");
        prop_assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), expected.iter().map(Vec::len).collect::<Vec<_>>());
        for (a, b) in found_flat.iter().zip(&expected_flat) {
            prop_assert!((a - b).abs() <= 2e-5 * norm.max(1.0), "{a} {b}");
        }
    }

    /// A kernel's gradient has the norm that the Gram matrices over positions give (Li et al. 2022, section 4).
    #[test]
    fn a_convolutions_norm_is_that_of_its_gram_matrices(
        width in 3..8_usize, filters in 1..4_usize, half in 0..3_usize, seed: u64,
    ) {
        let taps = 2 * half + 1;
        let layers = format!("{{ kind = \"conv1d\", filters = {filters}, taps = {taps} }}");
        let blueprint = Blueprint::new(&with_layers(&layers), width, 1).unwrap();
        let (parameters, record) = drawn(seed, &blueprint, width);
        let mut factors = Factors::new(&factoring(&blueprint));
        Recordwise::new(&blueprint, &parameters).gradient(&record, &[1.0], &mut factors);
        // The gradient behind the convolution is the residual times the classification layer's weights.
        let residual = factors.outer(0).1[0];
        let delta = |f: usize, t: usize| residual * f64::from(parameters[1][[f * width + t, 0]]);
        let window = |t: usize, j: usize| (t + j).checked_sub(half).and_then(|at| record.get(at)).copied().unwrap_or(0.0);
        let mut squared = 0.0;
        for t in 0..width {
            for u in 0..width {
                let of_windows: f64 = (0..taps).map(|j| window(t, j) * window(u, j)).sum();
                let of_deltas: f64 = (0..filters).map(|f| delta(f, t) * delta(f, u)).sum();
                squared += of_windows * of_deltas;
            }
        }
        let own: f64 = factors.plain().iter().map(|x| x * x).sum();
        prop_assert!((own - squared).abs() <= 1e-9 * squared.max(1e-6), "{own} {squared}");
    }
}

/// A ledger with room for a nearly noiseless release.
fn ledger(folder: &tempfile::TempDir, cap: f64) -> Ledger {
    let policy = format!(
        r#"
        version = 1
        name = "test"
        unit = "record"
        adjacency = "add-remove"
        epsilon_cap = {cap:?}
        epsilon_per_release_max = {cap:?}
        delta = {{ exponent = 1.1 }}
        "#
    );
    Ledger::create(folder.path().join("l"), &Policy::from_toml(&policy).unwrap(), "source", 10_000).unwrap()
}

fn terms(ledger: &Ledger, epsilon: f64) -> Terms {
    let status = ledger.status().unwrap();
    Terms {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: status.delta,
        accountant: status.policy.accountant(),
        order: status.sampling_order,
        unit: status.policy.unit(),
        adjacency: status.policy.adjacency(),
    }
}

/// A mechanism without a ledger, for data that this file makes up.
fn on_public_data(plan: &ReleasePlan) -> BenchmarkSequence {
    BenchmarkSequence::for_public_data(plan, PublicData::declare("made up by the test")).unwrap()
}

#[test]
fn clipped_sums_are_those_of_burns_gradients_clipped_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (width, n, clipping_norm) = (6, 40, 0.7);
    let layers = r#"{ kind = "conv1d", filters = 2, taps = 3 }, { kind = "dense", outputs = 4 },
        { kind = "activation", polynomial = "cubic-relu" }, { kind = "avg-pool1d", size = 2 }"#;
    let blueprint = Blueprint::new(&with_layers(layers), width, 1).unwrap();
    let shape = factoring(&blueprint);
    let Terms { epsilon, delta, unit, .. } = terms(&ledger(&folder, 4.0), 1e6);
    let plan = ReleasePlan::sequence(SequenceRequest {
        epsilon,
        delta,
        parts: vec![PartRequest {
            dimension: shape.dimension().unwrap(),
            clipping_norm,
            sampling_rate: 1.0,
            steps: 1,
            relative_noise: 1.0,
        }],
        order: Order::MIN,
        unit,
        description: Description::new(),
    })
    .unwrap();
    let mut mechanism = on_public_data(&plan);
    let [part] = mechanism.parts() else { panic!() };
    let (parameters, _) = drawn(7, &blueprint, width);
    let records: Vec<Vec<f64>> = (0..n).map(|i| drawn(100 + i, &blueprint, width).1).collect();
    let network = Recordwise::new(&blueprint, &parameters);
    let units = part.units(records.len(), None).unwrap();
    let sum = part
        .step_factored(&units, &shape, |i, out| {
            network.gradient(&records[i], &[(i % 2) as f64], out);
            true
        })
        .unwrap();
    let found = by_parameter(&blueprint, &sum);
    let mut expected: Vec<Vec<f64>> = found.iter().map(|list| vec![0.0; list.len()]).collect();
    let mut n_clipped = 0;
    for (i, record) in records.iter().enumerate() {
        let own = burns(&blueprint, &parameters, record, &[(i % 2) as f64]);
        let norm = own.iter().flatten().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        n_clipped += usize::from(norm > clipping_norm);
        let scale = (clipping_norm / norm).min(1.0);
        for (total, own) in expected.iter_mut().zip(own) {
            total.iter_mut().zip(own).for_each(|(total, x)| *total += scale * f64::from(x));
        }
    }
    assert!((5..35).contains(&n_clipped), "both kinds are there: {n_clipped}");
    // Rounding of 40 records, and eight standard deviations of what little DP noise there is.
    let rounding = 40.0 * 8.0 / 32768.0 * clipping_norm;
    let tolerance = rounding + 8.0 * part.scale();
    assert!(tolerance < 0.1 * clipping_norm, "{tolerance}");
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    for (found, expected) in pairs {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{found} {expected}");
    }
}

const WIDTH: usize = 6;

/// Records of two classes that a direction tells apart, a few of them unlabeled or not finite.
fn source(n: usize, rng: &mut ChaCha8Rng) -> Records {
    let mut normal = || -> f64 { StandardNormal.sample(&mut *rng) };
    let mut labels: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
    let mut embeddings = Array2::from_shape_fn((n, WIDTH), |(i, j)| {
        let side = if i % 2 == 0 { -1.0 } else { 1.0 };
        (0.15 * normal() + if j == 0 { 0.15 * side } else { 0.0 } + if j == 3 { 0.5 } else { 0.0 }) as f32
    });
    for i in 0..n / 50 {
        labels[50 * i] = [UNLABELED, 7][i % 2];
        embeddings[[50 * i + 1, 2]] = f32::NAN;
    }
    Records {
        header: RecordsHeader {
            encoder: EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") },
            label_names: vec!["no".into(), "yes".into()],
            extraction: None,
            population: None,
        },
        ids: (0..n).map(|i| i.to_string()).collect(),
        embeddings,
        features: None,
        labels: Some(labels),
        persons: None,
        sources: None,
    }
}

fn job(config: PretrainConfig, records: &Records) -> PrivatePretraining {
    PrivatePretraining::new(config, "clinic".into(), records.outline()).unwrap()
}

fn charged(ledger: &mut Ledger, job: &PrivatePretraining, epsilon: f64) -> ChargedPlan {
    let plan = job.plan(&terms(ledger, epsilon), Description::new()).unwrap();
    ledger.charge(plan).unwrap()
}

/// The share of labeled records whose score has the label's sign.
fn accuracy(scores: &Array1<f64>, records: &Records) -> f64 {
    let labels = records.labels.as_ref().unwrap();
    let right = |(score, label): (&f64, &u32)| (*label < 2).then_some((*score > 0.0) == (*label == 1));
    let rights: Vec<bool> = scores.iter().zip(labels).filter_map(right).collect();
    rights.iter().filter(|r| **r).count() as f64 / rights.len() as f64
}

/// What is released with next to no noise.
fn nearly_exact(records: &Records) -> Transcript {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder, 4.0);
    let job = job(config(), records);
    let terms = Terms { order: Some(Order::MIN), ..terms(&ledger, 1e6) };
    let plan = job.plan(&terms, Description::new()).unwrap();
    let released = job.train(on_public_data(&plan).parts(), records).unwrap();
    let header = TranscriptHeader {
        config: job.config.clone(),
        encoder: records.header.encoder.clone(),
        label_names: records.header.label_names.clone(),
        source: "clinic".into(),
        population: "clinic".into(),
        guarantee: plan.guarantee().clone(),
        event: plan.event().clone(),
        description: plan.description().clone(),
        witness: ledger.status().unwrap().head,
    };
    Transcript { header, released }
}

#[test]
fn with_next_to_no_noise_a_model_is_close_to_one_without_privacy() {
    let mut rng = stream(11, 0);
    let (records, test) = (source(2000, &mut rng), source(1000, &mut rng));
    let job = job(config(), &records);
    let transcript = nearly_exact(&records);
    let (lower, public) = transcript.publish().unwrap();
    assert_eq!(public.sources[0].records, 1920, "40 records are unlabeled and 40 are broken");

    // Without privacy: the mean, and logistic regression on the usable records.
    let usable: Vec<usize> = (0..2000).filter(|i| i % 50 > 1).collect();
    let rows = records.embeddings.select(Axis(0), &usable).mapv(f64::from);
    let mean = rows.mean_axis(Axis(0)).unwrap();
    let moments =
        Moments::of_sum(&transcript.released.moments.mapv(f64::from), 1.0, transcript.moments_noise())
            .unwrap();
    assert!(moments.mean.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 0.02), "{} {mean}", moments.mean);
    let targets: Array1<f64> = usable.iter().map(|i| (i % 2) as f64).collect();
    let mut with_bias = Array2::ones((rows.nrows(), WIDTH + 1));
    with_bias.slice_mut(ndarray::s![.., ..WIDTH]).assign(&rows);
    let solution = logistic_regression(with_bias.view(), targets.view(), 1.0, Some(WIDTH)).unwrap();
    let reference = cryptotl_model::LinearScore::from_vector(&solution).unwrap();

    let clean = test.embeddings.mapv(|x| if x.is_finite() { f64::from(x) } else { 0.0 });
    let expected = accuracy(&reference.of_rows(clean.view()), &test);
    let zero_shot = accuracy(&public.zero_shot[0].of_rows(clean.view()), &test);
    assert!(expected > 0.8 && zero_shot > expected - 0.03, "{zero_shot} {expected}");
    // The network's own score, which the view of its features carries.
    let scaled = public.scaler.apply(test.embeddings.view()).unwrap();
    let features = lower.network.forward(scaled.view()).unwrap();
    let score = &public.views[&cryptotl_model::HeadInputs::Features].projection.scores[0];
    let network = accuracy(&score.of_rows(features.view()), &test);
    assert!(network > expected - 0.03, "{network} {expected}");
    // DP-SGD moved it from where the made-up records left it.
    let stand = Stand::new(&job.config, &moments).unwrap();
    let start = descent::on_made_up(
        &job.blueprint,
        &job.config.training,
        stand.scaled.view(),
        stand.targets(&transcript.released.zero_shot).view(),
        &mut stream(1, 0),
    );
    assert_ne!(start, transcript.released.parameters);

    // Nothing but post-processing is left: the bytes are enough, and always give the same two halves.
    let bytes = transcript.to_bytes().unwrap();
    let again = Transcript::from_bytes(&bytes, "t".as_ref()).unwrap();
    assert_eq!(again, transcript);
    assert_eq!(again.publish().unwrap(), (lower, public.clone()));
    let privacy = SourcePrivacy::of(&public).unwrap().unwrap();
    assert_eq!(privacy.release, Digest::of(&bytes));
    assert_eq!(privacy.guarantee, transcript.header.guarantee);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p");
    public.write(&path).unwrap();
    assert_eq!(cryptotl_model::PublicModel::read(&path).unwrap().0, public);
}

/// Three classes, at the corners of a triangle.
fn three_classes(n: usize, rng: &mut ChaCha8Rng) -> Records {
    let mut records = source(n, rng);
    records.header.label_names = vec!["red".into(), "green".into(), "blue".into()];
    let labels = records.labels.as_mut().unwrap();
    for (i, mut row) in records.embeddings.rows_mut().into_iter().enumerate() {
        if labels[i] == UNLABELED || labels[i] == 7 {
            continue;
        }
        let class = (i % 3) as u32;
        labels[i] = class;
        let angle = f64::from(class) * 2.1;
        row[0] = row[0] * 0.5 + (0.2 * angle.cos()) as f32;
        row[1] = row[1] * 0.5 + (0.2 * angle.sin()) as f32;
    }
    records
}

#[test]
fn of_more_than_two_labels_each_has_a_score() {
    let mut rng = stream(21, 0);
    let (records, test) = (three_classes(3000, &mut rng), three_classes(1000, &mut rng));
    let transcript = nearly_exact(&records);
    let Event::Sequence(sequence) = &transcript.header.event else { panic!() };
    assert_eq!(sequence.parts[1].dimension, 3 * (WIDTH + 1));
    let (lower, public) = transcript.publish().unwrap();
    assert_eq!((public.zero_shot.len(), public.label_names.len()), (3, 3));
    let again = Transcript::from_bytes(&transcript.to_bytes().unwrap(), "t".as_ref()).unwrap();
    assert_eq!(again.publish().unwrap(), (lower.clone(), public.clone()));

    let right = |scores: Array2<f64>| {
        let labels = test.labels.as_ref().unwrap();
        let best = |row: ndarray::ArrayView1<f64>| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let labeled = (0..1000).filter(|&i| labels[i] < 3);
        let rights: Vec<bool> = labeled.map(|i| best(scores.row(i)) == labels[i] as usize).collect();
        rights.iter().filter(|r| **r).count() as f64 / rights.len() as f64
    };
    let clean = test.embeddings.mapv(|x| if x.is_finite() { f64::from(x) } else { 0.0 });
    let usable: Vec<usize> = (0..3000).filter(|i| i % 50 > 1).collect();
    let rows = records.embeddings.select(Axis(0), &usable).mapv(f64::from);
    let labels: Vec<u32> = usable.iter().map(|&i| records.labels.as_ref().unwrap()[i]).collect();
    let reference = crate::source::linear_score(&rows, &targets(&labels, 3), 1.0).unwrap();
    let of = |scores: &[cryptotl_model::LinearScore]| right(crate::source::of_rows(scores, clean.view()));
    let (expected, found) = (of(&reference), of(&public.zero_shot));
    assert!(expected > 0.8 && found > expected - 0.03, "{found} {expected}");
    // The features tell the classes apart as well: a head on them without privacy.
    let features = |records: &Records| {
        let scaled = public.scaler.apply(records.embeddings.view()).unwrap();
        lower.network.forward(scaled.view()).unwrap().mapv(|x| if x.is_finite() { x } else { 0.0 })
    };
    let of_features = features(&records).select(Axis(0), &usable);
    let head = crate::source::linear_score(&of_features, &targets(&labels, 3), 1.0).unwrap();
    let network = right(crate::source::of_rows(&head, features(&test).view()));
    assert!(network > expected - 0.05, "{network} {expected}");

    let bytes = transcript.to_bytes().unwrap();
    let mut two = Transcript::from_bytes(&bytes, "t".as_ref()).unwrap();
    two.header.label_names.pop();
    let error = Transcript::from_bytes(&two.to_bytes().unwrap(), "t".as_ref()).unwrap_err().to_string();
    assert!(error.contains("does not fit") || error.contains("do not fit"), "{error}");
}

#[test]
fn a_charge_buys_one_run_and_a_recorded_run_is_not_charged_again() {
    let records = source(200, &mut stream(12, 0));
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = ledger(&folder, 4.0);
    let job = job(config(), &records);
    // A process that dies after the charge: the loss stays spent, and the next run pays again.
    drop(charged(&mut ledger, &job, 1.0));
    let spent = ledger.status().unwrap().rho_spent;
    let paid = charged(&mut ledger, &job, 1.0);
    assert_eq!(ledger.status().unwrap().rho_spent, spent.times(2).unwrap());
    let (transcript, receipt) = job.run(paid, &records, "source").unwrap();
    assert_eq!(receipt.steps_used(), 1 + zero_shot::STEPS + 20);
    let bytes = transcript.to_bytes().unwrap();
    ledger.record_release(receipt, &bytes).unwrap();
    // A process that dies after recording: the same plan gives the same bytes, at no charge.
    let plan = job.plan(&terms(&ledger, 1.0), Description::new()).unwrap();
    match ledger.charge(plan) {
        Err(ChargeError::Finished(earlier)) => assert_eq!(earlier.artifact.unwrap(), bytes),
        other => panic!("{other:?}"),
    }
    assert_eq!(ledger.status().unwrap().rho_spent, spent.times(2).unwrap());
    // What is left does not buy epsilon 4, and nothing runs without a charge.
    let plan = job.plan(&terms(&ledger, 4.0), Description::new()).unwrap();
    assert!(matches!(ledger.charge(plan), Err(ChargeError::Refused(_))));
}

#[test]
fn the_loss_is_that_of_all_three_parts_together() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder, 8.0);
    let records = source(10, &mut stream(13, 0));
    let plan = job(config(), &records).plan(&terms(&ledger, 2.0), Description::new()).unwrap();
    let guarantee = plan.guarantee();
    assert!(guarantee.epsilon.get() <= 2.0 && guarantee.epsilon.get() > 1.99, "{}", guarantee.epsilon);
    let Event::Sequence(sequence) = plan.event() else { panic!() };
    let releases: Vec<_> = sequence
        .parts
        .iter()
        .map(|p| {
            cryptotl_privacy::accountant::pld::Releases::gaussian(
                p.noise_multiplier,
                p.sampling_rate,
                p.steps,
            )
            .unwrap()
        })
        .collect();
    let together = cryptotl_privacy::accountant::pld::epsilon(&releases, guarantee.delta).unwrap().get();
    assert!((together / guarantee.epsilon.get() - 1.0).abs() < 1e-3, "{together}");
    for left_out in 0..3 {
        let mut fewer = releases.clone();
        fewer.remove(left_out);
        let epsilon = cryptotl_privacy::accountant::pld::epsilon(&fewer, guarantee.delta).unwrap().get();
        assert!(epsilon < 0.97 * together, "part {left_out} costs something: {epsilon}");
    }
    // The budget is divided as the configuration says: mu^2 of the parts over all units.
    let squared = |p: &cryptotl_privacy::SampledSumEvent| f64::from(p.steps) / p.noise_multiplier.powi(2);
    let ratio = squared(&sequence.parts[1]) / squared(&sequence.parts[0]);
    assert!((ratio - 0.45 / 0.25).abs() < 1e-9, "{ratio}");
}

#[test]
fn what_would_have_to_look_at_the_source_is_refused() {
    let records = source(10, &mut stream(14, 0));
    let refused = |config: PretrainConfig, outline| {
        PrivatePretraining::new(config, "clinic".into(), outline).unwrap_err().to_string()
    };
    let mut balanced = config();
    balanced.training.balance = Balance::Labels;
    assert!(refused(balanced, records.outline()).contains("counting private labels"));
    let unlabeled = Records { labels: None, ..records.clone() };
    assert!(refused(config(), unlabeled.outline()).contains("two or more --labels"));
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = ledger(&folder, 4.0);
    let job = job(config(), &records);
    let without = Terms { order: None, ..terms(&ledger, 1.0) };
    assert!(job.plan(&without, BTreeMap::new()).unwrap_err().to_string().contains("zcdp"));
    // Another file than the one whose header was looked at.
    let paid = charged(&mut ledger, &job, 1.0);
    let error = job.run(paid, &unlabeled, "source").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not the file that was looked at"), "{error}");
}

#[test]
fn a_record_moves_the_sums_by_its_own_contribution_and_nothing_else() {
    // Records are computed one by one, so that neighbors in the table cannot change each other's last bits.
    let blueprint = Blueprint::new(&config(), WIDTH, 1).unwrap();
    let (parameters, _) = drawn(3, &blueprint, WIDTH);
    let network = Recordwise::new(&blueprint, &parameters);
    let of = |record: &[f64]| {
        let mut factors = Factors::new(&factoring(&blueprint));
        network.gradient(record, &[1.0], &mut factors);
        in_full(&blueprint, &mut factors)
    };
    let rows: Vec<Vec<f64>> = (0..9).map(|i| drawn(50 + i, &blueprint, WIDTH).1).collect();
    let together: Vec<Vec<f64>> = rows.iter().map(|row| of(row)).collect();
    let reversed: Vec<Vec<f64>> = rows.iter().rev().map(|row| of(row)).collect();
    assert!(together.iter().eq(reversed.iter().rev()));
    let shape = moments::factoring(WIDTH);
    let mut reused = Factors::new(&shape);
    let mut of_moments = |row: &[f64]| {
        let row: Array1<f32> = row.iter().map(|x| *x as f32).collect();
        moments::contribution(row.view(), 1.0, &mut reused);
        reused.outer(0).0.to_vec()
    };
    let first = of_moments(&rows[0]);
    of_moments(&rows[1]);
    assert_eq!(of_moments(&rows[0]), first, "no trace of the record before");
    assert!(sigmoid(0.0) == 0.5);
}

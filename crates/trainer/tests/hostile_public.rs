//! Whatever a public half says, whether a training succeeds, how it fails and what shape it releases do not depend on one record.

mod common;

use common::{WIDTH, numbers, public};
use cryptotl_model::{Digest, EncoderId, HeadInputs, PublicModel, Records, RecordsHeader, UNLABELED};
use cryptotl_privacy::ReleasePlan;
use cryptotl_privacy::{Accountant, Adjacency, Delta, Description, Epsilon, Order, PrivacyUnit, PublicData};
use cryptotl_trainer::head::{BenchmarkMechanism, HeadSettings, Method, Signal, Space, Task, Terms};
use ndarray::{Array1, Array2};

fn records(labels: usize) -> Records {
    let mut next = numbers(3);
    let n = 40;
    let mut embeddings = Array2::from_shape_fn((n, WIDTH), |_| next() as f32);
    // Ordinary records of one label, and then those that a hostile model could be after.
    let mut codes = vec![1; n];
    codes[n - 1] = 0;
    codes[n - 2] = UNLABELED;
    codes[n - 3] = labels as u32 - 1;
    embeddings.row_mut(n - 4).fill(f32::NAN);
    embeddings.row_mut(n - 5).fill(f32::MAX);
    embeddings.row_mut(n - 6).fill(f32::MIN_POSITIVE / 2.0);
    embeddings.row_mut(n - 7).fill(0.0);
    Records {
        header: RecordsHeader {
            encoder: EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") },
            label_names: (0..labels).map(|k| format!("label-{k}")).collect(),
            extraction: None,
            population: None,
        },
        ids: (0..n).map(|i| i.to_string()).collect(),
        embeddings,
        features: None,
        labels: Some(codes),
        persons: None,
        sources: None,
    }
}

fn settings(public: &PublicModel, method: Method) -> HeadSettings {
    let signal = Signal::new(0.1, 40).unwrap();
    HeadSettings::auto(public, HeadInputs::Embedding, Some(method), signal).unwrap()
}

fn plan(public: &PublicModel, method: Method) -> Result<ReleasePlan, String> {
    let terms = Terms {
        epsilon: Epsilon::new(0.3).unwrap(),
        delta: Delta::new(1e-4).unwrap(),
        accountant: Accountant::Zcdp,
        order: Some(Order::new(8).unwrap()),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
    };
    settings(public, method).plan(public, &terms, Description::new()).map_err(|e| e.to_string())
}

/// How many numbers are released of what was paid for, or the words of the failure.
fn outcome(
    public: &PublicModel,
    method: Method,
    plan: &ReleasePlan,
    records: &Records,
) -> Result<usize, String> {
    let settings = settings(public, method);
    let space = Space::new(public, &settings).map_err(|e| e.to_string())?;
    let declared = PublicData::declare("synthetic test data");
    let mut mechanism = BenchmarkMechanism::for_public_data(plan, declared).map_err(|e| e.to_string())?;
    let task = Task::new(&space, records, &mechanism).map_err(|e| e.to_string())?;
    let weights = settings.fit(&task, &mut mechanism).map_err(|e| e.to_string())?;
    assert!(weights.iter().all(|w| w.is_finite()), "{method:?}: {weights}");
    Ok(weights.len())
}

type Alteration = fn(&mut PublicModel, f64);

/// One public quantity of each kind takes a value.
const ALTERATIONS: [(&str, Alteration); 9] = [
    ("nothing", |_, _| {}),
    ("start", |public, value| *statistics(public).1.last_mut().unwrap() = value),
    ("whole start", |public, value| statistics(public).1.fill(value)),
    ("second moment", |public, value| statistics(public).0[[0, 0]] = value),
    ("mixed moments", |public, value| {
        let gram = statistics(public).0;
        (gram[[0, 1]], gram[[1, 0]]) = (value, value);
    }),
    ("mean", |public, value| view(public).projection.mean[0] = value),
    ("axes", |public, value| view(public).projection.components[[0, 0]] = value),
    ("score scale", |public, value| view(public).projection.score_scale = value),
    ("zero-shot head", |public, value| public.zero_shot[0].weight[0] = value),
];

fn view(public: &mut PublicModel) -> &mut cryptotl_model::SourceView {
    public.views.get_mut(&HeadInputs::Embedding).unwrap()
}

fn statistics(public: &mut PublicModel) -> (&mut Array2<f64>, &mut Array1<f64>) {
    let statistics = view(public).ranks.get_mut(&WIDTH).unwrap();
    (&mut statistics.gram, &mut statistics.start)
}

#[test]
fn no_public_number_makes_success_depend_on_a_record() {
    let values = [5e-324, -1e-160, -0.05, 1.0, 300.0, 1e6, 1e13, -1e150, f64::MAX];
    for labels in [2, 3] {
        let all = records(labels);
        // A plan on samples takes a moment, and says nothing of the model but its size.
        let sampled = plan(&public(labels), Method::DpSgd).unwrap();
        for (name, alter) in ALTERATIONS {
            for value in values {
                let mut altered = public(labels);
                alter(&mut altered, value);
                for method in Method::ALL {
                    let is_sampled = method == Method::DpSgd;
                    if is_sampled && labels > 2 {
                        continue;
                    }
                    // What is refused when it is planned is refused for any records, and costs nothing.
                    let planned = if is_sampled { Ok(sampled.clone()) } else { plan(&altered, method) };
                    let Ok(plan) = planned else { continue };
                    let expected = outcome(&altered, method, &plan, &all);
                    let refused = Space::new(&altered, &settings(&altered, method)).is_err();
                    assert_eq!(expected.is_err(), refused, "{name} {value} {method:?}: {expected:?}");
                    for &removed in if is_sampled { &[39][..] } else { &[0, 35, 36, 39][..] } {
                        let left: Vec<usize> = (0..all.len()).filter(|i| *i != removed).collect();
                        let found = outcome(&altered, method, &plan, &all.select(&left));
                        assert_eq!(found, expected, "{name} {value} {method:?} without {removed}");
                    }
                }
            }
        }
    }
    // Honest numbers train, and those far from honest ones do not.
    assert!(Method::ALL.into_iter().all(|method| plan(&public(2), method).is_ok()));
    let mut altered = public(2);
    statistics(&mut altered).1[0] = 1e13;
    assert!(Method::ALL.into_iter().all(|method| plan(&altered, method).is_err()));
}

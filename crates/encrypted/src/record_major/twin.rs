//! The clear-text twin: the circuit on plain numbers, with the levels, scales and rotations of the encrypted
//! one. It refuses what SEAL would refuse (levels that do not match, a missing key, no prime left) and what
//! SEAL would not notice: a value too large for its modulus.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use cryptotl_model::Network;
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;

use super::layout::Linear;
use super::steps::{Rotate, Steps, stepwise};
use crate::error::{EncryptedError, Result};
use crate::params::ParameterSet;
use crate::plan::fold::Core;
use crate::plan::record_major::RecordMajor;
use crate::plan::{Body, EvaluationPlan, InputBound};
use crate::{Packing, testkit};

#[derive(Debug, Clone, PartialEq)]
struct Slots {
    values: Vec<f64>,
    level: usize,
    scale: f64,
}

struct Twin<'a> {
    set: ParameterSet,
    plan: &'a RecordMajor,
    /// How often each rotation was used.
    rotations: RefCell<BTreeMap<usize, usize>>,
    products: RefCell<usize>,
}

/// One linear layer of a twin.
struct Layer<'a> {
    twin: &'a Twin<'a>,
    layer: Linear,
}

impl Twin<'_> {
    /// Refuses a vector that its modulus cannot hold. A coefficient of the plaintext polynomial is at most the
    /// mean of the slots' magnitudes.
    fn check(&self, vector: Slots) -> Result<Slots> {
        let modulus: f64 = self.set.data_primes()[..vector.level].iter().map(|q| *q as f64).product();
        let mean = vector.values.iter().map(|x| x.abs()).sum::<f64>() / vector.values.len() as f64;
        if vector.level == 0 || vector.scale * mean >= modulus / 2.0 {
            return Err(EncryptedError::input(format!("level {} cannot hold this", vector.level), "fix it"));
        }
        Ok(vector)
    }

    fn rescale(&self, vector: Slots) -> Result<Slots> {
        let level = vector.level - 1;
        self.check(Slots { scale: vector.scale / self.set.data_primes()[level] as f64, level, ..vector })
    }
}

impl Rotate for Layer<'_> {
    type Vector = Slots;

    fn rotate(&self, vector: &Slots, steps: usize) -> Result<Slots> {
        if !self.twin.plan.layout.rotations().contains(&steps) {
            return Err(EncryptedError::input(format!("no key rotates by {steps}"), "fix the plan"));
        }
        *self.twin.rotations.borrow_mut().entry(steps).or_default() += 1;
        let mut values = vector.values.clone();
        values.rotate_left(steps);
        Ok(Slots { values, ..*vector })
    }

    fn products(&self, inputs: &[Slots], range: Range<usize>) -> Result<Slots> {
        let plan = self.twin.plan;
        let scale = inputs[0].scale * plan.plaintext_scale(self.layer);
        let mut sum = Slots { values: vec![0.0; plan.layout.slots], level: inputs[0].level, scale };
        for (input, diagonal) in inputs.iter().zip(range) {
            let weights = plan.layout.diagonal(self.layer, plan.map(self.layer).weight.view(), diagonal);
            *self.twin.products.borrow_mut() += 1;
            for ((sum, x), w) in sum.values.iter_mut().zip(&input.values).zip(weights) {
                *sum += w * x;
            }
        }
        Ok(sum)
    }

    fn add(&self, to: &mut Slots, other: &Slots) -> Result<()> {
        assert_eq!((to.level, to.scale), (other.level, other.scale));
        to.values.iter_mut().zip(&other.values).for_each(|(to, x)| *to += x);
        Ok(())
    }
}

impl Twin<'_> {
    fn linear(&self, layer: Linear, input: Slots) -> Result<Slots> {
        let mut out = stepwise(&Layer { twin: self, layer }, &self.plan.layout.steps(layer), input)?;
        let bias = self.plan.layout.bias(layer, &self.plan.map(layer).bias.to_vec());
        out.values.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        self.check(out)
    }

    /// `(a + constant) b`, rescaled; `b` may be a level higher.
    fn multiply(&self, a: &Slots, constant: f64, b: &Slots) -> Result<Slots> {
        assert!(b.level >= a.level);
        let values = a.values.iter().zip(&b.values).map(|(a, b)| (a + constant) * b).collect();
        self.rescale(self.check(Slots { values, level: a.level, scale: a.scale * b.scale })?)
    }

    fn evaluate(&self, core: Core, query: Slots) -> Result<Slots> {
        let u = self.rescale(self.linear(Linear::First, query)?)?;
        let square = self.multiply(&u, 0.0, &u)?;
        let activated = match core {
            Core::Square => square,
            Core::Cube { linear } => self.multiply(&square, linear, &u)?,
        };
        self.linear(Linear::Second, activated)
    }
}

/// Runs a compiled plan in the clear and compares it with the network; checks the counts.
fn check(network: &Network, set: ParameterSet, rows: &Array2<f64>, bound: f64) {
    let bound = InputBound::new(bound).unwrap();
    let plan = EvaluationPlan::compile(network, set, Packing::RecordMajor, bound).unwrap();
    let Body::RecordMajor(record_major) = plan.body() else { panic!("another packing") };
    let layout = &record_major.layout;
    let expected = network.forward(rows.view()).unwrap();
    for (record, expected) in rows.rows().into_iter().zip(expected.rows()) {
        let twin =
            Twin { set, plan: record_major, rotations: RefCell::default(), products: RefCell::default() };
        let (level, scale) = (plan.contract().input_level(), plan.contract().input_scale());
        let query = Slots { values: layout.place(&record.to_vec()), level, scale };
        let out = twin.evaluate(plan.core(), query).unwrap();

        assert_eq!(out.level, plan.contract().output_level());
        assert!((out.scale / plan.contract().output_scale() - 1.0).abs() < 1e-12);
        let features: Array1<f64> =
            (0..expected.len()).map(|row| out.values[layout.feature_slot(row)]).collect();
        let worst = (&features - &expected).iter().fold(0.0f64, |worst, d| worst.max(d.abs()));
        assert!(worst < 1e-9 * (1.0 + plan.max_feature()), "{layout:?}: {worst:e}");

        let used: usize = twin.rotations.borrow().values().sum();
        let steps: Vec<Steps> = [Linear::First, Linear::Second].map(|layer| layout.steps(layer)).into();
        assert_eq!(used, steps.iter().map(|steps| steps.rotations().len()).sum::<usize>());
        assert_eq!(twin.rotations.borrow().keys().copied().collect::<Vec<_>>(), layout.rotations());
        assert_eq!(*twin.products.borrow(), steps.iter().map(|steps| steps.diagonals).sum::<usize>());
        let cost = plan.cost(1);
        assert_eq!((cost.rotations, cost.plain_products), (used as u64, *twin.products.borrow() as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_shapes(
        widths in [1usize..130, 1usize..130, 1usize..130],
        seed in 0u64..1000,
        degree in 2usize..4,
    ) {
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let coefficients = [0.1, 0.7, 0.2, -0.05][..=degree].to_vec();
        let network = testkit::network(coefficients, widths, seed);
        check(&network, set, &testkit::records(2, widths[0], 3.0, seed), 3.0);
    }
}

#[test]
fn edges_of_the_ring() {
    let set = ParameterSet::InsecureN1024Q30x5P38;
    let slots = set.slots();
    for widths in [[slots, slots, slots], [1, 1, 1], [slots, 1, slots], [1, slots, 1], [slots, 3, 2]] {
        let network = testkit::network(vec![0.1, 0.7, 0.2, -0.05], widths, 3);
        check(&network, set, &testkit::records(1, widths[0], 3.0, 4), 3.0);
    }
}

#[test]
fn the_papers_network_and_the_corners_of_its_inputs() {
    for width in [384, 768] {
        let network = Network::new(width, testkit::paper_layers(width, 5)).unwrap();
        let mut rows = testkit::records(3, width, 4.0, 6);
        rows.row_mut(1).mapv_inplace(|x| 4.0 * x.signum());
        rows.row_mut(2).fill(4.0);
        check(&network, ParameterSet::N8192Q30x5P38, &rows, 4.0);
    }
    // The record that drives one feature as far as a linear layer can.
    let network = Network::new(96, testkit::paper_layers(96, 5)).unwrap();
    let folded = crate::plan::fold::FoldedNetwork::fold(&network).unwrap();
    let worst = folded.first.weight.row(0).mapv(|w| 4.0 * w.signum()).insert_axis(Axis(0));
    check(&network, ParameterSet::N8192Q30x5P38, &worst, 4.0);
}

//! The layers through the own ring kernels: baby steps and giant steps, both hoisted.
//!
//! The second polynomial of the input is decomposed once for all baby steps; these stay modulo `Q P`, where the products
//! with the diagonals are summed. A giant step divides only the second polynomial by `P`, to decompose it; the first
//! one, like the total, stays modulo `Q P` until one division at the end. Compared with one rotation at a time this saves
//! most transforms, and the rounding errors of most divisions (J.-P. Bossuat, C. Mouchet, J. Troncoso-Pastoriza and
//! J.-P. Hubaux, "Efficient Bootstrapping for Approximate Homomorphic Encryption with Non-Sparse Keys", Eurocrypt 2021).
//!
//! An automorphism is applied last: with the key permuted by its inverse, the sum of digits times key is
//! computed for the unrotated digits and then permuted.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::Layers;
use super::encoded::{EncodedLayer, encode};
use super::layout::{Layout, Linear, galois_element};
use super::seal::level;
use crate::error::{EncryptedError, Result};
use crate::expand;
use crate::message::EvaluationKeys;
use crate::plan::record_major::RecordMajor;
use crate::plan::{Contract, EvaluationPlan};
use crate::ring::{Automorphism, Blocks, Diagonal, Diagonals, Digits, Extended, Ring, Scratch, SwitchKey};
use crate::seal::ckks::{Context, Encoder};
use crate::seal::wire;

/// The encoded layers of a model for the own kernels.
pub(crate) struct NativeModel {
    ring: Ring,
    layers: [NativeLayer; 2],
}

struct NativeLayer {
    diagonals: Diagonals,
    /// `[prime][N]` in the own order, at the scale of the product.
    bias: Vec<u32>,
}

/// A rotation with its key, permuted by the inverse of the automorphism.
struct Rotation {
    automorphism: Automorphism,
    key: SwitchKey,
}

/// The layers under the keys of one job.
pub(super) struct Native {
    contract: Contract,
    layout: Layout,
    model: Arc<NativeModel>,
    /// By steps.
    rotations: HashMap<usize, Rotation>,
}

impl NativeModel {
    fn new(plan: &EvaluationPlan, body: &RecordMajor) -> Result<Self> {
        let contract = plan.contract();
        let context = Context::new(contract.parameter_set())?;
        let encoder = Encoder::new(&context)?;
        let ring = Ring::new(contract.parameter_set());
        let scales = &plan.levels().scales;
        let encode = |layer, product_scale| {
            let (level, scale) = (level(contract, layer), body.plaintext_scale(layer));
            let residues = |values: &[f64], scale| {
                wire::parse_key_plaintext(
                    &context,
                    &encoder.encode_at_key_level(&context, values, scale)?.save()?,
                )
            };
            let EncodedLayer { diagonals, bias } =
                encode(body, layer, (&context, &encoder), level, |values, _| {
                    Ok(Diagonal::from_seal(&ring, level, &residues(values, scale)?))
                })?;
            let bias: Vec<u32> = residues(&bias, product_scale)?.into_iter().map(|x| x as u32).collect();
            let bias = &bias[..level * ring.degree()];
            let mut own = vec![0; bias.len()];
            ring.read_seal(bias, &mut own);
            Ok::<_, EncryptedError>(NativeLayer {
                diagonals: Diagonals::new(&ring, level, &diagonals),
                bias: own,
            })
        };
        let layers = [encode(Linear::First, scales.first_product)?, encode(Linear::Second, scales.output)?];
        Ok(Self { layers, ring })
    }
}

impl Native {
    pub(super) fn new(plan: &EvaluationPlan, body: &RecordMajor, keys: &EvaluationKeys) -> Result<Self> {
        let model = body.native_model.get_or_make(|| NativeModel::new(plan, body))?;
        let (layout, set) = (body.layout, plan.contract().parameter_set());
        let (n, primes) = (set.degree(), [set.data_primes(), &[set.special_prime()]].concat());
        let keys: HashMap<u32, _> = layout.galois_elements().into_iter().zip(keys.galois()).collect();
        let rotation = |steps: usize| {
            let element = galois_element(layout.slots, steps);
            let backwards = Automorphism::new(n, galois_element(layout.slots, layout.slots - steps) as usize);
            let permuted = |polynomials: &[u64]| {
                let mut to = vec![0; polynomials.len()];
                backwards.apply(polynomials, &mut to);
                to
            };
            let parts: Vec<Vec<u64>> = keys[&element]
                .iter()
                .map(|(c0, seed)| {
                    [permuted(c0), permuted(&expand::polynomial(&seed.bytes, &primes, n))].concat()
                })
                .collect();
            let key = SwitchKey::from_seal(&model.ring, &parts);
            (steps, Rotation { automorphism: Automorphism::new(n, element as usize), key })
        };
        Ok(Self {
            rotations: layout.rotations().into_par_iter().map(rotation).collect(),
            contract: plan.contract().clone(),
            layout,
            model,
        })
    }

    /// `rot(c)` before its automorphism, for `c0` modulo `Q P` and the digits of `c1`.
    fn switched(&self, rotation: &Rotation, digits: &Digits, c0: Extended) -> [Extended; 2] {
        let zero = Extended { data: vec![0; c0.data.len()], special: vec![0; c0.special.len()] };
        let mut sums = [c0, zero];
        self.model.ring.add_inner_product(digits, &rotation.key, &mut sums);
        sums
    }

    /// `rot(c)` for a ciphertext modulo `Q P`, by a division and a decomposition of its second polynomial.
    fn rotated(
        &self,
        steps: usize,
        [c0, c1]: [Extended; 2],
        (scratch, digits): &mut (Scratch, Digits),
    ) -> [Extended; 2] {
        let (ring, rotation) = (&self.model.ring, &self.rotations[&steps]);
        let mut divided = vec![0; c1.data.len()];
        ring.mod_down(&c1, &mut divided, scratch);
        ring.decompose(divided.len() / ring.degree(), &divided, digits, scratch);
        let mut sums = self.switched(rotation, digits, c0);
        for sum in &mut sums {
            let before = sum.clone();
            rotation.automorphism.apply(&before.data, &mut sum.data);
            rotation.automorphism.apply(&before.special, &mut sum.special);
        }
        sums
    }

    fn add(&self, mut a: [Extended; 2], b: [Extended; 2]) -> [Extended; 2] {
        a.iter_mut().zip(&b).for_each(|(a, b)| self.model.ring.add_extended(a, b));
        a
    }
}

impl Layers for Native {
    fn apply(&self, layer: Linear, ciphertext: &[u32]) -> Result<Vec<u32>> {
        let (ring, steps) = (&self.model.ring, self.layout.steps(layer));
        let NativeLayer { diagonals, bias } = &self.model.layers[layer as usize];
        let level = level(&self.contract, layer);
        let (c0, c1) = ciphertext.split_at(level * ring.degree());
        let room = || (ring.scratch(), Digits::new(ring, level));
        let mut own_room = room();

        let (scratch, digits) = &mut own_room;
        ring.decompose(level, c1, digits, scratch);
        let [mut x0, mut x1] = [Extended::zero(ring, level), Extended::zero(ring, level)];
        ring.add_times_special(c0, &mut x0);
        ring.add_times_special(c1, &mut x1);
        let rotations: Vec<&Rotation> = (1..steps.baby).map(|step| &self.rotations[&step]).collect();
        let mut babies = vec![[x0.clone(), x1]];
        babies.par_extend(rotations.par_iter().map(|rotation| self.switched(rotation, digits, x0.clone())));
        let automorphisms: Vec<_> =
            [None].into_iter().chain(rotations.iter().map(|rotation| Some(&rotation.automorphism))).collect();
        let sums = ring.multiply_diagonals(diagonals, &Blocks::gather(&babies, &automorphisms));

        let part = |giant: usize| {
            let mut part = [Extended::zero(ring, level), Extended::zero(ring, level)];
            sums.read(giant, &mut part);
            part
        };
        let giants = (1..steps.giants()).into_par_iter();
        let giants = giants.map_init(room, |room, giant| self.rotated(giant * steps.baby, part(giant), room));
        let mut total = match giants.reduce_with(|a, b| self.add(a, b)) {
            Some(rotated) => self.add(part(0), rotated),
            None => part(0),
        };
        for fold in &steps.folds {
            let rotated = self.rotated(*fold, total.clone(), &mut own_room);
            total = self.add(total, rotated);
        }

        let mut out = vec![0; ciphertext.len()];
        let (scratch, _) = &mut own_room;
        for (sum, out) in total.iter().zip(out.chunks_exact_mut(level * ring.degree())) {
            ring.mod_down(sum, out, scratch);
        }
        ring.add_polynomial(&mut out[..bias.len()], bias);
        Ok(out)
    }
}

//! The encoded layers of a model, made once and shared by all jobs.

use rayon::prelude::*;

use crate::error::Result;
use crate::plan::record_major::RecordMajor;
use crate::record_major::Linear;
use crate::seal::ckks::{Context, Encoder, Plaintext};

/// One layer: its diagonals in whatever form, and the numbers of its bias, slot by slot.
pub(crate) struct EncodedLayer<T> {
    pub(crate) diagonals: Vec<T>,
    pub(crate) bias: Vec<f64>,
}

/// Encodes the diagonals of a layer that runs on `level` data primes. `keep` is given the numbers of each and their
/// plaintext at that level.
///
/// Rounded coefficients change the number in each slot a little. For typical records the activated units are near
/// their means, so most of what the changes do to a feature of the second layer is known, and is taken from its bias.
pub(crate) fn encode<T: Send>(
    plan: &RecordMajor,
    layer: Linear,
    (context, encoder): (&Context, &Encoder),
    level: usize,
    keep: impl Fn(&[f64], Plaintext) -> Result<T> + Sync,
) -> Result<EncodedLayer<T>> {
    let (layout, map, scale) = (&plan.layout, plan.map(layer), plan.plaintext_scale(layer));
    let encode = |diagonal: usize| {
        let mut values = layout.diagonal(layer, map.weight.view(), diagonal);
        let mut plain = encoder.encode(context, &values, level, scale)?;
        if plain.is_zero()? {
            // SEAL refuses a product with zero, whose ciphertext would show its value. The smallest plaintext that
            // is not zero adds no more error than rounding does.
            values.fill(1.0 / scale);
            plain = encoder.encode(context, &values, level, scale)?;
        }
        let shift = match layer {
            Linear::First => vec![],
            Linear::Second => shift(plan, diagonal, &values, &encoder.decode(&plain)?),
        };
        Ok((keep(&values, plain)?, shift))
    };
    let encoded =
        (0..layout.steps(layer).diagonals).into_par_iter().map(encode).collect::<Result<Vec<_>>>()?;
    let mut bias = map.bias.to_vec();
    let mut diagonals = Vec::with_capacity(encoded.len());
    for (diagonal, shift) in encoded {
        bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias -= shift);
        diagonals.push(diagonal);
    }
    Ok(EncodedLayer { diagonals, bias: layout.bias(layer, &bias) })
}

/// What the rounding of a diagonal of the second layer adds to each feature when all units are at their means.
fn shift(plan: &RecordMajor, diagonal: usize, exact: &[f64], rounded: &[f64]) -> Vec<f64> {
    let (layout, features) = (&plan.layout, plan.map(Linear::Second).bias.len());
    let giant = diagonal / layout.baby * layout.baby;
    let mut shift = vec![0.0; features];
    for (slot, (row, unit)) in layout.cells(Linear::Second, diagonal) {
        if let (Some(shift), Some(mean)) = (shift.get_mut(row), plan.mean.get(unit)) {
            let at = (slot + giant) % layout.slots;
            *shift += (rounded[at] - exact[at]) * mean;
        }
    }
    shift
}

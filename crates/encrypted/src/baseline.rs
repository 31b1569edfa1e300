//! The circuit of the paper as published, on SEAL's evaluator: what the example `latency` compares with.
//!
//! One record a ciphertext, layer after layer without folding: convolution, dense, cubic, pooling, dense. Linear
//! layers are sums of generalized diagonals times rotations, by baby steps and giant steps, 32 x 24 for the first
//! dense layer of width 768 and 383 x 2 for the second, and the weights are encoded in each pass, at the
//! top level, then dropped to theirs. The parameters are the paper's fast set: `N = 8192`, primes of 34, 6 x 25 and 34
//! bits, 218 in all (128 bits under the HE standard of 2018 only), scale `2^25`.

use std::time::{Duration, Instant};

use cryptotl_model::{AffineMap, Layer, Network};
use ndarray::ArrayView1;

use crate::error::{EncryptedError, Result};
use crate::params::ParameterSet;
use crate::seal::ckks::{
    Ciphertext, Context, Decryptor, Encoder, Encryptor, Evaluator, GaloisKeys, Plaintext, RelinKeys,
    SecretKey,
};
use crate::seal::wire;

const SET: ParameterSet = ParameterSet::N8192Q34Q25x6P34;
const SCALE: f64 = (1u64 << 25) as f64;

/// The paper's circuit with the keys of one job, both sides in one.
pub struct PaperCircuit {
    width: usize,
    convolution: AffineMap,
    first: AffineMap,
    /// `c0 ... c3`.
    cubic: [f64; 4],
    pool: AffineMap,
    second: AffineMap,
    /// Baby steps of the dense layers.
    babies: [usize; 2],
    context: Context,
    key: SecretKey,
    relin: RelinKeys,
    galois: GaloisKeys,
    encoder: Encoder,
    evaluator: Evaluator,
}

/// A ciphertext with its level.
struct Value {
    ciphertext: Ciphertext,
    level: usize,
}

impl PaperCircuit {
    /// Makes keys for a network of the paper's shape.
    ///
    /// # Errors
    /// [`EncryptedError::Unsupported`] for any other network; [`EncryptedError::Seal`] when SEAL fails.
    pub fn new(network: &Network) -> Result<Self> {
        let width = network.input_width();
        let (Some([convolution, first, pool, second]), [_, _, Layer::Activation(polynomial), ..]) =
            (affine_layers(network), network.layers())
        else {
            return Err(not_the_papers());
        };
        let cubic: [f64; 4] = polynomial.coefficients().try_into().map_err(|_| not_the_papers())?;
        if 2 * width > SET.slots() {
            return Err(not_the_papers());
        }
        let context = Context::new(SET)?;
        let (key, relin) = SecretKey::generate(&context)?;
        let babies = [width.div_ceil(24), width.div_ceil(2)];
        let (n, inner) = (width as i32, second.weight.ncols() as i32);
        let mut steps = vec![1, -n, -inner, babies[1] as i32];
        steps.extend((1..24).map(|giant| giant * babies[0] as i32));
        steps.extend((-4..=4).filter(|step| !matches!(step, 0 | 1)));
        steps.sort_unstable();
        steps.dedup();
        Ok(Self {
            width,
            convolution,
            first,
            cubic,
            pool,
            second,
            babies,
            relin: RelinKeys::load(
                &context,
                &wire::keys_bytes(&context, &wire::parse_keys(&context, &relin)?),
            )?,
            galois: GaloisKeys::generate(&context, &key, &steps, false)?,
            encoder: Encoder::new(&context)?,
            evaluator: Evaluator::new(&context)?,
            key,
            context,
        })
    }

    /// The features of one record, and how long the server's part took.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] for a record of another width; [`EncryptedError::Seal`] when SEAL fails.
    pub fn run(&self, record: ArrayView1<f64>) -> Result<(Vec<f64>, Duration)> {
        if record.len() != self.width {
            return Err(EncryptedError::input(
                format!("the record has {} numbers, the network takes {}", record.len(), self.width),
                "give records of the network's width",
            ));
        }
        let top = SET.data_primes().len();
        let plain = self.encoder.encode(&self.context, &record.to_vec(), top, SCALE)?;
        let bytes = Encryptor::new(&self.context, &self.key)?.encrypt_seeded(&plain)?;
        let query = Value { ciphertext: Ciphertext::load(&self.context, &bytes)?, level: top };

        let start = Instant::now();
        let response = self.evaluate(query)?;
        let elapsed = start.elapsed();

        let plain = Decryptor::new(&self.context, &self.key)?.decrypt(&response.ciphertext)?;
        let mut features = self.encoder.decode(&plain)?;
        features.truncate(self.second.weight.nrows());
        Ok((features, elapsed))
    }

    fn evaluate(&self, query: Value) -> Result<Value> {
        let mut x = self.banded(&query, &self.convolution)?;
        self.rescale(&mut x)?;
        let mut z = self.dense(&x, &self.first, self.babies[0])?;
        self.rescale(&mut z)?;
        let z = self.activate(z)?;
        let mut pooled = self.banded(&z, &self.pool)?;
        self.rescale(&mut pooled)?;
        // The last product keeps its scale.
        self.dense(&pooled, &self.second, self.babies[1])
    }

    /// A map with few diagonals: one rotation and one product each.
    fn banded(&self, x: &Value, map: &AffineMap) -> Result<Value> {
        let (rows, columns) = (map.weight.nrows() as i32, map.weight.ncols() as i32);
        let mut sum = None;
        for offset in 1 - rows..columns {
            let diagonal: Vec<f64> = (0..rows)
                .map(|i| {
                    if (0..columns).contains(&(i + offset)) {
                        map.weight[[i as usize, (i + offset) as usize]]
                    } else {
                        0.0
                    }
                })
                .collect();
            if diagonal.iter().all(|w| *w == 0.0) {
                continue;
            }
            let weights = self.weights(&diagonal, SCALE, x.level)?;
            let product = if offset == 0 {
                self.evaluator.multiply_plain(&x.ciphertext, &weights)?
            } else {
                let rotated = self.evaluator.rotate(&x.ciphertext, offset, &self.galois)?;
                self.evaluator.multiply_plain(&rotated, &weights)?
            };
            self.accumulate(&mut sum, product)?;
        }
        self.with_bias(sum, map, x.level)
    }

    /// Any map, by baby steps (rotations by one, one after the other) and giant steps.
    fn dense(&self, x: &Value, map: &AffineMap, babies: usize) -> Result<Value> {
        let (rows, columns) = map.weight.dim();
        let evaluator = &self.evaluator;
        // A second copy behind the first, so that rotations wrap around the width.
        let mut doubled = evaluator.rotate(&x.ciphertext, -(columns as i32), &self.galois)?;
        evaluator.add(&mut doubled, &x.ciphertext)?;
        let mut rotated = vec![doubled];
        for baby in 1..babies {
            rotated.push(evaluator.rotate(&rotated[baby - 1], 1, &self.galois)?);
        }
        let mut sum = None;
        for giant in (0..columns).step_by(babies) {
            let mut inner = None;
            for (baby, rotated) in rotated.iter().enumerate().take(columns - giant) {
                let mut diagonal = vec![0.0; giant + rows];
                for i in 0..rows {
                    diagonal[giant + i] = map.weight[[i, (i + giant + baby) % columns]];
                }
                let weights = self.weights(&diagonal, SCALE, x.level)?;
                self.accumulate(&mut inner, evaluator.multiply_plain(rotated, &weights)?)?;
            }
            let Some(inner) = inner else { continue };
            let moved =
                if giant == 0 { inner } else { evaluator.rotate(&inner, giant as i32, &self.galois)? };
            self.accumulate(&mut sum, moved)?;
        }
        self.with_bias(sum, map, x.level)
    }

    /// `c0 + c1 z + c2 z^2 + c3 z^3`, two levels down.
    fn activate(&self, z: Value) -> Result<Value> {
        let [c0, c1, c2, c3] = self.cubic;
        let (evaluator, level) = (&self.evaluator, z.level);
        let mut square = Value { ciphertext: evaluator.square(&z.ciphertext, &self.relin)?, level };
        self.rescale(&mut square)?;
        let mut scaled = Value { ciphertext: self.times(&z, c3, SCALE)?, level };
        self.rescale(&mut scaled)?;
        let mut z = z;
        evaluator.drop_prime(&mut z.ciphertext)?;
        z.level -= 1;

        let mut sum = evaluator.multiply(&square.ciphertext, &scaled.ciphertext, &self.relin)?;
        let scale = sum.scale()?;
        for (value, coefficient) in [(&square, c2), (&z, c1)] {
            let mut term = self.times(value, coefficient, scale / value.ciphertext.scale()?)?;
            term.set_scale(scale)?;
            evaluator.add(&mut sum, &term)?;
        }
        let constant = self.encoder.encode_constant(&self.context, c0, level - 1, scale)?;
        evaluator.add_plain(&mut sum, &constant)?;
        let mut activated = Value { ciphertext: sum, level: level - 1 };
        self.rescale(&mut activated)?;
        Ok(activated)
    }

    fn times(&self, value: &Value, factor: f64, scale: f64) -> Result<Ciphertext> {
        let plain = self.encoder.encode_constant(&self.context, factor, value.level, scale)?;
        self.evaluator.multiply_plain(&value.ciphertext, &plain)
    }

    /// Encodes at the top level and drops to `level`, as the published program does.
    fn weights(&self, values: &[f64], scale: f64, level: usize) -> Result<Plaintext> {
        let mut plain = self.encoder.encode(&self.context, values, SET.data_primes().len(), scale)?;
        self.evaluator.drop_plain(&self.context, &mut plain, level)?;
        Ok(plain)
    }

    fn with_bias(&self, sum: Option<Ciphertext>, map: &AffineMap, level: usize) -> Result<Value> {
        let mut ciphertext = sum.ok_or_else(not_the_papers)?;
        if map.bias.iter().any(|b| *b != 0.0) {
            let scale = ciphertext.scale()?;
            let bias = self.encoder.encode(&self.context, &map.bias.to_vec(), level, scale)?;
            self.evaluator.add_plain(&mut ciphertext, &bias)?;
        }
        Ok(Value { ciphertext, level })
    }

    fn accumulate(&self, sum: &mut Option<Ciphertext>, term: Ciphertext) -> Result<()> {
        match sum {
            None => *sum = Some(term),
            Some(sum) => self.evaluator.add(sum, &term)?,
        }
        Ok(())
    }

    fn rescale(&self, value: &mut Value) -> Result<()> {
        self.evaluator.rescale(&mut value.ciphertext)?;
        value.level -= 1;
        Ok(())
    }
}

/// The four matrices of a network of the paper's shape.
fn affine_layers(network: &Network) -> Option<[AffineMap; 4]> {
    let [
        convolution @ Layer::Conv1d { kernels, .. },
        first @ Layer::Dense { .. },
        Layer::Activation(_),
        pool @ Layer::AvgPool1d { size: 3 },
        second @ Layer::Dense { .. },
    ] = network.layers()
    else {
        return None;
    };
    let width = network.input_width();
    let square = matches!(first, Layer::Dense { weight, .. } if weight.dim() == (width, width));
    if kernels.dim() != (1, 9) || !square {
        return None;
    }
    let pooled = width.checked_sub(2)?;
    Some([
        convolution.to_affine(width)?,
        first.to_affine(width)?,
        pool.to_affine(width)?,
        second.to_affine(pooled)?,
    ])
}

fn not_the_papers() -> EncryptedError {
    EncryptedError::unsupported(
        "the baseline takes a convolution of 9 taps, dense, cubic, pooling over 3 and dense, up to width 2048",
        "give a network of the paper's shape",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    #[test]
    fn agrees_with_the_network() {
        let network = Network::new(64, testkit::paper_layers(64, 3)).unwrap();
        let records = testkit::records(2, 64, 2.0, 4);
        let circuit = PaperCircuit::new(&network).unwrap();
        let expected = network.forward(records.view()).unwrap();
        for (record, expected) in records.rows().into_iter().zip(expected.rows()) {
            let (features, _) = circuit.run(record).unwrap();
            assert_eq!(features.len(), 62);
            for (feature, expected) in features.iter().zip(expected) {
                assert!((feature - expected).abs() < 0.05, "{feature} {expected}");
            }
        }
    }

    #[test]
    fn another_network_is_refused() {
        let network = Network::new(8, vec![testkit::dense(8, 8, 1)]).unwrap();
        assert!(matches!(PaperCircuit::new(&network), Err(EncryptedError::Unsupported { .. })));
    }
}

//! The data owner's side: the secret key, encryption and decryption.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::{EncryptedError, Result};
use crate::message::{EvaluationKeys, JobId, Place, Query, Request, Response};
use crate::plan::Contract;
use crate::seal::ckks::{Ciphertext, Context, Decryptor, Encoder, Encryptor, GaloisKeys, SecretKey};
use crate::seal::wire::{self, Level};

/// Holds the secret key of one job.
///
/// The key is made fresh and stays in this value, unless [`crate::KeyFile`] made it, which keeps it in a
/// file of its owner's between the steps of a job.
pub struct Client {
    contract: Contract,
    context: Context,
    key: SecretKey,
    encoder: Encoder,
    encryptor: Encryptor,
    job: JobId,
}

impl Client {
    /// Makes the keys of a new job: the secret one, and the public ones that the server needs.
    ///
    /// # Errors
    /// [`EncryptedError::Seal`] when SEAL fails.
    pub fn generate(contract: &Contract) -> Result<(Self, EvaluationKeys)> {
        let context = Context::new(contract.parameter_set())?;
        let (key, relin) = SecretKey::generate(&context)?;
        let mut parts = wire::parse_keys(&context, &relin)?;
        if let Some(layout) = contract.layout() {
            let steps: Vec<i32> = layout.rotations().into_iter().map(|steps| steps as i32).collect();
            let galois = GaloisKeys::generate(&context, &key, &steps, true)?.save()?;
            parts.extend(wire::parse_galois(&context, &layout.galois_elements(), &galois)?);
        }
        let keys = EvaluationKeys::new(contract, parts);
        Ok((Self::assemble(contract, context, key, keys.job())?, keys))
    }

    /// A client with the key of a job that was begun before: residues `[prime][i]` modulo all data primes
    /// and the special prime, each below its prime.
    pub(crate) fn restore(contract: &Contract, job: JobId, residues: &[u64]) -> Result<Self> {
        let context = Context::new(contract.parameter_set())?;
        let key = SecretKey::load(&context, &wire::secret_bytes(&context, residues))?;
        Self::assemble(contract, context, key, job)
    }

    fn assemble(contract: &Contract, context: Context, key: SecretKey, job: JobId) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(&context)?,
            encryptor: Encryptor::new(&context, &key)?,
            contract: contract.clone(),
            context,
            key,
            job,
        })
    }

    /// The secret key, as [`Client::restore`] takes it.
    pub(crate) fn secret(&self) -> Result<Zeroizing<Vec<u64>>> {
        wire::parse_secret(&self.context, &self.key.save()?)
    }

    /// The job that the key serves.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The plan's contract.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Encrypts the only block of a job, see [`Client::encrypt_block`].
    pub fn encrypt(&self, rows: ArrayView2<f64>) -> Result<Query> {
        self.encrypt_block(rows, Place::ONLY)
    }

    /// Encrypts one block, `[rows, input_width]` with `1 ..= block_rows` rows: number `i` of record `j`
    /// goes to slot `j` of ciphertext `i`, or to several slots of ciphertext `j` in record-major packing. Unused slots hold
    /// zeros.
    ///
    /// # Errors
    /// [`EncryptedError::Input`] when the shape does not fit, or a number is not finite or beyond the input
    /// bound. Nothing is clamped here: the scaler that standardizes the records clamps them.
    pub fn encrypt_block(&self, rows: ArrayView2<f64>, place: Place) -> Result<Query> {
        self.check(rows)?;
        let contract = &self.contract;
        let (count, slots): (_, &(dyn Fn(usize) -> Vec<f64> + Sync)) = match contract.layout() {
            None => (rows.ncols(), &|feature| rows.column(feature).to_vec()),
            Some(layout) => (rows.nrows(), &|record| layout.place(&rows.row(record).to_vec())),
        };
        let ciphertexts = (0..count)
            .into_par_iter()
            .map(|i| {
                let (level, scale) = (contract.input_level(), contract.input_scale());
                let plain = self.encoder.encode(&self.context, &slots(i), level, scale)?;
                let bytes = self.encryptor.encrypt_seeded(&plain)?;
                let (c0, seed) = wire::parse_seeded(&self.context, Level::Data(level), &bytes)?;
                Ok((c0.into_iter().map(|residue| residue as u32).collect(), seed))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Query::new(contract, self.job, place, rows.nrows(), ciphertexts))
    }

    fn check(&self, rows: ArrayView2<f64>) -> Result<()> {
        let contract = &self.contract;
        if rows.ncols() != contract.input_width() {
            return Err(EncryptedError::input(
                format!(
                    "the records have {} numbers, the plan takes {}",
                    rows.ncols(),
                    contract.input_width()
                ),
                "use embeddings from the encoder the model was trained on",
            ));
        }
        if rows.nrows() == 0 || rows.nrows() > contract.block_rows() {
            return Err(EncryptedError::input(
                format!("{} records do not make a block of 1 to {}", rows.nrows(), contract.block_rows()),
                "split the records into blocks",
            ));
        }
        let bound = contract.input_bound().max_abs();
        // The negation also catches NaN. The message names the place, never the value.
        if let Some(((row, column), _)) = rows.indexed_iter().find(|(_, x)| x.is_nan() || x.abs() > bound) {
            return Err(EncryptedError::input(
                format!("number {column} of record {row} is not within the plan's input bound +-{bound}"),
                "scale the records with the model's scaler, which clamps to the bound",
            ));
        }
        Ok(())
    }

    /// Decrypts the features of the records of one request, `[rows, output_width]`.
    ///
    /// What comes out must stay with the data owner: CKKS is not secure once decryptions go back to
    /// the party that computed the ciphertexts (Li and Micciancio, "On the Security of Homomorphic Encryption
    /// on Approximate Numbers", Eurocrypt 2021).
    ///
    /// # Errors
    /// [`EncryptedError::Message`] when the response is for another plan, another job or another request.
    pub fn decrypt(&self, response: &Response, request: &Request) -> Result<Array2<f64>> {
        let facts = [
            (response.fits(&self.contract), "it belongs to another plan"),
            (response.job() == self.job, "it was made with the keys of another job"),
            (response.request() == *request, "it answers another query"),
        ];
        if let Some((_, fact)) = facts.into_iter().find(|(fits, _)| !fits) {
            return Err(EncryptedError::Message {
                kind: "response",
                fact: fact.into(),
                remedy: "give the response to this job's own query".into(),
            });
        }
        let rows = request.rows;
        let contract = &self.contract;
        let level = Level::Data(contract.output_level());
        let slots = response
            .ciphertexts
            .par_iter()
            .map_init(
                || Decryptor::new(&self.context, &self.key),
                |decryptor, residues| {
                    let decryptor = decryptor.as_mut().map_err(|error| EncryptedError::Seal {
                        operation: "Decryptor_Create",
                        code: error.to_string(),
                    })?;
                    let bytes = wire::full_bytes(&self.context, level, contract.output_scale(), residues);
                    let ciphertext = Ciphertext::load(&self.context, &bytes)?;
                    self.encoder.decode(&decryptor.decrypt(&ciphertext)?)
                },
            )
            .collect::<Result<Vec<_>>>()?;
        Ok(Array2::from_shape_fn((rows, contract.output_width()), |(row, feature)| match contract.layout() {
            None => slots[feature][row],
            Some(layout) => slots[row][layout.feature_slot(feature)],
        }))
    }
}

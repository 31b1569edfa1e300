//! `extract`: server features of embeddings, computed under encryption, both sides in this process.

use std::fmt;
use std::path::Path;

use cryptotl_encrypted::{
    Choice, Contract, EvaluationPlan, InputBound, Kernels, Packing, ParameterSet, Stage, choose,
    extract_in_process,
};
use cryptotl_model::format::beside;
use cryptotl_model::{BlockCoupling, Digest, Extraction, LowerModel, Network, PublicModel, Records};
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use crate::cli::{ExtractArgs, PackingChoice, ParameterArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::progress::Bar;

/// The largest difference between a decrypted feature and its reference that is accepted.
const MAX_ERROR: f64 = 5e-4;

#[derive(Serialize)]
pub(super) struct Extracted {
    rows: usize,
    seconds: f64,
    ms_per_record: f64,
    bytes_up: u64,
    bytes_down: u64,
    key_bytes: u64,
    max_error: f64,
    rms_error: f64,
    packing: Packing,
    parameter_set: ParameterSet,
}

impl fmt::Display for Extracted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        writeln!(
            f,
            "extracted features of {} records in {:.2} s, {:.2} ms a record",
            self.rows, self.seconds, self.ms_per_record
        )?;
        writeln!(f, "parameters {}, {} packing", self.parameter_set, self.packing)?;
        writeln!(
            f,
            "traffic    {:.1} MB up, {:.1} MB down, {:.1} MB of keys",
            mb(self.bytes_up),
            mb(self.bytes_down),
            mb(self.key_bytes)
        )?;
        write!(
            f,
            "error      {:.1e} at most, {:.1e} rms, against the network in the clear",
            self.max_error, self.rms_error
        )
    }
}

/// Runs the verb.
pub fn run(args: ExtractArgs, output: &Output) -> Result<()> {
    let to = output.file_over(&args.output, Records::FILE, &args.input)?;
    let model = Model::read(&args.model, args.public.as_deref())?;
    let records = Records::read(&args.input)?;
    let (records, extracted) = model.extract(
        records,
        &args.input.display().to_string(),
        &args.parameters,
        args.packing,
        args.kernels,
    )?;
    records.write(&to)?;
    output.result(&extracted)
}

/// Both halves of a model: what a process that plays both parties holds.
pub(super) struct Model {
    lower: LowerModel,
    public: PublicModel,
    public_digest: Digest,
    path: String,
}

impl Model {
    /// Reads the secret half and the public half; by default the latter lies beside the former.
    pub(super) fn read(secret: &Path, public: Option<&Path>) -> Result<Self> {
        let (lower, lower_digest) = LowerModel::read(secret)?;
        let public_path = public.map_or_else(|| beside(secret, ".public.safetensors"), Path::to_path_buf);
        let (public, public_digest) = PublicModel::read(&public_path)?;
        if public.lower != lower_digest {
            return Err(Failure::failed(
                format!(
                    "{} is the public half of a foreign model: it belongs to {}, and {} is {}",
                    public_path.display(),
                    public.lower.short(),
                    secret.display(),
                    lower_digest.short()
                ),
                "give the two files of one `cryptotl pretrain`, with --model and --public",
            ));
        }
        let path = secret.display().to_string();
        Ok(Self { lower, public, public_digest, path })
    }

    /// The public half, by which heads name their model.
    pub(super) fn public_digest(&self) -> Digest {
        self.public_digest
    }

    /// Gives the records their server features; `input` names them in messages.
    pub(super) fn extract(
        &self,
        mut records: Records,
        input: &str,
        parameters: &ParameterArgs,
        packing: PackingChoice,
        kernels: Kernels,
    ) -> Result<(Records, Extracted)> {
        let numbers = records.embeddings.ncols() + self.public.feature_width;
        Records::check_size(records.len(), numbers)?;
        let scaled = self.scaled(input, &records)?;
        let plan = match packing.candidates() {
            [packing] => self.compile(parameters, *packing)?,
            packings => self.choose(parameters, packings, records.len(), None)?.plan,
        };
        let bar = Bar::new("encrypting");
        let done = extract_in_process(&plan, kernels, scaled.view(), &|p| {
            bar.show_step(step_name(p.stage), p.done, p.total);
        })?;
        drop(bar);

        let (max_error, rms_error) =
            errors(&done.features, self.lower.network.forward(scaled.view())?.view());
        if max_error > MAX_ERROR {
            return Err(Failure::new(
                Code::Cryptography,
                format!(
                    "a decrypted feature is {max_error:.1e} off the network in the clear, and \
                     {MAX_ERROR:.0e} is the most that is accepted; nothing was written; use \
                     --parameter-set {}, or a model with a smaller input bound",
                    ParameterSet::N8192Q28x6P34
                ),
            ));
        }
        let contract = plan.contract();
        records.features = Some(done.features.mapv(|x| x as f32));
        records.header.extraction = Some(extraction(
            contract,
            self.public_digest,
            Some(plan.block_coupling()),
            Extraction::IN_PROCESS,
        ));
        if let Some(extraction) = &mut records.header.extraction {
            extraction.packing_by_count = packing.candidates().len() > 1;
        }
        let extracted = Extracted {
            rows: records.len(),
            seconds: done.seconds,
            ms_per_record: done.seconds * 1e3 / records.len() as f64,
            bytes_up: done.bytes_up,
            bytes_down: done.bytes_down,
            key_bytes: done.key_bytes,
            max_error,
            rms_error,
            packing: contract.packing(),
            parameter_set: contract.parameter_set(),
        };
        Ok((records, extracted))
    }

    /// Compiles the lower network for encrypted evaluation. Fails for parameters without the security that was asked for.
    pub(super) fn compile(&self, parameters: &ParameterArgs, packing: Packing) -> Result<EvaluationPlan> {
        let bound = InputBound::new(self.public.scaler.bound())?;
        parameters.parameter_set.require(parameters.security)?;
        Ok(EvaluationPlan::compile(&self.lower.network, parameters.parameter_set, packing, bound)?)
    }

    /// Compiles it for each of the packings and keeps the one that takes less time for `rows` records.
    pub(super) fn choose(
        &self,
        parameters: &ParameterArgs,
        packings: &[Packing],
        rows: usize,
        link_mbps: Option<f64>,
    ) -> Result<Choice> {
        let bound = InputBound::new(self.public.scaler.bound())?;
        parameters.parameter_set.require(parameters.security)?;
        Ok(choose(&self.lower.network, parameters.parameter_set, bound, packings, rows, link_mbps)?)
    }

    /// What is encrypted of the records, `[records, input width]`. Fails unless the two halves and the
    /// records belong together; `input` names the records in messages.
    pub(super) fn scaled(&self, input: &str, records: &Records) -> Result<Array2<f64>> {
        let (lower, public) = (&self.lower, &self.public);
        if lower.encoder.digest != public.encoder.digest
            || lower.network.input_width() != public.scaler.width()
            || lower.network.output_width() != public.feature_width
            || lower.input_bound != public.scaler.bound()
        {
            return Err(Failure::failed(
                format!("the two halves of {} differ in encoder, width or input bound", self.path),
                "export them again with `cryptotl pretrain`",
            ));
        }
        scaled(input, records, public)
    }

    /// The reference for every encrypted evaluation.
    pub(super) fn network(&self) -> &Network {
        &self.lower.network
    }
}

/// What is encrypted of records, `[records, input width]`. Fails unless they are embeddings of the model's
/// encoder.
pub(super) fn scaled(input: &str, records: &Records, public: &PublicModel) -> Result<Array2<f64>> {
    if records.is_empty() {
        return Err(Failure::failed(format!("{input} has no records"), "embed at least one text"));
    }
    let (found, expected) = (&records.header.encoder, &public.encoder);
    if found.digest != expected.digest {
        return Err(Failure::failed(
            format!(
                "{input} was made with the encoder {} ({}), and the model takes that of {} ({})",
                found.name,
                found.digest.short(),
                expected.name,
                expected.digest.short()
            ),
            "run `cryptotl embed` with the model's encoder",
        ));
    }
    let (width, expected) = (records.embeddings.ncols(), public.scaler.width());
    if width != expected {
        return Err(Failure::failed(
            format!("{input} has embeddings of {width} numbers, the model takes {expected}"),
            "run `cryptotl embed` with the model's encoder",
        ));
    }
    records.check_finite(input)?;
    Ok(public.scaler.apply(records.embeddings.view())?)
}

/// How features were made, for the records file that holds them.
pub(super) fn extraction(
    contract: &Contract,
    public_model: Digest,
    coupling: Option<BlockCoupling>,
    evaluator: &str,
) -> Extraction {
    Extraction {
        public_model,
        plan: contract.digest(),
        parameter_set: contract.parameter_set().to_string(),
        security_basis: security_words(contract.parameter_set()),
        packing: contract.packing().to_string(),
        evaluator: evaluator.to_owned(),
        coupling,
        packing_by_count: false,
    }
}

/// The largest and the root mean square difference; infinite when a feature is no number.
fn errors(features: &Array2<f64>, reference: ArrayView2<f64>) -> (f64, f64) {
    if !features.iter().chain(&reference).all(|x| x.is_finite()) {
        return (f64::INFINITY, f64::INFINITY);
    }
    let differences = features - &reference;
    let max = differences.iter().fold(0.0, |max: f64, d| max.max(d.abs()));
    (max, differences.mapv(|d| d * d).mean().unwrap_or(0.0).sqrt())
}

fn security_words(set: ParameterSet) -> String {
    let words = set.security().into_iter().map(|basis| {
        format!(
            "{} bits ({}; {} of {} modulus bits)",
            basis.bits, basis.standard, basis.modulus_bits, basis.limit_bits
        )
    });
    words.collect::<Vec<_>>().join(", ")
}

pub(super) fn step_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Encrypt => "encrypting",
        Stage::Expand => "expanding",
        Stage::FirstLayer => "first layer",
        Stage::Activation => "activation",
        Stage::SecondLayer => "second layer",
        Stage::Records => "evaluating",
        Stage::Decrypt => "decrypting",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn errors_are_measured_and_a_nan_is_the_largest() {
        let reference = array![[1.0, 2.0], [3.0, 4.0]];
        let (max, rms) = errors(&array![[1.0, 2.0], [3.0, 2.0]], reference.view());
        assert_eq!((max, rms), (2.0, 1.0));
        assert_eq!(errors(&array![[1.0, f64::NAN], [3.0, 2.0]], reference.view()).0, f64::INFINITY);
    }
}

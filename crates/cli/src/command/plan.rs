//! `plan`: compiles the model for encrypted evaluation, and writes what the data owner needs of it.

use std::fmt;

use cryptotl_encrypted::{Certificate, EvaluationPlan, PlanFile};
use cryptotl_model::format::check_writable;
use cryptotl_model::{Digest, Records};
use ndarray::Axis;
use serde::Serialize;

use super::extract::{Model, step_name};
use crate::cli::PlanArgs;
use crate::exit::Result;
use crate::output::Output;
use crate::progress::Bar;

/// The most public records that a certificate is measured on. With the corners they fill a block.
const MAX_CERTIFIED: usize = 4000;

#[derive(Serialize)]
struct Planned {
    plan: Digest,
    #[serde(skip)]
    words: String,
    predicted_rms_error: f64,
    #[serde(flatten)]
    certified: Option<Certified>,
}

/// What the certificate tells, flat.
#[derive(Serialize)]
struct Certified {
    records: usize,
    max_error: f64,
    rms_error: f64,
    precision_bits: f64,
    headroom_bits: f64,
    tolerance: f64,
    output: String,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words.trim_end())?;
        let Some(certified) = &self.certified else { return Ok(()) };
        write!(
            f,
            "\ncertificate   {} public records: error {:.1e} at most, {:.1e} rms ({:.1} bits); headroom {:.1} bits\n\
             plan file     {}",
            certified.records,
            certified.max_error,
            certified.rms_error,
            certified.precision_bits,
            certified.headroom_bits,
            certified.output
        )
    }
}

/// Runs the verb.
pub fn run(args: PlanArgs, output: &Output) -> Result<()> {
    if let Some(path) = &args.output {
        check_writable(path)?;
    }
    let model = Model::read(&args.model, args.public.as_deref())?;
    let plan = model.compile(args.parameter_set)?;
    let certified = match (&args.source, &args.output) {
        (Some(source), Some(path)) => {
            let certificate = certify(&model, &plan, source)?;
            let contract = plan.contract().clone();
            let certified = Certified {
                records: certificate.records,
                max_error: certificate.max_error,
                rms_error: certificate.rms_error,
                precision_bits: certificate.precision_bits(),
                headroom_bits: certificate.headroom_bits(&contract),
                tolerance: certificate.tolerance(),
                output: path.display().to_string(),
            };
            PlanFile { public_model: model.public_digest(), contract, certificate }.write(path)?;
            Some(certified)
        }
        _ => None,
    };
    let predicted_rms_error = plan.predicted_error();
    output.result(&Planned { plan: plan.digest(), words: plan.to_string(), predicted_rms_error, certified })
}

/// Measures the plan on public records, spread over the whole file.
fn certify(model: &Model, plan: &EvaluationPlan, source: &std::path::Path) -> Result<Certificate> {
    let (records, digest) = Records::read_with_digest(source)?;
    let scaled = model.scaled(&source.display().to_string(), &records)?;
    let step = records.len().div_ceil(MAX_CERTIFIED);
    let rows: Vec<usize> = (0..records.len()).step_by(step).collect();
    let bar = Bar::new("encrypting");
    let certificate =
        Certificate::measure(plan, model.network(), scaled.select(Axis(0), &rows).view(), digest, &|p| {
            bar.show_step(step_name(p.stage), p.done, p.total);
        })?;
    Ok(certificate)
}

//! The encryption half of `plan`: what a job costs and which packing serves it, and the plan file that the data owner needs.

use std::fmt;
use std::path::Path;

use cryptotl_encrypted::{Certificate, Choice, Estimate, EvaluationPlan, Packing, PlanFile};
use cryptotl_model::{Digest, Records};
use ndarray::Axis;
use serde::Serialize;

use super::super::extract::{Model, step_name};
use crate::cli::PlanArgs;
use crate::exit::Result;
use crate::output::Output;
use crate::progress::Bar;

/// The most public records that a certificate is measured on, by packing: about what takes a few seconds.
fn max_certified(packing: Packing) -> usize {
    match packing {
        Packing::RecordMajor => 100,
        _ => 4000,
    }
}

#[derive(Serialize)]
pub(super) struct Planned {
    plan: Digest,
    #[serde(skip)]
    words: String,
    rows: u32,
    reason: String,
    /// What was chosen comes first.
    estimates: Vec<Estimate>,
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
        write!(f, "{}\nchosen        {}", self.words.trim_end(), self.reason)?;
        for e in &self.estimates {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            write!(
                f,
                "\nestimate      {}: {:.2} s for {} records and {:.2} s of transfer; {:.1} MB up, {:.1} MB down, \
                 {:.1} MB of keys; {:.0} MB of memory",
                e.packing,
                e.seconds,
                self.rows,
                e.transfer_seconds,
                mb(e.bytes_up),
                mb(e.bytes_down),
                mb(e.key_bytes),
                mb(e.peak_bytes)
            )?;
        }
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

/// Compiles the model, estimates the job, and writes the plan file where one is asked for.
pub(super) fn plan(args: &PlanArgs, model: &Path, output: &Output) -> Result<Planned> {
    let to = args.output.as_ref().map(|path| output.file(path, PlanFile::FILE)).transpose()?;
    let model = Model::read(model, args.public.as_deref())?;
    let Choice { plan, estimates, reason } =
        model.choose(&args.parameters, args.packing.candidates(), args.rows as usize, args.link_mbps)?;
    let certified = match (&args.source, &to) {
        (Some(source), Some(to)) => {
            let certificate = certify(&model, &plan, source)?;
            let contract = plan.contract().clone();
            let certified = Certified {
                records: certificate.records,
                max_error: certificate.max_error,
                rms_error: certificate.rms_error,
                precision_bits: certificate.precision_bits(),
                headroom_bits: certificate.headroom_bits(&contract),
                tolerance: certificate.tolerance(),
                output: to.path().display().to_string(),
            };
            let coupling = Some(plan.block_coupling());
            PlanFile { public_model: model.public_digest(), contract, certificate, coupling }.write(to)?;
            Some(certified)
        }
        _ => None,
    };
    Ok(Planned {
        plan: plan.digest(),
        words: plan.to_string(),
        rows: args.rows,
        reason,
        estimates,
        predicted_rms_error: plan.predicted_error(),
        certified,
    })
}

/// Measures the plan on public records, spread over the whole file.
fn certify(model: &Model, plan: &EvaluationPlan, source: &Path) -> Result<Certificate> {
    let (records, digest) = Records::read_with_digest(source)?;
    let scaled = model.scaled(&source.display().to_string(), &records)?;
    let step = records.len().div_ceil(max_certified(plan.contract().packing()));
    let rows: Vec<usize> = (0..records.len()).step_by(step).collect();
    let bar = Bar::new("encrypting");
    let certificate =
        Certificate::measure(plan, model.network(), scaled.select(Axis(0), &rows).view(), digest, &|p| {
            bar.show_step(step_name(p.stage), p.done, p.total);
        })?;
    Ok(certificate)
}

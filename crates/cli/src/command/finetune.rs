//! `finetune`: a private head under the budget. The charge is on disk before a label is read.

use std::fmt;

use cryptotl_model::format::check_writable;
use cryptotl_model::{HeadInputs, PublicModel, Records, RecordsOutline};
use cryptotl_privacy::accountant::gdp::Mu;
use cryptotl_privacy::{Delta, Epsilon, Guarantee, Ledger, Rho, Status, Witness, largest_rho};
use cryptotl_trainer::{Head, HeadSettings};
use serde::Serialize;

use super::ledger::read_policy;
use crate::cli::FinetuneArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

#[derive(Serialize)]
struct Released {
    head: String,
    digest: String,
    inputs: HeadInputs,
    guarantee: Guarantee,
    sentence: String,
    witness: Witness,
    rho_remaining: Rho,
    epsilon_affordable: Option<Epsilon>,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "released {} ({})", self.head, self.inputs.name())?;
        writeln!(f, "{}", self.sentence)?;
        writeln!(f, "charged as entry {} of the ledger, {}", self.witness.seq, self.witness.hash)?;
        match self.epsilon_affordable {
            Some(epsilon) => {
                write!(f, "left: rho {}, at most epsilon {epsilon} in one release", self.rho_remaining)
            }
            None => write!(f, "left: nothing that buys another release"),
        }
    }
}

/// Runs the verb.
pub fn run(args: FinetuneArgs, output: &Output) -> Result<()> {
    check_writable(&args.output)?;
    let (public, public_digest) = PublicModel::read(&args.model)?;
    // A file that plainly does not fit is refused before it costs anything. Its header holds no record; a
    // pipe has none to look at.
    if args.features.is_file() {
        check_outline(&args, &public, &RecordsOutline::read(&args.features)?)?;
    } else if !args.features.exists() {
        return Err(Failure::failed(
            format!("there is no file {}", args.features.display()),
            "give the records file that `cryptotl extract` wrote",
        ));
    }
    let mut ledger = Ledger::open(&args.ledger)?;
    let status = ledger.status()?;
    check_policy(&args, &status)?;
    let epsilon = Epsilon::new(args.epsilon)?;
    let delta = args.delta.map_or(Ok(status.delta), Delta::new)?;
    let mu = Mu::from_rho(largest_rho(epsilon, delta)?);
    let settings = HeadSettings::auto(&public, args.inputs, mu.get(), status.public_size)?;
    let plan = settings.plan(&public, epsilon, delta, status.policy.unit(), status.policy.adjacency())?;

    let charged = ledger.charge(plan)?;
    // From here on the loss is spent, whatever happens; private data may be read.
    let mut mechanism = charged.into_mechanism()?;
    let records = Records::read(&args.features)?;
    let weights = settings.fit(&public, &records, &mut mechanism)?;
    let receipt = mechanism.finish();
    let head = Head::new(
        &public,
        public_digest,
        &settings,
        receipt.plan(),
        &status.population,
        *receipt.witness(),
        records.header.extraction.clone(),
        weights,
    );
    let digest = head.write(&args.output)?;
    ledger.record_release(receipt, &digest.to_string())?;
    let status = ledger.status()?;
    output.result(&Released {
        head: args.output.display().to_string(),
        digest: digest.to_string(),
        inputs: settings.inputs,
        sentence: head.header.guarantee.formal_sentence(),
        guarantee: head.header.guarantee,
        witness: head.header.witness,
        rho_remaining: status.rho_remaining,
        epsilon_affordable: status.epsilon_affordable,
    })
}

/// Fails when the ledger was created with another policy than the one named.
fn check_policy(args: &FinetuneArgs, status: &Status) -> Result<()> {
    let Some(path) = &args.policy else { return Ok(()) };
    if read_policy(path)? == status.policy {
        return Ok(());
    }
    Err(Failure::new(
        Code::RefusedByBudget,
        format!(
            "{} was created with the policy `{}` as it then was, not with {}; leave --policy out to accept it",
            args.ledger.display(),
            status.policy.name(),
            path.display()
        ),
    ))
}

fn check_outline(args: &FinetuneArgs, public: &PublicModel, outline: &RecordsOutline) -> Result<()> {
    let features = args.features.display();
    let header = &outline.header;
    if header.encoder.digest != public.encoder.digest {
        return Err(Failure::failed(
            format!(
                "{features} was made with the encoder {}, the model takes embeddings of another ({})",
                header.encoder.name, public.encoder.name
            ),
            "run `cryptotl embed` with the model's encoder",
        ));
    }
    if outline.embedding_width != public.scaler.width() {
        return Err(Failure::failed(
            format!(
                "{features} has embeddings of {} numbers, the model takes {}",
                outline.embedding_width,
                public.scaler.width()
            ),
            "run `cryptotl embed` with the model's encoder",
        ));
    }
    if !outline.has_labels || header.label_names != public.label_names {
        return Err(Failure::failed(
            format!("{features} does not declare the model's labels, {}", public.label_names.join(",")),
            "embed the texts with --label-column and this --labels list",
        ));
    }
    if args.inputs.needs_features() && outline.feature_width != Some(public.feature_width) {
        return Err(Failure::failed(
            format!("{features} does not have the model's {} server features", public.feature_width),
            "run `cryptotl extract` with this model first, or use --inputs embedding",
        ));
    }
    Ok(())
}

//! `finetune`: a private head under the budget. The charge is on disk before a label is read.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use cryptotl_model::format::{check_writable, write_atomically};
use cryptotl_model::{Digest, HeadInputs, PublicModel, Records, RecordsOutline};
use cryptotl_privacy::accountant::gdp::Mu;
use cryptotl_privacy::{
    ChargeError, Delta, Description, Epsilon, Guarantee, Ledger, PrivacyUnit, Rho, Status, StoredRelease,
    Witness, largest_rho_by,
};
use cryptotl_trainer::head::{ChargedMechanism, Signal, Space, Task, Terms};
use cryptotl_trainer::pretrain::private::SourcePrivacy;
use cryptotl_trainer::{Head, HeadSettings, Method};
use serde::Serialize;

use super::ledger::read_policy;
use crate::card;
use crate::cli::FinetuneArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::report::GROUP_SIZES;

/// What the guarantee is worth to units that change together.
#[derive(Serialize)]
struct Group {
    size: u32,
    epsilon: Epsilon,
}

#[derive(Serialize)]
struct Released {
    head: String,
    card: String,
    digest: String,
    inputs: HeadInputs,
    method: Method,
    /// Whether this is the head of an earlier run of the same plan, at no charge.
    replayed: bool,
    guarantee: Guarantee,
    sentence: String,
    groups: Vec<Group>,
    witness: Witness,
    rho_remaining: Rho,
    epsilon_affordable: Option<Epsilon>,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, inputs) = (self.method.name(), self.inputs.name());
        writeln!(f, "released {} ({method}, {inputs}), with its model card {}", self.head, self.card)?;
        if self.replayed {
            writeln!(
                f,
                "this plan was run before: it is the same head, and nothing was charged; for a new one from \
                 other records, name the run with --run"
            )?;
        }
        writeln!(f, "{}", self.sentence)?;
        if let [first, ..] = &self.groups[..] {
            write!(f, "groups of {} {}s: epsilon {}", first.size, self.guarantee.unit.noun(), first.epsilon)?;
            for Group { size, epsilon } in &self.groups[1..] {
                write!(f, ", of {size}: {epsilon}")?;
            }
            writeln!(f)?;
        }
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
    card::check_place(&args.output)?;
    let (public, public_digest) = PublicModel::read(&args.model)?;
    let mut ledger = Ledger::open(&args.ledger)?;
    let status = ledger.status()?;
    check_policy(args.policy.as_deref(), &args.ledger, &status)?;
    // A file that plainly does not fit is refused before it costs anything. Its header holds no record; a
    // pipe has none to look at.
    if args.features.is_file() {
        check_outline(
            &args,
            (&public, public_digest),
            status.policy.unit(),
            &RecordsOutline::read(&args.features)?,
        )?;
    } else if !args.features.exists() {
        return Err(Failure::failed(
            format!("there is no file {}", args.features.display()),
            "give the records file that `cryptotl extract` wrote",
        ));
    }
    let epsilon = Epsilon::new(args.epsilon)?;
    let delta = args.delta.map_or(Ok(status.delta), Delta::new)?;
    let accountant = status.policy.accountant();
    let mu = Mu::from_rho(largest_rho_by(accountant, epsilon, delta)?);
    let signal = Signal::new(mu.get(), status.public_size)?;
    let auto = HeadSettings::auto(&public, args.inputs, args.method.method(), signal)?;
    let settings = HeadSettings { slack: args.slack, ..auto };
    let (unit, adjacency) = (status.policy.unit(), status.policy.adjacency());
    let terms = Terms { epsilon, delta, accountant, order: status.sampling_order, unit, adjacency };
    let mut about = Description::from([("public-model".to_owned(), public_digest.to_string())]);
    about.extend(args.run.clone().map(|name| ("run".to_owned(), name)));
    let plan = settings.plan(&public, &terms, about)?;
    let space = Space::new(&public, &settings)?;

    let charged = match ledger.charge(plan) {
        Err(ChargeError::Finished(earlier)) => {
            publish_again(&args.output, &earlier)?;
            return report(&args, &public, &ledger, true, output);
        }
        other => other?,
    };
    // From here on the loss is spent, whatever happens; private data may be read.
    let mut mechanism = ChargedMechanism::open(charged)?;
    let records = Records::read(&args.features)?;
    // What was read may be a pipe's, or no longer the file that was looked at. The outline holds no record.
    check_outline(&args, (&public, public_digest), unit, &records.outline())?;
    let weights = settings.fit(&Task::new(&space, &records, &mechanism)?, &mut mechanism)?;
    let receipt = mechanism.finish();
    let head = Head::new(
        &public,
        public_digest,
        &settings,
        space,
        receipt.plan(),
        &status.population,
        *receipt.witness(),
        records.header.extraction.clone(),
        weights,
    );
    // Recorded before it is published: if this process is killed in between, repeating the run is free.
    let bytes = head.to_bytes()?;
    ledger.record_release(receipt, &bytes)?;
    write_atomically(&args.output, &bytes)?;
    report(&args, &public, &ledger, false, output)
}

/// Puts the head of an earlier run of the same plan where this run's would be.
fn publish_again(path: &Path, earlier: &StoredRelease) -> Result<()> {
    if let Some(bytes) = &earlier.artifact {
        return Ok(write_atomically(path, bytes)?);
    }
    let is_there = std::fs::read(path).is_ok_and(|bytes| Digest::of(&bytes).to_string() == earlier.digest);
    if is_there {
        return Ok(());
    }
    Err(Failure::failed(
        format!(
            "this run was finished at {} and released the head {}, of which the ledger keeps no copy, and {} is not it",
            earlier.recorded_at,
            earlier.digest,
            path.display()
        ),
        "use that file, or name the run with --run to pay for a new one",
    ))
}

/// Says what was released, from the released file itself, here and in its model card.
fn report(
    args: &FinetuneArgs,
    public: &PublicModel,
    ledger: &Ledger,
    replayed: bool,
    output: &Output,
) -> Result<()> {
    let (head, digest) = Head::read(&args.output)?;
    let card = card::write(&args.output, (&head, digest), SourcePrivacy::of(public)?.as_ref())?;
    let status = ledger.status()?;
    output.result(&Released {
        head: args.output.display().to_string(),
        card: card.display().to_string(),
        digest: digest.to_string(),
        inputs: head.inputs(),
        method: head.header.method,
        replayed,
        sentence: head.header.guarantee.formal_sentence(),
        groups: groups(&head.header.guarantee),
        guarantee: head.header.guarantee,
        witness: head.header.witness,
        rho_remaining: status.rho_remaining,
        epsilon_affordable: status.epsilon_affordable,
    })
}

/// What the guarantee says to groups, as far as there is a figure.
fn groups(guarantee: &Guarantee) -> Vec<Group> {
    let epsilon = |size: u32| NonZeroU32::new(size).and_then(|size| guarantee.group_epsilon(size).ok());
    GROUP_SIZES.iter().filter_map(|&size| Some(Group { size, epsilon: epsilon(size)? })).collect()
}

/// Fails when another policy than the one named is in force.
pub(super) fn check_policy(policy: Option<&Path>, ledger: &Path, status: &Status) -> Result<()> {
    let Some(path) = policy else { return Ok(()) };
    if read_policy(path)? == status.policy {
        return Ok(());
    }
    Err(Failure::new(
        Code::RefusedByBudget,
        format!(
            "{} has the policy `{}` in force, which is not that of {}; leave --policy out to accept it",
            ledger.display(),
            status.policy.name(),
            path.display()
        ),
    ))
}

fn check_outline(
    args: &FinetuneArgs,
    (public, public_digest): (&PublicModel, Digest),
    unit: PrivacyUnit,
    outline: &RecordsOutline,
) -> Result<()> {
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
    if unit != PrivacyUnit::Record && !outline.has_persons {
        return Err(Failure::failed(
            format!("{features} does not say whose records they are, and the ledger protects a {unit}"),
            "embed the texts with --unit-column",
        ));
    }
    if args.inputs.needs_features() && outline.feature_width != Some(public.feature_width) {
        return Err(Failure::failed(
            format!("{features} does not have the model's {} server features", public.feature_width),
            "run `cryptotl extract` with this model first, or use --inputs embedding",
        ));
    }
    let foreign = header.extraction.as_ref().filter(|e| e.public_model != public_digest);
    if let Some(extraction) = foreign.filter(|_| args.inputs.needs_features()) {
        return Err(Failure::failed(
            format!(
                "{features} has server features of another model ({}) than {} ({})",
                extraction.public_model.short(),
                args.model.display(),
                public_digest.short()
            ),
            "run `cryptotl extract` with this model, or give the model that made them",
        ));
    }
    Ok(())
}

//! `finetune`: a private head under the budget. The charge is on disk before a label is read.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use cryptotl_model::format::write_atomically;
use cryptotl_model::{Destination, Digest, HeadInputs, PublicModel, Records, RecordsOutline, input_file};
use cryptotl_privacy::accountant::gdp::Mu;
use cryptotl_privacy::{
    ChargeError, ChargedPlan, Delta, Description, Epsilon, Guarantee, Ledger, PrivacyUnit, ReleasePlan,
    Status, StoredRelease, Witness, largest_rho_by,
};
use cryptotl_trainer::head::{ChargedMechanism, Signal, Space, Task, Terms};
use cryptotl_trainer::pretrain::private::SourcePrivacy;
use cryptotl_trainer::{Assumption, Head, HeadSettings, Method};
use serde::Serialize;

use super::ledger::{Left, check_replaced, read_policy, warn_unmarked};
use super::population;
use crate::card::{self, HeadPlaces};
use crate::cli::{FinetuneArgs, PaymentArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::Output;
use crate::report::GROUP_SIZES;
use crate::report::words::wrapped;

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
    /// The population that the records say they are of, which is the ledger's; null if they do not say.
    records_population: Option<String>,
    /// Whether this is the head of an earlier run of the same plan, at no charge.
    replayed: bool,
    guarantee: Guarantee,
    sentence: String,
    /// What the promise rests on beyond the proofs.
    assumptions: Vec<Assumption>,
    groups: Vec<Group>,
    witness: Witness,
    #[serde(flatten)]
    left: Left,
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
        writeln!(f, "{}", wrapped(&self.sentence))?;
        if let [first, ..] = &self.groups[..] {
            write!(f, "groups of {} {}s: epsilon {}", first.size, self.guarantee.unit.noun(), first.epsilon)?;
            for Group { size, epsilon } in &self.groups[1..] {
                write!(f, ", of {size}: {epsilon}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "charged as entry {} of the ledger, {}", self.witness.seq, self.witness.hash)?;
        write!(f, "{}", self.left)
    }
}

/// Runs the verb.
pub fn run(args: FinetuneArgs, output: &Output) -> Result<()> {
    let places = HeadPlaces::check(&args.output, output)?;
    let (public, public_digest) = PublicModel::read(&args.model)?;
    let PaymentArgs { ledger: path, epsilon, delta, policy, run } = &args.payment;
    let mut ledger = Ledger::open(path)?;
    let status = ledger.status()?;
    check_policy(policy.as_deref(), path, &status)?;
    // A file that plainly does not fit is refused before it costs anything. Its header holds no record.
    let features = Features { path: &args.features, model: &args.model, inputs: args.inputs };
    let unit = status.policy.unit();
    let mut of = None;
    let before = outline(&args.features)?;
    if let Some(outline) = &before {
        check_outline(&features, (&public, public_digest), unit, outline)?;
        of = population::check(&args.features, &outline.header, &status)?;
    }
    let terms = terms(&status, Epsilon::new(*epsilon)?, *delta)?;
    let mut about = Description::from([("public-model".to_owned(), public_digest.to_string())]);
    about.extend(run.clone().map(|name| ("run".to_owned(), name)));
    let plan = || -> Result<_> {
        let mu = Mu::from_rho(largest_rho_by(terms.accountant, terms.epsilon, terms.delta)?);
        let signal = Signal::new(mu.get(), status.public_size)?;
        let auto = HeadSettings::auto(&public, args.inputs, args.method.method(), signal)?;
        let settings = HeadSettings { slack: args.slack, ..auto };
        let plan = with_room(settings.plan(&public, &terms, about)?, &settings, &public);
        Ok((settings, plan))
    };
    let (settings, plan) = plan().map_err(or_limit(&status, &terms))?;

    check_replaced(&ledger, &status.population, &args.output)?;
    let charged = ledger.charge(plan);
    warn_unmarked(&ledger);
    let charged = match charged {
        Err(ChargeError::Finished(earlier)) => {
            publish_again(&places.head, &earlier)?;
            return report(&args, &places, &public, &ledger, (of, true), output);
        }
        other => other?,
    };
    // From here on the loss is spent, whatever happens; private data may be read.
    let records = Records::read(&args.features)?;
    // What was read may be a pipe's, or no longer the file that was looked at. The outline holds no record.
    check_outline(&features, (&public, public_digest), unit, &records.outline())?;
    let again = if before.is_some() { population::compare } else { population::check };
    let of = again(&args.features, &records.header, &status)?;
    let bytes = train(&mut ledger, charged, &settings, (&public, public_digest), &records)?;
    write_atomically(&places.head, &bytes)?;
    report(&args, &places, &public, &ledger, (of, false), output)
}

/// A plan whose charge reserves room for its head: some text, and a projection of at most these numbers.
pub(super) fn with_room(plan: ReleasePlan, settings: &HeadSettings, public: &PublicModel) -> ReleasePlan {
    const TEXT: usize = 64 << 10;
    let width = public.scaler.width() + public.feature_width;
    let rows = settings.rank + public.label_names.len() + 2;
    plan.with_artifact_bytes(TEXT + 16 * rows * width)
}

/// Trains what was paid for and records it in the ledger, before it is published anywhere: if this process is
/// killed in between, repeating the run is free.
pub(super) fn train(
    ledger: &mut Ledger,
    charged: ChargedPlan,
    settings: &HeadSettings,
    (public, public_digest): (&PublicModel, Digest),
    records: &Records,
) -> Result<Vec<u8>> {
    let population = ledger.status()?.population;
    let space = Space::new(public, settings)?;
    let mut mechanism = ChargedMechanism::open(charged)?;
    let weights = settings.fit(&Task::new(&space, records, &mechanism)?, &mut mechanism)?;
    let receipt = mechanism.finish();
    let extraction = records.header.extraction.clone();
    let head = Head::new(
        public,
        public_digest,
        settings,
        space,
        receipt.plan(),
        &population,
        *receipt.witness(),
        extraction,
        weights,
    );
    let bytes = head.to_bytes()?;
    ledger.record_release(receipt, &bytes)?;
    Ok(bytes)
}

/// The terms of a release under a ledger, for what it may cost.
pub(super) fn terms(status: &Status, epsilon: Epsilon, delta: Option<f64>) -> Result<Terms> {
    Ok(Terms {
        epsilon,
        delta: delta.map_or(Ok(status.delta), Delta::new)?,
        accountant: status.policy.accountant(),
        order: status.sampling_order,
        unit: status.policy.unit(),
        adjacency: status.policy.adjacency(),
    })
}

/// Why a release could not be planned: the policy's limit, if it is asked for more than that, and else what the planner said.
/// What could be planned is left to the ledger, which gives a finished run back whatever its terms are by now.
pub(super) fn or_limit<'a>(status: &'a Status, terms: &'a Terms) -> impl FnOnce(Failure) -> Failure + 'a {
    move |unplanned| match status.check_limits(terms.epsilon) {
        Err(refusal) if terms.delta == status.delta => ChargeError::Refused(refusal).into(),
        _ => unplanned,
    }
}

/// Puts the head of an earlier run of the same plan where this run's would be.
pub(super) fn publish_again(to: &Destination, earlier: &StoredRelease) -> Result<()> {
    if let Some(bytes) = &earlier.artifact {
        return Ok(write_atomically(to, bytes)?);
    }
    let path = to.path();
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
    places: &HeadPlaces,
    public: &PublicModel,
    ledger: &Ledger,
    (records_population, replayed): (Option<String>, bool),
    output: &Output,
) -> Result<()> {
    let (head, digest) = Head::read(&args.output)?;
    let card = card::write(places, (&head, digest), SourcePrivacy::of(public)?.as_ref())?;
    let status = ledger.status()?;
    output.result(&Released {
        head: args.output.display().to_string(),
        card: card.display().to_string(),
        digest: digest.to_string(),
        inputs: head.inputs(),
        method: head.header.method,
        records_population,
        replayed,
        sentence: head.sentence(),
        assumptions: head.assumptions(),
        groups: groups(&head.header.guarantee),
        guarantee: head.header.guarantee,
        witness: head.header.witness,
        left: Left::of(&status),
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

/// The header of a records file, before anything is paid for it; `None` for a pipe, which has none to look at.
pub(super) fn outline(path: &Path) -> Result<Option<RecordsOutline>> {
    if path.is_file() {
        return Ok(Some(RecordsOutline::read(path)?));
    }
    if input_file::is_open_pipe(path) {
        return Ok(None);
    }
    let fact = if path.exists() { "it is neither a file nor an open pipe:" } else { "there is no file" };
    Err(Failure::failed(
        format!("{fact} {}", path.display()),
        "give the records file that `cryptotl extract` wrote",
    ))
}

/// Fails when records do not declare the labels of a model or head, or do not say whose they are where that counts.
pub(super) fn check_declared(
    path: &Path,
    (owner, labels): (&str, &[String]),
    unit: PrivacyUnit,
    outline: &RecordsOutline,
) -> Result<()> {
    let path = path.display();
    if !outline.has_labels || outline.header.label_names != labels {
        return Err(Failure::failed(
            format!("{path} does not declare the {owner}'s labels, {}", labels.join(",")),
            "embed the texts with --label-column and this --labels list",
        ));
    }
    if unit != PrivacyUnit::Record && !outline.has_persons {
        return Err(Failure::failed(
            format!("{path} does not say whose records they are, and the ledger protects a {unit}"),
            "embed the texts with --unit-column",
        ));
    }
    Ok(())
}

/// Records that a head is to be trained on or chosen by.
pub(super) struct Features<'a> {
    /// The records file.
    pub path: &'a Path,
    /// The public half of the model.
    pub model: &'a Path,
    /// What will be read of a record.
    pub inputs: HeadInputs,
}

/// Fails when records do not fit the model.
pub(super) fn check_outline(
    of: &Features,
    (public, public_digest): (&PublicModel, Digest),
    unit: PrivacyUnit,
    outline: &RecordsOutline,
) -> Result<()> {
    let features = of.path.display();
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
    check_declared(of.path, ("model", &public.label_names), unit, outline)?;
    if of.inputs.needs_features() && outline.feature_width != Some(public.feature_width) {
        return Err(Failure::failed(
            format!("{features} does not have the model's {} server features", public.feature_width),
            "run `cryptotl extract` with this model first, or use --inputs embedding",
        ));
    }
    let foreign = header.extraction.as_ref().filter(|e| e.public_model != public_digest);
    if let Some(extraction) = foreign.filter(|_| of.inputs.needs_features()) {
        return Err(Failure::failed(
            format!(
                "{features} has server features of another model ({}) than {} ({})",
                extraction.public_model.short(),
                of.model.display(),
                public_digest.short()
            ),
            "run `cryptotl extract` with this model, or give the model that made them",
        ));
    }
    Ok(())
}

//! `pretrain --epsilon`: a model of a private source. The charge is on disk before a record is read.

use std::fmt;
use std::path::Path;

use cryptotl_model::{Destination, PublicModel, Records, RecordsOutline};
use cryptotl_privacy::{
    ChargeError, Description, Epsilon, Guarantee, Ledger, PrivacyUnit, Status, StoredRelease, Witness,
};
use cryptotl_trainer::config::PretrainConfig;
use cryptotl_trainer::head::Terms;
use cryptotl_trainer::pretrain::private::{PrivatePretraining, SourcePrivacy, Transcript};
use serde::Serialize;

use super::finetune::{check_policy, or_limit};
use super::ledger::{Left, warn_unmarked};
use super::population;
use super::pretrain::{gives_away, halves, named};
use crate::cli::PretrainArgs;
use crate::exit::{Failure, Result};
use crate::output::Output;
use crate::report::words::wrapped;

#[derive(Serialize)]
struct Trained {
    name: String,
    /// The population that the records say they are of, which is the ledger's; null if they do not say.
    records_population: Option<String>,
    /// Whether this is the model of an earlier run of the same plan, at no charge.
    replayed: bool,
    guarantee: Guarantee,
    sentence: String,
    witness: Witness,
    #[serde(flatten)]
    left: Left,
    feature_width: usize,
    lower: String,
    public: String,
    public_half_gives_away: String,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trained `{}` on a private source", self.name)?;
        if self.replayed {
            writeln!(
                f,
                "this plan was run before: it is the same model, and nothing was charged; for a new one from other \
                 records, name the run with --run"
            )?;
        }
        writeln!(f, "{}", wrapped(&self.sentence))?;
        writeln!(f, "this covers both halves; no accuracy was measured, because it would have cost more")?;
        writeln!(f, "charged as entry {} of the ledger, {}", self.witness.seq, self.witness.hash)?;
        writeln!(f, "{}", self.left)?;
        writeln!(f, "secret half {}", self.lower)?;
        writeln!(f, "public half {}", self.public)?;
        write!(f, "{}", wrapped(&self.public_half_gives_away))
    }
}

/// Runs the verb for a private source.
pub fn run(args: PretrainArgs, output: &Output) -> Result<()> {
    let (Some(epsilon), Some(ledger_path), [source]) = (args.epsilon, &args.ledger, &args.source[..]) else {
        return Err(Failure::failed(
            format!("{} private sources under one ledger", args.source.len()),
            "put the records of all people of the population into one file",
        ));
    };
    let files = halves(&args.output, output)?;
    let mut config = PretrainConfig::read(&args.config)?;
    config.training.seed = args.seed.unwrap_or(config.training.seed);
    let mut ledger = Ledger::open(ledger_path)?;
    let status = ledger.status()?;
    check_policy(args.policy.as_deref(), ledger_path, &status)?;
    let (name, path) = named(source)?;
    let outline = outline(path, status.policy.unit())?;
    let records_population = population::check(path, &outline.header, &status)?;

    let (unit, adjacency) = (status.policy.unit(), status.policy.adjacency());
    let terms = Terms {
        epsilon: Epsilon::new(epsilon)?,
        delta: status.delta,
        accountant: status.policy.accountant(),
        order: status.sampling_order,
        unit,
        adjacency,
    };
    let pretraining = PrivatePretraining::new(config, name, outline)?;
    let about = args.run.clone().map(|run| ("run".to_owned(), run));
    let plan = pretraining
        .plan(&terms, Description::from_iter(about))
        .map_err(|unplanned| or_limit(&status, &terms)(unplanned.into()))?;
    check_witness(&ledger, &status.population, files.1.path())?;
    let charged = ledger.charge(plan);
    warn_unmarked(&ledger);
    let charged = match charged {
        Err(ChargeError::Finished(earlier)) => {
            let transcript = recorded(&earlier, files.0.path())?;
            return publish(&transcript, files, (records_population, true), &ledger.status()?, output);
        }
        other => other?,
    };
    // From here on the loss is spent, whatever happens; private data may be read.
    let records = Records::read(path)?;
    population::compare(path, &records.header, &status)?;
    let (transcript, receipt) = pretraining.run(charged, &records, &status.population)?;
    // Recorded before anything is published: if this process is killed in between, repeating the run is free.
    ledger.record_release(receipt, &transcript.to_bytes()?)?;
    publish(&transcript, files, (records_population, false), &ledger.status()?, output)
}

/// Fails when the model that would be replaced was paid for by an entry of the population that the ledger does not have.
fn check_witness(ledger: &Ledger, population: &str, public: &Path) -> Result<()> {
    let Ok((model, _)) = PublicModel::read(public) else { return Ok(()) };
    match SourcePrivacy::of(&model) {
        Ok(Some(source)) if source.population == population => {
            Ok(ledger.verify_witness(source.witness.seq, &source.witness.hash)?)
        }
        _ => Ok(()),
    }
}

/// The source's header, which holds no record.
fn outline(path: &Path, unit: PrivacyUnit) -> Result<RecordsOutline> {
    if !path.is_file() {
        return Err(Failure::failed(
            format!("{} is not a file", path.display()),
            "give the records file that `cryptotl embed` wrote: its header is looked at before anything is paid",
        ));
    }
    let outline = RecordsOutline::read(path)?;
    if unit != PrivacyUnit::Record && !outline.has_persons {
        return Err(Failure::failed(
            format!(
                "{} does not say whose records they are, and the ledger protects a {unit}",
                path.display()
            ),
            "embed the texts with --unit-column",
        ));
    }
    Ok(outline)
}

/// What an earlier run of the same plan released.
fn recorded(earlier: &StoredRelease, output: &Path) -> Result<Transcript> {
    let bytes = earlier.artifact.as_ref().ok_or_else(|| {
        Failure::failed(
            format!("this run was finished at {}, and the ledger keeps no copy of it", earlier.recorded_at),
            "use the model that it wrote, or name the run with --run to pay for a new one",
        )
    })?;
    Ok(Transcript::from_bytes(bytes, output)?)
}

/// Writes both halves, which follow from the transcript.
fn publish(
    transcript: &Transcript,
    (lower_to, public_to): (Destination, Destination),
    (records_population, replayed): (Option<String>, bool),
    status: &Status,
    output: &Output,
) -> Result<()> {
    let (lower, public) = transcript.publish()?;
    // The secret half goes first: a public half without it would be of no use to anyone.
    lower.write(&lower_to)?;
    public.write(&public_to)?;
    let header = &transcript.header;
    output.result(&Trained {
        public_half_gives_away: gives_away(&public),
        name: public.name,
        records_population,
        replayed,
        sentence: header.guarantee.formal_sentence(),
        guarantee: header.guarantee.clone(),
        witness: header.witness,
        left: Left::of(status),
        feature_width: public.feature_width,
        lower: lower_to.path().display().to_string(),
        public: public_to.path().display().to_string(),
    })
}

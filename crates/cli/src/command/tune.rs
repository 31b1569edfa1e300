//! `tune`: several private heads and a choice among them, all charged before a record is read.

use std::fmt;

use cryptotl_model::format::write_atomically;
use cryptotl_model::{Digest, HeadInputs, PublicModel, Records};
use cryptotl_privacy::{
    ChargeError, Description, Epsilon, Ledger, Payment, ReleasePlan, SumRequest, Witness,
};
use cryptotl_trainer::head::Terms;
use cryptotl_trainer::pretrain::private::SourcePrivacy;
use cryptotl_trainer::search::{self, Candidate, Choice, Search};
use cryptotl_trainer::{Assumption, Head, Method};
use serde::Serialize;

use super::finetune::{Features, check_outline, check_policy, or_limit, outline, terms, train, with_room};
use super::ledger::{Left, check_replaced, warn_unmarked};
use super::validate::{kept, not_kept, to_json};
use super::{assumptions, population};
use crate::card::{self, HeadPlaces};
use crate::cli::{PaymentArgs, TuneArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::Output;

#[derive(Serialize)]
struct Tuned {
    head: String,
    card: String,
    digest: Digest,
    /// All that the search costs, by the ledger's accountant.
    epsilon: Epsilon,
    candidates: Vec<Tried>,
    /// The chosen one, from 0.
    chosen: usize,
    /// The standard deviation of the DP noise in a lead.
    noise: f64,
    /// What the choice, and with it the whole search, rests on beyond the proofs.
    assumptions: Vec<Assumption>,
    /// The population that all records say they are of, which is the ledger's; null if some do not say.
    records_population: Option<String>,
    /// Whether all of it was done before, at no charge.
    replayed: bool,
    #[serde(flatten)]
    left: Left,
}

#[derive(Serialize)]
struct Tried {
    inputs: HeadInputs,
    method: Method,
    rank: usize,
    epsilon: Epsilon,
    /// Half of how many more units it is right about than wrong, with DP noise.
    lead: f64,
    witness: Witness,
}

impl fmt::Display for Tuned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "released {}, with its model card {}", self.head, self.card)?;
        writeln!(f, "  {:24} {:24} {:>5} {:>9} {:>9}  entry", "reads", "method", "rank", "epsilon", "lead")?;
        for (index, tried) in self.candidates.iter().enumerate() {
            let mark = if index == self.chosen { "*" } else { " " };
            let Tried { inputs, method, rank, epsilon, lead, witness } = tried;
            let (inputs, method) = (inputs.name(), method.name());
            writeln!(
                f,
                "{mark} {inputs:24} {method:24} {rank:>5} {epsilon:>9.4} {lead:>9.1}  {}",
                witness.seq
            )?;
        }
        writeln!(
            f,
            "a lead is half of how many more are right than wrong, with DP noise of {:.1}; leads closer than twice that \
             tell little",
            self.noise
        )?;
        if self.replayed {
            writeln!(
                f,
                "this search was made before: it is the same head, and nothing was charged; for a new one, name the \
                 run with --run"
            )?;
        }
        writeln!(
            f,
            "the whole search costs epsilon {} at most, whatever is published of it. {}",
            self.epsilon,
            Assumption::sentence(&self.assumptions)
        )?;
        write!(f, "{}", self.left)
    }
}

/// Runs the verb.
pub fn run(args: TuneArgs, output: &Output) -> Result<()> {
    let places = HeadPlaces::check(&args.output, output)?;
    let (public, public_digest) = PublicModel::read(&args.model)?;
    let PaymentArgs { ledger: path, epsilon, delta, policy, run } = &args.payment;
    let mut ledger = Ledger::open(path)?;
    let status = ledger.status()?;
    check_policy(policy.as_deref(), path, &status)?;
    // The reader that needs most decides what the records must have.
    let needs = args.inputs.iter().copied().max_by_key(|inputs| inputs.needs_features());
    let inputs = needs.unwrap_or(HeadInputs::Embedding);
    let [training, validation] =
        [&args.features, &args.validation].map(|path| Features { path, model: &args.model, inputs });
    let unit = status.policy.unit();
    let mut all_say = Some(status.population.clone());
    let mut stated = Vec::new();
    for records in [&training, &validation] {
        let before = outline(records.path)?;
        let header = before.as_ref().map(|outline| &outline.header);
        for on in assumptions::of(records.path, header, inputs, args.assume_independent_encryption_errors)? {
            if !stated.contains(&on) {
                stated.push(on);
            }
        }
        let Some(outline) = before else {
            all_say = None;
            continue;
        };
        check_outline(records, (&public, public_digest), unit, &outline)?;
        all_say = all_say.and(population::check(records.path, &outline.header, &status)?);
    }
    let terms = terms(&status, Epsilon::new(*epsilon)?, *delta)?;
    let candidates: Vec<Candidate> = args
        .inputs
        .iter()
        .flat_map(|&inputs| args.methods.iter().map(move |m| Candidate { inputs, method: m.method() }))
        .collect();
    let mut about = Description::from([("public-model".to_owned(), public_digest.to_string())]);
    about.extend(run.clone().map(|name| ("run".to_owned(), name)));
    assumptions::describe(&mut about, &stated);
    let share = args.choice_share;
    let search = Search::plan(&public, &candidates, &terms, status.public_size, share, &about)
        .map_err(|unplanned| or_limit(&status, &terms)(unplanned.into()))?;
    let plans: Vec<ReleasePlan> = search
        .candidates
        .iter()
        .map(|(settings, plan)| with_room(plan.clone(), settings, &public))
        .chain([search.choice.clone()])
        .collect();
    // A search that was broken off is charged for what is left of it.
    if is_new(&ledger, &plans)? {
        check_whole(&ledger, &terms)?;
    }

    check_replaced(&ledger, &status.population, &args.output)?;
    let mut payments = ledger.charge_all(plans)?;
    warn_unmarked(&ledger);
    let replayed = payments.iter().all(|payment| matches!(payment, Payment::Finished(_)));
    let choice_payment = payments.pop();
    // From here on the loss is spent, whatever happens; private data may be read.
    let read = |features: &Features| {
        let records = Records::read(features.path)?;
        check_outline(features, (&public, public_digest), unit, &records.outline())?;
        population::compare(features.path, &records.header, &status)?;
        let assumed = args.assume_independent_encryption_errors;
        let found = assumptions::of(features.path, Some(&records.header), inputs, assumed)?;
        assumptions::are_stated(features.path, &stated, &found)?;
        Ok::<_, Failure>(records)
    };
    let records = if replayed { None } else { Some(read(&training)?) };
    let mut heads = Vec::with_capacity(payments.len());
    for (payment, (settings, _)) in payments.into_iter().zip(&search.candidates) {
        let bytes = match (payment, &records) {
            (Payment::Charged(charged), Some(records)) => {
                train(&mut ledger, charged, settings, (&public, public_digest), records)?
            }
            (Payment::Finished(earlier), _) => kept(*earlier)?,
            (Payment::Charged(_), None) => return Err(Failure::new(Code::Bug, "a charge without records")),
        };
        heads.push((Head::from_bytes(&bytes, &args.output)?, bytes));
    }
    drop(records);
    let choice = match choice_payment {
        Some(Payment::Finished(earlier)) => {
            serde_json::from_slice(&kept(*earlier)?).map_err(|_| not_kept("choice of a search"))?
        }
        Some(Payment::Charged(charged)) => {
            let heads: Vec<Head> = heads.iter().map(|(head, _)| head.clone()).collect();
            let (choice, receipt) = search::choose(&heads, &read(&validation)?, charged.into_mechanism()?)?;
            ledger.record_release(receipt, &to_json(&choice)?)?;
            choice
        }
        None => return Err(Failure::new(Code::Bug, "a search without a choice")),
    };
    report((&args, &places), (&ledger, &public), &search, heads, choice, (all_say, &stated, replayed), output)
}

/// Whether nothing of a search was released yet.
fn is_new(ledger: &Ledger, plans: &[ReleasePlan]) -> Result<bool> {
    for plan in plans {
        if ledger.find_release(plan)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a search that the ledger cannot pay for as a whole, or that its policy would not allow as one release.
fn check_whole(ledger: &Ledger, terms: &Terms) -> Result<()> {
    let whole = ReleasePlan::gaussian_sums(SumRequest {
        epsilon: terms.epsilon,
        delta: terms.delta,
        accountant: terms.accountant,
        dimension: 1,
        clipping_norm: 1.0,
        slack: 0.0,
        steps: 1,
        unit: terms.unit,
        adjacency: terms.adjacency,
        description: Description::new(),
    })?;
    match ledger.refusal(&whole)? {
        Some(refusal) => Err(ChargeError::Refused(Box::new(refusal)).into()),
        None => Ok(()),
    }
}

fn report(
    (args, places): (&TuneArgs, &HeadPlaces),
    (ledger, public): (&Ledger, &PublicModel),
    search: &Search,
    heads: Vec<(Head, Vec<u8>)>,
    choice: Choice,
    (records_population, assumptions, replayed): (Option<String>, &[Assumption], bool),
    output: &Output,
) -> Result<()> {
    let fits = choice.leads.len() == heads.len();
    let Some((_, bytes)) = heads.get(choice.chosen).filter(|_| fits) else {
        return Err(not_kept("choice of a search"));
    };
    write_atomically(&places.head, bytes)?;
    let (head, digest) = Head::read(&args.output)?;
    let card = card::write(places, (&head, digest), SourcePrivacy::of(public)?.as_ref())?;
    let tried = heads.iter().zip(&search.candidates).zip(&choice.leads);
    let candidates = tried.map(|(((head, _), (settings, plan)), &lead)| Tried {
        inputs: settings.inputs,
        method: settings.method(),
        rank: settings.rank,
        epsilon: plan.guarantee().epsilon,
        lead,
        witness: head.header.witness,
    });
    let status = ledger.status()?;
    output.result(&Tuned {
        head: args.output.display().to_string(),
        card: card.display().to_string(),
        digest,
        epsilon: search.epsilon,
        candidates: candidates.collect(),
        chosen: choice.chosen,
        noise: choice.noise,
        records_population,
        assumptions: assumptions.to_vec(),
        replayed,
        left: Left::of(&status),
    })
}

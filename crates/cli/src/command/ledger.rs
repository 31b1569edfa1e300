//! `ledger init`, `show`, `amend`, `verify`, `recover` and `accept-rollback`: the privacy budget of a population.

use std::fmt;
use std::path::Path;

use cryptotl_model::input_file;
use cryptotl_privacy::{
    Accountant, EntryKind, Epsilon, LARGE_DELTA_MASS, Ledger, LedgerView, Marks, Policy, ReleasesLeft, Rho,
    Status, Witness,
};
use cryptotl_trainer::Head;
use serde::Serialize;

use crate::card::{self, Card};
use crate::cli::{
    LedgerAcceptRollbackArgs, LedgerAmendArgs, LedgerCommand, LedgerInitArgs, LedgerShowArgs,
    LedgerVerifyArgs,
};
use crate::exit::{Code, Failure, Result};
use crate::output::{Output, warn};
use crate::report::{run_words, words};

/// A status; `note` is for people only.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    status: Status,
    /// What somebody should think about before data is used under these terms.
    warnings: Vec<String>,
    #[serde(skip)]
    note: String,
}

impl Shown {
    fn new(status: Status, note: String) -> Self {
        Self { warnings: warnings(&status), status, note }
    }

    /// Says the warnings on stderr, where terms begin.
    fn warn(self) -> Self {
        self.warnings.iter().for_each(|warning| warn(warning));
        self
    }
}

/// What is doubtful about a ledger's terms.
fn warnings(status: &Status) -> Vec<String> {
    if status.delta_mass <= LARGE_DELTA_MASS {
        return Vec::new();
    }
    let size = status.public_size;
    // The first of the usual exponents under which delta is small; for a handful of units only a number is.
    let small = |exponent: &&f64| (size as f64).powf(1.0 - **exponent) <= LARGE_DELTA_MASS;
    let remedy = [1.5, 2.0, 3.0]
        .iter()
        .find(small)
        .map_or_else(|| "delta = 1e-6".to_owned(), |exponent| format!("delta = {{ exponent = {exponent} }}"));
    vec![format!(
        "delta {} times the public size {size} is {}, and should be at most {LARGE_DELTA_MASS}: a promise with this delta would \
         still hold if so many units, on average, were published in the clear. For data that matters take a policy with {remedy}",
        status.delta,
        words::small(status.delta_mass),
    )]
}

/// What a ledger has left: fields of JSON, and a line for people.
#[derive(Serialize)]
pub(super) struct Left {
    rho_remaining: Rho,
    epsilon_affordable: Option<Epsilon>,
    releases_left: ReleasesLeft,
    #[serde(skip)]
    limit: Epsilon,
    #[serde(skip)]
    share: f64,
}

impl Left {
    pub(super) fn of(status: &Status) -> Self {
        Self {
            rho_remaining: status.rho_remaining,
            epsilon_affordable: status.epsilon_affordable,
            releases_left: status.releases_left,
            limit: status.policy.epsilon_per_release_max(),
            share: 1.0 - status.share_spent(),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rho_remaining, epsilon_affordable, releases_left, limit, share } = self;
        let Some(epsilon) = epsilon_affordable else {
            return write!(f, "left: nothing that buys another release");
        };
        // What is left is never said to be more than it is.
        let percent = (share * 1e3).floor() / 10.0;
        writeln!(
            f,
            "left: {percent} % of the budget (rho {rho_remaining}), at most epsilon {epsilon} in one release"
        )?;
        write!(f, "      enough for ")?;
        if let (Some(last), Some(count)) = (releases_left.last_epsilon, releases_left.like_last) {
            write!(f, "{count} more at epsilon {} like the last, or ", words::loss(last.get()))?;
        }
        write!(f, "{} at the policy's limit of {limit}; rho adds up, epsilons do not", releases_left.at_limit)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, note, .. } = self;
        if !note.is_empty() {
            writeln!(f, "{note}")?;
        }
        let policy = &status.policy;
        writeln!(f, "population {}, at most {} units", status.population, status.public_size)?;
        write!(
            f,
            "policy     {}: protects a {} by {} adjacency, at most epsilon {} for one release",
            policy.name(),
            policy.unit(),
            policy.adjacency(),
            policy.epsilon_per_release_max()
        )?;
        if policy.accountant() == Accountant::Gdp {
            write!(f, ", counted by exact Gaussian DP")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "spent      epsilon {} of {} at delta {} (rho {} of {}, {} left)",
            status.epsilon_spent,
            status.epsilon_cap,
            status.delta,
            status.rho_spent,
            status.rho_cap,
            status.rho_remaining
        )?;
        let exact = status.epsilon_spent_gdp.filter(|exact| *exact < status.epsilon_spent);
        if let Some(exact) = exact {
            writeln!(
                f,
                "           epsilon {exact} by exact Gaussian DP, as all charges are of Gaussian sums"
            )?;
        }
        if let Some(order) = status.order {
            writeln!(f, "           counted up to order {order}, as there are releases on Poisson samples")?;
        }
        writeln!(f, "{}", Left::of(status))?;
        for entry in &status.entries {
            write!(f, "entry {:<4} {} ", entry.seq, entry.recorded_at)?;
            f.write_str(match entry.kind {
                EntryKind::Genesis => "created",
                EntryKind::Charge => "charge",
                EntryKind::Release => "release",
                EntryKind::Amendment => "amended",
                EntryKind::Rollback => "lost entries",
                _ => "other",
            })?;
            if let Some(epsilon) = entry.epsilon {
                write!(f, ", epsilon {epsilon}")?;
            }
            if let Some(description) = &entry.description {
                write!(f, ", {}", run_words(description))?;
            }
            if let Some(lost) = entry.lost {
                write!(f, ", counted as rho {}", lost.rho())?;
            }
            if let Some(charge) = entry.charge_seq {
                write!(f, " of charge {charge}")?;
            }
            if let Some(released) = &entry.released {
                write!(f, ", released {released}")?;
            }
            if let Some(cap) = entry.epsilon_cap {
                write!(f, ", cap {cap}")?;
            }
            if let Some(reason) = &entry.reason {
                write!(f, ": {reason}")?;
            }
            writeln!(f)?;
        }
        if !status.clock_went_back.is_empty() {
            writeln!(
                f,
                "clock      went back at {:?}; the order of entries does not depend on it",
                status.clock_went_back
            )?;
        }
        write!(f, "head       {} {}", status.head.seq, status.head.hash)
    }
}

/// Runs the verb.
pub fn run(command: LedgerCommand, output: &Output) -> Result<()> {
    match command {
        LedgerCommand::Init(args) => init(args, output),
        LedgerCommand::Show(args) => show(args, output),
        LedgerCommand::Amend(args) => amend(args, output),
        LedgerCommand::Verify(args) => verify(args, output),
        LedgerCommand::Recover(args) => recover(args, output),
        LedgerCommand::AcceptRollback(args) => accept_rollback(args, output),
    }
}

fn init(args: LedgerInitArgs, output: &Output) -> Result<()> {
    let policy = read_policy(&args.policy)?;
    let ledger = Ledger::create(&args.ledger, &policy, &args.population, args.public_size)?;
    let note =
        format!("created {}: back it up and never create another for this population", args.ledger.display());
    output.result(&Shown::new(ledger.status()?, note).warn())
}

fn show(args: LedgerShowArgs, output: &Output) -> Result<()> {
    output.result(&Shown::new(LedgerView::open(&args.ledger)?.status()?, String::new()))
}

fn amend(args: LedgerAmendArgs, output: &Output) -> Result<()> {
    let mut ledger = Ledger::open(&args.ledger)?;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let witness = ledger.amend(policy.as_ref(), args.public_size, &args.reason)?;
    warn_unmarked(&ledger);
    let note = format!("amended {} by entry {}", args.ledger.display(), witness.seq);
    output.result(&Shown::new(ledger.status()?, note).warn())
}

fn verify(args: LedgerVerifyArgs, output: &Output) -> Result<()> {
    let ledger = LedgerView::open(&args.ledger)?;
    ledger.verify_figures()?;
    ledger.verify_artifacts()?;
    ledger.verify_marks(&Marks::of_this_user())?;
    let status = ledger.status()?;
    let mut note = format!("{} verifies", args.ledger.display());
    if let (Some(seq), Some(hash)) = (args.seq, args.hash) {
        ledger.verify_witness(seq, &hash)?;
        note += &format!(" and holds entry {seq} as given");
    }
    if let Some(path) = &args.witness {
        let (head, digest) = Head::read(path)?;
        let seq = head.header.witness.seq;
        paid_status(&ledger, &args.ledger, (&head, digest), path)?;
        note += &format!(" and holds entry {seq}, which paid for {}", path.display());
    }
    output.result(&Shown::new(status, note))
}

fn recover(args: LedgerShowArgs, output: &Output) -> Result<()> {
    let (ledger, was_broken_off) = Ledger::recover(&args.ledger)?;
    let note = match was_broken_off {
        true => format!("{} is at its last whole state", args.ledger.display()),
        false => format!("{} was whole", args.ledger.display()),
    };
    output.result(&Shown::new(ledger.status()?, note))
}

fn accept_rollback(args: LedgerAcceptRollbackArgs, output: &Output) -> Result<()> {
    let mut ledger = Ledger::open(&args.ledger)?;
    let witness = ledger.accept_rollback(&args.reason)?;
    warn_unmarked(&ledger);
    let note = format!(
        "entry {} of {} says that entries are lost, and counts what they spent",
        witness.seq,
        args.ledger.display()
    );
    output.result(&Shown::new(ledger.status()?, note))
}

/// Says, after a write, when a rollback of the ledger would not be noticed.
pub(super) fn warn_unmarked(ledger: &Ledger) {
    if let Some(reason) = ledger.unmarked() {
        warn(&format!(
            "what was charged is noted in the ledger alone, so that an older copy of it would not be recognized: {reason}; name \
             a folder that lasts with {}",
            cryptotl_privacy::ledger::STATE_VARIABLE
        ));
    }
}

/// Fails, before a charge, when what is in an output's place was paid for by an entry of the population that the ledger does
/// not have: it was restored from an older copy, and the file that would be replaced is the evidence.
pub(super) fn check_replaced(ledger: &Ledger, population: &str, output: &Path) -> Result<()> {
    let is_own = |of: &str| of == population;
    let mut witnesses = Vec::new();
    if let Ok((head, _)) = Head::read(output) {
        witnesses.extend(is_own(&head.header.population).then_some(head.header.witness));
    }
    if let Ok((validation, _)) = super::validate::Validation::read(output) {
        witnesses.extend(is_own(&validation.population).then_some(validation.witness));
    }
    if let Ok(card) = Card::read(&card::place(output)) {
        let hash = card.dp.witness_hash.parse().ok().filter(|_| is_own(&card.dp.population));
        witnesses.extend(hash.map(|hash| Witness { seq: card.dp.witness_seq, hash }));
    }
    for Witness { seq, hash } in witnesses {
        ledger.verify_witness(seq, &hash).map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(failure.code, format!("{} would be replaced: {}", output.display(), failure.message))
        })?;
    }
    Ok(())
}

/// The ledger's status, if the ledger paid for this very head file: it holds the head's witness, which is a
/// charge, and that charge's release has the file's digest. What the head says of itself is believed
/// because of the digest alone: a file that was altered, even in its stated guarantee, is another file.
pub(super) fn paid_status(
    ledger: &LedgerView,
    ledger_path: &Path,
    (head, digest): (&Head, cryptotl_model::Digest),
    path: &Path,
) -> Result<Status> {
    let status = ledger.status()?;
    let refuse = |fact: String| Err(Failure::new(Code::LedgerIntegrity, fact));
    if head.header.population != status.population {
        return refuse(format!(
            "{} was paid for by the population {}, {} is the ledger of {}; give that population's ledger",
            path.display(),
            head.header.population,
            ledger_path.display(),
            status.population
        ));
    }
    // A ledger that no longer holds the entry was rolled back.
    let Witness { seq, hash } = head.header.witness;
    ledger.verify_witness(seq, &hash)?;
    let entry = status.entries.iter().find(|entry| entry.seq == seq);
    let charge = entry.filter(|entry| entry.kind == EntryKind::Charge);
    match charge.map(|charge| charge.released.as_deref()) {
        Some(Some(released)) if released == digest.to_string() => Ok(status),
        // Between a charge and its release there is a ledger that holds the one and not the other.
        Some(None) => refuse(format!(
            "{} holds the charge of {} as entry {seq}, and no release of it: the ledger was rolled back to before it",
            ledger_path.display(),
            path.display()
        )),
        // The ledger is whole; the file is not what it was.
        _ => Err(Failure::failed(
            format!(
                "{} has the digest {digest}, and entry {seq} of {} released another file: the file was altered after \
                 its release",
                path.display(),
                ledger_path.display()
            ),
            "give the file as it was released",
        )),
    }
}

/// Reads a privacy configuration.
pub(super) fn read_policy(path: &Path) -> Result<Policy> {
    let text = input_file::read_text(path, input_file::MAX_CONFIG_BYTES).map_err(|e| {
        Failure::failed(
            format!("cannot read the policy {}: {e}", path.display()),
            "give a file such as privacy-configs/standard.toml",
        )
    })?;
    Policy::from_toml(&text).map_err(|e| Failure::new(Code::Failed, format!("{}: {e}", path.display())))
}

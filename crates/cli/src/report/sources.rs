//! Which file each field of a report comes from: one table, by which `verify` tells what was not assessed.

/// Where a field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// It follows from other fields.
    Derived,
    /// The head.
    Head,
    /// The ledger.
    Ledger,
    /// The head or the ledger: either says it.
    Either,
    /// The public half of the model.
    Model,
    /// The plan of the encrypted evaluation.
    Plan,
    /// The policy, and the ledger to compare it with.
    Policy,
    /// The table of `bench privacy`.
    Table,
    /// What `validate` released.
    Validation,
    /// The attack: trainings that nobody can repeat to the last digit.
    Attack,
    /// Whoever named the files.
    Names,
    /// The program that wrote the report.
    Program,
}

impl Source {
    /// What was not given, in words.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Derived => "",
            Self::Head => "the head was not given",
            Self::Ledger => "the ledger was not given; see --ledger",
            Self::Either => "neither the head nor the ledger was given",
            Self::Model => "the public half of the model was not given",
            Self::Plan => "the plan was not given",
            Self::Policy => "the policy was not given, or not the ledger to compare it with",
            Self::Table => "the table of `bench privacy` was not given",
            Self::Validation => "the file of `validate` was not given",
            Self::Attack => "measured by trainings, which no file repeats",
            Self::Names => "how the files were called",
            Self::Program => "the program that wrote the report",
        }
    }
}

/// The fields by their source. A field is of the first line that it begins with; `*` stands for any one step of a path. What
/// is in no line follows from other fields.
const FIELDS: &[(&str, Source)] = &[
    ("identity.tool_version", Source::Program),
    ("identity.ledger_tool_version", Source::Ledger),
    ("identity.run", Source::Ledger),
    ("identity.public_model", Source::Head),
    ("identity", Source::Either),
    ("product.kind", Source::Derived),
    ("product.settings", Source::Either),
    ("product.backbone", Source::Model),
    ("product", Source::Head),
    ("dataset.population", Source::Either),
    ("dataset.public_size", Source::Ledger),
    ("input_privacy.parameter_set", Source::Head),
    ("input_privacy.security_basis", Source::Head),
    ("input_privacy.evaluator", Source::Head),
    ("input_privacy.coupled", Source::Head),
    ("input_privacy.certificate", Source::Plan),
    ("guarantee.unit", Source::Either),
    ("guarantee.adjacency", Source::Either),
    ("mechanism.event", Source::Either),
    ("mechanism.entropy", Source::Ledger),
    ("budget.policy_compared", Source::Policy),
    ("budget.epsilon_spent", Source::Derived),
    ("budget.rho_spent", Source::Derived),
    ("budget.rho_remaining", Source::Derived),
    ("budget.releases_left", Source::Derived),
    ("budget.delta_mass", Source::Derived),
    ("budget.runs.*.rho", Source::Derived),
    ("budget.runs.*.epsilon", Source::Derived),
    ("budget.runs.*.epsilon_after", Source::Derived),
    ("budget.runs.*.is_this_release", Source::Derived),
    ("budget", Source::Ledger),
    ("attack.version", Source::Derived),
    ("attack.claim", Source::Derived),
    ("attack.settings.preset", Source::Attack),
    ("attack.settings.runs", Source::Attack),
    ("attack.settings.seed", Source::Attack),
    ("attack.settings.time_budget_seconds", Source::Attack),
    ("attack.settings", Source::Derived),
    ("attack.views.*.pairs", Source::Attack),
    ("attack.views.*.bounds.*.mu", Source::Attack),
    ("attack.views.*.bounds.*.epsilon", Source::Attack),
    ("attack.views.*.trade_off", Source::Attack),
    ("attack.views", Source::Derived),
    ("attack.single.runs_with", Source::Attack),
    ("attack.single.runs_without", Source::Attack),
    ("attack.single.score", Source::Attack),
    ("attack.single.errors.*.estimate", Source::Attack),
    ("attack.single", Source::Derived),
    ("attack.one_run.guesses", Source::Attack),
    ("attack.one_run.correct", Source::Attack),
    ("attack.one_run", Source::Derived),
    ("attack.controls.*.runs", Source::Attack),
    ("attack.controls.*.bound.mu", Source::Attack),
    ("attack.controls.*.found_out", Source::Attack),
    ("attack.controls", Source::Derived),
    ("attack.verdict_confidence", Source::Derived),
    ("attack.completed", Source::Attack),
    ("attack.seconds", Source::Attack),
    ("attack.verdict", Source::Attack),
    ("utility.validation.digest", Source::Ledger),
    ("utility.validation.witness_hash", Source::Ledger),
    ("utility.validation.epsilon", Source::Derived),
    ("utility.validation.delta", Source::Ledger),
    ("utility.validation", Source::Validation),
    ("utility.rows", Source::Table),
    ("reproduction.files", Source::Names),
];

/// Fields that are this program's own words: another version of it may say the same in others.
const PROSE: &[&str] = &[
    "sentence",
    "product.kind",
    "product.backbone.not_assessed",
    "product.backbone.source_privacy.sentence",
    "dataset.label_source",
    "dataset.other_releases",
    "setting.actors",
    "setting.flows",
    "setting.assumptions",
    "setting.side_channels",
    "input_privacy.scheme",
    "input_privacy.key_holder",
    "input_privacy.decryptions",
    "input_privacy.certificate.not_assessed",
    "guarantee.proof",
    "scope",
    "mechanism.summary",
    "mechanism.normalizer",
    "preprocessing",
    "controls.*.control",
    "attack.not_assessed",
    "attack.single.score",
    "utility.not_assessed",
    "hazards.*.layer",
    "hazards.*.hazard",
    "hazards.*.evidence",
    "reproduction.check",
    "reproduction.repeat",
];

/// Whether a path begins with the steps of a pattern.
fn begins_with(path: &[String], pattern: &str) -> bool {
    let mut steps = path.iter();
    pattern.split('.').all(|expected| steps.next().is_some_and(|step| expected == "*" || step == expected))
}

/// The source of a field, and the line of the table that says so.
pub(super) fn of(path: &[String]) -> (&'static str, Source) {
    let is_reason = path.last().is_some_and(|step| step == "not_assessed");
    let found = FIELDS.iter().find(|(pattern, _)| begins_with(path, pattern));
    found.filter(|_| !is_reason).copied().unwrap_or(("", Source::Derived))
}

/// Whether a field is this program's own words.
pub(super) fn is_prose(path: &[String]) -> bool {
    PROSE.iter().any(|pattern| begins_with(path, pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn the_first_line_that_a_path_begins_with_tells_its_source() {
        assert_eq!(of(&path("budget.runs.3.hash")), ("budget", Source::Ledger));
        assert_eq!(of(&path("budget.runs.3.rho")).1, Source::Derived);
        assert_eq!(of(&path("budget.runs.3.event.rho")).1, Source::Ledger);
        assert_eq!(of(&path("attack.views.1.bounds.0.mu")), ("attack.views.*.bounds.*.mu", Source::Attack));
        assert_eq!(of(&path("product.backbone.not_assessed")).1, Source::Derived);
        assert_eq!(of(&path("hazards.0.status")).1, Source::Derived);
        assert!(is_prose(&path("hazards.0.evidence")) && !is_prose(&path("hazards.0.status")));
    }
}

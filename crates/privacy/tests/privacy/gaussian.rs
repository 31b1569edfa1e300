//! Ledgers that count by exact Gaussian DP.

use crate::common::{self, delta, gdp_policy, policy, request};
use cryptotl_privacy::accountant::gdp::{self, GridSlack, Mu};
use cryptotl_privacy::{
    Accountant, ChargeError, Epsilon, Ledger, Policy, Proof, QueryRequest, RefusalReason, ReleasePlan,
    SumRequest, largest_rho, largest_rho_by,
};

fn gaussian(epsilon: f64) -> SumRequest {
    SumRequest { accountant: Accountant::Gdp, ..request(epsilon) }
}

fn plan(epsilon: f64) -> ReleasePlan {
    ReleasePlan::gaussian_sums(gaussian(epsilon)).unwrap()
}

fn create(folder: &tempfile::TempDir, policy: &Policy) -> Ledger {
    Ledger::create(folder.path().join(policy.name()), policy, "p", common::PUBLIC_SIZE).unwrap()
}

fn reason(ledger: &mut Ledger, plan: ReleasePlan) -> RefusalReason {
    match ledger.charge(plan) {
        Err(ChargeError::Refused(refusal)) => refusal.reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_same_epsilon_takes_less_noise_and_the_claim_is_the_one_on_the_grid() {
    for epsilon in [0.5, 1.0, 2.0, 4.0] {
        let (exact, plain) = (plan(epsilon), common::plan(epsilon));
        let guarantee = exact.guarantee();
        assert_eq!((guarantee.proof, guarantee.order), (Proof::Gdp, None));
        assert!(guarantee.epsilon.get() <= epsilon && guarantee.epsilon.get() > epsilon * 0.9999);
        // Noise goes with the root of rho.
        let rho = |plan: &ReleasePlan| plan.guarantee().rho.to_f64_rounding_up();
        let gain = (rho(&exact) / rho(&plain)).sqrt();
        assert!((1.05..1.12).contains(&gain), "{epsilon}: {gain}");
        // What zCDP says of the same noise is more.
        let slack = exact.event().grid_slack().unwrap();
        let again = gdp::epsilon_on_grid(Mu::from_rho(guarantee.rho), slack, delta()).unwrap();
        assert_eq!(again, guarantee.epsilon);
        assert!(slack > GridSlack::NONE && slack < GridSlack::allowance(guarantee.epsilon, delta()));
        let sentence = guarantee.formal_sentence();
        assert!(sentence.contains("mu-GDP") && sentence.contains("integer grid"), "{sentence}");
    }
}

#[test]
fn a_gaussian_ledger_is_spent_up_to_its_cap_and_not_above() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &gdp_policy(4.0, 2.0));
    let cap = ledger.status().unwrap().rho_cap;
    let four = Epsilon::new(4.0).unwrap();
    assert_eq!(cap, largest_rho_by(Accountant::Gdp, four, delta()).unwrap());
    assert!(cap > largest_rho(four, delta()).unwrap());
    let mut n_charged = 0;
    loop {
        let mut request = gaussian(2.0);
        request.description.insert("run".to_owned(), n_charged.to_string());
        match ledger.charge(ReleasePlan::gaussian_sums(request).unwrap()) {
            Ok(_) => n_charged += 1,
            Err(ChargeError::Refused(refusal)) => break assert_eq!(refusal.reason, RefusalReason::AboveCap),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(n_charged, 3, "releases of epsilon 2 in a cap of 4");
    let rest = ledger.status().unwrap().epsilon_affordable.unwrap();
    ledger.charge(plan(rest.get())).unwrap();
    let status = ledger.status().unwrap();
    assert!(
        status.epsilon_spent.get() <= 4.0 && status.epsilon_spent.get() > 3.99,
        "{}",
        status.epsilon_spent
    );
    assert_eq!(status.epsilon_spent_gdp, Some(status.epsilon_spent));
    ledger.verify_figures().unwrap();
    Ledger::open(ledger.path()).unwrap();
}

#[test]
fn a_gaussian_ledger_takes_nothing_that_gaussian_dp_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &gdp_policy(4.0, 4.0));
    let other = (Accountant::Gdp, Accountant::Zcdp);
    let mismatch = RefusalReason::AccountantMismatch { ledger: other.0, plan: other.1 };
    assert_eq!(reason(&mut ledger, common::plan(1.0)), mismatch);
    let error = ReleasePlan::laplace_sums(gaussian(1.0)).unwrap_err().to_string();
    assert!(error.contains("Gaussian DP counts"), "{error}");
    assert_eq!(reason(&mut ledger, ReleasePlan::laplace_sums(request(1.0)).unwrap()), mismatch);
    let SumRequest { epsilon, delta, unit, adjacency, description, .. } = request(1.0);
    let counts = QueryRequest { epsilon, delta, size: 4, unit, adjacency, description };
    assert_eq!(reason(&mut ledger, ReleasePlan::counts(counts.clone()).unwrap()), mismatch);
    assert_eq!(reason(&mut ledger, ReleasePlan::noisy_max(counts).unwrap()), mismatch);
    // and the other way round
    let mut plain = create(&folder, &policy(4.0, 4.0));
    let mismatch = RefusalReason::AccountantMismatch { ledger: other.1, plan: other.0 };
    assert_eq!(reason(&mut plain, plan(1.0)), mismatch);
}

#[test]
fn a_grid_that_is_too_coarse_for_its_share_of_delta_is_refused() {
    let wide = |epsilon| ReleasePlan::gaussian_sums(SumRequest { dimension: 1 << 26, ..gaussian(epsilon) });
    let error = wide(8.0).unwrap_err().to_string();
    assert!(error.contains("grid"), "{error}");
    // A release of its own it may be; beside others under a cap of 8 it is not.
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &gdp_policy(8.0, 8.0));
    assert_eq!(reason(&mut ledger, wide(2.0).unwrap()), RefusalReason::GridTooCoarse);
    ledger.charge(plan(2.0)).unwrap();
}

#[test]
fn a_plain_ledger_of_gaussian_sums_states_the_exact_figure_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &policy(4.0, 2.0));
    ledger.charge(common::plan(1.0)).unwrap();
    let status = ledger.status().unwrap();
    let exact = status.epsilon_spent_gdp.unwrap();
    assert!(exact < status.epsilon_spent && exact.get() > 0.9, "{exact}");
    ledger.charge(ReleasePlan::laplace_sums(request(0.5)).unwrap()).unwrap();
    assert_eq!(ledger.status().unwrap().epsilon_spent_gdp, None);
}

#[test]
fn an_accountant_is_changed_where_it_can_count_what_was_spent() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &policy(4.0, 2.0));
    ledger.charge(common::plan(1.0)).unwrap();
    let before = ledger.status().unwrap();
    ledger.amend(Some(&gdp_policy(4.0, 2.0)), None, "the exact figure").unwrap();
    let after = ledger.status().unwrap();
    assert_eq!(after.rho_spent, before.rho_spent);
    assert_eq!(Some(after.epsilon_spent), before.epsilon_spent_gdp);
    assert!(after.rho_cap > before.rho_cap);
    ledger.charge(plan(1.0)).unwrap();
    ledger.amend(Some(&policy(4.0, 2.0)), None, "any mechanism").unwrap();
    ledger.charge(ReleasePlan::laplace_sums(request(0.5)).unwrap()).unwrap();
    let refused = ledger.amend(Some(&gdp_policy(4.0, 2.0)), None, "again").unwrap_err().to_string();
    assert!(refused.contains("other charges"), "{refused}");
    Ledger::open(ledger.path()).unwrap().verify_figures().unwrap();
}

#[test]
fn a_policy_under_which_nothing_can_be_released_is_refused_when_the_ledger_is_made() {
    let refusal = |policy: &Policy| {
        let folder = tempfile::tempdir().unwrap();
        let made = Ledger::create(folder.path().join("ledger"), policy, "p", common::PUBLIC_SIZE);
        made.err().map(|error| error.to_string())
    };
    for cap in [16.0, 20.0, 30.0, 50.0, 80.0, 100.0, 700.0, 1000.0, 1e6, 1e9] {
        let words = refusal(&gdp_policy(cap, 2.0)).unwrap_or_else(|| panic!("{cap} is accepted"));
        assert!(words.contains("epsilon_cap") && words.contains("accountant = \"zcdp\""), "{words}");
        // The remedy works, and is no less than a cap that anybody would choose.
        let most = words.split("at most ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        let most: f64 = most.parse().unwrap();
        assert!((10.0..16.0).contains(&most), "{words}");
        assert_eq!(refusal(&gdp_policy(most, 2.0)), None);
        // What such a cap leaves affordable must be an epsilon that can be written, at most 1e9.
        if cap < 1e9 {
            assert_eq!(refusal(&policy(cap, 2.0)), None, "zcdp counts as far as that");
        }
    }
    // However small the limit is: either it is refused, or a release at the limit can be charged.
    let mut refused = 0;
    for power in 0..=12 {
        let limit = 10_f64.powi(-power);
        for (policy, accountant) in
            [(policy(1.0, limit), Accountant::Zcdp), (gdp_policy(1.0, limit), Accountant::Gdp)]
        {
            if let Some(words) = refusal(&policy) {
                assert!(words.contains("epsilon_per_release_max") && words.contains("Raise it"), "{words}");
                refused += 1;
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let mut ledger = create(&folder, &policy);
            let plan = SumRequest { accountant, dimension: 1024, steps: 20, ..request(limit) };
            ledger.charge(ReleasePlan::gaussian_sums(plan).unwrap()).unwrap();
        }
    }
    assert!(refused > 0 && refused < 20, "{refused}");
}

#[test]
fn under_the_largest_cap_the_grid_is_never_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &gdp_policy(12.0, 12.0));
    let mut reasons = Vec::new();
    for run in 0..200 {
        let epsilon = [1.0, 4.0, 12.0][run % 3];
        let mut request = SumRequest { dimension: 1024, steps: 20, ..gaussian(epsilon) };
        request.description.insert("run".to_owned(), run.to_string());
        match ledger.charge(ReleasePlan::gaussian_sums(request).unwrap()) {
            Ok(_) => {}
            Err(ChargeError::Refused(refusal)) => reasons.push(refusal.reason),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(reasons.len() > 50 && reasons.iter().all(|reason| *reason == RefusalReason::AboveCap));
}

#[test]
fn what_is_left_is_told_in_releases_and_is_what_can_be_charged() {
    for (gdp, cap, limit, epsilon) in [(true, 4.0, 2.0, 1.0), (false, 4.0, 2.0, 0.7), (false, 1.0, 0.5, 0.5)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (policy, accountant) = match gdp {
            true => (gdp_policy(cap, limit), Accountant::Gdp),
            false => (policy(cap, limit), Accountant::Zcdp),
        };
        let mut ledger = create(&folder, &policy);
        let fresh = ledger.status().unwrap();
        assert_eq!((fresh.releases_left.like_last, fresh.share_spent()), (None, 0.0));
        let mut charge = |run: u64, epsilon: f64| {
            let mut request = SumRequest { accountant, ..request(epsilon) };
            request.description.insert("run".to_owned(), run.to_string());
            ledger.charge(ReleasePlan::gaussian_sums(request).unwrap()).map(|_| ledger.status().unwrap())
        };
        let first = charge(0, epsilon).unwrap();
        let left = first.releases_left;
        assert!(left.last_epsilon.unwrap().get() <= epsilon);
        let count = left.like_last.unwrap();
        assert!(count > 0 && left.at_limit <= count && left.at_limit <= fresh.releases_left.at_limit);
        let share = first.share_spent();
        let mut status = first;
        for run in 1..=count {
            status = charge(run, epsilon).unwrap();
            // The bar grows by the same step each time: it is in the unit that adds up.
            assert!((status.share_spent() - share * (run + 1) as f64).abs() < 1e-9);
        }
        assert_eq!(status.releases_left.like_last, Some(0));
        assert!(matches!(charge(count + 1, epsilon), Err(ChargeError::Refused(_))));
    }
}

#[test]
fn a_limit_is_told_whether_or_not_there_is_noise_for_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = create(&folder, &gdp_policy(4.0, 2.0));
    ledger.charge(plan(1.0)).unwrap();
    let status = ledger.status().unwrap();
    for epsilon in [2.1, 40.0, 100.0, 1e6, 1e9] {
        let refusal = status.check_limits(Epsilon::new(epsilon).unwrap()).unwrap_err();
        let maximum = Epsilon::new(2.0).unwrap();
        assert_eq!(refusal.reason, RefusalReason::AboveReleaseMaximum { maximum });
        let words = refusal.to_string();
        assert!(words.contains("allows at most epsilon 2") && !words.contains("grid"), "{words}");
        assert!(words.contains("entry 1") && words.contains("still affordable"), "{words}");
    }
    assert_eq!(status.check_limits(Epsilon::new(2.0).unwrap()), Ok(()));
}

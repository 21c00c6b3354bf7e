use std::collections::BTreeSet;

use super::{Means, Plan, Policy, Signatures, Why, plan, select};
use crate::{
    settle::net::Debt,
    tron::{fees::Situation, rpc::StakeYield},
    types::{Address, RawAmount, Sun, TokenId, UnixMs},
};

const NOW: UnixMs = UnixMs(1_790_000_000_000);

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

fn debt(payee: u8, due: i64, since: u64) -> Debt {
    Debt {
        payee: Address::from_body([payee; 20]),
        owed: raw(due),
        owed_to_us: RawAmount::ZERO,
        live: RawAmount::ZERO,
        due: raw(due),
        range_from: RawAmount::ZERO,
        since,
        cap: None,
    }
}

fn situation() -> Situation {
    let prices = [
        ("getTransactionFee", 1_000),
        ("getCreateAccountFee", 100_000),
        ("getCreateNewAccountFeeInSystemContract", 1_000_000),
        ("getCreateNewAccountBandwidthRate", 1),
        ("getMemoFee", 1_000_000),
    ]
    .map(|(name, sun)| (name.to_owned(), sun));
    let mut situation = Situation::new(prices.into_iter().collect());
    situation.resources.free_limit = 600;
    situation
}

/// Recorded prices (java-tron recording 01), rich in all but bandwidth.
fn means() -> Means {
    Means {
        token_balance: raw(1_000_000),
        trx: Sun(100_000_000),
        situation: situation(),
        stake_yield: StakeYield {
            total_bandwidth: 43_200,
            bandwidth_stake_trx: 1_000,
            ..StakeYield::default()
        },
        missing: BTreeSet::new(),
        signatures: Signatures::ONE,
    }
}

fn make(debts: &[Debt], means: &Means, policy: &Policy) -> Plan {
    plan(
        Address::from_body([1; 20]),
        TokenId::BTT,
        select(debts, policy, 1_790_000_000),
        means,
        policy,
        NOW,
    )
}

fn payees(plan: &Plan) -> Vec<u8> {
    plan.payouts
        .iter()
        .map(|p| p.debt.payee.body()[0])
        .collect()
}

#[test]
fn two_transfers_are_free_and_the_third_burns() {
    let debts = [debt(2, 100, 5), debt(3, 300, 5), debt(4, 10, 1)];
    let plan = make(&debts, &means(), &Policy::default());
    assert_eq!(payees(&plan), [4, 3, 2], "oldest, then largest");
    let fees: Vec<_> = plan.payouts.iter().map(|p| p.cost.expected.0).collect();
    assert_eq!(fees[..2], [0, 0]);
    // tron-facts 4.4: 279 points for one raw unit, 280 with a longer amount.
    assert_eq!(plan.payouts[0].cost.bandwidth, 279);
    assert_eq!(fees[2], plan.payouts[2].cost.bandwidth * 1000);
    assert_eq!(plan.total, raw(410));
    assert_eq!(plan.fee_expected, Sun(fees[2]));
    assert!(plan.fee_worst > plan.fee_expected);
    // 280 points at 43.2 for each TRX: seven TRX.
    assert_eq!(plan.stake_to_be_free, Some(Sun(7_000_000)));
}

#[test]
fn what_is_left_out_is_told_in_whole_tokens() {
    for (why, btt) in [
        (
            Why::BelowMinimum(raw(2_500_000)),
            "below the minimum payout of 2.5 BTT; left for later",
        ),
        (Why::Balance(raw(40)), "the balance left is 0.00004 BTT"),
    ] {
        assert_eq!(why.words(TokenId::BTT), btt);
        // Of a token whose decimals are not known here, its id is told.
        let other = why.words(TokenId::new(1_000_017).unwrap());
        assert!(other.contains("raw:1000017"), "{other}");
    }
}

#[test]
fn each_policy_leaves_out_with_its_own_reason() {
    let debts = [debt(2, 100, 5), debt(3, 300, 6), debt(4, 10, 7)];
    let with = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    };
    let check = |means: &Means, policy: Policy, paid: &[u8], why: fn(&Why) -> bool| {
        let plan = make(&debts, means, &policy);
        assert_eq!(payees(&plan), paid);
        assert_eq!(plan.payouts.len() + plan.deferred.len(), 3);
        for deferred in &plan.deferred {
            assert!(why(&deferred.reason), "{:?}", deferred.reason);
        }
    };
    check(&means(), with(|p| p.min_payout = raw(50)), &[2, 3], |why| {
        matches!(why, Why::BelowMinimum(_))
    });
    check(&means(), with(|p| p.free_only = true), &[2, 3], |why| {
        matches!(why, Why::NotFree)
    });
    check(
        &means(),
        with(|p| p.max_fee_per_payout = Some(Sun(1000))),
        &[2, 3],
        |why| matches!(why, Why::Fee(..)),
    );
    check(&means(), with(|p| p.max_payouts = Some(1)), &[2], |why| {
        matches!(why, Why::MaxPayouts(1))
    });
    check(
        &means(),
        with(|p| p.reserve = Sun(99_999_999)),
        &[2, 3],
        |why| matches!(why, Why::Trx(..)),
    );
    let poor = Means {
        token_balance: raw(115),
        ..means()
    };
    check(&poor, Policy::default(), &[2, 4], |why| {
        matches!(why, Why::Balance(_))
    });
    let unknown = Means {
        missing: [Address::from_body([3; 20])].into(),
        ..means()
    };
    check(&unknown, with(|p| p.activate = false), &[2, 4], |why| {
        matches!(why, Why::Activation(Sun(1_100_000)))
    });
    // Bandwidth is left for it: it is the account that costs.
    check(&unknown, with(|p| p.free_only = true), &[2, 4], |why| {
        matches!(why, Why::Activation(Sun(1_100_000)))
    });
}

#[test]
fn what_nears_the_payees_cap_is_paid_however_small() {
    let policy = Policy {
        min_payout: raw(50),
        ..Policy::default()
    };
    let capped = |payee, due, cap| Debt {
        cap: Some(raw(cap)),
        ..debt(payee, due, 5)
    };
    let debts = [
        capped(2, 40, 50),
        capped(3, 39, 50),
        capped(4, 0, 0),
        capped(6, 48, 49),
        debt(5, 49, 5),
    ];
    let plan = make(&debts, &means(), &policy);
    assert_eq!(payees(&plan), [2]);
    let waits: Vec<_> = plan.deferred.iter().map(|d| d.payee.body()[0]).collect();
    assert_eq!(waits, [3, 6, 5], "nothing is due to 4, and 6 quotes no cap");
    assert!(capped(2, i64::MAX, i64::MAX).is_pressing(raw(1)));
}

#[test]
fn age_overrides_the_minimum_and_partial_pays_what_is_there() {
    let policy = Policy {
        min_payout: raw(50),
        max_age_secs: Some(60),
        allow_partial: true,
        ..Policy::default()
    };
    let poor = Means {
        token_balance: raw(210),
        ..means()
    };
    let old = 1_790_000_000 - 61;
    let plan = make(
        &[debt(2, 10, old), debt(3, 300, 1_790_000_000)],
        &poor,
        &policy,
    );
    assert_eq!(payees(&plan), [2, 3]);
    assert_eq!(plan.payouts[1].amount, raw(200));
    assert_eq!(plan.payouts[1].range_to(), raw(200));
}

#[test]
fn making_an_account_never_uses_free_points() {
    let unknown = Means {
        missing: [Address::from_body([2; 20])].into(),
        ..means()
    };
    let plan = make(&[debt(2, 100, 5)], &unknown, &Policy::default());
    assert!(plan.payouts[0].activates);
    assert_eq!(plan.fee_expected, Sun(1_100_000));
}

proptest::proptest! {
    #[test]
    fn no_plan_spends_more_than_there_is(
        dues in proptest::collection::vec((1i64..1000, 0u64..100), 0..40),
        balance in 0i64..5000,
        trx in 0u64..5_000_000,
        partial: bool,
    ) {
        let debts: Vec<_> = (2u8..)
            .zip(&dues)
            .map(|(payee, (due, since))| debt(payee, *due, *since))
            .collect();
        let means = Means { token_balance: raw(balance), trx: Sun(trx), ..means() };
        let policy = Policy { allow_partial: partial, ..Policy::default() };
        let plan = make(&debts, &means, &policy);
        proptest::prop_assert!(plan.total.get() <= balance);
        proptest::prop_assert!(plan.fee_expected.0 <= trx);
        proptest::prop_assert_eq!(plan.payouts.len() + plan.deferred.len(), debts.len());
        proptest::prop_assert_eq!(make(&debts, &means, &policy), plan);
    }
}

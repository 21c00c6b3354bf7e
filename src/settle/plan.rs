//! From debts to payouts, by policy. Pure: the same ledger, chain state and
//! policy give the same plan, so a dry run and the run agree.

use std::collections::BTreeSet;

use super::net::Debt;
use crate::{
    tron::{
        contract::Contract,
        rpc::ChainParameters,
        transaction::{Draft, MAX_RESULT_SIZE_IN_TX, RefBlock, Transaction},
    },
    types::{Address, RawAmount, Sun, Token, TokenId, UnixMs},
};

/// What the user wants paid, and at which cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Smaller debts gather.
    pub min_payout: RawAmount,
    /// Debts older than this many seconds are paid even below `min_payout`.
    pub max_age_secs: Option<u64>,
    /// Debts whose transfer would burn more wait.
    pub max_fee_per_payout: Option<Sun>,
    /// Sign only what fits whole into the bandwidth that is there.
    pub free_only: bool,
    /// At most this many payouts.
    pub max_payouts: Option<usize>,
    /// TRX that fees must leave in the account.
    pub reserve: Sun,
    /// Pay payees whose account does not exist yet, at the cost of making it.
    pub activate: bool,
    /// Where the balance does not cover a debt, pay what it covers.
    pub allow_partial: bool,
}

impl Default for Policy {
    /// Everything above nothing, at any fee, activating where needed.
    fn default() -> Self {
        Self {
            min_payout: RawAmount::new(1).unwrap_or(RawAmount::ZERO),
            max_age_secs: None,
            max_fee_per_payout: None,
            free_only: false,
            max_payouts: None,
            reserve: Sun(0),
            activate: true,
            allow_partial: false,
        }
    }
}

/// The chain's side of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Means {
    /// Solid balance of the token, less all that is on its way.
    pub token_balance: RawAmount,
    /// TRX that fees may burn.
    pub trx: Sun,
    /// Staked bandwidth left, in points.
    pub staked_left: u64,
    /// Free bandwidth left, in points.
    pub free_left: u64,
    /// What things cost.
    pub prices: Prices,
    /// Payees whose account does not exist.
    pub missing: BTreeSet<Address>,
}

/// What the chain charges, read from its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// Sun burnt per byte without bandwidth.
    pub byte: Sun,
    /// Instead of bandwidth, for a transfer that makes an account.
    pub create_bandwidth: Sun,
    /// For the account made, always.
    pub create_account: Sun,
    /// Staked points per byte of a transfer that makes an account.
    pub create_rate: u64,
    /// For a memo.
    pub memo: Sun,
}

impl From<&ChainParameters> for Prices {
    fn from(parameters: &ChainParameters) -> Self {
        Self {
            byte: parameters.transaction_fee(),
            create_bandwidth: parameters.create_account_fee(),
            create_account: parameters.create_new_account_fee(),
            create_rate: parameters.fee("getCreateNewAccountBandwidthRate").0.max(1),
            memo: parameters.memo_fee(),
        }
    }
}

/// Bandwidth that is left while a plan uses it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// From stake.
    pub staked: u64,
    /// The daily free points.
    pub free: u64,
}

/// What one transfer costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Points it needs.
    pub bandwidth: u64,
    /// Sun it burns with the bandwidth that is left.
    pub expected: Sun,
    /// Sun it burns if no bandwidth is left when it runs.
    pub worst: Sun,
}

/// One transfer to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPayout {
    /// The debt it pays.
    pub debt: Debt,
    /// How much of it.
    pub amount: RawAmount,
    /// What it costs.
    pub cost: Cost,
    /// Whether it makes the payee's account.
    pub activates: bool,
}

impl PlannedPayout {
    /// End of its range, exclusive.
    pub fn range_to(&self) -> RawAmount {
        self.debt
            .range_from
            .checked_add(self.amount)
            .unwrap_or(RawAmount::MAX)
    }
}

/// A debt that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferred {
    /// To whom.
    pub payee: Address,
    /// How much is due.
    pub amount: RawAmount,
    /// Why not now, in words.
    pub reason: Why,
}

/// Why a debt is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Policy: too small.
    #[error("below the minimum payout of {0} raw units: it gathers")]
    BelowMinimum(RawAmount),
    /// Policy: the payee's account would have to be made.
    #[error("the payee's account does not exist, and making it costs {0}")]
    Activation(Sun),
    /// Policy: too dear.
    #[error("the transfer would burn {0}, more than the {1} allowed for one")]
    Fee(Sun, Sun),
    /// Policy: no free bandwidth left.
    #[error("no bandwidth is left today that covers it whole, and only free payouts are allowed")]
    NotFree,
    /// Policy: enough payouts.
    #[error("the plan is limited to {0} payouts")]
    MaxPayouts(usize),
    /// The account has not enough of the token.
    #[error("the balance left is {0} raw units")]
    Balance(RawAmount),
    /// The account has not enough TRX for the fee.
    #[error("the fee of {0} is more than the {1} left for fees")]
    Trx(Sun, Sun),
    /// A receipt of it does not verify.
    #[error("a receipt behind it does not verify: {0}")]
    BadReceipt(String),
}

impl Why {
    /// Whether it is the account that lacks something, not the policy that
    /// holds it back.
    pub const fn is_funds(&self) -> bool {
        matches!(self, Self::Balance(_) | Self::Trx(..))
    }
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who pays.
    pub payer: Address,
    /// In which token.
    pub token: TokenId,
    /// In the order they are paid.
    pub payouts: Vec<PlannedPayout>,
    /// What is left out.
    pub deferred: Vec<Deferred>,
    /// Σ amounts.
    pub total: RawAmount,
    /// Σ fees with the bandwidth that is there.
    pub fee_expected: Sun,
    /// Σ fees if there is none.
    pub fee_worst: Sun,
    /// Points needed in all.
    pub bandwidth_needed: u64,
    /// Points there: staked and free.
    pub bandwidth_available: u64,
}

/// Bandwidth of a signed transfer, in points: its bytes with one signature,
/// and 64.
pub fn transfer_bandwidth(
    payer: Address,
    payee: Address,
    token: Token,
    amount: RawAmount,
    memo: &[u8],
    now: UnixMs,
) -> u64 {
    let mut draft = Draft::new(
        Contract::transfer(payer, payee, token, amount),
        // Never zero on a chain, so its bytes are always written.
        RefBlock {
            bytes: [1; 2],
            hash: [1; 8],
        },
        now,
        now,
    );
    draft.memo = memo.to_vec();
    // A signature of 65 bytes, with its tag and length.
    let signature = 67;
    let bytes =
        Transaction::from(draft.build()).size_without_results() + signature + MAX_RESULT_SIZE_IN_TX;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What a transfer of so many points costs, and takes it out of `left`: whole
/// from stake, or whole from the free points, or burnt.
pub fn cost(
    points: u64,
    activates: bool,
    memo: bool,
    prices: &Prices,
    left: &mut Bandwidth,
) -> Cost {
    let memo_fee = if memo { prices.memo.0 } else { 0 };
    let burn = |sun: u64, fixed: u64| Sun(sun.saturating_add(fixed).saturating_add(memo_fee));
    if activates {
        let needed = points.saturating_mul(prices.create_rate);
        let worst = burn(prices.create_bandwidth.0, prices.create_account.0);
        let expected = if left.staked >= needed {
            left.staked -= needed;
            burn(0, prices.create_account.0)
        } else {
            worst
        };
        return Cost {
            bandwidth: points,
            expected,
            worst,
        };
    }
    let worst = burn(points.saturating_mul(prices.byte.0), 0);
    let expected = if left.staked >= points {
        left.staked -= points;
        burn(0, 0)
    } else if left.free >= points {
        left.free -= points;
        burn(0, 0)
    } else {
        worst
    };
    Cost {
        bandwidth: points,
        expected,
        worst,
    }
}

/// The debts that are worth a look at the chain, oldest first, then largest;
/// and those that policy leaves out by their size alone.
pub fn select(debts: &[Debt], policy: &Policy, now_secs: u64) -> (Vec<Debt>, Vec<Deferred>) {
    let mut due = Vec::new();
    let mut deferred = Vec::new();
    for debt in debts {
        if debt.due == RawAmount::ZERO {
            continue;
        }
        let old = policy
            .max_age_secs
            .is_some_and(|age| now_secs.saturating_sub(debt.since) >= age);
        if debt.due >= policy.min_payout || old {
            due.push(*debt);
        } else {
            deferred.push(Deferred {
                payee: debt.payee,
                amount: debt.due,
                reason: Why::BelowMinimum(policy.min_payout),
            });
        }
    }
    due.sort_by_key(|debt| (debt.since, std::cmp::Reverse(debt.due), debt.payee));
    (due, deferred)
}

/// Makes the plan from what [`select`] chose.
pub fn plan(
    payer: Address,
    token: TokenId,
    selected: (Vec<Debt>, Vec<Deferred>),
    means: &Means,
    policy: &Policy,
    now: UnixMs,
) -> Plan {
    let (debts, deferred) = selected;
    let mut plan = Plan {
        payer,
        token,
        payouts: Vec::new(),
        deferred,
        total: RawAmount::ZERO,
        fee_expected: Sun(0),
        fee_worst: Sun(0),
        bandwidth_needed: 0,
        bandwidth_available: means.staked_left.saturating_add(means.free_left),
    };
    let mut left = Bandwidth {
        staked: means.staked_left,
        free: means.free_left,
    };
    let mut balance = means.token_balance;
    let mut trx = means.trx.0.saturating_sub(policy.reserve.0);
    for debt in debts {
        match one(
            payer, token, debt, means, policy, now, &plan, left, balance, trx,
        ) {
            Ok((payout, after)) => {
                left = after;
                balance = balance
                    .checked_sub(payout.amount)
                    .unwrap_or(RawAmount::ZERO);
                trx = trx.saturating_sub(payout.cost.expected.0);
                plan.total = plan
                    .total
                    .checked_add(payout.amount)
                    .unwrap_or(RawAmount::MAX);
                let add = |sum: Sun, cost: Sun| Sun(sum.0.saturating_add(cost.0));
                plan.fee_expected = add(plan.fee_expected, payout.cost.expected);
                plan.fee_worst = add(plan.fee_worst, payout.cost.worst);
                plan.bandwidth_needed += payout.cost.bandwidth;
                plan.payouts.push(payout);
            }
            Err(reason) => plan.deferred.push(Deferred {
                payee: debt.payee,
                amount: debt.due,
                reason,
            }),
        }
    }
    plan
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step of `plan`, with all its state"
)]
fn one(
    payer: Address,
    token: TokenId,
    debt: Debt,
    means: &Means,
    policy: &Policy,
    now: UnixMs,
    so_far: &Plan,
    mut left: Bandwidth,
    balance: RawAmount,
    trx: u64,
) -> Result<(PlannedPayout, Bandwidth), Why> {
    if let Some(most) = policy.max_payouts
        && so_far.payouts.len() >= most
    {
        return Err(Why::MaxPayouts(most));
    }
    let amount = if debt.due <= balance {
        debt.due
    } else if policy.allow_partial && balance >= policy.min_payout && balance > RawAmount::ZERO {
        balance
    } else {
        return Err(Why::Balance(balance));
    };
    let activates = means.missing.contains(&debt.payee);
    let points = transfer_bandwidth(payer, debt.payee, Token::Trc10(token), amount, &[], now);
    let cost = cost(points, activates, false, &means.prices, &mut left);
    if activates && !policy.activate {
        return Err(Why::Activation(cost.expected));
    }
    if policy.free_only && cost.expected.0 > 0 {
        return Err(Why::NotFree);
    }
    if let Some(most) = policy.max_fee_per_payout
        && cost.expected > most
    {
        return Err(Why::Fee(cost.expected, most));
    }
    if cost.expected.0 > trx {
        return Err(Why::Trx(cost.expected, Sun(trx)));
    }
    let payout = PlannedPayout {
        debt,
        amount,
        cost,
        activates,
    };
    Ok((payout, left))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }

    /// Recorded prices (java-tron recording 01), rich in all but bandwidth.
    fn means() -> Means {
        Means {
            token_balance: raw(1_000_000),
            trx: Sun(100_000_000),
            staked_left: 0,
            free_left: 600,
            prices: Prices {
                byte: Sun(1000),
                create_bandwidth: Sun(100_000),
                create_account: Sun(1_000_000),
                create_rate: 1,
                memo: Sun(1_000_000),
            },
            missing: BTreeSet::new(),
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
                assert!(why(&deferred.reason), "{}", deferred.reason);
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
}

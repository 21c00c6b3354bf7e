//! From debts to payouts, by policy. Pure: the same ledger, chain state and
//! policy give the same plan, so a dry run and the run agree.

use std::collections::{BTreeMap, BTreeSet};

use super::net::Debt;
use crate::{
    tron::{
        contract::{Contract, ContractType},
        fees::{Item, Situation, price},
        permission::OWNER_ID,
        rpc::StakeYield,
        transaction::{Draft, MAX_RESULT_SIZE_IN_TX, RefBlock, Transaction},
    },
    types::{Address, RawAmount, Sun, Token, TokenId, UnitAmount, UnixMs},
};

/// What the user wants paid, and at which cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Smaller debts gather, unless they are pressing ([`Debt::is_pressing`]).
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
    /// What things cost, and the bandwidth there is.
    pub situation: Situation,
    /// What stake gives on this chain.
    pub stake_yield: StakeYield,
    /// Payees whose account does not exist.
    pub missing: BTreeSet<Address>,
    /// Who signs.
    pub signatures: Signatures,
}

/// Who signs a transfer, as far as its price needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    /// Under which of the account's permissions.
    pub permission_id: i32,
    /// How many there will be.
    pub count: usize,
}

impl Signatures {
    /// The account's own key.
    pub const ONE: Self = Self {
        permission_id: OWNER_ID,
        count: 1,
    };
}

impl Default for Signatures {
    fn default() -> Self {
        Self::ONE
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Policy: too small.
    BelowMinimum(RawAmount),
    /// Policy: the payee's account would have to be made.
    Activation(Sun),
    /// Policy: too dear.
    Fee(Sun, Sun),
    /// Policy: no free bandwidth left.
    NotFree,
    /// Policy: enough payouts.
    MaxPayouts(usize),
    /// The account has not enough of the token.
    Balance(RawAmount),
    /// The account has not enough TRX for the fee.
    Trx(Sun, Sun),
}

impl Why {
    /// In words, the plan's amounts as people read them.
    pub fn words(&self, token: TokenId) -> String {
        let amount = |raw: RawAmount| UnitAmount {
            token: Token::Trc10(token),
            raw,
        };
        match self {
            Self::BelowMinimum(least) => format!(
                "below the minimum payout of {}; left for later",
                amount(*least)
            ),
            Self::Activation(cost) => {
                format!("the payee's account does not exist, and making it costs {cost}")
            }
            Self::Fee(fee, most) => {
                format!("the transfer would burn {fee}, more than the {most} allowed for one")
            }
            Self::NotFree => {
                "the free bandwidth left today does not cover it, and only free payouts are allowed"
                    .to_owned()
            }
            Self::MaxPayouts(most) => format!("the plan is limited to {most} payouts"),
            Self::Balance(left) => format!("the balance left is {}", amount(*left)),
            Self::Trx(fee, left) => {
                format!("the fee of {fee} is more than the {left} left for fees")
            }
        }
    }

    /// Whether it is the cost, within what the account has, that holds it back.
    pub const fn is_cost(&self) -> bool {
        matches!(self, Self::Activation(_) | Self::Fee(..) | Self::NotFree)
    }

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
    /// How much more TRX staked for bandwidth would cover what is burnt for now, in
    /// a day; `None` when nothing is, or the chain tells no totals.
    pub stake_to_be_free: Option<Sun>,
}

/// Bandwidth of a signed transfer, in points: its bytes with the signatures, and
/// 64.
pub fn transfer_bandwidth(
    payer: Address,
    payee: Address,
    token: Token,
    amount: RawAmount,
    memo: &[u8],
    now: UnixMs,
    signatures: Signatures,
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
    draft.permission_id = signatures.permission_id;
    // Signatures of 65 bytes, each with its tag and length.
    let signed = Transaction::from(draft.build()).size_without_results() + 67 * signatures.count;
    let bytes = signed + MAX_RESULT_SIZE_IN_TX;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What a transfer costs, and takes its bandwidth out of the situation.
pub fn cost(
    token: Token,
    points: u64,
    activates: bool,
    memo: bool,
    signatures: Signatures,
    situation: &mut Situation,
) -> Cost {
    situation.creates_account = activates;
    let estimate = price(
        &Item {
            kind: Some(match token {
                Token::Trx => ContractType::Transfer,
                Token::Trc10(_) => ContractType::TransferAsset,
            }),
            bandwidth: points,
            signatures: signatures.count,
            memo,
        },
        situation,
    );
    situation.spend(&estimate);
    Cost {
        bandwidth: points,
        expected: estimate.total_sun,
        worst: estimate.worst_case_sun,
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
        if debt.due >= policy.min_payout || old || debt.is_pressing(policy.min_payout) {
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
    let resources = &means.situation.resources;
    let mut plan = Plan {
        payer,
        token,
        payouts: Vec::with_capacity(debts.len()),
        deferred,
        total: RawAmount::ZERO,
        fee_expected: Sun(0),
        fee_worst: Sun(0),
        bandwidth_needed: 0,
        bandwidth_available: resources
            .staked_left()
            .saturating_add(resources.free_left()),
        stake_to_be_free: None,
    };
    let mut burnt_points: u64 = 0;
    let mut left = Left {
        situation: means.situation.clone(),
        balance: means.token_balance,
        trx: means.trx.0.saturating_sub(policy.reserve.0),
        sizes: BTreeMap::new(),
    };
    for debt in debts {
        match left.one(payer, token, debt, means, policy, now, plan.payouts.len()) {
            Ok((payout, burnt)) => {
                plan.total = plan
                    .total
                    .checked_add(payout.amount)
                    .unwrap_or(RawAmount::MAX);
                let add = |sum: Sun, cost: Sun| Sun(sum.0.saturating_add(cost.0));
                plan.fee_expected = add(plan.fee_expected, payout.cost.expected);
                plan.fee_worst = add(plan.fee_worst, payout.cost.worst);
                plan.bandwidth_needed += payout.cost.bandwidth;
                burnt_points += if burnt { payout.cost.bandwidth } else { 0 };
                plan.payouts.push(payout);
            }
            Err(reason) => plan.deferred.push(Deferred {
                payee: debt.payee,
                amount: debt.due,
                reason,
            }),
        }
    }
    if burnt_points > 0 {
        let trx = means.stake_yield.trx_for_bandwidth(burnt_points);
        plan.stake_to_be_free = trx.and_then(|trx| trx.checked_mul(1_000_000)).map(Sun);
    }
    plan
}

/// What is left while payouts are planned.
struct Left {
    situation: Situation,
    balance: RawAmount,
    trx: u64,
    /// Points of a transfer, by the length of its amount: nothing else differs.
    sizes: BTreeMap<u32, u64>,
}

impl Left {
    /// Plans one, and says whether its bandwidth is burnt.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `plan`, with all that it looks at"
    )]
    fn one(
        &mut self,
        payer: Address,
        token: TokenId,
        debt: Debt,
        means: &Means,
        policy: &Policy,
        now: UnixMs,
        planned: usize,
    ) -> Result<(PlannedPayout, bool), Why> {
        if let Some(most) = policy.max_payouts
            && planned >= most
        {
            return Err(Why::MaxPayouts(most));
        }
        let partial = policy.allow_partial
            && self.balance >= policy.min_payout
            && self.balance > RawAmount::ZERO;
        let amount = if debt.due <= self.balance {
            debt.due
        } else if partial {
            self.balance
        } else {
            return Err(Why::Balance(self.balance));
        };
        let activates = means.missing.contains(&debt.payee);
        let trc10 = Token::Trc10(token);
        let bits = u64::BITS - amount.unsigned().leading_zeros();
        let points = *self.sizes.entry(bits.div_ceil(7)).or_insert_with(|| {
            let signatures = means.signatures;
            transfer_bandwidth(payer, debt.payee, trc10, amount, &[], now, signatures)
        });
        let before = self.situation.resources;
        let issuer = self.situation.issuer;
        let cost = cost(
            trc10,
            points,
            activates,
            false,
            means.signatures,
            &mut self.situation,
        );
        let refused = if activates && !policy.activate {
            Some(Why::Activation(cost.expected))
        } else if policy.free_only && cost.expected.0 > 0 {
            Some(if activates {
                Why::Activation(cost.expected)
            } else {
                Why::NotFree
            })
        } else if let Some(most) = policy.max_fee_per_payout
            && cost.expected > most
        {
            Some(Why::Fee(cost.expected, most))
        } else if cost.expected.0 > self.trx {
            Some(Why::Trx(cost.expected, Sun(self.trx)))
        } else {
            None
        };
        let burnt = self.situation.resources == before && self.situation.issuer == issuer;
        if let Some(why) = refused {
            self.situation.resources = before;
            self.situation.issuer = issuer;
            return Err(why);
        }
        self.balance = self.balance.checked_sub(amount).unwrap_or(RawAmount::ZERO);
        self.trx -= cost.expected.0;
        let payout = PlannedPayout {
            debt,
            amount,
            cost,
            activates,
        };
        Ok((payout, burnt))
    }
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
}

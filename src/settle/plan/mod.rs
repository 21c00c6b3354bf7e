//! From debts to payouts, by policy. Pure: the same ledger, chain state and
//! policy give the same plan, so a dry run and the run agree.

mod cost;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::cost::{Cost, Signatures, cost, transfer_bandwidth};
use super::net::Debt;
use crate::{
    tron::{fees::Situation, rpc::StakeYield},
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

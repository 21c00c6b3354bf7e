//! What witnesses and their voters earn (`MortgageService.java`, `DelegationStore.java`):
//! each block pays its witness and, by their votes, the witnesses with most votes; a
//! witness keeps its brokerage, the rest is its voters'.
//!
//! A cycle's reward is summed up for each witness as reward for one vote, 10^18 times; an
//! account is owed the difference of two such sums for each of its votes. Nothing comes
//! into being before it is withdrawn.

use std::sync::Arc;

use super::{
    committee::Witness,
    params::Parameter,
    resource::{brokerage_of, scaled},
    state::{Account, State},
    vm::Word,
};
use crate::types::Address;

/// What one vote has earned in all cycles up to one.
pub(crate) type Sums = Vec<(i64, Word)>;

/// Witnesses that are paid for their votes.
const STANDBY: usize = 127;
/// Parts of a sun for one vote.
const PARTS: u64 = 1_000_000_000_000_000_000;

/// How far an account's votes have been paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Earning {
    /// The first cycle that has not been paid for.
    begin: i64,
    /// The cycle behind the one that `counted` is of; -1 before there was any.
    end: i64,
    /// With which votes it went into the cycle that it last changed them in.
    counted: Option<(i64, Vec<(Address, i64)>)>,
}

impl Default for Earning {
    fn default() -> Self {
        Self {
            begin: 0,
            end: -1,
            counted: None,
        }
    }
}

impl Earning {
    /// The votes that were written down in a cycle.
    fn counted_in(&self, cycle: i64) -> Option<&[(Address, i64)]> {
        let (known, votes) = self.counted.as_ref()?;
        (*known == cycle).then_some(votes)
    }
}

/// The sum as of the end of a cycle.
fn sum_at(witness: &Witness, cycle: i64) -> Word {
    let later = witness.sums.partition_point(|(known, _)| *known <= cycle);
    let at = later.checked_sub(1).and_then(|at| witness.sums.get(at));
    at.map_or(Word::ZERO, |(_, sum)| *sum)
}

/// What these votes earned from the cycle `begin` to before `end`.
fn between(state: &State, begin: i64, end: i64, votes: &[(Address, i64)]) -> i64 {
    if begin >= end {
        return 0;
    }
    let each = votes.iter().filter_map(|(address, count)| {
        let witness = state.witness(address)?;
        let gained = sum_at(witness, end - 1).saturating_sub(sum_at(witness, begin - 1));
        let earned = gained.saturating_mul(Word::from(count.unsigned_abs())) / Word::from(PARTS);
        Some(i64::try_from(earned).unwrap_or(i64::MAX))
    });
    each.fold(0, i64::saturating_add)
}

/// What an account may withdraw (`queryReward`), sun.
pub(crate) fn earned(state: &State, address: &Address) -> i64 {
    let Some(account) = state.account(address) else {
        return 0;
    };
    if state.parameters.get(Parameter::ChangeDelegation) == 0 {
        return 0;
    }
    let now = state.properties.cycle;
    let earning = &account.earning;
    let mut begin = earning.begin;
    if begin > now {
        return account.allowance;
    }
    let mut reward = 0;
    if begin + 1 == earning.end && begin < now {
        let counted = earning.counted_in(begin).unwrap_or_default();
        reward = between(state, begin, earning.end, counted);
        begin += 1;
    }
    let since = between(state, begin, now, &account.votes);
    account
        .allowance
        .saturating_add(reward)
        .saturating_add(since)
}

/// Puts what an account's votes have earned to its allowance (`withdrawReward`). Comes
/// before its votes change.
pub(crate) fn settle(state: &mut State, address: &Address) {
    if state.parameters.get(Parameter::ChangeDelegation) == 0 {
        return;
    }
    let Some(account) = state.account(address) else {
        return;
    };
    let now = state.properties.cycle;
    let earning = &account.earning;
    if earning.begin > now || (earning.begin == now && earning.counted_in(now).is_some()) {
        return;
    }
    let mut account: Account = account.as_ref().clone();
    account.allowance = earned(state, address);
    account.earning = if account.votes.is_empty() {
        Earning {
            begin: now + 1,
            ..account.earning
        }
    } else {
        Earning {
            begin: now,
            end: now + 1,
            counted: Some((now, account.votes.clone())),
        }
    };
    state.put_account(account);
}

/// Makes the allowance of an account TRX; how much.
pub(crate) fn withdraw(state: &mut State, account: &mut Account) -> Option<i64> {
    account.balance = account.balance.checked_add(account.allowance)?;
    let allowance = std::mem::take(&mut account.allowance);
    state.properties.minted = state.properties.minted.saturating_add(allowance);
    Some(allowance)
}

fn allow(state: &mut State, address: &Address, amount: i64) {
    if amount <= 0 {
        return;
    }
    if let Some(account) = state.account(address) {
        let mut account = account.as_ref().clone();
        account.allowance = account.allowance.saturating_add(amount);
        state.put_account(account);
    }
}

fn pay(state: &mut State, address: &Address, amount: i64) {
    let Some(witness) = state.witness(address) else {
        return;
    };
    let mut witness = witness.as_ref().clone();
    let kept = brokerage_of(amount, witness.brokerage);
    witness.reward = witness.reward.saturating_add(amount - kept);
    state.put_witness(*address, witness);
    allow(state, address, kept);
}

/// Pays for a block (`Manager.payReward`).
pub(crate) fn pay_block(state: &mut State, maker: Address) {
    let for_block = state.parameters.get(Parameter::WitnessPayPerBlock);
    if state.parameters.get(Parameter::ChangeDelegation) == 0 {
        allow(state, &maker, for_block);
        return;
    }
    pay(state, &maker, for_block);
    let mut standby: Vec<(Address, i64)> = state
        .witnesses()
        .map(|(address, witness)| (*address, witness.votes))
        .filter(|(_, votes)| *votes > 0)
        .collect();
    standby.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    standby.truncate(STANDBY);
    let all = standby.iter().map(|(_, votes)| *votes);
    let all = all.fold(0, i64::saturating_add);
    let total = state.parameters.get(Parameter::Witness127PayPerBlock);
    for (address, votes) in standby {
        pay(state, &address, scaled(votes, total, all));
    }
}

/// Adds a cycle that ends to each witness's sum. Comes before votes are counted anew.
pub(crate) fn end_cycle(state: &mut State) {
    let cycle = state.properties.cycle;
    // No account is paid for cycles before these any more.
    let voters = state.voters();
    let oldest = voters.map(|account| account.earning.begin - 1).min();
    let oldest = oldest.unwrap_or(cycle).min(cycle);
    let all: Vec<(Address, Arc<Witness>)> = state
        .witnesses()
        .filter(|(_, witness)| witness.reward != 0)
        .map(|(address, witness)| (*address, Arc::clone(witness)))
        .collect();
    for (address, witness) in all {
        let mut witness = witness.as_ref().clone();
        let reward = std::mem::take(&mut witness.reward);
        if let (Ok(reward), Ok(votes @ 1..)) = (u64::try_from(reward), u64::try_from(witness.votes))
        {
            let more = Word::from(reward) * Word::from(PARTS) / Word::from(votes);
            let sum = sum_at(&witness, cycle - 1).saturating_add(more);
            let sums = Arc::make_mut(&mut witness.sums);
            let unused = sums.partition_point(|(known, _)| *known <= oldest);
            sums.drain(..unused.saturating_sub(1));
            sums.push((cycle, sum));
        }
        state.put_witness(address, witness);
    }
}

//! Questions to the chain: votes, stake, parameters.

use super::{Precompile, WORD_BYTES, number, parse};
use crate::{
    devnet::{
        execute::{self, MAX_UNFREEZING},
        params::Parameter,
        resource::TRX,
        reward,
        state::{Account, Resource, SLOT_MS, State},
        vm::{
            op::stake::known,
            word::{self, Word},
        },
    },
    types::Address,
};

/// Words that the input must have exactly; whatever else gives zeros.
const fn words_of(precompile: Precompile) -> usize {
    match precompile {
        Precompile::IsSrCandidate
        | Precompile::UsedVoteCount
        | Precompile::ReceivedVoteCount
        | Precompile::TotalVoteCount
        | Precompile::ChainParameter
        | Precompile::AvailableUnfreezeSize => 1,
        Precompile::ResourceV2 | Precompile::CheckUndelegate => 3,
        _ => 2,
    }
}

/// Words of the answer.
const fn answers_of(precompile: Precompile) -> usize {
    match precompile {
        Precompile::CheckUndelegate => 3,
        Precompile::ResourceUsage => 2,
        _ => 1,
    }
}

pub(super) fn answer(
    state: &State,
    precompile: Precompile,
    caller: &Address,
    data: &[u8],
) -> Vec<u8> {
    if precompile == Precompile::RewardBalance {
        return number(reward::earned(state, caller));
    }
    if data.len() != words_of(precompile) * WORD_BYTES {
        return vec![0; answers_of(precompile) * WORD_BYTES];
    }
    let words = parse(data);
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    let address = word::address(&word(0));
    let account = state.account(&address).map(AsRef::as_ref);
    let kind = |n| known(word::long_safe(&word(n)));
    match precompile {
        Precompile::IsSrCandidate => number(i64::from(state.witness(&address).is_some())),
        Precompile::ReceivedVoteCount => {
            number(state.witness(&address).map_or(0, |witness| witness.votes))
        }
        Precompile::ChainParameter => number(parameter(state, word::long_safe(&word(0)))),
        Precompile::CheckUndelegate => {
            let amount = word::long_safe(&word(1));
            let values = account.zip(kind(2)).map_or([0; 3], |(account, kind)| {
                check(state, account, amount, kind)
            });
            values.iter().flat_map(|value| number(*value)).collect()
        }
        Precompile::ResourceUsage => {
            let (used, seconds) = account
                .zip(kind(1))
                .map_or((0, 0), |(account, kind)| usage(state, account, kind));
            [number(used), number(seconds)].concat()
        }
        _ => number(account.map_or(0, |account| of_account(state, precompile, account, &words))),
    }
}

fn of_account(state: &State, precompile: Precompile, account: &Account, words: &[Word]) -> i64 {
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    let second = word::long_safe(&word(1));
    let resource = known(second);
    match precompile {
        Precompile::VoteCount => {
            let witness = word::address(&word(1));
            let votes = account.votes.iter().filter(|(to, _)| *to == witness);
            votes.map(|(_, count)| *count).sum()
        }
        Precompile::UsedVoteCount => account.votes.iter().map(|(_, count)| *count).sum(),
        Precompile::TotalVoteCount => execute::tron_power(account) / TRX,
        Precompile::AvailableUnfreezeSize => {
            let now = state.properties.head_time;
            let waiting = account.unfreezing.iter().filter(|e| e.expire > now).count();
            i64::try_from(MAX_UNFREEZING.saturating_sub(waiting)).unwrap_or(0)
        }
        Precompile::UnfreezableBalance => staked(account, second),
        Precompile::ExpireUnfreezeBalance => {
            let until = second.saturating_mul(1_000);
            let due = account.unfreezing.iter().filter(|e| e.expire.0 <= until);
            due.map(|entry| entry.amount).sum()
        }
        Precompile::DelegatableResource => resource.map_or(0, |resource| {
            let (used, _) = usage(state, account, resource);
            let acquired = both(account.acquired, resource);
            (account.staked(resource) - (used - acquired).max(0)).max(0)
        }),
        Precompile::ResourceV2 => {
            let from = word::address(&word(1));
            let kind = word::long_safe(&word(2));
            if from == account.address {
                return staked(account, kind);
            }
            let Some(resource) = known(kind) else {
                return 0;
            };
            [false, true]
                .into_iter()
                .filter_map(|lock| state.delegation(&(from, account.address, lock)))
                .map(|lent| both((lent.bandwidth, lent.energy), resource))
                .sum()
        }
        Precompile::TotalResource => resource.map_or(0, |resource| account.stake_in_use(resource)),
        Precompile::TotalDelegated => {
            resource.map_or(0, |resource| both(account.delegated, resource))
        }
        Precompile::TotalAcquired => {
            resource.map_or(0, |resource| both(account.acquired, resource))
        }
        _ => 0,
    }
}

fn both((bandwidth, energy): (i64, i64), resource: Resource) -> i64 {
    match resource {
        Resource::Bandwidth => bandwidth,
        _ => energy,
    }
}

fn staked(account: &Account, kind: i64) -> i64 {
    i32::try_from(kind)
        .ok()
        .and_then(Resource::from_number)
        .map_or(0, |resource| account.staked(resource))
}

fn parameter(state: &State, code: i64) -> i64 {
    match code {
        1 => state.parameters.get(Parameter::TotalNetLimit),
        2 => state.properties.net_weight,
        3 => state.parameters.get(Parameter::TotalEnergyCurrentLimit),
        4 => state.properties.energy_weight,
        5 => state.parameters.get(Parameter::UnfreezeDelayDays),
        _ => 0,
    }
}

/// The stake that an account's use takes, and the seconds until it is all recovered.
fn usage(state: &State, account: &Account, resource: Resource) -> (i64, i64) {
    let staked = match resource {
        Resource::Bandwidth => account.net,
        _ => account.energy,
    };
    let now = state.head_slot();
    let end = staked.usage.slot + staked.window_slots();
    if now >= end {
        return (0, 0);
    }
    let taken = state.taken_by(staked.at(now), resource);
    (taken, (end - now) * SLOT_MS / 1_000)
}

/// What of a delegation would come back unused, used, and when that is recovered.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
fn check(state: &State, account: &Account, amount: i64, resource: Resource) -> [i64; 3] {
    if amount <= 0 {
        return [0; 3];
    }
    let (used, seconds) = usage(state, account, resource);
    let limit = account.stake_in_use(resource);
    let amount = amount.min(limit);
    if limit <= used {
        return [0, amount, seconds];
    }
    let clean = (amount as f64 * ((limit - used) as f64 / limit as f64)) as i64;
    [clean, amount - clean, seconds]
}

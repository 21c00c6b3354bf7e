//! Stake and votes of a contract: the actuators' own rules, with 0 in place of a refusal.

use crate::{
    devnet::{
        execute,
        reject::Reject,
        reward,
        state::Resource,
        vm::{
            fault::Fault,
            frame::Frame,
            machine::{Context, Next, Note},
            op::store::no_static,
            word::{self, Word},
        },
    },
    tron::contract::{
        CancelAllUnfreezeV2Contract, DelegateResourceContract, FreezeBalanceV2Contract,
        UnDelegateResourceContract, UnfreezeBalanceV2Contract, WithdrawExpireUnfreezeContract,
    },
    types::{Address, UnixMs},
};

type Done = Result<Next, Fault>;

/// A frame's memory.
const MAX_BYTES: usize = 3 * 1_024 * 1_024;
/// Witnesses one vote may name.
const MAX_VOTES: usize = 30;

/// The name of a resource in an internal transaction's note.
fn noted(words: [&'static str; 4], resource: &Word) -> &'static str {
    let [bandwidth, energy, power, unknown] = words;
    let [low, ..] = resource.as_limbs();
    // `intValue`: the low 32 bits.
    match low & 0xffff_ffff {
        0 => bandwidth,
        1 => energy,
        2 => power,
        _ => unknown,
    }
}

/// `parseResourceCodeV2`; what is none is refused by the actuator.
fn resource(word: &Word) -> i32 {
    word::signed_exact(word)
        .and_then(|number| i8::try_from(number).ok())
        .map_or(-1, i32::from)
}

fn simple(context: &mut Context<'_>, frame: &Frame, note: &'static str, to: Address, value: i64) {
    context.note(
        &frame.parent,
        Note {
            note,
            from: frame.address,
            to: Some(to),
            value,
            tokens: Vec::new(),
            data: &[],
        },
    );
}

/// Pushes whether it was done, and marks the internal transaction at `at` if not.
fn answer(context: &mut Context<'_>, frame: &mut Frame, at: usize, done: bool) -> Done {
    if !done {
        context.reject_from(at);
    }
    frame.push_bool(done);
    Ok(Next::Step)
}

fn owner(frame: &Frame) -> Vec<u8> {
    frame.address.to_bytes().to_vec()
}

pub(in crate::devnet::vm) fn freeze(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let kind = frame.pop();
    let amount = frame.pop();
    let at = context.internal.len();
    let note = noted(
        [
            "freezeBalanceV2ForBandwidth",
            "freezeBalanceV2ForEnergy",
            "freezeBalanceV2ForTronPower",
            "freezeBalanceV2ForUnknownType",
        ],
        &kind,
    );
    simple(context, frame, note, frame.address, word::long(&amount));
    let done = word::signed_exact(&amount).is_some_and(|frozen_balance| {
        let contract = FreezeBalanceV2Contract {
            owner_address: owner(frame),
            frozen_balance,
            resource: resource(&kind),
        };
        execute::freeze(&mut context.world.state, &contract).is_ok()
    });
    answer(context, frame, at, done)
}

pub(in crate::devnet::vm) fn unfreeze(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let kind = frame.pop();
    let amount = frame.pop();
    let at = context.internal.len();
    let note = noted(
        [
            "unfreezeBalanceV2ForBandwidth",
            "unfreezeBalanceV2ForEnergy",
            "unfreezeBalanceV2ForTronPower",
            "unfreezeBalanceV2ForUnknownType",
        ],
        &kind,
    );
    simple(context, frame, note, frame.address, word::long(&amount));
    let outcome = word::signed_exact(&amount).and_then(|unfreeze_balance| {
        let contract = UnfreezeBalanceV2Contract {
            owner_address: owner(frame),
            unfreeze_balance,
            resource: resource(&kind),
        };
        execute::unfreeze(&mut context.world.state, &contract).ok()
    });
    let due = outcome
        .as_ref()
        .map_or(0, |outcome| outcome.withdraw_expire_amount);
    if due > 0 {
        let note = "withdrawExpireUnfreezeWhileUnfreezing";
        simple(context, frame, note, frame.address, due);
    }
    answer(context, frame, at, outcome.is_some())
}

pub(in crate::devnet::vm) fn cancel_all(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let at = context.internal.len();
    simple(context, frame, "cancelAllUnfreezeV2", frame.address, 0);
    let is_waiting = context
        .world
        .state
        .account(&frame.address)
        .is_some_and(|account| !account.unfreezing.is_empty());
    let (due, [bandwidth, energy, power]) = if is_waiting {
        let contract = CancelAllUnfreezeV2Contract {
            owner_address: owner(frame),
        };
        match execute::cancel_all(&mut context.world.state, &contract) {
            Ok(outcome) => (
                outcome.withdraw_expire_amount,
                outcome.cancelled.unwrap_or_default(),
            ),
            Err(_) => return answer(context, frame, at, false),
        }
    } else {
        (0, [0; 3])
    };
    if due > 0 {
        let note = "withdrawExpireUnfreezeWhileCanceling";
        simple(context, frame, note, frame.address, due);
    }
    if let Some(noted) = context.internal.get_mut(at) {
        noted.extra =
            format!("{{\"BANDWIDTH\":{bandwidth},\"ENERGY\":{energy},\"TRON_POWER\":{power}}}");
    }
    answer(context, frame, at, true)
}

pub(in crate::devnet::vm) fn withdraw_expired(
    context: &mut Context<'_>,
    frame: &mut Frame,
) -> Done {
    no_static(frame)?;
    let at = context.internal.len();
    simple(context, frame, "withdrawExpireUnfreeze", frame.address, 0);
    let contract = WithdrawExpireUnfreezeContract {
        owner_address: owner(frame),
    };
    let due = match execute::withdraw(&mut context.world.state, &contract) {
        Ok(outcome) => outcome.withdraw_expire_amount,
        // Nothing that is due is no refusal here.
        Err(_) => 0,
    };
    if let Some(noted) = context.internal.get_mut(at) {
        noted.value = due;
    }
    frame.push(word::of_i64(due));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn delegate(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    lend(
        context,
        frame,
        [
            "delegateResourceOfBandwidth",
            "delegateResourceOfEnergy",
            "delegateResourceOfTronPower",
            "delegateResourceOfUnknownType",
        ],
        |context, owner_address, receiver_address, balance, resource| {
            let contract = DelegateResourceContract {
                owner_address,
                receiver_address,
                balance,
                resource,
                ..DelegateResourceContract::default()
            };
            execute::delegate(&mut context.world.state, &contract).map(|_| ())
        },
    )
}

pub(in crate::devnet::vm) fn undelegate(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    lend(
        context,
        frame,
        [
            "unDelegateResourceOfBandwidth",
            "unDelegateResourceOfEnergy",
            "unDelegateResourceOfTronPower",
            "unDelegateResourceOfUnknownType",
        ],
        |context, owner_address, receiver_address, balance, resource| {
            let contract = UnDelegateResourceContract {
                owner_address,
                receiver_address,
                balance,
                resource,
            };
            execute::undelegate(&mut context.world.state, &contract).map(|_| ())
        },
    )
}

fn lend(
    context: &mut Context<'_>,
    frame: &mut Frame,
    notes: [&'static str; 4],
    act: impl FnOnce(&mut Context<'_>, Vec<u8>, Vec<u8>, i64, i32) -> Result<(), Reject>,
) -> Done {
    no_static(frame)?;
    let kind = frame.pop();
    let amount = frame.pop();
    let receiver = word::address(&frame.pop());
    let at = context.internal.len();
    let note = noted(notes, &kind);
    simple(context, frame, note, receiver, word::long(&amount));
    let done = word::signed_exact(&amount).is_some_and(|amount| {
        let to = receiver.to_bytes().to_vec();
        act(context, owner(frame), to, amount, resource(&kind)).is_ok()
    });
    answer(context, frame, at, done)
}

pub(in crate::devnet::vm) fn withdraw_reward(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let at = context.internal.len();
    simple(context, frame, "withdrawReward", frame.address, 0);
    let allowance = reward_of(context, &frame.address);
    if allowance.is_none() {
        context.reject_from(at);
    }
    let allowance = allowance.unwrap_or_default();
    if let Some(noted) = context.internal.get_mut(at) {
        noted.value = allowance;
    }
    frame.push(word::of_i64(allowance));
    Ok(Next::Step)
}

/// `WithdrawRewardProcessor`: 0 changes nothing more.
fn reward_of(context: &mut Context<'_>, owner: &Address) -> Option<i64> {
    let state = &mut context.world.state;
    if execute::is_guard(state, owner) {
        return None;
    }
    reward::settle(state, owner);
    let mut account = state.account(owner)?.as_ref().clone();
    let allowance = reward::withdraw(state, &mut account)?;
    if allowance > 0 {
        account.latest_withdraw = whole_second(context.env.time);
        context.world.state.put_account(account);
    }
    Some(allowance)
}

/// A contract's clock has no milliseconds.
pub(in crate::devnet::vm) fn whole_second(time: UnixMs) -> UnixMs {
    UnixMs(time.0 / 1_000 * 1_000)
}

pub(in crate::devnet::vm) fn vote_witness(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let amounts_length = word::int_safe(&frame.pop());
    let amounts_at = word::int_safe(&frame.pop());
    let witnesses_length = word::int_safe(&frame.pop());
    let witnesses_at = word::int_safe(&frame.pop());
    // Its price is computed with a multiplication that wraps.
    if witnesses_at.max(amounts_at) >= MAX_BYTES {
        return Err(Fault::OutOfMemory(frame.op_name()));
    }
    let at = context.internal.len();
    context.note(
        &frame.parent,
        Note {
            note: "voteWitness",
            from: frame.address,
            to: None,
            value: 0,
            tokens: Vec::new(),
            data: &[],
        },
    );
    if word::int_safe(&frame.memory.word(witnesses_at)) != witnesses_length
        || word::int_safe(&frame.memory.word(amounts_at)) != amounts_length
    {
        return Err(Fault::Execution(
            "TVM VoteWitness: memory array length do not match length parameter!".to_owned(),
        ));
    }
    if witnesses_length != amounts_length {
        frame.push(Word::ZERO);
        return Ok(Next::Step);
    }
    if witnesses_length > MAX_BYTES / 32 {
        return answer(context, frame, at, false);
    }
    let mut votes = Vec::new();
    for n in 1..=witnesses_length {
        let witness = frame.memory.word(witnesses_at + 32 * n);
        let amount = frame.memory.word(amounts_at + 32 * n);
        match word::signed_exact(&amount) {
            Some(amount) => votes.push((word::address(&witness), amount)),
            None => return answer(context, frame, at, false),
        }
    }
    if let Some(noted) = context.internal.get_mut(at) {
        noted.extra = extra(&votes);
    }
    let done = votes.len() <= MAX_VOTES && vote(context, frame.address, &votes);
    answer(context, frame, at, done)
}

fn extra(votes: &[(Address, i64)]) -> String {
    let each: Vec<String> = votes
        .iter()
        .map(|(witness, count)| {
            format!("{{\"vote_address\":\"{witness}\",\"vote_count\":{count}}}")
        })
        .collect();
    format!("{{\"votes\":[{}]}}", each.join(","))
}

/// `VoteWitnessProcessor`: votes of 0 are left out, those for one witness are added up.
fn vote(context: &mut Context<'_>, owner: Address, votes: &[(Address, i64)]) -> bool {
    let state = &mut context.world.state;
    let Some(account) = state.account(&owner) else {
        return false;
    };
    let power = execute::tron_power(account);
    let mut sum = 0i64;
    let mut merged: Vec<(Address, i64)> = Vec::new();
    for (witness, count) in votes {
        if state.witness(witness).is_none() || *count < 0 {
            return false;
        }
        let Some(more) = sum.checked_add(*count) else {
            return false;
        };
        sum = more;
        match merged.iter_mut().find(|(known, _)| known == witness) {
            Some((_, known)) => *known = known.saturating_add(*count),
            None if *count > 0 => merged.push((*witness, *count)),
            None => {}
        }
    }
    if sum
        .checked_mul(crate::devnet::resource::TRX)
        .is_none_or(|sum| sum > power)
    {
        return false;
    }
    reward::settle(state, &owner);
    let Some(account) = state.account(&owner) else {
        return false;
    };
    let mut account = account.as_ref().clone();
    account.votes = as_walked(merged);
    state.put_voter(owner);
    state.put_account(account);
    true
}

/// Votes in the order in which Java's hash map walks them by their addresses.
fn as_walked(mut votes: Vec<(Address, i64)>) -> Vec<(Address, i64)> {
    /// Buckets of a map, and how full it may get before there are twice as many.
    const BUCKETS: usize = 16;
    let mut buckets = BUCKETS;
    while votes.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    votes.sort_by_key(|(address, _)| {
        // `ByteString.hashCode`, and what `HashMap` makes of it.
        let bytes = address.to_bytes();
        let start = u32::try_from(bytes.len()).unwrap_or_default();
        let hash = bytes.iter().fold(start, |hash, byte| {
            let signed = i32::from(byte.cast_signed()).cast_unsigned();
            hash.wrapping_mul(31).wrapping_add(signed)
        });
        let spread = hash ^ (hash >> 16);
        usize::try_from(spread).unwrap_or_default() % buckets
    });
    votes
}

/// The resource of a number that a contract gave.
pub(in crate::devnet::vm) fn known(number: i64) -> Option<Resource> {
    match number {
        0 => Some(Resource::Bandwidth),
        1 => Some(Resource::Energy),
        _ => None,
    }
}

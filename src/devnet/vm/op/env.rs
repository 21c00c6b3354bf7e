//! Who, where, when: accounts and the block.

use crate::{
    devnet::vm::{
        fault::{Fault, not_valid},
        frame::Frame,
        machine::{Context, Next},
        word::{self, Word},
    },
    tron::keys::keccak256,
};

type Done = Result<Next, Fault>;

/// Token ids count from here.
pub(in crate::devnet::vm) const MIN_TOKEN_ID: i64 = 1_000_000;

fn give(frame: &mut Frame, word: Word) -> Done {
    frame.push(word);
    Ok(Next::Step)
}

/// PUSH0, and what this chain has not: gas price, difficulty, gas limit, blob base fee.
pub(in crate::devnet::vm) fn zero(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, Word::ZERO)
}

pub(in crate::devnet::vm) fn blob_hash(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.pop();
    give(frame, Word::ZERO)
}

pub(in crate::devnet::vm) fn address(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_address(&frame.address))
}

pub(in crate::devnet::vm) fn balance(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let address = word::address(&frame.pop());
    give(frame, word::of_i64(context.world.balance(&address)))
}

pub(in crate::devnet::vm) fn self_balance(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_i64(context.world.balance(&frame.address)))
}

pub(in crate::devnet::vm) fn origin(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_address(&context.env.origin))
}

pub(in crate::devnet::vm) fn caller(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_address(&frame.entry.caller))
}

pub(in crate::devnet::vm) fn call_value(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, frame.entry.value)
}

pub(in crate::devnet::vm) fn call_token_value(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, frame.entry.token_value)
}

pub(in crate::devnet::vm) fn call_token_id(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, frame.entry.token_id)
}

pub(in crate::devnet::vm) fn token_balance(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let id = frame.pop();
    let address = word::address(&frame.pop());
    let refused = not_valid("not valid token id");
    let id = match word::signed_exact(&id) {
        None => return Err(Fault::Transfer(refused)),
        Some(id) if id <= MIN_TOKEN_ID => return Err(Fault::Execution(refused)),
        Some(id) => id,
    };
    give(
        frame,
        word::of_i64(context.world.token_balance(&address, id)),
    )
}

pub(in crate::devnet::vm) fn is_contract(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let address = word::address(&frame.pop());
    frame.push_bool(context.world.state.contract(&address).is_some());
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn ext_code_size(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let address = word::address(&frame.pop());
    let code = context.world.state.code(&address);
    let size = code.map_or(0, |code| code.bytes().len());
    give(frame, Word::from(size))
}

pub(in crate::devnet::vm) fn ext_code_hash(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let address = word::address(&frame.pop());
    let state = &context.world.state;
    let hash = match (state.account(&address), state.code(&address)) {
        (None, _) => Word::ZERO,
        (Some(_), Some(code)) => Word::from_be_bytes(*code.hash()),
        (Some(_), None) => Word::from_be_bytes(keccak256([])),
    };
    give(frame, hash)
}

pub(in crate::devnet::vm) fn block_hash(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let index = i64::try_from(word::int_safe(&frame.pop())).unwrap_or(i64::MAX);
    let number = context.env.number;
    let is_near = index < number && index >= number.max(256) - 256;
    let id = u64::try_from(index)
        .ok()
        .filter(|_| is_near)
        .and_then(|index| context.world.state.block_id(index));
    give(
        frame,
        id.map_or(Word::ZERO, |id| Word::from_be_bytes(*id.as_bytes())),
    )
}

pub(in crate::devnet::vm) fn coinbase(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_full_address(&context.env.witness))
}

pub(in crate::devnet::vm) fn timestamp(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_i64(context.env.time.0 / 1_000))
}

pub(in crate::devnet::vm) fn number(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_i64(context.env.number))
}

pub(in crate::devnet::vm) fn chain_id(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let genesis = context.world.state.properties.genesis;
    let id = Word::from_be_bytes(*genesis.as_bytes());
    let id = if context.rules.short_chain_id {
        id & Word::from(u32::MAX)
    } else {
        id
    };
    give(frame, id)
}

pub(in crate::devnet::vm) fn base_fee(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    give(frame, word::of_i64(context.rules.energy_fee))
}

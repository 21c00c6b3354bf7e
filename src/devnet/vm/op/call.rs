//! Calls, creations, the end of a contract (`Program.java`).

use std::sync::Arc;

use crate::{
    devnet::vm::{
        code::Code,
        energy::STIPEND,
        fault::{Fault, not_valid},
        frame::{Ending, Entry, Frame},
        machine::{Context, Next, Note},
        op::{env::MIN_TOKEN_ID, store::no_static},
        precompile,
        word::{self, Word},
        world::contract_account,
    },
    tron::{
        contract::SmartContract,
        keys::{keccak256, keccak256_parts},
    },
    types::Address,
};

type Done = Result<Next, Fault>;

/// Frames below the outermost one.
const MAX_DEPTH: usize = 64;
/// CREATE2 does not look at the depth before Osaka; a JVM's stack ends somewhere, ours here.
const MAX_NESTING: usize = 512;
/// What a frame's memory is priced up to, bytes.
const MAX_MEMORY: usize = 3 * 1_024 * 1_024;
/// Hardhat's `console.log` calls this address, at which nothing is.
const CONSOLE: &[u8; 20] = b"\0\0\0\0\0\0\0\0\0console.log";
/// What one program may print.
const MAX_CONSOLE: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
    CallToken,
}

impl Kind {
    /// Whether the callee's code runs for the caller.
    const fn keeps_context(self) -> bool {
        matches!(self, Self::CallCode | Self::DelegateCall)
    }
}

/// A call as its opcode asks for it.
struct Message {
    kind: Kind,
    to: Word,
    value: Word,
    token: Word,
    energy: i64,
    input_at: usize,
    input_size: usize,
    output_at: usize,
    output_size: usize,
}

pub(in crate::devnet::vm) fn call(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    any(context, frame, Kind::Call)
}

pub(in crate::devnet::vm) fn call_code(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    any(context, frame, Kind::CallCode)
}

pub(in crate::devnet::vm) fn delegate_call(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    any(context, frame, Kind::DelegateCall)
}

pub(in crate::devnet::vm) fn static_call(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    any(context, frame, Kind::StaticCall)
}

pub(in crate::devnet::vm) fn call_token(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    any(context, frame, Kind::CallToken)
}

fn any(context: &mut Context<'_>, frame: &mut Frame, kind: Kind) -> Done {
    frame.pop();
    let to = frame.pop();
    let value = match kind {
        Kind::Call | Kind::CallCode | Kind::CallToken => frame.pop(),
        Kind::DelegateCall | Kind::StaticCall => Word::ZERO,
    };
    if kind != Kind::CallCode && !value.is_zero() {
        no_static(frame)?;
    }
    let token = match kind {
        Kind::CallToken => frame.pop(),
        _ => Word::ZERO,
    };
    let stipend = if value.is_zero() { 0 } else { STIPEND };
    let message = Message {
        kind,
        to,
        value,
        token,
        energy: frame.call_energy + stipend,
        input_at: word::int_safe(&frame.pop()),
        input_size: word::int_safe(&frame.pop()),
        output_at: word::int_safe(&frame.pop()),
        output_size: word::int_safe(&frame.pop()),
    };
    frame.memory.extend(message.output_at, message.output_size);
    match precompile::find(&context.rules, &message.to) {
        Some(precompile) => call_precompile(context, frame, &message, precompile),
        None => call_address(context, frame, &message),
    }
}

/// Answers 0 and gives the energy back.
fn refuse(frame: &mut Frame, message: &Message) -> Done {
    frame.push(Word::ZERO);
    frame.used -= message.energy;
    Ok(Next::Step)
}

/// The token's id if tokens are sent; only those above 1,000,000 are ids.
fn token_id(frame: &mut Frame, message: &Message) -> Result<Option<i64>, Fault> {
    if message.kind != Kind::CallToken {
        return Ok(None);
    }
    match word::signed_exact(&message.token) {
        Some(id) if id > MIN_TOKEN_ID => Ok(Some(id)),
        _ => {
            frame.used -= message.energy;
            Err(Fault::Transfer(not_valid("not valid token id")))
        }
    }
}

fn call_address(context: &mut Context<'_>, frame: &mut Frame, message: &Message) -> Done {
    frame.returned.clear();
    if frame.depth == MAX_DEPTH {
        return refuse(frame, message);
    }
    context.count_work(frame, message.input_size)?;
    let data = frame.memory.read(message.input_at, message.input_size);
    let code_address = word::address(&message.to);
    let sender = frame.address;
    let receiver = match message.kind.keeps_context() {
        true => sender,
        false => code_address,
    };
    let Some(endowment) = word::exact(&message.value) else {
        frame.used -= message.energy;
        return Err(Fault::Transfer("endowment out of long range".to_owned()));
    };
    let token = token_id(frame, message)?;
    let held = match token {
        None => context.world.balance(&sender),
        Some(id) => context.world.token_balance(&sender, id),
    };
    if held < endowment {
        return refuse(frame, message);
    }
    if code_address.body() == CONSOLE && context.console.len() < MAX_CONSOLE {
        context.console.push(data.clone());
    }
    let before = context.world.checkpoint();
    let code = context
        .world
        .state
        .account(&code_address)
        .and_then(|_| context.world.state.code(&code_address).cloned())
        .filter(|code| !code.bytes().is_empty());
    if !message.kind.keeps_context() && endowment > 0 {
        context.world.create_account(receiver);
        let moved = match token {
            None => context
                .world
                .transfer(sender, receiver, endowment)
                .map_err(|why| format!("transfer trx failed: {why}")),
            Some(id) => context
                .world
                .transfer_token(sender, receiver, id, endowment)
                .map_err(|why| format!("transfer trc10 failed: {why}")),
        };
        if let Err(why) = moved {
            context.world.restore(before);
            frame.used -= message.energy;
            return Err(Fault::Transfer(why));
        }
    }
    let parent = context.note(
        &frame.parent,
        Note {
            note: "call",
            from: sender,
            to: Some(receiver),
            value: if token.is_none() { endowment } else { 0 },
            tokens: token.map(|id| (id, endowment)).into_iter().collect(),
            data: &data,
        },
    );
    let Some(code) = code else {
        frame.push_bool(true);
        frame.used -= message.energy;
        return Ok(Next::Step);
    };
    let is_delegated = message.kind == Kind::DelegateCall;
    let value = match is_delegated {
        true => frame.entry.value,
        false => message.value,
    };
    let (value, token_value, token_id) = match token {
        Some(_) => (Word::ZERO, value, message.token),
        None if is_delegated => (value, frame.entry.token_value, frame.entry.token_id),
        None => (value, Word::ZERO, Word::ZERO),
    };
    let entry = Entry {
        address: receiver,
        caller: match is_delegated {
            true => frame.entry.caller,
            false => sender,
        },
        value,
        token_value,
        token_id,
        data: Arc::from(data),
        is_static: message.kind == Kind::StaticCall || frame.entry.is_static,
    };
    let ending = Ending::Call {
        energy: message.energy,
        output_at: message.output_at,
        output_size: message.output_size,
    };
    let depth = frame.depth + 1;
    let child = context.enter(code, entry, message.energy, parent, depth, ending, before);
    Ok(Next::Enter(Box::new(child)))
}

fn call_precompile(
    context: &mut Context<'_>,
    frame: &mut Frame,
    message: &Message,
    precompile: precompile::Precompile,
) -> Done {
    frame.returned.clear();
    if frame.depth == MAX_DEPTH {
        return refuse(frame, message);
    }
    let sender = frame.address;
    let endowment = word::exact(&message.value).ok_or(Fault::OutOfLong)?;
    let token = token_id(frame, message)?;
    let held = match token {
        None => context.world.balance(&sender),
        Some(id) => context.world.token_balance(&sender, id),
    };
    if held < endowment {
        return refuse(frame, message);
    }
    context.count_work(frame, message.input_size)?;
    let data = frame.memory.read(message.input_at, message.input_size);
    let before = context.world.checkpoint();
    if !message.kind.keeps_context() && endowment > 0 {
        let receiver = word::address(&message.to);
        match token {
            None => context
                .world
                .transfer(sender, receiver, endowment)
                .map_err(|_| Fault::Execution("transfer failure".to_owned()))?,
            Some(id) => context
                .world
                .transfer_token(sender, receiver, id, endowment)
                .map_err(|why| Fault::Execution(not_valid(why)))?,
        }
    }
    let needed = precompile::price(&context.rules, precompile, &data);
    if needed > message.energy {
        context.world.restore(before);
        frame.push(Word::ZERO);
        return Ok(Next::Step);
    }
    let caller = match message.kind {
        Kind::DelegateCall => frame.entry.caller,
        _ => sender,
    };
    match precompile::run(context, precompile, &caller, &data)? {
        Some(output) => {
            // All of it, whatever room the caller has made and paid for: a place that no
            // memory has is refused.
            if message.output_at.saturating_add(output.len()) > MAX_MEMORY {
                return Err(Fault::OutOfMemory(frame.op_name()));
            }
            frame.used -= message.energy - needed;
            frame.push_bool(true);
            frame.memory.write(message.output_at, &output);
            frame.returned = output;
        }
        None => {
            context.world.restore(before);
            frame.push(Word::ZERO);
        }
    }
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn create(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let value = frame.pop();
    let offset = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    frame.returned.clear();
    if frame.depth == MAX_DEPTH {
        frame.push(Word::ZERO);
        return Ok(Next::Step);
    }
    context.count_work(frame, size)?;
    let code = frame.memory.read(offset, size);
    let hash = keccak256_parts(&[context.env.txid.as_bytes(), &context.nonce.to_be_bytes()]);
    let address = word::address(&Word::from_be_bytes(hash));
    create_at(context, frame, value, code, address, false)
}

pub(in crate::devnet::vm) fn create2(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let value = frame.pop();
    let offset = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    let salt = word::bytes(&frame.pop());
    if context.rules.osaka {
        // As CREATE does.
        frame.returned.clear();
        if frame.depth == MAX_DEPTH {
            frame.push(Word::ZERO);
            return Ok(Next::Step);
        }
    }
    context.count_work(frame, size)?;
    let code = frame.memory.read(offset, size);
    let hash = keccak256_parts(&[&frame.address.to_bytes(), &salt, &keccak256(&code)]);
    let address = word::address(&Word::from_be_bytes(hash));
    create_at(context, frame, value, code, address, true)
}

fn create_at(
    context: &mut Context<'_>,
    frame: &mut Frame,
    value: Word,
    code: Vec<u8>,
    address: Address,
    is_create2: bool,
) -> Done {
    let sender = frame.address;
    let endowment = word::exact(&value).ok_or(Fault::OutOfLong)?;
    if context.world.balance(&sender) < endowment {
        frame.push(Word::ZERO);
        return Ok(Next::Step);
    }
    if frame.depth >= MAX_NESTING {
        return Err(Fault::StackOverflow);
    }
    let before = context.world.checkpoint();
    let is_taken = context.world.state.contract(&address).is_some();
    if !is_taken {
        let account = contract_account(&context.world.state, address, b"CreatedByContract");
        context.world.state.put_account(account);
        let contract = SmartContract {
            contract_address: address.to_bytes().to_vec(),
            origin_address: sender.to_bytes().to_vec(),
            consume_user_resource_percent: 100,
            trx_hash: match is_create2 {
                true => context.env.txid.as_bytes().to_vec(),
                false => Vec::new(),
            },
            ..SmartContract::default()
        };
        context.world.state.put_new_contract(address, contract);
        context.created.push(address);
    }
    if endowment > 0 {
        context
            .world
            .transfer(sender, address, endowment)
            .map_err(|why| Fault::Execution(not_valid(why)))?;
    }
    let energy = frame.left();
    frame.used = frame.limit;
    let parent = context.note(
        &frame.parent,
        Note {
            note: "create",
            from: sender,
            to: Some(address),
            value: endowment,
            tokens: Vec::new(),
            data: &code,
        },
    );
    if is_taken {
        context.world.restore(before);
        context.reject_from(context.internal.len() - 1);
        frame.push(Word::ZERO);
        return Ok(Next::Step);
    }
    if code.is_empty() {
        context
            .world
            .state
            .save_code(address, Code::new(Vec::new()));
        frame.used -= energy;
        frame.push(word::of_full_address(&address));
        return Ok(Next::Step);
    }
    let entry = Entry {
        address,
        caller: sender,
        value,
        token_value: Word::ZERO,
        token_id: Word::ZERO,
        data: Arc::from([]),
        is_static: false,
    };
    let ending = Ending::Create { address, energy };
    let depth = frame.depth + 1;
    let child = context.enter(
        Code::new(code),
        entry,
        energy,
        parent,
        depth,
        ending,
        before,
    );
    Ok(Next::Enter(Box::new(child)))
}

pub(in crate::devnet::vm) fn selfdestruct(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    if !context.world.may_be_destroyed(&frame.address) {
        return Ok(Next::Revert(Vec::new()));
    }
    let heir = word::address(&frame.pop());
    let owner = frame.address;
    let is_deleted = !context.rules.restricted_selfdestruct || context.created.contains(&owner);
    let (balance, tokens) = match context.world.state.account(&owner) {
        Some(account) => (
            account.balance.saturating_add(account.allowance),
            account
                .assets
                .iter()
                .map(|(id, amount)| (*id, *amount))
                .collect(),
        ),
        None => (0, Vec::new()),
    };
    context.note(
        &frame.parent,
        Note {
            note: "suicide",
            from: owner,
            to: Some(heir),
            value: balance,
            tokens,
            data: &[],
        },
    );
    let suicide = context.internal.len() - 1;
    if is_deleted || heir != owner {
        let now = context.env.time;
        let due = context.world.inherit(owner, heir, now);
        if due > 0 {
            context.note(
                &frame.parent,
                Note {
                    note: "withdrawExpireUnfreezeWhileSuiciding",
                    from: owner,
                    to: Some(heir),
                    value: due,
                    tokens: Vec::new(),
                    data: &[],
                },
            );
            if let Some(noted) = context.internal.get_mut(suicide) {
                noted.value = noted.value.saturating_add(due);
            }
        }
    }
    if is_deleted {
        context.deleted.push(owner);
    }
    Ok(Next::Stop)
}

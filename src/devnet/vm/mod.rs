//! The virtual machine: contracts' code, run on a copy of the state.
//!
//! [`run`] takes a state, a call and what it may use, and gives back the state after it
//! with all that happened. Nothing here knows of transactions, blocks in the making, or
//! who pays: that is `execute::contract`'s. Where it differs from Ethereum's machine it
//! does so as java-tron does, and the recordings in `fixtures/tron/tvm` say how.

mod code;
mod energy;
mod fault;
mod frame;
mod machine;
mod memory;
mod op;
mod precompile;
mod rules;
mod table;
mod word;
mod world;

use std::{sync::Arc, time::Instant};

pub(crate) use {
    code::Code,
    fault::{ContractResult, Fault},
    word::{Word, address as word_address, bytes as word_bytes, from_bytes as word_of},
    world::contract_account,
};

use crate::{
    devnet::state::State,
    types::{Address, TxId, UnixMs},
};
use {
    energy::CREATE_DATA,
    frame::{Ending, Entry, Frame},
    machine::{Context, End},
    rules::Rules,
    world::World,
};

/// `count * 10 ^ decimals` as a word of 32 bytes.
pub(crate) fn power_of_ten(decimals: u8, count: u128) -> [u8; 32] {
    let power = Word::from(10).wrapping_pow(Word::from(decimals));
    word::bytes(&power.wrapping_mul(Word::from(count)))
}

/// The row that a slot's number names.
pub(crate) fn storage_row(slot: &Word) -> [u8; 16] {
    world::row(slot)
}

/// The account kind of a contract.
pub(crate) const CONTRACT: i32 = world::CONTRACT;

/// What a program sees of the chain beside the state.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    pub(crate) number: i64,
    pub(crate) time: UnixMs,
    pub(crate) witness: Address,
    pub(crate) txid: TxId,
    pub(crate) origin: Address,
    /// When a call that belongs to no transaction must have ended.
    pub(crate) deadline: Option<Instant>,
    /// How many opcodes a program may run: as its time is up on a node that is slow.
    pub(crate) opcodes: Option<u64>,
}

/// What is run: a contract's code, or one's making when its account is there already.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) code: Arc<Code>,
    pub(crate) address: Address,
    pub(crate) caller: Address,
    /// Sun; already moved.
    pub(crate) value: i64,
    pub(crate) token_value: i64,
    pub(crate) token_id: i64,
    pub(crate) data: Vec<u8>,
    /// Whether what it returns becomes the contract's code.
    pub(crate) is_creation: bool,
    pub(crate) energy_limit: i64,
}

/// A LOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<[u8; 32]>,
    pub(crate) data: Vec<u8>,
}

/// A call, a creation or a move of stake inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Internal {
    pub(crate) hash: [u8; 32],
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    /// Sun.
    pub(crate) value: i64,
    /// Token ids and amounts.
    pub(crate) tokens: Vec<(i64, i64)>,
    pub(crate) note: &'static str,
    pub(crate) is_rejected: bool,
    pub(crate) extra: String,
}

/// A contract's use of energy, from which its factor comes (`ContractStateCapsule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ContractEnergy {
    pub(crate) cycle: i64,
    pub(crate) usage: i64,
    /// Ten-thousandths on top of 1.
    pub(crate) factor: i64,
}

impl ContractEnergy {
    /// As of a cycle: a quiet one takes from the factor, one above the threshold adds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the chain itself computes this in doubles; another rounding would be another chain"
    )]
    pub(crate) fn caught_up(
        self,
        cycle: i64,
        threshold: i64,
        increase: i64,
        max_factor: i64,
    ) -> Self {
        const ONE: i64 = energy::FACTOR_ONE;
        /// `DYNAMIC_ENERGY_DECREASE_DIVISION`.
        const DECREASE: f64 = 4.0;
        if self.cycle == cycle {
            return self;
        }
        if self.cycle > cycle || self.cycle == 0 {
            return Self {
                cycle,
                ..Self::default()
            };
        }
        let mut new = self;
        let one = ONE as f64;
        if self.usage > threshold {
            let percent = 1.0 + increase as f64 / one;
            let factor = ((self.factor + ONE) as f64 * percent) as i64 - ONE;
            new = Self {
                cycle: self.cycle + 1,
                usage: 0,
                factor: factor.min(max_factor),
            };
        }
        let cycles = cycle - new.cycle;
        if cycles <= 0 {
            return new;
        }
        let percent = (1.0 - increase as f64 / DECREASE / one).powf(cycles as f64);
        let factor = ((new.factor + ONE) as f64 * percent) as i64 - ONE;
        Self {
            cycle,
            usage: 0,
            factor: factor.max(0),
        }
    }
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The state after it; as before it when it failed.
    pub(crate) state: State,
    pub(crate) energy_used: i64,
    /// The part of it that is for a hot contract.
    pub(crate) energy_penalty: i64,
    /// What it returned or reverted with.
    pub(crate) output: Vec<u8>,
    pub(crate) ended: Ended,
    pub(crate) logs: Vec<Log>,
    pub(crate) internal: Vec<Internal>,
    /// Contracts to be taken off the chain.
    pub(crate) deleted: Vec<Address>,
    /// What was printed by `console.log`.
    pub(crate) console: Vec<Vec<u8>>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Reverted,
    Failed(Fault),
}

/// Moves what a call brings along, after the checks of `VMUtils.validateForSmartContract`.
pub(crate) fn endow(
    state: State,
    from: Address,
    to: Address,
    value: i64,
    token_value: i64,
    token_id: i64,
) -> Result<State, &'static str> {
    let mut world = World::new(state);
    if value > 0 {
        world.transfer(from, to, value)?;
    }
    if token_value > 0 {
        world.transfer_token(from, to, token_id, token_value)?;
    }
    Ok(world.finish())
}

/// Plays a program from its beginning to its end.
fn play(context: &mut Context<'_>, program: &Program) -> (Frame, End) {
    let entry = Entry {
        address: program.address,
        caller: program.caller,
        value: word::of_i64(program.value),
        token_value: word::of_i64(program.token_value),
        token_id: word::of_i64(program.token_id),
        data: Arc::from(program.data.as_slice()),
        is_static: false,
    };
    let (code, limit) = (Arc::clone(&program.code), program.energy_limit);
    let (parent, before) = (*context.env.txid.as_bytes(), context.world.checkpoint());
    let root = context.enter(code, entry, limit, parent, 0, Ending::Program, before);
    context.play(root)
}

/// What a program had at its end, for comparison with another machine.
#[cfg(any(test, fuzzing))]
pub(crate) struct Trace {
    pub(crate) ended: Ended,
    pub(crate) output: Vec<u8>,
    pub(crate) stack: Vec<Word>,
    pub(crate) memory: Vec<u8>,
}

/// Runs a program as [`run`] does and tells what it had at its end, not what it did.
#[cfg(any(test, fuzzing))]
pub(crate) fn trace(state: State, env: &Env, program: Program) -> Trace {
    let rules = Rules::new(&state.parameters);
    let mut context = Context::new(World::new(state), env, rules);
    let (mut root, end) = play(&mut context, &program);
    let (ended, output) = match end {
        End::Done(output) => (Ended::Done, output),
        End::Reverted(output) => (Ended::Reverted, output),
        End::Failed(fault) => (Ended::Failed(fault), Vec::new()),
    };
    let size = root.memory.len();
    Trace {
        ended,
        output,
        memory: root.memory.read(0, size),
        stack: root.stack,
    }
}

/// Runs a program on a state, which the value has already been moved in. `before` is the
/// state that remains when it fails.
pub(crate) fn run(before: State, state: State, env: &Env, program: Program) -> Ran {
    let rules = Rules::new(&state.parameters);
    let mut context = Context::new(World::new(state), env, rules);
    if program.is_creation {
        context.created.push(program.address);
    }
    let limit = program.energy_limit;
    let (mut used, end) = match program.code.bytes().is_empty() {
        true => (0, End::Done(Vec::new())),
        false => {
            let (root, end) = play(&mut context, &program);
            (root.used, end)
        }
    };
    let (mut output, mut ended) = match end {
        End::Done(output) => (output, Ended::Done),
        End::Reverted(output) => (output, Ended::Reverted),
        End::Failed(fault) => (Vec::new(), Ended::Failed(fault)),
    };
    if program.is_creation && ended == Ended::Done {
        match keep_code(&context.rules, limit - used, &output) {
            Ok(cost) => {
                used += cost;
                let code = Code::new(output.clone());
                context.world.state.save_code(program.address, code);
            }
            Err(fault) => ended = Ended::Failed(fault),
        }
    }
    match &ended {
        Ended::Done => {}
        Ended::Reverted => context.deleted.clear(),
        Ended::Failed(fault) => {
            context.deleted.clear();
            context.reject_from(0);
            if !matches!(fault, Fault::Transfer(_)) {
                used = limit;
            }
        }
    }
    if let Ended::Failed(fault) = &ended
        && !matches!(fault, Fault::OutOfEnergy(_) | Fault::InvalidCode)
    {
        output.clear();
    }
    let state = match ended {
        Ended::Done => context.world.finish(),
        _ => before,
    };
    Ran {
        state,
        energy_used: used,
        energy_penalty: context.penalty,
        output,
        ended,
        logs: context.logs,
        internal: context.internal,
        deleted: context.deleted,
        console: context.console,
    }
}

/// What keeping a new contract's code costs.
fn keep_code(rules: &Rules, left: i64, code: &[u8]) -> Result<i64, Fault> {
    if rules.london && code.first() == Some(&0xef) {
        return Err(Fault::InvalidCode);
    }
    let cost = i64::try_from(code.len())
        .unwrap_or(i64::MAX)
        .saturating_mul(CREATE_DATA);
    if left < cost {
        return Err(Fault::OutOfEnergy(format!(
            "Not enough energy for 'save just created contract code' executing: needEnergy[{cost}], leftEnergy[{left}];"
        )));
    }
    Ok(cost)
}

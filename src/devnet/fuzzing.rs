//! What `fuzz/` runs of the virtual machine (with `--cfg fuzzing`, and in tests): code as
//! that of a rich contract, beside one that gives its input back.

use super::{
    committee::Witness,
    execute::Slot,
    params::{Parameters, Preset},
    state::{Account, Operations, Properties, Resource, State, Usage},
    vm::{self, CONTRACT, Code, Ended, Env, Fault, Program, Ran, word_bytes},
};
use crate::{
    tron::contract::{AssetIssueContract, SmartContract},
    types::{Address, BlockId, TxId, UnixMs},
};

/// A chain with one witness, two contracts and a token.
#[derive(Debug)]
pub struct Machine {
    state: State,
    slot: Slot,
}

/// How a program ended: two runs of the same one are equal.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Never above the limit.
    pub energy_used: i64,
    /// What it returned or reverted with.
    pub output: Vec<u8>,
    /// In words, with what it called.
    pub ended: String,
    /// All TRX there are, sun: as before it.
    pub supply: i128,
}

/// What a program that calls nobody had at its end.
#[derive(Debug)]
pub struct Traced {
    /// How it ended.
    pub halt: Halt,
    /// What it returned or reverted with.
    pub output: Vec<u8>,
    /// The first item that was pushed comes first.
    pub stack: Vec<[u8; 32]>,
    /// All of it, in whole words.
    pub memory: Vec<u8>,
}

/// How a program ended, as any such machine tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// At STOP, RETURN or the end of its code.
    Done,
    /// At REVERT.
    Reverted,
    /// Out of energy, or of the memory that it buys.
    OutOfEnergy,
    /// Too few or too many items on the stack.
    Stack,
    /// A jump to where no JUMPDEST is.
    BadJump,
    /// No opcode.
    InvalidOpcode,
    /// More of what a call returned than there is.
    ReturnData,
    /// Whatever has no counterpart elsewhere.
    Other,
}

impl Halt {
    fn of(ended: &Ended) -> Self {
        match ended {
            Ended::Done => Self::Done,
            Ended::Reverted => Self::Reverted,
            Ended::Failed(fault) => match fault {
                Fault::OutOfEnergy(_) | Fault::OutOfMemory(_) => Self::OutOfEnergy,
                Fault::StackTooSmall(..) | Fault::StackTooLarge => Self::Stack,
                Fault::BadJump(_) => Self::BadJump,
                Fault::InvalidOpcode(_) => Self::InvalidOpcode,
                Fault::ReturnDataBounds(..) => Self::ReturnData,
                _ => Self::Other,
            },
        }
    }
}

/// The contract that runs code has address 1, one that gives its input back 2, the witness 3.
const RICH: Address = numbered(1);
const ECHO: Address = numbered(2);
const WITNESS: Address = numbered(3);
/// The token that the first one has.
const TOKEN: i64 = 1_000_001;
/// CALLDATACOPY all of it, RETURN it.
const ECHOES: [u8; 10] = [0x36, 0x5f, 0x5f, 0x37, 0x36, 0x5f, 0xf3, 0, 0, 0];

const fn numbered(number: u8) -> Address {
    let mut body = [0; 20];
    body[0] = 0x70;
    body[19] = number;
    Address::from_body(body)
}

impl Default for Machine {
    fn default() -> Self {
        let time = UnixMs(1_790_000_000_000);
        let properties = Properties {
            head: BlockId::from_bytes([0; 32]),
            head_time: time,
            genesis_time: UnixMs(0),
            public_net: Usage::default(),
            burnt: 0,
            minted: 0,
            net_weight: 0,
            energy_weight: 0,
            power_weight: 0,
            next_token: TOKEN + 1,
            operations: Operations::Voted,
            next_maintenance: UnixMs(time.0 + 1),
            next_proposal: 1,
            cycle: 3,
            genesis: BlockId::from_bytes([0; 32]),
            unfreeze_delay_ms: None,
            transaction_opcodes: None,
        };
        let mut state = State::new(Parameters::new(Preset::MainnetLike), properties);
        for (address, balance) in [(RICH, 1_000_000_000_000), (ECHO, 5), (WITNESS, 7)] {
            let mut account = Account::genesis(address, b"", balance);
            if address != WITNESS {
                account.kind = CONTRACT;
                account.set_asset(TOKEN, 1_000);
                account.change_stake(Resource::Energy, 50_000_000);
                let contract = SmartContract {
                    origin_address: WITNESS.to_bytes().to_vec(),
                    contract_address: address.to_bytes().to_vec(),
                    consume_user_resource_percent: 100,
                    origin_energy_limit: 1,
                    ..SmartContract::default()
                };
                state.put_contract(address, contract);
            }
            state.put_account(account);
        }
        state.properties.energy_weight = 100;
        state.save_code(ECHO, Code::new(ECHOES.to_vec()));
        state.put_witness(WITNESS, Witness::genesis());
        let token = AssetIssueContract {
            id: TOKEN.to_string(),
            ..AssetIssueContract::default()
        };
        state.put_asset(TOKEN, token);
        let slot = Slot {
            number: 1,
            time,
            witness: WITNESS,
        };
        Self { state, slot }
    }
}

impl Machine {
    /// Runs code with what it is called with, and so much energy.
    pub fn run(&self, code: &[u8], data: &[u8], energy_limit: i64) -> Outcome {
        let (env, program) = self.program(code, data, energy_limit);
        let ran = vm::run(self.state.clone(), self.state.clone(), &env, program);
        let Ran {
            energy_used,
            output,
            ended,
            internal,
            logs,
            state,
            ..
        } = ran;
        Outcome {
            energy_used,
            output,
            ended: format!("{ended:?} {internal:?} {logs:?}"),
            supply: supply(&state),
        }
    }

    /// Runs code as [`Self::run`] does; what it had at its end.
    pub fn trace(&self, code: &[u8], data: &[u8], energy_limit: i64) -> Traced {
        let (env, program) = self.program(code, data, energy_limit);
        let traced = vm::trace(self.state.clone(), &env, program);
        Traced {
            halt: Halt::of(&traced.ended),
            output: traced.output,
            stack: traced.stack.iter().map(word_bytes).collect(),
            memory: traced.memory,
        }
    }

    fn program(&self, code: &[u8], data: &[u8], energy_limit: i64) -> (Env, Program) {
        let env = Env {
            number: 1,
            time: self.slot.time,
            witness: WITNESS,
            txid: TxId::from_bytes([7; 32]),
            origin: WITNESS,
            deadline: None,
            opcodes: None,
        };
        let program = Program {
            code: Code::new(code.to_vec()),
            address: RICH,
            caller: WITNESS,
            value: 0,
            token_value: 0,
            token_id: 0,
            data: data.to_vec(),
            is_creation: false,
            energy_limit,
        };
        (env, program)
    }

    /// With what java-tron 4.8.2 brought.
    pub fn later() -> Self {
        [
            "getAllowTvmSelfdestructRestriction",
            "getAllowTvmPrague",
            "getAllowTvmOsaka",
            "getAllowHardenResourceCalculation",
        ]
        .into_iter()
        .fold(Self::default(), |machine, name| {
            machine.with_parameter(name, 1)
        })
    }

    /// With another value of a chain parameter.
    pub(crate) fn with_parameter(mut self, name: &str, value: i64) -> Self {
        let mut parameters = self.state.parameters.as_ref().clone();
        parameters.set(name, value).expect("a parameter's name");
        self.state.parameters = std::sync::Arc::new(parameters);
        self
    }

    /// The state that programs run on.
    #[cfg(test)]
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// All TRX there are, sun.
    pub fn supply(&self) -> i128 {
        supply(&self.state)
    }
}

/// Balances, stake in all its forms, rewards that were not taken, and what was burnt.
fn supply(state: &State) -> i128 {
    let held = state.accounts().map(|account| {
        let stake = account.frozen.iter().map(|(_, amount)| *amount);
        let waiting = account.unfreezing.iter().map(|entry| entry.amount);
        let parts = [
            account.balance,
            account.allowance,
            account.delegated.0,
            account.delegated.1,
        ];
        let all = stake.chain(waiting).chain(parts);
        all.map(i128::from).sum::<i128>()
    });
    held.sum::<i128>() + i128::from(state.properties.burnt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_run_on_the_machine_that_is_fuzzed() {
        let machine = Machine::default();
        let run = |code: &str| machine.run(&hex::decode(code).unwrap(), b"input", 1_000_000);
        // CALLDATACOPY, CALL of the other contract with it, RETURN what it gave.
        let echo =
            "365f5f37365f365f5f73700000000000000000000000000000000000000261fffff1503d5f5f3e3d5ff3";
        let ran = run(echo);
        assert!(ran.ended.starts_with("Done"), "{ran:?}");
        assert_eq!(ran.output, b"input");
        assert_eq!(ran.supply, machine.supply());
        assert_eq!(ran, run(echo));
        // The stake of 50 TRX: FREEZEBALANCEV2 of another one for energy.
        let ran = run("620f42406001da5f5260205ff3");
        assert_eq!(ran.output.last(), Some(&1), "{ran:?}");
        assert_eq!(ran.supply, machine.supply());
        let ran = run("5b5f56");
        assert_eq!(ran.energy_used, 1_000_000);
    }

    #[test]
    fn a_trace_has_the_stack_and_the_memory_of_the_end() {
        let machine = Machine::later();
        let trace = |code: &str| machine.trace(&hex::decode(code).unwrap(), b"", 100_000);
        // PUSH1 7, PUSH1 1, PUSH1 32, MSTORE8, PUSH1 9, and CLZ of it.
        let traced = trace("60076001602053600960091e");
        assert_eq!(traced.halt, Halt::Done);
        let last: Vec<u8> = traced.stack.iter().map(|word| word[31]).collect();
        assert_eq!(last, [7, 9, 252]);
        assert_eq!(traced.memory.len(), 64);
        assert_eq!(traced.memory[32], 1);
        for (code, halt) in [
            ("5f5ffd", Halt::Reverted),
            ("01", Halt::Stack),
            ("600156", Halt::BadJump),
            ("5b5f56", Halt::OutOfEnergy),
            ("fe", Halt::InvalidOpcode),
            ("60015f5f3e", Halt::ReturnData),
            ("6307ffffff51", Halt::OutOfEnergy),
        ] {
            assert_eq!(trace(code).halt, halt, "{code}");
        }
    }
}

//! Any bytes as a program of the opcodes that look at nothing but themselves, run here and by
//! revm's interpreter: the same stack, the same memory, the same end. What they cost differs by
//! design and is not compared, so a program that runs out of it tells nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use revm_interpreter::{
    InstructionResult, InterpreterAction, context_interface::host::DummyHost, gas_table,
    instruction_table, interpreter::EthInterpreter,
};
use seedrail::devnet::fuzzing::{Halt, Machine, Traced};

mod theirs;
use theirs::start;

static MACHINE: LazyLock<Machine> = LazyLock::new(Machine::later);

const ENERGY: i64 = 200_000;
/// More than any of them costs there.
const GAS: u64 = 4_000_000;

/// Arithmetic, comparison, bits, hash, what it was called with, its own code, what a call
/// returned (nothing), memory, jumps, the stack, ends, no opcode.
const PURE: [&[u8]; 13] = [
    &[
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
    ],
    &[0x10, 0x11, 0x12, 0x13, 0x14, 0x15],
    &[0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e],
    &[0x20],
    &[0x35, 0x36, 0x37],
    &[0x38, 0x39],
    &[0x3d, 0x3e],
    &[0x50, 0x51, 0x52, 0x53, 0x59, 0x5e],
    &[0x56, 0x57, 0x58, 0x5b],
    &[
        0x5f, 0x60, 0x61, 0x62, 0x63, 0x67, 0x68, 0x6f, 0x77, 0x7e, 0x7f,
    ],
    &[0x80, 0x81, 0x82, 0x83, 0x87, 0x8f],
    &[0x90, 0x91, 0x92, 0x93, 0x97, 0x9f],
    &[0x00, 0xf3, 0xfd, 0xfe, 0x0c],
];

/// Each byte names a pure opcode; what PUSH pushes is taken as it is.
fn program(bytes: &[u8]) -> Vec<u8> {
    let all: Vec<u8> = PURE.concat();
    let mut code = Vec::new();
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        let op = all[usize::from(byte) % all.len()];
        code.push(op);
        if (0x60..=0x7f).contains(&op) {
            code.extend(bytes.by_ref().take(usize::from(op - 0x5f)));
        }
    }
    code
}

fn theirs(code: &[u8], data: &[u8]) -> Option<Traced> {
    let (mut interpreter, mut host) = start(code, data, GAS);
    let table = instruction_table::<EthInterpreter, DummyHost>();
    let action = interpreter.run_plain(&table, &gas_table(), &mut host);
    let InterpreterAction::Return(result) = action else {
        panic!("{action:?}");
    };
    let halt = match result.result {
        InstructionResult::Stop | InstructionResult::Return => Halt::Done,
        InstructionResult::Revert => Halt::Reverted,
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::InvalidOperandOOG => return None,
        InstructionResult::StackUnderflow | InstructionResult::StackOverflow => Halt::Stack,
        InstructionResult::InvalidJump => Halt::BadJump,
        InstructionResult::OpcodeNotFound | InstructionResult::InvalidFEOpcode => {
            Halt::InvalidOpcode
        }
        InstructionResult::OutOfOffset => Halt::ReturnData,
        other => panic!("{other:?}"),
    };
    Some(Traced {
        halt,
        output: result.output.to_vec(),
        stack: interpreter
            .stack
            .data()
            .iter()
            .map(|word| word.to_be_bytes())
            .collect(),
        memory: interpreter.memory.context_memory().to_vec(),
    })
}

fuzz_target!(|data: &[u8]| {
    // Two bytes say how much of the rest is code.
    let [high, low, rest @ ..] = data else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (code, input) = rest.split_at(length);
    let code = program(code);
    let ours = MACHINE.trace(&code, input, ENERGY);
    if ours.halt == Halt::OutOfEnergy {
        return;
    }
    let Some(theirs) = theirs(&code, input) else {
        return;
    };
    assert_eq!(ours.halt, theirs.halt, "{code:02x?}");
    if matches!(ours.halt, Halt::Done | Halt::Reverted) {
        assert_eq!(ours.stack, theirs.stack, "{code:02x?}");
        assert_eq!(ours.memory, theirs.memory, "{code:02x?}");
        assert_eq!(ours.output, theirs.output, "{code:02x?}");
    }
});

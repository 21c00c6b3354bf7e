//! `race N`: a loop of about N opcodes, run here and by revm's interpreter, each bare; prints
//! the seconds of each. For `scripts/bench devnet`.

use std::time::Instant;

use revm_interpreter::{
    InstructionResult, InterpreterAction, context_interface::host::DummyHost, gas_table,
    instruction_table, interpreter::EthInterpreter,
};
use seedrail::devnet::fuzzing::{Halt, Machine};

#[path = "../theirs.rs"]
mod theirs;
use theirs::start;

/// Opcodes of one round of the loop, and more than any of them costs.
const ROUND: u32 = 7;
const ENERGY: u32 = 100;

fn ours(code: &[u8], energy: u64) -> f64 {
    let machine = Machine::later();
    let begun = Instant::now();
    let traced = machine.trace(code, &[], i64::try_from(energy).expect("a limit"));
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(traced.halt, Halt::Done);
    took
}

fn theirs(code: &[u8], gas: u64) -> f64 {
    let (mut interpreter, mut host) = start(code, &[], gas);
    let table = instruction_table::<EthInterpreter, DummyHost>();
    let begun = Instant::now();
    let action = interpreter.run_plain(&table, &gas_table(), &mut host);
    let took = begun.elapsed().as_secs_f64();
    match action {
        InterpreterAction::Return(result) if result.result == InstructionResult::Stop => took,
        other => panic!("{other:?}"),
    }
}

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let count: u32 = count.expect("a number of opcodes");
    let rounds = (count / ROUND).to_be_bytes();
    // PUSH4 rounds, JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 5, JUMPI, STOP.
    let rest = [0x5b, 0x60, 1, 0x90, 0x03, 0x80, 0x60, 5, 0x57, 0];
    let code = [&[0x63], rounds.as_slice(), &rest].concat();
    let limit = u64::from(count) * u64::from(ENERGY);
    let (ours, theirs) = (ours(&code, limit), theirs(&code, limit));
    println!("{{\"ops\": {count}, \"ours_s\": {ours}, \"revm_s\": {theirs}}}");
}

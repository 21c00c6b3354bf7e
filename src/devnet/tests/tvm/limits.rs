//! What holds whatever code runs: bounds, and that nothing comes of nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{recorded, world};
use crate::{
    devnet::{
        execute::Slot,
        state::State,
        vm::{self, Code, Ended, Env, Fault, Program, Ran},
    },
    types::{Address, TxId},
};

fn world() -> (State, Slot) {
    world::load(&recorded("bytecode.json.gz")["world"], world::parameters())
}

/// Runs code for the contract that is rich.
fn run(state: &State, slot: Slot, code: Vec<u8>, data: Vec<u8>, limit: i64) -> Ran {
    let (env, program) = prepared(slot, code, data, limit);
    vm::run(state.clone(), state.clone(), &env, program)
}

fn prepared(slot: Slot, code: Vec<u8>, data: Vec<u8>, limit: i64) -> (Env, Program) {
    let at: Address = "41c7e8395f64fae23c838a0d1dc217d53007bf29a4"
        .parse()
        .unwrap();
    let env = Env {
        number: i64::try_from(slot.number).unwrap(),
        time: slot.time,
        witness: slot.witness,
        txid: TxId::from_bytes([7; 32]),
        origin: slot.witness,
        deadline: Some(Instant::now() + Duration::from_secs(60)),
        opcodes: None,
    };
    let program = Program {
        code: Code::new(code),
        address: at,
        caller: slot.witness,
        value: 0,
        token_value: 0,
        token_id: 0,
        data,
        is_creation: false,
        energy_limit: limit,
    };
    (env, program)
}

/// A transaction ends in the same way at the same opcode, however far apart two looks at the
/// clock are.
#[test]
fn a_program_ends_at_the_opcode_that_is_one_too_many() {
    let (state, slot) = world();
    let played = |opcodes: u64, code: &str| {
        let (mut env, program) = prepared(slot, self::code(code), Vec::new(), 1_000_000);
        env.opcodes = Some(opcodes);
        vm::run(state.clone(), state.clone(), &env, program)
    };
    // PUSH0, POP, STOP.
    assert_eq!(played(3, "5f5000").ended, Ended::Done);
    let late = Fault::OutOfTime("Already Time Out".to_owned());
    let ran = played(2, "5f5000");
    assert_eq!(ran.ended, Ended::Failed(late.clone()));
    assert_eq!(ran.energy_used, 1_000_000);
    // PUSH2, and JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 3, JUMPI that often, STOP.
    let often = |rounds: u64| format!("61{rounds:04x}5b600190038060035700");
    for rounds in [1, 585, 600, 2_000] {
        let needed = 2 + 7 * rounds;
        assert_eq!(played(needed, &often(rounds)).ended, Ended::Done);
        let ran = played(needed - 1, &often(rounds));
        assert_eq!(ran.ended, Ended::Failed(late.clone()), "{rounds}");
    }
}

fn code(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

#[test]
fn what_calls_take_along_is_bounded() {
    let (state, slot) = world();
    // JUMPDEST, STATICCALL of nobody with 3 MiB, POP, again.
    let spin = code("5b5f5f6230000060005f5afa50600056");
    let ran = run(&state, slot, spin.clone(), Vec::new(), 150_000_000);
    let words = "CPU timeout for 'STATICCALL' operation executing";
    assert_eq!(ran.ended, Ended::Failed(Fault::OutOfTime(words.to_owned())));
    assert!(ran.internal.len() < 200, "{}", ran.internal.len());
    let again = run(&state, slot, spin, Vec::new(), 150_000_000);
    assert_eq!(ran.internal, again.internal);
}

#[test]
fn a_creation_within_a_creation_ends_at_a_fixed_depth() {
    let (state, slot) = world();
    // CODECOPY all of it, CREATE2 it with what is left as its salt.
    let nest = code("385f5f395a385f5ff550");
    let ran = run(&state, slot, nest, Vec::new(), 150_000_000);
    assert_eq!(ran.ended, Ended::Failed(Fault::StackOverflow));
    assert_eq!(ran.internal.len(), 512);
    assert_eq!(ran.energy_used, 150_000_000);
}

#[test]
fn a_vote_whose_price_wraps_takes_no_memory() {
    let (state, slot) = world();
    // Lengths of 2^251 - 1 words, at an offset of 2^31 - 1.
    let length = format!("7f07{}", "ff".repeat(31));
    let votes = code(&format!("637fffffff{length}637fffffff{length}d8"));
    let ran = run(&state, slot, votes, Vec::new(), 1_000_000);
    assert_eq!(ran.ended, Ended::Failed(Fault::OutOfMemory("VOTEWITNESS")));
}

/// All TRX of a state.
fn supply(state: &State) -> i128 {
    let of = |account: &crate::devnet::state::Account| {
        let stake: i64 = account.frozen.iter().map(|(_, amount)| *amount).sum();
        let waiting: i64 = account.unfreezing.iter().map(|entry| entry.amount).sum();
        let lent = account.delegated.0 + account.delegated.1;
        i128::from(account.balance)
            + i128::from(account.allowance)
            + i128::from(stake)
            + i128::from(waiting)
            + i128::from(lent)
    };
    let held: i128 = state.accounts().map(|account| of(account)).sum();
    held + i128::from(state.properties.burnt)
}

/// What all accounts together hold of each TRC-10 token.
fn tokens(state: &State) -> BTreeMap<i64, i128> {
    let mut held = BTreeMap::new();
    for account in state.accounts() {
        for (id, amount) in &account.assets {
            *held.entry(*id).or_default() += i128::from(*amount);
        }
    }
    held.retain(|_, amount| *amount != 0);
    held
}

/// What contracts that destroyed themselves in favour of themselves took along.
fn destroyed(ran: &Ran) -> BTreeMap<i64, i128> {
    let mut gone = BTreeMap::new();
    let last = ran.internal.iter().filter(|internal| {
        internal.note == "suicide" && internal.to == Some(internal.from) && !internal.is_rejected
    });
    for (id, amount) in last.flat_map(|internal| &internal.tokens) {
        *gone.entry(*id).or_default() += i128::from(*amount);
    }
    gone
}

/// Opcodes, those that move something among them often, with small and odd words.
fn program() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<u8>().prop_map(|op| vec![op]),
        4 => (0u8..8).prop_map(|n| vec![0x60, n]),
        1 => Just(code("7396b530b3e30755ba891d305bf7911a9d8c440388")),
        1 => Just(code("735dfc7f92e4f069b07aad843d3ee50579bcebdb9e")),
        1 => Just(code("731eff47bc3a10a45d4b230b5d10e37751fe6aa718")),
        1 => Just(code("620f4241")),
        1 => Just(code("620f4240")),
        2 => proptest::sample::select(vec![
            0xd0u8, 0xd1, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xf0, 0xf1, 0xf2, 0xf4,
            0xf5, 0xfa, 0xff, 0x55, 0x54, 0x5d, 0xa1, 0x52, 0x5a,
        ])
        .prop_map(|op| vec![op]),
    ];
    proptest::collection::vec(piece, 1..60).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_code_keeps_the_supply_and_its_limit_and_runs_the_same_again() {
    let (state, slot) = world();
    let (before, tokens_before) = (supply(&state), tokens(&state));
    // scripts/soak asks for more.
    let cases = match std::env::var("SEEDRAIL_PROGRAMS") {
        Ok(cases) => cases.parse().expect("a number of programs"),
        Err(_) => 400,
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let inputs = (
        program(),
        proptest::collection::vec(any::<u8>(), 0..70),
        0i64..3_000_000,
    );
    runner
        .run(&inputs, |(code, data, limit)| {
            let ran = run(&state, slot, code.clone(), data.clone(), limit);
            prop_assert!(
                (0..=limit).contains(&ran.energy_used),
                "{}",
                ran.energy_used
            );
            prop_assert_eq!(supply(&ran.state), before);
            let mut all = tokens(&ran.state);
            if ran.ended == Ended::Done {
                for (id, amount) in destroyed(&ran) {
                    *all.entry(id).or_default() += amount;
                }
                all.retain(|_, amount| *amount != 0);
            } else {
                prop_assert!(ran.state.accounts().eq(state.accounts()));
            }
            prop_assert_eq!(all, tokens_before.clone());
            let again = run(&state, slot, code, data, limit);
            prop_assert_eq!(ran.energy_used, again.energy_used);
            prop_assert_eq!(ran.ended, again.ended);
            prop_assert_eq!(ran.output, again.output);
            prop_assert_eq!(ran.internal, again.internal);
            Ok(())
        })
        .unwrap();
    println!("programs: {cases}, each run twice");
}

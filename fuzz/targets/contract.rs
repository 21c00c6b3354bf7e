//! Any bytes as a contract's code and what it is called with: it ends within its energy, as
//! it did the first time, and no TRX come of nothing; by the rules of 4.8.0 and of 4.8.2.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seedrail::devnet::fuzzing::Machine;

static MACHINE: LazyLock<Machine> = LazyLock::new(Machine::default);
static LATER: LazyLock<Machine> = LazyLock::new(Machine::later);

fuzz_target!(|data: &[u8]| {
    // Two bytes say how much of the rest is code, one how much energy there is.
    let [high, low, energy, rest @ ..] = data else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (code, input) = rest.split_at(length);
    let limit = i64::from(*energy) * 2_000;
    let machine = if energy % 2 == 1 { &MACHINE } else { &LATER };
    let ran = machine.run(code, input, limit);
    assert!((0..=limit).contains(&ran.energy_used), "{ran:?}");
    assert_eq!(ran.supply, machine.supply(), "{ran:?}");
    assert_eq!(ran, machine.run(code, input, limit));
});

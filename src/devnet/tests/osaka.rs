//! What `AllowTvmOsaka` changes in the virtual machine. No recording of it exists; the values
//! are those that the TIPs publish.

use crate::devnet::fuzzing::{Machine, Outcome};

const LIMIT: i64 = 100_000_000;

fn machine(osaka: bool) -> Machine {
    Machine::default().with_parameter("getAllowTvmOsaka", i64::from(osaka))
}

fn run(osaka: bool, code: &str, data: &[u8]) -> Outcome {
    let outcome = machine(osaka).run(&hex::decode(code).unwrap(), data, LIMIT);
    assert!(outcome.energy_used <= LIMIT);
    outcome
}

/// Calls a contract of the node with so much energy, and what it is itself called with;
/// whether that succeeded, what it gave back, and the energy of it all.
fn call(osaka: bool, address: u16, energy: u32, data: &[u8]) -> (bool, Vec<u8>, i64) {
    // CALLDATACOPY all of it, STATICCALL, RETURN its answer and what it returned.
    let code = format!(
        "365f5f37_5f5f365f_61{address:04x}_63{energy:08x}_fa_5f52_3d5f60203e_3d602001_5ff3"
    );
    let ran = run(osaka, &code.replace('_', ""), data);
    let (answer, returned) = ran.output.split_at(32);
    (
        answer.last() == Some(&1),
        returned.to_vec(),
        ran.energy_used,
    )
}

#[test]
fn clz_counts_as_tip_7939_lists() {
    let ends = |rest: &str, fill: &str| format!("{rest}{}", fill.repeat(64 - rest.len()));
    let words = [
        ("0".repeat(64), 256u16),
        (ends("8", "0"), 0),
        ("f".repeat(64), 0),
        (ends("4", "0"), 1),
        (ends("7", "f"), 1),
        (format!("{}1", "0".repeat(63)), 255),
    ];
    for (word, expected) in words {
        // PUSH32, CLZ, RETURN it.
        let code = format!("7f{word}1e5f5260205ff3");
        let ran = run(true, &code, &[]);
        assert_eq!(
            ran.output.get(30..),
            Some(&expected.to_be_bytes()[..]),
            "{word}"
        );
        // NOT in its place costs 3.
        let other = run(true, &format!("7f{word}195f5260205ff3"), &[]);
        assert_eq!(ran.energy_used, other.energy_used + 2);
        let before = run(false, &code, &[]);
        assert!(before.ended.contains("InvalidOpcode(30)"), "{before:?}");
    }
}

#[test]
fn p256verify_is_at_0x100_for_6900() {
    let published = include_str!("../../../fixtures/tron/tvm/eip-7951.txt");
    let first = published.lines().find(|line| line.ends_with("yes"));
    let input = first.and_then(|line| line.split(" | ").nth(1)).unwrap();
    let mut data = hex::decode(input).unwrap();
    let mut one = vec![0; 32];
    one[31] = 1;
    let (done, output, used) = call(true, 0x100, 6_900, &data);
    assert_eq!((done, output), (true, one));
    assert!(!call(true, 0x100, 6_899, &data).0);
    // Nobody before it: a call of nothing.
    assert_eq!(call(false, 0x100, 6_900, &data).1, Vec::<u8>::new());
    // A wrong one costs the same, but for the word that is copied.
    data[0] ^= 1;
    let (done, output, wrong) = call(true, 0x100, 6_900, &data);
    assert_eq!((done, output), (true, Vec::new()));
    assert!(used - wrong < 10, "{used} {wrong}");
}

fn modexp_input(lengths: [u16; 3]) -> Vec<u8> {
    let mut data = Vec::new();
    for length in lengths {
        data.extend([0; 30]);
        data.extend(length.to_be_bytes());
    }
    data
}

#[test]
fn modexp_refuses_longer_numbers_and_takes_all_energy() {
    let zeros = modexp_input([0, 0, 1_024]);
    let (done, output, _) = call(true, 5, 100_000, &zeros);
    assert_eq!((done, output), (true, vec![0; 1_024]));
    let (done, output, used) = call(true, 5, 100_000, &modexp_input([0, 0, 1_025]));
    assert_eq!((done, output), (false, Vec::new()));
    assert!(used > 100_000, "{used}");
    let (done, output, _) = call(false, 5, 100_000, &modexp_input([0, 0, 1_025]));
    assert_eq!((done, output), (true, Vec::new()));
}

#[test]
fn signature_contracts_take_only_the_lengths_that_are_paid_for() {
    let lengths = [0, 32, 160, 161, 192, 319, 320, 321, 351, 352, 480, 544, 545];
    for (address, size) in [(9, 192), (10, 160)] {
        for length in lengths {
            let (done, output, used) = call(true, address, 50_000, &vec![0; length]);
            let is_paid = length > 160 && (length - 160) % size == 0;
            assert_eq!(done, is_paid, "{address} {length}");
            assert_eq!(output.len(), if is_paid { 32 } else { 0 });
            assert_eq!(used > 50_000, !is_paid, "{address} {length}");
        }
    }
    // Before it, whatever it is called with.
    for length in lengths {
        assert!(call(false, 9, 50_000, &vec![0; length]).0, "{length}");
    }
}

#[test]
fn create2_forgets_what_a_call_before_it_returned() {
    // STATICCALL of the contract that gives its input back, CREATE2 of nothing,
    // RETURNDATASIZE.
    let code = "5f5f60205f737000000000000000000000000000000000000002\
                61fffffa505f5f5f5ff5503d5f5260205ff3";
    assert_eq!(run(true, code, &[]).output.last(), Some(&0));
    assert_eq!(run(false, code, &[]).output.last(), Some(&32));
}

#[test]
fn create2_ends_at_the_depth_of_create() {
    // CREATE2 of this very code.
    let code = "385f5f395f385f5ff5";
    let ran = run(true, code, &[]);
    assert!(ran.ended.starts_with("Done"), "{}", ran.ended);
    assert_eq!(ran.ended.matches("note: \"create\"").count(), 64);
    let ran = run(false, code, &[]);
    assert!(
        ran.ended.starts_with("Failed(StackOverflow"),
        "{}",
        &ran.ended[..80]
    );
}

#[test]
fn an_answer_is_not_written_where_no_memory_is() {
    // CALL of SHA-256 with no room for its answer, at 2^31 - 1, at the end of what memory
    // is priced up to, and one byte past where it fits.
    for (place, fits) in [("7fffffff", false), ("002fffe0", true), ("002fffe1", false)] {
        let code = format!("5f63{place}5f5f5f600261fffff1");
        for osaka in [true, false] {
            let ran = run(osaka, &code, &[]);
            assert_eq!(ran.ended.starts_with("Done"), fits, "{place}: {ran:?}");
            assert_eq!(ran.ended.contains("OutOfMemory"), !fits, "{place}");
        }
    }
}

#[test]
fn votewitness_does_not_take_a_length_of_2_to_the_251_for_none() {
    // Of both lists; both begin at 0.
    let code = format!("5f7f08{0}5f7f08{0}d8", "00".repeat(31));
    let is_out_of_memory = |osaka| run(osaka, &code, &[]).ended.contains("OutOfMemory");
    assert!(is_out_of_memory(true));
    assert!(!is_out_of_memory(false));
}

//! Sequences of calls on one contract that reads and writes what it is told to: what each
//! returns, which is mostly what SSTORE cost, and the energy of the whole.

use serde_json::Value;

use super::{recorded, world};
use crate::{
    devnet::{
        execute::Slot,
        state::{Account, State},
        vm::{self, Code, Ended, Env, Program},
    },
    tron::contract::SmartContract,
    types::{Address, TxId, UnixMs},
};

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

/// The contract alone on the recorded chain.
fn with_contract(state: &State, at: Address, runtime: &str) -> State {
    let mut state = state.clone();
    state.put_account(Account {
        kind: vm::CONTRACT,
        ..Account::genesis(at, b"", 0)
    });
    let contract = SmartContract {
        contract_address: at.to_bytes().to_vec(),
        ..SmartContract::default()
    };
    state.put_contract(at, contract);
    state.save_code(at, Code::new(hex::decode(runtime).unwrap()));
    state
}

/// Runs a step; what it returned and used, and the state after it.
fn run(state: &State, slot: Slot, step: &Value) -> (State, String, i64) {
    let body = &step["request"]["body"];
    let caller = address(&body["owner_address"]);
    let at = address(&body["contract_address"]);
    let id: TxId = step["info"]["id"].as_str().unwrap().parse().unwrap();
    let env = Env {
        number: step["info"]["blockNumber"].as_i64().unwrap(),
        time: UnixMs(step["info"]["blockTimeStamp"].as_i64().unwrap()),
        witness: slot.witness,
        txid: id,
        origin: caller,
        deadline: None,
        opcodes: None,
    };
    let program = Program {
        code: state.code(&at).unwrap().clone(),
        address: at,
        caller,
        value: 0,
        token_value: 0,
        token_id: 0,
        data: hex::decode(body["data"].as_str().unwrap_or_default()).unwrap(),
        is_creation: false,
        energy_limit: body["fee_limit"].as_i64().unwrap() / 100,
    };
    let ran = vm::run(state.clone(), state.clone(), &env, program);
    let is_done = ran.ended == Ended::Done;
    let result = &step["info"]["receipt"]["result"];
    assert_eq!(is_done, result == "SUCCESS", "{:?} {result}", ran.ended);
    (ran.state, hex::encode(&ran.output), ran.energy_used)
}

#[test]
fn recorded_sequences_in_storage_cost_and_keep_the_same() {
    let world = recorded("bytecode.json.gz");
    let (state, slot) = world::load(&world["world"], world::parameters());
    let recording = recorded("storage.json.gz");
    let (mut steps, mut skipped) = (0, Vec::new());
    for (name, file) in recording.as_object().unwrap() {
        let contract = &file["contract"];
        let simple = file["steps"].as_array().unwrap().iter().all(|step| {
            step["request"]["body"]["contract_address"] == contract["address"]
                && step["info"]["id"].is_string()
        });
        let (Some(runtime), true) = (contract["runtime"].as_str(), simple) else {
            skipped.push(name.as_str());
            continue;
        };
        let at = address(&contract["address"]);
        let mut state = with_contract(&state, at, runtime);
        for (n, step) in file["steps"].as_array().unwrap().iter().enumerate() {
            let (next, output, energy) = run(&state, slot, step);
            let told = &step["info"];
            assert_eq!(told["contractResult"][0], output, "{name}, step {n}");
            let total = told["receipt"]["energy_usage_total"].as_i64();
            assert_eq!(total.unwrap_or_default(), energy, "{name}, step {n}");
            state = next;
            for (slot, value) in step["eth_getStorageAt"].as_object().into_iter().flatten() {
                let slot: vm::Word = slot.parse().unwrap();
                let kept = state.storage(&at, &vm::storage_row(&slot));
                let kept = hex::encode(vm::word_bytes(&kept.unwrap_or_default()));
                assert_eq!(value, &format!("0x{kept}"), "{name}, step {n}, {slot}");
            }
            steps += 1;
        }
    }
    println!("storage: {steps} steps equal; made of more than one contract: {skipped:?}");
    assert!(steps >= 20, "{steps}");
}

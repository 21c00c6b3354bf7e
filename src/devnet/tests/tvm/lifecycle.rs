//! Transactions of contracts, as they were signed then: each is applied at its block, and
//! what the node told of it is compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{differences, recorded, world};
use crate::{
    devnet::{api, execute, execute::Slot, incoming::Incoming, state::State},
    tron::transaction::Transaction,
    types::UnixMs,
};

/// A transaction that is in a block.
struct Mined {
    name: String,
    incoming: Incoming,
    slot: Slot,
    info: Value,
}

fn transaction(body: &Value) -> Option<Incoming> {
    let raw = hex::decode(body["raw_data_hex"].as_str()?).ok()?;
    let signatures = body["signature"].as_array()?;
    let signatures = signatures
        .iter()
        .map(|signature| hex::decode(signature.as_str().unwrap()).unwrap())
        .collect();
    Incoming::new(Transaction::from_parts(raw, signatures, Vec::new())).ok()
}

/// Those with their informations, in the order of the chain as far as it is known.
fn mined(recording: &Value, witness: crate::types::Address) -> Vec<Mined> {
    let exchanges = recording.as_object().unwrap();
    let sent: BTreeMap<String, Incoming> = exchanges
        .values()
        .filter_map(|exchange| transaction(&exchange["request"]["body"]))
        .map(|incoming| (incoming.txid().to_string(), incoming))
        .collect();
    let mut seen = BTreeSet::new();
    let mut all: Vec<Mined> = exchanges
        .iter()
        .filter(|(name, _)| name.ends_with("-info"))
        .filter_map(|(name, exchange)| {
            let info = exchange["response"].clone();
            let id = info["id"].as_str()?;
            let incoming = sent.get(id)?.clone();
            seen.insert(id.to_owned()).then(|| Mined {
                name: name.trim_end_matches("-info").to_owned(),
                incoming,
                slot: Slot {
                    number: info["blockNumber"].as_u64().unwrap(),
                    time: UnixMs(info["blockTimeStamp"].as_i64().unwrap()),
                    witness,
                },
                info,
            })
        })
        .collect();
    all.sort_by_key(|mined| (mined.slot.number, mined.incoming.raw().timestamp));
    all
}

/// Brings the state's clock to the parent of a block.
fn advance(state: &mut State, slot: Slot) {
    const SLOT: i64 = 3_000;
    const CYCLE: i64 = 600_000;
    let before = state.properties.head_time.0;
    let head = slot.time.0 - SLOT;
    state.properties.cycle += head.div_euclid(CYCLE) - before.div_euclid(CYCLE);
    state.properties.head_time = UnixMs(head);
}

#[test]
fn recorded_transactions_of_contracts_do_as_on_java_tron() {
    let world = recorded("bytecode.json.gz");
    let (mut state, head) = world::load(&world["world"], world::parameters());
    let all = mined(&recorded("lifecycle.json.gz"), head.witness);
    let (mut equal, mut wrong) = (0, Vec::new());
    for mined in &all {
        advance(&mut state, mined.slot);
        let raw = mined.incoming.raw();
        if let (Ok(bytes), Ok(hash)) = (
            <[u8; 2]>::try_from(raw.ref_block_bytes.as_slice()),
            <[u8; 8]>::try_from(raw.ref_block_hash.as_slice()),
        ) {
            state.put_reference(bytes, hash);
        }
        match execute::apply(&state, &mined.incoming, mined.slot.time, mined.slot) {
            Ok((next, receipt)) => {
                state = next;
                let place = (mined.slot.number, mined.slot.time);
                let ours = api::transaction_info(&mined.incoming.txid(), &receipt, place);
                let found = differences(&ours, &mined.info, &BTreeSet::new());
                match found.is_empty() {
                    true => equal += 1,
                    false => wrong.push(format!("{}: {}", mined.name, found.join("; "))),
                }
            }
            Err(reject) => wrong.push(format!("{}: refused: {reject}", mined.name)),
        }
    }
    println!("transactions: {equal} equal of {}", all.len());
    for line in &wrong {
        println!("{line}");
    }
    // The others: accounts that were given something by transactions that were not
    // recorded, bandwidth that was used by those, the order within a block, the clock of
    // that machine, and a reward.
    assert_eq!((equal, all.len()), (200, 249));
}

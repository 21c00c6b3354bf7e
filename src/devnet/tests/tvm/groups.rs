//! What contracts do in a block, what is told of it over HTTP and JSON-RPC, how a TRC-20
//! token lives with TronWeb, and how a contract gets hot: recorded chains, made again.

use serde_json::{Value, json};

use super::{
    recorded,
    replay::{self, Exchange, Facts},
    world,
};
use crate::{
    devnet::{
        execute::Slot,
        params::Parameters,
        resource::TRX,
        state::{Account, Resource, State},
    },
    types::UnixMs,
};

/// A group of recordings: its file, and the newest block when the first of it was asked.
type Group = (&'static str, u64);

fn exchanges(group: Group, facts: &mut Facts) -> Vec<Exchange> {
    let recording = recorded(group.0);
    facts.learn(&recording);
    let mut all = Vec::new();
    for (name, told) in recording.as_object().unwrap() {
        let Some(steps) = told["exchanges"].as_array() else {
            // What a node is configured with is no question of contracts.
            if told["request"].is_object() && name != "chainparameters" && name != "nodeinfo" {
                all.push(Exchange::read(name, told, group));
            }
            continue;
        };
        for (n, step) in steps.iter().enumerate() {
            all.push(Exchange::read(&format!("{name}/{n}"), step, group));
        }
    }
    all
}

/// Makes the chain of these groups again; equal, masked and failed of each.
fn run(
    begun: (State, Slot),
    parameters: &Parameters,
    groups: &[Group],
) -> Vec<(&'static str, (usize, usize, usize))> {
    let mut facts = Facts::default();
    let mut all: Vec<Exchange> = Vec::new();
    for group in groups {
        let exchanges = exchanges(*group, &mut facts).into_iter();
        all.extend(exchanges.filter(|exchange| !exchange.is_ended_by_the_clock()));
    }
    let taken = all
        .iter()
        .filter(|exchange| exchange.response["result"] == true);
    let taken: Vec<String> = taken
        .filter_map(|exchange| Some(exchange.response["txid"].as_str()?.to_owned()))
        .collect();
    for exchange in &all {
        facts.notice(exchange);
    }
    facts.complete(begun.1, &taken);
    let outcomes = replay::run(begun, parameters.clone(), &facts, &all);
    outcomes
        .iter()
        .map(|(group, outcome)| (*group, outcome.counts()))
        .collect()
}

/// Accounts that were made and staked for by transactions that were not recorded, as what
/// was told of them later says: address, sun, sun staked for energy.
const FUNDED: [(&str, i64, i64); 8] = [
    ("41f9a2c330a19e2fbfeb50fe7a7195b973bb0a3be9", 3_000_000, 0),
    ("417a601ffa997cede6435aeabf4fa2091f09e149ec", 50_000_000, 0),
    ("41850cc185d6cae4a7fdfb3dd81f977dd1df7d6503", 1_000_000, 0),
    (
        "41b1b7c87e8a0bf2e7fd1a1c582bd353e4c4529341",
        1_000_000_000,
        0,
    ),
    (
        "41ff844fdb49e00776ad538db9ea2f9fa98ec0caf7",
        1_000_000_000,
        1_000_000,
    ),
    (
        "411ac6f9601f2f616badcea8a0a307e1a3c14767a4",
        1_000_000_000,
        100_000_000,
    ),
    ("41883d01eae6eaac077e126ddb32cd53550966ed76", 0, 0),
    ("41127688bbc070dd69a4db8c3ba5d43909e13d8f77", 0, 0),
];

fn fund(state: &mut State) {
    let made = UnixMs(1_795_967_301_000);
    for (address, balance, energy) in FUNDED {
        let address = address.parse().unwrap();
        let mut account = Account::created(address, &state.properties);
        account.create_time = made;
        account.balance = balance;
        account.frozen = vec![
            (Resource::Bandwidth, 0),
            (Resource::Energy, energy),
            (Resource::TronPower, 0),
        ];
        state.properties.energy_weight += energy / TRX;
        state.put_account(account);
    }
}

/// What fails, by the line that is printed of it, hangs on what was not recorded: the
/// table in DESIGN.md says on what.
#[test]
fn contracts_live_as_on_java_tron() {
    let parameters = world::parameters();
    let recording = recorded("bytecode.json.gz");
    let mut begun = world::load(&recording["world"], parameters.clone());
    fund(&mut begun.0);
    let groups = [
        ("lifecycle.json.gz", 338),
        ("jsonrpc.json.gz", 0x1f0),
        ("usdt-like.json.gz", 602),
    ];
    let expected = vec![
        ("jsonrpc.json.gz", (189, 32, 55)),
        ("lifecycle.json.gz", (1_073, 0, 36)),
        ("usdt-like.json.gz", (126, 0, 11)),
    ];
    assert_eq!(run(begun, &parameters, &groups), expected);
}

#[test]
fn contracts_that_destroy_themselves_live_as_on_java_tron() {
    let mut parameters = world::parameters();
    parameters
        .set("getAllowTvmSelfdestructRestriction", 1)
        .unwrap();
    let recording = recorded("tip6780-bytecode.json.gz");
    let mut begun = world::load(&recording["world"], parameters.clone());
    begun.0.properties.cycle = 2;
    let expected = vec![("tip6780-lifecycle.json.gz", (172, 0, 6))];
    let groups = [("tip6780-lifecycle.json.gz", 52)];
    assert_eq!(run(begun, &parameters, &groups), expected);
}

/// The chain on which a contract got hot: no world was written down, but the contract's
/// code, which is at the cold one's address as well. The forwarder's is not known.
fn hot(recording: &Value, head: (u64, i64), parameters: &Parameters) -> (State, Slot) {
    let info = &recording["cycle01-getcontractinfo"]["response"];
    let contract = |address: &str| {
        json!({
            "address": address, "getcontractinfo": info, "deploy_txid": hex::encode([0; 32]),
            "getaccount": { "address": address, "type": "Contract" },
        })
    };
    let block = json!({
        "blockID": format!("{:016x}{}", head.0, "5a".repeat(24)),
        "block_header": { "raw_data": {
            "number": head.0, "timestamp": head.1,
            "witness_address": "416813eb9362372eef6200f3b1dbc3f819671cba69",
        } },
    });
    let world = json!({
        "head_when_taken": block,
        "genesis_block": { "blockID": hex::encode([0; 32]) },
        "token": "1000001",
        "accounts": { "k1": { "getaccount": {
            "address": "417e5f4552091a69125d5dfcb7b8c2659029395bdf",
            "balance": 98_000_000_000_000_000i64,
        } }, "holder": { "getaccount": {
            "address": "412b5ad5c4795c026514f8317c7a215e218dccd6cf",
            "balance": 1_000_000, "assetV2": [{ "key": "1000001", "value": 1_000 }],
        } } },
        "contracts": {
            "hot": contract("410982822cb007c41605c63f9eeb33832fc9347b9d"),
            "cold": contract("41909918369f076180af8fa6e5294ddd15b6699dfc"),
        },
    });
    world::load(&world, parameters.clone())
}

#[test]
fn a_contract_gets_hot_and_cools_down_as_on_java_tron() {
    let recording = recorded("dynamic-energy.json.gz");
    let told = &recording["chainparameters"]["response"];
    let parameters = world::parameters_of(told);
    let (mut state, slot) = hot(&recording, (24, 1_795_968_600_000), &parameters);
    state.properties.next_maintenance = crate::types::UnixMs(1_795_968_630_000);
    state.properties.cycle = 4;
    let expected = vec![("dynamic-energy.json.gz", (102, 0, 13))];
    let groups = [("dynamic-energy.json.gz", 25)];
    assert_eq!(run((state, slot), &parameters, &groups), expected);
}

#[test]
fn nothing_is_sent_to_a_contract_where_that_is_forbidden() {
    let recording = recorded("dynamic-energy.json.gz");
    let mut parameters = world::parameters_of(&recording["chainparameters"]["response"]);
    parameters.set("getForbidTransferToContract", 1).unwrap();
    let begun = hot(&recording, (152, 1_795_969_074_000), &parameters);
    let expected = vec![("forbid-transfer.json.gz", (4, 0, 0))];
    let groups = [("forbid-transfer.json.gz", 152)];
    assert_eq!(run(begun, &parameters, &groups), expected);
}

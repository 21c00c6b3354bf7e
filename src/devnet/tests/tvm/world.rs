//! The accounts and contracts of a recorded chain, as a state.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    devnet::{
        api,
        committee::{GENESIS_VOTES, Witness},
        execute::Slot,
        params::{Parameters, Preset},
        resource::TRX,
        reward,
        state::{Account, Delegation, Operations, Properties, Resource, State, Unfreezing, Usage},
        vm::{self, Code, ContractEnergy, Env, Program},
    },
    tron::contract::{AssetIssueContract, Key, Permission, SmartContract},
    types::{Address, BlockId, TxId, UnixMs},
};

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_default()
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(value[name].as_str().unwrap_or_default()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The parameters that all recordings share.
pub(super) fn parameters() -> Parameters {
    let text = include_str!("../../../../fixtures/tron/tvm/chainparameters.json");
    let recorded: Value = serde_json::from_str(text).unwrap();
    parameters_of(recorded.get("response").unwrap_or(&recorded))
}

/// The parameters that a node told of.
pub(super) fn parameters_of(recorded: &Value) -> Parameters {
    let mut parameters = Parameters::new(Preset::MainnetLike);
    for entry in list(&recorded["chainParameter"]) {
        let name = entry["key"].as_str().unwrap();
        parameters.set(name, number(entry, "value")).unwrap();
    }
    parameters
}

fn permission(value: &Value) -> Permission {
    Permission {
        r#type: match value["type"].as_str() {
            Some("Active") => 2,
            Some("Witness") => 1,
            _ => 0,
        },
        id: i32::try_from(number(value, "id")).unwrap(),
        permission_name: value["permission_name"].as_str().unwrap_or_default().into(),
        threshold: number(value, "threshold"),
        operations: bytes(value, "operations"),
        keys: list(&value["keys"])
            .iter()
            .map(|key| Key {
                address: bytes(key, "address"),
                weight: number(key, "weight"),
            })
            .collect(),
        ..Permission::default()
    }
}

fn resource(value: &Value) -> Resource {
    match value["type"].as_str() {
        Some("ENERGY") => Resource::Energy,
        Some("TRON_POWER") => Resource::TronPower,
        _ => Resource::Bandwidth,
    }
}

/// What `getaccount` told.
fn account(told: &Value) -> Account {
    let mut account = Account::genesis(
        address(&told["address"]),
        &bytes(told, "account_name"),
        number(told, "balance"),
    );
    account.kind = match told["type"].as_str() {
        Some("Contract") => vm::CONTRACT,
        Some("AssetIssue") => 1,
        _ => 0,
    };
    account.allowance = number(told, "allowance");
    account.is_witness = told["is_witness"].as_bool().unwrap_or_default();
    for asset in list(&told["assetV2"]) {
        let id = asset["key"].as_str().unwrap().parse().unwrap();
        account.set_asset(id, number(asset, "value"));
    }
    for stake in list(&told["frozenV2"]) {
        account
            .frozen
            .push((resource(stake), number(stake, "amount")));
    }
    for waiting in list(&told["unfrozenV2"]) {
        account.unfreezing.push(Unfreezing {
            resource: resource(waiting),
            amount: number(waiting, "unfreeze_amount"),
            expire: UnixMs(number(waiting, "unfreeze_expire_time")),
        });
    }
    for vote in list(&told["votes"]) {
        let to = address(&vote["vote_address"]);
        account.votes.push((to, number(vote, "vote_count")));
    }
    let energy = &told["account_resource"];
    account.delegated = (
        number(told, "delegated_frozenV2_balance_for_bandwidth"),
        number(energy, "delegated_frozenV2_balance_for_energy"),
    );
    account.acquired = (
        number(told, "acquired_delegated_frozenV2_balance_for_bandwidth"),
        number(energy, "acquired_delegated_frozenV2_balance_for_energy"),
    );
    if told["owner_permission"].is_object() {
        account.owner_permission = Some(Arc::new(permission(&told["owner_permission"])));
    }
    account.active_permissions = list(&told["active_permission"])
        .iter()
        .map(|told| Arc::new(permission(told)))
        .collect();
    account
}

fn id(block: &Value) -> BlockId {
    block["blockID"].as_str().unwrap().parse().unwrap()
}

/// When the cycle of this time ends: every ten minutes on the recorded chains.
fn maintenance_after(time: UnixMs) -> UnixMs {
    const CYCLE: i64 = 600_000;
    UnixMs((time.0.div_euclid(CYCLE) + 1) * CYCLE)
}

/// The id of a block that was not recorded: its number, then something.
pub(super) fn made_up(number: u64) -> BlockId {
    let mut id = [0x5a; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    BlockId::from_bytes(id)
}

/// The state of a recorded world, and its head.
pub(super) fn load(world: &Value, parameters: Parameters) -> (State, Slot) {
    let head = &world["head_when_taken"];
    let raw = &head["block_header"]["raw_data"];
    let slot = Slot {
        number: u64::try_from(number(raw, "number")).unwrap(),
        time: UnixMs(number(raw, "timestamp")),
        witness: address(&raw["witness_address"]),
    };
    let mut state = State::new(
        parameters,
        Properties {
            head: id(head),
            head_time: slot.time,
            genesis_time: UnixMs(0),
            public_net: Usage::default(),
            burnt: 0,
            minted: 0,
            net_weight: 0,
            energy_weight: 0,
            power_weight: 0,
            next_token: 1_000_002,
            operations: Operations::Configured,
            next_maintenance: maintenance_after(slot.time),
            next_proposal: 1,
            cycle: 3,
            genesis: id(&world["genesis_block"]),
            unfreeze_delay_ms: None,
            transaction_opcodes: None,
        },
    );
    state.put_block_id(id(&world["genesis_block"]));
    for number in 1..slot.number {
        state.put_block_id(made_up(number));
    }
    state.put_block_id(id(head));
    let told = |entry: &Value| {
        let told = &entry["getaccount"];
        told["address"].is_string().then(|| account(told))
    };
    let entries = world["accounts"].as_object().unwrap().values();
    let contracts = world["contracts"].as_object().unwrap();
    let accounts: Vec<Account> = entries.chain(contracts.values()).filter_map(told).collect();
    for account in &accounts {
        let has_no_votes = Account {
            votes: Vec::new(),
            ..account.clone()
        };
        state.put_account(has_no_votes);
        vote(&mut state, account);
        if account.is_witness {
            let witness = Witness {
                votes: GENESIS_VOTES,
                ..Witness::genesis()
            };
            state.put_witness(account.address, witness);
        }
        let all = |kind, delegated| (account.staked(kind) + delegated) / TRX;
        state.properties.net_weight += all(Resource::Bandwidth, account.delegated.0);
        state.properties.energy_weight += all(Resource::Energy, account.delegated.1);
    }
    lend(&mut state, &accounts);
    let token = world["token"].as_str().unwrap();
    let asset = AssetIssueContract {
        id: token.to_owned(),
        ..AssetIssueContract::default()
    };
    state.put_asset(token.parse().unwrap(), asset);
    for entry in contracts.values() {
        deploy(&mut state, entry, slot);
    }
    (state, slot)
}

/// Votes for whom it does: since this cycle, so they earn from the next one on.
fn vote(state: &mut State, account: &Account) {
    if account.votes.is_empty() {
        return;
    }
    reward::settle(state, &account.address);
    let mut voter = state.account(&account.address).unwrap().as_ref().clone();
    voter.votes.clone_from(&account.votes);
    state.put_voter(account.address);
    state.put_account(voter);
}

/// The same some blocks later.
pub(super) fn later(state: &State, slot: Slot, number: u64) -> (State, Slot) {
    let mut state = state.clone();
    for number in slot.number + 1..=number {
        state.put_block_id(made_up(number));
    }
    state.properties.head = made_up(number);
    (state, Slot { number, ..slot })
}

/// What is delegated went to whoever has as much.
fn lend(state: &mut State, accounts: &[Account]) {
    for from in accounts {
        for to in accounts {
            let (bandwidth, energy) = from.delegated;
            if from.delegated != (0, 0) && from.delegated == to.acquired {
                let delegation = Delegation {
                    bandwidth,
                    energy,
                    ..Delegation::default()
                };
                state.put_delegation((from.address, to.address, false), delegation);
            }
        }
    }
}

/// Puts a contract into the state by running its constructor, which fills its storage.
fn deploy(state: &mut State, entry: &Value, slot: Slot) {
    let info = &entry["getcontractinfo"];
    let told = &info["smart_contract"];
    let at = address(&entry["address"]);
    let origin = address(&told["origin_address"]);
    let contract = SmartContract {
        origin_address: origin.to_bytes().to_vec(),
        contract_address: at.to_bytes().to_vec(),
        bytecode: bytes(told, "bytecode"),
        consume_user_resource_percent: number(told, "consume_user_resource_percent"),
        name: told["name"].as_str().unwrap_or_default().to_owned(),
        origin_energy_limit: number(told, "origin_energy_limit"),
        ..SmartContract::default()
    };
    let contract = SmartContract {
        abi: Some(api::abi(&told["abi"])),
        ..contract
    };
    state.put_contract(at, contract.clone());
    let txid: [u8; 32] = bytes(entry, "deploy_txid").try_into().unwrap();
    let env = Env {
        number: i64::try_from(slot.number).unwrap(),
        time: slot.time,
        witness: slot.witness,
        txid: TxId::from_bytes(txid),
        origin,
        deadline: None,
        opcodes: None,
    };
    let program = Program {
        code: Code::new(contract.bytecode),
        address: at,
        caller: origin,
        value: 0,
        token_value: 0,
        token_id: 0,
        data: Vec::new(),
        is_creation: true,
        energy_limit: 100_000_000,
    };
    let ran = vm::run(state.clone(), state.clone(), &env, program);
    assert_eq!(ran.ended, vm::Ended::Done, "{at}");
    if let Some(energy) = entry["deploy_energy"].as_i64() {
        assert_eq!(ran.energy_used, energy, "{at}");
    }
    *state = ran.state;
    let kept = &info["contract_state"];
    let energy = ContractEnergy {
        cycle: number(kept, "update_cycle"),
        usage: number(kept, "energy_usage"),
        factor: number(kept, "energy_factor"),
    };
    state.put_contract_energy(at, energy);
}

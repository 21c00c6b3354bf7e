use serde_json::{Value, json};

use super::{
    answers, caught,
    missing::Missing,
    record::{Answer, Deployed},
    *,
};
use crate::{
    devnet::state::{Account, FrozenSupply, Resource, Unfreezing},
    tron::keys::keccak256,
    types::Address,
};

const OWNER: &str = "41928c9af0651632157ef27a2cf17ca72c575a4d21";

fn owner() -> Address {
    OWNER.parse().unwrap()
}

fn permission(id: i32) -> Value {
    json!({
        "type": if id == 0 { "Owner" } else { "Active" }, "id": id, "permission_name": "p",
        "threshold": 2, "keys": [{ "address": OWNER, "weight": 2 }],
    })
}

/// An account with all that is taken over, and some that is not.
fn shown() -> Value {
    json!({
        "account_name": hex::encode("Anna"), "account_id": hex::encode("anna1"),
        "type": "AssetIssue", "address": OWNER, "balance": 5,
        "create_time": 1_500_000_000_000_i64, "latest_opration_time": 1_600_000_000_000_i64,
        "allowance": 7, "is_witness": true, "free_net_usage": 600,
        "votes": [{ "vote_address": OWNER, "vote_count": 1 }],
        "assetV2": [{ "key": "1000001", "value": 9 }, { "key": "1000002", "value": 0 }],
        "owner_permission": permission(0), "active_permission": [permission(2)],
        "frozenV2": [{ "amount": 11 }, { "type": "ENERGY", "amount": 12 }, { "type": "TRON_POWER" }],
        "unfrozenV2": [{ "type": "ENERGY", "unfreeze_amount": 13, "unfreeze_expire_time": 14 }],
        "delegated_frozenV2_balance_for_bandwidth": 15,
        "acquired_delegated_frozenV2_balance_for_bandwidth": 16,
        "account_resource": {
            "energy_usage": 600, "delegated_frozenV2_balance_for_energy": 17,
            "acquired_delegated_frozenV2_balance_for_energy": 18,
        },
        "asset_issued_name": hex::encode("Gold"), "asset_issued_ID": "1000001",
        "frozen_supply": [{ "frozen_balance": 19, "expire_time": 20 }],
    })
}

/// What is known once an answer was taken in.
fn known(answer: Answer) -> Result<Base, String> {
    let mut base = Base::default();
    base.add(&answer)?;
    // As a state file keeps it.
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    // As a dump has it: the same, taken in once more.
    let mut again = Base::default();
    for answer in base.answers() {
        again.add(&answer)?;
    }
    assert_eq!(again.answers(), base.answers());
    Ok(base)
}

fn account(shown: &Value) -> Result<Account, String> {
    let found = answers::account(shown, owner())?;
    let address = owner();
    let base = known(Answer::Account { address, found })?;
    let mut layer = Layer::new(std::iter::empty());
    layer.set_base(&std::sync::Arc::new(base));
    let account = layer.account(&address).ok_or("not there")?;
    Ok(account.as_ref().clone())
}

#[test]
fn an_account_is_as_it_is_there() {
    let account = account(&shown()).unwrap();
    let owner_permission = account.owner_permission.as_deref().unwrap();
    assert_eq!((owner_permission.id, owner_permission.threshold), (0, 2));
    let [active] = account.active_permissions.as_slice() else {
        panic!("there is one");
    };
    assert_eq!((active.id, active.r#type), (2, 2));
    assert_eq!(active.keys[0].address, owner().to_bytes());
    let expected = Account {
        account_id: b"anna1".to_vec(),
        kind: 1,
        assets: [(1_000_001, 9)].into(),
        create_time: UnixMs(1_500_000_000_000),
        latest_operation: UnixMs(1_600_000_000_000),
        owner_permission: account.owner_permission.clone(),
        active_permissions: account.active_permissions.clone(),
        frozen: vec![
            (Resource::Bandwidth, 11),
            (Resource::Energy, 12),
            (Resource::TronPower, 0),
        ],
        unfreezing: vec![Unfreezing {
            resource: Resource::Energy,
            amount: 13,
            expire: UnixMs(14),
        }],
        delegated: (15, 17),
        acquired: (16, 18),
        issued: Some((b"Gold".to_vec(), 1_000_001)),
        frozen_supply: vec![FrozenSupply {
            amount: 19,
            expire: UnixMs(20),
        }],
        ..Account::genesis(owner(), b"Anna", 5)
    };
    assert_eq!(account, expected);
}

/// The account with a field changed.
fn but(pointer: &str, to: Value) -> Value {
    let mut shown = shown();
    *shown.pointer_mut(pointer).unwrap() = to;
    shown
}

#[test]
fn an_account_that_cannot_be_is_none() {
    let max = i64::MAX;
    for (pointer, to) in [
        (
            "/address",
            json!("410000000000000000000000000000000000000000"),
        ),
        ("/address", json!(7)),
        ("/account_name", json!("zz")),
        ("/type", json!("Bank")),
        ("/balance", json!(-1)),
        ("/balance", json!(0.5)),
        ("/balance", json!("5")),
        ("/balance", json!(max)),
        ("/create_time", json!(-1)),
        ("/assetV2", json!({})),
        ("/assetV2/0/key", json!("gold")),
        ("/assetV2/0/key", json!("0")),
        ("/assetV2/0/key", json!("1000002")),
        ("/assetV2/0/value", json!(-1)),
        ("/owner_permission", json!("all")),
        ("/owner_permission/keys/0/address", json!("41")),
        ("/owner_permission/keys/0/weight", json!(-1)),
        ("/active_permission/0/type", json!("Emperor")),
        ("/frozenV2/0/amount", json!(-11)),
        ("/frozenV2/1/type", json!("WATER")),
        ("/unfrozenV2/0/unfreeze_amount", json!(max)),
        ("/unfrozenV2/0/unfreeze_expire_time", json!(-1)),
        ("/delegated_frozenV2_balance_for_bandwidth", json!(-1)),
        (
            "/account_resource/acquired_delegated_frozenV2_balance_for_energy",
            json!(max),
        ),
        ("/asset_issued_ID", json!("")),
        ("/frozen_supply/0/frozen_balance", json!(-1)),
        ("/frozen_supply/0/expire_time", json!(-1)),
    ] {
        let read = account(&but(pointer, to.clone()));
        if (pointer, &to) == ("/asset_issued_ID", &json!("")) {
            // Left out is no lie.
            assert_eq!(read.unwrap().issued, None);
            continue;
        }
        assert!(read.is_err(), "{pointer}: {to}: {read:?}");
    }
    for wrong in [json!([]), json!(null), json!("{}"), json!(1)] {
        assert!(answers::account(&wrong, owner()).is_err(), "{wrong}");
    }
    assert_eq!(answers::account(&json!({}), owner()), Ok(None));
}

fn gold() -> Value {
    json!({
        "owner_address": OWNER, "name": hex::encode("Gold"), "abbr": hex::encode("AU"),
        "total_supply": 100, "trx_num": 1, "precision": 2, "num": 1, "start_time": 1,
        "end_time": 2, "free_asset_net_limit": 3, "public_free_asset_net_limit": 4,
        "public_free_asset_net_usage": 5, "public_latest_free_net_time": 6, "id": "1000001",
    })
}

#[test]
fn a_token_is_believed_if_it_can_be() {
    let add = |shown: &Value, id: i64| {
        let found = answers::token(shown)?;
        known(Answer::Token { id, found })
    };
    let base = add(&gold(), 1_000_001).unwrap();
    let mut layer = Layer::new(std::iter::empty());
    layer.set_base(&std::sync::Arc::new(base));
    let token = layer.token(1_000_001).unwrap();
    assert_eq!((token.total_supply, token.precision), (100, 2));
    // That was used of it there.
    assert_eq!(token.public_free_asset_net_usage, 0);
    assert!(add(&gold(), 1_000_002).is_err());
    for (name, to) in [
        ("owner_address", json!("41")),
        ("total_supply", json!(-1)),
        ("trx_num", json!(0)),
        ("num", json!(-1)),
        ("precision", json!(7)),
        ("start_time", json!(-1)),
        ("free_asset_net_limit", json!(-1)),
        ("total_supply", json!(1e30)),
        ("id", json!("01000001")),
    ] {
        let mut shown = gold();
        shown[name] = to;
        assert!(add(&shown, 1_000_001).is_err(), "{shown}");
    }
    assert_eq!(answers::token(&json!({})), Ok(None));
}

fn deployed() -> Value {
    let code = [0x60, 0x00];
    json!({
        "runtimecode": hex::encode(code),
        "smart_contract": {
            "origin_address": OWNER, "contract_address": OWNER, "bytecode": "00",
            "abi": { "entrys": [{ "name": "run", "type": "Function", "stateMutability": "View" }] },
            "consume_user_resource_percent": 30, "origin_energy_limit": i64::MAX, "name": "C",
            "code_hash": hex::encode(keccak256(code)),
        },
        "contract_state": { "energy_usage": 5, "energy_factor": 34_000, "update_cycle": 6_000 },
    })
}

#[test]
fn a_contract_is_believed_if_it_can_be() {
    let address = owner();
    let add = |shown: &Value| {
        let found = answers::contract(shown, owner(), 3)?;
        known(Answer::Contract { address, found })
    };
    let base = add(&deployed()).unwrap();
    let mut layer = Layer::new(std::iter::empty());
    layer.set_base(&std::sync::Arc::new(base));
    assert_eq!(layer.code(&address).unwrap().bytes(), [0x60, 0x00]);
    let energy = layer.energy(&address).unwrap();
    assert_eq!((energy.cycle, energy.usage, energy.factor), (3, 0, 34_000));
    let contract = layer.contract(&address).unwrap();
    assert_eq!(contract.abi.as_ref().unwrap().entrys[0].name, "run");
    for (pointer, to) in [
        ("/runtimecode", json!("6001")),
        ("/runtimecode", json!("6")),
        ("/runtimecode", json!(60)),
        (
            "/smart_contract/contract_address",
            json!("410000000000000000000000000000000000000000"),
        ),
        ("/smart_contract/origin_address", json!("")),
        ("/smart_contract/consume_user_resource_percent", json!(-1)),
        ("/smart_contract/origin_energy_limit", json!(-1)),
        ("/smart_contract/code_hash", json!("00")),
        ("/smart_contract/abi", json!([])),
        ("/smart_contract", json!(null)),
        ("/contract_state/energy_factor", json!(-1)),
        ("/contract_state/energy_factor", json!(i64::MAX)),
    ] {
        let mut shown = deployed();
        *shown.pointer_mut(pointer).unwrap() = to.clone();
        assert!(add(&shown).is_err(), "{pointer}: {to}");
    }
    let mut other = deployed();
    other["smart_contract"]["version"] = 1.into();
    assert!(add(&other).unwrap_err().contains("version 1"));
    assert_eq!(
        answers::contract(&json!({}), address, 0),
        Ok(None::<Deployed>)
    );
}

#[test]
fn words_and_numbers_of_json_rpc_are_believed_if_they_can_be() {
    let word = format!("0x{:064x}", 7);
    let digits = word.trim_start_matches("0x").to_owned();
    assert_eq!(answers::slot(&json!({ "result": word })), Ok(digits));
    for wrong in [
        json!({ "result": "0x7" }),
        json!({ "result": format!("0x{}", "g".repeat(64)) }),
        json!({ "result": 7 }),
        json!({ "result": null }),
        json!({}),
        json!([]),
        json!({ "result": word, "error": { "message": "no" } }),
    ] {
        assert!(answers::slot(&wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        answers::chain_id(&json!({ "result": "0x2b6653dc" })),
        Ok(0x2b66_53dc)
    );
    assert!(answers::chain_id(&json!({ "result": "0x12b6653dc" })).is_err());
}

#[test]
fn what_a_fork_begins_with_is_believed_if_it_can_be() {
    let block = |raw: Value| json!({ "block_header": { "raw_data": raw } });
    let head = block(json!({ "number": 5, "timestamp": 6, "witness_address": OWNER }));
    assert_eq!(answers::head(&head), Ok((5, UnixMs(6), Some(owner()))));
    for wrong in [
        json!({}),
        block(json!({ "number": -5, "witness_address": OWNER })),
        block(json!({ "number": 5, "witness_address": 41 })),
        block(json!({ "number": "5", "witness_address": OWNER })),
    ] {
        assert!(answers::head(&wrong).is_err(), "{wrong}");
    }
    let stake = json!({ "TotalNetWeight": 3, "TotalEnergyWeight": 4 });
    let stake = answers::stake(&stake).unwrap();
    assert_eq!((stake.bandwidth, stake.energy), (3, 4));
    assert!(answers::stake(&json!({ "TotalNetWeight": -3 })).is_err());
    assert!(answers::stake(&json!({ "TotalEnergyWeight": i64::MAX })).is_err());
}

#[test]
fn the_first_answer_stays() {
    let mut base = Base::default();
    let answer = |balance: i64| {
        let shown = but("/balance", balance.into());
        let found = answers::account(&shown, owner()).unwrap();
        Answer::Account {
            address: owner(),
            found,
        }
    };
    base.add(&answer(5)).unwrap();
    base.add(&answer(6)).unwrap();
    assert_eq!(base.answers(), [answer(5)].map(without_zeros));
}

/// Tokens of which nothing is held are left out.
fn without_zeros(mut answer: Answer) -> Answer {
    if let Answer::Account {
        found: Some(held), ..
    } = &mut answer
    {
        held.tokens.retain(|_, amount| *amount != 0);
    }
    answer
}

#[test]
fn a_run_stops_at_what_is_missing_and_at_nothing_else() {
    let layer = Layer::new([owner()].iter());
    let key = Key::Account(owner());
    let stopped = caught(|| layer.account(&owner()).is_some());
    assert_eq!(stopped, Err(Missing(key)));
    assert_eq!(caught(|| layer.contract(&owner()).is_some()), Ok(false));
    let panicked = std::panic::catch_unwind(|| {
        caught::<()>(|| std::panic::resume_unwind(Box::new("a defect"))).is_ok()
    });
    assert!(panicked.unwrap_err().downcast_ref::<&str>().is_some());
    let mut spent = Spent::nothing();
    for _ in 0..MAX_ANSWERS {
        spent.one_more().unwrap();
    }
    assert_eq!(spent.one_more(), Err(ForkError::Answers));
}

//! Every contract TronWeb can write: our bytes are its bytes.

use seedrail::{
    tron::{
        contract::*,
        json::transaction_to_json,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::UnixMs,
};
use serde_json::{Value, json};

use super::{TO, peer::Peer, secret};

fn samples() -> Vec<Contract> {
    let owner_address = secret(super::KEY).address().to_bytes().to_vec();
    let to_address = TO
        .parse::<seedrail::types::Address>()
        .unwrap()
        .to_bytes()
        .to_vec();
    let permission = |kind: i32, id, name: &str, operations| Permission {
        r#type: kind,
        id,
        permission_name: name.to_owned(),
        threshold: 2,
        parent_id: 0,
        operations,
        keys: [&owner_address, &to_address]
            .map(|address| Key {
                address: address.clone(),
                weight: 1,
            })
            .to_vec(),
    };
    let mut all: Vec<Contract> = vec![
        AccountCreateContract {
            owner_address: owner_address.clone(),
            account_address: to_address.clone(),
            r#type: 0,
        }
        .into(),
        VoteWitnessContract {
            owner_address: owner_address.clone(),
            votes: vec![Vote {
                vote_address: to_address.clone(),
                vote_count: 3,
            }],
            support: false,
        }
        .into(),
        AssetIssueContract {
            owner_address: owner_address.clone(),
            name: b"Seed".to_vec(),
            abbr: b"SD".to_vec(),
            total_supply: 990_000_000_000_000_000,
            frozen_supply: vec![FrozenSupply {
                frozen_amount: 5,
                frozen_days: 2,
            }],
            trx_num: 1,
            precision: 6,
            num: 1,
            start_time: 1_790_000_000_000,
            end_time: 1_800_000_000_000,
            description: "a token, ein Jeton".into(),
            url: "seed.example".into(),
            free_asset_net_limit: 1_000,
            public_free_asset_net_limit: 2_000,
            ..AssetIssueContract::default()
        }
        .into(),
        ParticipateAssetIssueContract {
            owner_address: owner_address.clone(),
            to_address: to_address.clone(),
            asset_name: b"1000001".to_vec(),
            amount: 9,
        }
        .into(),
        AccountUpdateContract {
            account_name: "seed box".into(),
            owner_address: owner_address.clone(),
        }
        .into(),
        WithdrawBalanceContract {
            owner_address: owner_address.clone(),
        }
        .into(),
        UpdateAssetContract {
            owner_address: owner_address.clone(),
            description: "other words".into(),
            url: "other.example".into(),
            new_limit: 7,
            new_public_limit: 8,
        }
        .into(),
        SetAccountIdContract {
            account_id: b"seedbox-1".to_vec(),
            owner_address: owner_address.clone(),
        }
        .into(),
        TriggerSmartContract {
            owner_address: owner_address.clone(),
            contract_address: to_address.clone(),
            call_value: 0,
            data: vec![0xa9, 0x05, 0x9c, 0xbb],
            call_token_value: 4,
            token_id: 1_002_000,
        }
        .into(),
        AccountPermissionUpdateContract {
            owner_address: owner_address.clone(),
            owner: Some(permission(0, 0, "owner", Vec::new())),
            witness: None,
            actives: vec![permission(
                2,
                2,
                "active0",
                [vec![0x06], vec![0; 31]].concat(),
            )],
        }
        .into(),
        WithdrawExpireUnfreezeContract {
            owner_address: owner_address.clone(),
        }
        .into(),
        CancelAllUnfreezeV2Contract {
            owner_address: owner_address.clone(),
        }
        .into(),
    ];
    // The resources, with BANDWIDTH the default that must not be written.
    for resource in 0..=1 {
        all.push(
            FreezeBalanceV2Contract {
                owner_address: owner_address.clone(),
                frozen_balance: 1_000_000,
                resource,
            }
            .into(),
        );
        all.push(
            UnfreezeBalanceV2Contract {
                owner_address: owner_address.clone(),
                unfreeze_balance: 1_000_000,
                resource,
            }
            .into(),
        );
        for lock in [false, true] {
            all.push(
                DelegateResourceContract {
                    owner_address: owner_address.clone(),
                    resource,
                    balance: 2_000_000,
                    receiver_address: to_address.clone(),
                    lock,
                    lock_period: if lock { 28_800 } else { 0 },
                }
                .into(),
            );
        }
        all.push(
            UnDelegateResourceContract {
                owner_address: owner_address.clone(),
                resource,
                balance: 2_000_000,
                receiver_address: to_address.clone(),
            }
            .into(),
        );
    }
    all
}

#[test]
fn every_contract_has_tronwebs_bytes() {
    let mut tronweb = Peer::javascript();
    for contract in samples() {
        let name = contract.contract_type().name();
        let mut draft = Draft::new(
            contract,
            RefBlock {
                bytes: [0xa4, 0xb1],
                hash: [3; 8],
            },
            UnixMs(1_790_000_060_000),
            UnixMs(1_790_000_000_123),
        );
        if name == "TriggerSmartContract" {
            draft.fee_limit_sun = 100_000_000;
        }
        let ours = Transaction::from(draft.build());
        let json = transaction_to_json(&ours, false).unwrap();
        let theirs = tronweb.ask("encode", json!({ "transaction": json }));
        assert_eq!(
            theirs["raw_data_hex"].as_str().unwrap().to_lowercase(),
            hex::encode(ours.raw_bytes()),
            "{name}"
        );
        let txid = theirs["txid"].as_str().unwrap();
        assert_eq!(
            txid.trim_start_matches("0x"),
            ours.txid().to_string(),
            "{name}"
        );
        // And TronWeb reads them as what they are.
        let read = tronweb.ask(
            "decode",
            json!({ "type": name, "raw_data_hex": theirs["raw_data_hex"] }),
        );
        let value = |transaction: &Value| {
            let contract = &transaction["contract"][0];
            assert_eq!(contract["type"], name);
            contract["parameter"]["value"].clone()
        };
        let theirs = value(&read);
        for (field, ours) in value(&json["raw_data"]).as_object().unwrap() {
            same(ours, &theirs[field], &format!("{name}.{field}"));
        }
    }
}

/// Equal but for the case of hex, and for the zeros that TronWeb fills in.
fn same(ours: &Value, theirs: &Value, place: &str) {
    match ours {
        Value::Object(fields) => {
            for (field, ours) in fields {
                same(ours, &theirs[field], &format!("{place}.{field}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(
                Some(items.len()),
                theirs.as_array().map(Vec::len),
                "{place}"
            );
            for (n, ours) in items.iter().enumerate() {
                same(ours, &theirs[n], &format!("{place}[{n}]"));
            }
        }
        Value::String(text) => {
            let theirs = theirs
                .as_str()
                .unwrap_or_else(|| panic!("{place}: {theirs}"));
            assert!(
                text.eq_ignore_ascii_case(theirs),
                "{place}: {text} and {theirs}"
            );
        }
        _ => assert_eq!(ours, theirs, "{place}"),
    }
}

/// TronWeb builds, by itself and from a seed, transactions of 24 kinds, with memos and
/// permissions; ours are the same ids and the same fields.
#[test]
fn two_thousand_transactions_of_tronwebs_have_the_same_ids() {
    const COUNT: usize = 2_016;
    let mut tronweb = Peer::javascript();
    let question = json!({ "seed": 20_261_129, "count": COUNT });
    let built = tronweb.ask("transactions", question);
    let built = built.as_array().unwrap();
    assert_eq!(built.len(), COUNT);
    let mut kinds = std::collections::BTreeSet::new();
    for theirs in built {
        let text = |name: &str| theirs[name].as_str().unwrap();
        kinds.insert(text("kind"));
        let raw = hex::decode(text("raw_data_hex")).unwrap();
        let ours = Transaction::from_parts(raw.clone(), Vec::new(), Vec::new());
        assert_eq!(ours.txid().to_string(), text("txid"), "{theirs}");
        // The whole transaction, out of its own bytes and out of the node's JSON.
        let again = Transaction::decode(&ours.encode()).unwrap();
        assert_eq!(again.txid(), ours.txid());
        let contract = &theirs["transaction"]["raw_data"]["contract"][0];
        let name = contract["type"].as_str().unwrap();
        assert!(ContractType::from_name(name).is_some(), "{name}");
        let draft = ours
            .check_signable()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(draft.build().raw_bytes(), raw, "{name}");
        let json = transaction_to_json(&ours, false).unwrap();
        let value = |raw_data: &Value| raw_data["contract"][0]["parameter"]["value"].clone();
        let theirs = value(&theirs["transaction"]["raw_data"]);
        for (field, ours) in value(&json["raw_data"]).as_object().unwrap() {
            same(ours, &theirs[field], &format!("{name}.{field}"));
        }
    }
    assert_eq!(kinds.len(), 24, "{kinds:?}");
}

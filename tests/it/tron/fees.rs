//! The estimate equals the receipt in every recorded case.

use std::collections::BTreeMap;

use seedrail::{
    tron::{
        contract::ContractType,
        fees::{Bucket, Situation, check_receipt, estimate},
        rpc::{ChainParameters, TransactionInfo},
        transaction::Transaction,
    },
    types::{Sun, UnixMs},
};
use serde_json::Value;

use super::recordings::{cases, each_transaction};

/// Every recorded receipt, by transaction id.
fn each_receipt(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.contains_key("receipt") && object.contains_key("id") {
                see(value);
            }
            object.values().for_each(|value| each_receipt(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| each_receipt(value, see)),
        _ => {}
    }
}

#[test]
fn the_estimate_equals_the_receipt_in_every_recorded_case() {
    let mut receipts = BTreeMap::new();
    let mut transactions: BTreeMap<String, Transaction> = BTreeMap::new();
    let mut parameters = None;
    for (name, case) in cases() {
        each_receipt(&case["response"], &mut |info| {
            let id = info["id"].as_str().unwrap().to_owned();
            receipts.insert(id, info.clone());
        });
        each_transaction(&case, &mut |object| {
            let raw = hex::decode(object["raw_data_hex"].as_str().unwrap()).unwrap();
            let signatures = match &object["signature"] {
                Value::Array(list) => list
                    .iter()
                    .filter_map(|s| hex::decode(s.as_str()?).ok())
                    .collect(),
                _ => Vec::new(),
            };
            let transaction = Transaction::from_parts(raw, signatures, Vec::new());
            let id = transaction.txid().to_string();
            // Some were recorded before they were signed as well.
            let signed = |known: &Transaction| known.signatures().len();
            if transactions.get(&id).map_or(0, signed) <= signed(&transaction) {
                transactions.insert(id, transaction);
            }
        });
        if name == "01-getchainparameters" {
            let list = case["response"]["chainParameter"].as_array().unwrap();
            let pairs = list.iter().map(|entry| {
                let value = entry["value"].as_i64().unwrap_or(0);
                (entry["key"].as_str().unwrap().to_owned(), value)
            });
            parameters = Some(pairs.collect::<ChainParameters>());
        }
    }
    let parameters = parameters.unwrap();
    let (mut compared, mut created, mut checked) = (0, 0, 0);
    for (id, info) in &receipts {
        let Some(transaction) = transactions.get(id) else {
            continue;
        };
        let raw = transaction.raw_data().unwrap();
        let kind = ContractType::from_number(raw.contract().unwrap().contract_type);
        let sun = |value: &Value| Sun(value.as_u64().unwrap_or(0));
        let (fee, receipt) = (sun(&info["fee"]), &info["receipt"]);
        let net_usage = receipt["net_usage"].as_u64().unwrap_or(0);
        let net_fee = sun(&receipt["net_fee"]);

        // What the account had left is not recorded; that it was enough, is.
        let mut situation = Situation::new(parameters.clone());
        // An activation is no fee of bytes: 0.1 TRX flat, or stake and 1 TRX.
        let flat = parameters.create_account_fee();
        let memo = if raw.memo.is_empty() { 0 } else { 1_000_000 };
        situation.creates_account =
            net_fee == flat || (net_usage > 0 && fee.0.saturating_sub(memo) == 1_000_000);
        if situation.creates_account {
            situation.resources.staked_limit = net_usage;
            created += 1;
        } else {
            situation.resources.free_limit = net_usage;
        }
        let signatures = transaction.signatures().len().max(1);
        let price = estimate(transaction, signatures, &situation).unwrap();
        if net_usage > 0 {
            assert_eq!(price.bandwidth, net_usage, "{id}");
            assert_ne!(price.from, Bucket::Burnt, "{id}");
        } else {
            assert_eq!(price.from, Bucket::Burnt, "{id}");
            assert_eq!(price.burn_sun, net_fee, "{id}");
        }
        // Energy is not priced here.
        if kind != Some(ContractType::TriggerSmart) {
            assert_eq!(price.total_sun, fee, "{id}: {price:?}");
        }
        // What was charged follows from the bytes, and nothing else does.
        let mut info = TransactionInfo {
            txid: transaction.txid(),
            block: 1,
            block_time: UnixMs(1),
            fee,
            net_usage,
            net_fee,
            succeeded: true,
            message: String::new(),
        };
        let signed = signatures == transaction.signatures().len();
        if signed {
            let check = check_receipt(transaction, &info, &parameters).unwrap();
            assert!(check.agrees, "{id}: {check:?} {info:?}");
            assert_eq!(check.paid_by == Some(Bucket::Burnt), net_usage == 0, "{id}");
            info.net_usage += 1;
            let check = check_receipt(transaction, &info, &parameters).unwrap();
            assert!(!check.agrees, "{id}");
            checked += 1;
        }
        // One byte of bandwidth less, and it is burnt: to the worst case.
        if net_usage > 0 {
            situation.resources = Default::default();
            let worst = estimate(transaction, signatures, &situation).unwrap();
            assert_eq!(worst.total_sun, price.worst_case_sun, "{id}");
        }
        compared += 1;
    }
    assert!(compared >= 20, "{compared}");
    assert!(created >= 4, "{created}");
    assert!(checked >= 20, "{checked}");
}

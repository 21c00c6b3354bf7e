//! Transactions: by id, in the pool, what became of them, who signed.

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            account::{permission_json, put},
            block::{NUM, VALUE},
            broadcast::pack,
            execution::{LogAddress, put_logs, text_json},
            failure::Failure,
            request::Call,
        },
        chain::Sealed,
        execute::{Execution, Receipt},
        incoming::Incoming,
        permission,
    },
    tron::{
        json::transaction_to_json,
        transaction::{Transaction, TransactionResult},
    },
    types::{TxId, UnixMs},
};

fn txid(call: &Call) -> Result<Option<TxId>, Failure> {
    let bytes = call.message(VALUE)?.bytes(1);
    Ok(TxId::try_from(bytes.as_slice()).ok())
}

fn to_json(transaction: &Transaction, visible: bool) -> Value {
    transaction_to_json(transaction, visible).unwrap_or_else(|_| json!({}))
}

/// A pending transaction looks like one in a block: it was executed once.
fn pending_json(incoming: &Incoming, visible: bool) -> Value {
    let mut transaction = incoming.transaction().clone();
    transaction.set_results(vec![TransactionResult::SUCCESS]);
    to_json(&transaction, visible)
}

pub(super) fn get_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let Some(txid) = txid(call)? else {
        return Ok(json!({}));
    };
    if let Some((sealed, index)) = ctx.find(&txid) {
        let transaction = sealed.block.transactions.get(index);
        return Ok(transaction.map_or_else(|| json!({}), |found| to_json(found, visible)));
    }
    Ok(ctx
        .find_pending(&txid)
        .map_or_else(|| json!({}), |incoming| pending_json(&incoming, visible)))
}

/// What bandwidth and energy cost.
fn receipt_json(receipt: &Receipt) -> Value {
    let mut out = Map::new();
    let energy = receipt.energy();
    put(&mut out, "energy_usage", energy.usage);
    put(&mut out, "energy_fee", energy.fee);
    put(&mut out, "origin_energy_usage", energy.origin_usage);
    put(&mut out, "energy_usage_total", energy.total);
    put(&mut out, "net_usage", receipt.net.usage);
    put(&mut out, "net_fee", receipt.net.fee);
    if let Some(execution) = &receipt.outcome.execution {
        out.insert("result".into(), execution.result.name().into());
    }
    put(&mut out, "energy_penalty_total", energy.penalty);
    Value::Object(out)
}

/// What a contract's transaction did.
fn put_execution(out: &mut Map<String, Value>, execution: &Execution, visible: bool) {
    let output = hex::encode(&execution.output);
    out.insert("contractResult".into(), json!([output]));
    let address = super::account::address_text(&execution.contract, visible);
    out.insert("contract_address".into(), address.into());
    if let Some(message) = &execution.message {
        out.insert("result".into(), "FAILED".into());
        out.insert("resMessage".into(), text_json(message, visible));
    }
    put_logs(
        out,
        ("log", &execution.logs),
        &execution.internal,
        (visible, LogAddress::of_info(visible)),
    );
}

fn info_json(sealed: &Sealed, index: usize, visible: bool) -> Value {
    match (
        sealed.block.transactions.get(index),
        sealed.receipts.get(index),
    ) {
        (Some(transaction), Some(receipt)) => {
            let place = (sealed.number(), sealed.time());
            info_of(&transaction.txid(), receipt, place, visible)
        }
        _ => json!({}),
    }
}

/// What became of a transaction in the block of this number and time.
pub(super) fn info_of(
    txid: &TxId,
    receipt: &Receipt,
    (number, time): (u64, UnixMs),
    visible: bool,
) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), txid.to_string().into());
    put(&mut out, "fee", receipt.fee());
    if number != 0 {
        out.insert("blockNumber".into(), number.into());
    }
    put(&mut out, "blockTimeStamp", time.0);
    out.insert("contractResult".into(), json!([""]));
    out.insert("receipt".into(), receipt_json(receipt));
    let outcome = &receipt.outcome;
    if let Some(execution) = &outcome.execution {
        put_execution(&mut out, execution, visible);
    }
    if let Some(id) = outcome.asset_issue_id {
        out.insert("assetIssueID".into(), id.to_string().into());
    }
    put(&mut out, "withdraw_amount", outcome.withdraw_amount);
    if let Some((name, amount)) = outcome.exchange {
        put(&mut out, name, amount);
    }
    put(
        &mut out,
        "withdraw_expire_amount",
        outcome.withdraw_expire_amount,
    );
    if let Some([bandwidth, energy, power]) = outcome.cancelled {
        out.insert(
            "cancel_unfreezeV2_amount".into(),
            json!([
                { "key": "BANDWIDTH", "value": bandwidth },
                { "key": "ENERGY", "value": energy },
                { "key": "TRON_POWER", "value": power },
            ]),
        );
    }
    Value::Object(out)
}

pub(super) fn get_info_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let found = txid(call)?.and_then(|txid| ctx.find(&txid));
    Ok(found.map_or_else(
        || json!({}),
        |(sealed, index)| info_json(&sealed, index, visible),
    ))
}

pub(super) fn get_receipt_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let found = txid(call)?.and_then(|txid| ctx.find(&txid));
    Ok(found.map_or_else(
        || json!({}),
        |(sealed, index)| match sealed.receipts.get(index) {
            Some(receipt) => json!({ "Receipt": receipt_json(receipt) }),
            None => json!({}),
        },
    ))
}

pub(super) fn get_info_by_block_num(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let number = call.number(NUM)?;
    if number <= 0 {
        return Ok(json!({}));
    }
    let Some(sealed) = ctx.block(number) else {
        return Ok(json!([]));
    };
    Ok((0..sealed.block.transactions.len())
        .map(|index| info_json(&sealed, index, visible))
        .collect())
}

pub(super) fn get_pending_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let found = txid(call)?.and_then(|txid| ctx.find_pending(&txid));
    Ok(found.map_or_else(|| json!({}), |incoming| pending_json(&incoming, visible)))
}

pub(super) fn get_pending_list(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.visible()?;
    let ids: Vec<_> = ctx.pending().iter().map(Incoming::txid).collect();
    Ok(match ids.is_empty() {
        true => json!({}),
        false => json!({ "txId": ids }),
    })
}

pub(super) fn get_pending_size(ctx: &Ctx<'_>, _: &Call) -> Result<Value, Failure> {
    Ok(json!({ "pendingSize": ctx.pending().len() }))
}

/// The transaction as the answers about signatures wrap it.
fn wrapped(incoming: &Incoming, visible: bool) -> Value {
    json!({
        "result": { "result": true },
        "txid": incoming.txid().to_string(),
        "transaction": to_json(incoming.transaction(), visible),
    })
}

fn addresses(list: &[crate::types::Address], visible: bool) -> Value {
    list.iter()
        .map(|address| super::account::address_text(address, visible))
        .collect()
}

/// Who has signed: recovered from each signature, twice if he signed twice.
pub(super) fn get_approved_list(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let incoming = pack(call)?;
    let mut out = Map::new();
    let mut result = Map::new();
    let known = ctx.state().account_at(incoming.owner()).is_some();
    if incoming.raw().contracts.is_empty() {
        result.insert("code".into(), "OTHER_ERROR".into());
        let words = "Invalid transaction: no valid contract";
        result.insert("message".into(), words.into());
    } else if !known {
        result.insert("code".into(), "OTHER_ERROR".into());
        result.insert("message".into(), "Account does not exist!".into());
    } else {
        let mut approved = Vec::new();
        for signer in incoming.signers() {
            match signer {
                Ok(address) => approved.push(*address),
                Err(message) => {
                    let code = match message.starts_with("Signature size") {
                        true => "SIGNATURE_FORMAT_ERROR",
                        false => "COMPUTE_ADDRESS_ERROR",
                    };
                    result.insert("code".into(), code.into());
                    result.insert("message".into(), message.as_str().into());
                    approved.clear();
                    break;
                }
            }
        }
        if !approved.is_empty() {
            out.insert("approved_list".into(), addresses(&approved, visible));
        }
    }
    out.insert("result".into(), Value::Object(result));
    out.insert("transaction".into(), wrapped(&incoming, visible));
    Ok(Value::Object(out))
}

/// How much the signatures weigh, under the permission invoked.
pub(super) fn get_sign_weight(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let incoming = pack(call)?;
    let state = ctx.state();
    let mut out = Map::new();
    let mut result = Map::new();
    let mut fail = |code: &str, message: &str| {
        result.insert("code".into(), code.into());
        result.insert("message".into(), message.into());
    };
    let contract = incoming.raw_contract();
    let account = state.account_at(incoming.owner());
    match (contract, account) {
        (None, _) => fail("OTHER_ERROR", "Invalid transaction: no valid contract"),
        (_, None) => fail("PERMISSION_ERROR", "Account does not exist!"),
        (Some(contract), Some(account)) => match account.permission(contract.permission_id) {
            None => fail("PERMISSION_ERROR", "Permission for this, does not exist!"),
            Some(found) => {
                if let Err(message) = permission::applies(&found, &incoming) {
                    let words = match message {
                        "Permission denied" => "Permission denied!",
                        _ => "Permission type is wrong!",
                    };
                    fail("PERMISSION_ERROR", words);
                } else {
                    out.insert("permission".into(), permission_json(&found, visible));
                    match permission::weigh(&found, &incoming) {
                        Ok((weight, approved)) => {
                            if !approved.is_empty() {
                                out.insert("approved_list".into(), addresses(&approved, visible));
                            }
                            put(&mut out, "current_weight", weight);
                            if weight < found.threshold {
                                fail("NOT_ENOUGH_PERMISSION", "");
                            }
                        }
                        Err(message) if message.starts_with("Signature size") => {
                            fail("SIGNATURE_FORMAT_ERROR", &message);
                        }
                        Err(message) if message.contains("recover") => {
                            fail("COMPUTE_ADDRESS_ERROR", &message);
                        }
                        Err(message) => fail("PERMISSION_ERROR", &message),
                    }
                }
            }
        },
    }
    if result.get("message").is_some_and(|message| message == "") {
        result.remove("message");
    }
    out.insert("result".into(), Value::Object(result));
    out.insert("transaction".into(), wrapped(&incoming, visible));
    Ok(Value::Object(out))
}

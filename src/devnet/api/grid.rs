//! TronGrid's `/v1` and older event services, from this chain's own blocks: accounts,
//! and their transactions; what contracts did is in `events`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Ctx, account, events,
    pager::{Place, busy, list, page, wrong},
    request::{Call, Verb},
    transaction,
};
use crate::{
    devnet::chain::Sealed,
    tron::contract::Contract,
    types::{Address, TxId},
};

/// Answers a path after `/v1/`; none for one that is not simulated.
pub(super) fn answer(ctx: &Ctx<'_>, path: &str, query: &BTreeMap<String, String>) -> Option<Value> {
    let parts: Vec<_> = path.split('/').collect();
    Some(match parts.as_slice() {
        ["accounts", who] => with(who, |who| match one(ctx, who) {
            Some(found) => page(ctx, found, None),
            None => busy(),
        }),
        ["accounts", who, "trc20", "balance"] => {
            with(who, |who| match events::balances(ctx, who) {
                Some(held) => page(ctx, held, None),
                None => busy(),
            })
        }
        ["accounts", who, "transactions"] => with(who, |who| transactions(ctx, who, query)),
        ["accounts", who, "transactions", "trc20"] => {
            with(who, |who| events::trc20(ctx, who, query))
        }
        ["contracts", who, "events"] => with(who, |who| events::of_contract(ctx, who, query)),
        ["contracts", who, "transactions" | "tokens"] => with(who, |_| page(ctx, Vec::new(), None)),
        ["blocks", "latest", "events"] => {
            events::of_place(ctx, None, Some(ctx.head().number()), query)
        }
        ["blocks", number, "events"] => match number.parse() {
            Ok(number) => events::of_place(ctx, None, Some(number), query),
            Err(_) => wrong("A block number is required."),
        },
        ["transactions", txid, "events"] => match txid.parse() {
            Ok(txid) => events::of_place(ctx, Some(txid), None, query),
            Err(_) => wrong("A transaction id is required."),
        },
        _ => return None,
    })
}

fn with(text: &str, answer: impl FnOnce(Address) -> Value) -> Value {
    match text.parse() {
        Ok(address) => answer(address),
        Err(_) => wrong("A valid account address is required."),
    }
}

/// An account, if there is one; none when too many calls are being made.
fn one(ctx: &Ctx<'_>, who: Address) -> Option<Vec<Value>> {
    let call = Call {
        verb: Verb::Post,
        query: BTreeMap::new(),
        body: json!({ "address": who.to_hex() }).to_string(),
    };
    Some(match account::get_account(ctx, &call) {
        Ok(Value::Object(mut found)) if !found.is_empty() => {
            found.insert("trc20".into(), events::balances(ctx, who)?.into());
            vec![Value::Object(found)]
        }
        _ => Vec::new(),
    })
}

/// Whether a contract is of this account: its owner's, or paid to it.
fn sides(contract: &Contract, who: &Address) -> (bool, bool) {
    let who = who.to_bytes();
    let to = match contract {
        Contract::Transfer(c) => Some(&c.to_address),
        Contract::TransferAsset(c) => Some(&c.to_address),
        Contract::ParticipateAssetIssue(c) => Some(&c.to_address),
        Contract::DelegateResource(c) => Some(&c.receiver_address),
        Contract::UnDelegateResource(c) => Some(&c.receiver_address),
        Contract::AccountCreate(c) => Some(&c.account_address),
        Contract::TriggerSmart(c) => Some(&c.contract_address),
        _ => None,
    };
    (
        contract.owner_address() == who,
        to.is_some_and(|to| *to == who),
    )
}

/// `only_from` and `only_to` are heeded.
fn transactions(ctx: &Ctx<'_>, who: Address, query: &BTreeMap<String, String>) -> Value {
    let flag = |name: &str| query.get(name).is_some_and(|value| value == "true");
    let (only_from, only_to) = (flag("only_from"), flag("only_to"));
    let all = |sealed: &Sealed| {
        let count = sealed.block.transactions.len();
        (0..count).map(|index| (index, 0)).collect()
    };
    list(ctx, query, all, |place| {
        shown(ctx, place, &who, only_from, only_to)
    })
}

fn shown(
    ctx: &Ctx<'_>,
    Place { sealed, index, .. }: &Place,
    who: &Address,
    only_from: bool,
    only_to: bool,
) -> Option<Value> {
    let index = *index;
    let transaction = sealed.block.transactions.get(index)?;
    let contract = transaction
        .raw_data()
        .ok()?
        .contracts
        .first()?
        .decoded()
        .ok()?;
    let (from, to) = sides(&contract, who);
    let wanted = match (only_from, only_to) {
        (true, false) => from,
        (false, true) => to,
        _ => from || to,
    };
    if !wanted {
        return None;
    }
    let receipt = sealed.receipts.get(index)?;
    let mut shown = by_id(ctx, transaction.txid())?;
    for (name, value) in [
        ("blockNumber", i64::try_from(sealed.number()).ok()?),
        ("block_timestamp", sealed.time().0),
        ("net_fee", receipt.net.fee),
        ("net_usage", receipt.net.usage),
        ("energy_fee", receipt.energy().fee),
        ("energy_usage", receipt.energy().usage),
        ("energy_usage_total", receipt.energy().total),
    ] {
        shown.insert(name.into(), value.into());
    }
    shown.insert("internal_transactions".into(), json!([]));
    if let Some(ret) = shown
        .get_mut("ret")
        .and_then(|list| list.get_mut(0))
        .and_then(Value::as_object_mut)
    {
        ret.insert("fee".into(), receipt.fee().into());
    }
    Some(Value::Object(shown))
}

fn by_id(ctx: &Ctx<'_>, txid: TxId) -> Option<Map<String, Value>> {
    let call = Call {
        verb: Verb::Post,
        query: BTreeMap::new(),
        body: json!({ "value": txid }).to_string(),
    };
    match transaction::get_by_id(ctx, &call) {
        // Those of genesis are not found by their ids.
        Ok(Value::Object(found)) if !found.is_empty() => Some(found),
        _ => None,
    }
}

/// `/healthcheck`: that it answers, and its newest block.
pub(super) fn health(ctx: &Ctx<'_>) -> Value {
    let call = Call {
        verb: Verb::Get,
        query: BTreeMap::new(),
        body: String::new(),
    };
    match super::block::get_now_block(ctx, &call) {
        Ok(Value::Object(mut found)) => {
            found.insert("status".into(), "ok".into());
            Value::Object(found)
        }
        _ => json!({ "status": "ok" }),
    }
}

//! Stake lent out, and what could still be lent or withdrawn.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            account::{address_text, put},
            block::identified,
            contracts::value_of,
            failure::Failure,
            request::{Call, Verb},
        },
        execute::{MAX_UNFREEZING, delegable, foreseen_bytes},
        resource::TRX,
        state::{Delegation, Resource},
    },
    tron::contract::{FieldSchema, Kind},
    types::{Address, UnixMs},
};

const FROM_TO: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "fromAddress",
        kind: Kind::Address,
    },
    FieldSchema {
        number: 2,
        name: "toAddress",
        kind: Kind::Address,
    },
];

const OWNER: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "type",
        kind: Kind::Int32,
    },
    FieldSchema {
        number: 2,
        name: "owner_address",
        kind: Kind::Address,
    },
    FieldSchema {
        number: 3,
        name: "timestamp",
        kind: Kind::Int64,
    },
];

fn delegation_json(from: &Address, to: &Address, delegation: &Delegation, visible: bool) -> Value {
    let mut out = Map::new();
    out.insert("from".into(), address_text(from, visible).into());
    out.insert("to".into(), address_text(to, visible).into());
    put(
        &mut out,
        "frozen_balance_for_bandwidth",
        delegation.bandwidth,
    );
    put(&mut out, "frozen_balance_for_energy", delegation.energy);
    put(
        &mut out,
        "expire_time_for_bandwidth",
        delegation.bandwidth_expire,
    );
    put(&mut out, "expire_time_for_energy", delegation.energy_expire);
    Value::Object(out)
}

pub(super) fn get_delegated_v2(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(FROM_TO)?;
    let visible = call.visible()?;
    let state = ctx.state();
    let (Ok(from), Ok(to)) = (
        Address::from_bytes(&message.bytes(1)),
        Address::from_bytes(&message.bytes(2)),
    ) else {
        return Ok(json!({}));
    };
    let list: Vec<Value> = [false, true]
        .into_iter()
        .filter_map(|locked| state.delegation(&(from, to, locked)))
        .map(|delegation| delegation_json(&from, &to, delegation, visible))
        .collect();
    Ok(match list.is_empty() {
        true => json!({}),
        false => json!({ "delegatedResource": list }),
    })
}

/// Delegations of the stake before 2.0; there are none here.
pub(super) fn get_delegated_v1(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.message(FROM_TO)?;
    Ok(json!({}))
}

fn index_json(ctx: &Ctx<'_>, call: &Call, with_v2: bool) -> Result<Value, Failure> {
    let bytes = match call.verb {
        Verb::Get => call.address("value")?,
        Verb::Post => value_of(call)?,
    };
    let visible = call.visible()?;
    let Ok(address) = Address::from_bytes(&bytes) else {
        return Ok(json!({}));
    };
    let mut out = Map::new();
    out.insert("account".into(), address_text(&address, visible).into());
    if with_v2 {
        let state = ctx.state();
        let mut from = BTreeSet::new();
        let mut to = BTreeSet::new();
        for ((giver, taker, _), delegation) in state.delegations() {
            if *taker == address {
                from.insert((delegation.time, *giver));
            }
            if *giver == address {
                to.insert((delegation.time, *taker));
            }
        }
        for (name, list) in [("fromAccounts", from), ("toAccounts", to)] {
            let mut seen = Vec::new();
            for (_, other) in list {
                let text = address_text(&other, visible);
                if !seen.contains(&text) {
                    seen.push(text);
                }
            }
            if !seen.is_empty() {
                out.insert(name.into(), seen.into());
            }
        }
    }
    Ok(Value::Object(out))
}

pub(super) fn get_index_v1(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    index_json(ctx, call, false)
}

pub(super) fn get_index_v2(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    index_json(ctx, call, true)
}

fn number(name: &str, value: i64) -> Value {
    let mut out = Map::new();
    put(&mut out, name, value);
    Value::Object(out)
}

pub(super) fn get_can_delegate(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(OWNER)?;
    let state = ctx.state();
    let resource = i32::try_from(message.int(1)).ok();
    let most = match (
        state.account_at(&message.bytes(2)),
        resource.and_then(Resource::from_number),
    ) {
        (Some(account), Some(Resource::Bandwidth)) => {
            let more = foreseen_bytes(&state, account.staked(Resource::Bandwidth));
            delegable(&state, account, Resource::Bandwidth, more)
        }
        (Some(account), Some(Resource::Energy)) => delegable(&state, account, Resource::Energy, 0),
        _ => 0,
    };
    Ok(number("max_size", if most < TRX { 0 } else { most }))
}

pub(super) fn get_unfreeze_count(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(OWNER)?;
    let state = ctx.state();
    let now = state.properties.head_time;
    let left = state.account_at(&message.bytes(2)).map_or(0, |account| {
        let waiting = account
            .unfreezing
            .iter()
            .filter(|entry| entry.expire > now)
            .count();
        i64::try_from(MAX_UNFREEZING.saturating_sub(waiting)).unwrap_or_default()
    });
    Ok(number("count", left))
}

pub(super) fn get_withdrawable(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(OWNER)?;
    let state = ctx.state();
    let at = match message.int(3) {
        0 => state.properties.head_time,
        time => UnixMs(time),
    };
    let amount = state.account_at(&message.bytes(2)).map_or(0, |account| {
        account
            .unfreezing
            .iter()
            .filter(|entry| at.0 >= 0 && entry.expire <= at)
            .map(|entry| entry.amount)
            .sum()
    });
    Ok(number("amount", amount))
}

const IDENTIFIER: &[FieldSchema] = &[FieldSchema {
    number: 1,
    name: "address",
    kind: Kind::Address,
}];

const BLOCK_IDENTIFIER: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "hash",
        kind: Kind::Bytes,
    },
    FieldSchema {
        number: 2,
        name: "number",
        kind: Kind::Int64,
    },
];

const BALANCE: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "account_identifier",
        kind: Kind::Message(IDENTIFIER),
    },
    FieldSchema {
        number: 2,
        name: "block_identifier",
        kind: Kind::Message(BLOCK_IDENTIFIER),
    },
];

/// A balance as of a block, and the block in which it last became that.
pub(super) fn get_account_balance(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let message = call.message(BALANCE)?;
    let account = message.nested(1).bytes(1);
    let block = message.nested(2);
    let sealed = identified(ctx, &block.bytes(1), block.int(2))?;
    let balance_at = |number: u64| {
        ctx.state_at(number)
            .and_then(|state| state.account_at(&account).map(|account| account.balance))
    };
    let balance = balance_at(sealed.number());
    let mut since = sealed;
    while let Some(parent) = since
        .number()
        .checked_sub(1)
        .and_then(|number| ctx.block(i64::try_from(number).unwrap_or(i64::MAX)))
    {
        // Before the account existed, or beyond the states that are kept, the
        // search ends.
        if balance.is_none() || balance_at(parent.number()) != balance {
            break;
        }
        since = parent;
    }
    Ok(json!({
        "balance": balance.unwrap_or_default(),
        "block_identifier": { "hash": since.id.to_string(), "number": since.number() },
    }))
}

//! Exchanges, as a node lists them.

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    account::{address_text, put, text},
    committee::{id_of, page, wrapped},
    failure::Failure,
    request::Call,
};
use crate::devnet::execute::Exchange;

fn exchange_json(id: i64, exchange: &Exchange, visible: bool) -> Value {
    let mut out = Map::new();
    put(&mut out, "exchange_id", id);
    let creator = address_text(&exchange.creator, visible);
    out.insert("creator_address".into(), creator.into());
    put(&mut out, "create_time", exchange.created.0);
    let first = ("first_token_id", "first_token_balance", &exchange.first);
    let second = ("second_token_id", "second_token_balance", &exchange.second);
    for (name, balance, (token, amount)) in [first, second] {
        out.insert(name.into(), text(token, visible).into());
        put(&mut out, balance, *amount);
    }
    Value::Object(out)
}

/// All of them, the newest first.
pub(super) fn list(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.query_visible();
    let state = ctx.state();
    let mut all: Vec<_> = state.exchanges().collect();
    all.reverse();
    let all = all.into_iter();
    let list = all.map(|(id, exchange)| exchange_json(*id, exchange, visible));
    Ok(wrapped("exchanges", list.collect()))
}

pub(super) fn page_of(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let state = ctx.state();
    let all = state.exchanges();
    let list = all.map(|(id, exchange)| exchange_json(*id, exchange, visible));
    Ok(wrapped("exchanges", page(call, list.collect())?))
}

pub(super) fn by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let id = id_of(call)?;
    let state = ctx.state();
    Ok(state.exchange(id).map_or_else(
        || json!({}),
        |exchange| exchange_json(id, exchange, visible),
    ))
}

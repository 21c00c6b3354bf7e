//! Witnesses and proposals, as a node lists them.

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    account::{address_text, put},
    failure::Failure,
    merge::from_base58_check,
    request::{Call, Verb, required_long_of},
};
use crate::{
    devnet::{
        committee::{Proposal, Standing, Witness},
        reward,
    },
    tron::contract::{FieldSchema, Kind},
    types::Address,
};

const PAGE: &[FieldSchema] = &[
    FieldSchema {
        number: 1,
        name: "offset",
        kind: Kind::Int64,
    },
    FieldSchema {
        number: 2,
        name: "limit",
        kind: Kind::Int64,
    },
];

/// Entries of a page.
const MAX_PAGE: i64 = 1_000;

fn witness_json(address: &Address, witness: &Witness, visible: bool) -> Value {
    let mut out = Map::new();
    out.insert("address".into(), address_text(address, visible).into());
    put(&mut out, "voteCount", witness.votes);
    // A `string` of the message, so text in both forms.
    let url = String::from_utf8_lossy(&witness.url).into_owned();
    out.insert("url".into(), url.into());
    put(&mut out, "totalProduced", witness.produced);
    put(&mut out, "latestBlockNum", witness.latest_block);
    put(&mut out, "latestSlotNum", witness.latest_slot);
    if witness.is_active {
        out.insert("isJobs".into(), true.into());
    }
    Value::Object(out)
}

/// All witnesses, those with most votes first.
fn witnesses(ctx: &Ctx<'_>, visible: bool) -> Vec<Value> {
    let state = ctx.state();
    let mut all: Vec<_> = state.witnesses().collect();
    all.sort_by_key(|(_, witness)| std::cmp::Reverse(witness.votes));
    all.into_iter()
        .map(|(address, witness)| witness_json(address, witness, visible))
        .collect()
}

pub(super) fn wrapped(name: &str, list: Vec<Value>) -> Value {
    match list.is_empty() {
        true => json!({}),
        false => json!({ name: list }),
    }
}

/// From `offset` on, `limit` of them; nothing for bounds that are none.
pub(super) fn page(call: &Call, list: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let names = ["offset", "limit"];
    if call.verb == Verb::Get && !names.iter().all(|name| call.query.contains_key(*name)) {
        return Err(Failure::number(None));
    }
    let asked = call.message(PAGE)?;
    let (offset, limit) = (asked.int(1), asked.int(2).min(MAX_PAGE));
    if offset < 0 || limit < 0 {
        return Ok(Vec::new());
    }
    let count = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
    Ok(list
        .into_iter()
        .skip(count(offset))
        .take(count(limit))
        .collect())
}

pub(super) fn list_witnesses(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    Ok(wrapped("witnesses", witnesses(ctx, call.query_visible())))
}

pub(super) fn page_of_witnesses(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let list = page(call, witnesses(ctx, call.visible()?))?;
    Ok(wrapped("witnesses", list))
}

fn proposal_json(id: i64, proposal: &Proposal, visible: bool) -> Value {
    let mut out = Map::new();
    put(&mut out, "proposal_id", id);
    let proposer = address_text(&proposal.proposer, visible);
    out.insert("proposer_address".into(), proposer.into());
    let parameters = proposal.parameters.iter();
    let parameters: Value = parameters
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    out.insert("parameters".into(), parameters);
    put(&mut out, "expiration_time", proposal.expires.0);
    put(&mut out, "create_time", proposal.created.0);
    if !proposal.approvals.is_empty() {
        let approvals = proposal.approvals.iter();
        let approvals: Value = approvals.map(|who| address_text(who, visible)).collect();
        out.insert("approvals".into(), approvals);
    }
    let standing = match proposal.standing {
        Standing::Pending => None,
        Standing::Disapproved => Some("DISAPPROVED"),
        Standing::Approved => Some("APPROVED"),
        Standing::Canceled => Some("CANCELED"),
    };
    if let Some(standing) = standing {
        out.insert("state".into(), standing.into());
    }
    Value::Object(out)
}

/// All proposals, the newest first.
fn proposals(ctx: &Ctx<'_>, visible: bool) -> Vec<Value> {
    let state = ctx.state();
    let mut all: Vec<_> = state
        .proposals()
        .map(|(id, proposal)| proposal_json(*id, proposal, visible))
        .collect();
    all.reverse();
    all
}

pub(super) fn list_proposals(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    Ok(wrapped("proposals", proposals(ctx, call.visible()?)))
}

pub(super) fn page_of_proposals(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let list = page(call, proposals(ctx, call.visible()?))?;
    Ok(wrapped("proposals", list))
}

/// The number of a proposal or an exchange, which must be there.
pub(super) fn id_of(call: &Call) -> Result<i64, Failure> {
    match call.verb {
        Verb::Get => {
            let text = call.query.get("id").ok_or_else(|| Failure::number(None))?;
            text.parse().map_err(|_| Failure::number(Some(text)))
        }
        Verb::Post => required_long_of(&call.object()?, "id"),
    }
}

pub(super) fn get_proposal(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let id = id_of(call)?;
    let visible = call.visible()?;
    let state = ctx.state();
    let found = state.proposal(id);
    Ok(found.map_or_else(
        || json!({}),
        |proposal| proposal_json(id, proposal, visible),
    ))
}

/// `Util.getAddress`: in hex if it begins like that, whatever `visible` says; the answer to
/// one that cannot be read.
fn named(call: &Call) -> Result<Result<Option<Address>, Value>, Failure> {
    let text = call.text("address")?.unwrap_or_default();
    let bytes = if text.trim().is_empty() {
        Ok(None)
    } else if text.starts_with("41") {
        let wrong = "exception decoding Hex string: invalid characters encountered in Hex string";
        hex::decode(&text).map(Some).map_err(|_| wrong.to_owned())
    } else {
        from_base58_check(&text)
    };
    Ok(match bytes {
        // What is no address belongs to nobody.
        Ok(bytes) => Ok(bytes.map(|bytes| Address::from_bytes(&bytes).unwrap_or(Address::ZERO))),
        Err(why) => Err(json!({ "Error": format!("INVALID address, {why}") })),
    })
}

/// What an account may withdraw: what its votes have earned, as of the last cycle.
pub(super) fn get_reward(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let reward = |address| reward::earned(&ctx.state(), &address);
    Ok(match named(call)? {
        Ok(address) => json!({ "reward": address.map_or(0, reward) }),
        Err(wrong) => wrong,
    })
}

/// A witness's share of its voters' reward in this cycle; 20 for all who have not set one.
pub(super) fn get_brokerage(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let address = match named(call)? {
        Ok(Some(address)) => address,
        Ok(None) => return Ok(json!({ "brokerage": 0 })),
        Err(wrong) => return Ok(wrong),
    };
    let state = ctx.state();
    let brokerage = state
        .witness(&address)
        .map_or(20, |witness| witness.brokerage);
    Ok(json!({ "brokerage": brokerage }))
}

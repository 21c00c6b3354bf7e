//! Witnesses and proposals, as a node lists them.

use serde_json::{Map, Value, json};

use super::{
    Ctx,
    account::{address_text, put},
    failure::Failure,
    request::Call,
};
use crate::{
    devnet::committee::{Proposal, Standing, Witness},
    tron::contract::{FieldSchema, Kind},
    types::Address,
};

const ID: &[FieldSchema] = &[FieldSchema {
    number: 1,
    name: "id",
    kind: Kind::Int64,
}];

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

fn wrapped(name: &str, list: Vec<Value>) -> Value {
    match list.is_empty() {
        true => json!({}),
        false => json!({ name: list }),
    }
}

/// From `offset` on, `limit` of them; nothing for bounds that are none.
fn page(call: &Call, list: Vec<Value>) -> Result<Vec<Value>, Failure> {
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

pub(super) fn get_proposal(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let id = call.message(ID)?.int(1);
    let visible = call.visible()?;
    let state = ctx.state();
    let found = state.proposal(id);
    Ok(found.map_or_else(
        || json!({}),
        |proposal| proposal_json(id, proposal, visible),
    ))
}

/// What an account's votes have earned: nobody earns anything here.
pub(super) fn get_reward(_: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.visible()?;
    Ok(json!({ "reward": 0 }))
}

/// A witness's share of its voters' reward in this cycle.
pub(super) fn get_brokerage(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    call.visible()?;
    let address = call.text("address")?.and_then(|text| text.parse().ok());
    let state = ctx.state();
    let witness = address.and_then(|address| state.witness(&address).cloned());
    Ok(json!({ "brokerage": witness.map_or(20, |witness| witness.brokerage) }))
}

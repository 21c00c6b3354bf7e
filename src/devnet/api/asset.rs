//! TRC-10 tokens.

use serde_json::{Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            failure::Failure,
            merge::from_hex_string,
            request::{Call, Verb},
        },
        resource::increase,
        state::{State, Usage, asset_id},
    },
    tron::{
        contract::{AssetIssueContract, FieldSchema, Kind, Message as _},
        json::message_to_json,
    },
};

/// Assets a page may have (`ASSET_ISSUE_COUNT_LIMIT_MAX`).
const MAX_PAGE: i64 = 1_000;

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

const ADDRESS: &[FieldSchema] = &[FieldSchema {
    number: 3,
    name: "address",
    kind: Kind::Address,
}];

/// An asset with the use of its bandwidth as of the head.
fn asset_json(state: &State, asset: &AssetIssueContract, visible: bool) -> Value {
    let mut asset = asset.clone();
    let usage = Usage {
        used: asset.public_free_asset_net_usage,
        slot: asset.public_latest_free_net_time,
    };
    asset.public_free_asset_net_usage = increase(usage, 0, state.head_slot());
    message_to_json(AssetIssueContract::FIELDS, &asset.encode(), visible)
        .expect("bytes this node encoded")
}

fn list_json<'a>(
    state: &State,
    assets: impl Iterator<Item = &'a AssetIssueContract>,
    visible: bool,
) -> Value {
    let list: Vec<Value> = assets
        .map(|asset| asset_json(state, asset, visible))
        .collect();
    match list.is_empty() {
        true => json!({}),
        false => json!({ "assetIssue": list }),
    }
}

pub(super) fn get_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    if call.verb == Verb::Post && call.json()?.is_none() {
        return Err(Failure::null(
            "Cannot invoke \"com.alibaba.fastjson.JSONObject.getString(String)\" because \"<local4>\" is null",
        ));
    }
    let id = call.text("value")?.unwrap_or_default();
    let state = ctx.state();
    Ok(asset_id(id.as_bytes())
        .and_then(|id| state.asset(id))
        .map_or_else(|| json!({}), |asset| asset_json(&state, asset, visible)))
}

pub(super) fn get_by_account(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let owner = call.message(ADDRESS)?.bytes(3);
    let visible = call.visible()?;
    let state = ctx.state();
    let mine = state
        .assets()
        .map(|(_, asset)| asset.as_ref())
        .filter(|asset| asset.owner_address == owner);
    Ok(list_json(&state, mine, visible))
}

/// A name's bytes: hex, or plain when visible.
fn name(call: &Call) -> Result<Vec<u8>, Failure> {
    let text = call.text("value")?.unwrap_or_default();
    if call.visible()? {
        return Ok(text.into_bytes());
    }
    from_hex_string(&text).ok_or_else(Failure::not_hex)
}

/// By name, and, when no token has that name, by id.
pub(super) fn get_by_name(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let name = name(call)?;
    let visible = call.visible()?;
    let state = ctx.state();
    let mut named = state.assets().filter(|(_, asset)| asset.name == name);
    let first = named.next();
    if first.is_some() && named.next().is_some() {
        return Err(Failure::new(
            "org.tron.core.exception.NonUniqueObjectException",
            "To get more than one asset, please use getAssetIssueById syntax",
        ));
    }
    let by_id = asset_id(&name).and_then(|id| state.asset(id));
    Ok(match first.map(|(_, asset)| asset).or(by_id) {
        Some(asset) => asset_json(&state, asset, visible),
        None => json!({}),
    })
}

pub(super) fn get_list_by_name(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let name = name(call)?;
    let visible = call.visible()?;
    let state = ctx.state();
    let named = state
        .assets()
        .map(|(_, asset)| asset.as_ref())
        .filter(|asset| asset.name == name);
    Ok(list_json(&state, named, visible))
}

pub(super) fn get_list(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.query_visible();
    let state = ctx.state();
    let all = state.assets().map(|(_, asset)| asset.as_ref());
    Ok(list_json(&state, all, visible))
}

pub(super) fn get_page(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let page = call.message(PAGE)?;
    let visible = call.visible()?;
    let state = ctx.state();
    let (Ok(offset), Ok(limit)) = (
        usize::try_from(page.int(1)),
        usize::try_from(page.int(2).min(MAX_PAGE)),
    ) else {
        return Ok(json!({}));
    };
    let some = state
        .assets()
        .map(|(_, asset)| asset.as_ref())
        .skip(offset)
        .take(limit);
    Ok(list_json(&state, some, visible))
}

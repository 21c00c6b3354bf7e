//! Accounts and what they may use.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            failure::Failure,
            request::{Call, Verb},
        },
        params::Parameter,
        resource::{TRX, increase},
        state::{Account, Resource, SLOT_MS, StakedUsage, State, Usage},
    },
    tron::{
        contract::{FieldSchema, Kind, Message as _, Permission},
        json::message_to_json,
    },
    types::Address,
};

/// `Account`, as far as a request names one.
const ACCOUNT: &[FieldSchema] = &[
    FieldSchema {
        number: 3,
        name: "address",
        kind: Kind::Address,
    },
    FieldSchema {
        number: 23,
        name: "account_id",
        kind: Kind::Text,
    },
];

/// Puts a number unless it is 0, as protobuf's JSON does.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, value: i64) {
    if value != 0 {
        object.insert(name.to_owned(), value.into());
    }
}

fn put_flag(object: &mut Map<String, Value>, name: &str, value: bool) {
    if value {
        object.insert(name.to_owned(), true.into());
    }
}

/// An address in the form a reply has it.
pub(super) fn address_text(address: &Address, visible: bool) -> String {
    if visible {
        address.to_string()
    } else {
        address.to_hex()
    }
}

/// A text field in the form a reply has it.
pub(super) fn text(bytes: &[u8], visible: bool) -> String {
    if visible {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        hex::encode(bytes)
    }
}

/// A permission as JSON.
pub(super) fn permission_json(permission: &Permission, visible: bool) -> Value {
    message_to_json(Permission::FIELDS, &permission.encode(), visible)
        .expect("bytes this node encoded")
}

/// A protobuf map with its zeros, which only these maps show.
fn pairs(entries: impl IntoIterator<Item = (i64, i64)>) -> Value {
    entries
        .into_iter()
        .map(|(key, value)| json!({ "key": key.to_string(), "value": value }))
        .collect()
}

/// The use of a token's free bandwidth, for every token held or ever used.
fn asset_usage(account: &Account, now: i64) -> Vec<(i64, i64)> {
    let mut ids: Vec<i64> = account.assets.keys().copied().collect();
    ids.extend(account.asset_usage.keys().copied());
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .map(|id| {
            let usage = account.asset_usage.get(&id).copied().unwrap_or_default();
            (id, increase(usage, 0, now))
        })
        .collect()
}

/// `Account` as `/wallet/getaccount` prints it: use recovered up to the head,
/// slots turned into times, three kinds of stake even when there is none.
/// `is_settled`: whether the account was there at the solid block. The node keeps its
/// tokens apart from then on, and says so.
fn account_json(state: &State, account: &Account, is_settled: bool, visible: bool) -> Value {
    let now = state.head_slot();
    let genesis = state.properties.genesis_time.0;
    // Slot 0 is genesis, which the chain's own genesis time of 0 hides.
    let time = |slot: i64| match slot {
        0 => 0,
        slot => genesis + slot * SLOT_MS,
    };
    let mut out = Map::new();
    if !account.name.is_empty() {
        out.insert("account_name".into(), text(&account.name, visible).into());
    }
    match account.kind {
        1 => drop(out.insert("type".into(), "AssetIssue".into())),
        2 => drop(out.insert("type".into(), "Contract".into())),
        _ => {}
    }
    out.insert(
        "address".into(),
        address_text(&account.address, visible).into(),
    );
    put(&mut out, "balance", account.balance);
    put(&mut out, "create_time", account.create_time.0);
    put(&mut out, "latest_opration_time", account.latest_operation.0);
    put(&mut out, "allowance", account.allowance);
    put(&mut out, "latest_withdraw_time", account.latest_withdraw.0);
    put_flag(&mut out, "is_witness", account.is_witness);
    if !account.account_id.is_empty() {
        out.insert(
            "account_id".into(),
            text(&account.account_id, visible).into(),
        );
    }
    let net = shown(account.net, now);
    put(&mut out, "net_usage", net.usage.used);
    put(&mut out, "latest_consume_time", time(net.usage.slot));
    put(
        &mut out,
        "free_net_usage",
        increase(account.free_net, 0, now),
    );
    put(
        &mut out,
        "latest_consume_free_time",
        time(account.free_net.slot),
    );
    put(&mut out, "net_window_size", net.window);
    put_flag(&mut out, "net_window_optimized", net.optimized);
    out.insert("account_resource".into(), energy_json(account, now, time));
    if let Some(permission) = &account.owner_permission {
        out.insert(
            "owner_permission".into(),
            permission_json(permission, visible),
        );
    }
    if let Some(permission) = &account.witness_permission {
        out.insert(
            "witness_permission".into(),
            permission_json(permission, visible),
        );
    }
    if !account.active_permissions.is_empty() {
        let list = account.active_permissions.iter();
        let list: Value = list
            .map(|permission| permission_json(permission, visible))
            .collect();
        out.insert("active_permission".into(), list);
    }
    if !account.votes.is_empty() {
        let votes = account.votes.iter().map(|(witness, count)| {
            json!({ "vote_address": address_text(witness, visible), "vote_count": count })
        });
        out.insert("votes".into(), votes.collect());
    }
    put_stake(&mut out, account);
    put_assets(&mut out, account, now, visible);
    put_flag(&mut out, "asset_optimized", is_settled);
    Value::Object(out)
}

fn shown(usage: StakedUsage, now: i64) -> StakedUsage {
    let mut usage = usage;
    usage.used_at(0, now);
    usage
}

fn energy_json(account: &Account, now: i64, time: impl Fn(i64) -> i64) -> Value {
    let energy = shown(account.energy, now);
    let mut out = Map::new();
    put(&mut out, "energy_usage", energy.usage.used);
    put(
        &mut out,
        "latest_consume_time_for_energy",
        time(energy.usage.slot),
    );
    put(&mut out, "energy_window_size", energy.window);
    put(
        &mut out,
        "delegated_frozenV2_balance_for_energy",
        account.delegated.1,
    );
    put(
        &mut out,
        "acquired_delegated_frozenV2_balance_for_energy",
        account.acquired.1,
    );
    put_flag(&mut out, "energy_window_optimized", energy.optimized);
    Value::Object(out)
}

fn put_stake(out: &mut Map<String, Value>, account: &Account) {
    let entry = |resource: Resource, amount: i64| {
        let mut entry = Map::new();
        if resource != Resource::Bandwidth {
            entry.insert("type".into(), resource.name().into());
        }
        entry
            .entry(if amount == 0 { "" } else { "amount" })
            .or_insert(amount.into());
        entry.remove("");
        entry
    };
    let frozen: Value = Resource::ALL
        .iter()
        .map(|resource| Value::Object(entry(*resource, account.staked(*resource))))
        .collect();
    out.insert("frozenV2".into(), frozen);
    if !account.unfreezing.is_empty() {
        let list: Value = account
            .unfreezing
            .iter()
            .map(|entry| {
                let mut object = Map::new();
                if entry.resource != Resource::Bandwidth {
                    object.insert("type".into(), entry.resource.name().into());
                }
                put(&mut object, "unfreeze_amount", entry.amount);
                put(&mut object, "unfreeze_expire_time", entry.expire.0);
                Value::Object(object)
            })
            .collect();
        out.insert("unfrozenV2".into(), list);
    }
    put(
        out,
        "delegated_frozenV2_balance_for_bandwidth",
        account.delegated.0,
    );
    put(
        out,
        "acquired_delegated_frozenV2_balance_for_bandwidth",
        account.acquired.0,
    );
}

fn put_assets(out: &mut Map<String, Value>, account: &Account, now: i64, visible: bool) {
    if let Some((name, id)) = &account.issued {
        out.insert("asset_issued_name".into(), text(name, visible).into());
        out.insert("asset_issued_ID".into(), id.to_string().into());
    }
    if !account.frozen_supply.is_empty() {
        let list: Value = account
            .frozen_supply
            .iter()
            .map(|frozen| {
                let mut object = Map::new();
                put(&mut object, "frozen_balance", frozen.amount);
                put(&mut object, "expire_time", frozen.expire.0);
                Value::Object(object)
            })
            .collect();
        out.insert("frozen_supply".into(), list);
    }
    if !account.assets.is_empty() {
        let list = account.assets.iter().map(|(id, amount)| (*id, *amount));
        out.insert("assetV2".into(), pairs(list));
    }
    let used: Vec<(i64, Usage)> = account
        .asset_usage
        .iter()
        .map(|(id, usage)| (*id, *usage))
        .collect();
    if !used.is_empty() {
        let times = used.iter().map(|(id, usage)| (*id, usage.slot));
        out.insert("latest_asset_operation_timeV2".into(), pairs(times));
    }
    let usage = asset_usage(account, now);
    if !usage.is_empty() {
        out.insert("free_asset_net_usageV2".into(), pairs(usage));
    }
}

fn found<'a>(state: &'a State, address: &[u8]) -> Option<&'a Arc<Account>> {
    state.account_at(address)
}

pub(super) fn get_account(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let address = call.merged(ACCOUNT)?.bytes(3);
    let visible = call.visible()?;
    let state = ctx.state();
    Ok(found(&state, &address).map_or_else(
        || json!({}),
        |account| account_json(&state, account, is_settled(ctx, account), visible),
    ))
}

/// Whether an account was there at the solid block.
fn is_settled(ctx: &Ctx<'_>, account: &Account) -> bool {
    let chain = ctx.node.chain();
    let solid = chain.state_at(chain.solid());
    solid.is_none_or(|state| state.account(&account.address).is_some())
}

pub(super) fn get_account_by_id(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let id = call.message(ACCOUNT)?.bytes(23);
    let visible = call.visible()?;
    let state = ctx.state();
    Ok(state.account_by_id(&id.to_ascii_lowercase()).map_or_else(
        || json!({}),
        |account| account_json(&state, account, is_settled(ctx, account), visible),
    ))
}

/// The part `getaccountnet` and `getaccountresource` share.
fn net_json(state: &State, account: &Account) -> Map<String, Value> {
    let now = state.head_slot();
    let mut out = Map::new();
    put(&mut out, "freeNetUsed", increase(account.free_net, 0, now));
    put(
        &mut out,
        "freeNetLimit",
        state.parameters.get(Parameter::FreeNetLimit),
    );
    put(&mut out, "NetUsed", shown(account.net, now).usage.used);
    put(&mut out, "NetLimit", state.net_limit(account));
    let usage = asset_usage(account, now);
    if !usage.is_empty() {
        let limits = usage.iter().map(|(id, _)| {
            let asset = state.asset(*id);
            (*id, asset.map_or(0, |asset| asset.free_asset_net_limit))
        });
        out.insert("assetNetLimit".into(), pairs(limits));
        out.insert("assetNetUsed".into(), pairs(usage));
    }
    put(
        &mut out,
        "TotalNetLimit",
        state.parameters.get(Parameter::TotalNetLimit),
    );
    put(&mut out, "TotalNetWeight", state.properties.net_weight);
    out
}

pub(super) fn get_account_net(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let address = call.message(ACCOUNT)?.bytes(3);
    let state = ctx.state();
    Ok(found(&state, &address).map_or_else(
        || json!({}),
        |account| Value::Object(net_json(&state, account)),
    ))
}

pub(super) fn get_account_resource(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    if call.verb == Verb::Post {
        call.object()?;
    }
    let address = call.address("address")?;
    let state = ctx.state();
    let Some(account) = found(&state, &address) else {
        return Ok(json!({}));
    };
    let mut out = net_json(&state, account);
    let power = account.staked(Resource::Bandwidth)
        + account.staked(Resource::Energy)
        + account.staked(Resource::TronPower)
        + account.delegated.0
        + account.delegated.1;
    put(
        &mut out,
        "TotalTronPowerWeight",
        state.properties.power_weight,
    );
    let used = account.votes.iter().map(|(_, count)| *count).sum();
    put(&mut out, "tronPowerUsed", used);
    put(&mut out, "tronPowerLimit", power / TRX);
    let energy = shown(account.energy, state.head_slot());
    put(&mut out, "EnergyUsed", energy.usage.used);
    put(&mut out, "EnergyLimit", state.energy_limit(account));
    put(
        &mut out,
        "TotalEnergyLimit",
        state.parameters.get(Parameter::TotalEnergyCurrentLimit),
    );
    put(
        &mut out,
        "TotalEnergyWeight",
        state.properties.energy_weight,
    );
    Ok(Value::Object(out))
}

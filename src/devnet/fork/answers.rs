//! What a node's answers say of the forked chain, each checked against what was asked. What is
//! in them is checked again, and for good, by [`Base::add`](super::Base::add).

use serde_json::Value;

use super::record::{Deployed, Doubt, Held};
use crate::{
    devnet::{genesis::NetworkStake, state::asset_id},
    tron::{
        contract::{AssetIssueContract, Message, Permission, SmartContract},
        json::message_from_json,
    },
    types::{Address, UnixMs},
};

/// The largest stake of a whole network taken, TRX: a hundred times all TRX there are.
const MAX_STAKE_TRX: i64 = 10_000_000_000_000;

/// The answer's object; none when it is the empty one, of a node that knows nothing.
fn there(answer: &Value) -> Result<Option<&Value>, Doubt> {
    match answer.as_object() {
        Some(object) if object.is_empty() => Ok(None),
        Some(_) => Ok(Some(answer)),
        None => Err("its answer is no object".to_owned()),
    }
}

/// A number; 0 when it is not there, as protobuf's JSON leaves it out.
fn number(object: &Value, name: &str) -> Result<i64, Doubt> {
    match object.get(name) {
        None => Ok(0),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| format!("its `{name}` is no 64-bit integer")),
    }
}

fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, Doubt> {
    match object.get(name) {
        None => Ok(""),
        Some(value) => value
            .as_str()
            .ok_or_else(|| format!("its `{name}` is no text")),
    }
}

fn list<'a>(object: &'a Value, name: &str) -> Result<&'a [Value], Doubt> {
    match object.get(name) {
        None => Ok(&[]),
        Some(value) => value
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| format!("its `{name}` is no list")),
    }
}

/// Hex of a message from its JSON.
fn message<M: Message>(object: &Value) -> Result<String, Doubt> {
    let bytes = message_from_json(M::FIELDS, object, false);
    bytes.map(hex::encode).map_err(|error| error.to_string())
}

fn resource(entry: &Value) -> Result<i32, Doubt> {
    match text(entry, "type")? {
        "" | "BANDWIDTH" => Ok(0),
        "ENERGY" => Ok(1),
        "TRON_POWER" => Ok(2),
        _ => Err("it has stake of a kind that is not known".to_owned()),
    }
}

/// The address in an answer must be the one that was asked about.
fn is_of(object: &Value, name: &str, address: Address) -> Result<(), Doubt> {
    let shown = text(object, name)?;
    if shown.parse() == Ok(address) {
        return Ok(());
    }
    let shown: String = shown.chars().take(60).collect();
    Err(format!(
        "it sent another address, `{}`",
        shown.escape_debug()
    ))
}

/// `/wallet/getaccount`, not `visible`.
pub(super) fn account(answer: &Value, address: Address) -> Result<Option<Box<Held>>, Doubt> {
    let Some(answer) = there(answer)? else {
        return Ok(None);
    };
    is_of(answer, "address", address)?;
    let mut held = Held {
        name_hex: text(answer, "account_name")?.to_owned(),
        account_id_hex: text(answer, "account_id")?.to_owned(),
        kind: match text(answer, "type")? {
            "" | "Normal" => 0,
            "AssetIssue" => 1,
            "Contract" => 2,
            _ => return Err("its `type` is not known".to_owned()),
        },
        balance_sun: number(answer, "balance")?,
        create_time_ms: number(answer, "create_time")?,
        latest_operation_ms: number(answer, "latest_opration_time")?,
        ..Held::default()
    };
    for entry in list(answer, "assetV2")? {
        let id = token_id(text(entry, "key")?)?;
        if held.tokens.insert(id, number(entry, "value")?).is_some() {
            return Err(format!("it has the token {id} twice"));
        }
    }
    let permission = message::<Permission>;
    held.owner = answer.get("owner_permission").map(permission).transpose()?;
    held.active = list(answer, "active_permission")?
        .iter()
        .map(permission)
        .collect::<Result<_, _>>()?;
    for entry in list(answer, "frozenV2")? {
        held.staked
            .push((resource(entry)?, number(entry, "amount")?));
    }
    for entry in list(answer, "unfrozenV2")? {
        held.unstaking.push((
            resource(entry)?,
            number(entry, "unfreeze_amount")?,
            number(entry, "unfreeze_expire_time")?,
        ));
    }
    let energy = answer.get("account_resource").unwrap_or(&Value::Null);
    held.delegated = (
        number(answer, "delegated_frozenV2_balance_for_bandwidth")?,
        number(energy, "delegated_frozenV2_balance_for_energy")?,
    );
    held.acquired = (
        number(answer, "acquired_delegated_frozenV2_balance_for_bandwidth")?,
        number(energy, "acquired_delegated_frozenV2_balance_for_energy")?,
    );
    let issued = text(answer, "asset_issued_ID")?;
    if !issued.is_empty() {
        let name = text(answer, "asset_issued_name")?.to_owned();
        held.issued = Some((name, token_id(issued)?));
    }
    for entry in list(answer, "frozen_supply")? {
        held.frozen_supply.push((
            number(entry, "frozen_balance")?,
            number(entry, "expire_time")?,
        ));
    }
    Ok(Some(Box::new(held)))
}

fn token_id(digits: &str) -> Result<i64, Doubt> {
    asset_id(digits.as_bytes()).ok_or_else(|| "it has a token whose id is no number".to_owned())
}

/// `/wallet/getassetissuebyid`, not `visible`.
pub(super) fn token(answer: &Value) -> Result<Option<String>, Doubt> {
    there(answer)?
        .map(message::<AssetIssueContract>)
        .transpose()
}

/// `/wallet/getcontractinfo`, not `visible`; `cycle` is the devnet's own.
pub(super) fn contract(
    answer: &Value,
    address: Address,
    cycle: i64,
) -> Result<Option<Deployed>, Doubt> {
    let Some(answer) = there(answer)? else {
        return Ok(None);
    };
    let contract = answer
        .get("smart_contract")
        .ok_or("its answer has no `smart_contract`")?;
    is_of(contract, "contract_address", address)?;
    let state = answer.get("contract_state").unwrap_or(&Value::Null);
    Ok(Some(Deployed {
        contract: message::<SmartContract>(contract)?,
        code: text(answer, "runtimecode")?.to_owned(),
        energy_factor: number(state, "energy_factor")?,
        cycle,
    }))
}

/// The result of a method of JSON-RPC, which is a text.
fn result(answer: &Value) -> Result<&str, Doubt> {
    if let Some(error) = answer.get("error") {
        let why = error.get("message").and_then(Value::as_str);
        let why: String = why.unwrap_or("an error").chars().take(200).collect();
        return Err(format!("its JSON-RPC refused: {}", why.escape_debug()));
    }
    let result = answer.get("result").and_then(Value::as_str);
    result.ok_or_else(|| "it does not answer as JSON-RPC does".to_owned())
}

/// `eth_getStorageAt`: 64 digits of hex.
pub(super) fn slot(answer: &Value) -> Result<String, Doubt> {
    let result = result(answer)?;
    let digits = result.strip_prefix("0x").unwrap_or(result);
    match digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(digits.to_ascii_lowercase()),
        false => Err("its answer is no word of 64 hex digits".to_owned()),
    }
}

/// `eth_chainId`: the last four bytes of the first block's id.
pub(super) fn chain_id(answer: &Value) -> Result<u32, Doubt> {
    let result = result(answer)?;
    let digits = result.strip_prefix("0x").unwrap_or(result);
    u32::from_str_radix(digits, 16).map_err(|_| "its chain id is no number of 32 bits".to_owned())
}

/// `/wallet/getnowblock`: its number, its time and who made it, which is nobody for the first
/// block.
pub(super) fn head(answer: &Value) -> Result<(u64, UnixMs, Option<Address>), Doubt> {
    let raw = answer.pointer("/block_header/raw_data");
    let raw = raw.ok_or("its newest block has no header")?;
    let block = u64::try_from(number(raw, "number")?);
    let witness = text(raw, "witness_address")?.parse::<Address>().ok();
    Ok((
        block.map_err(|_| "its newest block has a negative number")?,
        UnixMs(number(raw, "timestamp")?),
        witness,
    ))
}

/// `/wallet/getaccountresource` of any account: what all have staked.
pub(super) fn stake(answer: &Value) -> Result<NetworkStake, Doubt> {
    let trx = |name: &str| {
        number(answer, name).and_then(|trx| match (0..=MAX_STAKE_TRX).contains(&trx) {
            true => Ok(trx),
            false => Err(format!("its `{name}` is {trx}")),
        })
    };
    Ok(NetworkStake {
        bandwidth: trx("TotalNetWeight")?,
        energy: trx("TotalEnergyWeight")?,
    })
}

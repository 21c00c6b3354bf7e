//! What a transaction's bytes cost (`BandwidthProcessor.java`): the issuer's
//! bandwidth, the sender's staked, the free, or burnt TRX - whole from one of
//! them, never mixed.

use crate::{
    devnet::{
        incoming::Incoming,
        params::Parameter,
        permission::no_such_account,
        reject::Reject,
        resource::increase,
        state::{Account, PUBLIC_NET_LIMIT, State, Usage},
    },
    tron::{contract::Contract, transaction::MAX_RESULT_SIZE_IN_TX},
    types::Address,
};

/// Bytes of a signature that the limit on account-creating transactions does
/// not count (`PER_SIGN_LENGTH`).
const SIGNATURE_BYTES: i64 = 65;

/// The bandwidth part of a receipt: points used, or sun burnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NetBill {
    pub(crate) usage: i64,
    pub(crate) fee: i64,
}

/// Charges a transaction's bandwidth to the state.
pub(crate) fn consume(state: &mut State, incoming: &Incoming) -> Result<NetBill, Reject> {
    let bytes = incoming.size() + i64::try_from(MAX_RESULT_SIZE_IN_TX).unwrap_or(0);
    let Some(account) = state.account_at(incoming.owner()) else {
        return Err(no_such_account(incoming.owner()));
    };
    let account = account.as_ref().clone();
    let contract = incoming.contract().ok();
    if contract.is_some_and(|contract| creates_account(state, contract)) {
        check_creating_size(state, incoming)?;
        return consume_for_new_account(state, account, bytes);
    }
    if let Some(Contract::TransferAsset(transfer)) = contract
        && use_issuer(state, &account, &transfer.asset_name, bytes)?
    {
        return Ok(used(bytes));
    }
    if use_staked(state, &account, bytes) || use_free(state, &account, bytes) {
        return Ok(used(bytes));
    }
    let fee = bytes.saturating_mul(state.parameters.get(Parameter::TransactionFee));
    burn(state, account, fee)
}

fn used(bytes: i64) -> NetBill {
    NetBill {
        usage: bytes,
        fee: 0,
    }
}

/// Takes a fee for bandwidth from the balance.
fn burn(state: &mut State, mut account: Account, fee: i64) -> Result<NetBill, Reject> {
    if account.balance < fee {
        return Err(Reject::Bandwidth);
    }
    account.balance -= fee;
    account.latest_operation = state.properties.head_time;
    state.properties.burnt += fee;
    state.put_account(account);
    Ok(NetBill { usage: 0, fee })
}

fn creates_account(state: &State, contract: &Contract) -> bool {
    let missing = |address: &[u8]| state.account_at(address).is_none();
    match contract {
        Contract::AccountCreate(_) => true,
        Contract::Transfer(transfer) => missing(&transfer.to_address),
        Contract::TransferAsset(transfer) => missing(&transfer.to_address),
        _ => false,
    }
}

fn check_creating_size(state: &State, incoming: &Incoming) -> Result<(), Reject> {
    let signatures = incoming.transaction().signatures().len();
    let size = incoming.size() - SIGNATURE_BYTES * i64::try_from(signatures).unwrap_or(0);
    let limit = state.parameters.get(Parameter::MaxCreateAccountTxSize);
    if size > limit {
        return Err(Reject::TooBig(format!(
            "Too big new account transaction, TxId {}, the size is {size} bytes, maxTxSize {limit}",
            incoming.txid()
        )));
    }
    Ok(())
}

/// Staked bandwidth, or a flat fee; the free bandwidth is not for this.
fn consume_for_new_account(
    state: &mut State,
    mut account: Account,
    bytes: i64,
) -> Result<NetBill, Reject> {
    let cost = bytes.saturating_mul(
        state
            .parameters
            .get(Parameter::CreateNewAccountBandwidthRate),
    );
    let now = state.head_slot();
    if cost <= state.net_limit(&account) - account.net.at(now) {
        account.net.add(cost, now);
        account.latest_operation = state.properties.head_time;
        state.put_account(account);
        return Ok(used(cost));
    }
    let fee = state.parameters.get(Parameter::CreateAccountFee);
    burn(state, account, fee)
}

/// The issuer's bandwidth: the token's public limit, the sender's share of it
/// and the issuer's stake must each hold all the bytes.
fn use_issuer(
    state: &mut State,
    account: &Account,
    asset_name: &[u8],
    bytes: i64,
) -> Result<bool, Reject> {
    let Some((id, asset)) = state.asset_named(asset_name) else {
        return Reject::validate(format!(
            "asset [{}] does not exist",
            byte_string(asset_name)
        ));
    };
    let mut asset = asset.as_ref().clone();
    let now = state.head_slot();
    // The node means an issuer to use his own stake here but compares two
    // objects, not their bytes, so an issuer goes the way of everybody.
    let public = Usage {
        used: asset.public_free_asset_net_usage,
        slot: asset.public_latest_free_net_time,
    };
    if bytes > asset.public_free_asset_net_limit - increase(public, 0, now) {
        return Ok(false);
    }
    let own = account.asset_usage.get(&id).copied().unwrap_or_default();
    if bytes > asset.free_asset_net_limit - increase(own, 0, now) {
        return Ok(false);
    }
    let Some(issuer) = state.account_at(&asset.owner_address) else {
        return Ok(false);
    };
    let mut issuer = issuer.as_ref().clone();
    if bytes > state.net_limit(&issuer) - issuer.net.at(now) {
        return Ok(false);
    }
    issuer.net.add(bytes, now);
    asset.public_free_asset_net_usage = add(public, bytes, now).used;
    asset.public_latest_free_net_time = now;
    let mut account = account.clone();
    account.latest_operation = state.properties.head_time;
    account.asset_usage.insert(id, add(own, bytes, now));
    state.put_asset(id, asset);
    // In this order: of an issuer who sends his own token, the second remains.
    state.put_account(account);
    state.put_account(issuer);
    Ok(true)
}

fn use_staked(state: &mut State, account: &Account, bytes: i64) -> bool {
    let now = state.head_slot();
    if bytes > state.net_limit(account) - account.net.at(now) {
        return false;
    }
    let mut account = account.clone();
    account.net.add(bytes, now);
    account.latest_operation = state.properties.head_time;
    state.put_account(account);
    true
}

fn use_free(state: &mut State, account: &Account, bytes: i64) -> bool {
    let now = state.head_slot();
    let limit = state.parameters.get(Parameter::FreeNetLimit);
    if bytes > limit - increase(account.free_net, 0, now) {
        return false;
    }
    let public = state.properties.public_net;
    if bytes > PUBLIC_NET_LIMIT - increase(public, 0, now) {
        return false;
    }
    let mut account = account.clone();
    account.free_net = add(account.free_net, bytes, now);
    account.latest_operation = state.properties.head_time;
    state.properties.public_net = add(public, bytes, now);
    state.put_account(account);
    true
}

/// Recovers, rounds, then adds and rounds again: two steps, as the node does.
fn add(usage: Usage, bytes: i64, now: i64) -> Usage {
    let recovered = Usage {
        used: increase(usage, 0, now),
        slot: now,
    };
    Usage {
        used: increase(recovered, bytes, now),
        slot: now,
    }
}

/// A flat fee on top of bandwidth: several signatures, a memo.
pub(crate) fn charge(state: &mut State, owner: &[u8], fee: i64) -> Result<i64, Reject> {
    let Some(account) = Address::from_bytes(owner)
        .ok()
        .and_then(|owner| state.account(&owner))
    else {
        return Ok(fee);
    };
    let mut account = account.as_ref().clone();
    if account.balance < fee {
        return Err(Reject::Bandwidth);
    }
    account.balance -= fee;
    state.properties.burnt += fee;
    state.put_account(account);
    Ok(fee)
}

/// `ByteString.toString()` of protobuf-java: an identity hash, the size and
/// the text, escaped. The hash differs with every object; ours is a constant.
fn byte_string(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(50) {
        match byte {
            b'"' | b'\\' | b'\'' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            0x20..=0x7e => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03o}")),
        }
    }
    let dots = if bytes.len() > 50 { "..." } else { "" };
    format!(
        "<ByteString@5eed7a11 size={} contents=\"{text}{dots}\">",
        bytes.len()
    )
}

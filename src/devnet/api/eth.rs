//! The reads of `/jsonrpc`, as java-tron answers Ethereum's tools
//! (`TronJsonRpcImpl.java`).

use serde_json::{Map, Value, json};
use sha3::{Digest as _, Keccak256};

use super::{
    Ctx, eth_build, eth_contract,
    eth_moved::moved,
    filters::{self, Logs},
};
use crate::{
    devnet::{
        chain::Sealed,
        execute::{Outcome, Receipt},
        fork::ForkError,
        params::Parameter,
        vm::Log,
    },
    tron::{block::Block, contract::Contract, proto::Writer, transaction::Transaction},
    types::{Address, BlockId, TxId},
};

/// What a method is refused with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
    /// java-tron's own errors have an empty `data`, the library's have none.
    pub(super) data: Option<Value>,
}

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: Some("{}".into()),
        }
    }

    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A parameter is no object of the kind that is due. The library takes it for a body
    /// that is no JSON.
    pub(super) fn unreadable() -> Self {
        Self::plain(Self::UNREADABLE, "JSON parse error")
    }

    /// The code of [`Self::unreadable`], whose answer has no id.
    pub(super) const UNREADABLE: i64 = -32700;

    pub(super) fn invalid() -> Self {
        Self::new(-32600, "invalid json request")
    }

    /// As the JSON-RPC library says it, before a method is called.
    pub(super) fn plain(code: i64, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            data: None,
        }
    }
}

impl From<ForkError> for Refusal {
    fn from(error: ForkError) -> Self {
        Self::new(-32000, error.to_string())
    }
}

pub(super) type Answer = Result<Value, Refusal>;
type Method = fn(&Ctx<'_>, &[Value]) -> Answer;

/// A method and how many parameters it takes.
fn method(name: &str) -> Option<(usize, Method)> {
    let found: (usize, Method) = match name {
        "web3_clientVersion" => (0, client_version),
        "web3_sha3" => (1, sha3),
        "net_version" | "eth_chainId" => (0, chain_id),
        "net_listening" | "eth_syncing" => (0, |_, _| Ok(false.into())),
        "net_peerCount" | "eth_hashrate" => (0, |_, _| Ok("0x0".into())),
        "eth_protocolVersion" => (0, |ctx, _| {
            Ok(number(ctx.head().block.header.version.into()))
        }),
        "eth_coinbase" => (0, |ctx, _| {
            Ok(hex_bytes(&ctx.head().block.header.witness_address))
        }),
        "eth_gasPrice" => (0, |ctx, _| Ok(number(gas_price(ctx)))),
        "eth_accounts" => (0, |_, _| Ok(json!([]))),
        "eth_mining" => (0, |_, _| Ok(true.into())),
        "eth_blockNumber" => (0, |ctx, _| Ok(unsigned(ctx.head().number()))),
        "eth_getWork" => (0, |ctx, _| {
            Ok(json!([hex_bytes(ctx.head().id.as_bytes()), null, null]))
        }),
        "eth_getBalance" => (2, balance),
        "eth_getCode" => (2, eth_contract::code),
        "eth_getStorageAt" => (3, eth_contract::storage),
        "eth_getBlockTransactionCountByHash" => (1, count_by_hash),
        "eth_getBlockTransactionCountByNumber" => (1, count_by_number),
        "eth_getBlockByHash" => (2, block_by_hash),
        "eth_getBlockByNumber" => (2, block_by_number),
        "eth_getTransactionByHash" => (1, transaction_by_hash),
        "eth_getTransactionByBlockHashAndIndex" => (2, transaction_in_hash),
        "eth_getTransactionByBlockNumberAndIndex" => (2, transaction_in_number),
        "eth_getTransactionReceipt" => (1, receipt),
        "eth_call" => (2, eth_contract::call),
        "eth_estimateGas" => (1, eth_contract::estimate),
        "buildTransaction" => (1, eth_build::transaction),
        "eth_getLogs" => (1, |ctx, list| Logs::read(ctx, list)?.found(ctx)),
        "eth_newFilter" => (1, filters::new_filter),
        "eth_newBlockFilter" => (0, filters::new_block_filter),
        "eth_uninstallFilter" => (1, filters::uninstall),
        "eth_getFilterChanges" => (1, filters::changes),
        "eth_getFilterLogs" => (1, filters::logs),
        _ => return None,
    };
    Some(found)
}

/// Methods that java-tron names only to refuse them, and how many parameters they take.
const REFUSED: &[(&str, usize)] = &[
    ("eth_getCompilers", 0),
    ("eth_compileSolidity", 1),
    ("eth_compileLLL", 1),
    ("eth_compileSerpent", 1),
    ("eth_getUncleByBlockHashAndIndex", 2),
    ("eth_getUncleByBlockNumberAndIndex", 2),
    ("eth_getUncleCountByBlockHash", 1),
    ("eth_getUncleCountByBlockNumber", 1),
    ("eth_getTransactionCount", 2),
    ("eth_sendRawTransaction", 1),
    ("eth_sendTransaction", 1),
    ("eth_sign", 2),
    ("eth_signTransaction", 1),
    ("eth_submitWork", 3),
    ("eth_submitHashrate", 2),
    ("parity_nextNonce", 1),
];

/// Answers one of java-tron's methods; none for a name that it does not have.
pub(super) fn run(ctx: &Ctx<'_>, name: &str, list: &[Value]) -> Option<Answer> {
    let invalid = || Some(Err(Refusal::plain(-32602, "method parameters invalid")));
    if let Some((count, method)) = method(name) {
        return match list.len() == count {
            true => Some(method(ctx, list)),
            false => invalid(),
        };
    }
    // It came after 4.8.0, which does not know the name; called otherwise it is unknown still.
    if name == "eth_getBlockReceipts" && list.len() == 1 {
        return Some(block_receipts(ctx, list));
    }
    let (_, count) = REFUSED.iter().find(|(known, _)| *known == name)?;
    if list.len() != *count {
        return invalid();
    }
    let message = format!("the method {name} does not exist/is not available");
    Some(Err(Refusal::new(-32601, message)))
}

pub(super) fn number(value: i64) -> Value {
    format!("{value:#x}").into()
}

pub(super) fn unsigned(value: u64) -> Value {
    format!("{value:#x}").into()
}

pub(super) fn hex_bytes(bytes: &[u8]) -> Value {
    format!("0x{}", hex::encode(bytes)).into()
}

/// The 20 bytes that Ethereum's tools know.
pub(super) fn body_of(address: &[u8]) -> Value {
    match Address::from_bytes(address) {
        Ok(address) => hex_bytes(address.to_bytes().get(1..).unwrap_or_default()),
        Err(_) => hex_bytes(&[0; 20]),
    }
}

/// Nothing takes energy here, but it has a price.
fn gas_price(ctx: &Ctx<'_>) -> i64 {
    ctx.state().parameters.get(Parameter::EnergyFee)
}

fn client_version(_: &Ctx<'_>, _: &[Value]) -> Answer {
    Ok(format!(
        "TRON/v4.8.0/Linux/Rust/seedrail-{}",
        env!("CARGO_PKG_VERSION")
    )
    .into())
}

fn chain_id(ctx: &Ctx<'_>, _: &[Value]) -> Answer {
    let genesis = ctx.node.chain().genesis().id;
    Ok(hex_bytes(
        genesis.as_bytes().last_chunk::<4>().unwrap_or(&[0; 4]),
    ))
}

/// `ByteArray.fromHexString`, with its words for what is no hex.
pub(super) fn bytes(
    value: Option<&Value>,
    refuse: impl Fn() -> Refusal,
) -> Result<Vec<u8>, Refusal> {
    let text = value.and_then(Value::as_str).ok_or_else(&refuse)?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let padded = match digits.len() % 2 {
        0 => digits.to_owned(),
        _ => format!("0{digits}"),
    };
    hex::decode(padded).map_err(|_| refuse())
}

fn sha3(_: &Ctx<'_>, list: &[Value]) -> Answer {
    let data = bytes(list.first(), || Refusal::params("invalid input value"))?;
    Ok(hex_bytes(&Keccak256::digest(data)))
}

/// An address of 20 bytes, or of 21 with TRON's prefix (`addressCompatibleToByteArray`).
pub(super) fn address(value: Option<&Value>) -> Result<Address, Refusal> {
    let bytes = bytes(value, || Refusal::params(eth_contract::NOT_HEX))?;
    let invalid = || Refusal::params("invalid address hash value");
    match <[u8; 20]>::try_from(bytes.as_slice()) {
        Ok(body) => Ok(Address::from_body(body)),
        Err(_) => Address::from_bytes(&bytes).map_err(|_| invalid()),
    }
}

/// Only the newest state is read. In place of a tag there may be an object as EIP-1898 has
/// it; java-tron looks no further than that the block is known.
pub(super) fn latest(ctx: &Ctx<'_>, tag: Option<&Value>) -> Result<(), Refusal> {
    let tag = match tag {
        Some(Value::Object(block)) => return known(ctx, block),
        Some(Value::String(tag)) => tag.to_ascii_lowercase(),
        _ => return Err(Refusal::invalid()),
    };
    Err(Refusal::params(match tag.as_str() {
        "latest" => return Ok(()),
        "earliest" | "pending" | "finalized" => {
            "TAG [earliest | pending | finalized] not supported"
        }
        tag if block_number(tag).is_some() => "QUANTITY not supported, just support TAG as latest",
        _ => "invalid block number",
    }))
}

fn known(ctx: &Ctx<'_>, block: &Map<String, Value>) -> Result<(), Refusal> {
    let (found, words) = if let Some(number) = block.get("blockNumber") {
        let number = number.as_str().and_then(block_number);
        let number = number.ok_or_else(|| Refusal::params("invalid block number"))?;
        (ctx.block(number).is_some(), "header not found")
    } else if block.contains_key("blockHash") {
        let found = at_hash(ctx, block.get("blockHash"))?;
        (found.is_some(), "header for hash not found")
    } else {
        return Err(Refusal::invalid());
    };
    match found {
        true => Ok(()),
        false => Err(Refusal::new(-32000, words)),
    }
}

/// A quantity as Ethereum writes it (`jsonHexToLong`, `jsonHexToInt`), which Java lets have
/// a sign.
pub(super) fn quantity(text: &str) -> Option<i64> {
    i64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The number of a block: hexadecimal with `0x`, else decimal, of which the low 64 bits
/// count (`hexToBigInteger`).
fn block_number(text: &str) -> Option<i64> {
    let (radix, digits) = match text.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None => (10, text),
    };
    let plain = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if plain.is_empty() {
        return None;
    }
    let low = plain.chars().try_fold(0u64, |low, digit| {
        let digit = u64::from(digit.to_digit(radix)?);
        Some(low.wrapping_mul(radix.into()).wrapping_add(digit))
    })?;
    let low = low.cast_signed();
    Some(match digits.starts_with('-') {
        true => low.wrapping_neg(),
        false => low,
    })
}

fn balance(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    latest(ctx, list.get(1))?;
    let address = address(list.first())?;
    let state = ctx.state();
    Ok(number(
        state.account(&address).map_or(0, |account| account.balance),
    ))
}

fn hash(value: Option<&Value>) -> Result<[u8; 32], Refusal> {
    let invalid = || Refusal::params("invalid hash value");
    let text = value.and_then(Value::as_str).ok_or_else(invalid)?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(invalid());
    }
    let bytes = bytes(value, || Refusal::params(eth_contract::NOT_HEX))?;
    bytes.try_into().map_err(|_| invalid())
}

/// The number a tag means; none for a block that is yet to come.
pub(super) fn tagged(ctx: &Ctx<'_>, tag: &str) -> Result<i64, Refusal> {
    Ok(match tag.to_ascii_lowercase().as_str() {
        "earliest" => 0,
        "latest" => i64::try_from(ctx.head().number()).unwrap_or(i64::MAX),
        "finalized" => i64::try_from(ctx.solid_block().number()).unwrap_or(i64::MAX),
        "pending" => return Err(Refusal::params("TAG pending not supported")),
        _ => block_number(tag).ok_or_else(|| Refusal::params("invalid block number"))?,
    })
}

type Found = Result<Option<std::sync::Arc<Sealed>>, Refusal>;

fn at_hash(ctx: &Ctx<'_>, value: Option<&Value>) -> Found {
    let id = BlockId::from_bytes(hash(value)?);
    Ok(ctx.block_by_id(&id))
}

fn at_number(ctx: &Ctx<'_>, value: Option<&Value>) -> Found {
    let tag = value.and_then(Value::as_str);
    let tag = tag.ok_or_else(|| Refusal::params("invalid block number"))?;
    Ok(ctx.block(tagged(ctx, tag)?))
}

fn count(found: Found) -> Answer {
    let count = found?.map(|sealed| sealed.block.transactions.len());
    Ok(count.map_or(Value::Null, |count| format!("{count:#x}").into()))
}

fn count_by_hash(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    count(at_hash(ctx, list.first()))
}

fn count_by_number(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    count(at_number(ctx, list.first()))
}

fn block(ctx: &Ctx<'_>, found: Found, full: Option<&Value>) -> Answer {
    let Some(sealed) = found? else {
        return Ok(Value::Null);
    };
    let full = full.and_then(Value::as_bool).unwrap_or_default();
    Ok(block_json(ctx, &sealed, full))
}

fn block_by_hash(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    block(ctx, at_hash(ctx, list.first()), list.get(1))
}

fn block_by_number(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    block(ctx, at_number(ctx, list.first()), list.get(1))
}

fn block_json(ctx: &Ctx<'_>, sealed: &Sealed, full: bool) -> Value {
    let header = &sealed.block.header;
    let transactions = &sealed.block.transactions;
    let limits = transactions.iter().filter_map(|transaction| {
        let raw = transaction.raw_data().ok()?;
        Some(raw.fee_limit_sun)
    });
    let zero = hex_bytes(&[0; 32]);
    let list: Vec<Value> = match full {
        true => (0..transactions.len())
            .map(|index| transaction_json(ctx, sealed, index))
            .collect(),
        false => transactions
            .iter()
            .map(|transaction| hex_bytes(transaction.txid().as_bytes()))
            .collect(),
    };
    json!({
        "baseFeePerGas": "0x0",
        "difficulty": "0x0",
        "extraData": "0x",
        "gasLimit": number(limits.fold(0, i64::saturating_add)),
        "gasUsed": number(sealed.receipts.iter().map(energy_of).sum()),
        "hash": hex_bytes(sealed.id.as_bytes()),
        "logsBloom": hex_bytes(&[0; 256]),
        "miner": body_of(&header.witness_address),
        "mixHash": zero,
        "nonce": "0x0000000000000000",
        "number": unsigned(sealed.number()),
        "parentHash": hex_bytes(header.parent_hash.as_bytes()),
        "receiptsRoot": zero,
        "sha3Uncles": zero,
        "size": format!("{:#x}", size(&sealed.block)),
        "stateRoot": "0x",
        "timestamp": number(sealed.time().0 / 1_000),
        "totalDifficulty": "0x0",
        "transactions": list,
        "transactionsRoot": hex_bytes(&header.tx_trie_root),
        "uncles": [],
    })
}

/// A block's bytes as a node stores it.
fn size(block: &Block) -> usize {
    let mut header = Writer::new();
    header
        .element(1, &block.header.encode())
        .bytes(2, &block.witness_signature);
    let mut whole = Writer::new();
    for transaction in &block.transactions {
        whole.element(1, &transaction.encode());
    }
    whole.element(2, header.as_bytes());
    whole.as_bytes().len()
}

fn first_contract(transaction: &Transaction) -> Option<Contract> {
    let raw = transaction.raw_data().ok()?;
    raw.contracts.first()?.decoded().ok()
}

fn transaction_json(ctx: &Ctx<'_>, sealed: &Sealed, index: usize) -> Value {
    let Some(transaction) = sealed.block.transactions.get(index) else {
        return Value::Null;
    };
    let receipt = sealed.receipts.get(index);
    let mut out = sent_json(transaction, receipt.map(|receipt| &receipt.outcome));
    let energy = receipt.map_or(0, energy_of);
    let of_block = [
        ("blockHash", hex_bytes(sealed.id.as_bytes())),
        ("blockNumber", unsigned(sealed.number())),
        ("gas", number(energy)),
        ("gasPrice", number(gas_price(ctx))),
        ("transactionIndex", format!("{index:#x}").into()),
    ];
    out.extend(of_block.map(|(name, value)| (name.to_owned(), value)));
    out.into()
}

/// What is known of a transaction whether it is in a block or not.
fn sent_json(transaction: &Transaction, outcome: Option<&Outcome>) -> Map<String, Value> {
    let contract = first_contract(transaction);
    let owner = contract.as_ref().map_or(&[][..], Contract::owner_address);
    let (to, value) = moved(contract.as_ref(), outcome);
    let signature = transaction.signatures().first();
    let part = |range| {
        let found = signature.and_then(|signature| signature.get::<std::ops::Range<usize>>(range));
        hex_bytes(found.unwrap_or(&[0; 32]))
    };
    let input = match &contract {
        Some(Contract::TriggerSmart(call)) => hex_bytes(&call.data),
        _ => "0x".into(),
    };
    let v = signature.and_then(|signature| signature.get(64).copied());
    let v = v.map_or(0, |v| if v < 27 { v + 27 } else { v });
    let fields = [
        ("from", body_of(owner)),
        ("hash", hex_bytes(transaction.txid().as_bytes())),
        ("input", input),
        ("nonce", "0x0000000000000000".into()),
        ("r", part(0..32)),
        ("s", part(32..64)),
        ("to", to),
        ("type", "0x0".into()),
        ("v", hex_bytes(&[v])),
        ("value", number(value)),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn transaction_by_hash(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let txid = TxId::from_bytes(hash(list.first())?);
    if let Some((sealed, index)) = ctx.find(&txid) {
        return Ok(transaction_json(ctx, &sealed, index));
    }
    let pending = ctx.find_pending(&txid);
    Ok(pending.map_or(Value::Null, |pending| pending_json(pending.transaction())))
}

/// A transaction that is in no block yet.
fn pending_json(transaction: &Transaction) -> Value {
    let mut out = sent_json(transaction, None);
    for name in ["blockHash", "blockNumber", "gasPrice", "transactionIndex"] {
        out.insert(name.into(), "0x".into());
    }
    out.insert("gas".into(), "0x0".into());
    out.into()
}

fn transaction_in(ctx: &Ctx<'_>, found: Found, index: Option<&Value>) -> Answer {
    let Some(sealed) = found? else {
        return Ok(Value::Null);
    };
    let index = index.and_then(Value::as_str).and_then(quantity);
    let index = index.ok_or_else(|| Refusal::params("invalid index value"))?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    Ok(transaction_json(ctx, &sealed, index))
}

fn transaction_in_hash(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    transaction_in(ctx, at_hash(ctx, list.first()), list.get(1))
}

fn transaction_in_number(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    transaction_in(ctx, at_number(ctx, list.first()), list.get(1))
}

fn receipt(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let txid = TxId::from_bytes(hash(list.first())?);
    let found = ctx.find(&txid);
    Ok(found.map_or(Value::Null, |(sealed, index)| {
        receipt_json(ctx, &sealed, index)
    }))
}

/// All receipts of a block, by its number, its tag or its hash; of genesis there are none.
fn block_receipts(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let found = match hash(list.first()) {
        Ok(_) => at_hash(ctx, list.first())?,
        Err(_) => at_number(ctx, list.first())?,
    };
    let Some(sealed) = found.filter(|sealed| sealed.number() > 0) else {
        return Ok(Value::Null);
    };
    let all = 0..sealed.block.transactions.len();
    Ok(all.map(|index| receipt_json(ctx, &sealed, index)).collect())
}

fn receipt_json(ctx: &Ctx<'_>, sealed: &Sealed, index: usize) -> Value {
    let transaction = sealed.block.transactions.get(index);
    let contract = transaction.and_then(first_contract);
    let owner = contract.as_ref().map_or(&[][..], Contract::owner_address);
    let (to, _) = moved(contract.as_ref(), None);
    let noted = sealed.receipts.get(index);
    let execution = noted.and_then(|noted| noted.outcome.execution.as_deref());
    let made = match (&contract, execution) {
        (Some(Contract::CreateSmart(_)), Some(execution)) => hex_bytes(execution.contract.body()),
        _ => Value::Null,
    };
    let is_done = execution.is_none_or(|execution| execution.message.is_none());
    let so_far = sealed.receipts.iter().take(index + 1).map(energy_of).sum();
    let txid = transaction.map(Transaction::txid);
    json!({
        "blockHash": hex_bytes(sealed.id.as_bytes()),
        "blockNumber": unsigned(sealed.number()),
        "contractAddress": made,
        "cumulativeGasUsed": number(so_far),
        "effectiveGasPrice": number(gas_price(ctx)),
        "from": body_of(owner),
        "gasUsed": number(noted.map_or(0, energy_of)),
        "logs": logs_of(sealed, index).collect::<Vec<_>>(),
        "logsBloom": hex_bytes(&[0; 256]),
        "status": if is_done { "0x1" } else { "0x0" },
        "to": to,
        "transactionHash": txid.map_or(Value::Null, |txid| hex_bytes(txid.as_bytes())),
        "transactionIndex": format!("{index:#x}"),
        "type": "0x0",
    })
}

/// The energy that a transaction took, whoever paid for it.
fn energy_of(receipt: &Receipt) -> i64 {
    receipt.energy().total
}

/// The logs of a transaction.
pub(super) fn logs_in(receipt: &Receipt) -> &[Log] {
    let execution = receipt.outcome.execution.as_deref();
    execution.map_or(&[], |execution| &execution.logs)
}

/// The logs of a block's transaction as Ethereum's tools read them; they are counted
/// through the block.
pub(super) fn logs_of(sealed: &Sealed, index: usize) -> impl Iterator<Item = Value> {
    let before = sealed.receipts.iter().take(index);
    let first: usize = before.map(|receipt| logs_in(receipt).len()).sum();
    let logs = sealed.receipts.get(index).map_or(&[][..], logs_in);
    logs.iter()
        .enumerate()
        .map(move |(n, log)| log_json(sealed, index, first + n, log))
}

/// A log, at its place in the block.
pub(super) fn log_json(sealed: &Sealed, index: usize, at: usize, log: &Log) -> Value {
    let transaction = sealed.block.transactions.get(index);
    let txid = transaction.map(Transaction::txid);
    json!({
        "address": hex_bytes(log.address.body()),
        "blockHash": hex_bytes(sealed.id.as_bytes()),
        "blockNumber": unsigned(sealed.number()),
        "data": hex_bytes(&log.data),
        "logIndex": format!("{at:#x}"),
        "removed": false,
        "topics": log.topics.iter().map(|topic| hex_bytes(topic)).collect::<Vec<_>>(),
        "transactionHash": txid.map_or(Value::Null, |txid| hex_bytes(txid.as_bytes())),
        "transactionIndex": format!("{index:#x}"),
    })
}

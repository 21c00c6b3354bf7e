//! `seedrail tx`: transactions, one step at a time.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Context, account, chain,
    failure::{Exit, Failure, Outcome},
    printable,
    tx_build::Build,
    tx_documents::{document, invalid, operand, print_transaction, read, read_all},
    tx_words,
    units::{counted, moment},
};
use crate::{
    tron::{
        fees::{Estimate, Situation, check_receipt, estimate},
        follow::{Stage, follow},
        json::contract_to_visible_json,
        keys::Signature,
        rpc::{Finality, Node, NodeError},
        transaction::{MAX_SIGNATURES, Transaction, TransactionResult},
    },
    types::{Address, Clock, Sun, SystemClock, TxId, UnixMs},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Tx {
    /// Build a transaction; no node is asked when every reference is given.
    #[command(subcommand)]
    Build(Build),
    /// Sign transaction documents with the current account; asks no node.
    Sign {
        /// What `tx build`, `settle run --export` or a node wrote, or - for stdin.
        file: String,
    },
    /// Merge the signatures of several holders of keys, in any order; asks no node.
    Combine {
        /// Documents of the same transactions, each signed by somebody.
        #[arg(required = true, num_args = 2..)]
        files: Vec<String>,
    },
    /// Show what a transaction does and who signed it; asks no node.
    Decode {
        /// Hex of a whole transaction, a file with hex or a document, or -.
        transaction: String,
        /// The hex is raw_data alone.
        #[arg(long)]
        raw: bool,
    },
    /// Send a signed transaction.
    Broadcast {
        /// Hex of a whole transaction, a file with hex or a document, or -.
        transaction: String,
        /// How long to wait for it.
        #[arg(long, value_enum, default_value_t = Wait::None)]
        wait: Wait,
    },
    /// Show a transaction of the chain: what it does, where it is, what it cost.
    Show {
        /// Its id.
        txid: TxId,
    },
    /// Wait until a transaction is solid, or can no longer happen.
    Wait {
        /// Its id.
        txid: TxId,
        /// Give up after this many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        timeout: u64,
    },
}

/// What to wait for after a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Wait {
    /// The node's acceptance.
    None,
    /// A block.
    Block,
    /// A solid block.
    Solid,
}

impl Tx {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Build(build) => build.run(context).await,
            Self::Sign { file } => sign(context, &file),
            Self::Combine { files } => combine(context, &files),
            Self::Show { txid } => show(context, txid).await,
            Self::Decode { transaction, raw } => decode(context, &transaction, raw),
            Self::Broadcast { transaction, wait } => broadcast(context, &transaction, wait).await,
            Self::Wait { txid, timeout } => {
                wait_for(context, txid, Duration::from_secs(timeout)).await
            }
        }
    }
}

/// Of several, a line each.
fn print_all(context: &Context, transactions: &[Transaction]) -> Outcome {
    if let [one] = transactions {
        return print_transaction(context, one);
    }
    for transaction in transactions {
        let document = document(transaction)?;
        context.out.result(&document, || {
            printable::json(&document.to_string()).into_owned()
        })?;
    }
    Ok(())
}

fn sign(context: &Context, file: &str) -> Outcome {
    let mut transactions = read_all(file)?;
    let now = SystemClock.now();
    let (mut expired, mut plain) = (0, true);
    for transaction in &transactions {
        let draft = transaction.check_signable().map_err(invalid)?;
        expired += usize::from(draft.expiration < now);
        let words = format!("signing: {}", tx_words::describe(&draft)?);
        if tx_words::is_plain(&draft.contract) {
            context.out.note(words);
        } else {
            plain = false;
            context.out.show(words);
        }
    }
    for total in tx_words::totals(&transactions)? {
        context.out.note(total);
    }
    match (expired, transactions.len()) {
        (0, _) => {}
        (_, 1) => context
            .out
            .warn("this transaction has expired: no node will take it"),
        _ => context.out.warn(format!(
            "{expired} of the transactions have expired: no node will take them"
        )),
    }
    // A plain transfer needs no second look: it pays once, what its line says.
    if !plain {
        context.out.confirm("Sign it?", context.settings.yes)?;
    }
    let key = account::signer(context)?;
    for transaction in &mut transactions {
        let signers = transaction.signers().map_err(invalid)?;
        if signers.contains(&key.address()) {
            let who = key.address();
            return Err(Failure::failed(
                "signed_twice",
                format!(
                    "{who} has signed transaction {} already",
                    transaction.txid()
                ),
            )
            .hint("a node refuses a key that signs twice"));
        }
        transaction
            .sign(key.as_ref())
            .map_err(|error| Failure::failed("sign", error))?;
    }
    print_all(context, &transactions)
}

/// Puts the signatures of several files together, each signer once; the transactions
/// in the order in which they are first there.
pub(super) fn merge(files: &[String]) -> Outcome<Vec<Transaction>> {
    let mut merged: Vec<(Transaction, Vec<Address>)> = Vec::new();
    let mut places: HashMap<TxId, usize> = HashMap::new();
    for file in files {
        for next in read_all(file)? {
            let signers = next.signers().map_err(invalid)?;
            let place = places.get(&next.txid());
            let Some((transaction, known)) = place.and_then(|place| merged.get_mut(*place)) else {
                places.insert(next.txid(), merged.len());
                merged.push((next, signers));
                continue;
            };
            for (bytes, signer) in next.signatures().iter().zip(signers) {
                if !known.contains(&signer) {
                    transaction.add_signature(&Signature::from_slice(bytes).map_err(invalid)?);
                    known.push(signer);
                }
            }
        }
    }
    for (transaction, signers) in &merged {
        if signers.len() > MAX_SIGNATURES {
            return Err(invalid(format!(
                "{} signatures are more than the {MAX_SIGNATURES} a transaction may have",
                signers.len()
            )));
        }
        transaction.check_signable().map_err(invalid)?;
    }
    Ok(merged.into_iter().map(|(merged, _)| merged).collect())
}

/// Merges documents of the same transactions.
fn combine(context: &Context, files: &[String]) -> Outcome {
    let mut first: Option<BTreeSet<TxId>> = None;
    for file in files {
        let held = read_all(file)?.iter().map(Transaction::txid).collect();
        let Some(first) = &first else {
            first = Some(held);
            continue;
        };
        if let Some(stray) = held.difference(first).next() {
            return Err(invalid(format!(
                "{file} holds transaction {stray}, which is not in the first"
            )));
        }
    }
    print_all(context, &merge(files)?)
}

/// Whether the chain would take the signatures: by the account's own permissions.
pub(super) async fn check_approval(chain: &chain::Chain, transaction: &Transaction) -> Outcome {
    let raw = transaction.raw_data().map_err(invalid)?;
    let contract = raw.contract().and_then(|c| c.decoded()).map_err(invalid)?;
    let owner = Address::from_bytes(contract.owner_address()).map_err(invalid)?;
    let permissions = chain.node.permissions(owner).await?;
    let permissions = permissions.ok_or_else(|| {
        Failure::new(
            Exit::Funds,
            "account_not_found",
            format!("account {owner} does not exist on this chain"),
        )
        .hint("send it some TRX first: an account exists once it was paid")
    })?;
    let approval = permissions.approval(transaction).map_err(invalid)?;
    if approval.is_enough() {
        return Ok(());
    }
    let list = |keys: &[(Address, i64)]| {
        let keys: Vec<_> = keys
            .iter()
            .map(|(address, weight)| format!("{address} (weight {weight})"))
            .collect();
        keys.join(", ")
    };
    Err(Failure::failed(
        "not_approved",
        format!(
            "permission {} of {owner} needs weight {}, the signatures have {}: signed by {}",
            approval.permission_id,
            approval.threshold,
            approval.weight,
            list(&approval.signed)
        ),
    )
    .hint(format!(
        "still to sign: {}; each with `seedrail tx sign FILE`, then `seedrail tx combine`",
        list(&approval.missing)
    )))
}

/// What it will cost, before it is sent.
pub(super) async fn price(chain: &chain::Chain, transaction: &Transaction) -> Outcome<Estimate> {
    let raw = transaction.raw_data().map_err(invalid)?;
    let contract = raw.contract().and_then(|c| c.decoded()).map_err(invalid)?;
    let situation = Situation::read(&chain.node, &contract).await?;
    estimate(transaction, 1, &situation).map_err(invalid)
}

/// What it will cost, in words.
pub(super) fn price_text(price: &Estimate) -> String {
    format!(
        "fee {} ({} points of bandwidth: {}), at worst {}",
        price.total_sun,
        price.bandwidth,
        price.from.name(),
        price.worst_case_sun
    )
}

/// The receipt of an included transaction beside its bytes, and beside what was
/// expected before it was sent; `None` while the node shows no receipt.
pub(super) async fn receipt(
    context: &Context,
    node: &Node,
    transaction: &Transaction,
    expected: Option<&Estimate>,
) -> Outcome<Option<Value>> {
    let txid = transaction.txid();
    let mut info = node.transaction_info(Finality::Solid, txid).await?;
    if info.is_none() {
        info = node.transaction_info(Finality::Head, txid).await?;
    }
    let Some(info) = info else { return Ok(None) };
    let parameters = node.chain_parameters().await?;
    let check = check_receipt(transaction, &info, &parameters).map_err(invalid)?;
    if !check.agrees {
        context.out.warn(format!(
            "the receipt of {txid} says {} and {} points for {} bytes of bandwidth: that is not what the chain's prices of today say",
            info.fee, info.net_usage, check.bandwidth
        ));
    }
    let mut document = json!({
        "fee_sun": info.fee.0,
        "bandwidth_used": info.net_usage,
        "bandwidth_estimate": check.bandwidth,
        "fee_agrees": check.agrees,
    });
    if let (Some(expected), Some(object)) = (expected, document.as_object_mut()) {
        object.insert("fee_sun_estimate".into(), expected.total_sun.0.into());
        chain::note_fee(context, info.fee, expected.total_sun);
    }
    Ok(Some(document))
}

/// The same, of a transaction that happened: that its receipt cannot be read now
/// is no failure of it.
async fn receipt_if_told(
    context: &Context,
    node: &Node,
    transaction: &Transaction,
    expected: Option<&Estimate>,
) -> Option<Value> {
    match receipt(context, node, transaction, expected).await {
        Ok(receipt) => receipt,
        Err(failure) => {
            context
                .out
                .warn(format!("what it cost is not known: {}", failure.message));
            None
        }
    }
}

async fn show(context: &Context, txid: TxId) -> Outcome {
    let chain = chain::connect(context).await?;
    let unknown = || {
        Failure::failed(
            "not_found",
            format!("this node does not know transaction {txid}, which proves nothing"),
        )
        .hint("it may be young, or the node may have forgotten it: ask another with --node URL")
    };
    let known = chain.node.transaction(Finality::Head, txid).await?;
    let transaction = known.ok_or_else(unknown)?;
    let mut document = decoded(&transaction)?;
    let info = chain.node.transaction_info(Finality::Head, txid).await?;
    let solid = chain.node.transaction_info(Finality::Solid, txid).await?;
    let state = match (&info, &solid) {
        (_, Some(_)) => "solid",
        (Some(_), None) => "included",
        (None, None) => "pending",
    };
    if let Some(object) = document.as_object_mut() {
        object.insert("state".into(), state.into());
        if let Some(info) = solid.or(info) {
            object.insert("block".into(), info.block.into());
            object.insert("block_time".into(), json!(info.block_time));
            object.insert("succeeded".into(), info.succeeded.into());
            if let Some(Value::Object(receipt)) =
                receipt(context, &chain.node, &transaction, None).await?
            {
                object.extend(receipt);
            }
        }
    }
    match shown(&transaction, &document) {
        Some(text) => context.out.result(&document, || text),
        None => context.out.document(&document),
    }
}

/// What `show` tells people; `None` of a contract that cannot be put into words.
fn shown(transaction: &Transaction, document: &Value) -> Option<String> {
    let draft = transaction.raw_data().ok()?.into_draft().ok()?;
    let number = |name: &str| document.get(name).and_then(Value::as_i64);
    let mut text = format!(
        "{}\n{}",
        transaction.txid(),
        tx_words::describe(&draft).ok()?
    );
    let signers = transaction.signers().ok()?;
    let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
    text.push_str(&format!("\n  signed by: {}", signers.join(", ")));
    let state = document.get("state").and_then(Value::as_str)?;
    text.push_str(&format!("\n  state: {state}"));
    if let (Some(block), Some(time)) = (number("block"), number("block_time")) {
        text.push_str(&format!(", in block {block} of {}", moment(UnixMs(time))));
    }
    if document.get("succeeded") == Some(&Value::Bool(false)) {
        text.push_str(", but it failed there and moved nothing");
    }
    if let (Some(fee), Some(points)) = (number("fee_sun"), number("bandwidth_used")) {
        text.push_str(&format!(
            "\n  fee: {}, {} of bandwidth",
            Sun(fee.unsigned_abs()),
            counted(points.unsigned_abs(), "point")
        ));
    }
    Some(text)
}

fn decode(context: &Context, operand_text: &str, raw: bool) -> Outcome {
    let transaction = read(&operand(operand_text)?, raw)?;
    let document = decoded(&transaction)?;
    if transaction.raw_data().map_err(invalid)?.expiration < SystemClock.now() {
        context.out.warn("this transaction has expired");
    }
    context.out.document(&document)
}

fn decoded(transaction: &Transaction) -> Outcome<Value> {
    let raw = transaction.raw_data().map_err(invalid)?;
    let contract = raw.contract().map_err(invalid)?;
    let signers = transaction.signers().map_err(invalid)?;
    let (name, parameter) = match contract.decoded() {
        Ok(decoded) => (
            decoded.contract_type().name().to_owned(),
            contract_to_visible_json(&decoded).map_err(invalid)?,
        ),
        Err(crate::tron::transaction::TransactionError::UnknownContract(number)) => (
            number.to_string(),
            json!({ "value_hex": hex::encode(&contract.value) }),
        ),
        Err(error) => return Err(invalid(error)),
    };
    let mut document = json!({
        "txid": transaction.txid(),
        "contract_type": name,
        "parameter": parameter,
        "ref_block_bytes": hex::encode(&raw.ref_block_bytes),
        "ref_block_hash": hex::encode(&raw.ref_block_hash),
        "timestamp": raw.timestamp,
        "expiration": raw.expiration,
        "signers": signers,
    });
    if let Some(object) = document.as_object_mut() {
        if !raw.memo.is_empty() {
            let memo = match std::str::from_utf8(&raw.memo) {
                Ok(text) => Value::from(text),
                Err(_) => json!({ "hex": hex::encode(&raw.memo) }),
            };
            object.insert("memo".into(), memo);
        }
        if contract.permission_id != 0 {
            object.insert("permission_id".into(), contract.permission_id.into());
        }
        if raw.fee_limit_sun != 0 {
            object.insert("fee_limit_sun".into(), raw.fee_limit_sun.into());
        }
    }
    Ok(document)
}

async fn broadcast(context: &Context, operand_text: &str, wait: Wait) -> Outcome {
    let transaction = read(&operand(operand_text)?, false)?;
    let txid = transaction.txid();
    let signers = transaction.signers().map_err(invalid)?;
    if signers.is_empty() {
        return Err(
            invalid("the transaction is not signed").hint("sign it with `seedrail tx sign FILE`")
        );
    }
    let draft = transaction.check_signable().map_err(invalid)?;
    if draft.expiration < SystemClock.now() {
        return Err(Failure::new(
            Exit::Refused,
            "TRANSACTION_EXPIRATION_ERROR",
            format!("transaction {txid} expired at {}", draft.expiration),
        )
        .hint("build it again"));
    }
    let chain = chain::connect(context).await?;
    check_approval(&chain, &transaction).await?;
    let price = price(&chain, &transaction).await?;
    chain::guard_mainnet(context)?;
    context.out.note(format!(
        "{}\n  {}",
        tx_words::describe(&draft)?,
        price_text(&price)
    ));
    context.out.confirm(
        &format!("Broadcast {txid} on {}?", context.settings.network),
        context.settings.yes,
    )?;
    hand_over(context, &chain.node, &transaction, &price, wait).await
}

/// Sends a signed transaction that was priced and agreed to, follows it as far as
/// was asked, and tells what it cost.
pub(super) async fn hand_over(
    context: &Context,
    node: &Node,
    transaction: &Transaction,
    price: &Estimate,
    wait: Wait,
) -> Outcome {
    let txid = transaction.txid();
    node.broadcast(transaction)
        .await
        .map_err(|error| Failure::broadcast(txid, error))?;
    let stage = match wait {
        Wait::None => None,
        _ => Some(
            follow(
                node,
                transaction,
                |stage| wait == Wait::Block && matches!(stage, Stage::Included { .. }),
                |stage| context.out.note(stage_text(stage)),
            )
            .await
            .map_err(|error| Failure::may_have_happened(txid, error))?,
        ),
    };
    let receipt = match stage {
        Some(Stage::Included { .. } | Stage::Solid { .. }) => {
            receipt_if_told(context, node, transaction, Some(price)).await
        }
        _ => None,
    };
    report(context, txid, stage, receipt)
}

pub(super) fn stage_text(stage: &Stage) -> String {
    match stage {
        Stage::Pending => "pending".into(),
        Stage::Included { block } => format!("included in block {block}"),
        Stage::Solid { block, .. } => format!("solid in block {block}"),
        Stage::Dead => "expired without getting into a block".into(),
    }
}

fn report(context: &Context, txid: TxId, stage: Option<Stage>, receipt: Option<Value>) -> Outcome {
    let (state, block) = match stage {
        None | Some(Stage::Pending) => ("accepted", None),
        Some(Stage::Included { block }) => ("included", Some(block)),
        Some(Stage::Solid { block, result }) => {
            check_result(txid, result)?;
            ("solid", Some(block))
        }
        Some(Stage::Dead) => return Err(dead(txid)),
    };
    let mut document = json!({ "txid": txid, "state": state });
    if let (Some(object), Some(block)) = (document.as_object_mut(), block) {
        object.insert("block".into(), block.into());
    }
    let mut fee = String::new();
    if let (Some(object), Some(Value::Object(receipt))) = (document.as_object_mut(), receipt) {
        if let Some(sun) = receipt.get("fee_sun").and_then(Value::as_u64) {
            fee = format!(", fee {}", Sun(sun));
        }
        object.extend(receipt);
    }
    context.out.result(&document, || match block {
        Some(block) => format!("{txid} {state} in block {block}{fee}"),
        None => format!("{txid} {state}"),
    })
}

fn check_result(txid: TxId, result: TransactionResult) -> Outcome {
    if result.succeeded() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "FAILED",
        format!("transaction {txid} is in a block, but failed there"),
    ))
}

fn dead(txid: TxId) -> Failure {
    Failure::new(
        Exit::Refused,
        "TRANSACTION_EXPIRATION_ERROR",
        format!(
            "transaction {txid} expired without getting into a block: it did not happen and never will"
        ),
    )
}

async fn wait_for(context: &Context, txid: TxId, timeout: Duration) -> Outcome {
    let chain = chain::connect(context).await?;
    let waiting = async {
        // Its bytes tell from where to read and when it is dead.
        loop {
            let known = match chain.node.transaction(Finality::Head, txid).await {
                Ok(known) => known,
                Err(error @ NodeError::Refused { .. }) => return Err(Failure::from(error)),
                Err(error) => return Err(error.into()),
            };
            if let Some(transaction) = known {
                let stage = follow(
                    &chain.node,
                    &transaction,
                    |_| false,
                    |stage| context.out.note(stage_text(stage)),
                )
                .await
                .map_err(|error| Failure::may_have_happened(txid, error))?;
                return Ok((stage, transaction));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    match tokio::time::timeout(timeout, waiting).await {
        Ok(ended) => {
            let (stage, transaction) = ended?;
            let receipt = match stage {
                Stage::Dead => None,
                _ => receipt_if_told(context, &chain.node, &transaction, None).await,
            };
            report(context, txid, Some(stage), receipt)
        }
        Err(_) => Err(Failure::may_have_happened(
            txid,
            format!(
                "after {} s this node does not show it as solid, which proves nothing",
                timeout.as_secs()
            ),
        )),
    }
}

//! `receipts verify --paid`: whether a payee was paid what was signed, from a file
//! of `settle export`.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;

use super::{amount_text, now_secs, reader};
use crate::{
    cli::{
        Context, chain,
        failure::{Exit, Failure, Outcome},
        store,
        units::counted,
    },
    ledger::TransferRow,
    receipts::{NumberedLines, ReceiptLine},
    settle::{MAX_PROOF_BYTES, PaymentProof, known_block},
    tron::rpc::Finality,
    types::{Address, BlockId, RawAmount, Token, TokenId, TxId},
};

/// Who owes whom in what.
type Between = (Address, Address, TokenId);

#[derive(Default)]
struct Found {
    /// The newest receipt of each epoch.
    owed: BTreeMap<Between, BTreeMap<i64, (u64, RawAmount)>>,
    /// Each transfer once.
    paid: BTreeMap<Between, BTreeMap<TxId, TransferRow>>,
    /// The blocks that the proofs name.
    blocks: BTreeMap<BlockId, Address>,
    chain: Option<BlockId>,
    receipts: u64,
}

fn bad(file: &Path, number: u64, reason: impl std::fmt::Display) -> Failure {
    Failure::failed(
        "invalid_proof",
        format!("{}, line {number}: {reason}", file.display()),
    )
}

pub(super) async fn verify(context: &Context, file: &Path, online: bool) -> Outcome {
    let owned = file.to_owned();
    // On a thread of its own, so that Ctrl-C ends even a file without an end.
    let found = tokio::task::spawn_blocking(move || read(&owned, online))
        .await
        .map_err(|error| Failure::failed("verify", error))??;
    if found.receipts == 0 {
        return Err(Failure::failed(
            "invalid_proof",
            format!("{} holds no receipts", file.display()),
        ));
    }
    if online {
        ask(context, &found).await?;
    }
    let mut open = false;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (between, epochs) in &found.owed {
        let (payer, payee, token) = *between;
        let owed = sum(epochs.values().map(|(_, amount)| *amount))?;
        let transfers = found.paid.get(between);
        let paid = sum(transfers
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|transfer| transfer.amount))?;
        open |= paid < owed;
        let payments: Vec<_> = transfers
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|transfer| {
                json!({
                    "txid": transfer.txid,
                    "block": transfer.block,
                    "amount_raw": transfer.amount,
                })
            })
            .collect();
        lines.push(format!(
            "{payer} owes {payee} {} by {}, and paid {} in {}",
            amount_text(owed, token),
            counted(epochs.len(), "receipt"),
            amount_text(paid, token),
            counted(payments.len(), "transfer"),
        ));
        rows.push(json!({
            "payer": payer,
            "payee": payee,
            "token": token,
            "owed_raw": owed,
            "paid_raw": paid,
            "payments": payments,
        }));
    }
    let witnesses: std::collections::BTreeSet<_> = found.blocks.values().collect();
    let document = json!({
        "paid": !open,
        "pairs": rows,
        "blocks": found.blocks.len(),
        "witnesses": witnesses,
        "online": online,
    });
    context.out.result(&document, || {
        if !online {
            lines.push(format!(
                "{}, each signed by the witness that it names; whether the chain has that \
                 witness, only a node can tell: check with --online",
                counted(found.blocks.len(), "block")
            ));
        }
        lines.join("\n")
    })?;
    if open {
        return Err(Failure::new(
            Exit::Disagree,
            "unpaid",
            "not all that was signed is shown to be paid".to_owned(),
        ));
    }
    Ok(())
}

fn sum(mut amounts: impl Iterator<Item = RawAmount>) -> Outcome<RawAmount> {
    amounts
        .try_fold(RawAmount::ZERO, RawAmount::checked_add)
        .ok_or_else(|| Failure::failed("invalid_proof", "the sums are above i64".to_owned()))
}

fn read(file: &Path, online: bool) -> Outcome<Found> {
    let mut found = Found::default();
    for line in NumberedLines::new(reader(file)?, MAX_PROOF_BYTES) {
        let (number, line) = line.map_err(|error| Failure::file(file, error))?;
        let line = line.map_err(|refusal| bad(file, number, refusal))?;
        let taken = if PaymentProof::is_meant(&line) {
            payment(&mut found, &line, online)
        } else {
            receipt(&mut found, &line)
        };
        taken.map_err(|reason| bad(file, number, reason))?;
    }
    Ok(found)
}

fn payment(found: &mut Found, line: &str, online: bool) -> Result<(), String> {
    let proof = PaymentProof::from_json(line).map_err(|error| error.to_string())?;
    let transfer = proof.check().map_err(|error| error.to_string())?;
    // With a node, the block itself is looked for.
    if !online {
        proof.signed_by_witness().map_err(|error| {
            format!("{error}; a node can tell whether it does: check with --online")
        })?;
    }
    let Token::Trc10(token) = transfer.token else {
        return Err("it pays TRX, and receipts are in tokens".into());
    };
    let witness = proof.witness().unwrap_or(Address::ZERO);
    found.blocks.insert(proof.block(), witness);
    found
        .paid
        .entry((transfer.payer, transfer.payee, token))
        .or_default()
        .insert(transfer.txid, transfer);
    Ok(())
}

fn receipt(found: &mut Found, line: &str) -> Result<(), String> {
    let line = ReceiptLine::parse(line).map_err(|error| error.to_string())?;
    line.verify(now_secs()).map_err(|error| error.to_string())?;
    if *found.chain.get_or_insert(line.genesis) != line.genesis {
        return Err("it is of another chain than those before it".into());
    }
    let receipt = &line.signed.receipt;
    let newest = found
        .owed
        .entry((receipt.payer, receipt.payee, receipt.token))
        .or_default()
        .entry(receipt.epoch.get())
        .or_insert((receipt.sequence, receipt.amount));
    if receipt.sequence > newest.0 {
        *newest = (receipt.sequence, receipt.amount);
    }
    found.receipts += 1;
    Ok(())
}

/// Whether a node has these blocks, solid, under these ids.
async fn ask(context: &Context, found: &Found) -> Outcome {
    let chain = chain::connect(context).await?;
    if found.chain != Some(chain.genesis) {
        return Err(Failure::failed(
            "wrong_network",
            "the receipts are of another chain than the node".to_owned(),
        ));
    }
    let ledger = store::open_if_there(context).await?.1;
    let ledger = ledger.filter(|ledger| ledger.witnesses().is_ok_and(|known| !known.is_empty()));
    if ledger.is_none() {
        context.out.note(
            "no ledger here knows who makes the chain's blocks: that they are the chain's, the \
             node alone says",
        );
    }
    for block in found.blocks.keys() {
        let theirs = match &ledger {
            Some(ledger) => known_block(&chain.node, ledger.as_ref(), block.number()).await?,
            None => chain.node.block(Finality::Solid, block.number()).await?,
        };
        if theirs.map(|theirs| theirs.id()) != Some(*block) {
            return Err(Failure::new(
                Exit::Disagree,
                "not_the_chains",
                format!("block {block} is not in the node's solid chain"),
            ));
        }
    }
    Ok(())
}

//! A file for each payee: what was signed, and the proof of what was paid.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use super::{TOKEN, desk::Desk};
use crate::{
    cli::{
        Context, account, chain,
        failure::{Failure, Outcome},
        receipts::stored_line,
    },
    ledger::{Pair, ReceiptBook, TransferRow, Transfers},
    receipts::ReceiptDomain,
    settle::{Chain as _, PaymentProof},
    tron::{block::Block, verified::Verified},
    types::{Address, Token},
};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder to write into, a file for each payee; made if need be.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Only this payee.
    #[arg(long, value_name = "ADDRESS")]
    payee: Option<Address>,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let account = account::address(context)?;
        let chain = chain::connect(context).await?;
        let desk = Desk::new(context, chain, account)?;
        let paid = paid(&*desk.ledger, account)?;
        let payees: Vec<Address> = desk
            .ledger
            .positions(account, TOKEN)?
            .iter()
            .map(|position| position.pair.payee)
            .filter(|payee| self.payee.is_none_or(|only| only == *payee))
            .collect();
        fs::create_dir_all(&self.output).map_err(|error| Failure::file(&self.output, error))?;
        let mut files = Vec::new();
        let mut block: Option<Verified<Block>> = None;
        for payee in payees {
            let path = self.output.join(format!("{payee}.jsonl"));
            let failed = |error: std::io::Error| Failure::file(&path, error);
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut writer = BufWriter::new(options.open(&path).map_err(failed)?);
            let receipts = receipts(&*desk.ledger, account, payee)?;
            for line in &receipts {
                writeln!(writer, "{line}").map_err(failed)?;
            }
            let transfers = paid.get(&payee).map(Vec::as_slice).unwrap_or_default();
            for transfer in transfers {
                let proof = prove(&desk, transfer, &mut block).await?;
                writeln!(writer, "{}", proof.to_json()).map_err(failed)?;
            }
            writer.flush().map_err(failed)?;
            files.push(json!({
                "payee": payee,
                "file": path,
                "receipts": receipts.len(),
                "payments": transfers.len(),
            }));
        }
        let count = files.len();
        context.out.result(&json!({ "files": files }), || {
            format!(
                "{count} files in {}: `seedrail receipts verify --paid FILE` checks one",
                self.output.display()
            )
        })
    }
}

/// What the account paid in the token on the solid chain, oldest first, by payee.
fn paid(ledger: &dyn Transfers, account: Address) -> Outcome<BTreeMap<Address, Vec<TransferRow>>> {
    let mut paid: BTreeMap<Address, Vec<TransferRow>> = BTreeMap::new();
    let outgoing = ledger.outgoing(account, 0, u32::MAX)?;
    for row in outgoing.into_iter().rev() {
        if row.transfer.token == Token::Trc10(TOKEN) {
            paid.entry(row.transfer.payee)
                .or_default()
                .push(row.transfer);
        }
    }
    Ok(paid)
}

/// The newest receipt of each epoch, as lines.
fn receipts(ledger: &dyn ReceiptBook, payer: Address, payee: Address) -> Outcome<Vec<String>> {
    let domain = ReceiptDomain::new(ledger.genesis());
    let pair = Pair {
        payer,
        payee,
        token: TOKEN,
    };
    let mut lines = Vec::new();
    for row in ledger.issued(&pair)? {
        lines.push(stored_line(ledger, &domain, row.get())?);
    }
    Ok(lines)
}

/// Reads the transfer's block, unless it is the one that was read last.
async fn prove(
    desk: &Desk,
    transfer: &TransferRow,
    last: &mut Option<Verified<Block>>,
) -> Outcome<PaymentProof> {
    if last.as_ref().map(|block| block.header.number) != Some(transfer.block) {
        *last = desk
            .chain
            .solid_blocks(transfer.block)
            .await?
            .into_iter()
            .next();
    }
    last.as_ref()
        .and_then(|block| PaymentProof::new(block, transfer.txid))
        .ok_or_else(|| {
            Failure::failed(
                "not_there",
                format!(
                    "the node's block {} does not hold transaction {}",
                    transfer.block, transfer.txid
                ),
            )
            .hint("it may keep no block so old: ask another with --node")
        })
}

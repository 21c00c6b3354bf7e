//! For which torrent and on which day something is owed.

use super::rows::{self, amount, get, int, kind_number, unsigned};
use crate::{
    ledger::{
        FlowKind, FlowRow, LedgerError, Origin, ReceiptKind, ReceiptRow,
        sql::{Transaction, params},
    },
    types::{Address, InfoHash, RawAmount, TokenId},
};

const DAY_SECS: u64 = 86_400;
/// How a torrent that is not known is stored.
const UNKNOWN: InfoHash = InfoHash::from_bytes([0; InfoHash::LEN]);

/// Adds what a receipt raised to the day and the torrents it is for.
pub(in crate::ledger) fn add(
    tx: &Transaction<'_>,
    kind: ReceiptKind,
    receipt: &ReceiptRow,
    origin: &Origin,
    raised: RawAmount,
    bytes: u64,
) -> Result<(), LedgerError> {
    let secs = origin.at.map_or(receipt.issued_at, |at| {
        u64::try_from(at.secs()).unwrap_or(receipt.issued_at)
    });
    let amounts = origin.share(raised.unsigned());
    let bytes = origin.share(bytes);
    let sql = "INSERT INTO flow (kind, payer, payee, token, day, torrent, amount, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (kind, payer, payee, token, day, torrent) DO UPDATE SET
             amount = flow.amount + excluded.amount, bytes = flow.bytes + excluded.bytes";
    for ((torrent, amount), (_, bytes)) in amounts.into_iter().zip(bytes) {
        if amount == 0 && bytes == 0 {
            continue;
        }
        tx.execute(
            sql,
            params![
                kind_number(kind),
                receipt.pair.payer.body(),
                receipt.pair.payee.body(),
                receipt.pair.token.get(),
                int("day", secs / DAY_SECS)?,
                torrent.unwrap_or(UNKNOWN).as_bytes(),
                int("amount", amount)?,
                int("bytes", bytes)?
            ],
        )?;
    }
    Ok(())
}

pub(in crate::ledger) fn list(
    tx: &Transaction<'_>,
    account: Address,
    token: TokenId,
    kind: FlowKind,
) -> Result<Vec<FlowRow>, LedgerError> {
    let (number, mine) = match kind {
        FlowKind::Spent => (kind_number(ReceiptKind::Issued), "payer"),
        FlowKind::Earned => (kind_number(ReceiptKind::Received), "payee"),
    };
    let found = tx.query(
        &format!(
            "SELECT * FROM flow WHERE kind = ?1 AND {mine} = ?2 AND token = ?3
         ORDER BY day, payer, payee, torrent"
        ),
        params![number, account.body(), token.get()],
    )?;
    let mut flows = Vec::new();
    for row in &found {
        let torrent = InfoHash::from_bytes(get(row, "torrent")?);
        flows.push(FlowRow {
            kind,
            pair: rows::pair(row)?,
            day: u32::try_from(unsigned(row, "day")?)
                .map_err(|error| LedgerError::Damaged(format!("day: {error}")))?,
            torrent: (torrent != UNKNOWN).then_some(torrent),
            amount: amount(row, "amount")?,
            bytes: unsigned(row, "bytes")?,
        });
    }
    Ok(flows)
}

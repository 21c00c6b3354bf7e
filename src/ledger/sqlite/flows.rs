//! For which torrent and on which day something is owed.

use rusqlite::{Transaction, params};

use super::rows::{self, amount, get, int, kind_number, unsigned};
use crate::{
    ledger::{FlowKind, FlowRow, LedgerError, Origin, ReceiptKind, ReceiptRow},
    types::{Address, InfoHash, RawAmount, TokenId},
};

const DAY_SECS: u64 = 86_400;
/// How a torrent that is not known is stored.
const UNKNOWN: InfoHash = InfoHash::from_bytes([0; InfoHash::LEN]);

/// Shares `total` in proportion to the weights, to the unit: the sums run
/// along, so nothing is lost to rounding. All of it to nobody known when there
/// are no weights.
fn split(total: u64, weights: &[(InfoHash, u64)]) -> Vec<(InfoHash, u64)> {
    let sum: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    // So that no product below leaves 128 bits: `total` has 63.
    let shift = u64::BITS.saturating_sub(sum.leading_zeros());
    let weight = |weight: &u64| u128::from(*weight) >> shift;
    let all: u128 = weights.iter().map(|(_, of)| weight(of)).sum();
    if all == 0 {
        let one = weights.first().map_or(UNKNOWN, |(torrent, _)| *torrent);
        return vec![(one, total)];
    }
    let (mut run, mut given) = (0u128, 0u64);
    weights
        .iter()
        .map(|(torrent, of)| {
            run += weight(of);
            let until = u64::try_from(u128::from(total) * run / all).unwrap_or(total);
            let share = until.saturating_sub(given);
            given = until;
            (*torrent, share)
        })
        .collect()
}

/// Adds what a receipt raised to the day and the torrents it is for.
pub(super) fn add(
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
    let amounts = split(raised.unsigned(), &origin.torrents);
    let bytes = split(bytes, &origin.torrents);
    let mut statement = tx.prepare_cached(
        "INSERT INTO flow (kind, payer, payee, token, day, torrent, amount, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (kind, payer, payee, token, day, torrent) DO UPDATE SET
             amount = flow.amount + excluded.amount, bytes = flow.bytes + excluded.bytes",
    )?;
    for ((torrent, amount), (_, bytes)) in amounts.into_iter().zip(bytes) {
        if amount == 0 && bytes == 0 {
            continue;
        }
        statement.execute(params![
            kind_number(kind),
            receipt.pair.payer.body(),
            receipt.pair.payee.body(),
            receipt.pair.token.get(),
            int("day", secs / DAY_SECS)?,
            torrent.as_bytes(),
            int("amount", amount)?,
            int("bytes", bytes)?
        ])?;
    }
    Ok(())
}

pub(super) fn list(
    tx: &Transaction<'_>,
    account: Address,
    token: TokenId,
    kind: FlowKind,
) -> Result<Vec<FlowRow>, LedgerError> {
    let (number, mine) = match kind {
        FlowKind::Spent => (kind_number(ReceiptKind::Issued), "payer"),
        FlowKind::Earned => (kind_number(ReceiptKind::Received), "payee"),
    };
    let mut statement = tx.prepare_cached(&format!(
        "SELECT * FROM flow WHERE kind = ?1 AND {mine} = ?2 AND token = ?3
         ORDER BY day, payer, payee, torrent"
    ))?;
    let mut found = statement.query(params![number, account.body(), token.get()])?;
    let mut flows = Vec::new();
    while let Some(row) = found.next()? {
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

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_in_a_split(total in 0..=i64::MAX, weights: Vec<u64>) {
            let total = total.unsigned_abs();
            let weights: Vec<_> = weights
                .into_iter()
                .map(|weight| (InfoHash::from_bytes([1; 20]), weight))
                .collect();
            let shares = split(total, &weights);
            let sum: u128 = shares.iter().map(|(_, share)| u128::from(*share)).sum();
            proptest::prop_assert_eq!(sum, u128::from(total));
        }
    }
}

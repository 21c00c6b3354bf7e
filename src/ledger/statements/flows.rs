//! For which torrent and on which day something is owed.

use std::collections::BTreeMap;

use super::rows::{self, amount, get, int, kind_number, unsigned};
use crate::{
    ledger::{
        FlowKind, FlowRow, LedgerError, Origin, Pair, ReceiptKind, ReceiptRow,
        sql::{Kind, Param, Transaction, params},
    },
    types::{Address, InfoHash, RawAmount, TokenId},
};

const DAY_SECS: u64 = 86_400;
/// How a torrent that is not known is stored.
const UNKNOWN: InfoHash = InfoHash::from_bytes([0; InfoHash::LEN]);

/// What receipts raised, by pair, day and torrent, before it is stored.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Raised(BTreeMap<(Pair, i64, InfoHash), (i64, i64)>);

impl Raised {
    /// Adds what one receipt raised, of which no torrent is known.
    pub(in crate::ledger) fn add(
        &mut self,
        receipt: &ReceiptRow,
        raised: RawAmount,
        bytes: u64,
    ) -> Result<(), LedgerError> {
        let day = int("day", receipt.issued_at / DAY_SECS)?;
        self.put((receipt.pair, day, UNKNOWN), raised.unsigned(), bytes)
    }

    fn put(
        &mut self,
        key: (Pair, i64, InfoHash),
        amount: u64,
        bytes: u64,
    ) -> Result<(), LedgerError> {
        if amount == 0 && bytes == 0 {
            return Ok(());
        }
        let (sum_of_amounts, sum_of_bytes) = self.0.entry(key).or_default();
        for (what, sum, more) in [
            ("amount", sum_of_amounts, amount),
            ("bytes", sum_of_bytes, bytes),
        ] {
            *sum = sum
                .checked_add(int(what, more)?)
                .ok_or_else(|| LedgerError::TooLarge {
                    what,
                    value: format!("{sum} + {more}"),
                })?;
        }
        Ok(())
    }

    pub(in crate::ledger) fn store(
        &self,
        tx: &Transaction<'_>,
        kind: ReceiptKind,
    ) -> Result<(), LedgerError> {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|((pair, day, torrent), (amount, bytes))| {
                vec![
                    Param::Int(Some(kind_number(kind))),
                    Param::Bytes(Some(pair.payer.body())),
                    Param::Bytes(Some(pair.payee.body())),
                    Param::Int(Some(pair.token.get())),
                    Param::Int(Some(*day)),
                    Param::Bytes(Some(torrent.as_bytes())),
                    Param::Int(Some(*amount)),
                    Param::Int(Some(*bytes)),
                ]
            })
            .collect();
        tx.execute_each(
            "INSERT INTO flow (kind, payer, payee, token, day, torrent, amount, bytes)
             SELECT r.kind, r.payer, r.payee, r.token, r.day, r.torrent, r.amount, r.bytes
             FROM {rows} WHERE true
             ON CONFLICT (kind, payer, payee, token, day, torrent) DO UPDATE SET
                 amount = flow.amount + excluded.amount, bytes = flow.bytes + excluded.bytes",
            &[
                ("kind", Kind::Int),
                ("payer", Kind::Bytes),
                ("payee", Kind::Bytes),
                ("token", Kind::Int),
                ("day", Kind::Int),
                ("torrent", Kind::Bytes),
                ("amount", Kind::Int),
                ("bytes", Kind::Int),
            ],
            &rows,
        )?;
        Ok(())
    }
}

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
    let day = int("day", secs / DAY_SECS)?;
    let amounts = origin.share(raised.unsigned());
    let bytes = origin.share(bytes);
    let mut all = Raised::default();
    for ((torrent, amount), (_, bytes)) in amounts.into_iter().zip(bytes) {
        let key = (receipt.pair, day, torrent.unwrap_or(UNKNOWN));
        all.put(key, amount, bytes)?;
    }
    all.store(tx, kind)
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

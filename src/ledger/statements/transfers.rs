//! Transfers seen on the solid chain, and what they make of a position.

use std::collections::{BTreeMap, HashMap};

use super::rows::{self, amount, int, token_number};
use crate::{
    ledger::{
        LedgerError, OutgoingRow, Pair, Position, TransferRow,
        sql::{Kind, Param, Transaction, params},
    },
    types::{Address, RawAmount, Token, TokenId, UnixMs},
};

/// Records it once; `false` when it was there.
pub(in crate::ledger) fn record(
    tx: &Transaction<'_>,
    transfer: &TransferRow,
) -> Result<bool, LedgerError> {
    Ok(!record_all(tx, std::slice::from_ref(transfer))?.is_empty())
}

/// Records each once; those that were not there.
pub(in crate::ledger) fn record_all<'a>(
    tx: &Transaction<'_>,
    transfers: &'a [TransferRow],
) -> Result<Vec<&'a TransferRow>, LedgerError> {
    let txids: Vec<_> = transfers
        .iter()
        .map(|transfer| vec![Param::Bytes(Some(transfer.txid.as_bytes()))])
        .collect();
    let mut known = HashMap::new();
    for row in &tx.query_each(
        "SELECT transfer.* FROM {rows} CROSS JOIN transfer WHERE transfer.txid = r.txid",
        &[("txid", Kind::Bytes)],
        &txids,
    )? {
        let transfer = rows::transfer(row)?;
        known.insert(transfer.txid, transfer);
    }
    let (mut fresh, mut rows) = (Vec::new(), Vec::new());
    for transfer in transfers {
        match known.insert(transfer.txid, *transfer) {
            Some(known) if known == *transfer => continue,
            Some(_) => {
                return Err(LedgerError::Contradiction(format!(
                    "transaction {}",
                    transfer.txid
                )));
            }
            None => fresh.push(transfer),
        }
        rows.push(vec![
            Param::Bytes(Some(transfer.txid.as_bytes())),
            Param::Int(Some(int("block", transfer.block)?)),
            Param::Int(Some(transfer.block_time.0)),
            Param::Bytes(Some(transfer.payer.body())),
            Param::Bytes(Some(transfer.payee.body())),
            Param::Int(Some(token_number(transfer.token)?)),
            Param::Int(Some(transfer.amount.get())),
        ]);
    }
    tx.execute_each(
        "INSERT INTO transfer (txid, block, block_time, payer, payee, token, amount)
         SELECT r.txid, r.block, r.block_time, r.payer, r.payee, r.token, r.amount FROM {rows}",
        &[
            ("txid", Kind::Bytes),
            ("block", Kind::Int),
            ("block_time", Kind::Int),
            ("payer", Kind::Bytes),
            ("payee", Kind::Bytes),
            ("token", Kind::Int),
            ("amount", Kind::Int),
        ],
        &rows,
    )?;
    Ok(fresh)
}

/// Σ transfers of the pair in blocks after `first_since`, and those of our own
/// settlement in any block, but for payments that count against no debt: a since block that a lying node made us sign must
/// never make us pay twice.
pub(in crate::ledger) fn paid_after(
    tx: &Transaction<'_>,
    pair: &Pair,
    first_since: u64,
) -> Result<RawAmount, LedgerError> {
    one_amount(
        tx,
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS raw FROM transfer
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND (block > ?4 OR EXISTS (
             SELECT 1 FROM attempt JOIN payout ON payout.id = attempt.payout
             WHERE attempt.txid = transfer.txid AND payout.kind = 0))
           AND NOT EXISTS (
             SELECT 1 FROM attempt JOIN payout ON payout.id = attempt.payout
             WHERE attempt.txid = transfer.txid AND payout.apart = 1)",
        params![
            pair.payer.body(),
            pair.payee.body(),
            pair.token.get(),
            int("since_block", first_since)?
        ],
    )
}

pub(in crate::ledger) fn since(
    tx: &Transaction<'_>,
    payer: Address,
    payee: Address,
    token: Token,
    since: UnixMs,
) -> Result<RawAmount, LedgerError> {
    one_amount(
        tx,
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS raw FROM transfer
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND block_time >= ?4",
        params![payer.body(), payee.body(), token_number(token)?, since.0],
    )
}

fn one_amount(
    tx: &Transaction<'_>,
    sql: &str,
    params: &[Param<'_>],
) -> Result<RawAmount, LedgerError> {
    let found = tx.query(sql, params)?;
    match found.first() {
        Some(row) => amount(row, "raw"),
        None => Ok(RawAmount::ZERO),
    }
}

/// Where the pair's live and confirmed ranges end.
pub(in crate::ledger) fn range_end(
    tx: &Transaction<'_>,
    payer: Address,
    payee: Address,
    token: Token,
) -> Result<RawAmount, LedgerError> {
    one_amount(
        tx,
        "SELECT coalesce(max(range_to), 0) AS raw FROM payout
         WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND ended <> 2",
        params![payer.body(), payee.body(), token_number(token)?],
    )
}

/// Fills in what transfers and payouts make of a position.
pub(in crate::ledger) fn complete(
    tx: &Transaction<'_>,
    position: Position,
) -> Result<Position, LedgerError> {
    let pair = &position.pair;
    let token = Token::Trc10(pair.token);
    Ok(Position {
        paid: paid_after(tx, pair, position.first_since)?,
        paid_back: paid_after(tx, &pair.reversed(), position.first_since)?,
        live: one_amount(
            tx,
            "SELECT CAST(coalesce(sum(range_to - range_from), 0) AS BIGINT) AS raw FROM payout
             WHERE payer = ?1 AND payee = ?2 AND token = ?3 AND ended = 0 AND apart = 0",
            params![pair.payer.body(), pair.payee.body(), pair.token.get()],
        )?,
        range_end: range_end(tx, pair.payer, pair.payee, token)?,
        ..position
    })
}

/// [`complete`] for all positions of `payer`, by the other's address.
pub(in crate::ledger) fn complete_all(
    tx: &Transaction<'_>,
    payer: Address,
    token: TokenId,
    all: &mut BTreeMap<Address, Position>,
) -> Result<(), LedgerError> {
    for (mine, other) in [("payer", "payee"), ("payee", "payer")] {
        // Not summed here: from which block on they count is each pair's own.
        let found = tx.query(
            &format!(
                "SELECT {other} AS other, block, amount, (
                     SELECT CAST(CASE WHEN payout.kind = 0 THEN 1 WHEN payout.apart = 1 THEN 2 END AS BIGINT)
                     FROM attempt JOIN payout ON payout.id = attempt.payout
                     WHERE attempt.txid = transfer.txid) AS whose
                 FROM transfer WHERE {mine} = ?1 AND token = ?2"
            ),
            params![payer.body(), token.get()],
        )?;
        for row in &found {
            let Some(position) = all.get_mut(&rows::address(row, "other")?) else {
                continue;
            };
            let counts = match rows::get::<Option<i64>>(row, "whose")? {
                // Of our own settlement, or apart from the debts.
                Some(1) => true,
                Some(_) => false,
                None => rows::unsigned(row, "block")? > position.first_since,
            };
            if counts {
                let paid = if mine == "payer" {
                    &mut position.paid
                } else {
                    &mut position.paid_back
                };
                *paid = rows::sum("the sum paid", *paid, amount(row, "amount")?)?;
            }
        }
    }
    let found = tx.query(
        "SELECT payee, CAST(sum(CASE WHEN ended = 0 AND apart = 0 THEN range_to - range_from ELSE 0 END)
                            AS BIGINT) AS live, max(range_to) AS range_end
         FROM payout WHERE payer = ?1 AND token = ?2 AND ended <> 2 GROUP BY payee",
        params![payer.body(), token.get()],
    )?;
    for row in &found {
        if let Some(position) = all.get_mut(&rows::address(row, "payee")?) {
            position.live = amount(row, "live")?;
            position.range_end = amount(row, "range_end")?;
        }
    }
    Ok(())
}

pub(in crate::ledger) fn newest(
    tx: &Transaction<'_>,
    account: Address,
    limit: u32,
) -> Result<Vec<TransferRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM transfer WHERE payer = ?1 OR payee = ?1
         ORDER BY block DESC, txid LIMIT ?2",
        params![account.body(), limit],
    )?;
    let mut transfers = Vec::new();
    for row in &found {
        transfers.push(rows::transfer(row)?);
    }
    Ok(transfers)
}

pub(in crate::ledger) fn outgoing(
    tx: &Transaction<'_>,
    account: Address,
    after: u64,
    limit: u32,
) -> Result<Vec<OutgoingRow>, LedgerError> {
    let found = tx.query(
        "SELECT *, EXISTS (SELECT 1 FROM attempt WHERE attempt.txid = transfer.txid) AS ours,
                EXISTS (SELECT 1 FROM adopted WHERE adopted.txid = transfer.txid) AS adopted
         FROM transfer WHERE payer = ?1 AND block > ?2 ORDER BY block DESC, txid LIMIT ?3",
        params![account.body(), int("block", after)?, limit],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(OutgoingRow {
            transfer: rows::transfer(row)?,
            ours: rows::get(row, "ours")?,
            adopted: rows::get(row, "adopted")?,
        });
    }
    Ok(all)
}

//! What receipts come to: lists, sums, positions.

use std::collections::BTreeMap;

use super::{
    receipts::sums,
    rows::{self, amount, kind_number, optional_amount, receipt_kind, unsigned},
};
use crate::{
    ledger::{
        EpochId, LedgerError, Pair, Position, ReceiptEntry, ReceiptFilter,
        sql::{Param, ToParam, Transaction, params},
    },
    types::{Address, RawAmount, TokenId},
};

pub(in crate::ledger) fn list(
    tx: &Transaction<'_>,
    filter: &ReceiptFilter,
    after: Option<&ReceiptEntry>,
    limit: u32,
) -> Result<Vec<ReceiptEntry>, LedgerError> {
    // Only what is asked for is in the statement, so that an index serves it.
    let mut sql = "SELECT * FROM receipt WHERE true".to_owned();
    let kind = filter.kind.map(kind_number);
    let token = filter.token.map(TokenId::get);
    let epoch = filter.epoch.map(EpochId::get);
    let mut values = Vec::new();
    for (column, value) in [
        ("kind", kind.as_ref().map(ToParam::to_param)),
        (
            "payer",
            filter.payer.as_ref().map(|payer| payer.body().to_param()),
        ),
        (
            "payee",
            filter.payee.as_ref().map(|payee| payee.body().to_param()),
        ),
        ("token", token.as_ref().map(ToParam::to_param)),
        ("epoch", epoch.as_ref().map(ToParam::to_param)),
    ] {
        if let Some(value) = value {
            values.push(value);
            sql += &format!(" AND {column} = ?{}", values.len());
        }
    }
    let after = after.map(|entry| (kind_number(entry.kind), &entry.receipt));
    if let Some((kind, receipt)) = &after {
        let n = values.len();
        sql += &format!(
            " AND (kind, payer, payee, token, epoch) > (?{}, ?{}, ?{}, ?{}, ?{})",
            n + 1,
            n + 2,
            n + 3,
            n + 4,
            n + 5
        );
        let pair = &receipt.pair;
        values.extend([
            Param::Int(Some(*kind)),
            Param::Bytes(Some(pair.payer.body())),
            Param::Bytes(Some(pair.payee.body())),
            Param::Int(Some(pair.token.get())),
            Param::Int(Some(receipt.epoch.get())),
        ]);
    }
    values.push(Param::Int(Some(i64::from(limit))));
    sql += &format!(
        " ORDER BY kind, payer, payee, token, epoch LIMIT ?{}",
        values.len()
    );
    let found = tx.query(&sql, &values)?;
    let mut entries = Vec::new();
    for row in &found {
        entries.push(ReceiptEntry {
            kind: receipt_kind(row)?,
            receipt: rows::receipt(row)?,
        });
    }
    Ok(entries)
}

pub(in crate::ledger) fn reserved(
    tx: &Transaction<'_>,
    payer: Address,
    token: TokenId,
) -> Result<RawAmount, LedgerError> {
    // Per payee, what is settled beyond the debt is not credit elsewhere.
    let total = tx.number(
        "SELECT CAST(sum(CASE WHEN issued > settled THEN issued - settled ELSE 0 END) AS BIGINT)
         FROM (SELECT issued, (
                   SELECT coalesce(sum(t.amount), 0) FROM transfer t
                   WHERE t.payer = pair.payer AND t.payee = pair.payee
                     AND t.token = pair.token AND t.block > pair.first_since
                     AND NOT EXISTS (
                         SELECT 1 FROM attempt JOIN payout ON payout.id = attempt.payout
                         WHERE attempt.txid = t.txid AND payout.apart = 1)) AS settled
               FROM pair WHERE payer = ?1 AND token = ?2) AS debt",
        params![payer.body(), token.get()],
    )?;
    RawAmount::new(total.unwrap_or(0))
        .map_err(|error| LedgerError::Damaged(format!("reserved: {error}")))
}

pub(in crate::ledger) fn issued_since(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Option<u64>, LedgerError> {
    let since = tx.number(
        "SELECT min(first_since) FROM pair WHERE payer = ?1 AND issued > 0",
        params![payer.body()],
    )?;
    since
        .map(|since| {
            u64::try_from(since)
                .map_err(|error| LedgerError::Damaged(format!("first_since: {error}")))
        })
        .transpose()
}

/// One position, also of a pair that nothing is known of.
pub(in crate::ledger) fn position(
    tx: &Transaction<'_>,
    pair: &Pair,
) -> Result<Position, LedgerError> {
    let ours = sums(tx, pair)?;
    let theirs = sums(tx, &pair.reversed())?;
    let first_since = match (&ours, &theirs) {
        (Some(a), Some(b)) => a.first_since.min(b.first_since),
        (Some(one), None) | (None, Some(one)) => one.first_since,
        (None, None) => 0,
    };
    let issued = ours.map_or(RawAmount::ZERO, |sums| sums.issued);
    let unsold = theirs.map_or(RawAmount::ZERO, |sums| sums.unsold);
    let received = theirs.map_or(RawAmount::ZERO, |sums| sums.received);
    super::transfers::complete(
        tx,
        Position {
            issued,
            received,
            owed_since: ours.map_or(0, |sums| sums.owed_since),
            cap: ours.and_then(|sums| sums.cap),
            unsold,
            ..empty(*pair, first_since)
        },
    )
}

/// The positions of `payer` with everybody who has receipts with it in either
/// direction, ordered by payee: a handful of statements, however many they are.
pub(in crate::ledger) fn positions(
    tx: &Transaction<'_>,
    payer: Address,
    token: TokenId,
) -> Result<Vec<Position>, LedgerError> {
    let mut all = BTreeMap::new();
    for (sql, other) in [
        (
            "SELECT * FROM pair WHERE payer = ?1 AND token = ?2",
            "payee",
        ),
        (
            "SELECT * FROM pair WHERE payee = ?1 AND token = ?2",
            "payer",
        ),
    ] {
        for row in &tx.query(sql, params![payer.body(), token.get()])? {
            let payee = rows::address(row, other)?;
            let since = unsigned(row, "first_since")?;
            let position = all.entry(payee).or_insert_with(|| {
                let pair = Pair {
                    payer,
                    payee,
                    token,
                };
                empty(pair, since)
            });
            position.first_since = position.first_since.min(since);
            if other == "payee" {
                position.issued = amount(row, "issued")?;
                position.owed_since = unsigned(row, "owed_since")?;
                position.cap = optional_amount(row, "cap")?;
            } else {
                position.received = amount(row, "received")?;
                position.unsold = amount(row, "unsold")?;
            }
        }
    }
    super::transfers::complete_all(tx, payer, token, &mut all)?;
    Ok(all.into_values().collect())
}

fn empty(pair: Pair, first_since: u64) -> Position {
    Position {
        pair,
        issued: RawAmount::ZERO,
        received: RawAmount::ZERO,
        paid: RawAmount::ZERO,
        paid_back: RawAmount::ZERO,
        live: RawAmount::ZERO,
        range_end: RawAmount::ZERO,
        first_since,
        owed_since: 0,
        cap: None,
        unsold: RawAmount::ZERO,
    }
}

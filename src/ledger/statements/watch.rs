//! How far the solid chain was read for an account's income.

use super::{
    rows::{self, int, unsigned},
    trail, transfers,
    witnesses::{self, Known},
};
use crate::{
    ledger::{
        BlockRow, LedgerError, WatchRow,
        sql::{Transaction, params},
    },
    types::{Address, TokenId},
};

pub(in crate::ledger) fn find(
    tx: &Transaction<'_>,
    account: Address,
    token: TokenId,
) -> Result<Option<WatchRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM watch WHERE account = ?1 AND token = ?2",
        params![account.body(), token.get()],
    )?;
    found
        .first()
        .map(|row| {
            Ok(WatchRow {
                account,
                token,
                from: unsigned(row, "scanned_from")?,
                last: rows::block_id(row, "last")?,
            })
        })
        .transpose()
}

/// See [`Transfers::watch_blocks`](crate::ledger::Transfers::watch_blocks).
pub(in crate::ledger) fn take_in(
    tx: &Transaction<'_>,
    account: Address,
    token: TokenId,
    from: u64,
    blocks: &[BlockRow],
) -> Result<Option<WatchRow>, LedgerError> {
    let before = find(tx, account, token)?;
    let to_learn = match before {
        Some(_) => tx
            .number(
                "SELECT to_learn FROM watch WHERE account = ?1 AND token = ?2",
                params![account.body(), token.get()],
            )?
            .unwrap_or(0)
            .unsigned_abs(),
        None => witnesses::lessons(tx)?.into(),
    };
    let before = before.filter(|watch| watch.from <= from);
    // Repeated after an unknown commit: it is all there.
    let seen = before.map_or(0, |watch| {
        let known =
            |block: &&BlockRow| block.id.number() < watch.last.number() || block.id == watch.last;
        blocks.iter().take_while(known).count()
    });
    let Some(first) = blocks.get(seen) else {
        return Ok(before);
    };
    let (start, mut last) = match before {
        Some(watch) => (watch.from, watch.last),
        None => (from, first.parent),
    };
    if before.is_none() && Some(first.id.number()) != from.checked_add(1) {
        return Err(LedgerError::NotLinked {
            found: first.id,
            last,
        });
    }
    let mut known = Known::load(tx, to_learn)?;
    let vouched = known.vouched(blocks.get(seen..).unwrap_or_default())?;
    for block in vouched {
        if block.parent != last || Some(block.id.number()) != last.number().checked_add(1) {
            return Err(LedgerError::NotLinked {
                found: block.id,
                last,
            });
        }
        for transfer in &block.transfers {
            if transfer.block != block.id.number() || transfer.block_time != block.time {
                return Err(LedgerError::Contradiction(format!(
                    "transaction {}",
                    transfer.txid
                )));
            }
        }
        transfers::record_all(tx, &block.transfers)?;
        last = block.id;
    }
    tx.execute(
        "INSERT INTO watch (account, token, scanned_from, last, to_learn)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, token) DO UPDATE SET scanned_from = excluded.scanned_from,
             last = excluded.last, to_learn = excluded.to_learn",
        params![
            account.body(),
            token.get(),
            int("block", start)?,
            last.as_bytes(),
            int("to_learn", known.to_learn())?
        ],
    )?;
    if let Some(newest) = vouched.last() {
        trail::note(tx, account, token.get(), newest.id, newest.time)?;
    }
    known.store(tx)?;
    Ok(Some(WatchRow {
        account,
        token,
        from: start,
        last,
    }))
}

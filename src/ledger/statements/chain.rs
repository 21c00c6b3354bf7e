//! What was read of the solid chain, and what it ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    attempts::{find_attempts, live_attempts, set_attempt_states, set_confirmed},
    leases::fenced,
    payouts::find_payouts,
    rows::{self, OBSERVED, get, int, sum, token_number},
    trail, transfers,
    witnesses::{self, Known, ROUND},
};
use crate::{
    ledger::{
        AccountLease, AttemptEnd, AttemptRow, AttemptState, BlockRow, CursorRow, Foreign,
        LedgerError, PayoutRow, TransferRow,
        sql::{Transaction, params},
    },
    types::{Address, BlockId, TxId, UnixMs},
};

pub(in crate::ledger) fn cursor(
    tx: &Transaction<'_>,
    account: Address,
) -> Result<Option<CursorRow>, LedgerError> {
    let found = tx.query(
        "SELECT bound, scanned_from, last, last_time, history, foreign_txid, foreign_at
         FROM account WHERE account = ?1 AND bound IS NOT NULL",
        params![account.body()],
    )?;
    found
        .first()
        .map(|row| {
            let bound = rows::block_id(row, "bound")?;
            let history = match get::<Option<i64>>(row, "history")? {
                Some(_) => rows::unsigned(row, "history")?,
                None => bound.number(),
            };
            let foreign = match get::<Option<i64>>(row, "foreign_at")? {
                Some(at) => Some(Foreign {
                    txid: rows::txid(row, "foreign_txid")?,
                    at: UnixMs(at),
                }),
                None => None,
            };
            Ok(CursorRow {
                account,
                bound,
                from: rows::unsigned(row, "scanned_from")?,
                last: rows::block_id(row, "last")?,
                last_time: UnixMs(get(row, "last_time")?),
                history,
                foreign,
            })
        })
        .transpose()
}

pub(in crate::ledger) fn bind(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    block: BlockId,
    time: UnixMs,
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let bound = tx.execute(
        "UPDATE account SET bound = ?2, scanned_from = ?3, last = ?2, last_time = ?4, to_learn = ?5
         WHERE account = ?1 AND bound IS NULL",
        params![
            lease.account.body(),
            block.as_bytes(),
            int("block", block.number())?,
            time.0,
            witnesses::lessons(tx)?
        ],
    )?;
    if bound > 0 {
        trail::note(tx, lease.account, 0, block, time)?;
    }
    bound_cursor(tx, lease.account)
}

fn bound_cursor(tx: &Transaction<'_>, account: Address) -> Result<CursorRow, LedgerError> {
    cursor(tx, account)?.ok_or(LedgerError::NotBound(account))
}

pub(in crate::ledger) fn skip_to(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    headers: &[BlockRow],
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let now = bound_cursor(tx, lease.account)?;
    if let Some(live) = live_attempts(tx, lease.account)?.first() {
        return Err(LedgerError::AttemptLive(live.txid));
    }
    let Some(first) = headers.first() else {
        return Ok(now);
    };
    let not_linked = |found| LedgerError::NotLinked {
        found,
        last: now.last,
    };
    let mut known = Known::load(tx, 0)?;
    let (quorum, signed) = (known.quorum(), known.signers_of(headers));
    let given = headers.len();
    let headers = known.vouched(headers)?;
    // Who makes the next blocks must be known there, or nothing is read from it on.
    let is_near = given - headers.len() < ROUND;
    let mut before: Option<&BlockRow> = None;
    for header in headers {
        if before.is_some_and(|before| {
            header.parent != before.id || header.id.number() != before.id.number() + 1
        }) {
            return Err(not_linked(header.id));
        }
        before = Some(header);
    }
    let Some(end) = before else {
        return Ok(now);
    };
    if signed < quorum || !is_near {
        return Err(LedgerError::Strangers {
            block: first.id,
            witness: first.witness,
        });
    }
    let (block, time) = (end.id, end.time);
    if block == now.last {
        return Ok(now);
    }
    if block.number() < now.last.number() {
        return Err(not_linked(block));
    }
    known.store(tx)?;
    trail::note(tx, lease.account, 0, block, time)?;
    tx.execute(
        "UPDATE account SET scanned_from = ?2, last = ?3, last_time = ?4 WHERE account = ?1",
        params![
            lease.account.body(),
            int("block", block.number())?,
            block.as_bytes(),
            time.0
        ],
    )?;
    bound_cursor(tx, lease.account)
}

pub(in crate::ledger) fn apply(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    blocks: &[BlockRow],
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let mut now = bound_cursor(tx, lease.account)?;
    // Repeated after an unknown commit: it is all there.
    let seen = blocks
        .iter()
        .take_while(|block| block.id.number() < now.last.number() || block.id == now.last)
        .count();
    let to_learn = tx
        .number(
            "SELECT to_learn FROM account WHERE account = ?1",
            params![lease.account.body()],
        )?
        .unwrap_or(0);
    let mut known = Known::load(tx, to_learn.unsigned_abs())?;
    for block in known.vouched(blocks.get(seen..).unwrap_or_default())? {
        if block.parent != now.last || Some(block.id.number()) != now.last.number().checked_add(1) {
            return Err(LedgerError::NotLinked {
                found: block.id,
                last: now.last,
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
        let fresh = transfers::record_all(tx, &block.transfers)?;
        let ours = attempts_in(tx, block)?;
        for transfer in &fresh {
            // One that is no attempt of ours was made by hand.
            if transfer.payer == lease.account && !ours.contains_key(&transfer.txid) {
                take_range(tx, transfer)?;
                now.foreign = Some(Foreign {
                    txid: transfer.txid,
                    at: transfer.block_time,
                });
            }
        }
        apply_ends(tx, &now, block, &ours)?;
        now.last = block.id;
        now.last_time = block.time;
    }
    tx.execute(
        "UPDATE account SET last = ?2, last_time = ?3, foreign_txid = ?4, foreign_at = ?5,
             to_learn = ?6
         WHERE account = ?1",
        params![
            lease.account.body(),
            now.last.as_bytes(),
            now.last_time.0,
            now.foreign.as_ref().map(|foreign| foreign.txid.as_bytes()),
            now.foreign.map(|foreign| foreign.at.0),
            int("to_learn", known.to_learn())?
        ],
    )?;
    trail::note(tx, lease.account, 0, now.last, now.last_time)?;
    known.store(tx)?;
    Ok(now)
}

pub(in crate::ledger) fn extend_history(
    tx: &Transaction<'_>,
    lease: &AccountLease,
    first: u64,
    seen: &[TransferRow],
) -> Result<CursorRow, LedgerError> {
    fenced(tx, lease)?;
    let now = bound_cursor(tx, lease.account)?;
    if first >= now.history {
        return Ok(now);
    }
    let bound = now.bound.number();
    if let Some(stray) = seen.iter().find(|transfer| {
        transfer.payer != lease.account || transfer.block <= first || transfer.block > bound
    }) {
        return Err(LedgerError::Contradiction(format!(
            "transaction {}",
            stray.txid
        )));
    }
    for transfer in transfers::record_all(tx, seen)? {
        take_range(tx, transfer)?;
    }
    tx.execute(
        "UPDATE account SET history = ?2 WHERE account = ?1",
        params![lease.account.body(), int("block", first)?],
    )?;
    bound_cursor(tx, lease.account)
}

/// The attempts among the block's transfers and ends.
fn attempts_in(
    tx: &Transaction<'_>,
    block: &BlockRow,
) -> Result<HashMap<TxId, AttemptRow>, LedgerError> {
    let transfers = block.transfers.iter().map(|transfer| transfer.txid);
    let txids: BTreeSet<_> = transfers.chain(block.ends.iter().map(txid_of)).collect();
    find_attempts(tx, &txids)
}

/// A transfer of the account that is no attempt of ours takes a range, so that
/// nothing else claims it.
fn take_range(tx: &Transaction<'_>, transfer: &TransferRow) -> Result<(), LedgerError> {
    let from = transfers::range_end(tx, transfer.payer, transfer.payee, transfer.token)?;
    let to = sum("the end of a paid range", from, transfer.amount)?;
    tx.execute(
        "INSERT INTO payout (id, batch, ordinal, kind, payer, payee, token, range_from, range_to,
                             memo, state, ended, reason, owed, owed_to_us)
         VALUES (?1, NULL, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 2, 1, '', 0, 0)",
        params![
            tx.random_number()?,
            OBSERVED,
            transfer.payer.body(),
            transfer.payee.body(),
            token_number(transfer.token)?,
            from.get(),
            to.get(),
            [0_u8; 0]
        ],
    )?;
    Ok(())
}

fn txid_of(end: &AttemptEnd) -> TxId {
    let (AttemptEnd::Solid(txid) | AttemptEnd::IncludedFailed(txid) | AttemptEnd::Expired(txid)) =
        *end;
    txid
}

fn apply_ends(
    tx: &Transaction<'_>,
    before: &CursorRow,
    block: &BlockRow,
    attempts: &HashMap<TxId, AttemptRow>,
) -> Result<(), LedgerError> {
    let seen: HashMap<_, _> = block
        .transfers
        .iter()
        .map(|transfer| (transfer.txid, transfer))
        .collect();
    let ended: BTreeSet<_> = block
        .ends
        .iter()
        .filter_map(|end| attempts.get(&txid_of(end)))
        .map(|attempt| attempt.payout)
        .collect();
    let payouts = find_payouts(tx, &ended)?;
    let (mut states, mut confirmed) = (BTreeMap::new(), BTreeSet::new());
    for end in &block.ends {
        let txid = txid_of(end);
        let attempt = attempts
            .get(&txid)
            .ok_or_else(|| LedgerError::Missing(format!("transaction {txid}")))?;
        let unproven = |reason| LedgerError::NotProven { txid, reason };
        if !attempt.state.is_live() || states.contains_key(&txid) {
            return Err(unproven("it has ended before"));
        }
        let state = match end {
            AttemptEnd::Solid(_) => {
                let payout = payouts
                    .get(&attempt.payout)
                    .ok_or_else(|| LedgerError::Missing(format!("payout {}", attempt.payout)))?;
                check_paid(payout, seen.get(&txid).copied(), txid)?;
                confirmed.insert(payout.id);
                (AttemptState::Solid, Some(block.id.number()))
            }
            AttemptEnd::IncludedFailed(_) => {
                if seen.contains_key(&txid) {
                    return Err(unproven("the block says that it paid"));
                }
                (AttemptState::Dead, Some(block.id.number()))
            }
            AttemptEnd::Expired(_) => {
                if block.time < attempt.expiration {
                    return Err(unproven("the block is from before its expiration"));
                }
                if before.from > attempt.reference.number() {
                    return Err(unproven("not every block since its reference was read"));
                }
                if before.last.number() < attempt.reference.number() {
                    return Err(unproven("its reference block was not reached"));
                }
                if seen.contains_key(&txid) {
                    return Err(unproven("the block holds it"));
                }
                (AttemptState::Dead, None)
            }
        };
        states.insert(txid, state);
    }
    set_attempt_states(tx, &states)?;
    set_confirmed(tx, &confirmed)
}

fn check_paid(
    payout: &PayoutRow,
    seen: Option<&TransferRow>,
    txid: TxId,
) -> Result<(), LedgerError> {
    let unproven = |reason| LedgerError::NotProven { txid, reason };
    let seen = seen.ok_or_else(|| unproven("the block does not hold its transfer"))?;
    let same = seen.payer == payout.payer
        && seen.payee == payout.payee
        && seen.token == payout.token
        && seen.amount == payout.amount;
    if same {
        Ok(())
    } else {
        Err(unproven("the block's transfer is another one"))
    }
}

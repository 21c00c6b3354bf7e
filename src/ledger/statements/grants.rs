//! Spend grants and revocations.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    positions::position,
    rows::{self, amount, get, int, kind_number, sum, unsigned},
};
use crate::{
    ledger::{
        GrantMarks, GrantRow, GrantUse, LedgerError, MAX_KEPT_GRANTS, MAX_REVOCATIONS, Pair,
        ReceiptKind, ReceiptRow, RevocationRow,
        sql::{Row, Transaction, params},
    },
    types::{Address, RawAmount, Salt},
};

fn grant(row: &Row) -> Result<GrantRow, LedgerError> {
    Ok(GrantRow {
        hash: Salt::from_bytes(get(row, "hash")?),
        payer: rows::address(row, "payer")?,
        signer: rows::address(row, "signer")?,
        token: rows::token_id(row, "token")?,
        max_per_payee: amount(row, "max_per_payee")?,
        max_total: amount(row, "max_total")?,
        not_before: unsigned(row, "not_before")?,
        not_after: unsigned(row, "not_after")?,
        serial: unsigned(row, "serial")?,
        signature: get(row, "signature")?,
    })
}

pub(in crate::ledger) fn find(
    tx: &Transaction<'_>,
    hash: Salt,
) -> Result<Option<GrantRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM spend_grant WHERE hash = ?1",
        params![hash.as_bytes()],
    )?;
    found.first().map(grant).transpose()
}

/// `now` in seconds since the Unix epoch.
pub(in crate::ledger) fn store(
    tx: &Transaction<'_>,
    row: &GrantRow,
    now: u64,
) -> Result<(), LedgerError> {
    if find(tx, row.hash)?.is_some() {
        return Ok(());
    }
    let kept = tx.number(
        "SELECT count(*) FROM spend_grant WHERE payer = ?1",
        params![row.payer.body()],
    )?;
    if kept.unwrap_or(0) >= i64::from(MAX_KEPT_GRANTS) {
        prune(tx, row.payer, now)?;
        if counted(tx, row.payer, now)? >= MAX_KEPT_GRANTS {
            return Err(LedgerError::TooManyGrants(row.payer));
        }
    }
    tx.execute(
        "INSERT INTO spend_grant (hash, payer, signer, token, max_per_payee, max_total,
                                  not_before, not_after, serial, signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            row.hash.as_bytes(),
            row.payer.body(),
            row.signer.body(),
            row.token.get(),
            row.max_per_payee.get(),
            row.max_total.get(),
            int("not_before", row.not_before)?,
            int("not_after", row.not_after)?,
            int("serial", row.serial)?,
            row.signature
        ],
    )?;
    Ok(())
}

/// The first of the grants that followed one another up to this one, if it is kept.
fn root(tx: &Transaction<'_>, hash: Salt) -> Result<Option<GrantRow>, LedgerError> {
    let found = tx.query(
        "SELECT first.* FROM spend_grant AS first JOIN spend_grant AS one
             ON first.hash = coalesce(one.root, one.hash)
         WHERE one.hash = ?1",
        params![hash.as_bytes()],
    )?;
    found.first().map(grant).transpose()
}

/// Stores a grant that follows another one: together with it, and with those that it follows
/// and that follow it, it signs away no more than the first of them allows.
pub(in crate::ledger) fn store_renewal(
    tx: &Transaction<'_>,
    row: &GrantRow,
    renews: Salt,
    now: u64,
) -> Result<(), LedgerError> {
    let first = root(tx, renews)?
        .filter(|first| first.payer == row.payer && first.token == row.token)
        .ok_or_else(|| LedgerError::Missing(format!("the spend grant {renews}")))?;
    store(tx, row, now)?;
    if first.hash != row.hash {
        tx.execute(
            "UPDATE spend_grant SET root = ?2 WHERE hash = ?1 AND root IS NULL",
            params![row.hash.as_bytes(), first.hash.as_bytes()],
        )?;
    }
    Ok(())
}

/// Removes the payer's grants that have run out and carry no receipt. One with
/// receipts stays, since they do not verify without it. One that replaced a grant
/// that is kept stays too: without it the replaced one would be good again. So does one of
/// which a renewal is kept: it says how much that may sign.
fn prune(tx: &Transaction<'_>, payer: Address, now: u64) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM spend_grant WHERE payer = ?1 AND not_after < ?2
           AND NOT EXISTS (SELECT 1 FROM receipt WHERE grant_hash = spend_grant.hash)
           AND NOT EXISTS (SELECT 1 FROM spend_grant AS older
               WHERE older.payer = spend_grant.payer AND older.signer = spend_grant.signer
                 AND older.serial < spend_grant.serial AND older.not_after >= ?2)
           AND NOT EXISTS (SELECT 1 FROM spend_grant AS later
               WHERE later.root = spend_grant.hash AND later.not_after >= ?2)",
        params![payer.body(), int("now", now)?],
    )?;
    Ok(())
}

/// How many grants of the payer count: those that have not run out, and those
/// with receipts of a pair in which the payer still owes.
fn counted(tx: &Transaction<'_>, payer: Address, now: u64) -> Result<u32, LedgerError> {
    let now = int("now", now)?;
    let running = tx.number(
        "SELECT count(*) FROM spend_grant WHERE payer = ?1 AND not_after >= ?2",
        params![payer.body(), now],
    )?;
    let mut count = u32::try_from(running.unwrap_or(0)).unwrap_or(u32::MAX);
    let ended = tx.query(
        "SELECT DISTINCT spend_grant.hash, receipt.payee, receipt.token
         FROM spend_grant JOIN receipt ON receipt.grant_hash = spend_grant.hash
         WHERE spend_grant.payer = ?1 AND spend_grant.not_after < ?2",
        params![payer.body(), now],
    )?;
    let (mut owing, mut pairs) = (BTreeSet::new(), BTreeMap::new());
    for row in &ended {
        let pair = Pair {
            payer,
            payee: rows::address(row, "payee")?,
            token: rows::token_id(row, "token")?,
        };
        let hash: [u8; 32] = get(row, "hash")?;
        let owes = match pairs.get(&pair) {
            Some(owes) => *owes,
            None => {
                // As its own log has it, or as we, the payee, hold its receipts.
                let owes =
                    position(tx, &pair)?.net() > 0 || position(tx, &pair.reversed())?.net() < 0;
                pairs.insert(pair, owes);
                owes
            }
        };
        if owes {
            owing.insert(hash);
        }
    }
    count = count.saturating_add(u32::try_from(owing.len()).unwrap_or(u32::MAX));
    Ok(count)
}

/// Removes the payer's revocations of signers whose grants have all run out.
fn prune_revocations(tx: &Transaction<'_>, payer: Address, now: u64) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM revocation WHERE payer = ?1
           AND serial <= (SELECT max(serial) FROM spend_grant
               WHERE spend_grant.payer = revocation.payer
                 AND spend_grant.signer = revocation.signer)
           AND NOT EXISTS (SELECT 1 FROM spend_grant
               WHERE spend_grant.payer = revocation.payer
                 AND spend_grant.signer = revocation.signer AND not_after >= ?2)",
        params![payer.body(), int("now", now)?],
    )?;
    Ok(())
}

/// Σ newest receipts under a grant in one role, to one payee or to all.
fn under(
    tx: &Transaction<'_>,
    hash: Salt,
    kind: ReceiptKind,
    payee: Option<Address>,
) -> Result<RawAmount, LedgerError> {
    let found = tx.query(
        "SELECT amount FROM receipt WHERE grant_hash = ?1 AND kind = ?2
         AND (?3 IS NULL OR payee = ?3)",
        params![
            hash.as_bytes(),
            kind_number(kind),
            payee.map(|payee| *payee.body())
        ],
    )?;
    let mut total = RawAmount::ZERO;
    for row in &found {
        total = sum("the sum under a grant", total, amount(row, "amount")?)?;
    }
    Ok(total)
}

/// Σ newest receipts of our own log under a grant and those of the same root, to one payee
/// or to all.
fn under_root(
    tx: &Transaction<'_>,
    root: Salt,
    payee: Option<Address>,
) -> Result<RawAmount, LedgerError> {
    let found = tx.query(
        "SELECT hash FROM spend_grant WHERE hash = ?1 OR root = ?1",
        params![root.as_bytes()],
    )?;
    let mut total = RawAmount::ZERO;
    for row in &found {
        let hash = Salt::from_bytes(get(row, "hash")?);
        let more = under(tx, hash, ReceiptKind::Issued, payee)?;
        total = sum("the sum under renewed grants", total, more)?;
    }
    Ok(total)
}

/// What may still be signed away under a grant, to one payee or to all: what it leaves, and
/// what the first of those leaves that it follows.
pub(in crate::ledger) fn left(
    tx: &Transaction<'_>,
    hash: Salt,
    payee: Option<Address>,
) -> Result<RawAmount, LedgerError> {
    let (Some(own), Some(first)) = (find(tx, hash)?, root(tx, hash)?) else {
        return Ok(RawAmount::ZERO);
    };
    let most = |grant: &GrantRow| match payee {
        Some(_) => grant.max_per_payee,
        None => grant.max_total,
    };
    let used = under(tx, hash, ReceiptKind::Issued, payee)?;
    let used_by_all = under_root(tx, first.hash, payee)?;
    let own = most(&own).checked_sub(used).unwrap_or_default();
    let all = most(&first).checked_sub(used_by_all).unwrap_or_default();
    Ok(own.min(all))
}

pub(in crate::ledger) fn list(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Vec<GrantUse>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM spend_grant WHERE payer = ?1 ORDER BY signer, serial",
        params![payer.body()],
    )?;
    let mut uses = Vec::new();
    for row in &found {
        let grant = grant(row)?;
        let root: Option<[u8; 32]> = get(row, "root")?;
        uses.push(GrantUse {
            grant,
            first: root.map_or(grant.hash, Salt::from_bytes),
            left: left(tx, grant.hash, None)?,
            issued: under(tx, grant.hash, ReceiptKind::Issued, None)?,
            received: under(tx, grant.hash, ReceiptKind::Received, None)?,
        });
    }
    Ok(uses)
}

/// Whether the grant of a receipt that is about to be signed away was revoked.
pub(in crate::ledger) fn not_revoked(
    tx: &Transaction<'_>,
    receipt: &ReceiptRow,
) -> Result<(), LedgerError> {
    let Some(grant) = find(tx, receipt.grant)? else {
        return Ok(());
    };
    match marks(tx, grant.payer, grant.signer)?.revoked {
        Some(serial) if serial >= grant.serial => Err(LedgerError::GrantRevoked {
            hash: grant.hash,
            serial,
        }),
        _ => Ok(()),
    }
}

/// Whether our own log stays within the grant of this receipt, which is in it.
pub(in crate::ledger) fn within(
    tx: &Transaction<'_>,
    receipt: &ReceiptRow,
) -> Result<(), LedgerError> {
    if receipt.grant == Salt::ZERO {
        return Ok(());
    }
    let grant = find(tx, receipt.grant)?
        .ok_or_else(|| LedgerError::Missing(format!("the spend grant {}", receipt.grant)))?;
    let payee = Some(receipt.pair.payee);
    let first = root(tx, grant.hash)?.unwrap_or(grant);
    let bounds = |of: &GrantRow| [(payee, of.max_per_payee), (None, of.max_total)];
    let spent = |hash, owed, allowed| match owed > allowed {
        true => Err(LedgerError::GrantSpent {
            hash,
            owed,
            allowed,
        }),
        false => Ok(()),
    };
    for (payee, allowed) in bounds(&grant) {
        let owed = under(tx, grant.hash, ReceiptKind::Issued, payee)?;
        spent(grant.hash, owed, allowed)?;
    }
    for (payee, allowed) in bounds(&first) {
        spent(first.hash, under_root(tx, first.hash, payee)?, allowed)?;
    }
    Ok(())
}

pub(in crate::ledger) fn marks(
    tx: &Transaction<'_>,
    payer: Address,
    signer: Address,
) -> Result<GrantMarks, LedgerError> {
    let one = |sql: &str| -> Result<Option<u64>, LedgerError> {
        tx.number(sql, params![payer.body(), signer.body()])?
            .map(|serial| {
                u64::try_from(serial)
                    .map_err(|error| LedgerError::Damaged(format!("serial: {error}")))
            })
            .transpose()
    };
    Ok(GrantMarks {
        highest: one("SELECT max(serial) FROM spend_grant WHERE payer = ?1 AND signer = ?2")?,
        revoked: one("SELECT serial FROM revocation WHERE payer = ?1 AND signer = ?2")?,
    })
}

pub(in crate::ledger) fn store_revocation(
    tx: &Transaction<'_>,
    row: &RevocationRow,
    now: u64,
) -> Result<(), LedgerError> {
    let known = marks(tx, row.payer, row.signer)?.revoked;
    if known.is_some_and(|known| known >= row.serial) {
        return Ok(());
    }
    let is_full = || -> Result<bool, LedgerError> {
        let kept = tx.number(
            "SELECT count(*) FROM revocation WHERE payer = ?1",
            params![row.payer.body()],
        )?;
        Ok(kept.unwrap_or(0) >= i64::from(MAX_REVOCATIONS))
    };
    if known.is_none() && is_full()? {
        prune_revocations(tx, row.payer, now)?;
        if is_full()? {
            return Err(LedgerError::TooManyGrants(row.payer));
        }
    }
    tx.execute(
        "INSERT INTO revocation (payer, signer, serial, signature) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (payer, signer) DO UPDATE SET
             serial = excluded.serial, signature = excluded.signature",
        params![
            row.payer.body(),
            row.signer.body(),
            int("serial", row.serial)?,
            row.signature
        ],
    )?;
    Ok(())
}

pub(in crate::ledger) fn revocations(
    tx: &Transaction<'_>,
    payer: Address,
) -> Result<Vec<RevocationRow>, LedgerError> {
    let found = tx.query(
        "SELECT * FROM revocation WHERE payer = ?1 ORDER BY signer",
        params![payer.body()],
    )?;
    let mut all = Vec::new();
    for row in &found {
        all.push(RevocationRow {
            payer: rows::address(row, "payer")?,
            signer: rows::address(row, "signer")?,
            serial: unsigned(row, "serial")?,
            signature: get(row, "signature")?,
        });
    }
    Ok(all)
}

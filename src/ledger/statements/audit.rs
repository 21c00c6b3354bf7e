//! Whether the rows agree with each other: what no database can know.

use crate::ledger::{
    LedgerError,
    sql::{Transaction, Value},
};

/// Each question finds rows that cannot be; `what` names one of them.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "the sum of the receipts issued to a pair is not what its row says",
        "SELECT pair.payee AS what FROM pair WHERE issued <> (
             SELECT coalesce(sum(amount), 0) FROM receipt r WHERE r.kind = 0
             AND r.payer = pair.payer AND r.payee = pair.payee AND r.token = pair.token)",
    ),
    (
        "the sum of the receipts held of a pair is not what its row says",
        "SELECT pair.payer AS what FROM pair WHERE received <> (
             SELECT coalesce(sum(amount), 0) FROM receipt r WHERE r.kind = 1
             AND r.payer = pair.payer AND r.payee = pair.payee AND r.token = pair.token)",
    ),
    (
        "what flowed to a pair by day and torrent is not the sum of its receipts",
        "SELECT f.payee AS what FROM (
             SELECT kind, payer, payee, token, sum(amount) AS flowed FROM flow
             GROUP BY kind, payer, payee, token) f
         LEFT JOIN pair p ON p.payer = f.payer AND p.payee = f.payee AND p.token = f.token
         WHERE p.payer IS NULL
             OR f.flowed <> CASE f.kind WHEN 0 THEN p.issued
                           ELSE p.received - p.unsold END",
    ),
    (
        "a receipt was issued in an epoch that was never opened",
        "SELECT r.epoch AS what FROM receipt r LEFT JOIN epoch e USING (payer, payee, token, epoch)
         WHERE r.kind = 0 AND e.epoch IS NULL",
    ),
    (
        "a paid range does not begin where the one before it ends",
        "SELECT p.id AS what FROM payout p WHERE p.ended <> 2 AND p.range_from <> (
             SELECT coalesce(max(q.range_to), 0) FROM payout q WHERE q.ended <> 2
             AND q.payer = p.payer AND q.payee = p.payee AND q.token = p.token
             AND q.range_to <= p.range_from)",
    ),
    (
        "a payout's end is not what its state says",
        "SELECT p.id AS what FROM payout p
         WHERE p.ended <> CASE p.state WHEN 2 THEN 1 WHEN 3 THEN 2 ELSE 0 END",
    ),
    (
        "a payout is confirmed without a solid attempt",
        "SELECT p.id AS what FROM payout p WHERE p.kind <> 2 AND p.state = 2 AND NOT EXISTS (
             SELECT 1 FROM attempt a WHERE a.payout = p.id AND a.state = 3)",
    ),
    (
        "a payout is not confirmed though an attempt of it is solid",
        "SELECT p.id AS what FROM payout p JOIN attempt a ON a.payout = p.id
         WHERE a.state = 3 AND p.state <> 2",
    ),
    (
        "a payout was given up though an attempt of it may pay",
        "SELECT p.id AS what FROM payout p JOIN attempt a ON a.payout = p.id
         WHERE p.state = 3 AND a.state <> 4",
    ),
    (
        "a planned payout has an attempt",
        "SELECT p.id AS what FROM payout p JOIN attempt a ON a.payout = p.id WHERE p.state = 0",
    ),
    (
        "a solid attempt has no transfer of its payout's amount",
        "SELECT p.id AS what FROM payout p JOIN attempt a ON a.payout = p.id
         LEFT JOIN transfer t ON t.txid = a.txid
         WHERE a.state = 3 AND (t.txid IS NULL OR t.payer <> p.payer OR t.payee <> p.payee
             OR t.token <> p.token OR t.amount <> p.range_to - p.range_from)",
    ),
];

pub(in crate::ledger) fn contradictions(tx: &Transaction<'_>) -> Result<Vec<String>, LedgerError> {
    let mut found = Vec::new();
    for (sentence, question) in QUESTIONS {
        if let Some(row) = tx.query(&format!("{question} LIMIT 1"), &[])?.first() {
            found.push(format!(
                "{sentence} ({})",
                row.values.first().unwrap_or(&Value::Null)
            ));
        }
    }
    Ok(found)
}

//! Ledgers of every earlier schema are brought up to date, and nothing of them
//! is lost.

use std::fs;

use seedrail::{
    ledger::{
        AttemptState, BatchId, FlowKind, PayoutState, PostgresLedger, PostgresUrl, SqliteLedger,
        Upkeep,
    },
    types::{Address, Salt, Token, TokenId},
};

use super::{
    conformance::{Rows, raw, txid},
    genesis,
};
use crate::support::postgres_server::{psql, shared};

const EARLIER: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn dump(schema: u32) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/ledger");
    fs::read_to_string(format!("{folder}/schema-{schema}.sql")).unwrap()
}

/// What was in it is there, by the present methods.
fn is_whole(ledger: &dyn Upkeep, schema: u32) {
    let rows = Rows::new();
    assert_eq!(ledger.contradictions().unwrap(), Vec::<String>::new());
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!(
        (position.issued, position.received, position.paid),
        (raw(300), raw(50), raw(107))
    );
    assert_eq!((position.live, position.range_end), (raw(100), raw(207)));
    let issued = ledger.issued(&rows.pair).unwrap();
    assert_eq!((issued.len(), issued[0].get().sequence), (1, 3));
    let cursor = ledger.cursor(rows.pair.payer).unwrap().unwrap();
    assert_eq!((cursor.bound.number(), cursor.last.number()), (10, 12));
    assert_eq!(cursor.history, 10);
    assert_eq!(cursor.foreign.map(|foreign| foreign.txid), Some(txid(2)));
    let batch = BatchId::new(21).unwrap();
    let states: Vec<_> = ledger
        .payouts(batch)
        .unwrap()
        .iter()
        .map(|payout| payout.state)
        .collect();
    assert_eq!(states, [PayoutState::Confirmed, PayoutState::InFlight]);
    // What was paid before it could be kept apart counts against the debts.
    for payout in ledger.payouts(batch).unwrap() {
        assert!(!payout.not_for_debts);
        assert_eq!(payout.token, Token::Trc10(TokenId::BTT));
    }
    let attempts: Vec<_> = ledger
        .attempts(batch)
        .unwrap()
        .iter()
        .map(|attempt| attempt.get().state)
        .collect();
    assert_eq!(attempts, [AttemptState::Solid, AttemptState::Sent]);
    let flows = ledger
        .flows(rows.pair.payer, TokenId::BTT, FlowKind::Spent)
        .unwrap();
    assert_eq!(flows.iter().map(|flow| flow.amount.get()).sum::<i64>(), 300);
    if schema >= 2 {
        let grant = ledger.grant(Salt::from_bytes([5; 32])).unwrap();
        assert_eq!(grant.unwrap().max_total, raw(5000));
        let standing = ledger
            .standing(Address::from_body([4; 20]), TokenId::BTT)
            .unwrap();
        assert_eq!((standing.defaults, standing.defaulted), (2, raw(90)));
    }
    if schema >= 3 {
        let outgoing = ledger.outgoing(rows.pair.payer, 0, 10).unwrap();
        let by_hand = outgoing.iter().find(|row| row.transfer.txid == txid(2));
        assert!(by_hand.unwrap().adopted);
        assert_eq!(ledger.witnesses().unwrap()[0].last_block, 12);
    }
    // It is worked on as any other: the free epoch goes on.
    let lease = ledger.claim_epoch(&rows.pair, 900).unwrap();
    assert_eq!((lease.epoch.get(), lease.remainder.get()), (11, 77));
    let account = ledger.lease_account(rows.pair.payer, "test").unwrap();
    assert!(account.fence > 4, "fencing numbers only rise");
}

#[test]
fn every_earlier_schema_on_sqlite() {
    for schema in EARLIER {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("l");
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch(&dump(schema))
            .unwrap();
        is_whole(&SqliteLedger::open(&file, genesis()).unwrap(), schema);
        is_whole(&SqliteLedger::open(&file, genesis()).unwrap(), schema);
    }
}

/// The dump in the words of PostgreSQL.
fn translated(schema: u32) -> String {
    let mut text = String::new();
    for line in dump(schema).lines() {
        if line.starts_with("PRAGMA") {
            continue;
        }
        let line = line.replace("BLOB", "BYTEA").replace("INTEGER", "BIGINT");
        let mut parts = line.split("X'");
        text += parts.next().unwrap();
        for part in parts {
            let (digits, rest) = part.split_once('\'').unwrap();
            text += &format!("'\\x{digits}'::bytea{rest}");
        }
        text.push('\n');
    }
    let text = text
        .replace("x'0000", "'\\x0000")
        .replace("BEGIN TRANSACTION", "BEGIN");
    format!(
        "{text}
         INSERT INTO meta VALUES ('application', '\\x53524c47'), ('schema', '\\x{schema:016x}');"
    )
}

#[test]
fn every_earlier_schema_on_postgres() {
    for schema in EARLIER {
        let text = shared().database();
        psql(&text, &translated(schema));
        let url = PostgresUrl::parse(&text).unwrap();
        is_whole(&PostgresLedger::open(&url, genesis()).unwrap(), schema);
        is_whole(&PostgresLedger::open(&url, genesis()).unwrap(), schema);
    }
}

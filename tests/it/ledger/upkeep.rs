//! The ledger as a whole: checked, copied, written out, on every store.

use std::path::Path;

use seedrail::{
    ledger::{
        Cell, ChainLog, EpochId, Ledger, LedgerError, PostgresLedger, PostgresUrl, ReceiptRow,
        Receipts, Recovery, Remainder, SqliteLedger, Stored, Upkeep,
    },
    types::UnixMs,
};

use crate::support::postgres_server::{psql, shared, tool};

use super::{
    conformance::{Rows, Store, raw},
    file, genesis, memory, postgres,
};

/// Something in many tables.
fn fill(ledger: &dyn Ledger) {
    let rows = Rows::new();
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let receipt = rows.receipt(lease.epoch, 5, 1, 100);
    ledger
        .issue(&lease, &receipt, rows.remainder(77), None)
        .unwrap();
    let theirs = ReceiptRow {
        pair: rows.pair.reversed(),
        signer: rows.pair.payee,
        ..rows.receipt(EpochId::new(9).unwrap(), 6, 1, 30)
    };
    ledger.store_received(&theirs).unwrap();
    let account = ledger.lease_account(rows.pair.payer, "test").unwrap();
    ledger
        .bind_account(&account, super::conformance::block(10), UnixMs(30_000))
        .unwrap();
    ledger.record_transfer(&rows.transfer(1, 8, 40)).unwrap();
}

fn dump(ledger: &dyn Upkeep) -> Vec<String> {
    let mut lines = Vec::new();
    let count = ledger
        .rows(&mut |table, columns| {
            lines.push(format!("{table} {columns:?}"));
            Ok(())
        })
        .unwrap();
    assert_eq!(count, lines.len() as u64);
    lines
}

/// Without what says in which database it is, who works on it, and whether it
/// is a copy.
fn content(ledger: &dyn Upkeep) -> Vec<String> {
    dump(ledger)
        .into_iter()
        .filter(|line| !line.starts_with("meta ") && !line.starts_with("worker "))
        .collect()
}

fn copies(ledger: &dyn Upkeep) {
    fill(ledger);
    assert_eq!(ledger.contradictions().unwrap(), Vec::<String>::new());
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("copy");
    ledger.backup(&to).unwrap();
    assert!(!ledger.is_restored().unwrap());
    let copy = SqliteLedger::open(&to, genesis()).unwrap();
    assert!(copy.is_restored().unwrap());
    assert!(copy.contradictions().unwrap().is_empty());
    assert_eq!(content(&copy), content(ledger));
    assert!(content(ledger).len() >= 7, "{:?}", content(ledger));
    // A copy does not issue.
    let refused = copy.claim_epoch(&Rows::new().pair, 7).unwrap_err();
    assert!(matches!(refused, LedgerError::Restored(_)), "{refused}");
    let again = ledger.backup(&to).unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
    assert!(to.exists(), "what was there is not touched");
    assert!(ledger.backup(Path::new("/no/where")).is_err());
}

#[test]
fn a_file_is_copied_whole() {
    copies(&file().first);
}

#[test]
fn a_database_is_copied_into_a_file() {
    copies(&postgres().first);
}

#[test]
fn a_reader_that_fails_stops_the_writing_out() {
    let ledger = postgres().first;
    fill(&ledger);
    let refused = ledger
        .rows(&mut |_, columns: &[(&str, Cell<'_>)]| {
            assert!(!columns.is_empty());
            Err(std::io::Error::other("the disk is full"))
        })
        .unwrap_err();
    assert!(
        refused.to_string().contains("the disk is full"),
        "{refused}"
    );
}

/// Many at once are as one after the other.
pub(crate) fn many_are_stored_as_one_by_one(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let alone = memory();
    let epoch = |n| EpochId::new(n).unwrap();
    let batches = [
        vec![
            rows.receipt(epoch(1), 5, 1, 100),
            rows.receipt(epoch(1), 5, 3, 300),
            rows.receipt(epoch(2), 4, 1, 7),
            rows.receipt(epoch(1), 5, 2, 200),
            rows.receipt(epoch(1), 5, 4, 299),
            rows.receipt(epoch(1), 5, 3, 299),
        ],
        vec![
            rows.receipt(epoch(1), 5, 3, 300),
            rows.receipt(epoch(1), 5, 5, 500),
            rows.receipt(epoch(3), 3, 1, 11),
            rows.receipt(epoch(3), 3, 1, 12),
        ],
        Vec::new(),
    ];
    for batch in &batches {
        let one_by_one: Vec<Stored> = batch
            .iter()
            .map(|receipt| alone.first().store_received(receipt).unwrap().into_inner())
            .collect();
        let at_once = ledger.store_received_all(batch).unwrap().into_inner();
        assert_eq!(at_once, one_by_one);
    }
    let mirrored = rows.pair.reversed();
    let position = ledger.position(&mirrored).unwrap();
    assert_eq!(position, alone.first().position(&mirrored).unwrap());
    assert_eq!(position.received, raw(518));
    let all = ledger.positions(mirrored.payer, mirrored.token).unwrap();
    assert_eq!(all, [position]);
    let kept = |ledger: &dyn Ledger| ledger.equivocations(&rows.pair).unwrap();
    assert_eq!(kept(ledger), kept(alone.first()));
    assert_eq!(kept(ledger).len(), 2);
}

/// Each position of a list is what is told of it alone.
pub(crate) fn positions_are_those_of_each_pair(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    fill(ledger);
    ledger.record_transfer(&rows.transfer(2, 3, 5)).unwrap();
    let back = seedrail::ledger::TransferRow {
        payer: rows.pair.payee,
        payee: rows.pair.payer,
        ..rows.transfer(3, 9, 4)
    };
    ledger.record_transfer(&back).unwrap();
    for pair in [rows.pair, rows.pair.reversed()] {
        let alone = ledger.position(&pair).unwrap();
        assert_eq!(ledger.positions(pair.payer, pair.token).unwrap(), [alone]);
    }
}

/// A home that was copied may be used in two places; one that was renamed is the
/// same.
#[test]
fn a_copied_file_is_noticed_and_a_renamed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let rows = Rows::new();
    let open = |name: &str| SqliteLedger::open(&at(name), genesis()).unwrap();
    {
        let ledger = open("ledger");
        let epoch = ledger.claim_epoch(&rows.pair, 5).unwrap();
        let receipt = rows.receipt(epoch.epoch, 5, 1, 100);
        ledger
            .issue(&epoch, &receipt, Remainder::default(), None)
            .unwrap();
    }
    std::fs::copy(at("ledger"), at("copy")).unwrap();
    std::fs::rename(at("ledger"), at("renamed")).unwrap();
    let payer = rows.pair.payer;
    assert_eq!(open("renamed").recovery(payer).unwrap(), Recovery::Current);
    for _ in 0..2 {
        assert_eq!(open("copy").recovery(payer).unwrap(), Recovery::Restored);
    }
    // One that has signed nothing has nothing to be behind of.
    drop(open("empty"));
    std::fs::copy(at("empty"), at("other")).unwrap();
    assert!(!open("other").is_restored().unwrap());
}

/// A database copied by the server, dumped and restored elsewhere, or restored over
/// itself.
#[test]
fn a_copied_or_restored_database_is_noticed() {
    let server = shared();
    let original = postgres();
    fill(&original.first);
    let name = psql(&original.text, "SELECT current_database()");
    let open =
        |text: &str| PostgresLedger::open(&PostgresUrl::parse(text).unwrap(), genesis()).unwrap();
    let payer = Rows::new().pair.payer;
    let state = |text: &str| open(text).recovery(payer).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("dump");
    let dump = dump.to_str().unwrap();
    tool("pg_dump", &["-Fc", "-f", dump, &original.text]);
    drop(original.first);
    server.sql(
        "postgres",
        &format!("CREATE DATABASE {name}_twin TEMPLATE {name}"),
    );
    let restored = server.database();
    tool("pg_restore", &["-d", &restored, dump]);
    assert_eq!(
        state(&server.url(&format!("{name}_twin"))),
        Recovery::Restored
    );
    assert_eq!(state(&restored), Recovery::Restored);
    assert_eq!(state(&original.text), Recovery::Current);
    // A handle that was open while it happened does nothing more.
    let before = open(&original.text);
    tool("pg_restore", &["--clean", "-d", &original.text, dump]);
    server.cut_off(&name);
    let refused = before.recovery(payer).unwrap_err();
    assert!(refused.to_string().contains("was restored"), "{refused}");
    assert_eq!(state(&original.text), Recovery::Restored);
}

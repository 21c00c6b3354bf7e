//! A disk that is full: nothing is half written, and nothing is lost.

use seedrail::{
    ledger::{
        ChainBound, EpochId, Ledger, LedgerError, PostgresLedger, PostgresUrl, ReceiptRow,
        Receipts, SqliteLedger, Stored, Upkeep,
    },
    types::BlockId,
};

use super::{conformance::Rows, genesis};
use crate::support::{postgres_server::Server, small_disk::Disk};

fn receipt(n: u32) -> ReceiptRow {
    Rows::new().receipt(EpochId::new(i64::from(n)).unwrap(), 5, 1, 1_000)
}

/// Stores receipts until it is refused; how many were.
fn store_until_full(ledger: &dyn Ledger, from: u32) -> (u32, LedgerError) {
    for n in from.. {
        match ledger.store_received(&receipt(n)) {
            Ok(stored) => assert_eq!(stored.into_inner(), Stored::New),
            Err(refused) => return (n, refused),
        }
    }
    unreachable!("a small disk is full at some time")
}

fn all_are_there(ledger: &(impl Upkeep + ?Sized), count: u32) {
    let pair = Rows::new().pair;
    let received = ledger.received(&pair).unwrap();
    assert_eq!(u32::try_from(received.len()).unwrap(), count);
    assert_eq!(ledger.contradictions().unwrap(), Vec::<String>::new());
}

#[test]
fn a_full_disk_loses_nothing_of_a_file() {
    let disk = Disk::new(2, "root");
    let file = disk.path().join("l");
    let ledger = SqliteLedger::open(&file, genesis()).unwrap();
    ledger.store_received(&receipt(0)).unwrap();
    disk.fill();
    let (count, refused) = store_until_full(&ledger, 1);
    assert!(matches!(refused, LedgerError::DiskFull), "{refused}");
    // What was stored is there, for this handle and for a new one.
    all_are_there(&ledger, count);
    disk.empty();
    ledger.store_received(&receipt(count)).unwrap();
    drop(ledger);
    all_are_there(&SqliteLedger::open(&file, genesis()).unwrap(), count + 1);
}

#[test]
fn a_full_disk_loses_nothing_of_a_database() {
    // Large enough for a server's own files and its log of writes.
    let disk = Disk::new(160, "postgres");
    let server = Server::start_in(disk.path().to_str().unwrap());
    let url = PostgresUrl::parse(&server.database()).unwrap();
    let open = || PostgresLedger::open(&url, genesis());
    let ledger = open().unwrap();
    ledger.store_received(&receipt(0)).unwrap();
    disk.fill();
    let (count, refused) = store_until_full(&ledger, 1);
    // A table that cannot grow is refused; a log that cannot, ends the server.
    let told = match refused {
        LedgerError::DiskFull => true,
        LedgerError::CommitUnknown(_) | LedgerError::Store(_) | LedgerError::Open { .. } => false,
        other => panic!("{other}"),
    };
    disk.empty();
    if told {
        all_are_there(&ledger, count);
    }
    drop(ledger);
    server.order("stop");
    server.order("start");
    let ledger = open().unwrap();
    // A commit of unknown outcome may have happened.
    let next = ledger.store_received(&receipt(count)).unwrap().into_inner();
    assert!(matches!(next, Stored::New | Stored::Unchanged));
    all_are_there(&ledger, count + 1);
    assert_eq!(ledger.genesis(), BlockId::from_bytes([7; 32]));
}

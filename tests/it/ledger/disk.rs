//! A disk that is full: nothing is half written, and nothing is lost.

use std::{fs, path::Path, process::Command};

use seedrail::{
    ledger::{
        EpochId, Ledger, LedgerError, PostgresLedger, PostgresUrl, ReceiptRow, SqliteLedger,
        Stored, Upkeep,
    },
    types::BlockId,
};

use super::{conformance::Rows, genesis};
use crate::postgres_server::Server;

/// A small disk, mounted until dropped. Only root can: CI is.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(mebibytes: u32, owner: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mebibytes}m,mode=0700,uid={}", id(owner));
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs", path(folder.path())],
        );
        Self(folder)
    }

    /// Takes all of its space, to the last page.
    fn fill(&self) {
        let ballast = fs::File::create(self.0.path().join("ballast")).unwrap();
        let page = [0; 4096];
        while std::io::Write::write_all(&mut &ballast, &page).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[path(self.0.path())]);
    }
}

fn id(user: &str) -> String {
    let output = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?} (as root?): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

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
    let file = disk.0.path().join("l");
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
    let server = Server::start_in(path(disk.0.path()));
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

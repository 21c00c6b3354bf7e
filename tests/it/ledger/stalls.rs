//! A store that stands still, since another process writes and does not end.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    time::Duration,
};

use seedrail::ledger::{EpochId, Ledger, LedgerError, Stored};

use super::{conformance::Rows, file, postgres};
use crate::support::postgres_server::program;

/// Short, it is waited for; longer than ten seconds, the store says so, and
/// nothing was changed. `hold` returns what ends the hold when it is dropped.
fn stands_still<H: Send>(ledger: &dyn Ledger, hold: impl Fn() -> H) {
    let rows = Rows::new();
    let receipt = |sequence| rows.receipt(EpochId::new(1).unwrap(), 5, sequence, 100);
    ledger.store_received(&receipt(1)).unwrap();

    let held = hold();
    let stored = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            drop(held);
        });
        ledger.store_received(&receipt(2))
    });
    assert!(matches!(
        stored.unwrap().into_inner(),
        Stored::Superseded { .. }
    ));

    let held = hold();
    let refused = ledger.store_received(&receipt(3)).unwrap_err();
    assert!(matches!(refused, LedgerError::Busy), "{refused}");
    drop(held);
    assert_eq!(
        ledger.received(&rows.pair).unwrap()[0].get().sequence,
        2,
        "nothing was changed"
    );
    ledger.store_received(&receipt(3)).unwrap();
}

#[test]
fn a_file_that_another_process_writes_is_waited_for_ten_seconds() {
    let store = file();
    let path = store.dir.path().join("l");
    stands_still(&store.first, || {
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    });
}

/// A user's session by hand.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        // Its input ends, and with it what it began.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_table_that_another_session_locks_is_waited_for_ten_seconds() {
    let store = postgres();
    stands_still(&store.first, || {
        let mut child = program("psql")
            .args(["-X", "-q", "-A", "-t", &store.text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.as_mut().unwrap();
        writeln!(input, "BEGIN; LOCK TABLE receipt; SELECT 'held';").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "held");
        Session(child)
    });
}

//! Tests of `ledger` from outside: one conformance suite for every store, and
//! what is particular to a file shared by processes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub(crate) mod conformance;
mod disk;
mod migrations;
mod parties;
mod stalls;
mod upkeep;

use seedrail::{
    ledger::{
        ChainLog, Ledger, LedgerError, Payouts, PostgresLedger, PostgresUrl, Receipts,
        SqliteLedger, Upkeep,
    },
    types::BlockId,
};

use crate::support::postgres_server;
use conformance::{Rows, Store};

fn genesis() -> BlockId {
    BlockId::from_bytes([7; 32])
}

struct Memory(SqliteLedger);

impl Store for Memory {
    fn first(&self) -> &dyn Ledger {
        &self.0
    }

    fn open_another(&self) -> Box<dyn Ledger> {
        Box::new(self.0.another().unwrap())
    }
}

struct File {
    dir: tempfile::TempDir,
    first: SqliteLedger,
}

impl Store for File {
    fn first(&self) -> &dyn Ledger {
        &self.first
    }

    fn open_another(&self) -> Box<dyn Ledger> {
        Box::new(SqliteLedger::open(&self.dir.path().join("l"), genesis()).unwrap())
    }
}

fn memory() -> Memory {
    Memory(SqliteLedger::in_memory(genesis()).unwrap())
}

fn file() -> File {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteLedger::open(&dir.path().join("l"), genesis()).unwrap();
    File { dir, first }
}

/// A database of the shared server.
struct Postgres {
    url: PostgresUrl,
    text: String,
    first: PostgresLedger,
}

impl Store for Postgres {
    fn first(&self) -> &dyn Ledger {
        &self.first
    }

    fn open_another(&self) -> Box<dyn Ledger> {
        Box::new(PostgresLedger::open(&self.url, genesis()).unwrap())
    }
}

fn postgres() -> Postgres {
    let text = postgres_server::shared().database();
    let url = PostgresUrl::parse(&text).unwrap();
    let first = PostgresLedger::open(&url, genesis()).unwrap();
    Postgres { url, text, first }
}

macro_rules! conforms {
    ($($suite:ident::$case:ident),* $(,)?) => {
        mod in_memory { $( #[test] fn $case() { super::$suite::$case(&super::memory()); } )* }
        mod in_a_file { $( #[test] fn $case() { super::$suite::$case(&super::file()); } )* }
        mod in_postgres { $( #[test] fn $case() { super::$suite::$case(&super::postgres()); } )* }
    };
}

conforms!(
    conformance::receipts_supersede_and_never_go_back,
    conformance::epochs_are_exclusive_and_bounded,
    conformance::received_receipts_are_compared_with_the_newest,
    conformance::evidence_is_no_debt_until_adopted,
    conformance::reservations_stop_at_the_ceiling,
    conformance::transfers_count_once_and_after_the_first_since_block,
    conformance::pages_walk_through_all_receipts,
    conformance::one_signer_per_account,
    conformance::ranges_are_contiguous_and_disjoint,
    conformance::a_payout_has_one_living_attempt,
    conformance::what_is_offered_is_brought_back_once,
    conformance::ends_must_be_proven,
    conformance::payments_that_are_kept_apart_count_against_no_debt,
    conformance::transfers_made_by_hand_take_a_range,
    conformance::transfers_made_by_hand_are_adopted_once,
    conformance::a_restored_ledger_signs_nothing_before_it_is_recovered,
    conformance::blocks_of_strangers_wait_for_a_known_witness,
    conformance::a_known_name_under_another_key_is_a_stranger,
    conformance::a_gap_is_passed_over_by_blocks_of_known_witnesses_alone,
    conformance::what_was_read_is_taken_back_to_a_block_that_the_chain_holds,
    conformance::the_trail_stays_short_and_keeps_its_beginning,
    conformance::history_goes_back_before_the_bound_block,
    conformance::writes_may_be_repeated,
    parties::grants_bound_what_is_issued,
    parties::receipts_that_arrived_are_stored_with_their_grants_or_none_is,
    parties::renewed_grants_share_the_limit_of_the_first,
    parties::serials_and_revocations_only_rise,
    parties::grants_that_ran_out_make_room,
    parties::a_grant_that_replaced_a_valid_one_stays,
    parties::revocations_of_grants_that_ran_out_make_room,
    parties::what_others_did_is_remembered_until_forgiven,
    parties::flows_sum_to_the_receipts,
    parties::the_payees_last_cap_is_kept,
    parties::income_and_its_cursor_are_kept_together,
    upkeep::many_are_stored_as_one_by_one,
    upkeep::positions_are_those_of_each_pair,
);

#[test]
fn everything_is_there_after_reopening() {
    let store = file();
    let rows = Rows::new();
    let lease = store.first.claim_epoch(&rows.pair, 5).unwrap();
    let receipt = rows.receipt(lease.epoch, 5, 1, 100);
    store
        .first
        .issue(&lease, &receipt, rows.remainder(77), None)
        .unwrap();
    drop(lease);
    let File { dir, first } = store;
    drop(first);
    let again = SqliteLedger::open(&dir.path().join("l"), genesis()).unwrap();
    let lease = again.claim_epoch(&rows.pair, 900).unwrap();
    assert_eq!(lease.epoch, receipt.epoch, "the free epoch goes on");
    assert_eq!(lease.since_block, 5);
    assert_eq!(lease.last, Some(receipt));
    assert_eq!(lease.remainder.get(), 77);
}

#[test]
fn the_lock_folder_is_emptied_by_those_who_leave() {
    let store = file();
    let rows = Rows::new();
    drop(store.first.claim_epoch(&rows.pair, 5).unwrap());
    let folder = store.dir.path().join("l-locks");
    // The lock of those who open the ledger stays.
    let count = || {
        let entries = std::fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "opening").count()
    };
    assert_eq!(count(), 1);
    let File { dir, first } = store;
    drop(first);
    assert_eq!(count(), 0);
    drop(dir);
}

#[test]
fn a_second_process_is_told_who_signs() {
    let store = file();
    let rows = Rows::new();
    let _lease = store
        .first
        .lease_account(rows.pair.payer, "settle run, process 12")
        .unwrap();
    let other = store.open_another();
    let refused = other.lease_account(rows.pair.payer, "me").unwrap_err();
    assert!(matches!(refused, LedgerError::AccountHeld { .. }));
    assert!(refused.to_string().contains("settle run, process 12"));
}

#[test]
fn rows_changed_behind_our_back_are_found() {
    let store = file();
    let rows = Rows::new();
    let lease = store.first.claim_epoch(&rows.pair, 5).unwrap();
    let receipt = rows.receipt(lease.epoch, 5, 1, 100);
    store
        .first
        .issue(&lease, &receipt, rows.remainder(77), None)
        .unwrap();
    assert!(store.first.contradictions().unwrap().is_empty());
    rusqlite::Connection::open(store.dir.path().join("l"))
        .unwrap()
        .execute("UPDATE receipt SET amount = 1000", [])
        .unwrap();
    let found = store.first.contradictions().unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("sum of the receipts issued"), "{found:?}");
}

#[test]
fn what_postgres_confirms_survives_its_crash() {
    let server = postgres_server::Server::start();
    let url = PostgresUrl::parse(&server.database()).unwrap();
    let ledger = PostgresLedger::open(&url, genesis()).unwrap();
    let rows = Rows::new();
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let issue = |sequence| {
        let receipt = rows.receipt(
            lease.epoch,
            5,
            sequence,
            100 * i64::try_from(sequence).unwrap(),
        );
        ledger.issue(&lease, &receipt, rows.remainder(1), None)
    };
    issue(1).unwrap();
    server.order("crash");
    assert!(ledger.position(&rows.pair).is_err(), "nobody answers");
    server.order("start");
    // The same handle goes on by a new connection.
    issue(2).unwrap();
    let issued = ledger.issued(&rows.pair).unwrap();
    assert_eq!(issued[0].get().sequence, 2);
    assert!(ledger.contradictions().unwrap().is_empty());
}

#[test]
fn a_postgres_that_may_lose_rows_or_is_not_ours_is_refused() {
    let server = postgres_server::shared();
    let refusal = |url: &str| {
        let url = PostgresUrl::parse(url).unwrap();
        PostgresLedger::open(&url, genesis())
            .unwrap_err()
            .to_string()
    };
    let url = server.database();
    for (setting, word) in [
        ("synchronous_commit = off", "synchronous_commit = off"),
        ("synchronous_commit = local", "synchronous_commit = local"),
        ("default_transaction_read_only = on", "read_only = on"),
    ] {
        let name = server.sql("postgres", "SELECT 'x' || count(*) FROM pg_database");
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        server.sql("postgres", &format!("ALTER DATABASE {name} SET {setting}"));
        let refused = refusal(&server.url(&name));
        assert!(refused.contains(word), "{refused}");
    }
    postgres_server::psql(&url, "CREATE TABLE meta (a int)");
    assert!(refusal(&url).contains("another program"));
    let ours = postgres();
    let other = PostgresLedger::open(&ours.url, BlockId::from_bytes([8; 32])).unwrap_err();
    assert!(matches!(other, LedgerError::OtherChain { .. }), "{other}");
    let newer = postgres();
    postgres_server::psql(
        &newer.text,
        "UPDATE meta SET value = '\\x00000000000000ff' WHERE name = 'schema'",
    );
    let found = PostgresLedger::open(&newer.url, genesis()).unwrap_err();
    assert!(matches!(found, LedgerError::NewerSchema { .. }), "{found}");
}

#[test]
fn a_lease_by_the_clock_is_taken_over_when_its_holder_stands_still() {
    let store = postgres();
    let rows = Rows::new();
    let lease = store.first.lease_account(rows.pair.payer, "first").unwrap();
    let other = store.open_another();
    let refused = other.lease_account(rows.pair.payer, "second").unwrap_err();
    assert!(refused.to_string().contains("first"), "{refused}");
    // As if ten seconds had passed without a beat.
    postgres_server::psql(&store.text, "UPDATE account SET expires = 1");
    let taken = other.lease_account(rows.pair.payer, "second").unwrap();
    assert!(taken.fence > lease.fence);
    let late = store
        .first
        .bind_account(&lease, conformance::block(10), seedrail::types::UnixMs(1))
        .unwrap_err();
    assert!(matches!(late, LedgerError::LeaseLost(_)), "{late}");
    // The late one's farewell does not free what is another's.
    drop(lease);
    assert_eq!(
        store
            .first
            .account_holder(rows.pair.payer)
            .unwrap()
            .as_deref(),
        Some("second")
    );
    // Run out, it is lost to its holder even if nobody took it.
    postgres_server::psql(&store.text, "UPDATE account SET expires = 1");
    let lost = other
        .bind_account(&taken, conformance::block(10), seedrail::types::UnixMs(1))
        .unwrap_err();
    assert!(matches!(lost, LedgerError::LeaseLost(_)), "{lost}");
    // Given back, it is free at once.
    drop(taken);
    drop(store.first.lease_account(rows.pair.payer, "third").unwrap());
    drop(other.lease_account(rows.pair.payer, "fourth").unwrap());
}

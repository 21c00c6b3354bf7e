//! Where the ledger is, who may know its password, and the ledger as a whole.

use std::{collections::BTreeMap, process::Command};

use seedrail::{
    ledger::{EpochId, PostgresLedger, PostgresUrl, ReceiptRow, Receipts, SqliteLedger},
    types::{Address, BlockId, RawAmount, Salt, TokenId},
};
use serde_json::Value;

use crate::support::home::{Home, Run};
use crate::support::postgres_server::{program, psql, shared};

const NOBODY: &str = "http://127.0.0.1:1";

fn genesis() -> BlockId {
    BlockId::from_bytes([7; 32])
}

fn receipt() -> ReceiptRow {
    let address = |n| Address::from_body([n; 20]);
    ReceiptRow {
        pair: seedrail::ledger::Pair {
            payer: address(1),
            payee: address(2),
            token: TokenId::BTT,
        },
        signer: address(1),
        epoch: EpochId::new(i64::MAX).unwrap(),
        since_block: 5,
        sequence: 1,
        amount: RawAmount::new(100).unwrap(),
        delivered_bytes: 1_000,
        issued_at: 1_790_000_000,
        grant: Salt::ZERO,
        signature: [9; 65],
    }
}

#[test]
fn a_password_comes_by_the_environment_and_is_never_shown() {
    let url = "postgres://user:a-secret@127.0.0.1:1/d";
    let home = Home::new();
    let refused = home.run(["--ledger", url, "config", "show", "--json"]);
    let error = refused.error(2);
    assert!(
        error["hint"].as_str().unwrap().contains("PGPASSFILE"),
        "{error}"
    );
    let home = Home::new().env("SEEDRAIL_LEDGER", url);
    let shown = home.run(["config", "show", "--json"]);
    assert_eq!(
        shown.json()["ledger"]["value"],
        "postgres://user@127.0.0.1:1/d"
    );
    let unreachable = home.run(["ledger", "check", "--node", NOBODY, "--json"]);
    unreachable.error(1);
    let wrong = Home::new()
        .env("SEEDRAIL_LEDGER", "postgres://user:a-secret@h/d?port=x")
        .run(["ledger", "check", "--json"]);
    wrong.error(2);
    let help = home.run(["settle", "run", "--help"]);
    assert!(help.stdout.contains("SEEDRAIL_LEDGER"));
    for run in [refused, shown, unreachable, wrong, help] {
        let Run { stdout, stderr, .. } = run;
        assert!(!format!("{stdout}{stderr}").contains("a-secret"));
    }
}

#[test]
fn a_password_file_opens_the_ledger() {
    let server = shared();
    server.sql("postgres", "CREATE ROLE locked LOGIN PASSWORD 'a-secret'");
    server.sql("postgres", "CREATE DATABASE locked OWNER locked");
    server.sql(
        "postgres",
        "COPY (SELECT 1) TO PROGRAM
             'cat > /dev/null; sed -i \"1i local all locked scram-sha-256\" pg_hba.conf'",
    );
    server.sql("postgres", "SELECT pg_reload_conf()");
    let url = server.url("locked").replace("seedrail@", "locked@");
    let home = Home::new();
    let file = home.file("pgpass", "*:*:locked:locked:a-secret\n");
    let private = Command::new("chmod").arg("600").arg(&file).status();
    assert!(private.unwrap().success());
    // Until the server has read its file again, it asks for none.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while psql_works(&url) {
        assert!(std::time::Instant::now() < limit, "it never asks");
    }
    let arguments = ["--ledger", &url, "ledger", "check", "--node", NOBODY];
    let without = home.run(arguments);
    assert_eq!(without.code, 1, "{without:?}");
    let home = home.env("PGPASSFILE", file.to_str().unwrap());
    // It opens, and holds no ledger yet: nobody said of which chain.
    let empty = home.run(arguments);
    assert!(empty.stderr.contains("there is no ledger yet"), "{empty:?}");
    let with_password = url.replace("locked@", "locked:a-secret@");
    drop(PostgresLedger::open(&PostgresUrl::parse(&with_password).unwrap(), genesis()).unwrap());
    let checked = home.run(arguments);
    assert_eq!(checked.code, 0, "{checked:?}");
}

fn psql_works(url: &str) -> bool {
    program("psql")
        .args(["-X", "-w", "-c", "SELECT 1", url])
        .output()
        .unwrap()
        .status
        .success()
}

/// Checks, copies and writes out the ledger at `place`.
fn kept(place: &str, damage: impl FnOnce()) {
    let home = Home::new();
    let run = |arguments: &[&str]| {
        let mut all = vec!["--ledger", place, "--node", NOBODY, "--json", "ledger"];
        all.extend(arguments);
        home.run(all)
    };
    let sound = run(&["check"]).json();
    assert_eq!(sound["ok"], true);
    assert_eq!(sound["restored"], false);

    let copy = home.path().join("copy");
    let copy = copy.to_str().unwrap();
    assert_eq!(
        run(&["backup", copy]).json()["genesis"],
        genesis().to_string()
    );
    assert_eq!(run(&["backup", copy]).code, 1, "it is not written over");
    let of_copy = home.run([
        "--ledger", copy, "--node", NOBODY, "--json", "ledger", "check",
    ]);
    assert_eq!(of_copy.json()["restored"], true);

    let lines = run(&["export"]).stdout;
    let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let table = row["table"].as_str().unwrap().to_owned();
        tables.entry(table).or_default().push(row);
    }
    let [row] = tables["receipt"].as_slice() else {
        panic!("{tables:?}")
    };
    assert_eq!(row["payee"], receipt().pair.payee.to_string());
    assert_eq!(row["epoch"], i64::MAX.to_string());
    assert_eq!(row["signature"], "09".repeat(65));
    let file = home.path().join("rows.jsonl");
    let written = run(&["export", "-o", file.to_str().unwrap()]).json();
    assert_eq!(written["exported"], lines.lines().count());
    assert_eq!(std::fs::read_to_string(file).unwrap(), lines);

    damage();
    let found = run(&["check"]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(
        found.stdout.contains("sum of the receipts held"),
        "{found:?}"
    );
}

#[test]
fn a_file_is_checked_copied_and_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("l");
    let ledger = SqliteLedger::open(&file, genesis()).unwrap();
    ledger.store_received(&receipt()).unwrap();
    kept(file.to_str().unwrap(), || {
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute("UPDATE receipt SET amount = 1000", [])
            .unwrap();
    });
}

#[test]
fn a_database_is_checked_copied_and_written_out() {
    let url = shared().database();
    let ledger = PostgresLedger::open(&PostgresUrl::parse(&url).unwrap(), genesis()).unwrap();
    ledger.store_received(&receipt()).unwrap();
    kept(&url, || {
        psql(&url, "UPDATE receipt SET amount = 1000");
    });
}

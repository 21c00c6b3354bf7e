//! Before there is a ledger: where one is made, by whom, and what is said.

use std::process::{Child, Command};

use crate::support::{
    home::Home,
    postgres_server::{psql, shared},
};

const NOBODY: &str = "http://127.0.0.1:1";
const SOMEBODY: &str = "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH";

#[test]
fn ledger_addresses_that_are_not_known_are_refused_and_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (address, word) in [
        ("POSTGRES://u:a-secret@h/led1", "POSTGRES://"),
        ("mysql://u:a-secret@h/x", "mysql://"),
        ("sqlite://foo.db", "sqlite://"),
        ("file:///tmp/foo.db", "file://"),
        ("host=127.0.0.1 dbname=led1 password=a-secret", "host=..."),
        ("dbname=led1", "dbname=..."),
        ("postgres://u@h", "no database"),
        ("postgres://u@h/", "no database"),
    ] {
        let home = Home::new().env("SEEDRAIL_LEDGER", address);
        for arguments in [
            ["settle", "history", "--node", NOBODY, "--json"].as_slice(),
            &["peers", "ban", SOMEBODY, "--node", NOBODY, "--json"],
        ] {
            let output = home
                .command()
                .current_dir(folder.path())
                .args(arguments)
                .output()
                .unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{address}: {error}");
            assert!(error.contains(word), "{address}: {error}");
            assert!(!error.contains("a-secret"), "{error}");
        }
    }
    let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn reading_in_a_fresh_home_says_that_nothing_is_there_and_makes_nothing() {
    for ledger in [None, Some("some.ledger")] {
        let mut home = Home::with_key(1);
        if let Some(name) = ledger {
            let path = home.path().join(name);
            home = home.env("SEEDRAIL_LEDGER", path.to_str().unwrap());
        }
        for arguments in [
            ["settle", "history"].as_slice(),
            &["settle", "status"],
            &["receipts", "list"],
            &["receipts", "export"],
            &["peers"],
            &["wallet", "grants"],
            &["earnings"],
        ] {
            let run = home.run(arguments.iter().chain(&["--node", NOBODY]));
            assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
            assert!(
                run.stderr.contains("there is no ledger yet"),
                "{}",
                run.stderr
            );
        }
        let check = home.run(["ledger", "check", "--node", NOBODY, "--json"]);
        let error = check.error(1);
        assert_eq!(error["message"], "there is no ledger yet");
        let made: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert!(made.is_empty(), "{made:?}");
    }
}

#[test]
fn reading_an_empty_database_makes_no_tables_in_it() {
    let url = shared().database();
    let home = Home::with_key(1).env("SEEDRAIL_LEDGER", &url);
    let run = home.run(["settle", "history", "--node", NOBODY]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("there is no ledger yet"),
        "{}",
        run.stderr
    );
    let tables = psql(
        &url,
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'",
    );
    assert_eq!(tables.trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ledger_is_announced_once() {
    let (_devnet, home) = Home::on_a_devnet().await;
    let announced =
        |run: &crate::support::home::Run| run.stderr.contains("a new ledger is made at");
    let first = home.run(["peers", "ban", SOMEBODY]);
    assert!(announced(&first), "{}", first.stderr);
    let second = home.run(["peers", "forgive", SOMEBODY]);
    assert!(!announced(&second), "{}", second.stderr);
    let other = home.path().join("mistyped");
    let third = home.run([
        "peers",
        "forgive",
        SOMEBODY,
        "--ledger",
        other.to_str().unwrap(),
    ]);
    assert!(announced(&third), "{}", third.stderr);
}

/// Starts all of them before it waits for one.
fn all_succeed(commands: impl Iterator<Item = Command>) {
    let started: Vec<Child> = commands
        .map(|mut command| command.spawn().unwrap())
        .collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_four_commands_at_once_make_one_ledger() {
    let (_devnet, home) = Home::on_a_devnet().await;
    let database = shared().database();
    for ledger in [None, Some(database.as_str())] {
        all_succeed((0..24).map(|_| {
            let mut command = home.command();
            if let Some(url) = ledger {
                command.env("SEEDRAIL_LEDGER", url);
            }
            command.args(["peers", "ban", SOMEBODY]);
            command
        }));
    }
    let ledgers: Vec<_> = std::fs::read_dir(home.path().join("ledgers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sqlite"))
        .collect();
    assert_eq!(ledgers.len(), 1, "{ledgers:?}");
}

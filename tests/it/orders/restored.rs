//! Ledgers put back.

use std::fs;

use super::{Site, Store, ledger, payee, start};
use crate::support::{
    home::Home,
    postgres_server::{psql, tool},
};

/// Pays two files, one with ids and a memo, and one payment alone; their commands.
fn pay(site: &Site, home: &Home) -> [Vec<String>; 3] {
    let with_ids = format!(
        "address,amount,id,memo\n{},1BTT,a,\n{},2BTT,b,for b\n",
        payee(1),
        payee(2)
    );
    let without = format!("address,amount\n{},3BTT\n{},4BTT\n", payee(1), payee(2));
    let csv = |name: &str, text: &str| {
        let file = site.home.file(name, text);
        ["send", "--csv", file.to_str().unwrap(), "--yes", "--json"].map(str::to_owned)
    };
    let to = payee(3).to_string();
    let send = ["send", "--to", &to, "--amount", "5BTT", "--yes", "--json"].map(str::to_owned);
    let commands = [
        csv("with.csv", &with_ids).to_vec(),
        csv("without.csv", &without).to_vec(),
        send.to_vec(),
    ];
    for command in &commands {
        home.run(command).json();
    }
    commands
}

const PAID: [(u8, i64); 3] = [(1, 4_000_000), (2, 6_000_000), (3, 5_000_000)];

fn is_paid_once(site: &Site) {
    for (n, amount) in PAID {
        assert_eq!(site.paid(payee(n)), amount, "payee {n}");
    }
}

/// Every command is refused, and says by which payment.
fn is_refused(site: &Site, home: &Home, commands: &[Vec<String>]) {
    for command in commands {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let log = home.path().join("refused.log");
        let output = site.hurry(start(home, &words, &log), &log);
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
        assert!(text.contains("paid_alike"), "{command:?}: {text}");
        assert!(
            text.contains("made outside of this ledger, transaction "),
            "{command:?}: {text}"
        );
        is_paid_once(site);
    }
}

/// `cp` of an old file over the ledger keeps its place on the disk: nothing marks it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_restored_in_place_pays_nothing_again() {
    let site = Site::new(Store::File).await;
    site.home.run(["settle", "plan", "--json"]).json();
    let file = ledger(&site.home);
    let old = fs::read(&file).unwrap();
    let commands = pay(&site, &site.home);
    for end in ["-wal", "-shm"] {
        // They are there while a process has the ledger open.
        let _ = fs::remove_file(format!("{}{end}", file.display()));
    }
    fs::write(&file, old).unwrap();
    is_refused(&site, &site.home, &commands);
}

/// A dump that is played over its own database is noticed. After a recovery nothing that was
/// paid since is paid again.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_in_place_pays_nothing_again() {
    let site = Site::new(Store::Server).await;
    site.home.run(["settle", "plan", "--json"]).json();
    let url = site.url.clone().unwrap();
    // One that had signed nothing would have nothing to be behind of.
    let to = payee(4).to_string();
    let first = ["send", "--to", &to, "--amount", "6BTT", "--yes", "--json"];
    site.home.run(first).json();
    let dump = site.home.path().join("dump");
    let dump = dump.to_str().unwrap();
    tool("pg_dump", &["-Fc", "-f", dump, &url]);
    let commands = pay(&site, &site.home);
    tool("pg_restore", &["--clean", "-d", &url, dump]);
    for command in &commands {
        let error = site.home.run(command).error(1);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("restored from a copy"),
            "{command:?}: {message}"
        );
        is_paid_once(&site);
    }
    let log = site.home.path().join("recover.log");
    let output = site.hurry(start(&site.home, &["settle", "recover"], &log), &log);
    assert_eq!(output.status.code(), Some(7));
    site.home
        .run(["settle", "adopt", "--all", "--yes", "--json"])
        .json();
    let done = site.home.run(["settle", "recover", "--json"]).json();
    assert_eq!(done["done"], true, "{done}");
    is_refused(&site, &site.home, &commands);
}

/// The same where nothing marks it: somebody put the rows back by hand.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_database_that_were_put_back_pay_nothing_again() {
    let site = Site::new(Store::Server).await;
    site.home.run(["settle", "plan", "--json"]).json();
    let url = site.url.clone().unwrap();
    let rows = site.home.path().join("rows.sql");
    let rows = rows.to_str().unwrap();
    tool("pg_dump", &["--data-only", "-f", rows, &url]);
    let commands = pay(&site, &site.home);
    let tables = psql(
        &url,
        "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    );
    psql(&url, &format!("TRUNCATE {tables} CASCADE"));
    tool(
        "psql",
        &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", rows, &url],
    );
    is_refused(&site, &site.home, &commands);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_backup_restore_recover_and_adopt_nothing_is_paid_again() {
    for store in [Store::File, Store::Server] {
        let site = Site::new(store).await;
        site.home.run(["settle", "plan", "--json"]).json();
        let backup = site.home.path().join("backup.sqlite");
        let backup = backup.to_str().unwrap();
        site.home.run(["ledger", "backup", backup, "--json"]).json();
        let commands = pay(&site, &site.home);
        // A backup of either is a file.
        let restored = Home::new()
            .env("SEEDRAIL_NODE", &site.devnet.url())
            .env(
                "SEEDRAIL_PRIVATE_KEY",
                &hex::encode(site.devnet.accounts()[1].key.expose_bytes().as_slice()),
            )
            .env("SEEDRAIL_LEDGER", backup);
        let log = site.home.path().join("recover.log");
        let output = site.hurry(start(&restored, &["settle", "recover"], &log), &log);
        assert_eq!(output.status.code(), Some(7));
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains("waiting until "), "{text}");
        restored
            .run(["settle", "adopt", "--all", "--yes", "--json"])
            .json();
        let done = restored.run(["settle", "recover", "--json"]).json();
        assert_eq!(done["done"], true, "{done}");
        is_refused(&site, &restored, &commands);

        // Row b was found by its memo; the user says which transfer row a is.
        let transfers = restored.run(["settle", "history", "--json"]).json();
        let of_a = transfers["payments"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["to"] == payee(1).to_string() && row["amount"] == "1")
            .unwrap();
        let txid = of_a["txid"].as_str().unwrap();
        restored
            .run(["settle", "adopt", txid, "--id", "a", "--json"])
            .json();
        let report = restored.run(&commands[0]).json();
        assert_eq!(
            (&report["paid_before"], &report["confirmed"]),
            (&2.into(), &2.into()),
            "{report}"
        );
        let alone = ["send", "--to", &payee(1).to_string(), "--amount", "1BTT"].map(str::to_owned);
        let alone = [
            &alone[..],
            &["--id", "a", "--yes", "--json"].map(str::to_owned),
        ]
        .concat();
        let report = restored.run(&alone).json();
        assert_eq!(
            (&report["found"], &report["txid"]),
            (&true.into(), &txid.into())
        );
        is_paid_once(&site);
    }
}

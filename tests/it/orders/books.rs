//! An accountant's view: every payment with its fee, and the sums are the account's.

use std::{
    collections::BTreeMap,
    process::{Child, Command},
    time::Duration,
};

use seedrail::types::Token;

use super::{BTT, LIMIT, Site, Store, payee, said};
use crate::support::waiting::wait_until;

fn interrupt(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
}

/// Sums of the file that the history writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Books {
    rows: usize,
    fees: i64,
    paid: BTreeMap<String, i64>,
}

fn books(site: &Site) -> Books {
    let run = site.home.run(["settle", "history", "--csv"]);
    assert_eq!(run.code, 0, "{run:?}");
    let mut reader = csv::Reader::from_reader(run.stdout.as_bytes());
    let names = reader.headers().unwrap().clone();
    let mut books = Books::default();
    for row in reader.records() {
        let row = row.unwrap();
        let cell = |name: &str| &row[names.iter().position(|known| known == name).unwrap()];
        assert_eq!(cell("state"), "final", "{row:?}");
        assert!(cell("time").ends_with(" UTC"), "{row:?}");
        assert_eq!(cell("txid").len(), 64, "{row:?}");
        books.rows += 1;
        books.fees += cell("fee_sun").parse::<i64>().expect("every fee is known");
        let amount: i64 = cell("amount_raw").parse().unwrap();
        *books.paid.entry(cell("token").to_owned()).or_default() += amount;
    }
    books
}

/// A month of payouts, some of them in commands that were killed or interrupted at any
/// moment: what the history exports is what left the account, to the sun.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_payouts_adds_up_to_the_accounts_balance() {
    a_month_adds_up(Store::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_payouts_on_a_server_adds_up_to_the_accounts_balance() {
    a_month_adds_up(Store::Server).await;
}

async fn a_month_adds_up(store: Store) {
    let site = Site::new(store).await;
    let before = [Token::Trx, BTT].map(|token| site.devnet.balance(site.payer(), token).get());
    let day = Duration::from_secs(86_400);
    let mut rows = 0;
    for week in 0..4_u8 {
        let text: String = (1..=25)
            .map(|n| {
                let (unit, id) = (
                    if n % 3 == 0 { "TRX" } else { "BTT" },
                    u32::from(week) * 100 + n,
                );
                format!(
                    "{},{n}.{week}{unit},{id},week {week}\n",
                    payee(u8::try_from(n).unwrap())
                )
            })
            .collect();
        rows += 25;
        let text = format!("address,amount,id,memo\n{text}");
        let file = site.home.file("week.csv", &text);
        let csv = ["send", "--json", "--yes", "--csv", file.to_str().unwrap()];
        // Ended as soon as some of it is out, three times in three ways.
        for (n, signal) in ["-KILL", "-INT", "-TERM"].into_iter().enumerate() {
            let spent = |site: &Site| site.devnet.balance(site.payer(), BTT).get();
            // What the command before it sent is out with this block.
            site.devnet.mine(1);
            let was = spent(&site);
            let mut child = site.home.command().args(csv).spawn().unwrap();
            wait_until("some of it is out, or all is done", LIMIT, || {
                spent(&site) < was || child.try_wait().unwrap().is_some()
            });
            if child.try_wait().unwrap().is_some() {
                break;
            }
            interrupt(&child, signal);
            let output = child.wait_with_output().unwrap();
            if n > 0 && output.status.code() == Some(130) {
                let said = said(&output);
                // It was ended before it had read its file, or else it says what became
                // of each payment, and what to do.
                let early = said.contains("nothing was signed by this command");
                assert!(early || said.contains("of 25 payments, "), "{said}");
                let told = ["safe", "`seedrail settle status`"];
                assert!(
                    early || told.iter().any(|part| said.contains(part)),
                    "{said}"
                );
            }
        }
        let report = site.home.run(csv).json();
        assert_eq!(report["confirmed"], 25, "{report}");
        assert_eq!(report["fees_unknown"], 0, "{report}");
        let to = payee(100 + week).to_string();
        let one = ["send", "--to", &to, "--amount", "0.5TRX", "--yes", "--json"];
        let report = site.home.run(one).json();
        assert!(report["fee_sun"].as_i64().unwrap() > 0, "{report}");
        rows += 1;
        site.devnet.advance(day * 7);
    }
    let books = books(&site);
    assert_eq!(books.rows, rows);
    let after = [Token::Trx, BTT].map(|token| site.devnet.balance(site.payer(), token).get());
    assert_eq!(before[1] - after[1], books.paid["BTT"], "BTT");
    assert_eq!(before[0] - after[0], books.paid["TRX"] + books.fees, "TRX");
    // The same for programs, and what a person reads.
    let history = site
        .home
        .run(["settle", "history", "--json", "--limit", "0"])
        .json();
    let fees: i64 = history["payments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["state"] == "final")
        .map(|row| row["fee_sun"].as_i64().unwrap())
        .sum();
    assert_eq!(fees, books.fees);
    let text = site.home.run(["settle", "history", "--limit", "0"]).stdout;
    for part in ["final, fee ", "id `324`", "memo `week 3`", "0.5 TRX to "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

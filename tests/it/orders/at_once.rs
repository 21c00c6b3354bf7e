//! Two commands at once.

use serde_json::Value;

use super::{LIMIT, Site, Store, payee, said, start};
use crate::support::waiting::wait_until;

async fn two_sends_at_once_pay_once(store: Store) {
    let site = Site::new(store).await;
    let other = site.another_home();
    let second_home = if store == Store::File {
        &site.home
    } else {
        &other
    };
    let to = payee(1).to_string();
    let send = ["send", "--to", &to, "--amount", "5BTT", "--yes", "--json"];
    // In a block, and not solid: the first one waits, and so does the second.
    site.devnet.hold_solid(true);
    let log = site.home.path().join("first.log");
    let first = start(&site.home, &send, &log);
    wait_until("the first is in a block", LIMIT, || {
        site.paid(payee(1)) == 5_000_000
    });
    let log = site.home.path().join("second.log");
    let second = start(second_home, &send, &log);
    wait_until("the second waits for the first", LIMIT, || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("waiting for it to end")
    });
    site.devnet.hold_solid(false);
    let reports = [first, second].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report
    });
    assert_eq!(reports[0]["txid"], reports[1]["txid"]);
    assert_eq!(
        (&reports[0]["found"], &reports[1]["found"]),
        (&false.into(), &true.into())
    );
    assert_eq!(site.paid(payee(1)), 5_000_000);
    // Once it is over, the same again is another payment, which is asked about.
    let again = second_home.run(send).error(1);
    assert_eq!(again["code"], "paid_alike");
    let txid = reports[0]["txid"].as_str().unwrap();
    for part in [txid, "5 BTT", "UTC"] {
        assert!(again["message"].as_str().unwrap().contains(part), "{again}");
    }
    assert_eq!(site.paid(payee(1)), 5_000_000);
    let twice = [&send[..], &["--new"]].concat();
    assert_eq!(second_home.run(twice).json()["found"], false);
    assert_eq!(site.paid(payee(1)), 10_000_000);
    // A payment with a name is paid once for good.
    let named = [&send[..], &["--id", "INV-17"]].concat();
    let first = second_home.run(&named).error(1);
    assert_eq!(first["code"], "paid_alike", "the others have no name");
    let named = [&named[..], &["--new"]].concat();
    let first = second_home.run(&named).json();
    let second = site.home.run(&named).json();
    assert_eq!(first["txid"], second["txid"]);
    assert_eq!(second["found"], true);
    assert_eq!(site.paid(payee(1)), 15_000_000);
    let audit = site.home.run(["settle", "audit", "--json"]).json();
    assert_eq!(audit["ok"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sends_at_once_pay_once_with_a_file() {
    two_sends_at_once_pay_once(Store::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sends_at_once_pay_once_with_a_server() {
    two_sends_at_once_pay_once(Store::Server).await;
}

/// Two homes that know nothing of each other: what one pays while the other is under
/// way, the other does not pay again.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_run_in_two_homes_is_paid_once_with_files() {
    a_file_run_in_two_homes_is_paid_once(Store::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_run_in_two_homes_is_paid_once_with_servers() {
    a_file_run_in_two_homes_is_paid_once(Store::Server).await;
}

async fn a_file_run_in_two_homes_is_paid_once(store: Store) {
    let site = Site::new(store).await;
    let other = site.second_home();
    let rows: String = (1..=20)
        .map(|n| format!("{},{n}BTT,id-{n}\n", payee(n)))
        .collect();
    let text = format!("address,amount,id\n{rows}");
    let file = site.home.file("pay.csv", &text);
    let csv = ["send", "--csv", file.to_str().unwrap(), "--yes", "--json"];
    // Both ledgers are bound to the chain as it was before.
    for home in [&site.home, &other] {
        home.run(["settle", "plan", "--json"]).json();
    }
    assert_eq!(site.home.run(csv).json()["confirmed"], 20);
    // It reads what the first one paid, waits until nothing else of it can still happen,
    // and asks; nobody answers.
    let log = site.home.path().join("other.log");
    let output = site.hurry(start(&other, &csv, &log), &log);
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("waiting until "),
        "it waited in silence: {text}"
    );
    assert!(text.contains("paid_alike"), "{text}");
    for n in 1..=20 {
        assert_eq!(site.paid(payee(n)), i64::from(n) * 1_000_000, "payee {n}");
    }
    let status = other.run(["settle", "status", "--json"]).json();
    assert_eq!(status["payouts"], 0, "nothing was stored: {status}");
}

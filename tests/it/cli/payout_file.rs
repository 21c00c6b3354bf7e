//! `send --csv` by the real binary against the embedded node: every row is paid
//! once, whatever happens to the process or the file.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use seedrail::{
    devnet::Devnet,
    types::{Address, Token, TokenId},
};

use crate::support::home::{Home, Run};
use crate::support::waiting::wait_until;

struct Site {
    devnet: Devnet,
    home: Home,
}

const BTT: Token = Token::Trc10(TokenId::BTT);

fn payee(n: u8) -> Address {
    Address::from_body([n; 20])
}

impl Site {
    async fn new() -> Self {
        let (devnet, home) = Home::on_a_devnet().await;
        Self { devnet, home }
    }

    /// Its flags are `--json` and `--yes`, and these.
    fn send(&self, file: &std::path::Path, more: &[&str]) -> Run {
        let mut arguments = vec!["send", "--json", "--yes", "--csv", file.to_str().unwrap()];
        arguments.extend(more);
        self.home.run(arguments)
    }

    fn file(&self, name: &str, rows: &[(u8, &str, &str)]) -> PathBuf {
        let mut text = "id,address,amount,memo\n".to_owned();
        for (n, amount, memo) in rows {
            text += &format!("row-{n},{},{amount},{memo}\n", payee(*n));
        }
        self.home.file(name, text)
    }

    fn paid(&self, n: u8, token: Token) -> i64 {
        self.devnet.balance(payee(n), token).get()
    }

    fn payer_spent(&self) -> i64 {
        let fresh = self.devnet.balance(self.devnet.accounts()[2].address, BTT);
        fresh.get()
            - self
                .devnet
                .balance(self.devnet.accounts()[1].address, BTT)
                .get()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_paid_once_however_often_it_is_run() {
    let site = Site::new().await;
    let rows = [(1, "1.5BTT", ""), (2, "2BTT", "thank you"), (3, "3TRX", "")];
    let file = site.file("pay.csv", &rows);

    // What it would do, and cost, signing nothing.
    let shown = site.send(&file, &["--dry-run"]).json();
    assert_eq!((&shown["rows"], &shown["due"]), (&3.into(), &3.into()));
    assert_eq!(shown["totals"][0]["amount"], "3");
    assert_eq!(shown["totals"][1]["amount_raw"], "3500000");
    let expected = shown["fee_sun_estimate"].as_u64().unwrap();
    assert!(expected > 0, "{shown}");
    assert!(
        shown["fee_sun_worst"].as_u64().unwrap() >= expected,
        "{shown}"
    );
    assert_eq!(site.payer_spent(), 0);

    let first = site.send(&file, &[]).json();
    assert_eq!(first["confirmed"], 3, "{first}");
    // The price that was shown is what the receipts say.
    assert_eq!(first["fee_sun"], expected, "{first}");
    let paid = |site: &Site| {
        (
            site.paid(1, BTT),
            site.paid(2, BTT),
            site.paid(3, Token::Trx),
        )
    };
    assert_eq!(paid(&site), (1_500_000, 2_000_000, 3_000_000));

    let second = site.send(&file, &[]).json();
    assert_eq!(second["paid_before"], 3, "{second}");
    assert_eq!(second["confirmed"], 3, "{second}");
    assert_eq!(second["fee_sun"], 0, "{second}");
    assert_eq!(second["payouts"][0]["txid"], first["payouts"][0]["txid"]);
    assert_eq!(paid(&site), (1_500_000, 2_000_000, 3_000_000));

    // Rows are added under ids of their own, and only they are paid.
    let longer = [rows[2], rows[0], (4, "4BTT", ""), rows[1]];
    let third = site.send(&site.file("pay.csv", &longer), &[]).json();
    assert_eq!(
        (&third["paid_before"], &third["confirmed"]),
        (&3.into(), &4.into())
    );
    assert_eq!(site.payer_spent(), 7_500_000);

    // A row that was paid otherwise is pointed out, and nothing else is paid.
    let changed = [(1, "1.6BTT", ""), (5, "5BTT", "")];
    let error = site.send(&site.file("pay.csv", &changed), &[]).error(1);
    assert_eq!(error["code"], "changed_file");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("row 1 (id `row-1`) was paid as 1.5 BTT")
            && message.contains("the file says 1.6 BTT"),
        "{message}"
    );
    assert_eq!((site.paid(5, BTT), site.payer_spent()), (0, 7_500_000));
    let audit = site.home.run(["settle", "audit", "--json"]).json();
    assert_eq!(audit["ok"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ids_a_changed_copy_is_pointed_out() {
    let site = Site::new().await;
    let text = |amount: &str| format!("address,amount\n{},{amount}\n{},2BTT\n", payee(1), payee(2));
    let file = site.home.file("plain.csv", text("1BTT"));
    assert_eq!(site.send(&file, &[]).json()["confirmed"], 2);
    assert_eq!(site.send(&file, &[]).json()["paid_before"], 2);
    // The same rows under another hash.
    let file = site.home.file("plain.csv", text("7BTT"));
    let error = site.send(&file, &[]).error(1);
    assert_eq!(error["code"], "paid_alike");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("1 of its 2 rows"),
        "{error}"
    );
    assert_eq!(site.payer_spent(), 3_000_000);
    // On purpose.
    assert_eq!(site.send(&file, &["--new"]).json()["confirmed"], 2);
    assert_eq!(site.payer_spent(), 12_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_fees_than_expected_are_told() {
    let site = Site::new().await;
    let file = site.file("pay.csv", &[(1, "1BTT", ""), (2, "1BTT", "")]);
    site.devnet.pause();
    let child = site
        .home
        .command()
        .args(["send", "--yes", "--csv", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("both are sent", Duration::from_secs(60), || {
        site.paid(2, BTT) > 0
    });
    // Between the estimate and the block, making an account became dearer.
    let name = "getCreateNewAccountFeeInSystemContract";
    site.devnet.set_parameter(name, 1_500_000).unwrap();
    site.devnet.resume();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("was expected"), "{said}");
    let again = site
        .home
        .run(["send", "--yes", "--csv", file.to_str().unwrap()]);
    assert!(!again.stderr.contains("was expected"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_a_file_that_is_paid_once() {
    let site = Site::new().await;
    let rows: Vec<(u8, String)> = (1..=40).map(|n| (n, format!("{n}BTT"))).collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|(n, amount)| (*n, amount.as_str(), ""))
        .collect();
    let file = site.file("many.csv", &rows);
    // Killed with everything in blocks and nothing solid.
    site.devnet.hold_solid(true);
    let mut child = site
        .home
        .command()
        .args(["send", "--json", "--yes", "--csv", file.to_str().unwrap()])
        .spawn()
        .unwrap();
    wait_until("all are sent", Duration::from_secs(60), || {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        site.paid(40, BTT) > 0
    });
    child.kill().unwrap();
    child.wait().unwrap();
    site.devnet.hold_solid(false);
    // Killed before, in, and after the reading, signing, storing and sending of more.
    let more: Vec<_> = rows
        .iter()
        .copied()
        .chain((41..=60).map(|n| (n, "1BTT", "")))
        .collect();
    let file = site.file("many.csv", &more);
    for round in 0..6_u64 {
        let mut child = site
            .home
            .command()
            .args(["send", "--json", "--yes", "--csv", file.to_str().unwrap()])
            .spawn()
            .unwrap();
        // It is killed at a time of its own, not when something happened.
        let end = Instant::now() + Duration::from_millis(40 + 60 * round);
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One that has ended by itself cannot be killed any more.
        let _killed = child.kill();
        child.wait().unwrap();
    }
    let last = site.send(&file, &[]).json();
    assert_eq!(last["confirmed"], 60, "{last}");
    for n in 1..=40 {
        assert_eq!(site.paid(n, BTT), i64::from(n) * 1_000_000, "payee {n}");
    }
    for n in 41..=60 {
        assert_eq!(site.paid(n, BTT), 1_000_000, "payee {n}");
    }
    let audit = site.home.run(["settle", "audit", "--json"]).json();
    assert_eq!(audit["ok"], true, "{audit}");
}

#[test]
fn a_bad_file_is_refused_whole_before_any_node_is_asked() {
    let home = Home::with_key(1);
    let good = payee(1);
    let text =
        format!("address,amount,id\n{good},1BTT,a\n{good},5,b\nTnobody,1BTT,c\n{good},1BTT,a\n");
    let file = home.file("bad.csv", text);
    let run = home.run(["send", "--json", "--csv", file.to_str().unwrap()]);
    let error = run.error(1);
    assert_eq!(error["code"], "payout_file");
    let message = error["message"].as_str().unwrap();
    for part in [
        "row 2 (line 3), column amount: `5` has no unit",
        "row 3 (line 4), column address: ",
        "row 4 (line 5), column id: `a` is the id of row 1 too",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let missing = home.run(["send", "--json", "--csv", "nowhere.csv"]);
    assert_eq!(missing.error(1)["code"], "file");
    let both = home.run([
        "send",
        "--csv",
        "x.csv",
        "--to",
        &good.to_string(),
        "--amount",
        "1BTT",
    ]);
    assert_eq!(both.code, 2, "{both:?}");
    let neither = home.run(["send"]);
    assert_eq!(neither.code, 2, "{neither:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_paid_whole_is_not_begun() {
    let site = Site::new().await;
    let file = site.file("dear.csv", &[(1, "1BTT", ""), (2, "99999999999BTT", "")]);
    let error = site.send(&file, &[]).error(5);
    assert_eq!(error["code"], "insufficient_funds");
    assert_eq!((site.paid(1, BTT), site.payer_spent()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheets_file_is_paid_as_it_was_meant() {
    let site = Site::new().await;
    let text = format!(
        "sep=;\r\nName;Wallet;amount (BTT);memo;\r\n\"Bob; Ltd\";{};1,5;thanks;\r\n;;;;\r\nEve;{};2,25;;\r\n",
        payee(1),
        payee(2)
    );
    let file = site.home.file("excel.csv", &text);
    let run = site.send(&file, &["--columns", "address=wallet"]);
    assert!(
        run.stderr.contains("the column `Name` is not read"),
        "{run:?}"
    );
    assert_eq!(run.json()["confirmed"], 2);
    assert_eq!(
        (site.paid(1, BTT), site.paid(2, BTT)),
        (1_500_000, 2_250_000)
    );

    // Numbers alone, in a file of commas, with their unit given.
    let text = format!("address,amount\n{},\"0,5\"\n", payee(3));
    let file = site.home.file("numbers.csv", text);
    let said = site.send(&file, &["--unit", "TRX", "--quiet"]).error(1);
    assert!(said["message"].as_str().unwrap().contains("0,5"), "{said}");
    let paid = site
        .send(&file, &["--unit", "TRX", "--decimal-comma"])
        .json();
    assert_eq!(paid["confirmed"], 1);
    assert_eq!(site.paid(3, Token::Trx), 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monthly_file_is_paid_once_in_each_period() {
    let site = Site::new().await;
    let text = format!("address,amount\n{},2BTT\n{},3BTT\n", payee(1), payee(2));
    let file = site.home.file("month.csv", text);
    for (months, period) in (1..).zip(["2026-11", "2026-12"]) {
        for paid_before in [0, 2] {
            let report = site.send(&file, &["--period", period]).json();
            assert_eq!(report["paid_before"], paid_before, "{period}: {report}");
            assert_eq!(report["confirmed"], 2, "{period}: {report}");
            let paid = (site.paid(1, BTT), site.paid(2, BTT));
            assert_eq!(paid, (months * 2_000_000, months * 3_000_000), "{period}");
        }
    }
    // Without a period it is another order, and equal payments are known.
    let refused = site.send(&file, &[]).error(1);
    assert_eq!(refused["code"], "paid_alike");
    let said = refused["message"].as_str().unwrap();
    assert!(said.contains("2026-12 row 1"), "{said}");
    assert_eq!(site.paid(1, BTT), 4_000_000);
    let alone = [
        "send",
        "--to",
        &payee(1).to_string(),
        "--amount",
        "1BTT",
        "--period",
        "x",
    ];
    assert_eq!(site.home.run(alone).code, 2);
}

#[test]
fn a_number_that_can_be_read_in_two_ways_is_refused_with_both() {
    let home = Home::with_key(1);
    let file = home.file(
        "thousands.csv",
        format!("address;amount\n{};1,234 BTT\n", payee(1)),
    );
    let run = home.run(["send", "--json", "--csv", file.to_str().unwrap()]);
    let error = run.error(1);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("`1,234` can be 1234 or 1.234"),
        "{message}"
    );
    for wrong in [
        &["--columns", "wallet=address"][..],
        &["--unit", "EUR"],
        &["--unit", "5"],
    ] {
        let csv = ["send", "--csv", file.to_str().unwrap()];
        assert_eq!(home.run(csv.iter().chain(wrong)).code, 2, "{wrong:?}");
    }
    let flags_alone = home.run([
        "send",
        "--to",
        &payee(1).to_string(),
        "--amount",
        "1BTT",
        "--unit",
        "BTT",
    ]);
    assert_eq!(flags_alone.code, 2);
    let evm = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf";
    let run = home.run(["send", "--to", evm, "--amount", "5btt"]);
    assert!(
        run.stderr.contains("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"),
        "{run:?}"
    );
}
